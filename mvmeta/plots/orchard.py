"""Orchard plot: the mean of every category over the swarm of its estimates."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mvmeta._typing import Floats
from mvmeta.plots import _axes, _swarm
from mvmeta.plots._means import Means, category_means
from mvmeta.plots._rows import Studies, observed, sampling_errors, studies
from mvmeta.plots._subject import of_results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES, LEAST_LINES, ALL_LINES = 5.0, 2.4, 70.0
"""Lines of text a category gets, and what they add up to where that leaves each enough."""


@of_results()
def orchard(
    res: Any,
    by: str | list[str] | None = None,
    ax: Axes | None = None,
    *,
    groups: Any = None,
    transform: Callable[[Floats], Floats] | str | None = None,
    alpha: float = 0.05,
) -> Figure:
    """Means of categories with confidence and prediction intervals, over all estimates.

    Parameters
    ----------
    res : MetaMixedLMResults
    by : str or list of str, optional
        Factors of the formula whose levels, or combinations of levels, are drawn; the first
        unless said.  Without factors all estimates are in one row, with the mean of an
        intercept-only model or that at average moderators.
    ax : matplotlib.axes.Axes, optional
        To draw on, without a legend; a new figure unless given.
    groups : str or array_like of labels (n,), optional
        Studies that are counted, as in `forest`.
    transform : callable or str, optional
        Applied to estimates and limits, such as ``np.exp`` for log odds ratios, which also
        makes the axis logarithmic; or a name, as in `res.transformation`: "back" leads back from
        the scale of effect sizes made by `escalc`.
    alpha : float
        1 - coverage of all intervals.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecificationError
        If `by` names something that is no factor of the formula.
    DataError
        If `groups` does not fit the rows, or the results hold none of them.
    MvmetaError
        If matplotlib is not installed, or what is given is no fit, or `ax` no axes.

    Notes
    -----
    The picture is that of Nakagawa et al. (2021, Res Synth Methods 12:4; 2023, Methods Ecol
    Evol 14:2003), with the intervals below the estimates instead of on them.  Means are
    `marginal_means`: averaged over the levels of other factors, at the average of numeric
    moderators.  The thick bar is the confidence interval, the thin one the prediction interval
    of a new true effect; it is left out where the variance of that effect is not one number.
    Estimates are drawn as observed, their area in proportion to precision, 1 / SE; offsets
    across the row only let each be seen.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets, plots
    >>> data = datasets.load("bcg")
    >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
    >>> res = model.fit()
    >>> figure = plots.orchard(res)
    >>> figure.savefig("orchard.svg")  # doctest: +SKIP
    """
    transform = None if transform is None else res.transformation(transform)
    change = _axes.scale_of(transform)
    y = observed(res)
    found, at = category_means(res, by, alpha), studies(res, groups)
    limits, values = _axes.limits_on(change, found.limits), change(y)
    count = len(found.labels)
    lines = count * float(np.clip(ALL_LINES / count, LEAST_LINES, MOST_LINES))
    figure, axes = _axes.figure_and_axes(ax, _axes.height_of(lines + _axes.LEGEND_LINES))
    _axes.draw_no_effect(axes, res, change)
    _swarm.draw(axes, values, _swarm.places(y, found.member), sampling_errors(res))
    _swarm.draw_means(axes, limits, alpha)
    axes.set_ylim(count - 0.5, -0.5)
    if transform is np.exp:
        _axes.log_axis(axes)
    axes.autoscale_view(scaley=False)
    _write(axes, found.labels, _axes.cells(limits[:, :3]), _counts(found, at), ax is None)
    axes.set_xlabel(_axes.transformed_name(res, transform))
    _axes.legend(figure, axes, ax is None)
    return figure


def _counts(found: Means, at: Studies) -> list[str]:
    """How many estimates and studies there are in every category."""
    out = []
    for i in range(len(found.labels)):
        inside = at.code[found.member == i]
        count = len(np.unique(inside))
        noun = "study" if count == 1 else "studies"
        several = len(at.labels) < len(at.code)
        out.append(f"k = {len(inside)}" + (f" ({count} {noun})" if several else ""))
    return out


def _write(ax: Axes, labels: list[str], cells: list[str], counts: list[str], owned: bool) -> None:
    """Names at the left, the mean in numbers and the counts at the right."""
    at = np.arange(len(labels), dtype=float)
    size = _axes.text_size(ax, owned)
    shown = np.flatnonzero(_axes.readable(ax, at, owned, size))
    names = _axes.short(labels, _axes.letters(ax, owned, size))
    _axes.label_rows(ax, at[shown], [names[i] for i in shown], size)
    room = _axes.readable(ax, np.arange(2.0) * 0.5, owned, 0.9 * size).all()
    both = [f"{cells[i]}\n{counts[i]}" if room else cells[i] for i in shown]
    if _axes.room_beside(ax, both, size, names, owned=owned):
        _axes.right_column(ax, at[shown], both, size)
