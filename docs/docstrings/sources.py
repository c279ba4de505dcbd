"""Whether a docstring says where the formula comes from by which its numbers are computed.

Everything that returns numbers needs a source, but for what `NO_FORMULA` names with its reason, and
classes: what makes an object says where its numbers come from.  Its section "References" has one of

- a citation, spelled as the page of the literature has it;
- a page of this site and a section of it that cites the literature:
  ``:doc:`/explanation/model`, "Likelihood"``;
- another public name, which has a source itself: ``See :meth:`fit`.``
"""

import inspect
import re
from collections.abc import Mapping
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from numpydoc.docscrape import NumpyDocString

from docstrings.public import docstring, property_type

DOCS = Path(__file__).parents[1]
LITERATURE = DOCS / "reference" / "literature.md"

NO_FORMULA = {
    "data sets and files, as they are": [
        "mvmeta.batches.*",
        "mvmeta.datasets.covariance_blocks",
        "mvmeta.datasets.describe",
        "mvmeta.datasets.distance",
        "mvmeta.datasets.load",
    ],
    "the user's rows and columns, arranged for a model": [
        "mvmeta.MetaMixedLM.dropped",
        "mvmeta.MetaMixedLM.new_design",
        "mvmeta.contrmat",
        "mvmeta.to_long",
        "mvmeta.to_wide",
    ],
    "V: its parts, its products and its factors, which the names say": [
        "mvmeta.SamplingCovariance.*",
        "*.Provenance.take",
    ],
    "what other names compute, arranged for reading": [
        "mvmeta.ManyOutcomesResults.to_frame",
        "mvmeta.MetaMixedLMResults.to_dict",
        "*.Diagnosis.of",
        "*.Diagnosis.to_frame",
        "*.Sensitivity.changes",
    ],
    "the fit itself, for other packages and for contributors": [
        "mvmeta.interop.marginaleffects",
        "*.fit_",
    ],
}
"""Names that select, label, arrange, load or hold what is there, by reason."""

# Text, counts, labels and pictures; models, which are not fitted yet, and their plans.
PLAIN = set(
    "str bool int Ints object Path Figure Summary Index callable Callable None Status "
    "MetaMixedLM MetaforTranslation MarginalCovariance Choice Random".split()
)
WORDS = set("list tuple sequence dict of or to each shape length".split())

SECTION = re.compile(r"^References\n-+\n(.*)", re.MULTILINE | re.DOTALL)
NEXT = re.compile(r"\n\n\w[\w ]*\n-{3,}\n")
CITATION = re.compile(r"^\.\. \[\d+\] (.*(?:\n .*)*)", re.MULTILINE)
PAGE = re.compile(r":doc:`/([\w/-]+)`(?:,\s+\"([^\"]+)\")?")
NAME = re.compile(r":(?:meth|func|attr|class):`([\w.]+)`")
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)


def one_line(text: str) -> str:
    """A text without its line breaks."""
    return " ".join(text.split())


@cache
def literature() -> frozenset[str]:
    """The entries of the page of the literature."""
    text = LITERATURE.read_text(encoding="utf-8")
    return frozenset(map(one_line, re.findall(r"^- (.*(?:\n  .*)*)", text, re.MULTILINE)))


@cache
def citations() -> tuple[re.Pattern[str], ...]:
    """How a text cites the literature: "Kenward and Roger (1997)", "(Harville 1974)"."""
    entries = (re.match(r"(\D+?) [A-Z]+\b.*?\((\d{4})\)\.", entry) for entry in literature())
    authors = (match.groups() for match in entries if match)
    return tuple(
        re.compile(rf"\b{re.escape(author)}\b[^;()]{{0,80}}?\(?{year}") for author, year in authors
    )


def cites(text: str) -> bool:
    """Whether a text cites the literature."""
    line = one_line(text)
    return any(pattern.search(line) for pattern in citations())


def section(page: str, heading: str) -> str | None:
    """What stands under a heading of a page, or on all of it; None if there is none."""
    path = DOCS / f"{page}.md"
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8")
    if not heading:
        return text
    headings = list(HEADING.finditer(text))
    for i, match in enumerate(headings):
        if match[2].strip() == heading:
            ends = (m.start() for m in headings[i + 1 :] if len(m[1]) <= len(match[1]))
            return text[match.end() : next(ends, len(text))]
    return None


def returned(value: Any) -> list[str]:
    """The types that something returns: of a property by annotation, else by docstring."""
    if kind := property_type(value):
        return [kind]
    doc = NumpyDocString(docstring(value))
    return [item.type or item.name for part in ("Returns", "Yields") for item in doc[part]]


def returns_numbers(value: Any) -> bool:
    """Whether anything it returns is neither text nor a count, a label, a picture or a model."""
    if inspect.isclass(value):
        return False
    types = (re.findall(r"[A-Za-z][\w.]*", kind.split(",")[0]) for kind in returned(value))
    named = [{name.rpartition(".")[2] for name in found} for found in types]
    return any(names == {"dict"} or names - PLAIN - WORDS for names in named)


def computed(path: str, value: Any) -> bool:
    """Whether it returns numbers that a formula gives."""
    patterns = (pattern for listed in NO_FORMULA.values() for pattern in listed)
    return returns_numbers(value) and not any(fnmatch(path, pattern) for pattern in patterns)


def references(value: Any) -> str:
    """The section References of a docstring."""
    match = SECTION.search(docstring(value))
    return NEXT.split(match[1], maxsplit=1)[0] if match else ""


def resolved(name: str, path: str, names: Mapping[str, Any]) -> str | None:
    """The public name that a docstring refers to, seen from its class, its module or mvmeta."""
    prefixes = path.split(".")[:-1]
    tried = [".".join([*prefixes[:n], name]) for n in range(len(prefixes), -1, -1)]
    return next((full for full in tried if full in names), None)


def wrong_citations(text: str) -> list[str]:
    """Citations that the page of the literature does not have, in sentences."""
    lines = map(one_line, CITATION.findall(text))
    return [f"'{x[:40]}' is not in {LITERATURE.name}" for x in lines if x not in literature()]


def wrong_pages(text: str) -> list[str]:
    """References to sections that do not exist, or cite nothing, in sentences."""
    wrong = []
    for page, title in PAGE.findall(text):
        heading = one_line(title)
        found = section(page, heading)
        if found is None:
            wrong.append(f"no section '{heading}' in {page}")
        elif not cites(found):
            wrong.append(f"'{heading}' in {page} cites no literature")
    return wrong


def unfounded(path: str, names: Mapping[str, Any], seen: frozenset[str] = frozenset()) -> list[str]:
    """What is wrong with the source that a docstring names, in sentences.

    A name in `seen` is where one came from: two that refer to each other have no source.
    """
    text = references(names[path])
    if not any(pattern.search(text) for pattern in (CITATION, PAGE, NAME)):
        return ["no source of the formula"]
    wrong = [*wrong_citations(text), *wrong_pages(text)]
    for name in NAME.findall(text):
        full = resolved(name, path, names)
        if full is None:
            wrong.append(f"{name} is no public name")
        elif full in seen | {path} or unfounded(full, names, seen | {path}):
            wrong.append(f"{name} has no source itself")
    return wrong


def sourceless(path: str, names: Mapping[str, Any]) -> list[str]:
    """What a docstring lacks to say where its formula comes from, in sentences."""
    return unfounded(path, names) if computed(path, names[path]) else []
