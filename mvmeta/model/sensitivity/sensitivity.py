"""Every coefficient under other assumptions, and which conclusions change."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats
from mvmeta.errors import MvmetaError, SpecificationError
from mvmeta.inference.coefficients.wald import check_alpha, contrasts
from mvmeta.model.evidence.families import families
from mvmeta.model.evidence.studies import studies
from mvmeta.model.evidence.targets import contrast_targets, default_targets
from mvmeta.model.sensitivity.rho import RhoEstimate
from mvmeta.model.sensitivity.settings import (
    FITTED,
    Reduced,
    Setting,
    inference_settings,
    leave_out_settings,
    rho_settings,
    structure_settings,
)
from mvmeta.progress import track

if TYPE_CHECKING:
    from mvmeta.model.results.results import MetaMixedLMResults

WIDTH = 78
"""Columns of the text."""

CHANGES = {
    "sign": "the sign",
    "interval": "whether the interval includes 0",
    "beyond": "whether the estimate lies beyond the threshold",
}
"""What a flag in the column `changes` says is no longer as in the fit."""

ASPECTS = {
    "rho": "correlation of sampling errors within studies",
    "structure": "random effects",
    "inference": "tests and intervals",
    "leave out": "leaving out each study",
}
"""What is varied, in words."""

TOLD = 3
"""Changed conclusions that the text names one by one, for each thing that is varied."""


@dataclass(frozen=True)
class Options:
    """What to vary; see `MetaMixedLMResults.sensitivity`."""

    rho: Any
    structures: Any
    inference: Any
    leave_out: Any
    beyond: float | None
    alpha: float
    contrasts: Any
    groups: Any
    category: str | None


class Sensitivity:
    """Estimates under other assumptions; prints as text.

    Attributes
    ----------
    frame : DataFrame
        One row per setting and estimate: `aspect` ("fitted", "rho", "structure", "inference",
        "leave out"), `setting`, `coefficient`, `estimate`, `se`, `df`, `lower`, `upper`,
        `pvalue`, `shift` (from the fit), `changes` (flags as below, comma-separated), `llf`,
        `note` (why there is no number, or what happened in the fit).  Estimates, their standard
        errors, limits and shifts are in units of the response (of slopes: per unit of the
        moderator), llf in log-likelihood.
    changes : DataFrame
        The rows in which a conclusion is not that of the fit, in the units of `frame`.
    skipped : dict
        Aspect or setting -> why it was not tried.
    rho : RhoEstimate or None
        With ``rho="estimate"``: what the data say about the correlation.
    beyond : float or None
        Size of an effect that matters, in units of the response; None where none was given.
    alpha : float
        1 - coverage of the intervals.

    Notes
    -----
    Flags: "sign", the estimate has another sign, and the interval excludes 0 in the fit, in the
    setting or in both (otherwise no sign was established that could change); "interval", the
    interval includes 0 and did not, or the other way round; "beyond", ``abs(estimate) >= beyond``
    and was not, or the other way round.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> toy = datasets.load("toy")
    >>> formula = "d ~ C(Category) - 1"
    >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
    >>> res = model.fit()
    >>> found = res.sensitivity(leave_out=False)
    >>> found.frame.groupby("aspect").size()
    aspect
    fitted        3
    inference    15
    rho          15
    structure    15
    dtype: int64
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        skipped: dict[str, str],
        options: Options,
        rho: RhoEstimate | None = None,
    ) -> None:
        self.frame, self.skipped, self.rho = frame, skipped, rho
        self.beyond, self.alpha = options.beyond, options.alpha

    @property
    def changes(self) -> pd.DataFrame:
        """Rows of `frame` with a flag, in the units it has.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> found = res.sensitivity(rho=False, inference=False, leave_out=False)
        >>> found.changes[["setting", "coefficient", "changes"]]
                      setting     coefficient   changes
        3   no random effects  C(Category)[A]  interval
        4   no random effects  C(Category)[B]  interval
        11                row  C(Category)[C]  interval
        """
        return self.frame[self.frame["changes"] != ""]

    def plot(self, coefficients: Any = None, ax: Any = None) -> Any:
        """Intervals of every coefficient under every setting.

        Parameters
        ----------
        coefficients, ax
            As in `mvmeta.plots.sensitivity`.

        Returns
        -------
        matplotlib.figure.Figure

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> found = res.sensitivity(leave_out=False)
        >>> figure = found.plot("C(Category)[C]")
        """
        from mvmeta import plots

        return plots.sensitivity(self, coefficients, ax)

    def summary(self) -> str:
        """What was varied, how far estimates moved, and which conclusions change, as text.

        Returns
        -------
        str

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> found = res.sensitivity(leave_out=False)
        >>> print(found.summary())
                                         Sensitivity
        ==============================================================================
        <BLANKLINE>
        Correlation of sampling errors within studies (rho = 0, rho = 0.2, rho = 0.4,
        rho = 0.6, rho = 0.8):
        - largest move: C(Category)[C] from 20 to 20 (0.0002 standard errors): rho =
          0.8
        - no conclusion changes
        <BLANKLINE>
        Random effects (no random effects, Study, row, Study/row, Category | Study
        (CS)):
        - largest move: C(Category)[C] from 20 to 10 (1 standard errors): no random
          effects
        - changes whether the interval includes 0: C(Category)[A] 10 [-9.602, 29.6]
          becomes 10 [9.562, 10.44]: no random effects
        - changes whether the interval includes 0: C(Category)[B] 15 [-4.602, 34.6]
          becomes 15 [14.56, 15.44]: no random effects
        - changes whether the interval includes 0: C(Category)[C] 20 [0.3881, 39.61]
          becomes 10 [-17.72, 37.72]: row
        <BLANKLINE>
        Tests and intervals (z, t contain, satterthwaite, kenward-roger, CR2):
        - changes whether the interval includes 0: C(Category)[C] 20 [0.3881, 39.61]
          becomes 20 [-23.05, 63.05]: t contain
        - changes whether the interval includes 0: C(Category)[C] 20 [0.3881, 39.61]
          becomes 20 [-106.5, 146.5]: satterthwaite
        - changes whether the interval includes 0: C(Category)[C] 20 [0.3881, 39.61]
          becomes 20 [-106.5, 146.5]: kenward-roger
        - and 1 more change: .changes lists all
        <BLANKLINE>
        Not tried:
        - structure, UN: an unstructured covariance of 3 levels has 6 components, more
          than there are studies (2)
        """
        lines = ["Sensitivity".center(WIDTH).rstrip(), "=" * WIDTH]
        for aspect in ASPECTS:
            part = self.frame[self.frame["aspect"] == aspect]
            if len(part):
                lines += ["", *_aspect_text(aspect, part, self._base())]
        if self.rho is not None:
            lines += ["", _fill(self.rho.sentence, "")]
        if self.skipped:
            lines += ["", "Not tried:"]
            lines += [_fill(f"{what}: {why}", "- ") for what, why in self.skipped.items()]
        return "\n".join(lines)

    def _base(self) -> pd.DataFrame:
        return self.frame[self.frame["aspect"] == FITTED].set_index("coefficient")

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.summary())}</pre>"


