"""From what a user passes to a frozen `MetaProblem`: one row mask, full rank, terms bound."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.columns import is_plain, numeric, positions, read_only
from mvmeta.design.problem import MetaProblem
from mvmeta.errors import DataError, warn
from mvmeta.model.specification import formula as formulas
from mvmeta.model.specification import rows as masks
from mvmeta.model.specification.formula import Design, FormulaSpec, ParsedFormula
from mvmeta.model.specification.frames import Source, shorten
from mvmeta.model.specification.parameters import warn_of_too_many
from mvmeta.model.specification.random import expand
from mvmeta.model.specification.rank import independent_columns
from mvmeta.model.specification.specs import TermSpec
from mvmeta.model.specification.terms import Selection, TermData, TermRecord, bind, collect
from mvmeta.model.specification.ties import tie_notes, tied_positions
from mvmeta.model.specification.variance import GivenVariance, read_variance
from mvmeta.model.specification.weights import GivenWeights, read_weights

ESTIMABLE = 1e-8
"""Relative difference by which a dropped column may depart from what it was in the fitted rows."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A problem and where it came from.

    Attributes
    ----------
    problem : MetaProblem
    endog_name : str
    exog_names : list of str
        Columns of X that were kept, (p,).
    dropped_columns : list of str
        Columns of the design that depend on those to their left.
    exog_columns : ndarray of int, shape (p,)
        Positions of the kept columns in the full design.
    index : Index
        Labels of the kept rows.
    rows : ndarray of int, shape (n,)
        Positions of the kept rows in the data as given.
    n_given : int
        Rows in the data as given.
    dropped : DataFrame
        `row` (label) and `reason` of the rows lost to missing values.
    weights : scipy.sparse.csr_array or None
        User weights of the kept rows, (n, n).
    spec : FormulaSpec or None
        Applies the formula to new data; None for arrays.
    frame : DataFrame
        Columns of the data the model used, kept rows.
    notes : list of str
        What was decided automatically.
    term_specs : list of TermRecord
        How new rows find their levels, one per term.
    formula : str or None
    dependence : ndarray, shape (p, n_dropped), or None
        The dropped columns of the design as combinations of the kept ones.
    """

    problem: MetaProblem
    endog_name: str
    exog_names: list[str]
    dropped_columns: list[str]
    exog_columns: Ints
    index: pd.Index
    rows: Ints
    n_given: int
    dropped: pd.DataFrame
    weights: sparse.csr_array | None
    spec: FormulaSpec | None
    frame: pd.DataFrame
    notes: list[str]
    term_specs: list[TermRecord]
    formula: str | None = None
    dependence: Floats | None = None

    @property
    def has_intercept(self) -> bool:
        """Whether a column of ones was fitted: by the formula, or found among the arrays."""
        if self.spec is not None:
            return self.spec.has_intercept
        return bool((self.problem.x == 1).all(axis=0).any())

    @property
    def n_dropped(self) -> int:
        """Rows dropped for missing values."""
        return len(self.dropped)

    @cached_property
    def term_columns(self) -> dict[str, list[int]]:
        """Positions of each formula term's kept columns in X; one term per column for arrays."""
        if self.spec is None:
            return {name: [j] for j, name in enumerate(self.exog_names)}
        place = {int(full): j for j, full in enumerate(self.exog_columns)}
        spans = {name: range(s.start, s.stop) for name, s in self.spec.term_slices.items()}
        return {name: [place[k] for k in span if k in place] for name, span in spans.items()}

    def design(self, newdata: Any) -> Floats:
        """Design of new rows with the kept columns only, (n_new, p); see `FormulaSpec.design`.

        Rows that the data do not determine are NaN: in them a dropped column is not the
        combination of kept ones that it was in the fitted rows, as in an empty cell of two factors.
        """
        if self.spec is None:
            raise DataError(
                "a model built from arrays has no formula to apply to new data; pass a design "
                f"matrix with the columns {shorten(self.exog_names, most=20)}"
            )
        full = self.spec.design(newdata)
        kept = full[:, self.exog_columns]
        if self.dependence is None:
            return kept
        kept[~self.estimable(full)] = np.nan
        return kept

    def estimable(self, full: Floats) -> Bools:
        """Whether the data determine the means of rows of the full design, (m, all columns)."""
        if self.dependence is None:
            return np.ones(len(full), dtype=bool)
        lost = np.setdiff1d(np.arange(full.shape[1]), self.exog_columns)
        gap = np.abs(full[:, lost] - full[:, self.exog_columns] @ self.dependence).max(axis=1)
        return ~(gap > ESTIMABLE * np.maximum(np.abs(full).max(axis=1), 1.0))


