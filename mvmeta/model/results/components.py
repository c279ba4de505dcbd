"""Variance components as a labelled table, and under metafor's names."""

import numpy as np
import pandas as pd

from mvmeta.design.problem import MetaProblem
from mvmeta.inference.fitted.fit import Fit


def vcomp_frame(fit: Fit) -> pd.DataFrame:
    """One row per component: term, component, level, estimate, sqrt, n_levels, fixed, boundary.

    `sqrt` is the standard deviation of a variance (NaN for correlations), `n_levels` the number
    of levels of the grouping, correlated or not.
    """
    problem = fit.problem
    counts = [len(t.groups.labels) for t in problem.terms for _ in t.structure.components]
    power = problem.power
    return pd.DataFrame(
        {
            "term": [t.name for t in problem.terms for _ in t.structure.components],
            "component": [c.kind for c in problem.components],
            "level": [c.level for c in problem.components],
            "estimate": fit.theta,
            "sqrt": np.sqrt(np.where(power == 2, np.clip(fit.theta, 0, None), np.nan)),
            "n_levels": np.array(counts, dtype=int),
            "fixed": problem.fixed,
            "boundary": fit.boundary,
        }
    )


def component_labels(problem: MetaProblem) -> list[str]:
    """Unique names such as "study: sigma2" and "outcome | study: tau2[A]"."""
    out = []
    for t in problem.terms:
        for c in t.structure.components:
            level = f"[{c.level}]" if c.level else ""
            out.append(f"{t.name}: {c.kind}{level}")
    return out
