"""What leaving out each study does: estimates, Cook's distance, precision and leverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import chdtri

from mvmeta._typing import Bools, Floats
from mvmeta.errors import SpecificationError
from mvmeta.plots import _axes
from mvmeta.plots._rows import studies
from mvmeta.plots._subject import of_results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = {
    "estimate": "",
    "cooks_distance": "Cook's distance",
    "cov_ratio": "covariance ratio",
    "leverage": "leverage",
}
"""Panels, and what is below their axes (the name of the coefficient below the first)."""

MAX_ROWS = 120
"""Studies that get the height of a line of text."""

TIMES_MEAN = 3.0
"""A leverage this many times the mean is marked."""

IN_SIGHT = 1.3
"""A cut this many times beyond the largest value is not drawn: it would push all together."""

LABELS, WIDE, NARROW = 1.6, 3.0, 1.7
"""Inches of the names, of the panel of the estimates, and of the others."""


@of_results("MetaInfluence")
def influence(
    res: Any,
    coefficient: str | None = None,
    ax: Axes | None = None,
    *,
    groups: Any = None,
    reestimate: bool = True,
    panels: Sequence[str] | None = None,
    max_rows: int | None = MAX_ROWS,
    alpha: float = 0.05,
) -> Figure:
    """Estimates without each study, Cook's distances, covariance ratios and leverages.

    Parameters
    ----------
    res : MetaMixedLMResults or MetaInfluence
        Results, or what their `get_influence` returned, which is drawn as it is.
    coefficient : str, optional
        Whose estimates are drawn; the first unless said.
    ax : matplotlib.axes.Axes, optional
        To draw one panel on, without a legend: the estimates unless `panels` names another; a
        new figure unless given.
    groups : str or array_like of labels (n_given,), optional
        What is left out together, as in `get_influence`; the outermost grouping of the model
        unless said.
    reestimate : bool
        Estimate the components again without each study (one fit each), else hold them.
    panels : sequence of str, optional
        Of "estimate", "cooks_distance", "cov_ratio", "leverage"; all unless said.
    max_rows : int or None
        Studies that get the height of a line of text.  More are drawn closer together, and only
        labels with room for them are written; None: the figure grows with each.
    alpha : float
        1 - coverage of the intervals.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecificationError
        If there is no such coefficient or panel, several panels are to be drawn on one `ax`,
        or under user weights.
    DataError
        If `groups` does not fit the rows.
    MvmetaError
        If matplotlib is not installed, or what is given is no fit, or `ax` no axes.

    Notes
    -----
    The band is the interval of the fit to all rows; intervals are those of the model, by z or by t
    with rows - p degrees of freedom (`SubsetFits`), whatever `cov_type` and `df` the fit has.
    Orange and hollow are studies without which the interval says something else about 0, whose
    Cook's distance is beyond the median of a chi-square with p degrees of freedom, or whose
    leverage (the sum of their hat values) is more than three times the mean; these are the cuts of
    Viechtbauer & Cheung (2010, Res Synth Methods 1:112).  A covariance ratio below 1 says that the
    estimates are more precise without the study.  Where the other studies do not determine the
    coefficients the first panel says so, and there is a gap in the next two.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets, plots
    >>> data = datasets.load("konstantopoulos2011")
    >>> nested = "district/school"
    >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
    >>> res = model.fit()
    >>> figure = plots.influence(res)
    >>> figure.savefig("influence.svg")  # doctest: +SKIP
    """
    chosen = _panels(panels, ax)
    found = _influence(res, groups, reestimate)
    table = found.leave_one_out()
    name = _coefficient(table, coefficient)
    rows = len(table.params)
    dense = _axes.crowding(rows, max_rows)
    height = _axes.height_of(rows / dense + _axes.LEGEND_LINES)
    figure, axes = _figure(ax, chosen, height)
    at = np.arange(rows, dtype=float)
    for i, (kind, panel) in enumerate(zip(chosen, axes, strict=True)):
        if kind == "estimate":
            _draw_estimates(panel, _Estimates.of(table, name, alpha), at, dense)
        else:
            _draw_values(panel, _values(found, kind, table.params.shape[1]), at, dense)
        panel.set_xlabel(PANELS[kind] or _axes.elide(name))
        panel.autoscale_view(scaley=False)
        panel.set_ylim(rows - 0.4, -0.6)
        _label(panel, table.params.index, ax is None, dense, first=i == 0)
    _axes.legend(figure, axes[0], ax is None, min(3, len(chosen)))
    return figure


def _panels(panels: Sequence[str] | None, ax: Axes | None) -> list[str]:
    if panels is None:
        return list(PANELS) if ax is None else ["estimate"]
    chosen = [panels] if isinstance(panels, str) else list(panels)
    unknown = [p for p in chosen if p not in PANELS]
    if unknown or not chosen:
        raise SpecificationError(f"panels= takes {', '.join(map(repr, PANELS))}; got {panels!r}")
    if ax is not None and len(chosen) > 1:
        raise SpecificationError("one panel can be drawn on ax=; leave it out for several")
    return chosen


def _influence(res: Any, groups: Any, reestimate: bool) -> Any:
    if not hasattr(res, "get_influence"):
        if groups is not None:
            raise SpecificationError("a MetaInfluence has its groups; leave out groups=")
        return res
    if groups is None:
        groups = _outermost(res)
    return res.get_influence(groups, reestimate)


def _outermost(res: Any) -> Any:
    """Studies over the rows of the data as given; None where rows have no other name."""
    at, prepared = studies(res), res.model.prepared
    if not any(len(t.groups.labels) > 1 for t in res.fit_.problem.terms):
        return None
    given = np.full(prepared.n_given, None, dtype=object)
    given[prepared.rows] = np.array(at.labels, dtype=object)[at.code]
    return given


def _figure(ax: Axes | None, chosen: list[str], height: float) -> tuple[Figure, list[Axes]]:
    if ax is not None:
        figure, own = _axes.given_axes(ax)
        return figure, [own]
    widths = [WIDE if kind == "estimate" else NARROW for kind in chosen]
    figure, axes = _axes.pyplot().subplots(
        1,
        len(chosen),
        squeeze=False,
        sharey=True,
        width_ratios=widths,
        figsize=(_axes.scaled(LABELS + sum(widths)), height),
        layout="constrained",
    )
    return figure, list(axes[0])


@dataclass(frozen=True, eq=False)
class _Estimates:
    """Estimates of one coefficient without each study, and with all.

    Attributes
    ----------
    limits : ndarray, shape (J, 3)
        Lower limit, estimate, upper limit; NaN where there is no fit.
    full : ndarray, shape (3,)
    alpha : float
    """

    limits: Floats
    full: Floats
    alpha: float

    @classmethod
    def of(cls, table: Any, name: str, alpha: float) -> _Estimates:
        """Those of `SubsetFits`."""
        columns = ["lower", "estimate", "upper"]
        part = table.summary_frame(alpha).xs(name, level="coefficient")
        full = table.full_frame(alpha).loc[name, columns]
        return cls(part[columns].to_numpy(float), full.to_numpy(float), alpha)

    @property
    def changed(self) -> Bools:
        """Whether the interval says something else about 0 than that of all studies."""
        verdicts = [np.sign(v[..., 0]) + np.sign(v[..., 2]) for v in (self.limits, self.full)]
        return np.asarray(verdicts[0] != verdicts[1])


def _coefficient(table: Any, wanted: Any) -> str:
    known = list(table.params.columns)
    if wanted is not None and not isinstance(wanted, str):
        raise SpecificationError(
            f"coefficient= is the name of one, of {', '.join(known)}; what is left out together is "
            "groups="
        )
    if wanted is not None and wanted not in known:
        raise SpecificationError(f"no coefficient {wanted!r}; there are {', '.join(known)}")
    return str(known[0] if wanted is None else wanted)


def _values(found: Any, kind: str, p: int) -> tuple[Floats, float, float]:
    """Values (J,), where their stems begin, and beyond what they are marked."""
    values = np.asarray(getattr(found, kind), dtype=float)
    if kind == "cov_ratio":
        return values, 1.0, np.inf
    if kind == "leverage":
        return values, 0.0, TIMES_MEAN * float(values.mean())
    return values, 0.0, float(chdtri(p, 0.5))


def _draw_estimates(ax: Axes, found: _Estimates, at: Floats, dense: float) -> None:
    lower, middle, upper = found.full.tolist()
    label = f"all studies, {1 - found.alpha:.0%} interval"
    ax.axvspan(lower, upper, color=_axes.blue(), alpha=0.18, linewidth=0, label=label)
    ax.axvline(middle, color=_axes.blue(), linewidth=0.8, linestyle=":", zorder=1)
    ax.axvline(0.0, color=_axes.foreground(0.5), linewidth=0.8, zorder=1)
    known = np.isfinite(found.limits).all(axis=1)
    across = ax.get_yaxis_transform()
    for y in at[~known].tolist():
        small: Any = {"fontsize": 0.8 * _axes.font_size("ytick.labelsize"), "ha": "center"}
        ax.text(0.5, y, "not estimable without it", transform=across, va="center", **small)
    for which, marked in ((~found.changed, False), (found.changed, True)):
        shown = which & known
        colour = _axes.ORANGE if marked else _axes.foreground(_axes.MUTED)
        style: Any = {"color": colour, "linewidth": 1.3 / dense**0.5, "zorder": 2}
        lower_, _, upper_ = found.limits[shown].T
        _axes.intervals(ax, lower_, upper_, at[shown], **style)
        _points(ax, found.limits[shown, 1], at[shown], dense, marked=marked)


def _draw_values(ax: Axes, drawn: tuple[Floats, float, float], at: Floats, dense: float) -> None:
    values, start, cut = drawn
    ax.axvline(start, color=_axes.foreground(0.5), linewidth=0.8, zorder=1)
    known = np.isfinite(values)
    if known.any() and cut <= IN_SIGHT * float(values[known].max()):
        ax.axvline(cut, color=_axes.ORANGE, linewidth=1.0, linestyle="--", zorder=1)
    for which, marked in ((values <= cut, False), (values > cut, True)):
        shown = which & known
        colour = _axes.ORANGE if marked else _axes.foreground(_axes.MUTED)
        style: Any = {"color": colour, "linewidth": 1.3 / dense**0.5, "zorder": 2}
        ends = np.full(int(shown.sum()), start), values[shown], at[shown]
        _axes.intervals(ax, *ends, **style)
        _points(ax, values[shown], at[shown], dense, marked=marked)
    ax.locator_params(axis="x", nbins=4)


def _points(ax: Axes, values: Floats, at: Floats, dense: float, *, marked: bool) -> None:
    colour = _axes.ORANGE if marked else _axes.blue()
    ax.scatter(
        values,
        at,
        s=26 / dense,
        marker="D" if marked else "o",
        facecolors=[_axes.background(ax) if marked else colour],
        edgecolors=[colour],
        label="without the study, beyond a cut" if marked else "without the study",
        zorder=3,
        gid="marked" if marked else "unmarked",
    )


def _label(ax: Axes, labels: pd.Index, owned: bool, dense: float, *, first: bool) -> None:
    """Names of the studies beside the first panel."""
    if not first:
        ax.tick_params(axis="y", length=0, labelleft=False)
        ax.spines[["left", "right", "top"]].set_visible(False)
        return
    at = np.arange(len(labels), dtype=float)
    size = _axes.text_size(ax, owned, dense)
    shown = np.flatnonzero(_axes.readable(ax, at, owned, size))
    names = _axes.short([_axes.joined(v) for v in labels], _axes.letters(ax, owned, size))
    _axes.label_rows(ax, at[shown], [names[i] for i in shown], size)
