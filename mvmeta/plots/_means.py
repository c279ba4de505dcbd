"""Means of categories, and which estimates are in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats, Ints
from mvmeta.errors import SpecificationError
from mvmeta.plots import _axes
from mvmeta.plots._rows import SAME, summaries, with_known_limits

LIMITS = ["mean_ci_lower", "mean", "mean_ci_upper", "obs_ci_lower", "obs_ci_upper"]
"""Columns of `PredictionResults.summary_frame` that are drawn."""


@dataclass(frozen=True, eq=False)
class Means:
    """Means of true effects by category.

    Attributes
    ----------
    labels : list of str
    limits : ndarray, shape (m, 5)
        Lower limit, mean, upper limit, and the limits of the prediction interval.
    member : ndarray of int, shape (n,)
        Category of every fitted row.
    """

    labels: list[str]
    limits: Floats
    member: Ints


def factors(res: Any) -> dict[str, list[Any]]:
    """Levels of the columns that are factors in the formula; none for a model from arrays."""
    spec = res.model.prepared.spec
    return {} if spec is None else spec.factor_levels()


def category_means(res: Any, by: str | list[str] | None, alpha: float, at: Any = None) -> Means:
    """Marginal means of the levels of `by`: the first factor, or else all rows together.

    Raises
    ------
    SpecificationError
        If `by` names something that is no factor of the formula.
    """
    known = factors(res)
    if by is None:
        if not known:
            return _undivided(res, alpha)
        by = next(iter(known))
    names = [by] if isinstance(by, str) else list(by)
    numeric = [n for n in names if n not in known]
    if numeric:
        raise SpecificationError(
            f"by={numeric[0]!r} is no factor of the formula; there are "
            f"{', '.join(known) or 'none'} (bubble draws a numeric moderator)"
        )
    means = res.marginal_means(names, at=at)
    frame = with_known_limits(res, means.summary_frame(alpha), means.weights.to_numpy(), alpha)
    rows = res.model.data.frame[names].astype(object)
    key = rows[names[0]] if len(names) == 1 else pd.MultiIndex.from_frame(rows)
    member = pd.Index(means.index).get_indexer(pd.Index(key))
    used = np.isfinite(frame["mean"].to_numpy()) | np.isin(np.arange(len(frame)), member)
    place = np.where(used, np.cumsum(used) - 1, -1)
    labels = [_axes.joined(v) for v in means.index[used]]
    return Means(labels, frame.loc[used, LIMITS].to_numpy(dtype=float), place[member])


def _undivided(res: Any, alpha: float) -> Means:
    """The mean of all rows, or of the disjoint indicators of a design from arrays."""
    found = summaries(res, alpha)
    limits = found.frame[LIMITS].to_numpy(dtype=float)
    if len(limits) == 1:
        return Means(found.labels, limits, np.zeros(res.nobs, dtype=np.intp))
    x = np.asarray(res.model.exog)
    at = found.contributions @ x
    same = np.all(np.abs(x[:, None] - at) <= SAME * np.abs(x).max(axis=0), axis=2)
    return Means(found.labels, limits, np.asarray(same.argmax(axis=1)))
