"""The summary of a fit, in statsmodels' layout."""

from __future__ import annotations

import copy
import html
import re
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from statsmodels.iolib.summary import Summary
from statsmodels.iolib.table import SimpleTable
from statsmodels.iolib.tableformatting import fmt_params

from mvmeta.errors import SpecificationError

if TYPE_CHECKING:
    from mvmeta.inference.coefficients.wald import WaldTest
    from mvmeta.model.results.results import MetaMixedLMResults

WIDTH = 78
"""Columns of the text output: those of statsmodels' summaries."""

CELL = 18
"""Columns of a value in the header of statsmodels' summaries."""

NAME = 16
"""Fewest columns for the names of rows; a longer name continues on the next line."""

MANY_DIGITS, MOST_DIGITS = 1e6, 1e15
"""Test statistics between these are printed as whole numbers."""

LATEX_TABLE = {"<": "$<$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
"""What statsmodels' tables do not escape."""

MARKDOWN = {c: f"\\{c}" for c in "\\|*_`<[]$"} | {"\n": " "}
"""What Markdown would read as something else than itself, and a line that would end the row."""

LATEX = LATEX_TABLE | {c: f"\\{c}" for c in "_%&#$"} | {">": "$>$", "|": "$|$"}


class MetaSummary(Summary):
    """Tables and notes of a fit: text, ``as_html()``, ``as_latex()``, ``as_markdown()``.

    Text keeps to the width of statsmodels' summaries: long names continue on the next line.
    """

    def as_text(self) -> str:
        """Tables and notes as text."""
        header, *tables = self.tables
        parts = [_with_cells(header, _elided).as_text().rsplit("\n", 1)[0], *map(_text, tables)]
        notes = [
            textwrap.fill(line, WIDTH, subsequent_indent="    ", break_long_words=False)
            for line in str(self.extra_txt).split("\n")
        ]
        return "\n".join([*parts, "=" * WIDTH, "", *notes])

    def as_latex(self) -> str:
        """Tables and notes as LaTeX for booktabs: a tabular for each table."""
        parts = [latex_tabular(t) for t in self.tables]
        notes = [_substituted(line, LATEX) for line in str(self.extra_txt).split("\n")]
        return "\n".join(parts) + "\n\n" + " \\newline\n".join(notes)

    def as_markdown(self) -> str:
        """Tables and notes as Markdown: pipe tables, each under its title in bold."""
        header, *tables = self.tables
        parts = [f"**{header.title}**\n\n{_markdown_header(header)}"]
        parts += [f"**{t.title}**\n\n{markdown_table(t)}" for t in tables]
        notes = [_substituted(line, MARKDOWN) for line in str(self.extra_txt).split("\n") if line]
        return "\n\n".join([*parts, *notes])

    def as_html(self) -> str:
        """Tables and notes as HTML."""
        parts = [_with_cells(t, html.escape).as_html() for t in self.tables]
        return (
            "\n".join(parts)
            + "<br/><br/>"
            + html.escape(str(self.extra_txt)).replace("\n", "<br/>\n")
        )


def summarize(
    res: MetaMixedLMResults,
    *,
    yname: str | None = None,
    xname: list[str] | None = None,
    title: str | None = None,
    alpha: float = 0.05,
) -> MetaSummary:
    """See `MetaMixedLMResults.summary`."""
    out = MetaSummary()
    left, right = _header(res, yname)
    out.add_table_2cols(res, title=title or _title(res), gleft=left, gright=right)
    if len(res.vcomp):
        out.tables.append(component_table(res))
    out.tables.append(_tests(res))
    out.tables.append(coefficient_table(res, xname, alpha))
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
        ("Inference:", [f"t, {res.df_method}" if res.use_t else "z"]),
    ]
    if res.n_clusters is not None:
        left.append(("No. Clusters:", [str(res.n_clusters)]))
    right = [
        ("Log-Likelihood:", [_number(res.llf)]),
        ("Deviance:", [_number(res.deviance)]),
        ("AIC:", [_number(res.aic)]),
        ("BIC:", [_number(res.bic)]),
        ("AICc:", [_number(res.aicc)]),
    ]
    return left, right


