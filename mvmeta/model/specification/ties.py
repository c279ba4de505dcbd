"""Random terms whose components are equal: what `equal=` of a model takes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mvmeta._typing import Floats
from mvmeta.design.terms import RandomTerm
from mvmeta.errors import SpecificationError
from mvmeta.model.specification.frames import shorten
from mvmeta.model.specification.specs import TermSpec
from mvmeta.structures import CovarianceStructure


def tie(specs: Sequence[TermSpec], equal: Any) -> list[TermSpec]:
    """Mark the terms that `equal` names.

    Parameters
    ----------
    specs : sequence of TermSpec
    equal : None, sequence of str, or sequence of such sequences
        Names of terms that are equal, or several groups of them.

    Returns
    -------
    list of TermSpec
        `tie` is the number of the group.

    Raises
    ------
    SpecificationError
        For what is no such list, a name that no term has, or a term in two groups.
    """
    out, names = list(specs), [s.name for s in specs]
    for number, group in enumerate(_groups(equal)):
        for name in group:
            if name not in names:
                raise SpecificationError(
                    f"equal= names the random term {name!r}, but there is none; the terms are "
                    f"{shorten(map(repr, names), most=20) or 'none'}"
                )
            t = names.index(name)
            if out[t].tie is not None:
                raise SpecificationError(
                    f"equal= names the random term {name!r} twice; put all that are equal in one "
                    "group"
                )
            out[t] = replace(out[t], tie=number)
    return out


def _groups(equal: Any) -> list[list[str]]:
    if equal is None:
        return []
    groups = equal if isinstance(equal, (list, tuple)) else None
    if groups and all(isinstance(name, str) for name in groups):
        groups = [groups]
    if not groups or not all(_is_group(g) for g in groups):
        raise SpecificationError(
            "equal= takes the names of two or more random terms whose components are equal, as in "
            f"['study', 'lab'], or a list of such lists; got {equal!r}"
        )
    return [list(g) for g in groups]


def _is_group(group: Any) -> bool:
    return (
        isinstance(group, (list, tuple))
        and len(group) >= 2
        and all(isinstance(name, str) for name in group)
    )


def tied_positions(
    specs: Sequence[TermSpec], terms: Sequence[RandomTerm]
) -> tuple[tuple[int, ...], ...]:
    """Positions of the terms of each group, checked to have the same components.

    Raises
    ------
    SpecificationError
        If terms of one group cannot be equal: other components, other fixed values.
    """
    out = []
    for number in sorted({s.tie for s in specs if s.tie is not None}):
        group = tuple(t for t, s in enumerate(specs) if s.tie == number)
        for t in group[1:]:
            _check_alike(terms[group[0]], terms[t])
        out.append(group)
    return tuple(out)


def tie_notes(ties: Sequence[Sequence[int]], terms: Sequence[RandomTerm]) -> list[str]:
    """One sentence for each group."""
    return [f"components of {' and '.join(repr(terms[t].name) for t in tie)} equal" for tie in ties]


def _check_alike(a: RandomTerm, b: RandomTerm) -> None:
    where = f"equal= of {a.name!r} and {b.name!r}"
    first, second = a.structure, b.structure
    if _shape(first) != _shape(second):
        raise SpecificationError(
            f"{where}: their components differ, {_describe(first)} and {_describe(second)}; terms "
            "can be equal that have one variance each, or the same structure over the same levels"
        )
    if not np.array_equal(_fixed_values(first), _fixed_values(second), equal_nan=True):
        raise SpecificationError(
            f"{where}: fixed= gives them other values; give both the same fixed="
        )
    if not _same_coordinates(first, second):
        raise SpecificationError(
            f"{where}: their parameters have other ranges or units in the two terms (other "
            "distances, or another known matrix), so that they cannot be one"
        )


def _shape(structure: CovarianceStructure) -> tuple[object, ...]:
    """What must agree; a single variance is like any other."""
    components = structure.components
    if len(components) == 1 and components[0].power == 2:
        return ("one variance",)
    return (
        structure.code,
        *(getattr(structure, "inner", structure).code,),
        *((c.kind, c.level) for c in components),
    )


def _describe(structure: CovarianceStructure) -> str:
    return shorten(
        (f"{c.kind}[{c.level}]" if c.level else c.kind for c in structure.components), most=6
    )


def _fixed_values(structure: CovarianceStructure) -> Floats:
    """Natural values of fixed components, NaN for those that are estimated."""
    start = structure.to_natural(structure.starts(1.0)[0])
    return np.where(structure.fixed, start, np.nan)


def _same_coordinates(a: CovarianceStructure, b: CovarianceStructure) -> bool:
    """Whether the optimiser's coordinates mean the same in both."""
    one, two = a.working, b.working
    if not (np.array_equal(one.lower, two.lower) and np.array_equal(one.upper, two.upper)):
        return False
    if not np.array_equal(a.units(), b.units()):
        return False
    start = a.starts(1.0)[0]
    return bool(np.allclose(a.to_natural(start), b.to_natural(start), rtol=1e-12, atol=0.0))
