"""Convergence history: how the maximum was approached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mvmeta.plots import _axes
from mvmeta.plots._subject import of_results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@of_results()
def history(res: Any, ax: Axes | None = None) -> Figure:
    """How far below its maximum the log-likelihood was, by evaluations.

    Parameters
    ----------
    res : MetaMixedLMResults
    ax : matplotlib.axes.Axes, optional
        To draw on, without a legend; a new figure unless given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MvmetaError
        If matplotlib is not installed, or what is given is no fit, or `ax` no axes.

    Notes
    -----
    The scale is logarithmic: quadratic convergence is a curve that bends down.  One line is the
    distance to the best log-likelihood of the ascent (left out where it is zero), the other
    half the Newton decrement, what a quadratic model expects still to gain.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets, plots
    >>> data = datasets.load("konstantopoulos2011")
    >>> nested = "district/school"
    >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
    >>> res = model.fit()
    >>> figure = plots.history(res)
    >>> figure.savefig("history.svg")  # doctest: +SKIP
    """
    table = res.history
    figure, axes = _axes.figure_and_axes(ax, 4.0)
    at = table["evaluations"].to_numpy()
    below = float(table["llf"].max()) - table["llf"].to_numpy()
    expected = 0.5 * table["decrement"].to_numpy()
    for values, colour, style, label in (
        (below, _axes.blue(), "o-", "below the best log-likelihood"),
        (expected, _axes.ORANGE, "D--", "gain still expected (half the Newton decrement)"),
    ):
        known = values > 0
        axes.plot(at[known], values[known], style, color=colour, markersize=5, label=label)
    axes.set_yscale("log")
    axes.set_xlabel("evaluations of the likelihood")
    axes.set_ylabel("log-likelihood units")
    axes.locator_params(axis="x", integer=True)
    axes.set_xlim(0.5, float(np.max(at, initial=1)) + 0.5)
    _axes.bare(axes)
    size = _axes.font_size("ytick.labelsize")
    axes.set_title(_axes.wrapped(axes, res.status.value, size), fontsize=size, loc="left")
    _axes.legend(figure, axes, ax is None, 1)
    return figure
