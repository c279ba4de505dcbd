"""ML and REML: the few places in which the two criteria differ.

Fixed effects are profiled out and X has been made orthonormal, so that the term
``+ 1/2 log|X'X|`` of the REML log-likelihood (Harville 1974, Biometrika 61:383) is 0.
"""

from abc import ABC, abstractmethod

import numpy as np

from mvmeta._typing import Floats

LOG_2PI = float(np.log(2 * np.pi))


class Criterion(ABC):
    """What depends on the criterion, given the Cholesky factor of X'inv(M)X."""

    @abstractmethod
    def loglik(self, n: int, logdet: float, rss: float, chol: Floats) -> float:
        """Log-likelihood from log|M|, r'inv(M)r and the factor `chol` (p, p)."""

    @abstractmethod
    def projector(self, c: Floats) -> Floats:
        """The C (p, p) that stands in P = N - N X C X'N in traces; zero under ML."""


class ML(Criterion):
    """Maximum likelihood."""

    def loglik(self, n: int, logdet: float, rss: float, chol: Floats) -> float:
        return -0.5 * (n * LOG_2PI + logdet + rss)

    def projector(self, c: Floats) -> Floats:
        return np.zeros_like(c)


class REML(Criterion):
    """Restricted maximum likelihood."""

    def loglik(self, n: int, logdet: float, rss: float, chol: Floats) -> float:
        p = len(chol)
        correction = 2.0 * float(np.log(chol.diagonal()).sum())
        return -0.5 * ((n - p) * LOG_2PI + logdet + correction + rss)

    def projector(self, c: Floats) -> Floats:
        return c


def criterion(reml: bool) -> Criterion:
    """The criterion for ``reml=True`` or ``reml=False``."""
    return REML() if reml else ML()
