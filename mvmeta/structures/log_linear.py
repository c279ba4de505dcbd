"""One effect whose standard deviation depends on covariates, log-linearly: scale terms."""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Floats
from mvmeta.structures.base import ByNaturalChart, Chart, Component, CovarianceStructure, Sweep

MOST = 300.0
"""Largest exponent: beyond it variances leave the range of numbers."""
STEEP = (1.0, 3.0, 9.0)
"""Slopes of the log-variance, per standard deviation of a covariate, of further starts; at the
last all of the variance belongs to the rows at one end."""
SLOPES = np.array([-9.0, -6.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 6.0, 9.0])
"""Slopes at which other maxima are looked for, in the same unit."""


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


class _Logs(_Scaled):
    """The same with the logarithm of s as a coordinate: (log s, a_1, ..., a_m), without bounds."""

    def __init__(self, w: Floats) -> None:
        super().__init__(w)
        self.lower = np.full_like(self.upper, -np.inf)

    def _at(self, x: Floats) -> Floats:
        return float(np.exp(np.clip(x[0], -MOST, MOST))) * self._outer(x)

    def _means(self) -> Floats:
        """Derivatives of log G_ij, shape (1 + m, q, q)."""
        mean = self._mean()
        return np.concatenate([np.ones_like(mean[:1]), mean])

    def matrix(self, x: Floats) -> Floats:
        return self._at(x)

    def jacobian(self, x: Floats) -> Floats:
        return self._means() * self._at(x)

    def hessian(self, x: Floats) -> Floats | None:
        means = self._means()
        return means[:, None] * means[None] * self._at(x)


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
    can_run_off = True

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

    def straightened(self, theta: Floats) -> CovarianceStructure | None:
        """In logarithms: there variances run off to 0 along a line while others stay."""
        return None if theta[0] <= 0 else LogLinearInLogs(self.covariates, self.names, self.labels)

    def sweeps(self) -> list[Sweep]:
        which = range(1, 1 + len(self.names))
        return [Sweep(j, SLOPES, np.empty(0), scale=0, hilly=False) for j in which]

    def starts(self, scale: float) -> list[Floats]:
        m = len(self.names)
        flat = np.append(scale, np.zeros(m))
        tilts = [sign * t * row for t in STEEP for row in np.eye(m) for sign in (1.0, -1.0)]
        centred = (self.covariates - self._centre) / self._spread
        return [flat, *(np.append(scale * np.exp(-(centred @ a).max()), a) for a in tilts)]

    def root(self, theta: Floats) -> Floats:
        out = np.zeros((self.q, self.q))
        out[:, 0] = np.sqrt(np.diag(self.matrix(theta)))
        return out

    def variances(self, theta: Floats, covariates: Floats) -> Floats:
        """Variance of the effect where the covariates are (k, m), shape (k,)."""
        log = np.clip(np.asarray(covariates) @ np.asarray(theta, float)[1:], -MOST, MOST)
        return np.asarray(theta[0] * np.exp(log))


class LogLinearInLogs(LogLinear):
    """`LogLinear` with the logarithm of the variance at the centre as a working coordinate.

    It cannot be 0: for going on from where it is not.
    """

    def __init__(self, covariates: Floats, names: Sequence[str], labels: Sequence[str]) -> None:
        super().__init__(covariates, names, labels)
        self._working = _Logs((self.covariates - self._centre) / self._spread)

    def units(self) -> Floats:
        return np.zeros(1 + len(self.names))

    def to_working(self, theta: Floats) -> Floats:
        x = super().to_working(theta)
        return np.append(np.log(x[0]), x[1:])

    def to_natural(self, x: Floats) -> Floats:
        return super().to_natural(np.append(np.exp(np.clip(x[0], -MOST, MOST)), x[1:]))

    def starts(self, scale: float) -> list[Floats]:
        return [np.append(np.log(x[0]), x[1:]) for x in super().starts(scale)]
