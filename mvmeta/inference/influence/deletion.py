"""What changes when rows or groups of rows are left out, the components held as they are."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import is_nested, recode, size_classes
from mvmeta.errors import SpecificationError
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.fitted.projection import Projection
from mvmeta.inference.fitted.stacks import (
    determined,
    invert,
    log_determinant,
    marginal_stack,
    quadratic,
)


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
    resid: Floats
    resid_se: Floats
    studentized: Floats
    statistic: Floats
    size: Ints
    _code: Ints
    _whole: "_Whole"

    @cached_property
    def covratio(self) -> Floats:
        """Determinant (J,) of the covariance of beta_(S) relative to that of beta."""
        out = np.full(len(self.size), np.nan)
        for rows in size_classes(self._code):
            out[self._code[rows[:, 0]]] = np.exp(self._whole.log_ratio(rows))
        return out


def deletion(fit: Fit, groups: Ints, projection: Projection | None = None) -> Deletion:
    """Leave out each group in turn without estimating the components again.

    Parameters
    ----------
    fit : Fit
    groups : ndarray of int, shape (n,)
        Group of each row; ``arange(n)`` leaves out single rows.
    projection : Projection, optional
        Of X under M, where it has been made.

    Notes
    -----
    Leaving out S is the same as giving each of its rows a mean of its own:
    ``beta - beta_(S) = C X'N_S inv(P_SS) (N e)_S`` and
    ``cov_(S) = C + C X'N_S inv(P_SS) N_S'X C`` with C = inv(X'N X) (Cook & Weisberg 1982, 2.2;
    Haslett 1999 for correlated rows), and ``|cov_(S)| / |C| = |N_SS| / |P_SS|``.

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
    at = _Whole(
        fit,
        projection or Projection(fit.problem.x, fit.factor.solve),
        is_nested(fit.problem.cluster, code),
    )
    p, n = fit.problem.p, fit.problem.n
    shift, added = np.full((count, p), np.nan), np.full((count, p), np.nan)
    statistic = np.full(count, np.nan)
    resid, variance = np.full(n, np.nan), np.full(n, np.nan)
    for rows in size_classes(code):
        index, found = code[rows[:, 0]], at.without(rows)
        shift[index], added[index] = found.shift, found.added
        statistic[index] = found.statistic
        resid[rows], variance[rows] = found.resid, found.variance
    in_columns = shift @ at.back.T
    return Deletion(
        shift=in_columns,
        cooks_distance=(shift**2).sum(axis=1),
        dfbetas=in_columns / np.sqrt(np.diag(fit.cov_beta)),
        se=np.sqrt((at.back**2).sum(axis=1) + added),
        resid=resid,
        resid_se=np.sqrt(variance),
        studentized=resid / np.sqrt(variance),
        statistic=statistic,
        size=np.bincount(code).astype(np.intp),
        _code=code,
        _whole=at,
    )


@dataclass(frozen=True, eq=False)
class _Without:
    """What changes without each of b groups of m rows, as in `Deletion`.

    `shift` (b, p) is in units in which C = I, and `added` (b, p) what the variances of coefficients
    gain.
    """

    shift: Floats
    added: Floats
    resid: Floats
    variance: Floats
    statistic: Floats


class _Whole:
    """All rows, to leave groups of them out.

    Parameters
    ----------
    fit : Fit
    at : Projection
        Of X under M.
    independent : bool
        The groups are uncorrelated with the rows outside them.
    """

    def __init__(self, fit: Fit, at: Projection, independent: bool) -> None:
        self._fit, self._independent = fit, independent
        root = np.linalg.cholesky(at.c)
        self.back = np.linalg.solve(at.r, root)
        self._q, self._e = at.q @ root, fit.resid
        if not independent:
            self._nq = at.nq @ root
            self._ne = fit.factor.solve(self._e[:, None])[:, 0]

    def without(self, rows: Ints) -> _Without:
        """Leave out groups of equal size, `rows` (b, m)."""
        m, q, e = marginal_stack(self._fit, rows), self._q[rows], self._e[rows]
        if self._independent:
            return self._of_independent(m, q, e)
        return self._of_linked(rows, m, q, e)

    def log_ratio(self, rows: Ints) -> Floats:
        """Logarithm (b,) of the determinant ``|N_SS| / |P_SS|`` without groups of equal size."""
        m, q = marginal_stack(self._fit, rows), self._q[rows]
        if self._independent:
            return log_determinant(m @ invert(m - q @ q.transpose(0, 2, 1), m))
        nq = self._nq[rows]
        precision = self._fit.factor.inverse_blocks(rows, self._fit.problem.n)
        return log_determinant(
            precision @ invert(precision - nq @ nq.transpose(0, 2, 1), precision)
        )

    def _turned(self, q: Floats) -> Floats:
        """Rows (b, m, p) in units of the coefficients; as one product, not one for each group."""
        return np.asarray(q.reshape(-1, q.shape[2]) @ self.back.T).reshape(q.shape)

    def _of_independent(self, m: Floats, q: Floats, e: Floats) -> _Without:
        """``inv(P_SS) = M T M`` with ``T = inv(M - q q')``: no N is needed."""
        t = invert(m - q @ q.transpose(0, 2, 1), m)
        te, turned, mt = np.einsum("bmn,bn->bm", t, e), self._turned(q), m @ t
        return _Without(
            shift=np.einsum("bmp,bm->bp", q, te),
            added=np.einsum("bmp,bmp->bp", turned, t @ turned),
            resid=np.einsum("bmn,bn->bm", m, te),
            variance=np.einsum("bmn,bmn->bm", mt, m),
            statistic=np.einsum("bm,bm->b", e, te),
        )

    def _of_linked(self, rows: Ints, m: Floats, q: Floats, e: Floats) -> _Without:
        fit, nq = self._fit, self._nq[rows]
        precision = fit.factor.inverse_blocks(rows, fit.problem.n)
        inverse = invert(precision - nq @ nq.transpose(0, 2, 1), precision)
        shift = np.einsum("bmp,bm->bp", nq, (inverse @ self._ne[rows][:, :, None])[:, :, 0])
        turned, through = self._turned(nq), q @ nq.transpose(0, 2, 1)
        v = m + q @ q.transpose(0, 2, 1) + through @ inverse @ through.transpose(0, 2, 1)
        resid = e + np.einsum("bmp,bp->bm", q, shift)
        return _Without(
            shift=shift,
            added=(turned * (inverse @ turned)).sum(axis=1),
            resid=resid,
            variance=np.diagonal(v, axis1=1, axis2=2),
            statistic=quadratic(v, resid),
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
        ok = determined(v, m)
        index = code[rows[:, 0]]
        out[index[ok]] = quadratic(v[ok], fit.resid[rows[ok]])
    return out
