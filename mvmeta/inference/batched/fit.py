"""A fit whose rows come in batches: what `Fit` computes from all rows, as sums over pieces."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import stats

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.batched import NOT_HELD, BatchedProblem
from mvmeta.inference.batched.described import Describe, Described, VAlone, residual_quadratic
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.fitted.projection import Projection
from mvmeta.inference.fitted.within import told_within
from mvmeta.inference.heterogeneity.q_and_i2 import Heterogeneity, HeterogeneityTest
from mvmeta.inference.robust.clusters import Bread
from mvmeta.inference.robust.sandwich import Robust, check_robust
from mvmeta.inference.robust.sums import RobustSums, check_size, robust_from_sums
from mvmeta.marginal.base import Direction, MarginalCovariance, MarginalFactor, Sums
from mvmeta.marginal.batched import BatchedFactor, BatchedMarginal, total


@dataclass(frozen=True, eq=False)
class Estimates:
    """What a piece must know of a fit to answer for its rows; it pickles."""

    reml: bool
    theta: Floats
    boundary: Bools
    gs: tuple[Floats, ...]
    beta: Floats
    cov_beta: Floats
    loglik: dict[bool, float]
    bread: Floats

    def projection(self, piece: Any, fit: Fit) -> Projection:
        """The residual projection, seen from the rows of a piece."""
        return Projection.among(piece.orthonormal[:, :-1], self.bread, fit.factor.solve)

    def of(self, plan: MarginalCovariance) -> Fit:
        """The fit, seen from the rows of a piece."""
        return Fit(
            plan.problem,
            self.reml,
            self.theta,
            self.boundary,
            plan.factorize(self.gs),
            self.beta,
            self.cov_beta,
            self.loglik,
        )


@dataclass(frozen=True, eq=False)
class BatchedFit(Fit):
    """A fit without rows."""

    problem: BatchedProblem
    factor: MarginalFactor

    @property
    def plan(self) -> BatchedMarginal:
        """The plan, which knows where the pieces are."""
        assert isinstance(self.factor, BatchedFactor)
        return self.factor.plan

    @property
    def r(self) -> Floats:
        """X = Q R, (p, p)."""
        assert self.plan.least_squares is not None
        return self.plan.least_squares.r

    @property
    def estimates(self) -> Estimates:
        """What pieces must know."""
        return Estimates(
            self.reml,
            self.theta,
            self.boundary,
            tuple(self.gs),
            self.beta,
            self.cov_beta,
            self.loglik,
            self.bread,
        )

    @property
    def bread(self) -> Floats:
        """inv(Q'inv(M)Q), (p, p)."""
        return self.r @ self.cov_beta @ self.r.T

    def orthonormal_sums(
        self, directions: Sequence[Direction], extra: Sequence[Direction] = ()
    ) -> tuple[Sums, Floats]:
        return self.factor.sums(NOT_HELD, directions, extra), self.r

    @property
    def residual_quadratic(self) -> float:
        return residual_quadratic(self.factor.sums(NOT_HELD).gram)

    @property
    def saturated_loglik(self) -> float:
        if self.problem.singular:
            return 0.0
        return -0.5 * (self.problem.n * float(np.log(2.0 * np.pi)) + self.v_alone.logdet)

    @cached_property
    def described(self) -> Described:
        """Sums over all rows that do not depend on the estimates; one pass."""
        found: Described = total(self.plan.source.map(Describe(self.problem.singular)))
        return found

    @property
    def v_alone(self) -> VAlone:
        """The model without random effects; V must not be singular."""
        found = self.described.v
        assert found is not None
        return found

    @property
    def fitted_moments(self) -> tuple[float, float, float]:
        n, r = self.problem.n, self.described.triangle
        mean = float(r[0, 1:] @ self.beta / r[0, 0])
        rest = r[1:, 1:] @ self.beta
        spread = float(rest @ rest)
        return mean, spread / max(n - 1, 1), mean**2 + spread / n

    @property
    def mean_columns(self) -> Floats:
        r = self.described.triangle
        return np.asarray(r[0, 1:] / r[0, 0])

    @property
    def constancy(self) -> list[tuple[int, Bools]]:
        found = self.described.constancy
        return list(zip(found.levels, found.constant, strict=True))

    @property
    def told_within(self) -> Bools:
        found = self.described
        return told_within(found.within, np.linalg.norm(found.triangle[:, 1:], axis=0))

    def heterogeneity_test(self) -> HeterogeneityTest:
        """As `q_and_i2.heterogeneity_test`."""
        df = self.problem.n - self.problem.p
        if self.problem.singular:
            return HeterogeneityTest(np.nan, df, np.nan)
        if df == 0:
            return HeterogeneityTest(0.0, 0, 1.0)
        statistic = self.v_alone.statistic
        return HeterogeneityTest(statistic, df, float(stats.chi2.sf(statistic, df)))

    def heterogeneity(self) -> Heterogeneity:
        """As `q_and_i2.heterogeneity`."""
        n, p = self.problem.n, self.problem.p
        moments = self.described.loadings
        defined = not self.problem.singular and n > p
        typical = (n - p) / self.v_alone.projector_trace if defined else np.nan
        variance = np.array(
            [float((s * g).sum()) / n for s, g in zip(moments, self.gs, strict=True)]
        )
        i2 = variance / (variance.sum() + typical)
        all_of_it = float(i2.sum()) if np.isfinite(typical) else np.nan
        return Heterogeneity(variance, i2, all_of_it, typical)

    def robust(self, source: Any, groups: Any, kind: str, df: str) -> Robust:
        """As `sandwich.robust`; one pass.

        Parameters
        ----------
        source : PieceSource
            Whose pieces hold whole groups.
        groups : callable
            Codes (n,) 0..J-1 of the groups of a piece; it pickles.
        kind, df
            As in `sandwich.robust`.
        """
        check_robust(kind, df)
        tested = df == "satterthwaite"
        if tested:
            check_size(self.problem.p)
        question = RobustOf(self.estimates, self.r, groups, kind, tested)
        sums: RobustSums = total(source.map(question))
        nothing = np.empty((0, self.problem.p))
        at = Bread(nothing, nothing, self.r, self.bread, self.bread)
        return robust_from_sums(self, sums, at, kind, df)


@dataclass(frozen=True, eq=False)
class RobustOf:
    """The question for the robust sums of a piece."""

    estimates: Estimates
    r: Floats
    groups: Any
    kind: str
    tested: bool

    def __call__(self, piece: Any) -> RobustSums:
        fit, bread = self.estimates.of(piece.plan), self.estimates.bread
        codes: Ints = self.groups(piece)
        q = piece.orthonormal[:, :-1]
        at = Bread(q, fit.factor.solve(q), self.r, bread, bread)
        return RobustSums.of(fit, codes, at, self.kind, tested=self.tested)
