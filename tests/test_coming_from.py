"""The pages for people who come from R show what R prints; here are the numbers behind it."""

import json
from pathlib import Path

import numpy as np
import pytest

from mvmeta import MetaMixedLM, Random, datasets, vcalc

STORED = Path(__file__).parent / "reference" / "metafor" / "coming_from.json"
REFERENCE = json.loads(STORED.read_text(encoding="utf-8"))


def three(reml=True):
    data = datasets.load("konstantopoulos2011")
    model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="district/school")
    return model.fit(reml=reml)


def regression():
    data = datasets.load("bcg")
    model = MetaMixedLM.from_formula("yi ~ ablat + year", data, variance="vi", groups="trial")
    return model.fit(use_t=True)


def outcomes():
    data = datasets.load("berkey1998")
    v = vcalc(1, cluster="trial", rvars=["v1i", "v2i"], data=data)
    term = Random("outcome | trial", "UN")
    return MetaMixedLM.from_formula("yi ~ outcome - 1", data, variance=v, random=term).fit()


def times():
    data = datasets.load("ishak2007")
    v = vcalc("vi", cluster="study", time1="time", phi=0.97, data=data)
    term = Random("time | study", "HAR")
    return MetaMixedLM.from_formula("yi ~ C(time) - 1", data, variance=v, random=term).fit()


def phylogeny():
    data = datasets.load("lim2014")
    tree = Random("1 | species", corr=datasets.correlation("lim2014"))
    return MetaMixedLM.from_formula(
        "yi ~ 1", data, variance="vi", groups="article/effect", random=["1 | species", tree]
    ).fit()


# R stops searching where the likelihood is flat to about 1e-8, which leaves components four digits.
@pytest.mark.parametrize("fit", [three, regression, outcomes, times, phylogeny])
def test_metafor(fit):
    res, reference = fit(), REFERENCE[fit.__name__]
    assert res.llf == pytest.approx(reference["llf"], abs=1e-7)
    assert np.asarray(res.QE) == pytest.approx(reference["QE"], rel=1e-10)
    np.testing.assert_allclose(res.params, reference["params"], rtol=2e-5)
    np.testing.assert_allclose(res.bse, reference["bse"], rtol=2e-5)
    np.testing.assert_allclose(res.vcomp["estimate"], reference["components"], rtol=2e-4)


def test_robust():
    data = datasets.load("assink2016")
    v = vcalc("vi", cluster="study", obs="esid", rho=0.6, data=data)
    model = MetaMixedLM.from_formula("yi ~ 1", data, variance=v, groups="study/esid")
    res = model.fit(cov_type="CR2", cov_kwds={"groups": "study"})
    reference = REFERENCE["robust"]
    np.testing.assert_allclose(res.params, reference["params"], rtol=1e-5)
    np.testing.assert_allclose(res.bse, reference["bse"], rtol=1e-5)
    np.testing.assert_allclose(res.df_inference, reference["df"], rtol=1e-4)


def test_nlme_with_sigma_fixed_at_one_is_the_same_model_by_ml():
    res, reference = three(reml=False), REFERENCE["nlme"]
    assert res.llf == pytest.approx(reference["llf"], abs=1e-7)
    np.testing.assert_allclose(res.params, reference["params"], rtol=1e-5)
    np.testing.assert_allclose(res.bse, reference["bse"], rtol=1e-5)


def test_lme4_without_sampling_variances():
    data = datasets.load("konstantopoulos2011")
    model = MetaMixedLM.from_formula("yi ~ year", data, variance=0.0, groups="district/school")
    res, reference = model.fit(), REFERENCE["lme4"]
    np.testing.assert_allclose(res.params, reference["params"], rtol=1e-5)
    np.testing.assert_allclose(res.bse, reference["bse"], rtol=1e-5)
    np.testing.assert_allclose(res.vcomp["estimate"], reference["components"], rtol=1e-4)
