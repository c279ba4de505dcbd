"""Funnel plot: estimates, or residuals, against their standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mvmeta._typing import Floats
from mvmeta.errors import DataError, SpecificationError
from mvmeta.inference.coefficients.wald import critical_value
from mvmeta.plots import _axes
from mvmeta.plots._rows import Studies, gls_means, observed, same_mean, sampling_errors, studies
from mvmeta.plots._subject import of_results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHADES = (0.04, 0.10, 0.18)
"""Opacity of the widest to the narrowest contour."""

DARK_SHADES = (0.10, 0.20, 0.32)
"""On a dark background, where the eye tells fewer shades apart."""


@of_results()
def funnel(
    res: Any,
    ax: Axes | None = None,
    *,
    levels: float | Sequence[float] = (0.90, 0.95, 0.99),
    by_study: bool = False,
    groups: Any = None,
) -> Figure:
    """Estimates (residuals where there are moderators) against their standard errors.

    Parameters
    ----------
    res : MetaMixedLMResults
    ax : matplotlib.axes.Axes, optional
        To draw on, without a legend; a new figure unless given.
    levels : float or sequence of float
        Coverage of the pseudo-confidence contours.
    by_study : bool
        Draw one point for every study: the mean of its estimates, or residuals, by generalised
        least squares under their sampling covariance alone, against its standard error.
    groups : str or array_like of labels (n,), optional
        Studies, as in `forest`; with `by_study` only.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecificationError
        If a level is not between 0 and 1, or `groups` are given without `by_study`.
    DataError
        If `groups` does not fit the rows, or V is singular within a study.
    MvmetaError
        If matplotlib is not installed, or what is given is no fit, or `ax` no axes.

    Notes
    -----
    The contours are centred at the mean (at 0 for residuals) and hold the given share of
    estimates if sampling error is all there is; with heterogeneity more are outside.  Estimates
    of one study depend on each other: a cluster of points outside may be a single study, which
    `by_study` shows as the one point it is.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets, plots
    >>> data = datasets.load("konstantopoulos2011")
    >>> nested = "district/school"
    >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
    >>> res = model.fit()
    >>> figure = plots.funnel(res)
    >>> figure.savefig("funnel.svg")  # doctest: +SKIP
    """
    if groups is not None and not by_study:
        raise SpecificationError("groups= says what a study is; ask for them with by_study=True")
    ordered = _ordered(levels)
    y, se = observed(res), sampling_errors(res)
    single = same_mean(res)
    x = y if single else np.asarray(res.resid)
    if by_study:
        x, se = _by_study(res, studies(res, groups), x)
    figure, axes = _axes.figure_and_axes(ax, 4.8)
    center = float(res.fittedvalues.iloc[0]) if single else 0.0
    bottom = 1.05 * float(se.max())
    edge = np.array([0.0, bottom])
    opacities = DARK_SHADES if _axes.is_dark() else SHADES
    shades = np.interp(np.arange(len(ordered)), np.arange(len(opacities)), opacities)
    inner = np.zeros(2)
    for level, shade in zip(reversed(ordered), reversed(shades.tolist()), strict=True):
        outer = float(critical_value(np.inf, 1 - level)) * edge
        style: dict[str, Any] = {"color": _axes.foreground(shade), "linewidth": 0, "zorder": 1}
        axes.fill_betweenx(edge, center + inner, center + outer, label=f"{level:.0%}", **style)
        axes.fill_betweenx(edge, center - outer, center - inner, **style)
        for side in (-outer, outer):
            axes.plot(center + side, edge, color=_axes.foreground(0.35), lw=0.7, zorder=1.5)
        inner = outer
    axes.axvline(center, color=_axes.ORANGE, linestyle="--", linewidth=1.0, zorder=2)
    dense = max(1.0, len(x) / 150)
    axes.scatter(
        x,
        se,
        s=28 / dense**0.5,
        color=_axes.blue(),
        alpha=max(0.25, 0.8 / dense**0.5),
        linewidths=0,
        zorder=3,
        label=_label(single, by_study),
    )
    axes.set_ylim(bottom, 0.0)
    axes.set_xlabel(res.model.endog_names if single else f"residual of {res.model.endog_names}")
    axes.set_ylabel("standard error")
    _axes.bare(axes)
    _axes.legend(figure, axes, ax is None, len(ordered) + 1)
    return figure


def _ordered(levels: float | Sequence[float]) -> list[float]:
    """The levels, the widest contour first."""
    try:
        found = sorted(np.atleast_1d(np.asarray(levels, dtype=float)).tolist(), reverse=True)
    except (TypeError, ValueError):
        raise SpecificationError(
            f"levels={levels!r}: levels are coverages between 0 and 1, such as (0.9, 0.95, 0.99)"
        ) from None
    beyond = [level for level in found if not 0 < level < 1]
    if beyond:
        raise SpecificationError(
            f"levels= holds {beyond[0]:g}: a level is a coverage between 0 and 1, such as 0.95"
        )
    return found


def _label(single: bool, by_study: bool) -> str:
    what = "estimate" if single else "residual"
    return f"mean {what} of a study" if by_study else what


def _by_study(res: Any, at: Studies, values: Floats) -> tuple[Floats, Floats]:
    mean, se = gls_means(res, at, values)
    lost = np.flatnonzero(np.isnan(mean))
    if len(lost):
        raise DataError(
            f"{len(lost)} studies have no mean under their sampling covariance, as it is "
            f"singular, first {at.labels[lost[0]]!r}; draw the rows (by_study=False)"
        )
    return mean, se
