"""Cluster-robust covariance of the fixed effects, with the tests that go with it."""

from dataclasses import dataclass

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import recode
from mvmeta.errors import SpecificationError
from mvmeta.inference.clusters import Adjustment, ClusterScores, cluster_scores, plain_scores
from mvmeta.inference.degrees import DegreesOfFreedom, PerCoefficient, residual_df
from mvmeta.inference.fit import Fit

KINDS = ("CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3")
DF_RULES = ("satterthwaite", "cluster", "residual")


@dataclass(frozen=True, eq=False)
class Robust:
    """A cluster-robust replacement of the covariance of beta.

    Attributes
    ----------
    cov : ndarray, shape (p, p)
    df : DegreesOfFreedom
    n_clusters : int
    """

    cov: Floats
    df: DegreesOfFreedom
    n_clusters: int


class RobustSatterthwaite(DegreesOfFreedom):
    """Satterthwaite t tests and the HTZ test under the working model that M is as fitted.

    With x_j = a_j'(y_j - X_j b) the contribution of cluster j to a contrast, the variance
    estimate is sum x_j^2; its df is ``2 E^2 / Var``.  For q contrasts standardised by the
    expected covariance matrix, ``eta = q (q + 1) / sum_st Var(D_st)`` and
    ``(eta - q + 1) / (eta q) Q`` is referred to F(q, eta - q + 1) (Pustejovsky & Tipton 2018,
    Journal of Business & Economic Statistics 36:672, approximate Hotelling T^2 "HTZ").  Where
    the clusters are too few for q contrasts, eta <= q - 1, there is no test: F and its df are
    0 and the p-value is NaN, as in clubSandwich.
    """

    def __init__(self, scores: ClusterScores) -> None:
        self._s = scores
        p = len(scores.bread)
        zero = np.zeros((p, p))
        # Cov(x_j, x_k) = delta_jk own_j + [left_j right_j] kernel [left_k right_k]'
        self._kernel = np.block([[scores.sandwich, -scores.bread], [-scores.bread.T, zero]])

    def coefficients(self) -> Floats:
        return self.contrasts(np.eye(len(self._s.bread)))

    def contrast(self, row: Floats) -> float:
        return self._eta(np.atleast_2d(row))

    def joint(self, rows: Floats) -> float:
        return max(self._eta(rows) - len(rows) + 1.0, 0.0)

    def scale(self, rows: Floats) -> float:
        return self.joint(rows) / self._eta(rows)

    def _eta(self, rows: Floats) -> float:
        own, f = self._contributions(rows)
        q = len(rows)
        values, vectors = np.linalg.eigh(self._expected(own, f))
        turn = vectors / np.sqrt(values)
        own = np.einsum("jst,sa,tb->jab", own, turn, turn, optimize=True)
        f = np.einsum("jsc,sa->jac", f, turn)
        total = 0.0
        for s in range(q):
            for t in range(q):
                total += self._dot(own, f, (s, s), (t, t)) + self._dot(own, f, (s, t), (t, s))
        return q * (q + 1) / total

    def _contributions(self, rows: Floats) -> tuple[Floats, Floats]:
        """Own covariances (J, q, q) and loadings (J, q, 2p) of the contributions to `rows`."""
        s = self._s
        c = np.linalg.solve(s.r.T, rows.T)
        c = s.bread.T @ c
        own = np.einsum("ps,jpr,rt->jst", c, s.own, c, optimize=True)
        loadings = [np.einsum("jpr,rs->jsp", side, c) for side in (s.left, s.right)]
        return own, np.concatenate(loadings, axis=2)

    def _expected(self, own: Floats, f: Floats) -> Floats:
        shared = np.einsum("jsc,cd,jtd->st", f, self._kernel, f, optimize=True)
        return own.sum(axis=0) + shared

    def _dot(self, own: Floats, f: Floats, one: tuple[int, int], two: tuple[int, int]) -> float:
        """``sum_jk Cov(x_sj, x_tk) Cov(x_uj, x_vk)`` for one = (s, t), two = (u, v)."""
        (s, t), (u, v) = one, two
        k = self._kernel
        first = np.einsum("jc,cd,jd->j", f[:, s], k, f[:, t], optimize=True)
        second = np.einsum("jc,cd,jd->j", f[:, u], k, f[:, v], optimize=True)
        pairs = (k @ (f[:, t].T @ f[:, v]) @ k.T) * (f[:, s].T @ f[:, u])
        d, e = own[:, s, t], own[:, u, v]
        return float(d @ e + d @ second + e @ first + pairs.sum())


def robust(fit: Fit, groups: Ints, kind: str = "CR2", df: str = "satterthwaite") -> Robust:
    """Cluster-robust covariance of the fixed effects and the df of its tests.

    Parameters
    ----------
    fit : Fit
    groups : ndarray of int, shape (n,)
        Cluster of each row; rows of different clusters are taken for independent.
    kind : {"CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3"}
        No adjustment; factors J/(J-1), J/(J-p), J (n-1)/((J-1)(n-p)) for J clusters; bias-reduced
        linearisation (Bell & McCaffrey 2002; Pustejovsky & Tipton 2018); approximate jackknife.
    df : {"satterthwaite", "cluster", "residual"}
        By the working model; J - p; n - p.

    Raises
    ------
    SpecificationError
        For another kind or df, too few clusters, or clusters the adjustment cannot handle.
    """
    if kind not in KINDS:
        raise SpecificationError(f"unknown cov_type {kind!r}; takes one of {', '.join(KINDS)}")
    if df not in DF_RULES:
        raise SpecificationError(f"unknown df {df!r}; takes one of {', '.join(DF_RULES)}")
    count = recode(groups)[1]
    factor = _factor(fit, count, kind)
    if df != "satterthwaite" and kind not in ("CR2", "CR3"):
        scores, bread = plain_scores(fit, groups)
        half = scores @ bread.T
        return Robust(factor * half.T @ half, _simple_df(fit, count, df), count)
    adjustment: Adjustment = "CR2" if kind == "CR2" else "CR3" if kind == "CR3" else "none"
    at = cluster_scores(fit, groups, adjustment)
    half = at.scores @ np.linalg.solve(at.r, at.bread).T
    rule = RobustSatterthwaite(at) if df == "satterthwaite" else _simple_df(fit, count, df)
    return Robust(factor * half.T @ half, rule, count)


def _factor(fit: Fit, clusters: int, kind: str) -> float:
    n, p, j = fit.problem.n, fit.problem.p, clusters
    if j < 2 or (kind == "CR1p" and j <= p) or (kind == "CR1S" and n <= p):
        raise SpecificationError(
            f"{kind} needs more groups than there are: {j} groups for {p} coefficients"
        )
    return {
        "CR1": lambda: j / (j - 1),
        "CR1p": lambda: j / (j - p),
        "CR1S": lambda: j * (n - 1) / ((j - 1) * (n - p)),
    }.get(kind, lambda: 1.0)()


def _simple_df(fit: Fit, clusters: int, rule: str) -> PerCoefficient:
    if rule == "residual":
        return residual_df(fit)
    left = clusters - fit.problem.p
    if left <= 0:
        raise SpecificationError(
            f"df='cluster' is groups minus coefficients, {clusters} - {fit.problem.p}; "
            "use df='satterthwaite'"
        )
    return PerCoefficient(np.full(fit.problem.p, float(left)))
