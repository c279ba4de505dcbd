"""The summary of a fit, in statsmodels' layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from statsmodels.iolib.summary import Summary
from statsmodels.iolib.table import SimpleTable
from statsmodels.iolib.tableformatting import fmt_params

if TYPE_CHECKING:
    from mvmeta.model.results import MetaMixedLMResults


def summarize(
    res: MetaMixedLMResults,
    *,
    yname: str | None = None,
    xname: list[str] | None = None,
    title: str | None = None,
    alpha: float = 0.05,
) -> Summary:
    """See `MetaMixedLMResults.summary`."""
    out = Summary()
    left, right = _header(res, yname)
    out.add_table_2cols(res, title=title or _title(res), gleft=left, gright=right)
    if len(res.vcomp):
        out.tables.append(_components(res))
    out.tables.append(_tests(res))
    out.tables.append(_coefficients(res, xname, alpha))
    out.add_extra_txt([f"[{i}] {note}" for i, note in enumerate(_notes(res), start=1)])
    return out


def _title(res: MetaMixedLMResults) -> str:
    kind = "Multilevel Meta-Analysis" if len(res.vcomp) else "Fixed-Effects Meta-Analysis"
    return f"{kind} ({'REML' if res.reml else 'ML'})"


Entry: TypeAlias = tuple[str, list[str]]


def _header(res: MetaMixedLMResults, yname: str | None) -> tuple[list[Entry], list[Entry]]:
    left = [
        ("Dep. Variable:", [yname or res.model.endog_names]),
        ("No. Estimates:", [str(res.nobs)]),
        ("Df Residuals:", [str(res.df_resid)]),
        ("Covariance Type:", [res.cov_type]),
        ("Inference:", [_inference(res)]),
    ]
    right = [
        ("Log-Likelihood:", [f"{res.llf:.4f}"]),
        ("Deviance:", [f"{res.deviance:.4f}"]),
        ("AIC:", [f"{res.aic:.4f}"]),
        ("BIC:", [f"{res.bic:.4f}"]),
        ("AICc:", [f"{res.aicc:.4f}"]),
    ]
    return left, right


def _inference(res: MetaMixedLMResults) -> str:
    if not res.use_t:
        return "z, chi-square"
    return f"t, F ({res.df_method} df)"


def _components(res: MetaMixedLMResults) -> SimpleTable:
    i2 = res.heterogeneity()["i2"]
    first = ~res.vcomp["term"].duplicated()
    rows = [
        [
            f"{row.component}[{row.level}]" if row.level else row.component,
            _number(row.estimate),
            "" if np.isnan(row.sqrt) else _number(row.sqrt),
            str(row.n_levels),
            _state(row),
            f"{100 * i2[row.term]:.1f}%" if head and np.isfinite(i2[row.term]) else "",
        ]
        for row, head in zip(res.vcomp.itertuples(), first, strict=True)
    ]
    return SimpleTable(
        rows,
        headers=["component", "estimate", "sqrt", "levels", "state", "I2"],
        stubs=list(res.vcomp["term"]),
        title="Variance Components",
        txt_fmt=fmt_params,
    )


def _state(row: object) -> str:
    if getattr(row, "fixed", False):
        return "fixed"
    return "boundary" if getattr(row, "boundary", False) else "estimated"


def _number(value: float) -> str:
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e6 else f"{value:.4g}"


def _tests(res: MetaMixedLMResults) -> SimpleTable:
    qe, qm = res.heterogeneity_test(), res.moderators_test()
    f = "F" if res.use_t else "QM"
    df = f"{qm.df}" if np.isnan(qm.df_denom) else f"{qm.df}, {qm.df_denom:.4g}"
    rows = [
        ["QE", f"{qe.statistic:.4f}", str(qe.df), _pvalue(qe.pvalue)],
        [f, f"{qm.statistic:.4f}", df, _pvalue(qm.pvalue)],
    ]
    return SimpleTable(
        rows,
        headers=["", "statistic", "df", "P"],
        stubs=["Residual heterogeneity", "Moderators"],
        title="Tests",
        txt_fmt=fmt_params,
    )


def _pvalue(p: float) -> str:
    return "< .0001" if p < 1e-4 else f"{p:.4f}"


def _coefficients(res: MetaMixedLMResults, xname: list[str] | None, alpha: float) -> SimpleTable:
    symbol = "t" if res.use_t else "z"
    frame = res.summary_frame(alpha)
    columns = ["estimate", "se", "statistic", "pvalue", "ci_lower", "ci_upper"]
    headers = ["coef", "std err", symbol, f"P>|{symbol}|", f"[{alpha / 2:g}", f"{1 - alpha / 2:g}]"]
    digits = {"statistic": 3, "pvalue": 3, "ci_lower": 4, "ci_upper": 4}
    rows = [
        [_number(r[c]) if c not in digits else f"{r[c]:.{digits[c]}f}" for c in columns]
        for r in frame.to_dict("records")
    ]
    if res.use_t and frame["df"].nunique() > 1:
        headers.insert(3, "df")
        for r, d in zip(rows, frame["df"], strict=True):
            r.insert(3, f"{d:.4g}")
    return SimpleTable(
        rows, headers=headers, stubs=xname or list(res.params.index), txt_fmt=fmt_params
    )


def _notes(res: MetaMixedLMResults) -> list[str]:
    notes = [f"Fit: {res.status.value}."]
    given = res.model.prepared
    if len(given.dropped):
        notes.append(
            f"{len(given.dropped)} of {given.n_given} rows were left out: see model.dropped."
        )
    if given.dropped_columns:
        notes.append(f"Redundant columns left out: {', '.join(given.dropped_columns)}.")
    return notes + res.model.notes
