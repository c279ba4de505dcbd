"""Components that are not estimated: what the user fixed, and what the data cannot tell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.errors import SpecificationError
from mvmeta.model.random import SPATIAL, TermSpec
from mvmeta.structures import CovarianceStructure, Pinned

OWN_VARIANCE = frozenset({"HCS", "UN", "DIAG", "HAR"})
"""Structures with a variance per inner level."""

ONE_RHO = frozenset({"CS", "HCS", "AR", "HAR", "CAR"})
"""Structures with one correlation parameter for all pairs of inner levels."""

SINGULAR_TOLERANCE = 1e-10
"""An eigenvalue above -this times the largest of a fixed G counts as zero."""


@dataclass(frozen=True, eq=False)
class Occurrence:
    """Which inner levels were seen in which outer levels.

    Attributes
    ----------
    outer : ndarray of int, shape (n,)
    inner : ndarray of int, shape (n,)
    q : int
        Number of inner levels.
    """

    outer: Ints
    inner: Ints
    q: int

    @property
    def one_row_each(self) -> bool:
        """True where no outer level has two rows."""
        return len(np.unique(self.outer)) == len(self.outer)

    def together(self) -> sparse.csr_array:
        """Number of outer levels that have both inner levels, shape (q, q)."""
        shape = (int(self.outer.max()) + 1, self.q)
        seen = sparse.coo_array(
            (np.ones(len(self.outer)), (self.outer, self.inner)), shape=shape
        ).tocsr()
        seen.data[:] = 1.0
        return (seen.T @ seen).tocsr()


class _Pins:
    """The values being collected, and a note for every automatic one."""

    def __init__(self, structure: CovarianceStructure, name: str) -> None:
        self.structure, self.name = structure, name
        self.values: Floats = np.full(len(structure.components), np.nan)
        self.notes: list[str] = []

    def where(self, *kinds: str) -> Ints:
        """Positions of the components of these kinds."""
        return np.flatnonzero([c.kind in kinds for c in self.structure.components])

    def zero(self, which: Ints | Bools, why: str) -> None:
        """Fix components at 0 that are not fixed yet; `why` completes the note."""
        for j in np.arange(len(self.values))[which]:
            if np.isnan(self.values[j]):
                self.values[j] = 0.0
                self.notes.append(f"{self._label(int(j))} fixed at 0: {why}")

    def _label(self, j: int) -> str:
        component = self.structure.components[j]
        level = f" ({component.level})" if component.level else ""
        return f"{component.kind}{level} of {self.name!r}"


def pin(
    structure: CovarianceStructure,
    spec: TermSpec,
    n_levels: int,
    occurrence: Occurrence | None,
    saturated: bool,
) -> tuple[CovarianceStructure, list[str]]:
    """Fix what the user fixed and what the data have no information on; the user's values win.

    Parameters
    ----------
    structure : CovarianceStructure
    spec : TermSpec
    n_levels : int
        Levels of the grouping factor (of the species, for a known matrix).
    occurrence : Occurrence or None
        For terms with an inner factor.
    saturated : bool
        True where there are as many fixed effects as rows: nothing is left for components.

    Returns
    -------
    structure : CovarianceStructure
        The same, or wrapped in `Pinned`.
    notes : list of str
        One sentence for every component that was fixed automatically.

    Raises
    ------
    SpecificationError
        If the user's values do not fit the components of the structure.
    """
    pins = _Pins(structure, spec.name)
    _fill(pins, spec)
    _check_fixed_matrix(pins)
    if saturated:
        pins.zero(pins.where("sigma2", "tau2"), "the model has as many fixed effects as rows")
    elif spec.code is None and n_levels == 1:
        pins.zero(pins.where("sigma2"), "its grouping factor has a single level")
    if occurrence is not None and spec.code is not None:
        _unseen(pins, spec.code, occurrence)
    _without_variance(pins, spec)
    if np.isnan(pins.values).all():
        return structure, pins.notes
    return Pinned(structure, pins.values), pins.notes


def _fill(pins: _Pins, spec: TermSpec) -> None:
    for kind, given in spec.pins.items():
        which = pins.where(kind)
        values: Sequence[float | None] = (
            given if isinstance(given, tuple) else (given,) * len(which)
        )
        if len(values) != len(which):
            labels = [pins.structure.components[j].level for j in which]
            raise SpecificationError(
                f"fixed {kind} of {spec.name!r} has {len(values)} entries, but the term has "
                f"{len(which)}: {', '.join(labels) or 'none'}; use None for those to be estimated"
            )
        for j, value in zip(which, values, strict=True):
            component = pins.structure.components[j]
            if value is not None and not component.lower <= value <= component.upper:
                raise SpecificationError(
                    f"fixed {kind} of {spec.name!r} is {value:g}, outside its range "
                    f"[{component.lower:g}, {component.upper:g}]"
                )
            pins.values[j] = np.nan if value is None else value


def _check_fixed_matrix(pins: _Pins) -> None:
    if np.isnan(pins.values).any():
        return
    values = np.linalg.eigvalsh(pins.structure.matrix(pins.values))
    if values[0] < -SINGULAR_TOLERANCE * max(abs(values[-1]), np.finfo(float).tiny):
        raise SpecificationError(
            f"the fixed components of {pins.name!r} give no covariance matrix "
            f"(smallest eigenvalue {values[0]:.3g}); make the correlations smaller"
        )


def _unseen(pins: _Pins, code: str, occurrence: Occurrence) -> None:
    variances, rhos = pins.where("tau2"), pins.where("rho")
    if code in OWN_VARIANCE:
        together = occurrence.together()
        once = together.diagonal() <= 1
        pins.zero(variances[once], "its level is seen in a single outer level")
        if code == "UN":
            first, second = np.triu_indices(occurrence.q, 1)
            apart = np.asarray(together.toarray())[first, second] == 0
            pins.zero(rhos[apart], "the two levels are never seen together")
    if code in ONE_RHO and occurrence.q == 1:
        pins.zero(rhos, "there is a single inner level")
    elif code in ONE_RHO and occurrence.one_row_each:
        pins.zero(rhos, "every outer level has one row")


def _without_variance(pins: _Pins, spec: TermSpec) -> None:
    """Correlations with an effect whose variance is fixed at 0 mean nothing."""
    variances, rhos = pins.where("sigma2", "tau2"), pins.where("rho")
    dead = pins.values[variances] == 0
    if not len(rhos) or not dead.any():
        return
    why = "a variance it belongs to is fixed at 0"
    if spec.code in {"UN", "GEN"}:
        first, second = np.triu_indices(len(variances), 1)
        pins.zero(rhos[dead[first] | dead[second]], why)
    elif spec.code in SPATIAL:
        _park(pins, rhos)
    elif (~dead).sum() < min(2, len(variances)):
        pins.zero(rhos, why)


def _park(pins: _Pins, rhos: Ints) -> None:
    """A range of 0 divides by zero; with G = 0 the start value is as good as any."""
    start = pins.structure.to_natural(pins.structure.starts(1.0)[0])
    for j in rhos[np.isnan(pins.values[rhos])]:
        pins.values[j] = start[j]
        pins.notes.append(
            f"rho of {pins.name!r} held at {start[j]:.4g}: its variance is fixed at 0"
        )
