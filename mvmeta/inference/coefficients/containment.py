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
    `outer`.  A single level that holds all rows counts as any other: one unit, 1 df.
    """
    return contained(fit.problem.n, fit.problem.p, fit.constancy)


def contained(n: int, p: int, factors: Iterable[tuple[int, Bools]]) -> PerCoefficient:
    """The rule of `containment_df`, from what `constancy.constancy` yields."""
    count = np.full(p, float(n))
    for levels, constant in factors:
        count[constant] = np.minimum(count[constant], levels)
    return PerCoefficient(np.maximum(count - p, 1.0))


def several_groups_df(fit: Fit) -> Floats:
    """Containment df (p,) by groupings that have several levels.

    One level that holds all rows, such as "const" of sites, has nothing to count.
    """
    several = [(levels, constant) for levels, constant in fit.constancy if levels > 1]
    return contained(fit.problem.n, fit.problem.p, several).coefficients()


def studies_df(fit: Fit) -> Floats:
    """`several_groups_df` (p,), and J - 1 where it counts rows for what compares J studies.

    Containment takes the mean of a level that varies within studies, the groups of the first
    term, for one that rows inform about; comparisons within studies say nothing of it.
    """
    df, found = several_groups_df(fit), fit.constancy
    groups = found[0][0] if found else 0
    large = df > groups - 1
    if groups > 1 and large.any():
        df[large & ~fit.told_within] = groups - 1.0
    return df


def in_one_group(fit: Fit) -> Bools:
    """Coefficients (p,) to which `containment_df` gives 1 df as one level holds all rows."""
    out = np.zeros(fit.problem.p, dtype=bool)
    for levels, constant in fit.constancy:
        if levels == 1:
            out |= constant
    return out


def effect_df(fit: Fit) -> Floats:
    """Df of intervals for the effects of every term: its number of levels - p, at least 1."""
    counts = [recode(next(grouping_factors(t)))[1] for t in fit.problem.terms]
    return np.maximum(np.array(counts, dtype=float) - fit.problem.p, 1.0)
