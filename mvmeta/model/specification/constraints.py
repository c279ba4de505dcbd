"""What `fixed=` and `equal=` of a random term take: values, and groups, of its components."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from mvmeta.errors import SpecificationError

Pins = Mapping[str, float | tuple[float | None, ...] | None]
"""For each kind of component one value, or one per component; None is estimated."""

Ties = Mapping[str, tuple[Hashable, ...]]
"""For each kind of component the group of each; None is in no group."""

_KINDS: dict[str | None, tuple[str, ...]] = {
    None: ("sigma2",),
    **dict.fromkeys(("ID", "DIAG", "GDIAG", "PROP", "PHYBM"), ("tau2",)),
    "PHYPL": ("tau2", "lambda"),
    "PHYOU": ("tau2", "alpha"),
    "FA1": ("loading", "psi"),
    "SCALE": ("sigma2", "scale"),
}


def component_kinds(code: str | None) -> tuple[str, ...]:
    """Kinds of components a structure has; None is a random intercept."""
    return _KINDS.get(code, ("tau2", "rho"))


def read_pins(given: object, code: str | None, formula: str) -> Pins:
    """`fixed=` as floats.

    Raises
    ------
    SpecificationError
        If it is no dict with the components of the structure, or has entries that are no numbers.
    """
    checked = _checked(given, "fixed", component_kinds(code), formula)
    return {kind: _pin_values(value, kind, formula) for kind, value in checked.items()}


def read_ties(given: object, code: str | None, formula: str) -> Ties:
    """`equal=` as tuples.

    Raises
    ------
    SpecificationError
        If it is no dict of lists, or the term has no components to make equal.
    """
    if code is None:
        raise SpecificationError(
            f"equal= of Random({formula!r}): it makes components of one term equal, and a random "
            "intercept has a single one; use it with 'inner | outer'"
        )
    checked = _checked(given, "equal", component_kinds(code), formula)
    for kind, groups in checked.items():
        if isinstance(groups, str) or np.ndim(groups) != 1:
            raise SpecificationError(
                f"equal {kind} of Random({formula!r}) takes a list with one entry per component, "
                f"the same for those that are equal, as in [0, 0, 1]; got {groups!r}"
            )
    return {kind: tuple(groups) for kind, groups in checked.items()}


def _checked(
    given: object, argument: str, kinds: tuple[str, ...], formula: str
) -> Mapping[str, Any]:
    if not isinstance(given, Mapping) or set(given) - set(kinds):
        raise SpecificationError(
            f"{argument}= of Random({formula!r}) must be a dict with the keys "
            f"{', '.join(map(repr, kinds))}, got {given!r}"
        )
    return given


def _pin_values(value: Any, kind: str, formula: str) -> float | tuple[float | None, ...] | None:
    try:
        if value is None or np.ndim(value) == 0:
            return _pin_value(value)
        return tuple(_pin_value(v) for v in value)
    except (TypeError, ValueError):
        raise SpecificationError(
            f"fixed {kind} of Random({formula!r}) takes finite numbers, and None for what is "
            "estimated; "
            f"got {value!r}"
        ) from None


def _pin_value(value: Any) -> float | None:
    if value is None or np.isnan(float(value)):
        return None
    if isinstance(value, bool | np.bool_) or np.isinf(float(value)):
        raise ValueError
    return float(value)
