"""Caterpillar plot: predicted random effects in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mvmeta.errors import SpecificationError
from mvmeta.plots import _axes
from mvmeta.plots._subject import of_results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_ROWS = 120
"""Effects that get the height of a line of text."""


@of_results()
def caterpillar(
    res: Any,
    term: str | None = None,
    ax: Axes | None = None,
    *,
    max_rows: int | None = MAX_ROWS,
    alpha: float = 0.05,
) -> Figure:
    """Predicted random effects (BLUPs) of a term in order, with prediction intervals.

    Effects whose interval excludes zero are filled and coloured.

    Parameters
    ----------
    res : MetaMixedLMResults
    term : str, optional
        A random term; the first unless said.
    ax : matplotlib.axes.Axes, optional
        To draw on, without a legend; a new figure unless given.
    max_rows : int or None
        Effects that get the height of a line of text.  More are drawn closer together, and only
        labels with room for them are written; None: the figure grows with each.
    alpha : float
        1 - coverage of the intervals.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecificationError
        If there is no such term.
    MvmetaError
        If matplotlib is not installed, or what is given is no fit, or `ax` no axes.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets, plots
    >>> data = datasets.load("konstantopoulos2011")
    >>> nested = "district/school"
    >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
    >>> res = model.fit()
    >>> figure = plots.caterpillar(res)
    >>> figure.savefig("caterpillar.svg")  # doctest: +SKIP
    """
    name, frame = _effects(res, term, alpha)
    frame = frame.sort_values("estimate", ascending=False, kind="stable")
    dense = _axes.crowding(len(frame), max_rows)
    figure, axes = _axes.figure_and_axes(
        ax, _axes.height_of(len(frame) / dense + _axes.LEGEND_LINES)
    )
    at = np.arange(len(frame), dtype=float)
    lower, upper = frame["pi_lower"].to_numpy(), frame["pi_upper"].to_numpy()
    apart = (lower > 0) | (upper < 0)
    axes.axvline(0.0, color=_axes.foreground(0.5), linewidth=0.8, zorder=1)
    for which, colour, fill, label in (
        (~apart, _axes.foreground(_axes.MUTED), _axes.background(axes), "includes zero"),
        (apart, _axes.blue(), _axes.blue(), "excludes zero"),
    ):
        if not which.any():
            continue
        width = 1.3 / dense**0.5
        _axes.intervals(
            axes, lower[which], upper[which], at[which], color=colour, lw=width, zorder=2
        )
        axes.scatter(
            frame["estimate"].to_numpy()[which],
            at[which],
            s=26 / dense,
            facecolors=[fill],
            edgecolors=[colour],
            label=f"{1 - alpha:.0%} interval {label}",
            zorder=3,
        )
    axes.set_ylim(len(frame) - 0.4, -0.6)
    size = _axes.text_size(axes, ax is None, dense)
    shown = np.flatnonzero(_axes.readable(axes, at, ax is None, size))
    longest = _axes.letters(axes, ax is None, size)
    names = _axes.short([_axes.joined(v) for v in _told_apart(frame.index)], longest)
    _axes.label_rows(axes, at[shown], [names[i] for i in shown], size)
    axes.autoscale_view(scaley=False)
    axes.set_xlabel(f"predicted effect of {_axes.elide(name)}")
    _axes.legend(figure, axes, ax is None)
    return figure


def _told_apart(index: pd.Index) -> pd.Index:
    """Labels without outer levels that are the same for all, as of a group that holds all rows."""
    while isinstance(index, pd.MultiIndex) and len(index.unique(level=0)) == 1:
        index = index.droplevel(0)
    return index


def _effects(res: Any, term: str | None, alpha: float) -> tuple[str, pd.DataFrame]:
    found = res.ranef(alpha)
    if not found:
        raise SpecificationError("the model has no random terms: there are no effects to predict")
    if term is None:
        term = next(iter(found))
    if term not in found:
        raise SpecificationError(f"no random term {term!r}; there are {', '.join(found)}")
    return term, found[term]
