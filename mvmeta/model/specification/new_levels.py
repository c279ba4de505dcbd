"""Covariance of the effects of new inner levels with those of the fitted ones.

A structure whose parameters do not belong to single levels says how any further level is
correlated with the fitted ones: by its place, its time, its branch of the tree, or alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats, Ints
from mvmeta.columns import numeric, row_names
from mvmeta.design.terms import RandomTerm
from mvmeta.errors import DataError, SpecificationError
from mvmeta.model.specification.distances import METRICS
from mvmeta.model.specification.frames import Source, shorten
from mvmeta.model.specification.grammar import NEEDS_MATRIX, SPATIAL
from mvmeta.model.specification.labelled import scale_corr, select_labelled
from mvmeta.model.specification.levels import level_texts
from mvmeta.model.specification.records import TermRecord, find_levels
from mvmeta.model.specification.terms import check_degrees, uncategorised
from mvmeta.structures import CovarianceStructure, Known, Kronecker, Pinned, Tied
from mvmeta.structures.decay import RangeCorrelation

ALIKE = frozenset({"ID", "CS"})
"""Structures in which a further level is like any other."""

SAME = 1e-6
"""Relative difference up to which a covariance given again is the fitted one."""

STEP = 512
"""New levels whose covariances are computed at once, unless there are more fitted ones."""

EVEN = 1e-9
"""Relative difference of gaps in time that is rounding."""


@dataclass(frozen=True, eq=False)
class FittedTerm:
    """A term at its estimates.

    Attributes
    ----------
    record : TermRecord
    term : RandomTerm
    theta : ndarray, shape (n_components,)
    g : ndarray, shape (q, q)
    frame : DataFrame
        The fitted rows of the columns the model uses.
    """

    record: TermRecord
    term: RandomTerm
    theta: Floats
    g: Floats
    frame: pd.DataFrame

    @property
    def name(self) -> str:
        """Name of the term."""
        return self.record.name

    @property
    def kronecker(self) -> Kronecker | None:
        """The product with a known matrix over the outer levels, if the term is one."""
        found, _ = unwrapped(self.term.structure, self.theta)
        return found if isinstance(found, Kronecker) else None

    @property
    def over_groups(self) -> bool:
        """Whether the effects are intercepts correlated over the levels of the grouping."""
        return self.term.correlated is not None and self.kronecker is None

    def inner_structure(self) -> tuple[CovarianceStructure, Floats]:
        """The structure over the inner levels without pins and ties, and its components."""
        found, theta = unwrapped(self.term.structure, self.theta)
        return unwrapped(found.structure, theta) if isinstance(found, Kronecker) else (found, theta)


@dataclass(frozen=True, eq=False)
class Given:
    """Matrices that know more levels than the fitted data, by term.

    Attributes
    ----------
    corr, distance : dict of str to DataFrame
    """

    corr: dict[str, pd.DataFrame]
    distance: dict[str, pd.DataFrame]


@dataclass(frozen=True, eq=False)
class InnerEffects:
    """The inner effect each new row carries.

    Attributes
    ----------
    code : ndarray of int, shape (m,)
        Row of the following.
    covariance : ndarray, shape (k, q)
        With the q effects of a fitted outer level: the fitted inner levels, then new ones.
    variance : ndarray, shape (k,)
    """

    code: Ints
    covariance: Floats
    variance: Floats


Extension = tuple[Floats, Floats]


def unwrapped(structure: CovarianceStructure, theta: Floats) -> tuple[CovarianceStructure, Floats]:
    """A structure without pins and ties, and its natural components."""
    if isinstance(structure, Pinned):
        return unwrapped(structure.inner, theta)
    if isinstance(structure, Tied):
        return unwrapped(structure.inner, np.asarray(theta)[structure.group])
    return structure, theta


def inner_effects(fitted: FittedTerm, source: Source, given: Given) -> InnerEffects:
    """Which inner effect new rows carry, and what it has to do with the fitted ones.

    Raises
    ------
    DataError
        If a column is lacking or missing somewhere, or a matrix lacks a level.
    SpecificationError
        For a new level of a structure that says nothing of new levels.
    """
    record = fitted.record
    structure, theta = fitted.inner_structure()
    g = structure.matrix(theta)
    assert record.inner_levels is not None
    role = f"the effects of the random term {record.name!r}"
    columns = [source.column(c, role) for c in record.inner]
    known = pd.Index(level_texts(record.inner_levels), dtype=object)
    code, new = find_levels(known, record.inner, record.separator, source)
    if (code < 0).any() and not fitted.over_groups:
        raise DataError(
            f"{' + '.join(record.inner)} is missing in {row_names(source.index, code < 0)}: the "
            f"random term {record.name!r} needs it to say which effect a row has"
        )
    if not len(new):
        return InnerEffects(code, g, np.diag(g))
    first = np.unique(code, return_index=True)[1][-len(new) :]
    rows = [c.iloc[first] for c in columns]
    covariance, variance = _rule(record.code)(fitted, Asked(known, new, rows, given))
    return InnerEffects(
        code, np.concatenate([g, covariance]), np.concatenate([np.diag(g), variance])
    )


@dataclass(frozen=True, eq=False)
class Asked:
    """New inner levels, and what there is to place them among the fitted ones.

    Attributes
    ----------
    known : Index, length q
        Texts of the fitted inner levels.
    new : Index, length u
        Texts of the new ones.
    rows : list of Series (u,)
        A row of the new data for each new level: the columns of the inner factor.
    given : Given
    """

    known: pd.Index
    new: pd.Index
    rows: list[pd.Series]
    given: Given

    def labels(self, at: slice) -> list[str]:
        """Fitted levels, then some of the new ones."""
        return [*self.known, *self.new[at]]


Rule = Callable[[FittedTerm, Asked], Extension]


def _rule(code: str | None) -> Rule:
    rules: dict[str, Rule] = {"CAR": _times, "AR": _positions, "KNOWN": _species}
    rules |= dict.fromkeys(ALIKE, _alike) | dict.fromkeys(NEEDS_MATRIX, _species)
    rules |= dict.fromkeys(SPATIAL, _sites)
    return rules.get(str(code), _refuse)


def _refuse(fitted: FittedTerm, asked: Asked) -> Extension:
    raise SpecificationError(
        f"struct={fitted.record.code!r} of {fitted.name!r} has parameters for each of its levels, "
        f"so nothing is known of {shorten(map(repr, asked.new))}; the fitted levels are "
        f"{shorten(asked.known, most=20)}"
    )


def _alike(fitted: FittedTerm, asked: Asked) -> Extension:
    structure, theta = fitted.inner_structure()
    make: Any = type(structure)
    # One new level at a time: two of them are correlated with the fitted ones alike.
    g = make(asked.labels(slice(1))).matrix(theta)
    count = len(asked.new)
    return np.repeat(g[-1:, :-1], count, axis=0), np.full(count, g[-1, -1])


def _times(fitted: FittedTerm, asked: Asked) -> Extension:
    structure: Any
    structure, theta = fitted.inner_structure()
    times = numeric(uncategorised(asked.rows[0]), f"the time {fitted.record.inner[0]!r} (CAR)")

    def build(at: slice) -> CovarianceStructure:
        every = np.concatenate([structure.times, times[at]])
        return type(structure)(asked.labels(at), times=every)

    return _extended(fitted, build, theta, len(times))


def _positions(fitted: FittedTerm, asked: Asked) -> Extension:
    """AR counts positions, which evenly spaced numbers continue."""
    _, (tau2, rho) = fitted.inner_structure()
    known, new = asked.known, asked.new
    levels = pd.to_numeric(pd.Series(known), errors="coerce").to_numpy(dtype=float)
    values = pd.to_numeric(uncategorised(asked.rows[0]), errors="coerce").to_numpy(dtype=float)
    gaps = np.diff(levels)
    even = len(gaps) > 0 and (np.abs(gaps - gaps[0]) <= EVEN * np.abs(gaps[0])).all()
    position = (values - levels[0]) / gaps[0] if even else np.full(len(new), np.nan)
    whole = np.rint(position)
    off = ~(np.abs(position - whole) <= EVEN * np.maximum(np.abs(whole), 1.0))
    if off.any():
        raise SpecificationError(
            f"struct='AR' of {fitted.name!r} counts positions, and {shorten(map(repr, new[off]))} "
            f"has none among the levels {shorten(known, most=20)}: only evenly spaced numbers can "
            "be continued; use struct='CAR' for times of any spacing"
        )
    lag = np.abs(whole[:, None] - np.arange(len(known)))
    return tau2 * rho**lag, np.full(len(new), tau2)


def _sites(fitted: FittedTerm, asked: Asked) -> Extension:
    structure: Any
    structure, theta = fitted.inner_structure()
    spec = fitted.record.spec
    assert spec is not None
    metric = str(spec.distance or "euclidean")
    if metric not in METRICS or fitted.name in asked.given.distance:
        return _sites_of_a_matrix(fitted, asked)
    points = np.column_stack([numeric(c, f"the coordinate {c.name!r}") for c in asked.rows])
    if metric == "gcd":
        check_degrees(points, asked.rows)
    assert fitted.term.inner is not None
    first = np.unique(fitted.term.inner % len(asked.known), return_index=True)[1]
    old = np.column_stack([numeric(fitted.frame[c], str(c))[first] for c in fitted.record.inner])
    tau2, rho = theta
    covariance = np.empty((len(points), len(old)))
    for start in range(0, len(points), STEP):
        at = slice(start, start + STEP)
        distance = METRICS[metric](points[at], old)
        r = RangeCorrelation(distance, structure.correlation.profile)
        covariance[at] = tau2 * r.matrix(np.array([rho]))
    return covariance, np.full(len(points), tau2)


def _sites_of_a_matrix(fitted: FittedTerm, asked: Asked) -> Extension:
    structure: Any
    structure, theta = fitted.inner_structure()
    spec, matrix = fitted.record.spec, asked.given.distance.get(fitted.name)
    if matrix is None:
        raise DataError(
            f"the sites {shorten(map(repr, asked.new))} of {fitted.name!r} are new and the model "
            "was fitted with a matrix of distances: pass one that has them too, "
            f"distance={{{fitted.name!r}: matrix}}"
        )
    smooth = None if spec is None else spec.smoothness
    options = {} if smooth is None else {"smoothness": smooth}

    def build(at: slice) -> CovarianceStructure:
        labels = asked.labels(at)
        distance = select_labelled(matrix, labels, f"distance= of {fitted.name!r}")
        return type(structure)(labels, distance=distance, **options)

    return _extended(fitted, build, theta, len(asked.new))


def _species(fitted: FittedTerm, asked: Asked) -> Extension:
    structure, theta = fitted.inner_structure()
    r = enlarged(fitted, asked.known, asked.new, asked.given)
    q, count = len(asked.known), len(asked.new)
    make: Any = Known if fitted.record.code == "KNOWN" else type(structure)

    def build(at: slice) -> CovarianceStructure:
        kept = np.r_[:q, q + np.arange(count)[at]]
        return make(labels=asked.labels(at), correlation=r[np.ix_(kept, kept)])

    return _extended(fitted, build, theta, count)


def enlarged(fitted: FittedTerm, known: pd.Index, new: pd.Index, given: Given) -> Floats:
    """The known matrix over fitted and new levels, scaled as the fitted one was.

    Raises
    ------
    DataError
        If none was given, or it lacks a level.
    SpecificationError
        If it is not positive semi-definite.
    """
    matrix = given.corr.get(fitted.name)
    if matrix is None:
        raise DataError(
            f"{shorten(map(repr, new))} of {fitted.name!r} are not among the levels of the fitted "
            f"data; to predict from their correlations with these pass a matrix that has both, "
            f"corr={{{fitted.name!r}: matrix}}"
        )
    spec = fitted.record.spec
    assert spec is not None
    labels = [*known, *new]
    picked = select_labelled(matrix, labels, f"corr= of {fitted.name!r}")
    return scale_corr(picked, spec.corr_scale, fitted.name, fitted=len(known), labels=labels)


def _extended(
    fitted: FittedTerm, build: Callable[[slice], CovarianceStructure], theta: Floats, count: int
) -> Extension:
    """Covariances (count, q) and variances of new levels, in pieces of the enlarged G."""
    structure, _ = fitted.inner_structure()
    g = structure.matrix(theta)
    q = len(g)
    step = max(q, STEP)
    covariance, variance = [np.empty((0, q))], [np.empty(0)]
    for start in range(0, count, step):
        full = build(slice(start, start + step)).matrix(theta)
        check_same(full[:q, :q], g, structure.labels, fitted.name)
        covariance.append(full[q:, :q])
        variance.append(np.diag(full)[q:])
    return np.concatenate(covariance), np.concatenate(variance)


def check_same(again: Floats, g: Floats, labels: Sequence[str], name: str) -> None:
    """Raise a DataError where the fitted levels are not related as they were in the fit."""
    gap = np.abs(again - g)
    if gap.max() > SAME * np.abs(g).max():
        i, j = divmod(int(np.argmax(gap)), len(gap))
        raise DataError(
            f"the matrix given for {name!r} is not the one the model was fitted with: it differs "
            f"for {labels[i]!r} and {labels[j]!r}; add rows and columns to the fitted one"
        )
