"""The correlation within studies that the likelihood prefers, with a sentence."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from mvmeta.inference.components.rho import RhoProfile
from mvmeta.model.evidence.studies import indefinite


@dataclass(frozen=True, eq=False)
class RhoEstimate:
    """What the data say about the correlation of sampling errors within a study.

    Attributes
    ----------
    estimate : float
        The correlation at which the likelihood is largest.
    lower, upper : float
        Correlations that end the profile likelihood interval.
    lower_at_edge, upper_at_edge : bool
        The end of the possible range lies inside the interval.
    spread : float
        Difference in deviance, twice the log-likelihood, between the best and the worst value in
        the range.
    flat : bool
        Whether the data say nothing: `spread` is below 0.1.
    frame : DataFrame
        The profile: columns rho, a correlation, and llf, a log-likelihood; both are without unit.
    sentence : str
        All that in words.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> data = datasets.load("assink2016")
    >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="study/esid")
    >>> found = model.fit().estimate_rho(bounds=(0, 0.9))
    >>> [round(float(x), 2) for x in (found.estimate, found.lower, found.upper)]
    [0.52, 0.0, 0.9]
    """

    estimate: float
    lower: float
    upper: float
    lower_at_edge: bool
    upper_at_edge: bool
    spread: float
    flat: bool
    frame: pd.DataFrame
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def rho_estimate(p: RhoProfile, alpha: float, noun: str) -> RhoEstimate:
    """A profile as a table and a sentence; `noun` is the word for a study."""
    return RhoEstimate(
        p.estimate,
        p.lower,
        p.upper,
        p.lower_at_edge,
        p.upper_at_edge,
        p.spread,
        p.flat,
        pd.DataFrame({"rho": p.rho, "llf": p.loglik}),
        _sentence(p, alpha, noun),
    )


def _sentence(p: RhoProfile, alpha: float, noun: str) -> str:
    what = f"the correlation of sampling errors within {indefinite(noun)}"
    low, high = (f"{r:.2f}" for r in p.range)
    if p.flat:
        return (
            f"The data say nothing about {what}: every value from {low} to {high} fits as well. "
            "Random effects can take up what it explains; try several values with "
            "sensitivity(rho=...)."
        )
    interval = f"{1 - alpha:.0%} interval {p.lower:.2f} to {p.upper:.2f}"
    if p.lower_at_edge and p.upper_at_edge:
        return (
            f"The data say little about {what}: {p.estimate:.2f} fits best, but no value from "
            f"{low} to {high} can be excluded."
        )
    edge = ""
    if p.lower_at_edge or p.upper_at_edge:
        edge = f"; the {'lower' if p.lower_at_edge else 'upper'} end is that of the possible range"
    told = f"The data put {what} at {p.estimate:.2f} ({interval}{edge})."
    if p.lower_at_edge and p.estimate < 0:
        told += (
            " A negative correlation usually stands for something else that the model lacks; "
            "bounds=(0, 1) leaves it out."
        )
    return told
