"""Network graph: which levels of a factor are observed together, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from mvmeta._typing import Floats, Ints
from mvmeta.errors import SpecificationError
from mvmeta.plots import _axes, _swarm
from mvmeta.plots._means import factors
from mvmeta.plots._rows import row_values, studies
from mvmeta.plots._subject import of_results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LARGEST_NODE, SMALLEST_NODE = 420.0, 30.0
"""Areas in square points."""

WIDEST, THINNEST = 7.0, 0.8
"""Lines in points."""

OUTSIDE = 1.13
"""Where names are, in radii of the circle."""

EDGE = 1.25
"""Half the height of the axes, in radii of the largest circle."""

SMALLEST_CIRCLE = 0.7
"""Of the largest, before names are shortened."""

MOST_COUNTS, SMALL = 40, 0.8
"""Lines up to which the numbers of studies are written on them, and what marks may be shrunk to."""


@of_results()
def network(res: Any, factor: Any = None, ax: Axes | None = None, *, groups: Any = None) -> Figure:
    """Levels of a factor on a circle, joined where a study observes both.

    Parameters
    ----------
    res : MetaMixedLMResults
    factor : str, array_like of labels (n,), or a tuple of two of these, optional
        Column the model uses, or values over the fitted rows: outcomes, treatments, measures.
        Two of them are the sides of a contrast, such as the treatments that every row
        compares.  The inner factor of the random terms, or else the first factor of the
        formula, unless said.
    ax : matplotlib.axes.Axes, optional
        To draw on, without a legend; a new figure unless given.
    groups : str or array_like of labels (n,), optional
        Studies, as in `forest`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecificationError
        If the model has no factor and none is given.
    DataError
        If `factor` or `groups` do not fit the rows, or a value is missing.
    MvmetaError
        If matplotlib is not installed, or what is given is no fit, or `ax` no axes.

    Notes
    -----
    The area of a node is the number of estimates of that level (or of contrasts it is in), the
    width of a line the number of studies that observe both levels (or compare them).  Levels
    without a line between them are compared through others only; parts of the graph that no
    line joins are said in the title, as nothing within studies compares them.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets, plots
    >>> toy = datasets.load("toy")
    >>> formula = "d ~ C(Category) - 1"
    >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
    >>> res = model.fit()
    >>> figure = plots.network(res)
    >>> figure.savefig("network.svg")  # doctest: +SKIP
    """
    graph = _graph(res, _values(res, factor), studies(res, groups).code)
    figure, axes = _axes.figure_and_axes(ax, 6.0)
    angle = np.pi / 2 - 2 * np.pi * np.arange(len(graph.labels)) / len(graph.labels)
    at = np.column_stack([np.cos(angle), np.sin(angle)])
    if len(at) == 1:
        at[:] = 0.0
    _draw_lines(axes, graph, at)
    area = LARGEST_NODE * graph.size / graph.size.max()
    axes.scatter(
        at[:, 0],
        at[:, 1],
        s=_swarm.shrink(axes) * np.maximum(area, SMALLEST_NODE),
        color=_axes.blue(),
        edgecolors=[_axes.background(axes)],
        zorder=3,
        label="level; area: estimates",
        gid="levels",
    )
    axes.set_aspect("equal", adjustable="datalim")
    axes.axis("off")
    legend = 2 * _axes.line_height() if ax is None else 0.0
    _name(axes, graph, at, legend)
    if graph.parts > 1:
        size = _axes.font_size("ytick.labelsize")
        axes.set_title(f"{graph.parts} parts that no study links", fontsize=size)
    _axes.legend(figure, axes, ax is None)
    return figure


@dataclass(frozen=True, eq=False)
class _Graph:
    """Levels and the pairs of them that studies observe.

    Attributes
    ----------
    labels : list of str, length m
    size : ndarray of int, shape (m,)
        Estimates of every level.
    pairs : ndarray of int, shape (e, 2)
    studies : ndarray of int, shape (e,)
        Studies that observe both.
    parts : int
        Connected parts.
    """

    labels: list[str]
    size: Ints
    pairs: Ints
    studies: Ints
    parts: int


def _values(res: Any, factor: Any) -> list[Any]:
    """Values (n,) of the factor, or of both sides of a contrast."""
    if factor is None:
        factor = _default(res)
    sides = factor if isinstance(factor, tuple) else (factor,)
    if len(sides) not in (1, 2):
        raise SpecificationError(f"factor= takes one factor or a tuple of two, not {len(sides)}")
    return [row_values(res, side, "factor") for side in sides]


def _default(res: Any) -> Any:
    for term in res.fit_.problem.terms:
        if term.inner is not None and term.correlated is None:
            return np.asarray([str(v) for v in term.structure.labels])[term.inner]
    known = factors(res)
    if not known:
        raise SpecificationError(
            "factor= is needed: the model has no factor whose levels studies could observe together"
        )
    return next(iter(known))


def _graph(res: Any, sides: list[Any], study: Ints) -> _Graph:
    n = res.nobs
    code, labels = pd.factorize(np.concatenate(sides), sort=True)
    m = len(labels)
    inside = sparse.csr_array((np.ones(len(code)), (np.tile(study, len(sides)), code)))
    if len(sides) == 1:
        seen = (inside > 0).astype(np.intp)
        together = sparse.triu(seen.T @ seen, k=1).tocoo()
        pairs = np.column_stack([together.row, together.col]).astype(np.intp)
        count = together.data
    else:
        ends = np.sort(code.reshape(2, n).T, axis=1)
        apart = ends[:, 0] != ends[:, 1]
        once = np.unique(np.column_stack([ends, study])[apart], axis=0)
        pairs, count = np.unique(once[:, :2], axis=0, return_counts=True)
    links = sparse.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(m, m))
    parts = int(connected_components(links, directed=False)[0])
    size = np.bincount(code)
    return _Graph([str(v) for v in labels], size, pairs, np.asarray(count, dtype=np.intp), parts)


def _draw_lines(ax: Axes, graph: _Graph, at: Floats) -> None:
    from matplotlib.collections import LineCollection

    if not len(graph.pairs):
        return
    thin = _swarm.shrink(ax) ** 0.5
    width = thin * np.maximum(WIDEST * graph.studies / graph.studies.max(), THINNEST)
    style: Any = {"color": _axes.foreground(0.4), "zorder": 1, "gid": "studies"}
    label = "studies with both; width: how many"
    ends = at[graph.pairs]
    ax.add_collection(LineCollection(list(ends), linewidths=width, label=label, **style))
    if len(graph.pairs) > MOST_COUNTS or thin < SMALL:
        return
    size = 0.8 * _axes.font_size("ytick.labelsize")
    box: Any = {"boxstyle": "round,pad=0.15", "fc": _axes.background(ax), "ec": "none"}
    place = 0.6 * ends[:, 0] + 0.4 * ends[:, 1]  # off the middle, where lines of a circle meet
    for (x, y), count in zip(place.tolist(), graph.studies.tolist(), strict=True):
        ax.text(x, y, f"{count}", fontsize=size, ha="center", va="center", bbox=box, zorder=2)


def _name(ax: Axes, graph: _Graph, at: Floats, below: float) -> None:
    """Names outside the circle, each on its side, with the numbers of estimates.

    The circle leaves them room at its sides, up to a point; then they are shortened.  `below`
    are the inches of what stands below the axes.
    """
    shrunk = max(_axes.SMALLEST_TEXT, _swarm.shrink(ax) ** 0.5)
    size = shrunk * _axes.font_size("ytick.labelsize")
    wide, tall = _axes.whole_size(ax)
    tall -= below
    largest = 0.5 * min(wide, tall) / EDGE
    counts = [f" ({count})" for count in graph.size.tolist()]
    full = [_axes.elide(n) + count for n, count in zip(graph.labels, counts, strict=True)]
    fitting = (0.5 * wide - _axes.text_width(full, size)) / OUTSIDE
    radius = float(np.clip(fitting, SMALLEST_CIRCLE * largest, largest))
    room = 72.0 * (0.5 * wide - OUTSIDE * radius) / (_axes.NARROW_LETTER * size)
    letters = _axes.LONGEST if fitting >= radius else int(room) - max(map(len, counts))
    names = _axes.short(graph.labels, max(letters, _axes.FEWEST_LETTERS))
    corner = 0.5 * np.array([wide, tall]) / radius
    ax.update_datalim([-corner, corner])
    ax.margins(0.0)
    ax.autoscale_view()
    for name, count, (x, y) in zip(names, counts, at.tolist(), strict=True):
        side = "center" if abs(x) < 0.1 else "left" if x > 0 else "right"
        level = "center" if abs(y) < 0.9 else "bottom" if y > 0 else "top"
        text = ax.text(OUTSIDE * x, OUTSIDE * y, name + count, ha=side, va=level, fontsize=size)
        text.set_in_layout(False)  # a layout would make room for them by shrinking the circle
