"""One effect whose standard deviation depends on covariates, log-linearly: scale terms."""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Floats
from mvmeta.structures.base import ByNaturalChart, Chart, Component, CovarianceStructure

MOST = 300.0
"""Largest exponent: beyond it variances leave the range of numbers."""
STEEP = 1.0
"""Slope of the log-variance, per standard deviation of a covariate, of further starts."""


class _Scaled(Chart):
    """``G = s h h'`` with ``h_i = exp(w_i'a / 2)``: coordinates (s, a_1, ..., a_m).

    Parameters
    ----------
    w : ndarray, shape (q, m)
    """

    def __init__(self, w: Floats) -> None:
        self._w = w
        self.lower = np.append(0.0, np.full(w.shape[1], -np.inf))
        self.upper = np.full(1 + w.shape[1], np.inf)

    def _outer(self, x: Floats) -> Floats:
        half = np.clip(self._w @ np.asarray(x[1:], dtype=float), -MOST, MOST) / 2.0
        h = np.exp(half)
        return np.outer(h, h)

    def _mean(self) -> Floats:
        """(w_i + w_j) / 2, shape (m, q, q)."""
        return (self._w.T[:, :, None] + self._w.T[:, None, :]) / 2.0

    def matrix(self, x: Floats) -> Floats:
        return float(x[0]) * self._outer(x)

    def jacobian(self, x: Floats) -> Floats:
        outer = self._outer(x)
        return np.concatenate([outer[None], float(x[0]) * self._mean() * outer])

    def hessian(self, x: Floats) -> Floats | None:
        outer, mean = self._outer(x), self._mean()
        m, q = len(mean), len(outer)
        out = np.zeros((m + 1, m + 1, q, q))
        out[0, 1:] = out[1:, 0] = mean * outer
        out[1:, 1:] = float(x[0]) * mean[:, None] * mean[None] * outer
        return out


class LogLinear(ByNaturalChart):
    """``G_ij = sigma2 exp((w_i + w_j)'alpha / 2)``: one effect u, which row i carries times h_i.

    The log-variance of the effect is ``log sigma2 + w'alpha``; sigma2 is its variance where all
    covariates are 0.  Rows with equal covariates share a level of G, of rank one: within a group
    all rows carry the same effect, more or less of it.

    The working chart is the same in covariates that are centred and have unit spread, so that
    covariates such as years do no harm.

    Parameters
    ----------
    covariates : ndarray, shape (q, m)
        w of the q distinct rows, the intercept left out.
    names : sequence of str
        Of the m covariates.
    labels : sequence of str
        Of the q rows.
    centred : bool
        Whether the working chart is that in centred covariates; else it is the natural one.
    """

    code = "SCALE"

    def __init__(
        self,
        covariates: Floats,
        names: Sequence[str],
        labels: Sequence[str],
        *,
        centred: bool = True,
    ) -> None:
        self.covariates, self.names = np.asarray(covariates, dtype=float), tuple(names)
        self.labels, self.q = tuple(labels), len(labels)
        m = self.covariates.shape[1]
        spread = self.covariates.std(axis=0)
        self._centre = self.covariates.mean(axis=0) if centred else np.zeros(m)
        self._spread = np.where(spread > 0, spread, 1.0) if centred else np.ones(m)
        self._natural = _Scaled(self.covariates)
        self._working = _Scaled((self.covariates - self._centre) / self._spread)
        slopes = tuple(Component("scale", name, -np.inf, np.inf, power=0) for name in names)
        self.components = (Component("sigma2"), *slopes)

    @property
    def working(self) -> Chart:
        return self._working

    def to_working(self, theta: Floats) -> Floats:
        theta = np.asarray(theta, dtype=float)
        at_centre = theta[0] * np.exp(np.clip(self._centre @ theta[1:], -MOST, MOST))
        return np.append(at_centre, theta[1:] * self._spread)

    def to_natural(self, x: Floats) -> Floats:
        slopes = np.asarray(x[1:], dtype=float) / self._spread
        return np.append(x[0] * np.exp(np.clip(-self._centre @ slopes, -MOST, MOST)), slopes)

    def separable(self) -> CovarianceStructure:
        return LogLinear(self.covariates, self.names, self.labels, centred=False)

    def starts(self, scale: float) -> list[Floats]:
        m = len(self.names)
        flat = np.append(scale, np.zeros(m))
        tilts = [np.append(scale, sign * STEEP * row) for row in np.eye(m) for sign in (1.0, -1.0)]
        return [flat, *tilts]

    def root(self, theta: Floats) -> Floats:
        out = np.zeros((self.q, self.q))
        out[:, 0] = np.sqrt(np.diag(self.matrix(theta)))
        return out

    def variances(self, theta: Floats, covariates: Floats) -> Floats:
        """Variance of the effect where the covariates are (k, m), shape (k,)."""
        log = np.clip(np.asarray(covariates) @ np.asarray(theta, float)[1:], -MOST, MOST)
        return np.asarray(theta[0] * np.exp(log))
