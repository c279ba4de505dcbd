"""Checks of the moderators: who observes them, and what they compare."""

from __future__ import annotations

from typing import Any

import numpy as np

from mvmeta._typing import Ints
from mvmeta.errors import ConvergenceError, CovarianceError
from mvmeta.inference.coefficients.contextual import Contextual, contextual_test, varies
from mvmeta.model.diagnosis.findings import Finding, Outcome
from mvmeta.model.diagnosis.random_effects import LEVEL
from mvmeta.model.diagnosis.subject import NO_REFIT, Subject
from mvmeta.model.evidence.families import Family
from mvmeta.model.specification.frames import shorten
from mvmeta.model.specification.names import factor_column

MOST_TESTED = 3
"""Terms whose contextual effect is tested: one fit each."""

LEAST_SEVERAL = 3
"""Studies with several rows below which there is no inside of studies to speak of."""

LEAST_LEFT = 5
"""Studies beyond those the comparison between studies uses up, below which it is not tested."""


def sparse_levels(s: Subject) -> Outcome:
    """Levels of factors that one study alone observes."""
    if s.studies.count < 2:
        return Outcome()
    looked = [f for f in s.families if len(f.labels) > 1]
    if not looked:
        return Outcome()
    found = [(f, *_seen_once(s, f)) for f in looked]
    main = {f.name for f, levels, _ in found if levels and f.n_factors == 1}
    told = [
        (f, levels, who)
        for f, levels, who in found
        if levels and (f.n_factors == 1 or not main & set(f.name.split(":")))
    ]
    if not told:
        return Outcome(passed=f"every level is observed in several {s.studies.noun(2)}")
    return Outcome(tuple(_sparse(s, f, levels, who) for f, levels, who in told))


def _seen_once(s: Subject, family: Family) -> tuple[list[str], list[str]]:
    """Levels that one study observes, and who that is."""
    code = s.studies.code
    levels, who = [], []
    for i, label in enumerate(family.labels):
        seen = np.unique(code[family.code == i])
        if len(seen) == 1:
            levels.append(label)
            who.append(s.study(int(seen[0])))
    return levels, who


def _sparse(s: Subject, family: Family, levels: list[str], who: list[str]) -> Finding:
    noun = s.studies.noun(1)
    one = len(levels) == 1
    return Finding(
        "level-in-one-study",
        "caution",
        f"{shorten(levels)} {'is' if one else 'are'} observed in one {noun} only"
        f"{'' if one else ' each'} ({shorten(dict.fromkeys(who))}).",
        {"levels": f"{len(levels)} of {len(family.labels)} of {family.name}"},
        f"Whatever is special about that {noun} cannot be told from the level. The estimate is "
        f"either that one result, or what the model makes of it by comparing the {noun} with "
        "others in other levels.",
        "evidence() says how much of the estimate is borrowed; merge the level with a similar "
        f"one, or report it as resting on one {noun}.",
    )


def between_within(s: Subject) -> Outcome:
    """Moderators that compare only studies, or only effects within studies."""
    if not _comparable(s):
        return Outcome()
    between, within = [], []
    for name, columns in _terms(s).items():
        inside, outside = varies(s.fit.problem.x[:, columns], s.studies.code)
        if not inside.any() and outside.any():
            between.append(name)
        elif inside.any() and not outside.any() and not _is_inner(s, name):
            within.append(name)
    found = [*_between(s, between), *_within(s, within)]
    return Outcome(tuple(found))


def _comparable(s: Subject) -> bool:
    """Whether there are studies, several rows in some of them, and something to compare."""
    return s.named and s.studies.count > 1 and int((s.sizes > 1).sum()) >= LEAST_SEVERAL


def _terms(s: Subject) -> dict[str, list[int]]:
    """Columns of every term that varies at all."""
    x = s.fit.problem.x
    return {
        name: columns
        for name, columns in s.prepared.term_columns.items()
        if columns and np.ptp(x[:, columns], axis=0).any()
    }


