"""The oracle: M as one dense matrix, every verb by its definition."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from mvmeta._typing import Floats
from mvmeta.design.problem import MetaProblem
from mvmeta.marginal.base import Arranged, Direction, MarginalCovariance, MarginalFactor, Sums
from mvmeta.marginal.kernels import inverse_and_logdet, stack_sums


class DenseFactor(MarginalFactor):
    """inv(M) (n, n) in full."""

    def __init__(self, plan: "DenseMarginal", gs: Sequence[Floats]) -> None:
        self._plan = plan
        m = plan.problem.v.toarray()
        for t, g in enumerate(gs):
            m = m + plan.embed(t, g)
        inverse, self._logdet = inverse_and_logdet(m[None])
        self._inverse = inverse[0]

    def sums(
        self,
        a: Floats | Arranged,
        directions: Sequence[Direction] = (),
        extra: Sequence[Direction] = (),
        *,
        pairs: bool = True,
    ) -> Sums:
        a = a.data if isinstance(a, Arranged) else a
        ks = [self._plan.embed(d.term, d.matrix)[None] for d in directions]
        extras = [self._plan.embed(d.term, d.matrix)[None] for d in extra]
        return stack_sums(self._inverse[None], self._logdet, a[None], ks, extras, pairs)

    def solve(self, b: Floats) -> Floats:
        return self._inverse @ b

    def level_gram(self, term: int) -> Floats:
        t = self._plan.problem.terms[term]
        z = t.sparse_z()
        full = np.asarray(z.T @ (z.T @ self._inverse).T)
        blocks = full.reshape(t.n_levels, t.q, t.n_levels, t.q)
        index = np.arange(t.n_levels)
        return blocks[index, :, index, :]

    def inverse_diagonal(self) -> Floats:
        return np.diag(self._inverse).copy()


class DenseMarginal(MarginalCovariance):
    """For checking the others, and where one small cluster is all there is.

    Parameters
    ----------
    problem : MetaProblem
    """

    name = "dense"

    def __init__(self, problem: MetaProblem) -> None:
        self.problem = problem

    def embed(self, term: int, g: Floats) -> Floats:
        """Z_t (I (x) G) Z_t' as a dense (n, n) matrix."""
        t = self.problem.terms[term]
        z = t.sparse_z()
        middle = sparse.kron(sparse.eye_array(t.n_levels), sparse.csr_array(g))
        return np.asarray((z @ middle @ z.T).toarray())

    def factorize(self, gs: Sequence[Floats]) -> DenseFactor:
        return DenseFactor(self, gs)
