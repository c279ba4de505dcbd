"""Limits of components on the contour of the likelihood, where it is smooth and has one hill."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mvmeta._typing import Bools, Floats
from mvmeta.inference.components.definite import is_definite
from mvmeta.inference.components.scales import OpenScale
from mvmeta.inference.components.tangency import extreme_on_contour
from mvmeta.inference.fitted.fit import Fit
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.base import NotPositiveDefiniteError
from mvmeta.optimize.climb import QUICK_ABOVE
from mvmeta.optimize.maximize import SAME_MAXIMUM

FAR = 40.0
"""Standard errors beyond which a limit is for other methods."""
AT_TOP = 1e-6
"""Newton decrement within which the fit is the maximum of the free components."""
HELD = 1e-4
"""Slope, in roots of the information, at which a component would leave its bound."""


@dataclass(frozen=True, eq=False)
class _Moving:
    """Which of m parameters move, on what scale, from where and in what units."""

    free: Bools
    scale: OpenScale
    centre: Floats
    unit: Floats


class ComponentLimits:
    """Profile likelihood limits of the components of a fit by Newton's method.

    All components move on scales without bounds, those on a bound stay there; a limit is where
    one of them is extreme on the contour.  No profile is followed: a limit takes three or four
    evaluations of the likelihood, where one maximisation at one value takes as many.

    Parameters
    ----------
    fit : Fit
    objective : Objective
        Of the same problem.

    Attributes
    ----------
    objective : Objective
        As given.
    top : float
        The log-likelihood at the components of the fit, from which profiles fall.
    """

    def __init__(self, fit: Fit, objective: Objective) -> None:
        self.objective, self._problem = objective, fit.problem
        self.top = fit.loglik[fit.reml]
        if fit.weights is not None:  # whose coefficients do not maximise what the components do
            self.top = objective.natural(fit.theta).loglik
        self._quick = fit.problem.n > QUICK_ABOVE
        share = fit.problem.shared
        self._theta = share.lead(fit.theta)
        self._lower = share.lead(np.array([c.lower for c in fit.problem.components]))
        self._upper = share.lead(np.array([c.upper for c in fit.problem.components]))
        self._fixed = share.lead(fit.problem.fixed.astype(float)) > 0
        self._edge = share.lead(fit.boundary.astype(float)) > 0

    @cached_property
    def _at_fit(self) -> tuple[float, Floats, Floats]:
        return self._natural(self._theta)

    def _natural(self, theta: Floats) -> tuple[float, Floats, Floats]:
        """Log-likelihood, gradient (m,) and observed information (m, m) by the parameters."""
        share = self._problem.shared
        at = self.objective.natural(share.spread(theta), quick=self._quick)
        return at.loglik, share.add(at.gradient), share.add_pairs(at.observed)

    def limit(self, component: int, sign: float, drop: float) -> float | None:
        """Value of the component at which the profile has fallen by `drop`; None if not found.

        Parameters
        ----------
        component : int
            Position in theta.
        sign : float
            1 for the upper limit, -1 for the lower one.
        drop : float
            Of the log-likelihood.
        """
        place = int(self._problem.shared.group[component])
        try:
            moving = self._moving(place)
            return None if moving is None else self._along(moving, place, sign, drop)
        except NotPositiveDefiniteError:
            return None

    def _moving(self, place: int) -> _Moving | None:
        """None where the fit is no maximum of what would move, or lies at infinity."""
        if not np.isfinite(self._theta).all():
            return None
        free = ~self._fixed & ~self._edge
        free[place] = True
        own = np.arange(len(free)) == place
        scale = OpenScale(self._lower, self._upper, as_is=self._edge | self._fixed)
        _, uphill, information = self._on_scale(scale, self._theta, self._at_fit)
        spread = np.diag(information)
        if not (spread[free] > 0).all():
            return None
        top = uphill[free & ~own] / np.sqrt(spread[free & ~own])
        if (top**2 > AT_TOP).any():
            return None
        unit = 1.0 / np.sqrt(np.where(free, spread, 1.0))
        return _Moving(free, scale, scale.coordinates(self._theta), unit)

    @staticmethod
    def _on_scale(
        scale: OpenScale, theta: Floats, at: tuple[float, Floats, Floats]
    ) -> tuple[float, Floats, Floats]:
        loglik, gradient, information = at
        first, second = scale.slopes(theta)
        bent = np.outer(first, first) * information - np.diag(second * gradient)
        return loglik, first * gradient, bent

    def _along(self, moving: _Moving, place: int, sign: float, drop: float) -> float | None:
        free, unit = moving.free, moving.unit[moving.free]
        own = np.flatnonzero(free) == place
        aim = -sign * own.astype(float)
        flat = np.zeros((len(own), len(own)))

        def theta_at(s: Floats) -> Floats:
            at = moving.centre.copy()
            at[free] += s * unit
            return moving.scale.components(at)

        last = self._at_fit

        def above(s: Floats) -> tuple[float, Floats, Floats]:
            nonlocal last
            theta = theta_at(s)
            last = self._natural(theta) if s.any() else self._at_fit
            loglik, uphill, information = self._on_scale(moving.scale, theta, last)
            if loglik > self.top + SAME_MAXIMUM:  # not the hill it looked like
                raise NotPositiveDefiniteError
            block = information[np.ix_(free, free)] * np.outer(unit, unit)
            return loglik - self.top + drop, uphill[free] * unit, block

        bound = np.full(len(own), FAR)
        s = extreme_on_contour(lambda s: (float(aim @ s), aim, flat), above, -bound, bound)
        if s is None:
            return None
        theta = theta_at(s)
        held = ~free & ~self._fixed
        kept = self._is_possible(theta) and not self._released(theta, held, *last[1:]).any()
        return float(theta[place]) if kept else None

    def _is_possible(self, theta: Floats) -> bool:
        inside = (theta >= self._lower) & (theta <= self._upper)
        return bool(inside.all()) and is_definite(self._problem, self._problem.shared.spread(theta))

    def _released(self, theta: Floats, held: Bools, uphill: Floats, information: Floats) -> Bools:
        """Which of the components that are held would be more likely elsewhere."""
        slope = uphill / np.sqrt(np.maximum(np.abs(np.diag(information)), np.finfo(float).tiny))
        down = (theta > self._lower) & (slope < -HELD)
        up = (theta < self._upper) & (slope > HELD)
        return held & (down | up)
