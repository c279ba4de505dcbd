"""Satterthwaite degrees of freedom, from the observed information of the components."""

import numpy as np

from mvmeta._typing import Floats
from mvmeta.design.terms import RandomTerm
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.degrees import DegreesOfFreedom
from mvmeta.inference.fitted.curvature import (
    Curvature,
    components_cov,
    cov_beta_gradient,
    curvature,
)
from mvmeta.inference.fitted.fit import Fit

EQUAL_TOLERANCE = 1e-8
"""Component df of a joint test that agree to this are its df."""

LEAST_DF = 2.0
"""An F with a component at or below it has no expectation to match; its df is set to this."""


class Satterthwaite(DegreesOfFreedom):
    """Match the variance of the estimated variance of ``l'beta`` to that of a chi-square.

    Parameters
    ----------
    cov : ndarray, shape (p, p)
        Covariance of beta, Phi.
    gradient : ndarray, shape (J, p, p)
        Its derivatives in the free components.
    components : ndarray, shape (J, J)
        Covariance W of the free components.

    Notes
    -----
    One row: ``df = 2 (l'Phi l)^2 / g'W g`` with ``g_j = l'(dPhi/dtheta_j) l`` (Giesbrecht &
    Burns 1985).  Several: the eigenvectors of L Phi L' are independent rows with df nu_m;
    ``E = sum nu_m / (nu_m - 2)`` and ``df = 2 E / (E - m)`` match the expectation of F (Fai &
    Cornelius 1996).  The result for several rows depends on the basis L where eigenvalues tie.
    """

    def __init__(self, cov: Floats, gradient: Floats, components: Floats) -> None:
        self._cov, self._gradient, self._components = cov, gradient, components

    def coefficients(self) -> Floats:
        return self.contrasts(np.eye(len(self._cov)))

    def contrast(self, row: Floats) -> float:
        return float(self.contrasts(np.atleast_2d(row))[0])

    def contrasts(self, rows: Floats) -> Floats:
        return matched_df(rows, self._cov, self._gradient, self._components)

    def joint(self, rows: Floats) -> float:
        _, vectors = np.linalg.eigh(rows @ self._cov @ rows.T)
        return combine(self.contrasts(vectors.T @ rows))


def matched_df(rows: Floats, cov: Floats, gradient: Floats, components: Floats) -> Floats:
    """``2 (l'Phi l)^2 / g'W g`` of every row l of rows (m, p), shape (m,); inf where g is 0.

    Parameters
    ----------
    rows : ndarray, shape (m, p)
    cov, gradient, components : ndarray, shape (p, p), (J, p, p), (J, J)
        Phi, its derivatives in the free components, and the covariance W of these.
    """
    variance = np.einsum("mp,mp->m", rows @ cov, rows)
    g = np.einsum("mp,jpq,mq->mj", rows, gradient, rows, optimize=True)
    spread = np.einsum("mj,mj->m", g @ components, g)
    positive = spread > 0
    return np.where(positive, 2.0 * variance**2 / np.where(positive, spread, 1.0), np.inf)


def combine(nu: Floats) -> float:
    """Df of an F test made of independent squared t statistics with `nu` (m,) df."""
    if np.isinf(nu).all() or np.ptp(nu) < EQUAL_TOLERANCE:
        return float(nu.mean())
    if (nu <= LEAST_DF).any():
        return LEAST_DF
    ratio = np.where(np.isinf(nu), 1.0, nu / (np.where(np.isinf(nu), 4.0, nu) - 2.0))
    excess = float((ratio - 1.0).sum())
    return 2.0 * float(ratio.sum()) / excess


def satterthwaite_df(fit: Fit, at: Curvature | None = None) -> Satterthwaite:
    """Satterthwaite df with the observed information, as lmerTest, mmrm and SAS.

    Components that are pinned or on the boundary are constants; with none left every df is
    infinite.

    Raises
    ------
    SpecificationError
        If the observed information is not positive definite.
    """
    at = curvature(fit) if at is None else at
    components = components_cov(at.observed, "observed")
    return Satterthwaite(fit.cov_beta, cov_beta_gradient(fit, at), components)


def linked_terms(fit: Fit) -> list[RandomTerm]:
    """Terms whose levels are correlated in one piece: species on a tree, sites on a map.

    These are one level with an effect for each of them.  A grouping factor that has a single level
    is one level, too, but has nothing in it that is correlated.
    """
    pairs = zip(fit.problem.terms, fit.gs, strict=True)
    return [t for t, g in pairs if t.n_levels == 1 and _has_covariances(np.asarray(g))]


def _has_covariances(g: Floats) -> bool:
    return bool(np.count_nonzero(g) > np.count_nonzero(g.diagonal()))


def linked_levels_df(fit: Fit) -> Floats:
    """`satterthwaite_df` (p,) if there are `linked_terms`, else inf.

    Species on a tree, or sites that are alike where they are near, are fewer independent ones
    than there are of them, and counting does not tell how many.  Infinite, too, where the observed
    information is not positive definite.
    """
    unknown = np.full(fit.problem.p, np.inf)
    if not linked_terms(fit):
        return unknown
    try:
        return satterthwaite_df(fit).coefficients()
    except SpecificationError:
        return unknown
