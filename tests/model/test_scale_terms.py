"""Location-scale models against metafor's (tests/reference/generate/scale.R) and dense formulas."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mvmeta import DataError, MetaMixedLM, Random, SpecificationError
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
    many = pd.DataFrame({"y": np.arange(1200.0) % 7, "id": range(1200), "x": np.arange(1200.0)})
    with pytest.raises(SpecificationError, match="1200 distinct values, more than 1000"):
        MetaMixedLM.from_formula("y ~ 1", many, variance=0.1, random=Random("1 | id", scale="x"))
