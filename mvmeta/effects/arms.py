"""The numbers of the arms of each effect, and the errors that come from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.effects.checks import Problems, find_problems
from mvmeta.effects.error_parts import find_parts
from mvmeta.effects.inputs import read_inputs
from mvmeta.effects.layouts import LAYOUTS, Layout
from mvmeta.effects.registry import Measure, find_measure
from mvmeta.effects.reshape import LONG
from mvmeta.effects.undefined import add_undefined
from mvmeta.effects.values import Arrays, FloatArray, Values
from mvmeta.effects.zero_cells import ZeroRule
from mvmeta.errors import DataError, SpecificationError

Pair = tuple[FloatArray, FloatArray]
"""One array (k,) for the first arms, one for the second ones."""

SIZES = {
    "table": ("n1i", "n2i"),
    "groups": ("n1i", "n2i"),
    "d": ("n1i", "n2i"),
    "rates": ("t1i", "t2i"),
    "proportion": ("ni",),
    "mean": ("ni",),
    "change": ("ni",),
    "change score": ("ni",),
    "standardized change": ("ni",),
    "rate": ("ti",),
}
"""People, or person-time, of the arms by data layout."""

REPORTED = {layout: LONG[layout][1] for layout in SIZES if layout in LONG}
REPORTED["standardized change"] = REPORTED["change score"]
"""Numbers of the arms by data layout."""

EVENTS = {"table": ("ai", "ci"), "proportion": ("xi",)}
"""Events among them."""


@dataclass(frozen=True, eq=False)
class ArmData:
    """What is known of the arms of k effects; NaN where an effect cannot be computed.

    Attributes
    ----------
    location, spread : pair of ndarray, each (k,)
        Signed standard deviations of the parts of the sampling error, as in `ErrorParts`.
    pooled : ndarray, shape (k,)
        Derivative of an effect by the logarithm of its pooled standard deviation, else 0.
    size, risk : pair of ndarray, each (k,)
        People or person-time; share with an event (NaN where the measure is not of events).
    single : ndarray of bool, shape (k,)
        Effects of one arm.
    numbers : pair of ndarray, each (k, 7)
        The numbers as given and the size, for comparing rows.
    problems : Problems
    """

    location: Pair
    spread: Pair
    pooled: FloatArray
    size: Pair
    risk: Pair
    single: np.ndarray[Any, np.dtype[np.bool_]]
    numbers: Pair
    problems: Problems


@dataclass(frozen=True)
class ArmOptions:
    """Options of `escalc` that change the numbers of arms."""

    correct: bool
    add: float | None
    to: str
    drop00: bool


def arm_data(
    codes: np.ndarray[Any, Any],
    inputs: Mapping[str, Any],
    frame: pd.DataFrame | None,
    options: ArmOptions,
) -> ArmData:
    """Errors of the arms of each row.

    Parameters
    ----------
    codes : ndarray of str, shape (k,)
        Measure of each row.
    inputs : mapping of str to column name, array-like (k,) or number
    frame : DataFrame or None
    options : ArmOptions

    Raises
    ------
    SpecificationError
        For an unknown measure, one that is not made of arms, or inputs that it does not use or
        lacks.
    DataError
        For columns that are not there or not numeric, or that do not fit the rows.
    """
    measures = [find_measure(code) for code in dict.fromkeys(codes.tolist())]
    for measure in measures:
        find_parts(measure.code)
    _check_names(measures, inputs)
    given = read_inputs(inputs, frame)
    k = len(next(iter(given.values())))
    if k not in (1, len(codes)):
        raise DataError(f"inputs have {k} values for {len(codes)} rows")
    given = {name: np.broadcast_to(values, len(codes)) for name, values in given.items()}
    out = _empty(len(codes))
    for code in dict.fromkeys(codes.tolist()):
        rows = np.flatnonzero(codes == code)
        _put(
            out, rows, find_measure(code), {n: values[rows] for n, values in given.items()}, options
        )
    return out


def _check_names(measures: Sequence[Measure], inputs: Mapping[str, Any]) -> None:
    known = {name for m in measures for name in LAYOUTS[m.layout].names}
    foreign = [name for name in inputs if name not in known]
    usage = "; ".join(f"{m.code}: {LAYOUTS[m.layout].usage}" for m in measures)
    if foreign or not inputs:
        said = f"do not use {', '.join(foreign)}" if foreign else "need the numbers of the arms"
        raise SpecificationError(f"the measures {said}; they take {usage}")


def _empty(k: int) -> ArmData:
    def pair(*more: int) -> Pair:
        return np.full((k, *more), np.nan), np.full((k, *more), np.nan)

    single = np.zeros(k, dtype=bool)
    return ArmData(pair(), pair(), np.full(k, np.nan), pair(), pair(), single, pair(7), Problems(k))


def _put(
    out: ArmData, rows: np.ndarray[Any, Any], measure: Measure, given: Arrays, options: ArmOptions
) -> None:
    """Fill in the rows of one measure."""
    function, layout = find_parts(measure.code), LAYOUTS[measure.layout]
    given = {name: values for name, values in given.items() if name in layout.names}
    arrays = dict(given)
    problems = find_problems(measure, layout, given, arrays)
    missing = [name for name in measure.needs if name not in arrays]
    if missing:
        raise SpecificationError(
            f"measure {measure.code!r} lacks {', '.join(missing)}; it takes {layout.usage}"
        )
    values, dropped = _values(measure, layout, arrays, problems, options)
    with np.errstate(all="ignore"):
        parts = function(values)
        variance = np.sum(np.square([*parts.location, *parts.spread]), axis=0)
    undefined = ~np.isfinite(variance) & ~dropped & ~problems.mask
    add_undefined(problems, undefined, measure, arrays, values.arrays, {"vi": variance})
    usable = np.isfinite(variance)
    sizes, events = SIZES[measure.layout], EVENTS.get(measure.layout, ())
    for a in range(2):
        out.location[a][rows] = np.where(usable, parts.location[a], np.nan)
        out.spread[a][rows] = np.where(usable, parts.spread[a], np.nan)
    for a, name in enumerate(sizes):
        out.size[a][rows] = arrays[name]
        out.numbers[a][rows, -1] = arrays[name]
        for column, number in enumerate(REPORTED[measure.layout][a]):
            if number in given:
                out.numbers[a][rows, column] = given[number]
    for a, (event, total) in enumerate(zip(events, sizes, strict=False)):
        out.risk[a][rows] = values.arrays[event] / values.arrays[total]
    out.pooled[rows] = 0.0 if parts.pooled is None else np.where(usable, parts.pooled, np.nan)
    out.single[rows] = len(sizes) == 1
    for row, reason in zip(rows, problems.reasons, strict=True):
        out.problems.reasons[int(row)] = reason


def _values(
    measure: Measure,
    layout: Layout,
    arrays: Arrays,
    problems: Problems,
    options: ArmOptions,
) -> tuple[Values, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Usable numbers after the rule for zero cells, and the rows it drops."""
    rule = ZeroRule(measure.add if options.add is None else options.add, options.to, options.drop00)
    mask = problems.mask
    usable = {name: np.where(mask, np.nan, values) for name, values in arrays.items()}
    with np.errstate(all="ignore"):
        adjusted, dropped = rule.apply(usable, layout)
    vtype = np.full(len(mask), measure.vtypes[0])
    return Values(adjusted, vtype, options.correct), dropped
