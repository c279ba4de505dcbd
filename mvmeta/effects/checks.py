"""Rows that cannot be used: found, counted and named, never repaired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mvmeta.effects.layouts import Layout
from mvmeta.effects.registry import Measure
from mvmeta.effects.values import Arrays, BoolArray, Flags
from mvmeta.errors import warn

SHOWN = 5


class Problems:
    """The first thing wrong with each row."""

    def __init__(self, rows: int) -> None:
        self.reasons: list[str | None] = [None] * rows

    def add(self, mask: BoolArray, reason: str) -> None:
        """Record a reason for the rows marked that have none yet."""
        for row in np.flatnonzero(mask):
            self.note(int(row), reason)

    def note(self, row: int, reason: str) -> None:
        """Record a reason for a row that has none yet."""
        if self.reasons[row] is None:
            self.reasons[row] = reason

    def forget(self, mask: BoolArray) -> None:
        """Drop the reasons of the rows marked."""
        for row in np.flatnonzero(mask):
            self.reasons[row] = None

    @property
    def mask(self) -> BoolArray:
        """Rows with something wrong."""
        return np.array([reason is not None for reason in self.reasons], dtype=bool)

    def warn(
        self, code: str, labels: Sequence[Any], what: str = "have no effect size (NaN)"
    ) -> None:
        """One warning that counts the rows, says what became of them and names the first."""
        bad = np.flatnonzero(self.mask)
        if not len(bad):
            return
        named = "; ".join(f"row {labels[row]!s}: {self.reasons[row]}" for row in bad[:SHOWN])
        more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        warn(f"{code}: {len(bad)} of {len(self.reasons)} rows {what}: {named}{more}")


def find_problems(measure: Measure, layout: Layout, given: Arrays, arrays: Arrays) -> Problems:
    """Rows whose inputs break a rule, contradict themselves or are incomplete.

    `arrays` is completed in place from the inputs `given`.
    """
    problems = Problems(len(next(iter(arrays.values()))))
    checked = {*measure.needs, *layout.feeds}
    for name in layout.names:
        if name in given and name in checked:
            problems.add(np.isinf(given[name]), f"{name} is infinite")
            _apply_rule(problems, layout, name, given)
    with np.errstate(all="ignore"):
        flags: Flags = layout.complete(arrays)
    for mask, reason in flags:
        problems.add(mask, reason)
    for name in measure.needs:
        if name in arrays:
            _add_missing(problems, name, given, arrays)
            _apply_rule(problems, layout, name, arrays)
    return problems


def _add_missing(problems: Problems, name: str, given: Arrays, arrays: Arrays) -> None:
    """Rows without an input, told in terms of what was given: inputs may follow from others."""
    for row in np.flatnonzero(np.isnan(arrays[name])):
        absent = [key for key, values in given.items() if np.isnan(values[row])] or [name]
        verb = "is" if len(absent) == 1 else "are"
        problems.note(int(row), f"{', '.join(absent)} {verb} missing")


def _apply_rule(problems: Problems, layout: Layout, name: str, arrays: Arrays) -> None:
    rule = layout.rules.get(name)
    if rule is not None:
        with np.errstate(invalid="ignore"):
            problems.add(rule.broken(arrays[name]), f"{name} {rule.text}")
