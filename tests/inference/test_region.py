"""Likelihood intervals of functions of the components, against slower ways to the same limits."""

import numpy as np
import pandas as pd
import pytest
from dense_double import case_fit
from scipy import optimize, stats

from benchmarks.simulations import relative_coverage
from benchmarks.simulations.few_studies import normal, sampling_variances
from mvmeta import MetaMixedLM, Random, datasets
from mvmeta.inference.components.region import LikelihoodRegion
from mvmeta.inference.heterogeneity.q_and_i2 import heterogeneity, typical_sampling_variance
from mvmeta.inference.heterogeneity.variances import AddedVariances
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.select import build_backend
from tests.tolerances import DERIVATIVE, OPTIMUM

QUANTITIES = ("variance", "i2", "share")
CASES = ["b03_assink_3level_mods_t", "c01_berkey_un_reml", "g01_obrien_gen", "h01_assink_cs_diag"]


def schools(**kwargs):
    return MetaMixedLM.from_formula(
        "yi ~ 1",
        datasets.load("konstantopoulos2011"),
        variance="vi",
        groups="district/school",
        **kwargs,
    ).fit()


@pytest.mark.parametrize("name", CASES)
def test_variances_are_means_of_the_diagonal(name):
    fit = case_fit(name)
    values = AddedVariances(fit.problem, 1.0).at(fit.problem.to_working(fit.theta))[0]
    np.testing.assert_allclose(values, heterogeneity(fit).variance, rtol=1e-9)


@pytest.mark.parametrize("kind", QUANTITIES)
@pytest.mark.parametrize("name", CASES)
def test_derivatives(name, kind):
    fit = case_fit(name)
    x = fit.problem.to_working(fit.theta) + 0.01
    for term in (None, 0):
        function = AddedVariances(fit.problem, 0.1).quantity(kind, term)
        for order in (1, 2):
            slope = optimize.approx_fprime(x, lambda w, f=function, k=order: f(w)[k - 1], 1e-7)
            np.testing.assert_allclose(
                function(x)[order],
                slope,
                rtol=DERIVATIVE * 10,
                atol=1e-5 * (np.abs(slope).max() + 1),
            )


def test_limits_of_one_component_are_those_of_its_profile():
    res = schools()
    table, profile = res.heterogeneity(), res.vcomp_conf_int()
    for end in ("lower", "upper"):
        np.testing.assert_allclose(table[f"variance_{end}"][:2], profile[end], rtol=OPTIMUM * 10)


def test_a_limit_at_zero():
    frame = pd.DataFrame({"y": [0.1, 0.3, -0.2, 0.25, 0.0, 0.1], "s": [1, 1, 2, 2, 3, 3]})
    res = MetaMixedLM.from_formula("y ~ 1", frame, variance=0.05, groups="s").fit()
    assert res.vcomp["estimate"].iloc[0] == 0
    table, profile = res.heterogeneity(), res.vcomp_conf_int()
    assert table.loc["s", ["variance", "variance_lower", "i2", "i2_lower"]].tolist() == [0.0] * 4
    assert table.loc["s", "variance_upper"] == pytest.approx(profile["upper"].iloc[0], rel=1e-5)
    assert np.isnan(table.loc["s", "share"])  # no heterogeneity to share
    assert table.loc["s", "cvh"] == table.loc["s", "m1"] == 0


def test_limits_are_extremes_over_the_contour():
    """Two variances: go round the contour of the likelihood by rays from the maximum."""
    res = schools()
    objective = Objective(build_backend(res.fit_.problem), reml=True)
    centre, floor = res.fit_.theta, res.llf - stats.chi2.isf(0.05, 1) / 2
    functions = AddedVariances(res.fit_.problem, heterogeneity(res.fit_).typical)
    values = []
    for angle in np.linspace(0, 2 * np.pi, 721):
        ray = np.array([np.cos(angle), np.sin(angle)]) * centre
        most = min([9.0, *(-c / r for c, r in zip(centre, ray, strict=True) if r < 0)])

        def above(t, ray=ray):
            return objective.natural(np.maximum(centre + t * ray, 0)).loglik - floor

        t = optimize.brentq(above, 0, most) if above(most) < 0 else most
        at = centre + t * ray
        values.append([functions.quantity(k, i)(at)[0] for k in QUANTITIES for i in (0, 1, None)])
    table = res.heterogeneity()
    names = [(k, t) for k in QUANTITIES for t in ("district", "district/school", "total")]
    for column, (kind, term) in zip(np.transpose(values), names, strict=True):
        got = table.loc[term, [f"{kind}_lower", f"{kind}_upper"]].to_numpy(float)
        # a scan in steps of half a degree stays inside by this much
        np.testing.assert_allclose(got, [column.min(), column.max()], rtol=5e-4)
        assert got[0] <= column.min() + 1e-9
        assert got[1] >= column.max() - 1e-9


