"""Profile likelihood of a variance component, and the interval it gives.

A limit is looked for by Newton's method on the contour of the likelihood
(`inference.components.limits`), at the cost of half a fit.  Where that meets an edge of the
parameter space, or a likelihood that is no smooth hill, the profile is followed value by value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from mvmeta._typing import Floats
from mvmeta.errors import ConvergenceError, warn
from mvmeta.inference.coefficients.wald import check_alpha
from mvmeta.inference.components.definite import HeldPoint
from mvmeta.inference.components.held import FAR_APART, HeldMaxima
from mvmeta.inference.components.limits import ComponentLimits
from mvmeta.inference.fitted.fit import Fit
from mvmeta.likelihood.objective import Evaluation, Objective
from mvmeta.marginal.base import MarginalCovariance
from mvmeta.optimize.maximize import SAME_MAXIMUM, OtherMaximum

ROOT_TOLERANCE = 1e-7
"""Of the signed root of the deviance drop at an interval limit: five digits of the limit."""
MOST_STEPS = 60
MOST_HALVES = 20
EDGE = 1e-9
"""A correlation is tried this close to its bound, where the structure itself may be singular."""
LARGEST = 1e12
"""Factor on the estimate (or the scale of the data) beyond which a limit counts as infinite."""


@dataclass(frozen=True, eq=False)
class ProfilePoint:
    """The profile at one value.

    Attributes
    ----------
    value : float
        Of the component, in its unit.
    loglik : float
        Log-likelihood, maximised over all other components.
    slope : float
        Log-likelihood per unit of the component: derivative of `loglik` by `value`.
    theta : ndarray, shape (n_components,)
        The components that maximise it, each in its own unit.
    evaluation : Evaluation
        Fixed effects and their covariance there.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> data = datasets.load("konstantopoulos2011")
    >>> nested = "district/school"
    >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
    >>> profile = res.profile("district: sigma2")
    >>> point = profile.at(0.05)
    >>> round(point.loglik, 3), round(point.slope, 3), point.theta.round(4).tolist()
    (-8.077, 18.146, [0.05, 0.0335])
    """

    value: float
    loglik: float
    slope: float
    theta: Floats
    evaluation: Evaluation


@dataclass(frozen=True)
class ProfileInterval:
    """Limits of a component.

    Attributes
    ----------
    lower, upper : float
        In the unit of the component.
    lower_at_edge, upper_at_edge : bool
        The edge of the parameter space lies inside the interval.
    elsewhere : float or None
        Value, in the unit of the component, at a lower maximum of the likelihood that is within the
        quantile, too, but outside the limits: the values that the data allow are not one interval.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> data = datasets.load("konstantopoulos2011")
    >>> nested = "district/school"
    >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
    >>> profile = res.profile("district: sigma2")
    >>> interval = profile.interval()
    >>> round(interval.lower, 4), round(interval.upper, 4), interval.lower_at_edge
    (0.0222, 0.2072, False)
    """

    lower: float
    upper: float
    lower_at_edge: bool
    upper_at_edge: bool
    elsewhere: float | None = None

    @property
    def shape(self) -> str:
        """What to know of it: "flat", "one-sided", "several maxima", or "" if it is as usual.

        Of a flat profile no value is ruled out, of a one-sided one none in one direction.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
        >>> profile = res.profile("district: sigma2")
        >>> profile.interval().shape
        ''
        """
        if self.elsewhere is not None:
            return "several maxima"
        return ("", "one-sided", "flat")[self.lower_at_edge + self.upper_at_edge]


class Profile:
    """The profile log-likelihood of one component of a fit.

    Parameters
    ----------
    fit : Fit
    backend : MarginalCovariance
        Of the same problem.
    component : int
        Position in theta.
    name : str
        What messages call it.
    others : sequence of OtherMaximum
        Lower maxima that the search for the fit has found.
    limits : ComponentLimits, optional
        Of the same fit, where they have been made for another component.
    """

    def __init__(
        self,
        fit: Fit,
        backend: MarginalCovariance,
        component: int,
        name: str = "the component",
        *,
        others: Sequence[OtherMaximum] = (),
        limits: ComponentLimits | None = None,
    ) -> None:
        self._fit, self._component, self.name = fit, component, name
        self._others = others
        self._limits = limits or ComponentLimits(fit, Objective(backend, fit.reml))
        self._loglik = self._limits.top
        self._held = HeldMaxima(fit, self._limits.objective, component, others)
        spec = fit.problem.components[component]
        self.estimate, self.lower, self.upper = float(fit.theta[component]), spec.lower, spec.upper
        self._is_variance = spec.power == 2

    def at(self, value: float, start: Floats | None = None) -> ProfilePoint:
        """Maximise over all other components with this one held at `value`.

        Parameters
        ----------
        value : float
            In the unit of the component.
        start : ndarray, shape (n_components,), optional
            Components to start from, each in its own unit; those of the fit unless given.

        Returns
        -------
        ProfilePoint
            `value`, `loglik`, its `slope`, and the components `theta` there.

        Raises
        ------
        ConvergenceError
            If the likelihood does not exist there: M is not positive definite.

        Warns
        -----
        MvmetaWarning
            If it is higher there than at the fit.

        References
        ----------
        :doc:`/explanation/model`, "Components".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> profile = res.profile("district: sigma2")
        >>> round(float(profile.at(0.05).loglik), 4)
        -8.0773
        """
        found = self._held.at(value, start)
        if found is None:
            raise ConvergenceError(
                f"the likelihood does not exist with {self.name} at {value:g}: the marginal "
                "covariance is not positive definite there, whatever the other components are, "
                "or so only for values that the search did not find"
            )
        self._compare(value, found.evaluation.loglik)
        return _point(value, found)

    def _follow(self, value: float, near: ProfilePoint) -> ProfilePoint:
        """`at` by one ascent from the maximum at a value close by; as `at` where that fails."""
        found = self._held.near(value, near.theta)
        return self.at(value, near.theta) if found is None else _point(value, found)

    @cached_property
    def _at_estimate(self) -> ProfilePoint:
        return self.at(self.estimate)

    def _compare(self, value: float, loglik: float) -> None:
        above = loglik - self._loglik
        if above > SAME_MAXIMUM:
            warn(
                f"with {self.name} at {value:g} the log-likelihood is {above:.3g} above that of "
                "the fit, which therefore is a local maximum only; fit again with start= near "
                "there before using the interval"
            )

    def drop(self, point: ProfilePoint) -> float:
        """Signed root of the deviance drop: nearly linear in the value, 0 at the estimate.

        Parameters
        ----------
        point : ProfilePoint
            What `at` returned.

        Returns
        -------
        float
            Without unit: a standard normal deviate in large samples, 0 at the estimate.

        References
        ----------
        :doc:`/explanation/model`, "Components".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> profile = res.profile("district: sigma2")
        >>> round(float(profile.drop(profile.at(0.05))), 4)
        -0.4871
        """
        size = np.sqrt(max(2.0 * (self._loglik - point.loglik), 0.0))
        return float(size if point.value >= self.estimate else -size)

    def interval(self, alpha: float = 0.05) -> ProfileInterval:
        """Values whose deviance is within the chi-square quantile of the smallest.

        Parameters
        ----------
        alpha : float
            1 - coverage.

        Returns
        -------
        ProfileInterval
            `lower`, `upper` and whether they are edges of the range.  Limits are in the unit of the
            component.

        Raises
        ------
        SpecificationError
            If `alpha` is not between 0 and 1.
        ConvergenceError
            If the profile cannot be followed to a limit.

        References
        ----------
        :doc:`/explanation/model`, "Components".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> profile = res.profile("district: sigma2")
        >>> interval = profile.interval()
        >>> round(interval.lower, 4), round(interval.upper, 4)
        (0.0222, 0.2072)
        """
        check_alpha(alpha)
        target = float(np.sqrt(stats.chi2.isf(alpha, 1)))
        lower, low_edge = self._limit(-target, self.lower)
        upper, high_edge = self._limit(target, self.upper)
        elsewhere = self._elsewhere(lower, upper, target**2 / 2)
        return ProfileInterval(lower, upper, low_edge, high_edge, elsewhere)

    def _limit(self, target: float, edge: float) -> tuple[float, bool]:
        if self.estimate == edge:
            return edge, True
        value = self._limits.limit(self._component, np.sign(target), target**2 / 2)
        if value is not None:
            return value, False
        inner = self._at_estimate
        bracket = self._finite if np.isfinite(edge) else self._infinite
        found = bracket(inner, target, edge)
        return (edge, True) if found is None else (self._solve(target, *found), False)

    def _elsewhere(self, lower: float, upper: float, drop: float) -> float | None:
        """The component at a maximum that belongs to the region but not to the interval."""
        for other in self._others:
            value = float(other.theta[self._component])
            if other.below < drop and not lower <= value <= upper:
                warn(
                    f"the likelihood has another maximum at {value:.4g} for {self.name}, only "
                    f"{other.below:.3g} below the fit and outside the limits {lower:.4g} and "
                    f"{upper:.4g}: values there are as compatible with the data; look at "
                    "profile().plot()"
                )
                return value
        return None

    def _finite(
        self, inner: ProfilePoint, target: float, edge: float
    ) -> tuple[ProfilePoint, ProfilePoint] | None:
        """Points on either side of the limit; None if the edge is inside."""
        if self._held.cramped:
            around = self._towards(edge, inner, target)
            if around is not None:
                return around
        outer = self._edge(edge, target)
        if outer is None or abs(self.drop(outer)) < abs(target):
            return None
        if not (edge == 0 and self._is_variance):
            return inner, outer
        value = inner.value
        for _ in range(MOST_STEPS):  # by factors: the profile of a variance is steep near zero
            value /= 4.0
            point = self.at(value, inner.theta)
            if abs(self.drop(point)) >= abs(target):
                return inner, point
            inner = point
        return None  # only 0 itself is ruled out: slopes of a scale model make up for the rest

    def _infinite(
        self,
        inner: ProfilePoint,
        target: float,
        edge: float,
    ) -> tuple[ProfilePoint, ProfilePoint] | None:
        scale = max(abs(self.estimate), self._scale())
        step, farthest = scale, LARGEST * scale
        if self._held.covariate is not None:
            farthest = FAR_APART / float(np.ptp(self._held.covariate[1]))
            step = farthest / 64
        while step < farthest:
            outer = self.at(inner.value + np.sign(target) * step, inner.theta)
            if abs(self.drop(outer)) >= abs(target):
                return inner, outer
            inner, step = outer, 2 * step
        return None

    def _edge(self, edge: float, target: float) -> ProfilePoint | None:
        """The profile at a finite edge; a correlation's is approached."""
        for value in (edge, edge - np.sign(target) * EDGE):
            try:
                return self.at(float(value))
            except ConvergenceError:
                continue
        return None

    def _towards(
        self, edge: float, inner: ProfilePoint, target: float
    ) -> tuple[ProfilePoint, ProfilePoint] | None:
        """Half of the way to the edge, half of the rest, ..., until the limit is passed."""
        for _ in range(MOST_HALVES):
            try:
                outer = self.at((inner.value + edge) / 2.0, inner.theta)
            except ConvergenceError:
                return None
            if abs(self.drop(outer)) >= abs(target):
                return inner, outer
            inner = outer
        return None

    def _scale(self) -> float:
        return self._fit.problem.mean_variance if self._is_variance else 1.0

    def _solve(self, target: float, inner: ProfilePoint, outer: ProfilePoint) -> float:
        """Root of ``drop = target`` by Newton steps on the signed root, kept in the bracket.

        Points close to each other have maxima close to each other, so one ascent does where a
        search has several; what it leads to is looked at by all of them once more.
        """
        point, searched = outer, not self._held.several
        for _ in range(MOST_STEPS):
            gap = self.drop(point) - target
            low, high = sorted((inner.value, outer.value))
            if abs(gap) < ROOT_TOLERANCE or high - low <= 1e-12 * max(abs(low), abs(high)):
                if searched:
                    return point.value
                searched, point = True, self.at(point.value, point.theta)
            else:
                slope = -point.slope / self.drop(point) if self.drop(point) else 0.0
                value = point.value - gap / slope if slope else np.nan
                if not low < value < high:
                    value = (low + high) / 2
                point = (
                    self.at(float(value), inner.theta)
                    if searched
                    else self._follow(float(value), point)
                )
            if (self.drop(point) > target) == (target > 0):
                outer = point
            else:
                inner = point
        raise ConvergenceError(
            f"the profile of {self.name} could not be followed to its "
            f"{'upper' if target > 0 else 'lower'} limit, between {inner.value:g} and "
            f"{outer.value:g}: look at profile().plot(), or bootstrap()"
        )


def _point(value: float, held: HeldPoint) -> ProfilePoint:
    at = held.evaluation
    return ProfilePoint(value, at.loglik, held.slope, held.theta, at)
