"""How studies report their data: which inputs go together, and how missing ones follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mvmeta.effects import completions
from mvmeta.effects.values import Arrays, BoolArray, Flags, FloatArray


@dataclass(frozen=True)
class Rule:
    """What the values of an input must be; `broken` marks the rows where they are not."""

    broken: Callable[[FloatArray], BoolArray]
    text: str


POSITIVE = Rule(lambda x: x <= 0, "is not positive")
COUNT = Rule(lambda x: x < 0, "is negative")
SIZE = Rule(lambda x: x < 2, "is less than 2")
CORRELATION = Rule(lambda x: np.abs(x) >= 1, "is not between -1 and 1")
SIGNED_P = Rule(lambda x: (np.abs(x) > 1) | (x == 0), "is not a (signed) p-value")
FRACTION = Rule(lambda x: (x < 0) | (x >= 1), "is not in [0, 1)")
SHARE = Rule(lambda x: (x < 0) | (x > 1), "is not in [0, 1]")
P_VALUE = Rule(lambda x: (x <= 0) | (x > 1), "is not in (0, 1]")
ALPHA = Rule(lambda x: x >= 1, "is not below 1")


@dataclass(frozen=True)
class Layout:
    """One way of reporting.

    Parameters
    ----------
    usage : str
        The inputs in words, for messages.
    names : tuple of str
        Every input that is understood.
    rules : mapping of str to Rule
        What the values must be.
    complete : callable
        Fills missing inputs in from others, in place; returns the rows that contradict
        themselves, with the reason.
    size : callable
        Sample size of each row.
    cells : tuple of str
        Counts that zero-cell rules add to.
    totals : mapping of str to tuple of str
        Totals that follow from the cells.
    double_zero : callable, optional
        Rows that tell nothing about the effect (`drop00`).
    feeds : tuple of str
        Inputs that are checked wherever given, since others are computed from them.
    """

    usage: str
    names: tuple[str, ...]
    rules: Mapping[str, Rule]
    complete: Callable[[Arrays], Flags]
    size: Callable[[Arrays], FloatArray]
    cells: tuple[str, ...] = ()
    totals: Mapping[str, tuple[str, ...]] | None = None
    double_zero: Callable[[Arrays], BoolArray] | None = None
    feeds: tuple[str, ...] = ()


def _rules(**named: Rule) -> dict[str, Rule]:
    return {name: rule for names, rule in named.items() for name in names.split("__")}


def _sum_of(*names: str) -> Callable[[Arrays], FloatArray]:
    return lambda a: np.sum([a[name] for name in names], axis=0)


GROUPS = ("m1i", "m2i", "sd1i", "sd2i", "n1i", "n2i")
CHANGE = ("m1i", "m2i", "sd1i", "sd2i", "ri", "ni")
TABLE = ("ai", "bi", "ci", "di", "n1i", "n2i")
TABLE_RULES = _rules(ai__bi__ci__di__n1i__n2i=COUNT)
D_RULES = _rules(sd1i__sd2i=POSITIVE, n1i__n2i=SIZE, ri=CORRELATION, pi=SIGNED_P)
CELLS = ("ai", "bi", "ci", "di")
ROWS = {"n1i": ("ai", "bi"), "n2i": ("ci", "di")}

LAYOUTS: dict[str, Layout] = {
    "groups": Layout(
        "m1i, m2i, sd1i, sd2i, n1i, n2i",
        GROUPS,
        _rules(sd1i__sd2i=POSITIVE, n1i__n2i=SIZE),
        completions.nothing,
        _sum_of("n1i", "n2i"),
    ),
    "d": Layout(
        "n1i, n2i and m1i, m2i, sd1i, sd2i or di or ri (point-biserial r) or ti or fi (signed F) "
        "or pi (signed p)",
        (*GROUPS, "di", "ri", "ti", "fi", "pi"),
        D_RULES,
        completions.complete_d,
        _sum_of("n1i", "n2i"),
        feeds=("sd1i", "sd2i", "ri", "pi"),
    ),
    "binormal": Layout(
        "n1i, n2i and m1i, m2i, sd1i, sd2i or di or ri (point-biserial r) or ti or fi (signed F) "
        "or pi (signed p) or ai (the probability itself)",
        (*GROUPS, "di", "ri", "ti", "fi", "pi", "ai"),
        {**D_RULES, "ai": SHARE},
        completions.complete_binormal,
        _sum_of("n1i", "n2i"),
        feeds=("sd1i", "sd2i", "ri", "pi", "ai"),
    ),
    "superiority": Layout(
        "ai, n1i, n2i, and mi (the share of tied pairs) if it is known",
        ("ai", "mi", "n1i", "n2i"),
        _rules(ai__mi=SHARE, n1i__n2i=SIZE),
        completions.complete_superiority,
        _sum_of("n1i", "n2i"),
        feeds=("mi",),
    ),
    "table": Layout(
        "ai, bi (or n1i), ci, di (or n2i)",
        TABLE,
        TABLE_RULES,
        completions.complete_table,
        _sum_of("n1i", "n2i"),
        cells=CELLS,
        totals=ROWS,
        double_zero=lambda a: ((a["ai"] == 0) & (a["ci"] == 0)) | ((a["bi"] == 0) & (a["di"] == 0)),
        feeds=("n1i", "n2i"),
    ),
    "margins": Layout(
        "ai, bi (or n1i), ci, di (or n2i) and ri or pi (the share with both events)",
        (*TABLE, "ri", "pi"),
        {**TABLE_RULES, "ri": CORRELATION, "pi": SHARE},
        completions.complete_margins,
        lambda a: a["n1i"],
        cells=CELLS,
        totals=ROWS,
        feeds=("n1i", "n2i", "pi"),
    ),
    "paired": Layout(
        "ai, bi, ci, di",
        CELLS,
        TABLE_RULES,
        completions.complete_paired,
        _sum_of(*CELLS),
        cells=CELLS,
        totals={"ni": CELLS},
    ),
    "genotypes": Layout(
        "ai, bi, ci",
        ("ai", "bi", "ci"),
        TABLE_RULES,
        completions.nothing,
        _sum_of("ai", "bi", "ci"),
    ),
    "rates": Layout(
        "x1i, t1i, x2i, t2i",
        ("x1i", "x2i", "t1i", "t2i"),
        _rules(x1i__x2i=COUNT, t1i__t2i=POSITIVE),
        completions.nothing,
        _sum_of("t1i", "t2i"),
        cells=("x1i", "x2i"),
        double_zero=lambda a: (a["x1i"] == 0) & (a["x2i"] == 0),
    ),
    "rate": Layout(
        "xi, ti",
        ("xi", "ti"),
        _rules(xi=COUNT, ti=POSITIVE),
        completions.nothing,
        lambda a: a["ti"],
        cells=("xi",),
    ),
    "proportion": Layout(
        "xi and ni (or mi)",
        ("xi", "mi", "ni"),
        _rules(xi__mi=COUNT, ni=POSITIVE),
        completions.complete_proportion,
        lambda a: a["ni"],
        cells=("xi", "mi"),
        totals={"ni": ("xi", "mi")},
    ),
    "mean": Layout(
        "mi, sdi, ni",
        ("mi", "sdi", "ni"),
        _rules(sdi=POSITIVE, ni=SIZE),
        completions.nothing,
        lambda a: a["ni"],
    ),
    "correlation": Layout(
        "ni and ri or ti or fi (signed F) or pi (signed p)",
        ("ri", "ni", "ti", "fi", "pi"),
        _rules(ri=CORRELATION, ni=SIZE, pi=SIGNED_P),
        completions.complete_correlation,
        lambda a: a["ni"],
        feeds=("pi",),
    ),
    "regression": Layout(
        "ni, mi and ri or ti or fi (signed F) or pi (signed p)",
        ("ri", "ti", "fi", "pi", "ni", "mi"),
        _rules(ri=CORRELATION, ni=SIZE, mi=POSITIVE, pi=SIGNED_P),
        completions.complete_regression,
        lambda a: a["ni"],
        feeds=("pi",),
    ),
    "semipartial": Layout(
        "ni, r2i and ri or, with mi, ti or fi (signed F) or pi (signed p)",
        ("ri", "ti", "fi", "pi", "ni", "mi", "r2i"),
        _rules(ri=CORRELATION, ni=SIZE, mi=POSITIVE, r2i=FRACTION, pi=SIGNED_P),
        completions.complete_semipartial,
        lambda a: a["ni"],
        feeds=("pi", "mi"),
    ),
    "determination": Layout(
        "ni, mi and r2i or fi or pi",
        ("r2i", "fi", "pi", "ni", "mi"),
        _rules(r2i=FRACTION, fi=COUNT, pi=P_VALUE, ni=SIZE, mi=POSITIVE),
        completions.complete_determination,
        lambda a: a["ni"],
        feeds=("fi", "pi"),
    ),
    "change": Layout(
        "m1i, m2i, sd1i, sd2i, ri, ni",
        CHANGE,
        _rules(sd1i__sd2i=POSITIVE, ri=CORRELATION, ni=SIZE),
        completions.nothing,
        lambda a: a["ni"],
    ),
    "change score": Layout(
        "m1i, m2i, sd1i, sd2i, ri, ni (a reported SD of the changes as sd1i, with sd2i = ri = 0)",
        CHANGE,
        _rules(sd1i=POSITIVE, sd2i=COUNT, ri=CORRELATION, ni=SIZE),
        completions.complete_change_score,
        lambda a: a["ni"],
    ),
    "standardized change": Layout(
        "ni and m1i, m2i, sd1i, sd2i, ri (a reported SD of the changes as sd1i, with "
        "sd2i = ri = 0) or di or ti or fi (signed F) or pi (signed p)",
        (*CHANGE, "di", "ti", "fi", "pi"),
        _rules(sd1i=POSITIVE, sd2i=COUNT, ri=CORRELATION, ni=SIZE, pi=SIGNED_P),
        completions.complete_change,
        lambda a: a["ni"],
        feeds=("sd1i", "sd2i", "ri", "pi"),
    ),
    "alpha": Layout(
        "ai, mi, ni",
        ("ai", "mi", "ni"),
        _rules(ai=ALPHA, mi=SIZE),
        completions.complete_alpha,
        lambda a: a["ni"],
    ),
    "ready": Layout(
        "yi and vi (or sei), and ni if it is known",
        ("yi", "vi", "sei", "ni"),
        _rules(vi__sei=COUNT),
        completions.complete_ready,
        lambda a: a.get("ni", np.full(len(a["yi"]), np.nan)),
        feeds=("sei",),
    ),
}
