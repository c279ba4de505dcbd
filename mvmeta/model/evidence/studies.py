"""What a study is: the outermost grouping of the rows, and a word for it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Ints
from mvmeta.design.layout import is_nested, recode
from mvmeta.model.specification.build import Prepared
from mvmeta.model.testing.clustering import cluster_codes, cluster_labels

ROW, BLOCK = "row", "V block"
"""What a study is where the model has no random terms."""

LEAST_WORD = 3
"""Letters from which on a column name is taken for a word that has a plural."""

WHAT_A_STUDY_IS = (
    "a study is a level of the model's outermost grouping, and groups= picks another column"
)


@dataclass(frozen=True, eq=False)
class Studies:
    """What a study is: the outermost grouping of the rows.

    Attributes
    ----------
    name : str
        "Study"; ROW or BLOCK where the model names none.
    code : ndarray of int, shape (n,)
    labels : sequence
    """

    name: str
    code: Ints
    labels: pd.Index

    @property
    def count(self) -> int:
        """Number of studies."""
        return len(self.labels)

    def noun(self, count: int) -> str:
        """A word for `count` of them."""
        word = self.name.lower()
        if "stud" in word and "/" not in word:
            word = "study"
        elif not word.isalpha() or len(word) < LEAST_WORD or word.endswith("s"):
            word = BLOCK if self.name == BLOCK else f"{self.name} group"
        if count == 1:
            return word
        return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def indefinite(word: str) -> str:
    """The word with its article: "a study", "an article"."""
    return f"{'an' if word[0].lower() in 'aeio' else 'a'} {word}"


def studies(prepared: Prepared, groups: Any = None) -> Studies:
    """The grouping that `groups` names, or the outermost one of the model.

    That is the first random term with several levels, or one it is nested in with fewer; without
    random terms the correlated blocks of V; without these every row by itself.
    """
    if groups is not None:
        name = groups if isinstance(groups, str) else getattr(groups, "name", None)
        labels = cluster_labels(prepared, groups)
        code = recode(cluster_codes(prepared, groups))[0]
        return Studies(str(name or "study"), code, labels)
    terms = [t for t in prepared.problem.terms if t.n_levels > 1]
    if terms:
        found = terms[0]
        for t in terms[1:]:
            if t.n_levels < found.n_levels and is_nested(found.level, t.level):
                found = t
        name = found.name.split("|")[-1].split("(")[0].strip()
        return Studies(name, found.level, pd.Index(list(found.level_labels), dtype=object))
    v = prepared.problem.v
    if v.is_diagonal:
        return Studies(ROW, np.arange(v.n), prepared.index)
    code, count = recode(v.cluster)
    return Studies(BLOCK, code, pd.RangeIndex(1, count + 1))
