"""Limits of a function of the components within the likelihood region around the estimate.

The profile likelihood interval of h(theta) is the range of h over all theta whose deviance is
within the chi-square quantile of the smallest (Venzon & Moolgavkar 1988, Appl Stat 37:87): two
optimisations under one constraint instead of many under a pinned value, and h may be any smooth
function, not one component alone.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from mvmeta._typing import Floats
from mvmeta.inference.coefficients.wald import check_alpha
from mvmeta.inference.components.tangency import extreme_on_contour
from mvmeta.inference.fitted.fit import Fit
from mvmeta.likelihood.objective import Evaluation, Objective
from mvmeta.marginal.base import MarginalCovariance, NotPositiveDefiniteError
from mvmeta.optimize.climb import QUICK_ABOVE

Function = Callable[[Floats], tuple[float, Floats, Floats]]
"""Working parameters (J,) -> h, its gradient (J,) and second derivatives (J, J)."""

MOST_STEPS = 200
MOST_STARTS = 3
ACCURACY = 1e-12
"""At which the constrained optimiser stops, on the scale of h over its own spread."""
ON_EDGE = 1e-5
"""Deviance by which a limit may miss the quantile and still be one."""
FAR = 1e6
"""Standard errors beyond which a limit counts as infinite."""
WIDEST = 1e3
"""Unit of a working parameter relative to its size, where the data know little of it."""
OUTSIDE = -1e6
"""Stands for a log-likelihood that does not exist."""


@dataclass(frozen=True)
class Limits:
    """Range of h over the likelihood region; NaN where it could not be found.

    Attributes
    ----------
    lower, upper : float
    """

    lower: float
    upper: float


class LikelihoodRegion:
    """All components whose deviance is within a chi-square quantile of that of the fit.

    Parameters
    ----------
    fit : Fit
    backend : MarginalCovariance
        Of the same problem.
    alpha : float
        1 - coverage.

    Raises
    ------
    SpecificationError
        If `alpha` is not between 0 and 1.
    """

    def __init__(self, fit: Fit, backend: MarginalCovariance, alpha: float = 0.05) -> None:
        check_alpha(alpha)
        self._objective, self._problem = Objective(backend, fit.reml), fit.problem
        self._x = fit.problem.to_working(fit.theta)
        self._floor = fit.loglik[fit.reml] - stats.chi2.isf(alpha, 1) / 2.0
        self._lower, self._upper = fit.problem.working_bounds
        self._quick = fit.problem.n > QUICK_ABOVE
        at = self._objective.working(self._x, quick=self._quick)
        self._unit = self._spread(at)
        self._memo: dict[bytes, tuple[float, Floats, Floats]] = {}

    def _spread(self, at: Evaluation) -> Floats:
        """About one standard error of each working parameter, for scaling.

        What the data know nothing of has none: then some multiples of its size, or of that of
        the data to its power.
        """
        terms, scale = self._problem.terms, np.sqrt(self._problem.mean_variance)
        power = self._problem.join_working([t.structure.units() for t in terms])
        size = np.maximum(np.abs(self._x), scale**power)
        expected = np.maximum(np.diag(at.expected), np.finfo(float).tiny)
        return np.minimum(1.0 / np.sqrt(expected), WIDEST * size)

    def _slack(self, s: Floats) -> tuple[float, Floats, Floats]:
        """Log-likelihood above the floor at x + s * unit, its gradient and information by s."""
        key = s.tobytes()
        if key not in self._memo:
            x = np.clip(self._x + s * self._unit, self._lower, self._upper)
            try:
                at = self._objective.working(x, quick=self._quick)
                uphill = at.gradient * self._unit
                information = at.observed * np.outer(self._unit, self._unit)
                self._memo[key] = at.loglik - self._floor, uphill, information
            except NotPositiveDefiniteError:
                none = np.zeros(len(s))
                self._memo[key] = OUTSIDE, none, np.outer(none, none)
        return self._memo[key]

    def limits(self, function: Function) -> Limits:
        """Smallest and largest value of h.

        Parameters
        ----------
        function : callable
            Working parameters (J,) -> h, its gradient (J,) and second derivatives (J, J).
        """
        if not len(self._x):
            value = function(self._x)[0]
            return Limits(value, value)
        return Limits(self._extreme(function, 1.0), self._extreme(function, -1.0))

    def _extreme(self, function: Function, sign: float) -> float:
        start, slope, _ = function(self._x)
        size = max(float(np.linalg.norm(slope * self._unit)), 1e-12 * max(abs(start), 1e-300))
        square = sign / size * np.outer(self._unit, self._unit)

        def aim(s: Floats) -> tuple[float, Floats, Floats]:
            value, gradient, bend = function(self._x + s * self._unit)
            change, uphill = sign * (value - start) / size, sign * gradient * self._unit / size
            return change, uphill, bend * square

        low = np.maximum((self._lower - self._x) / self._unit, -FAR)
        high = np.minimum((self._upper - self._x) / self._unit, FAR)
        at = extreme_on_contour(aim, self._slack, low, high)
        if at is None:
            return self._on_edge(function, aim, sign, (low, high))
        return float(function(self._x + at * self._unit)[0])

    def _on_edge(
        self, function: Function, aim: Function, sign: float, bounds: tuple[Floats, Floats]
    ) -> float:
        """The extreme where it may lie on a bound, or far out."""
        from scipy import optimize  # slow to import, and wanted by few

        inside = {
            "type": "ineq",
            "fun": lambda s: self._slack(s)[0],
            "jac": lambda s: self._slack(s)[1],
        }
        # the stubs know no bounds and constraints together with a gradient
        minimize: Any = optimize.minimize
        start = np.zeros(len(self._x))
        for _ in range(MOST_STARTS):
            with warnings.catch_warnings():
                # SLSQP steps over a bound by rounding, which scipy before 1.14 warns of
                warnings.filterwarnings("ignore", "Values in x were outside bounds")
                found = minimize(
                    lambda s: aim(s)[0],
                    start,
                    jac=lambda s: aim(s)[1],
                    method="SLSQP",
                    bounds=optimize.Bounds(*bounds),
                    constraints=[inside],
                    options={"maxiter": MOST_STEPS, "ftol": ACCURACY},
                )
            if np.abs(found.x).max() > FAR / 2:
                return -np.inf if sign > 0 else np.inf
            if self._slack(found.x)[0] >= -ON_EDGE and np.isfinite(found.fun):
                break
            if not self._slack(found.x)[0] < 0.0:
                return np.nan
            start = np.clip(
                self._back(found.x), *bounds
            )  # its first step went far out, where l is level
        else:
            return np.nan
        # rounding of the way there would make a variance of 0 a negative one
        x = np.clip(self._x + found.x * self._unit, self._lower, self._upper)
        return float(function(x)[0])

    def _back(self, s: Floats) -> Floats:
        """The point of the contour on the way from the estimate to a point outside the region."""
        from scipy import optimize

        share = optimize.brentq(lambda t: self._slack(t * s)[0], 0.0, 1.0)
        return np.asarray(share * s)
