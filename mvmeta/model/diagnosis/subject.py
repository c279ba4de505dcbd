"""What the checks of a diagnosis look at, and how much they may spend."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mvmeta._typing import Ints
from mvmeta.design.layout import is_nested
from mvmeta.design.terms import RandomTerm
from mvmeta.inference.comparison.added_intercept import separates_rows
from mvmeta.inference.fitted.fit import Fit
from mvmeta.model.evidence.families import Family, families
from mvmeta.model.evidence.studies import ROW, Studies
from mvmeta.model.specification.build import Prepared

if TYPE_CHECKING:
    from mvmeta.model.results.results import MetaMixedLMResults

MOST_ROWS = 20_000
"""Rows above which nothing is fitted again unless asked for: a fit may take minutes there."""

MOST_NESTED_ROWS = 500_000
"""The same for nested random intercepts, where such fits together take seconds."""

NO_REFIT = "it needs another fit, and there are many rows: diagnose(refit=True)"


STUDY_WORDS = ("stud", "trial", "experiment", "paper", "article", "sample", "cohort")
"""What the column of a grouping is called whose levels have people of their own."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A fit under examination.

    Attributes
    ----------
    res : MetaMixedLMResults
    studies : Studies
    refit : bool
        Whether checks may fit other models.
    """

    res: MetaMixedLMResults
    studies: Studies
    refit: bool

    @property
    def fit(self) -> Fit:
        """The numbers."""
        return self.res.fit_

    @property
    def prepared(self) -> Prepared:
        """What was fitted."""
        return self.res.model.prepared

    @property
    def loglik(self) -> float:
        """Log-likelihood at the generalized least squares estimates, user weights or not."""
        return self.res._optimum.evaluation.loglik

    @property
    def named(self) -> bool:
        """Whether the model says what a study is."""
        return self.studies.name != ROW

    @cached_property
    def sizes(self) -> Ints:
        """Rows of every study, (J,)."""
        return np.bincount(self.studies.code, minlength=self.studies.count)

    @cached_property
    def people(self) -> Studies | None:
        """The groups whose rows may share people: the finest within a study with several rows.

        None where there is none, or every row is a study of its own by the names of the terms.
        """
        terms = self.fit.problem.terms
        if any(separates_rows(t) and _is_study(t) for t in terms):
            return None
        finest = self.studies
        for t in terms:
            code, labels = t.groups.codes, t.groups.labels
            several = len(labels) < self.fit.problem.n
            if several and len(labels) > finest.count and is_nested(code, self.studies.code):
                name = t.name.split("|")[-1].split("(")[0].strip()
                finest = Studies(name, code, pd.Index(list(labels), dtype=object))
        return finest if np.bincount(finest.code).max() > 1 else None

    @cached_property
    def families(self) -> list[Family]:
        """Level means of the factors of the formula."""
        return families(self.prepared)

    def study(self, i: int) -> str:
        """Name of a study in sentences."""
        return f"{self.studies.name} {self.studies.labels[i]}"


def _is_study(term: RandomTerm) -> bool:
    """Whether a random intercept is named after studies, "1 | trial", and not after rows."""
    name = term.name.lower()
    return term.is_scalar and "/" not in name and any(word in name for word in STUDY_WORDS)


def may_refit(res: MetaMixedLMResults) -> bool:
    """Whether other models may be fitted without being asked for."""
    if res.nobs <= MOST_ROWS:
        return True
    return res.nobs <= MOST_NESTED_ROWS and res.model.backend_choice.name == "nested"