def prepare_formula(
    formula: str,
    data: Any,
    variance: Any,
    *,
    groups: Any = None,
    random: Any = None,
    equal: Any = None,
    weights: Any = None,
    subset: Any = None,
    missing: str = "drop",
    eval_env: Any = 0,
) -> Prepared:
    """Prepare a model given by a formula.

    Parameters
    ----------
    formula : str
    data : DataFrame or anything `Source` reads
    variance : see `read_variance`
    groups, random, equal : see `expand`
    weights : see `read_weights`
    subset : see `rows.subset_rows`
    missing : {"drop", "raise", "none"}
        A row is missing where any column the model uses is, or any factor of the formula.
        "none" does not look for missing values and raises where the numbers are not finite.
    eval_env : int, mapping or patsy.EvalEnvironment
        Where names that are no columns come from: 0 is the caller of this function, 1 its caller.

    Returns
    -------
    Prepared

    Raises
    ------
    DataError, CovarianceError, SpecificationError
        For what cannot be used; the message says what, where, and what to do.
    """
    environment = formulas.capture_environment(eval_env)
    masks.check_action(missing)
    source = Source(data)
    parsed = formulas.parse(formula, source.columns, environment)
    frame = source.frame(parsed.variables, f"the formula {formula!r}")
    _refuse_complex(frame)
    specs = expand(groups, random, source.columns, equal)
    given = _collect(source, variance, specs, weights, environment)
    used = ((c, frame[c]) for c in parsed.variables)
    absent = masks.missing_values(used) | given.missing()
    chosen = _choose(subset, absent, missing, source)
    chosen, design = _evaluate(parsed, frame, chosen, missing, source)
    endog = design.endog
    assert endog is not None  # `parse` saw to it that there is a left side
    return _assemble(
        given,
        chosen,
        _Fixed(endog, design.endog_name, design.exog, design.spec.column_names),
        _used_frame(frame, given, source, chosen.rows),
        design.spec,
    )


def prepare_arrays(
    endog: Any,
    exog: Any,
    variance: Any,
    *,
    groups: Any = None,
    random: Any = None,
    equal: Any = None,
    weights: Any = None,
    subset: Any = None,
    missing: str = "raise",
    data: Any = None,
) -> Prepared:
    """Prepare a model given by arrays.

    Parameters
    ----------
    endog : array_like, shape (n,)
        A Series carries its name, and the index everything else is matched to.  Without one
        that is the index of `data`, or of the first of the other arrays that has one.
    exog : array_like, shape (n,) or (n, p), or None
        A DataFrame carries names, else they are "const" and "x1", "x2", ...; None is an
        intercept alone.
    data : DataFrame or anything `Source` reads, optional
        Where column names in `variance`, `groups`, `random`, `weights` and `subset` are found.
    variance, groups, random, equal, weights, subset, missing
        As in `prepare_formula`.

    Returns
    -------
    Prepared

    Raises
    ------
    DataError, CovarianceError, SpecificationError
        As `prepare_formula`.
    """
    environment = formulas.capture_environment(0)
    masks.check_action(missing)
    y = endog if is_plain(endog) else _as_series(endog)
    empty = None
    if data is None:
        labels = _row_labels(len(y), endog, exog, variance, groups, weights)
        data = empty = pd.DataFrame(index=labels)
    source = Source(data)
    if empty is None:
        empty = pd.DataFrame(index=source.index)
    endog_values, endog_name = _as_vector(y, endog, source.index)
    x, names = _as_matrix(exog, source.index)
    specs = expand(groups, random, source.columns, equal)
    given = _collect(source, variance, specs, weights, environment)
    absent = {endog_name: np.isnan(endog_values)}
    absent |= masks.missing_columns(x, names) | given.missing()
    chosen = _choose(subset, absent, missing, source)
    _say_dropped(chosen)
    fixed = _Fixed(_rows_of(endog_values, chosen), endog_name, _rows_of(x, chosen), names)
    return _assemble(given, chosen, fixed, _used_frame(empty, given, source, chosen.rows), None)


def _refuse_complex(frame: pd.DataFrame) -> None:
    for name in frame:
        if frame[name].dtype.kind == "c":
            raise DataError(f"the column {name!r} holds complex numbers; take their real part")


@dataclass(frozen=True, eq=False)
class _Given:
    """Everything row-aligned besides y and X, over all rows of the data."""

    variance: GivenVariance
    weights: GivenWeights | None
    terms: list[TermData]
    index: pd.Index

    def missing(self) -> dict[str, Bools]:
        out = {self.variance.name: self.variance.missing}
        for term in self.terms:
            out |= term.missing()
        if self.weights is not None:
            out[self.weights.name] = self.weights.missing
        return out


