"""Profile likelihood of a variance component, and the interval it gives."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from mvmeta._typing import Floats
from mvmeta.design.problem import MetaProblem
from mvmeta.errors import ConvergenceError, MvmetaError, MvmetaWarning
from mvmeta.inference.fit import Fit
from mvmeta.inference.wald import check_alpha
from mvmeta.likelihood.objective import Evaluation, Objective
from mvmeta.marginal.base import MarginalCovariance, NotPositiveDefiniteError
from mvmeta.optimize.maximize import SAME_MAXIMUM, maximize
from mvmeta.structures import CovarianceStructure, Pinned

ROOT_TOLERANCE = 1e-7
"""Of the signed root of the deviance drop at an interval limit: five digits of the limit."""
MOST_STEPS = 60
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
        Of the component.
    loglik : float
        Maximised over all other components.
    slope : float
        Derivative of `loglik` by `value`.
    theta : ndarray, shape (n_components,)
        The components that maximise it.
    evaluation : Evaluation
        Fixed effects and their covariance there.
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
    lower_at_edge, upper_at_edge : bool
        The edge of the parameter space lies inside the interval.
    """

    lower: float
    upper: float
    lower_at_edge: bool
    upper_at_edge: bool


class Profile:
    """The profile log-likelihood of one component of a fit.

    Parameters
    ----------
    fit : Fit
    backend : MarginalCovariance
        Of the same problem.
    component : int
        Position in theta.
    """

    def __init__(self, fit: Fit, backend: MarginalCovariance, component: int) -> None:
        self._fit, self._backend, self._component = fit, backend, component
        group = fit.problem.shared.group
        self._members = np.flatnonzero(group == group[component])
        self._loglik = fit.loglik[fit.reml]
        spec = fit.problem.components[component]
        self.estimate, self.lower, self.upper = float(fit.theta[component]), spec.lower, spec.upper
        self._is_variance = spec.power == 2

    def at(self, value: float, start: Floats | None = None) -> ProfilePoint:
        """Maximise over all other components with this one held at `value`.

        Parameters
        ----------
        value : float
        start : ndarray, shape (n_components,), optional
            Components to start from; those of the fit unless given.

        Returns
        -------
        ProfilePoint
            `value`, `loglik`, its `slope`, and the components `theta` there.

        Raises
        ------
        ConvergenceError
            If the likelihood does not exist there.

        Warns
        -----
        MvmetaWarning
            If it is higher there than at the fit.

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
        problem = pin(self._fit.problem, self._component, value)
        theta = (self._fit.theta if start is None else start).copy()
        theta[self._members] = value
        objective = Objective(self._backend, self._fit.reml, problem=problem)
        try:
            found = maximize(objective, start=theta)
            gradient = objective.natural(found.theta).gradient
        except (NotPositiveDefiniteError, MvmetaError) as error:
            raise ConvergenceError(
                f"the likelihood does not exist with the component at {value:g}"
            ) from error
        at = found.evaluation
        self._compare(value, at.loglik)
        slope = float(gradient[self._members].sum())
        return ProfilePoint(value, at.loglik, slope, found.theta, at)

    def _compare(self, value: float, loglik: float) -> None:
        above = loglik - self._loglik
        if above > SAME_MAXIMUM:
            warnings.warn(
                f"with the component at {value:g} the log-likelihood is {above:.3g} above that of "
                "the fit, which therefore is a local maximum only; fit again with start= near "
                "there before using the interval",
                MvmetaWarning,
                stacklevel=3,
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
            In log-likelihood, 0 at the estimate.

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
            `lower`, `upper` and whether they are edges of the range.

        Raises
        ------
        SpecificationError
            If `alpha` is not between 0 and 1.
        ConvergenceError
            If the profile cannot be followed to a limit.

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
        return ProfileInterval(lower, upper, low_edge, high_edge)

    def _limit(self, target: float, edge: float) -> tuple[float, bool]:
        if self.estimate == edge:
            return edge, True
        inner = self.at(self.estimate)
        bracket = self._finite if np.isfinite(edge) else self._infinite
        found = bracket(inner, target, edge)
        return (edge, True) if found is None else (self._solve(target, *found), False)

    def _finite(
        self, inner: ProfilePoint, target: float, edge: float
    ) -> tuple[ProfilePoint, ProfilePoint] | None:
        """Points on either side of the limit; None if the edge is inside."""
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
        return inner, outer

    def _infinite(
        self,
        inner: ProfilePoint,
        target: float,
        edge: float,
    ) -> tuple[ProfilePoint, ProfilePoint] | None:
        scale = max(abs(self.estimate), self._scale())
        step = scale
        while step < LARGEST * scale:
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

    def _scale(self) -> float:
        return self._fit.problem.mean_variance if self._is_variance else 1.0

    def _solve(self, target: float, inner: ProfilePoint, outer: ProfilePoint) -> float:
        """Root of ``drop = target`` by Newton steps on the signed root, kept in the bracket."""
        point = outer
        for _ in range(MOST_STEPS):
            gap = self.drop(point) - target
            low, high = sorted((inner.value, outer.value))
            if abs(gap) < ROOT_TOLERANCE or high - low <= 1e-12 * max(abs(low), abs(high)):
                return point.value
            slope = -point.slope / self.drop(point) if self.drop(point) else 0.0
            value = point.value - gap / slope if slope else np.nan
            if not low < value < high:
                value = (low + high) / 2
            point = self.at(float(value), inner.theta)
            if (self.drop(point) > target) == (target > 0):
                outer = point
            else:
                inner = point
        raise ConvergenceError("the profile could not be followed to the limit of the interval")


def pin(problem: MetaProblem, component: int, value: float) -> MetaProblem:
    """The same problem with one more component, and all that are equal to it, held at a value."""
    group, terms, first = problem.shared.group, list(problem.terms), 0
    for t, term in enumerate(terms):
        count = len(term.structure.components)
        for at in np.flatnonzero(group[first : first + count] == group[component]).tolist():
            terms[t] = replace(term, structure=_pinned(term.structure, at, value))
        first += count
    return replace(problem, terms=tuple(terms))


def _pinned(structure: CovarianceStructure, at: int, value: float) -> Pinned:
    if isinstance(structure, Pinned):
        values, structure = structure.values.copy(), structure.inner
    else:
        values = np.full(len(structure.components), np.nan)
    values[at] = value
    return Pinned(structure, values)
