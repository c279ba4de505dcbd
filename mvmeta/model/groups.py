"""`groups=`, columns or arrays, as random intercepts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.errors import DataError, SpecificationError
from mvmeta.model.grammar import Grouping, parse_groupings
from mvmeta.model.specs import TermSpec


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


def _as_columns(groups: Any) -> list[pd.Series]:
    if isinstance(groups, pd.DataFrame):
        return [groups.iloc[:, j] for j in range(groups.shape[1])]
    if isinstance(groups, (list, tuple)) and len(groups) and np.ndim(groups[0]) == 1:
        return [c for g in groups for c in _as_columns(g)]
    if isinstance(groups, (pd.Series, pd.Index, pd.Categorical)):
        return [pd.Series(groups)]
    values = np.asarray(groups)
    if values.ndim == 2:
        return [pd.Series(values[:, j]).infer_objects() for j in range(values.shape[1])]
    if values.ndim != 1:
        raise DataError(f"groups must be an array (n,) or (n, depth), got shape {values.shape}")
    name = getattr(groups, "name", None)
    return [pd.Series(values, name=name if isinstance(name, str) else None)]


def _from_arrays(arrays: list[pd.Series]) -> list[TermSpec]:
    if not arrays:
        raise DataError("groups has no columns; pass None for a model without random effects")
    names = [
        a.name if isinstance(a.name, str) else "group" + (str(j) if j > 1 else "")
        for j, a in enumerate(arrays, start=1)
    ]
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
