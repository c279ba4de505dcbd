"""Effects correlated in two ways: a known matrix over one factor times any G over another."""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Bools, Floats
from mvmeta.errors import SpecificationError
from mvmeta.structures.base import ByNaturalChart, Chart, CovarianceStructure, Sweep, matrix_root

MOST_ENTRIES = 2**27
"""Numbers (1 GiB of them) that the derivatives of one product may hold."""


class _Product(Chart):
    """``R (x) G(x)`` in the coordinates of a chart for G."""

    def __init__(self, correlation: Floats, chart: Chart) -> None:
        self._r, self._chart = correlation, chart
        self.lower, self.upper = chart.lower, chart.upper

    def matrix(self, x: Floats) -> Floats:
        return np.asarray(np.kron(self._r, self._chart.matrix(x)), dtype=float)

    def jacobian(self, x: Floats) -> Floats:
        return np.asarray(np.kron(self._r[None], self._chart.jacobian(x)), dtype=float)

    def hessian(self, x: Floats) -> Floats | None:
        second = self._chart.hessian(x)
        if second is None:
            return None
        return np.asarray(np.kron(self._r[None, None], second), dtype=float)


class Kronecker(ByNaturalChart):
    """``R (x) G``: effects of T inner levels in each of S outer levels with a known R (S, S).

    The covariance of inner level t in outer level s with t' in s' is ``R_ss' G_tt'``.  With
    outer levels species, inner levels traits and R a phylogeny it is the multivariate
    phylogenetic model.  Components, edges and working parameters are those of G; everything
    about R (x) G follows from G, its root being the product of the roots.

    Derivatives are held as stacks of (S T, S T) matrices, one per parameter and, where G is
    not linear in them, per pair of parameters.

    Parameters
    ----------
    correlation : ndarray, shape (S, S)
        R, symmetric positive semi-definite.
    outer : sequence of str
        The S outer levels.
    structure : CovarianceStructure
        Gives G (T, T); may have pinned or tied components.

    Raises
    ------
    SpecificationError
        If the derivatives would hold more than `MOST_ENTRIES` numbers; says how many.
    """

    code = "KRONECKER"

    def __init__(
        self, correlation: Floats, outer: Sequence[str], structure: CovarianceStructure
    ) -> None:
        self.correlation, self.outer, self.structure = correlation, tuple(outer), structure
        self.q = len(self.outer) * structure.q
        self.components = structure.components
        _check_size(self)
        self.labels = tuple(f"{s}:{t}" for s in self.outer for t in structure.labels)
        self._natural = _Product(correlation, structure)

    @property
    def fixed(self) -> Bools:
        return self.structure.fixed

    @property
    def may_be_indefinite(self) -> bool:
        return self.structure.may_be_indefinite

    @property
    def working(self) -> Chart:
        return self.over(self.structure.working)

    def over(self, chart: Chart) -> Chart:
        """``R (x) G`` in the coordinates of another chart for G."""
        return _Product(self.correlation, chart)

    def to_working(self, theta: Floats) -> Floats:
        return self.structure.to_working(theta)

    def to_natural(self, x: Floats) -> Floats:
        return self.structure.to_natural(x)

    def units(self) -> Floats:
        return self.structure.units()

    def sweep(self) -> Sweep | None:
        return self.structure.sweep()

    def separable(self) -> CovarianceStructure:
        return Kronecker(self.correlation, self.outer, self.structure.separable())

    def starts(self, scale: float) -> list[Floats]:
        return self.structure.starts(scale)

    def root(self, theta: Floats) -> Floats:
        half = np.kron(matrix_root(self.correlation), self.structure.root(theta))
        return np.asarray(half, dtype=float)

    def on_boundary(self, theta: Floats) -> Bools:
        return self.structure.on_boundary(theta)


def _check_size(product: Kronecker) -> None:
    structure = product.structure
    count = len(structure.components)
    start = structure.to_natural(structure.starts(1.0)[0])
    stack = count if structure.hessian(start) is None else count * (count + 1)
    if stack * product.q**2 > MOST_ENTRIES:
        raise SpecificationError(
            f"the known matrix of {len(product.outer)} levels times the covariance of "
            f"{structure.q} inner levels has {product.q} effects; its derivatives in {count} "
            f"components would take {stack * product.q**2 * 8 / 2**30:.3g} GiB (the limit is "
            f"{MOST_ENTRIES * 8 // 2**30}): use a structure with fewer components, such as DIAG, "
            "or fewer levels"
        )
