"""Problems of every size, simulated from a seed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

SEED = 20261
DISTANCE = 0.3
"""Range of the simulated spatial correlation, on the unit square."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Data of one problem.

    Attributes
    ----------
    family : str
        "nested", "un", "crossed", "phylogeny", "spatial" or "small".
    size : int
        What the family counts: rows, studies (un) or species (phylogeny).
    frame : DataFrame
        y, v, x1, ... and the grouping columns.
    covariates : tuple of str
        Columns of the design besides the intercept.
    blocks : list of ndarray or None
        Sampling covariances of the studies where they are correlated.
    extra : dict
        What only this family has: a known correlation matrix.
    """

    family: str
    size: int
    frame: pd.DataFrame
    covariates: tuple[str, ...]
    blocks: list[np.ndarray] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def x(self) -> np.ndarray:
        """Design (n, p) with the intercept first."""
        columns = [self.frame[c].to_numpy() for c in self.covariates]
        return np.column_stack([np.ones(len(self.frame)), *columns])

    @property
    def formula(self) -> str:
        """The same as a formula."""
        return "y ~ " + (" + ".join(self.covariates) or "1")


def _rng(family: str, size: int) -> np.random.Generator:
    return np.random.default_rng([SEED, sum(family.encode()), size])


def _fixed(rng: np.random.Generator, n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    x = rng.normal(size=(n, p - 1))
    return x, 0.3 + x @ np.full(p - 1, 0.1)


def _frame(y: np.ndarray, v: np.ndarray, x: np.ndarray, **groups: Any) -> pd.DataFrame:
    moderators = {f"x{j + 1}": x[:, j] for j in range(x.shape[1])}
    return pd.DataFrame({"y": y, "v": v, **moderators, **groups})


def _names(x: np.ndarray) -> tuple[str, ...]:
    return tuple(f"x{j + 1}" for j in range(x.shape[1]))


def nested(size: int, p: int = 5, family: str = "nested") -> Problem:
    """Estimates in studies of 1 to 7, two variances, independent sampling errors."""
    rng = _rng(family, size)
    study = np.repeat(np.arange(size), rng.integers(1, 8, size=size))[:size]
    x, mean = _fixed(rng, size, p)
    v = rng.uniform(0.02, 0.2, size)
    u, w = rng.normal(0, 0.3, study.max() + 1), rng.normal(0, 0.2, size)
    y = mean + u[study] + w + rng.normal(size=size) * np.sqrt(v)
    return Problem(family, size, _frame(y, v, x, study=study, id=np.arange(size)), _names(x))


def small(size: int) -> Problem:
    """The same with few rows: three to a study, an intercept and one moderator."""
    rng = _rng("small", size)
    study = np.arange(size) // 3
    x, mean = _fixed(rng, size, 2)
    v = rng.uniform(0.02, 0.2, size)
    u, w = rng.normal(0, 0.3, study.max() + 1), rng.normal(0, 0.2, size)
    y = mean + u[study] + w + rng.normal(size=size) * np.sqrt(v)
    return Problem("small", size, _frame(y, v, x, study=study, id=np.arange(size)), _names(x))


def un(size: int) -> Problem:
    """Three outcomes of which two or three are seen in a study, correlated V and G."""
    rng = _rng("un", size)
    seen = rng.random((size, 3)) < 0.8
    lacking = seen.sum(1) < 2
    seen[lacking] = [True, True, False]
    study, outcome = np.nonzero(seen)
    g = np.array([[0.1, 0.06, 0.04], [0.06, 0.15, 0.05], [0.04, 0.05, 0.08]])
    sd = np.sqrt(rng.uniform(0.02, 0.1, (size, 3)))
    effect = rng.multivariate_normal(np.zeros(3), g, size=size)
    error = (0.5**0.5 * rng.normal(size=(size, 1)) + 0.5**0.5 * rng.normal(size=(size, 3))) * sd
    x = rng.normal(size=size)[study]
    y = (effect + error)[seen] + 0.1 * outcome + 0.1 * x
    blocks = [0.5 * (np.outer(s, s) + np.diag(s**2)) for s in (sd[i][seen[i]] for i in range(size))]
    frame = _frame(
        y, sd[seen] ** 2, x[:, None], study=study, outcome=np.array(list("abc"))[outcome]
    )
    for name in "bc":
        frame[f"is_{name}"] = (frame["outcome"] == name).astype(float)
    for name in "bc":
        frame[f"{name}_x1"] = frame[f"is_{name}"] * frame["x1"]
    return Problem("un", size, frame, ("is_b", "is_c", "x1", "b_x1", "c_x1"), blocks)


def crossed(size: int) -> Problem:
    """Estimates crossed in size/4 studies and size/20 species, and an effect of their own."""
    rng = _rng("crossed", size)
    study, species = rng.integers(0, size // 4, size), rng.integers(0, size // 20, size)
    x, mean = _fixed(rng, size, 3)
    v = rng.uniform(0.02, 0.2, size)
    y = mean + rng.normal(0, 0.3, size)[study] + rng.normal(0, 0.25, size)[species]
    y += rng.normal(0, 0.2, size) + rng.normal(size=size) * np.sqrt(v)
    groups = {"study": study, "species": species, "id": np.arange(size)}
    return Problem("crossed", size, _frame(y, v, x, **groups), _names(x))


def _tree(rng: np.random.Generator, species: int) -> np.ndarray:
    """Correlations of a random clock-like tree: lineages merge pairwise at rising heights."""
    members = [[i] for i in range(species)]
    shared = np.eye(species)
    heights = np.sort(rng.uniform(0.05, 1.0, species - 1))
    for height in heights:
        a, b = sorted(rng.choice(len(members), 2, replace=False))
        shared[np.ix_(members[a], members[b])] = 1.0 - height
        shared[np.ix_(members[b], members[a])] = 1.0 - height
        members[a] += members.pop(b)
    return shared


def phylogeny(size: int) -> Problem:
    """Five estimates per species: along a tree, by species, by study, and of their own."""
    rng = _rng("phylogeny", size)
    n = 5 * size
    correlation = _tree(rng, size)
    species, study = rng.permutation(np.arange(n) % size), rng.integers(0, size, n)
    x, mean = _fixed(rng, n, 3)
    v = rng.uniform(0.02, 0.2, n)
    along = 0.4 * np.linalg.cholesky(correlation + 1e-9 * np.eye(size)) @ rng.normal(size=size)
    y = mean + (along + rng.normal(0, 0.2, size))[species] + rng.normal(0, 0.3, size)[study]
    y += rng.normal(0, 0.2, n) + rng.normal(size=n) * np.sqrt(v)
    names = np.array([f"s{i:05d}" for i in range(size)])
    labelled = pd.DataFrame(correlation, index=names, columns=names)
    frame = _frame(y, v, x, species=names[species], study=study, id=np.arange(n))
    frame["phylo"] = frame["species"]
    return Problem("phylogeny", size, frame, _names(x), extra={"corr": labelled})


def spatial(size: int) -> Problem:
    """One estimate per site, correlations that fall exponentially with distance."""
    rng = _rng("spatial", size)
    at = rng.random((size, 2))
    distance = np.sqrt(((at[:, None] - at[None]) ** 2).sum(-1))
    field_ = np.linalg.cholesky(0.3 * np.exp(-distance / DISTANCE) + 1e-9 * np.eye(size))
    x, mean = _fixed(rng, size, 2)
    v = rng.uniform(0.02, 0.1, size)
    y = mean + field_ @ rng.normal(size=size) + rng.normal(size=size) * np.sqrt(v)
    frame = _frame(y, v, x, east=at[:, 0], north=at[:, 1], all="all")
    return Problem("spatial", size, frame, _names(x))


FAMILIES: dict[str, Callable[[int], Problem]] = {
    "small": small,
    "nested": nested,
    "un": un,
    "crossed": crossed,
    "phylogeny": phylogeny,
    "spatial": spatial,
}
"""Every family, as a function of its size."""

SIZES: dict[str, tuple[int, ...]] = {
    "small": (5, 20, 50),
    "nested": (300, 1_000, 3_000, 10_000, 100_000, 1_000_000),
    "un": (100, 300, 1_000, 10_000, 100_000),
    "crossed": (300, 1_000, 3_000, 10_000, 100_000),
    "phylogeny": (50, 200, 1_000),
    "spatial": (50, 200, 500),
}
"""Sizes that a full run takes."""

COUNTS = {"un": "studies", "phylogeny": "species"}
"""What `size` counts where it is not rows."""
