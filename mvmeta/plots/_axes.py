"""What all plots share: the axes, colours that follow the user's style, labels with room."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.errors import MvmetaError, SpecificationError
from mvmeta.monotone import transformed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.figure import Figure

BLUE, ORANGE = "#0072B2", "#D55E00"
"""Of Okabe & Ito's palette: told apart by every kind of colour vision and as greys in print, and
at least 3.7 : 1 against white and against black."""

SKY = "#56B4E9"
"""In place of blue on a dark background, where blue is 3.7 : 1 and this 9 : 1."""

DARK = 0.5
"""Lightness of the text from which a style is a dark one."""

MUTED = 0.65
"""Opacity of the style's text colour where something stands back."""

LINE = 1.4
"""Distance of lines of text, in font sizes."""

TIGHT = 1.15
"""Least distance of lines of text, in font sizes."""

SMALLEST_TEXT = 0.65
"""Of the style's size, before labels are left out."""

LEGEND_POINT = 30.0
"""Area of a marker in a legend, in square points."""

LEGEND_LINES = 2
"""Of a legend below the axes."""

LONGEST = 30
"""Characters of a label; longer ones lose their middle."""

NAMES = 0.35
"""Most of the width of axes of the user that names of rows take."""

TEXTS = 0.62
"""Most of it that names and a column beside the rows take together."""

FEWEST_LETTERS = 8
"""Of a name, however narrow the axes."""

NARROW = 2.4
"""Inches of axes with fewer numbers on a logarithmic axis."""

LETTER = 0.75
"""Width of a letter with some room, in font sizes."""

NARROW_LETTER = 0.55
"""Width of a digit or a letter in a column, in font sizes."""

WIDTH = 7.0
"""Of a figure, in inches, with text of the usual size."""

ROUNDING = 1e-9
"""A number this close to 0 is 0 but for rounding errors."""

USUAL_TEXT = 10.0

NO_EFFECT = "no effect"
"""Name of the line where there is no effect among the artists."""


def pyplot() -> Any:
    """matplotlib.pyplot, imported on first use.

    Raises
    ------
    MvmetaError
        If matplotlib is not installed.
    """
    try:
        return import_module("matplotlib.pyplot")
    except ImportError as error:
        raise MvmetaError(
            'plots need matplotlib, which is not installed: pip install "mvmeta[plot]"'
        ) from error


