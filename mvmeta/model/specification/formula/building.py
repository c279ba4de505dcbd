"""Formulas applied to rows: all at once, or learned from batches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import patsy
import patsy.builtins

from mvmeta._typing import Bools, Floats
from mvmeta.errors import DataError, SpecificationError
from mvmeta.model.specification.formula.categories import as_categories, is_categorical, with_levels
from mvmeta.model.specification.formula.missing import Missing
from mvmeta.model.specification.formula.reading import ParsedFormula
from mvmeta.model.specification.formula.spec import FormulaSpec
from mvmeta.model.specification.frames import shorten
from mvmeta.model.specification.polynomials import Polynomials

poly = patsy.stateful_transform(Polynomials)


@dataclass(frozen=True, eq=False)
class Design:
    """What a formula makes of a frame.

    Attributes
    ----------
    endog : ndarray, shape (n,), or None
        None for a formula without a left side.
    endog_name : str
    exog : ndarray, shape (n, p)
    missing : dict of str to ndarray of bool (m,)
        Factors that are missing in some of the m rows of the frame, which then are not
        among the n rows of the design.
    spec : FormulaSpec
    """

    endog: Floats | None
    endog_name: str
    exog: Floats
    missing: dict[str, Bools]
    spec: FormulaSpec


def build(parsed: ParsedFormula, frame: pd.DataFrame) -> Design:
    """Evaluate a formula on a frame; rows in which a factor is missing are left out and named.

    Text columns used as factors become sorted categories and categories without a row are
    left out, so that levels, and with them the columns of the design, are those that occur.

    Parameters
    ----------
    parsed : ParsedFormula
    frame : DataFrame
        Columns `parsed.variables`; not changed.

    Raises
    ------
    SpecificationError
        If a factor cannot be evaluated; quotes patsy and the place in the formula.
    DataError
        If the response is not a single numeric column.
    """
    ready = _with_categories(frame, parsed)
    environment = parsed.environment.with_outer_namespace({"C": _fast_c, "poly": poly})
    missing = Missing()
    has_response = bool(parsed.description.lhs_termlist)
    make = patsy.dmatrices if has_response else patsy.dmatrix
    data = _for_patsy(ready, parsed.bare) if parsed.variables else ready
    made = _guarded(
        lambda: make(parsed.description, data, environment, NA_action=missing), parsed.text
    )
    left, right = made if has_response else (None, made)
    endog, name = (None, "") if left is None else _response(left)
    levels = {c: ready[c].cat.categories for c in parsed.predictors if is_categorical(ready[c])}
    spec = FormulaSpec(parsed.text, right.design_info, parsed.predictors, levels)
    exog = np.ascontiguousarray(right, dtype=float)
    if exog.shape[0] != len(frame) and not missing.found:
        # Nothing in the formula has rows: "~ 1" without a response.
        exog = np.ones((len(frame), exog.shape[1]))
    return Design(endog, name, exog, missing.found, spec)


def _with_categories(frame: pd.DataFrame, parsed: ParsedFormula) -> pd.DataFrame:
    """The factors among the predictors as categories; text as a response is refused later."""
    return as_categories(frame, parsed.factors.intersection(parsed.predictors), parsed.coded)


def _for_patsy(frame: pd.DataFrame, bare: frozenset[str]) -> dict[str, Any]:
    """Columns as patsy is fastest with them, where that makes no difference to the formula.

    Numbers that are used as they are need no index; text in the hands of numpy is objects.
    """
    out: dict[str, Any] = {}
    for name in frame:
        column = frame[name]
        if name in bare and column.dtype.kind in "iuf":
            out[str(name)] = column.to_numpy()
        else:
            text = isinstance(column.dtype, pd.StringDtype)
            out[str(name)] = column.astype(object).where(column.notna(), None) if text else column
    return out


def learn(
    parsed: ParsedFormula, witness: pd.DataFrame, frames: Callable[[], Iterator[pd.DataFrame]]
) -> tuple[FormulaSpec | None, str, FormulaSpec]:
    """Learn a formula from rows that come in batches.

    Parameters
    ----------
    parsed : ParsedFormula
    witness : DataFrame
        Some of the rows, in which every level of `parsed.factors` occurs.
    frames : callable
        Returns an iterator over all rows, batch by batch.  It is called only if the formula
        has transforms that depend on all rows, such as center(), or levels that are computed.

    Returns
    -------
    left : FormulaSpec or None
        Left side; None for a formula without one.
    endog_name : str
    right : FormulaSpec

    Raises
    ------
    SpecificationError, DataError
        As `build`.
    """
    ready = _with_categories(witness, parsed)
    levels = {c: ready[c].cat.categories for c in parsed.variables if is_categorical(ready[c])}
    environment = parsed.environment.with_outer_namespace({"C": _fast_c, "poly": poly})
    sides = [s for s in (parsed.description.lhs_termlist, parsed.description.rhs_termlist) if s]
    factors = {f for terms in sides for t in terms for f in t.factors}
    of_all_rows = any(f.memorize_passes_needed({}, environment) for f in factors)

    def batches() -> Iterator[pd.DataFrame]:
        if not of_all_rows:
            yield ready
        for frame in frames():
            yield frame.assign(**{c: with_levels(frame[c], levels[c]) for c in levels})

    infos = _guarded(
        lambda: patsy.design_matrix_builders(sides, batches, environment, NA_action=Missing()),
        parsed.text,
    )
    known = {c: levels[c] for c in parsed.predictors if c in levels}
    right = FormulaSpec(parsed.text, infos[-1], parsed.predictors, known)
    if len(infos) == 1:
        return None, "", right
    left = FormulaSpec(parsed.text, infos[0], parsed.response, {})
    return left, _response_name(infos[0]), right


def _guarded(make: Callable[[], Any], text: str) -> Any:
    try:
        return make()
    except patsy.PatsyError as error:
        raise SpecificationError(f"the formula {text!r} cannot be evaluated: {error}") from error


def _fast_c(data: Any, contrast: Any = None, levels: Any = None) -> Any:
    """C() that leaves categories alone: patsy takes their codes, its own boxes it walks through."""
    if contrast is None and levels is None and is_categorical(data):
        return data
    return patsy.builtins.C(data, contrast, levels)


def _response(left: Any) -> tuple[Floats, str]:
    return np.array(left, dtype=float).ravel(), _response_name(left.design_info)


def _response_name(info: Any) -> str:
    names = info.column_names
    kinds = {i.type for i in info.factor_infos.values()}
    if len(names) != 1 or "categorical" in kinds:
        raise DataError(
            f"the response of the formula must be one numeric column, got {shorten(names)}; "
            "is it stored as text or as true/false?"
        )
    return str(names[0])
