"""Satterthwaite and Kenward-Roger for every structure, from G(theta) alone and by differences."""

import numpy as np
import pytest
from dense_double import dense_m, make_fit

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.terms import RandomTerm
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.kenward_roger import kenward_roger
from mvmeta.inference.coefficients.satterthwaite import satterthwaite_df
from mvmeta.inference.fitted.free import linear_terms
from mvmeta.marginal.select import build_backend
from tests.structures.structure_examples import EXAMPLES

LEVELS = 15

DIFFERENCES = 2e-4
"""Of df: second differences of a log-likelihood."""


UNIDENTIFIED = {"CS-1": "a correlation of one effect with itself"}


def problem(structure, theta, seed):
    """Effects drawn at theta and observed in every level, but for one row in ten."""
    rng = np.random.default_rng(seed)
    q = structure.q
    level, inner = np.repeat(np.arange(LEVELS), q), np.tile(np.arange(q), LEVELS)
    keep = np.sort(rng.permutation(len(level))[: int(0.9 * len(level))])
    level, inner = level[keep], inner[keep]
    n = len(level)
    x = np.column_stack([np.ones(n), rng.standard_normal(n), rng.standard_normal(LEVELS)[level]])
    v = SamplingCovariance(rng.uniform(0.1, 0.5, n))
    term = RandomTerm("t", level, tuple(range(LEVELS)), structure, inner if q > 1 else None)
    blank = MetaProblem(np.zeros(n), x, v, (term,))
    root = np.linalg.cholesky(dense_m(blank, [structure.matrix(theta)]))
    return MetaProblem(root @ rng.standard_normal(n), x, v, (term,))


def interior(structure):
    """Components away from their bounds, pinned ones where they are pinned."""
    rng = np.random.default_rng(1)
    out = []
    for c in structure.components:
        if c.power == 2 or not np.isfinite(c.upper):
            out.append(rng.uniform(0.5, 1.2))
        else:
            out.append(c.lower + (c.upper - c.lower) * rng.uniform(0.55, 0.65))
    return structure.to_natural(structure.to_working(np.array(out)))


def fit_at(structure, seed):
    theta = interior(structure)
    at = problem(structure, theta, seed)
    factor = build_backend(at).factorize([structure.matrix(theta)])
    return make_fit(at, theta, factor=factor)


def m_at(fit, theta):
    return dense_m(fit.problem, [fit.problem.terms[0].structure.matrix(theta)])


def central(function, theta, free, h):
    """Central differences of a function of theta in the free components."""
    steps = h * np.eye(len(theta))[free] * np.maximum(np.abs(theta[free]), 0.1)[:, None]
    return [(function(theta + s) - function(theta - s)) / (2 * s.sum()) for s in steps]


def pieces(fit):
    """Phi, P, D_j, D_jl and observed information, each from its definition."""
    x, y, theta = fit.problem.x, fit.problem.y, fit.theta
    free = np.flatnonzero(~fit.problem.fixed)

    def reml(t):
        n = np.linalg.inv(m_at(fit, t))
        gram = x.T @ n @ x
        e = y - x @ np.linalg.solve(gram, x.T @ n @ y)
        return -0.5 * (-np.linalg.slogdet(n)[1] + np.linalg.slogdet(gram)[1] + e @ n @ e)

    def gradient(t):
        return np.array(central(reml, t, free, 1e-4))

    def slopes(t):
        return np.array(central(lambda s: m_at(fit, s), t, free, 1e-5))

    hessian = np.array(central(gradient, theta, free, 1e-3))
    second = np.array(central(slopes, theta, free, 1e-4))
    return free, slopes(theta), second, -(hessian + hessian.T) / 2


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - UNIDENTIFIED.keys()))
def test_by_differences(name):
    """At data whose observed information is positive definite; refused where it is not."""
    for seed in range(20):
        fit = fit_at(EXAMPLES[name], seed)
        free, first, second, observed = pieces(fit)
        if not len(free):
            assert np.isinf(satterthwaite_df(fit).coefficients()).all()
            return
        if np.linalg.eigvalsh(observed)[0] > 0:
            break
        with pytest.raises(SpecificationError, match="not positive definite"):
            satterthwaite_df(fit)
    else:
        pytest.fail("no data set found at which the df is defined")
    x = fit.problem.x
    n = np.linalg.inv(m_at(fit, fit.theta))
    phi = np.linalg.inv(x.T @ n @ x)
    p = n - n @ x @ phi @ x.T @ n
    pd = [p @ d for d in first]
    expected = 0.5 * np.array([[np.trace(a @ b) for b in pd] for a in pd])
    grad = np.array([phi @ x.T @ n @ d @ n @ x @ phi for d in first])

    w = np.linalg.inv(observed)
    g = np.einsum("jpp->pj", grad)
    want = 2 * np.diag(phi) ** 2 / np.einsum("pj,jl,pl->p", g, w, g)
    np.testing.assert_allclose(satterthwaite_df(fit).coefficients(), want, rtol=DIFFERENCES)

    w = np.linalg.inv(expected)
    bracket = np.zeros_like(phi)
    linear = linear_terms(fit)[0]
    nx = n @ x
    for j, dj in enumerate(first):
        for k, dk in enumerate(first):
            pj, pk = -nx.T @ dj @ nx, -nx.T @ dk @ nx
            r = 0.0 if linear else nx.T @ second[j, k] @ nx
            bracket += w[j, k] * (nx.T @ dj @ n @ dk @ nx - pj @ phi @ pk - r / 4)
    adjusted = phi + 2 * phi @ bracket @ phi
    got = kenward_roger(fit)
    scale = np.sqrt(np.outer(np.diag(adjusted), np.diag(adjusted)))
    np.testing.assert_allclose(got.cov / scale, adjusted / scale, atol=1e-6)
    want = 2 * np.diag(phi) ** 2 / np.einsum("pj,jl,pl->p", g, w, g)
    np.testing.assert_allclose(got.df.coefficients(), want, rtol=1e-6)
