"""Whether a docstring says the unit, or the scale, of every number that goes in or comes out.

The numbers are the entries of a docstring whose type says so (`QUANTITY`), and properties whose
annotation does; counts, labels and truth values have no unit and say so in their type ("ndarray of
int", "array_like of labels").  A number has its unit if one of these holds:

- its entry names a unit or a scale (`UNITS`): "in squared units of the response", "in percent";
- its first clause says that it is of a kind that has none (`KINDS`): a correlation, a p-value;
- its first sentence says where it is described: "As in `loglike`".

A table has columns of many kinds, of which one does not tell the unit of the others: it names a
unit, if only to say which columns are "without unit".
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from numpydoc.docscrape import NumpyDocString


def words(*patterns: str) -> re.Pattern[str]:
    """Any of some words, wherever they stand in a sentence."""
    return re.compile(rf"\b(?:{'|'.join(patterns)})\b", re.IGNORECASE)


QUANTITY = re.compile(
    r"\b(?:floats?|numbers?|scalar|column(?! name)|array|array[_-]like|ndarray|sparse|csr_array"
    r"|Series|DataFrame)\b(?! of (?:int|bool|str|object|text|labels|counts)\b)"
)
ANNOTATION = re.compile(r"float|Series|DataFrame|csr_array|^(?:typing\.)?Any$", re.IGNORECASE)
# The frame of the user, whose columns other parameters describe.
DATA = "data"

UNITS = words(
    r"(?:squared )?units? of",
    r"(?:in|have|has) (?:(?:the|its|their|any|one|own|same|squared) )+units?",
    r"without unit|no numbers",
    r"scales? of",
    r"on (?:a|the) [\w ]+ scale",
    r"percent",
    r"radians",
    r"in standard (?:deviations|errors)",
)
KINDS = words(
    # between 0 and 1
    r"probability|probabilities|p-values?|coverage|proportions?|risks?|leverages?|hat values?",
    r"(?:the|an?|their|its) shares?|shares? of",
    # association and reliability
    r"(?:auto)?correlations?|coefficients? of determination|Cronbach's alpha|Cliff's delta",
    # effect sizes whose name is their scale
    r"(?:log )?odds|standardi[sz]ed (?:mean )?differences?|Fisher's z|probit",
    # tests and likelihood
    r"degrees of freedom|chi-squares?|[zt] statistics?|log-likelihoods?",
    # how many, and whether
    r"whether|counts?|sample sizes?|sizes? of (?:the )?(?:two )?(?:groups?|samples?)",
)
ELSEWHERE = re.compile(r"\bas (?:in|for|of|given to) (?:`[\w.]+`|the class\b)", re.IGNORECASE)

CODE = re.compile(r"`+[^`]*`+")
CLAUSE = re.compile(r"[.:;](?:\s|$)| \(|,? such as ")
SENTENCE = re.compile(r"\.(?:\s|$)")


class Entry(NamedTuple):
    """A number of which a docstring speaks."""

    name: str
    text: str
    table: bool


def is_number(name: str, kind: str) -> bool:
    """Whether what has this name and this type is a number; without a type it may be one."""
    untyped = kind in {"", "optional"} and not name.startswith("*")
    return name != DATA and (untyped or bool(QUANTITY.search(kind)))


def entries(doc: NumpyDocString, annotation: str) -> Iterator[Entry]:
    """The numbers of a docstring; `annotation` is what a property returns."""
    for section in ("Parameters", "Attributes", "Returns", "Yields"):
        for name, kind, lines in doc[section]:
            if is_number(name, kind):
                given = section == "Parameters"
                yield Entry(name or kind, " ".join(lines), "DataFrame" in kind and not given)
    if ANNOTATION.search(annotation):
        text = " ".join([*doc["Summary"], *doc["Extended Summary"], *doc["Notes"]])
        yield Entry("the property", text, "DataFrame" in annotation)


def has_unit(entry: Entry) -> bool:
    """Whether an entry by itself says the unit."""
    clause = CODE.sub("", CLAUSE.split(entry.text, maxsplit=1)[0])
    sentence = SENTENCE.split(entry.text, maxsplit=1)[0]
    return bool(
        UNITS.search(entry.text)
        or (not entry.table and (KINDS.search(clause) or ELSEWHERE.search(sentence)))
    )


def unitless(text: str, annotation: str = "") -> list[str]:
    """Numbers whose unit a docstring does not say, in sentences."""
    doc = NumpyDocString(text)
    return [f"no unit of '{e.name}'" for e in entries(doc, annotation) if not has_unit(e)]
