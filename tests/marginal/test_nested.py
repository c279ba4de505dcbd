"""The nested backend on random designs: any depth, order and sizes of groups, however cut up."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal import nested
from mvmeta.marginal.base import Direction
from mvmeta.marginal.dense import DenseMarginal
from mvmeta.marginal.nested import NestedMarginal
from tests.problems import intercept
from tests.tolerances import BACKEND

N = 90
DEPTHS = range(5)


def chain(rng, n, depth, sizes):
    """Codes of `depth` partitions, each within the next, in rows without order."""
    codes = [np.repeat(np.arange(n), sizes(rng, n))[:n]]
    while len(codes) < depth:
        groups = int(codes[-1].max()) + 1
        parent = np.repeat(np.arange(groups), sizes(rng, groups))[:groups]
        codes.append(parent[codes[-1]])
    order = rng.permutation(n)
    return [c[order] for c in codes[:depth]]


def poisson(rng, n):
    return rng.poisson(3, n) + 1


def heavy_tailed(rng, n):
    return np.ceil(rng.pareto(0.7, n) + 0.5).astype(int).clip(1, n)


def singles(rng, n):
    return np.ones(n, dtype=int)


def random_problem(seed, depth, sizes=poisson, own_terms=1):
    rng = np.random.default_rng(seed)
    codes = chain(rng, N, depth, sizes)
    codes[depth // 2 : depth // 2] = [rng.permutation(N) for _ in range(own_terms)]
    terms = tuple(intercept(f"level {j}", c) for j, c in enumerate(codes))
    v = SamplingCovariance.from_variances(10.0 ** rng.uniform(-2, 1, N))
    x = np.column_stack([np.ones(N), rng.normal(size=(N, 2))])
    return MetaProblem(rng.normal(size=N), x, v, terms)


def assert_equal_sums(problem, seed, pairs=True):
    rng = np.random.default_rng(seed)
    gs = [np.array([[10.0 ** rng.uniform(-2, 1)]]) for _ in problem.terms]
    directions = [Direction(t, np.array([[rng.normal()]])) for t in range(len(gs))]
    a = rng.normal(size=(problem.n, 4))
    ours, oracle = (
        plan(problem).factorize(gs).sums(a, directions[::-1], directions, pairs=pairs)
        for plan in (NestedMarginal, DenseMarginal)
    )
    assert (ours.slope_pairs is None) is not pairs
    for name, value in vars(ours).items():
        if value is not None:
            scale = np.abs(getattr(oracle, name)).max(initial=0.0)
            assert_allclose(
                value, getattr(oracle, name), rtol=0, atol=BACKEND * scale, err_msg=name
            )


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("sizes", [poisson, heavy_tailed, singles])
@pytest.mark.parametrize("own_terms", [0, 1, 2])
def test_sums_equal_the_dense_ones(depth, sizes, own_terms):
    for seed in range(3):
        assert_equal_sums(random_problem(seed, depth, sizes, own_terms), seed)


@pytest.mark.parametrize("depth", DEPTHS)
def test_quick_sums_equal_the_dense_ones(depth):
    assert_equal_sums(random_problem(4, depth), 4, pairs=False)


@pytest.mark.parametrize("rows", [1, 7, 64])
@pytest.mark.parametrize("groups", [1, 5, 64])
def test_the_cut_into_chunks_does_not_matter(monkeypatch, rows, groups):
    monkeypatch.setattr(nested, "CHUNK_OVERHEAD", 0)
    monkeypatch.setattr(nested, "CHUNK_ROWS", rows)
    monkeypatch.setattr(nested, "CHUNK_GROUPS", groups)
    for depth in DEPTHS:
        assert_equal_sums(random_problem(depth, depth, heavy_tailed), depth)


def test_heavy_tails_are_padded_by_little():
    rng = np.random.default_rng(1)
    n = 20_000
    study = np.repeat(np.arange(n), heavy_tailed(rng, n))[:n]
    v = SamplingCovariance.from_variances(np.ones(n))
    plan = NestedMarginal(MetaProblem(np.ones(n), np.ones((n, 1)), v, (intercept("study", study),)))
    cells = plan.arrange(np.ones((n, 1))).data
    assert cells.sum() == n
    assert cells.size < 1.1 * n
    assert len(plan.chunks) < 100


def test_rows_in_any_order_have_one_likelihood():
    problem = random_problem(5, 3)
    order = np.random.default_rng(6).permutation(problem.n)
    theta = np.full(len(problem.terms), 0.3)
    values = [
        Objective(NestedMarginal(p), reml=True).natural(theta).loglik
        for p in (problem, problem.take(order))
    ]
    assert values[0] == pytest.approx(values[1], rel=BACKEND)
