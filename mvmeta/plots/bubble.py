"""Bubble plot: estimates against a moderator, and the mean the model has there."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats
from mvmeta.errors import DataError, SpecificationError
from mvmeta.plots import _axes, _swarm
from mvmeta.plots._means import LIMITS, category_means, factors
from mvmeta.plots._rows import observed, sampling_errors
from mvmeta.plots._subject import of_results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 101
"""Of the line and its bands."""

LETTER = 0.62
"""Width of a letter, in font sizes."""

MOST_LINES = 3
"""Of a category's name below the axis."""

SLANT = 40
"""Degrees of names that do not fit side by side."""

SLANTED, LEAST_LETTERS = 0.5, 9
"""Of the height of the axes slanted names may take; letters that are kept in any case."""

BESIDE = 0.4
"""Inches a category needs beside the others."""


@of_results()
def bubble(
    res: Any,
    moderator: str | None = None,
    ax: Axes | None = None,
    *,
    at: Mapping[str, Any] | None = None,
    transform: Callable[[Floats], Floats] | str | None = None,
    alpha: float = 0.05,
) -> Figure:
    """Estimates against a moderator, with the mean, its interval and the prediction interval.

    Parameters
    ----------
    res : MetaMixedLMResults
    moderator : str, optional
        Column on the right side of the formula (or a column of the design of a model built
        from arrays); the first unless said.  A numeric one gives a line with bands, a factor
        the means of its levels.
    ax : matplotlib.axes.Axes, optional
        To draw on, without a legend; a new figure unless given.
    at : mapping of str to value, optional
        Where the other moderators are, as in `MetaMixedLMResults.marginal_means`.  Unless said,
        numeric ones are at their mean and factors averaged over their levels.
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
        If the model has no moderators, or not this one, or `at` names it or none of the model.
    DataError
        If `at` names a level that does not occur, a numeric moderator is the same in all rows,
        or the results hold no rows.
    MvmetaError
        If matplotlib is not installed, or what is given is no fit, or `ax` no axes.

    Notes
    -----
    Estimates are drawn as observed, wherever their other moderators are; their area is in
    proportion to precision, 1 / SE.  With several moderators the line need not go through the
    middle of the estimates.  The prediction interval is that of a new true effect; it is left
    out where the variance of that effect is not one number.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets, plots
    >>> data = datasets.load("bcg")
    >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
    >>> res = model.fit()
    >>> figure = plots.bubble(res, "ablat")
    >>> figure.savefig("bubble.svg")  # doctest: +SKIP
    """
    names = _moderators(res)
    name = names[0] if moderator is None else moderator
    if name not in names:
        raise SpecificationError(f"no moderator {name!r}; there are {', '.join(names)}")
    if at and name in at:
        raise SpecificationError(f"at= says where the other moderators are; {name!r} is drawn")
    transform = None if transform is None else res.transformation(transform)
    change = _axes.scale_of(transform)
    y = observed(res)
    levels = factors(res).get(name)
    width = max(_axes.WIDTH, 1.0 + BESIDE * len(levels or ()))
    figure, axes = _axes.figure_and_axes(ax, 4.8, width)
    _axes.draw_no_effect(axes, res, change, upright=False)
    view = _View(res, name, dict(at or {}), y, change, alpha)
    if levels:
        _categories(axes, view, ax is None)
    else:
        _line(axes, view)
    if transform is np.exp:
        _axes.log_axis(axes, "y")
    axes.autoscale_view(scalex=False)
    axes.set_xlabel(_axes.elide(name, 60))
    axes.set_ylabel(_axes.transformed_name(res, transform))
    _axes.bare(axes)
    _axes.legend(figure, axes, ax is None)
    return figure


@dataclass(frozen=True, eq=False)
class _View:
    """What is drawn: a moderator of a fit, the others being where `at` says."""

    res: Any
    name: str
    at: dict[str, Any]
    y: Floats
    change: Callable[[Floats], Floats]
    alpha: float


def _moderators(res: Any) -> list[str]:
    """Columns of the formula, or those of a design from arrays that vary."""
    spec = res.model.prepared.spec
    if spec is None:
        x = np.asarray(res.model.exog)
        names = [n for n, v in zip(res.model.exog_names, np.ptp(x, axis=0), strict=True) if v > 0]
    else:
        names = list(spec.variables)
    if not names:
        raise SpecificationError(
            "the model has no moderators to draw estimates against; orchard needs none"
        )
    return names


