"""A problem, its optimum, and what every inference function may ask of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from mvmeta._typing import Bools, Floats
from mvmeta.design.problem import MetaProblem
from mvmeta.inference.fitted.constancy import constancy, grouping_factors
from mvmeta.inference.fitted.within import told_within, within_triangle
from mvmeta.likelihood.orthonormal import orthonormal_basis
from mvmeta.marginal.base import Direction, MarginalFactor, Sums, diagonal, multiply


@dataclass(frozen=True, eq=False)
class Fit:
    """The single input of every inference function; nothing in it changes after `fit()`.

    Attributes
    ----------
    problem : MetaProblem
        In the units of the data.
    reml : bool
        Criterion the components maximise.
    theta : ndarray, shape (n_components,)
        Natural components in reporting order, pinned ones included.
    boundary : ndarray of bool, shape (n_components,)
        Estimates on an edge of the parameter space: constants for every df.
    factor : MarginalFactor
        M at `theta`.
    beta : ndarray, shape (p,)
        Fixed effects: GLS, or weighted by `weights`.
    cov_beta : ndarray, shape (p, p)
        inv(X' inv(M) X), or the sandwich under `weights`.
    loglik : dict
        Keys True (REML) and False (ML): log-likelihood at `theta` and `beta`.
    weights : sparse array (n, n) or None
        User weights W for the fixed effects.
    """

    problem: MetaProblem
    reml: bool
    theta: Floats
    boundary: Bools
    factor: MarginalFactor
    beta: Floats
    cov_beta: Floats
    loglik: dict[bool, float]
    weights: sparse.csr_array | None = None

    @cached_property
    def gs(self) -> list[Floats]:
        """G_t (q_t, q_t) of every term."""
        pieces = self.problem.split(self.theta)
        return [t.structure.matrix(x) for t, x in zip(self.problem.terms, pieces, strict=True)]

    @property
    def fitted(self) -> Floats:
        """X b, shape (n,)."""
        return np.asarray(self.problem.x @ self.beta)

    @property
    def resid(self) -> Floats:
        """Marginal residuals y - X b, shape (n,)."""
        return residuals(self.problem.y, self.fitted)

    def orthonormal_sums(
        self, directions: Sequence[Direction], extra: Sequence[Direction] = ()
    ) -> tuple[Sums, Floats]:
        """Sums of [Q e], X = Q R with Q'Q = I and e residuals of some coefficients, and R."""
        q, r = orthonormal_basis(self.problem.x)
        return self.factor.sums(np.column_stack([q, self.resid]), directions, extra), r

    @property
    def constancy(self) -> list[tuple[int, Bools]]:
        """For each grouping factor its levels, and which columns of X are constant within them."""
        return list(constancy(self.problem))

    @property
    def told_within(self) -> Bools:
        """Coefficients (p,) that comparisons within the groups of the first term tell about."""
        x, codes = self.problem.x, next(grouping_factors(self.problem.terms[0]))
        return told_within(within_triangle(x, codes), np.linalg.norm(x, axis=0))

    @property
    def mean_columns(self) -> Floats:
        """Means (p,) of the columns of X."""
        return np.asarray(self.problem.x.mean(axis=0))

    @property
    def fitted_moments(self) -> tuple[float, float, float]:
        """Mean of X b, its variance (over n - 1; 0 for one row), and its mean square."""
        fitted = self.fitted
        spread = float(np.var(fitted, ddof=1)) if len(fitted) > 1 else 0.0
        return float(fitted.mean()), spread, float(np.mean(fitted**2))

    @property
    def residual_quadratic(self) -> float:
        """``e' inv(M) e`` of the marginal residuals."""
        e = self.resid
        return float(e @ self.factor.solve(e[:, None])[:, 0])

    @property
    def saturated_loglik(self) -> float:
        """ML log-likelihood of the model with one parameter per row; 0 where V is singular."""
        v = self.problem.v
        if v.is_singular:
            return 0.0
        return -0.5 * (self.problem.n * float(np.log(2.0 * np.pi)) + v.logdet())

    @property
    def estimated(self) -> Bools:
        """Components that count as parameters: not pinned, equal ones once, boundary ones too."""
        return self.problem.estimated

    @cached_property
    def marginal_diagonal(self) -> Floats:
        """diag(M), shape (n,)."""
        return diagonal(self.problem, self.gs)

    def multiply(self, b: Floats) -> Floats:
        """``M @ b`` for b (n, k)."""
        return multiply(self.problem, self.gs, b)


def residuals(y: Floats, fitted: Floats) -> Floats:
    """``y - fitted`` of shape (n,), exactly 0 where the two differ by rounding only.

    A model that reproduces the data must not get test statistics made of rounding errors.
    """
    r = y - fitted
    return np.where(np.abs(r) <= ROUNDING * np.abs(y), 0.0, r)


ROUNDING = 16 * np.finfo(float).eps
"""Relative difference that the few operations behind a fitted value can cause by rounding."""
