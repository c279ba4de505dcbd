"""Data of few studies, drawn from a known model: the designs of the small-sample study."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mvmeta import structures
from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.terms import RandomTerm

Rng = np.random.Generator

LEAST_V, MOST_V = 0.02, 0.2
"""Range of the sampling variances, log-uniform."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A data set in which every coefficient is 0.

    Attributes
    ----------
    problem : MetaProblem
        Columns of X: that of an intercept (or the first outcome) and that of a moderator of
        studies are `tested`.
    studies : ndarray of int, shape (n,)
    groupings : ndarray of int, shape (n,) or (n, 2)
        Clusters of the robust methods.
    tested : tuple of int
        Intercept-like coefficient, moderator of studies.
    truth : tuple of float
        Components the data were drawn from, in the order of the terms.
    """

    problem: MetaProblem
    studies: np.ndarray
    groupings: np.ndarray
    tested: tuple[int, int]
    truth: tuple[float, ...]


def intercepts(name: str, codes: np.ndarray) -> RandomTerm:
    """Random intercepts of the levels that occur."""
    levels, code = np.unique(codes, return_inverse=True)
    identity = structures.Identity(kind="sigma2")
    return RandomTerm(name, code.astype(np.intp), tuple(levels.tolist()), identity)


def sampling_variances(rng: Rng, n: int) -> np.ndarray:
    """Log-uniform."""
    return np.exp(rng.uniform(np.log(LEAST_V), np.log(MOST_V), n))


def normal(rng: Rng, n: int, sd: float | np.ndarray) -> np.ndarray:
    """Effects with mean 0."""
    return np.asarray(sd * rng.standard_normal(n))


def three_level(rng: Rng, studies: int, uneven: float = 0.0) -> Drawn:
    """1 to 6 effects in each study, variances 0.10 between and 0.05 within studies.

    With `uneven` the standard deviation between studies is multiplied by
    ``exp(uneven * moderator)``, which the fitted model does not know.
    """
    size = rng.integers(1, 7, studies)
    size[:2] = [2, 4]  # so that both variances can be told apart
    study = np.repeat(np.arange(studies), size)
    n = len(study)
    z = rng.standard_normal(studies)
    v = sampling_variances(rng, n)
    spread = np.sqrt(0.10) * np.exp(uneven * z)
    y = normal(rng, studies, spread)[study] + normal(rng, n, np.sqrt(0.05 + v))
    x = np.column_stack([np.ones(n), z[study]])
    terms = (intercepts("study", study), intercepts("study/id", np.arange(n)))
    return Drawn(
        MetaProblem(y, x, SamplingCovariance(v), terms), study, study, (0, 1), (0.10, 0.05)
    )


def uneven(rng: Rng, studies: int) -> Drawn:
    """As `three_level`, but effects vary the more between studies the larger the moderator."""
    return three_level(rng, studies, uneven=0.5)


def multivariate(rng: Rng, studies: int) -> Drawn:
    """Two outcomes, one of them missing in a third of the studies; UN, correlations 0.5.

    A mean for each outcome and a moderator of studies that acts on both.
    """
    both = np.arange(studies) % 3 < 2
    outcome = np.concatenate([[0, 1] if b else [int(rng.integers(2))] for b in both])
    study = np.repeat(np.arange(studies), np.where(both, 2, 1))
    n = len(study)
    g = np.array([[0.10, 0.05 * np.sqrt(2) / 2], [0.05 * np.sqrt(2) / 2, 0.05]])
    v = sampling_variances(rng, n)
    same = study[:, None] == study
    cov = np.where(same, 0.5, 0.0) * np.sqrt(np.outer(v, v))
    cov[np.arange(n), np.arange(n)] = v
    m = cov + np.where(same, g[np.ix_(outcome, outcome)], 0.0)
    y = np.linalg.cholesky(m) @ rng.standard_normal(n)
    z = rng.standard_normal(studies)
    x = np.column_stack([outcome == 0, outcome == 1, z[study]]).astype(float)
    levels = tuple(range(studies))
    term = RandomTerm(
        "outcome | study",
        study.astype(np.intp),
        levels,
        structures.Unstructured(("a", "b")),
        inner=outcome.astype(np.intp),
    )
    problem = MetaProblem(y, x, SamplingCovariance.from_matrix(cov), (term,))
    return Drawn(problem, study, study, (0, 2), (0.10, 0.05, 0.5))


def crossed(rng: Rng, studies: int) -> Drawn:
    """Three effects in each study, of species drawn from as many as there are studies.

    Variances 0.10 between studies, 0.05 between species, 0.03 within.
    """
    study = np.repeat(np.arange(studies), 3)
    species = np.concatenate([rng.choice(studies, 3, replace=False) for _ in range(studies)])
    n = len(study)
    z = rng.standard_normal(studies)
    v = sampling_variances(rng, n)
    y = normal(rng, studies, np.sqrt(0.10))[study] + normal(rng, studies, np.sqrt(0.05))[species]
    y = y + normal(rng, n, np.sqrt(0.03 + v))
    x = np.column_stack([np.ones(n), z[study]])
    terms = (
        intercepts("study", study),
        intercepts("species", species),
        intercepts("id", np.arange(n)),
    )
    both = np.column_stack([study, np.unique(species, return_inverse=True)[1]])
    return Drawn(
        MetaProblem(y, x, SamplingCovariance(v), terms), study, both, (0, 1), (0.10, 0.05, 0.03)
    )


DESIGNS: dict[str, Callable[[Rng, int], Drawn]] = {
    "three-level": three_level,
    "multivariate": multivariate,
    "crossed": crossed,
    "three-level, uneven": uneven,
}
"""What is simulated, by name."""
