"""Best linear unbiased predictions: random effects, and the true effect behind each row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.errors import SpecificationError
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.fitted.probing import BATCH, quadratic_forms
from mvmeta.inference.fitted.projection import Projection

MOST_CELLS = 5_000_000
"""Levels times covariate values in a table of effects of a scale formula."""
MOST_EFFECTS = 10_000
"""Effects of which a joint covariance is made: 0.75 GiB."""


@dataclass(frozen=True, eq=False)
class RandomEffects:
    """Predicted effects of one term.

    Attributes
    ----------
    name : str
        Of the term.
    effects : ndarray, shape (L, q)
        u_hat of every level.
    cov : ndarray, shape (L, q, q), or OneEffectEach
        Covariance of u_hat - u within each level, uncertainty of the fixed effects included.
    observed : ndarray of bool, shape (L, q)
        Effects some row carries; the others are predicted from those they correlate with.
    prior : ndarray, shape (q, q)
        G, the covariance of u.
    """

    name: str
    effects: Floats
    cov: "Floats | OneEffectEach"
    observed: Bools

    prior: Floats

    @property
    def se(self) -> Floats:
        """Comparative standard error, that of u_hat - u, shape (L, q)."""
        # A variance of 0 comes out as rounding of either sign.
        return np.sqrt(np.clip(self._variance, 0.0, None))

    @property
    def _variance(self) -> Floats:
        if isinstance(self.cov, OneEffectEach):
            return self.cov.diagonals
        return np.asarray(np.diagonal(self.cov, axis1=1, axis2=2))

    @property
    def diagnostic_se(self) -> Floats:
        """Diagnostic standard error, that of u_hat itself, shape (L, q).

        ``var(u_hat) = G - var(u_hat - u)``: u_hat over it is a standard normal under the model,
        and shows levels that do not fit (Goldstein 2011, Multilevel Statistical Models, 4th ed.,
        sec. 2.13).
        """
        variance = self.prior.diagonal() - self._variance
        return np.sqrt(np.clip(variance, 0.0, None))


@dataclass(frozen=True, eq=False)
class OneEffectEach:
    """Covariances ``s_l r r'`` of levels with one effect, made when they are asked for.

    Attributes
    ----------
    size : ndarray, shape (L,)
    root : ndarray, shape (q,)
    """

    size: Floats
    root: Floats

    @property
    def shape(self) -> tuple[int, int, int]:
        """(L, q, q)."""
        return len(self.size), len(self.root), len(self.root)

    @property
    def diagonals(self) -> Floats:
        """Shape (L, q)."""
        return np.asarray(self.size[:, None] * self.root**2)

    def __getitem__(self, at: tuple[int, slice, slice]) -> Floats:
        level, rows, columns = at
        return np.asarray(self.size[level] * np.outer(self.root[rows], self.root[columns]))


@dataclass(frozen=True, eq=False)
class TrueEffects:
    """Predicted true effect y - e of each row.

    Attributes
    ----------
    estimate : ndarray, shape (n,)
        X b + Z u_hat.
    se : ndarray, shape (n,)
        Standard error of the prediction error.
    """

    estimate: Floats
    se: Floats


def random_effects(fit: Fit, projection: Projection | None = None) -> list[RandomEffects]:
    """Predict the random effects of every term.

    Parameters
    ----------
    fit : Fit
    projection : Projection, optional
        Where the rows of the fit are some of those the fixed effects come from.

    Notes
    -----
    With D = I (x) G: ``u_hat = D Z'N (y - X b)`` and
    ``var(u_hat - u) = D - D Z'P Z D`` (Henderson 1975; Searle, Casella & McCulloch 1992, ch. 7).

    Raises
    ------
    SpecificationError
        Under user weights: b is not the best estimate and u_hat not the best prediction then.
    """
    projection = projection or unweighted_projection(fit)
    scaled = fit.factor.solve(fit.resid[:, None])
    return [_term_effects(fit, t, projection, scaled) for t in range(len(fit.problem.terms))]


def _term_effects(fit: Fit, t: int, projection: Projection, scaled: Floats) -> RandomEffects:
    term, g = fit.problem.terms[t], fit.gs[t]
    root = term.structure.root(fit.problem.split(fit.theta)[t])
    if term.inner is not None and root.shape[1] == 1 < term.q:
        return _one_effect_each(fit, t, root[:, 0], projection, scaled)
    zx = term.project(projection.nq)
    gram = fit.factor.level_gram(t) - zx @ projection.c @ zx.transpose(0, 2, 1)
    effects = term.project(scaled)[:, :, 0] @ g
    cov = g - g @ gram @ g
    seen = term.project(np.ones((fit.problem.n, 1)))[:, :, 0] != 0
    observed = np.ones_like(seen) if term.z is not None else seen
    return RandomEffects(term.name, effects, (cov + cov.transpose(0, 2, 1)) / 2.0, observed, g)


def _one_effect_each(
    fit: Fit, t: int, root: Floats, projection: Projection, scaled: Floats
) -> RandomEffects:
    """Effects of a term with G = r r': a standard normal w of each level times r.

    With a the entries of r that the rows carry: ``w_hat = a'N (y - X b)`` over the rows of a level,
    and ``var(w_hat - w) = 1 - a'P a``; nothing of order q^2 is made for a level.
    """
    term = fit.problem.terms[t]
    count, q = term.n_levels, term.q
    if count * q > MOST_CELLS:
        raise SpecificationError(
            f"the table of {count:,} levels of {term.name!r} by {q:,} values of its covariates is "
            f"too large (the limit is {MOST_CELLS:,} cells); blup() has the predicted true effect "
            "of every row"
        )
    inner = term.inner if term.inner is not None else np.zeros_like(term.level)
    carried = root[inner]
    order = np.argsort(term.level, kind="stable")
    start = np.searchsorted(term.level[order], np.arange(count + 1))

    def columns(items: Ints, column: Ints, width: int) -> Floats:
        sizes = start[items + 1] - start[items]
        first = np.repeat(start[items] - np.cumsum(sizes) + sizes, sizes)
        rows = order[first + np.arange(sizes.sum())]
        out = np.zeros((fit.problem.n, width))
        out[rows, np.repeat(column, sizes)] = carried[rows]
        return out

    quadratic = quadratic_forms(fit, fit.problem.cluster[order[start[:-1]]], columns)
    by_level = sparse.csr_array(
        (carried, (term.level, np.arange(fit.problem.n))), shape=(count, fit.problem.n)
    )
    x = np.asarray(by_level @ projection.nq)
    size = 1.0 - quadratic + np.einsum("lp,pr,lr->l", x, projection.c, x)
    predicted = np.asarray(by_level @ scaled[:, 0])
    observed = np.zeros((count, q), dtype=bool)
    observed[term.level, inner] = True
    cov = OneEffectEach(np.clip(size, 0.0, None), root)
    return RandomEffects(term.name, predicted[:, None] * root, cov, observed, fit.gs[t])


def effects_cov(fit: Fit, terms: Sequence[int]) -> Floats:
    """Joint covariance of u_hat - u over all effects of some terms, (E, E).

    Effects are those of the terms in the order given, level by level within a term.

    Notes
    -----
    ``D - D Z'P Z D``, D the block-diagonal prior covariance of all E effects.

    Raises
    ------
    SpecificationError
        Under user weights, or if E is above `MOST_EFFECTS`.
    """
    sizes = [fit.problem.terms[t].n_levels * fit.problem.terms[t].q for t in terms]
    count = sum(sizes)
    if count > MOST_EFFECTS:
        raise SpecificationError(
            f"the joint covariance of {count} random effects would take "
            f"{count**2 * 8 / 2**30:.3g} GiB (the limit is {MOST_EFFECTS} effects): name fewer "
            "terms, or take the covariances within levels from random_effects_cov"
        )
    projection = unweighted_projection(fit)
    if not count:
        return np.empty((0, 0))
    pieces = [
        sparse.kron(
            sparse.eye_array(fit.problem.terms[t].n_levels), np.asarray(fit.gs[t]), format="csr"
        )
        for t in terms
    ]
    prior = sparse.block_diag(pieces, format="csr")
    z = sparse.hstack([fit.problem.terms[t].sparse_z() for t in terms], format="csr")
    c = (z @ prior).tocsc()
    out = prior.toarray()
    step = max(1, BATCH // fit.problem.n)
    for start in range(0, count, step):
        at = slice(start, start + step)
        out[:, at] -= c.T @ fit.factor.solve(c[:, at].toarray())
    h = c.T @ projection.nq
    out += h @ projection.c @ h.T
    return np.asarray((out + out.T) / 2.0)


def true_effects(fit: Fit, projection: Projection | None = None) -> TrueEffects:
    """Predict the true effect of every row: its mean plus all its random effects.

    Parameters
    ----------
    fit : Fit
    projection : Projection, optional
        As in `random_effects`.

    Notes
    -----
    The true effects are y - e.  Their prediction is ``X b + (M - V) N (y - X b) = y - V P y``,
    whose error has covariance ``V - V P V``.

    Raises
    ------
    SpecificationError
        Under user weights.
    """
    left = conditional_residuals(fit, projection)
    variance = fit.problem.v.variances - left.variance
    return TrueEffects(fit.problem.y - left.resid, np.sqrt(np.clip(variance, 0.0, None)))


@dataclass(frozen=True, eq=False)
class ConditionalResiduals:
    """What is left of each row without its mean and its predicted random effects.

    Attributes
    ----------
    resid : ndarray, shape (n,)
        y - X b - Z u_hat, the best prediction of the sampling error e.
    variance : ndarray, shape (n,)
        Of `resid`; not that of e, towards 0 of which it is shrunken.
    """

    resid: Floats
    variance: Floats

    @property
    def studentized(self) -> Floats:
        """Residuals over their standard errors, shape (n,); NaN for a known true effect."""
        known = self.variance <= 0.0
        return np.where(known, np.nan, self.resid / np.sqrt(np.where(known, 1.0, self.variance)))


def conditional_residuals(fit: Fit, projection: Projection | None = None) -> ConditionalResiduals:
    """``V P y`` and the diagonal of its covariance ``V P V``.

    Parameters
    ----------
    fit : Fit
    projection : Projection, optional
        As in `random_effects`.

    Raises
    ------
    SpecificationError
        Under user weights.
    """
    projection = projection or unweighted_projection(fit)
    v = fit.problem.v
    vnq = v.multiply(projection.nq)
    removed = np.einsum("np,pq,nq->n", vnq, projection.c, vnq)
    resid = v.multiply(fit.factor.solve(fit.resid[:, None]))[:, 0]
    return ConditionalResiduals(resid, np.clip(_sampling_quadratic(fit) - removed, 0.0, None))


def unweighted_projection(fit: Fit) -> Projection:
    """P of a fit whose random effects can be predicted.

    Raises
    ------
    SpecificationError
        Under user weights.
    """
    if fit.weights is not None:
        raise SpecificationError(
            "random effects cannot be predicted under user weights: with them the fixed effects "
            "are not the generalized least squares estimates; fit without weights="
        )
    return Projection(fit.problem.x, fit.factor.solve)


def _sampling_quadratic(fit: Fit) -> Floats:
    """diag(V N V), shape (n,).

    Rows alone in their block of V need N_ii only.  For the others columns of V are solved for.
    """
    v = fit.problem.v
    out = v.variances**2 * fit.factor.inverse_diagonal()
    if v.covariances is None:
        return out
    full = v.tosparse()
    rows = np.flatnonzero(np.diff(v.covariances.indptr))

    def columns(items: Ints, column: Ints, width: int) -> Floats:
        ones = np.ones(len(items))
        probe = sparse.csc_array((ones, (rows[items], column)), shape=(v.n, width))
        return np.asarray((full @ probe).toarray())

    out[rows] = quadratic_forms(fit, fit.problem.cluster[rows], columns)
    return out
