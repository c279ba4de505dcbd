"""Pages that show published numbers beside ours give the same: their cells are run here."""

import re
import sys
from pathlib import Path

import pytest

from mvmeta.errors import MvmetaWarning

DOCS = Path(__file__).parents[1] / "docs"
ANALYSES = DOCS / "validation" / "published-analyses.md"
PROGRAMS = DOCS / "coming-from" / "other-programs.md"
CELL = re.compile(r"^```\{code-cell\} ipython3\n(.*?)^```$", re.M | re.S)

sys.path.insert(0, str(DOCS / "_ext"))
from published import DisagreementError, Line, Published  # noqa: E402


@pytest.fixture
def run(monkeypatch):
    """Runs the cells of a page in its folder, and gives their names."""

    def run(page):
        monkeypatch.chdir(page.parent)
        names = {}
        for body in CELL.findall(page.read_text(encoding="utf-8")):
            exec(
                "\n".join(line for line in body.splitlines() if not line.startswith(":tags:")),
                names,
            )
        return names

    return run


def test_every_published_number_is_reproduced(run, capsys):
    names = run(ANALYSES)
    assert names["published"].total() == (244, 245)
    assert names["papers"].total() == (14, 14)
    assert "244 of 245 published numbers" in capsys.readouterr().out
    # The exception: where metafor stopped, the likelihood is no higher.
    assert 0 < names["lower"] < 1e-9


def test_numbers_that_other_programs_print_are_reproduced(run):
    with pytest.warns(MvmetaWarning, match="dropped 21 columns"):  # of the inconsistency model
        names = run(PROGRAMS)
    assert names["mixmeta"].total() == (57, 57)
    # The file says in which numbers it shows that programs stop, or data are rounded.
    assert names["stata"].total() == (28, 52)
    assert set(names["fits"]) < set(names["printed"])
    for name, res in names["fits"].items():
        assert f"{names['llf_of_stata'](res):.6f}" == names["printed"][name]["llf"]


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
