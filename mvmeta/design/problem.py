"""Everything observed, as frozen arrays: the one input of the numerical core."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.layout import connected
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.sharing import Sharing
from mvmeta.design.terms import RandomTerm
from mvmeta.structures.base import Component, CovarianceStructure


@dataclass(frozen=True, eq=False)
class MetaProblem:
    """y = X b + sum_j Z_j u_j + e with e ~ N(0, V).

    Attributes
    ----------
    y : ndarray, shape (n,)
    x : ndarray, shape (n, p)
        Full column rank.
    v : SamplingCovariance
        Of the same n rows.
    terms : tuple of RandomTerm
        In the order of reporting.
    ties : tuple of tuple of int
        Positions of terms whose components are equal, one by one; no term is in two groups.
        What is equal is one working parameter, and stays one natural component per term.
    """

    y: Floats
    x: Floats
    v: SamplingCovariance
    terms: tuple[RandomTerm, ...] = ()
    ties: tuple[tuple[int, ...], ...] = ()

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def p(self) -> int:
        """Number of fixed effects."""
        return self.x.shape[1]

    @property
    def mean_variance(self) -> float:
        """Mean of the sampling variances."""
        return float(self.v.variances.mean())

    @property
    def mean_square(self) -> float:
        """Mean of y^2."""
        return float(self.y @ self.y) / max(self.n, 1)

    @property
    def zero_variances(self) -> Ints:
        """Rows whose sampling variance is 0."""
        return np.flatnonzero(self.v.variances == 0)

    @property
    def holds_rows(self) -> bool:
        """Whether its rows, and the levels they are in, can be looked at."""
        return True

    @property
    def inseparable(self) -> Ints:
        """Rows of variance 0 that carry the same random effects as another such row.

        Their rows of M are equal whatever the components are: M is singular.  Terms pinned at
        0 do not count.
        """
        zero = self.zero_variances
        if len(zero) < 2:
            return zero[:0]
        keys: list[Floats] = [np.zeros((len(zero), 1))]
        for t in self.terms:
            if not _is_zero(t.structure):
                carried = t.inner if t.z is None else t.z
                keys.append(t.level[zero, None].astype(float))
                if carried is not None:
                    keys.append(carried[zero].reshape(len(zero), -1).astype(float))
        _, group, count = np.unique(
            np.hstack(keys), axis=0, return_inverse=True, return_counts=True
        )
        return zero[count[group.ravel()] > 1]

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """All natural parameters, term by term."""
        return tuple(c for t in self.terms for c in t.structure.components)

    @cached_property
    def fixed(self) -> Bools:
        """Which natural parameters are constants, shape (n_components,)."""
        return _concatenate([t.structure.fixed for t in self.terms], bool)

    @cached_property
    def power(self) -> Floats:
        """Power of the unit of y by which each natural parameter scales, (n_components,)."""
        return np.array([float(c.power) for c in self.components])

    @cached_property
    def cluster(self) -> Ints:
        """Code (n,) of the independent cluster each row belongs to."""
        return connected([self.v.cluster, *(t.level for t in self.terms)])

    def take(self, rows: Ints) -> "MetaProblem":
        """The problem on the given rows (integer positions); X must keep full column rank."""
        terms = tuple(t.take(rows) for t in self.terms)
        return MetaProblem(self.y[rows], self.x[rows], self.v.take(rows), terms, self.ties)

    @cached_property
    def shared(self) -> Sharing:
        """Which natural components are one parameter."""
        return Sharing.of([len(t.structure.components) for t in self.terms], self.ties)

    @cached_property
    def shared_working(self) -> Sharing:
        """Which working parameters, term by term, are one."""
        return Sharing.of([len(t.structure.working.lower) for t in self.terms], self.ties)

    @property
    def estimated(self) -> Bools:
        """Components that count as parameters: not pinned, and of equal ones the first."""
        return ~self.fixed & self.shared.leading

    def split(self, theta: Floats) -> list[Floats]:
        """Cut natural `theta` (n_components,) into one piece per term."""
        theta = np.asarray(theta, dtype=float)
        return [theta[place] for place in self._places]

    def split_working(self, x: Floats) -> list[Floats]:
        """Cut working parameters into one piece per term; tied terms get the same."""
        full = self.shared_working.spread(np.asarray(x, dtype=float))
        return [full[place] for place in self._working_places]

    @cached_property
    def _places(self) -> list[slice]:
        """Where the natural components of each term stand."""
        return _runs([len(t.structure.components) for t in self.terms])

    @cached_property
    def _working_places(self) -> list[slice]:
        """Where the working parameters of each term stand."""
        return _runs([len(t.structure.working.lower) for t in self.terms])

    def join_working(self, pieces: Sequence[Floats]) -> Floats:
        """Put working parameters of the terms together; of tied terms the first is taken."""
        return self.shared_working.lead(_concatenate(list(pieces), float))

    @property
    def working_bounds(self) -> tuple[Floats, Floats]:
        """Least and largest values of the working parameters (J,)."""
        charts = [t.structure.working for t in self.terms]
        return (
            self.join_working([c.lower for c in charts]),
            self.join_working([c.upper for c in charts]),
        )

    def to_natural(self, x: Floats) -> Floats:
        """Natural parameters of working `x`, pinned components filled in."""
        pieces = zip(self.terms, self.split_working(x), strict=True)
        return _concatenate([t.structure.to_natural(w) for t, w in pieces], float)

    def to_working(self, theta: Floats) -> Floats:
        """Working parameters of natural `theta`."""
        pieces = zip(self.terms, self.split(theta), strict=True)
        return self.join_working([t.structure.to_working(w) for t, w in pieces])


def _is_zero(structure: CovarianceStructure) -> bool:
    """Whether all its components are pinned, and G is 0 there."""
    if not structure.fixed.all():
        return False
    theta = structure.to_natural(structure.starts(1.0)[0])
    return not structure.matrix(theta).any()


def _runs(sizes: Sequence[int]) -> list[slice]:
    return [slice(start, end) for start, end in pairwise(accumulate(sizes, initial=0))]


def _concatenate(pieces: list[Floats] | list[Bools], dtype: type) -> np.ndarray:
    return (
        np.concatenate([np.asarray(p, dtype=dtype) for p in pieces])
        if pieces
        else np.empty(0, dtype)
    )