def component_table(res: MetaMixedLMResults) -> SimpleTable:
    """Components with their roots, levels, states, and I2 by term."""
    i2 = res.heterogeneity(alpha=None)["i2"]
    first = ~res.vcomp["term"].duplicated() & ~res.vcomp["term"].isin(_of_several_variances(res))
    rows = [
        [
            _number(row.estimate),
            "" if np.isnan(row.sqrt) else _number(row.sqrt),
            str(row.n_levels),
            _state(row, flat),
            f"{100 * i2[row.term]:.1f}%" if head and np.isfinite(i2[row.term]) else "",
        ]
        for row, head, flat in zip(res.vcomp.itertuples(), first, res.not_identified, strict=True)
    ]
    headers = ["estimate", "sqrt", "levels", "state", "I2"]
    return _table("Variance Components", headers, rows, res.component_labels)


def _of_several_variances(res: MetaMixedLMResults) -> list[str]:
    """Terms whose I2 is that of all their levels together."""
    kinds = res.vcomp[res.vcomp["component"].isin(["sigma2", "tau2", "loading", "psi"])]
    counts = kinds["term"].value_counts(sort=False)
    return [str(name) for name in counts.index[counts > 1]]


def _state(row: object, flat: bool) -> str:
    if getattr(row, "fixed", False):
        return "fixed"
    if flat:
        return "not identified"
    return "boundary" if getattr(row, "boundary", False) else "estimated"


def _number(value: float) -> str:
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e6 else f"{value:.4g}"


def _statistic(value: float) -> str:
    return f"{value:.0f}" if MANY_DIGITS <= abs(value) < MOST_DIGITS else _number(value)


def _tests(res: MetaMixedLMResults) -> SimpleTable:
    qe, qm = res.heterogeneity_test(), res.moderators_test()
    df = f"{qm.df}" if np.isnan(qm.df_denom) else f"{qm.df}, {qm.df_denom:.4g}"
    rows = [
        [_statistic(qe.statistic), str(qe.df), _pvalue(qe.pvalue)],
        [_statistic(qm.statistic), df, _pvalue(qm.pvalue)],
    ]
    names = ["Residual heterogeneity (QE)", f"Moderators ({'F' if res.use_t else 'QM'})"]
    return _table("Tests", ["statistic", "df", "P"], rows, names)


def _pvalue(p: float) -> str:
    return "< .0001" if p < 1e-4 else f"{p:.4f}"


def coefficient_table(
    res: MetaMixedLMResults, xname: list[str] | None, alpha: float
) -> SimpleTable:
    """Estimates with tests and intervals; see `MetaMixedLMResults.summary`."""
    symbol = "t" if res.use_t else "z"
    frame = res.summary_frame(alpha)
    if xname is not None and len(xname) != len(frame):
        raise SpecificationError(
            f"xname= needs one name for each of the {len(frame)} coefficients "
            f"({', '.join(frame.index)}); got {len(xname)}"
        )
    headers = ["coef", "std err", symbol, f"P>|{symbol}|", f"[{alpha / 2:g}", f"{1 - alpha / 2:g}]"]
    rows = [
        [
            *map(_number, (r["estimate"], r["se"])),
            f"{r['statistic']:.3f}",
            f"{r['pvalue']:.3f}",
            *map(_number, (r["ci_lower"], r["ci_upper"])),
        ]
        for r in frame.to_dict("records")
    ]
    if res.use_t and frame["df"].nunique() > 1:
        headers.insert(3, "df")
        for r, d in zip(rows, frame["df"], strict=True):
            r.insert(3, f"{d:.4g}")
    return _table("Coefficients", headers, rows, xname or list(res.params.index))


def _table(title: str, headers: list[str], rows: list[list[str]], names: list[str]) -> SimpleTable:
    return SimpleTable(rows, headers=headers, stubs=names, title=title, txt_fmt=fmt_params)


def _notes(res: MetaMixedLMResults) -> list[str]:
    notes = [f"Fit: {res.status.value}."]
    given = res.model.prepared
    if given.n_dropped:
        notes.append(
            f"{given.n_dropped} of {given.n_given} rows "
            f"{'was' if given.n_dropped == 1 else 'were'} left out: see model.dropped."
        )
    if given.dropped_columns:
        notes.append(f"Redundant columns left out: {', '.join(given.dropped_columns)}.")
    return notes + res.notes + _about_components(res) + _about_tests(res)


def _about_components(res: MetaMixedLMResults) -> list[str]:
    i2 = res.heterogeneity(alpha=None)["i2"]
    notes = [
        f"I2 of {name!r}, all its levels together: {100 * i2[name]:.1f}%."
        for name in _of_several_variances(res)
        if np.isfinite(i2[name])
    ]
    flat = res.not_identified.index[res.not_identified]
    if len(flat):
        notes.append(f"Not identified, the likelihood does not depend on: {', '.join(flat)}.")
    return notes


