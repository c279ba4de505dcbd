"""`groups=`, columns or arrays, as random intercepts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.errors import DataError, SpecificationError
from mvmeta.model.specification.grammar import Grouping, parse_groupings
from mvmeta.model.specification.specs import TermSpec


def from_groups(groups: Any, columns: Sequence[object] | None) -> list[TermSpec]:
    """Terms of `groups=`; see `expand`."""
    if groups is None:
        return []
    if isinstance(groups, str):
        if "|" in groups:
            raise SpecificationError(
                f"groups={groups!r} names columns, as in 'study' or 'study/id'; "
                "terms with '|' are given as random="
            )
        return [TermSpec(g.text, g) for g in parse_groupings(groups, f"groups={groups!r}")]
    if _is_column_list(groups, columns):
        return [
            TermSpec(g.text, g) for g in parse_groupings("/".join(groups), f"groups={groups!r}")
        ]
    return _from_arrays(_as_columns(groups))


def _is_column_list(groups: object, columns: Sequence[object] | None) -> bool:
    if not isinstance(groups, (list, tuple)) or not groups:
        return False
    if not all(isinstance(g, str) for g in groups):
        return False
    return columns is None or any(g in columns for g in groups)


def _as_columns(groups: Any) -> list[tuple[object, Any]]:
    """Name and values of every grouping variable; values with row labels stay Series.

    All others are arrays, which go by position.
    """
    if isinstance(groups, pd.DataFrame):
        return [(name, groups.iloc[:, j]) for j, name in enumerate(groups.columns)]
    if isinstance(groups, (list, tuple)) and len(groups) and np.ndim(groups[0]) == 1:
        return [c for g in groups for c in _as_columns(g)]
    name = getattr(groups, "name", None)
    if isinstance(groups, (pd.Series, pd.api.extensions.ExtensionArray)):
        return [(name, groups)]
    if isinstance(groups, pd.Index):
        return [(name, groups.array)]
    values = np.asarray(groups)
    if values.ndim == 2:
        return [(None, _unlabelled(values[:, j])) for j in range(values.shape[1])]
    if values.ndim != 1:
        raise DataError(f"groups must be an array (n,) or (n, depth), got shape {values.shape}")
    return [(name, _unlabelled(values))]


def _unlabelled(values: np.ndarray) -> Any:
    """An array (n,) of the narrowest type that holds the values."""
    if values.dtype.kind in "iuf":
        return values
    return pd.Series(values).infer_objects().array


def _from_arrays(given: list[tuple[object, Any]]) -> list[TermSpec]:
    if not given:
        raise DataError("groups has no columns; pass None for a model without random effects")
    names = [
        name if isinstance(name, str) else "group" + (str(j) if j > 1 else "")
        for j, (name, _) in enumerate(given, start=1)
    ]
    arrays = [values for _, values in given]
    if len(set(names)) < len(names):
        raise SpecificationError(
            f"the arrays in groups need different names, got {', '.join(names)}"
        )
    return [
        TermSpec(
            "/".join(names[: depth + 1]),
            Grouping("/".join(names[: depth + 1]), tuple(names[: depth + 1])),
            arrays=tuple(arrays[: depth + 1]),
        )
        for depth in range(len(arrays))
    ]
