"""The plots of the page: which suit a fit, and what each shows, also in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mvmeta.errors import MvmetaError, SpecificationError
from mvmeta.report.numbers import counted, listed, percent, short
from mvmeta.report.rows import READ_IN_BATCHES, holds_rows

FEW_ROWS = 2000
"""Rows up to which plots that fit the model again are drawn without being asked for."""


@dataclass(frozen=True)
class Kind:
    """A kind of plot.

    Attributes
    ----------
    title : str
    legend : str
        How it is to be read.
    suits : callable
        Whether a fit gets it without being asked.
    of_rows : bool
        Whether it shows rows, which a fit in batches does not have.
    """

    title: str
    legend: str
    suits: Callable[[Any], bool]
    of_rows: bool = True


@dataclass(frozen=True)
class Picture:
    """A plot on the page."""

    key: str
    title: str
    legend: str
    svg: Markup


@dataclass(frozen=True)
class Pictures:
    """The plots, and why others were not drawn."""

    drawn: list[Picture]
    left_out: list[tuple[str, str]]


def _factors(res: Any) -> dict[str, list[Any]]:
    spec = res.model.prepared.spec
    return {} if spec is None else spec.factor_levels()


def _numeric(res: Any) -> list[str]:
    spec = res.model.prepared.spec
    if spec is None:
        return []
    return [v for v in spec.variables if v not in _factors(res)]


def _always(_: Any) -> bool:
    return True


def _on_request(_: Any) -> bool:
    return False


def _has_terms(res: Any) -> bool:
    return bool(len(res.vcomp))


KINDS: dict[str, Kind] = {
    "forest": Kind(
        "Forest plot",
        "Every estimate with the interval of its sampling error, grouped by study; at the bottom "
        "the means with confidence intervals (diamonds) and prediction intervals (bars).",
        _always,
    ),
    "orchard": Kind(
        "Orchard plot",
        "Means of categories with confidence and prediction intervals, over all estimates.",
        lambda res: bool(_factors(res)),
    ),
    "bubble": Kind(
        "Bubble plot",
        "Estimates against a moderator, with the mean and both intervals.",
        lambda res: bool(_numeric(res)),
    ),
    "evidence": Kind(
        "Evidence",
        "What the rows of each category say by themselves (direct) and what all rows together say "
        "(joint).",
        lambda res: bool(_factors(res)) and _has_terms(res),
    ),
    "heterogeneity": Kind(
        "Variance by level",
        "The share of the variance of a typical estimate that lies at each level (I²).",
        lambda res: _has_terms(res) and (res.nobs <= FEW_ROWS or not holds_rows(res)),
        of_rows=False,
    ),
    "caterpillar": Kind(
        "Caterpillar plot",
        "Predicted random effects in order, with prediction intervals.",
        _has_terms,
    ),
    "funnel": Kind(
        "Funnel plot",
        "Estimates against their standard errors; a lopsided funnel may mean that small studies "
        "without an effect are missing.",
        _always,
    ),
    "influence": Kind(
        "Influence",
        "What leaving out each study does to the estimate.",
        lambda res: _has_terms(res) and res.nobs <= 200 and res.model.prepared.weights is None,
    ),
    "profile": Kind(
        "Profile likelihood", "The likelihood of a variance component.", _on_request, of_rows=False
    ),
    "network": Kind("Network", "Which categories studies observe together.", _on_request),
    "history": Kind("Convergence", "The likelihood by iteration.", _on_request, of_rows=False),
    "sensitivity": Kind("Sensitivity", "Estimates under other assumptions.", _on_request),
}
"""In the order in which they stand on the page."""

DRAWN_WITH_LIMITS = (
    "forest",
    "orchard",
    "bubble",
    "evidence",
    "caterpillar",
    "influence",
    "profile",
)
"""Those that take `alpha`."""

TRANSFORMED = ("forest", "orchard", "bubble")
"""Those that take `transform`."""


def pictures(
    res: Any, wanted: str | Sequence[str] | None, alpha: float, transform: Any
) -> Pictures:
    """Draw the plots asked for, or those that suit the fit.

    Raises
    ------
    SpecificationError
        For a kind that there is not.
    MvmetaError
        If plots were asked for and cannot be drawn: matplotlib is not installed, or the fit does
        not have what a plot shows.
    """
    if isinstance(wanted, str):
        wanted = [wanted]
    chosen = _suitable(res) if wanted is None else list(wanted)
    check_kinds(chosen)
    drawn: list[Picture] = []
    told = wanted is None and not holds_rows(res)
    left_out = [("Plots of rows", READ_IN_BATCHES)] if told else []
    for key in dict.fromkeys(chosen):
        try:
            drawn += [_picture(res, key, of, alpha, transform) for of in _subjects(res, key)]
        except MvmetaError as error:
            if wanted is not None:
                raise
            left_out.append((KINDS[key].title, str(error)))
    return Pictures(drawn, left_out)


def _suitable(res: Any) -> list[str]:
    """Plots that a fit gets without being asked."""
    rows = holds_rows(res)
    return [k for k, kind in KINDS.items() if (rows or not kind.of_rows) and kind.suits(res)]


def check_kinds(wanted: Sequence[str]) -> None:
    """See that there are such plots.

    Raises
    ------
    SpecificationError
        For a kind that there is not.
    """
    unknown = [k for k in wanted if k not in KINDS]
    if unknown:
        raise SpecificationError(
            f"plots= takes {', '.join(KINDS)}; got {', '.join(map(repr, unknown))}"
        )


def _subjects(res: Any, key: str) -> list[Any]:
    """What each plot of a kind is of: every component has a profile; else there is one plot."""
    if key != "profile":
        return [None]
    estimated = ~(res.vcomp["fixed"].to_numpy() | res.not_identified.to_numpy())
    return [label for label, free in zip(res.component_labels, estimated, strict=True) if free]


def _picture(res: Any, key: str, of: Any, alpha: float, transform: Any) -> Picture:
    from mvmeta import plots
    from mvmeta.plots._axes import pyplot
    from mvmeta.report.svg import drawing, to_svg

    options: dict[str, Any] = {"alpha": alpha} if key in DRAWN_WITH_LIMITS else {}
    if key == "heterogeneity" and not holds_rows(res):
        options["alpha"] = None  # each limit would take tens of passes over the data
    if transform is not None and key in TRANSFORMED:
        options["transform"] = transform
    title = KINDS[key].title + ("" if of is None else f" of {of}")
    unique = key if of is None else f"{key}-{list(res.component_labels).index(of)}"
    plt = pyplot()
    with drawing(), plt.ioff():
        figure = getattr(plots, key)(res, *([] if of is None else [of]), **options)
        try:
            svg = to_svg(figure, f"plot-{unique}", title, _told(res, key))
        finally:
            plt.close(figure)
    return Picture(unique, title, KINDS[key].legend, svg)


def _told(res: Any, key: str) -> str:
    """What the plot shows, for those who cannot see it."""
    told = _DESCRIPTIONS.get(key)
    return f"{KINDS[key].legend} {told(res)}" if told else KINDS[key].legend


def _estimates(res: Any) -> str:
    frame = res.summary_frame()
    parts = [
        f"{label} {short(r.estimate)} ({short(r.ci_lower)} to {short(r.ci_upper)})"
        for label, r in zip(frame.index[:6], frame.itertuples(), strict=False)
    ]
    return f"{counted(res.nobs, 'estimate')}; {listed(parts)}."


def _shares(res: Any) -> str:
    i2 = res.heterogeneity(alpha=None)["i2"]
    return f"{listed([f'{name} {percent(share)}' for name, share in i2.items()])}."


def _effects(res: Any) -> str:
    name, table = next(iter(res.ranef().items()))
    low, high = table["estimate"].min(), table["estimate"].max()
    return f"{counted(len(table), 'level')} of {name}, from {short(low)} to {short(high)}."


def _evidence(res: Any) -> str:
    parts = [
        f"{label}: direct {short(r.direct)}, joint {short(r.joint)}"
        for label, r in zip(res.evidence().index[:8], res.evidence().itertuples(), strict=False)
    ]
    return f"{listed(parts)}."


_DESCRIPTIONS: dict[str, Callable[[Any], str]] = {
    "forest": _estimates,
    "orchard": _estimates,
    "bubble": _estimates,
    "funnel": _estimates,
    "heterogeneity": _shares,
    "caterpillar": _effects,
    "evidence": _evidence,
}