def _is_inner(s: Subject, term: str) -> bool:
    """Whether a term is the factor whose effects a random term correlates."""
    inner = {c for t in s.prepared.term_specs for c in t.inner}
    return any(c in term for c in inner)


def _between(s: Subject, names: list[str]) -> list[Finding]:
    if not names:
        return []
    one = len(names) == 1
    return [
        Finding(
            "between-only",
            "note",
            f"{shorten(names)} {'varies' if one else 'vary'} between {s.studies.noun(2)} only, "
            f"never inside {'one' if one else 'any of them'}.",
            {s.studies.noun(2): s.studies.count, "rows": s.fit.problem.n},
            f"Its coefficient compares {s.studies.noun(2)} that differ in other ways, too. What it "
            f"is known by is the number of {s.studies.noun(2)}, not of rows.",
            "say so when you interpret it; df='contain' or 'satterthwaite' counts what it should.",
        )
    ]


def _within(s: Subject, names: list[str]) -> list[Finding]:
    if not names:
        return []
    one = len(names) == 1
    return [
        Finding(
            "within-only",
            "note",
            f"{shorten(names)} {'varies' if one else 'vary'} within {s.studies.noun(2)} only: all "
            f"{s.studies.noun(2)} have the same mean of it.",
            {s.studies.noun(2): s.studies.count},
            f"Its coefficient compares effects of the same {s.studies.noun(1)}, so that nothing in "
            f"which {s.studies.noun(2)} differ disturbs it.",
            "nothing; it is the safest kind of comparison.",
        )
    ]


def contextual(s: Subject) -> Outcome:
    """Whether a moderator does the same within studies and between them."""
    if not _comparable(s):
        return Outcome()
    both = {}
    for name, columns in _terms(s).items():
        inside, outside = varies(s.fit.problem.x[:, columns], s.studies.code)
        use = np.asarray(columns)[inside & outside]
        if len(use):
            both[name] = use
    if not both:
        return Outcome()
    if not s.refit:
        return Outcome(skipped=NO_REFIT)
    return _tested(s, both)


def _tested(s: Subject, both: dict[str, Ints]) -> Outcome:
    found, passed, skipped = [], [], list(both)[MOST_TESTED:]
    for name in list(both)[:MOST_TESTED]:
        test = _contextual_test(s, both[name])
        if test is None or test.df_denom < LEAST_LEFT:
            skipped.append(name)
        elif test.pvalue < LEVEL:
            found.append(_contextual(s, name, test))
        else:
            passed.append(f"{name} (P = {test.pvalue:.2g})")
    return Outcome(
        tuple(found),
        f"the same within {s.studies.noun(2)} and between them: {', '.join(passed)}"
        if passed
        else "",
        f"not tested for {', '.join(skipped)}: too few {s.studies.noun(2)}, or too many moderators"
        if skipped
        else "",
    )


def _contextual_test(s: Subject, columns: Ints) -> Contextual | None:
    try:
        return contextual_test(s.fit, columns, s.studies.code)
    except (ConvergenceError, CovarianceError):
        return None


def _contextual(s: Subject, name: str, test: Contextual) -> Finding:
    numbers: dict[str, Any] = {"F": test.statistic, "P": test.pvalue}
    if test.df == 1:
        numbers["between minus within"] = f"{test.difference[0]:.3g} (se {test.se[0]:.2g})"
    noun, nouns = s.studies.noun(1), s.studies.noun(2)
    factor = any(f.name == factor_column(name) for f in s.families)
    what = (
        f"the share of each of its levels in each {noun}"
        if factor
        else f"its mean over each {noun}"
    )
    return Finding(
        "contextual-effect",
        "caution",
        f"{name} does not do the same within {nouns} and between them.",
        numbers,
        f"The model has one coefficient for two questions: whether effects of one "
        f"{noun} differ with it, and whether {nouns} that have more of it differ. "
        "The answers disagree, and the coefficient is a mixture of both.",
        f"add {what} as another moderator; the coefficient of the moderator itself is then the "
        f"comparison within {nouns}.",
    )
