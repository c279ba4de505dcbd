"""The tetrachoric correlation: a 2x2 table as a cut-up bivariate normal distribution."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from mvmeta.effects.registry import measure
from mvmeta.effects.values import FloatArray, Values, YiVi

CELLS = "ai bi ci di"
MOST_STEPS, TOLERANCE = 60, 1e-14
"""Of the angle; halvings alone would get there, too."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(128)


def _density(h: FloatArray, k: FloatArray, angle: FloatArray) -> FloatArray:
    """Bivariate normal density at (h, k), correlation sin(angle), times cos(angle)."""
    form = h**2 + k**2 - 2 * h * k * np.sin(angle)
    return np.exp(-form / (2 * np.cos(angle) ** 2)) / (2 * np.pi)


def lower_quadrant(h: FloatArray, k: FloatArray, angle: FloatArray) -> FloatArray:
    """Probability below h and below k at correlation sin(angle), by Plackett's integral.

    Phi(h) Phi(k) plus the integral of the density over the correlation from 0 (Plackett, 1954).
    """
    half = angle[:, None] / 2
    values = _density(h[:, None], k[:, None], half * (1 + _NODES))
    return ndtr(h) * ndtr(k) + half[:, 0] * (values @ _WEIGHTS)


def _solve(h: FloatArray, k: FloatArray, probability: FloatArray) -> FloatArray:
    """Angle whose sine is the correlation with the given probability.

    Newton's steps, whose derivative is the density (Plackett, 1954), within a bracket that is
    halved where they leave it.
    """
    low, high = np.full(len(h), -np.pi / 2), np.full(len(h), np.pi / 2)
    angle = np.zeros(len(h))
    left = np.flatnonzero(np.isfinite(h + k + probability))
    for _ in range(MOST_STEPS):
        at = angle[left]
        excess = lower_quadrant(h[left], k[left], at) - probability[left]
        low[left] = np.where(excess < 0, at, low[left])
        high[left] = np.where(excess < 0, high[left], at)
        step = at - excess / _density(h[left], k[left], at)
        inside = (step > low[left]) & (step < high[left])
        angle[left] = np.where(inside, step, (low[left] + high[left]) / 2)
        left = left[np.abs(angle[left] - at) > TOLERANCE]
        if not len(left):
            break
    return angle


@measure("RTET", layout="table", needs=CELLS, add=0.0)
def tetrachoric(x: Values) -> YiVi:
    """Tetrachoric correlation, of two dichotomized normal variables.

    y is the correlation at which the bivariate normal distribution, cut at the quantiles of the
    margins, has the proportions of the table; v by the delta method for a multinomial table
    (Pearson, 1900). Undefined where a cell is 0.
    """
    n = x.n1i + x.n2i
    p = np.array([x.ai, x.bi, x.ci, x.di]) / n
    p = np.where(np.all(p > 0, axis=0), p, np.nan)
    h, k = ndtri(p[0] + p[1]), ndtri(p[0] + p[2])
    angle = np.where(np.isfinite(h + k), _solve(h, k, p[0]), np.nan)
    r, root = np.sin(angle), np.cos(angle)
    rows, columns = ndtr((k - r * h) / root), ndtr((h - r * k) / root)
    slopes = np.array([1 - rows - columns, -rows, -columns, np.zeros_like(rows)])
    spread = (slopes**2 * p).sum(axis=0) - (slopes * p).sum(axis=0) ** 2
    return r, spread / n * (root / _density(h, k, angle)) ** 2


@measure(
    "ZTET", layout="table", needs=CELLS, add=0.0, back="ztor", natural="Tetrachoric correlation"
)
def tetrachoric_fisher_z(x: Values) -> YiVi:
    """Fisher's r-to-z transformed tetrachoric correlation.

    y = atanh r, v = v(RTET) / (1-r^2)^2 (delta method).
    """
    r, variance = tetrachoric(x)
    return np.arctanh(r), variance / (1 - r**2) ** 2
