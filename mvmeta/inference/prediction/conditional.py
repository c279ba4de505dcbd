"""Predictions that use what the data say of the very levels they are for.

A new effect in a study that was observed, a new site among observed ones, a new species on the
tree: its random effects are correlated with fitted ones, and these are known up to an error.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.terms import RandomTerm
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.wald import Basis
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.fitted.probing import BATCH, quadratic_forms
from mvmeta.inference.fitted.projection import Projection
from mvmeta.inference.prediction.blup import unweighted_projection
from mvmeta.inference.prediction.predict import Prediction, with_new_effect

NEGATIVE = -1e-6
"""A variance below this, relative to the prior one, is no rounding error."""

NO_LEVEL = -1
"""Code of a level that has nothing to do with the fitted ones."""


@dataclass(frozen=True, eq=False)
class Link:
    """How the effects of one term in m new rows depend on the fitted effects of that term.

    Attributes
    ----------
    level : ndarray of int, shape (m,)
        The fitted level a row's effect belongs to or is correlated with; `NO_LEVEL` for none,
        whose row gets nothing from this term.
    pattern : ndarray of int, shape (m,)
        Row of the following two that is the row's; many rows share one.
    covariance : ndarray, shape (k, q)
        Of the effect with the q effects of its level.
    variance : ndarray, shape (k,)
        Of the effect itself.
    """

    level: Ints
    pattern: Ints
    covariance: Floats
    variance: Floats


def own_link(term: RandomTerm, g: Floats) -> Link:
    """The link of the fitted rows themselves: each carries effects of its own level."""
    n = len(term.level)
    if term.z is not None:
        return Link(term.level, np.arange(n), term.z @ g, term.marginal_variance(g))
    inner = np.zeros(n, dtype=np.intp) if term.inner is None else term.inner
    return Link(term.level, inner, g, np.diag(g))


def predict_given(
    fit: Fit,
    basis: Basis,
    x: Floats,
    links: Sequence[Link | None],
    heterogeneity: Floats,
    new_variance: Floats | float = 0.0,
) -> Prediction:
    """Predict new rows, given the effects they share with the fitted rows.

    Parameters
    ----------
    fit : Fit
    basis : Basis
        Covariance and df of the fixed effects; model-based, scaled, adjusted or robust.
    x : ndarray, shape (m, p)
    links : sequence of (Link or None)
        One per term of the model; None for terms whose effects are all new.
    heterogeneity : ndarray, shape (m,)
        Variance of the effects that are new.
    new_variance : ndarray, shape (m,), or float
        Sampling variance added to the prediction interval.

    Returns
    -------
    Prediction
        `mean` is the mean of true effects in the levels named, x b + c'N (y - X b), `se` that of
        its error, `new_se` that of a true effect with the new effects added.

    Notes
    -----
    With a the linked effects of a row, c = cov(y, a), N the inverse of M and r = x - X'N c::

        var(prediction - truth) = r' cov(b) r + var(a) - c'N c

    (universal kriging: Goldberger 1962, J Am Stat Assoc 57:369; Cressie 1993, sec. 3.4).

    Raises
    ------
    SpecificationError
        Under user weights, if `new_variance` is negative, or if the variance of an effect given
        the fitted ones is negative: it cannot have the covariances it is said to have.
    """
    mean, variance = conditional_moments(fit, basis.cov, x, links)
    return with_new_effect(basis, x, (mean, np.sqrt(variance)), heterogeneity, new_variance)


def conditional_moments(
    fit: Fit, cov_beta: Floats, x: Floats, links: Sequence[Link | None]
) -> tuple[Floats, Floats]:
    """Prediction (m,) of x b + a and the variance (m,) of its error; see `predict_given`."""
    projection = unweighted_projection(fit)
    usable = np.asarray(np.isfinite(x).all(axis=1))
    for link in links:
        usable &= _finite(link, len(x))
    targets, of = _distinct(links, usable)
    known = _Known(fit, projection, targets)
    rest = np.linalg.solve(projection.r.T, x.T).T - known.h[of]
    cov = projection.r @ cov_beta @ projection.r.T
    variance = np.einsum("mp,pq,mq->m", rest, cov, rest, optimize=True) + known.remaining[of]
    mean = x @ fit.beta + known.shift[of]
    return np.where(usable, mean, np.nan), np.where(usable, variance, np.nan)


def _finite(link: Link | None, m: int) -> Bools:
    if link is None:
        return np.ones(m, dtype=bool)
    good = np.isfinite(link.covariance).all(axis=1) & np.isfinite(link.variance)
    return (link.level == NO_LEVEL) | good[link.pattern]


def _distinct(links: Sequence[Link | None], usable: Bools) -> tuple[list[Link | None], Ints]:
    """The d different combinations of levels and patterns, and which one each row has."""
    code = np.zeros(len(usable), dtype=np.int64)
    for link in links:
        if link is not None:
            on = usable & (link.level != NO_LEVEL)
            own = np.where(on, (link.level + 1) * (len(link.variance) + 1) + link.pattern + 1, 0)
            pair = code * (int(own.max(initial=0)) + 1) + own
            code = np.unique(pair, return_inverse=True)[1].astype(np.int64)
    _, first, of = np.unique(code, return_index=True, return_inverse=True)
    targets: list[Link | None] = []
    for link in links:
        if link is None:
            targets.append(None)
            continue
        level = np.where(usable, link.level, NO_LEVEL)[first]
        targets.append(Link(level, link.pattern[first], link.covariance, link.variance))
    return targets, of


class _Known:
    """What the data say of d targets: shift (d,), Q'N c (d, p), var(a) - c'N c (d,)."""

    def __init__(self, fit: Fit, projection: Projection, links: Sequence[Link | None]) -> None:
        self._fit, self._links = fit, [(t, k) for t, k in enumerate(links) if k is not None]
        self._scaled = np.column_stack([fit.factor.solve(fit.resid[:, None]), projection.nq])
        count = max((len(k.level) for _, k in self._links), default=1)
        self.shift, self.remaining = np.zeros(count), np.zeros(count)
        self.h = np.zeros((count, fit.problem.p))
        prior = np.zeros(count)
        active = np.zeros(count, dtype=np.intp)
        for _, link in self._links:
            on = link.level != NO_LEVEL
            active += on
            prior[on] += link.variance[link.pattern[on]]
        for t, link in self._links:
            self._add_term(t, link, active == 1)
        several = np.flatnonzero(active > 1)
        if len(several):
            self.remaining[several] -= self._joint(several)
        self.remaining += prior
        if (self.remaining < NEGATIVE * np.maximum(prior, np.finfo(float).tiny)).any():
            raise SpecificationError(
                "the fitted correlations leave a new level a negative variance: they cannot hold "
                "for one more level; ask for the levels of the data only"
            )
        # A variance of 0 comes out as rounding of either sign.
        self.remaining = np.clip(self.remaining, 0.0, None)

    def _add_term(self, t: int, link: Link, alone: Bools) -> None:
        """Shift and h of one term, and c'N c of the targets that have no other one."""
        term = self._fit.problem.terms[t]
        table = term.project(self._scaled)
        single = bool((alone & (link.level != NO_LEVEL)).any())
        if single:
            table = np.concatenate([table, self._fit.factor.level_gram(t)], axis=2)
        p = self._fit.problem.p
        for at in _pieces(np.flatnonzero(link.level != NO_LEVEL), table):
            c = link.covariance[link.pattern[at]]
            if len(table) == 1:
                found = c @ table[0]
            else:
                found = np.matmul(c[:, None, :], table[link.level[at]])[:, 0]
            self.shift[at] += found[:, 0]
            self.h[at] += found[:, 1 : p + 1]
            if single:
                own = alone[at]
                self.remaining[at[own]] -= (found[own, p + 1 :] * c[own]).sum(axis=1)

    def _joint(self, targets: Ints) -> Floats:
        """The same for targets that several terms contribute to: c'N c, (len(targets),)."""
        problem = self._fit.problem
        clusters = int(problem.cluster.max()) + 1
        touched = []
        for t, link in self._links:
            of_level = np.zeros(problem.terms[t].n_levels, dtype=np.intp)
            of_level[problem.terms[t].level] = problem.cluster
            level = link.level[targets]
            cluster = np.where(level == NO_LEVEL, -1, of_level[level])
            touched.append(cluster)
        key = np.arange(len(targets)) * clusters + np.stack(touched)
        part = np.unique(key[np.stack(touched) >= 0])
        owner, cluster = np.divmod(part, clusters)
        z = {t: problem.terms[t].sparse_z() for t, _ in self._links}

        def columns(items: Ints, column: Ints, width: int) -> Floats:
            out = np.zeros((problem.n, width))
            for (t, link), own in zip(self._links, touched, strict=True):
                here = own[owner[items]] == cluster[items]
                at, to = targets[owner[items[here]]], column[here]
                q = problem.terms[t].q
                row = link.level[at][:, None] * q + np.arange(q)
                c = link.covariance[link.pattern[at]]
                shape = (z[t].shape[1], width)
                index = (row.ravel(), np.repeat(to, q))
                out += (z[t] @ sparse.csc_array((c.ravel(), index), shape=shape)).toarray()
            return out

        parts = quadratic_forms(self._fit, cluster, columns)
        out: Floats = np.bincount(owner, weights=parts, minlength=len(targets)).astype(float)
        return out


def _pieces(at: Ints, table: Floats) -> Iterator[Ints]:
    """`at` in pieces whose rows of `table` (L, q, k) fit into `BATCH` numbers."""
    levels, q, k = table.shape
    each = q + k if levels == 1 else q * (k + 1)
    step = max(1, BATCH // max(each, 1))
    for start in range(0, len(at), step):
        yield at[start : start + step]
