"""Components that are not estimated on their own: what the user said, what the data cannot tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import sparse

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.layout import recode
from mvmeta.errors import SpecificationError
from mvmeta.model.specification.frames import shorten
from mvmeta.model.specification.grammar import SPATIAL
from mvmeta.model.specification.specs import TermSpec
from mvmeta.structures import CovarianceStructure, Pinned, Tied
from mvmeta.structures.unstructured.roots import INDEFINITE

OWN_VARIANCE = frozenset({"HCS", "UN", "DIAG", "HAR", "HTOEP", "FA1"})
"""Structures with variances of their own for each inner level."""

ONE_RHO = frozenset({"CS", "HCS", "AR", "HAR", "CAR", "PHYPL"})
"""Structures with one parameter (rho, lambda) that links all pairs of inner levels, 0 for none."""

LAGGED = frozenset({"TOEP", "HTOEP"})
"""Structures with a correlation for each lag."""

HELD = SPATIAL | {"PHYOU"}
"""Structures with a range or rate that says nothing at 0 and is held at its start value."""

SINGULAR_TOLERANCE = 1e-10
"""An eigenvalue above -this times the largest of a fixed G counts as zero."""

MOST_NOTES = 3
"""Components fixed for one reason that get a note of their own; more share one."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Occurrence:
    """Which inner levels were seen in which outer levels.

    Attributes
    ----------
    outer : ndarray of int, shape (n,)
    inner : ndarray of int, shape (n,)
    q : int
        Number of inner levels.
    linked : ndarray of bool, shape (L, L), or None
        Outer levels that are correlated; None where each is so with itself alone.
    """

    outer: Ints
    inner: Ints
    q: int
    linked: Bools | None = None

    @property
    def one_row_each(self) -> bool:
        """True where no two rows share an outer level or have correlated ones."""
        alone = recode(self.outer)[1] == len(self.outer)
        if self.linked is None:
            return alone
        return alone and bool((self.linked.sum(axis=1) <= 1).all())

    @property
    def outer_levels(self) -> Ints:
        """Number of outer levels in which each inner level was seen, shape (q,)."""
        return np.asarray((self._seen() > 0).sum(axis=0)).astype(np.intp).ravel()

    def together(self) -> Bools:
        """Whether two inner levels were seen in one outer level, or in linked ones, (q, q)."""
        seen = self._seen()
        other = seen if self.linked is None else self.linked.astype(float) @ seen
        return np.asarray(_dense(seen.T @ other)) > 0

    def _seen(self) -> sparse.csr_array:
        shape = (int(self.outer.max()) + 1, self.q)
        return sparse.coo_array(
            (np.ones(len(self.outer)), (self.outer, self.inner)), shape=shape
        ).tocsr()


def _dense(matrix: Floats | sparse.csr_array) -> Floats:
    return np.asarray(matrix.toarray() if sparse.issparse(matrix) else matrix)


class _Pins:
    """The values being collected, the groups that share one, and a note for what is automatic."""

    def __init__(self, structure: CovarianceStructure, name: str, elsewhere: bool) -> None:
        self.structure, self.name = structure, name
        self.elsewhere = elsewhere
        count = len(structure.components)
        self.values: Floats = np.full(count, np.nan)
        self.group: Ints = np.arange(count)
        self.notes: list[str] = []

    def where(self, *kinds: str) -> Ints:
        """Positions of the components of these kinds."""
        return np.flatnonzero([c.kind in kinds for c in self.structure.components])

    def zero(self, which: Ints, why: str) -> None:
        """Fix components at 0 that are not fixed yet; `why` completes the note."""
        found = self._open(which)
        self.values[found] = 0.0
        if len(found) <= MOST_NOTES:
            self.notes += [f"{self._label([j])} fixed at 0: {why}" for j in found]
        else:
            self.notes.append(f"{self._label(found)} fixed at 0, of each: {why}")

    def hold(self, which: Ints, why: str) -> None:
        """Fix components at their start values that are not fixed yet."""
        start = self.structure.to_natural(self.structure.starts(1.0)[0])
        for j in self._open(which):
            self.values[j] = start[j]
            self.notes.append(f"{self._label([j])} held at {start[j]:.4g}: {why}")

    def _open(self, which: Ints) -> list[int]:
        """Those without a value that are equal to none outside `which`, which would tell theirs."""
        if self.elsewhere:
            return []
        outside = np.delete(self.group, which)
        return [int(j) for j in which if np.isnan(self.values[j]) and self.group[j] not in outside]

    def _label(self, which: Sequence[int]) -> str:
        components = [self.structure.components[j] for j in which]
        kinds = " and ".join(dict.fromkeys(c.kind for c in components))
        levels = shorten(c.level for c in components if c.level)
        return f"{kinds}{f' ({levels})' if levels else ''} of {self.name!r}"