def sensitivity(res: MetaMixedLMResults, options: Options) -> Sensitivity:
    """Fit under every setting; see `MetaMixedLMResults.sensitivity`."""
    check_alpha(options.alpha)
    beyond = options.beyond
    if beyond is not None and not (isinstance(beyond, Real) and beyond > 0):
        raise SpecificationError(f"beyond= takes a positive threshold, got {options.beyond!r}")
    labels, rows = _targets(res, options)
    varied = (options.rho, options.structures, options.inference, options.leave_out)
    if all(given is None or given is False for given in varied):
        raise SpecificationError(
            "nothing is varied; leave at least one of rho=, structures=, inference= and "
            "leave_out= on"
        )
    at = studies(res.model.prepared, options.groups)
    skipped: dict[str, str] = {}
    rho = None
    if isinstance(options.rho, str):
        if options.rho != "estimate":
            raise SpecificationError(f"rho= takes numbers or 'estimate', got {options.rho!r}")
        rho = res.estimate_rho(groups=options.groups, alpha=options.alpha)
    settings: Iterable[Setting] = [
        *rho_settings(res, at, options.rho if rho is None else rho, skipped),
        *structure_settings(res, at, options.structures, options.category, skipped),
        *inference_settings(res, at, options.inference, skipped),
        *leave_out_settings(res, at, options.leave_out, skipped),
    ]
    base = _rows(FITTED, "as fitted", Reduced(res), labels, rows, options.alpha)
    table = [base, *_tried(settings, labels, rows, options.alpha, skipped)]
    frame = _flagged(pd.concat(table, ignore_index=True), base, options.beyond)
    return Sensitivity(frame, skipped, options, rho)


def _targets(res: MetaMixedLMResults, options: Options) -> tuple[list[str], Floats]:
    prepared = res.model.prepared
    if options.contrasts is None:
        return list(prepared.exog_names), np.eye(prepared.problem.p)
    found = families(prepared)
    if isinstance(options.contrasts, str) and options.contrasts == "means":
        targets = default_targets(prepared, found)
    else:
        codes = studies(prepared, options.groups).code
        targets = contrast_targets(prepared, found, options.contrasts, codes)
    labels = [t.label for t in targets]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise SpecificationError(f"contrasts= names {', '.join(map(repr, twice))} more than once")
    return labels, np.array([t.row for t in targets])


