"""Forest plot of dependent effects: rows by study, study means, and what they add up to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.inference.coefficients.wald import critical_value
from mvmeta.plots import _axes, _columns
from mvmeta.plots._columns import TextColumn
from mvmeta.plots._entries import Entries, entries
from mvmeta.plots._rows import Studies, Summaries, same_mean, studies, summaries
from mvmeta.plots._subject import of_results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_ROWS = 250
"""Lines that get the height of a line of text."""

LARGEST_POINT = 70.0
"""Area of the heaviest row's marker in square points."""

SMALLEST_POINT = 2.0

THINNED = "names and numbers where there is room"
"""What a figure says where lines share the height of one."""

SUMMARIES, STUDIES, ROWS = range(3)
"""In the order in which names get room."""

HALF = 0.32
"""Half the height of a diamond, in lines."""


@dataclass(frozen=True, eq=False)
class Lines:
    """Heights of everything, in lines from the top.

    Attributes
    ----------
    row : ndarray, shape (n,)
    header : ndarray, shape (S,)
        Of the studies with a line of their own; NaN for the others, whose row carries their name.
    summary : ndarray, shape (m,)
    total : float
    unit : float
        Lines that take the height of one line of text.
    """

    row: Floats
    header: Floats
    summary: Floats
    total: float
    unit: float


@of_results()
def forest(
    res: Any,
    ax: Axes | None = None,
    *,
    groups: Any = None,
    rows: Any = "all",
    transform: Callable[[Floats], Floats] | str | None = None,
    labels: Any = None,
    columns: Any = None,
    weights: bool = False,
    max_rows: int | None = MAX_ROWS,
    alpha: float = 0.05,
) -> Figure:
    """Estimates by study, study means, the overall or level means, and prediction intervals.

    Parameters
    ----------
    res : MetaMixedLMResults
    ax : matplotlib.axes.Axes, optional
        To draw on, without a legend; a new figure whose height follows the rows unless given.
    groups : str or array_like of labels (n,), optional
        Study of each row: a column the model uses or values over the fitted rows; the outermost
        grouping of the model unless said.
    rows : {"all", "studies"} or array_like of bool (n,)
        What has a line: all rows under their studies; one for each study, the mean of its rows; or
        the rows that are True, a Series with their labels or an array over the fitted rows.  The
        others are not drawn, and still count in the estimates.
    transform : callable or str, optional
        Applied to estimates and limits, such as ``np.exp`` for log odds ratios, which also
        makes the axis logarithmic; or a name, as in `res.transformation`: "back" leads back from
        the scale of effect sizes made by `escalc`.
    labels : str or array_like of labels (n,), optional
        Names of the rows within their study; the inner levels of the random terms or the labels
        of the data unless said.
    columns : str, list of str, or dict, optional
        Columns of text at the right: columns the model uses, or a dict from headings to these
        or to values over the fitted rows; cells of missing values are empty.  What all rows of a
        study share stands once, beside the name of the study.
    weights : bool
        A column of the true weights of rows and studies in the mean (row sums), in percent.
    max_rows : int or None
        Lines that get the height of a line of text; the figure grows with them.  More are drawn
        closer together, all of them, and the figure says that names are written where there is
        room: those of the summaries first, then studies, then rows, each from the top.  None: the
        figure grows with every line, which formats without pixels (SVG, PDF) take.
    alpha : float
        1 - coverage of all intervals.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        If `groups`, `rows`, `labels` or `columns` do not fit the rows.
    SpecificationError
        If `rows` is another word, chooses none, or asks for the mean of a study that has none, if
        `weights` are asked for and the model has more than one mean, or `transform` is not
        monotone and defined over what is drawn.
    MvmetaError
        If matplotlib is not installed, or what is given is no fit, or `ax` no axes.

    Notes
    -----
    The interval of a row is that of its sampling error alone.  The area of its marker is the
    sum of its absolute contributions to the estimates at the bottom, its row-sum weight where
    that is one mean; it is hollow where it counts negatively in that mean.

    A diamond beside a study's name is the mean of its rows by generalised least squares under
    their sampling covariance alone: what the study says by itself, nothing borrowed, no
    shrinkage.  It is drawn for studies whose rows the model expects to agree, not where
    moderators differ within the study.

    Diamonds at the bottom are the fixed effects with their confidence intervals: the overall
    mean, the mean of every level of the factors (over the levels of other factors in equal
    parts, at the average of numeric moderators), or the mean at average moderators.  The bar
    behind each is the prediction interval of a new true effect, where the model has one.

    With ``rows="studies"`` the mean of a study is drawn as a row is: a square whose area is what
    all its rows together count.  Of rows that are chosen, a study keeps the mean of all its rows.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets, plots
    >>> data = datasets.load("konstantopoulos2011")
    >>> nested = "district/school"
    >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
    >>> res = model.fit()
    >>> figure = plots.forest(res)
    >>> figure.savefig("forest.svg")  # doctest: +SKIP
    """
    at, found = studies(res, groups), summaries(res, alpha)
    drawn = entries(res, at, found, rows=rows, labels=labels, columns=columns, weights=weights)
    lines = _layout(drawn, len(found.labels), max_rows)
    note = _note(drawn, lines)
    room = float(_columns.widths(drawn.columns, _axes.font_size("ytick.labelsize")).sum())
    transform = None if transform is None else res.transformation(transform)
    change = _axes.scale_of(transform)
    critical = float(critical_value(np.inf, alpha))
    limits = _axes.limits_on(change, _around(drawn.y, critical * drawn.se))
    middle = _axes.limits_on(change, _around(drawn.mean, critical * drawn.error))
    middle[~drawn.headed] = np.nan
    bottom = _limits(found, change)
    height = lines.total / lines.unit + _axes.LEGEND_LINES + bool(drawn.columns) + bool(note)
    figure, axes = _axes.figure_and_axes(
        ax, _axes.height_of(height), _axes.WIDTH + 1 + room / _axes.scaled(1.0)
    )
    _draw_rows(axes, limits, lines, drawn, alpha)
    _draw_diamonds(axes, middle, bottom, lines, alpha)
    _axes.draw_no_effect(axes, res, change)
    _draw_references(axes, bottom, lines, same_mean(res))
    _scale(axes, transform, lines)
    text = _Text(drawn.at, drawn.names, found.labels, limits, middle, bottom[:, :3], drawn.columns)
    _write(axes, text, lines, ax is None)
    if note and ax is None:
        axes.set_title(note, fontsize=0.9 * _axes.font_size("ytick.labelsize"), loc="left")
    axes.set_xlabel(_axes.transformed_name(res, transform))
    _axes.legend(figure, axes, ax is None)
    return figure