def pin(
    structure: CovarianceStructure,
    spec: TermSpec,
    n_levels: int,
    occurrence: Occurrence | None,
    saturated: bool,
) -> tuple[CovarianceStructure, list[str]]:
    """Tie and fix what the user said, and fix what the data tell nothing of; the user wins.

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
        The same, or wrapped in `Tied`, `Pinned` or both.
    notes : list of str
        One sentence for every component that was fixed automatically.

    Raises
    ------
    SpecificationError
        If the user's values or groups do not fit the components of the structure.
    """
    single = spec.left == "1" and n_levels == 1
    told = spec.pins or spec.ties
    if not (told or saturated or single) and occurrence is None:
        return structure, []
    # another term may tell what is equal to the components of this one
    pins = _Pins(structure, spec.name, elsewhere=spec.tie is not None and not saturated)
    _group(pins, spec)
    _fill(pins, spec)
    _check_fixed_matrix(pins, spec)
    variances = pins.where("sigma2", "tau2", "loading", "psi")
    if saturated:
        pins.zero(variances, "the model has as many fixed effects as rows")
    elif single:
        pins.zero(variances, "its grouping factor has a single level")
    if occurrence is not None and spec.code is not None:
        _unseen_variances(pins, spec.code, occurrence)
        _unseen_links(pins, spec.code, occurrence)
    _without_variance(pins, spec)
    return _wrapped(pins), pins.notes


def _wrapped(pins: _Pins) -> CovarianceStructure:
    structure, values = pins.structure, pins.values
    if len(np.unique(pins.group)) < len(pins.group):
        tied = Tied(structure, pins.group)
        structure, values = tied, values[tied.first]
    return structure if np.isnan(values).all() else Pinned(structure, values)


def _group(pins: _Pins, spec: TermSpec) -> None:
    code: Ints = np.arange(len(pins.group))
    for kind, given in spec.ties.items():
        which = pins.where(kind)
        first: dict[object, int] = {}
        for j, name in zip(
            which, _one_per_component(pins, which, given, "equal", kind), strict=True
        ):
            code[j] = j if name is None else first.setdefault(name, int(j))
    # 0, 1, ... in the order of first members
    pins.group = np.unique(code, return_inverse=True)[1]


def _fill(pins: _Pins, spec: TermSpec) -> None:
    for kind, given in spec.pins.items():
        which = pins.where(kind)
        values: Sequence[float | None] = (
            given if isinstance(given, tuple) else (given,) * len(which)
        )
        values = _one_per_component(pins, which, values, "fixed", kind)
        for j, value in zip(which, values, strict=True):
            if value is not None:
                _check_range(pins, int(j), value)
                pins.values[j] = value
    _share_values(pins)


def _one_per_component(
    pins: _Pins, which: Ints, given: Sequence[T], argument: str, kind: str
) -> Sequence[T]:
    if len(given) != len(which):
        labels = [pins.structure.components[j].level for j in which]
        raise SpecificationError(
            f"{argument} {kind} of {pins.name!r} has {len(given)} entries, but the term has "
            f"{len(which)}: {', '.join(labels) or 'none'}; use None for those "
            f"{'to be estimated' if argument == 'fixed' else 'in no group'}"
        )
    return given


def _check_range(pins: _Pins, j: int, value: float) -> None:
    c = pins.structure.components[j]
    if not c.lower <= value <= c.upper:
        raise SpecificationError(
            f"fixed {c.kind} of {pins.name!r} is {value:g}, outside its range "
            f"[{c.lower:g}, {c.upper:g}]"
        )


