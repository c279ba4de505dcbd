"""The page of published analyses gives the published numbers: its cells are run here."""

import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "validation" / "published-analyses.md"
CELL = re.compile(r"^```\{code-cell\} ipython3\n(.*?)^```$", re.M | re.S)

sys.path.insert(0, str(DOCS / "_ext"))
from published import DisagreementError, Line, Published  # noqa: E402


def cells():
    for body in CELL.findall(PAGE.read_text(encoding="utf-8")):
        yield "\n".join(line for line in body.splitlines() if not line.startswith(":tags:"))


def test_every_published_number_is_reproduced(monkeypatch, capsys):
    monkeypatch.chdir(PAGE.parent)
    names = {}
    for cell in cells():
        exec(cell, names)
    assert names["published"].total() == (244, 245)
    assert "244 of 245 published numbers" in capsys.readouterr().out
    # The exception: where metafor stopped, the likelihood is no higher.
    assert 0 < names["lower"] < 1e-9


def test_a_number_that_would_be_printed_otherwise_is_an_error():
    assert Line("tau2", "0.065", 0.06451, 0.5).units_off == pytest.approx(0.49)
    published = Published()
    printed = [float(number) for _, number in published.analyses["ishak2007"]["numbers"]]
    published.beside("ishak2007", *printed)
    with pytest.raises(DisagreementError, match="rho"):
        published.beside("ishak2007", *printed[:4], 0.8901, *printed[5:])
    with pytest.raises(DisagreementError, match="nan"):
        published.beside("ishak2007", *printed[:4], float("nan"), *printed[5:])
    with pytest.raises(ValueError, match="shorter"):
        published.beside("ishak2007", *printed[:4])
    with pytest.raises(DisagreementError, match=r"not compared.*assink2016"):
        published.total()
