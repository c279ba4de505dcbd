"""The check of docstrings finds formulas of which no source is named, and those alone."""

import importlib
import re
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

import pandas as pd
import pytest

from mvmeta.report.references import REFERENCES

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [*DOCS.glob("explanation/*.md"), *DOCS.glob("reference/[es]*.md")]
AUTHOR = r"(?:Ver )?[A-ZÀ-Ž][\w-]+"
# "Higgins and Thompson (2002)", "(Searle, Speed & Milliken 1980)", "(Cho et al., 2019)"
CITED = re.compile(
    rf"\b({AUTHOR})(?:(?:, | and | & ){AUTHOR})*(?: et al\.)?(?: and (?:others|colleagues))?(?:'s)?"
    r",? \(?((?:19|20)\d\d)(?=[),;])"
)
CITATION = """.. [1] Kenward MG, Roger JH (1997). Small sample inference for fixed effects from
   restricted maximum likelihood. *Biometrics* 53:983–997. doi:10.2307/2533558
"""


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("docstrings.sources")


@pytest.fixture
def public(module, monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("docstrings.public").public()


def function(source="", returns="float"):
    def estimate():
        pass

    section = f"\n\nReferences\n----------\n{source}" if source else ""
    estimate.__doc__ = f"Estimate something.\n\nReturns\n-------\n{returns}{section}\n"
    return estimate


def lacks(module, source, **others):
    names = {"mvmeta.estimate": function(source), **others}
    return module.sourceless("mvmeta.estimate", names)


@pytest.mark.parametrize(
    "source",
    [
        CITATION,
        ':doc:`/explanation/model`, "Tests of coefficients".',
        ':doc:`/explanation/model`,\n"Tests of coefficients"; :doc:`/explanation/diagnosis`.',
        "See :func:`other`.",
        "See :func:`mvmeta.other`.",
    ],
)
def test_a_source_that_can_be_followed_is_one(module, source):
    assert lacks(module, source, **{"mvmeta.other": function(CITATION)}) == []


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("", "no source of the formula"),
        ("Everybody knows.", "no source of the formula"),
        (".. [1] Kenward MG, Roger JH (1997). *Biometrics* 54:1–2.", "is not in literature.md"),
        (':doc:`/explanation/model`, "No such section".', "no section 'No such section'"),
        (":doc:`/explanation/no-such-page`.", "no section '' in explanation/no-such-page"),
        (":doc:`/explanation/security`.", "cites no literature"),
        ("See :func:`nothing`.", "nothing is no public name"),
        ("See :func:`other`.", "other has no source itself"),
        ("See :func:`estimate`.", "estimate has no source itself"),
        ("See :func:`back`.", "back has no source itself"),
    ],
)
def test_what_cannot_be_followed_is_said(module, source, complaint):
    others = {"mvmeta.other": function(), "mvmeta.back": function("See :func:`estimate`.")}
    (found,) = lacks(module, source, **others)
    assert complaint in found


def test_a_source_that_is_right_does_not_excuse_one_that_is_wrong(module):
    assert lacks(module, CITATION + "\nSee :func:`nothing`.") == ["nothing is no public name"]


def test_other_sections_end_the_references(module):
    documented = function(CITATION + "\nExamples\n--------\n>>> 1")
    assert module.references(documented) == CITATION.rstrip()


@pytest.mark.parametrize(
    ("returns", "needed"),
    [
        ("float", True),
        ("DataFrame, shape (p, 2)", True),
        ("statsmodels.stats.contrast.ContrastResults", True),
        ("dict", True),
        ("Series or ndarray, shape (n,)", True),
        ("str", False),
        ("list of str", False),
        ("matplotlib.figure.Figure", False),
        ("dict of str to list of int", False),
        ("mvmeta.MetaMixedLM", False),
    ],
)
def test_numbers_need_a_source_and_text_does_not(module, returns, needed):
    assert module.returns_numbers(function(returns=returns)) is needed


class Results:
    """Members with annotations, as classes have them."""

    @property
    def estimates(self) -> pd.Series:
        """Estimates."""

    @cached_property
    def standard_errors(self) -> "pd.Series":
        """Standard errors."""

    @property
    def names(self) -> list[str]:
        """Labels."""

    @property
    def clusters(self) -> "Ints | None":  # noqa: F821  (as under TYPE_CHECKING)
        """Codes."""


def test_a_property_returns_what_it_is_annotated_with(module):
    members = {name: value for name, value in vars(Results).items() if name[0] != "_"}
    numbers = [name for name, value in members.items() if module.returns_numbers(value)]
    assert numbers == ["estimates", "standard_errors"]


def test_a_class_has_the_source_of_what_makes_it(module):
    assert not module.returns_numbers(Results)


def test_every_exemption_is_of_a_public_name_that_returns_numbers(module, public):
    for patterns in module.NO_FORMULA.values():
        for pattern in patterns:
            names = [path for path in public if fnmatch(path, pattern)]
            assert any(module.returns_numbers(public[path]) for path in names), pattern


def test_the_literature_is_in_order_and_each_entry_once(module):
    text = module.LITERATURE.read_text(encoding="utf-8")
    first_lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert len(first_lines) == len(set(first_lines)) == len(module.literature())
    assert len(module.citations()) == len(module.literature())


def test_a_text_cites_by_name_and_year(module):
    assert module.cites("adjusted (Kenward and Roger\n1997)")
    assert module.cites("**Kenward and Roger (1997).**")
    assert not module.cites("Kenward and Roger")
    assert not module.cites("Kenward; something else (1997)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_cites_is_in_the_literature(module, page):
    text = module.one_line(page.read_text(encoding="utf-8"))
    cited = set(CITED.findall(text))
    entries = module.literature()
    assert {
        (author, year)
        for author, year in cited
        if not any(e.startswith(f"{author} ") and f"({year})" in e for e in entries)
    } == set()


def test_volumes_and_pages_are_those_of_the_literature(module):
    known = module.LITERATURE.read_text(encoding="utf-8")
    said = {
        (page.name, number)
        for page in DOCS.rglob("*.md")
        for number in re.findall(r"\b\d+:\d+–\d+", page.read_text(encoding="utf-8"))
    }
    assert {(page, number) for page, number in said if number not in known} == set()


@pytest.mark.parametrize("key", REFERENCES)
def test_the_report_cites_what_the_literature_has(module, key):
    author, year, pages = re.search(
        r"^(\S+) .*?\((\d{4})\)\..* (\d+–\d+)\.$", REFERENCES[key].text
    ).groups()
    (entry,) = (
        entry
        for entry in module.literature()
        if entry.startswith(f"{author} ") and f"({year})" in entry and f":{pages}" in entry
    )
    assert REFERENCES[key].doi in entry


def test_every_name_has_its_source(module, public):
    assert {path: found for path in public if (found := module.sourceless(path, public))} == {}