def _around(middle: Floats, half: Floats) -> Floats:
    """Lower limit, middle and upper limit, (m, 3)."""
    return np.column_stack([middle - half, middle, middle + half])


def _note(drawn: Entries, lines: Lines) -> str:
    """What is not on the figure; empty where everything is."""
    thinned = THINNED if lines.unit > 1 else ""
    return "; ".join(filter(None, (drawn.left_out, thinned)))


def _layout(drawn: Entries, n_summaries: int, max_rows: int | None) -> Lines:
    """Studies in the order of their first rows, each under its name."""
    at, several = drawn.at, drawn.headed
    size = np.bincount(at.code, minlength=len(at.labels))
    first = np.full(len(at.labels), len(at.code))
    np.minimum.at(first, at.code, np.arange(len(at.code)))
    order = np.argsort(first, kind="stable")
    padding = 0.4 if several.any() else 0.0
    take = np.asarray(size + several + padding, dtype=float)
    start = np.empty(len(size))
    start[order] = np.cumsum(take[order]) - take[order]
    row = np.asarray(start[at.code] + several[at.code] + _position_within(at.code), dtype=float)
    end = float(take.sum())
    unit = _axes.crowding(end + n_summaries, max_rows)
    summary = end + unit * (0.6 + np.arange(n_summaries, dtype=float))
    header = np.asarray(np.where(several, start, np.nan), dtype=float)
    return Lines(row, header, summary, end + unit * (0.6 + n_summaries), unit)


def _position_within(code: Ints) -> Ints:
    """0, 1, 2, ... of the rows of each study, in the order of the data."""
    order = np.argsort(code, kind="stable")
    new = np.flatnonzero(np.append(True, np.diff(code[order]) != 0))
    count = np.diff(np.append(new, len(code)))
    out = np.empty(len(code), dtype=np.intp)
    out[order] = np.arange(len(code)) - np.repeat(new, count)
    return out


def _limits(found: Summaries, change: Callable[[Floats], Floats]) -> Floats:
    """Lower, mean, upper, and the limits of the prediction interval, (m, 5)."""
    columns = ["mean_ci_lower", "mean", "mean_ci_upper", "obs_ci_lower", "obs_ci_upper"]
    return _axes.limits_on(change, found.frame[columns].to_numpy(dtype=float))


def _draw_rows(ax: Axes, rows: Floats, lines: Lines, drawn: Entries, alpha: float) -> None:
    weight, parts = drawn.weight, drawn.contributions
    negative = parts[0] < 0 if len(parts) == 1 else np.zeros(len(weight), dtype=bool)
    size = LARGEST_POINT / lines.unit * weight / max(drawn.heaviest, 1e-300)
    label = f"{drawn.what}, {1 - alpha:.0%} interval; area: weight"
    style = {"color": _axes.foreground(_axes.MUTED), "linewidth": 1.1 / lines.unit**0.5}
    _axes.intervals(ax, rows[:, 0], rows[:, 2], lines.row, zorder=2, gid="rows", **style)
    fill = np.where(negative, "none", _axes.blue())
    ax.scatter(
        rows[:, 1],
        lines.row,
        s=np.maximum(size, SMALLEST_POINT / lines.unit**0.5),
        marker="s",
        facecolors=fill.tolist(),
        edgecolors=_axes.blue(),
        linewidths=0.8,
        zorder=3,
        label=label,
    )


