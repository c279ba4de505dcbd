"""How studies report their data: which inputs go together, and how missing ones follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from mvmeta.effects.values import BoolArray, FloatArray

Arrays = dict[str, FloatArray]
Flags = list[tuple[BoolArray, str]]


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


def _nothing(_: Arrays) -> Flags:
    return []


def _fill(arrays: Arrays, name: str, source: Callable[[], FloatArray]) -> None:
    """Fill the missing values of an input in; do nothing where the source lacks an input."""
    try:
        values = source()
    except KeyError:
        return
    current = arrays.get(name)
    arrays[name] = values if current is None else np.where(np.isnan(current), values, current)


def _complement(arrays: Arrays, event: str, other: str, total: str) -> Flags:
    """Two of events, non-events and total give the third."""
    flags: Flags = []
    if {event, other, total} <= arrays.keys():
        off = np.abs(arrays[event] + arrays[other] - arrays[total])
        flags.append((off > 1e-8 * np.abs(arrays[total]), f"{event} + {other} is not {total}"))
    _fill(arrays, other, lambda: arrays[total] - arrays[event])
    if other in arrays and total in arrays:
        above = (arrays[other] < 0) & (arrays[event] > arrays[total])
        flags.append((above, f"{event} exceeds {total}"))
    _fill(arrays, total, lambda: arrays[event] + arrays[other])
    return flags


def _complete_table(a: Arrays) -> Flags:
    return _complement(a, "ai", "bi", "n1i") + _complement(a, "ci", "di", "n2i")


def _complete_margins(a: Arrays) -> Flags:
    flags = _complete_table(a)
    if {"n1i", "n2i"} <= a.keys():
        flags.append((np.abs(a["n1i"] - a["n2i"]) > 1e-8 * a["n1i"], "ai + bi is not ci + di"))
    return flags


def _complete_proportion(a: Arrays) -> Flags:
    return _complement(a, "xi", "mi", "ni")


def _complete_paired(a: Arrays) -> Flags:
    _fill(a, "ni", lambda: a["ai"] + a["bi"] + a["ci"] + a["di"])
    return []


def _t_from_p(p: FloatArray, df: FloatArray) -> FloatArray:
    """T statistic of a two-sided p-value that carries the sign of the effect."""
    return np.sign(p) * student.isf(np.abs(p) / 2, df)


def _complete_t(a: Arrays, df: Callable[[], FloatArray]) -> None:
    _fill(a, "ti", lambda: np.sign(a["fi"]) * np.sqrt(np.abs(a["fi"])))
    _fill(a, "ti", lambda: _t_from_p(a["pi"], df()))


def _cohens_d(a: Arrays) -> FloatArray:
    df1, df2 = a["n1i"] - 1, a["n2i"] - 1
    pooled = (df1 * a["sd1i"] ** 2 + df2 * a["sd2i"] ** 2) / (df1 + df2)
    return (a["m1i"] - a["m2i"]) / np.sqrt(pooled)


def _complete_d(a: Arrays) -> Flags:
    """Means and standard deviations first, then d, t, F and p."""
    reported = a.pop("di", None)
    _fill(a, "di", lambda: _cohens_d(a))
    if reported is not None:
        _fill(a, "di", lambda: reported)
    _complete_t(a, lambda: a["n1i"] + a["n2i"] - 2)
    _fill(a, "di", lambda: a["ti"] * np.sqrt(1 / a["n1i"] + 1 / a["n2i"]))
    return []


def _complete_correlation(a: Arrays) -> Flags:
    _complete_t(a, lambda: a["ni"] - 2)
    _fill(a, "ri", lambda: a["ti"] / np.sqrt(a["ti"] ** 2 + a["ni"] - 2))
    return []


def _complete_regression(a: Arrays) -> Flags:
    _complete_t(a, lambda: a["ni"] - a["mi"] - 1)
    flags: Flags = []
    if {"ni", "mi"} <= a.keys():
        flags.append((a["ni"] - a["mi"] - 1 <= 0, "ni is not above mi + 1"))
    _fill(a, "ri", lambda: a["ti"] / np.sqrt(a["ti"] ** 2 + a["ni"] - a["mi"] - 1))
    return flags


def _complete_semipartial(a: Arrays) -> Flags:
    given = "ri" in a
    flags = _complete_regression(a)
    if not given:
        a.pop("ri", None)
    return flags


def _complete_alpha(a: Arrays) -> Flags:
    return [(a["ni"] < 3, "ni is less than 3")] if "ni" in a else []


def _complete_ready(a: Arrays) -> Flags:
    _fill(a, "vi", lambda: a["sei"] ** 2)
    return []


def _sum_of(*names: str) -> Callable[[Arrays], FloatArray]:
    return lambda a: np.sum([a[name] for name in names], axis=0)


GROUPS = ("m1i", "m2i", "sd1i", "sd2i", "n1i", "n2i")
CHANGE = ("m1i", "m2i", "sd1i", "sd2i", "ri", "ni")
TABLE = ("ai", "bi", "ci", "di", "n1i", "n2i")
TABLE_RULES = _rules(ai__bi__ci__di__n1i__n2i=COUNT)
CELLS = ("ai", "bi", "ci", "di")
ROWS = {"n1i": ("ai", "bi"), "n2i": ("ci", "di")}

LAYOUTS: dict[str, Layout] = {
    "groups": Layout(
        "m1i, m2i, sd1i, sd2i, n1i, n2i",
        GROUPS,
        _rules(sd1i__sd2i=POSITIVE, n1i__n2i=SIZE),
        _nothing,
        _sum_of("n1i", "n2i"),
    ),
    "d": Layout(
        "n1i, n2i and m1i, m2i, sd1i, sd2i or di or ti or fi (signed F) or pi (signed p)",
        (*GROUPS, "di", "ti", "fi", "pi"),
        _rules(sd1i__sd2i=POSITIVE, n1i__n2i=SIZE, pi=SIGNED_P),
        _complete_d,
        _sum_of("n1i", "n2i"),
        feeds=("sd1i", "sd2i", "pi"),
    ),
    "table": Layout(
        "ai, bi (or n1i), ci, di (or n2i)",
        TABLE,
        TABLE_RULES,
        _complete_table,
        _sum_of("n1i", "n2i"),
        cells=CELLS,
        totals=ROWS,
        double_zero=lambda a: ((a["ai"] == 0) & (a["ci"] == 0)) | ((a["bi"] == 0) & (a["di"] == 0)),
        feeds=("n1i", "n2i"),
    ),
    "margins": Layout(
        "ai, bi (or n1i), ci, di (or n2i) and ri",
        (*TABLE, "ri"),
        {**TABLE_RULES, "ri": CORRELATION},
        _complete_margins,
        lambda a: a["n1i"],
        cells=CELLS,
        totals=ROWS,
        feeds=("n1i", "n2i"),
    ),
    "paired": Layout(
        "ai, bi, ci, di",
        CELLS,
        TABLE_RULES,
        _complete_paired,
        _sum_of(*CELLS),
        cells=CELLS,
        totals={"ni": CELLS},
    ),
    "genotypes": Layout(
        "ai, bi, ci",
        ("ai", "bi", "ci"),
        TABLE_RULES,
        _nothing,
        _sum_of("ai", "bi", "ci"),
    ),
    "rates": Layout(
        "x1i, t1i, x2i, t2i",
        ("x1i", "x2i", "t1i", "t2i"),
        _rules(x1i__x2i=COUNT, t1i__t2i=POSITIVE),
        _nothing,
        _sum_of("t1i", "t2i"),
        cells=("x1i", "x2i"),
        double_zero=lambda a: (a["x1i"] == 0) & (a["x2i"] == 0),
    ),
    "rate": Layout(
        "xi, ti",
        ("xi", "ti"),
        _rules(xi=COUNT, ti=POSITIVE),
        _nothing,
        lambda a: a["ti"],
        cells=("xi",),
    ),
    "proportion": Layout(
        "xi and ni (or mi)",
        ("xi", "mi", "ni"),
        _rules(xi__mi=COUNT, ni=POSITIVE),
        _complete_proportion,
        lambda a: a["ni"],
        cells=("xi", "mi"),
        totals={"ni": ("xi", "mi")},
    ),
    "mean": Layout(
        "mi, sdi, ni",
        ("mi", "sdi", "ni"),
        _rules(sdi=POSITIVE, ni=SIZE),
        _nothing,
        lambda a: a["ni"],
    ),
    "correlation": Layout(
        "ni and ri or ti or fi (signed F) or pi (signed p)",
        ("ri", "ni", "ti", "fi", "pi"),
        _rules(ri=CORRELATION, ni=SIZE, pi=SIGNED_P),
        _complete_correlation,
        lambda a: a["ni"],
        feeds=("pi",),
    ),
    "regression": Layout(
        "ni, mi and ri or ti or fi (signed F) or pi (signed p)",
        ("ri", "ti", "fi", "pi", "ni", "mi"),
        _rules(ri=CORRELATION, ni=SIZE, mi=POSITIVE, pi=SIGNED_P),
        _complete_regression,
        lambda a: a["ni"],
        feeds=("pi",),
    ),
    "semipartial": Layout(
        "ni, mi, r2i and ti or fi (signed F) or pi (signed p)",
        ("ti", "fi", "pi", "ni", "mi", "r2i"),
        _rules(ni=SIZE, mi=POSITIVE, r2i=FRACTION, pi=SIGNED_P),
        _complete_semipartial,
        lambda a: a["ni"],
        feeds=("pi",),
    ),
    "change": Layout(
        "m1i, m2i, sd1i, sd2i, ri, ni",
        CHANGE,
        _rules(sd1i__sd2i=POSITIVE, ri=CORRELATION, ni=SIZE),
        _nothing,
        lambda a: a["ni"],
    ),
    "change score": Layout(
        "m1i, m2i, sd1i, sd2i, ri, ni (a reported SD of the changes as sd1i, with sd2i = ri = 0)",
        CHANGE,
        _rules(sd1i=POSITIVE, sd2i=COUNT, ri=CORRELATION, ni=SIZE),
        lambda a: (
            [((a["sd2i"] == 0) & (a["ri"] != 0), "sd2i is 0 but ri is not")]
            if {"sd2i", "ri"} <= a.keys()
            else []
        ),
        lambda a: a["ni"],
    ),
    "alpha": Layout(
        "ai, mi, ni",
        ("ai", "mi", "ni"),
        _rules(ai=ALPHA, mi=SIZE),
        _complete_alpha,
        lambda a: a["ni"],
    ),
    "ready": Layout(
        "yi and vi (or sei), and ni if it is known",
        ("yi", "vi", "sei", "ni"),
        _rules(vi__sei=COUNT),
        _complete_ready,
        lambda a: a.get("ni", np.full(len(a["yi"]), np.nan)),
        feeds=("sei",),
    ),
}
