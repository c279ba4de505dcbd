"""One correlation for each lag (TOEP, HTOEP), kept valid by partial autocorrelations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.structures.base import Chart, register
from mvmeta.structures.correlation import Correlation, LinearCorrelation
from mvmeta.structures.scaled import ScaledCorrelation

SINGULAR = 1e-13
"""Innovation variance below which all further autocorrelations are determined."""

ROUNDING = 1e-8
"""By how much a partial autocorrelation may pass 1 from rounding in the correlations."""


@dataclass(frozen=True)
class Jet:
    """A polynomial in m variables at a point: value, gradient (m,), Hessian (m, m)."""

    value: float
    first: Floats
    second: Floats

    def __add__(self, other: "Jet") -> "Jet":
        first, second = self.first + other.first, self.second + other.second
        return Jet(self.value + other.value, first, second)

    def __sub__(self, other: "Jet") -> "Jet":
        first, second = self.first - other.first, self.second - other.second
        return Jet(self.value - other.value, first, second)

    def __mul__(self, other: "Jet") -> "Jet":
        cross = np.outer(self.first, other.first)
        return Jet(
            self.value * other.value,
            self.value * other.first + other.value * self.first,
            self.value * other.second + other.value * self.second + cross + cross.T,
        )


class LagCorrelations(LinearCorrelation):
    """``R_ij = rho_|i-j|`` with q - 1 free autocorrelations.

    Parameters
    ----------
    q : int
        Order of R.
    """

    def __init__(self, q: int) -> None:
        i = np.arange(q)
        lag = np.abs(i[:, None] - i)
        patterns = np.stack([lag == k for k in range(q)])[1:].astype(float)
        super().__init__(np.eye(q), patterns, [f"lag {k}" for k in range(1, q)])


class PartialAutocorrelations(Chart):
    """The same R as a function of q - 1 partial autocorrelations in [-1, 1].

    Every point of this cube gives a valid R and every valid R has such a point
    (Barndorff-Nielsen & Schou 1973).  The autocorrelations are polynomials of it, computed
    with their derivatives by the Durbin-Levinson recursion.

    Parameters
    ----------
    q : int
        Order of R.
    """

    def __init__(self, q: int) -> None:
        self.lags = LagCorrelations(q)
        self.lower, self.upper = np.full(q - 1, -1.0), np.ones(q - 1)

    def autocorrelations(self, x: Floats) -> list[Jet]:
        """rho_1, ..., rho_{q-1} at partial autocorrelations `x` (q-1,)."""
        m = len(x)
        zero = np.zeros((m, m))
        one = Jet(1.0, np.zeros(m), zero)
        rho, phi, variance = [one], list[Jet](), one
        for k in range(m):
            partial = Jet(float(x[k]), np.eye(m)[k], zero)
            new = partial * variance
            for j in range(k):
                new = new + phi[j] * rho[k - j]
            rho.append(new)
            phi = [phi[j] - partial * phi[k - 1 - j] for j in range(k)] + [partial]
            variance = variance * (one - partial * partial)
        return rho[1:]

    def matrix(self, x: Floats) -> Floats:
        return self.lags.matrix(np.array([r.value for r in self.autocorrelations(x)]))

    def jacobian(self, x: Floats) -> Floats:
        first = np.array([r.first for r in self.autocorrelations(x)]).reshape(len(x), len(x))
        return np.asarray(np.tensordot(first.T, self.lags.patterns, axes=1))

    def hessian(self, x: Floats) -> Floats:
        m = len(x)
        second = np.array([r.second for r in self.autocorrelations(x)]).reshape(m, m, m)
        return np.asarray(np.tensordot(second.transpose(1, 2, 0), self.lags.patterns, axes=1))


class Autocorrelations(LagCorrelations):
    """`LagCorrelations` that move in `PartialAutocorrelations`."""

    def __init__(self, q: int) -> None:
        super().__init__(q)
        self._partial = PartialAutocorrelations(q)

    @property
    def working(self) -> Chart:
        return self._partial

    def to_working(self, rho: Floats) -> Floats:
        return partial_autocorrelations(rho)

    def to_natural(self, r: Floats) -> Floats:
        rho = np.array([j.value for j in self._partial.autocorrelations(r)])
        return np.asarray(np.clip(rho, -1.0, 1.0))

    def separable(self) -> Correlation:
        return LagCorrelations(self.q)

    def starts(self) -> list[Floats]:
        m = self.q - 1
        first = np.eye(m)[:1].sum(axis=0)
        return [np.zeros(m), *(r * first for r in (0.5, -0.5) if m)]


def partial_autocorrelations(rho: Floats) -> Floats:
    """Partial autocorrelations (m,) of autocorrelations `rho` (m,), by Durbin and Levinson.

    Where R becomes singular at a lag the following ones are without effect and given as 0.

    Raises
    ------
    SpecificationError
        If no stationary series has these autocorrelations; the message names the lag.
    """
    full = np.concatenate([[1.0], rho])
    out, phi, variance = np.zeros(len(rho)), np.empty(0), 1.0
    for k in range(len(rho)):
        rest = float(full[k + 1] - phi @ full[k:0:-1])
        if abs(rest) > variance + ROUNDING:
            raise SpecificationError(
                f"the correlation {rho[k]:g} of lag {k + 1} is not compatible with those of the "
                "shorter lags: the Toeplitz matrix is not positive semi-definite; move it towards "
                f"{full[k + 1] - rest:.3g}"
            )
        if variance <= SINGULAR:
            break
        out[k] = np.clip(rest / variance, -1.0, 1.0)
        phi = np.append(phi - out[k] * phi[::-1], out[k])
        variance *= 1.0 - out[k] ** 2
    return out


@register("TOEP")
class Toeplitz(ScaledCorrelation):
    """``G_ij = tau2 rho_|i-j|``, i and j the positions of the levels.

    Parameters
    ----------
    labels : sequence of str
        Inner levels in their order; their number is q.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(labels, Autocorrelations(len(labels)))


@register("HTOEP")
class HeterogeneousToeplitz(ScaledCorrelation):
    """``G_ij = sqrt(tau2_i tau2_j) rho_|i-j|``, one variance for each level.

    Parameters
    ----------
    labels : sequence of str
        Inner levels in their order; their number is q.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(labels, Autocorrelations(len(labels)), heteroscedastic=True)
