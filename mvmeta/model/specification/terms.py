"""Random terms bound to rows: which level, which effect, which structure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.columns import numeric, row_names
from mvmeta.design.terms import Groups, RandomTerm
from mvmeta.errors import DataError, SpecificationError
from mvmeta.model.specification import formula
from mvmeta.model.specification.distances import METRICS
from mvmeta.model.specification.frames import Source
from mvmeta.model.specification.grammar import NEEDS_MATRIX, SLOPES, SPATIAL
from mvmeta.model.specification.labelled import known_correlation, select_distance
from mvmeta.model.specification.levels import (
    CodedColumn,
    Factor,
    LevelLabels,
    code_column,
    combine,
    factor,
    level_texts,
)
from mvmeta.model.specification.pins import Occurrence, pin
from mvmeta.model.specification.rank import independent_columns
from mvmeta.model.specification.records import TermRecord, constant
from mvmeta.model.specification.rows import aligned, missing_values
from mvmeta.model.specification.slopes import warn_of_collinear
from mvmeta.model.specification.specs import TermSpec
from mvmeta.structures import (
    CovarianceStructure,
    Identity,
    Known,
    Kronecker,
    LogLinear,
    structure_class,
)
from mvmeta.structures.kronecker import MOST_ENTRIES

__all__ = ["Selection", "TermData", "TermRecord", "bind", "collect"]

COUNTED = frozenset({"AR", "HAR", "TOEP", "HTOEP"})
"""Structures in which a level keeps its place even if all its rows are dropped."""

FAR = 10.0
"""Distance of the mean of a scale covariate from 0, in standard deviations, that is too much."""

LEAST_FOR_A_FACTOR = 3
"""Inner levels from which on the loadings and specific variances of one factor are identified."""


_NO_COLUMNS = pd.DataFrame()


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
        Left side of a term with random slopes, or its scale formula.
    slopes : DataFrame (n, ...)
        Columns that formula uses.
    """

    spec: TermSpec
    outer: tuple[pd.Series, ...]
    inner: tuple[pd.Series, ...] = ()
    parsed: "formula.ParsedFormula | None" = None
    slopes: pd.DataFrame = field(default_factory=lambda: _NO_COLUMNS)

    def missing(self) -> dict[str, Bools]:
        """For every column that can have missing values, in which rows (n,) it does."""
        columns = {str(s.name): s for s in (*self.outer, *self.inner)}
        columns |= {str(c): self.slopes[c] for c in self.slopes}
        return missing_values(columns.items())


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
            source.once(v, partial(_beside, v, source.index, n))
            for v, n in zip(spec.arrays, names, strict=True)
        )
    elif spec.outer.columns == ("const",) and "const" not in source:
        outer = ()
    else:
        outer = tuple(source.column(c, role) for c in spec.outer.columns)
    if spec.code in SLOPES or spec.scale is not None:
        text = spec.left if spec.scale is None else spec.scale
        parsed = formula.parse(text, source.columns, environment, response=False)
        return TermData(spec, outer, (), parsed, source.frame(parsed.variables, role))
    return TermData(spec, outer, tuple(source.column(c, role) for c in spec.inner))


