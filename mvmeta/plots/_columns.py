"""Columns of text beside a forest plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Floats
from mvmeta.errors import SpecificationError
from mvmeta.plots import _axes
from mvmeta.plots._rows import Studies, Summaries, row_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GAP = 1.6
"""Between columns, in font sizes."""

WEIGHT = "weight"
"""Heading of the row-sum weights."""


@dataclass(frozen=True, eq=False)
class TextColumn:
    """What a column says.

    Attributes
    ----------
    heading : str
    rows : list of str, length n
    studies : list of str, length S
        Beside the names of studies with several rows.
    summaries : list of str, length m
    """

    heading: str
    rows: list[str]
    studies: list[str]
    summaries: list[str]


def text_columns(
    res: Any, given: Any, at: Studies, headed: Bools, n_summaries: int
) -> list[TextColumn]:
    """The columns a user asked for.

    Parameters
    ----------
    res : MetaMixedLMResults
    given : str, sequence of str, or mapping of headings to columns or values (n,)
    at : Studies
    headed : ndarray of bool, shape (S,)
        Studies with a line of their own, which has what all rows of the study share.
    n_summaries : int

    Raises
    ------
    DataError
        For a column the model does not use, or values that do not fit the rows.
    """
    if given is None:
        return []
    if isinstance(given, str):
        given = [given]
    wanted = given if isinstance(given, Mapping) else {name: name for name in given}
    out = []
    for heading, values in wanted.items():
        texts = [_text(v) for v in row_values(res, values, "columns", missing=True)]
        out.append(_by_study(_axes.elide(heading), texts, at, headed, n_summaries))
    return out


def _text(value: Any) -> str:
    """What stands in a cell; nothing where the value is missing."""
    if pd.isna(value):
        return ""
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}".replace("-", "−")
    return _axes.elide(value)


def _by_study(
    heading: str, texts: Sequence[str], at: Studies, headed: Bools, n_summaries: int
) -> TextColumn:
    """What all rows of a study share stands beside the name of the study, once."""
    table = pd.Series(list(texts)).groupby(at.code)
    first, different = table.first().to_numpy(), table.nunique().to_numpy() > 1
    shared = headed & ~different
    return TextColumn(
        heading,
        ["" if shared[at.code[i]] else text for i, text in enumerate(texts)],
        [text if once else "" for text, once in zip(first, shared, strict=True)],
        [""] * n_summaries,
    )


def weight_column(found: Summaries, at: Studies, headed: Bools) -> TextColumn:
    """Row-sum weights in percent: what every row, and every study, counts in the mean.

    Raises
    ------
    SpecificationError
        For a model with several means.
    """
    if len(found.labels) != 1:
        raise SpecificationError(
            "weights=True shows what rows count in the mean, and this model has "
            f"{len(found.labels)} means; res.weights(by='coefficient') has those of every one"
        )
    share = 100.0 * found.contributions[0] / found.contributions[0].sum()
    totals = np.bincount(at.code, weights=share, minlength=len(at.labels))
    places = 1 if np.abs(share).max() >= 1 else 2

    def percent(value: float) -> str:
        return f"{_axes.number(value, places)}%"

    return TextColumn(
        WEIGHT,
        [percent(v) for v in share],
        [percent(v) if own else "" for v, own in zip(totals, headed, strict=True)],
        [percent(float(share.sum()))],
    )


def widths(columns: Sequence[TextColumn], size: float) -> Floats:
    """Inches of every column with the gap before it."""
    gap = GAP * size / 72.0
    texts = [[c.heading, *c.rows, *c.studies, *c.summaries] for c in columns]
    return np.array([_axes.text_width(t, size) + gap for t in texts], dtype=float)


def draw(
    ax: Axes,
    at: Floats,
    columns: Sequence[tuple[str, Sequence[str]]],
    size: float,
    before: float,
) -> None:
    """Write columns (heading, texts at heights `at`) right of the axes.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    at : ndarray, shape (k,)
    columns : sequence of (str, sequence of str)
    size : float
        Points of the text.
    before : float
        Inches from the axes to the first column.
    """
    place = 72.0 * before
    style: Any = {"textcoords": "offset points", "fontsize": 0.9 * size, "ha": "left"}
    style |= {"annotation_clip": False}
    for heading, texts in columns:
        place += GAP * size
        top: Any = {"va": "bottom", "fontweight": "bold", "gid": "heading"}
        ax.annotate(heading, (1.0, 1.0), (place, 0.0), xycoords="axes fraction", **style, **top)
        for y, text in zip(at, texts, strict=True):
            if text:
                across = ax.get_yaxis_transform()
                below: Any = {"xycoords": across, "va": "center_baseline", "gid": heading}
                ax.annotate(text, (1.0, float(y)), (place, 0.0), **style, **below)
        place += 72.0 * _axes.text_width([heading, *texts], 0.9 * size)
