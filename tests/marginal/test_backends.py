"""Every verb of every backend against `dense`, and `dense` against formulas written out."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.errors import SpecificationError
from mvmeta.likelihood.objective import directions
from mvmeta.marginal.base import (
    Direction,
    MarginalFactor,
    NotPositiveDefiniteError,
    Sums,
    diagonal,
    multiply,
)
from mvmeta.marginal.select import BACKENDS, build_backend
from tests.marginal.exact import exact_sums
from tests.problems import PROBLEMS, intercept, interior, make, matrices
from tests.tolerances import ALGEBRA, BACKEND, DOMINANT

SUMS = (
    "logdet",
    "gram",
    "trace",
    "slope",
    "trace_pairs",
    "slope_pairs",
    "extra_trace",
    "extra_slope",
)


def backends_of(name):
    """Backends that can represent the problem."""
    out = {}
    for backend in BACKENDS:
        try:
            out[backend] = build_backend(make(name), backend)
        except SpecificationError:
            continue
    return out


PAIRS = [(name, b) for name in PROBLEMS for b in backends_of(name) if b != "dense"]
each_pair = pytest.mark.parametrize(("name", "backend"), PAIRS)
each_problem = pytest.mark.parametrize("name", PROBLEMS)


def factor_of(name: str, backend: str) -> MarginalFactor:
    problem = make(name)
    return build_backend(problem, backend).factorize(matrices(problem, interior(problem)))


def inputs(problem):
    """A (n, 4), the working directions at `interior` and more second ones than there are."""
    rng = np.random.default_rng(11)
    a = np.column_stack([problem.x, problem.y, rng.normal(size=(problem.n, 2))])
    charts = [t.structure.working for t in problem.terms]
    pieces = problem.split_working(problem.to_working(interior(problem)))
    first, second, _ = directions(charts, pieces)
    for t, term in enumerate(problem.terms):  # any symmetric matrix is a direction
        g = rng.normal(size=(term.q, term.q))
        first.append(Direction(t, g + g.T))
        second.append(Direction(t, g - np.diag(np.diag(g)) + (g - np.diag(np.diag(g))).T))
        second.append(Direction(t, np.eye(term.q)))
    return a, first, second


def statistic(sums, field):
    return sums.require_pairs() if field == "slope_pairs" else getattr(sums, field)


def assert_same(actual, desired, tolerance):
    desired = np.asarray(desired)
    scale = np.abs(desired).max(initial=0.0)
    assert np.shape(actual) == desired.shape
    assert_allclose(actual, desired, rtol=0, atol=tolerance * scale)


@each_pair
def test_sums(name, backend):
    a, first, extra = inputs(make(name))
    ours = factor_of(name, backend).sums(a, first, extra)
    oracle = factor_of(name, "dense").sums(a, first, extra)
    for field in SUMS:
        assert_same(statistic(ours, field), statistic(oracle, field), BACKEND)


@each_pair
def test_weighted_pairs(name, backend):
    a, first, _ = inputs(make(name))
    ours = factor_of(name, backend).sums(a, first)
    weights = np.random.default_rng(3).normal(size=(a.shape[1], a.shape[1]))
    weights = weights + weights.T
    oracle = factor_of(name, "dense").sums(a, first).require_pairs()
    assert_same(ours.weighted_pairs(weights), (oracle * weights).sum(axis=(2, 3)), BACKEND)


@each_pair
def test_sums_without_directions(name, backend):
    a, _, _ = inputs(make(name))
    ours, oracle = factor_of(name, backend).sums(a), factor_of(name, "dense").sums(a)
    for field in SUMS:
        assert_same(statistic(ours, field), statistic(oracle, field), BACKEND)


@each_pair
def test_solve(name, backend):
    b = np.random.default_rng(5).normal(size=(make(name).n, 3))
    assert_same(factor_of(name, backend).solve(b), factor_of(name, "dense").solve(b), BACKEND)


@each_pair
def test_inverse_diagonal(name, backend):
    ours, oracle = factor_of(name, backend), factor_of(name, "dense")
    assert_same(ours.inverse_diagonal(), oracle.inverse_diagonal(), BACKEND)


@each_pair
@pytest.mark.parametrize("m", [1, 2, 5])
def test_inverse_blocks(name, backend, m):
    """Of groups of m rows from anywhere, against the inverse of M as a whole."""
    n = make(name).n
    rows = np.random.default_rng(m).permutation(n)[: n - n % m].reshape(-1, m)
    inverse = factor_of(name, "dense").solve(np.eye(n))
    blocks = inverse[rows[:, :, None], rows[:, None, :]]
    assert_same(factor_of(name, backend).inverse_blocks(rows, n), blocks, BACKEND)


@each_pair
def test_level_gram(name, backend):
    ours, oracle = factor_of(name, backend), factor_of(name, "dense")
    for t, term in enumerate(make(name).terms):
        gram = ours.level_gram(t)
        assert gram.shape == (term.n_levels, term.q, term.q)
        assert_same(gram, oracle.level_gram(t), BACKEND)


# --- the oracle itself ---------------------------------------------------------------------


def embedded(term, matrix):
    """Z (I (x) matrix) Z' entry by entry, from the definition of the model."""
    z = term.dense_z()
    n = len(term.level)
    out = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if term.level[i] == term.level[j]:
                out[i, j] = z[i] @ matrix @ z[j]
    return out


