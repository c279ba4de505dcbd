"""Random terms bound to rows: levels, structures, and what a new row needs to find them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.terms import RandomTerm
from mvmeta.errors import DataError, SpecificationError
from mvmeta.model import formula
from mvmeta.model.distances import METRICS
from mvmeta.model.frames import Source, numeric, row_names, shorten
from mvmeta.model.levels import Factor, LevelLabels, factor, level_texts
from mvmeta.model.pins import Occurrence, pin
from mvmeta.model.random import SLOPES, SPATIAL, TermSpec
from mvmeta.model.rows import aligned, check_finite
from mvmeta.structures import CovarianceStructure, Identity, Known, structure_class

LABEL_TOLERANCE = 1e-8
"""Largest asymmetry of a labelled matrix, relative to its largest element, taken for rounding."""

PSD_TOLERANCE = 1e-8
"""An eigenvalue of a known matrix above -this times its largest diagonal element counts as zero."""

COUNTED = frozenset({"AR", "HAR", "TOEP", "HTOEP"})
"""Structures in which a level keeps its place even if all its rows are dropped."""


@dataclass(frozen=True, eq=False)
class TermRecord:
    """What prediction needs to know of a term.

    Attributes
    ----------
    name : str
    code : str or None
        Structure as the user calls it; None for a random intercept, "KNOWN" with `corr=`.
    outer : tuple of str
        Columns whose combination is the level.
    outer_levels : sequence
        Labels of the levels, in the order of the codes.
    inner : tuple of str
        Columns of the inner factor (or the coordinates); empty for intercepts and slopes.
    inner_levels : Index or None
        Values of the inner factor in the order of its codes.
    separator : str
        Between the values of several inner columns in `inner_levels`.
    design : FormulaSpec or None
        Left side of a term with random slopes.
    homogeneous : bool
        Whether all levels, also new ones, have one variance by construction.
    """

    name: str
    code: str | None
    outer: tuple[str, ...]
    outer_levels: Sequence[object]
    inner: tuple[str, ...] = ()
    inner_levels: pd.Index | None = None
    separator: str = "/"
    design: "formula.FormulaSpec | None" = None
    homogeneous: bool = True

    def variance(self, g: Floats, newdata: Any) -> Floats:
        """Variance of the term's effect in new rows, shape (n_new,).

        Parameters
        ----------
        g : ndarray, shape (q, q)
            Covariance of the effects of one level.
        newdata : DataFrame or anything `Source` reads

        Returns
        -------
        ndarray, shape (n_new,)
            NaN where the row does not say which variance it has: the inner factor's column
            is missing, or has no level of the fitted data.
        """
        source = Source(newdata)
        if self.design is not None:
            return self._slope_variance(g, source)
        diagonal = np.diag(g)
        if self.homogeneous:
            return np.full(source.n, diagonal[0])
        codes = self.inner_codes(source)
        return np.where(codes >= 0, diagonal[codes], np.nan)

    def inner_codes(self, source: Source) -> Ints:
        """Codes (n_new,) of the inner levels of new rows; -1 where unknown or not said."""
        if self.inner_levels is None or any(c not in source for c in self.inner):
            return np.full(source.n, -1)
        known = pd.Index(level_texts(self.inner_levels))
        new = factor([source.column(c) for c in self.inner], self.separator)
        code = known.get_indexer(pd.Index(level_texts(new.levels.as_index), dtype=known.dtype))
        return np.append(code, -1)[new.codes].astype(np.intp)

    def _slope_variance(self, g: Floats, source: Source) -> Floats:
        assert self.design is not None
        if any(c not in source for c in self.design.variables):
            return np.full(source.n, np.nan)
        z = self.design.design(source)
        return np.asarray(np.einsum("nq,qr,nr->n", z, g, z))


@dataclass(frozen=True, eq=False)
class TermData:
    """The columns of one term over all rows of the data, before any are dropped.

    Attributes
    ----------
    spec : TermSpec
    outer : tuple of Series (n,)
        Grouping variables; empty for "const".
    inner : tuple of Series (n,)
        Inner factor or coordinates.
    parsed : ParsedFormula or None
        Left side of a term with random slopes.
    slopes : DataFrame (n, ...)
        Columns that left side uses.
    """

    spec: TermSpec
    outer: tuple[pd.Series, ...]
    inner: tuple[pd.Series, ...] = ()
    parsed: "formula.ParsedFormula | None" = None
    slopes: pd.DataFrame = field(default_factory=pd.DataFrame)

    def missing(self) -> dict[str, Bools]:
        """For every column, in which rows (n,) it is missing."""
        columns = {str(s.name): s for s in (*self.outer, *self.inner)}
        columns |= {str(c): self.slopes[c] for c in self.slopes}
        return {name: series.isna().to_numpy() for name, series in columns.items()}


def collect(spec: TermSpec, source: Source, environment: Any) -> TermData:
    """Find the columns of a term in the data.

    Raises
    ------
    DataError
        If a column is not there or an array does not fit the rows.
    """
    role = f"the random term {spec.name!r}"
    if spec.arrays is not None:
        names = spec.outer.columns
        outer = tuple(
            aligned(v, source.index, f"groups {n!r}").rename(n)
            for v, n in zip(spec.arrays, names, strict=True)
        )
    elif spec.outer.columns == ("const",) and "const" not in source:
        outer = ()
    else:
        outer = tuple(source.column(c, role) for c in spec.outer.columns)
    if spec.code in SLOPES:
        parsed = formula.parse(spec.left, source.columns, environment, response=False)
        return TermData(spec, outer, (), parsed, source.frame(parsed.variables, role))
    return TermData(spec, outer, tuple(source.column(c, role) for c in spec.inner))


@dataclass(frozen=True, eq=False)
class Selection:
    """The rows a model is fitted to.

    Attributes
    ----------
    rows : ndarray of int, shape (n,)
        Positions of the kept rows in the data.
    candidates : ndarray of int
        Positions before rows with missing values were dropped.
    saturated : bool
        Whether there are as many fixed effects as rows.
    """

    rows: Ints
    candidates: Ints
    saturated: bool = False


Bound = tuple[RandomTerm, TermRecord, list[str]]


def bind(data: TermData, selection: Selection) -> Bound:
    """Make a random term of the kept rows.

    Parameters
    ----------
    data : TermData
    selection : Selection

    Returns
    -------
    term : RandomTerm
    record : TermRecord
    notes : list of str
        What was fixed automatically.

    Raises
    ------
    SpecificationError, DataError
        If the structure and the data do not go together.
    """
    return _binder(data.spec)(data, _outer(data, selection.rows), selection)


def _binder(spec: TermSpec) -> Callable[[TermData, Factor, Selection], Bound]:
    if spec.code is None:
        return _intercept if spec.corr is None else _known
    if spec.code in SLOPES:
        return _slopes
    return _sites if spec.code in SPATIAL else _inner


def _outer(data: TermData, rows: Ints) -> Factor:
    if not data.outer:
        whole = LevelLabels([(pd.Index(["const"]), np.zeros(1, dtype=np.intp))])
        return Factor(np.zeros(len(rows), dtype=np.intp), whole)
    return factor(_take(data.outer, rows), data.spec.outer.separator)


def _take(columns: Sequence[pd.Series], rows: Ints) -> list[pd.Series]:
    return [c if len(rows) == len(c) else c.iloc[rows] for c in columns]


@dataclass(frozen=True, eq=False)
class _Effects:
    """What one level of a term carries: a structure, and which of its effects each row has."""

    structure: CovarianceStructure
    inner: Factor | None = None
    occurrence: Occurrence | None = None
    separator: str = "/"
    design: "formula.FormulaSpec | None" = None
    z: Floats | None = None


def _bound(spec: TermSpec, outer: Factor, effects: _Effects, chosen: Selection) -> Bound:
    structure, notes = pin(
        effects.structure, spec, len(outer.levels), effects.occurrence, chosen.saturated
    )
    inner = effects.inner
    codes = None if inner is None else inner.codes
    # The labels are a sequence that is built when somebody looks; the core only counts them.
    labels: Any = outer.levels
    term = RandomTerm(spec.name, outer.codes, labels, structure, codes, effects.z)
    variances = [c for c in structure.components if c.kind in {"sigma2", "tau2"}]
    record = TermRecord(
        spec.name,
        spec.code,
        spec.outer.columns,
        outer.levels,
        spec.inner,
        None if inner is None else inner.levels.as_index,
        effects.separator,
        effects.design,
        homogeneous=len(variances) == 1 and effects.z is None,
    )
    return term, record, notes


def _intercept(data: TermData, outer: Factor, chosen: Selection) -> Bound:
    return _bound(data.spec, outer, _Effects(Identity(("",), "sigma2")), chosen)


def _known(data: TermData, outer: Factor, chosen: Selection) -> Bound:
    spec = data.spec
    labels = level_texts(outer.levels.as_index)
    correlation = scale_corr(select_corr(spec, labels), spec.corr_scale, spec.name)
    structure, notes = pin(Known(correlation, labels), spec, len(labels), None, chosen.saturated)
    one = LevelLabels([(pd.Index([spec.name]), np.zeros(1, dtype=np.intp))])
    level, only = np.zeros(len(outer.codes), dtype=np.intp), cast("tuple[object, ...]", one)
    term = RandomTerm(spec.name, level, only, structure, inner=outer.codes)
    diagonal = np.diag(correlation)
    record = TermRecord(
        spec.name,
        "KNOWN",
        spec.outer.columns,
        one,
        spec.outer.columns,
        outer.levels.as_index,
        spec.outer.separator,
        homogeneous=bool(np.ptp(diagonal) <= LABEL_TOLERANCE * diagonal.max()),
    )
    return term, record, notes


def _inner(data: TermData, outer: Factor, chosen: Selection) -> Bound:
    spec = data.spec
    inner = _inner_factor(data, chosen)
    make: Any = structure_class(str(spec.code))
    labels = level_texts(inner.levels.as_index)
    if spec.code == "CAR":
        (column,) = _take(data.inner, chosen.rows)
        times = numeric(_uncategorised(column), f"the time {spec.left!r} of {spec.name!r} (CAR)")
        check_finite(times, [spec.left], column.index)
        structure = make(labels, times=times[_first(inner.codes)])
    else:
        structure = make(labels)
    occurrence = Occurrence(outer.codes, inner.codes, len(labels))
    return _bound(spec, outer, _Effects(structure, inner, occurrence), chosen)


def _inner_factor(data: TermData, chosen: Selection) -> Factor:
    if data.spec.code not in COUNTED or len(chosen.rows) == len(chosen.candidates):
        return factor(_take(data.inner, chosen.rows))
    everywhere = factor(_take(data.inner, chosen.candidates))
    return everywhere.take(np.searchsorted(chosen.candidates, chosen.rows))


def _uncategorised(column: pd.Series) -> pd.Series:
    """Categories that are numbers, as numbers."""
    if isinstance(column.dtype, pd.CategoricalDtype) and column.cat.categories.dtype.kind in "iuf":
        return column.astype(float)
    return column


def _first(codes: Ints) -> Ints:
    """A row of each level (q,), in the order of the codes."""
    return np.unique(codes, return_index=True)[1]


def _slopes(data: TermData, outer: Factor, chosen: Selection) -> Bound:
    spec = data.spec
    assert data.parsed is not None  # a term with slopes was collected with its design
    frame = data.slopes.iloc[chosen.rows]
    design = formula.build(data.parsed, frame)
    lost = np.zeros(len(frame), dtype=bool)
    for mask in design.missing.values():
        lost |= mask
    lost[~lost] = ~np.isfinite(design.exog).all(axis=1)
    if lost.any():
        raise DataError(
            f"the design {spec.left!r} of {spec.name!r} is missing or infinite in "
            f"{row_names(frame.index, lost)}; correct or leave out these rows"
        )
    make: Any = structure_class(SLOPES[str(spec.code)])
    structure = make(tuple(design.spec.column_names))
    return _bound(spec, outer, _Effects(structure, design=design.spec, z=design.exog), chosen)


def _sites(data: TermData, outer: Factor, chosen: Selection) -> Bound:
    spec = data.spec
    columns = _take(data.inner, chosen.rows)
    sites = factor(columns, ", ")
    labels = level_texts(sites.levels.as_index)
    if isinstance(spec.distance, pd.DataFrame):
        distance = select_distance(spec, labels)
    else:
        names = [str(c.name) for c in columns]
        points = np.column_stack([numeric(c, f"the coordinate {c.name!r}") for c in columns])
        check_finite(points, names, columns[0].index)
        distance = METRICS[spec.distance or "euclidean"](points[_first(sites.codes)])
    make: Any = structure_class(str(spec.code))
    structure = make(labels, distance=distance)
    return _bound(spec, outer, _Effects(structure, sites, separator=", "), chosen)


def select_corr(spec: TermSpec, labels: Sequence[str]) -> Floats:
    """The known matrix of `spec` for the levels that occur, checked, shape (q, q).

    Raises
    ------
    DataError
        If levels are missing from it (named), or it is not finite or not symmetric there.
    """
    assert spec.corr is not None
    return _select(spec.corr, labels, f"corr= of {spec.name!r}")


def select_distance(spec: TermSpec, labels: Sequence[str]) -> Floats:
    """The distances of `spec` for the sites that occur, checked, shape (q, q).

    Raises
    ------
    DataError
        As `select_corr`, and for negative distances or a site at a distance from itself.
    """
    what = f"distance= of {spec.name!r}"
    assert isinstance(spec.distance, pd.DataFrame)
    values = _select(spec.distance, labels, what)
    if (values < 0).any() or np.diag(values).any():
        raise DataError(f"{what} must be >= 0, and 0 on the diagonal")
    return values


def scale_corr(r: Floats, scale: str, name: str) -> Floats:
    """Apply `corr_scale` to a known matrix r (q, q), after its levels were selected.

    "cor": r_ij / sqrt(r_ii r_jj); "cor0": then (r - min) / (1 - min); "cov0": r - min.

    Raises
    ------
    SpecificationError
        If the result is not positive semi-definite.
    """
    if scale in {"cor", "cor0"}:
        variances = np.diag(r)
        if (variances <= 0).any():
            raise SpecificationError(
                f"corr= of {name!r} has a diagonal element <= 0 and cannot be made correlations"
            )
        sd = np.sqrt(variances)
        r = r / np.outer(sd, sd)
        np.fill_diagonal(r, 1.0)
    least = float(r.min())
    if scale == "cor0":
        if least >= 1:
            raise SpecificationError(
                f"corr= of {name!r} is 1 everywhere; corr_scale='cor0' would divide by 0"
            )
        r = (r - least) / (1 - least)
    if scale == "cov0":
        r = r - least
    _check_semidefinite(r, scale, name)
    return r


def _check_semidefinite(r: Floats, scale: str, name: str) -> None:
    try:
        # A factorisation costs a tenth of the eigenvalues, which only the message needs.
        np.linalg.cholesky(r + PSD_TOLERANCE * np.diag(r).max() * np.eye(len(r)))
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh(r)[0]
        raise SpecificationError(
            f"corr= of {name!r} is not positive semi-definite after corr_scale={scale!r}: "
            f"its smallest eigenvalue is {least:.3g}; check it, or use another corr_scale"
        ) from None


def _select(matrix: pd.DataFrame, labels: Sequence[str], what: str) -> Floats:
    rows, columns = pd.Index(level_texts(matrix.index)), pd.Index(level_texts(matrix.columns))
    if not rows.is_unique or not columns.is_unique:
        twice = rows[rows.duplicated()].append(columns[columns.duplicated()]).unique()
        raise DataError(f"{what} has labels twice: {shorten(twice)}")
    for axis, have in (("rows", rows), ("columns", columns)):
        lacking = [label for label in labels if label not in have]
        if lacking:
            raise DataError(
                f"{what} has no {axis} for {len(lacking)} levels of the data: {shorten(lacking)}; "
                f"its labels are {shorten(have)}"
            )
    wanted = pd.Index(labels)
    picked = np.ix_(rows.get_indexer(wanted), columns.get_indexer(wanted))
    try:
        values = matrix.to_numpy()[picked].astype(float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} must be numeric: {error}") from None
    _check_symmetric(values, labels, what)
    return (values + values.T) / 2


def _check_symmetric(values: Floats, labels: Sequence[str], what: str) -> None:
    if not np.isfinite(values).all():
        i, j = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"{what} is missing or infinite for {labels[i]!r} and {labels[j]!r}")
    gap = np.abs(values - values.T)
    if gap.max(initial=0.0) > LABEL_TOLERANCE * np.abs(values).max(initial=0.0):
        i, j = divmod(int(np.argmax(gap)), len(gap))
        raise DataError(
            f"{what} is not symmetric: {values[i, j]:g} and {values[j, i]:g} for "
            f"{labels[i]!r} and {labels[j]!r}"
        )
