"""Sampling errors of effects as sums of the errors of their arms, which effects may share."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.design.impute import Part

Relation = Literal["exclusive", "nested"]
"""How two events go together."""

Pair = tuple[Floats, Floats]
"""One array (n,) for the first arms, one for the second ones."""


@dataclass(frozen=True, eq=False)
class People:
    """Outcomes that correlate in people: `rho` between two of them, in every arm."""

    rho: Part

    def between(self, a: int, b: int, i: Ints, j: Ints) -> Floats:  # noqa: ARG002  (of all arms)
        """Correlation of the outcomes of rows i and j within a person, broadcast."""
        return self.rho(i, j)


@dataclass(frozen=True, eq=False)
class Events:
    """Events that exclude or contain each other, whose correlation follows from their risks.

    For risks p and q, ``-sqrt(p q / ((1 - p) (1 - q)))`` of events of which no two happen to one
    person, ``sqrt(p (1 - q) / (q (1 - p)))``, p <= q, of an event that is part of the other one.

    Attributes
    ----------
    relation : {"exclusive", "nested"}
    risk : pair of ndarray, each (n,)
    """

    relation: Relation
    risk: Pair

    def between(self, a: int, b: int, i: Ints, j: Ints) -> Floats:
        """Correlation in arm a of rows i, which is arm b of rows j, broadcast."""
        p, q = self.risk[a][i], self.risk[b][j]
        odds, other = p / (1 - p), q / (1 - q)
        if self.relation == "exclusive":
            return np.asarray(-np.sqrt(odds * other))
        return np.asarray(np.sqrt(np.minimum(odds, other) / np.maximum(odds, other)))


@dataclass(frozen=True, eq=False)
class SharedArms:
    """Effects of arms: the errors of two rows covary by the arms that both have.

    Attributes
    ----------
    arms : pair of ndarray of int, each (n,)
        Codes of the first and the second arm, which need to agree within a cluster only; -1 where
        there is none.
    location, spread : pair of ndarray, each (n,)
        Signed standard deviations of the two independent parts of an arm's error in the effect.
    size : pair of ndarray, each (n,)
        People (or person-time) the arm's numbers are from.
    outcome : ndarray of int, shape (n,)
    within : People or Events or None
        Correlation of different outcomes; None where there is one outcome.
    overlap : Part or None
        Of the people of the smaller of two groups that an arm is for two outcomes, the share that
        is in the larger one; all of them unless given.
    pooled : ndarray, shape (n,), or None
        Signed standard deviations of a part that all rows of a cluster share.
    """

    arms: tuple[Ints, Ints]
    location: Pair
    spread: Pair
    size: Pair
    outcome: Ints
    within: People | Events | None = None
    overlap: Part | None = None
    pooled: Floats | None = None

    @cached_property
    def variances(self) -> Floats:
        """Variance (n,) of each row's error."""
        parts = [*self.location, *self.spread]
        total: Floats = np.sum(np.square(parts), axis=0)
        return total if self.pooled is None else total + self.pooled**2

    def __call__(self, i: Ints, j: Ints) -> Floats:
        """Correlation of rows i and j, broadcast."""
        scale = np.sqrt(self.variances[i] * self.variances[j])
        covariance = self._covariance(i, j)
        return np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale != 0)

    def _covariance(self, i: Ints, j: Ints) -> Floats:
        # In this order the result for (j, i) is the same to the last bit.
        crossed = self._arms(0, 1, i, j) + self._arms(1, 0, i, j)
        out = (self._arms(0, 0, i, j) + self._arms(1, 1, i, j)) + crossed
        if self.pooled is None:
            return out
        return out + self._outcomes(0, 0, i, j) ** 2 * (self.pooled[i] * self.pooled[j])

    def _arms(self, a: int, b: int, i: Ints, j: Ints) -> Floats:
        first, second = self.arms[a][i], self.arms[b][j]
        n, m = self.size[a][i], self.size[b][j]
        people = np.sqrt(np.minimum(n, m) / np.maximum(n, m))
        if self.overlap is not None:
            people = people * self._where_different(self.overlap(i, j), i, j)
        r = self._outcomes(a, b, i, j)
        means = r * (self.location[a][i] * self.location[b][j])
        spreads = r**2 * (self.spread[a][i] * self.spread[b][j])
        return np.where((first == second) & (first >= 0), people * (means + spreads), 0.0)

    def _outcomes(self, a: int, b: int, i: Ints, j: Ints) -> Floats:
        if self.within is None:
            return np.ones(np.broadcast_shapes(i.shape, j.shape))
        return self._where_different(self.within.between(a, b, i, j), i, j)

    def _where_different(self, value: Floats, i: Ints, j: Ints) -> Floats:
        """`value` for rows of different outcomes, else 1."""
        return np.where(self.outcome[i] == self.outcome[j], 1.0, value)