def _about_tests(res: MetaMixedLMResults) -> list[str]:
    notes = []
    if np.isnan(res.heterogeneity_test().statistic):
        notes.append("No QE and no I2: the sampling covariance V is singular.")
    if res.k_fe and np.isnan((test := res.moderators_test()).pvalue):
        notes.append(f"No test of moderators: {_why_no_test(res, test)}.")
    none = res.effect_scale.get("no_effect")
    if none and res.k_fe:
        notes.append(
            f"Tests compare with 0; no effect is {none:g} on this scale, which t_test takes: "
            f"t_test('{res.params.index[0]} = {none:g}')."
        )
    return notes


def _why_no_test(res: MetaMixedLMResults, test: WaldTest) -> str:
    if (res.bse == 0).any():
        return "their estimates have a standard error of 0"
    if res.df_method == "kenward-roger":
        return (
            "the formulas of Kenward and Roger break down (df at most 2, or no positive scale); "
            "df='satterthwaite' gives one"
        )
    return (
        f"{res.n_clusters} clusters are too few to test {test.df} coefficients at once"
        if res.n_clusters
        else "the covariance of their estimates is singular"
    )


# -- formats -----------------------------------------------------------------------------


def _text(table: SimpleTable) -> str:
    """A table with names on the left, WIDTH columns wide unless its numbers need more."""
    header, *rows = [[str(cell.data) for cell in row] for row in table]
    widths = [
        max(map(len, column)) for column in zip(header[1:], *(r[1:] for r in rows), strict=True)
    ]
    gap = 2 if sum(widths) + 2 * len(widths) + NAME <= WIDTH else 1
    room = max(WIDTH - sum(widths) - gap * len(widths), NAME)
    lines = [table.title.center(WIDTH), "=" * WIDTH, _line("", header[1:], widths, room, gap)]
    lines.append("-" * WIDTH)
    for name, *cells in rows:
        first, *more = _wrapped(name, room)
        lines += [_line(first, cells, widths, room, gap), *more]
    return "\n".join(lines)


def latex_tabular(table: SimpleTable) -> str:
    """A table as a tabular of booktabs."""
    return _substituted(table.as_latex_tabular(), LATEX_TABLE)


def markdown_table(table: SimpleTable) -> str:
    """A table as a pipe table, numbers to the right of their columns."""
    header, *rows = [[_substituted(str(c.data), MARKDOWN) for c in row] for row in table]
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def _markdown_header(table: SimpleTable) -> str:
    """The header of a summary, two columns of names and values beside each other."""
    cells = [[_substituted(str(c.data).strip(), MARKDOWN) for c in row] for row in table]
    empty = " | ".join([""] * len(cells[0]))
    rule = " | ".join(["---", "---:"] * (len(cells[0]) // 2))
    return "\n".join([f"| {empty} |", f"| {rule} |", *(f"| {' | '.join(r)} |" for r in cells)])


def _line(name: str, cells: list[str], widths: list[int], room: int, gap: int) -> str:
    padded = (" " * gap + cell.rjust(w) for cell, w in zip(cells, widths, strict=True))
    return name.ljust(room) + "".join(padded)


def _wrapped(name: str, room: int) -> Iterator[str]:
    """Lines of at most `room` columns, broken after a separator; the later ones indented."""
    name, indent = name.replace("\n", " "), ""
    while len(name) > room - len(indent):
        space = room - len(indent)
        breaks = [m.end() for m in re.finditer(r"[\s_:/|,.~*\]-]", name[:space])]
        cut = breaks[-1] if breaks and breaks[-1] > space // 2 else space
        yield indent + name[:cut].rstrip()
        name, indent = name[cut:].lstrip(), "  "
    yield indent + name


def _elided(text: str) -> str:
    """Both ends of a text too long for a cell of the header."""
    half = (CELL - 3) // 2
    return (
        text
        if len(text.strip()) <= CELL or text.strip().endswith(":")
        else (f"{text[: CELL - 3 - half]}...{text[-half:]}")
    )


def _substituted(text: str, characters: dict[str, str]) -> str:
    """The text with characters replaced."""
    return "".join(characters.get(c, c) for c in text)


def _with_cells(table: SimpleTable, change: Any) -> SimpleTable:
    """A copy with `change` applied to the text of every cell."""
    out = copy.deepcopy(table)
    for row in out:
        for cell in row:
            cell.data = change(str(cell.data))
    return out
