"""The reference page lists exactly the measures there are, with their kinds of variance."""

import re
from pathlib import Path

from mvmeta.effects import MEASURES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "effects.md"


def test_page_lists_every_measure():
    rows = re.findall(r"^\| ([A-Z0-9]+) \|[^|]*\|[^|]*\| ([A-Z0-9, ]+) \|", PAGE.read_text(), re.M)
    assert dict(rows) == {code: ", ".join(m.vtypes) for code, m in MEASURES.items()}


def test_every_measure_is_explained():
    for measure in MEASURES.values():
        assert measure.description.endswith("."), measure.code
