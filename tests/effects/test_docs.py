"""The reference page is what its generator makes of the registry."""

import importlib.util
from pathlib import Path

from mvmeta.effects import MEASURES

DOCS = Path(__file__).parents[2] / "docs"


def generator():
    spec = importlib.util.spec_from_file_location("measure_tables", DOCS / "measure_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_up_to_date():
    """Else run: python docs/measure_tables.py."""
    page = (DOCS / "reference" / "effects.md").read_text(encoding="utf-8")
    assert generator().page(page) == page


def test_every_measure_is_in_one_table():
    tables = generator().tables()
    for code in MEASURES:
        assert tables.count(f"| {code} |") == 1, code


def test_every_measure_is_explained():
    for measure in MEASURES.values():
        assert measure.description.endswith("."), measure.code
