"""Published results beside ours, as validation/published-analyses.md and coming-from show them.

A number that differs from the published one by more than the rounding of the latter is an error:
the page is not built.  tests/test_published_analyses.py runs the cells of the pages.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = ROOT / "tests" / "reference" / "published"
SITE = "https://wviechtb.github.io/metadat/reference/"
MORE_DIGITS = 2
"""Digits of ours shown beyond those published."""


@dataclass(frozen=True)
class Line:
    """A published number and ours.

    Attributes
    ----------
    quantity : str
    published : str
        As printed: the last digit says how far it is rounded.
    ours : float
    allowed : float
        Units of the last digit that ours may be off.
    """

    quantity: str
    published: str
    ours: float
    allowed: float

    @property
    def places(self) -> int:
        """Digits after the point of the published number."""
        return max(0, -int(Decimal(self.published).as_tuple().exponent))

    @property
    def units_off(self) -> float:
        """How far ours is from the published number, in units of its last digit."""
        return abs(self.ours - float(self.published)) * 10**self.places

    def __str__(self) -> str:
        counted = self.places == 0 and self.ours.is_integer()
        ours = f"{self.ours:.{0 if counted else self.places + MORE_DIGITS}f}"
        return f"| {self.quantity} | {self.published} | {ours} |"


@dataclass(frozen=True)
class Comparison:
    """The lines of one analysis, and where the published ones are from.

    Attributes
    ----------
    source, url : str
        What the published numbers are called above their column, and their page.
    ours : str
        What ours are called.
    lines : tuple of Line
    """

    source: str
    url: str
    ours: str
    lines: tuple[Line, ...]

    def _repr_markdown_(self) -> str:
        head = f"| | [{self.source}]({self.url}) | {self.ours} |\n|---|---:|---:|\n"
        return head + "\n".join(map(str, self.lines))


class DisagreementError(AssertionError):
    """A number that is not the published one."""


# What is printed of a value between two last digits may be either of them, and other programs stop
# a little before the maximum.
ROUNDING = 0.52


class Published:
    """Compares analyses with their published results, and counts.

    Parameters
    ----------
    name : str
        File in `NUMBERS`, without its ending.

    Attributes
    ----------
    file : dict
        What it holds beside the analyses: sources and data.
    done : dict of str to Comparison
        What was compared so far.
    """

    def __init__(self, name: str = "rma_mv") -> None:
        self.file = json.loads((NUMBERS / f"{name}.json").read_text(encoding="utf-8"))
        self.analyses = self.file["analyses"]
        self.done: dict[str, Comparison] = {}

    def beside(self, name: str, *ours: float) -> Comparison:
        """The published numbers of an analysis beside ours, in their order."""
        published = self.analyses[name]["numbers"]
        short = self.analyses[name].get("stops_short", {})
        lines = tuple(
            Line(quantity, printed, float(value), short.get(quantity, ROUNDING))
            for (quantity, printed), value in zip(published, ours, strict=True)
        )
        wrong = [line for line in lines if not line.units_off <= line.allowed]
        if wrong:
            raise DisagreementError(f"{name}: " + "; ".join(map(str, wrong)))
        self.done[name] = Comparison(*self._source(name), self.file.get("ours", "mvmeta"), lines)
        return self.done[name]

    def _source(self, name: str) -> tuple[str, str]:
        """Name and address of where the numbers of an analysis are printed."""
        analysis = self.analyses[name]
        if "page" in analysis:
            return "published", f"{SITE}{analysis['page']}.html"
        source = self.file["sources"][analysis["source"]]
        return source["name"], source["url"]

    def total(self) -> tuple[int, int]:
        """Numbers that agree to the last digit, and all; every analysis has to be among them."""
        missing = set(self.analyses) - set(self.done)
        if missing:
            raise DisagreementError(f"not compared: {sorted(missing)}")
        lines = [line for comparison in self.done.values() for line in comparison.lines]
        return sum(line.units_off <= ROUNDING for line in lines), len(lines)
