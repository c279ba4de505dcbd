"""The directions in which the estimated components can move: what small-sample df differentiate.

Pinned components and estimates on the boundary are constants.  A singular unstructured G moves
within the matrices of its rank.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from mvmeta._typing import Bools, Floats
from mvmeta.design.sharing import Sharing
from mvmeta.inference.fitted.fit import Fit
from mvmeta.structures import Chart, CovarianceStructure, Kronecker, Pinned, Tied
from mvmeta.structures.base import RestrictedChart

LINEAR = frozenset({"CS", "UN"})
"""Structures whose G is linear in variances and covariances (with GEN, stored as UN)."""

RANK_TOLERANCE = 1e-9
"""Eigenvalue of the correlation matrix of G, relative to the largest, that counts as zero."""


class FixedRank(Chart):
    """Singular matrices around one of them: G = R R' with R (q, r) free up to rotation.

    Parameters
    ----------
    g : ndarray, shape (q, q)
        Rows of zero variance stay zero.
    """

    def __init__(self, g: Floats) -> None:
        live = np.flatnonzero(np.diag(g) > 0)
        sd = np.sqrt(np.diag(g)[live])
        values, vectors = np.linalg.eigh(g[np.ix_(live, live)] / np.outer(sd, sd))
        keep = values > RANK_TOLERANCE * values[-1]
        self.rank = int(keep.sum())
        self.root = np.zeros((len(g), self.rank))
        self.root[live] = sd[:, None] * vectors[:, keep] * np.sqrt(values[keep])
        self._steps = self._basis(live, sd)
        self.lower = np.full(len(self._steps), -np.inf)
        self.upper = -self.lower

    def _basis(self, live: np.ndarray, sd: Floats) -> Floats:
        """Steps of R (J, q, r) in units of the standard deviations, rotations left out."""
        m, r, q = len(live), self.rank, len(self.root)
        raw = np.zeros((m * r, q, r))
        for k in range(m * r):
            raw[k, live[k // r], k % r] = sd[k // r]
        change = _symmetric_product(self.root, raw)[:, live][:, :, live] / np.outer(sd, sd)
        u, _, _ = np.linalg.svd(change.reshape(m * r, m * m), full_matrices=False)
        count = m * r - r * (r - 1) // 2
        return np.einsum("kj,kqr->jqr", u[:, :count], raw)

    def matrix(self, x: Floats) -> Floats:
        root = self.root + np.einsum("j,jqr->qr", x, self._steps)
        return np.asarray(root @ root.T)

    def jacobian(self, x: Floats) -> Floats:
        return _symmetric_product(self.root + np.einsum("j,jqr->qr", x, self._steps), self._steps)

    def hessian(self, x: Floats) -> Floats | None:
        half = np.einsum("jqr,lsr->jlqs", self._steps, self._steps)
        return half + half.swapaxes(0, 1)


def free_charts(fit: Fit) -> tuple[list[Chart], list[Floats]]:
    """One chart per term over its free components, and where in it the estimate lies."""
    found = [_free_chart(*piece) for piece in _pieces(fit)]
    return [chart for chart, _ in found], [point for _, point in found]


def free_sharing(fit: Fit, charts: Sequence[Chart]) -> Sharing:
    """Which of the charts' coordinates are one parameter: those of terms that are tied."""
    return Sharing.of([len(c.lower) for c in charts], fit.problem.ties)


def _pieces(fit: Fit) -> Iterator[tuple[CovarianceStructure, Floats, Bools]]:
    """Structure, components and which of them are constants, of every term."""
    still = fit.problem.split((fit.problem.fixed | fit.boundary).astype(float))
    for term, theta, s in zip(fit.problem.terms, fit.problem.split(fit.theta), still, strict=True):
        yield term.structure, theta, s.astype(bool)


def _free_chart(
    structure: CovarianceStructure, theta: Floats, still: Bools
) -> tuple[Chart, Floats]:
    if isinstance(structure, Kronecker):
        chart, point = _free_chart(structure.structure, theta, still)
        return structure.over(chart), point
    if moves_within_rank(structure, theta):
        within = FixedRank(structure.matrix(theta))
        return within, np.zeros(len(within.lower))
    return RestrictedChart(structure, theta, ~still), theta[~still]


def moves_within_rank(structure: CovarianceStructure, theta: Floats) -> bool:
    """Whether G is an unstructured matrix that lost rank otherwise than by rho = +-1 of a pair.

    With two live effects the natural components say it all: variances free, correlation held.
    """
    if structure.code != "UN" or structure.fixed.any():
        return False
    g = structure.matrix(theta)
    live = np.diag(g) > 0
    if live.sum() <= 2:
        return False
    sd = np.sqrt(np.diag(g)[live])
    values = np.linalg.eigvalsh(g[np.ix_(live, live)] / np.outer(sd, sd))
    return bool(values[0] <= RANK_TOLERANCE * values[-1])


def is_linear(structure: CovarianceStructure, theta: Floats, still: Bools) -> bool:
    """Whether the second derivatives of G are left out of Kenward-Roger's adjustment.

    M is linear in the variances and covariances of CS and UN, also if G is multiplied by a
    known matrix; not so with a variance pinned or a correlation held at a value other than 0,
    where the covariance follows the variances, nor with correlations tied of pairs whose
    variances are not.
    """
    if isinstance(structure, Kronecker):
        return is_linear(structure.structure, theta, still)
    family = structure.inner if isinstance(structure, Pinned) else structure
    if isinstance(family, Tied):
        linear = family.inner.code in LINEAR and _ties_covariances(family)
    else:
        linear = family.code in LINEAR
    if not linear or moves_within_rank(structure, theta):
        return linear
    components = zip(structure.components, structure.fixed, still, theta, strict=True)
    return not any(_follows(c.power, pinned, held, value) for c, pinned, held, value in components)


def _follows(power: int, pinned: bool, held: bool, value: float) -> bool:
    return bool(pinned) if power else bool(held and value != 0)


def _ties_covariances(tied: Tied) -> bool:
    """Whether equal correlations of UN belong to pairs of equal variances: equal covariances."""
    if tied.inner.code != "UN":
        return True
    q = tied.q
    pairs = np.sort(tied.group[np.column_stack(np.triu_indices(q, 1))], axis=1)
    rho = tied.group[q:]
    return all(len(np.unique(pairs[rho == g], axis=0)) == 1 for g in np.unique(rho))


def _symmetric_product(root: Floats, steps: Floats) -> Floats:
    half = np.einsum("qr,jsr->jqs", root, steps)
    return half + half.transpose(0, 2, 1)


def linear_terms(fit: Fit) -> Sequence[bool]:
    """`is_linear` of every term."""
    return [is_linear(*piece) for piece in _pieces(fit)]
