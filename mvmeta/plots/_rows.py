"""What plots read from results: rows, the studies they are in, and what they add up to.

Only public attributes are read, so that anything that has them can be plotted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.layout import is_nested
from mvmeta.errors import DataError

SAME = 1e-8
"""Relative difference of design rows or limits that is rounding."""


@dataclass(frozen=True, eq=False)
class Studies:
    """Which study each row is in.

    Attributes
    ----------
    code : ndarray of int, shape (n,)
    labels : list of str
    """

    code: Ints
    labels: list[str]


@dataclass(frozen=True, eq=False)
class Summaries:
    """What the rows add up to: the mean, or the mean of every level of the factors.

    Attributes
    ----------
    labels : list of str
    frame : DataFrame, shape (m, 6)
        Columns of `PredictionResults.summary_frame`.
    contributions : ndarray, shape (m, n)
        The estimates are `contributions` times the observed effects.
    """

    labels: list[str]
    frame: pd.DataFrame
    contributions: Floats


def observed(res: Any) -> Floats:
    """Estimates y (n,)."""
    return np.asarray(res.fittedvalues + res.resid, dtype=float)


def sampling_errors(res: Any) -> Floats:
    """Standard errors (n,) of the estimates: the root of the diagonal of V."""
    return np.sqrt(np.asarray(res.fit_.problem.v.variances, dtype=float))


def same_mean(res: Any) -> bool:
    """Whether the model gives all rows one mean: an intercept and nothing else."""
    x = np.asarray(res.model.exog)
    return x.shape[1] == 1 and bool((x == x[0]).all())


def studies(res: Any, groups: Any = None) -> Studies:
    """The grouping `groups` names, or the outermost one of the model.

    Without random terms every row is a study.

    Raises
    ------
    DataError
        If `groups` does not fit the rows.
    """
    if groups is not None:
        code, labels = pd.factorize(row_values(res, groups, "groups"))
        return Studies(np.asarray(code, dtype=np.intp), [str(v) for v in labels])
    terms = [t for t in res.fit_.problem.terms if len(t.groups.labels) > 1]
    if not terms:
        return Studies(np.arange(res.nobs), [str(v) for v in res.resid.index])
    found = terms[0].groups
    for term in terms[1:]:
        other = term.groups
        if len(other.labels) < len(found.labels) and is_nested(found.codes, other.codes):
            found = other
    return Studies(np.asarray(found.codes), [str(v) for v in found.labels])


def row_values(res: Any, given: Any, argument: str, missing: bool = False) -> Any:
    """Values (n,) over the fitted rows: of a column the model uses, or of a row-labelled Series.

    Raises
    ------
    DataError
        If there is no such column, the length does not fit, or a value is missing where none
        may be (`missing`).
    """
    index = res.resid.index
    if isinstance(given, str):
        frame = res.model.data.frame
        if given not in frame:
            raise DataError(
                f"{argument}={given!r} is no column the model uses "
                f"({', '.join(map(str, frame))}); pass the column itself"
            )
        given = frame[given]
    elif isinstance(given, pd.Series) and given.index.is_unique and index.isin(given.index).all():
        given = given.loc[index]
    values = np.asarray(given)
    if values.shape != (len(index),):
        raise DataError(
            f"{argument} needs one value for each of the {len(index)} fitted rows, or a Series "
            f"with their labels; got shape {values.shape}"
        )
    lost = np.flatnonzero(pd.isna(values))
    if len(lost) and not missing:
        first = index[lost].tolist()[0]
        raise DataError(f"{argument} is missing in {len(lost)} fitted rows, first in {first!r}")
    return values


def row_labels(res: Any, labels: Any = None) -> list[str]:
    """Names (n,) of the rows within their study.

    Those given, or the inner levels of an "inner | outer" term, or of a term with a level of
    its own for every row, or the labels of the data.
    """
    if labels is not None:
        return [str(v) for v in row_values(res, labels, "labels")]
    for term in res.fit_.problem.terms:
        if term.inner is not None and term.correlated is None:
            names = [str(v) for v in term.structure.labels]
            return [names[i] for i in term.inner]
    for term in res.fit_.problem.terms:
        if len(term.groups.labels) == res.nobs:
            names = [str(v) for v in term.groups.labels]
            return [names[i].rsplit("/", 1)[-1] for i in term.groups.codes]
    return [str(v) for v in res.resid.index]


def study_means(res: Any, at: Studies) -> tuple[Floats, Floats]:
    """Mean (S,) of every study's rows by generalised least squares under V, and its error.

    Only sampling error is in it, as in the intervals of the rows.  NaN for studies of one row,
    for those whose rows the model expects to differ (their moderators do), and where V is
    singular.
    """
    return gls_means(res, at, observed(res), _alike(np.asarray(res.model.exog), at))


def gls_means(
    res: Any, at: Studies, values: Floats, which: Bools | None = None
) -> tuple[Floats, Floats]:
    """Mean (S,) of the values (n,) of every study under V, and its sampling error.

    NaN for studies that are not among `which` (S,), and where V is singular.
    """
    count = len(at.labels)
    v, one = res.fit_.problem.v, np.ones(res.nobs)
    mean, se = np.full(count, np.nan), np.full(count, np.nan)
    code = np.ones(count, dtype=bool) if which is None else which.copy()
    code[np.unique(at.code[v.singular_rows])] = False
    rows = np.flatnonzero(code[at.code])
    if not len(rows):
        return mean, se
    inside = _within(v.take(rows), at.code[rows])
    solved = inside.solve(np.column_stack([one, values])[rows])
    precision, total = (np.bincount(at.code[rows], s, minlength=count) for s in solved.T)
    mean[code], se[code] = total[code] / precision[code], 1.0 / np.sqrt(precision[code])
    return mean, se


def _alike(x: Floats, at: Studies) -> Bools:
    """Studies (S,) of several rows that share one row of the design."""
    count = len(at.labels)
    low = np.full((count, x.shape[1]), np.inf)
    high = -low
    np.minimum.at(low, at.code, x)
    np.maximum.at(high, at.code, x)
    several = np.bincount(at.code, minlength=count) > 1
    return several & np.all(high - low <= SAME * np.abs(x).max(axis=0), axis=1)


def _within(v: Any, code: Ints) -> Any:
    """V without covariances between studies, which a mean of one study does not see."""
    if v.covariances is None:
        return v
    off = v.covariances.tocoo()
    keep = code[off.row] == code[off.col]
    off.data = np.where(keep, off.data, 0.0)
    inner = off.tocsr()
    inner.eliminate_zeros()
    return type(v)(v.variances, inner)


def summaries(res: Any, alpha: float) -> Summaries:
    """The mean of an intercept-only model, the level means of factors, or the average mean.

    The last is that at the average of the moderators, for models without factors.
    """
    x = np.asarray(res.model.exog)
    if same_mean(res):
        labels, rows = ["Overall"], x[:1]
        contributions = rows @ res.contributions().to_numpy()
    else:
        found = res.get_evidence()
        own = found.frame["n_rows"].to_numpy() > 0
        labels = [str(v) for v in found.frame.index[own]]
        contributions = found.contributions().to_numpy()[own]
        rows = contributions @ x  # they estimate what they are made for: H X = I
    if not labels:
        labels, rows = ["At average moderators"], x.mean(axis=0, keepdims=True)
        contributions = rows @ res.contributions().to_numpy()
    frame = res.get_prediction(rows, transform=False).summary_frame(alpha)
    return Summaries(labels, with_known_limits(res, frame, rows, alpha), contributions)


def with_known_limits(res: Any, frame: pd.DataFrame, rows: Floats, alpha: float) -> pd.DataFrame:
    """Prediction limits from fitted rows of the same mean, where their inner level has to say.

    They stay NaN where such rows disagree.
    """
    limits = ["obs_ci_lower", "obs_ci_upper"]
    unknown = np.flatnonzero(frame[limits].isna().any(axis=1))
    if not len(unknown):
        return frame
    x = np.asarray(res.model.exog)
    fitted = res.get_prediction().summary_frame(alpha)[limits].to_numpy()
    known = frame[limits].to_numpy(copy=True)
    for i in unknown.tolist():
        found = fitted[np.all(np.abs(x - rows[i]) <= SAME * np.abs(x).max(axis=0), axis=1)]
        if len(found) and np.allclose(found, found[0], rtol=SAME):
            known[i] = found[0]
    return frame.assign(**dict(zip(limits, known.T, strict=True)))
