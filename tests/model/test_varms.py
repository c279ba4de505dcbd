"""V of effects that share arms: published formulas, fits by metafor, and derivatives of escalc.

The numbers are made by tests/reference/generate/shared_arms.R.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mvmeta import (
    CovarianceError,
    DataError,
    MetaMixedLM,
    MvmetaWarning,
    Random,
    SpecificationError,
    contrmat,
    datasets,
    escalc,
    pairwise,
    varms,
)
from mvmeta.effects.error_parts import PARTS
from tests.tolerances import ALGEBRA

REFERENCE = Path(__file__).parents[1] / "reference" / "metafor" / "shared_arms.json"
PUBLISHED = Path(__file__).parents[1] / "reference" / "published" / "gleser2009.json"
COUNTS = {"ai": "ai", "n1i": "n1i", "ci": "ci", "n2i": "n2i"}
MEANS = {name: name for name in ("m1i", "sd1i", "n1i", "m2i", "sd2i", "n2i")}
DIFFERENCES = 1e-7
"""Central differences of a smooth function against its derivative."""


@cache
def reference(name):
    return json.loads(REFERENCE.read_text(encoding="utf-8"))[name]


def frame(part, name):
    return pd.DataFrame(reference(part)[name])


def fixed(data, v, formula):
    model = MetaMixedLM.from_formula(formula, data, variance=v)
    return model.fit()


def check_fit(res, want):
    assert_allclose(res.params, want["est"], rtol=1e-10)
    assert_allclose(res.bse, want["se"], rtol=1e-10)
    assert_allclose(res.heterogeneity_test().statistic, want["QE"], rtol=1e-9)


@cache
def published():
    return json.loads(PUBLISHED.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("measure", "scale"), [("RD", 1.0), ("AS", 2.0)])
def test_pooled_effects_printed_by_gleser_and_olkin(measure, scale):
    want = published()[measure]
    data = escalc(measure, data=frame("gleser", "proportions").assign(control="0"), **COUNTS)
    v = varms(measure, cluster="study", grp1="control", grp2="trt", data=data, **COUNTS)
    res = fixed(data, v, "yi ~ C(trt) - 1")
    assert_array_equal((scale * res.params).round(4), want["estimates"])
    cov = scale**2 * res.cov_params()
    if measure == "RD":
        assert_array_equal(data["yi"].round(4), want["yi"])
        assert_array_equal((cov * 1e6).round(3), want["covariance_times_1e6"])
    else:
        assert_array_equal(cov.round(5), want["covariance"])
    # The chapter rounds on the way: one unit of its last digit.
    assert abs(res.heterogeneity_test().statistic - want["Q"]) < 1.1e-3


def test_standardized_mean_differences_printed_by_gleser_and_olkin():
    data = frame("gleser", "quantitative")
    d = (data["m1i"] - data["m2i"]) / data["sdpi"]
    assert_array_equal(d.round(4), published()["SMD"]["yi"])
    assert_allclose(reference("gleser")["by_study"]["yi"], d, rtol=ALGEBRA)


@pytest.mark.parametrize("measure", ["RD", "OR", "RR", "AS", "PETO", "YUQ", "YUY"])
def test_gleser_and_olkin_several_treatments_and_a_control(measure):
    data, want = frame("gleser", "proportions"), reference("gleser")["binary"][measure]
    data["control"] = "control"
    # Their table has the control first.
    data = escalc(measure, data=data, **COUNTS)
    v = varms(measure, cluster="study", grp1="control", grp2="trt", data=data, **COUNTS)
    assert_allclose(data["yi"], want["yi"], rtol=ALGEBRA)
    assert_allclose(v.toarray(), want["V"], rtol=ALGEBRA)
    check_fit(fixed(data, v, "yi ~ C(trt) - 1"), want["fit"])


def test_gleser_and_olkin_standard_deviations_of_the_study():
    data, want = frame("gleser", "quantitative"), reference("gleser")["by_study"]
    v = varms(
        "SMD", cluster="study", grp1="trt", grp2=["control"] * len(data), data=data,
        di=want["yi"], n1i="n1i", n2i="n2i", correct=False, pool="study",
    )  # fmt: skip
    assert_allclose(v.toarray(), want["V"], rtol=ALGEBRA)
    check_fit(fixed(data, v, "yi ~ C(trt) - 1"), want["fit"])


def test_two_endpoints_by_gleser_and_olkins_formula():
    data, want = frame("gleser", "schools"), reference("gleser")["endpoints"]
    data["one"], data["two"] = "coached", "control"
    v = varms(
        "SMD", cluster="school", grp1="one", grp2="two", type="outcome", rho="ri", data=data,
        di="yi", n1i="n1i", n2i="n2i", correct=False,
    )  # fmt: skip
    assert_allclose(v.toarray(), want["V"], rtol=ALGEBRA)
    check_fit(fixed(data, v, "yi ~ outcome - 1"), want["fit"])


@pytest.mark.parametrize("measure", ["ROM", "MD", "SMD1", "VR", "CVR"])
def test_shared_controls_by_published_formulas(measure):
    data, want = frame("control", "data"), reference("control")["cases"][measure]
    data = escalc(measure, data=data.assign(control="0"), **MEANS)
    v = varms(measure, cluster="study", grp1="trt", grp2="control", data=data, **MEANS)
    assert_allclose(v.toarray(), want["V"], rtol=ALGEBRA)
    check_fit(fixed(data, v, "yi ~ trt - 1"), want["fit"])


def two_outcomes():
    return frame("outcomes", "data").assign(t="t", c="c")


def outcomes(measure, rho, data=None, **more):
    data = two_outcomes() if data is None else data
    inputs = COUNTS | more
    return varms(
        measure, cluster="study", grp1="t", grp2="c", type="out", rho=rho, data=data, **inputs
    )


@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
def test_wei_and_higgins_two_binary_outcomes(measure):
    want = reference("outcomes")["cases"][measure]
    v = outcomes(measure, reference("outcomes")["rho"])
    assert_allclose(v.toarray(), want["V"], rtol=ALGEBRA)


@pytest.mark.parametrize("relation", ["exclusive", "nested"])
def test_trikalinos_and_olkin_exclusive_and_nested_events(relation):
    v = outcomes("OR", relation)
    assert_allclose(v.toarray(), reference("outcomes")[relation], rtol=ALGEBRA)


@pytest.mark.parametrize("measure", ["MD", "SMD"])
def test_wei_and_higgins_a_binary_and_a_continuous_outcome(measure):
    data = two_outcomes()
    data["kind"] = np.where(data["out"] == "x", "OR", measure)
    more = {name: name for name in ("m1i", "sd1i", "m2i", "sd2i")}
    v = outcomes("kind", reference("outcomes")["rho"], data, **more)
    assert_allclose(v.toarray(), reference("outcomes")["mixed"][measure]["V"], rtol=ALGEBRA)


# -- against derivatives of escalc --------------------------------------------------------


def contrasts():
    """Three rows, 1 - 0 and 2 - 0 of one outcome and 0 - 1 of another; mean and SD of each arm."""
    means = {"0": (5.0, 2.0), "1": (7.0, 2.0), "2": (6.0, 2.0)}
    other = {"0": (4.0, 3.0), "1": (4.5, 3.0)}
    return [("x", "1", "0"), ("x", "2", "0"), ("y", "0", "1")], {"x": means, "y": other}


def gradient(f, point, step=1e-5):
    out = []
    for k in range(len(point)):
        up, down = point.copy(), point.copy()
        up[k] += step
        down[k] -= step
        out.append((f(up) - f(down)) / (2 * step))
    return np.array(out)


CONTINUOUS = ["MD", "SMD", "SMD1", "SMD1H", "ROM", "VR", "CVR"]


@pytest.mark.parametrize("measure", CONTINUOUS)
def test_covariances_are_those_of_the_delta_method(measure):
    """Means have variance s^2 / n, log SDs 1 / (2 n), and between outcomes r and r^2 of that.

    Groups are of one size, so that the two arms weigh the same in a pooled SD; n is large, so that
    n and n - 1 do not matter.
    """
    n, r = 4e9, 0.35
    rows, numbers = contrasts()
    arms = [(o, a) for o in numbers for a in numbers[o]]

    def effects(point):
        table = {arm: point[2 * k : 2 * k + 2] for k, arm in enumerate(arms)}
        cells = [(*table[o, a], *table[o, b]) for o, a, b in rows]
        m1, s1, m2, s2 = np.array(cells).T
        out = escalc(
            measure, m1i=m1, sd1i=np.exp(s1), m2i=m2, sd2i=np.exp(s2), n1i=n, n2i=n, correct=False
        )
        return out["yi"].to_numpy()

    point = np.array([x for o, a in arms for x in (numbers[o][a][0], np.log(numbers[o][a][1]))])
    cov = np.zeros((len(point),) * 2)
    for k, (o, a) in enumerate(arms):
        for m, (p, b) in enumerate(arms):
            if a == b:
                rho = 1.0 if o == p else r
                cov[2 * k, 2 * m] = rho * numbers[o][a][1] * numbers[p][b][1]
                cov[2 * k + 1, 2 * m + 1] = rho**2 / 2
    slope = gradient(effects, point)
    expected = slope.T @ cov @ slope / n

    data = pd.DataFrame(rows, columns=["out", "a", "b"]).assign(study=1)
    for side, arm in (("1", "a"), ("2", "b")):
        picked = [numbers[o][x] for o, x in zip(data["out"], data[arm], strict=True)]
        data[f"m{side}i"], data[f"sd{side}i"] = np.array(picked).T
    v = varms(
        measure, cluster="study", grp1="a", grp2="b", type="out", rho=r, data=data, correct=False,
        n1i=n, n2i=n, **{k: k for k in ("m1i", "sd1i", "m2i", "sd2i")},
    )  # fmt: skip
    assert_allclose(v.toarray(), expected, rtol=DIFFERENCES)


TABLE = ["OR", "RR", "RD", "AS", "PBIT", "YUQ", "YUY", "OR2D", "OR2DN"]


@pytest.mark.parametrize("measure", TABLE)
def test_covariances_of_counts_are_those_of_multinomials(measure):
    """Every arm has four cells, of two events that correlate r; effects are functions of them."""
    r, n = 0.25, {"0": 120, "1": 100, "2": 140}
    risk = {"0": (0.42, 0.37), "1": (0.3, 0.22), "2": (0.25, 0.39)}
    rows = [("x", "1", "0"), ("x", "2", "0"), ("y", "0", "1")]

    def cells(arm):
        p, q = risk[arm]
        both = p * q + r * np.sqrt(p * (1 - p) * q * (1 - q))
        return np.array([both, p - both, q - both, 1 - p - q + both])

    def effects(point):
        share = {arm: point[4 * k : 4 * k + 4] for k, arm in enumerate(n)}
        events = {("x", a): n[a] * (c[0] + c[1]) for a, c in share.items()}
        events |= {("y", a): n[a] * (c[0] + c[2]) for a, c in share.items()}
        numbers = [(events[o, a], n[a], events[o, b], n[b]) for o, a, b in rows]
        return np.array(numbers), escalc(
            measure, **dict(zip(COUNTS, np.array(numbers).T, strict=True)), to="none"
        )["yi"].to_numpy()

    point = np.concatenate([cells(arm) for arm in n])
    cov = np.zeros((12, 12))
    for k, arm in enumerate(n):
        p = cells(arm)
        cov[4 * k : 4 * k + 4, 4 * k : 4 * k + 4] = (np.diag(p) - np.outer(p, p)) / n[arm]
    slope = gradient(lambda x: effects(x)[1], point)
    data = pd.DataFrame(rows, columns=["out", "a", "b"]).assign(study=1)
    data[list(COUNTS)] = effects(point)[0]
    v = varms(measure, cluster="study", grp1="a", grp2="b", type="out", rho=r, data=data, **COUNTS)
    assert_allclose(v.toarray(), slope.T @ cov @ slope, rtol=DIFFERENCES)


@pytest.mark.parametrize("measure", ["MC", "SMCR", "SMCRP", "ROMC", "VRC", "CVRC"])
def test_covariances_of_changes_are_those_of_the_delta_method(measure):
    """Two outcomes before and after: over time they correlate r each, rho with one another.

    That of two measurements of different outcomes and times is r rho; log SDs correlate the square
    of what measurements do.
    """
    n, r, rho = 4e9, 0.6, 0.35
    # What both outcomes have by time is proportional: then their changes correlate rho, too.
    means, sds = np.array([[9.0, 7.0], [5.4, 4.2]]), np.array([[2.0, 2.5], [1.5, 1.875]])
    if measure in ("SMCR", "SMCRP"):  # their variances suppose that it does not change over time
        sds[:, 1] = sds[:, 0]

    def effects(point):
        m, s = point[:4].reshape(2, 2), np.exp(point[4:].reshape(2, 2))
        (m1, m2), (s1, s2) = m.T, s.T
        out = escalc(measure, m1i=m1, m2i=m2, sd1i=s1, sd2i=s2, ri=r, ni=n, correct=False)
        return out["yi"].to_numpy()

    correlation = np.kron([[1, rho], [rho, 1]], [[1, r], [r, 1]])
    scale = sds.ravel()
    cov = np.zeros((8, 8))
    cov[:4, :4] = correlation * np.outer(scale, scale) / n
    cov[4:, 4:] = correlation**2 / (2 * n)
    slope = gradient(effects, np.concatenate([means.ravel(), np.log(scale)]))
    data = pd.DataFrame({"s": 1, "o": ["x", "y"]})
    data[["m1i", "m2i"]], data[["sd1i", "sd2i"]] = means, sds
    v = varms(
        measure, cluster="s", grp1="s", type="o", rho=rho, data=data, correct=False,
        m1i="m1i", m2i="m2i", sd1i="sd1i", sd2i="sd2i", ri=r, ni=n,
    ).toarray()  # fmt: skip
    assert_allclose(v, slope.T @ cov @ slope, rtol=DIFFERENCES)


def test_one_step_log_odds_ratios_of_one_control_covary_as_simulated():
    """Three groups with one risk: y and 1/V of Peto's method of two contrasts, 400,000 times."""
    rng = np.random.default_rng(1985)
    n, draws = np.array([90, 140, 110]), 400_000
    x = rng.binomial(n, 0.3, (draws, 3))
    events, total = x[:, :2] + x[:, 2:], n[:2] + n[2]
    k = events * (total - events) / (total * (total - 1.0))
    y = (x[:, :2] / n[:2] - x[:, 2:] / n[2]) / k
    data = pd.DataFrame({"s": 1, "a": [1, 2], "b": 0, "x": 0.3 * n[:2], "n": n[:2]})
    numbers = {"ai": "x", "n1i": "n", "ci": 0.3 * n[2], "n2i": n[2]}
    v = varms("PETO", cluster="s", grp1="a", grp2="b", data=data, **numbers).toarray()
    # 1 % is five standard errors of the simulation, and 1 / n of the approximation
    assert_allclose(v, np.cov(y.T), rtol=0.03)
    assert_allclose(v[0, 1], 1 / (n[2] * 0.3 * 0.7), rtol=0.01)


