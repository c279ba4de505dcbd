"""Evidence plot: what all rows say of an estimate, and what its own rows say alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats
from mvmeta.inference.coefficients.wald import critical_value
from mvmeta.plots import _axes
from mvmeta.plots._subject import of_results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

APART = 0.16
"""Of the two intervals of a row from its middle, in rows."""


@of_results()
def evidence(
    res: Any,
    contrasts: Any = None,
    ax: Axes | None = None,
    *,
    groups: Any = None,
    alpha: float = 0.05,
) -> Figure:
    """Joint and direct estimates of level means or contrasts, and the share borrowed.

    Parameters
    ----------
    res : MetaMixedLMResults
    contrasts : optional
        As in `MetaMixedLMResults.evidence`; every level mean unless said.
    ax : matplotlib.axes.Axes, optional
        To draw on, without a legend; a new figure unless given.
    groups : str or array_like of labels, optional
        Studies, as in `MetaMixedLMResults.evidence`.
    alpha : float
        1 - coverage of the intervals.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecificationError
        For contrasts that cannot be read.
    MvmetaError
        If matplotlib is not installed, or what is given is no fit, or `ax` no axes.

    Notes
    -----
    Filled: from all rows.  Hollow: from the rows of that level alone, under the same variance
    components; there is none where these do not determine it, as for a slope.  Standard errors
    are those of the model, with the degrees of freedom of the fit.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets, plots
    >>> toy = datasets.load("toy")
    >>> formula = "d ~ C(Category) - 1"
    >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
    >>> res = model.fit()
    >>> figure = plots.evidence(res)
    >>> figure.savefig("evidence.svg")  # doctest: +SKIP
    """
    found = res.get_evidence(contrasts, groups)
    frame = found.frame
    rows = found.contributions().to_numpy() @ np.asarray(res.model.exog)
    critical = critical_value(res.get_prediction(rows, transform=False).df, alpha)
    figure, axes = _axes.figure_and_axes(ax, _axes.height_of(2.0 * len(frame) + _axes.LEGEND_LINES))
    at = np.arange(len(frame), dtype=float)
    _draw_no_effect(axes, _axes.no_effect(res), found.contributions().to_numpy().sum(axis=1))
    joint = _estimates(frame, "joint", critical)
    direct = _estimates(frame, "direct", critical)
    _series(axes, joint, at - APART, _axes.blue(), f"all rows, {1 - alpha:.0%} interval")
    if np.isfinite(direct).all(axis=1).any():
        _series(axes, direct, at + APART, _axes.ORANGE, "its own rows alone", hollow=True)
    axes.set_ylim(len(frame) - 0.5, -0.5)
    size = _axes.text_size(axes, ax is None)
    names = _axes.short(frame.index, _axes.letters(axes, ax is None, size))
    shown = np.flatnonzero(_axes.readable(axes, at, ax is None, size))
    _axes.label_rows(axes, at[shown], [names[i] for i in shown], size)
    cells = [_share(frame["borrowed"].iloc[i]) for i in shown]
    if _axes.room_beside(axes, cells, size, names, owned=ax is None):
        _axes.right_column(axes, at[shown], cells, size)
    axes.autoscale_view(scaley=False)
    axes.set_xlabel(res.model.endog_names)
    _axes.legend(figure, axes, ax is None)
    return figure


def _draw_no_effect(ax: Axes, mean: float, totals: Floats) -> None:
    """A line where there is no effect: at 0 for differences, whose weights add up to 0.

    Estimates are weighted sums of the effects; were all of these `mean`, they would be `totals`
    times it.
    """
    values = np.where(np.abs(totals) < _axes.ROUNDING, 0.0, mean * totals)
    rows = np.arange(len(values), dtype=float)
    ends = np.column_stack([rows - 0.5, rows + 0.5]).ravel()
    style: Any = {"color": _axes.foreground(0.5), "linewidth": 0.8, "zorder": 1}
    ax.plot(np.repeat(values, 2), ends, gid=_axes.NO_EFFECT, **style)


def _estimates(frame: pd.DataFrame, kind: str, critical: Floats) -> Floats:
    """Lower, estimate, upper (m, 3)."""
    value, half = frame[kind].to_numpy(), critical * frame[f"{kind}_se"].to_numpy()
    return np.column_stack([value - half, value, value + half])


def _series(
    ax: Axes, limits: Floats, at: Floats, colour: str, label: str, hollow: bool = False
) -> None:
    known = np.isfinite(limits).all(axis=1)
    limits, at = limits[known], at[known]
    _axes.intervals(ax, limits[:, 0], limits[:, 2], at, color=colour, linewidth=1.4, zorder=2)
    ax.scatter(
        limits[:, 1],
        at,
        s=32,
        marker="o" if not hollow else "D",
        facecolors=[_axes.background(ax) if hollow else colour],
        edgecolors=[colour],
        label=label,
        zorder=3,
    )


def _share(borrowed: float) -> str:
    if np.isnan(borrowed):
        return "no direct estimate"
    return f"{100 * borrowed:.0f}% borrowed".replace("-", "−")
