"""Satterthwaite df of a sandwich: moments of a sum of squared cluster contributions.

A sandwich estimates the covariance of a contrast by ``D = sum_j w_j x_j x_j'``, x_j what cluster
j contributes to it.  Under the working model (M as fitted) the x_j are normal with known
covariances, and D has a known mean and variance: what a Satterthwaite approximation matches.
"""

from abc import ABC, abstractmethod

import numpy as np

from mvmeta._typing import Floats
from mvmeta.inference.coefficients.degrees import DegreesOfFreedom

MOST_TABULATED = 8
"""Most coefficients for which the spread of all pairs of pairs (p**4 numbers) is made at once."""


class Moments(ABC):
    """Mean and spread of D for contrasts given in the basis Q = X / R of the columns of X.

    Parameters
    ----------
    r : ndarray, shape (p, p)
        X = Q R.
    """

    def __init__(self, r: Floats) -> None:
        self.r = r

    @abstractmethod
    def mean(self) -> Floats:
        """Expectation of D for the coefficients of Q, shape (p, p)."""

    @abstractmethod
    def spread(self, rows: Floats) -> Floats:
        """``K[s, t, u, v] = sum_jk w_j w_k Cov(x_sj, x_tk) Cov(x_uj, x_vk)`` for rows (q, p).

        The covariance of D_st and D_uv is ``K[s, u, t, v] + K[s, v, t, u]``.
        """

    def of_each(self, rows: Floats) -> Floats:
        """``K[m, m, m, m]`` of every row of rows (m, p), each by itself, shape (m,)."""
        return np.array([self.spread(row[None]).item() for row in rows], dtype=float)


class TabulatedMoments(Moments):
    """Moments kept as p**4 numbers: nothing is left of the clusters, any contrast is cheap."""

    def __init__(self, moments: Moments) -> None:
        super().__init__(moments.r)
        self._mean = moments.mean()
        self._spread = moments.spread(np.eye(len(moments.r)))

    def mean(self) -> Floats:
        return self._mean

    def spread(self, rows: Floats) -> Floats:
        return np.einsum(
            "abcd,sa,tb,uc,vd->stuv", self._spread, rows, rows, rows, rows, optimize=True
        )

    def of_each(self, rows: Floats) -> Floats:
        # a quadratic form in the products c_a c_b
        pairs = (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)
        k = self._spread.reshape(pairs.shape[1], -1)
        return np.einsum("mi,ij,mj->m", pairs, k, pairs, optimize=True)


class RobustSatterthwaite(DegreesOfFreedom):
    """Satterthwaite t tests and the HTZ test under the working model that M is as fitted.

    One contrast: the df of the variance estimate are ``2 E^2 / Var``.  For q contrasts
    standardised by the expected covariance matrix, ``eta = q (q + 1) / sum_st Var(D_st)`` and
    ``(eta - q + 1) / (eta q) Q`` is referred to F(q, eta - q + 1) (Pustejovsky & Tipton 2018,
    Journal of Business & Economic Statistics 36:672, approximate Hotelling T^2 "HTZ").  Where
    the clusters are too few for q contrasts, eta <= q - 1, there is no test: F and its df are
    0 and the p-value is NaN, as in clubSandwich.

    Parameters
    ----------
    moments : Moments
    """

    def __init__(self, moments: Moments) -> None:
        tabulate = len(moments.r) <= MOST_TABULATED
        self._moments = TabulatedMoments(moments) if tabulate else moments
        self._mean = self._moments.mean()

    def coefficients(self) -> Floats:
        return self.contrasts(np.eye(len(self._mean)))

    def contrast(self, row: Floats) -> float:
        return float(self.contrasts(np.atleast_2d(row))[0])

    def contrasts(self, rows: Floats) -> Floats:
        inside = self._inside(rows)
        mean = np.einsum("ma,ab,mb->m", inside, self._mean, inside)
        spread = self._moments.of_each(inside)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(mean > 0, mean**2 / spread, np.nan))

    def joint(self, rows: Floats) -> float:
        return max(self._eta(rows) - len(rows) + 1.0, 0.0)

    def scale(self, rows: Floats) -> float:
        return self.joint(rows) / self._eta(rows)

    def expected(self, rows: Floats) -> Floats:
        """Expectation of the covariance estimate of rows (q, p) under the working model."""
        inside = self._inside(rows)
        return np.asarray(inside @ self._mean @ inside.T)

    def _eta(self, rows: Floats) -> float:
        q = len(rows)
        values, vectors = np.linalg.eigh(self.expected(rows))
        if not values[0] > 0:
            return np.nan
        turn = vectors / np.sqrt(values)
        k = self._moments.spread(turn.T @ self._inside(rows))
        return q * (q + 1) / float(np.einsum("sstt->", k) + np.einsum("stts->", k))

    def _inside(self, rows: Floats) -> Floats:
        """Rows (m, p) over the coefficients of X as rows over those of Q."""
        return np.asarray(np.linalg.solve(self._moments.r.T, np.atleast_2d(rows).T).T)