INPUTS = {
    "groups": {
        "m1i": [5.0, 7], "sd1i": [2.0, 1.5], "n1i": [20, 31],
        "m2i": [4.0, 6.5], "sd2i": [2.5, 1.2], "n2i": [25, 28],
    },
    "table": {"ai": [4, 12], "bi": [30, 41], "ci": [9, 15], "di": [27, 30]},
    "rates": {"x1i": [4, 12], "t1i": [30.5, 41], "x2i": [9, 15], "t2i": [27, 30.2]},
    "mean": {"mi": [5.0, 7], "sdi": [2.0, 1.5], "ni": [20, 31]},
    "proportion": {"xi": [4, 12], "ni": [20, 31]},
    "rate": {"xi": [4, 12], "ti": [20.5, 31]},
}  # fmt: skip
INPUTS["change"] = INPUTS["change score"] = INPUTS["standardized change"] = {
    "m1i": [5.0, 7], "sd1i": [2.0, 1.5], "m2i": [4.0, 6.5], "sd2i": [2.5, 1.2], "ri": 0.4, "ni": 30
}  # fmt: skip
SINGLE = {"mean", "proportion", "rate", "change", "change score", "standardized change"}
INPUTS["d"] = INPUTS["groups"]


@pytest.mark.parametrize("measure", PARTS)
def test_variances_are_those_of_escalc(measure):
    from mvmeta.effects import MEASURES

    layout = MEASURES[measure].layout
    inputs = INPUTS[layout]
    two = {} if layout in SINGLE else {"grp2": [2, 2]}
    v = varms(measure, cluster=[1, 2], grp1=[1, 1], **two, **inputs)
    assert_allclose(v.variances, escalc(measure, **inputs)["vi"], rtol=ALGEBRA)


