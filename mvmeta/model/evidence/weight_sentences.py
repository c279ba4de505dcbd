"""Weights of rows and studies as text, and why some of them are negative."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd

from mvmeta._typing import Floats
from mvmeta.inference.fitted.fit import Fit
from mvmeta.model.specification.build import Prepared
from mvmeta.model.specification.frames import shorten

MOST_EXPLAINED = 3
"""Negative weights that are explained one by one."""

LEAST = 1e-9
"""Percent below zero that is no rounding."""

WIDTH = 78
"""Columns of the text."""

GIVEN = "the weights are those that were given (weights=), and some of them are negative"

NO_MEAN = (
    "The model has more than an intercept, so rows have no one weight (rowsum); contributions() "
    "has what each adds to each coefficient."
)

FACTS = {
    "row": (
        "diagonal: how precise a row is, neighbours taken into account; rowsum: what it weighs in "
        "the mean (models with an intercept only)."
    ),
    "study": "sums over the rows of a study.",
    "coefficient": "share of each study in what is known about each coefficient.",
}
"""What the columns are."""


def notes_on_weights(fit: Fit, prepared: Prepared, frame: pd.DataFrame, by: str) -> list[str]:
    """Sentences on negative weights; none where there are none.

    Parameters
    ----------
    fit : Fit
    prepared : Prepared
    frame : DataFrame
        From `weights_frame`.
    by : {"row", "study", "coefficient"}
    """
    if by == "row":
        return _negative_rows(fit, prepared, frame["rowsum"].to_numpy())
    if by == "study":
        return _negative_studies(frame["rowsum"].to_frame(), "the mean")
    return _negative_studies(frame, "it")


def _negative_rows(fit: Fit, prepared: Prepared, rowsum: Floats) -> list[str]:
    negative = np.flatnonzero(rowsum < -LEAST)
    if not len(negative):
        return []
    if fit.weights is not None:
        return [f"{GIVEN}."]
    order = negative[np.argsort(rowsum[negative])][:MOST_EXPLAINED]
    told = [_negative_row(fit, prepared, rowsum, int(i)) for i in order]
    rest = len(negative) - len(order)
    return told + ([f"{rest} more rows have negative weights for the same reason."] if rest else [])


def _negative_row(fit: Fit, prepared: Prepared, rowsum: Floats, i: int) -> str:
    unit = np.zeros((fit.problem.n, 1))
    unit[i] = 1.0
    variances = fit.marginal_diagonal
    r = fit.multiply(unit)[:, 0] / np.sqrt(variances[i] * variances)
    # a row is outweighed by those whose covariance with it exceeds their own variance
    excess = np.where(np.arange(fit.problem.n) == i, -np.inf, r * np.sqrt(variances[i] / variances))
    j = int(excess.argmax())
    return (
        f"row {prepared.index[i]} weighs {rowsum[i]:.2g} %: it goes with row {prepared.index[j]} "
        f"(correlation {r[j]:.2f}) and is less certain (variance {variances[i]:.3g} against "
        f"{variances[j]:.3g}). Where it lies above that row, the two have probably erred upwards "
        "together, so the mean is corrected downwards, and the other way round."
    )


def _negative_studies(frame: pd.DataFrame, what: str) -> list[str]:
    negative = frame.index[(frame < -LEAST).any(axis=1)]
    if not len(negative):
        return []
    return [
        f"{shorten(f'{frame.index.name} {label}' for label in negative)}: less than nothing, as "
        f"its effects go with more certain ones elsewhere; what it adds is to correct these, which "
        f"makes {what} more certain all the same."
    ]


def weights_text(frame: pd.DataFrame, notes: list[str], by: str) -> str:
    """The table, what its columns are, and the notes; no column of missing row sums."""
    shown = frame.dropna(axis="columns", how="all")
    rounded = shown.round(2) + 0.0  # not "-0.00"
    lines = [rounded.to_string(float_format=lambda v: "" if np.isnan(v) else f"{v:.2f}")]
    told = [f"In percent; {FACTS[by]}", *(f"{n[0].upper()}{n[1:]}" for n in notes)]
    if shown.shape[1] < frame.shape[1]:
        told.insert(1, NO_MEAN)
    fill = [textwrap.fill(t, WIDTH, break_long_words=False) for t in told]
    return "\n".join([*lines, "", *fill])
