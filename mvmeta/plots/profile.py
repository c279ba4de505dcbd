"""Profile log-likelihood of a variance component, with the interval it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from mvmeta._typing import Floats
from mvmeta.errors import ConvergenceError, SpecificationError
from mvmeta.plots import _axes
from mvmeta.plots._subject import of_results
from mvmeta.progress import Progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARGIN = 0.3
"""How far the curve goes on beyond the limits, in distances from the estimate."""

WIDE, FACTOR = 50.0, 1.6
"""Limits this many times apart get a logarithmic axis, which goes on by this factor."""

LEAST_POINTS = 5


@of_results("ComponentProfile")
def profile(
    res: Any,
    component: int | str | None = None,
    ax: Axes | None = None,
    *,
    n: int = 31,
    alpha: float = 0.05,
) -> Figure:
    """Profile log-likelihood of one component, the cut line, and the limits where they meet.

    Parameters
    ----------
    res : MetaMixedLMResults or ComponentProfile
        Results, of which `profile` is called, or what it returned.
    component : int or str
        Row of `vcomp`, or its name in `component_labels`; not for a profile, which has one.
    ax : matplotlib.axes.Axes, optional
        To draw on, without a legend; a new figure unless given.
    n : int
        Points of the curve, at least 5; each is a fit of all other components.
    alpha : float
        1 - coverage of the interval.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecificationError
        If there is no such component, it is fixed, or `n` is too small.
    ConvergenceError
        If the profile cannot be followed to a limit.
    MvmetaError
        If matplotlib is not installed, or what is given is no fit, or `ax` no axes.

    Notes
    -----
    A limit that is an edge of the parameter space, reached before the curve falls to the cut
    line, is hollow.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets, plots
    >>> data = datasets.load("konstantopoulos2011")
    >>> nested = "district/school"
    >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
    >>> res = model.fit()
    >>> figure = plots.profile(res, "district: sigma2")
    >>> figure.savefig("profile.svg")  # doctest: +SKIP
    """
    if n < LEAST_POINTS:
        raise SpecificationError(f"n={n}: a curve needs at least {LEAST_POINTS} points")
    found = _found(res, component)
    interval = found.interval(alpha)
    figure, axes = _axes.figure_and_axes(ax, 4.2)
    grid, curve = _curve(found, interval, n)
    top = float(found.at(found.estimate).loglik)
    cut = top - 0.5 * float(stats.chi2.isf(alpha, 1))
    axes.plot(grid, curve, color=_axes.blue(), linewidth=1.8, label="profile log-likelihood")
    axes.axhline(
        cut,
        color=_axes.foreground(_axes.MUTED),
        linestyle="--",
        linewidth=1.0,
        label=f"cut for the {1 - alpha:.0%} interval",
    )
    axes.plot(
        [found.estimate], [top], "o", color=_axes.blue(), label=f"estimate {_text(found.estimate)}"
    )
    _mark(axes, interval, (grid, curve), cut)
    depth = top - cut
    axes.set_ylim(max(min(float(curve.min()), cut), cut - depth) - 0.1 * depth, top + 0.15 * depth)
    if _wide(interval):
        axes.set_xscale("log")
    axes.set_xlabel(_axes.elide(found.name, 60))
    axes.set_ylabel(f"{'restricted ' if found.reml else ''}log-likelihood")
    axes.ticklabel_format(axis="y", useOffset=False)
    _axes.bare(axes)
    _axes.legend(figure, axes, ax is None)
    return figure


def _found(res: Any, component: int | str | None) -> Any:
    ready = hasattr(res, "interval")
    if ready and component is not None:
        raise SpecificationError(f"this is the profile of {res.name}: leave out {component!r}")
    if not ready and component is None:
        raise SpecificationError(
            f"which component? There are {', '.join(map(repr, res.component_labels))}"
        )
    return res if ready else res.profile(component)


def _curve(found: Any, interval: Any, n: int) -> tuple[Floats, Floats]:
    """Values, the limits and the estimate among them, and the profile there.

    Each maximisation starts at the components found beside it, first outwards from the estimate
    and then back again: where the likelihood has several maxima the curve is the highest.
    """
    grid = _grid(found, interval, n)
    best: dict[int, Any] = {}
    middle = int(np.searchsorted(grid, found.estimate))
    above, below = range(middle, len(grid)), range(middle, -1, -1)
    orders = (above, below, above[::-1], below[::-1])
    with Progress("points", sum(map(len, orders))) as progress:
        for order in orders:
            _sweep(found, grid, order, best, progress)
    known = sorted(best)
    return grid[known], np.array([best[i].loglik for i in known])


def _sweep(
    found: Any, grid: Floats, order: range, best: dict[int, Any], progress: Progress
) -> None:
    """Maximise at the values in this order, each from the one before, and keep the better."""
    start = None
    for i in order:
        progress.step()
        try:
            point = found.at(float(grid[i]), start)
        except ConvergenceError:  # the likelihood may not exist for a correlation of one
            continue
        if i not in best or point.loglik > best[i].loglik:
            best[i] = point
        start = best[i].theta


def _grid(found: Any, interval: Any, n: int) -> Floats:
    estimate = found.estimate
    low, high = interval.lower, interval.upper
    reach = max(high - estimate, estimate - low)
    if not np.isfinite(reach):
        sides = [abs(v - estimate) for v in (low, high) if np.isfinite(v)]
        reach = 3 * max([*sides, abs(estimate)]) or 1.0
        low, high = max(low, estimate - reach), min(high, estimate + reach)
    start = max(found.lower, low - MARGIN * (estimate - low))
    stop = min(found.upper, high + MARGIN * (high - estimate))
    if _wide(interval):
        start, stop = low / FACTOR, high * FACTOR
        grid = np.geomspace(start, min(stop, found.upper), n)
    elif start == 0:  # closer together near zero, where the profile of a variance is steep
        grid = np.linspace(0.0, np.sqrt(stop), n) ** 2
    else:
        grid = np.linspace(start, stop, n)
    return np.unique(np.append(grid, [v for v in (low, high, estimate) if np.isfinite(v)]))


def _text(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


def _wide(interval: Any) -> bool:
    """Whether the limits are so many times apart that the axis has to be logarithmic."""
    return bool(interval.lower > 0 and WIDE * interval.lower < interval.upper < np.inf)


def _mark(ax: Axes, interval: Any, curve: tuple[Floats, Floats], cut: float) -> None:
    """The limits: filled where the curve meets the cut line, hollow at an edge."""
    sides = (
        ("lower", interval.lower, interval.lower_at_edge),
        ("upper", interval.upper, interval.upper_at_edge),
    )
    for side, value, edge in sides:
        if not np.isfinite(value):
            continue
        height = float(np.interp(value, *curve)) if edge else cut
        note = ", an edge" if edge else ""
        ax.axvline(value, color=_axes.ORANGE, linestyle=":", linewidth=1.1)
        ax.plot(
            [value],
            [height],
            marker="s",
            linestyle="none",
            color=_axes.ORANGE,
            markerfacecolor=_axes.background(ax) if edge else _axes.ORANGE,
            zorder=3,
            label=f"{side} limit {_text(value)}{note}",
        )
