"""Why a measure is not defined for numbers of which each by itself is in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mvmeta.effects.checks import Problems
from mvmeta.effects.layouts import LAYOUTS
from mvmeta.effects.registry import Measure
from mvmeta.effects.values import Arrays, BoolArray, FloatArray

PHI = frozenset({"PHI", "ZPHI"})
"""Measures that a single zero cell does not harm."""

NO_AMOUNT = "a count is 0 and nothing was added: to='only0' with add=0.5 does"


@dataclass(frozen=True)
class Reason:
    """A condition that measures have, of several numbers or beyond what every layout asks for.

    Attributes
    ----------
    codes : frozenset of str
    names : tuple of str
        The numbers it is about.
    broken : callable
        Of these, each (k,): rows (k,) that break it.
    text : str
    """

    codes: frozenset[str]
    names: tuple[str, ...]
    broken: Callable[..., BoolArray]
    text: str


def _reason(codes: str, names: str, broken: Callable[..., BoolArray], text: str) -> Reason:
    return Reason(frozenset(codes.split()), tuple(names.split()), broken, text)


REASONS = (
    _reason(
        "ROM CVR ROMC CVRC",
        "m1i m2i",
        lambda a, b: a * b <= 0,
        "the logarithm of a ratio needs means of one sign",
    ),
    _reason("MNLN CVLN", "mi", lambda m: m <= 0, "a logarithm needs a positive mean"),
    _reason(
        "SMCC SMCR SMCRH SMN",
        "ni",
        lambda n: n < 3,
        "the bias correction needs a size of 3 or more",
    ),
    _reason("SMD1 SMD1H", "n2i", lambda n: n < 3, "the bias correction needs a size of 3 or more"),
    _reason("ZCOR", "ni", lambda n: n < 4, "the variance 1 / (n - 3) needs a size of 4 or more"),
    _reason("UCOR", "ni", lambda n: n < 5, "the unbiased estimate is not defined for so few"),
    _reason(
        "ZPCOR", "ni mi", lambda n, m: n - m < 3, "the variance 1 / (n - m - 2) needs n above m + 2"
    ),
    _reason(
        "SPCOR ZSPCOR",
        "ri r2i",
        lambda r, r2: r**2 > r2,
        "R2 of the model cannot be below the square of a semi-partial correlation in it",
    ),
    _reason("RD", "n1i n2i", lambda a, b: (a < 2) | (b < 2), "a group has fewer than 2 people"),
    _reason("AS", "n1i n2i", lambda a, b: (a < 1) | (b < 1), "a group has no people"),
    _reason("R2", "r2i", lambda r2: r2 == 0, "this variance is 0 where R2 is 0; 'AV' is not"),
    _reason("ZR2F", "r2i", lambda r2: r2 == 0, "the delta method fails where R2 is 0"),
    _reason(
        "REH",
        "ai bi ci",
        lambda a, b, c: a * b * c == 0,
        "the ratio needs all three genotypes to occur",
    ),
    _reason(
        "CLES AUC",
        "ai",
        lambda a: (a <= 0) | (a >= 1),
        "0 and 1 have no such variance; vtype='H0' has one",
    ),
    _reason(
        "RBIS ZBIS",
        "di n1i n2i",
        lambda d, _n1, _n2: np.isfinite(d),
        "groups so far apart take the biserial correlation, or its variance, out of its range",
    ),
)
"""In the order in which they are told."""


def add_undefined(
    problems: Problems,
    rows: BoolArray,
    measure: Measure,
    given: Arrays,
    adjusted: Mapping[str, FloatArray],
    estimates: Mapping[str, FloatArray],
) -> None:
    """Note for every row marked which of its numbers the measure is not defined for, and why.

    Parameters
    ----------
    problems : Problems
    rows : ndarray of bool, shape (k,)
    measure : Measure
    given, adjusted : mapping of str to ndarray (k,)
        The completed numbers, and what the rule for zero cells has made of them.
    estimates : mapping of str to ndarray (k,)
        What came out, by name.
    """
    with np.errstate(all="ignore"):
        for names, broken, text in _conditions(measure, given, adjusted):
            for row in np.flatnonzero(rows & broken):
                problems.note(int(row), f"{_numbers(names, given, int(row))}: {text}")
    for row in np.flatnonzero(rows):
        came = ", ".join(f"{name} would be {v[row]:.4g}" for name, v in estimates.items())
        names = tuple(name for name in measure.needs if name in given)
        problems.note(int(row), f"{_numbers(names, given, int(row))}: not defined, {came}")


def _conditions(
    measure: Measure, given: Arrays, adjusted: Mapping[str, FloatArray]
) -> Iterator[tuple[tuple[str, ...], BoolArray, str]]:
    """Numbers, rows that break a condition on them, and the condition."""
    for reason in REASONS:
        if measure.code in reason.codes and set(reason.names) <= given.keys():
            yield reason.names, reason.broken(*(given[n] for n in reason.names)), reason.text
    cells = LAYOUTS[measure.layout].cells
    if measure.code in PHI:
        a, b, c, d = (adjusted[name] for name in cells)
        empty = (a + b) * (c + d) * (a + c) * (b + d) == 0
        yield cells, empty, "a row or a column of the table is empty"
        yield cells, (b + c) * (a + d) == 0, "a perfect association has no such variance"
    elif cells:
        yield cells, np.any([adjusted[n] == 0 for n in cells], axis=0), NO_AMOUNT


def _numbers(names: tuple[str, ...], given: Arrays, row: int) -> str:
    return ", ".join(f"{name} = {given[name][row]:.6g}" for name in names)
