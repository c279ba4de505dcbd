"""Scales without bounds, on which the likelihood of a component is closer to a normal one."""

import numpy as np

from mvmeta._typing import Bools, Floats


class OpenScale:
    """One coordinate without bounds for each of C components.

    The logarithm of what is bounded below alone (variances, ranges), the logit of the place
    between two bounds (correlations), and what has no bounds as it is (loadings).

    Parameters
    ----------
    lower, upper : ndarray, shape (C,)
        Bounds of the components.
    as_is : ndarray of bool, shape (C,), optional
        Components that keep their own scale nevertheless, as those on a bound must.
    """

    def __init__(self, lower: Floats, upper: Floats, as_is: Bools | None = None) -> None:
        self._lower, self._upper = lower, upper
        bounded = np.isfinite(lower) & (True if as_is is None else ~as_is)
        self._log = bounded & np.isinf(upper)
        self._logit = bounded & np.isfinite(upper)

    def coordinates(self, theta: Floats) -> Floats:
        """Coordinates (C,) of components inside their bounds."""
        out = np.array(theta, dtype=float)
        above, below = theta - self._lower, self._upper - theta
        out[self._log] = np.log(above[self._log])
        out[self._logit] = np.log(above[self._logit] / below[self._logit])
        return out

    def components(self, at: Floats) -> Floats:
        """Components (C,) at the coordinates `at`."""
        out = np.array(at, dtype=float)
        low, high = self._lower, self._upper
        with np.errstate(over="ignore"):  # to infinity, and to a bound
            out[self._log] = low[self._log] + np.exp(at[self._log])
            width = (high - low)[self._logit]
            out[self._logit] = low[self._logit] + width / (1.0 + np.exp(-at[self._logit]))
        return out

    def slopes(self, theta: Floats) -> tuple[Floats, Floats]:
        """First and second derivatives (C,) of the components by their coordinates."""
        first, second = np.ones(len(theta)), np.zeros(len(theta))
        above = (theta - self._lower)[self._log]
        first[self._log] = second[self._log] = above
        low, high = self._lower[self._logit], self._upper[self._logit]
        place = (theta[self._logit] - low) / (high - low)
        first[self._logit] = (high - low) * place * (1.0 - place)
        second[self._logit] = first[self._logit] * (1.0 - 2.0 * place)
        return first, second
