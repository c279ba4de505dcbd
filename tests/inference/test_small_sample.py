"""Satterthwaite and Kenward-Roger against the recorded references."""

from dataclasses import replace

import numpy as np
import pytest
from dense_double import REFERENCE, case_fit, dense_m, load, make_fit, numbers

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.terms import RandomTerm
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.kenward_roger import kenward_roger
from mvmeta.inference.coefficients.satterthwaite import combine, satterthwaite_df
from mvmeta.inference.coefficients.wald import Basis, wald_test
from mvmeta.inference.fitted.curvature import components_cov, curvature
from mvmeta.inference.fitted.free import FixedRank, free_charts, is_linear
from mvmeta.structures import CompoundSymmetry, Kronecker, Pinned, Tied, Unstructured

NAMES = sorted(p.stem for p in (REFERENCE / "small_sample").glob("*.json"))


def record(name):
    return load(name, "small_sample")


def fit_at(name):
    """The fit at the optimum of the small-sample record, which is polished further."""
    base, components = case_fit(name), record(name)["components"]
    kinds = [k for k in ("sigma2", "tau2", "rho", "gamma2", "phi") if k in components]
    theta = np.concatenate([numbers(components[k]) for k in kinds])
    return make_fit(base.problem, theta, boundary=base.boundary)


def close(ours, want, width):
    """3 widths + 1e-6 relative; infinite and beyond 1e4 are one."""
    ours, want = np.atleast_1d(ours), np.atleast_1d(numbers(want))
    want = np.where(np.isnan(want), np.inf, want)
    finite = np.where(np.isinf(want), 0.0, np.abs(want))
    slack = 3 * np.nan_to_num(np.atleast_1d(numbers(width))) + 1e-6 * finite
    large = (ours > 1e4) & (want > 1e4)
    with np.errstate(invalid="ignore"):
        good = large | (np.abs(ours - want) <= slack)
    assert good.all(), (ours, want, slack)


def widths(name, method):
    """Widths of a method; 0 where nothing is estimated and nothing can move."""
    recorded = record(name)["width"]
    return {} if recorded is None else recorded[method]


def omnibus(name):
    return np.eye(case_fit(name).problem.p)[record(name)["omnibus_rows"]]


@pytest.mark.parametrize("name", NAMES)
def test_satterthwaite_df(name):
    want, df = record(name), satterthwaite_df(fit_at(name))
    observed, width = want["satterthwaite_observed"], widths(name, "satterthwaite_observed")
    close(df.coefficients(), observed["df"], width.get("df"))
    if want["satterthwaite"]["unique"]:
        close(df.joint(omnibus(name)), observed["df_denom"], width.get("df_denom"))


@pytest.mark.parametrize("name", NAMES)
def test_kenward_roger(name):
    fit, record_ = fit_at(name), record(name)
    want, width = record_["kenward_roger"], widths(name, "kenward_roger")
    got = kenward_roger(fit)
    close(np.sqrt(np.diag(got.cov)), want["se"], width.get("se"))
    close(got.df.coefficients(), want["df"], width.get("df"))
    test = wald_test(Basis(fit.beta, got.cov, got.df), omnibus(name))
    if want["usable"]:
        close(test.statistic, want["F"], width.get("F"))
        close(test.df_denom, want["df_denom"], width.get("df_denom"))
        close(got.df.scale(omnibus(name)), want["scale"], width.get("scale"))
    else:
        assert np.isnan(test.pvalue)


