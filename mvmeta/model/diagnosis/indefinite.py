"""Whether the estimated covariance matrices of the random effects are covariance matrices."""

from __future__ import annotations

from mvmeta.inference.components.definite import Indefinite, indefinite_terms
from mvmeta.inference.fitted.fit import Fit
from mvmeta.model.diagnosis.findings import Finding, Outcome
from mvmeta.model.diagnosis.subject import Subject
from mvmeta.structures import CovarianceStructure, Kronecker, Pinned, Tied
from mvmeta.structures.spatial import Spatial

WHY = (
    "No random effects have such a covariance matrix. The fixed effects and their tests rest on "
    "the marginal covariance M, which is positive definite; predicted random effects, predictions "
    "of new effects, simulations and bootstraps rest on this matrix."
)
HARDLY = "The eigenvalue is small, and they may be nearly those of a covariance matrix close by."
SMALL = 0.01
"""Negative eigenvalue, relative to the largest variance, that is a blemish rather than a fault."""


def definite(s: Subject) -> Outcome:
    """Whether every G is positive semi-definite at the estimate."""
    terms = s.fit.problem.terms
    if not any(t.structure.may_be_indefinite for t in terms):
        return Outcome()
    found = indefinite_terms(s.fit.problem, s.fit.theta)
    if not found:
        return Outcome(passed="no covariance matrix of random effects has a negative eigenvalue")
    return Outcome(tuple(_finding(x) for x in found))


def _finding(x: Indefinite) -> Finding:
    small = _is_small(x)
    return Finding(
        "indefinite-covariance",
        "caution" if small else "problem",
        f"The estimated covariance matrix of {_called(x)} has a negative eigenvalue.",
        {"smallest eigenvalue": x.smallest, "largest": x.largest, "largest variance": x.variance},
        f"{WHY} {HARDLY if small else ''}".strip(),
        f"{_advice(x.term.structure)}.",
    )


def indefinite_warning(fit: Fit) -> str | None:
    """What `fit` warns of; None where every G is a covariance matrix, or nearly so."""
    found = [x for x in indefinite_terms(fit.problem, fit.theta) if not _is_small(x)]
    if not found:
        return None
    which = "; ".join(
        f"the estimated covariance matrix of {_called(x)} has the negative eigenvalue "
        f"{x.smallest:.3g} (the largest is {x.largest:.3g}): {_advice(x.term.structure)}"
        for x in found
    )
    return f"{which}. M is positive definite, and fixed effects rest on it; diagnose() says more"


def _is_small(x: Indefinite) -> bool:
    return -x.smallest <= SMALL * x.variance


def _called(x: Indefinite) -> str:
    return f"{x.term.name!r} ({_family(x.term.structure).code})"


def _family(structure: CovarianceStructure) -> CovarianceStructure:
    while isinstance(structure, Kronecker | Pinned | Tied):
        structure = structure.structure if isinstance(structure, Kronecker) else structure.inner
    return structure


def _advice(structure: CovarianceStructure) -> str:
    if isinstance(_family(structure), Spatial):
        return (
            "its correlation function is none for these distances; SPEXP is one for Euclidean, "
            "Manhattan and great-circle distances, SPLIN on a line, SPSPH in up to three "
            "dimensions, the others for Euclidean distances"
        )
    own = structure.structure if isinstance(structure, Kronecker) else structure
    how = "made equal" if isinstance(own, Tied) else "fixed"
    return (
        f"the correlations that are {how} do not go with the others; leave some of them free, or "
        "take a structure with fewer correlations, such as CS or HCS"
    )
