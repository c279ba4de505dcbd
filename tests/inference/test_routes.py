"""The same inference by two routes: other backends, other structures, other charts."""

import numpy as np
import pytest
from dense_double import case_fit, make_fit

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.terms import RandomTerm
from mvmeta.inference.borrowing.weights import row_weights
from mvmeta.inference.coefficients.kenward_roger import kenward_roger
from mvmeta.inference.coefficients.satterthwaite import satterthwaite_df
from mvmeta.inference.fitted.estimate import estimate
from mvmeta.inference.fitted.free import FixedRank, free_charts, moves_within_rank
from mvmeta.inference.influence.deletion import deletion
from mvmeta.inference.influence.leverage import row_diagnostics
from mvmeta.inference.prediction.blup import random_effects, true_effects
from mvmeta.inference.robust.sandwich import robust
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.select import build_backend
from mvmeta.structures.unstructured import Unstructured

CASES = (
    "b03_assink_3level_mods_t",  # nested
    "c01_berkey_un_reml",  # blocks
    "e01_lim_adj_phylo",  # known correlations, crossed
    "j003_crossed_num",
    "g01_obrien_gen",
)


@pytest.mark.parametrize("name", CASES)
def test_the_chosen_backend_gives_what_the_dense_double_gives(name):
    dense = case_fit(name)
    factor = build_backend(dense.problem).factorize(dense.gs)
    fit = make_fit(dense.problem, dense.theta, reml=dense.reml, factor=factor)
    for ours, theirs in zip(random_effects(fit), random_effects(dense), strict=True):
        np.testing.assert_allclose(ours.effects, theirs.effects, rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(ours.se, theirs.se, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(true_effects(fit).se, true_effects(dense).se, rtol=1e-7)
    np.testing.assert_allclose(
        row_diagnostics(fit).studentized, row_diagnostics(dense).studentized, rtol=1e-7
    )
    np.testing.assert_allclose(row_weights(fit).diagonal, row_weights(dense).diagonal, rtol=1e-8)
    rows = np.arange(fit.problem.n)
    np.testing.assert_allclose(
        deletion(fit, rows).cooks_distance, deletion(dense, rows).cooks_distance, rtol=1e-6
    )
    np.testing.assert_allclose(
        satterthwaite_df(fit).coefficients(), satterthwaite_df(dense).coefficients(), rtol=1e-6
    )
    if fit.reml:
        np.testing.assert_allclose(kenward_roger(fit).cov, kenward_roger(dense).cov, rtol=1e-7)
    if fit.problem.cluster.max() > 0:
        np.testing.assert_allclose(
            robust(fit, fit.problem.cluster).cov,
            robust(dense, fit.problem.cluster).cov,
            rtol=1e-6,
            atol=1e-8 * fit.cov_beta.max(),
        )


def singular_fit():
    """Three outcomes in 30 trials whose true effects have one dimension: G loses rank."""
    rng = np.random.default_rng(7)
    trial, outcome = np.repeat(np.arange(30), 3), np.tile(np.arange(3), 30)
    common = np.outer(rng.standard_normal(30), [0.5, 0.8, 0.3]).ravel()
    v = rng.uniform(0.05, 0.2, 90)
    y = common + np.sqrt(v) * rng.standard_normal(90)
    term = RandomTerm("o | t", trial, tuple(range(30)), Unstructured(["a", "b", "c"]), outcome)
    sampling = SamplingCovariance.from_variances(v)
    problem = MetaProblem(y, np.eye(3)[outcome], sampling, (term,))
    return estimate(build_backend(problem))[0]


def test_a_singular_g_counts_as_known_in_the_directions_that_change_its_rank():
    """Df from the chart of matrices of that rank equal those in the optimiser's Cholesky chart.

    There the columns beyond the rank are 0 and beta's covariance does not respond to them.
    """
    fit = singular_fit()
    assert moves_within_rank(fit.problem.terms[0].structure, fit.theta)
    (chart,), _ = free_charts(fit)
    assert isinstance(chart, FixedRank)
    backend = build_backend(fit.problem)
    x = fit.problem.to_working(fit.theta)
    observed = Objective(backend, True).working(x).observed
    structure = fit.problem.terms[0].structure

    def cov(at):
        g = structure.working.matrix(at)
        n = backend.factorize([g]).solve(fit.problem.x)
        return np.linalg.inv(fit.problem.x.T @ n)

    h = 1e-5
    steps = h * np.eye(len(x))
    gradient = np.array([np.diag(cov(x + s) - cov(x - s)) / (2 * h) for s in steps])
    spread = np.einsum("jp,jl,lp->p", gradient, np.linalg.pinv(observed, rcond=1e-9), gradient)
    want = 2 * np.diag(fit.cov_beta) ** 2 / spread
    np.testing.assert_allclose(satterthwaite_df(fit).coefficients(), want, rtol=1e-3)


def test_kenward_roger_at_a_singular_g_is_finite_and_larger():
    fit = singular_fit()
    got = kenward_roger(fit)
    assert (np.diag(got.cov) > np.diag(fit.cov_beta)).all()
    assert np.isfinite(got.df.joint(np.eye(3)))
