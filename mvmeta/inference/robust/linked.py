"""Sandwiches over groups that are correlated under the model, or over several groupings at once.

What clusters contribute to a coefficient is ``x_j = sum_{i in j} u_i r_i``: of the sandwich,
u = N X bread and r the residuals; of the jackknife, ``beta - beta_(j)`` with r = N e.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import sparse

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import is_nested, recode
from mvmeta.errors import SpecificationError
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.fitted.projection import Projection
from mvmeta.inference.fitted.stacks import inverse_without, marginal_stack, precision_stack
from mvmeta.inference.robust.clusters import DETERMINED, Bread, chunks
from mvmeta.inference.robust.moments import Moments

MOST_PAIRS = 2e7
"""Most covariances between contributions that Satterthwaite df may need at once: 160 MB."""


@dataclass(frozen=True, eq=False)
class Intersection:
    """One term of the inclusion-exclusion over groupings: groups (n,) 0..J-1, and its sign."""

    codes: Ints
    count: int
    sign: int


def intersections(groupings: Sequence[Ints]) -> list[Intersection]:
    """All intersections of one or several groupings, odd ones added and even ones subtracted.

    Cameron, Gelbach & Miller (2011, Journal of Business & Economic Statistics 29:238, eq. 2.13).
    """
    out = []
    for size in range(1, len(groupings) + 1):
        for subset in combinations(groupings, size):
            codes, count = recode(subset[0])
            for other in subset[1:]:
                more, width = recode(other)
                codes, count = recode(codes * width + more)
            out.append(Intersection(codes, count, (-1) ** (size + 1)))
    return out


@dataclass(frozen=True, eq=False)
class Loadings:
    """Rows u_i (n, p) of the contributions to the coefficients of Q, and their own moments.

    Attributes
    ----------
    groups : Intersection
    weight : float
        Sign and small-sample factor.
    u : ndarray, shape (n, p)
    mean : ndarray, shape (p, p)
        Expectation of ``sum_j x_j x_j'`` under the working model, weight left out.
    """

    groups: Intersection
    weight: float
    u: Floats
    mean: Floats

    def contributions(self, r: Floats) -> Floats:
        """x_j for the residuals r (n,), shape (J, p)."""
        return _sums(self.u * r[:, None], self.groups)

    def columns(self, row: Floats) -> sparse.csr_array:
        """``diag(u row) D`` (n, J), D the indicators of the groups: x = columns' r."""
        n = len(self.u)
        entries = (self.u @ row, self.groups.codes, np.arange(n + 1))
        return sparse.csr_array(entries, shape=(n, self.groups.count))


def _sums(values: Floats, groups: Intersection) -> Floats:
    """Sums of values (n, p) over groups, shape (J, p)."""
    out = np.zeros((groups.count, values.shape[1]))
    np.add.at(out, groups.codes, values)
    return out


class Sandwich:
    """Contributions ``bread Q'W_j e_j``, W = inv(M) or the user's weights."""

    def __init__(self, fit: Fit) -> None:
        self._fit, self._at = fit, Bread.of(fit)
        self._mwq = self._at.q if fit.weights is None else fit.multiply(self._at.wq)
        self._u = self._at.wq @ self._at.bread.T
        self.r, self.residuals = self._at.r, fit.resid

    def contributions(self, groups: Intersection) -> Floats:
        """x_j of one grouping, shape (J, p), without their moments."""
        return _sums(self._u * self.residuals[:, None], groups)

    def loadings(self, groups: Intersection, weight: float) -> Loadings:
        """Of one grouping."""
        at, u = self._at, self._u
        mean = np.zeros_like(at.bread)
        for rows in chunks(groups.codes):
            q = at.q[rows]
            half = self._mwq[rows] @ at.bread.T @ q.transpose(0, 2, 1)
            v = marginal_stack(self._fit, rows) - half - half.transpose(0, 2, 1)
            v += q @ at.sandwich @ q.transpose(0, 2, 1)
            mean += np.einsum("bmp,bmn,bnq->pq", u[rows], v, u[rows], optimize=True)
        return Loadings(groups, weight, u, mean)

    def cov_residuals(self, b: Floats) -> Floats:
        """``Cov(e) b = (I - H) M (I - H)' b`` for b (n, k)."""
        at = self._at
        inside = b - at.wq @ (at.bread.T @ (at.q.T @ b))
        spread = self._fit.multiply(inside)
        return np.asarray(spread - at.q @ (at.bread @ (at.wq.T @ spread)))


