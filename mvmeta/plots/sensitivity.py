"""Sensitivity plot: estimates and intervals under every setting, changed conclusions marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Floats
from mvmeta.errors import SpecificationError
from mvmeta.plots import _axes
from mvmeta.plots._subject import of_results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 4
"""Coefficients that are drawn side by side unless others are asked for."""

GAP = 0.6
"""Rows left free between the things that are varied."""

MOST_TICKS = 4
"""Intervals between ticks: more, and their numbers touch in a narrow panel."""

PANEL = 2.6
"""Width of a panel in inches, and of the labels beside the first."""


@of_results("Sensitivity")
def sensitivity(
    res: Any, coefficients: Any = None, ax: Axes | None = None, **kwargs: Any
) -> Figure:
    """Estimates with their intervals under every setting of a sensitivity analysis.

    Parameters
    ----------
    res : MetaMixedLMResults or Sensitivity
        Results, of which `sensitivity` is called, or what it returned.
    coefficients : str or list of str, optional
        Which to draw, side by side; the first four unless said.
    ax : matplotlib.axes.Axes, optional
        To draw one coefficient on, without a legend; a new figure unless given.
    **kwargs
        Passed on to `MetaMixedLMResults.sensitivity` where `res` are results.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecificationError
        If there is no such coefficient, or several are to be drawn on one `ax`.
    MvmetaError
        If matplotlib is not installed, or what is given is no fit, or `ax` no axes.

    Notes
    -----
    Blue: as the fit has it, and settings with the same conclusions.  Orange and hollow: the sign,
    whether the interval includes 0, or whether the estimate lies beyond the threshold has
    changed.  The band is the interval of the fit.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets, plots
    >>> toy = datasets.load("toy")
    >>> formula = "d ~ C(Category) - 1"
    >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
    >>> res = model.fit()
    >>> figure = plots.sensitivity(res)
    >>> figure.savefig("sensitivity.svg")  # doctest: +SKIP
    """
    ready = hasattr(res, "frame")
    if ready and kwargs:
        raise SpecificationError(f"a Sensitivity is drawn as it is; drop {', '.join(kwargs)}")
    frame = res.frame if ready else res.sensitivity(**kwargs).frame
    names = _names(frame, coefficients, ax)
    settings = frame.drop_duplicates(["aspect", "setting"])[["aspect", "setting"]]
    at = _heights(settings["aspect"].to_numpy())
    figure, panels = _panels(ax, len(names), len(settings) + GAP * settings["aspect"].nunique())
    for i, (name, axes) in enumerate(zip(names, panels, strict=True)):
        part = settings.merge(frame[frame["coefficient"] == name], on=["aspect", "setting"])
        _panel(axes, part, at, name)
        _label(axes, settings["setting"].tolist(), at, ax is None, first=i == 0)
    _axes.legend(figure, panels[0], ax is None)
    return figure


def _names(frame: pd.DataFrame, wanted: Any, ax: Axes | None) -> list[str]:
    known = list(dict.fromkeys(frame["coefficient"]))
    if wanted is None:
        names = known[: MOST_PANELS if ax is None else 1]
    else:
        names = [wanted] if isinstance(wanted, str) else list(wanted)
    unknown = [n for n in names if n not in known]
    if unknown or not names:
        raise SpecificationError(f"coefficients= takes {', '.join(known)}; got {wanted!r}")
    if ax is not None and len(names) > 1:
        raise SpecificationError("one coefficient can be drawn on ax=; leave it out for several")
    return names


def _heights(aspects: Any) -> Floats:
    """Positions of the settings from the top, with a gap between the things that are varied."""
    starts = np.append(False, aspects[1:] != aspects[:-1])
    return np.arange(len(aspects)) + GAP * np.cumsum(starts)


def _panels(ax: Axes | None, count: int, lines: float) -> tuple[Figure, list[Axes]]:
    if ax is not None:
        figure, own = _axes.given_axes(ax)
        return figure, [own]
    figure, axes = _axes.pyplot().subplots(
        1,
        count,
        sharey=True,
        squeeze=False,
        figsize=(_axes.scaled(PANEL * (1 + count)), _axes.height_of(lines + _axes.LEGEND_LINES)),
        layout="constrained",
    )
    return figure, list(axes[0])


def _panel(axes: Axes, part: pd.DataFrame, at: Floats, name: str) -> None:
    limits = part[["lower", "estimate", "upper"]].to_numpy(dtype=float)
    changed = (part["changes"] != "").to_numpy()
    axes.axvspan(limits[0, 0], limits[0, 2], color=_axes.blue(), alpha=0.08, linewidth=0)
    axes.axvline(0.0, color=_axes.foreground(0.5), linewidth=0.8, zorder=1)
    axes.axvline(limits[0, 1], color=_axes.blue(), linewidth=0.8, linestyle=":", zorder=1)
    _marks(axes, limits, at, ~changed, _axes.blue(), "same conclusions as the fit")
    _marks(axes, limits, at, changed, _axes.ORANGE, "a conclusion changes", hollow=True)
    axes.autoscale_view(scaley=False)
    axes.set_ylim(at[-1] + 0.6, -0.6)
    axes.locator_params(axis="x", nbins=MOST_TICKS)
    axes.set_xlabel(_axes.elide(name))


def _marks(
    axes: Axes,
    limits: Floats,
    at: Floats,
    which: Bools,
    colour: str,
    label: str,
    *,
    hollow: bool = False,
) -> None:
    shown = which & np.isfinite(limits).all(axis=1)
    values, heights = limits[shown], at[shown]
    style: Any = {"color": colour, "linewidth": 1.4, "zorder": 2}
    _axes.intervals(axes, values[:, 0], values[:, 2], heights, **style)
    axes.scatter(
        values[:, 1],
        heights,
        s=26,
        marker="D" if hollow else "o",
        facecolors=[_axes.background(axes) if hollow else colour],
        edgecolors=[colour],
        label=label,
        zorder=3,
    )


def _label(axes: Axes, settings: list[str], at: Floats, owned: bool, first: bool) -> None:
    if not first:
        axes.tick_params(axis="y", length=0, labelleft=False)
        axes.spines[["left", "right", "top"]].set_visible(False)
        return
    size = _axes.text_size(axes, owned)
    shown = np.flatnonzero(_axes.readable(axes, at, owned, size))
    names = _axes.short(settings, _axes.letters(axes, owned, size))
    _axes.label_rows(axes, at[shown], [names[i] for i in shown], size)
