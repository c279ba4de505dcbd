"""Maxima of the likelihood with one component held at a value.

They are looked for within the ranges of the other components first; where that leads to a G that is
no covariance matrix, among the positive semi-definite ones.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from mvmeta._typing import Bools, Floats
from mvmeta.design.problem import MetaProblem
from mvmeta.errors import MvmetaError
from mvmeta.inference.components.definite import HeldPoint, held_maximum, held_slope, is_definite
from mvmeta.inference.fitted.fit import Fit
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.base import NotPositiveDefiniteError
from mvmeta.optimize.climb import QUICK_ABOVE
from mvmeta.optimize.maximize import Optimum, OtherMaximum, maximize
from mvmeta.structures import CovarianceStructure, LogLinear, Pinned

INWARD = (0.9, 0.5)
"""Shares of the correlations at which searches among positive semi-definite G start."""
FAR_APART = 100.0
"""Change of a log-variance over the range of its covariate that counts as one without end."""


class HeldMaxima:
    """Maxima over all other components with one of a fit held at values.

    Parameters
    ----------
    fit : Fit
    objective : Objective
        Of the same problem.
    component : int
        Position in theta.
    others : sequence of OtherMaximum
        Lower maxima that the search for the fit has found.

    Attributes
    ----------
    cramped : bool
        A maximum within the ranges of the components was no covariance matrix: from then on those
        are looked for that are.
    """

    def __init__(
        self, fit: Fit, objective: Objective, component: int, others: Sequence[OtherMaximum]
    ) -> None:
        self._fit, self._objective, self._component = fit, objective, component
        self._others = others
        group = fit.problem.shared.group
        self._members = np.flatnonzero(group == group[component])
        self.cramped = False

    def at(self, value: float, start: Floats | None = None) -> HeldPoint | None:
        """The highest that is found; None where the likelihood does not exist.

        Parameters
        ----------
        value : float
        start : ndarray, shape (n_components,), optional
            Components to start from; those of the fit unless given.
        """
        found = None if self.cramped else self._within_bounds(value, start)
        return self._among_definite(value, start) if found is None else found

    def near(self, value: float, theta: Floats) -> HeldPoint | None:
        """By one ascent from the maximum at a value close by, theta; None where that fails."""
        return None if self.cramped else self._within_bounds(value, theta, follow=True)

    def _within_bounds(
        self, value: float, start: Floats | None, *, follow: bool = False
    ) -> HeldPoint | None:
        """None where the likelihood does not exist, or its maximum is no covariance matrix."""
        problem = pin(self._fit.problem, self._component, value)
        objective = self._objective.under(problem)
        several = self.several and not follow
        starts = [self._fit.theta if start is None else start]
        if several and start is not None:
            starts.append(self._fit.theta)
        if not follow:
            starts.extend(self._levelled(starts[0], value))
        found = [o for theta in starts for o in self._climbs(objective, value, theta, 1 + several)]
        if not found:
            return None
        best = max(found, key=lambda optimum: optimum.evaluation.loglik)
        if not is_definite(problem, best.theta):
            self.cramped = True
            return None
        return HeldPoint(best.theta, self._slope(objective, best.theta), best.evaluation)

    def _climbs(
        self, objective: Objective, value: float, theta: Floats, count: int
    ) -> list[Optimum]:
        """Maxima from up to `count` starts at which the likelihood exists."""
        theta = theta.copy()
        theta[self._members] = value
        found: list[Optimum] = []
        for share in (1.0, *INWARD, 0.0):
            try:
                candidate = np.where(self._pliable, share * theta, theta)
                found.append(maximize(objective, start=candidate))
            except (NotPositiveDefiniteError, MvmetaError):
                continue
            if len(found) == count:
                break
        return found

    def _levelled(self, theta: Floats, value: float) -> Iterator[Floats]:
        """Starts where a slope of a scale model is held, and sigma2 or other slopes give way.

        At the other maxima of the fit, and where variances stay at one end of the covariate.
        """
        if self.covariate is None:
            return
        yield from (other.theta for other in self._others)
        sigma2, w = self.covariate
        for end in (w.min(), w.max()):
            start = theta.copy()
            exponent = (theta[self._component] - value) * end
            start[sigma2] *= np.exp(np.clip(exponent, -FAR_APART, FAR_APART))
            yield start

    def _slope(self, objective: Objective, theta: Floats) -> float:
        """Derivative by the value of a maximum with the component held, `objective` being so."""
        slope = held_slope(self._objective, self._component, theta)
        if slope is None:
            quick = objective.problem.n > QUICK_ABOVE
            gradient = objective.natural(theta, quick=quick).gradient
            slope = float(gradient[self._members].sum())
        return slope

    def _among_definite(self, value: float, start: Floats | None) -> HeldPoint | None:
        """The best of the searches from `start` and from the fit; None if all fail."""
        starts = [self._fit.theta] if start is None else [start, self._fit.theta]
        for share in INWARD:
            found = [
                held_maximum(self._objective, self._component, value, theta, share)
                for theta in starts
            ]
            points = [point for point in found if point is not None]
            if points:
                return max(points, key=lambda point: point.evaluation.loglik)
        return None

    @property
    def several(self) -> bool:
        """Whether there may be several maxima, on the edge of the possible correlations."""
        return int(self._pliable.sum()) > 1

    @cached_property
    def covariate(self) -> tuple[int, Floats] | None:
        """Where sigma2 is, and the covariate (q,), if this is a slope of a scale model."""
        first = 0
        for term in self._fit.problem.terms:
            structure = term.structure
            inner = structure.inner if isinstance(structure, Pinned) else structure
            which = self._component - first - 1
            if isinstance(inner, LogLinear) and 0 <= which < len(inner.names):
                return None if structure.fixed[0] else (first, inner.covariates[:, which])
            first += len(structure.components)
        return None

    @cached_property
    def _pliable(self) -> Bools:
        """Other correlations, which may have to give way to a large one: G is possible at 0."""
        components = self._fit.problem.components
        signed = [c.power == 0 and -np.inf < c.lower < 0 < c.upper for c in components]
        other = np.arange(len(components))[:, None] != self._members
        return np.array(signed, dtype=bool) & other.all(axis=1) & ~self._fit.problem.fixed


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
