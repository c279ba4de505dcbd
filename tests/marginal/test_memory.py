"""Nothing n x n is ever formed: peak memory of a whole evaluation at n = 20,000."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM
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


def frame(n):
    """Rows of studies of unequal size in no order, with text as labels."""
    rng = np.random.default_rng(5)
    study = rng.integers(0, n // 4, n)
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "x": rng.normal(size=n),
            "v": rng.uniform(0.1, 1.0, n),
            "study": pd.Series(study).map("study {}".format),
            "id": rng.permutation(n),
        }
    )


def peak_of_everything(n):
    """Peak bytes of what users do with a three-level model, from a formula on."""
    data = frame(n)
    tracemalloc.start()
    try:
        model = MetaMixedLM.from_formula("y ~ x", data, variance="v", groups=["study", "id"])
        res = model.fit()
        assert model.backend.name == "nested"
        res.summary()
        res.heterogeneity()
        res.ranef()
        res.blup()
        res.get_prediction().summary_frame()
        res.get_influence().summary_frame()
        res.get_influence(groups="study").summary_frame()
        res.get_robustcov_results("CR2")
        res.weights(by="study")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_of_results_is_proportional_to_n():
    used = peak_of_everything(N)
    assert used < 150 * ROWS_OF_DOUBLES
    assert used < 3 * peak_of_everything(N // 2)


def test_a_fit_of_arrays_needs_little_beside_them():
    rng = np.random.default_rng(6)
    n, p = 200_000, 5
    y, v, x = rng.normal(size=n), rng.uniform(0.1, 1.0, n), rng.normal(size=(n, p))
    study, row = np.arange(n) // 4, np.arange(n)
    given = sum(a.nbytes for a in (y, v, x, study, row))
    tracemalloc.start()
    try:
        MetaMixedLM(y, x, v, groups=[study, row]).fit()
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # 1.5 times the data, and what the chunks in work take whatever n is
    assert used < 1.5 * given + IN_WORK


IN_WORK = 10_000_000
"""Bytes: three derivatives of six columns of 16,384 rows, and their sums."""
