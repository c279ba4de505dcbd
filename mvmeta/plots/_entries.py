"""What a forest plot has lines for: all rows, some of them, or one for each study."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Floats
from mvmeta.errors import DataError, SpecificationError
from mvmeta.plots._columns import TextColumn, text_columns, weight_column
from mvmeta.plots._rows import (
    Studies,
    Summaries,
    observed,
    row_labels,
    row_values,
    sampling_errors,
    study_means,
)

ALL, BY_STUDY = "all", "studies"
"""Values of ``rows=``; others are booleans."""


@dataclass(frozen=True, eq=False)
class Entries:
    """Estimates with a line each, and the studies they stand under.

    Attributes
    ----------
    at : Studies
        Of the n lines.
    headed : ndarray of bool, shape (S,)
        Studies with a line of their own above those of their rows.
    names : list of str
        Of the lines within their study.
    y, se : ndarray, shape (n,)
        Estimates and their sampling errors.
    contributions : ndarray, shape (m, n)
        To the estimates at the bottom.
    heaviest : float
        Greatest weight of a line, of those left out too.
    mean, error : ndarray, shape (S,)
        Means of the studies under sampling error alone; NaN where there is none.
    columns : list of TextColumn
    what : str
        What a line is.
    left_out : str
        What is not drawn; empty where everything is.
    """

    at: Studies
    headed: Bools
    names: list[str]
    y: Floats
    se: Floats
    contributions: Floats
    heaviest: float
    mean: Floats
    error: Floats
    columns: list[TextColumn]
    what: str = "estimate"
    left_out: str = ""

    @property
    def weight(self) -> Floats:
        """Sum of the absolute contributions (n,) of every line."""
        return _weight(self.contributions)


def entries(
    res: Any,
    at: Studies,
    found: Summaries,
    *,
    rows: Any,
    labels: Any,
    columns: Any,
    weights: bool,
) -> Entries:
    """The lines that ``rows=`` asks for.

    Raises
    ------
    DataError
        If `rows`, `labels` or `columns` do not fit the rows.
    SpecificationError
        If `rows` is another word, leaves none, or asks for means of studies that have none, or if
        `weights` are asked for and there are several means.
    """
    by_study = _is_word(rows) and rows == BY_STUDY
    headed = np.bincount(at.code, minlength=len(at.labels)) > 1
    beside = np.ones_like(headed) if by_study else headed
    texts = [weight_column(found, at, beside)] if weights else []
    texts += text_columns(res, columns, at, beside, len(found.labels))
    mean, error = study_means(res, at)
    every = Entries(
        at,
        headed,
        row_labels(res, labels),
        observed(res),
        sampling_errors(res),
        found.contributions,
        float(_weight(found.contributions).max()),
        mean,
        error,
        texts,
    )
    if by_study:
        return _by_study(every)
    return every if _is_word(rows) else _some(every, _chosen(res, rows))


def _weight(contributions: Floats) -> Floats:
    return np.asarray(np.abs(contributions).sum(axis=0))


def _is_word(rows: Any) -> bool:
    if isinstance(rows, str) and rows not in (ALL, BY_STUDY):
        raise SpecificationError(
            f"rows={rows!r}: a forest has {ALL!r} rows, one line for each of the {BY_STUDY!r}, or "
            "the rows that booleans choose"
        )
    return isinstance(rows, str)


def _chosen(res: Any, rows: Any) -> Bools:
    values = row_values(res, rows, "rows")
    if values.dtype != bool:
        raise DataError(
            f"rows= takes True or False for each of the {res.nobs} fitted rows, as "
            f"data['year'] > 2000 gives; got values such as {values[0]!r}"
        )
    if not values.any():
        raise SpecificationError("rows= chooses none of the fitted rows")
    return np.asarray(values)


def _by_study(every: Entries) -> Entries:
    """One line for each study, in the order of the rows: its mean, or its only row."""
    at, headed = every.at, every.headed
    lost = np.flatnonzero(headed & np.isnan(every.mean))
    if len(lost):
        raise SpecificationError(
            f"rows={BY_STUDY!r} draws the mean of every study, and {len(lost)} have none, first "
            f"{at.labels[lost[0]]!r}: moderators differ among its rows, or their sampling "
            f"covariance is singular; draw rows={ALL!r}, or choose some"
        )
    count = len(at.labels)
    y, se = every.mean.copy(), every.error.copy()
    alone = ~headed[at.code]
    y[at.code[alone]], se[at.code[alone]] = every.y[alone], every.se[alone]
    totals = [np.bincount(at.code, weights=c, minlength=count) for c in every.contributions]
    order = pd.unique(at.code)
    names = [at.labels[i] for i in order]
    contributions = np.array(totals, dtype=float)[:, order]
    none = np.full(count, np.nan)
    return Entries(
        Studies(np.arange(count), names),
        np.zeros(count, dtype=bool),
        names,
        y[order],
        se[order],
        contributions,
        float(_weight(contributions).max()),
        none,
        none,
        [
            replace(c, rows=[c.studies[i] for i in order], studies=[""] * count)
            for c in every.columns
        ],
        what="mean of a study",
    )


def _some(every: Entries, keep: Bools) -> Entries:
    """Some lines of all; a study that loses rows keeps its own line, the mean of all of them."""
    used, code = np.unique(every.at.code[keep], return_inverse=True)
    rows = np.flatnonzero(keep)
    return replace(
        every,
        at=Studies(code.astype(np.intp), [every.at.labels[i] for i in used]),
        headed=every.headed[used],
        names=[every.names[i] for i in rows],
        y=every.y[rows],
        se=every.se[rows],
        contributions=every.contributions[:, rows],
        mean=every.mean[used],
        error=every.error[used],
        columns=[
            replace(c, rows=[c.rows[i] for i in rows], studies=[c.studies[i] for i in used])
            for c in every.columns
        ],
        left_out="" if keep.all() else f"{len(rows)} of {len(keep)} rows",
    )
