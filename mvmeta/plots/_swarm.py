"""Estimates beside one another: offsets that let each be seen, areas by precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.plots import _axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEAR = 0.04
"""Of the range of the values: estimates closer than that make way for each other."""

CROWD = 6
"""Neighbours from which on a swarm takes all the room it has."""

SPACIOUS = 8.0
"""Square inches of axes below which markers shrink."""

LARGEST, SMALLEST = 60.0, 5.0
"""Areas of markers in square points."""

SWARM, HALF = -0.12, 0.3
"""Middle of a swarm from that of its category, and half its width, in categories."""

MEAN = 0.32
"""Where the mean and its intervals are, so that they hide no estimate."""

MANY = 150
"""Estimates from which on markers get smaller and fainter."""


def places(values: Floats, member: Ints) -> Floats:
    """Where the values (n,) are across the axis of categories `member` (n,)."""
    near = NEAR * float(np.ptp(values))
    out: Floats = np.asarray(member + SWARM, dtype=float)
    for i in np.unique(member):
        rows = member == i
        out[rows] += offsets(values[rows], near, HALF)
    return out


def offsets(values: Floats, near: float, half: float) -> Floats:
    """Offsets (n,) within -half to half; the more neighbours a value has, the wider.

    They are those of a low-discrepancy sequence over the sorted values, so that neighbours are
    apart and the same data give the same picture.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    crowd = np.searchsorted(ordered, ordered + near, "right") - np.searchsorted(
        ordered, ordered - near, "left"
    )
    most = max(float(crowd.max(initial=1)) - 1.0, float(CROWD))
    out = np.empty(len(values))
    out[order] = half * np.sqrt((crowd - 1.0) / most) * _van_der_corput(len(values))
    return out


def _van_der_corput(n: int) -> Floats:
    """0, -1/2, 1/2, -3/4, 1/4, ...: van der Corput's sequence in base 2, between -1 and 1."""
    left: Ints = np.arange(1, n + 1)
    out, part = np.zeros(n), 0.5
    while left.any():
        out += part * (left & 1)
        left, part = left >> 1, part / 2
    return 2.0 * out - 1.0


def areas(errors: Floats) -> Floats:
    """Areas (n,) of markers in proportion to precision 1 / SE, for standard errors (n,).

    Estimates without error are as large as the most precise of the others.
    """
    with np.errstate(divide="ignore"):
        precision = 1.0 / errors
    known = precision[np.isfinite(precision)]
    top = float(known.max()) if known.size else 1.0
    largest = LARGEST / max(1.0, len(errors) / MANY) ** 0.5
    area = largest * np.minimum(precision, top) / top
    return np.maximum(area, SMALLEST * largest / LARGEST)


def shrink(ax: Axes) -> float:
    """Factor of the areas of markers on small axes."""
    box, figure = ax.get_window_extent(), ax.figure
    dpi: Any = figure.dpi
    return min(1.0, float(box.width * box.height / dpi**2) / SPACIOUS)


def opacity(count: int) -> float:
    """Of markers that overlap."""
    return float(max(0.15, 0.5 / max(1.0, count / MANY) ** 0.5))


def draw(ax: Axes, x: Floats, y: Floats, errors: Floats) -> None:
    """Estimates (n,) at their places, area by precision."""
    from matplotlib.colors import to_rgba

    ax.scatter(
        x,
        y,
        s=shrink(ax) * areas(errors),
        facecolors=[to_rgba(_axes.blue(), opacity(len(x)))],
        edgecolors=[to_rgba(_axes.blue(), min(1.0, 2 * opacity(len(x))))],
        linewidths=0.7,
        zorder=2,
        label="estimate; area: precision, 1 / SE",
        gid="estimates",
    )


def draw_means(ax: Axes, limits: Floats, alpha: float, *, upright: bool = False) -> None:
    """Means with both intervals (m, 5, see `Means`) beside their swarms, along x or upright."""
    at, thin = np.arange(len(limits)) + MEAN, shrink(ax) ** 0.5
    for columns, width, gid, label in (
        ([3, 4], 1.3, "prediction", f"{1 - alpha:.0%} prediction interval of a new true effect"),
        ([0, 2], 4.5, "confidence", f"{1 - alpha:.0%} confidence interval of the mean"),
    ):
        lower, upper = limits[:, columns].T
        known = np.isfinite(lower) & np.isfinite(upper)
        if known.any():
            style: Any = {"color": _axes.foreground(), "linewidth": thin * width, "zorder": 3}
            ends = lower[known], upper[known], at[known]
            _axes.intervals(ax, *ends, upright=upright, gid=gid, label=label, **style)
    x, y = (at, limits[:, 1]) if upright else (limits[:, 1], at)
    ax.scatter(
        x,
        y,
        s=70 * shrink(ax),
        color=_axes.ORANGE,
        edgecolors=[_axes.background(ax)],
        linewidths=1.2,
        zorder=4,
        label="mean",
        gid="means",
    )
