"""The model in words."""

from __future__ import annotations

from typing import Any

from mvmeta.report import choices
from mvmeta.report.numbers import listed
from mvmeta.report.terms import random_terms


def model_sentences(res: Any) -> list[str]:
    """One sentence for each part of the model: mean, random terms, errors, estimation, tests."""
    weights = choices.weights(res)
    return [
        _mean(res),
        *([term.sentence for term in random_terms(res)] or [NO_TERMS]),
        *_held(res),
        choices.errors(res).now,
        *([weights.now] if weights is not None else []),
        choices.estimation(res).now,
        choices.tests(res, "intervals").now,
    ]


NO_TERMS = (
    "There are no random effects: rows that the moderators do not tell apart are taken to estimate "
    "one and the same true effect (an equal-effects model)."
)


def _mean(res: Any) -> str:
    names = list(map(str, res.params.index))
    if not names:
        return "The mean of the true effects is 0: the model has no coefficients."
    if len(names) == 1 and names[0] in ("Intercept", "const"):
        return "The true effects have one mean."
    terms = [n for n in map(str, res.model.term_columns()) if n != "Intercept"]
    count = f"{len(names)} coefficient{'s' * (len(names) != 1)}"
    return f"The mean of the true effects depends on {listed(terms)} ({count})."


def _held(res: Any) -> list[str]:
    fixed = [
        label for label, held in zip(res.component_labels, res.vcomp["fixed"], strict=True) if held
    ]
    return [f"Not estimated, but fixed: {listed(fixed)}."] if fixed else []
