"""The combinations of moderators that marginal means are averages over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.columns import numeric
from mvmeta.errors import DataError, SpecificationError
from mvmeta.model.specification.build import Prepared
from mvmeta.model.specification.formula import FormulaSpec
from mvmeta.model.specification.frames import shorten, suggest
from mvmeta.model.specification.names import factor_column

WEIGHTS = ("equal", "proportional", "cells")
"""What `weights=` takes."""

MOST_ROWS = 1_000_000
"""Combinations a grid may have."""


@dataclass(frozen=True, eq=False)
class ReferenceGrid:
    """All combinations of the levels of factors and the values of numeric moderators.

    Attributes
    ----------
    frame : DataFrame (m, variables)
        One row per combination, the last variable varying fastest.
    design : ndarray, shape (m, all columns)
        The full design, columns that were dropped as redundant included.
    count : ndarray, shape (m,), or None
        Fitted rows with the factors as in each combination; None where none are held.
    """

    frame: pd.DataFrame
    design: Floats
    count: Floats | None


@dataclass(frozen=True, eq=False)
class Averages:
    """Averages over a grid for every combination of some of its variables.

    Attributes
    ----------
    levels : DataFrame (k, variables)
        The combinations.
    rows : ndarray, shape (k, all columns)
        Averages of the design; NaN where all weights are 0.
    member : ndarray of int, shape (m,)
        Combination each row of the grid is averaged into.
    weight : ndarray, shape (m,)
        With which; they sum to 1 within a combination.
    """

    levels: pd.DataFrame
    rows: Floats
    member: Ints
    weight: Floats


def moderators(spec: FormulaSpec | None) -> tuple[str, ...]:
    """Columns on the right side of the formula.

    Raises
    ------
    SpecificationError
        For a model built from arrays.
    """
    if spec is None:
        raise SpecificationError(
            "marginal means need the factors of a formula: a model built from arrays has none; "
            "build it with MetaMixedLM.from_formula, or use t_test with weights of the coefficients"
        )
    return spec.variables


def reference_grid(prepared: Prepared, at: Mapping[str, Any] | None) -> ReferenceGrid:
    """Factors at all levels, numeric moderators at their mean over the fitted rows, or as in `at`.

    Parameters
    ----------
    prepared : Prepared
    at : mapping of str to value or sequence, optional
        Other levels or values, by column.

    Raises
    ------
    SpecificationError
        For a model built from arrays, a grid of more than a million combinations, or `at`
        naming no moderator.
    DataError
        For a level that a factor does not have, a moderator that is no number, or one whose
        mean is not known because the rows are not held.
    """
    names = moderators(prepared.spec)
    spec = prepared.spec
    assert spec is not None
    if at is not None and not isinstance(at, Mapping):
        raise SpecificationError(f"at= takes a mapping from moderators to values, got {at!r}")
    factors = spec.factor_levels()
    values = {}
    for name in names:
        given = name in (at or {})
        values[name] = [] if given else factors.get(name) or [_mean(prepared, name)]
    for name, chosen in (at or {}).items():
        if name not in values:
            raise SpecificationError(
                f"at= names {name!r}, which is no moderator of {spec.text!r}; there are "
                f"{', '.join(names) or 'none'}"
            )
        values[name] = _listed(chosen)
        _check_known(name, values[name], factors)
        if name not in factors:
            _check_numbers(prepared, name, values[name])
    rows = int(np.prod([len(v) for v in values.values()], dtype=float))
    if rows > MOST_ROWS:
        raise SpecificationError(
            f"the reference grid would have {rows} combinations of "
            f"{', '.join(f'{n} ({len(v)})' for n, v in values.items())}; give some of them one "
            "value with at="
        )
    frame = pd.DataFrame(list(product(*values.values())), columns=list(values), index=range(rows))
    return ReferenceGrid(frame, spec.design(frame), _counts(prepared, frame, list(factors)))


def _mean(prepared: Prepared, name: str) -> float:
    if not _has_rows(prepared):
        raise DataError(
            f"the mean of the moderator {name!r} over the fitted rows is not known, as the results "
            f"hold none of them; say where with at={{{name!r}: value}}"
        )
    return float(numeric(prepared.frame[name], f"the moderator {name!r}").mean())


def _has_rows(prepared: Prepared) -> bool:
    frame: Any = prepared.frame  # no frame at all in a model of batches
    return isinstance(frame, pd.DataFrame) and len(frame) > 0


def _listed(chosen: Any) -> list[Any]:
    if isinstance(chosen, str) or not isinstance(chosen, Sequence | np.ndarray | pd.Index):
        return [chosen]
    return list(chosen)


def _check_known(name: str, chosen: list[Any], factors: Mapping[str, list[Any]]) -> None:
    if not chosen:
        raise SpecificationError(f"at= gives no value for {name!r}")
    unknown = [v for v in chosen if name in factors and v not in factors[name]]
    if unknown:
        raise DataError(
            f"at= asks for the level {unknown[0]!r} of {name!r}, which the fitted data do not "
            f"have; known levels: {shorten(map(repr, factors[name]), most=20)}"
        )


def _check_numbers(prepared: Prepared, name: str, chosen: list[Any]) -> None:
    """Refuse what is no number for a moderator that holds numbers."""
    if not _has_rows(prepared) or not pd.api.types.is_numeric_dtype(prepared.frame[name]):
        return
    found = pd.to_numeric(pd.Series(chosen, dtype=object), errors="coerce").to_numpy(dtype=float)
    wrong = np.flatnonzero(~np.isfinite(found))
    if len(wrong):
        raise DataError(f"at= needs numbers for the moderator {name!r}, got {chosen[wrong[0]]!r}")


def _counts(prepared: Prepared, grid: pd.DataFrame, factors: list[str]) -> Floats | None:
    """Fitted rows in the cell of the factors that each row of the grid is in."""
    if not _has_rows(prepared):
        return None
    if not factors:
        return np.full(len(grid), float(len(prepared.frame)))
    seen = prepared.frame[factors].astype(object).value_counts(sort=False)
    cells = pd.MultiIndex.from_frame(grid[factors].astype(object))
    return np.asarray(seen.reindex(cells).fillna(0.0), dtype=float)


def averages(grid: ReferenceGrid, over: Sequence[str], weights: str) -> Averages:
    """Average a grid over everything but the variables `over`.

    Parameters
    ----------
    grid : ReferenceGrid
    over : sequence of str
    weights : {"equal", "proportional", "cells"}
        Of the combinations averaged over: the same for all; as many fitted rows as have them,
        whatever `over` is; as many as have them together with each combination of `over`.
        Values of numeric moderators weigh the same.

    Raises
    ------
    SpecificationError
        For other weights.
    DataError
        For weights that count rows where none are held.
    """
    if weights not in WEIGHTS:
        raise SpecificationError(
            f"weights={weights!r}: it takes one of {', '.join(map(repr, WEIGHTS))}"
        )
    member, levels = _combinations(grid.frame, list(over))
    rest, _ = _combinations(grid.frame, [str(c) for c in grid.frame if c not in over])
    raw: Floats = np.ones(len(member))
    if weights != "equal" and grid.count is None:
        raise DataError(
            f"weights={weights!r} count the fitted rows, and the results hold none of them; take "
            "weights='equal'"
        )
    if weights == "cells" and grid.count is not None:
        raw = grid.count
    elif weights == "proportional":
        raw = np.asarray(np.bincount(rest, weights=grid.count)[rest], dtype=float)
    total = np.bincount(member, weights=raw)[member]
    with np.errstate(invalid="ignore"):
        weight = raw / total
    rows = np.zeros((len(levels), grid.design.shape[1]))
    # A combination that does not count must not make the average NaN.
    np.add.at(rows, member, np.where(weight[:, None] == 0, 0.0, weight[:, None] * grid.design))
    return Averages(levels, rows, member, weight)


def _combinations(frame: pd.DataFrame, names: list[str]) -> tuple[Ints, pd.DataFrame]:
    """Combination of `names` in each row (m,), and the combinations, the last name fastest."""
    if not names:
        return np.zeros(len(frame), dtype=np.intp), pd.DataFrame(index=range(1))
    place = np.stack([pd.factorize(frame[name])[0] for name in names])
    _, first, code = np.unique(place, axis=1, return_index=True, return_inverse=True)
    return code.ravel().astype(np.intp), frame[names].iloc[first].reset_index(drop=True)


def resolve_names(specs: Any, prepared: Prepared, argument: str) -> list[str]:
    """Moderators named by `specs` or `by`: columns, or factors such as "C(dose)".

    Raises
    ------
    SpecificationError
        If there is no such moderator, or one is named twice.
    """
    names = moderators(prepared.spec)
    wanted = [] if specs is None else [specs] if isinstance(specs, str) else list(specs)
    out = []
    for name in wanted:
        found = name if name in names else factor_column(str(name))
        if found not in names:
            text = prepared.spec.text if prepared.spec else ""
            hint = suggest(str(name), names).replace("it has the columns", "it has the moderators")
            raise SpecificationError(f"{argument}: {name!r} is no moderator of {text!r}{hint}")
        out.append(str(found))
    if len(set(out)) < len(out):
        raise SpecificationError(f"{argument} names a moderator twice: {shorten(out)}")
    return out


def constant_within(values: Floats, member: Ints, weight: Floats, count: int) -> Floats:
    """The value (count,) all rows of a combination have that count in it; NaN where they differ."""
    used: Bools = weight > 0
    out = np.full(count, np.nan)
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    known = np.where(np.isnan(values), np.inf, values)
    np.minimum.at(low, member[used], known[used])
    np.maximum.at(high, member[used], known[used])
    with np.errstate(invalid="ignore"):  # unknown ones are infinite
        same = np.isfinite(high) & (high - low <= 1e-12 * np.abs(high))
    out[same] = high[same]
    return out
