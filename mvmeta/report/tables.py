"""The tables of the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mvmeta import monotone
from mvmeta.report.numbers import level_of, number, percent

MOST_CELLS = 400
"""Coefficients that are listed; more do not help a reader."""


@dataclass(frozen=True)
class Table:
    """A table of text, the first column of which names the rows.

    Attributes
    ----------
    key : str
        Unique on the page.
    caption : str
    headers : list of str
    rows : list of list of str
    note : str
    """

    key: str
    caption: str
    headers: list[str]
    rows: list[list[str]]
    note: str = ""


def coefficients(res: Any, alpha: float) -> Table:
    """Fixed effects with tests and confidence intervals."""
    frame = res.summary_frame(alpha)
    symbol = "t" if res.use_t else "z"
    with_df = res.use_t
    headers = ["", "estimate", "standard error", symbol, *(["df"] if with_df else []), "P"]
    headers += [f"{level_of(alpha)} from", "to"]
    rows = [
        [
            str(label),
            number(r["estimate"]),
            number(r["se"]),
            number(r["statistic"], 2),
            *([f"{r['df']:.1f}"] if with_df else []),
            _p(r["pvalue"]),
            number(r["ci_lower"]),
            number(r["ci_upper"]),
        ]
        for label, r in zip(frame.index, frame.to_dict("records"), strict=True)
    ]
    left_out = len(rows) - MOST_CELLS
    note = f"{left_out} further coefficients are not listed." if left_out > 0 else ""
    return Table("coefficients", "Coefficients", headers, rows[:MOST_CELLS], note)


def transformed(res: Any, transform: Any, alpha: float) -> Table | None:
    """Coefficients and limits on another scale, or None where there is no transformation."""
    if transform is None:
        return None
    frame = res.summary_frame(alpha)[["estimate", "ci_lower", "ci_upper"]].head(MOST_CELLS)
    values = np.column_stack(monotone.transformed(transform, tuple(frame.to_numpy().T)))
    rows = [
        [str(label), *(number(v) for v in row)]
        for label, row in zip(frame.index, values, strict=True)
    ]
    name = getattr(transform, "__name__", "")
    scale = f" by {name}" if name.isidentifier() else ""
    headers = ["", "estimate", f"{level_of(alpha)} from", "to"]
    return Table("transformed", f"Coefficients, transformed{scale}", headers, rows)


def components(res: Any) -> Table | None:
    """Variance components, or None where the model has none."""
    if not len(res.vcomp):
        return None
    flat = res.not_identified.to_numpy()
    rows = [
        [
            label,
            number(r["estimate"]),
            number(r["sqrt"]) if np.isfinite(r["sqrt"]) else "",
            str(r["n_levels"]),
            _state(r, bool(at)),
        ]
        for label, r, at in zip(
            res.component_labels, res.vcomp.to_dict("records"), flat, strict=True
        )
    ]
    headers = ["", "estimate", "square root", "levels", "state"]
    return Table("components", "Variance components", headers, rows)


def _state(r: dict[str, Any], flat: bool) -> str:
    if r["fixed"]:
        return "fixed"
    if flat:
        return "not identified"
    return "on the boundary" if r["boundary"] else "estimated"


def heterogeneity(frame: pd.DataFrame, alpha: float) -> Table | None:
    """Shares of variance by term, or None where there are no random terms."""
    if len(frame) < 2:
        return None
    limits = "i2_lower" in frame
    headers = ["", "variance", "I²", *([f"{level_of(alpha)} from", "to"] if limits else [])]
    headers.append("share of heterogeneity")
    rows = [
        [
            str(label),
            number(r["variance"]),
            percent(r["i2"]),
            *([percent(r["i2_lower"]), percent(r["i2_upper"])] if limits else []),
            percent(r["share"]),
        ]
        for label, r in zip(frame.index, frame.to_dict("records"), strict=True)
    ]
    note = (
        "I² is the share of the variance of a typical estimate that is not sampling error "
        "(Higgins and Thompson 2002, for several levels)."
    )
    return Table("heterogeneity", "Heterogeneity by level", headers, rows, note)


def tests(res: Any) -> Table:
    """Residual heterogeneity and moderators."""
    qe, qm = res.heterogeneity_test(), res.moderators_test()
    df = f"{qm.df}" if np.isnan(qm.df_denom) else f"{qm.df}, {qm.df_denom:.1f}"
    rows = [
        ["Residual heterogeneity (QE)", number(qe.statistic, 2), str(qe.df), _p(qe.pvalue)],
        [
            f"Moderators ({'F' if res.use_t else 'QM'})",
            number(qm.statistic, 2),
            df,
            _p(qm.pvalue),
        ],
    ]
    return Table("tests", "Tests of the model", ["", "statistic", "df", "P"], rows)


def criteria(res: Any) -> Table:
    """Log-likelihood and information criteria of the fit."""
    found = res.info_criteria()
    names = ["log-likelihood", "deviance", "AIC", "BIC", "AICc"]
    kind = "REML" if res.reml else "ML"
    row = [kind, *(number(value, 2) for value in found)]
    return Table("criteria", "Likelihood and information criteria", ["", *names], [row])


def of_frame(key: str, caption: str, frame: pd.DataFrame) -> Table:
    """A data frame as it is."""
    headers = ["row", *map(str, frame.columns)]
    rows = [[str(label), *map(_cell, values)] for label, *values in frame.itertuples(name=None)]
    return Table(key, caption, headers, rows)


def _cell(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.6g}".replace("-", "−")
    return str(value)


def _p(p: float) -> str:
    if not np.isfinite(p):
        return "–"
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"
