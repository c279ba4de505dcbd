"""Intervals and Monte Carlo errors of what was computed for data drawn from a fit."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.wald import check_alpha

METHODS = ("percentile", "basic")


@dataclass(frozen=True, eq=False)
class Bootstrapped:
    """What B replicates say about S statistics.

    Parameters
    ----------
    observed : ndarray, shape (S,)
        From the data.
    replicates : ndarray, shape (B, S)
        Without failures.
    """

    observed: Floats
    replicates: Floats

    @property
    def bias(self) -> Floats:
        """Mean of the replicates minus the observed value, shape (S,)."""
        return np.asarray(self.replicates.mean(axis=0) - self.observed)

    @property
    def se(self) -> Floats:
        """Standard deviation of the replicates, shape (S,)."""
        return np.asarray(self.replicates.std(axis=0, ddof=1))

    @property
    def bias_error(self) -> Floats:
        """Monte Carlo standard error of `bias`, shape (S,)."""
        return np.asarray(self.se / np.sqrt(len(self.replicates)))

    @property
    def se_error(self) -> Floats:
        """Monte Carlo standard error of `se`, shape (S,).

        By the delta method from ``var(s^2) = (m4 - s^4 (B - 3) / (B - 1)) / B``.
        """
        count = len(self.replicates)
        centred = self.replicates - self.replicates.mean(axis=0)
        fourth = (centred**4).mean(axis=0)
        variance = (fourth - self.se**4 * (count - 3) / (count - 1)) / count
        size = np.where(self.se > 0, self.se, 1.0)
        return np.sqrt(np.maximum(variance, 0.0)) / (2 * size)

    def interval(self, alpha: float = 0.05, method: str = "percentile") -> tuple[Floats, Floats]:
        """Lower and upper limits (S,) of 1 - alpha intervals.

        Parameters
        ----------
        alpha : float
        method : {"percentile", "basic"}
            Quantiles of the replicates; or these reflected about the observed value,
            2 t - q (Davison & Hinkley 1997, Bootstrap Methods and their Application, ch. 5).

        Raises
        ------
        SpecificationError
            For another method or an alpha not between 0 and 1.
        """
        _check_method(method)
        check_alpha(alpha)
        low, high = np.quantile(self.replicates, [alpha / 2, 1 - alpha / 2], axis=0)
        if method == "basic":
            return 2 * self.observed - high, 2 * self.observed - low
        return low, high

    def interval_error(
        self, alpha: float = 0.05, method: str = "percentile"
    ) -> tuple[Floats, Floats]:
        """Monte Carlo standard errors (S,) of the two limits of `interval`."""
        _check_method(method)
        low = quantile_error(self.replicates, alpha / 2)
        high = quantile_error(self.replicates, 1 - alpha / 2)
        return (high, low) if method == "basic" else (low, high)


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise SpecificationError(f"method= takes one of {', '.join(METHODS)}, got {method!r}")


def quantile_error(sample: Floats, at: float) -> Floats:
    """Standard error (S,) of the quantile `at` of a sample (B, S).

    Notes
    -----
    Maritz & Jarrett (1978, J Am Stat Assoc 73:194): the quantile of a resample is the i-th order
    statistic with the probability that a beta variable with (B + 1) q and (B + 1)(1 - q)
    degrees of freedom lies between (i - 1) / B and i / B; its standard deviation follows.
    """
    ordered = np.sort(sample, axis=0)
    count = len(ordered)
    edges = special.betainc((count + 1) * at, (count + 1) * (1 - at), np.arange(count + 1) / count)
    weights = np.diff(edges)
    mean = weights @ ordered
    return np.sqrt(np.maximum(weights @ (ordered - mean) ** 2, 0.0))


def exceedance(observed: float, replicates: Floats) -> tuple[float, float]:
    """p-value of a statistic that is large against a hypothesis, and its Monte Carlo error.

    ``(1 + #{replicates >= observed}) / (B + 1)``, which keeps its level at every B (Davison &
    Hinkley 1997, section 4.2); the observed value counts as one draw.
    """
    count = len(replicates)
    slack = TIES * max(1.0, abs(observed))
    p = (1.0 + float((replicates >= observed - slack).sum())) / (count + 1.0)
    return p, float(np.sqrt(p * (1.0 - p) / (count + 1.0)))


TIES = 1e-9
"""Difference of two statistics that are equal but for rounding."""
