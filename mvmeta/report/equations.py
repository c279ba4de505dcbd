"""The model as formulas."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from markupsafe import Markup

from mvmeta.report.choices import INDEPENDENT, errors
from mvmeta.report.mathml import (
    above,
    below,
    both,
    digits,
    formula,
    name,
    normal,
    row,
    sign,
    word,
)
from mvmeta.report.structures import IVERSON, SAME, STRUCTURES
from mvmeta.report.terms import Term, random_terms

MOST_COLUMNS = 6
"""Coefficients that a formula writes one by one."""


def equations(res: Any) -> list[Markup]:
    """The model of a row, then the distribution of every random term and of the errors."""
    terms = random_terms(res)
    lines = [_row_model(res, terms)]
    for number, term in enumerate(terms, start=1):
        effect = partial(_effect, number=number, count=len(terms))
        lines += _distribution(term, effect)
    return [*lines, _errors(res)]


def _effect(index: str, number: int, count: int) -> Markup:
    """An effect u of a term, numbered where there are several terms."""
    if count == 1:
        return below(name("u"), index)
    return both(name("u"), index, row(sign("("), digits(f"{number}"), sign(")")))


def _row_model(res: Any, terms: list[Term]) -> Markup:
    i = name("i")
    parts: list[Markup] = [below(name(res.model.endog_names), i), sign("="), *_mean(res)]
    for number, term in enumerate(terms, start=1):
        index = row(word(f"{term.groups}"), sign("["), i, sign("]"))
        effect = partial(_effect, number=number, count=len(terms))
        parts += [sign("+"), _loading(term, effect, index)]
    return formula(*parts, sign("+"), below(name("e"), i))


def _mean(res: Any) -> list[Markup]:
    """The fixed part: coefficients times columns, or a sum where there are many."""
    columns = list(res.params.index)
    i, beta = name("i"), name("β")
    if not columns:
        return [digits("0")]
    if len(columns) > MOST_COLUMNS:
        k = name("k")
        total = row(
            element_sum(row(k, sign("="), digits("1")), digits(str(len(columns)))),
            below(beta, k),
            below(name("x"), row(i, k)),
        )
        return [total]
    parts: list[Markup] = []
    for j, column in enumerate(columns):
        constant = column in ("Intercept", "const")
        value = [] if constant else [sign("⋅"), below(word(column), i)]
        parts += [sign("+")] if parts else []
        parts += [below(beta, digits(str(j))), *value]
    return parts


def element_sum(lower: str, upper: str) -> Markup:
    """The sign of a sum with its limits."""
    return Markup("<munderover><mo>∑</mo>{}{}</munderover>").format(lower, upper)


def _loading(term: Term, effect: Callable[[str], Markup], index: Markup) -> Markup:
    """What a row carries of a term: its effect, or the effects times the columns of slopes."""
    if term.code in ("GEN", "GDIAG"):
        k = name("k")
        return row(
            Markup("<munder><mo>∑</mo>{}</munder>").format(k),
            below(name("z"), row(name("i"), k)),
            effect(row(index, sign(","), k)),
        )
    if term.is_intercept:
        return effect(index)
    return effect(row(index, sign(","), name("k"), sign("["), name("i"), sign("]")))


def _distribution(term: Term, effect: Callable[[str], Markup]) -> list[Markup]:
    j = name("j")
    if term.scale is not None:
        variance = both(name("σ"), name("i"), digits("2"))
        log = row(name("log"), variance)
        mean = row(name("log"), above(name("σ"), digits("2")))
        covariates = row(both(name("w"), name("i"), sign("′")), name("α"))
        return [
            formula(effect(j), normal(variance)),
            formula(log, sign("="), mean, sign("+"), covariates),
        ]
    if term.is_intercept:
        sigma2 = both(name("σ"), word(term.groups), digits("2"))
        if term.known:
            return [formula(effect(row()), normal(sigma2, name("A")), sign(","), word(" A known"))]
        return [formula(effect(j), normal(sigma2))]
    return _structured(term, effect)


def _structured(term: Term, effect: Callable[[str], Markup]) -> list[Markup]:
    g = name("G")
    entry = STRUCTURES[term.code].entry if term.code in STRUCTURES else None
    joint = row(name("A"), sign("⊗"), g) if term.known and entry is not None else g
    own = term.code in ("PROP", "PHYBM", "PHYPL", "PHYOU")
    lines = [formula(effect(name("j")), normal(g if own else joint))]
    if entry is not None:
        left = below(g, row(name("k"), sign("⁢"), name("l")))
        explained = [sign(","), IVERSON] if str(SAME) in str(entry) else []
        lines.append(formula(left, sign("="), entry, *explained))
    return lines


def _errors(res: Any) -> Markup:
    if errors(res) is INDEPENDENT:
        return formula(
            below(name("e"), name("i")),
            normal(below(name("v"), name("i"))),
            sign(","),
            below(name("v"), name("i")),
            word(" known"),
        )
    return formula(name("e"), normal(name("V")), sign(","), word(" V known"))
