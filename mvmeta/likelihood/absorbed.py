"""The restricted log-likelihood without some rows, by an effect of its own for each of them.

A fixed effect for a row takes up all that the row says: the contrasts of y that are free of X and
of these effects are those of the other rows (the mean-shift outlier model; Haslett & Haslett 2007,
Int Stat Rev 75:1).  So REML with [X E], where E has a column for every row that is left out, is
REML without them, for any M: neither a data set nor a factor of its own is needed.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.likelihood.objective import Evaluation, Objective
from mvmeta.marginal.base import Direction, MarginalCovariance, MarginalFactor, Sums


class FactorsOfAll:
    """Factors of M of all rows; the first is kept, for every ascent without some rows begins there.

    Parameters
    ----------
    backend : MarginalCovariance
        Of all rows.
    """

    def __init__(self, backend: MarginalCovariance) -> None:
        self.backend = backend
        self._first: tuple[list[Floats], MarginalFactor] | None = None

    def at(self, gs: Sequence[Floats]) -> MarginalFactor:
        """The factor at matrices G_t."""
        if self._first is None:
            self._first = [np.array(g) for g in gs], self.backend.factorize(gs)
        known, factor = self._first
        if all(np.array_equal(g, k) for g, k in zip(gs, known, strict=True)):
            return factor
        return self.backend.factorize(gs)


class AbsorbedObjective(Objective):
    """The restricted log-likelihood without `rows`, but for a constant.

    Parameters
    ----------
    factors : FactorsOfAll
    rows : ndarray of int, shape (m,)
        Without which X has full rank.

    Attributes
    ----------
    left_out : MetaProblem
        Of those rows.
    """

    def __init__(self, factors: FactorsOfAll, rows: Ints) -> None:
        problem = factors.backend.problem
        own = np.zeros((problem.n, len(rows)))
        own[rows, np.arange(len(rows))] = 1.0
        x = np.hstack([problem.x, own])
        super().__init__(factors.backend.with_design(x), reml=True)
        self.left_out, self._factors, self._p = problem.take(rows), factors, problem.p
        self._last: Sums | None = None

    def _at(
        self,
        x: Floats,
        gs: Sequence[Floats],
        first: Sequence[Direction],
        second: Sequence[Direction] = (),
        where: Sequence[tuple[int, int]] = (),
        *,
        quick: bool = False,
    ) -> Evaluation:
        self.n_evaluations += 1
        self._last = self._factors.at(gs).sums(self._a, first, second, pairs=not quick)
        found, p = self._finish(x, self._last, where), self._p
        return replace(found, beta=found.beta[:p], cov_beta=found.cov_beta[:p, :p])

    @property
    def cov_beta_of_all(self) -> Floats:
        """Covariance (p, p) of the fixed effects of all rows, at the last point asked for."""
        assert self._last is not None
        p = self._p
        c = np.linalg.inv(self._last.gram[:p, :p])  # the first columns of Q span X
        r = self._r_inverse[:p, :p]
        return np.asarray(r @ c @ r.T)
