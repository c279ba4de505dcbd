"""Profile limits by Newton's method against the profile followed value by value, and its edges."""

import warnings

import numpy as np
import pytest
from scipy import optimize, stats

from mvmeta import ConvergenceError, MetaMixedLM, MvmetaWarning, Random, datasets
from mvmeta.inference.components.limits import ComponentLimits
from mvmeta.inference.components.profile import Profile
from mvmeta.inference.components.scales import OpenScale
from mvmeta.likelihood.objective import Objective
from tests.reference.loader import fitted_case

DROP = float(stats.chi2.isf(0.05, 1)) / 2
SAME = 1e-6
CASES = {
    "b01_konst_3level_reml": 4,  # number of limits that Newton's method has to find
    "b02_konst_3level_ml_year": 4,
    "c05_bcg_bivariate_un": 6,
    "d01_ishak_har": 10,
    "d02_ishak_car": 4,
    "e01_lim_adj_phylo": 6,
    "f01_maire_s1_spexp": 3,
    "g01_obrien_gen": 6,
    "i01_konst_fixed_sigma2": 2,
    "i02_bcg_weights": 2,
    "j003_crossed_num": 6,
}


class Walked(ComponentLimits):
    """The slow and obvious way: a maximisation at every value that is tried."""

    def limit(self, component, sign, drop):
        return None


def limits_of(res, kind=ComponentLimits):
    return kind(res.fit_, Objective(res.model.backend, res.fit_.reml))


def compare_with_the_walk(res):
    """How many limits Newton's method found; each is that of the walk."""
    quick, walked = limits_of(res), limits_of(res, Walked)
    found = 0
    for i in np.flatnonzero(res.fit_.problem.estimated).tolist():
        want = Profile(res.fit_, res.model.backend, i, limits=walked).interval()
        edges = (want.lower_at_edge, want.upper_at_edge)
        for sign, limit, edge in zip((-1.0, 1.0), (want.lower, want.upper), edges, strict=True):
            got = quick.limit(i, sign, DROP)
            if got is not None:
                assert not edge
                assert got == pytest.approx(limit, rel=SAME, abs=SAME * abs(res.fit_.theta[i]))
                found += 1
    return found


@pytest.mark.parametrize("name", CASES)
def test_limits_are_those_of_the_walk(name):
    assert compare_with_the_walk(fitted_case(name)) == CASES[name]


def several_outcomes(n_studies, seed=3):
    """Two or three of three outcomes in each study, UN, correlated sampling errors."""
    rng = np.random.default_rng(seed)
    seen = rng.random((n_studies, 3)) < 0.8
    seen[seen.sum(1) < 2] = [True, True, False]
    study, outcome = np.nonzero(seen)
    g = np.array([[0.1, 0.06, 0.04], [0.06, 0.15, 0.05], [0.04, 0.05, 0.08]])
    within = 0.3 * np.ones((3, 3)) + 0.7 * np.eye(3)
    y = rng.multivariate_normal(np.zeros(3), g, n_studies)
    y += rng.multivariate_normal(np.zeros(3), 0.05 * within, n_studies)
    v = [0.05 * within[np.ix_(s, s)] for s in seen]
    data = {"study": study, "outcome": np.array(["a", "b", "c"])[outcome], "y": y[seen]}

    def fit(**fixed):
        term = Random("outcome | study", "UN", **fixed)
        return MetaMixedLM.from_formula("y ~ outcome - 1", data, variance=v, random=term).fit()

    return fit


@pytest.mark.parametrize("n_studies", [80, 1200])
def test_correlations_of_three_outcomes(n_studies):
    """Below 2,000 rows the information is exact, above it is the expected one."""
    res = several_outcomes(n_studies)()
    assert compare_with_the_walk(res) == 12


def test_the_deviance_at_a_limit_is_the_quantile():
    """Pinned at its limit and fitted again from scratch, by the public names."""
    fit = several_outcomes(80)
    res = fit()
    table = res.vcomp_conf_int()
    for i in range(6):
        for limit in (table["lower"][i], table["upper"][i]):
            values = [None] * 6
            values[i] = limit
            again = fit(fixed={"tau2": values[:3], "rho": values[3:]})
            assert res.llf - again.llf == pytest.approx(DROP, abs=1e-5)


def test_a_limit_takes_few_evaluations():
    res = several_outcomes(80)()
    limits = limits_of(res)
    for i in range(6):
        for sign in (-1.0, 1.0):
            limits.limit(i, sign, DROP)
    assert limits.objective.n_evaluations <= 12 * 4