@dataclass(frozen=True, eq=False)
class _Chosen:
    """The rows that stay, and the record of those that do not."""

    rows: Ints
    candidates: Ints
    dropped: pd.DataFrame


@dataclass(frozen=True, eq=False)
class _Fixed:
    """y (n,) and the full design X (n, p) of the kept rows."""

    endog: Floats
    endog_name: str
    exog: Floats
    names: list[str]


def _collect(
    source: Source, variance: Any, specs: Sequence[TermSpec], weights: Any, environment: Any
) -> _Given:
    return _Given(
        read_variance(variance, source),
        read_weights(weights, source),
        [collect(spec, source, environment) for spec in specs],
        source.index,
    )


def _choose(subset: Any, absent: Mapping[str, Bools], missing: str, source: Source) -> _Chosen:
    candidates = masks.subset_rows(subset, source)
    rows, dropped = masks.usable_rows(candidates, absent, missing, source.index)
    masks.check_enough(rows, source.n)
    return _Chosen(rows, candidates, dropped)


def _say_dropped(chosen: _Chosen) -> None:
    masks.say_dropped(chosen.dropped, len(chosen.candidates))


def _evaluate(
    parsed: ParsedFormula, frame: pd.DataFrame, chosen: _Chosen, missing: str, source: Source
) -> tuple[_Chosen, Design]:
    """Apply the formula to the kept rows; rows in which a *factor* is missing (log(-1)) go, too.

    It is applied again without them: transforms such as center() see the fitted rows only.
    """
    design = formulas.build(parsed, _take(frame, chosen.rows))
    while design.missing:
        absent = {name: np.zeros(source.n, dtype=bool) for name in design.missing}
        for name, mask in design.missing.items():
            absent[name][chosen.rows] = mask
        rows, more = masks.usable_rows(chosen.rows, absent, missing, source.index)
        masks.check_enough(rows, source.n)
        chosen = _Chosen(
            rows, chosen.candidates, pd.concat([chosen.dropped, more], ignore_index=True)
        )
        design = formulas.build(parsed, _take(frame, rows))
    _say_dropped(chosen)
    return chosen, design


def _assemble(
    given: _Given, chosen: _Chosen, fixed: _Fixed, frame: pd.DataFrame, spec: FormulaSpec | None
) -> Prepared:
    index = given.index if len(chosen.rows) == len(given.index) else given.index[chosen.rows]
    masks.check_finite(fixed.endog, [fixed.endog_name], index)
    masks.check_finite(fixed.exog, fixed.names, index)
    v = given.variance.take(chosen.rows, index)
    keep = independent_columns(fixed.exog)
    redundant = [name for name, kept in zip(fixed.names, keep, strict=True) if not kept]
    say_redundant(redundant)
    x = fixed.exog if keep.all() else np.ascontiguousarray(fixed.exog[:, keep])
    selection = Selection(chosen.rows, chosen.candidates, saturated=len(x) == x.shape[1])
    bound = [bind(term, selection) for term in given.terms]
    terms = tuple(term for term, _, _ in bound)
    ties = tied_positions([term.spec for term in given.terms], terms)
    problem = MetaProblem(fixed.endog, x, v, terms, ties)
    warn_of_too_many(problem)
    return Prepared(
        problem=problem,
        endog_name=fixed.endog_name,
        exog_names=[name for name, kept in zip(fixed.names, keep, strict=True) if kept],
        dropped_columns=redundant,
        exog_columns=np.flatnonzero(keep),
        index=index,
        rows=chosen.rows,
        n_given=len(given.index),
        dropped=chosen.dropped,
        weights=None if given.weights is None else given.weights.take(chosen.rows, index),
        spec=spec,
        frame=frame,
        notes=[*(note for _, _, notes in bound for note in notes), *tie_notes(ties, terms)],
        term_specs=[record for _, record, _ in bound],
        formula=None if spec is None else spec.text,
        dependence=None if keep.all() else _dependence(x, fixed.exog[:, ~keep]),
    )


def _dependence(kept: Floats, lost: Floats) -> Floats:
    """The columns of `lost` as combinations (p, k) of those of `kept`."""
    return np.asarray(np.linalg.lstsq(kept, lost, rcond=None)[0], dtype=float)


def say_redundant(names: Sequence[str]) -> None:
    """Warn of columns of the design that were left out."""
    if names:
        what = "a column" if len(names) == 1 else f"{len(names)} columns"
        warn(
            f"dropped {what} of the design, linearly dependent on those to the left: "
            f"{shorten(names, most=20)}"
        )


