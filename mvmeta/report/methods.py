"""A paragraph for the methods section of a paper, with what it cites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mvmeta._version import __version__
from mvmeta.report import choices
from mvmeta.report.choices import CITED, Choice
from mvmeta.report.numbers import counted, level_of, listed
from mvmeta.report.references import REFERENCES, Reference
from mvmeta.report.structures import STRUCTURES
from mvmeta.report.terms import Term, random_terms
from mvmeta.report.versions import python_version


@dataclass(frozen=True)
class Methods:
    """The paragraph and the works it cites, in alphabetical order."""

    paragraph: str
    references: list[Reference]


class _Text:
    """Sentences, and the works they cite."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.keys: set[str] = set()

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def tell(self, choice: Choice | None) -> None:
        """What was chosen, if anything was."""
        if choice is not None:
            self.say(choice.then.replace(CITED, self.cite(*choice.works) if choice.works else ""))

    def cite(self, *keys: str) -> str:
        self.keys.update(keys)
        return f" ({'; '.join(REFERENCES[key].cited for key in sorted(keys))})"


def methods(res: Any, alpha: float) -> Methods:
    """The paragraph for a fit."""
    text = _Text()
    terms = random_terms(res)
    text.say(_model(res, terms, text))
    for term in terms:
        if not _is_plain(term):
            text.say(_term(term, text))
    text.tell(choices.errors(res))
    text.tell(choices.weights(res))
    text.tell(choices.estimation(res) if len(res.vcomp) else None)
    text.tell(choices.tests(res, f"{level_of(alpha)} confidence intervals"))
    if np.isfinite(res.heterogeneity_test().statistic):
        text.say(_heterogeneity(res, text, alpha))
    text.say(f"We used mvmeta {__version__} with Python {python_version()}.")
    return Methods(" ".join(text.sentences), [REFERENCES[key] for key in sorted(text.keys)])


def _model(res: Any, terms: list[Term], text: _Text) -> str:
    names = [n for n in map(str, res.model.term_columns()) if n not in ("Intercept", "const")]
    plain = [f"{t.groups} ({counted(t.n_groups, 'level')})" for t in terms if _is_plain(t)]
    moderators = f"the moderator{'s' * (len(names) > 1)} {listed(names)}" if names else ""
    random = f"random effects for {listed(plain)}" if plain else ""
    parts = " and ".join(filter(None, (moderators, random)))
    rows = counted(res.nobs, "estimate")
    return f"We fitted {_kind(terms, text)} to {rows}{f', with {parts}' if parts else ''}."


def _is_plain(term: Term) -> bool:
    """Whether the term is a random intercept and nothing else."""
    return term.is_intercept and not term.known and term.scale is None


def _kind(terms: list[Term], text: _Text) -> str:
    if not terms:
        return "an equal-effects meta-analysis"
    intercepts = [t for t in terms if _is_plain(t)]
    if len(intercepts) == len(terms) == 1:
        return "a random-effects meta-analysis"
    nested = all(" within " in t.groups for t in intercepts[1:])
    if len(intercepts) == len(terms) and nested:
        text.keys.add("konstantopoulos2011")
        levels = {2: "three", 3: "four", 4: "five"}.get(len(terms), "multi")
        return f"a {levels}-level meta-analysis (Konstantopoulos, 2011)"
    if any(t.inner for t in terms):
        text.keys.add("jackson2011")
        return "a multivariate multilevel meta-analysis (Jackson et al., 2011)"
    return "a multilevel meta-analysis"


def _term(term: Term, text: _Text) -> str:
    if term.scale is not None:
        cited = text.cite("viechtbauer2022")
        return (
            f"The variance of the random effects of {term.groups} depended on {term.scale}{cited}."
        )
    if term.is_intercept and term.known:
        cited = text.cite("nakagawa2012")
        return f"Random effects of {term.groups} had known correlations{cited}."
    words = STRUCTURES[term.code].words if term.code in STRUCTURES else "were correlated"
    past = words.replace("have ", "had ", 1).replace("are ", "were ", 1)
    of = f"the effects of {listed(term.inner)}" if term.inner else "random effects"
    return f"Within {term.groups}, {of} {past} (structure {term.code})."


def _heterogeneity(res: Any, text: _Text, alpha: float) -> str:
    q = f"Residual heterogeneity was tested by Cochran's Q{text.cite('cochran1954')}"
    if not len(res.vcomp):
        return f"{q}."
    return (
        f"{q} and described by I² of each random term{text.cite('higgins2002')} and by "
        f"{level_of(alpha)} prediction intervals{text.cite('higgins2009')}."
    )
