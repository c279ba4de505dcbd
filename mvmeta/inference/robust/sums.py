"""Cluster-robust covariances from sums over clusters, for more clusters than fit into memory.

The same estimators and tests as in `robust`.  Everything they need of the clusters is a sum of
products of two small matrices of each, so that p^4 numbers stand for all of them.
"""

from dataclasses import dataclass

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.errors import SpecificationError
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.robust.clusters import (
    Bread,
    ClusterMoments,
    MomentSums,
    cluster_scores,
    kernel,
)
from mvmeta.inference.robust.moments import Moments, RobustSatterthwaite
from mvmeta.inference.robust.sandwich import (
    Robust,
    adjustment_of,
    in_columns,
    simple_df,
    small_sample_factor,
)

MOST_COEFFICIENTS = 40
"""Coefficients up to which the p^4 sums are kept: 120 MB."""


@dataclass(frozen=True, eq=False)
class RobustSums:
    """Additive statistics of clusters.

    Attributes
    ----------
    clusters : int
    meat : ndarray, shape (p, p)
        Sum of the scores' outer products, in the basis Q.
    moments : MomentSums or None
        For Satterthwaite degrees of freedom.
    """

    clusters: int
    meat: Floats
    moments: MomentSums | None

    def __add__(self, other: "RobustSums") -> "RobustSums":
        moments = self.moments
        if moments is not None and other.moments is not None:
            moments = moments + other.moments
        return RobustSums(self.clusters + other.clusters, self.meat + other.meat, moments)

    @classmethod
    def of(cls, fit: Fit, groups: Ints, at: Bread, kind: str, *, tested: bool) -> "RobustSums":
        """Those of some of the rows, whole clusters.

        Parameters
        ----------
        fit : Fit
            Of these n rows, with the estimates from all rows.
        groups : ndarray of int, shape (n,)
            Codes 0..J-1.
        at : Bread
        kind : str
            As in `robust`.
        tested : bool
            Whether `moments` are wanted.
        """
        scores = cluster_scores(fit, groups, adjustment_of(kind), at)
        moments = ClusterMoments(scores).sums(np.eye(len(at.bread))) if tested else None
        return cls(len(scores.scores), scores.scores.T @ scores.scores, moments)


class SummedMoments(Moments):
    """Moments of which only the sums over clusters are left.

    Parameters
    ----------
    r : ndarray, shape (p, p)
    sums : MomentSums
        For the p coefficients of Q.
    kernel : ndarray, shape (2p, 2p)
    """

    def __init__(self, r: Floats, sums: MomentSums, kernel: Floats) -> None:
        super().__init__(r)
        self._mean, self._spread = sums.mean, sums.spread(kernel)

    def mean(self) -> Floats:
        return self._mean

    def spread(self, rows: Floats) -> Floats:
        return np.einsum(
            "abcd,sa,tb,uc,vd->stuv", self._spread, rows, rows, rows, rows, optimize=True
        )


def robust_from_sums(fit: Fit, sums: RobustSums, at: Bread, kind: str, df: str) -> Robust:
    """`robust` from sums over all clusters.

    Raises
    ------
    SpecificationError
        For too few clusters.
    """
    count, p = sums.clusters, fit.problem.p
    factor = small_sample_factor(fit, count, kind)
    cov = in_columns(at.r, factor * at.bread @ sums.meat @ at.bread.T)
    if sums.moments is None:
        return Robust(cov, simple_df(fit, count, df), (count,), True, np.full(p, np.nan))
    rule = RobustSatterthwaite(SummedMoments(at.r, sums.moments, kernel(at)))
    expected = factor * np.diag(rule.expected(np.eye(p))) / np.diag(fit.cov_beta)
    return Robust(cov, rule, (count,), True, expected)


def check_size(p: int) -> None:
    """Raise a SpecificationError where the p^4 sums would be too large."""
    if p > MOST_COEFFICIENTS:
        raise SpecificationError(
            f"df='satterthwaite' of robust tests needs p^4 sums from batches, too many for {p} "
            f"coefficients (at most {MOST_COEFFICIENTS}); use df='cluster' or df='residual'"
        )
