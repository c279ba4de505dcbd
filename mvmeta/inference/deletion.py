"""What changes when rows or groups of rows are left out, the components held as they are."""

from dataclasses import dataclass

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import is_nested, recode, size_classes
from mvmeta.errors import SpecificationError
from mvmeta.inference.clusters import marginal_stack
from mvmeta.inference.fit import Fit
from mvmeta.inference.projection import Projection

UNDETERMINED = 1e-10
"""Smallest eigenvalue of P_SS relative to N_SS below which X loses rank without the group S."""


@dataclass(frozen=True, eq=False)
class Deletion:
    """Influence of J groups; NaN where X loses rank without the group.

    Attributes
    ----------
    shift : ndarray, shape (J, p)
        beta - beta_(S).
    cooks_distance : ndarray, shape (J,)
        ``shift' inv(cov_beta) shift``, not divided by p.
    dfbetas : ndarray, shape (J, p)
        `shift` in standard errors of the full fit.
    se : ndarray, shape (J, p)
        Standard errors of beta_(S).
    covratio : ndarray, shape (J,)
        Determinant of the covariance of beta_(S) relative to that of beta.
    resid : ndarray, shape (n,)
        Deleted residuals y_i - x_i beta_(S), S the group of row i.
    resid_se : ndarray, shape (n,)
        ``sqrt(M_ii + x_i cov_(S) x_i')``: as metafor has it, without the covariance of y_i with
        beta_(S), which is not 0 where row i is correlated with rows outside S.
    studentized : ndarray, shape (n,)
        resid / resid_se.
    statistic : ndarray, shape (J,)
        Chi-square of the deleted residuals of a group, jointly.
    size : ndarray of int, shape (J,)
        Rows of a group: the df of `statistic`.
    """

    shift: Floats
    cooks_distance: Floats
    dfbetas: Floats
    se: Floats
    covratio: Floats
    resid: Floats
    resid_se: Floats
    studentized: Floats
    statistic: Floats
    size: Ints


def deletion(fit: Fit, groups: Ints) -> Deletion:
    """Leave out each group in turn without estimating the components again.

    Parameters
    ----------
    fit : Fit
    groups : ndarray of int, shape (n,)
        Group of each row; ``arange(n)`` leaves out single rows.

    Notes
    -----
    Leaving out S is the same as giving each of its rows a mean of its own:
    ``beta - beta_(S) = C X'N_S inv(P_SS) (N e)_S`` and
    ``cov_(S) = C + C X'N_S inv(P_SS) N_S'X C`` with C = inv(X'N X) (Cook & Weisberg 1982, 2.2;
    Haslett 1999 for correlated rows).

    Raises
    ------
    SpecificationError
        Under user weights.
    """
    if fit.weights is not None:
        raise SpecificationError(
            "deletion diagnostics in closed form need generalized least squares; under user "
            "weights refit without the rows"
        )
    code, count = recode(groups)
    p, n = fit.problem.p, fit.problem.n
    projection = Projection(fit.problem.x, fit.factor.solve)
    scaled = fit.factor.solve(fit.resid[:, None])[:, 0]
    shift, statistic = np.full((count, p), np.nan), np.full(count, np.nan)
    resid, variance = np.full(n, np.nan), np.full(n, np.nan)
    covs = np.full((count, p, p), np.nan)
    nested = is_nested(fit.problem.cluster, code)
    for rows in size_classes(code):
        m, q, nq = marginal_stack(fit, rows), projection.q[rows], projection.nq[rows]
        inverse = inverse_without(precision_stack(fit, rows, m, nested), nq, projection.c)
        pull = projection.c @ nq.transpose(0, 2, 1) @ inverse
        d = np.einsum("bpm,bm->bp", pull, scaled[rows])
        cov = projection.c + pull @ nq @ projection.c
        v = m + q @ cov @ q.transpose(0, 2, 1)
        e = fit.resid[rows] + np.einsum("bmp,bp->bm", q, d)
        shift[code[rows[:, 0]]], covs[code[rows[:, 0]]] = d, cov
        resid[rows], variance[rows] = e, np.diagonal(v, axis1=1, axis2=2)
        statistic[code[rows[:, 0]]] = _quadratic(v, e)
    gram = np.linalg.inv(projection.c)
    in_columns = np.linalg.solve(projection.r, shift.T).T
    back = np.linalg.inv(projection.r)
    with np.errstate(invalid="ignore"):  # NaN for a cluster that determines a coefficient
        covratio = np.linalg.det(gram @ covs)
    return Deletion(
        shift=in_columns,
        cooks_distance=np.einsum("jp,pq,jq->j", shift, gram, shift),
        dfbetas=in_columns / np.sqrt(np.diag(fit.cov_beta)),
        se=np.sqrt(np.einsum("pa,jab,pb->jp", back, covs, back)),
        covratio=covratio,
        resid=resid,
        resid_se=np.sqrt(variance),
        studentized=resid / np.sqrt(variance),
        statistic=statistic,
        size=np.bincount(code).astype(np.intp),
    )


def studentized_groups(fit: Fit, groups: Ints) -> Floats:
    """Chi-square (J,) of the internally studentized residuals of each group, jointly.

    ``e_S' inv([(I - H) M (I - H)']_SS) e_S``; NaN where a group determines a coefficient.
    """
    code, count = recode(groups)
    projection = Projection(fit.problem.x, fit.factor.solve)
    out = np.full(count, np.nan)
    for rows in size_classes(code):
        q = projection.q[rows]
        m = marginal_stack(fit, rows)
        v = m - q @ projection.c @ q.transpose(0, 2, 1)
        ok = _determined(v, m)
        index = code[rows[:, 0]]
        out[index[ok]] = _quadratic(v[ok], fit.resid[rows[ok]])
    return out


def precision_stack(fit: Fit, rows: Ints, m: Floats, nested: bool) -> Floats:
    """Blocks N_SS (b, m, m) of the inverse of M."""
    if rows.shape[1] == 1:
        return fit.factor.inverse_diagonal()[rows][:, :, None]
    if nested:
        return np.asarray(np.linalg.inv(m), dtype=float)
    out = np.empty(m.shape)
    for b, index in enumerate(rows):
        unit = np.zeros((fit.problem.n, len(index)))
        unit[index, np.arange(len(index))] = 1.0
        out[b] = fit.factor.solve(unit)[index]
    return out


def inverse_without(n: Floats, nq: Floats, c: Floats) -> Floats:
    """``inv(P_SS)`` (b, m, m); NaN where singular."""
    p = n - nq @ c @ nq.transpose(0, 2, 1)
    ok = _determined(p, n)
    out = np.full(p.shape, np.nan)
    out[ok] = np.linalg.inv(p[ok])
    return out


def _determined(left: Floats, whole: Floats) -> np.ndarray:
    """Which of left (b, m, m) are positive definite relative to whole (b, m, m)."""
    scale = np.sqrt(np.diagonal(whole, axis1=1, axis2=2))
    values = np.linalg.eigvalsh(left / (scale[:, :, None] * scale[:, None, :]))
    return np.asarray(values[:, 0] > UNDETERMINED)


def _quadratic(v: Floats, e: Floats) -> Floats:
    """``e' inv(v) e`` for v (b, m, m) and e (b, m), NaN passed on."""
    out = np.full(len(e), np.nan)
    ok = np.isfinite(v).all(axis=(1, 2))
    solved = np.linalg.solve(v[ok], e[ok][:, :, None])[:, :, 0]
    out[ok] = np.einsum("bm,bm->b", e[ok], solved)
    return out