def figure_and_axes(ax: Axes | None, height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """The axes to draw on and their figure; a new one (inches) where `ax` is None.

    Raises
    ------
    SpecificationError
        If `ax` is something else.
    """
    plt = pyplot()
    if ax is not None:
        return given_axes(ax)
    figure, new = plt.subplots(figsize=(scaled(width), height), layout="constrained")
    return figure, new


def given_axes(ax: Axes) -> tuple[Figure, Axes]:
    """Axes of the user and their figure.

    Raises
    ------
    SpecificationError
        If they are something else, such as the array that ``plt.subplots(1, 2)`` makes.
    """
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise SpecificationError(
            f"ax= takes one matplotlib Axes to draw on, and got {type(ax).__name__}: figure, ax = "
            "plt.subplots() makes one, plt.subplots(1, 2) an array of them, of which ax[0] is the "
            "first; without ax= the plot has a figure of its own, which it returns"
        )
    return ax.figure, ax  # type: ignore[return-value]


def scaled(width: float) -> float:
    """Inches of width, more where text is larger than usual."""
    return width * max(1.0, font_size("ytick.labelsize") / USUAL_TEXT)


def height_of(lines: float) -> float:
    """Inches that lines of tick labels and the axis below them need."""
    return 1.0 + lines * line_height()


def line_height() -> float:
    """Inches from one line of tick labels to the next in the user's style."""
    return LINE * font_size("ytick.labelsize") / 72.0


def font_size(key: str) -> float:
    """Points of a font size of the user's style, which may be a word."""
    chosen = pyplot().rcParams[key]
    from matplotlib.font_manager import FontProperties

    return float(FontProperties(size=chosen).get_size_in_points())


def foreground(opacity: float = 1.0) -> tuple[float, float, float, float]:
    """The text colour of the user's style, light on dark where that is the style."""
    from matplotlib.colors import to_rgba

    return to_rgba(pyplot().rcParams["text.color"], opacity)


def is_dark() -> bool:
    """Whether the user's style has light text."""
    return bool(np.dot(foreground()[:3], (0.299, 0.587, 0.114)) > DARK)


def blue() -> str:
    """The accent of estimates, lighter where the style is dark."""
    return SKY if is_dark() else BLUE


def background(ax: Axes) -> Any:
    """What is behind the marks: the fill of hollow ones."""
    return ax.get_facecolor()


def intervals(
    ax: Axes, lower: Floats, upper: Floats, at: Floats, *, upright: bool = False, **style: Any
) -> LineCollection:
    """Horizontal intervals (n,) at heights `at` (n,), or upright ones, as one artist."""
    from matplotlib.collections import LineCollection

    ends = np.stack([np.column_stack([lower, at]), np.column_stack([upper, at])], axis=1)
    lines = LineCollection(list(ends[:, :, ::-1] if upright else ends), **style)
    ax.add_collection(lines)
    return lines


def diamonds(
    ax: Axes, limits: Floats, at: Floats, height: float, label: str, **style: Any
) -> PolyCollection:
    """Diamonds from lower over mean to upper (n, 3) at heights `at` (n,), as one artist."""
    from matplotlib.collections import PolyCollection

    lower, middle, upper = limits.T
    x = np.column_stack([lower, middle, upper, middle])
    y = np.column_stack([at, at - height, at, at + height])
    shapes = PolyCollection(list(np.stack([x, y], axis=2)), **style)
    ax.add_collection(shapes)
    ax.scatter([], [], marker="D", label=label, **style)  # a legend draws collections as boxes
    return shapes


def elide(text: object, longest: int = LONGEST) -> str:
    """The text on one line, its middle left out where it is long: ends tell labels apart."""
    return _literal(_elided(" ".join(str(text).split()), longest))


def _literal(line: str) -> str:
    """The line for matplotlib, which reads what is between two dollar signs as mathematics."""
    return line.replace("$", r"\$")


def _elided(line: str, longest: int) -> str:
    if len(line) <= longest:
        return line
    tail = longest // 3
    return f"{line[: longest - tail - 1].rstrip()}…{line[-tail:].lstrip()}"


def short(texts: Sequence[object], longest: int = LONGEST) -> list[str]:
    """The texts elided; where that makes different ones the same, without what all long ones share.

    Words the long texts begin and end with go first, as it is the middle that tells them apart.
    """
    lines = [" ".join(str(t).split()) for t in texts]
    out = [_elided(line, longest) for line in lines]
    if len(set(out)) == len(set(lines)):
        return list(map(_literal, out))
    long = sorted({line for line in lines if len(line) > longest})
    start = _shared_words(long)
    stop = _shared_words([line[start:][::-1] for line in long])
    return [
        f"…{elide(line[start : len(line) - stop].strip(), longest - 2)}{'…' if stop else ''}"
        if len(line) > longest
        else _literal(line)
        for line in lines
    ]


def _shared_words(lines: Sequence[str]) -> int:
    """Characters of the whole words all lines begin with; numbers with a point are one."""
    low, high = min(lines), max(lines)
    same = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    ends = (i for i in range(same, 0, -1) if not (low[i - 1].isalnum() or low[i - 1] in ".-"))
    return next(ends, 0)


def _points_per_row(ax: Axes, owned: bool) -> float:
    """Height of 1 on the y axis, whose limits must be set.

    Figures of ours (`owned`) get their layout when they are drawn, with the room that
    `height_of` leaves around the axes.
    """
    top, bottom = ax.get_ylim()
    figure: Any = ax.figure
    inches = ax.get_window_extent().height / figure.dpi
    if owned:
        inches = figure.get_figheight() - height_of(LEGEND_LINES)
    return float(72.0 * max(inches, 1e-6) / abs(top - bottom))


def text_size(ax: Axes, owned: bool, unit: float = 1.0) -> float:
    """Points of row labels: the style's, or less where `unit` of the y axis has less room."""
    usual = font_size("ytick.labelsize")
    room = unit * _points_per_row(ax, owned) / TIGHT
    return float(np.clip(room, SMALLEST_TEXT * usual, usual))


def readable(ax: Axes, at: Floats, owned: bool, size: float, rank: Ints | None = None) -> Bools:
    """Which labels at heights `at` (n,) have room for text of a size.

    Those of the lowest `rank` get room first, and of one rank those further up.
    """
    gap = TIGHT * size / _points_per_row(ax, owned)
    chosen = np.zeros(len(at), dtype=bool)
    for i in np.lexsort((at, np.zeros(len(at)) if rank is None else rank)):
        taken = at[chosen]
        if not taken.size or np.abs(taken - at[i]).min() >= gap * (1 - 1e-6):
            chosen[i] = True
    return chosen


def label_rows(ax: Axes, at: Floats, texts: Sequence[str], size: float) -> None:
    """Names of rows as labels of the y axis, without tick marks."""
    ax.set_yticks(at, texts)
    ax.tick_params(axis="y", length=0, labelsize=size)
    ax.spines[["left", "right", "top"]].set_visible(False)


def right_column(ax: Axes, at: Floats, texts: Sequence[str], size: float) -> None:
    """Text beside the rows, right of the axes."""
    across = ax.get_yaxis_transform()
    style: Any = {"va": "center_baseline", "ha": "left"}
    for y, text in zip(at, texts, strict=True):
        ax.text(1.02, y, text, transform=across, fontsize=0.9 * size, **style)


def room_beside(
    ax: Axes, texts: Sequence[str], size: float, names: Sequence[str] = (), *, owned: bool = False
) -> bool:
    """Whether a right column leaves enough of the axes: half, after names, too, of the user's."""
    column = 0.9 * text_width(texts, size)
    if owned or not names:
        return column <= 0.5 * width_of(ax)
    return column + text_width(names, size) <= TEXTS * width_of(ax)


def text_width(texts: Sequence[str], size: float) -> float:
    """Inches of the longest line of the texts, about."""
    letters = max((len(line) for text in texts for line in text.split("\n")), default=0)
    return letters * NARROW_LETTER * size / 72.0


def letters(ax: Axes, owned: bool, size: float) -> int:
    """Most letters of names of rows, fewer in narrow axes of the user."""
    if owned:
        return LONGEST
    room = int(72.0 * NAMES * width_of(ax) / (NARROW_LETTER * size))
    return int(np.clip(room, FEWEST_LETTERS, LONGEST))


def width_of(ax: Axes) -> float:
    """Inches; of a new figure before its layout is made."""
    figure: Any = ax.figure
    return float(ax.get_window_extent().width / figure.dpi)


def whole_size(ax: Axes) -> tuple[float, float]:
    """Inches across and up of axes without labels, after the layout of the figure if it has one."""
    figure: Any = ax.figure
    spec = ax.get_subplotspec()
    if figure.get_layout_engine() is None or spec is None:
        return width_of(ax), float(ax.get_window_extent().height / figure.dpi)
    rows, columns = spec.get_gridspec().get_geometry()
    across = figure.get_figwidth() * len(spec.colspan) / columns
    return float(across), float(figure.get_figheight() * len(spec.rowspan) / rows)


def wrapped(ax: Axes, text: str, size: float) -> str:
    """The text broken into lines no longer than the axes."""
    return textwrap.fill(text, max(20, int(72.0 * width_of(ax) / (LETTER * size))))


def no_effect(res: Any) -> float:
    """The estimate where there is no effect; NaN on a scale without such a value."""
    value = res.effect_scale.get("no_effect", 0.0)
    return float("nan") if value is None else float(value)


def draw_no_effect(
    ax: Axes, res: Any, change: Callable[[Floats], Floats], *, upright: bool = True
) -> None:
    """A line at no effect on the scale of the axis, if the measure has such a value."""
    value = no_effect(res)
    if not np.isnan(value):
        at = float(change(np.array([value]))[0])
        line = ax.axvline if upright else ax.axhline
        line(at, color=foreground(0.5), linewidth=0.8, zorder=1, gid=NO_EFFECT)


def bare(ax: Axes) -> None:
    """Only the axes that carry numbers."""
    ax.spines[["right", "top"]].set_visible(False)


def legend(figure: Figure, ax: Axes, owned: bool, columns: int = 2) -> None:
    """What the marks mean, below a figure of ours; axes of the user's are left to the user."""
    from matplotlib.collections import PathCollection

    if not owned:
        return
    handles, labels = ax.get_legend_handles_labels()
    style: Any = {"frameon": False, "fontsize": 0.9 * font_size("ytick.labelsize")}
    box = figure.legend(handles, labels, loc="outside lower center", ncols=columns, **style)
    for handle in box.legend_handles:
        if isinstance(handle, PathCollection):  # of thousands of points each is tiny
            handle.set(sizes=[LEGEND_POINT], alpha=1.0)


def crowding(lines: float, max_rows: Any) -> float:
    """How many lines share the height of one: 1 up to `max_rows`, more beyond, 1 without it.

    Raises
    ------
    SpecificationError
        If `max_rows` is no whole number of at least 1, and not None.
    """
    if max_rows is None:
        return 1.0
    if not isinstance(max_rows, int | np.integer) or max_rows < 1:
        raise SpecificationError(
            f"max_rows={max_rows!r}: a plot has room for a whole number of rows, at least 1; None "
            "for all of them"
        )
    return max(1.0, lines / max_rows)


def scale_of(transform: Callable[[Floats], Floats] | None) -> Callable[[Floats], Floats]:
    """What takes values to the axis; it must be defined at all of them, so that none is lost.

    The function raises SpecificationError where it is not.
    """
    if transform is None:
        return lambda values: values

    @wraps(transform)
    def change(values: Floats) -> Floats:
        with np.errstate(all="ignore"):
            out = np.asarray(transform(values), dtype=float)
        lost = np.isnan(out) & ~np.isnan(values)
        if lost.any():
            name = getattr(transform, "__name__", "f")
            raise SpecificationError(
                f"transform={name} is not defined at {values[lost][0]:.6g}, which is to be drawn"
            )
        return out

    return change


def limits_on(change: Callable[[Floats], Floats], limits: Floats) -> Floats:
    """Lower, middle, upper (m, 3), or also limits around them (m, 5), on another scale.

    Limits change places where the scale decreases.

    Raises
    ------
    SpecificationError
        If the scale is not monotone and defined between them.
    """
    middle = limits[:, 1]
    pairs = ((0, 2), (3, 4))[: limits.shape[1] // 2]
    found = transformed(change, *((middle, limits[:, a], limits[:, b]) for a, b in pairs))
    return np.column_stack([found[1], found[0], found[2], *found[4:]])


def transformed_name(res: Any, transform: Callable[[Floats], Floats] | None) -> str:
    """What is on the axis of the effects.

    The name of effect sizes made by `escalc`, on their scale or back from it; else "yi", or
    "exp(yi)" for a function with a name.
    """
    scale, name = res.effect_scale, getattr(transform, "__name__", "")
    if transform is None:
        return scale.get("label") or res.model.endog_names
    if scale.get("back") and transform is res.transformation("back"):
        return str(scale["natural"])
    return f"{name}({res.model.endog_names})" if name.isidentifier() else res.model.endog_names


def log_axis(ax: Axes, which: str = "x") -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5, or 1 and 3 where there is less room."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    getattr(ax, f"set_{which}scale")("log")
    axis = getattr(ax, f"{which}axis")
    narrow = which == "x" and width_of(ax) < NARROW
    axis.set_major_locator(LogLocator(subs=(1.0, 3.0) if narrow else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def decimals(errors: Floats) -> int:
    """Decimals that show two digits of the typical standard error."""
    positive = errors[np.isfinite(errors) & (errors > 0)]
    if not positive.size:
        return 2
    return int(np.clip(1 - np.floor(np.log10(np.median(positive))), 0, 4))


def number(value: float, places: int) -> str:
    """The number with a proper minus sign, which it keeps if it is rounded to zero.

    "[−0.00, 0.37]" says that the interval includes 0; only rounding errors lose their sign.
    """
    text = f"{value:.{places}f}"
    if abs(value) < ROUNDING:
        text = text.lstrip("-")
    return text.replace("-", "−")


def cells(limits: Floats) -> list[str]:
    """Estimates with intervals (m, 3: lower, middle, upper) as text: "0.18 [0.02, 0.35]".

    Empty where a limit is missing.
    """
    places = decimals((limits[:, 2] - limits[:, 0]) / 4)
    texts = [[number(v, places) for v in row] for row in limits]
    known: Bools = np.asarray(np.isfinite(limits).all(axis=1))
    return [
        f"{middle} [{lower}, {upper}]" if ok else ""
        for (lower, middle, upper), ok in zip(texts, known, strict=True)
    ]


def joined(label: object) -> str:
    """A label of an index as text; the parts of one of several levels joined by a dot."""
    return " · ".join(map(str, label)) if isinstance(label, tuple) else str(label)
