"""Random designs: data, model and criterion, as plain arrays, and the same for mvmeta."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.simulations.covariances import (
    BOX,
    FREE,
    SPATIAL,
    Shape,
    matrix,
    natural,
    random_start,
)
from mvmeta import structures
from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.terms import RandomTerm


@dataclass(frozen=True, eq=False)
class Term:
    """A random term: `shape` of G, level (n,), and inner (n,) or z (n, q)."""

    shape: Shape
    level: np.ndarray
    inner: np.ndarray | None = None
    z: np.ndarray | None = None
    coordinates: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Design:
    """A data set with its model."""

    family: str
    y: np.ndarray
    x: np.ndarray
    v: np.ndarray
    terms: tuple[Term, ...]
    reml: bool
    truth: np.ndarray

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def p(self) -> int:
        """Number of fixed effects."""
        return self.x.shape[1]

    def describe(self) -> dict[str, object]:
        """The design in words and numbers, for the records."""
        return {
            "family": self.family,
            "terms": [f"{t.shape.code}(q={t.shape.q}, L={t.level.max() + 1})" for t in self.terms],
            "k": self.n,
            "p": self.p,
            "method": "REML" if self.reml else "ML",
            "v": "block" if np.any(self.v - np.diag(np.diag(self.v))) else "diagonal",
            "truth": [float(t) for t in self.truth],
        }

    def problem(self) -> MetaProblem:
        """The same for mvmeta."""
        return MetaProblem(
            self.y,
            self.x,
            SamplingCovariance.from_matrix(self.v),
            tuple(_term(f"t{i}", t) for i, t in enumerate(self.terms)),
        )


def _term(name: str, term: Term) -> RandomTerm:
    levels = tuple(range(int(term.level.max()) + 1))
    level = term.level.astype(np.intp)
    return RandomTerm(name, level, levels, _structure(term), inner=term.inner, z=term.z)


def _structure(term: Term) -> structures.CovarianceStructure:
    shape = term.shape
    labels = tuple(f"a{i:03d}" for i in range(shape.q))
    if shape.code == "1":
        return structures.Identity(kind="sigma2")
    if shape.code == "R":
        return structures.Known(shape.corr, labels)
    build = structures.structure_class({"GEN": "UN", "GDIAG": "DIAG"}.get(shape.code, shape.code))
    return build(labels, *_extras(term))


def _extras(term: Term) -> list[object]:
    """What the structure is built from besides its labels."""
    shape = term.shape
    if shape.code == "CAR":
        return [term.coordinates[:, 0]]
    if shape.code in SPATIAL:
        return [shape.distance, *([shape.smoothness] if shape.code == "MATERN" else [])]
    return [] if shape.corr is None else [shape.corr]


# --- drawing ---------------------------------------------------------------------------------

Rng = np.random.Generator


def draw(seed: int, index: int) -> Design:
    """Design number `index` of the study with this seed; always the same one."""
    rng = np.random.default_rng([seed, index])
    family = FAMILIES[index % len(FAMILIES)]
    terms: tuple[Term, ...] = ()
    while not terms:
        terms = _DRAW.get(family, _one)(rng, family, _rows(rng))
    n = len(terms[0].level)
    variances = 10 ** rng.uniform(-1, 1) * 10 ** rng.uniform(0, rng.uniform(0, 3), n)
    unit = 10.0 ** rng.integers(-3, 4) if rng.random() < 0.3 else 1.0
    v = unit**2 * _sampling(rng, variances, terms)
    x = _fixed_effects(rng, terms, n)
    return _simulate(rng, family, (x, v, terms))


def _rows(rng: Rng) -> int:
    kind = rng.random()
    low, high = (4, 40) if kind < 0.8 else (40, 100) if kind < 0.96 else (100, 300)
    return int(np.exp(rng.uniform(np.log(low), np.log(high))))


def _simulate(rng: Rng, family: str, parts: tuple[np.ndarray, np.ndarray, tuple]) -> Design:
    x, v, terms = parts
    size = float(np.diag(v).mean())
    y = x @ rng.normal(0, 3 * np.sqrt(size), x.shape[1]) + _root(v) @ rng.normal(size=len(v))
    truth = []
    for t in terms:
        theta = _true_components(rng, t.shape, size)
        truth.append(theta)
        u = rng.normal(size=(int(t.level.max()) + 1, t.shape.q)) @ _root(matrix(t.shape, theta)).T
        if t.z is not None:
            y = y + (t.z * u[t.level]).sum(axis=1)
        else:
            y = y + u[t.level, 0 if t.inner is None else t.inner]
    return Design(family, y, x, v, terms, bool(rng.random() < 0.5), np.concatenate(truth))


def _root(g: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(g)
    return vectors * np.sqrt(np.clip(values, 0, None))


def _true_components(rng: Rng, shape: Shape, size: float) -> np.ndarray:
    """Variances of 0 or over six orders of magnitude; correlations often at their bounds."""
    kind = BOX if rng.random() < 0.5 else FREE
    u = random_start(shape, kind, rng)
    n = shape.n_scales
    if shape.n_shapes and rng.random() < 0.3:
        ends = rng.choice([0.0, np.pi / 2, np.pi] if shape.code in ("UN", "GEN") else [0, 1], 1)
        kind = BOX
        low, high = shape.interval if shape.distance is None else (1e-3, 1 - 1e-6)
        pairs = shape.code in ("UN", "GEN")
        u[n:] = ends if pairs else low + (high - low) * ends
    theta = natural(shape, u, kind, size)
    factor = 10 ** rng.uniform(-3, 3, n) * (rng.random(n) > 0.3)
    if shape.code == "FA1":
        theta[:n] = np.sqrt(size) * rng.normal(size=n) * 10 ** rng.uniform(-1, 1)
        theta[shape.q :] = size * factor[shape.q :]
    else:
        theta[:n] = size * (factor if rng.random() < 0.5 else factor[:1])
    return theta


def _sampling(rng: Rng, variances: np.ndarray, terms: tuple[Term, ...]) -> np.ndarray:
    """Diagonal V, or blocks with equal correlations within the first term's levels."""
    n = len(variances)
    if rng.random() < 0.6:
        return np.diag(variances)
    block = terms[0].level
    if block.max() == 0 or block.max() == n - 1 or rng.random() < 0.2:
        block = rng.integers(0, max(n // 4, 1), n)
    largest = int(np.bincount(block).max())
    rho = rng.uniform(0, 0.95) if rng.random() < 0.8 else -0.9 / max(largest - 1, 1)
    sd = np.sqrt(variances)
    r = np.where(block[:, None] == block, rho, 0.0)
    np.fill_diagonal(r, 1.0)
    return r * np.outer(sd, sd)


def _fixed_effects(rng: Rng, terms: tuple[Term, ...], n: int) -> np.ndarray:
    """Intercept, means of the inner levels, or a meta-regression; of full rank, p < n."""
    x = np.ones((n, 1))
    inner = terms[0].inner
    if inner is not None and terms[0].shape.q <= 5 and rng.random() < 0.5:
        x = np.eye(terms[0].shape.q)[inner]
    slopes = int(rng.integers(0, 3))
    x = np.column_stack([x, rng.normal(size=(n, slopes))])
    if terms[0].z is not None:
        x = np.column_stack([terms[0].z, x[:, 1:]])
    if x.shape[1] > n - 2 or np.linalg.matrix_rank(x) < x.shape[1]:
        return np.ones((n, 1))
    return x


def _codes(rng: Rng, n: int, count: int) -> np.ndarray:
    """Level of each row, compact codes."""
    raw = rng.integers(0, max(count, 1), n)
    return np.unique(raw, return_inverse=True)[1]


def _intercept(codes: np.ndarray) -> Term:
    return Term(Shape("1", 1), np.unique(codes, return_inverse=True)[1])


def _nested(rng: Rng, family: str, k: int) -> tuple[Term, ...]:
    del family
    study = _codes(rng, k, max(2, int(k / rng.uniform(1.2, 6))))
    terms = [_intercept(study), _intercept(np.arange(k))]
    if rng.random() < 0.3:
        terms.insert(0, _intercept(study // int(rng.integers(2, 5))))
    if rng.random() < 0.2:
        terms = terms[:1]
    return tuple(terms)


def _crossed(rng: Rng, family: str, k: int) -> tuple[Term, ...]:
    del family
    count = int(rng.integers(2, 4))
    terms = [_intercept(_codes(rng, k, int(rng.integers(2, max(k // 2, 3))))) for _ in range(count)]
    return (*terms, _intercept(np.arange(k))) if rng.random() < 0.4 else tuple(terms)


def _known(rng: Rng, family: str, k: int) -> tuple[Term, ...]:
    """One level that holds all species, sites or other correlated units, plus what goes along."""
    q = max(3, int(k / rng.uniform(1.0, 3.0)))
    corr = _gram(rng, q) if family in ("R", "PROP") and rng.random() < 0.5 else _tree(rng, q)
    species = _codes(rng, k, q)
    used = np.sort(rng.permutation(q)[: species.max() + 1])
    corr = corr[np.ix_(used, used)]
    distance = 2 * (1 - corr) if family == "PHYOU" else np.zeros_like(corr)
    shape = Shape(family, len(used), distance=distance, corr=corr)
    main = Term(shape, np.zeros(k, dtype=int), species)
    more = [_intercept(species)] if family == "R" and rng.random() < 0.5 else []
    more += [_intercept(_codes(rng, k, max(2, k // 3)))] if rng.random() < 0.3 else []
    more += [_intercept(np.arange(k))] if rng.random() < 0.3 else []
    return (main, *more) if len(used) > 1 else ()


def _gram(rng: Rng, q: int) -> np.ndarray:
    a = rng.normal(size=(q, q + 2)) + 0.5
    g = a @ a.T
    sd = np.sqrt(np.diag(g))
    return g / np.outer(sd, sd)


def _tree(rng: Rng, q: int) -> np.ndarray:
    """Shared branch lengths of a random tree of height 1 whose tips are of the same age."""
    groups, out = [[i] for i in range(q)], np.eye(q)
    for height in np.sort(rng.uniform(0, 1, q - 1)):
        a = groups.pop(int(rng.integers(len(groups))))
        b = groups.pop(int(rng.integers(len(groups))))
        out[np.ix_(a, b)] = out[np.ix_(b, a)] = 1 - height
        groups.append(a + b)
    return out


def _spatial(rng: Rng, family: str, k: int) -> tuple[Term, ...]:
    outer = int(rng.integers(2, 5)) if rng.random() < 0.3 and k > 8 else 1
    site = _codes(rng, k, max(3, int(k / outer / rng.uniform(0.8, 2.0))))
    q = int(site.max()) + 1
    if q < 3:
        return ()
    coordinates = rng.uniform(0, 10 ** rng.uniform(-1, 2), (q, int(rng.integers(1, 3))))
    gap = np.linalg.norm(coordinates[:, None] - coordinates, axis=2)
    smoothness = float(rng.choice([0.5, 1.0, 1.5, 2.5, 4.0]))
    shape = Shape(family, q, distance=gap, smoothness=smoothness)
    main = Term(shape, _codes(rng, k, outer), site, coordinates=coordinates)
    return (main, _intercept(np.arange(k))) if rng.random() < 0.3 else (main,)


def _one(rng: Rng, family: str, k: int) -> tuple[Term, ...]:
    """``inner | outer`` with missing, sometimes with repeated, cells."""
    serial = family in ("AR", "HAR", "CAR", "TOEP", "HTOEP")
    q = int(rng.integers(3, 8) if serial else rng.integers(2, 6 if family == "DIAG" else 5))
    q = max(q, 3) if family == "FA1" else q
    m = max(2, int(np.ceil(k / q * rng.uniform(1.0, 1.7))))
    cell = rng.integers(0, m * q, k) if rng.random() < 0.15 else rng.permutation(m * q)[:k]
    level, inner = np.divmod(np.sort(cell), q)
    level, inner = (np.unique(a, return_inverse=True)[1] for a in (level, inner))
    q = int(inner.max()) + 1
    if q < 2 or (family == "FA1" and q < 3):
        return ()
    times = np.cumsum(rng.integers(1, 4, q) if rng.random() < 0.5 else rng.uniform(0.2, 3.0, q))
    gap = np.abs(times[:, None] - times) if family == "CAR" else None
    main = Term(Shape(family, q, distance=gap), level, inner, coordinates=times[:, None] * 1.0)
    return (main, _intercept(np.arange(len(level)))) if rng.random() < 0.15 else (main,)


def _slopes(rng: Rng, family: str, k: int) -> tuple[Term, ...]:
    level = _codes(rng, k, max(2, int(k / rng.uniform(1.5, 6))))
    q = 2 if rng.random() < 0.7 else 3
    z = np.column_stack([np.ones(k), rng.normal(size=(k, q - 1)) * 10 ** rng.uniform(-1, 1, q - 1)])
    main = Term(Shape(family, q), level, z=z)
    return (main, _intercept(np.arange(k))) if rng.random() < 0.3 else (main,)


def _mixture(rng: Rng, family: str, k: int) -> tuple[Term, ...]:
    """Two structures, or a structure with crossed and nested intercepts."""
    del family
    first = _one(rng, str(rng.choice(["CS", "HCS", "UN", "AR", "DIAG", "TOEP", "FA1"])), max(k, 8))
    if not first:
        return ()
    n = len(first[0].level)
    if rng.random() < 0.5:
        code = str(rng.choice(["SPEXP", "CS", "PHYPL", "UN"]))
        inner = _codes(rng, n, 4)
        q = int(inner.max()) + 1
        coordinates = rng.uniform(0, 3, (q, 1))
        gap = np.abs(coordinates - coordinates.T)
        shape = Shape(code, q, distance=gap, corr=_tree(rng, q) if code == "PHYPL" else None)
        level = np.zeros(n, dtype=int) if code in ("SPEXP", "PHYPL") else _codes(rng, n, n // 3)
        second = Term(shape, level, inner, coordinates=coordinates)
        return (replace(first[0]), second) if q > 1 else ()
    return (first[0], _intercept(_codes(rng, n, max(2, n // 3))), _intercept(np.arange(n)))


_DRAW: dict[str, Callable[[Rng, str, int], tuple[Term, ...]]] = {
    "nested": _nested,
    "crossed": _crossed,
    "mixture": _mixture,
    **dict.fromkeys(("R", "PROP", "PHYBM", "PHYPL", "PHYOU"), _known),
    **dict.fromkeys(SPATIAL, _spatial),
    **dict.fromkeys(("GEN", "GDIAG"), _slopes),
}

FAMILIES = (
    *("nested", "crossed", "R", "nested", "mixture", "mixture", "UN", "HCS"),
    *("ID", "DIAG", "CS", "HCS", "UN", "AR", "HAR", "CAR", "TOEP", "HTOEP", "FA1"),
    *(*SPATIAL, "GEN", "GDIAG", "R", "PROP", "PHYBM", "PHYPL", "PHYOU"),
)
"""Family of the designs, in turn; some come more than once."""