def _draw_diamonds(ax: Axes, middle: Floats, bottom: Floats, lines: Lines, alpha: float) -> None:
    known = np.isfinite(middle).all(axis=1)
    if known.any():
        style = {
            "facecolor": "none",
            "edgecolor": _axes.foreground(),
            "linewidth": min(1.0, 2.5 / lines.unit**0.5),
        }
        height = HALF * max(1.0, 0.06 * lines.unit)
        heading = lines.header[known]
        label = "mean of a study, sampling error only"
        _axes.diamonds(ax, middle[known], heading, height, label=label, zorder=4, **style)
    bar = np.isfinite(bottom[:, 3:]).all(axis=1)
    if bar.any():
        _axes.intervals(
            ax,
            bottom[bar, 3],
            bottom[bar, 4],
            lines.summary[bar],
            color=_axes.ORANGE,
            alpha=0.5,
            linewidth=4,
            label=f"{1 - alpha:.0%} prediction interval of a new true effect",
            gid="prediction",
            zorder=2,
        )
    label = f"mean, {1 - alpha:.0%} confidence interval"
    _axes.diamonds(
        ax,
        bottom[:, :3],
        lines.summary,
        HALF * lines.unit,
        facecolor=_axes.ORANGE,
        edgecolor=_axes.ORANGE,
        label=label,
        zorder=4,
    )


def _draw_references(ax: Axes, bottom: Floats, lines: Lines, single: bool) -> None:
    """The mean where there is one, and the edge above the summaries."""
    if single:
        top = lines.summary[0]
        ax.plot([bottom[0, 1]] * 2, [-0.6, top], color=_axes.ORANGE, ls="--", lw=0.9, zorder=1)
    edge = lines.summary[0] - 0.8 * lines.unit
    ax.axhline(edge, color=_axes.foreground(0.5), linewidth=0.8, zorder=1)


def _scale(ax: Axes, transform: Callable[[Floats], Floats] | None, lines: Lines) -> None:
    ax.set_ylim(lines.total, -0.8 * lines.unit)
    if transform is np.exp:
        _axes.log_axis(ax)
    ax.autoscale_view(scaley=False)


@dataclass(frozen=True, eq=False)
class _Text:
    """Names and numbers of rows, studies and summaries: lower, middle, upper."""

    at: Studies
    names: list[str]
    labels: list[str]
    rows: Floats
    middle: Floats
    bottom: Floats
    columns: list[TextColumn]

    def entries(self, lines: Lines, longest: int) -> tuple[Floats, list[str], Floats, Ints]:
        """Heights, names, limits and rank, in which names get room."""
        headed, order = self._order(lines)
        alone = np.isnan(lines.header)[self.at.code]
        at = np.concatenate([lines.summary, lines.header[headed], lines.row[order]])
        studies = _axes.short(self.at.labels, longest)
        rows = _axes.short(self.names, longest)
        names = _axes.short(self.labels, longest) + [studies[i] for i in headed]
        names += [studies[self.at.code[i]] if alone[i] else rows[i] for i in order]
        limits = np.concatenate([self.bottom, self.middle[headed], self.rows[order]])
        named = alone[order] & bool(len(headed))
        counts = len(lines.summary), len(headed)
        rank = np.append(np.repeat([SUMMARIES, STUDIES], counts), np.where(named, STUDIES, ROWS))
        return at, names, limits, rank

    def column(self, which: TextColumn, lines: Lines) -> list[str]:
        """Its texts in the order of the entries."""
        headed, order = self._order(lines)
        out = [*which.summaries, *(which.studies[i] for i in headed)]
        return out + [which.rows[i] for i in order]

    def _order(self, lines: Lines) -> tuple[Ints, Ints]:
        """Studies with a line of their own, and rows, from the top."""
        headed = np.flatnonzero(~np.isnan(lines.header))
        return headed[np.argsort(lines.header[headed])], np.argsort(lines.row)


def _write(ax: Axes, text: _Text, lines: Lines, owned: bool) -> None:
    size = _axes.text_size(ax, owned, lines.unit)
    at, names, limits, rank = text.entries(lines, _axes.letters(ax, owned, size))
    shown = np.flatnonzero(_axes.readable(ax, at, owned, size, rank))
    _axes.label_rows(ax, at[shown], [names[i] for i in shown], size)
    for tick, i in zip(ax.get_yticklabels(), shown, strict=True):
        tick.set_fontweight("bold" if rank[i] < ROWS else "normal")
    known: Bools = np.asarray(np.isfinite(limits).all(axis=1))
    cells = [cell if ok else "" for cell, ok in zip(_axes.cells(limits), known, strict=True)]
    beside = _axes.room_beside(ax, cells, size, names, owned=owned)
    if beside:
        told = shown[known[shown]]
        _axes.right_column(ax, at[told], [cells[i] for i in told], size)
    if text.columns:
        taken = 0.02 * _axes.width_of(ax) + _axes.text_width(cells, 0.9 * size) if beside else 0.0
        columns = [(c.heading, text.column(c, lines)) for c in text.columns]
        chosen = [(heading, [texts[i] for i in shown]) for heading, texts in columns]
        _columns.draw(ax, at[shown], chosen, size, taken)