def test_correlated_errors_and_several_outcomes():
    """Total variance of a UN term: the largest value that a penalised search finds."""
    berkey = datasets.load("berkey1998")
    v = [g[["v1i", "v2i"]].to_numpy() for _, g in berkey.groupby("trial", sort=False)]
    res = MetaMixedLM.from_formula(
        "yi ~ outcome - 1", berkey, variance=v, random=Random("outcome | trial", "UN")
    ).fit()
    region = LikelihoodRegion(res.fit_, res.model.backend)
    total = AddedVariances(res.fit_.problem, 1.0).quantity("variance", None)
    limits = region.limits(total)
    objective = Objective(res.model.backend, reml=True)
    floor = res.llf - stats.chi2.isf(0.05, 1) / 2
    for sign, limit in ((1, limits.lower), (-1, limits.upper)):

        def aim(x, sign=sign):
            short = min(objective.working(x).loglik - floor, 0.0)
            return sign * total(x)[0] + 1e3 * short**2

        start = res.fit_.problem.to_working(res.fit_.theta)
        options = {"xatol": 1e-10, "fatol": 1e-12, "maxiter": 4000, "maxfev": 4000}
        found = optimize.minimize(aim, start, method="Nelder-Mead", options=options)
        assert total(found.x)[0] == pytest.approx(limit, rel=2e-2)
        assert sign * limit <= sign * total(found.x)[0] + 2e-4


def test_a_limit_at_zero_is_zero():
    """Not a negative variance, which the search for it ends at by rounding."""
    rng = np.random.default_rng(6)
    lower = []
    for _ in range(12):
        y = 0.2 + rng.normal(0, 0.25, 8)
        res = MetaMixedLM(y, np.ones((8, 1)), 0.05, groups=np.arange(8)).fit()
        lower.append(float(res.heterogeneity().loc["total", "variance_lower"]))
    assert min(lower) == 0.0


def test_a_search_that_leaves_the_region_comes_back():
    """From a variance of 0 its first step went so far that the likelihood was level there."""
    rng = np.random.default_rng([relative_coverage.SEED, 8, 0, 1, 254])
    v = sampling_variances(rng, 8)
    y = 0.8 + normal(rng, 8, np.sqrt(0.02 + v))
    res = MetaMixedLM(y, np.ones((8, 1)), v, groups=np.arange(8)).fit()
    upper = res.vcomp_conf_int().loc[0, "upper"]
    total = res.heterogeneity().loc["total"]
    assert total["variance"] == 0
    assert total["variance_upper"] == pytest.approx(upper, rel=1e-6)
    typical = typical_sampling_variance(res.fit_)
    assert total["i2_upper"] == pytest.approx(upper / (upper + typical), rel=1e-6)


def test_no_components():
    res = MetaMixedLM.from_formula(
        "yi ~ 1", datasets.load("konstantopoulos2011"), variance="vi"
    ).fit()
    table = res.heterogeneity()
    assert table.index.tolist() == ["total"]
    assert table.loc["total", "variance"] == 0
    assert np.isnan(res.r2()).all()


def test_tied_terms_move_together():
    frame = datasets.load("konstantopoulos2011")
    frame["wave"] = frame["year"]
    res = MetaMixedLM.from_formula(
        "yi ~ 1",
        frame,
        variance="vi",
        random=["1 | district", "1 | wave"],
        equal=["district", "wave"],
    ).fit()
    table, profile = res.heterogeneity(), res.vcomp_conf_int()
    np.testing.assert_allclose(table["variance_upper"][:2], profile["upper"], rtol=1e-5)
    np.testing.assert_allclose(table["share_lower"][:2], 0.5)


def test_relative_to_the_mean_and_r2():
    frame = datasets.load("konstantopoulos2011")
    res = MetaMixedLM.from_formula(
        "yi ~ year", frame, variance="vi", groups="district/school"
    ).fit()
    table = res.heterogeneity(alpha=None)
    sigma2, fitted = res.vcomp["estimate"].to_numpy(), res.fittedvalues.to_numpy()
    mean = abs(fitted.mean())
    sd = np.sqrt([*sigma2, sigma2.sum()])
    np.testing.assert_allclose(table["cvh"], sd / mean)
    np.testing.assert_allclose(table["m1"], sd / (mean + sd))
    np.testing.assert_allclose(table["m2"], sd**2 / (mean**2 + sd**2))
    np.testing.assert_allclose(table["share"], [*sigma2 / sigma2.sum(), 1.0])
    fixed = fitted.var(ddof=1)
    whole = fixed + sigma2.sum()
    np.testing.assert_allclose(res.r2(), [fixed / whole, (fixed + sigma2[0]) / whole])


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize(
    ("name", "groups", "rows"),
    [("hart1999", "trial", 6), ("bcg", "trial", 2), ("assink2016", "study/esid", 9)],
)
def test_limits_do_not_depend_on_the_unit_of_the_effects(name, groups, rows, unit):
    """Variances at 0, or with limits at 0, in millimetres as in metres."""
    frame = datasets.load(name).head(rows)

    def fit(unit):
        data = frame.assign(yi=frame["yi"] * unit, vi=frame["vi"] * unit**2)
        return MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=groups).fit()

    res, want = fit(unit), fit(1.0).vcomp_conf_int()["upper"]
    np.testing.assert_allclose(res.vcomp_conf_int()["upper"] / unit**2, want, rtol=1e-5)
    table = res.heterogeneity()
    np.testing.assert_allclose(table["variance_upper"][:-1] / unit**2, want, rtol=1e-5)
    assert (table["i2_upper"] < 1.0).all()
    if len(want) == 1:
        weights = 1.0 / frame["vi"]
        typical = (rows - 1) * weights.sum() / (weights.sum() ** 2 - (weights**2).sum())
        upper = want[0] / (want[0] + typical)
        np.testing.assert_allclose(table.loc["total", "i2_upper"], upper, rtol=1e-5)
