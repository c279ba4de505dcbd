"""What must not matter: order, names, units, coordinates of X; and models that are the same."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from mvmeta import MetaMixedLM, Random
from tests.tolerances import OBJECTIVE, OPTIMUM


def frame(seed=0, n_studies=14):
    """Studies with two outcomes, some missing, a species and a moderator."""
    rng = np.random.default_rng([21, seed])
    study, outcome = np.divmod(np.arange(2 * n_studies), 2)
    keep = np.sort(rng.permutation(2 * n_studies)[: 2 * n_studies - 4])
    study, outcome = study[keep], outcome[keep]
    n = len(keep)
    u = rng.normal(size=(n_studies, 2)) @ np.array([[0.8, 0.4], [0.0, 0.6]])
    v = rng.uniform(0.05, 0.4, n)
    x = rng.normal(size=n)
    y = 0.5 + 0.3 * x + u[study, outcome] + np.sqrt(v) * rng.normal(size=n)
    return pd.DataFrame(
        {
            "y": y,
            "v": v,
            "x": x,
            "study": [f"s{k:02d}" for k in study],
            "lab": [f"lab {k // 4}" for k in study],
            "id": np.arange(n),
            "outcome": np.array(["a", "b"])[outcome],
            "species": np.array(["fox", "owl", "elk"])[rng.integers(0, 3, n)],
        }
    )


MODELS = {
    "nested": {"groups": "study/id"},
    "three levels": {"groups": ["lab", "study", "id"]},
    "crossed": {"groups": "study/id", "random": "1 | species"},
    "UN": {"random": Random("outcome | study", struct="UN")},
    "CS": {"random": Random("outcome | study", struct="CS")},
    "HCS + species": {
        "groups": "species",
        "random": Random("outcome | study", struct="HCS"),
    },
    "DIAG": {"random": Random("outcome | study", struct="DIAG")},
    "slopes": {"random": Random("1 + x | study", struct="GDIAG")},
}
each_model = pytest.mark.parametrize("model", MODELS)
each_criterion = pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])


def variance(data, correlated=True):
    """Sampling errors of one study correlate by 0.3; or the column of variances."""
    if not correlated:
        return data["v"].to_numpy()
    same = data["study"].to_numpy()[:, None] == data["study"].to_numpy()
    s = np.sqrt(data["v"].to_numpy())
    return np.where(same, 0.3, 0.0) * np.outer(s, s) + np.diag(0.7 * s**2)


def fit(data, model, *, reml=True, formula="y ~ x", v=None, **changes):
    keywords = MODELS[model] if isinstance(model, str) else model
    v = variance(data) if v is None else v
    return MetaMixedLM.from_formula(formula, data, variance=v, **keywords, **changes).fit(reml=reml)


def components(results):
    return results.vcomp["estimate"].to_numpy()


def assert_same_fit(one, other):
    assert other.llf == pytest.approx(one.llf, rel=1e-9, abs=1e-9)
    scale = np.abs(components(one)).max(initial=0.1)
    assert_allclose(components(other), components(one), rtol=OPTIMUM, atol=OPTIMUM * scale)
    assert_allclose(other.params, one.params, rtol=OPTIMUM, atol=OPTIMUM)
    assert_allclose(other.bse, one.bse, rtol=OPTIMUM)


# --- order and names -----------------------------------------------------------------------


@each_model
@each_criterion
def test_order_of_rows(model, reml):
    data = frame()
    order = np.random.default_rng(1).permutation(len(data))
    shuffled = data.iloc[order].reset_index(drop=True)
    assert_same_fit(fit(data, model, reml=reml), fit(shuffled, model, reml=reml))


@each_model
def test_names_of_groups(model):
    data = frame()
    rng = np.random.default_rng(2)
    renamed = data.copy()
    for column in ("study", "lab", "species", "id"):
        old = data[column].unique()
        new = {level: f"g{k}" for level, k in zip(old, rng.permutation(len(old)), strict=True)}
        renamed[column] = data[column].map(new)
    # sharing of studies by V follows the names, so V is built once
    assert_same_fit(fit(data, model), fit(renamed, model, v=variance(data)))


def test_order_of_terms():
    data = frame()
    names = ["lab", "study", "id"]
    one = fit(data, {"random": [f"1 | {g}" for g in names]})
    for order in ([2, 0, 1], [1, 2, 0], [2, 1, 0]):
        other = fit(data, {"random": [f"1 | {names[k]}" for k in order]})
        assert other.llf == pytest.approx(one.llf, rel=1e-9)
        assert_allclose(components(other), components(one)[order], rtol=OPTIMUM, atol=1e-7)


def test_order_of_inner_levels():
    """UN over (a, b) or over (b, a): variances change places, the correlation stays."""
    data = frame()
    swapped = data.assign(outcome=data["outcome"].map({"a": "2nd", "b": "1st"}))
    one, other = fit(data, "UN"), fit(swapped, "UN")
    assert other.llf == pytest.approx(one.llf, rel=1e-9)
    assert_allclose(components(other), components(one)[[1, 0, 2]], rtol=OPTIMUM)


# --- units and coordinates -----------------------------------------------------------------


@each_model
@each_criterion
def test_adding_a_multiple_of_x(model, reml):
    data = frame()
    moved = data.assign(y=data["y"] + 5.0 - 2.0 * data["x"])
    one, other = fit(data, model, reml=reml), fit(moved, model, reml=reml)
    assert other.llf == pytest.approx(one.llf, rel=1e-9)
    assert_allclose(components(other), components(one), rtol=OPTIMUM, atol=1e-7)
    assert_allclose(other.params - one.params, [5.0, -2.0], rtol=1e-6)


@each_model
@pytest.mark.parametrize("c", [1e-6, 1e-3, -1.0, 1e3, 1e6])
def test_unit_of_y(model, c):
    data = frame()
    one = fit(data, model)
    other = fit(data.assign(y=c * data["y"]), model, v=c**2 * variance(data))
    is_variance = one.vcomp["component"].isin(["sigma2", "tau2"]).to_numpy()
    factor = np.where(is_variance, c**2, 1.0)
    scale = np.where(is_variance, components(one).max(), 1.0) * OPTIMUM
    assert_allclose(components(other) / factor, components(one), rtol=OPTIMUM, atol=scale.max())
    assert_allclose(other.params / c, one.params, rtol=OPTIMUM, atol=1e-7)
    assert_allclose(other.bse / abs(c), one.bse, rtol=OPTIMUM)
    # REML integrates over p fixed effects in the unit of y: n - p densities are rescaled
    n, p = one.nobs, len(one.params)
    assert other.llf == pytest.approx(one.llf - (n - p) * np.log(abs(c)), rel=1e-8, abs=1e-8)
    assert other.status is one.status


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.floats(-1e3, 1e3), st.floats(-5, 5), st.booleans())
def test_coordinates_of_x(shift, log_scale, reml):
    """X -> XA: another origin and unit of the moderator."""
    data = frame()
    one = fit(data, "UN", reml=reml)
    moved = data.assign(x=np.exp(log_scale) * data["x"] + shift)
    other = fit(moved, "UN", reml=reml)
    assert other.llf == pytest.approx(one.llf, rel=1e-8)
    assert_allclose(components(other), components(one), rtol=1e-5)
    assert_allclose(other.fittedvalues, one.fittedvalues, rtol=OPTIMUM, atol=OPTIMUM)


@each_criterion
def test_parametrisation_of_a_factor(reml):
    data = frame()
    one = fit(data, "nested", formula="y ~ C(outcome)", reml=reml)
    other = fit(data, "nested", formula="y ~ C(outcome) - 1", reml=reml)
    assert other.llf == pytest.approx(one.llf, rel=1e-9)
    assert_allclose(components(other), components(one), rtol=OPTIMUM)
    assert_allclose(other.params.to_numpy(), np.cumsum(one.params), rtol=OPTIMUM)


@each_model
def test_two_independent_copies_double_the_ml_log_likelihood(model):
    """The species are shared by nothing but their copy, like everything else."""
    data = frame()
    copy = data.copy()
    for column in ("study", "lab", "species", "id"):
        copy[column] = data[column].astype(str) + " again"
    both = pd.concat([data.assign(id=data["id"].astype(str)), copy], ignore_index=True)
    one, two = fit(data, model, reml=False), fit(both, model, reml=False)
    assert two.llf == pytest.approx(2 * one.llf, rel=1e-9)
    assert_allclose(components(two), components(one), rtol=OPTIMUM, atol=1e-7)
    assert_allclose(two.params, one.params, rtol=OPTIMUM, atol=1e-8)
    assert_allclose(two.bse, one.bse / np.sqrt(2), rtol=OPTIMUM)


# --- models that are the same --------------------------------------------------------------


def test_nesting_is_two_terms():
    data = frame()
    data["pair"] = data["study"] + "/" + data["outcome"]
    nested = fit(data, {"groups": "study/outcome"})
    for same in (
        {"random": ["1 | study", "1 | pair"]},
        {"groups": ["study", "outcome"]},
        {"random": "1 | study/outcome"},
        {"groups": "study", "random": "1 | study:outcome"},
    ):
        assert_same_fit(nested, fit(data, same))


def test_id_of_one_level_is_a_random_intercept():
    data = frame().assign(one="all")
    intercept = fit(data, {"random": "1 | study"})
    for struct in ("ID", "UN", "DIAG"):
        other = fit(data, {"random": Random("one | study", struct=struct)})
        assert other.llf == pytest.approx(intercept.llf, rel=1e-9)
        assert components(other)[0] == pytest.approx(components(intercept)[0], rel=OPTIMUM)


def test_cs_is_an_intercept_and_a_residual():
    """CS with rho >= 0: sigma2 between is rho tau2, within (1 - rho) tau2."""
    data = frame()
    two = fit(data, {"groups": "study/outcome"})
    between, within = components(two)
    tau2, rho = components(fit(data, "CS"))
    assert rho > 0
    assert_allclose([between, within], [rho * tau2, (1 - rho) * tau2], rtol=OPTIMUM)


@pytest.mark.parametrize("theta", [(0.4, -0.5), (0.7, 0.0), (0.3, 0.9)])
@each_criterion
def test_cs_of_two_levels_is_un_with_equal_variances(theta, reml):
    data = frame()
    tau2, rho = theta
    likelihood = {
        struct: MetaMixedLM.from_formula(
            "y ~ x",
            data,
            variance=variance(data),
            random=Random("outcome | study", struct=struct),
        ).loglike(point, reml=reml)
        for struct, point in (
            ("CS", [tau2, rho]),
            ("HCS", [tau2, tau2, rho]),
            ("UN", [tau2, tau2, rho]),
            ("AR", [tau2, rho]),
        )
    }
    for value in likelihood.values():
        assert value == pytest.approx(likelihood["CS"], rel=OBJECTIVE)


@each_criterion
def test_no_heterogeneity_is_weighted_least_squares(reml):
    data = frame()
    v, x = data["v"].to_numpy(), np.column_stack([np.ones(len(data)), data["x"]])
    pinned = {"random": Random("1 | study", fixed={"sigma2": 0})}
    for same in ({}, pinned):
        results = fit(data, same, v=v, reml=reml)
        cov = np.linalg.inv(x.T @ (x / v[:, None]))
        beta = cov @ (x.T @ (data["y"] / v))
        assert_allclose(results.params, beta, rtol=1e-10)
        assert_allclose(results.bse, np.sqrt(np.diag(cov)), rtol=1e-10)
        r = data["y"].to_numpy() - x @ beta
        value = -0.5 * (np.log(2 * np.pi * v).sum() + (r**2 / v).sum())
        if reml:
            value += 0.5 * (2 * np.log(2 * np.pi) + np.linalg.slogdet(cov)[1])
            value += 0.5 * np.linalg.slogdet(x.T @ x)[1]
        assert results.llf == pytest.approx(value, rel=OBJECTIVE)


def test_forms_of_v():
    data = frame()
    v = data["v"].to_numpy()
    one = fit(data, "nested", v="v")
    for same in (v, np.diag(v), list(v[:, None, None])):
        assert_same_fit(one, fit(data, "nested", v=same))


@pytest.mark.parametrize("backend", ["blocks", "woodbury", "dense", "nested"])
def test_backends(backend):
    data = frame()
    v = variance(data, correlated=False)
    one = fit(data, "three levels", v=v)
    assert_same_fit(one, fit(data, "three levels", v=v, backend=backend))


def test_arrays_and_formula():
    data = frame()
    x = np.column_stack([np.ones(len(data)), data["x"]])
    v = variance(data)
    model = MetaMixedLM(data["y"].to_numpy(), x, v, groups=data[["study", "id"]].to_numpy())
    assert_same_fit(fit(data, "nested"), model.fit())