@pytest.mark.parametrize(
    "name", ["b03_assink_3level_mods_t", "c01_berkey_un_reml", "d01_ishak_har"]
)
@pytest.mark.parametrize("reml", [True, False])
def test_observed_information_is_the_negative_hessian(name, reml):
    """By second differences of the dense log-likelihood, away from the optimum too."""
    base = case_fit(name)
    theta = base.theta * np.linspace(0.8, 0.9, len(base.theta))
    fit = make_fit(base.problem, theta, reml=reml)
    h = 1e-4 * np.abs(theta)
    count = len(theta)

    def value(step):
        return make_fit(base.problem, theta + step).loglik[reml]

    want = np.empty((count, count))
    for i in range(count):
        for j in range(count):
            a, b = h[i] * np.eye(count)[i], h[j] * np.eye(count)[j]
            change = value(a + b) - value(a - b) - value(b - a) + value(-a - b)
            want[i, j] = -change / (4 * h[i] * h[j])
    scale = np.sqrt(np.outer(np.abs(np.diag(want)), np.abs(np.diag(want))))
    np.testing.assert_allclose(curvature(fit).observed / scale, want / scale, atol=2e-5)


def test_df_do_not_depend_on_the_units():
    name = "b03_assink_3level_mods_t"
    fit = fit_at(name)
    unit = np.diag(10.0 ** np.linspace(-6, 6, fit.problem.p))
    problem = replace(fit.problem, x=fit.problem.x @ unit)
    other = make_fit(problem, fit.theta)
    np.testing.assert_allclose(
        satterthwaite_df(other).coefficients(), satterthwaite_df(fit).coefficients(), rtol=1e-6
    )
    np.testing.assert_allclose(
        kenward_roger(other).df.joint(omnibus(name)),
        kenward_roger(fit).df.joint(omnibus(name)),
        rtol=1e-6,
    )


def test_nothing_estimated_means_infinite_df():
    fit = case_fit("b01_konst_3level_reml")
    held = replace(fit, boundary=np.array([True, True]))
    assert np.isinf(satterthwaite_df(held).coefficients()).all()
    got = kenward_roger(held)
    assert np.isinf(got.df.coefficients()).all()
    np.testing.assert_array_equal(got.cov, fit.cov_beta)


def test_combination_of_component_df():
    assert combine(np.array([5.0, 5.0 + 1e-9])) == pytest.approx(5.0)
    assert combine(np.array([2.0, 50.0])) == 2.0
    e = 6 / 4 + 10 / 8
    assert combine(np.array([6.0, 10.0])) == pytest.approx(2 * e / (e - 2))
    assert combine(np.array([6.0, np.inf])) == pytest.approx(2 * 2.5 / 0.5)
    assert np.isinf(combine(np.array([np.inf, np.inf])))


def test_weights_change_the_covariance_that_is_differentiated():
    """df = 2 (l'Phi l)^2 / g'W g with g by differences of the sandwich."""
    fit = case_fit("i02_bcg_weights")
    at = curvature(fit)
    h = 1e-5

    def variance(theta):
        return make_fit(fit.problem, [theta], weights=fit.weights).cov_beta[0, 0]

    t = fit.theta[0]
    g = (variance(t + h) - variance(t - h)) / (2 * h)
    want = 2 * fit.cov_beta[0, 0] ** 2 / (g**2 / at.observed[0, 0])
    np.testing.assert_allclose(satterthwaite_df(fit).contrast(np.ones(1)), want, rtol=1e-6)


def test_kenward_roger_refuses_what_it_is_not_defined_for():
    with pytest.raises(SpecificationError, match="REML"):
        kenward_roger(case_fit("b02_konst_3level_ml_year"))
    with pytest.raises(SpecificationError, match="user weights"):
        kenward_roger(case_fit("i02_bcg_weights"))


@pytest.mark.parametrize(
    "information", [np.diag([1.0, 0.0]), np.ones((2, 2)), np.diag([1.0, -1.0])]
)
def test_information_that_leaves_a_component_open_is_refused(information):
    with pytest.raises(SpecificationError, match="not positive definite"):
        components_cov(information, "observed")


def singular(rank, q=3, seed=5):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((q, rank)) * np.array([1.0, 10.0, 0.1])[:, None]
    return root @ root.T