def test_ties_move_together():
    frame = datasets.load("konstantopoulos2011")
    frame["wave"] = frame["year"]
    res = MetaMixedLM.from_formula(
        "yi ~ 1",
        frame,
        variance="vi",
        random=["1 | district", "1 | wave"],
        equal=["district", "wave"],
    ).fit()
    assert compare_with_the_walk(res) == 2
    table = res.vcomp_conf_int()
    assert table.iloc[0].tolist() == table.iloc[1].tolist()


def test_user_weights_change_no_interval():
    """Components maximise the likelihood under GLS, whatever weighs the effects."""
    frame = datasets.load("konstantopoulos2011")
    model = {"formula": "yi ~ 1", "data": frame, "variance": "vi", "groups": "district/school"}
    plain = MetaMixedLM.from_formula(**model).fit()
    weighted = MetaMixedLM.from_formula(**model, weights=np.arange(1.0, 57.0)).fit()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = weighted.vcomp_conf_int()
    np.testing.assert_allclose(got["upper"], plain.vcomp_conf_int()["upper"], rtol=SAME)


def test_two_hills():
    """Two maxima above the cut and a valley between: said, and left out of the interval."""
    y, v = np.array([263.86, 2.9, 0.82, 6.48]), np.array([3626.487, 5.277, 0.149, 0.013])
    res = MetaMixedLM(y, np.ones((4, 1)), v, groups=np.arange(4)).fit()
    objective = Objective(res.model.backend, reml=True)
    grid = np.geomspace(1e-3, 1e7, 4001)
    inside = np.array([objective.natural(t[None]).loglik for t in grid]) > res.llf - DROP
    enters, leaves = (np.flatnonzero(np.diff(inside.astype(int)) == way) for way in (1, -1))
    assert len(enters) == len(leaves) == 2
    with pytest.warns(MvmetaWarning, match=r"another maximum at 9\.57.*0\.615 below the fit"):
        found = res.profile(0).interval()
    assert found.shape == "several maxima"
    assert grid[enters[0]] < found.elsewhere < grid[leaves[0]]
    want = grid[[enters[1], leaves[1]]]
    np.testing.assert_allclose([found.lower, found.upper], want, rtol=0.01)
    with pytest.warns(MvmetaWarning):
        assert res.vcomp_conf_int()["shape"].tolist() == ["several maxima"]


def test_flat_and_one_sided():
    """Two rows of one study tell only of the sum of two variances; one variance is 0."""
    y, groups = np.array([0.1, 0.9, 0.2, 0.7, 0.4]), np.array([0, 1, 2, 3, 4])
    res = MetaMixedLM(
        y, np.ones((5, 1)), np.full(5, 0.5), groups=np.column_stack([groups // 5, groups])
    ).fit()
    table = res.vcomp_conf_int()
    assert table["shape"].tolist()[-1] == "one-sided"
    assert table["lower"].tolist()[-1] == 0


def test_a_profile_that_ends_names_component_and_side(monkeypatch):
    res = fitted_case("b01_konst_3level_reml")
    monkeypatch.setattr("mvmeta.inference.components.profile.MOST_STEPS", 1)
    walked = limits_of(res, Walked)
    profile = Profile(res.fit_, res.model.backend, 0, "district: sigma2", limits=walked)
    with pytest.raises(ConvergenceError, match=r"district: sigma2 .* lower limit.*plot\(\)"):
        profile.interval()


def test_no_likelihood_names_component_and_value():
    profile = fitted_case("b01_konst_3level_reml").profile(0)
    with pytest.raises(ConvergenceError, match=r"district.*sigma2 at -5: the marginal covariance"):
        profile.at(-5.0)


def test_open_scales():
    lower = np.array([0.0, -1.0, -np.inf, 0.0])
    upper = np.array([np.inf, 1.0, np.inf, np.inf])
    theta = np.array([0.3, -0.4, -2.0, 0.0])
    scale = OpenScale(lower, upper, as_is=np.array([False, False, False, True]))
    at = scale.coordinates(theta)
    np.testing.assert_allclose(scale.components(at), theta, rtol=1e-14)
    np.testing.assert_allclose(at[[0, 2, 3]], [np.log(0.3), -2.0, 0.0])
    first, second = scale.slopes(theta)
    for j in range(4):

        def value(x, j=j):
            return scale.components(np.where(np.arange(4) == j, x, at))[j]

        def slope(x, j=j):
            return scale.slopes(scale.components(np.where(np.arange(4) == j, x, at)))[0][j]

        assert optimize.approx_fprime(at[j : j + 1], value, 1e-7)[0] == pytest.approx(
            first[j], rel=1e-6
        )
        assert optimize.approx_fprime(at[j : j + 1], slope, 1e-7)[0] == pytest.approx(
            second[j], rel=1e-5, abs=1e-7
        )