def marginal(problem, theta):
    m = problem.v.toarray()
    for term, g in zip(problem.terms, matrices(problem, theta), strict=True):
        m = m + embedded(term, g)
    return m


@each_problem
def test_dense_is_the_textbook(name):
    problem = make(name)
    theta = interior(problem)
    a, first, extra = inputs(problem)
    m = marginal(problem, theta)
    inverse = np.linalg.inv(m)
    ks = [embedded(problem.terms[d.term], d.matrix) for d in first]
    es = [embedded(problem.terms[d.term], d.matrix) for d in extra]
    got = factor_of(name, "dense").sums(a, first, extra)
    tolerance = ALGEBRA * max(1.0, np.linalg.cond(m) / 100)
    assert_same(got.logdet, np.linalg.slogdet(m)[1], tolerance)
    assert_same(got.gram, a.T @ inverse @ a, tolerance)
    if ks:
        assert_same(got.trace, [np.trace(inverse @ k) for k in ks], tolerance)
        assert_same(got.slope, [a.T @ inverse @ k @ inverse @ a for k in ks], tolerance)
        pairs = [[np.trace(inverse @ k @ inverse @ h) for h in ks] for k in ks]
        assert_same(got.trace_pairs, pairs, tolerance)
        full = np.array([[a.T @ inverse @ k @ inverse @ h @ inverse @ a for h in ks] for k in ks])
        assert_same(got.slope_pairs, (full + full.swapaxes(2, 3)) / 2, tolerance)
        assert_same(got.extra_trace, [np.trace(inverse @ k) for k in es], tolerance)
        assert_same(got.extra_slope, [a.T @ inverse @ k @ inverse @ a for k in es], tolerance)


@each_problem
def test_dense_verbs_are_the_textbook(name):
    problem = make(name)
    m = marginal(problem, interior(problem))
    inverse = np.linalg.inv(m)
    tolerance = ALGEBRA * max(1.0, np.linalg.cond(m) / 100)
    factor = factor_of(name, "dense")
    b = np.random.default_rng(3).normal(size=(problem.n, 2))
    assert_same(factor.solve(b), np.linalg.solve(m, b), tolerance)
    assert_same(factor.inverse_diagonal(), np.diag(inverse), tolerance)
    for t, term in enumerate(problem.terms):
        z = term.dense_z()
        blocks = [
            z[rows].T @ inverse[np.ix_(rows, rows)] @ z[rows]
            for rows in (np.flatnonzero(term.level == k) for k in range(term.n_levels))
        ]
        assert_same(factor.level_gram(t), blocks, tolerance)


@each_problem
def test_multiply_and_diagonal(name):
    problem = make(name)
    gs = matrices(problem, interior(problem))
    m = marginal(problem, interior(problem))
    b = np.random.default_rng(3).normal(size=(problem.n, 2))
    assert_same(multiply(problem, gs, b), m @ b, ALGEBRA)
    assert_same(diagonal(problem, gs), np.diag(m), ALGEBRA)


