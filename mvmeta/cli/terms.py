"""Random terms as they are typed: "outcome | study; UN; rho=0.5"."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mvmeta.cli.clauses import clauses, refuse
from mvmeta.cli.files import read_labelled
from mvmeta.cli.values import number

if TYPE_CHECKING:
    from mvmeta.model.specification.random import Random

PINS = ("sigma2", "tau2", "rho", "lambda", "alpha", "loading", "psi")
OPTIONS = ("struct", "corr", "corr_scale", "distance", "smoothness", "scale", "equal", *PINS)

HELP = """\
a random term:  LEFT | GROUPS [; STRUCTURE] [; NAME=VALUE ...]
  corr=FILE              known correlations, a labelled CSV: the same labels in
                         the first row and the first column
  corr_scale=NAME        cor, cor0, cov0 or none
  distance=NAME or FILE  metric over the coordinates, or a labelled CSV
  smoothness=NUMBER      of MATERN
  scale=FORMULA          covariates of the variance, of "1 | GROUPS"
  equal=KIND:LIST        components with one value: "equal=tau2:1,1,2"; several
                         kinds with spaces between them
  sigma2=, tau2=, rho=, lambda=, alpha=, loading=, psi=
                         fix components: one number, or a list with commas in
                         which what is left empty is estimated
"""


@dataclass(frozen=True)
class TermText:
    """A random term as it was typed, taken apart."""

    formula: str
    options: dict[str, Any]

    def build(self) -> Random:
        """The term, its matrices read from their files."""
        from mvmeta.model.specification.distances import METRICS
        from mvmeta.model.specification.random import Random

        options = dict(self.options)
        if "corr" in options:
            options["corr"] = read_labelled(options["corr"])
        if "distance" in options and options["distance"] not in METRICS:
            options["distance"] = read_labelled(options["distance"])
        return Random(self.formula, **options)


def random_term(text: str) -> TermText:
    """Take a random term apart."""
    formula, pairs = clauses(text)
    options: dict[str, Any] = {}
    for name, value in pairs:
        key = name or "struct"
        if key not in OPTIONS or not value or key in options:
            raise refuse(
                name,
                value,
                text,
                "after the ';' of a random term come a structure such as UN and NAME=VALUE, each "
                f"once, with the names {', '.join(OPTIONS[1:])}",
            )
        options[key] = _READERS.get(key, str)(value)
    options["fixed"] = {key: options.pop(key) for key in PINS if key in options} or None
    return TermText(formula, options)


def _pin(text: str) -> float | list[float | None]:
    if "," not in text:
        return number(text)
    return [number(part) if part.strip() else None for part in text.split(",")]


def _ties(text: str) -> dict[str, list[str | None]]:
    """Groups of equal components for each kind: "tau2:1,1,2 rho:1,1,2"."""
    out: dict[str, list[str | None]] = {}
    for part in text.split():
        kind, _, groups = part.partition(":")
        if not groups or kind in out:
            raise argparse.ArgumentTypeError(
                f"equal={text}: components that are equal are given as tau2:1,1,2, with the same "
                "number for those that are; several kinds with spaces between them"
            )
        out[kind] = [group or None for group in groups.split(",")]
    return out


_READERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(PINS, _pin),
    "smoothness": number,
    "equal": _ties,
}
"""How the values of a random term are read, where they are no text."""