@pytest.mark.parametrize(("rank", "free"), [(1, 3), (2, 5)])
def test_a_singular_matrix_moves_within_its_rank(rank, free):
    g = singular(rank)
    chart = FixedRank(g)
    zero = np.zeros(free)
    assert len(chart.lower) == free
    np.testing.assert_allclose(chart.matrix(zero), g, atol=1e-12 * np.abs(g).max())
    step = 1e-5 * np.random.default_rng(2).standard_normal(free)
    moved = chart.matrix(step)
    values = np.linalg.eigvalsh(moved / np.sqrt(np.outer(np.diag(g), np.diag(g))))
    assert (np.abs(values[: 3 - rank]) < 1e-13).all()
    linear = np.einsum("j,jqr->qr", step, chart.jacobian(zero))
    square = 0.5 * np.einsum("j,l,jlqr->qr", step, step, chart.hessian(zero))
    np.testing.assert_allclose(moved - g, linear + square, atol=1e-12 * np.abs(g).max())


def test_rows_of_zero_variance_stay_zero():
    g = np.zeros((4, 4))
    g[:3, :3] = singular(2)
    assert not FixedRank(g).jacobian(np.zeros(5))[:, 3].any()


def test_two_singular_effects_need_no_chart_of_their_own():
    """q = 2: variances free with the correlation held is the same as moving within the rank."""
    base = case_fit("c01_berkey_un_reml")
    theta = np.array([0.03, 0.012, 1.0])
    fit = make_fit(base.problem, theta, boundary=np.array([False, False, True]))
    charts, points = free_charts(fit)
    held, within = charts[0].jacobian(points[0]), FixedRank(fit.gs[0]).jacobian(np.zeros(2))
    both = np.concatenate([held, within]).reshape(4, 4)
    assert np.linalg.matrix_rank(both / np.linalg.norm(both, axis=1)[:, None], tol=1e-8) == 2


# -- unstructured matrices inside products and ties ------------------------------------------


def several_outcomes(structure, groups=12, seed=8):
    """Rows of all three outcomes in every group: the term, and a moderator that varies in both."""
    rng = np.random.default_rng(seed)
    level, inner = np.divmod(np.arange(3 * groups), 3)
    x = np.column_stack([np.eye(3)[inner], rng.standard_normal(3 * groups)])
    v = SamplingCovariance.from_variances(rng.uniform(0.1, 0.4, 3 * groups))
    labels = tuple(f"s{i}" for i in range(groups))
    term = RandomTerm("t | s", level, labels, structure, inner)
    return MetaProblem(rng.standard_normal(3 * groups), x, v, (term,))


def times_known(problem, r):
    """The same problem with groups correlated as in r."""
    (one,) = problem.terms
    cells, level = one.level * one.q + one.inner, np.zeros_like(one.level)
    structure = Kronecker(r, one.level_labels, one.structure)
    return replace(problem, terms=(RandomTerm(one.name, level, ("",), structure, cells),))


FULL_RANK = np.array([1.0, 2.0, 0.5, 0.3, -0.4, 0.2])
RANK_TWO = np.array([1.0, 2.0, 0.5, 0.6, 0.8, 0.6 * 0.8 - 0.8 * 0.6])
"""Correlations of (1, 0), (0.6, 0.8) and (0.8, -0.6)."""


@pytest.mark.parametrize("theta", [FULL_RANK, RANK_TWO], ids=["full rank", "rank two"])
def test_a_product_with_the_identity_is_the_structure_alone(theta):
    plain = several_outcomes(Unstructured(("a", "b", "c")))
    alone, product = (make_fit(p, theta) for p in (plain, times_known(plain, np.eye(12))))
    expected, got = kenward_roger(alone), kenward_roger(product)
    np.testing.assert_allclose(got.cov, expected.cov, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got.df.coefficients(), expected.df.coefficients(), rtol=1e-8)
    want = curvature(alone).observed
    np.testing.assert_allclose(curvature(product).observed, want, atol=1e-9 * np.abs(want).max())


