"""Information about the free components, and how the covariance of beta moves with them."""

from dataclasses import dataclass

import numpy as np

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.fitted.free import free_charts, free_sharing
from mvmeta.inference.fitted.weighted import weighted_projector
from mvmeta.likelihood.criterion import criterion
from mvmeta.likelihood.objective import (
    average_information,
    curvature_term,
    directions,
    expected_information,
)
from mvmeta.marginal.base import Direction

INFORMATION_TOLERANCE = 1e-10
"""Smallest eigenvalue of the information, scaled to unit diagonal, taken for positive."""


@dataclass(frozen=True, eq=False)
class Curvature:
    """Derivatives at the estimate in the J free components, X replaced by orthonormal Q = X/R.

    Attributes
    ----------
    expected, observed : ndarray, shape (J, J)
        Information under the criterion of the fit.
    r : ndarray, shape (p, p)
        X = Q R.
    c : ndarray, shape (p, p)
        inv(Q'N Q).
    first : ndarray, shape (J, p, p)
        Q'N K_j N Q.
    pairs : ndarray, shape (J, J, p, p)
        Q'N K_j N K_l N Q.
    second : list of (int, int, int, ndarray)
        (term, j, l, Q'N K_jl N Q) for the non-zero second derivatives, j >= l.
    directions : list of (int, Direction)
        j and what K_j is the sum of: one direction, or one for each of several tied terms.
    """

    expected: Floats
    observed: Floats
    r: Floats
    c: Floats
    first: Floats
    pairs: Floats
    second: list[tuple[int, int, int, Floats]]
    directions: list[tuple[int, Direction]]

    @property
    def count(self) -> int:
        """Number J of free components."""
        return len(self.first)


def curvature(fit: Fit) -> Curvature:
    """Evaluate information and derivatives at the components of the fit."""
    charts, points = free_charts(fit)
    first, second, where = directions(charts, points)
    sharing = free_sharing(fit, charts)
    p = fit.problem.p
    sums, r = fit.orthonormal_sums(first, second)
    c = np.asarray(np.linalg.inv(sums.gram[:p, :p]), dtype=float)
    b = np.append(-c @ sums.gram[:p, p], 1.0)
    projector = criterion(fit.reml).projector(c)
    expected = expected_information(sums, projector)
    bend = curvature_term(sums, projector, b, where, len(first))
    observed = 2.0 * average_information(sums, c, b) - expected + bend
    group = sharing.group.tolist()
    return Curvature(
        expected=sharing.add_pairs(expected),
        observed=sharing.add_pairs(observed),
        r=r,
        c=c,
        first=sharing.add(sums.slope[:, :p, :p]),
        pairs=sharing.add_pairs(sums.require_pairs()[:, :, :p, :p]),
        second=[
            (d.term, group[j], group[i], s[:p, :p])
            for d, (j, i), s in zip(second, where, sums.extra_slope, strict=True)
        ],
        directions=list(zip(group, first, strict=True)),
    )


def cov_beta_gradient(fit: Fit, at: Curvature) -> Floats:
    """Derivatives (J, p, p) of the covariance of beta in the free components."""
    if fit.weights is None:
        half = np.linalg.solve(at.r, at.c)
        return np.asarray(half @ at.first @ half.T)
    a = weighted_projector(fit.problem.x, fit.weights)
    out = np.zeros((at.count, fit.problem.p, fit.problem.p))
    for j, d in at.directions:
        za = fit.problem.terms[d.term].project(a)
        out[j] += np.einsum("lqa,qr,lrb->ab", za, d.matrix, za, optimize=True)
    return out


def components_cov(information: Floats, kind: str) -> Floats:
    """Covariance (J, J) of the free components: the inverse of their information.

    Raises
    ------
    SpecificationError
        If the information is not positive definite: the data leave a component open.
    """
    if not len(information):
        return information
    scale = np.sqrt(np.abs(np.diag(information)))
    ok = bool((np.diag(information) > 0).all())
    if ok:
        scaled = information / np.outer(scale, scale)
        ok = bool(np.linalg.eigvalsh(scaled)[0] > INFORMATION_TOLERANCE)
    if not ok:
        raise SpecificationError(
            f"the {kind} information of the variance components is not positive definite, so their "
            "uncertainty and the degrees of freedom built on it are not defined; the data leave a "
            "component open (see the flat profile): fix it, or use df='residual' or df='contain'"
        )
    return np.asarray(np.linalg.inv(scaled) / np.outer(scale, scale))
