"""Best linear unbiased predictions: random effects, and the true effect behind each row."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.layout import recode
from mvmeta.errors import SpecificationError
from mvmeta.inference.fit import Fit
from mvmeta.inference.projection import Projection

BATCH = 1 << 22
"""Numbers a probing matrix of `_sampling_quadratic` may hold (32 MB)."""


@dataclass(frozen=True, eq=False)
class RandomEffects:
    """Predicted effects of one term.

    Attributes
    ----------
    name : str
        Of the term.
    effects : ndarray, shape (L, q)
        u_hat of every level.
    cov : ndarray, shape (L, q, q)
        Covariance of u_hat - u within each level, uncertainty of the fixed effects included.
    observed : ndarray of bool, shape (L, q)
        Effects some row carries; the others are predicted from those they correlate with.
    """

    name: str
    effects: Floats
    cov: Floats
    observed: Bools

    @property
    def se(self) -> Floats:
        """Standard error of u_hat - u, shape (L, q)."""
        variance = np.diagonal(self.cov, axis1=1, axis2=2)
        # A variance of 0 comes out as rounding of either sign.
        return np.sqrt(np.clip(variance, 0.0, None))


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


def random_effects(fit: Fit) -> list[RandomEffects]:
    """Predict the random effects of every term.

    Notes
    -----
    With D = I (x) G: ``u_hat = D Z'N (y - X b)`` and
    ``var(u_hat - u) = D - D Z'P Z D`` (Henderson 1975; Searle, Casella & McCulloch 1992, ch. 7).

    Raises
    ------
    SpecificationError
        Under user weights: b is not the best estimate and u_hat not the best prediction then.
    """
    projection = _projection(fit)
    scaled = fit.factor.solve(fit.resid[:, None])
    return [_term_effects(fit, t, projection, scaled) for t in range(len(fit.problem.terms))]


def _term_effects(fit: Fit, t: int, projection: Projection, scaled: Floats) -> RandomEffects:
    term, g = fit.problem.terms[t], fit.gs[t]
    zx = term.project(projection.nq)
    gram = fit.factor.level_gram(t) - zx @ projection.c @ zx.transpose(0, 2, 1)
    effects = term.project(scaled)[:, :, 0] @ g
    cov = g - g @ gram @ g
    seen = term.project(np.ones((fit.problem.n, 1)))[:, :, 0] != 0
    observed = np.ones_like(seen) if term.z is not None else seen
    return RandomEffects(term.name, effects, (cov + cov.transpose(0, 2, 1)) / 2.0, observed)


def true_effects(fit: Fit) -> TrueEffects:
    """Predict the true effect of every row: its mean plus all its random effects.

    Notes
    -----
    The true effects are y - e.  Their prediction is ``X b + (M - V) N (y - X b) = y - V P y``,
    whose error has covariance ``V - V P V``.

    Raises
    ------
    SpecificationError
        Under user weights.
    """
    projection = _projection(fit)
    v = fit.problem.v
    py = fit.factor.solve(fit.resid[:, None])
    vnq = v.multiply(projection.nq)
    removed = np.einsum("np,pq,nq->n", vnq, projection.c, vnq)
    variance = v.variances - _sampling_quadratic(fit) + removed
    estimate = fit.problem.y - v.multiply(py)[:, 0]
    return TrueEffects(estimate, np.sqrt(np.clip(variance, 0.0, None)))


def _projection(fit: Fit) -> Projection:
    if fit.weights is not None:
        raise SpecificationError(
            "random effects cannot be predicted under user weights: with them the fixed effects "
            "are not the generalized least squares estimates; fit without weights="
        )
    return Projection(fit.problem.x, fit.factor.solve)


def _sampling_quadratic(fit: Fit) -> Floats:
    """diag(V N V), shape (n,).

    Rows alone in their block of V need N_ii only.  For the others columns of V are solved for,
    one per independent cluster at a time: N does not mix clusters.
    """
    v = fit.problem.v
    out = v.variances**2 * fit.factor.inverse_diagonal()
    if v.covariances is None:
        return out
    full = v.tosparse()
    rows = np.flatnonzero(np.diff(v.covariances.indptr))
    for chosen in _one_per_cluster(fit, rows):
        probe = sparse.csc_array(
            (np.ones(len(chosen[0])), (chosen[0], chosen[1])), shape=(v.n, int(chosen[1].max()) + 1)
        )
        columns = (full @ probe).tocsr()
        product = columns.multiply(fit.factor.solve(columns.toarray()))
        # Column j of `product` holds all clusters; each row of it adds to the one chosen there.
        target = np.full((fit.problem.cluster.max() + 1, probe.shape[1]), -1, dtype=np.intp)
        target[fit.problem.cluster[chosen[0]], chosen[1]] = chosen[0]
        entries = product.tocoo()
        to = target[fit.problem.cluster[entries.row], entries.col]
        total = np.bincount(to, weights=entries.data, minlength=v.n)
        out[chosen[0]] = total[chosen[0]]
    return out


def _one_per_cluster(fit: Fit, rows: Ints) -> list[tuple[Ints, Ints]]:
    """Batches (rows, columns): rows of a batch that share a column are of different clusters."""
    cluster, _ = recode(fit.problem.cluster[rows])
    order = np.argsort(cluster, kind="stable")
    start = np.searchsorted(cluster[order], cluster[order])
    position = np.empty(len(rows), dtype=np.intp)
    position[order] = np.arange(len(rows)) - start
    width = max(1, BATCH // fit.problem.n)
    batches = []
    for first in range(0, int(position.max()) + 1, width):
        inside = (position >= first) & (position < first + width)
        batches.append((rows[inside], position[inside] - first))
    return batches
