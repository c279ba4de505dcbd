"""One random term: which effect of which level each row carries."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import recode
from mvmeta.structures.base import CovarianceStructure


@dataclass(frozen=True, eq=False)
class Groups:
    """The grouping a user asked for, where its levels are correlated and stored as one level.

    Attributes
    ----------
    codes : ndarray of int, shape (n,)
        Code 0..S-1 of the group of each row.
    labels : sequence
        The S labels, in the order of the codes.
    """

    codes: Ints
    labels: Sequence[object]


@dataclass(frozen=True, eq=False)
class RandomTerm:
    """``Z_j u_j`` with u_j ~ N(0, I (x) G_j): q effects in each of L independent levels.

    Attributes
    ----------
    name : str
        As users see it: "study", "study/id", "outcome | study".
    level : ndarray of int, shape (n,)
        Code 0..L-1 of the (outer) level of each row.
    level_labels : sequence
        The L labels, in the order of the codes.
    structure : CovarianceStructure
        Gives G (q, q).
    inner : ndarray of int, shape (n,), or None
        Code 0..q-1 of the effect each row carries (rows of Z are unit vectors); None where
        `z` is given or q = 1.
    z : ndarray, shape (n, q), or None
        Rows of Z for terms with covariates (random slopes).
    correlated : Groups or None
        For effects with a known correlation over S groups: these.  They are one level, whose
        q effects belong to the groups in their order, q / S to each.
    """

    name: str
    level: Ints
    level_labels: Sequence[object]
    structure: CovarianceStructure
    inner: Ints | None = None
    z: Floats | None = None
    correlated: Groups | None = None

    @property
    def groups(self) -> Groups:
        """The grouping the user asked for: the levels, unless they are correlated groups."""
        return self.correlated or Groups(self.level, self.level_labels)

    @property
    def n_levels(self) -> int:
        """Number L of independent levels."""
        return len(self.level_labels)

    @cached_property
    def used(self) -> tuple[Ints, int]:
        """Codes 0..m-1 (n,) of the levels that rows have, and their number m."""
        return recode(self.level)

    @property
    def q(self) -> int:
        """Number of effects in a level."""
        return self.structure.q

    @property
    def is_scalar(self) -> bool:
        """True for a random intercept: one effect per level, loading 1."""
        return self.q == 1 and self.z is None

    def dense_z(self) -> Floats:
        """The within-level rows of Z, shape (n, q)."""
        if self.z is not None:
            return self.z
        if self.inner is None:
            return np.ones((len(self.level), 1))
        out = np.zeros((len(self.level), self.q))
        out[np.arange(len(self.level)), self.inner] = 1.0
        return out

    def sparse_z(self) -> sparse.csr_array:
        """Z in full, shape (n, L * q), columns level by level."""
        n = len(self.level)
        shape = (n, self.n_levels * self.q)
        if self.z is None:
            inner = 0 if self.inner is None else self.inner
            column = self.level * self.q + inner
            return sparse.csr_array((np.ones(n), column, np.arange(n + 1)), shape=shape)
        column = (self.level[:, None] * self.q + np.arange(self.q)).ravel()
        start = np.arange(n + 1) * self.q
        return sparse.csr_array((self.z.ravel().copy(), column, start), shape=shape)

    def take(self, rows: Ints) -> "RandomTerm":
        """The term on the given rows (integer positions), levels without rows left out."""
        kept, level = np.unique(self.level[rows], return_inverse=True)
        return replace(
            self,
            level=level.astype(np.intp),
            level_labels=tuple(self.level_labels[i] for i in kept.tolist()),
            inner=None if self.inner is None else self.inner[rows],
            z=None if self.z is None else self.z[rows],
            correlated=self.correlated
            and Groups(self.correlated.codes[rows], self.correlated.labels),
        )

    def project(self, b: Floats) -> Floats:
        """``Z' b`` for b (n, k), folded to shape (L, q, k)."""
        return np.asarray(self.sparse_z().T @ b).reshape(self.n_levels, self.q, b.shape[1])

    def lift(self, u: Floats) -> Floats:
        """``Z u`` for u (L, q, k), shape (n, k): the adjoint of `project`."""
        if self.z is not None:
            return np.einsum("nq,nqk->nk", self.z, u[self.level])
        return np.asarray(u[self.level, 0 if self.inner is None else self.inner])

    def lift_root(self, root: Floats, u: Floats) -> Floats:
        """``Z (I (x) R) u`` for R (q, r) and u (L, r, k), shape (n, k).

        Row by row where R has few columns: L q k numbers are many then.
        """
        if self.inner is None or self.z is not None or root.shape[1] == self.q:
            return self.lift(np.matmul(root, u))
        return np.einsum("nr,nrk->nk", root[self.inner], u[self.level])

    def marginal_variance(self, g: Floats) -> Floats:
        """diag(Z (I (x) G) Z'), shape (n,)."""
        if self.z is not None:
            return np.einsum("nq,qr,nr->n", self.z, g, self.z)
        d = g.diagonal()
        return np.asarray(
            d[np.zeros(len(self.level), dtype=int) if self.inner is None else self.inner]
        )

    def stack(self, rows: Ints, g: Floats) -> Floats:
        """Blocks of Z (I (x) G) Z' for groups of rows.

        Parameters
        ----------
        rows : ndarray of int, shape (b, m)
        g : ndarray, shape (q, q)
            G or a derivative of it.

        Returns
        -------
        ndarray, shape (b, m, m)
        """
        level = self.level[rows]
        same = level[:, :, None] == level[:, None, :]
        if self.z is not None:
            z = self.z[rows]
            return np.where(same, z @ g @ z.transpose(0, 2, 1), 0.0)
        if self.inner is None:
            return np.where(same, g[0, 0], 0.0)
        inner = self.inner[rows]
        return np.where(same, g[inner[:, :, None], inner[:, None, :]], 0.0)
