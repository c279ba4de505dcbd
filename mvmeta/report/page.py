"""From results to a page: everything is gathered first, then written by the template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from errno import EISDIR, ENOENT
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from mvmeta.errors import MvmetaError
from mvmeta.report import overview, result, tables, words
from mvmeta.report.batched_code import batched_code
from mvmeta.report.code import code
from mvmeta.report.equations import equations
from mvmeta.report.methods import methods
from mvmeta.report.numbers import number
from mvmeta.report.pictures import pictures
from mvmeta.report.rows import holds_rows
from mvmeta.report.versions import versions

INTERVALS_UP_TO = 2000
"""Rows up to which I² gets its intervals, which cost some tens of likelihood evaluations each."""

PRINTED_ROWS = 200
"""Rows of data in the table of the page."""


def write_report(
    res: Any,
    path: str | Path | None = None,
    *,
    title: str | None = None,
    question: str | None = None,
    plots: str | Sequence[str] | None = None,
    transform: Callable[[Any], Any] | str | None = None,
    alpha: float = 0.05,
) -> str | Path:
    """See `MetaMixedLMResults.report`."""
    target = None if path is None else _target(path)
    change = None if transform is None else res.transformation(transform)
    text = (
        _environment()
        .get_template("page.html")
        .render(_content(res, title, question, plots, change, alpha))
    )
    if target is None:
        return text
    target.write_text(text, encoding="utf-8")
    return target


def _target(path: str | Path) -> Path:
    """The file to write, which is refused before the page is made where it cannot be."""
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(EISDIR, "this is a folder; add the name of a file", str(target))
    if not target.parent.is_dir():
        raise FileNotFoundError(ENOENT, "its folder does not exist; make it first", str(target))
    return target


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mvmeta.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["anchor"] = _anchor
    environment.filters["pairs"] = _pairs
    return environment


def _anchor(text: str) -> str:
    """A text as part of an id, which has no blanks; different texts stay different."""
    return "".join(c if c.isalnum() else f"-{ord(c):x}-" for c in text)


def _pairs(evidence: dict[str, Any]) -> list[tuple[str, str]]:
    """Numbers behind a finding, by name."""
    return [(name, _told(value)) for name, value in evidence.items()]


def _told(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(_told, value))
    return str(value)


def _content(
    res: Any,
    title: str | None,
    question: str | None,
    plots: str | Sequence[str] | None,
    transform: Callable[[Any], Any] | None,
    alpha: float,
) -> dict[str, Any]:
    """What the template shows, by the names it uses."""
    shares = _heterogeneity(res, alpha)
    drawn = pictures(res, plots, alpha, transform)
    rows, more = overview.printed_rows(res, PRINTED_ROWS)
    numbers = [
        tables.coefficients(res, alpha),
        tables.transformed(res, transform, alpha),
        tables.tests(res),
        tables.criteria(res),
    ]
    spread = [tables.components(res), tables.heterogeneity(shares, alpha)]
    return {
        "title": title or f"Meta-analysis of {res.model.endog_names}",
        "question": question or result.question(res),
        "asked": question is not None,
        "result": result.sentences(res, shares, alpha),
        "status": None if res.converged else res.status.value,
        "facts": overview.facts(res),
        "data_tables": overview.data_tables(res),
        "rows": rows,
        "more_rows": more,
        "formula": res.model.formula,
        "model": words.model_sentences(res),
        "equations": equations(res),
        "estimates": [table for table in numbers if table is not None],
        "spread": [table for table in spread if table is not None],
        "notes": res.notes,
        "pictures": drawn.drawn,
        "left_out": drawn.left_out,
        "diagnosis": _diagnosis(res),
        "methods": methods(res, alpha),
        "code": code(res) if holds_rows(res) else batched_code(res),
        "versions": versions(),
    }


def _heterogeneity(res: Any, alpha: float) -> pd.DataFrame:
    """Shares by level, with intervals where they can be had in reasonable time."""
    if not len(res.vcomp) or res.nobs > INTERVALS_UP_TO or not holds_rows(res):
        return res.heterogeneity(alpha=None)
    return res.heterogeneity(alpha)


def _diagnosis(res: Any) -> dict[str, Any]:
    """The findings, or why there are none to be had."""
    try:
        found = res.diagnose()
    except MvmetaError as error:
        why = {"all checks": str(error)}
        return {"looked": False, "findings": [], "passed": {}, "skipped": why}
    return {
        "looked": True,
        "findings": found.findings,
        "passed": found.passed,
        "skipped": found.skipped,
    }