# --- edges ---------------------------------------------------------------------------------


@each_pair
def test_zero_components_leave_v(name, backend):
    problem = make(name)
    if problem.v.is_singular:
        pytest.skip("V has no inverse")
    zeros = [np.zeros((t.q, t.q)) for t in problem.terms]
    factor = build_backend(problem, backend).factorize(zeros)
    a, first, extra = inputs(problem)
    sums = factor.sums(a, first, extra)
    inverse = np.linalg.inv(problem.v.toarray())
    assert_same(sums.logdet, np.linalg.slogdet(problem.v.toarray())[1], BACKEND)
    assert_same(sums.gram, a.T @ inverse @ a, BACKEND)
    oracle = build_backend(problem, "dense").factorize(zeros).sums(a, first, extra)
    for field in SUMS:
        assert_same(statistic(sums, field), statistic(oracle, field), BACKEND)


@pytest.mark.parametrize("size", [1e-6, 1e6, 1e10])
@each_pair
def test_solve_is_backward_stable(name, backend, size):
    """However large or small G is against V, ``M x`` is b but for rounding of |M| |x|."""
    if backend == "woodbury" and size > 1e6:
        pytest.skip("x is a difference from inv(M0) b, which is 1e10 times as large")
    problem = make(name)
    gs = [size * g for g in matrices(problem, interior(problem))]
    b = np.random.default_rng(3).normal(size=(problem.n, 2))
    x = build_backend(problem, backend).factorize(gs).solve(b)
    gap = np.abs(multiply(problem, gs, x) - b).max()
    m = multiply(problem, gs, np.eye(problem.n))
    size_of_x = np.linalg.norm(x)
    if backend == "woodbury":  # the rounding of inv(M0) b stays in x; measured: 12 ALGEBRA
        v = problem.v.variances
        size_of_x += 50 * np.linalg.norm(b) / v[v > 0].min()
    assert gap <= ALGEBRA * np.linalg.norm(m, 2) * size_of_x


@cache
def dominated(name, term, size):
    """The problem with one G `size` times as large, and its statistics in 60 digits."""
    problem = make(name)
    gs = matrices(problem, interior(problem))
    gs[term] = size * gs[term]
    a, first, _ = inputs(problem)
    return gs, exact_sums(problem, gs, a, first[:FEW])


FEW = 5
"""Directions that are compared in decimal arithmetic, which takes its time."""


def deviations(name, backend, term, size):
    gs, exact = dominated(name, term, size)
    a, first, _ = inputs(make(name))
    ours = build_backend(make(name), backend).factorize(gs).sums(a, first[:FEW])
    return {
        field: np.abs(statistic(ours, field) - value).max() / np.abs(value).max()
        for field, value in exact.items()
    }


EXACT = ("nested", "compressed", "rotated")
"""Backends in which V is never added to G: what they lose does not depend on G / V."""
EXTREMES = ("nested_two", "nested_three_mixed_order", "singletons", "crossed", "multivariate_un")
EXTREMES += ("five_outcomes", "multivariate_cs", "repeated_cells", "spatial_sites", "random_slopes")
SMALL = [(n, b) for n, b in PAIRS if n in EXTREMES]


@pytest.mark.parametrize(
    ("name", "backend"),
    [(n, b) for n, b in SMALL if b in EXACT],
)
def test_no_digit_is_lost_where_g_is_far_above_v(name, backend):
    found = deviations(name, backend, 0, 1e8)
    assert max(found.values()) < BACKEND, found


@pytest.mark.parametrize(("name", "backend"), [(n, b) for n, b in SMALL if b not in EXACT])
def test_dominant_random_effects_keep_half_the_digits(name, backend):
    found = deviations(name, backend, 0, 1e4)
    assert max(found.values()) < DOMINANT, found