def _beside(values: Any, index: pd.Index, name: str) -> pd.Series:
    return aligned(values, index, f"groups {name!r}", name)


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
    coded : dict
        Columns coded so far: nested terms share their outer ones.
    """

    rows: Ints
    candidates: Ints
    saturated: bool = False
    coded: dict[int, tuple[pd.Series, CodedColumn]] = field(default_factory=dict)

    def code(self, column: pd.Series) -> CodedColumn:
        """Codes of a grouping column (n_given,) in the kept rows."""
        if id(column) not in self.coded:
            (kept,) = _take([column], self.rows)
            self.coded[id(column)] = column, code_column(kept)
        return self.coded[id(column)][1]


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
    return _binder(data.spec)(data, _outer(data, selection), selection)


def _binder(spec: TermSpec) -> Callable[[TermData, Factor, Selection], Bound]:
    if spec.correlates_groups:
        return _known
    if spec.scale is not None:
        return _scaled
    if spec.code is None:
        return _intercept
    if spec.code in SLOPES:
        return _slopes
    return _sites if spec.code in SPATIAL else _inner


def _outer(data: TermData, chosen: Selection) -> Factor:
    if not data.outer:
        whole = LevelLabels(pd.Index(["const"]))
        return Factor(np.zeros(len(chosen.rows), dtype=np.intp), whole)
    return combine([chosen.code(c) for c in data.outer], data.spec.outer.separator)


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
    if effects.z is not None:
        warn_of_collinear(spec.name, structure, effects.z)
    inner = effects.inner
    record = TermRecord(
        spec.name,
        spec.code,
        spec.outer.columns,
        outer.levels,
        spec.inner,
        None if inner is None else inner.levels.as_index,
        effects.separator,
        effects.design,
        homogeneous=effects.z is None and _one_variance(structure),
        outer_separator=spec.outer.separator,
        spec=_bare(spec),
    )
    codes = None if inner is None else inner.codes
    # The labels are a sequence that is built when somebody looks; the core only counts them.
    labels: Any = outer.levels
    term = RandomTerm(spec.name, outer.codes, labels, structure, codes, effects.z)
    return term, record, notes


def _one_variance(structure: CovarianceStructure) -> bool:
    """Whether all effects have one variance, whatever the components are."""
    if structure.q == 1:
        return True
    if sum(c.kind in {"sigma2", "tau2"} for c in structure.components) != 1:
        return False
    return constant(structure.matrix(structure.to_natural(structure.starts(1.0)[0])).diagonal())


def _bare(spec: TermSpec) -> TermSpec:
    """The specification without arrays over the rows and without matrices ("matrix" for one)."""
    metric = "matrix" if isinstance(spec.distance, pd.DataFrame) else spec.distance
    return replace(spec, arrays=None, corr=None, distance=metric)


def _one_level(n: int, name: str) -> tuple[Ints, Any]:
    """Codes (n,) and labels of a term all of whose effects are correlated."""
    return np.zeros(n, dtype=np.intp), LevelLabels(pd.Index([name]))


def _intercept(data: TermData, outer: Factor, chosen: Selection) -> Bound:
    return _bound(data.spec, outer, _Effects(Identity(("",), "sigma2")), chosen)


def _known(data: TermData, outer: Factor, chosen: Selection) -> Bound:
    """Intercepts correlated over the levels of their grouping."""
    spec = data.spec
    labels = level_texts(outer.levels.as_index)
    correlation = known_correlation(spec, labels, spec.outer.text)
    make: Any = Known if spec.code is None else structure_class(spec.code)
    full = make(labels=labels, correlation=correlation)
    structure, notes = pin(full, spec, len(labels), None, chosen.saturated)
    level, only = _one_level(len(outer.codes), spec.name)
    groups = Groups(outer.codes, outer.levels)
    term = RandomTerm(spec.name, level, only, structure, inner=outer.codes, correlated=groups)
    record = TermRecord(
        spec.name,
        spec.code or "KNOWN",
        spec.outer.columns,
        only,
        spec.outer.columns,
        outer.levels.as_index,
        spec.outer.separator,
        homogeneous=constant(np.diag(correlation)),
        spec=_bare(spec),
    )
    return term, record, notes


def _inner(data: TermData, outer: Factor, chosen: Selection) -> Bound:
    spec = data.spec
    _check_levels(data)
    inner = _inner_factor(data, chosen)
    structure = _over_factor(data, inner, chosen)
    return _correlated(spec, outer, _Effects(structure, inner), chosen)


def _check_levels(data: TermData) -> None:
    """Measurements are levels only for a user who says so."""
    (column,) = data.inner
    whole = column.isna().any() and (column.dropna() % 1 == 0).all() if _is_float(column) else True
    if data.spec.assumed and not whole:
        raise SpecificationError(
            f"the random term {data.spec.name!r}: {column.name!r} is a measurement, not a factor; "
            f"write Random('1 + {column.name} | ...', struct='GEN') for random slopes, or "
            "struct='CS' to take each of its values as a level"
        )


def _is_float(column: pd.Series) -> bool:
    return isinstance(column.dtype, np.dtype) and column.dtype.kind == "f"


def _inner_factor(data: TermData, chosen: Selection) -> Factor:
    if data.spec.code not in COUNTED or len(chosen.rows) == len(chosen.candidates):
        return factor(_take(data.inner, chosen.rows))
    everywhere = factor(_take(data.inner, chosen.candidates))
    return everywhere.take(np.searchsorted(chosen.candidates, chosen.rows))


def _over_factor(data: TermData, inner: Factor, chosen: Selection) -> CovarianceStructure:
    spec = data.spec
    make: Any = structure_class(str(spec.code))
    labels = level_texts(inner.levels.as_index)
    if spec.code in NEEDS_MATRIX:
        return make(labels, correlation=known_correlation(spec, labels, spec.left))
    if spec.code == "CAR":
        (column,) = _take(data.inner, chosen.rows)
        times = numeric(uncategorised(column), f"the time {spec.left!r} of {spec.name!r} (CAR)")
        return make(labels, times=times[_first(inner.codes)])
    if spec.code == "FA1" and len(labels) < LEAST_FOR_A_FACTOR:
        raise SpecificationError(
            f"struct='FA1' of {spec.name!r} needs at least {LEAST_FOR_A_FACTOR} inner levels, the "
            f"data have {len(labels)}: its parameters are not identified; use struct='UN'"
        )
    return make(labels)


def uncategorised(column: pd.Series) -> pd.Series:
    """Categories that are numbers, as numbers."""
    if isinstance(column.dtype, pd.CategoricalDtype) and column.cat.categories.dtype.kind in "iuf":
        return column.astype(float)
    return column


def _first(codes: Ints) -> Ints:
    """A row of each level (q,), in the order of the codes."""
    return np.unique(codes, return_index=True)[1]


def _scaled(data: TermData, outer: Factor, chosen: Selection) -> Bound:
    """Intercepts whose variance depends on covariates: one effect per pattern of these."""
    spec, design = data.spec, _design(data, chosen, f"the scale formula {data.spec.scale!r}")
    names, x = design.spec.column_names, design.exog
    constant = [j for j, name in enumerate(names) if name == "Intercept"]
    if not constant or x.shape[1] < 2:
        raise SpecificationError(
            f"scale={spec.scale!r} of {spec.name!r} needs an intercept and a covariate: sigma2 is "
            "the variance where the covariates are 0"
        )
    if not independent_columns(x).all():
        raise SpecificationError(
            f"scale={spec.scale!r} of {spec.name!r}: its covariates depend on each other or do "
            f"not vary ({', '.join(names)}); leave out the redundant ones"
        )
    columns = [data.slopes[c].iloc[chosen.rows] for c in data.slopes]
    patterns = factor(columns, ", ")
    rows = x[_first(patterns.codes)]
    kept = [j for j in range(x.shape[1]) if j not in constant]
    _check_near_zero(rows[:, kept], [names[j] for j in kept], spec)
    labels = level_texts(patterns.levels.as_index)
    structure = LogLinear(rows[:, kept], [names[j] for j in kept], labels)
    effects = _Effects(structure, patterns, separator=", ", design=design.spec)
    term, record, notes = _bound(spec, outer, effects, chosen)
    return term, replace(record, scale_rows=rows, homogeneous=False), notes


def _check_near_zero(w: Floats, names: Sequence[str], spec: TermSpec) -> None:
    """Covariates whose 0 lies far outside the data make sigma2 a number of no use, 1e-300 or so."""
    far = np.abs(w.mean(axis=0)) > FAR * w.std(axis=0)
    if far.any():
        name = names[int(np.argmax(far))]
        raise SpecificationError(
            f"scale={spec.scale!r} of {spec.name!r}: sigma2 is the variance where {name!r} is 0, "
            f"which lies far outside the data; centre it, as in 'I({name} - "
            f"{w[:, np.argmax(far)].mean():.4g})'"
        )


def _design(data: TermData, chosen: Selection, what: str) -> "formula.Design":
    """The formula of a term on the kept rows; all of them are there and finite."""
    assert data.parsed is not None  # such a term was collected with its formula
    frame = data.slopes.iloc[chosen.rows]
    design = formula.build(data.parsed, frame)
    lost = np.zeros(len(frame), dtype=bool)
    for mask in design.missing.values():
        lost |= mask
    lost[~lost] = ~np.isfinite(design.exog).all(axis=1)
    if lost.any():
        raise DataError(
            f"{what} of {data.spec.name!r} is missing or infinite in "
            f"{row_names(frame.index, lost)}; correct or leave out these rows"
        )
    return design


def _slopes(data: TermData, outer: Factor, chosen: Selection) -> Bound:
    spec = data.spec
    design = _design(data, chosen, f"the design {spec.left!r}")
    make: Any = structure_class(SLOPES[str(spec.code)])
    structure = make(tuple(design.spec.column_names))
    return _correlated(spec, outer, _Effects(structure, design=design.spec, z=design.exog), chosen)


def _sites(data: TermData, outer: Factor, chosen: Selection) -> Bound:
    spec = data.spec
    columns = _take(data.inner, chosen.rows)
    sites = factor(columns, ", ")
    labels = level_texts(sites.levels.as_index)
    if isinstance(spec.distance, pd.DataFrame):
        distance = select_distance(spec, labels)
    else:
        points = np.column_stack([numeric(c, f"the coordinate {c.name!r}") for c in columns])
        if spec.distance == "gcd":
            check_degrees(points, columns)
        distance = METRICS[spec.distance or "euclidean"](points[_first(sites.codes)])
    make: Any = structure_class(str(spec.code))
    options = {} if spec.smoothness is None else {"smoothness": spec.smoothness}
    structure = make(labels, distance=distance, **options)
    return _correlated(spec, outer, _Effects(structure, sites, separator=", "), chosen)


def check_degrees(points: Floats, columns: Sequence[pd.Series]) -> None:
    """Longitude and latitude, and not the other way round."""
    for column, values, most in zip(columns, points.T, (180, 90), strict=False):
        outside = np.abs(values) > most
        if outside.any():
            what = "longitude" if most == 180 else "latitude"
            raise DataError(
                f"distance='gcd' needs 'longitude + latitude' in degrees; the {what} "
                f"{column.name!r} is outside [-{most}, {most}] in "
                f"{row_names(column.index, outside)}"
            )


def _correlated(spec: TermSpec, outer: Factor, effects: _Effects, chosen: Selection) -> Bound:
    """A term with several effects in each outer level, these independent or not."""
    known, names = None, level_texts(outer.levels.as_index) if spec.is_product else ()
    if spec.is_product:
        known = known_correlation(spec, names, spec.outer.text)
    if effects.inner is not None:
        linked = None if known is None else known != 0
        q = len(effects.inner.levels)
        seen = Occurrence(outer.codes, effects.inner.codes, q, linked)
        effects = replace(effects, occurrence=seen)
    bound = _bound(spec, outer, effects, chosen)
    return bound if known is None else _times_known(bound, known, names)


def _times_known(bound: Bound, known: Floats, names: Sequence[str]) -> Bound:
    """The same term with outer levels that are correlated: all of them are one level then."""
    one, record, notes = bound
    level, only = _one_level(len(one.level), one.name)
    inner = one.level * one.q + (0 if one.inner is None else one.inner)
    term = RandomTerm(
        one.name,
        level,
        only,
        Kronecker(known, names, one.structure),
        inner=inner if one.z is None else None,
        z=None if one.z is None else _spread(one, len(names)),
        correlated=one.groups,
    )
    variances = pd.Series(np.diag(known), index=list(names))
    return term, replace(record, outer_levels=only, known=variances), notes


def _spread(term: RandomTerm, n_outer: int) -> Floats:
    """Rows of Z (n, n_outer q) of random slopes whose outer levels make up one level."""
    assert term.z is not None
    n, q = term.z.shape
    if n * n_outer * q > MOST_ENTRIES:
        raise SpecificationError(
            f"the random slopes {term.name!r} of {n_outer} correlated levels would need a dense "
            f"design of {n} rows and {n_outer * q} columns; use fewer levels, or slopes without "
            "corr="
        )
    z = np.zeros((n, n_outer, q))
    z[np.arange(n), term.level] = term.z
    return z.reshape(n, -1)
