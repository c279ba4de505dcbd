"""The formulas of `objective` for many outcomes at once, which are the last axis."""

from dataclasses import dataclass, fields

import numpy as np

from mvmeta._typing import Bools, Floats
from mvmeta.likelihood.criterion import LOG_2PI
from mvmeta.marginal.many import ManyPlan, ManyRows, ManySums, many_sums


@dataclass(frozen=True, eq=False)
class ManyEvaluation:
    """The criterion at one point of every outcome.

    Attributes
    ----------
    loglik : ndarray, shape (m,)
        Up to the terms that do not depend on the components; NaN where M or X'NX is not
        positive definite.
    gradient : ndarray, shape (J, m)
    expected, observed : ndarray, shape (J, J, m)
        Information.
    beta : ndarray, shape (p, m)
        Of the orthonormal columns.
    cov_beta : ndarray, shape (p, p, m)
    rss : ndarray, shape (m,)
        r'N r.
    logdet, logdet_xx : ndarray, shape (m,)
        log|M| and log|X'NX|.
    """

    loglik: Floats
    gradient: Floats
    expected: Floats
    observed: Floats
    beta: Floats
    cov_beta: Floats
    rss: Floats
    logdet: Floats
    logdet_xx: Floats

    def replace(self, other: "ManyEvaluation", where: Bools) -> None:
        """Take over the outcomes `where` (m,) of another evaluation, in place."""
        for f in fields(self):
            np.copyto(getattr(self, f.name), getattr(other, f.name), where=where)

    def take(self, where: Bools) -> "ManyEvaluation":
        """The outcomes `where` (m,)."""
        return ManyEvaluation(**{f.name: getattr(self, f.name)[..., where] for f in fields(self)})


def many_evaluation(s: ManySums, reml: bool) -> ManyEvaluation:
    """Likelihood, gradient and information from additive statistics; see `objective`."""
    p = len(s.gram) - 1
    inverse, logdet_xx = _inverse(s.gram[:p, :p])
    beta = np.einsum("abm,bm->am", inverse, s.gram[:p, p])
    b = np.concatenate([-beta, np.ones((1, beta.shape[1]))])
    rss = np.einsum("am,am->m", b, np.einsum("abm,bm->am", s.gram, b))
    loglik = -0.5 * (s.logdet + rss + (logdet_xx if reml else 0.0))
    sb = np.einsum("jabm,bm->jam", s.slope, b)
    quadratic = np.einsum("jam,am->jm", sb, b)
    trace, expected = s.trace, s.trace_pairs
    if reml:
        cb = np.einsum("acm,jcbm->jabm", inverse, s.slope[:, :p, :p])
        trace = trace - np.einsum("jaam->jm", cb)
        once = np.einsum("jkabm,abm->jkm", s.slope_pairs[:, :, :p, :p], inverse)
        expected = expected - 2 * once + np.einsum("jabm,kbam->jkm", cb, cb)
    expected = 0.5 * expected
    pairs_b = np.einsum("jkabm,bm->jkam", s.slope_pairs, b)
    average = np.einsum("jkam,am->jkm", pairs_b, b)
    fitted = np.einsum("abm,jbm->jam", inverse, sb[:, :p])
    average = 0.5 * (average - np.einsum("jam,kam->jkm", sb[:, :p], fitted))
    return ManyEvaluation(
        loglik=loglik,
        gradient=-0.5 * (trace - quadratic),
        expected=expected,
        observed=2 * average - expected,
        beta=beta,
        cov_beta=inverse,
        rss=rss,
        logdet=s.logdet,
        logdet_xx=logdet_xx,
    )


def full_loglik(at: ManyEvaluation, n: Floats, p: int, reml: bool) -> Floats:
    """Log-likelihood (m,) with its constants, X orthonormal, of outcomes with n (m,) rows."""
    rest = at.logdet + at.rss
    if reml:
        return np.asarray(-0.5 * ((n - p) * LOG_2PI + rest + at.logdet_xx))
    return np.asarray(-0.5 * (n * LOG_2PI + rest))


def _inverse(a: Floats) -> tuple[Floats, Floats]:
    """Inverse (p, p, m) and log determinant (m,) of positive definite a; NaN where it is not."""
    root = many_cholesky(a)
    p = len(a)
    half = np.zeros_like(root)
    for j in range(p):
        half[j, j] = 1.0 / root[j, j]
        for i in range(j + 1, p):
            done = np.einsum("km,km->m", root[i, j:i], half[j:i, j])
            half[i, j] = -done / root[i, i]
    logdet = 2.0 * np.log(root[range(p), range(p)]).sum(axis=0)
    return np.einsum("kam,kbm->abm", half, half), logdet


def many_cholesky(a: Floats) -> Floats:
    """Lower Cholesky factors of a (p, p, m); NaN in outcomes where a is not positive definite."""
    root = np.zeros_like(a)
    for j in range(len(a)):
        pivot = a[j, j] - np.einsum("km,km->m", root[j, :j], root[j, :j])
        root[j, j] = np.sqrt(np.where(pivot > 0, pivot, np.nan))
        for i in range(j + 1, len(a)):
            done = np.einsum("km,km->m", root[i, :j], root[j, :j])
            root[i, j] = (a[i, j] - done) / root[j, j]
    return root


class ManyObjective:
    """The log-likelihood of many outcomes as a function of their two variances.

    Parameters
    ----------
    plan : ManyPlan
    reml : bool
    free : ndarray of bool, shape (2,)
        Which of (omega, tau) are estimated; there are derivatives by these.
    """

    def __init__(self, plan: ManyPlan, reml: bool, free: Bools) -> None:
        self.plan, self.reml, self.free = plan, reml, free
        self._pairs = plan.pairs

    def __call__(self, y: Floats, v: Floats, theta: Floats) -> ManyEvaluation:
        """Evaluate outcomes y (n, m) with variances v (n, m) at theta (2, m)."""
        rows = ManyRows(self.plan, self._pairs, y, v, theta[0], bool(self.free[0]))
        return many_evaluation(many_sums(rows, theta[1], self.free), self.reml)