def _tried(
    settings: Iterable[Setting],
    labels: list[str],
    rows: Floats,
    alpha: float,
    skipped: dict[str, str],
) -> Iterator[pd.DataFrame]:
    for setting in track(settings, "settings"):
        try:
            found = setting.make()
            yield _rows(setting.aspect, setting.label, found, labels, rows, alpha)
        except MvmetaError as error:
            skipped[f"{setting.aspect}, {setting.label}"] = str(error)


def _rows(
    aspect: str, label: str, found: Reduced, labels: list[str], rows: Floats, alpha: float
) -> pd.DataFrame:
    """The table of one setting; NaN for what its rows do not determine."""
    ok = found.estimable(rows)
    out = pd.DataFrame({"aspect": aspect, "setting": label, "coefficient": labels})
    for name, values in _numbers(found, rows[ok], alpha).items():
        full = np.full(len(labels), np.nan)
        full[ok] = values
        out[name] = full
    out["llf"] = found.res.llf
    out["note"] = np.where(ok, found.note, "not determined by the rows that are left")
    return out


def _numbers(found: Reduced, rows: Floats, alpha: float) -> dict[str, Floats]:
    """Estimates, tests and intervals of combinations (m, p) that are determined."""
    names = ("estimate", "se", "df", "lower", "upper", "pvalue")
    if not len(rows):
        return {name: np.empty(0) for name in names}
    reduced = rows if found.columns is None else rows[:, found.columns]
    at = contrasts(found.res._inference.basis, reduced)
    return dict(
        zip(names, (at.estimate, at.se, at.df, *at.interval(alpha), at.pvalue), strict=True)
    )


def _flagged(frame: pd.DataFrame, base: pd.DataFrame, beyond: float | None) -> pd.DataFrame:
    """Add `shift` and `changes`."""
    own = base.set_index("coefficient").loc[frame["coefficient"]].reset_index()
    frame.insert(9, "shift", frame["estimate"].to_numpy() - own["estimate"].to_numpy())
    other_sign = np.sign(frame["estimate"]).to_numpy() != np.sign(own["estimate"]).to_numpy()
    inside, inside_own = _includes_zero(frame), _includes_zero(own)
    tests = {
        "sign": other_sign & ~(inside & inside_own),
        "interval": inside != inside_own,
    }
    if beyond is not None:
        far = [np.abs(f["estimate"].to_numpy()) >= beyond for f in (frame, own)]
        tests["beyond"] = far[0] != far[1]
    known = (frame["estimate"].notna() & frame["se"].notna()).to_numpy()
    flags = [
        ", ".join(name for name, changed in tests.items() if changed[i] and known[i])
        for i in range(len(frame))
    ]
    frame.insert(10, "changes", flags)
    return frame


def _includes_zero(frame: pd.DataFrame) -> Any:
    return ((frame["lower"] <= 0) & (frame["upper"] >= 0)).to_numpy()


def _aspect_text(aspect: str, part: pd.DataFrame, base: pd.DataFrame) -> list[str]:
    """How far estimates moved under one thing that was varied, and what changed."""
    settings = list(dict.fromkeys(part["setting"]))
    shown = ", ".join(settings) if len(settings) <= 6 else f"{len(settings)} settings"
    title = ASPECTS[aspect]
    lines = [_fill(f"{title[0].upper()}{title[1:]} ({shown}):", "")]
    relative = part["shift"].abs() / base.loc[part["coefficient"], "se"].to_numpy()
    if aspect != "inference" and relative.notna().any():
        worst = part.loc[relative.idxmax()]
        lines.append(
            _fill(
                f"largest move: {worst['coefficient']} from "
                f"{base.loc[worst['coefficient'], 'estimate']:.4g} to {worst['estimate']:.4g} "
                f"({relative.max():.2g} standard errors): {worst['setting']}",
                "- ",
            )
        )
    changed = part[part["changes"] != ""]
    if not len(changed):
        return [*lines, "- no conclusion changes"]
    lines += [_fill(_change(row, base), "- ") for _, row in changed.head(TOLD).iterrows()]
    more = len(changed) - TOLD
    plural = "s" if more > 1 else ""
    return lines + ([f"- and {more} more change{plural}: .changes lists all"] if more > 0 else [])


def _change(row: pd.Series, base: pd.DataFrame) -> str:
    name = row["coefficient"]
    old = base.loc[name]
    what = " and ".join(CHANGES[flag] for flag in row["changes"].split(", "))
    return (
        f"changes {what}: {name} {old['estimate']:.4g} [{old['lower']:.4g}, {old['upper']:.4g}] "
        f"becomes {row['estimate']:.4g} [{row['lower']:.4g}, {row['upper']:.4g}]: "
        f"{row['setting']}"
    )


def _fill(text: str, bullet: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_long_words=False,
    )
