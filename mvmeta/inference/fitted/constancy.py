"""Within the levels of which grouping factors each column of X is constant."""

from collections.abc import Iterator

import numpy as np

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.layout import recode
from mvmeta.design.problem import MetaProblem
from mvmeta.design.terms import RandomTerm


def constancy(problem: MetaProblem) -> Iterator[tuple[int, Bools]]:
    """For each grouping factor its levels, and which columns (p,) of X are constant within them."""
    for term in problem.terms:
        for codes in grouping_factors(term):
            level, levels = recode(codes)
            yield levels, _constant_within(problem.x, level, levels)


def grouping_factors(term: RandomTerm) -> Iterator[Ints]:
    """Partitions (n,) of the rows by which a term groups them, coarsest first.

    Groups with a known correlation are stored as one level that holds all of them, which is
    no grouping the user asked for: the groups are.
    """
    yield term.groups.codes
    if term.inner is not None:
        yield term.level * term.q + term.inner


GLANCE = 2**14
"""Rows looked at first: most columns vary within some level there already."""


def _constant_within(x: Floats, level: Ints, levels: int) -> Bools:
    """Which columns of x (n, p) do not vary within any level."""
    if levels == len(level):
        return np.ones(x.shape[1], dtype=bool)
    out = _agrees(x[:GLANCE], level[:GLANCE], levels)
    if len(level) > GLANCE:
        varies = [j for j in np.flatnonzero(out) if (x[:, j] != x[0, j]).any()]
        out[varies] = _agrees(x[:, varies], level, levels)
    return out


def _agrees(x: Floats, level: Ints, levels: int) -> Bools:
    """Whether every row has the values of the first row of its level, by column."""
    if not x.shape[1]:
        return np.ones(0, dtype=bool)
    first = np.zeros(levels, dtype=np.intp)
    first[level[::-1]] = np.arange(len(level))[::-1]
    return np.asarray((x == x[first[level]]).all(axis=0))