def test_single_groups_and_their_outcomes():
    data = pd.DataFrame({"s": 1, "o": ["x", "y"], "x": [10, 20], "n": [50, 40]})
    v = varms("PLO", cluster="s", grp1="s", type="o", rho=0.5, data=data, xi="x", ni="n")
    expected = 0.5 * np.sqrt((1 / 10 + 1 / 40) * (1 / 20 + 1 / 20)) * np.sqrt(40 / 50)
    assert_allclose(v.toarray()[0, 1], expected, rtol=ALGEBRA)
    half = varms(
        "PLO", cluster="s", grp1="s", type="o", rho=0.5, overlap=0.5, data=data, xi="x", ni="n"
    )
    assert_allclose(half.toarray()[0, 1], expected / 2, rtol=ALGEBRA)


# -- invariances, size --------------------------------------------------------------------


def test_rows_may_be_shuffled_and_contrasts_turned_round():
    data = frame("control", "data").assign(control="0")
    call = {"cluster": "study", "grp1": "trt", "grp2": "control"} | MEANS
    v = varms("ROM", data=data, **call).toarray()
    order = np.array([4, 0, 2, 5, 1, 3])
    assert_allclose(
        varms("ROM", data=data.iloc[order], **call).toarray(), v[np.ix_(order, order)], rtol=ALGEBRA
    )
    swap = {"grp1": "grp2", "m1i": "m2i", "sd1i": "sd2i", "n1i": "n2i"}
    back = {b: a for a, b in swap.items()}
    turned = {(swap | back).get(k, k): c for k, c in call.items()}
    assert_allclose(varms("ROM", data=data, **turned).toarray(), v, rtol=ALGEBRA)


