"""What a sensitivity analysis tries: each setting is a label and a way to get its results."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.exchangeable import exchangeable, lowest_correlation
from mvmeta.design.layout import is_nested
from mvmeta.errors import MvmetaWarning, SpecificationError
from mvmeta.model.evidence.studies import ROW, Studies
from mvmeta.model.sensitivity.alternatives import STRUCTURES, alternative
from mvmeta.model.sensitivity.rho import RhoEstimate
from mvmeta.model.specification.rank import independent_columns
from mvmeta.model.specification.variants import as_given, fit_options, on_rows, with_problem
from mvmeta.model.testing.inference import choose_inference

if TYPE_CHECKING:
    from mvmeta.model.mixed import MetaMixedLM
    from mvmeta.model.results.results import MetaMixedLMResults

FITTED = "fitted"

GRID = (0.0, 0.2, 0.4, 0.6, 0.8)
"""Correlations that are tried unless others are asked for."""

MOST_LEFT_OUT = 100
"""Studies up to which each is left out unless ``leave_out="all"``."""

INFERENCE: dict[str, dict[str, Any]] = {
    "z": {"df": "residual", "use_t": False},
    "t contain": {"df": "contain", "use_t": True},
    "satterthwaite": {"df": "satterthwaite", "use_t": True},
    "kenward-roger": {"df": "kenward-roger", "use_t": True},
    "CR2": {"df": "residual", "use_t": False, "cov_type": "CR2"},
}
"""Ways to test coefficients that are compared."""

ROW_SPACE = 1e-8
"""Part of a combination outside the row space of X, relative to it, that makes it undetermined."""


@dataclass(frozen=True)
class Setting:
    """One thing to try.

    Attributes
    ----------
    aspect, label : str
    make : callable
        Returns a `Reduced`; may raise `MvmetaError`.
    """

    aspect: str
    label: str
    make: Callable[[], Reduced]


@dataclass(frozen=True)
class Reduced:
    """Results, perhaps of fewer rows and coefficients.

    Attributes
    ----------
    res : MetaMixedLMResults
    columns : ndarray of bool, shape (p,), or None
        Coefficients that were kept; None for all.
    x : ndarray, shape (k, p), or None
        The full design in the rows that are left.
    note : str
        What happened in the fit.
    """

    res: MetaMixedLMResults
    columns: Bools | None = None
    x: Floats | None = None
    note: str = ""

    def estimable(self, rows: Floats) -> Bools:
        """Which combinations of all coefficients, rows (m, p), the rows that are left determine."""
        if self.columns is None or self.x is None or self.columns.all():
            return np.ones(len(rows), dtype=bool)
        scale = np.abs(self.x).max(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        _, s, vt = np.linalg.svd(self.x / scale, full_matrices=False)
        space = vt[s > ROW_SPACE * s[0]]
        scaled = rows / scale
        rest = np.linalg.norm(scaled - scaled @ space.T @ space, axis=1)
        return np.asarray(rest <= ROW_SPACE * np.linalg.norm(scaled, axis=1))


def rho_settings(
    res: MetaMixedLMResults, at: Studies, wanted: Any, skipped: dict[str, str]
) -> Iterator[Setting]:
    """V with the same variances and one correlation within studies."""
    if wanted is None or wanted is False:
        return
    if at.name == ROW or len(np.unique(at.code)) == len(at.code):
        skipped["rho"] = "no study has several rows; groups= names the column of the study"
        return
    for label, rho in _correlations(wanted):
        yield Setting("rho", label, partial(_with_rho, res, at.code, rho))


def _correlations(wanted: Any) -> list[tuple[str, float]]:
    if isinstance(wanted, RhoEstimate):
        named = {"estimate": wanted.estimate, "lower": wanted.lower, "upper": wanted.upper}
        return [(f"rho = {r:.3g} ({name})", r) for name, r in named.items()]
    values = GRID if wanted is True else np.atleast_1d(wanted)
    try:
        return [(f"rho = {float(r):g}", float(r)) for r in values]
    except (TypeError, ValueError):
        raise SpecificationError(f"rho= takes numbers or 'estimate', got {wanted!r}") from None


def _with_rho(res: MetaMixedLMResults, groups: Ints, rho: float) -> Reduced:
    lowest = lowest_correlation(groups)
    if not lowest <= rho <= 1:
        raise SpecificationError(
            f"rho = {rho:g} is not possible: with {np.bincount(groups).max()} rows in a study it "
            f"lies between {lowest:.3g} and 1"
        )
    problem = res.fit_.problem
    v = exchangeable(problem.v.variances, groups, rho)
    model = with_problem(res.model, replace(problem, v=v))
    return _fitted(res, model, start=res.fit_.theta)


def structure_settings(
    res: MetaMixedLMResults,
    at: Studies,
    wanted: Any,
    category: str | None,
    skipped: dict[str, str],
) -> Iterator[Setting]:
    """Other random effects."""
    for name in _chosen(wanted, STRUCTURES, "structures"):
        found = alternative(res.model.prepared, at, name, category)
        if isinstance(found, str):
            skipped[f"structure, {name}"] = found
        else:
            make = partial(_with_terms, res, found.terms, found.records)
            yield Setting("structure", found.label, make)


def _with_terms(res: MetaMixedLMResults, terms: Any, records: Any) -> Reduced:
    problem = replace(res.fit_.problem, terms=terms)
    return _fitted(res, with_problem(res.model, problem, records))


def inference_settings(
    res: MetaMixedLMResults, at: Studies, wanted: Any, skipped: dict[str, str]
) -> Iterator[Setting]:
    """The same estimates with other standard errors and degrees of freedom."""
    for name in _chosen(wanted, INFERENCE, "inference"):
        if name == "kenward-roger" and not res.reml:
            skipped[f"inference, {name}"] = "Kenward and Roger's method needs REML"
        else:
            yield Setting("inference", name, partial(_tested, res, at, INFERENCE[name]))


def _tested(res: MetaMixedLMResults, at: Studies, options: dict[str, Any]) -> Reduced:
    cov_type = options.get("cov_type", "nonrobust")
    prepared = res.model.prepared
    kwds = {} if cov_type == "nonrobust" else {"groups": as_given(prepared, _clusters(res, at))}
    inference = choose_inference(
        res.fit_, prepared, options["use_t"], options["df"], cov_type, kwds
    )
    return Reduced(type(res)(res.model, res.fit_, res._optimum, inference))


def _clusters(res: MetaMixedLMResults, at: Studies) -> Ints:
    """Robust clusters: studies, or what links them where they depend on one another."""
    cluster = res.model.prepared.problem.cluster
    return at.code if is_nested(cluster, at.code) else cluster


def leave_out_settings(
    res: MetaMixedLMResults, at: Studies, wanted: Any, skipped: dict[str, str]
) -> Iterator[Setting]:
    """Everything again without each study in turn."""
    if wanted is None or wanted is False:
        return
    if wanted not in (True, "all"):
        raise SpecificationError(f"leave_out= takes True, False or 'all', got {wanted!r}")
    if at.count > MOST_LEFT_OUT and wanted != "all":
        skipped["leave out"] = (
            f"there are {at.count} {at.noun(2)}; leave_out='all' fits without each of them"
        )
        return
    for i in range(at.count):
        keep = np.flatnonzero(at.code != i)
        yield Setting(
            "leave out", f"without {at.name} {at.labels[i]}", partial(_without, res, keep)
        )


def _without(res: MetaMixedLMResults, keep: Ints) -> Reduced:
    x = res.fit_.problem.x[keep]
    if not len(keep) or not np.any(x):
        raise SpecificationError("no rows are left that determine a coefficient")
    columns = independent_columns(x)
    if len(keep) <= int(columns.sum()):
        raise SpecificationError("as many coefficients as rows are left")
    model = on_rows(res.model, keep, columns)
    found = _fitted(res, model, start=res.fit_.theta, columns=columns)
    return replace(found, columns=columns, x=x)


def _fitted(
    res: MetaMixedLMResults, model: MetaMixedLM, start: Any = None, columns: Bools | None = None
) -> Reduced:
    """Fit with the inference of `res`; what is warned of becomes the note."""
    options = fit_options(res)
    if res.df_method == "given" and columns is not None:
        options["df"] = np.asarray(options["df"])[columns]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = model.fit(start=start, **options)
    for w in caught:
        if not issubclass(w.category, MvmetaWarning | ConvergenceWarning):
            warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)
    told = [
        str(w.message) for w in caught if issubclass(w.category, MvmetaWarning | ConvergenceWarning)
    ]
    return Reduced(found, note="; ".join(told))


def _chosen(wanted: Any, known: Iterable[str], what: str) -> list[str]:
    names = list(known)
    if wanted is None or wanted is False:
        return []
    if wanted is True:
        return names
    asked = [wanted] if isinstance(wanted, str) else list(wanted)
    unknown = [a for a in asked if a not in names]
    if unknown:
        raise SpecificationError(
            f"{what}= takes {', '.join(map(repr, names))}, got {', '.join(map(repr, unknown))}"
        )
    return asked
