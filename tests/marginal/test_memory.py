"""Nothing n x n is ever formed: peak memory of a whole evaluation at n = 20,000."""

import tracemalloc

import numpy as np
import pytest

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.select import build_backend, choose_backend
from mvmeta.structures import Unstructured
from tests.problems import correlated, intercept

N = 20_000
ROWS_OF_DOUBLES = 8 * N  # bytes of one vector (n,)


def draw(rng, v, terms):
    x = np.column_stack([np.ones(v.n), rng.normal(size=v.n)])
    return MetaProblem(rng.normal(size=v.n), x, v, terms)


def nested(n):
    rng = np.random.default_rng(1)
    v = SamplingCovariance.from_variances(rng.uniform(0.1, 1.0, n))
    study = np.arange(n) // 5
    terms = intercept("lab", study // 4), intercept("study", study), intercept("id", np.arange(n))
    return draw(rng, v, terms)


def multivariate(n):
    rng = np.random.default_rng(2)
    study, outcome = np.divmod(np.arange(n), 4)
    blocks = [0.2 * np.eye(4) + 0.1] * (n // 4)
    term = correlated("outcome | study", study, outcome, Unstructured(("a", "b", "c", "d")))
    return draw(rng, SamplingCovariance.from_blocks(blocks), (term,))


def correlated_rows(n):
    rng = np.random.default_rng(4)
    study = np.arange(n) // 4
    blocks = [0.2 * np.eye(4) + 0.1] * (n // 4)
    terms = intercept("study", study), intercept("study/id", np.arange(n))
    return draw(rng, SamplingCovariance.from_blocks(blocks), terms)


def crossed(n):
    rng = np.random.default_rng(3)
    v = SamplingCovariance.from_variances(rng.uniform(0.1, 1.0, n))
    terms = (
        intercept("study", np.arange(n) // 5),
        intercept("species", rng.integers(0, 50, n)),
        intercept("id", np.arange(n)),
    )
    return draw(rng, v, terms)


def peak(build, n):
    """Peak bytes of building a problem and of every verb on it."""
    tracemalloc.start()
    try:
        problem = build(n)
        backend = build_backend(problem)
        theta = np.array([0.0 if c.kind == "rho" else 0.3 for c in problem.components])
        Objective(backend, reml=True).working(problem.to_working(theta))
        pieces = zip(problem.terms, problem.split(theta), strict=True)
        factor = backend.factorize([t.structure.matrix(x) for t, x in pieces])
        factor.solve(problem.x)
        factor.inverse_diagonal()
        for t in range(len(problem.terms)):
            factor.level_gram(t)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("build", "backend", "vectors"),
    [
        (nested, "nested", 90),
        (multivariate, "compressed", 500),
        (correlated_rows, "rotated", 500),
        (crossed, "woodbury", 350),
    ],
)
def test_memory_is_proportional_to_n(build, backend, vectors):
    assert choose_backend(build(N)).name == backend
    used = peak(build, N)
    # an n x n matrix of bytes would be 400 MB; `vectors` is about twice what was measured
    assert used < vectors * ROWS_OF_DOUBLES
    assert used < 3 * peak(build, N // 2)
