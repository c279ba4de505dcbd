"""Z of a term: its sparse and dense form, `project` and `lift`, and Z G Z' in pieces."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mvmeta.design.terms import RandomTerm
from mvmeta.structures import Identity, Unstructured
from tests.problems import PROBLEMS, interior, make, matrices
from tests.tolerances import ALGEBRA

TERMS = [
    pytest.param(name, t, id=f"{name}-{term.name}")
    for name in PROBLEMS
    for t, term in enumerate(make(name).terms)
]
each_term = pytest.mark.parametrize(("name", "t"), TERMS)


def full_z(term):
    """Z (n, L q) row by row, from its definition."""
    rows = term.dense_z()
    out = np.zeros((len(term.level), term.n_levels * term.q))
    for i, level in enumerate(term.level):
        out[i, level * term.q : (level + 1) * term.q] = rows[i]
    return out


@each_term
def test_sparse_z(name, t):
    term = make(name).terms[t]
    assert_array_equal(term.sparse_z().toarray(), full_z(term))


@each_term
def test_project_and_lift(name, t):
    term, rng = make(name).terms[t], np.random.default_rng(0)
    z, b = full_z(term), rng.normal(size=(len(term.level), 3))
    u = rng.normal(size=(term.n_levels, term.q, 3))
    projected = term.project(b)
    assert projected.shape == u.shape
    assert_allclose(projected.reshape(-1, 3), z.T @ b, rtol=1e-10, atol=ALGEBRA)
    assert_allclose(term.lift(u), z @ u.reshape(-1, 3), rtol=1e-10, atol=ALGEBRA)
    assert (projected * u).sum() == pytest.approx((b * term.lift(u)).sum(), rel=1e-10)


@each_term
def test_marginal_variance_and_stack(name, t):
    problem = make(name)
    term, g = problem.terms[t], matrices(problem, interior(problem))[t]
    z = full_z(term)
    full = z @ np.kron(np.eye(term.n_levels), g) @ z.T
    assert_allclose(term.marginal_variance(g), np.diag(full), rtol=ALGEBRA)
    rows = np.random.default_rng(1).permutation(problem.n)[: problem.n // 3 * 3].reshape(-1, 3)
    expected = [full[np.ix_(r, r)] for r in rows]
    assert_allclose(term.stack(rows, g), expected, rtol=1e-10, atol=ALGEBRA)


def test_scalar_terms():
    level = np.array([0, 1, 0])
    plain = RandomTerm("study", level, ("a", "b"), Identity())
    assert plain.is_scalar
    slope = RandomTerm("x | study", level, ("a", "b"), Identity(), z=np.ones((3, 1)))
    assert not slope.is_scalar
    pair = RandomTerm("o | study", level, ("a", "b"), Unstructured(("p", "q")), inner=level)
    assert not pair.is_scalar
    assert (pair.q, pair.n_levels) == (2, 2)


# --- the problem as a whole ----------------------------------------------------------------


@pytest.mark.parametrize("name", PROBLEMS)
def test_components_round_trip(name):
    problem = make(name)
    theta = interior(problem)
    assert len(problem.components) == len(problem.fixed) == len(problem.power) == len(theta)
    assert_allclose(problem.to_natural(problem.to_working(theta)), theta, rtol=1e-10, atol=ALGEBRA)
    assert len(problem.split(theta)) == len(problem.terms)
    assert sum(map(len, problem.split(theta))) == len(theta)


@pytest.mark.parametrize("name", PROBLEMS)
def test_clusters_are_independent_and_connected(name):
    problem = make(name)
    m = problem.v.toarray() != 0
    for term in problem.terms:
        m |= term.level[:, None] == term.level
    for _ in range(problem.n):
        m = (m.astype(int) @ m.astype(int)) > 0
    assert_array_equal(problem.cluster[:, None] == problem.cluster, m)
