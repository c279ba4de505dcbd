"""Write the tables of measures in reference/effects.md from the docstrings of the registry.

Usage, from the root of the repository: python docs/measure_tables.py
"""

import inspect
from pathlib import Path

from mvmeta.effects import MEASURES
from mvmeta.effects.layouts import LAYOUTS
from mvmeta.effects.registry import Measure

PAGE = Path(__file__).parent / "reference" / "effects.md"
BEGIN, END = "<!-- measures -->\n", "<!-- end of measures -->\n"
HEADINGS = {
    "smd": "Two groups: means and standard deviations",
    "superiority": "Two groups, or pairs: probability of superiority",
    "ratios": "Two groups: 2x2 tables",
    "rates": "Events over person-time",
    "correlations": "Association of two variables",
    "tetrachoric": "Association of two dichotomized variables",
    "determination": "Coefficients of determination",
    "proportions": "Single groups: proportions",
    "means": "Single groups: means and standard deviations",
    "change": "Change and matched pairs",
    "reliability": "Reliability, Hardy-Weinberg equilibrium, ready-made estimates",
}
COLUMNS = "| Code | Measure | Inputs | `vtype` | Formula and source |\n|---|---|---|---|---|\n"


def row(measure: Measure) -> str:
    """One line of a table."""
    _, _, formula = inspect.getdoc(measure.function).partition("\n\n")
    layout = LAYOUTS[measure.layout]
    # A layout with alternatives describes them; a plain one names what this measure needs of it.
    plain = layout.usage == ", ".join(layout.names)
    cells = (
        measure.code,
        measure.description.removesuffix("."),
        ", ".join(measure.needs) if plain else layout.usage,
        ", ".join(measure.vtypes),
        " ".join(formula.split()) or "as given",
    )
    return "| " + " | ".join(cells) + " |\n"


def tables() -> str:
    """All tables under their headings."""
    parts = []
    for family, heading in HEADINGS.items():
        rows = [row(m) for m in MEASURES.values() if m.function.__module__.endswith(family)]
        parts.append(f"\n## {heading}\n\n{COLUMNS}{''.join(rows)}")
    return "".join(parts) + "\n"


def page(current: str) -> str:
    """The page with its tables written anew."""
    before, rest = current.split(BEGIN)
    return before + BEGIN + tables() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
