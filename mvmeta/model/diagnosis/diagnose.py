"""The list of checks, and how they are run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mvmeta.model.diagnosis import indefinite, moderators, optimum, sampling
from mvmeta.model.diagnosis import random_effects as random
from mvmeta.model.diagnosis import studies as of_studies
from mvmeta.model.diagnosis.findings import Diagnosis, Outcome
from mvmeta.model.diagnosis.subject import Subject, may_refit
from mvmeta.model.evidence.studies import studies
from mvmeta.progress import track

if TYPE_CHECKING:
    from mvmeta.model.results.results import MetaMixedLMResults

CHECKS: dict[str, Callable[[Subject], Outcome]] = {
    "maximum": optimum.certificate,
    "other maxima": optimum.other_maxima,
    "random effects": random.no_random_effects,
    "effects within studies": random.estimate_level,
    "edges": random.boundary,
    "covariance matrices": indefinite.definite,
    "fixed automatically": random.held_fixed,
    "components": random.identified,
    "levels": moderators.sparse_levels,
    "between and within": moderators.between_within,
    "contextual effects": moderators.contextual,
    "correlations in V": sampling.guessed,
    "sizes in V": sampling.sizes,
    "independent errors": sampling.independent,
    "number of studies": of_studies.enough,
    "robust standard errors": of_studies.known_from_one,
    "influence": of_studies.influential,
}
"""In the order in which they are run and reported."""


def diagnose(res: MetaMixedLMResults, groups: Any = None, refit: bool | None = None) -> Diagnosis:
    """Run every check; see `MetaMixedLMResults.diagnose`."""
    allowed = may_refit(res) if refit is None else bool(refit)
    subject = Subject(res, studies(res.model.prepared, groups), allowed)
    return Diagnosis.of({name: CHECKS[name](subject) for name in track(list(CHECKS), "checks")})
