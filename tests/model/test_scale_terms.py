"""Location-scale models against metafor, glmmTMB (generate/scale.R) and dense formulas."""

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mvmeta import (
    ConvergenceError,
    DataError,
    MetaMixedLM,
    MvmetaWarning,
    Random,
    SpecificationError,
    datasets,
)
from mvmeta.model.results.component_profile import ComponentProfile
from mvmeta.optimize.status import Status
from mvmeta.structures import log_linear
from tests.tolerances import OBJECTIVE

REFERENCE = Path(__file__).parents[1] / "reference" / "metafor" / "scale.json"
AT_OPTIMUM = 1e-5
"""nlminb's optimum in the logarithm of the variance."""
FORMULAS = {"REML": "yi ~ 1", "ML": "yi ~ 1", "REML_mods": "yi ~ grade"}


@cache
def reference():
    return json.loads(REFERENCE.read_text())


def data():
    return pd.DataFrame(reference()["data"])


def model(formula="yi ~ 1", scale="imag + ni100", **kwargs):
    term = Random("1 | id", scale=scale, **kwargs)
    return MetaMixedLM.from_formula(formula, data(), variance="vi", random=term)


def components(alpha):
    return np.append(np.exp(alpha[0]), alpha[1:])


@pytest.mark.parametrize("name", FORMULAS)
def test_metafors_models(name):
    want, reml = reference()[name], name != "ML"
    m = model(FORMULAS[name])
    at = m.loglike(components(want["alpha"]), reml=reml)
    assert at == pytest.approx(want["loglik"], rel=OBJECTIVE)
    res = m.fit(reml=reml)
    assert want["loglik"] - 1e-10 <= res.llf < want["loglik"] + 1e-8
    theta = res.vcomp["estimate"].to_numpy()
    np.testing.assert_allclose([np.log(theta[0]), *theta[1:]], want["alpha"], rtol=AT_OPTIMUM)
    np.testing.assert_allclose(res.params, want["beta"], rtol=AT_OPTIMUM)
    np.testing.assert_allclose(res.bse, want["se"], rtol=AT_OPTIMUM)
    added = res.fit_.marginal_diagonal - data()["vi"]
    np.testing.assert_allclose(added, want["tau2"], rtol=1e-4)
    assert list(res.vcomp["level"]) == ["", "imag", "ni100"]


@pytest.mark.parametrize("reml", [False, True])
def test_beside_an_effect_of_studies_it_is_glmmtmbs_dispersion(reml):
    """Without sampling errors; REML of glmmTMB leaves out the term of X'X."""
    want = reference()["beside_reml" if reml else "beside_ml"]
    frame = datasets.load("konstantopoulos2011").assign(decade=lambda d: (d["year"] - 1990) / 10)
    m = MetaMixedLM.from_formula(
        "yi ~ 1",
        frame,
        variance=0.0,
        groups="district",
        random=Random("1 | study", scale="decade"),
    )
    res = m.fit(reml=reml)
    constant = 0.5 * np.log(len(frame)) if reml else 0.0
    assert res.llf - constant == pytest.approx(want["loglik"], rel=1e-9)
    np.testing.assert_allclose(res.params, want["beta"], rtol=AT_OPTIMUM)
    sigma2 = res.vcomp["estimate"].iloc[0]
    assert sigma2 == pytest.approx(want["sigma2"], rel=AT_OPTIMUM)
    sd = np.sqrt(res.fit_.marginal_diagonal - sigma2)
    np.testing.assert_allclose(sd, want["sd"], rtol=AT_OPTIMUM)


