"""Chi-bar-square: mixtures of chi-squares, the null distributions of tests on an edge."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError

MOST_VARIANCES = 3
"""Variances up to which the weights have a closed form."""


class NoClosedFormError(SpecificationError):
    """No mixture is known for a pair of models; the message says what is in the way."""


@dataclass(frozen=True)
class ChiBar:
    """``sum_j weights[j] P(chi2(df[j]) > t)``; chi2(0) is 0.

    Attributes
    ----------
    weights : tuple of float
        Their sum is 1.
    df : tuple of int
    """

    weights: tuple[float, ...]
    df: tuple[int, ...]

    def sf(self, statistic: float) -> float:
        """p-value of a statistic >= 0."""
        if statistic <= 0:
            return 1.0
        parts = [
            w * float(stats.chi2.sf(statistic, d)) if d else 0.0
            for w, d in zip(self.weights, self.df, strict=True)
        ]
        return float(sum(parts))

    def __str__(self) -> str:
        parts = zip(self.weights, self.df, strict=True)
        return " + ".join(f"{w:.3g} chi2({d})" if w < 1 else f"chi2({d})" for w, d in parts)


def with_covariances(q: int, regular: int = 0) -> ChiBar:
    """An effect dropped with its covariances to q others, and `regular` further parameters.

    Stram & Lee (1994, Biometrics 50:1171): q = 0 is a variance by itself.
    """
    return ChiBar((0.5, 0.5), (q + regular, q + 1 + regular))


def variances_at_zero(cov: Floats, regular: int = 0) -> ChiBar:
    """K <= 3 variances set to 0, and `regular` further parameters.

    Parameters
    ----------
    cov : ndarray, shape (k, k)
        Asymptotic covariance of their unrestricted estimates, all other parameters estimated.

    Notes
    -----
    Shapiro (1985, Biometrika 72:133): the weights are the probabilities that j of the estimates
    are positive.  Without correlation they are binomial.
    """
    sd = np.sqrt(np.diag(cov))
    weights = orthant_weights(cov / np.outer(sd, sd))
    return ChiBar(tuple(weights), tuple(range(regular, regular + len(weights))))


def orthant_weights(r: Floats) -> list[float]:
    """Weights of 0..k positive coordinates for a correlation matrix r (k, k), k <= 3."""
    k = len(r)
    if k == 1:
        return [0.5, 0.5]
    if k == 2:
        both = 0.25 + float(np.arcsin(r[0, 1])) / (2 * np.pi)
        return [0.5 - both, 0.5, both]
    pairs = ((0, 1, 2), (0, 2, 1), (1, 2, 0))
    plain = [float(np.arccos(r[i, j])) for i, j, _ in pairs]
    partial = [float(np.arccos(_partial(r, i, j, m))) for i, j, m in pairs]
    three = (2 * np.pi - sum(plain)) / (4 * np.pi)
    two = (3 * np.pi - sum(partial)) / (4 * np.pi)
    return [0.5 - two, 0.5 - three, two, three]


def _partial(r: Floats, i: int, j: int, given: int) -> float:
    free = np.sqrt((1 - r[i, given] ** 2) * (1 - r[j, given] ** 2))
    return float((r[i, j] - r[i, given] * r[j, given]) / free)