def _line(ax: Axes, view: _View) -> None:
    """The line over the range of the moderator, its bands, and the estimates."""
    x = _values(view.res, view.name)
    grid = np.linspace(x.min(), x.max(), POINTS)
    limits = _axes.limits_on(view.change, _along(view, grid))
    lower, mean, upper, new_lower, new_upper = limits.T
    if np.isfinite(new_lower).any():
        label = f"{1 - view.alpha:.0%} prediction interval of a new true effect"
        style: Any = {"color": _axes.ORANGE, "linestyle": "--", "linewidth": 1.1, "zorder": 3}
        ax.plot(grid, new_lower, label=label, gid="prediction", **style)
        ax.plot(grid, new_upper, gid="prediction", **style)
    ax.fill_between(
        grid,
        lower,
        upper,
        color=_axes.ORANGE,
        alpha=0.25,
        linewidth=0,
        zorder=1.5,
        label=f"{1 - view.alpha:.0%} confidence interval of the mean",
        gid="confidence",
    )
    ax.plot(grid, mean, color=_axes.ORANGE, linewidth=2.0, zorder=4, label="mean", gid="mean")
    _swarm.draw(ax, x, view.change(view.y), sampling_errors(view.res))
    margin = 0.05 * float(np.ptp(x))
    ax.set_xlim(x.min() - margin, x.max() + margin)


def _values(res: Any, name: str) -> Floats:
    """The moderator (n,) in the fitted rows, as numbers."""
    if res.model.prepared.spec is None:
        return np.asarray(res.model.exog)[:, list(res.model.exog_names).index(name)]
    values = np.asarray(pd.to_numeric(res.model.data.frame[name]), dtype=float)
    if not np.ptp(values) > 0:
        raise DataError(f"the moderator {name!r} has the same value in all rows: there is no line")
    return values


def _along(view: _View, grid: Floats) -> Floats:
    """Means and limits (m, 5) at values (m,) of the moderator."""
    res, name = view.res, view.name
    if res.model.prepared.spec is not None:
        means = res.marginal_means(name, at={**view.at, name: list(grid)})
        return np.asarray(means.summary_frame(view.alpha)[LIMITS], dtype=float)
    names = list(res.model.exog_names)
    unknown = [n for n in view.at if n not in names]
    if unknown:
        raise SpecificationError(f"at= names {unknown[0]!r}; there are {', '.join(names)}")
    rows = np.tile(np.asarray(res.model.exog).mean(axis=0), (len(grid), 1))
    for other, value in view.at.items():
        rows[:, names.index(other)] = value
    rows[:, names.index(name)] = grid
    found = res.get_prediction(rows, transform=False).summary_frame(view.alpha)
    return np.asarray(found[LIMITS], dtype=float)


def _categories(ax: Axes, view: _View, owned: bool) -> None:
    """The means of the levels with both intervals, each beside its estimates."""
    found = category_means(view.res, view.name, view.alpha, view.at)
    x = _swarm.places(view.y, found.member)
    _swarm.draw(ax, x, view.change(view.y), sampling_errors(view.res))
    limits = _axes.limits_on(view.change, found.limits)
    _swarm.draw_means(ax, limits, view.alpha, upright=True)
    ax.set_xlim(-0.5, len(found.labels) - 0.5)
    ax.tick_params(axis="x", length=0)
    _name_categories(ax, found.labels, owned)


def _name_categories(ax: Axes, names: list[str], owned: bool) -> None:
    """Names below the categories, wrapped; slanted where they do not fit side by side."""
    figure: Any = ax.figure
    inches = figure.get_figwidth() - 1.0 if owned else _axes.width_of(ax)
    size = _axes.font_size("xtick.labelsize")
    room = 72.0 * inches / len(names)
    at = np.arange(len(names))
    for texts in (names, _axes.short(names)):
        lines = _wrapped(texts, int(room / (LETTER * size)) - 1)
        if lines:
            ax.set_xticks(at, lines)
            return
    tall = ax.get_window_extent().height / figure.dpi
    longest = int(72.0 * SLANTED * tall / (LETTER * size * math.sin(math.radians(SLANT))))
    texts = _axes.short(names, int(np.clip(longest, LEAST_LETTERS, _axes.LONGEST)))
    step = math.ceil(_axes.TIGHT * size / (room * math.sin(math.radians(SLANT))))
    ax.set_xticks(at[::step], texts[::step], rotation=SLANT, ha="right", rotation_mode="anchor")


def _wrapped(names: list[str], fit: int) -> list[str]:
    """Names in a few lines of at most `fit` letters; none at all where one does not fit."""
    if fit < 1:
        return []
    found = [textwrap.wrap(name, fit, break_long_words=False) for name in names]
    if any(len(lines) > MOST_LINES or max(map(len, lines)) > fit for lines in found):
        return []
    return ["\n".join(lines) for lines in found]