@pytest.mark.parametrize(("measure", "power"), [("MD", 2), ("SMD", 0), ("ROM", 0), ("CVR", 0)])
def test_the_unit_of_measurement(measure, power):
    data = frame("control", "data").assign(control="0")
    call = {"cluster": "study", "grp1": "trt", "grp2": "control"} | MEANS
    other = data.assign(**{c: 4 * data[c] for c in ("m1i", "sd1i", "m2i", "sd2i")})
    assert_allclose(
        varms(measure, data=other, **call).toarray(),
        4**power * varms(measure, data=data, **call).toarray(),
        rtol=ALGEBRA,
    )


def test_counting_the_other_event_turns_the_sign():
    data = two_outcomes()
    turned = data.copy()
    second = data["out"] == "y"
    turned.loc[second, "ai"] = data["n1i"] - data["ai"]
    turned.loc[second, "ci"] = data["n2i"] - data["ci"]
    sign = np.where(second, -1, 1)
    for measure in ("OR", "RD", "AS"):
        v, w = outcomes(measure, 0.3, data), outcomes(measure, -0.3, turned)
        # the correlation turns with the event, and so does the sign of the effect
        assert_allclose(w.toarray(), v.toarray() * np.outer(sign, sign), rtol=ALGEBRA)


def test_parts_of_a_study_without_common_people_are_independent():
    data = frame("control", "data").assign(control="0", sex=["m", "m", "f", "m", "f", "f"])
    call = {"cluster": "study", "grp1": "trt", "grp2": "control", "data": data} | MEANS
    whole, parts = varms("MD", **call).toarray(), varms("MD", subgroup="sex", **call).toarray()
    sex = data["sex"].to_numpy()
    assert_array_equal(parts, np.where(sex[:, None] == sex, whole, 0.0))


