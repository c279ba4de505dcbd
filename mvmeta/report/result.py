"""What came out, in sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mvmeta.report.numbers import level_of, listed, percent, pvalue, short
from mvmeta.report.rows import has_one_mean
from mvmeta.report.terms import random_terms

MOST_SENTENCES = 8
"""Coefficients that get a sentence each; the table has all of them."""

EQUALS = "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"
"""A statistic and its value stay on one line."""


def question(res: Any) -> str:
    """The question a model answers, where its author did not say."""
    y = res.model.endog_names
    columns = [str(c) for c in res.params.index if c not in ("Intercept", "const")]
    spec = res.model.prepared.spec
    names = [n for n in res.model.term_columns() if n != "Intercept"] if spec else columns
    spread = ", and how much do true effects differ" if len(res.vcomp) else ""
    if not names:
        return f"What is the mean of {y}{spread}?"
    return f"How does the mean of {y} depend on {listed([str(n) for n in names])}{spread}?"


def sentences(res: Any, frame: pd.DataFrame, alpha: float) -> list[str]:
    """Estimates, heterogeneity and prediction in a few sentences."""
    out = _estimates(res, alpha)
    out += _prediction(res, alpha)
    return [*out, *_heterogeneity(res, frame)]


def _estimates(res: Any, alpha: float) -> list[str]:
    table = res.summary_frame(alpha)
    out = [
        _estimate(str(label), res, r, alpha)
        for label, r in zip(table.index[:MOST_SENTENCES], table.to_dict("records"), strict=False)
    ]
    if len(table) > MOST_SENTENCES:
        out.append(f"The table of coefficients has {len(table) - MOST_SENTENCES} more.")
    test = res.moderators_test()
    if len(table) > 1 and np.isfinite(test.pvalue):
        out.append(f"All moderators together: {_test(test)}, {_p(test.pvalue)}.")
    return out


def _p(value: float) -> str:
    """A p-value, on one line."""
    return f"P {pvalue(value)}".replace(" ", "\N{NO-BREAK SPACE}")


def _test(test: Any) -> str:
    if np.isnan(test.df_denom):
        return f"QM({test.df}){EQUALS}{test.statistic:.2f}"
    return f"F({test.df}, {test.df_denom:.1f}){EQUALS}{test.statistic:.2f}"


def _estimate(label: str, res: Any, r: dict[str, Any], alpha: float) -> str:
    mean = label in ("Intercept", "const") and res.k_fe == 1
    what = f"The mean of {res.model.endog_names}" if mean else label
    df = f"({r['df']:.1f})" if res.use_t and np.isfinite(r["df"]) else ""
    return (
        f"{what} is {short(r['estimate'])} ({level_of(alpha)} confidence interval "
        f"{short(r['ci_lower'])} to {short(r['ci_upper'])}; "
        f"{'t' if res.use_t else 'z'}{df}{EQUALS}{short(r['statistic'])}, {_p(r['pvalue'])})."
    )


def _prediction(res: Any, alpha: float) -> list[str]:
    """Where a new true effect is expected, of a model with one mean."""
    if not len(res.vcomp) or not has_one_mean(res):
        return []
    frame = res.get_prediction(np.ones((1, 1)), transform=False).summary_frame(alpha)
    low, high = frame["obs_ci_lower"].iloc[0], frame["obs_ci_upper"].iloc[0]
    if not np.isfinite(low + high):
        return []
    return [
        f"A new true effect is expected between {short(low)} and {short(high)} "
        f"({level_of(alpha)} prediction interval)."
    ]


def _heterogeneity(res: Any, frame: pd.DataFrame) -> list[str]:
    test = res.heterogeneity_test()
    out = []
    if np.isfinite(test.statistic) and test.df:
        out.append(
            "The estimates differ by "
            f"{'more' if test.pvalue < 0.05 else 'no more'} than their sampling errors explain: "
            f"QE({test.df}){EQUALS}{test.statistic:.2f}, {_p(test.pvalue)}."
        )
    if len(frame) and np.isfinite(frame["i2"].iloc[-1]) and len(res.vcomp):
        parts = [
            f"{percent(frame['i2'][term.name])} {term.name}"
            for term in random_terms(res)
            if term.name in frame.index
        ]
        total = percent(frame["i2"].iloc[-1])
        by_level = f" (by level: {', '.join(parts)})" if len(parts) > 1 else ""
        out.append(
            f"{total} of the variance of a typical estimate is not sampling error{by_level}."
        )
    return out
