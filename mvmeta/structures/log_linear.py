"""One effect whose standard deviation depends on covariates, log-linearly: scale terms."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mvmeta._typing import Bools, Floats
from mvmeta.structures.base import (
    INERT,
    ByNaturalChart,
    Chart,
    Component,
    CovarianceStructure,
    Sweep,
)
from mvmeta.structures.factored import Factored, object_array

MOST = 300.0
"""Largest exponent: beyond it variances leave the range of numbers."""
STEEP = (1.0, 3.0, 9.0)
"""Slopes of the log-variance, per standard deviation of a covariate, of further starts; at the
last all of the variance belongs to the rows at one end."""
SLOPES = np.array([-9.0, -6.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 6.0, 9.0])
"""Slopes at which other maxima are looked for, in the same unit."""


DENSE_UP_TO = 500
"""Distinct rows of covariates up to which G and its derivatives are made in full."""


class _Exponential(Chart):
    """``G_ij = c exp((w_i + w_j)'a / 2)`` and the products of it with means of columns of w.

    Parameters
    ----------
    w : ndarray, shape (q, m)
    """

    def __init__(self, w: Floats) -> None:
        self._w = w

    def _root(self, a: Floats) -> Floats:
        """exp(w_i'a / 2), shape (q,)."""
        return np.exp(np.clip(self._w @ np.asarray(a, dtype=float), -MOST, MOST) / 2.0)

    def _outer(self, a: Floats, size: float, columns: Sequence[int] = ()) -> Any:
        """``size h h'`` times (w_ik + w_jk) / 2 for each k of `columns`, at most two of them.

        The product of a sum with h h' has twice its rank: in full up to `DENSE_UP_TO` rows.
        """
        h = self._root(a)
        left, right = size * h[:, None], h[:, None]
        for w in (self._w[:, [k]] / 2.0 for k in columns):
            left, right = np.hstack([left * w, left]), np.hstack([right, right * w])
        factored = Factored(left, right)
        return np.asarray(factored) if len(h) <= DENSE_UP_TO else factored

    def _stack(self, items: Sequence[Any], shape: tuple[int, ...]) -> Any:
        """Matrices (q, q) as an array of shape (..., q, q), or of objects if they are factored."""
        if len(self._w) > DENSE_UP_TO:
            return object_array(items, shape)
        return np.array(items).reshape(*shape, len(self._w), len(self._w))


class _Scaled(_Exponential):
    """``G = s h h'`` with ``h_i = exp(w_i'a / 2)``: coordinates (s, a_1, ..., a_m)."""

    def __init__(self, w: Floats) -> None:
        super().__init__(w)
        self.lower = np.append(0.0, np.full(w.shape[1], -np.inf))
        self.upper = np.full(1 + w.shape[1], np.inf)

    def matrix(self, x: Floats) -> Any:
        return self._outer(x[1:], float(x[0]))

    def jacobian(self, x: Floats) -> Any:
        s, m = float(x[0]), self._w.shape[1]
        slopes = [self._outer(x[1:], s, [k]) for k in range(m)]
        return self._stack([self._outer(x[1:], 1.0), *slopes], (1 + m,))

    def hessian(self, x: Floats) -> Any:
        s, m = float(x[0]), self._w.shape[1]
        out = [[self._outer(x[1:], 0.0)] * (m + 1) for _ in range(m + 1)]
        for k in range(m):
            out[0][1 + k] = out[1 + k][0] = self._outer(x[1:], 1.0, [k])
            for j in range(k + 1):
                out[1 + k][1 + j] = out[1 + j][1 + k] = self._outer(x[1:], s, [k, j])
        return self._stack([item for row in out for item in row], (m + 1, m + 1))


class _Logs(_Exponential):
    """The same with the logarithm of s as a coordinate: (log s, a_1, ..., a_m), without bounds."""

    def __init__(self, w: Floats) -> None:
        super().__init__(w)
        self.upper = np.full(1 + w.shape[1], np.inf)
        self.lower = -self.upper

    def _at(self, x: Floats, columns: Sequence[int]) -> Any:
        size = float(np.exp(np.clip(x[0], -MOST, MOST)))
        return self._outer(x[1:], size, [k - 1 for k in columns if k > 0])

    def matrix(self, x: Floats) -> Any:
        return self._at(x, [])

    def jacobian(self, x: Floats) -> Any:
        return self._stack([self._at(x, [k]) for k in range(len(x))], (len(x),))

    def hessian(self, x: Floats) -> Any:
        pairs = [self._at(x, [k, j]) for k in range(len(x)) for j in range(len(x))]
        return self._stack(pairs, (len(x), len(x)))


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
        self._working: Chart = _Scaled((self.covariates - self._centre) / self._spread)
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
        return np.sqrt(self._natural.matrix(theta).diagonal())[:, None]

    def _inert(self, theta: Floats, relative: Bools) -> Bools:
        if theta[0] <= 0:
            return np.ones(len(theta), dtype=bool)
        unit = np.where(relative & np.isfinite(theta), np.abs(theta), 1.0)
        response = np.append(1.0 / theta[0], np.abs(self.covariates).max(axis=0))
        return np.asarray(response * unit <= INERT)

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
