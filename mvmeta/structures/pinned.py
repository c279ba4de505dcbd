"""Any structure with some natural parameters held at given values."""

from dataclasses import replace
from functools import cached_property

import numpy as np

from mvmeta._typing import Bools, Floats
from mvmeta.errors import SpecificationError
from mvmeta.structures.base import (
    Chart,
    CovarianceStructure,
    RestrictedChart,
    Sweep,
    several_correlations,
)


class _Restricted(RestrictedChart):
    """The separable working chart of a structure with the pinned coordinates held.

    Parameters
    ----------
    inner : CovarianceStructure
        The structure.
    values : ndarray, shape (n_components,)
        Natural values, NaN where free.
    """

    def __init__(self, inner: CovarianceStructure, values: Floats) -> None:
        self._inner, self._separable = inner, inner.separable()
        free = np.isnan(values)
        # Components move one by one, so what stands in for the free ones does not matter.
        start = self._separable.to_natural(self._separable.starts(1.0)[0])
        at = self._separable.to_working(np.where(free, start, values))
        super().__init__(self._separable.working, at, free)

    def to_working(self, theta: Floats) -> Floats:
        """Free coordinates of natural `theta`."""
        return self._separable.to_working(theta)[self._free]

    def to_natural(self, x: Floats) -> Floats:
        """All natural parameters of free coordinates `x`."""
        return self._separable.to_natural(self.fill(x))

    def units(self) -> Floats:
        """Powers of the unit of y by which the free coordinates scale."""
        return self._separable.units()[self._free]

    def sweep(self) -> Sweep | None:
        """The sweep of the structure, if its parameter is free."""
        sweep = self._separable.sweep()
        if sweep is None or not self._free[sweep.index]:
            return None
        scale = sweep.scale
        if scale is not None:
            scale = int(self._free[:scale].sum()) if self._free[scale] else None
        return replace(sweep, index=int(self._free[: sweep.index].sum()), scale=scale)

    def starts(self, scale: float) -> list[Floats]:
        """Start values of the structure, those that differ in pinned components alone once."""
        out: list[Floats] = []
        for start in self._inner.starts(scale):
            x = self.to_working(self._inner.to_natural(start))
            if not any(np.array_equal(x, other) for other in out):
                out.append(x)
        return out


class Pinned(CovarianceStructure):
    """A structure whose components marked in `values` are constants, not estimates.

    Where ``inner.restricted(values)`` knows the positive semi-definite matrices with these
    values, its working parameters are taken: UN with zeros, or with one pin.  Otherwise they are
    those of ``inner.separable()``, one for each free component.  With several pins of UN, or
    correlations of TOEP or HTOEP pinned like that G may be indefinite within the bounds (for
    q = 2 it may not); the optimiser steps back where M is not positive definite.

    Parameters
    ----------
    inner : CovarianceStructure
        The structure that gives G.
    values : ndarray, shape (n_components,)
        Value of each component in reporting order; NaN where it is to be estimated.

    Raises
    ------
    SpecificationError
        If there are not as many values as components, or one is out of its range (the latter
        when the working parameters are first asked for).
    """

    def __init__(self, inner: CovarianceStructure, values: Floats) -> None:
        self.inner, self.values = inner, np.asarray(values, dtype=float)
        self.q, self.labels, self.components = inner.q, inner.labels, inner.components
        if self.values.shape != (len(self.components),):
            raise SpecificationError(
                f"{self.values.size} fixed values for the {len(self.components)} components of "
                f"struct={inner.code!r}; give one for each, None where it is estimated"
            )

    @property
    def fixed(self) -> Bools:
        return ~np.isnan(self.values)

    @cached_property
    def _coordinates(self) -> CovarianceStructure | _Restricted:
        return self.inner.restricted(self.values) or _Restricted(self.inner, self.values)

    @property
    def may_be_indefinite(self) -> bool:
        if self.inner.may_be_indefinite:
            return True
        return isinstance(self._coordinates, _Restricted) and several_correlations(self.inner)

    @property
    def working(self) -> Chart:
        own = self._coordinates
        return own if isinstance(own, _Restricted) else own.working

    def matrix(self, x: Floats) -> Floats:
        return self.inner.matrix(x)

    def jacobian(self, x: Floats) -> Floats:
        return self.inner.jacobian(x)

    def hessian(self, x: Floats) -> Floats | None:
        return self.inner.hessian(x)

    def to_working(self, theta: Floats) -> Floats:
        return self._coordinates.to_working(theta)

    def to_natural(self, x: Floats) -> Floats:
        return np.where(self.fixed, self.values, self._coordinates.to_natural(x))

    def units(self) -> Floats:
        return self._coordinates.units()

    def straightened(self, theta: Floats) -> CovarianceStructure | None:
        own = self._coordinates
        straight = None if isinstance(own, _Restricted) else own.straightened(theta)
        if straight is None:
            return None
        other = Pinned(self.inner, self.values)
        other.__dict__["_coordinates"] = straight
        return other

    def sweep(self) -> Sweep | None:
        return self._coordinates.sweep()

    def starts(self, scale: float) -> list[Floats]:
        return self._coordinates.starts(scale)

    def root(self, theta: Floats) -> Floats:
        return self.inner.root(theta)

    def on_boundary(self, theta: Floats) -> Bools:
        return self.inner.on_boundary(theta) & ~self.fixed
