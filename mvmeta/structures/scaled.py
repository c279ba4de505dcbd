"""Correlations times scales: one common variance, or one variance for each level.

A correlation function R(rho) with its derivatives is a `Correlation`; `ScaledCorrelation`
makes a covariance structure of it.  With one common variance, ``G = tau2 R`` is linear in
tau2.  With q variances, ``G_ij = s_i s_j R_ij`` in the standard deviations s, in which, other
than in the variances, all derivatives are finite at zero.
"""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.structures.base import ByNaturalChart, Chart, Component, CovarianceStructure, Sweep
from mvmeta.structures.checks import unique_labels
from mvmeta.structures.correlation import Correlation


class _Scaled(Chart):
    """Scales first, then the parameters of `r`, a chart for R."""

    def __init__(self, r: Chart, n_scales: int) -> None:
        self.r, self.n_scales = r, n_scales
        self.lower = np.concatenate([np.zeros(n_scales), r.lower])
        self.upper = np.concatenate([np.full(n_scales, np.inf), r.upper])

    def _second(self, r: Floats) -> Floats:
        """d2R (m, m, q, q), zeros where R is linear."""
        out = self.r.hessian(r)
        if out is not None:
            return out
        m, q = self.r.jacobian(r).shape[:2]
        return np.zeros((m, m, q, q))


class CommonVariance(_Scaled):
    """``G = tau2 R(r)`` with x = (tau2, r)."""

    def __init__(self, r: Chart) -> None:
        super().__init__(r, 1)

    def matrix(self, x: Floats) -> Floats:
        return np.asarray(x[0] * self.r.matrix(x[1:]))

    def jacobian(self, x: Floats) -> Floats:
        return np.concatenate([self.r.matrix(x[1:])[None], x[0] * self.r.jacobian(x[1:])])

    def hessian(self, x: Floats) -> Floats:
        dr = self.r.jacobian(x[1:])
        m, q = dr.shape[:2]
        out = np.zeros((m + 1, m + 1, q, q))
        out[0, 1:] = out[1:, 0] = dr
        out[1:, 1:] = x[0] * self._second(x[1:])
        return out


class VarianceShares(Chart):
    """``G = (a + b) R(b / (a + b))`` with x = (a, b) >= 0, for R with one parameter in [0, 1].

    Where R(0) is the identity and R(1) the matrix of ones, data that look like an intrinsic
    process have a likelihood that keeps rising as tau2 = a + b grows and the parameter of R
    goes to 1 with a constant: a straight ridge along b.  At a = b = 0 the share is taken as 1/2.

    Parameters
    ----------
    r : Chart
        R.
    """

    def __init__(self, r: Chart) -> None:
        self.r = r
        self.lower, self.upper = np.zeros(2), np.full(2, np.inf)

    @staticmethod
    def split(x: Floats) -> tuple[float, Floats]:
        """tau2 and the parameter (1,) of R."""
        total = float(x[0] + x[1])
        return total, np.array([float(x[1]) / total if total > 0 else 0.5])

    def matrix(self, x: Floats) -> Floats:
        total, w = self.split(x)
        return np.asarray(total * self.r.matrix(w))

    def jacobian(self, x: Floats) -> Floats:
        _, w = self.split(x)
        r, slope = self.r.matrix(w), self.r.jacobian(w)[0]
        return np.stack([r - w[0] * slope, r + (1.0 - w[0]) * slope])

    def hessian(self, x: Floats) -> Floats | None:
        total, w = self.split(x)
        second = self.r.hessian(w)
        if second is None or total == 0:
            return None
        turn = np.array([-w[0], 1.0 - w[0]])
        return np.asarray(np.multiply.outer(np.outer(turn, turn) / total, second[0, 0]))


