"""Where an estimate comes from: what its own rows say, and what all rows say together."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import linalg, stats

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.layout import is_nested
from mvmeta.errors import SpecificationError
from mvmeta.inference.borrowing.contributions import contributions
from mvmeta.inference.coefficients.degrees import DegreesOfFreedom
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.fitted.projection import Projection
from mvmeta.marginal.select import build_backend

RANK_TOLERANCE = 1e-10
"""Singular value of the scaled design, relative to the largest, that counts as zero."""

WITHIN_TOLERANCE = 1e-8
"""Share of the information that counts as none: what sweeping out the groups leaves of it."""

SAME_TOLERANCE = 1e-14
"""Variance of joint - direct, relative to that of direct, of two estimators that are the same."""

MOST_LINKED_GROUPS = 2000
"""Groups correlated with one another beyond which `within_share` gives up: cost is cubic."""


@dataclass(frozen=True, eq=False)
class EvidenceTable:
    """Joint and direct estimates of m linear combinations of the fixed effects.

    Attributes
    ----------
    joint, joint_se : ndarray, shape (m,)
        From all rows: L b, with the model-based standard error.
    direct, direct_se : ndarray, shape (m,)
        The same estimator from the direct rows alone, the components as they are; NaN where
        these rows do not determine it or none were named.
    shift, shift_se, shift_z, shift_p : ndarray, shape (m,)
        joint - direct; z and p are NaN where the two are the same estimator.
    borrowed : ndarray, shape (m,)
        1 - var(joint) / var(direct); 1 where the direct rows say nothing, NaN where none were
        named.
    n_rows, n_groups : ndarray of int, shape (m,)
        Direct rows and the groups they belong to.
    weight_outside : ndarray, shape (m,)
        Sum of the absolute contributions of the other rows; NaN where no rows were named.
    within : ndarray, shape (m,)
        Share of the information that is in comparisons within groups; see `within_share`.
    others : ndarray, shape (m,)
        Mean residual of the other rows of the direct groups, weighted by 1 / M_ii; NaN where
        there are none.
    contributions : ndarray, shape (m, n)
        H with joint = H y.
    """

    joint: Floats
    joint_se: Floats
    direct: Floats
    direct_se: Floats
    shift: Floats
    shift_se: Floats
    shift_z: Floats
    shift_p: Floats
    borrowed: Floats
    n_rows: Ints
    n_groups: Ints
    weight_outside: Floats
    within: Floats
    others: Floats
    contributions: Floats


@dataclass(frozen=True)
class _Row:
    """One combination: everything of `EvidenceTable` that is a number of its own."""

    direct: float = np.nan
    direct_se: float = np.nan
    shift: float = np.nan
    shift_se: float = np.nan
    borrowed: float = np.nan
    n_rows: int = 0
    n_groups: int = 0
    weight_outside: float = np.nan
    others: float = np.nan


def evidence(
    fit: Fit,
    df: DegreesOfFreedom,
    rows: Floats,
    direct: Sequence[Bools | None],
    groups: Ints,
) -> EvidenceTable:
    """Compare each combination of the fixed effects with what its direct rows say alone.

    Parameters
    ----------
    fit : Fit
    df : DegreesOfFreedom
        Reference distribution of the shifts: that of the combination itself.
    rows : ndarray, shape (m, p)
        L.
    direct : sequence of m ndarrays of bool (n,) or None
        The direct rows S of each combination; None where there is no such set.
    groups : ndarray of int, shape (n,)
        Group 0..J-1 (study) of each row.

    Notes
    -----
    Direct is the model restricted to S at the same components:
    ``l'(X_S'inv(M_SS) X_S)^- X_S'inv(M_SS) y_S`` where l is estimable there; under user weights
    W_SS takes the place of inv(M_SS).  With h and d the contributions of the rows to the joint
    and the direct estimate, ``var(shift) = (h - d)'M (h - d)``.  For generalized least squares
    the joint estimate has the least variance, so that this is var(direct) - var(joint) and
    `borrowed`, ``1 - var(joint) / var(direct)``, lies in [0, 1]: the borrowing of strength of
    Jackson, White, Price, Copas & Riley (2017, Stat Methods Med Res 26:2853), here with the
    components of the joint model.  Under user weights it may be negative.

    Raises
    ------
    SpecificationError
        If `rows` does not have one column per coefficient.
    """
    rows = np.atleast_2d(np.asarray(rows, dtype=float))
    if rows.shape[1] != fit.problem.p or len(rows) != len(direct):
        raise SpecificationError(
            f"evidence needs rows of {fit.problem.p} weights and one set of direct rows each, "
            f"got shape {rows.shape} and {len(direct)} sets"
        )
    h = contributions(fit, rows)
    variance = np.einsum("mp,pq,mq->m", rows, fit.cov_beta, rows)
    found = [
        _Row() if s is None else _compare(fit, row, h_row, v, s, groups)
        for row, h_row, v, s in zip(rows, h, variance, direct, strict=True)
    ]
    columns = {f.name: np.array([getattr(r, f.name) for r in found]) for f in fields(_Row)}
    degrees = np.full(len(rows), np.inf) if df.normal else df.contrasts(rows)
    se = columns["shift_se"]
    z = np.divide(columns["shift"], se, out=np.full(len(rows), np.nan), where=se > 0)
    return EvidenceTable(
        joint=rows @ fit.beta,
        joint_se=np.sqrt(variance),
        shift_z=z,
        shift_p=np.asarray(2.0 * stats.t.sf(np.abs(z), degrees)),
        within=within_share(fit, rows, groups),
        contributions=h,
        **columns,
    )


def _compare(
    fit: Fit, row: Floats, h: Floats, variance: float, direct: Bools, groups: Ints
) -> _Row:
    at = np.flatnonzero(direct)
    out = _Row(
        borrowed=1.0,
        n_rows=len(at),
        n_groups=len(np.unique(groups[at])),
        weight_outside=float(np.abs(h[~direct]).sum()),
        others=_others(fit, direct, groups),
    )
    own = _direct_contributions(fit, at, row) if len(at) else None
    if own is None:
        return out
    d = np.zeros(fit.problem.n)
    d[at] = own
    md, mg = fit.multiply(np.column_stack([d, h - d])).T
    direct_variance, shift_variance = float(d @ md), float((h - d) @ mg)
    same = shift_variance <= SAME_TOLERANCE * direct_variance
    estimate = float(d @ fit.problem.y)
    return replace(
        out,
        direct=estimate,
        direct_se=np.sqrt(direct_variance),
        shift=0.0 if same else float(row @ fit.beta) - estimate,
        shift_se=0.0 if same else np.sqrt(shift_variance),
        borrowed=0.0 if same else 1.0 - variance / direct_variance,
        weight_outside=0.0 if same else out.weight_outside,
    )


def _others(fit: Fit, direct: Bools, groups: Ints) -> float:
    """Mean residual, weighted by 1 / M_ii, of the rows of the direct groups outside `direct`."""
    seen = np.zeros(int(groups.max()) + 1, dtype=bool)
    seen[groups[direct]] = True
    other = seen[groups] & ~direct
    if not other.any():
        return np.nan
    return float(np.average(fit.resid[other], weights=1.0 / fit.marginal_diagonal[other]))


def _direct_contributions(fit: Fit, at: Ints, row: Floats) -> Floats | None:
    """Weights (k,) of the rows `at` (k,) in the estimate from them alone; None if there is none."""
    basis = _estimable(fit.problem.x[at], row)
    if basis is None:
        return None
    z, target = basis
    if fit.weights is not None:
        weighted = np.asarray(fit.weights[at][:, at].T @ z)
    elif len(at) == fit.problem.n:
        weighted = fit.factor.solve(z)
    else:
        small = replace(fit.problem.take(at), x=z)
        weighted = build_backend(small).factorize(fit.gs).solve(z)
    gram = weighted.T @ z
    if not np.linalg.cond(gram) < 1.0 / RANK_TOLERANCE:
        return None
    return np.asarray(weighted @ np.linalg.solve(gram.T, target))


def _estimable(x: Floats, row: Floats) -> tuple[Floats, Floats] | None:
    """Orthonormal basis Z (n, r) of the columns of x, and a (r,) with row'b = a'g for X b = Z g.

    None where `row` (p,) is not in the row space of x (n, p).
    """
    used = (x != 0.0).any(axis=0)
    size = np.abs(row).max()
    if not used.any() or (np.abs(row[~used]) > RANK_TOLERANCE * size).any():
        return None
    scale = np.abs(x[:, used]).max(axis=0)
    u, s, vt = np.linalg.svd(x[:, used] / scale, full_matrices=False)
    keep = s > RANK_TOLERANCE * s[0]
    scaled = row[used] / scale
    inside = vt[keep] @ scaled
    if np.linalg.norm(scaled - vt[keep].T @ inside) > RANK_TOLERANCE * np.linalg.norm(scaled):
        return None
    return u[:, keep], inside / s[keep]


def within_share(fit: Fit, rows: Floats, groups: Ints) -> Floats:
    """Share of the information about combinations that is in comparisons within groups.

    Parameters
    ----------
    fit : Fit
    rows : ndarray, shape (m, p)
    groups : ndarray of int, shape (n,)
        Group 0..J-1 (study) of each row.

    Returns
    -------
    ndarray, shape (m,)
        ``var(l b) / var(l b_w)``, b_w the estimate with a fixed effect for every group (D their
        indicators), whose information is ``X'(N - N D inv(D'N D) D'N) X``.  0 where l is not
        estimable then, as the mean of a level never is; the rest, 1 - share, is in comparisons
        between groups.  NaN under user weights, which do not follow the information, and for
        more than MOST_LINKED_GROUPS groups that are correlated with one another.
    """
    if fit.weights is not None:
        return np.full(len(rows), np.nan)
    at = Projection(fit.problem.x, fit.factor.solve)
    between = _between(fit, at.nq, groups)
    if between is None:
        return np.full(len(rows), np.nan)
    root = np.linalg.cholesky(np.linalg.inv(at.c))
    half = linalg.solve_triangular(root, between, lower=True)
    swept = np.eye(len(root)) - linalg.solve_triangular(root, half.T, lower=True)
    values, vectors = np.linalg.eigh((swept + swept.T) / 2.0)
    in_basis = np.linalg.solve(at.r.T, rows.T)
    parts = (vectors.T @ linalg.solve_triangular(root, in_basis, lower=True)) ** 2
    none = values < WITHIN_TOLERANCE
    total = parts.sum(axis=0)
    within = (parts[~none] / values[~none, None]).sum(axis=0)
    estimable = parts[none].sum(axis=0) <= WITHIN_TOLERANCE * total
    return np.where(estimable, np.minimum(total / np.where(within > 0, within, 1.0), 1.0), 0.0)


def _between(fit: Fit, nq: Floats, groups: Ints) -> Floats | None:
    """Q'N D inv(D'N D) D'N Q (p, p); None for too many groups that are not independent."""
    count = int(groups.max()) + 1
    crossed = np.zeros((count, nq.shape[1]))
    np.add.at(crossed, groups, nq)
    if is_nested(fit.problem.cluster, groups):
        sums = fit.factor.solve(np.ones((fit.problem.n, 1)))[:, 0]
        scale = np.bincount(groups, weights=sums, minlength=count)
        return np.asarray(crossed.T @ (crossed / scale[:, None]))
    if count > MOST_LINKED_GROUPS:
        return None
    indicators = np.zeros((fit.problem.n, count))
    indicators[np.arange(fit.problem.n), groups] = 1.0
    gram = indicators.T @ fit.factor.solve(indicators)
    return np.asarray(crossed.T @ np.linalg.solve(gram, crossed))
