"""Checks of the maximum: whether it is one, and whether it is the only one."""

from __future__ import annotations

import numpy as np

from mvmeta.model.diagnosis.findings import Finding, Outcome
from mvmeta.model.diagnosis.subject import Subject

FAR = 1e-6
"""Newton decrement, in log-likelihood units, of a point that is not quite the maximum."""

LEVEL_WITH = 2.0
"""Log-likelihood units below the best one within which another maximum is a rival."""


def certificate(s: Subject) -> Outcome:
    """Whether the optimiser vouches for a maximum."""
    c = s.res.certificate
    if not s.fit.estimated.any():
        return Outcome()
    near = not c["newton_decrement"] > FAR
    if s.res.converged and near:
        return Outcome(passed=s.res.status.value)
    finding = Finding(
        "weak-certificate",
        "problem" if not s.res.converged else "caution",
        f"The optimiser does not vouch for a maximum: {s.res.status.value}.",
        {
            "newton decrement": float(c["newton_decrement"]),
            "smallest curvature": float(c["smallest_curvature"]),
            "evaluations": int(c["evaluations"]),
        },
        "Estimates away from the maximum are not the estimates of this model, and their "
        "standard errors are not standard errors.",
        "look at history and profile(); a simpler structure, start= or a larger maxiter= may help.",
    )
    return Outcome((finding,))


def other_maxima(s: Subject) -> Outcome:
    """Whether the likelihood has a second maximum that is nearly as high."""
    below = s.res.certificate["next_best_below"]
    if not s.fit.estimated.any():
        return Outcome()
    if np.isnan(below):
        return Outcome(passed="all starts led to the same maximum")
    if below > LEVEL_WITH:
        return Outcome(passed=f"the next best maximum is {below:.3g} below in log-likelihood")
    other = min(s.res._optimum.others, key=lambda m: m.below)
    moved = [
        f"{name} {a:.3g} or {b:.3g}"
        for name, a, b in zip(s.res.component_labels, s.fit.theta, other.theta, strict=True)
        if not np.isclose(a, b, rtol=1e-3, atol=1e-8)
    ]
    finding = Finding(
        "other-maxima",
        "caution",
        "The likelihood has another maximum that is nearly as high.",
        {"below the best": float(below), "components": moved},
        "Two different sets of components explain the data about equally well. The one reported "
        "is the higher of the two, but the data hardly prefer it.",
        "fit(start=...) at the other one and compare what you want to report; a simpler structure "
        "usually has one maximum only.",
    )
    return Outcome((finding,))