class Jackknife:
    """Contributions ``beta - beta_(j)``, each group left out with the components held."""

    def __init__(self, fit: Fit) -> None:
        if fit.weights is not None:
            raise SpecificationError(
                "CR3 of groups that are correlated under the model leaves them out of generalized "
                "least squares, which is not defined under user weights; use CR0, CR1, CR1p or CR1S"
            )
        self._fit = fit
        self._at = Projection(fit.problem.x, fit.factor.solve)
        self.r = self._at.r
        self.residuals = fit.factor.solve(fit.resid[:, None])[:, 0]

    def loadings(self, groups: Intersection, weight: float) -> Loadings:
        """Of one grouping; see `deletion.deletion` for the formula."""
        at, fit = self._at, self._fit
        u, mean = np.empty_like(at.q), np.zeros_like(at.c)
        nested = is_nested(fit.problem.cluster, groups.codes)
        for rows in chunks(groups.codes):
            nq = at.nq[rows]
            n = precision_stack(fit, rows, marginal_stack(fit, rows), nested)
            inverse = inverse_without(n, nq, at.c)
            if np.isnan(inverse).any():
                raise SpecificationError(DETERMINED)
            u[rows] = inverse @ nq @ at.c
            # inv(P_jj) P_jj inv(P_jj): the covariance of what is multiplied is P
            mean += np.einsum("bmp,bmq->pq", nq @ at.c, u[rows])
        return Loadings(groups, weight, u, mean)

    def cov_residuals(self, b: Floats) -> Floats:
        """``Cov(N e) b = P b`` for b (n, k)."""
        return np.asarray(
            self._fit.factor.solve(b) - self._at.nq @ (self._at.c @ (self._at.nq.T @ b))
        )


class LinkedMoments(Moments):
    """Moments of a sum of signed sandwiches, from the covariances of all contributions.

    Parameters
    ----------
    r : ndarray, shape (p, p)
    parts : sequence of Loadings
    cov_residuals : callable
        ``b (n, k) -> Cov(r) b``.
    """

    def __init__(
        self, r: Floats, parts: Sequence[Loadings], cov_residuals: Callable[[Floats], Floats]
    ) -> None:
        super().__init__(r)
        self._parts, self._multiply = parts, cov_residuals
        self._weights = np.concatenate([np.full(k.groups.count, k.weight) for k in parts])
        pairs = (len(r) * len(self._weights)) ** 2
        if pairs > MOST_PAIRS:
            raise SpecificationError(
                f"Satterthwaite df of groups that are correlated under the model need the "
                f"covariances of all their contributions, {pairs:.1g} numbers here; use "
                "df='cluster' or df='residual'"
            )

    def mean(self) -> Floats:
        return sum((k.weight * k.mean for k in self._parts), np.zeros_like(self.r))

    def spread(self, rows: Floats) -> Floats:
        q, w = len(rows), self._weights
        columns = [sparse.hstack([k.columns(c) for k in self._parts]).tocsr() for c in rows]
        behind = [self._multiply(b.toarray()) for b in columns]
        cov = np.stack([(a.T @ b).ravel() for a in columns for b in behind])
        k = (cov * np.outer(w, w).ravel()) @ cov.T
        return k.reshape(q, q, q, q)
