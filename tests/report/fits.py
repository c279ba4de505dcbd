"""Fits of every kind that a report must be able to tell of."""

import numpy as np
import pandas as pd

from mvmeta import MetaMixedLM, Random, datasets, vcalc

HOSTILE = "<script>alert(1)</script>"


def three_level():
    data = datasets.load("konstantopoulos2011")
    return MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="district/school").fit()


def hostile():
    """Markup in names of studies, levels and columns, and words pandas reads as missing."""
    data = datasets.load("toy").rename(columns={"d": "d<b>"})
    data["Study"] = data["Study"].map({1: HOSTILE, 2: "NA"})
    data["Category"] = data["Category"].replace({"A": "<img src=x onerror=alert(1)>", "B": "01"})
    return MetaMixedLM.from_formula(
        "Q('d<b>') ~ C(Category) - 1", data, variance="Variance", groups="Study"
    ).fit()


def robust():
    data = datasets.load("assink2016")
    v = vcalc("vi", "study", obs="esid", rho=0.6, data=data)
    return MetaMixedLM.from_formula(
        "yi ~ year + C(deltype)", data, variance=v, groups="study/esid"
    ).fit(cov_type="CR2")


def equal_effects():
    return MetaMixedLM.from_formula("yi ~ ablat", datasets.load("bcg"), variance="vi").fit()


def bivariate():
    return MetaMixedLM.from_formula(
        "yi ~ outcome - 1",
        datasets.load("berkey1998"),
        variance=datasets.covariance_blocks("berkey1998"),
        random=Random("outcome | trial", struct="UN"),
    ).fit(df="satterthwaite")


def phylogeny():
    return MetaMixedLM.from_formula(
        "yi ~ 1",
        datasets.load("lim2014"),
        variance="vi",
        groups="article",
        random=["1 | species", Random("1 | species", corr=datasets.correlation("lim2014"))],
    ).fit(reml=False)


def crossed_robust():
    return MetaMixedLM.from_formula(
        "yi ~ 1",
        datasets.load("lim2014"),
        variance="vi",
        groups="article",
        random="1 | species",
    ).fit(cov_type="CR1", cov_kwds={"groups": ["article", "species"], "repair": True})


def scale():
    data = datasets.load("bcg")
    return MetaMixedLM.from_formula(
        "yi ~ ablat",
        data,
        variance="vi",
        random=Random("1 | trial", scale="ablat", fixed={"scale": 0.01}),
    ).fit(use_t=True)


def weighted():
    data = datasets.load("bcg").assign(w=np.arange(1.0, 14))
    return MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="trial", weights="w").fit(
        use_t=True
    )


def knapp_hartung():
    data = datasets.load("bcg")
    data["alloc"] = pd.Categorical(data["alloc"], ["systematic", "random", "alternate"])
    return MetaMixedLM.from_formula(
        "yi ~ alloc + np.log(ablat)", data, variance="vi", groups="trial", eval_env={"np": np}
    ).fit(cov_type="knha", use_t=True)


def arrays():
    data = datasets.load("bcg")
    x = np.column_stack([np.ones(13), data["ablat"]])
    return MetaMixedLM(
        data["yi"].to_numpy(), x, data["vi"].to_numpy(), groups=data["alloc"].to_numpy()
    ).fit(df=7.0)


def arrays_with_terms():
    data = datasets.load("berkey1998")
    return MetaMixedLM(
        data["yi"],
        pd.get_dummies(data["outcome"], dtype=float),
        data["vi"],
        random=Random("outcome | trial", struct="UN", fixed={"rho": 0.3}),
        data=data,
    ).fit()


def slopes():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"study": np.repeat(np.arange(20), 5), "dose": np.tile(range(5), 20)})
    effect = rng.normal(0, [0.3, 0.1], (20, 2))[data["study"]]
    data["yi"] = effect[:, 0] + (0.2 + effect[:, 1]) * data["dose"] + rng.normal(0, 0.2, 100)
    data["vi"] = 0.04
    return MetaMixedLM.from_formula(
        "yi ~ dose", data, variance="vi", random=Random("1 + dose | study", "GEN")
    ).fit(df="contain")


def thousands():
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"study": np.repeat(np.arange(500), 8), "kind": list("ABCD") * 1000})
    data["vi"] = rng.uniform(0.01, 0.1, 4000)
    own = rng.normal(0, 0.3, 500)[data["study"]]
    data["yi"] = 0.5 + own + rng.normal(0, np.sqrt(data["vi"] + 0.02))
    data["row"] = np.arange(4000)
    return MetaMixedLM.from_formula("yi ~ C(kind)", data, variance="vi", groups="study/row").fit()


FITS = {
    fit.__name__: fit
    for fit in (
        three_level,
        hostile,
        robust,
        equal_effects,
        bivariate,
        phylogeny,
        crossed_robust,
        scale,
        weighted,
        knapp_hartung,
        arrays,
        arrays_with_terms,
        slopes,
        thousands,
    )
}
