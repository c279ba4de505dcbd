"""The wild cluster bootstrap of Wald tests, hypothesis imposed, components held at their estimates.

With G clusters, S = inv(X'W X), W = inv(M) (or the user's weights) and restricted residuals e_g,
a replicate is ``y*_g = X_g b0 + w_g e_g`` for random signs (or other weights) w_g.  Its estimates
and cluster-robust covariance are functions of the p-vectors ``X_g'W_g e_g`` alone, so that no
replicate is ever fitted: a replicate costs G p operations whatever the number of rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import recode
from mvmeta.errors import SpecificationError
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.resampling.bootstrap import TIES, exceedance
from mvmeta.inference.robust.clusters import Adjustment, are_independent, cluster_scores
from mvmeta.likelihood.orthonormal import orthonormal_basis
from mvmeta.progress import Progress

KINDS = ("CR0", "CR2", "CR3")
CELLS = 1 << 22
"""Numbers held at a time for a chunk of replicates (32 MB)."""
SINGULAR = 1e-12
"""Eigenvalue of a covariance of hypotheses, relative to the largest, that counts as zero."""

GOLDEN = float((1.0 + np.sqrt(5.0)) / 2.0)
DISTRIBUTIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "rademacher": ((-1.0, 1.0), (0.5, 0.5)),
    "mammen": ((1.0 - GOLDEN, GOLDEN), (GOLDEN / np.sqrt(5.0), 1.0 - GOLDEN / np.sqrt(5.0))),
    "webb": (
        (-np.sqrt(1.5), -1.0, -np.sqrt(0.5), np.sqrt(0.5), 1.0, np.sqrt(1.5)),
        (1 / 6,) * 6,
    ),
}
"""Values and probabilities of the weights: mean 0, variance 1 (Mammen 1993; Webb 2023)."""


@dataclass(frozen=True, eq=False)
class WildBootstrap:
    """A wild cluster bootstrap test.

    Attributes
    ----------
    statistic : float
        The t statistic of a single hypothesis, else the Wald F (over the number of hypotheses).
    df : int
        Number of hypotheses.
    pvalue : float
        Share of replicates with absolute t or F at least as large; two-sided.
    pvalue_error : float
        Monte Carlo standard error of the p-value; 0 where all weights were enumerated.
    replicates : ndarray, shape (B,)
        The t statistic without its sign, or F, of every replicate.
    n_clusters : int
    weights : str
        "rademacher", "webb" or "mammen".
    cov_type : str
        Cluster-robust covariance the statistics are studentised by.
    enumerated : bool
        All 2^G sign patterns were taken instead of a sample.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> data = datasets.load("konstantopoulos2011")
    >>> nested = "district/school"
    >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
    >>> test = res.wild_bootstrap_test("Intercept = 0", n=99, seed=1)
    >>> round(test.statistic, 3), round(test.pvalue, 3), test.n_clusters
    (2.293, 0.04, 11)
    """

    statistic: float
    df: int
    pvalue: float
    pvalue_error: float
    replicates: Floats
    n_clusters: int
    weights: str
    cov_type: str
    enumerated: bool

    @property
    def n_replicates(self) -> int:
        """Number of replicates.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
        >>> test = res.wild_bootstrap_test("Intercept = 0", n=99, seed=1)
        >>> test.n_replicates
        99
        """
        return len(self.replicates)

    @property
    def least_pvalue(self) -> float:
        """Smallest p-value that can come out.

        Two of the 2^G patterns of signs give the observed statistic; the other weights never do.

        References
        ----------
        See :meth:`mvmeta.MetaMixedLMResults.wild_bootstrap_test`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
        >>> test = res.wild_bootstrap_test("Intercept = 0", n=99, seed=1)
        >>> test.least_pvalue
        0.01
        """
        least = 1.0 / (self.n_replicates + 1)
        return max(2.0 / 2.0**self.n_clusters, least) if self.weights == "rademacher" else least

    def __str__(self) -> str:
        name = "t" if self.df == 1 else f"F({self.df})"
        how = "all patterns of signs" if self.enumerated else f"{self.n_replicates} replicates"
        error = "" if self.enumerated else f" (+- {self.pvalue_error:.2g})"
        return (
            f"wild cluster bootstrap, {self.n_clusters} clusters, {self.weights} weights, {how}: "
            f"{name} = {self.statistic:.4g} ({self.cov_type}), p = {self.pvalue:.4g}{error}"
        )


@dataclass(frozen=True, eq=False)
class _Clusters:
    """Scores of G clusters in the coefficients of an orthonormal basis, X = Q R.

    Attributes
    ----------
    r, bread : ndarray, shape (p, p)
        R, and inv(Q'W Q).
    scores, left : ndarray, shape (G, p) and (G, p, p)
        T_g'e_g and Q_g'T_g with T = W'Q, e the residuals of the unrestricted fit.
    adjusted_scores, adjusted_left : ndarray
        The same with the T_g of CR2 or CR3.
    """

    r: Floats
    bread: Floats
    scores: Floats
    left: Floats
    adjusted_scores: Floats
    adjusted_left: Floats


def wild_bootstrap(  # noqa: PLR0913  (what is tested is four of the seven)
    fit: Fit,
    groups: Ints,
    rows: Floats,
    rhs: Floats,
    *,
    n: int,
    weights: str = "rademacher",
    kind: str = "CR0",
    rng: np.random.Generator,
) -> WildBootstrap:
    """Test ``rows @ beta = rhs`` by the wild cluster bootstrap with the hypothesis imposed.

    Parameters
    ----------
    fit : Fit
    groups : ndarray of int, shape (n,)
    rows, rhs : ndarray, shape (q, p) and (q,)
        Linearly independent hypotheses.
    n : int
        Replicates; all 2^G sign patterns instead where these are no more.
    weights : {"rademacher", "webb", "mammen"}
    kind : {"CR0", "CR2", "CR3"}
    rng : numpy.random.Generator

    Raises
    ------
    SpecificationError
        For other weights or another kind, too few clusters for q hypotheses, or clusters that
        the adjustment cannot handle.

    Notes
    -----
    Cameron, Gelbach & Miller (2008, Review of Economics and Statistics 90:414), "WCR"; Joshi,
    Pustejovsky & Beretvas (2022, Research Synthesis Methods 13:457) for meta-analysis.  The
    variance components are not estimated again in the replicates.
    """
    if weights not in DISTRIBUTIONS:
        known = ", ".join(DISTRIBUTIONS)
        raise SpecificationError(f"weights= takes one of {known}, got {weights!r}")
    code, count = recode(groups)
    if count <= len(rows):
        raise SpecificationError(
            f"{len(rows)} hypotheses need at least {len(rows) + 1} clusters; there "
            f"{'is' if count == 1 else 'are'} {count}"
        )
    statistic = _Statistic(_clusters(fit, code, count, kind), rows, rows @ fit.beta - rhs)
    enumerated = weights == "rademacher" and count < 63 and 2**count <= n
    draws = _all_signs(count) if enumerated else _sample(weights, n, count, rng)
    total = 2**count if enumerated else n
    with Progress("replicates", total) as progress:
        parts = []
        for w in draws:
            parts.append(statistic(w))
            progress.step(len(w))
    replicates = np.concatenate(parts)
    observed = float(statistic(np.ones((1, count)))[0])
    if enumerated:
        p = float((replicates >= observed - TIES * max(1.0, observed)).mean())
        error = 0.0
    else:
        p, error = exceedance(observed, replicates)
    sign = np.sign(statistic.gap[0]) if len(rows) == 1 else 1.0
    return WildBootstrap(
        float(sign * observed), len(rows), p, error, replicates, count, weights, kind, enumerated
    )


def _all_signs(count: int) -> Iterator[Floats]:
    """All 2^G patterns (b, G), some at a time."""
    fast = min(count, 12)
    inner = np.array(list(product((1.0, -1.0), repeat=fast)))
    for outer in product((1.0, -1.0), repeat=count - fast):
        yield np.column_stack([np.tile(outer, (len(inner), 1)), inner])


def _sample(weights: str, n: int, count: int, rng: np.random.Generator) -> Iterator[Floats]:
    values, probabilities = DISTRIBUTIONS[weights]
    step = max(1, CELLS // count)
    for start in range(0, n, step):
        yield rng.choice(values, size=(min(step, n - start), count), p=probabilities)


def _clusters(fit: Fit, code: Ints, count: int, kind: str) -> _Clusters:
    if kind not in KINDS:
        raise SpecificationError(
            f"cov_type= takes one of {', '.join(KINDS)}, got {kind!r} (the factors of CR1, CR1p "
            "and CR1S are the same in every replicate: their p-value is that of CR0)"
        )
    q, r = orthonormal_basis(fit.problem.x)
    t = fit.factor.solve(q) if fit.weights is None else np.asarray(fit.weights.T @ q)
    scores = np.zeros((count, q.shape[1]))
    np.add.at(scores, code, t * fit.resid[:, None])
    left = np.zeros((count, q.shape[1], q.shape[1]))
    np.add.at(left, code, q[:, :, None] * t[:, None, :])
    bread = np.linalg.inv(left.sum(axis=0).T)
    if kind == "CR0":
        return _Clusters(r, bread, scores, left, scores, left)
    if not are_independent(fit, code):
        raise SpecificationError(
            f"rows of different groups are correlated under the fitted model (or tied by user "
            f"weights), which {kind} cannot handle here; take coarser groups (the outermost "
            "independent clusters), or cov_type='CR0'"
        )
    adjustment: Adjustment = "CR2" if kind == "CR2" else "CR3"
    at = cluster_scores(fit, code, adjustment)
    return _Clusters(r, bread, scores, left, at.scores, at.left)


class _Statistic:
    """|t| or F as a function of the weights of the clusters."""

    def __init__(self, clusters: _Clusters, rows: Floats, gap: Floats) -> None:
        self.gap = gap
        self._bread = clusters.bread
        self._c = np.linalg.solve(clusters.r.T, rows.T).T
        cb = self._c @ clusters.bread
        # from the unrestricted to the restricted estimate, in coefficients of Q
        shift = clusters.bread @ self._c.T @ np.linalg.solve(cb @ self._c.T, gap)
        self._scores = clusters.scores + np.einsum("gab,a->gb", clusters.left, shift)
        adjusted = clusters.adjusted_scores + np.einsum("gab,a->gb", clusters.adjusted_left, shift)
        self._own = adjusted @ cb.T
        self._lost = np.einsum("qb,gab->gqa", cb, clusters.adjusted_left)

    def __call__(self, w: Floats) -> Floats:
        """Statistics (b,) at weights w (b, G)."""
        step = max(1, CELLS // self._own.size)
        return np.concatenate([self._at(w[k : k + step]) for k in range(0, len(w), step)])

    def _at(self, w: Floats) -> Floats:
        moved = w @ self._scores @ self._bread.T
        gap = moved @ self._c.T
        scores = w[:, :, None] * self._own - np.einsum("gqa,ba->bgq", self._lost, moved)
        cov = np.einsum("bgq,bgs->bqs", scores, scores)
        values, vectors = np.linalg.eigh(cov)
        along = np.einsum("bqs,bq->bs", vectors, gap) ** 2
        top = np.maximum(values[:, -1:], np.finfo(float).tiny)
        flat = values <= SINGULAR * top
        with np.errstate(divide="ignore"):
            parts = np.where(flat, np.where(along > SINGULAR * top, np.inf, 0.0), along / values)
        wald = parts.sum(axis=1)
        return np.sqrt(wald) if gap.shape[1] == 1 else wald / gap.shape[1]
