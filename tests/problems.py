"""Small named problems, one for every layout the backends and the optimiser must handle.

Each is built from a seed of its own, so that none changes when another is added.
"""

from collections.abc import Callable

import numpy as np

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.terms import RandomTerm
from mvmeta.structures import (
    CompoundSymmetry,
    CovarianceStructure,
    Diagonal,
    Identity,
    Known,
    SpatialExponential,
    Unstructured,
)

Build = Callable[[np.random.Generator], MetaProblem]
PROBLEMS: dict[str, Build] = {}


def named(build: Build) -> Build:
    PROBLEMS[build.__name__] = build
    return build


def make(name: str) -> MetaProblem:
    """The problem of this name, the same on every call."""
    return PROBLEMS[name](np.random.default_rng(list(name.encode())))


def interior(problem: MetaProblem, seed: int = 0) -> np.ndarray:
    """Natural components away from every bound, of the size of the data."""
    rng = np.random.default_rng(seed)
    out = []
    for c in problem.components:
        if c.power == 2:
            out.append(rng.uniform(0.2, 1.5))
        elif np.isfinite(c.upper):
            out.append(c.lower + (c.upper - c.lower) * rng.uniform(0.45, 0.7))
        else:
            out.append(rng.uniform(0.5, 2.0))
    return np.array(out)


def matrices(problem: MetaProblem, theta: np.ndarray) -> list[np.ndarray]:
    """G_t of every term at natural components `theta`."""
    pieces = problem.split(theta)
    return [t.structure.matrix(x) for t, x in zip(problem.terms, pieces, strict=True)]


def intercept(name: str, codes: np.ndarray) -> RandomTerm:
    """A random intercept with the levels that occur in `codes`."""
    labels, level = np.unique(codes, return_inverse=True)
    return RandomTerm(name, level, tuple(labels.tolist()), Identity(kind="sigma2"))


def correlated(
    name: str, outer: np.ndarray, inner: np.ndarray, structure: CovarianceStructure
) -> RandomTerm:
    """``inner | outer`` with a given structure."""
    labels, level = np.unique(outer, return_inverse=True)
    return RandomTerm(name, level, tuple(labels.tolist()), structure, inner=inner)


def compound_v(variances: np.ndarray, cluster: np.ndarray, rho: float) -> SamplingCovariance:
    """Sampling errors with correlation `rho` within clusters."""
    r = np.where(cluster[:, None] == cluster, rho, 0.0)
    np.fill_diagonal(r, 1.0)
    s = np.sqrt(variances)
    return SamplingCovariance.from_matrix(r * np.outer(s, s))


def problem_of(
    rng: np.random.Generator,
    v: SamplingCovariance,
    terms: tuple[RandomTerm, ...],
    x: np.ndarray | None = None,
) -> MetaProblem:
    """Data drawn from the model at `interior`, with an intercept and one covariate by default."""
    if x is None:
        x = np.column_stack([np.ones(v.n), rng.normal(size=v.n)])
    blank = MetaProblem(np.zeros(v.n), x, v, terms)
    y = x @ np.linspace(1.0, -0.5, x.shape[1])
    y = y + np.sqrt(v.variances) * rng.normal(size=v.n)
    for term, g in zip(terms, matrices(blank, interior(blank)), strict=True):
        u = rng.multivariate_normal(np.zeros(term.q), g, size=term.n_levels, method="eigh")
        y = y + term.lift(u[:, :, None])[:, 0]
    return MetaProblem(y, x, v, terms)


def diagonal_v(rng: np.random.Generator, n: int) -> SamplingCovariance:
    return SamplingCovariance.from_variances(rng.uniform(0.1, 1.0, n))


def studies(rng: np.random.Generator, n: int, count: int) -> np.ndarray:
    """Study of each row, in no order, each one used."""
    return rng.permutation(np.concatenate([np.arange(count), rng.integers(0, count, n - count)]))


def gram_correlation(rng: np.random.Generator, q: int) -> np.ndarray:
    """A positive definite correlation matrix without structure."""
    a = rng.normal(size=(q, 2 * q)) + 0.7
    g = a @ a.T
    return g / np.sqrt(np.outer(np.diag(g), np.diag(g)))


