"""The log-likelihood without some whole clusters of rows, by subtraction from that of all rows.

What the likelihood is made of adds up over independent clusters (`marginal.base.Sums`), so that
leaving some out needs no data set of its own: the sums of all rows, less theirs.
"""

from collections.abc import Sequence
from copy import copy

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.likelihood.objective import Evaluation, Objective
from mvmeta.likelihood.orthonormal import Regression
from mvmeta.marginal.base import (
    Arranged,
    Direction,
    MarginalCovariance,
    NotPositiveDefiniteError,
    Sums,
)
from mvmeta.marginal.select import build_backend

CANCELS = 1e-6
"""Share of X'N X that has to remain in every direction: digits are lost where less does, or X loses
rank without the rows."""


class WholeObjective(Objective):
    """The log-likelihood of all rows, from which clusters can be left out.

    Parameters
    ----------
    backend : MarginalCovariance
        Holds the problem, with its rows.
    reml : bool
    """

    def __init__(self, backend: MarginalCovariance, reml: bool) -> None:
        super().__init__(backend, reml)
        self._regression = Regression(backend.problem.x, backend.problem.y)
        self._first: tuple[list[Floats], Sums] | None = None

    def without(self, rows: Ints) -> "RemainingObjective":
        """Leave out `rows`, which are whole clusters."""
        part = build_backend(self.problem.take(rows))
        return RemainingObjective(self, part, part.arrange(self._regression.rows(rows)))

    def sums(
        self,
        gs: Sequence[Floats],
        first: Sequence[Direction],
        second: Sequence[Direction],
        quick: bool,
    ) -> Sums:
        """Sums of all rows at matrices G_t; those with pairs are kept, at the first G asked for."""
        if not quick and self._first is not None:
            known, found = self._first
            if all(np.array_equal(g, k) for g, k in zip(gs, known, strict=True)):
                return found
        found = self.backend.factorize(gs).sums(self._a, first, second, pairs=not quick)
        if not quick and self._first is None:
            self._first = list(gs), found
        return found

    def cov_beta(self, sums: Sums) -> Floats:
        """Covariance (p, p) of the fixed effects of all rows."""
        p = self.problem.p
        c = np.linalg.inv(sums.gram[:p, :p])
        return np.asarray(self._r_inverse @ c @ self._r_inverse.T)


class RemainingObjective(Objective):
    """The log-likelihood without the rows of `part`, but for a constant.

    Made by `WholeObjective.without`.

    Parameters
    ----------
    whole : WholeObjective
    part : MarginalCovariance
        Of the rows that are left out.
    columns : Arranged
        Their rows of [Q e], for `part`.

    Attributes
    ----------
    part : MarginalCovariance
        As given.
    left_out : MetaProblem
        Of the rows that are left out.
    """

    def __init__(self, whole: WholeObjective, part: MarginalCovariance, columns: Arranged) -> None:
        self.__dict__.update(copy(whole.__dict__))
        self.part, self._whole, self._columns = part, whole, columns
        self.left_out = part.problem
        self.n_evaluations = 0
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
        total = self._whole.sums(gs, first, second, quick)
        own = self.part.factorize(gs).sums(self._columns, first, second, pairs=not quick)
        rest = total - own
        self._refuse_little(rest, total)
        self._last = total
        return self._finish(x, rest, where)

    def _refuse_little(self, rest: Sums, total: Sums) -> None:
        p = self.problem.p
        if not p:
            return
        whole = np.linalg.cholesky(total.gram[:p, :p])
        half = np.linalg.solve(whole, rest.gram[:p, :p])
        if np.linalg.eigvalsh(np.linalg.solve(whole, half.T))[0] < CANCELS:
            raise NotPositiveDefiniteError

    @property
    def cov_beta_of_all(self) -> Floats:
        """Covariance (p, p) of the fixed effects of all rows, at the last point asked for."""
        assert self._last is not None
        return self._whole.cov_beta(self._last)
