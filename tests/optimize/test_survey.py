"""Starts tried out in a sample of clusters before they are followed in large data."""

from types import SimpleNamespace

import numpy as np
import pytest

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.base import NotPositiveDefiniteError
from mvmeta.marginal.select import build_backend
from mvmeta.optimize.maximize import maximize
from mvmeta.optimize.survey import SAMPLE, SURVEY_ABOVE, promising, sample
from mvmeta.structures import Unstructured
from tests.problems import correlated, intercept


def outcomes(studies, seed=0):
    rng = np.random.default_rng(seed)
    study, outcome = np.divmod(np.arange(2 * studies), 2)
    study = rng.permutation(studies)[study]
    g = np.array([[0.3, 0.2], [0.2, 0.4]])
    u = rng.multivariate_normal([0.0, 0.0], g, size=studies)
    v = rng.uniform(0.1, 0.4, 2 * studies)
    rare = (study < 5).astype(float)  # a column most samples have nothing of
    x = np.column_stack([np.eye(2)[outcome], rare])
    y = u[study, outcome] + np.sqrt(v) * rng.normal(size=len(v))
    term = correlated("outcome | study", study, outcome, Unstructured(("a", "b")))
    return MetaProblem(y, x, SamplingCovariance.from_variances(v), (term,))


def test_sample_is_whole_clusters_of_full_rank():
    problem = outcomes(6000)
    small = sample(problem)
    assert SAMPLE <= small.n <= SAMPLE + 2
    assert (np.bincount(small.terms[0].level) == 2).all()
    assert np.linalg.matrix_rank(small.x) == small.p <= 3
    again = sample(problem)
    np.testing.assert_array_equal(small.y, again.y)


def test_no_sample_of_one_large_cluster():
    problem = outcomes(3000)
    everybody = intercept("everybody", np.zeros(problem.n, dtype=int))
    joined = MetaProblem(problem.y, problem.x, problem.v, (*problem.terms, everybody))
    assert sample(joined) is None


def ends(by_start):
    """Ascents that end a little from where they start, at the given height."""

    def go(objective, x, known):
        assert objective.problem.n < SURVEY_ABOVE
        height, done = by_start[float(x[0])]
        if height is None:
            raise NotPositiveDefiniteError
        at = SimpleNamespace(loglik=height, x=x + 0.5)
        return SimpleNamespace(at=at, done=done, endless=False)

    return go


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ({1.0: (-5.0, True), 2.0: (-5.0, True), 3.0: (-6.0, True)}, [1.5]),
        ({1.0: (-5.0, True), 2.0: (-4.0, True), 3.0: (-6.0, True)}, [1.5, 2.5]),
        ({1.0: (-5.0, False), 2.0: (-4.0, False)}, [1.0, 2.0]),
        ({1.0: (None, True), 2.0: (-4.0, True), 3.0: (None, True)}, [1.0, 2.5]),
    ],
)
def test_ascents_start_where_those_in_the_sample_ended(found, kept):
    problem = outcomes(6000)
    objective = Objective(build_backend(problem), reml=True)
    starts = [np.array([value, 0.0, 1.0]) for value in found]
    out = list(promising(objective, starts, ends(found)))
    assert [float(x[0]) for x in out] == kept


def test_an_end_without_a_slope_is_no_start():
    """A singular covariance matrix in the sample: in all data it need not be."""
    problem = outcomes(6000)
    objective = Objective(build_backend(problem), reml=True)

    def go(small, x, known):
        at = SimpleNamespace(loglik=-1.0, x=np.array([0.0, 0.0, 0.5]))
        return SimpleNamespace(at=at, done=True, endless=False)

    starts = [np.ones(3), np.full(3, 2.0)]
    out = list(promising(objective, starts, go))
    assert [x.tolist() for x in out] == [[1.0, 1.0, 1.0]]


def test_small_data_follow_every_start():
    problem = outcomes(100)
    objective = Objective(build_backend(problem), reml=True)
    starts = [np.zeros(3), np.ones(3)]
    assert list(promising(objective, starts, None)) == starts


def test_large_data_take_few_evaluations_and_end_where_every_start_does():
    problem = outcomes(6000)
    objective = Objective(build_backend(problem), reml=True)
    found = maximize(objective)
    assert found.status.converged
    assert objective.n_evaluations <= 12
    small = maximize(objective, start=problem.to_natural(np.array([0.05, 0.0, 0.05])))
    assert found.evaluation.loglik == pytest.approx(small.evaluation.loglik, abs=1e-6)
