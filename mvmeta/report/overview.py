"""What the analysis was given: rows, groups, sampling errors and moderators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mvmeta.report.numbers import counted, number, short
from mvmeta.report.rows import READ_IN_BATCHES, holds_rows
from mvmeta.report.tables import Table, of_frame
from mvmeta.report.terms import random_terms

MOST_LEVELS = 30
"""Levels of a categorical moderator that are counted one by one."""


def facts(res: Any) -> list[tuple[str, str]]:
    """Names and values of what the data are."""
    prepared, problem = res.model.prepared, res.fit_.problem
    out = [("Estimates", f"{counted(res.nobs, 'row')} of {res.model.endog_names}")]
    if prepared.n_dropped:
        out.append(("Left out", f"{prepared.n_dropped} of {prepared.n_given} rows, incomplete"))
    seen: dict[str, int] = {}
    for term in random_terms(res):
        if term.groups != "const":
            seen.setdefault(f"Levels of {term.groups}", term.n_groups)
    out += [(name, str(count)) for name, count in seen.items()]
    if not holds_rows(res):
        mean = f"{short(problem.mean_variance)} on average"
        return [*out, ("Sampling variances", mean), ("Rows", READ_IN_BATCHES)]
    v = problem.v
    out.append(("Sampling variances", _range(np.asarray(v.variances))))
    if v.covariances is not None:
        pairs = v.covariances.nnz // 2
        out.append(("Correlated sampling errors", counted(pairs, "pair of rows", "pairs of rows")))
    return out


def _range(values: Any) -> str:
    low, middle, high = np.quantile(values, [0, 0.5, 1])
    if low == high:
        return f"{short(low)} in every row"
    return f"{short(low)} to {short(high)}, median {short(middle)}"


def data_tables(res: Any) -> list[Table]:
    """What the rows hold; nothing where they are not at hand."""
    return [distribution(res), *moderators(res)] if holds_rows(res) else []


def printed_rows(res: Any, most: int) -> tuple[Table | None, int]:
    """The first rows that were analysed, and how many more there are."""
    if not holds_rows(res):
        return None, 0
    data = res.model.prepared.frame
    table = of_frame("rows", "Rows that were analysed", data.head(most))
    return table, max(0, len(data) - most)


def distribution(res: Any) -> Table:
    """Quantiles of the estimates and their standard errors, and rows per group."""
    y = np.asarray(res.fittedvalues + res.resid, dtype=float)
    se = np.sqrt(np.asarray(res.fit_.problem.v.variances))
    rows = [
        _five(f"estimate ({res.model.endog_names})", y),
        _five("its standard error", se),
    ]
    for term in res.fit_.problem.terms:
        size = np.bincount(term.groups.codes)
        if len(size) > 1 and size.max() > 1:
            rows.append(_five(f"rows per level of {term.name}", size, whole=True))
    headers = ["", "least", "lower quartile", "median", "upper quartile", "greatest"]
    return Table("distribution", "Estimates and their errors", headers, rows)


def _five(name: str, values: Any, whole: bool = False) -> list[str]:
    found = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    return [name, *(f"{value:g}" if whole else number(value) for value in found)]


def moderators(res: Any) -> list[Table]:
    """What the columns of the formula hold: levels with their counts, or ranges."""
    prepared = res.model.prepared
    if prepared.spec is None:
        return []
    factors = prepared.spec.factor_levels()
    return [
        _levels(column, prepared.frame[column])
        for column in factors
        if column in prepared.frame and len(factors[column]) <= MOST_LEVELS
    ]


def _levels(column: str, values: pd.Series) -> Table:
    counts = values.value_counts(sort=False)
    counts = counts[counts > 0]
    rows = [[str(level), str(count)] for level, count in counts.items()]
    return Table(f"levels-{column}", f"Rows by {column}", [column, "rows"], rows)
