"""The random terms of a fit, described for a reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mvmeta.report.numbers import counted, listed
from mvmeta.report.structures import STRUCTURES


@dataclass(frozen=True)
class Term:
    """A random term.

    Attributes
    ----------
    name : str
    code : str or None
        Of its structure; None for a random intercept.
    groups : str
        What its groups are, in words.
    n_groups : int
    inner : list of str
        Levels whose effects belong together in a group; none for intercepts.
    known : bool
        Whether a known matrix says how groups (or levels) correlate.
    scale : str or None
        Formula of a variance that depends on covariates.
    own : bool
        Whether every row is a level of its own.
    """

    name: str
    code: str | None
    groups: str
    n_groups: int
    inner: list[str]
    known: bool
    scale: str | None
    own: bool

    @property
    def is_intercept(self) -> bool:
        """Whether each group has one effect, with one variance."""
        return self.code is None

    @property
    def sentence(self) -> str:
        """What the term says, as a sentence."""
        count = counted(self.n_groups, "level")
        if self.scale is not None:
            return (
                f"A random effect of {self.groups} ({count}), whose variance depends on "
                f"{self.scale} (a location-scale model)."
            )
        if self.code is None and self.known:
            return (
                f"A random effect of {self.groups} ({count}); how the effects of different "
                "levels correlate is known, and only their variance is estimated."
            )
        if self.code is None:
            what = "every row deviates" if self.own else "rows of one level deviate together"
            return f"A random effect of {self.groups} ({count}): {what} from the mean."
        return self._of_structure()

    def _of_structure(self) -> str:
        words = STRUCTURES[self.code].words if self.code in STRUCTURES else "are correlated"
        of = f" of {listed(self.inner)}" if self.inner else ""
        within = (
            "over all rows"
            if self.groups == "const"
            else f"within {self.groups} ({counted(self.n_groups, 'level')})"
        )
        known = ", and correlate between groups as a known matrix says" if self.known else ""
        return f"Random effects{of} {within}: they {words} ({self.code}){known}."


def random_terms(res: Any) -> list[Term]:
    """The random terms, in the order of the model."""
    problem, records = res.fit_.problem, res.model.prepared.term_specs
    return [_term(t, r, problem.n) for t, r in zip(problem.terms, records, strict=True)]


def _term(term: Any, record: Any, n: int) -> Term:
    """A term of a model of n rows."""
    spec, count = record.spec, len(term.groups.labels)
    code = None if record.code in (None, "KNOWN", "SCALE") else record.code
    inner = [] if code is None else _inner(term, record)
    return Term(
        name=record.name,
        code=code,
        groups=_groups(record),
        n_groups=count,
        inner=inner,
        known=record.code == "KNOWN" or term.correlated is not None or record.known is not None,
        scale=None if spec is None else spec.scale,
        own=count == n,
    )


def _inner(term: Any, record: Any) -> list[str]:
    """Levels of one group; "trait" of "species:trait" where a known matrix joins the groups."""
    if record.inner_levels is not None:
        return [str(level) for level in record.inner_levels]
    return [str(label) for label in term.structure.labels]


def _groups(record: Any) -> str:
    """Nested columns as "school within district", combinations as "a by b"."""
    *outer, last = record.outer
    if not outer:
        return str(last)
    if "/" in record.name:
        return " within ".join(map(str, [last, *reversed(outer)]))
    return " by ".join(map(str, record.outer))