def test_many_rows_stay_sparse():
    n = 300_000
    rng = np.random.default_rng(4)
    x, m = rng.integers(1, 20, n), rng.integers(30, 90, n)
    study = np.arange(n) // 3
    x0, m0 = np.repeat(x[::3], 3), np.repeat(m[::3], 3)
    v = varms(
        "OR", cluster=study, grp1=np.arange(n) % 3, grp2=np.full(n, 9), ai=x, n1i=m, ci=x0, n2i=m0
    )
    assert v.covariances.nnz == 2 * n
    assert_allclose(v.tosparse()[3, 4], 1 / x0[3] + 1 / (m0[3] - x0[3]), rtol=ALGEBRA)


# -- network models -----------------------------------------------------------------------


def test_network_of_antidiabetic_drugs_as_metafor():
    want = reference("senn")
    arms = datasets.load("senn2013")
    dat, v = pairwise(
        "MD", arms, study="study", arm="treatment", mi="mi", sdi="sdi", ni="ni", ref="placebo"
    )
    # metafor sorts the studies.
    keys = pd.MultiIndex.from_frame(dat[["study", "treatment.1"]])
    order = keys.get_indexer(pd.MultiIndex.from_arrays([want["study"], want["first"]]))
    assert_allclose(dat["yi"].iloc[order], want["yi"], rtol=1e-11, atol=1e-15)
    assert_allclose(v.toarray()[np.ix_(order, order)], want["V"], rtol=1e-11)
    dat = contrmat(dat, "treatment.1", "treatment.2", last="placebo")
    names = want["fit"]["names"]
    random = Random("comp | study", fixed={"rho": 0.5})
    res = MetaMixedLM.from_formula(
        f"yi ~ {' + '.join(names)} - 1", dat, variance=v, random=random
    ).fit()
    assert_allclose(res.params, want["fit"]["est"], rtol=1e-5)
    assert_allclose(res.bse, want["fit"]["se"], rtol=1e-5)
    assert_allclose(res.vcomp["estimate"].iloc[0], want["fit"]["tau2"], rtol=1e-5)


