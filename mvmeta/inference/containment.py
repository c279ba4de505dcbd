"""Containment degrees of freedom: a coefficient is worth the units it varies between."""

from collections.abc import Iterator

import numpy as np

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.layout import recode
from mvmeta.design.terms import RandomTerm
from mvmeta.inference.degrees import PerCoefficient
from mvmeta.inference.fit import Fit


def containment_df(fit: Fit) -> PerCoefficient:
    """Degrees of freedom by containment, as metafor's ``dfs="contain"``.

    For coefficient j: the number of levels of the coarsest grouping factor of any random term
    within whose levels column j of X is constant (k if there is none), minus p, at least 1.
    The grouping factors of ``inner | outer`` are `outer` and the cells of `inner` within
    `outer`.
    """
    x = fit.problem.x
    count = np.full(fit.problem.p, float(fit.problem.n))
    for term in fit.problem.terms:
        for codes in grouping_factors(term):
            level, levels = recode(codes)
            constant = _constant_within(x, level, levels)
            count[constant] = np.minimum(count[constant], levels)
    return PerCoefficient(np.maximum(count - fit.problem.p, 1.0))


def effect_df(fit: Fit) -> Floats:
    """Df of intervals for the effects of every term: its number of levels - p, at least 1."""
    counts = [recode(next(grouping_factors(t)))[1] for t in fit.problem.terms]
    return np.maximum(np.array(counts, dtype=float) - fit.problem.p, 1.0)


def grouping_factors(term: RandomTerm) -> Iterator[Ints]:
    """Partitions (n,) of the rows by which a term groups them, coarsest first.

    Groups with a known correlation are stored as one level that holds all of them, which is
    no grouping the user asked for: the groups are.
    """
    yield term.groups.codes
    if term.inner is not None:
        yield term.level * term.q + term.inner


def _constant_within(x: Floats, level: Ints, levels: int) -> Bools:
    """Which columns of x (n, p) do not vary within any level."""
    first = np.zeros(levels, dtype=np.intp)
    first[level[::-1]] = np.arange(len(level))[::-1]
    return np.asarray((x == x[first[level]]).all(axis=0))
