"""What each row contributes to an estimate: H with L b = H y, and its sums by group."""

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.fitted.projection import Projection
from mvmeta.inference.fitted.weighted import weighted_projector


def contributions(fit: Fit, rows: Floats | None = None) -> Floats:
    """Weights of the rows of the data in linear combinations of the fixed effects.

    Parameters
    ----------
    fit : Fit
    rows : ndarray, shape (m, p), optional
        Combinations L; the coefficients themselves unless said.

    Returns
    -------
    ndarray, shape (m, n)
        H with ``L b = H y``: ``L C X'N`` for generalized least squares, ``L inv(X'W X) X'W``
        under user weights.  ``H X = L``: in a model of level means the contributions to the
        mean of a level sum to 1 over its own rows and to 0 over those of every other level.
        Entries may be negative (König, Krahn & Binder 2013, Stat Med 32:5414, call H the
        hat matrix of a network).
    """
    wanted = np.eye(fit.problem.p) if rows is None else np.atleast_2d(rows)
    if fit.weights is not None:
        return np.asarray(wanted @ weighted_projector(fit.problem.x, fit.weights).T)
    at = Projection(fit.problem.x, fit.factor.solve)
    in_basis = np.linalg.solve(at.r.T, wanted.T).T
    return np.asarray(in_basis @ at.c @ at.nq.T)


def group_sums(values: Floats, groups: Ints) -> Floats:
    """Sum the columns of values (m, n) over groups 0..J-1 (n,), shape (m, J)."""
    out = np.zeros((int(groups.max()) + 1, len(values)))
    np.add.at(out, groups, values.T)
    return out.T


def variance_shares(fit: Fit, h: Floats, groups: Ints) -> Floats:
    """Share of each group of rows in the variance of estimates ``h y``.

    Parameters
    ----------
    fit : Fit
    h : ndarray, shape (m, n)
        Contributions.
    groups : ndarray of int, shape (n,)
        Group 0..J-1 of each row.

    Returns
    -------
    ndarray, shape (m, J)
        ``h_j'(M h)_j / h'M h``, rows summing to 1.  For independent groups and generalized
        least squares this is ``l'C (X_j'N_j X_j) C l / l'C l``, the decomposition of Fisher's
        information of Riley, Ensor, Jackson & Burke (2018, Stat Methods Med Res 27:2885), and
        not negative; the inverse-variance weights of a model with an intercept only.
    """
    parts = group_sums(h * fit.multiply(h.T).T, groups)
    return np.asarray(parts / parts.sum(axis=1, keepdims=True))