def grouped():
    rng = np.random.default_rng(3)
    n = 60
    frame = pd.DataFrame({"s": np.arange(n) // 4, "id": np.arange(n), "x": rng.integers(0, 3, n)})
    u = rng.normal(size=15)[frame["s"]] * np.exp(0.4 * frame["x"] / 2) * 0.6
    return frame.assign(v=0.05, y=u + rng.normal(size=n) * 0.3)


def test_rows_of_a_group_carry_one_effect_in_their_own_size():
    """M written out: v + s h_i h_j within a group, + sigma2 of the rows."""
    frame = grouped()
    terms = [Random("1 | s", scale="x"), "1 | id"]
    m = MetaMixedLM.from_formula("y ~ 1", frame, variance="v", random=terms)
    s2, alpha, omega2 = theta = (0.3, 0.5, 0.04)
    h = np.exp(alpha * frame["x"].to_numpy() / 2)
    same = np.equal.outer(frame["s"].to_numpy(), frame["s"].to_numpy())
    dense = np.diag(0.05 + omega2 + np.zeros(60)) + s2 * np.outer(h, h) * same
    y, x = frame["y"].to_numpy(), np.ones((60, 1))
    w = np.linalg.inv(dense)
    xwx = x.T @ w @ x
    e = y - x @ np.linalg.solve(xwx, x.T @ w @ y)
    parts = [59 * np.log(2 * np.pi), -np.log(60), np.linalg.slogdet(dense)[1]]
    parts += [np.log(xwx[0, 0]), e @ w @ e]
    assert m.loglike(theta) == pytest.approx(-0.5 * sum(parts), rel=OBJECTIVE)
    res = m.fit()
    assert res.converged
    assert res.llf >= m.loglike(theta)


def test_flat_scale_is_the_plain_model():
    frame = grouped()
    plain = MetaMixedLM.from_formula("y ~ 1", frame, variance="v", groups="s/id").fit()
    terms = [Random("1 | s", scale="x", fixed={"scale": [0.0]}), "1 | id"]
    held = MetaMixedLM.from_formula("y ~ 1", frame, variance="v", random=terms).fit()
    assert held.llf == pytest.approx(plain.llf, rel=1e-12)
    assert held.k_vcomp == plain.k_vcomp
    terms = [Random("1 | s", scale="x"), "1 | id"]
    free = MetaMixedLM.from_formula("y ~ 1", frame, variance="v", random=terms).fit()
    assert free.compare_lr_test(held).df_diff == 1


def test_the_origin_of_a_covariate_moves_sigma2_alone():
    res = model().fit().vcomp["estimate"].to_numpy()
    moved = model(scale="I(imag + 1) + ni100").fit().vcomp["estimate"].to_numpy()
    np.testing.assert_allclose(moved[1:], res[1:], rtol=1e-6)
    np.testing.assert_allclose(moved[0], res[0] * np.exp(-res[1]), rtol=1e-6)


def test_new_rows_have_the_variance_of_their_covariates():
    res = model().fit()
    new = pd.DataFrame({"imag": [0.0, 1.0], "ni100": [0.5, 1.25]})
    table = res.get_prediction(new).summary_frame()
    s2, a, b = res.vcomp["estimate"]
    added = s2 * np.exp(a * new["imag"] + b * new["ni100"])
    z = 1.959963984540054
    half = z * np.sqrt(table["mean_se"] ** 2 + added)
    np.testing.assert_allclose(table["obs_ci_upper"] - table["mean"], half, rtol=1e-9)
    lacking = res.get_prediction(new[["imag"]]).summary_frame()
    assert lacking["obs_ci_upper"].isna().all()
    assert lacking["mean"].notna().all()


def test_profile_and_ranef():
    res = model().fit()
    table = res.vcomp_conf_int()
    estimate = res.vcomp["estimate"]
    assert (table["lower"] < estimate).all()
    assert (estimate < table["upper"]).all()
    point = res.profile("id (scale): scale[imag]").at(1.0)
    assert point.loglik < res.llf
    assert len(res.ranef()["id (scale)"]) == len(data())


def without_spread(n=30, seed=0):
    """Two kinds of estimates; those of kind 1 differ by less than their sampling errors."""
    rng = np.random.default_rng(seed)
    x = np.repeat([0.0, 1.0], n // 2)
    v = rng.uniform(0.05, 0.2, n)
    y = rng.normal(size=n) * np.sqrt(np.where(x == 1, 0.25 * v, v + 0.4))
    return pd.DataFrame({"y": y, "v": v, "x": x, "kind": x.astype(int), "id": np.arange(n)})


@pytest.mark.parametrize("reml", [True, False])
def test_a_slope_without_end_is_said_and_reaches_the_limit(reml):
    """The limit is the model in which the estimates of kind 1 have one true effect."""
    frame = without_spread()
    none = Random("kind | id", struct="DIAG", fixed={"tau2": [None, 0.0]})
    limit = MetaMixedLM.from_formula("y ~ 1", frame, variance="v", random=none).fit(reml=reml)
    m = MetaMixedLM.from_formula("y ~ 1", frame, variance="v", random=Random("1 | id", scale="x"))
    with pytest.warns(ConvergenceWarning, match="no finite maximum"):
        res = m.fit(reml=reml)
    assert res.status is Status.AT_INFINITY
    assert not res.converged
    assert res.llf == pytest.approx(limit.llf, rel=1e-9)
    np.testing.assert_allclose(res.params, limit.params, rtol=1e-6)
    sigma2, slope = res.vcomp["estimate"]
    assert sigma2 == pytest.approx(limit.vcomp["estimate"].iloc[0], rel=1e-5)
    assert slope < -20


def test_a_steep_slope_with_a_maximum_is_no_slope_without_end():
    frame = without_spread()
    frame.loc[20, "y"] = 1.5  # one estimate of kind 1 that needs some heterogeneity
    m = MetaMixedLM.from_formula("y ~ 1", frame, variance="v", random=Random("1 | id", scale="x"))
    assert m.fit().status is Status.INTERIOR


def dense_loglik(p, y, v, w, reml):
    """Of the intercept-only model with variances v + exp(p_0 + w'p), profiled over the mean."""
    m = v + np.exp(np.clip(p[0] + w @ p[1:], -300, 300))
    precision = (1 / m).sum()
    e = y - (y / m).sum() / precision
    out = -0.5 * (np.log(m).sum() + (e**2 / m).sum() + len(y) * np.log(2 * np.pi))
    return out - 0.5 * reml * (np.log(precision / len(y)) - np.log(2 * np.pi))


@pytest.mark.parametrize("seed", [4, 36, 60, 80, 90])
def test_the_highest_of_several_maxima_is_found(seed):
    """Against thirty random starts of another optimiser; a single start ends below in all five."""
    rng = np.random.default_rng([1, seed])
    n = int(rng.integers(8, 60))
    k = int(rng.integers(1, 4)) if n > 20 else 1
    w = rng.normal(size=(n, k))
    if rng.random() < 0.4:
        w[:, 0] = rng.random(n) < 0.4
    v = np.exp(rng.uniform(np.log(0.02), np.log(0.5), n))
    a, s = rng.normal(size=k) * rng.choice([0, 0.5, 2]), rng.choice([0, 0.02, 0.1, 1])
    y = rng.normal(size=n) * np.sqrt(v + s * np.exp(np.clip(w @ a, -20, 20)))
    names = [f"x{j}" for j in range(k)]
    frame = pd.DataFrame(w, columns=names).assign(y=y, v=v, id=np.arange(n))
    reml = bool(rng.random() < 0.7)
    term = Random("1 | id", scale=" + ".join(names))
    m = MetaMixedLM.from_formula("y ~ 1", frame, variance="v", random=term)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some have no finite maximum
        res = m.fit(reml=reml)
    assert dense_loglik(
        [np.log(max(res.vcomp["estimate"].iloc[0], 1e-300)), *res.vcomp["estimate"].iloc[1:]],
        *(y, v, w, reml),
    ) == pytest.approx(res.llf, rel=1e-8)
    heights = []
    for _ in range(30):
        start = [rng.normal() * 3 - 2, *rng.normal(size=k) * rng.choice([0.3, 1, 4])]
        found = optimize.minimize(
            lambda p: -dense_loglik(p, y, v, w, reml),
            start,
            method="L-BFGS-B",
            bounds=[(-40, 15)] + [(-40, 40)] * k,
        )
        heights.append(-found.fun)
    assert res.llf > max(heights) - 1e-6


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ("1", "needs an intercept and a covariate"),
        ("imag - 1", "needs an intercept and a covariate"),
        ("imag + I(2 * imag)", "its covariates depend on each other"),
        ("I(imag + 2000)", "far outside the data; centre it"),
    ],
)
def test_bad_scale_formulas(scale, message):
    with pytest.raises(SpecificationError, match=message):
        model(scale=scale)


def test_bad_scale_terms():
    with pytest.raises(DataError, match="'nowhere'"):
        model(scale="nowhere")
    for wrong in ({"struct": "CS"}, {"corr": pd.DataFrame([[1.0]])}):
        left = "imag" if "struct" in wrong else "1"
        with pytest.raises(SpecificationError, match="scale= is for random intercepts"):
            Random(f"{left} | id", scale="x", **wrong)
    with pytest.raises(SpecificationError, match="is a formula such as"):
        Random("1 | id", scale=3)


@pytest.fixture
def in_factors(monkeypatch):
    """G of few rows by its factors, as that of many."""
    monkeypatch.setattr(log_linear, "DENSE_UP_TO", 0)


def fitted(frame):
    terms = [Random("1 | s", scale="x"), Random("1 | id", scale="x")]
    return MetaMixedLM.from_formula("y ~ 1", frame, variance="v", random=terms).fit()


def everything(res):
    """Numbers that G has a part in, some of them by its derivatives."""
    new = pd.DataFrame({"x": [0.0, 0.5]})
    known = pd.DataFrame({"s": [2, 2], "id": [None, None], "x": [0.0, 0.5]})
    satterthwaite = res.model.fit(df="satterthwaite")
    return {
        "llf": [res.llf],
        "components": res.vcomp["estimate"],
        "information": res.model.information(res.vcomp["estimate"].to_numpy()),
        "variance": res.fit_.marginal_diagonal,
        "heterogeneity": res.heterogeneity().to_numpy(dtype=float),
        "profile": res.profile(1).at(0.2).loglik,
        "blup": res.blup(),
        "ranef": pd.concat(res.ranef()),
        "new": res.get_prediction(new).summary_frame(),
        "given": res.get_prediction(known, given="s (scale)").summary_frame(),
        "simulated": res.simulate(3, seed=1),
        "df": satterthwaite.df_inference,
        "without": res.leave_one_out("s", reestimate=False).params,
        "measures": res.bootstrap(3, "heterogeneity", seed=1).observed,
    }


@pytest.mark.filterwarnings("ignore")
def test_factors_of_g_say_the_same_as_all_of_it(monkeypatch):
    dense = everything(fitted(grouped()))
    monkeypatch.setattr(log_linear, "DENSE_UP_TO", 0)
    for name, value in everything(fitted(grouped())).items():
        np.testing.assert_allclose(
            np.asarray(value, float),
            np.asarray(dense[name], float),
            rtol=1e-6,
            atol=1e-9,
            err_msg=name,
        )


@pytest.mark.usefixtures("in_factors")
@pytest.mark.parametrize("name", FORMULAS)
def test_factors_of_g_are_metafors_models(name):
    want, reml = reference()[name], name != "ML"
    res = model(FORMULAS[name]).fit(reml=reml)
    assert res.llf == pytest.approx(want["loglik"], rel=1e-8)
    np.testing.assert_allclose(res.params, want["beta"], rtol=AT_OPTIMUM)


def test_standard_errors_of_effects_are_those_of_their_joint_covariance():
    res = fitted(grouped())
    joint = res.ranef_cov()
    for name, table in res.ranef(diagnostic=True).items():
        at = [(name, str(outer), str(inner)) for outer, inner in table.index]
        assert set(at) <= set(joint.index)
        np.testing.assert_allclose(
            table["se"] ** 2, np.diag(joint.loc[at, at]), rtol=1e-8, atol=1e-12
        )


def many(n):
    rng = np.random.default_rng(5)
    x, v = rng.normal(size=n), rng.uniform(0.02, 0.2, n)
    y = rng.normal(size=n) * np.sqrt(v + 0.1 * np.exp(0.6 * x))
    return pd.DataFrame({"y": y, "v": v, "x": x, "id": np.arange(n)})


def test_as_many_values_of_a_covariate_as_rows():
    frame = many(2500)
    term = Random("1 | id", scale="x")
    res = MetaMixedLM.from_formula("y ~ 1", frame, variance="v", random=term).fit()
    assert res.status is Status.INTERIOR
    sigma2, slope = res.vcomp["estimate"]
    columns = frame["y"].to_numpy(), frame["v"].to_numpy(), frame[["x"]].to_numpy()
    at = [np.log(sigma2), slope]
    assert dense_loglik(at, *columns, True) == pytest.approx(res.llf, rel=1e-10)
    best = optimize.minimize(lambda p: -dense_loglik(p, *columns, True), at, tol=1e-12)
    np.testing.assert_allclose(at, best.x, rtol=1e-5)
    with pytest.raises(SpecificationError, match=r"2,500 levels .* too large.*blup\(\)"):
        res.ranef()
    assert len(res.blup()) == 2500


def writing_to_learn():
    rows = datasets.load("bangertdrowns2004").dropna(subset=["wic", "length"])
    rows["row"] = range(len(rows))
    term = Random("1 | row", scale="wic + length")
    return MetaMixedLM.from_formula("yi ~ length", rows, variance="vi", random=term).fit()


@pytest.mark.parametrize(
    ("component", "held", "lost", "lower", "upper"),
    [
        ("row (scale): sigma2", "log_sigma2", "lost", (0.0, 0.0), (0.2, 0.21)),
        ("row (scale): scale[wic]", "wic", "lost_wic", (-1.6, -1.5), (np.inf, np.inf)),
        ("row (scale): scale[length]", "length", "lost_length", (-0.17, -0.16), (0.19, 0.2)),
    ],
)
def test_profiles_where_a_variance_and_a_slope_make_up_for_each_other(
    component, held, lost, lower, upper
):
    want, profile = reference()["profiles"], writing_to_learn().profile(component)
    values = np.exp(want[held]) if held == "log_sigma2" else want[held]
    top = profile.at(profile.estimate).loglik
    found = [2 * (top - profile.at(value).loglik) for value in values]
    np.testing.assert_allclose(found, want[lost], rtol=1e-5)
    interval = profile.interval()
    assert lower[0] <= interval.lower <= lower[1]
    assert upper[0] <= interval.upper <= upper[1]
    assert interval.lower_at_edge == (interval.lower == 0)
    assert interval.upper_at_edge == np.isinf(interval.upper)


def test_a_profile_that_cannot_be_followed_leaves_the_others_their_limits(monkeypatch):
    res = MetaMixedLM.from_formula(
        "yi ~ 1", data(), variance="vi", random=Random("1 | id", scale="grade > 2")
    ).fit()
    want, follow = res.vcomp_conf_int(), ComponentProfile.interval

    def interval(profile, alpha=0.05):
        if profile.name.endswith("sigma2"):
            raise ConvergenceError("the profile cannot be followed")
        return follow(profile, alpha)

    monkeypatch.setattr(ComponentProfile, "interval", interval)
    with pytest.warns(MvmetaWarning, match=r"cannot be followed. The limits of this component"):
        found = res.vcomp_conf_int()
    assert found.loc[0, ["lower", "upper"]].isna().all()
    pd.testing.assert_frame_equal(found.iloc[1:], want.iloc[1:])


def test_a_random_intercept_is_the_model_whose_slopes_are_0():
    full = model().fit()
    plain = MetaMixedLM.from_formula("yi ~ 1", data(), variance="vi", groups="id").fit()
    test = full.compare_lr_test(plain)
    pinned = full.compare_lr_test(model(fixed={"scale": [0, 0]}).fit())
    assert test.df_diff == pinned.df_diff == 2
    assert test.statistic == pytest.approx(pinned.statistic, rel=1e-6)
    assert test.pvalue_boundary == pytest.approx(pinned.pvalue_boundary, rel=1e-6)
    assert test.reference == pinned.reference == "chi2(2)"


def test_slopes_of_a_variance_of_0_have_no_known_distribution():
    rows = pd.DataFrame({"yi": [0.1, 0.2, 0.15, 0.1, 0.12, 0.18], "x": [0, 0, 0, 0, 1, 1.0]})
    rows = rows.assign(vi=0.5, id=range(6))
    plain = MetaMixedLM.from_formula("yi ~ 1", rows, variance="vi", groups="id").fit()
    assert plain.vcomp["estimate"].tolist() == [0.0]
    term = Random("1 | id", scale="x")
    with pytest.warns(MvmetaWarning, match="not identified"):
        full = MetaMixedLM.from_formula("yi ~ 1", rows, variance="vi", random=term).fit()
    test = full.compare_lr_test(plain)
    assert np.isnan(test.pvalue_boundary)
    assert "sigma2 of 'id' is itself on the edge" in test.reference
