"""The correlation of sampling errors within groups, where the likelihood says something of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from mvmeta._typing import Floats, Ints
from mvmeta.design.exchangeable import exchangeable, lowest_correlation
from mvmeta.errors import ConvergenceError, CovarianceError, DataError, SpecificationError
from mvmeta.inference.coefficients.wald import check_alpha
from mvmeta.inference.fitted.fit import Fit
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.base import NotPositiveDefiniteError
from mvmeta.marginal.select import build_backend
from mvmeta.optimize.maximize import maximize
from mvmeta.progress import track

GRID = 17
"""Correlations at which the profile is evaluated before it is refined."""

MARGIN = 1e-4
"""Of the range, left out at its ends, where V is singular."""

PRECISION = 1e-6
"""Of the estimate and of the limits, in units of the correlation."""

FLAT = 0.1
"""Deviance: a profile that varies by less over the whole range says nothing."""


@dataclass(frozen=True, eq=False)
class RhoProfile:
    """Profile likelihood of the correlation between sampling errors of a group.

    Attributes
    ----------
    estimate : float
        Where the likelihood is largest.
    lower, upper : float
        Values whose deviance is within the chi-square quantile of the smallest.
    lower_at_edge, upper_at_edge : bool
        The end of the range lies inside the interval.
    range : tuple of float
        The correlations that were tried.
    rho, loglik : ndarray, shape (G,)
        The profile, all components and fixed effects estimated at each correlation.
    spread : float
        Difference in deviance between the best and the worst correlation in the range.
    flat : bool
        Whether `spread` is so small that the data say nothing.
    """

    estimate: float
    lower: float
    upper: float
    lower_at_edge: bool
    upper_at_edge: bool
    range: tuple[float, float]
    rho: Floats
    loglik: Floats
    spread: float
    flat: bool


def profile_rho(
    fit: Fit, groups: Ints, alpha: float = 0.05, bounds: tuple[float, float] | None = None
) -> RhoProfile:
    """Maximise the likelihood over rho in ``V(rho) = D^(1/2) R(rho) D^(1/2)`` and all components.

    Parameters
    ----------
    fit : Fit
        Its V gives the variances D; its correlations are replaced.
    groups : ndarray of int, shape (n,)
        Group 0..J-1 (study) of each row: R has rho between its rows, 0 elsewhere.
    alpha : float
        1 - coverage of the interval.
    bounds : tuple of float, optional
        Range of rho; from -1 / (m - 1), m the rows of the largest group, to 1 unless said.

    Raises
    ------
    DataError
        If no group has two rows with sampling variance.
    SpecificationError
        If `alpha` is not between 0 and 1, or `bounds` are not two numbers.
    CovarianceError
        For bounds outside the range.
    ConvergenceError
        If the likelihood exists nowhere in the range.
    """
    check_alpha(alpha)
    v = fit.problem.v.variances
    if not (np.bincount(groups[v > 0], minlength=1) > 1).any():
        raise DataError(
            "no group has two rows with a sampling variance above 0, so there is no correlation "
            "within groups to estimate; groups= names another column"
        )
    low, high = _range(groups, bounds)
    profile = _Profile(fit, groups)
    grid = np.linspace(low, high, GRID)
    values = np.array([profile.on_grid(r) for r in track(grid, "correlations")])
    if not np.isfinite(values).any():
        raise ConvergenceError("the likelihood does not exist at any correlation in the range")
    estimate, top = _maximum(profile, grid, values)
    cut = top - 0.5 * float(stats.chi2.isf(alpha, 1))
    lower, low_edge = _limit(profile, cut, estimate, grid[::-1], values[::-1])
    upper, high_edge = _limit(profile, cut, estimate, grid, values)
    spread = 2.0 * (top - float(np.min(values[np.isfinite(values)])))
    order = np.argsort(np.append(grid, estimate))
    return RhoProfile(
        estimate=estimate,
        lower=lower,
        upper=upper,
        lower_at_edge=low_edge,
        upper_at_edge=high_edge,
        range=(low, high),
        rho=np.append(grid, estimate)[order],
        loglik=np.append(values, top)[order],
        spread=spread,
        flat=spread < FLAT,
    )


def _range(groups: Ints, bounds: tuple[float, float] | None) -> tuple[float, float]:
    lowest = lowest_correlation(groups)
    try:
        low, high = (lowest, 1.0) if bounds is None else map(float, bounds)
    except (TypeError, ValueError):
        raise SpecificationError(
            f"bounds= takes two numbers, the ends of the range, got {bounds!r}"
        ) from None
    if not lowest <= low < high <= 1.0:
        raise CovarianceError(
            f"a common correlation within groups lies in [{lowest:.4g}, 1] here; "
            f"got the bounds {low:g} and {high:g}"
        )
    margin = MARGIN * (high - low)
    return max(low, lowest + margin), min(high, 1.0 - margin)


class _Profile:
    """Log-likelihood at a correlation, the components maximised.

    The grid is walked with all starts the optimiser knows; what lies between its points starts
    from the components of the nearest point that is known.
    """

    def __init__(self, fit: Fit, groups: Ints) -> None:
        self._fit, self._groups = fit, groups
        self._known: dict[float, Floats] = {}

    def on_grid(self, rho: float) -> float:
        """The log-likelihood, from every start."""
        return max(self._at(rho, None), self._at(rho, self._fit.theta))

    def __call__(self, rho: float) -> float:
        nearest = min(self._known, key=lambda r: abs(r - rho))
        return self._at(rho, self._known[nearest])

    def _at(self, rho: float, start: Floats | None) -> float:
        problem = self._fit.problem
        v = exchangeable(problem.v.variances, self._groups, float(rho))
        objective = Objective(build_backend(replace(problem, v=v)), self._fit.reml)
        try:
            found = maximize(objective, start=start)
        except NotPositiveDefiniteError:
            return -np.inf
        self._known[float(rho)] = found.theta
        return found.evaluation.loglik


def _maximum(
    profile: Callable[[float], float], grid: Floats, values: Floats
) -> tuple[float, float]:
    from scipy import optimize

    best = int(np.argmax(values))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = optimize.minimize_scalar(
        lambda r: -profile(r), bounds=(low, high), method="bounded", options={"xatol": PRECISION}
    )
    if -found.fun > values[best]:
        return float(found.x), float(-found.fun)
    return float(grid[best]), float(values[best])


def _limit(
    profile: Callable[[float], float], cut: float, estimate: float, grid: Floats, values: Floats
) -> tuple[float, bool]:
    """First crossing of `cut` from the estimate along the grid; its end where there is none."""
    from scipy import optimize

    beyond = (grid - estimate) * (grid[-1] - grid[0]) > 0
    inner = estimate
    for r, value in zip(grid[beyond], values[beyond], strict=True):
        if value < cut:
            gap = lambda x: max(profile(x) - cut, -1e3)  # noqa: E731  (-inf ends a bracket, too)
            return float(optimize.brentq(gap, inner, r, xtol=PRECISION)), False
        inner = float(r)
    return float(grid[-1]), True
