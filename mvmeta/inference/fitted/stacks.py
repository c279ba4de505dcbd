"""Stacks (b, m, m) of small matrices, one for each of b groups of m rows: of M, and of its inverse.

What a group of rows is to the rest, and whether the rest still determines every coefficient, is
answered here for sandwiches and for deletion.
"""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.inference.fitted.fit import Fit

UNDETERMINED, DOUBTFUL = 1e-10, 1e-8
"""Smallest eigenvalue of P_SS relative to N_SS below which X loses rank without the group S, and
the inverse of the norm of an inverse below which it is looked at."""


def marginal_stack(fit: Fit, rows: Ints, gs: Sequence[Floats] | None = None) -> Floats:
    """Dense blocks (b, m, m) of M for disjoint groups of rows (b, m), at other `gs` if given."""
    m = fit.problem.v.stack(rows)
    for term, g in zip(fit.problem.terms, fit.gs if gs is None else gs, strict=True):
        m = m + term.stack(rows, g)
    return m


def precision_stack(fit: Fit, rows: Ints, m: Floats, independent: bool) -> Floats:
    """Blocks N_SS (b, m, m) of the inverse of M."""
    if independent:
        return np.asarray(np.linalg.inv(m), dtype=float)
    return fit.factor.inverse_blocks(rows, fit.problem.n)


def inverse_without(n: Floats, nq: Floats, c: Floats) -> Floats:
    """``inv(P_SS)`` (b, m, m); NaN where singular."""
    return invert(n - nq @ c @ nq.transpose(0, 2, 1), n)


def invert(left: Floats, whole: Floats) -> Floats:
    """Inverses of left (b, m, m); NaN where it is singular relative to whole (b, m, m)."""
    if left.shape[1] == 1:
        fine = left > UNDETERMINED * whole
        return np.divide(1.0, left, out=np.full(left.shape, np.nan), where=fine)
    try:
        out = np.asarray(np.linalg.inv(left), dtype=float)
    except np.linalg.LinAlgError:
        out, doubtful = np.full(left.shape, np.nan), np.ones(len(left), dtype=bool)
    else:
        scale = np.diagonal(whole, axis1=1, axis2=2)
        # the norm bounds the inverse of the smallest eigenvalue, and costs little
        size = np.einsum("bij,bi,bj->b", out**2, scale, scale)
        doubtful = ~(size < DOUBTFUL**-2)
    if doubtful.any():
        fine = doubtful.copy()
        fine[doubtful] = determined(left[doubtful], whole[doubtful])
        out[doubtful] = np.nan
        out[fine] = np.linalg.inv(left[fine])
    return out


def log_determinant(a: Floats) -> Floats:
    """log|a| of products a (b, m, m) of two positive definite matrices, NaN passed on."""
    if a.shape[1] == 1:
        return np.asarray(np.log(a[:, 0, 0]))
    out = np.full(len(a), np.nan)
    ok = np.isfinite(a[:, 0, 0])
    out[ok] = np.linalg.slogdet(a[ok] if not ok.all() else a)[1]
    return out


def determined(left: Floats, whole: Floats) -> np.ndarray:
    """Which of left (b, m, m) are positive definite relative to whole (b, m, m)."""
    scale = np.sqrt(np.diagonal(whole, axis1=1, axis2=2))
    values = np.linalg.eigvalsh(left / (scale[:, :, None] * scale[:, None, :]))
    return np.asarray(values[:, 0] > UNDETERMINED)


def quadratic(v: Floats, e: Floats) -> Floats:
    """``e' inv(v) e`` for v (b, m, m) and e (b, m), NaN passed on."""
    if v.shape[1] == 1:
        return np.asarray(e[:, 0] ** 2 / v[:, 0, 0])
    out = np.full(len(e), np.nan)
    ok = np.isfinite(v).all(axis=(1, 2))
    solved = np.linalg.solve(v[ok], e[ok][:, :, None])[:, :, 0]
    out[ok] = np.einsum("bm,bm->b", e[ok], solved)
    return out