def dense_kenward_roger(fit, patterns):
    """Phi_A for M = V + sum_j theta_j patterns_j (Kenward & Roger 1997, linear M)."""
    x, n = fit.problem.x, np.linalg.inv(dense_m(fit.problem, fit.gs))
    phi = np.linalg.inv(x.T @ n @ x)
    p = n - n @ x @ phi @ x.T @ n
    information = 0.5 * np.array([[np.trace(p @ a @ p @ b) for b in patterns] for a in patterns])
    w, inner = np.linalg.inv(information), np.zeros_like(phi)
    for i, a in enumerate(patterns):
        for j, b in enumerate(patterns):
            left, right = x.T @ n @ a @ n @ x, x.T @ n @ b @ n @ x
            inner += w[i, j] * (x.T @ n @ a @ n @ b @ n @ x - left @ phi @ right)
    return phi + 2.0 * phi @ inner @ phi


def test_an_unstructured_matrix_in_a_product_is_linear_in_its_covariances():
    tree = 0.6 ** np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    problem = times_known(several_outcomes(Unstructured(("a", "b", "c"))), tree)
    fit, z = make_fit(problem, FULL_RANK), problem.terms[0].dense_z()
    patterns = []
    for i, j in zip(*np.triu_indices(3), strict=True):
        unit = np.zeros((3, 3))
        unit[i, j] = unit[j, i] = 1.0
        patterns.append(z @ np.kron(tree, unit) @ z.T)
    np.testing.assert_allclose(
        kenward_roger(fit).cov, dense_kenward_roger(fit, patterns), rtol=1e-8
    )


def test_tied_variances_and_covariances_are_linear_too():
    """UN with one variance, as with one variance and one correlation, which is CS."""
    tied = Tied(Unstructured(("a", "b", "c")), [0, 0, 0, 1, 2, 3])
    problem = several_outcomes(tied)
    fit, z = make_fit(problem, np.array([1.5, 0.3, -0.4, 0.2])), problem.terms[0].dense_z()
    units = [np.eye(3)]
    for i, j in [(1, 0), (2, 0), (2, 1)]:
        unit = np.zeros((3, 3))
        unit[i, j] = unit[j, i] = 1.0
        units.append(unit)
    same = np.equal.outer(problem.terms[0].level, problem.terms[0].level)
    patterns = [same * (z @ u @ z.T) for u in units]
    np.testing.assert_allclose(
        kenward_roger(fit).cov, dense_kenward_roger(fit, patterns), rtol=1e-8
    )
    single = make_fit(
        several_outcomes(Tied(Unstructured(("a", "b", "c")), [0, 0, 0, 1, 1, 1])), [1.5, 0.3]
    )
    symmetric = make_fit(several_outcomes(CompoundSymmetry(("a", "b", "c"))), [1.5, 0.3])
    np.testing.assert_allclose(kenward_roger(single).cov, kenward_roger(symmetric).cov, rtol=1e-8)


@pytest.mark.parametrize(
    ("group", "linear"),
    [
        ([0, 0, 1, 2, 3, 4], True),
        ([0, 0, 1, 2, 3, 3], True),  # c~a and c~b, a and b of one variance
        ([0, 0, 1, 2, 2, 3], False),  # b~a and c~a, b and c of two variances
        ([0, 1, 2, 3, 3, 3], False),
    ],
)
def test_tied_correlations_need_tied_variances_to_be_tied_covariances(group, linear):
    tied = Tied(Unstructured(("a", "b", "c")), group)
    count = len(tied.components)
    theta, still = np.append(np.ones(count - 1), 0.1), np.zeros(count, dtype=bool)
    assert is_linear(tied, theta, still) is linear
    product = Kronecker(np.eye(2), ("s", "t"), Pinned(tied, np.full(count, np.nan)))
    assert is_linear(product, theta, still) is linear
