"""The model in words."""

from __future__ import annotations

from typing import Any

from mvmeta.report.numbers import listed
from mvmeta.report.terms import random_terms


def model_sentences(res: Any) -> list[str]:
    """One sentence for each part of the model: mean, random terms, errors, estimation, tests."""
    return [
        _mean(res),
        *([term.sentence for term in random_terms(res)] or [NO_TERMS]),
        *_held(res),
        _errors(res),
        *_weights(res),
        _estimation(res),
        tests_of(res),
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


def _errors(res: Any) -> str:
    v = res.fit_.problem.v
    if v.covariances is None:
        return "Sampling errors are independent, and their variances are known."
    made = f": {v.provenance.call}" if v.provenance is not None else ""
    return f"Sampling errors are correlated, their variances and covariances known{made}."


def _weights(res: Any) -> list[str]:
    if res.model.prepared.weights is None:
        return []
    return [
        "Coefficients are estimated with weights given by the analyst; their standard errors allow "
        "for that."
    ]


def _estimation(res: Any) -> str:
    method = "restricted maximum likelihood (REML)" if res.reml else "maximum likelihood (ML)"
    if not len(res.vcomp):
        return "Coefficients are estimated by generalised least squares."
    return (
        f"Variance components are estimated by {method}, coefficients by generalised least squares "
        "at these."
    )


DF = {
    "residual": "residual degrees of freedom, rows minus coefficients",
    "contain": "degrees of freedom by containment in the random terms",
    "satterthwaite": "Satterthwaite's degrees of freedom",
    "kenward-roger": "Kenward and Roger's standard errors and degrees of freedom",
    "cluster": "degrees of freedom from the number of clusters",
    "given": "degrees of freedom given by the analyst",
}
"""What `df_method` says, in words."""

SCALED = {
    "knha": "Standard errors are scaled as Knapp and Hartung proposed.",
    "adhoc": "Standard errors are scaled as Knapp and Hartung proposed, but never made smaller.",
}


def tests_of(res: Any) -> str:
    """How coefficients are tested."""
    how = f"t and F with {DF[res.df_method]}" if res.use_t else "z and chi-square"
    if res.n_clusters is not None:
        return (
            f"Tests and intervals are cluster-robust ({res.cov_type}, {res.n_clusters} clusters): "
            f"they hold where the model is wrong within clusters. They use {how}."
        )
    scaled = f" {SCALED[res.cov_type]}" if res.cov_type in SCALED else ""
    return f"Tests and intervals use {how}.{scaled}"
