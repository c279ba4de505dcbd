"""Any structure with some of its components held equal to each other."""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.structures.base import (
    ByNaturalChart,
    Chart,
    Component,
    CovarianceStructure,
    several_correlations,
)
from mvmeta.structures.scaled import ScaledCorrelation, StandardDeviations


class _Shared(Chart):
    """A chart whose coordinate j is parameter ``group[j]`` of m: several move as one.

    Parameters
    ----------
    chart : Chart
        In J coordinates.
    group : ndarray of int, shape (J,)
    """

    def __init__(self, chart: Chart, group: Ints) -> None:
        self._chart, self._group = chart, group
        m = int(group.max()) + 1
        self.lower, self.upper = np.full(m, -np.inf), np.full(m, np.inf)
        np.maximum.at(self.lower, group, chart.lower)
        np.minimum.at(self.upper, group, chart.upper)
        self._sum = (np.arange(m)[:, None] == group).astype(float)

    def matrix(self, x: Floats) -> Floats:
        return self._chart.matrix(np.asarray(x, dtype=float)[self._group])

    def jacobian(self, x: Floats) -> Floats:
        first = self._chart.jacobian(np.asarray(x, dtype=float)[self._group])
        return np.asarray(np.tensordot(self._sum, first, axes=1))

    def hessian(self, x: Floats) -> Floats | None:
        second = self._chart.hessian(np.asarray(x, dtype=float)[self._group])
        if second is None:
            return None
        half = np.tensordot(self._sum, second, axes=1)
        out = np.tensordot(self._sum, half.swapaxes(0, 1), axes=1)
        return np.asarray((out + out.swapaxes(0, 1)) / 2.0)


class Tied(ByNaturalChart):
    """A structure in which components of one group have one value.

    It has one component per group: what is equal is one parameter, in the table, in the count
    of parameters, and in every derivative.  The level of a group is "A=B" for the levels A and
    B, and "" for all of a kind.  Where only variances are tied and the structure works in
    standard deviations, these are shared.  Otherwise the working parameters are those of
    ``inner.separable()``, shared; with UN, or tied correlations of TOEP and HTOEP, G may then
    be indefinite within the bounds, and the optimiser steps back where M is not positive
    definite.

    Parameters
    ----------
    inner : CovarianceStructure
        The structure that gives G.
    group : sequence of int, shape (n_components,)
        Group of each component of `inner`, 0, 1, ... in the order of their first members; a
        group is of one kind.
    """

    code = "TIED"

    def __init__(self, inner: CovarianceStructure, group: Sequence[int] | Ints) -> None:
        self.inner, self.group = inner, np.asarray(group, dtype=np.intp)
        self.q, self.labels = inner.q, inner.labels
        self._coordinates = inner if _ties_scales_only(inner, self.group) else inner.separable()
        self._natural = _Shared(inner, self.group)
        self._working = _Shared(self._coordinates.working, self.group)
        self.first = np.unique(self.group, return_index=True)[1]
        bounds = zip(self._natural.lower, self._natural.upper, strict=True)
        self.components = tuple(
            Component(
                inner.components[j].kind,
                self._level(g),
                float(lower),
                float(upper),
                inner.components[j].power,
            )
            for g, (j, (lower, upper)) in enumerate(zip(self.first, bounds, strict=True))
        )

    def _level(self, g: int) -> str:
        components = self.inner.components
        members = [c for c, own in zip(components, self.group, strict=True) if own == g]
        whole = len(members) == sum(c.kind == members[0].kind for c in components)
        return "" if whole and len(members) > 1 else "=".join(c.level for c in members)

    @property
    def may_be_indefinite(self) -> bool:
        if self.inner.may_be_indefinite:
            return True
        return self._coordinates is not self.inner and several_correlations(self.inner)

    @property
    def working(self) -> Chart:
        return self._working

    def to_working(self, theta: Floats) -> Floats:
        full = np.asarray(theta, dtype=float)[self.group]
        return self._coordinates.to_working(full)[self.first]

    def to_natural(self, x: Floats) -> Floats:
        full = np.asarray(x, dtype=float)[self.group]
        return self._coordinates.to_natural(full)[self.first]

    def units(self) -> Floats:
        return self._coordinates.units()[self.first]

    def separable(self) -> CovarianceStructure:
        return Tied(self.inner.separable(), self.group)

    def starts(self, scale: float) -> list[Floats]:
        out: list[Floats] = []
        for start in self.inner.starts(scale):
            x = self.to_working(self.inner.to_natural(start)[self.first])
            if not any(np.array_equal(x, other) for other in out):
                out.append(x)
        return out

    def root(self, theta: Floats) -> Floats:
        return self.inner.root(np.asarray(theta, dtype=float)[self.group])


def _ties_scales_only(inner: CovarianceStructure, group: Ints) -> bool:
    """Whether standard deviations are working parameters and nothing else is tied."""
    if not isinstance(inner, ScaledCorrelation):
        return False
    others = group[inner.n_scales :]
    alone = len(np.unique(others)) == len(others)
    return isinstance(inner.working, StandardDeviations) and alone
