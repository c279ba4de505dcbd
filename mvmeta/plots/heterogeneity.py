"""Where the variance of the estimates is: I2 of every random term, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mvmeta._typing import Bools, Floats
from mvmeta.errors import SpecificationError
from mvmeta.plots import _axes
from mvmeta.plots._subject import of_results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAR = 0.55
"""Height of a bar, in rows."""

LINES = 1.6
"""Of text that a bar gets."""

FAINTEST = 0.3
"""Opacity of the bar of the last term."""


@of_results()
def heterogeneity(res: Any, ax: Axes | None = None, *, alpha: float | None = 0.05) -> Figure:
    """Variance decomposition: how much of the variance of an estimate is at each level.

    Parameters
    ----------
    res : MetaMixedLMResults
    ax : matplotlib.axes.Axes, optional
        To draw on; a new figure unless given.
    alpha : float or None
        1 - coverage of the likelihood intervals; None leaves them out, and their cost.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecificationError
        If the model has no random terms, or sampling variances are singular so that there is
        no I2, or `alpha` is not between 0 and 1.
    DataError
        For intervals after `remove_data`.
    MvmetaError
        If matplotlib is not installed, or what is given is no fit, or `ax` no axes.

    Notes
    -----
    The numbers are those of `MetaMixedLMResults.heterogeneity`: I2 of a term is its variance
    relative to that of all terms and a typical sampling variance.  The bar at the top is the
    variance of a typical estimate, put together from the terms and the sampling error, which
    is hollow; below it each part by itself, with its interval.  Intervals of parts overlap
    more than the parts are uncertain together: the data often tell a sum better than its parts.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets, plots
    >>> data = datasets.load("konstantopoulos2011")
    >>> nested = "district/school"
    >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
    >>> res = model.fit()
    >>> figure = plots.heterogeneity(res)
    >>> figure.savefig("heterogeneity.svg")  # doctest: +SKIP
    """
    found = _decomposition(res, alpha)
    figure, axes = _axes.figure_and_axes(ax, _axes.height_of(LINES * len(found.names)))
    at = np.arange(len(found.names), dtype=float)
    _draw(axes, found, at)
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(at[-1] + 0.5, -0.6)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
    size = _axes.text_size(axes, ax is None)
    shown = np.flatnonzero(_axes.readable(axes, at, ax is None, size))
    names = _axes.short(found.names, _axes.letters(axes, ax is None, size))
    cells = _cells(found)
    _axes.label_rows(axes, at[shown], [names[i] for i in shown], size)
    if _axes.room_beside(axes, cells, size, names, owned=ax is None):
        _axes.right_column(axes, at[shown], [cells[i] for i in shown], size)
    told = "" if alpha is None else f", {1 - alpha:.0%} intervals"
    text = f"share of the variance of a typical estimate (I²){told}"
    axes.set_xlabel(_axes.wrapped(axes, text, _axes.font_size("axes.labelsize")))
    return figure


@dataclass(frozen=True, eq=False)
class _Decomposition:
    """Rows of the plot: all variance, every term, their total, and the sampling error.

    Attributes
    ----------
    names : list of str, length m
    bars : ndarray, shape (m,)
    limits : ndarray, shape (m, 2)
        NaN where there is no interval.
    """

    names: list[str]
    bars: Floats
    limits: Floats


def _decomposition(res: Any, alpha: float | None) -> _Decomposition:
    table = res.heterogeneity(alpha)
    terms = [str(t) for t in table.index[:-1]]
    if not terms:
        raise SpecificationError("the model has no random terms: there is no variance to divide")
    share = table["i2"].to_numpy(dtype=float)
    if not np.isfinite(share).all():
        raise SpecificationError(
            "I2 is not defined for this fit (the sampling variances are singular, or the rows do "
            "not outnumber the coefficients); res.heterogeneity() has the variances"
        )
    limits = np.full((len(share), 2), np.nan)
    if alpha is not None:
        limits = table[["i2_lower", "i2_upper"]].to_numpy(dtype=float)
    return _Decomposition(
        ["all variance", *terms, "total of the levels", "sampling error"],
        np.array([1.0, *share, 1.0 - share[-1]]),
        np.vstack([[np.nan, np.nan], limits, 1.0 - limits[-1, ::-1]]),
    )


def _draw(ax: Axes, found: _Decomposition, at: Floats) -> None:
    from matplotlib.colors import to_rgba

    terms = len(at) - 3
    shades = np.linspace(1.0, FAINTEST, max(terms, 2))[:terms].tolist()
    fills: list[Any] = [*(to_rgba(_axes.blue(), shade) for shade in shades), "none"]
    parts = np.append(found.bars[1:-2], found.bars[-1])
    edge = _axes.foreground(_axes.MUTED)
    style: Any = {"height": BAR, "edgecolor": edge, "linewidth": 0.8, "zorder": 2}
    start = np.cumsum(parts) - parts
    ax.barh(np.zeros(len(parts)), parts, left=start, color=fills, clip_on=False, **style)
    fills.insert(terms, _axes.ORANGE)
    ax.barh(at[1:], found.bars[1:], color=fills, clip_on=False, **style)
    known = np.isfinite(found.limits).all(axis=1)
    lower, upper = found.limits[known].T
    line: Any = {"color": _axes.foreground(), "linewidth": 1.6, "zorder": 3}
    _axes.intervals(ax, lower, upper, at[known], gid="intervals", **line)


def _cells(found: _Decomposition) -> list[str]:
    """Percentages with their intervals, as in "63% [31, 86]"; nothing for the whole."""
    known: Bools = np.asarray(np.isfinite(found.limits).all(axis=1))
    percent = 100 * found.limits
    intervals = [
        f" [{low:.0f}, {high:.0f}]" if ok else ""
        for (low, high), ok in zip(percent, known, strict=True)
    ]
    texts = [f"{100 * bar:.0f}%{i}" for bar, i in zip(found.bars, intervals, strict=True)]
    return ["", *texts[1:]]