@pytest.mark.parametrize("contrasts", ["successive", "all"])
def test_other_contrasts_of_the_network_of_antidiabetic_drugs(contrasts):
    want = reference("senn")[contrasts]
    ref = "placebo" if contrasts == "all" else None
    dat, v = pairwise(
        "MD", datasets.load("senn2013"), study="study", arm="treatment", mi="mi", sdi="sdi",
        ni="ni", contrasts=contrasts, ref=ref,
    )  # fmt: skip
    keys = pd.MultiIndex.from_frame(dat[["study", "treatment.1", "treatment.2"]])
    wanted = pd.MultiIndex.from_arrays([want["study"], want["first"], want["second"]])
    order = keys.get_indexer(wanted)
    assert sorted(order) == list(range(len(dat)))
    assert_allclose(dat["yi"].iloc[order], want["yi"], rtol=1e-11, atol=1e-15)
    assert_allclose(v.toarray()[np.ix_(order, order)], want["V"], rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("contrasts", ["successive", "all"])
def test_contrasts_of_equal_spread_covary_as_vcalc_of_metafor_has_them(contrasts):
    """metafor has variances by size alone, which is all there is to it where SDs are the same."""
    part = reference("equal")
    want = part[contrasts]
    dat, v = pairwise(
        "MD", pd.DataFrame(part["arms"]), study="study", arm="arm", mi="mi", sdi="sdi", ni="ni",
        contrasts=contrasts, ref="d" if contrasts == "all" else None,
    )  # fmt: skip
    keys = pd.MultiIndex.from_frame(dat[["study", "arm.1", "arm.2"]])
    order = keys.get_indexer([*zip(want["study"], want["first"], want["second"], strict=True)])
    assert sorted(order) == list(range(len(dat)))
    assert_allclose(dat["yi"].iloc[order], want["yi"], rtol=ALGEBRA)
    assert_allclose(v.toarray()[np.ix_(order, order)], want["V"], rtol=1e-12, atol=1e-15)


def test_successive_contrasts_hold_what_contrasts_with_one_arm_do():
    arms = datasets.load("senn2013")
    fits = []
    for contrasts in ("reference", "successive"):
        dat, v = pairwise(
            "MD", arms, study="study", arm="treatment", mi="mi", sdi="sdi", ni="ni",
            contrasts=contrasts,
        )  # fmt: skip
        dat = contrmat(dat, "treatment.1", "treatment.2", last="placebo")
        names = sorted(set(arms["treatment"]) - {"placebo"})
        fits.append(fixed(dat, v, f"yi ~ {' + '.join(names)} - 1"))
    assert_allclose(fits[1].params, fits[0].params, rtol=1e-9)
    assert_allclose(fits[1].bse, fits[0].bse, rtol=1e-9)
    first, second = (res.heterogeneity_test().statistic for res in fits)
    assert_allclose(second, first, rtol=1e-9)


def test_successive_arms_are_those_of_a_categorical_or_sorted():
    arms = pd.DataFrame({"s": 1, "dose": [20, 5, 100], "x": [4, 5, 9], "n": 30})
    names = {"study": "s", "arm": "dose", "xi": "x", "ni": "n", "contrasts": "successive"}
    assert pairwise("OR", arms, **names).dat["comp"].tolist() == ["20-5", "100-20"]
    order = pd.Categorical(["b", "c", "a"], categories=["c", "a", "b"])
    named = pairwise("OR", arms.assign(dose=order), **names).dat
    assert named["comp"].tolist() == ["a-c", "b-a"]
    with pytest.raises(SpecificationError, match="successive groups have none: leave it out"):
        pairwise("OR", arms, ref=5, **names)
    with pytest.raises(SpecificationError, match="contrasts= takes one of reference, all, succ"):
        pairwise("OR", arms, **{**names, "contrasts": "every"})


def test_contrasts_without_an_effect_are_named_by_study_and_arms():
    arms = pd.DataFrame({"s": ["Lee"] * 3, "t": list("abc"), "x": [3, -5, 8], "n": 20})
    told = "pairwise: 1 of 2 rows have no effect size .* row Lee, b-c: x.1 is negative$"
    with pytest.warns(MvmetaWarning, match=told) as said:
        pairwise("OR", arms, study="s", arm="t", xi="x", ni="n")
    assert len(said) == 1


def test_smoking_cessation_with_empty_cells():
    want = reference("hasselblad")
    arms = pd.DataFrame(want["arms"])
    dat, v = pairwise("OR", arms, study="study", arm="trt", xi="xi", ni="ni", ref="no_contact")
    assert_allclose(dat["yi"], want["yi"], rtol=1e-11)
    assert_allclose(v.toarray(), want["V"], rtol=1e-11)
    assert_allclose(dat["vi"], v.variances, rtol=ALGEBRA)


def test_pairwise_with_outcomes():
    arms = pd.DataFrame(
        {
            "s": [1, 1, 1, 1, 1, 1, 2, 2],
            "t": list("abcabcab"),
            "o": ["x", "x", "x", "y", "y", "y", "x", "x"],
            "x": [3, 5, 8, 10, 12, 9, 4, 6],
            "n": [20, 22, 21, 20, 22, 21, 30, 31],
        }
    )
    dat, v = pairwise("RR", arms, study="s", arm="t", xi="x", ni="n", type="o", rho=0.3, ref="a")
    assert dat["o"].tolist() == ["x", "x", "y", "y", "x"]
    assert dat["id"].tolist() == [1, 2, 3, 4, 5]
    a = np.sqrt((1 / 3 - 1 / 20) * (1 / 10 - 1 / 20))
    b = np.sqrt((1 / 5 - 1 / 22) * (1 / 12 - 1 / 22))
    assert_allclose(v.toarray()[0, 2], 0.3 * (a + b), rtol=ALGEBRA)
    assert_allclose(v.toarray()[0, 3], 0.3 * a, rtol=ALGEBRA)
    assert_allclose(v.toarray()[0, 1], 1 / 3 - 1 / 20, rtol=ALGEBRA)


# -- what is refused or warned of ---------------------------------------------------------

SMALL = pd.DataFrame(
    {
        "s": ["Lee", "Lee", "Ito"],
        "a": ["low", "high", "low"],
        "c": ["pla", "pla", "pla"],
        "o": ["x", "x", "x"],
        "ai": [12, 9, 5],
        "n1i": [60, 58, 40],
        "ci": [20, 20, 9],
        "n2i": [61, 61, 42],
    },
    index=[11, 12, 13],
)
CALL = {"cluster": "s", "grp1": "a", "grp2": "c"} | COUNTS


@pytest.mark.parametrize(
    ("error", "measure", "change", "message"),
    [
        (SpecificationError, "COR", {}, "'COR' are not known arm by arm.*or rcalc"),
        (SpecificationError, "XX", {}, "XX"),
        (SpecificationError, "OR", {"m1i": 2.0}, "do not use m1i; they take OR: ai, bi"),
        (SpecificationError, "OR", {"ci": None}, "'OR' lacks ci, di"),
        (SpecificationError, "OR", {"grp2": None}, "grp2= is missing: rows 11, 12, 13"),
        (SpecificationError, "OR", {"type": "o"}, "type= needs rho="),
        (SpecificationError, "OR", {"rho": 0.4}, "rho= needs type="),
        (SpecificationError, "OR", {"type": "o", "rho": 1.4}, "rho must lie within"),
        (SpecificationError, "OR", {"pool": "all"}, "pool= takes one of pair, study"),
        (SpecificationError, "OR", {"pool": "study"}, "pool='study' is for standardized"),
        (DataError, "OR", {"grp2": "a"}, "the same group in rows 11, 12, 13"),
        (DataError, "OR", {"cluster": "trial"}, "'trial' wanted for cluster"),
        (DataError, "OR", {"ai": "xx"}, "ai='xx' is not a column"),
    ],
)
def test_refused(error, measure, change, message):
    call = {k: c for k, c in (CALL | change).items() if c is not None}
    with pytest.raises(error, match=message):
        varms(measure, data=SMALL, **call)


def test_relations_are_for_events():
    data = frame("control", "data").assign(control="0")
    call = {"cluster": "study", "grp1": "trt", "grp2": "control"} | MEANS
    with pytest.raises(SpecificationError, match="rho='nested' is for events, but rows 0, 1"):
        varms("MD", data=data, type="trt", rho="nested", **call)


def test_a_contrast_given_twice_is_named():
    twice = SMALL.assign(a=["low", "low", "low"], ai=12, n1i=60)
    with pytest.raises(CovarianceError, match=r"singular in study Lee.*rows 11, 12 correlate 1"):
        varms("OR", data=twice, **CALL)


def test_rows_without_an_effect_and_groups_that_differ():
    lost = SMALL.assign(ai=[12, np.nan, 5])
    with pytest.warns(
        MvmetaWarning, match="varms: 1 of 3 rows have no variance .*row 12: ai is"
    ) as said:
        v = varms("OR", data=lost, **CALL)
    assert_array_equal(np.isnan(v.variances), [False, True, False])
    assert said[0].filename == __file__
    other = SMALL.assign(n2i=[61, 50, 42])
    with pytest.warns(MvmetaWarning, match=r"other numbers .* rows 11, 12 \(study Lee\)"):
        v = varms("OR", data=other, **CALL)
    a, b = 1 / 20 + 1 / 41, 1 / 20 + 1 / 30
    assert_allclose(v.toarray()[0, 1], np.sqrt(a * b) * np.sqrt(50 / 61), rtol=ALGEBRA)


ARMS = pd.DataFrame({"s": [1, 1, 2], "t": list("aba"), "x": [3, 5, 4], "n": [20, 21, 30]})
PAIR = {"study": "s", "arm": "t", "xi": "x", "ni": "n"}


@pytest.mark.parametrize(
    ("error", "measure", "change", "message"),
    [
        (DataError, "OR", {}, "study 2 has a single group"),
        (DataError, "OR", {"study": "trial"}, "'trial' is no column of the data"),
        (DataError, "OR", {"xi": "deaths"}, "'deaths' is no column"),
        (SpecificationError, "COR", {}, "does not compare two independent groups"),
        (SpecificationError, "OR", {"sdi": "n"}, "does not use sdi; it takes xi, mi, ni"),
        (SpecificationError, "OR", {"ni": None}, "lacks numbers of the arms; it takes xi, mi, ni"),
        (SpecificationError, "OR", {"ref": "z"}, "ref='z' is no group"),
    ],
)
def test_pairwise_refuses(error, measure, change, message):
    call = {k: c for k, c in (PAIR | change).items() if c is not None}
    with pytest.raises(error, match=message):
        pairwise(measure, ARMS, **call)


def test_pairwise_names_missing_arms_and_warns_once():
    with pytest.raises(DataError, match="'t' is missing in row 1"):
        pairwise("OR", ARMS.assign(t=["a", None, "b"]), **PAIR)
    arms = ARMS.iloc[:2].assign(x=[30, 5])
    with pytest.warns(MvmetaWarning) as caught:
        dat, v = pairwise("OR", arms, **PAIR)
    assert len(caught) == 1
    assert np.isnan(dat["yi"]).all()
    assert np.isnan(v.variances).all()


def test_calls_that_are_nearly_right_are_told_what_to_write():
    arms = pd.DataFrame({"s": [1, 1], "t": ["a", "b"], "o": ["x", "y"], "x": [3, 5], "n": 20})
    with pytest.raises(
        SpecificationError, match=r"rho='exclusiv' is no column .* mean 'exclusive'"
    ):
        varms("PLO", cluster="s", grp1="t", type="o", rho="exclusiv", data=arms, xi="x", ni="n")
    with pytest.raises(DataError, match=r"pairwise takes names of columns .* got a Series"):
        pairwise("OR", arms, study=arms["s"], arm="t", xi="x", ni="n")
    with pytest.raises(DataError, match="'studie' is no column of the data; did you mean 'study'"):
        pairwise("OR", arms.rename(columns={"s": "study"}), study="studie", arm="t", xi="x", ni="n")
    with pytest.raises(DataError, match=r"study 1 has the group 'a' twice, .* pairwise\(type=\)"):
        pairwise("OR", pd.concat([arms, arms]), study="s", arm="t", xi="x", ni="n")
