"""Containment degrees of freedom: a coefficient is worth the units it varies between."""

from collections.abc import Iterable

import numpy as np

from mvmeta._typing import Bools, Floats
from mvmeta.design.layout import recode
from mvmeta.inference.coefficients.degrees import PerCoefficient
from mvmeta.inference.fitted.constancy import grouping_factors
from mvmeta.inference.fitted.fit import Fit


def containment_df(fit: Fit) -> PerCoefficient:
    """Degrees of freedom by containment, as metafor's ``dfs="contain"``.

    For coefficient j: the number of levels of the coarsest grouping factor of any random term
    within whose levels column j of X is constant (k if there is none), minus p, at least 1.
    The grouping factors of ``inner | outer`` are `outer` and the cells of `inner` within
    `outer`.
    """
    return contained(fit.problem.n, fit.problem.p, fit.constancy)


def contained(n: int, p: int, factors: Iterable[tuple[int, Bools]]) -> PerCoefficient:
    """The rule of `containment_df`, from what `constancy.constancy` yields."""
    count = np.full(p, float(n))
    for levels, constant in factors:
        count[constant] = np.minimum(count[constant], levels)
    return PerCoefficient(np.maximum(count - p, 1.0))


def effect_df(fit: Fit) -> Floats:
    """Df of intervals for the effects of every term: its number of levels - p, at least 1."""
    counts = [recode(next(grouping_factors(t)))[1] for t in fit.problem.terms]
    return np.maximum(np.array(counts, dtype=float) - fit.problem.p, 1.0)
