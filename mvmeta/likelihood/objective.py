"""Log-likelihood, gradient and curvature at one theta, in one pass over the data.

With A = [X y], N = inv(M), C = inv(X'NX), b = (-beta, 1) and P = N - N X C X'N, everything is
a function of the additive statistics in `marginal.base.Sums` (Harville 1977; Gilmour,
Thompson & Cullis 1995, Biometrics 51:1440 for the average information):

    g_j  = -1/2 [tr(P K_j) - b'A'N K_j N A b]
    AI_jl = 1/2 y'P K_j P K_l P y
    F_jl  = 1/2 tr(P K_j P K_l)
    -d2l/(dtheta_j dtheta_l) = 2 AI - F + 1/2 [tr(P K_jl) - y'P K_jl P y]

where K_j and K_jl are the first and second derivatives of M.  Under ML the P in the traces
is N.
"""

from collections.abc import Collection, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import lapack

from mvmeta._typing import Floats
from mvmeta.design.problem import MetaProblem
from mvmeta.design.sharing import Sharing
from mvmeta.likelihood.criterion import criterion
from mvmeta.likelihood.orthonormal import Regression
from mvmeta.marginal.base import (
    Direction,
    LeastSquares,
    MarginalCovariance,
    NotPositiveDefiniteError,
    Sums,
    weighted_entries,
)
from mvmeta.structures.base import Chart


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The criterion at one point.

    Attributes
    ----------
    x : ndarray, shape (J,)
        The parameters, in the chart that was asked for.
    logliks : dict
        Log-likelihood under REML (True) and ML (False).
    reml : bool
        The criterion that gradient and information belong to.
    gradient : ndarray, shape (J,)
    average, expected : ndarray, shape (J, J)
        Average and expected (Fisher) information.
    curvature : ndarray, shape (J, J)
        1/2 [tr(P K_jl) - y'P K_jl P y]: what the nonlinearity of M adds.
    beta : ndarray, shape (p,)
        GLS estimate.
    cov_beta : ndarray, shape (p, p)
        inv(X'NX).
    """

    x: Floats
    logliks: dict[bool, float]
    reml: bool
    gradient: Floats
    average: Floats
    expected: Floats
    curvature: Floats
    beta: Floats
    cov_beta: Floats

    @property
    def loglik(self) -> float:
        """Log-likelihood under the criterion."""
        return self.logliks[self.reml]

    @cached_property
    def observed(self) -> Floats:
        """Minus the Hessian of the log-likelihood, shape (J, J)."""
        return 2 * self.average - self.expected + self.curvature

    def shared(self, x: Floats, sharing: Sharing) -> "Evaluation":
        """The same at the parameters `x` (m,) that fill the J places: derivatives add up."""
        return replace(
            self,
            x=x,
            gradient=sharing.add(self.gradient),
            average=sharing.add_pairs(self.average),
            expected=sharing.add_pairs(self.expected),
            curvature=sharing.add_pairs(self.curvature),
        )


class Objective:
    """The log-likelihood of a problem as a function of its components.

    Parameters
    ----------
    backend : MarginalCovariance
        Holds the problem.
    reml : bool
    problem : MetaProblem, optional
        The backend's problem with other structures on the same terms (components pinned).
    """

    def __init__(
        self, backend: MarginalCovariance, reml: bool, problem: MetaProblem | None = None
    ) -> None:
        self.backend, self.reml = backend, reml
        self.problem = backend.problem if problem is None else problem
        found = backend.least_squares or least_squares(backend)
        self._r_inverse = _triangular_inverse(found.r, lower=False)
        self._criteria = {kind: criterion(kind) for kind in (True, False)}
        self._ols, self._residual_ss = found.coefficients, found.residual_ss
        self._a = found.columns
        self.n_evaluations = 0

    def under(self, problem: MetaProblem) -> "Objective":
        """The same rows with other structures on the same terms; X is not looked at again.

        Parameters
        ----------
        problem : MetaProblem
            As for the constructor.
        """
        other = copy(self)
        other.__dict__.pop("_charts", None)
        other.problem, other.n_evaluations = problem, 0
        return other

    @property
    def residual_variance(self) -> float:
        """Variance of the ordinary least-squares residuals: the scale of the components."""
        return self._residual_ss / max(self.problem.n - self.problem.p, 1)

    def natural(self, theta: Floats, *, quick: bool = False) -> Evaluation:
        """Evaluate at all natural components, pinned ones included, in reporting order.

        `quick` is as for `working`.
        """
        charts: list[Chart] = [t.structure for t in self.problem.terms]
        return self._evaluate(np.asarray(theta, float), charts, self.problem.split(theta), quick)

    def working(
        self, x: Floats, *, quick: bool = False, straight: Collection[int] = ()
    ) -> Evaluation:
        """Evaluate at working parameters, those the optimiser moves.

        With ``quick=True`` the expected information leaves out what the estimation of p fixed
        effects takes from it (a share of about p / n) and stands for the average information;
        value and gradient are exact.  Second derivatives of the `straight` terms are left out:
        those that are linear in all that is going to move.
        """
        x = np.asarray(x, float)
        pieces = self.problem.split_working(x)
        at = self._evaluate(x, self._charts, pieces, quick, straight)
        sharing = self.problem.shared_working
        return at if sharing.trivial else at.shared(x, sharing)

    @cached_property
    def _charts(self) -> list[Chart]:
        return [t.structure.working for t in self.problem.terms]

    def along(self, here: Floats, there: Floats) -> tuple[Evaluation, Evaluation]:
        """Both ends of a straight line of matrices G, as functions of the share of the way (1,).

        Parameters
        ----------
        here, there : ndarray, shape (J,)
            Working parameters at share 0 and share 1.
        """
        ends = [
            [c.matrix(w) for c, w in zip(self._charts, self.problem.split_working(x), strict=True)]
            for x in (here, there)
        ]
        way = [Direction(t, b - a) for t, (a, b) in enumerate(zip(*ends, strict=True))]
        one = Sharing(np.zeros(len(way), dtype=np.intp), np.zeros(1, dtype=np.intp))
        first, last = (
            self._at(np.array([s]), gs, way).shared(np.array([s]), one)
            for s, gs in zip((0.0, 1.0), ends, strict=True)
        )
        return first, last

    def slopes(self, x: Floats, along: Sequence[Direction]) -> Floats:
        """Derivatives of the log-likelihood at working `x` in the given directions of M, (m,)."""
        self.n_evaluations += 1
        pieces = self.problem.split_working(x)
        gs = [c.matrix(w) for c, w in zip(self._charts, pieces, strict=True)]
        sums = self.backend.factorize(gs).sums(self._a, (), along, pairs=False)
        _, c, b = _generalized_least_squares(sums, self.problem.p)
        projector = self._criteria[self.reml].projector(c)
        return _gradient(sums.extra_trace, sums.extra_slope, projector, b)

    def expected_along(self, gs: Sequence[Floats], along: Sequence[Direction]) -> Floats:
        """Expected information (m, m) of parameters that move M from G_t in given directions."""
        self.n_evaluations += 1
        sums = self.backend.factorize(gs).sums(self._a, along)
        _, c, _ = _generalized_least_squares(sums, self.problem.p)
        return expected_information(sums, self._criteria[self.reml].projector(c))

    def _evaluate(
        self,
        x: Floats,
        charts: Sequence[Chart],
        pieces: Sequence[Floats],
        quick: bool = False,
        straight: Collection[int] = (),
    ) -> Evaluation:
        gs = [c.matrix(w) for c, w in zip(charts, pieces, strict=True)]
        return self._at(x, gs, *directions(charts, pieces, straight), quick=quick)

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
        sums = self.backend.factorize(gs).sums(self._a, first, second, pairs=not quick)
        return self._finish(x, sums, where)

    def _finish(self, x: Floats, s: Sums, where: Sequence[tuple[int, int]]) -> Evaluation:
        n, p = self.problem.n, self.problem.p
        chol, c, b = _generalized_least_squares(s, p)
        rss = float(b @ s.gram @ b)
        projector = self._criteria[self.reml].projector(c)
        expected = expected_information(s, projector)
        return Evaluation(
            x=x,
            logliks={
                reml: kind.loglik(n, s.logdet, rss, chol) for reml, kind in self._criteria.items()
            },
            reml=self.reml,
            gradient=_gradient(s.trace, s.slope, projector, b),
            average=expected if s.slope_pairs is None else average_information(s, c, b),
            expected=expected,
            curvature=curvature_term(s, projector, b, where, len(s.trace)),
            beta=self._r_inverse @ (self._ols - b[:p]),
            cov_beta=self._r_inverse @ c @ self._r_inverse.T,
        )


def least_squares(backend: MarginalCovariance) -> LeastSquares:
    """Ordinary least squares in the rows of a backend's problem, arranged for it."""
    found = Regression(backend.problem.x, backend.problem.y)
    arranged = backend.arrange_rows(found.rows)
    return LeastSquares(found.r, found.coefficients, found.residual_ss, arranged)


def _generalized_least_squares(s: Sums, p: int) -> tuple[Floats, Floats, Floats]:
    """Cholesky factor and inverse of X'NX, and b = (-beta, 1)."""
    chol = _cholesky(s.gram[:p, :p])
    half = _triangular_inverse(chol, lower=True)
    c = half.T @ half
    b = np.ones(p + 1)
    b[:p] = -(c @ s.gram[:p, p])
    return chol, c, b


def _cholesky(gram: Floats) -> Floats:
    """Lower factor (p, p) of X'NX, by LAPACK directly: it is small, and needed at every point."""
    if not len(gram):
        return gram
    chol, bad = lapack.dpotrf(gram, lower=1)
    if bad or not np.isfinite(chol).all():
        raise NotPositiveDefiniteError
    return np.asarray(chol)


def _triangular_inverse(factor: Floats, *, lower: bool) -> Floats:
    return np.asarray(lapack.dtrtri(factor, lower=lower)[0]) if len(factor) else factor


def directions(
    charts: Sequence[Chart], pieces: Sequence[Floats], straight: Collection[int] = ()
) -> tuple[list[Direction], list[Direction], list[tuple[int, int]]]:
    """First and second derivatives of the G_t as directions.

    Returns
    -------
    first : list of Direction
        One per parameter.
    second : list of Direction
        The non-zero second derivatives, but for those of the `straight` terms.
    where : list of (int, int)
        Which pair of parameters (j >= l) each of `second` belongs to.
    """
    first: list[Direction] = []
    second: list[Direction] = []
    where: list[tuple[int, int]] = []
    for t, (chart, x) in enumerate(zip(charts, pieces, strict=True)):
        start = len(first)
        first += [Direction(t, k) for k in chart.jacobian(x)]
        hessian = None if t in straight else chart.hessian(x)
        if hessian is None:
            continue
        for j, i in np.argwhere(np.tril(_not_zero(hessian))).tolist():
            second.append(Direction(t, hessian[j, i]))
            where.append((start + j, start + i))
    return first, second, where


def _not_zero(hessian: np.ndarray) -> np.ndarray:
    """Which second derivatives (J, J) are not 0, in full (J, J, q, q) or as objects (J, J)."""
    if hessian.dtype != object:
        return np.asarray(hessian.any(axis=(2, 3)))
    found = [bool(matrix.any()) for matrix in hessian.ravel()]
    return np.array(found).reshape(hessian.shape)


def _gradient(trace: Floats, slope: Floats, projector: Floats, b: Floats) -> Floats:
    p = len(projector)
    weights = b[:, None] * b
    weights[:p, :p] += projector
    return np.asarray(-0.5 * (trace - weighted_entries(slope, weights)))


def average_information(s: Sums, c: Floats, b: Floats) -> Floats:
    """``1/2 y'P K_j P K_l P y``, shape (J, J), from c = inv(X'NX) and b = (-beta, 1)."""
    xb = s.slope[:, : len(c), :] @ b
    return np.asarray(0.5 * (s.weighted_pairs(b[:, None] * b) - xb @ c @ xb.T))


def expected_information(s: Sums, projector: Floats) -> Floats:
    """``1/2 tr(P K_j P K_l)``, shape (J, J); `projector` as from the criterion."""
    p, count = len(projector), len(s.trace)
    if s.slope_pairs is None or not projector.any():
        return 0.5 * s.trace_pairs
    weights = np.zeros((p + 1, p + 1))
    weights[:p, :p] = projector
    once = s.weighted_pairs(weights)
    cb = projector @ s.slope[:, :p, :p]
    twice = cb.reshape(count, p * p) @ cb.swapaxes(1, 2).reshape(count, p * p).T
    return np.asarray(0.5 * (s.trace_pairs - 2 * once + twice))


def curvature_term(
    s: Sums, projector: Floats, b: Floats, where: Sequence[tuple[int, int]], count: int
) -> Floats:
    """``1/2 [tr(P K_jl) - y'P K_jl P y]``, shape (J, J); `where` lists the pairs (j, l)."""
    out = np.zeros((count, count))
    if not where:
        return out
    for value, (j, i) in zip(
        -_gradient(s.extra_trace, s.extra_slope, projector, b), where, strict=True
    ):
        out[j, i] = out[i, j] = value
    return out