def _share_values(pins: _Pins) -> None:
    """What is equal to a fixed component has its value."""
    for g in np.unique(pins.group[~np.isnan(pins.values)]):
        given = np.unique(pins.values[(pins.group == g) & ~np.isnan(pins.values)])
        if len(given) > 1:
            kind = pins.structure.components[int(np.argmax(pins.group == g))].kind
            raise SpecificationError(
                f"fixed= and equal= of {pins.name!r} contradict each other: components {kind} of "
                f"one group have the values {', '.join(f'{v:g}' for v in given)}"
            )
        pins.values[pins.group == g] = given[0]


def _check_fixed_matrix(pins: _Pins, spec: TermSpec) -> None:
    if np.isnan(pins.values).any():
        if spec.code in {"UN", "GEN"}:
            _check_fixed_correlations(pins)
        return
    values = np.linalg.eigvalsh(pins.structure.matrix(pins.values))
    if values[0] < -SINGULAR_TOLERANCE * max(abs(values[-1]), np.finfo(float).tiny):
        raise SpecificationError(
            f"the fixed components of {pins.name!r} give no covariance matrix "
            f"(smallest eigenvalue {values[0]:.3g}); make the correlations smaller"
        )


def _check_fixed_correlations(pins: _Pins) -> None:
    """Correlations that are all fixed must be those of some set of variables."""
    rho = pins.where("rho")
    if np.isnan(pins.values[rho]).any() or not len(rho):
        return
    at = pins.values.copy()
    at[pins.where("tau2")] = 1.0
    smallest = float(np.linalg.eigvalsh(pins.structure.matrix(at))[0])
    if smallest < INDEFINITE:
        raise SpecificationError(
            f"the fixed rho of {pins.name!r} form no correlation matrix (smallest eigenvalue "
            f"{smallest:.3g}); make the correlations smaller"
        )


def _unseen_variances(pins: _Pins, code: str, occurrence: Occurrence) -> None:
    if code not in OWN_VARIANCE:
        return
    seen = occurrence.outer_levels
    for kind in ("tau2", "loading", "psi"):
        which = pins.where(kind)
        if len(which):
            pins.zero(which[seen == 0], "its level is not seen")
            pins.zero(which[seen == 1], "its level is seen in a single outer level")


def _unseen_links(pins: _Pins, code: str, occurrence: Occurrence) -> None:
    """Fix correlations of levels the data never have together."""
    links = pins.where("rho", "lambda", "alpha")
    if code == "UN":
        first, second = np.triu_indices(occurrence.q, 1)
        apart = ~occurrence.together()[first, second]
        pins.zero(links[apart], "the two levels are never seen together")
    elif code in LAGGED:
        apart = _lags_apart(occurrence.together())
        pins.zero(links[apart], "no two levels of this lag are seen together")
    if (occurrence.outer_levels > 0).sum() == 1:
        _unlink(pins, code, "there is a single inner level")
    elif occurrence.one_row_each:
        _unlink(pins, code, "every outer level has one row")


def _lags_apart(together: Bools) -> Bools:
    """For each lag 1, ..., q - 1 whether no two levels of it are together."""
    return np.array([not together.diagonal(k).any() for k in range(1, len(together))], dtype=bool)


def _unlink(pins: _Pins, code: str, why: str) -> None:
    if code in ONE_RHO:
        pins.zero(pins.where("rho", "lambda"), why)
    elif code == "FA1":
        pins.zero(pins.where("loading"), why)
    elif code in HELD:
        pins.hold(pins.where("rho", "alpha"), why)


def _without_variance(pins: _Pins, spec: TermSpec) -> None:
    """Correlations with an effect whose variance is fixed at 0 mean nothing."""
    links = pins.where("rho", "lambda", "alpha", "scale")
    variances = pins.where("sigma2", "tau2")
    dead = pins.values[variances] == 0
    if not len(links) or not dead.any():
        return
    why = "a variance it belongs to is fixed at 0"
    if spec.code in {"UN", "GEN"}:
        first, second = np.triu_indices(len(variances), 1)
        pins.zero(links[dead[first] | dead[second]], why)
    elif spec.code in HELD:
        pins.hold(links, why)
    elif spec.code == "HTOEP":
        pins.zero(links[_lags_apart(np.outer(~dead, ~dead))], why)
    elif (~dead).sum() < min(2, len(variances)):
        pins.zero(links, why)