@each_pair
def test_singular_covariances(name, backend):
    """Rank one, as at a maximum with perfectly correlated effects."""
    problem = make(name)
    if problem.v.is_singular or all(t.q == 1 for t in problem.terms):
        pytest.skip("nothing of rank one, or nothing to make up for it")
    rng = np.random.default_rng(8)
    roots = [rng.normal(size=t.q) for t in problem.terms]
    gs = [np.outer(r, r) for r in roots]
    a, first, extra = inputs(problem)
    ours = build_backend(problem, backend).factorize(gs).sums(a, first, extra)
    oracle = build_backend(problem, "dense").factorize(gs).sums(a, first, extra)
    for field in SUMS:
        assert_same(statistic(ours, field), statistic(oracle, field), BACKEND)


@pytest.mark.parametrize("backend", ["nested", "blocks", "woodbury", "dense"])
def test_singular_m_is_refused(backend):
    problem = make("zero_variances")
    y = np.ones(problem.n)
    study = np.arange(problem.n) // 20  # rows 2, 3, 17: one study, no variance of their own
    terms = intercept("study", study), problem.terms[1]
    planned = build_backend(MetaProblem(y, problem.x, problem.v, terms), backend)
    with pytest.raises(NotPositiveDefiniteError):
        planned.factorize([np.eye(1), np.zeros((1, 1))])


@pytest.mark.parametrize("backend", ["blocks", "woodbury"])
def test_random_effects_mend_a_singular_v(backend):
    """Rows without variance in levels of their own: M is definite though V is not."""
    problem = make("crossed")
    v = problem.v.variances.copy()
    rows = np.array([np.flatnonzero(problem.terms[0].level == k)[0] for k in range(4)])
    v[rows] = 0.0
    problem = replace(problem, v=SamplingCovariance.from_variances(v))
    a, first, extra = inputs(problem)
    for second in (1.0, 0.0, 1e-8):
        gs = [np.eye(1), second * np.eye(1)]
        got = build_backend(problem, backend).factorize(gs)
        oracle = build_backend(problem, "dense").factorize(gs)
        sums, true = got.sums(a, first, extra), oracle.sums(a, first, extra)
        for field in SUMS:
            assert_same(statistic(sums, field), statistic(true, field), BACKEND)
        assert_same(got.inverse_diagonal(), oracle.inverse_diagonal(), BACKEND)
        assert_same(got.level_gram(1), oracle.level_gram(1), BACKEND)


@pytest.mark.parametrize("backend", ["blocks", "woodbury"])
def test_random_effects_mend_a_singular_block(backend):
    problem = make("crossed")
    v = np.diag(problem.v.variances)
    pair = [int(np.flatnonzero(problem.terms[0].level == k)[0]) for k in (0, 1)]
    v[np.ix_(pair, pair)] = 0.3  # two estimates with the same error
    problem = replace(problem, v=SamplingCovariance.from_matrix(v))
    a, first, extra = inputs(problem)
    gs = [np.eye(1), np.eye(1)]
    sums = build_backend(problem, backend).factorize(gs).sums(a, first, extra)
    true = build_backend(problem, "dense").factorize(gs).sums(a, first, extra)
    for field in SUMS:
        assert_same(statistic(sums, field), statistic(true, field), BACKEND)


@pytest.mark.parametrize("backend", ["blocks", "woodbury", "dense"])
@pytest.mark.parametrize("name", ["multivariate_un", "repeated_cells"])
def test_indefinite_m_is_refused(name, backend):
    problem = make(name)
    gs = matrices(problem, interior(problem))
    gs[0] = np.eye(problem.terms[0].q) - 50.0
    with pytest.raises(NotPositiveDefiniteError):
        build_backend(problem, backend).factorize(gs)


@each_pair
def test_not_finite_is_refused(name, backend):
    problem = make(name)
    if not problem.terms:
        pytest.skip("nothing that could be NaN")
    gs = matrices(problem, interior(problem))
    gs[0] = np.full_like(gs[0], np.nan)
    with pytest.raises(NotPositiveDefiniteError):
        build_backend(problem, backend).factorize(gs)


def test_sums_add_up():
    problem = make("one_intercept")
    a, first, extra = inputs(problem)
    one = factor_of("one_intercept", "dense").sums(a, first, extra)
    total = Sums.zero(a.shape[1], len(first), len(extra)) + one + one
    for field in SUMS:
        assert_same(statistic(total, field), 2 * np.asarray(statistic(one, field)), ALGEBRA)