# --- without or with one random term -------------------------------------------------------


@named
def no_terms(rng):
    return problem_of(rng, diagonal_v(rng, 30), ())


@named
def no_terms_block_v(rng):
    study = studies(rng, 30, 9)
    return problem_of(rng, compound_v(rng.uniform(0.1, 1.0, 30), study, 0.6), ())


@named
def no_fixed_effects(rng):
    study = studies(rng, 30, 9)
    return problem_of(rng, diagonal_v(rng, 30), (intercept("study", study),), np.empty((30, 0)))


@named
def one_intercept(rng):
    return problem_of(rng, diagonal_v(rng, 40), (intercept("study", studies(rng, 40, 11)),))


# --- nested intercepts, diagonal V ---------------------------------------------------------


@named
def nested_two(rng):
    study = studies(rng, 40, 10)
    terms = intercept("study", study), intercept("study/id", np.arange(40))
    return problem_of(rng, diagonal_v(rng, 40), terms)


@named
def nested_three_mixed_order(rng):
    paper = studies(rng, 60, 25)
    terms = (
        intercept("author/lab/paper", paper),
        intercept("author", paper // 9),
        intercept("author/lab", paper // 3),
    )
    return problem_of(rng, diagonal_v(rng, 60), terms)


@named
def nested_four(rng):
    paper = studies(rng, 60, 25)
    terms = (
        intercept("author/lab", paper // 3),
        intercept("author/lab/paper", paper),
        intercept("author/lab/paper/id", rng.permutation(60)),
        intercept("author", paper // 9),
    )
    return problem_of(rng, diagonal_v(rng, 60), terms)


@named
def same_partition(rng):
    study = studies(rng, 40, 10)
    terms = (
        intercept("study", study),
        intercept("cohort", 9 - study),
        intercept("row", np.arange(40)),
        intercept("id", rng.permutation(40)),
    )
    return problem_of(rng, diagonal_v(rng, 40), terms)


@named
def singletons(rng):
    study = np.concatenate([np.arange(12), [12, 12, 13, 13, 13]])
    terms = intercept("study", study), intercept("study/id", np.arange(17))
    return problem_of(rng, diagonal_v(rng, 17), terms)


@named
def unbalanced(rng):
    study = np.repeat(np.arange(8), [60, 1, 2, 1, 25, 3, 1, 7])
    terms = intercept("study", study), intercept("study/id", np.arange(100))
    return problem_of(rng, diagonal_v(rng, 100), terms)


@named
def wide_scale(rng):
    study = studies(rng, 40, 10)
    v = SamplingCovariance.from_variances(10 ** rng.uniform(-4, 2, 40))
    terms = intercept("study", study), intercept("study/id", np.arange(40))
    return problem_of(rng, v, terms)


@named
def zero_variances(rng):
    v = rng.uniform(0.1, 1.0, 30)
    v[[2, 3, 17]] = 0.0
    terms = intercept("study", studies(rng, 30, 8)), intercept("id", np.arange(30))
    return problem_of(rng, SamplingCovariance.from_variances(v), terms)


# --- crossed and known correlations --------------------------------------------------------


@named
def crossed(rng):
    terms = (
        intercept("study", studies(rng, 50, 12)),
        intercept("species", rng.integers(0, 6, 50)),
    )
    return problem_of(rng, diagonal_v(rng, 50), terms)


@named
def crossed_with_id(rng):
    study = studies(rng, 50, 12)
    terms = (
        intercept("study", study),
        intercept("id", np.arange(50)),
        intercept("species", rng.integers(0, 6, 50)),
    )
    return problem_of(rng, compound_v(rng.uniform(0.1, 1.0, 50), study, 0.4), terms)


def _species_effect(name: str, species: np.ndarray, r: np.ndarray) -> RandomTerm:
    labels = tuple(f"s{i}" for i in range(len(r)))
    everything = np.zeros(len(species), dtype=np.intp)
    return RandomTerm(name, everything, ("",), Known(r, labels), inner=species)


@named
def known_correlation(rng):
    species = rng.integers(0, 7, 45)
    terms = (
        intercept("study", studies(rng, 45, 12)),
        intercept("species", species),
        _species_effect("phylo", species, gram_correlation(rng, 7)),
        intercept("id", np.arange(45)),
    )
    return problem_of(rng, diagonal_v(rng, 45), terms)


@named
def two_known_correlations(rng):
    species, region = rng.integers(0, 7, 45), rng.integers(0, 5, 45)
    terms = (
        _species_effect("phylo", species, gram_correlation(rng, 7)),
        _species_effect("region", region, gram_correlation(rng, 5)),
    )
    return problem_of(rng, diagonal_v(rng, 45), terms)


# --- inner | outer, block V, missing cells -------------------------------------------------


def _multivariate(rng: np.random.Generator, structure: CovarianceStructure) -> MetaProblem:
    q = structure.q
    study, outcome = np.divmod(np.arange(18 * q), q)
    keep = np.sort(rng.permutation(18 * q)[: 14 * q])
    study, outcome = study[keep], outcome[keep]
    v = compound_v(rng.uniform(0.1, 1.0, len(keep)), study, 0.5)
    x = np.eye(q)[outcome]
    return problem_of(rng, v, (correlated("outcome | study", study, outcome, structure),), x)


@named
def multivariate_diag(rng):
    return _multivariate(rng, Diagonal(("a", "b", "c")))


@named
def multivariate_cs(rng):
    return _multivariate(rng, CompoundSymmetry(("a", "b", "c")))


@named
def multivariate_un(rng):
    return _multivariate(rng, Unstructured(("a", "b", "c")))


@named
def five_outcomes(rng):
    """Few studies report all five."""
    return _multivariate(rng, Unstructured(tuple("abcde")))


@named
def outcomes_and_slopes(rng):
    """Two terms with the same groups, in studies with fewer and with more rows than effects."""
    study, outcome = studies(rng, 70, 14), rng.integers(0, 2, 70)
    x = np.column_stack([np.ones(70), rng.normal(size=70)])
    term = correlated("outcome | study", study, outcome, Diagonal(("a", "b")))
    slopes = RandomTerm(
        "1 + x | study", term.level, term.level_labels, Unstructured(("1", "x")), z=x.copy()
    )
    v = compound_v(rng.uniform(0.1, 1.0, 70), study, 0.3)
    return problem_of(rng, v, (term, slopes), x)


@named
def repeated_cells(rng):
    """Several rows of one outcome in one study, so that an id term is identified."""
    study, outcome = studies(rng, 60, 12), rng.integers(0, 2, 60)
    term = correlated("outcome | study", study, outcome, Unstructured(("a", "b")))
    v = compound_v(rng.uniform(0.1, 1.0, 60), study, 0.3)
    return problem_of(rng, v, (term, intercept("id", np.arange(60))), np.eye(2)[outcome])


@named
def random_slopes(rng):
    study, species = studies(rng, 50, 12), rng.integers(0, 5, 50)
    x = np.column_stack([np.ones(50), rng.normal(size=50)])
    level = intercept("study", study)
    slopes = RandomTerm(
        "1 + x | study", level.level, level.level_labels, Unstructured(("1", "x")), z=x.copy()
    )
    terms = slopes, intercept("species", species), intercept("id", np.arange(50))
    return problem_of(rng, diagonal_v(rng, 50), terms, x)


@named
def scattered_blocks(rng):
    """Blocks of V whose rows are not next to each other, across the random effects."""
    block, study = np.arange(36) % 12, studies(rng, 36, 9)
    v = compound_v(rng.uniform(0.1, 1.0, 36), block, -0.3)
    return problem_of(rng, v, (intercept("study", study), intercept("id", np.arange(36))))


@named
def spatial_sites(rng):
    sites = rng.uniform(0.0, 4.0, size=(15, 2))
    distance = np.linalg.norm(sites[:, None] - sites, axis=2)
    labels = tuple(f"site {i}" for i in range(15))
    site = rng.permutation(np.concatenate([np.arange(15), rng.integers(0, 15, 20)]))
    everything = np.zeros(35, dtype=np.intp)
    term = RandomTerm("site", everything, ("",), SpatialExponential(labels, distance), inner=site)
    return problem_of(rng, diagonal_v(rng, 35), (term,))