class StandardDeviations(_Scaled):
    """``G_ij = s_i s_j R_ij(r)`` with x = (s_1, ..., s_q, r)."""

    def matrix(self, x: Floats) -> Floats:
        s, r = x[: self.n_scales], x[self.n_scales :]
        return np.asarray(np.outer(s, s) * self.r.matrix(r))

    def jacobian(self, x: Floats) -> Floats:
        q = self.n_scales
        s, r = x[:q], x[q:]
        rows = self.r.matrix(r) * s
        return np.concatenate([_cross(rows), np.outer(s, s) * self.r.jacobian(r)])

    def hessian(self, x: Floats) -> Floats:
        q, i = self.n_scales, np.arange(self.n_scales)
        s, r = x[:q], x[q:]
        matrix, dr = self.r.matrix(r), self.r.jacobian(r)
        out = np.zeros((len(x), len(x), q, q))
        out[i[:, None], i, i[:, None], i] += matrix
        out[i[:, None], i, i, i[:, None]] += matrix
        for m, rows in enumerate(dr * s):
            out[:q, q + m] = out[q + m, :q] = _cross(rows)
        out[q:, q:] = np.outer(s, s) * self._second(r)
        return out


class Variances(_Scaled):
    """``G_ij = sqrt(tau2_i tau2_j) R_ij(rho)`` with x = (tau2_1, ..., tau2_q, rho).

    At tau2_i = 0 the derivatives of row i of G with respect to tau2_i are infinite unless its
    correlations are zero.  Put there are the derivatives for zero correlations, so that the
    arrays stay finite; the component then lies on the boundary, where the natural chart has
    no derivative to offer and the working chart is the one to use.
    """

    def _scales(self, x: Floats) -> tuple[Floats, Floats]:
        """Return standard deviations (q,) and their reciprocals, 0 for 0."""
        s = np.sqrt(x[: self.n_scales])
        return s, np.divide(1.0, s, out=np.zeros_like(s), where=s > 0)

    def matrix(self, x: Floats) -> Floats:
        s, _ = self._scales(x)
        return np.asarray(np.outer(s, s) * self.r.matrix(x[self.n_scales :]))

    def jacobian(self, x: Floats) -> Floats:
        s, inverse = self._scales(x)
        r, i = x[self.n_scales :], np.arange(self.n_scales)
        matrix = self.r.matrix(r)
        first = _cross(matrix * np.outer(inverse, s) / 2.0)
        first[i, i, i] = np.diag(matrix)
        return np.concatenate([first, np.outer(s, s) * self.r.jacobian(r)])

    def hessian(self, x: Floats) -> Floats:
        s, inverse = self._scales(x)
        q, i = self.n_scales, np.arange(self.n_scales)
        r = x[q:]
        matrix, dr = self.r.matrix(r), self.r.jacobian(r)
        out = np.zeros((len(x), len(x), q, q))
        mixed = matrix * np.outer(inverse, inverse) / 4.0
        out[i[:, None], i, i[:, None], i] = mixed
        out[i[:, None], i, i, i[:, None]] = mixed
        out[i, i] = _cross(-matrix * np.outer(inverse**3, s) / 4.0)
        out[i, i, i, i] = 0.0
        for m, rows in enumerate(dr * np.outer(inverse, s) / 2.0):
            out[:q, q + m] = out[q + m, :q] = _cross(rows)
        out[q:, q:] = np.outer(s, s) * self._second(r)
        return out


def _cross(rows: Floats) -> Floats:
    """For each k the matrix with row k of `rows` (q, q) added to its row and to its column k."""
    q = len(rows)
    i = np.arange(q)
    out = np.zeros((q, q, q))
    out[i, i, :] = rows
    out[i, :, i] += rows
    return out


