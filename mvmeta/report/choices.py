"""What was chosen for a fit, once for each choice: as the page says it, and as a paper says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mvmeta.report.numbers import counted
from mvmeta.report.rows import function_name, holds_rows

CITED = "{cited}"
"""Where the works stand in what a paper says."""


@dataclass(frozen=True)
class Choice:
    """A choice in two voices.

    Attributes
    ----------
    now : str
        Sentences of the page, which describes the model.
    then : str
        A sentence of a methods section, with `CITED` where its works are cited.
    works : tuple of str
        Keys of the works.
    """

    now: str
    then: str
    works: tuple[str, ...] = ()


INDEPENDENT = Choice(
    "Sampling errors are independent, and their variances are known.",
    "Sampling variances were treated as known and sampling errors as independent.",
)


def errors(res: Any) -> Choice:
    """What is known of the sampling errors."""
    if not holds_rows(res):
        return _errors_of_batches(res)
    v = res.fit_.problem.v
    if v.covariances is None:
        return INDEPENDENT
    made = v.provenance.call if v.provenance is not None else ""
    said, computed = (f": {made}", f", computed with {made},") if made else ("", "")
    return Choice(
        f"Sampling errors are correlated, their variances and covariances known{said}.",
        f"Sampling variances and covariances{computed} were treated as known.",
    )


def _errors_of_batches(res: Any) -> Choice:
    given = res.model.prepared.given["variance"]
    if not callable(given):
        return INDEPENDENT
    made = f"computed from each batch of the rows by {function_name(given)}"
    return Choice(
        f"Variances and covariances of the sampling errors are known: {made}.",
        f"Sampling variances and covariances, {made}, were treated as known.",
    )


def weights(res: Any) -> Choice | None:
    """Weights of the analyst, if there are any."""
    if res.model.prepared.weights is None:
        return None
    return Choice(
        "Coefficients are estimated with weights given by the analyst; their standard errors allow "
        "for that.",
        "Coefficients were estimated with weights that we chose.",
    )


def estimation(res: Any) -> Choice:
    """How variance components, and at them the coefficients, are estimated."""
    if not len(res.vcomp):
        return Choice(
            "Coefficients are estimated by generalised least squares.",
            "Coefficients were estimated by generalised least squares.",
        )
    name, short = ("restricted maximum likelihood", "REML") if res.reml else _ML
    works = ("patterson1971",) if res.reml else ()
    return Choice(
        f"Variance components are estimated by {name} ({short}), coefficients by generalised least "
        "squares at these.",
        f"Variance components were estimated by {name}{CITED}.",
        works,
    )


_ML = ("maximum likelihood", "ML")


DF = {
    "residual": "residual degrees of freedom (rows minus coefficients)",
    "contain": "degrees of freedom by containment in the random terms",
    "satterthwaite": "Satterthwaite's degrees of freedom",
    "kenward-roger": "Kenward and Roger's standard errors and degrees of freedom",
    "cluster": "degrees of freedom equal to the number of clusters minus that of coefficients",
    "given": "given degrees of freedom",
}
"""What `df_method` says, in words."""

DF_WORKS = {"satterthwaite": ("satterthwaite1946",), "kenward-roger": ("kenward1997",)}

SCALED = {
    "knha": "as Knapp and Hartung proposed",
    "adhoc": "as Knapp and Hartung proposed, but never made smaller",
}
"""How `cov_type` scales standard errors."""


def tests(res: Any, coverage: str) -> Choice:
    """How coefficients are tested; `coverage` names the intervals of a paper."""
    how = f"t and F with {DF[res.df_method]}" if res.use_t else "z and chi-square"
    if res.n_clusters is not None:
        return _robust(res, how, coverage)
    if not res.use_t:
        return Choice(
            f"Tests and intervals use {how}.",
            f"Coefficients were tested by z; we give {coverage}.",
        )
    works, now, scaled = DF_WORKS.get(res.df_method, ()), "", ""
    if res.cov_type in SCALED:
        now = f" Standard errors are scaled {SCALED[res.cov_type]}."
        scaled = f", with standard errors scaled {SCALED[res.cov_type]}"
        works = (*works, "knapp2003")
    return Choice(
        f"Tests and intervals use {how}.{now}",
        f"Coefficients were tested by t with {DF[res.df_method]}{scaled}{CITED}; we give "
        f"{coverage}.",
        works,
    )


def _robust(res: Any, how: str, coverage: str) -> Choice:
    kind = f"cluster-robust ({res.cov_type}, {counted(res.n_clusters, 'cluster')})"
    works = ["hedges2010"]
    if res.cov_type in ("CR2", "CR3"):
        works += ["bell2002", "pustejovsky2018"]
    if res.clusters is not None and res.clusters.ndim == 2:
        works.append("cameron2011")
    return Choice(
        f"Tests and intervals are {kind}: they hold where the model is wrong within clusters. They "
        f"use {how}.",
        f"Standard errors were {kind}{CITED}, with {DF[res.df_method]}; we give {coverage}.",
        tuple(works),
    )