def _used_frame(frame: pd.DataFrame, given: _Given, source: Source, rows: Ints) -> pd.DataFrame:
    """The kept rows of all columns of the data that the model uses."""
    extra = {given.variance.name: None}
    for term in given.terms:
        names = (
            *term.spec.inner,
            *(term.spec.outer.columns if term.spec.arrays is None else ()),
            *term.slopes,
        )
        extra |= dict.fromkeys(map(str, names))
    if given.weights is not None:
        extra[given.weights.name] = None
    new = {n: source.column(n) for n in extra if n in source and n not in frame}
    used = _take(frame.assign(**new) if new else frame, rows)
    used.attrs["scale"] = source.scale
    return used


def _take(frame: pd.DataFrame, rows: Ints) -> pd.DataFrame:
    return frame if len(rows) == len(frame) else frame.iloc[rows]


def _rows_of(values: Floats, chosen: _Chosen) -> Floats:
    """The kept rows; all of them as they are."""
    return values if len(chosen.rows) == len(values) else values[chosen.rows]


def _row_labels(n: int, *given: Any) -> pd.Index:
    """Index of the first of the arrays that has one, n rows."""
    for values in given:
        if isinstance(values, (pd.Series, pd.DataFrame)) and len(values) == n:
            return values.index
    return pd.RangeIndex(n)


def _as_series(endog: Any) -> pd.Series:
    if isinstance(endog, pd.DataFrame) and endog.shape[1] == 1:
        endog = endog.iloc[:, 0]
    if isinstance(endog, pd.Series):
        return endog.rename("y" if endog.name is None else str(endog.name))
    name = getattr(endog, "name", None)
    values = np.asarray(endog)
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.ndim != 1:
        raise DataError(f"endog must have one value per row, got shape {values.shape}")
    name = name if isinstance(name, str) else "y"
    return pd.Series(values, name=name, copy=False).infer_objects()


def _as_vector(y: Any, endog: Any, index: pd.Index) -> tuple[Floats, str]:
    """Response (n,) in the order of `index`, and its name; `y` is a plain vector or a Series."""
    if y is endog and len(y) == len(index) and not isinstance(y, pd.Series):
        return read_only(y), "y"
    name = str(getattr(y, "name", "y"))
    values = y if isinstance(endog, pd.Series) else np.asarray(y)
    found = numeric(masks.aligned(values, index, "endog", name), "endog")
    # frames can be changed in place
    return found.copy() if isinstance(endog, (pd.Series, pd.DataFrame)) else found, name


def _as_matrix(exog: Any, index: pd.Index) -> tuple[Floats, list[str]]:
    """Design (n, p) in the order of `index`, and its names as statsmodels gives them."""
    if exog is None:
        return np.ones((len(index), 1)), ["const"]
    if isinstance(exog, (pd.Series, pd.DataFrame)):
        table = exog.to_frame() if isinstance(exog, pd.Series) else exog
        order = positions(table.index, index, "exog")
        table = table if order is None else table.iloc[order]
    else:
        array = np.asarray(exog)
        if array.dtype == np.float64 and array.ndim == 2 and array.shape[0] == len(index) > 0:
            return _plain_matrix(array)
        table = pd.DataFrame(array[:, None] if array.ndim == 1 else array).infer_objects()
        if len(table) != len(index):
            raise DataError(f"exog has {len(table)} rows, endog has {len(index)}")
        table.columns = pd.Index(_array_names(table.to_numpy()))
    if table.shape[1] == 0:
        raise DataError(NO_COLUMNS)
    table = table.rename(columns=str).set_axis(index)
    columns = [numeric(table.iloc[:, j], f"exog {name!r}") for j, name in enumerate(table.columns)]
    return np.column_stack(columns), list(table.columns)


NO_COLUMNS = "exog has no columns; pass None for an intercept alone"


def _plain_matrix(x: np.ndarray) -> tuple[Floats, list[str]]:
    """An array of floats is used as it is: a copy would be most of what a large model needs."""
    if not x.shape[1]:
        raise DataError(NO_COLUMNS)
    return read_only(np.ascontiguousarray(x)), _array_names(x)


def _array_names(x: np.ndarray) -> list[str]:
    """The first constant column is "const", the others are "x1", "x2", ..."""
    constant = [
        j for j in range(x.shape[1]) if len(x) and x[0, j] == 1 and (x[:, j] == x[0, j]).all()
    ]
    names = iter(f"x{j}" for j in range(1, x.shape[1] + 1))
    return ["const" if constant and j == constant[0] else next(names) for j in range(x.shape[1])]