class ScaledCorrelation(ByNaturalChart):
    """Covariance structure of a correlation function and one or q variances.

    Natural parameters: tau2 (one, or one for each level), then those of the correlation.
    Working parameters: tau2 where it is common, else the standard deviations (their sign does
    not matter, they are kept non-negative), then the working parameters of the correlation.

    Parameters
    ----------
    labels : sequence of str
        Inner levels; their number is q.
    correlation : Correlation
        R as a function of its parameters.
    heteroscedastic : bool
        Whether each level has a variance of its own.
    """

    def __init__(
        self, labels: Sequence[str], correlation: Correlation, *, heteroscedastic: bool = False
    ) -> None:
        self.labels = unique_labels(labels)
        self.q = len(self.labels)
        self.correlation, self.heteroscedastic = correlation, heteroscedastic
        bounds = zip(correlation.levels, correlation.lower, correlation.upper, strict=True)
        self.components = (
            *(Component("tau2", label) for label in (self.labels if heteroscedastic else ("",))),
            *(Component(correlation.kind, k, float(lo), float(up), 0) for k, lo, up in bounds),
        )
        self._natural: _Scaled
        if heteroscedastic:
            self._natural = Variances(correlation, self.q)
            self._working: Chart = StandardDeviations(correlation.working, self.q)
        else:
            self._natural = CommonVariance(correlation)
            self._working = CommonVariance(correlation.working)

    @property
    def n_scales(self) -> int:
        """Number of variances: 1 or q."""
        return self.q if self.heteroscedastic else 1

    @property
    def working(self) -> Chart:
        return self._working

    def check(self, theta: Floats) -> Floats:
        """Return `theta` as an array.

        Raises
        ------
        SpecificationError
            If a component is outside its range; the message names it.
        """
        theta = np.asarray(theta, dtype=float)
        for value, c in zip(theta, self.components, strict=True):
            if not c.lower <= value <= c.upper:
                of = f" of {c.level!r}" if c.level else ""
                raise SpecificationError(
                    f"{c.kind}{of} = {value:g} is outside the range [{c.lower:g}, {c.upper:g}] "
                    f"of struct={self.code!r} with {self.q} inner levels"
                )
        return theta

    def to_working(self, theta: Floats) -> Floats:
        theta = self.check(theta)
        scales, rho = theta[: self.n_scales], theta[self.n_scales :]
        scales = np.sqrt(scales) if self.heteroscedastic else scales
        return np.concatenate([scales, self.correlation.to_working(rho)])

    def to_natural(self, x: Floats) -> Floats:
        x = np.asarray(x, dtype=float)
        scales, r = x[: self.n_scales], x[self.n_scales :]
        scales = scales**2 if self.heteroscedastic else scales
        return np.concatenate([scales, self.correlation.to_natural(r)])

    def units(self) -> Floats:
        out = np.zeros(len(self.working.lower))
        out[: self.n_scales] = 1.0 if self.heteroscedastic else 2.0
        return out

    def sweep(self) -> Sweep | None:
        if len(self.correlation.levels) != 1 or not isinstance(self.working, _Scaled):
            return None
        common = self.n_scales == 1
        scale = 0 if common else None
        return Sweep(self.n_scales, *self.correlation.sweep(), scale=scale, straight=common)

    def separable(self) -> CovarianceStructure:
        return ScaledCorrelation(
            self.labels, self.correlation.separable(), heteroscedastic=self.heteroscedastic
        )

    def starts(self, scale: float) -> list[Floats]:
        size = np.sqrt(scale) if self.heteroscedastic else scale
        shapes = self.correlation.starts()
        out = [np.concatenate([np.full(self.n_scales, size), r]) for r in shapes]
        if self.n_scales > 1:
            # A level without variance sets the others free to correlate fully: such maxima
            # are separate and only found from near that level's axis.
            sizes = np.where(np.eye(self.q) > 0, 0.1, 1.0) * size
            out += [np.concatenate([row, shapes[0]]) for row in sizes]
        return out

    def like(self, g: Floats) -> list[Floats]:
        if self.n_scales == 1:
            return []
        return [np.concatenate([np.sqrt(g.diagonal()), r]) for r in self.correlation.starts()]


class StraightRange(ScaledCorrelation):
    """`ScaledCorrelation` with one variance and one range, working in `VarianceShares`.

    Parameters
    ----------
    labels : sequence of str
        Inner levels; their number is q.
    correlation : Correlation
        R, whose working chart has one parameter in [0, 1].
    """

    def __init__(self, labels: Sequence[str], correlation: Correlation) -> None:
        super().__init__(labels, correlation)
        self._working = VarianceShares(correlation.working)

    def to_working(self, theta: Floats) -> Floats:
        tau2, w = super().to_working(theta)
        return np.array([tau2 * (1.0 - w), tau2 * w])

    def to_natural(self, x: Floats) -> Floats:
        tau2, w = VarianceShares.split(x)
        return super().to_natural(np.append(tau2, w))

    def units(self) -> Floats:
        return np.array([2.0, 2.0])

    def starts(self, scale: float) -> list[Floats]:
        return [np.array([tau2 * (1.0 - w), tau2 * w]) for tau2, w in super().starts(scale)]
