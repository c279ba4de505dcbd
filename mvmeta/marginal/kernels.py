"""Batched linear algebra on stacks of small symmetric matrices, shared by the backends."""

import numpy as np
from scipy.linalg import lapack

from mvmeta._typing import Floats
from mvmeta.marginal.base import NotPositiveDefiniteError, Sums

BATCH_LIMIT = 48
"""Order from which one LAPACK call per matrix beats numpy's batched general inverse."""


def inverse_and_logdet(stack: Floats) -> tuple[Floats, float]:
    """Inverses and the summed log-determinant of positive definite matrices.

    Parameters
    ----------
    stack : ndarray, shape (b, m, m)

    Returns
    -------
    inverse : ndarray, shape (b, m, m)
    logdet : float
        Sum over the stack.

    Raises
    ------
    NotPositiveDefiniteError
        If one of them is not positive definite (or not finite).
    """
    if stack.shape[1] < BATCH_LIMIT:
        return _batched(stack)
    out, logdet = np.empty_like(stack), 0.0
    for i, matrix in enumerate(stack):
        factor, info = lapack.dpotrf(matrix, lower=1)
        if info != 0 or not np.isfinite(factor[-1, -1]):
            raise NotPositiveDefiniteError
        logdet += 2.0 * float(np.log(np.diag(factor)).sum())
        inverse, _ = lapack.dpotri(factor, lower=1)
        lower = np.tril(inverse)
        out[i] = lower + np.tril(inverse, -1).T
    return out, logdet


def _batched(stack: Floats) -> tuple[Floats, float]:
    try:
        lower = np.linalg.cholesky(stack)
    except np.linalg.LinAlgError as err:
        raise NotPositiveDefiniteError from err
    pivots = np.diagonal(lower, axis1=1, axis2=2)
    if not np.isfinite(pivots).all():
        raise NotPositiveDefiniteError
    half = np.linalg.inv(lower)
    return half.transpose(0, 2, 1) @ half, 2.0 * float(np.log(pivots).sum())


def stack_sums(
    inverse: Floats,
    logdet: float,
    a: Floats,
    ks: list[Floats],
    extras: list[Floats],
    pairs: bool = True,
) -> Sums:
    """`Sums` of a stack of independent clusters, by their definitions.

    Parameters
    ----------
    inverse : ndarray, shape (b, m, m)
        N of each cluster.
    logdet : float
    a : ndarray, shape (b, m, a)
    ks, extras : list of ndarray, each (b, m, m)
        Blocks of the directions K_j and of the extra ones.
    pairs : bool
        Whether `slope_pairs` are wanted.
    """
    na = inverse @ a
    kna = [k @ na for k in ks]
    nk = [inverse @ k for k in ks]
    j, width = len(ks), a.shape[2]
    return Sums(
        logdet=logdet,
        gram=contract(a, na),
        trace=np.array([np.einsum("bmm->", x) for x in nk]),
        slope=np.array([contract(na, x) for x in kna]).reshape(j, width, width),
        trace_pairs=_trace_pairs(nk),
        slope_pairs=_slope_pairs(inverse, kna, width) if pairs else None,
        extra_trace=np.array([np.einsum("bmn,bmn->", inverse, k) for k in extras]),
        extra_slope=np.array([contract(na, k @ na) for k in extras]).reshape(-1, width, width),
    )


def _trace_pairs(nk: list[Floats]) -> Floats:
    """Traces of the products of all pairs (J, J), as one product of two matrices."""
    if not nk:
        return np.zeros((0, 0))
    left = np.array([x.ravel() for x in nk])
    right = np.array([x.transpose(0, 2, 1).ravel() for x in nk])
    return np.asarray(left @ right.T)


def _slope_pairs(inverse: Floats, kna: list[Floats], width: int) -> Floats:
    """The symmetric part of A'N K_j N K_l N A for all pairs (J, J, a, a)."""
    if not kna:
        return np.zeros((0, 0, width, width))
    images = np.concatenate(kna, axis=2)
    full = contract(images, inverse @ images).reshape(len(kna), width, len(kna), width)
    full = full.transpose(0, 2, 1, 3)
    return np.asarray((full + full.transpose(0, 1, 3, 2)) / 2)


def contract(left: Floats, right: Floats) -> Floats:
    """Sum over clusters and rows: (b, m, i), (b, m, j) -> (i, j)."""
    flat = (-1, left.shape[2]), (-1, right.shape[2])
    return np.asarray(left.reshape(flat[0]).T @ right.reshape(flat[1]))
