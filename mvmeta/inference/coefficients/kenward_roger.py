"""Kenward-Roger: adjusted covariance of the fixed effects, scaled F, its degrees of freedom."""

from dataclasses import dataclass

import numpy as np

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.degrees import DegreesOfFreedom
from mvmeta.inference.coefficients.satterthwaite import matched_df
from mvmeta.inference.fitted.curvature import (
    Curvature,
    components_cov,
    cov_beta_gradient,
    curvature,
)
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.fitted.free import linear_terms

LEAST_DF = 2.0
"""An F with this many denominator df or fewer has no expectation to match."""


@dataclass(frozen=True, eq=False)
class KenwardRoger:
    """What a Kenward-Roger analysis replaces.

    Attributes
    ----------
    cov : ndarray, shape (p, p)
        Adjusted covariance Phi_A of the fixed effects.
    df : DegreesOfFreedom
        With the scale of the F statistic.
    """

    cov: Floats
    df: "KenwardRogerDf"


class KenwardRogerDf(DegreesOfFreedom):
    """Degrees of freedom and scale of Kenward & Roger (1997, Biometrics 53:983, section 3).

    Where their formulas break down (df at most 2, or a scale that is not positive, as happens
    with fewer than a handful of levels) both are NaN, and so is the p-value.

    Parameters
    ----------
    cov : ndarray, shape (p, p)
        Unadjusted covariance Phi.
    gradient : ndarray, shape (J, p, p)
        Its derivatives in the free components, Phi P_j Phi up to sign.
    components : ndarray, shape (J, J)
        Inverse expected information W of the free components.
    """

    def __init__(self, cov: Floats, gradient: Floats, components: Floats) -> None:
        self._cov, self._gradient, self._components = cov, gradient, components

    def coefficients(self) -> Floats:
        return self.contrasts(np.eye(len(self._cov)))

    def contrast(self, row: Floats) -> float:
        return float(self.contrasts(np.atleast_2d(row))[0])

    def contrasts(self, rows: Floats) -> Floats:
        # 2 / A2, whatever its size: t needs no moment
        return matched_df(rows, self._cov, self._gradient, self._components)

    def joint(self, rows: Floats) -> float:
        return self._match(rows)[0]

    def scale(self, rows: Floats) -> float:
        return self._match(rows)[1]

    def _match(self, rows: Floats) -> tuple[float, float]:
        """Df m and scale lambda for rows (l, p)."""
        size = len(rows)
        if size == 1:
            return self.contrast(rows[0]), 1.0
        a1, a2 = self._moments(rows)
        if a2 <= 0.0:
            return np.inf, 1.0
        g = ((size + 1) * a1 - (size + 4) * a2) / ((size + 2) * a2)
        d = 3 * size + 2 * (1 - g)
        b = (a1 + 6 * a2) / (2 * size * d)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = (1 + g * b) / ((1 - (size - g) * b) ** 2 * (1 - (size + 2 - g) * b))
            # l rho of the paper, rho = V / (2 E^2) with E = 1 / (1 - A2 / l), V = 2 spread / l
            ratio = spread * (1.0 - a2 / size) ** 2
            df = 4.0 + (size + 2) / (ratio - 1.0)
            scale = df * (1.0 - a2 / size) / (df - 2.0)
        usable = df > LEAST_DF and scale > 0.0
        return (float(df), float(scale)) if usable else (np.nan, np.nan)

    def _moments(self, rows: Floats) -> tuple[np.float64, np.float64]:
        """A1 and A2: ``sum W_jl tr(T_j) tr(T_l)`` and ``sum W_jl tr(T_j T_l)``."""
        middle = np.linalg.inv(rows @ self._cov @ rows.T)
        t = middle @ (rows @ self._gradient @ rows.T)
        trace = np.trace(t, axis1=1, axis2=2)
        pair = np.einsum("jab,lba->jl", t, t)
        return trace @ self._components @ trace, (self._components * pair).sum()


def kenward_roger(fit: Fit, at: Curvature | None = None) -> KenwardRoger:
    """Kenward-Roger analysis with the expected information.

    Components that are pinned or on the boundary are constants.  CS, UN and random slopes are
    parametrised by variances and covariances, other structures by variances and correlations
    (which matters to the second-derivative term of the adjustment alone).

    Raises
    ------
    SpecificationError
        For an ML fit, under user weights, or if the information is not positive definite.
    """
    if not fit.reml:
        raise SpecificationError(
            "Kenward-Roger adjusts REML estimates; fit with reml=True, or use df='satterthwaite'"
        )
    if fit.weights is not None:
        raise SpecificationError(
            "Kenward-Roger is defined for generalized least squares, not for user weights; use "
            "df='satterthwaite', or fit without weights="
        )
    at = curvature(fit) if at is None else at
    components = components_cov(at.expected, "expected")
    df = KenwardRogerDf(fit.cov_beta, cov_beta_gradient(fit, at), components)
    inner = at.c @ _bracket(fit, at, components) @ at.c
    left = np.linalg.solve(at.r, inner)
    extra = np.linalg.solve(at.r, left.T)
    return KenwardRoger(fit.cov_beta + extra + extra.T, df)


def _bracket(fit: Fit, at: Curvature, w: Floats) -> Floats:
    """``sum_jl W_jl (Q_jl - P_j Phi P_l - R_jl / 4)`` in the basis of Curvature."""
    out = np.einsum("jl,jlab->ab", w, at.pairs)
    out -= np.einsum("jl,jab,bc,lcd->ad", w, at.first, at.c, at.first, optimize=True)
    linear = linear_terms(fit)
    for term, j, i, r in at.second:
        if not linear[term]:
            out -= w[j, i] * r * (0.25 if j == i else 0.5)
    return (out + out.T) / 2.0
