"""What a careful statistician would say of a fit: findings with evidence, reason and advice."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

Severity = Literal["problem", "caution", "note"]

SEVERITIES: tuple[Severity, ...] = ("problem", "caution", "note")
"""From what changes conclusions to what is good to know."""

MEANING = {
    "problem": "the results are likely to mislead until this is mended",
    "caution": "look at this before you rely on the results",
    "note": "nothing wrong, but good to know when you write about it",
}

WIDTH = 78
"""Columns of the text."""


@dataclass(frozen=True)
class Finding:
    """One thing found; prints as text.

    Attributes
    ----------
    code : str
        Such as "no-estimate-level-term"; stays the same from version to version.
    severity : {"problem", "caution", "note"}
    what : str
        One sentence.
    evidence : dict
        The numbers behind it, by name.
    why : str
        Why it matters.
    advice : str
        What to try.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> toy = datasets.load("toy")
    >>> formula = "d ~ C(Category) - 1"
    >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
    >>> res = model.fit()
    >>> finding = res.diagnose().findings[0]
    >>> finding.code, finding.severity
    ('level-in-one-study', 'caution')
    """

    code: str
    severity: Severity
    what: str
    evidence: dict[str, Any]
    why: str
    advice: str

    def __str__(self) -> str:
        return _finding_text(self)


@dataclass(frozen=True)
class Outcome:
    """What one check came to: findings, or a sentence that says why there are none.

    Attributes
    ----------
    findings : tuple of Finding
    passed : str
        What was looked at and found in order.
    skipped : str
        Why it was not looked at.
    """

    findings: tuple[Finding, ...] = ()
    passed: str = ""
    skipped: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All findings about a fit; prints as text.

    ``len``, iteration and ``in`` go over the findings and their codes; ``diagnosis[code]`` is
    one finding.

    Attributes
    ----------
    findings : tuple of Finding
        The most serious first.
    passed : dict
        Check -> sentence, for what was looked at and found in order.
    skipped : dict
        Check -> reason, for what was not looked at.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> toy = datasets.load("toy")
    >>> formula = "d ~ C(Category) - 1"
    >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
    >>> res = model.fit()
    >>> found = res.diagnose()
    >>> len(found.findings), found.codes
    (2, ['level-in-one-study', 'few-studies'])
    """

    findings: tuple[Finding, ...]
    passed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, outcomes: dict[str, Outcome]) -> Diagnosis:
        """Collect the outcomes of checks.

        Parameters
        ----------
        outcomes : dict
            Name of the check -> its outcome.

        Returns
        -------
        Diagnosis
            Findings sorted by severity, in the order of the checks where it is the same.

        Examples
        --------
        >>> from mvmeta.model.diagnosis.findings import Diagnosis
        >>> len(Diagnosis.of({}))
        0
        """
        found = [f for o in outcomes.values() for f in o.findings]
        return cls(
            tuple(sorted(found, key=lambda f: SEVERITIES.index(f.severity))),
            {name: o.passed for name, o in outcomes.items() if o.passed},
            {name: o.skipped for name, o in outcomes.items() if o.skipped},
        )

    @property
    def codes(self) -> list[str]:
        """Codes of the findings, the most serious first.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="district").fit()
        >>> res.diagnose().codes
        ['no-estimate-level-term', 'few-studies', 'influential-study']
        """
        return [f.code for f in self.findings]

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __contains__(self, code: object) -> bool:
        return code in self.codes

    def __getitem__(self, code: str) -> Finding:
        for finding in self.findings:
            if finding.code == code:
                return finding
        raise KeyError(f"{code!r} was not found; there are: {', '.join(self.codes) or 'none'}")

    def to_frame(self) -> pd.DataFrame:
        """One row per finding.

        Returns
        -------
        DataFrame of text
            Index `code`; columns severity, what, evidence (a dict), why, advice.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> res.diagnose().to_frame().columns.tolist()
        ['severity', 'what', 'evidence', 'why', 'advice']
        """
        columns = ["code", "severity", "what", "evidence", "why", "advice"]
        rows = [[getattr(f, c) for c in columns] for f in self.findings]
        return pd.DataFrame(rows, columns=columns).set_index("code")

    def summary(self) -> str:
        """Findings, what was in order, and what was not looked at, as text.

        Returns
        -------
        str

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> print(res.diagnose().summary().splitlines()[0].strip())
        Diagnosis
        """
        count = len(self.findings)
        title = f"{count} finding{'s' * (count != 1)}" if count else "Nothing found"
        parts = ["Diagnosis".center(WIDTH).rstrip(), "=" * WIDTH, title]
        parts += [f"\n{i}. {_finding_text(f)}" for i, f in enumerate(self.findings, start=1)]
        for heading, told in (("In order", self.passed), ("Not looked at", self.skipped)):
            if told:
                parts += ["", f"{heading}:"]
                parts += [_item(f"{name}: {sentence}") for name, sentence in told.items()]
        return "\n".join(parts)

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.summary())}</pre>"


def _finding_text(f: Finding) -> str:
    numbers = "; ".join(f"{k} {_value(v)}" for k, v in f.evidence.items())
    lines = [_fill(f.what), _fill(f"Evidence: {numbers}"), _fill(f"Why: {f.why}")]
    return "\n".join([f"[{f.severity}] {f.code}", *lines, _fill(f"Try: {f.advice}")])


def _fill(text: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent="   ", subsequent_indent="   ", break_long_words=False
    )


def _item(text: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False
    )


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return str(value)
