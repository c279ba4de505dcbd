"""The known sampling covariance V: diagonal or block-sparse, validated, never densified."""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from mvmeta._typing import Floats, Ints
from mvmeta.design.description import correlation_range, describe
from mvmeta.design.layout import size_classes
from mvmeta.design.provenance import Provenance, Repair
from mvmeta.design.sparse_blocks import fill_blocks, from_square_blocks, kept_entries
from mvmeta.design.valid_v import (
    DEFINITE_TOLERANCE,
    check_definite,
    check_variances,
    clearly_definite,
    name_entry,
    squared_pivots,
    symmetrised,
)
from mvmeta.errors import CovarianceError, DataError, SpecificationError


@dataclass(frozen=True, eq=False)
class SamplingCovariance:
    """Known covariance of the sampling errors of n estimates.

    Build one with `from_variances`, `from_matrix` or `from_blocks`, which check what they are
    given, or with `vcalc`, `varms` and their kin, which know the studies as well.  Row labels,
    where passed, are used in error messages only.  ``print`` tells what is in it.

    Attributes
    ----------
    variances : ndarray, shape (n,)
        The diagonal of V, in squared units of the estimates.
    covariances : scipy.sparse.csr_array or None
        The off-diagonal part, shape (n, n), in squared units of the estimates, explicit zeros
        removed; None where V is diagonal.
    provenance : Provenance or None
        The call that made it, the study of each row, and what was repaired; None where it was
        built from numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from mvmeta import SamplingCovariance
    >>> v = SamplingCovariance.from_blocks([[[0.2, 0.1], [0.1, 0.3]], [[0.4]]])
    >>> v.toarray()
    array([[0.2, 0.1, 0. ],
           [0.1, 0.3, 0. ],
           [0. , 0. , 0.4]])
    """

    variances: Floats
    covariances: sparse.csr_array | None = None
    provenance: Provenance | None = None

    @classmethod
    def from_variances(
        cls, variances: Floats, rows: Sequence[object] | None = None, *, copy: bool = True
    ) -> "SamplingCovariance":
        """V = diag(variances).

        Parameters
        ----------
        variances : ndarray, shape (n,)
            In squared units of the estimates; non-negative and finite, 0 is legal as long as M
            turns out positive definite.
        rows : sequence, optional
            Names of the rows for error messages.
        copy : bool
            Whether floats are copied; without that nobody may change them afterwards.

        Returns
        -------
        SamplingCovariance

        Raises
        ------
        CovarianceError
            For a negative or non-finite variance; names the rows.

        Examples
        --------
        >>> from mvmeta import SamplingCovariance
        >>> SamplingCovariance.from_variances([0.2, 0.3]).toarray()
        array([[0.2, 0. ],
               [0. , 0.3]])
        """
        v = np.array(variances, dtype=float, copy=copy or None)
        check_variances(v, rows)
        return cls(v)

    @classmethod
    def from_matrix(cls, matrix: Any, rows: Sequence[object] | None = None) -> "SamplingCovariance":
        """V from a full symmetric matrix, dense or scipy sparse.

        Parameters
        ----------
        matrix : ndarray or sparse, shape (n, n)
            V, in squared units of the estimates.
        rows : sequence, optional
            Names of the rows for error messages.

        Returns
        -------
        SamplingCovariance
            Without the zeros of the matrix, explicit ones included.

        Raises
        ------
        CovarianceError
            If it is not square, finite, symmetric or positive semi-definite; says where.

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import SamplingCovariance
        >>> v = SamplingCovariance.from_matrix(np.array([[0.2, 0.1], [0.1, 0.3]]))
        >>> v.cluster
        array([0, 0])
        """
        if len(matrix.shape) != 2 or matrix.shape[0] != matrix.shape[1]:
            raise CovarianceError(
                "V must be a vector of n variances or a square (n, n) matrix, got shape "
                f"{matrix.shape}"
            )
        v: sparse.csr_array = sparse.csr_array(matrix, dtype=np.float64)
        if not v.has_canonical_format:
            v = v.copy()
            v.sum_duplicates()
        row: Ints = np.repeat(np.arange(v.shape[0]), np.diff(v.indptr))
        bad = ~np.isfinite(v.data)
        if bad.any():
            first = np.flatnonzero(bad)[0]
            where = name_entry(int(row[first]), int(v.indices[first]), rows)
            raise CovarianceError(
                f"V has {bad.sum()} missing or infinite entries, the first in {where}: give it a "
                "number (0 where the errors are independent), or leave these rows out"
            )
        variances = np.zeros(v.shape[0])
        diagonal = row == v.indices
        variances[row[diagonal]] = v.data[diagonal]
        check_variances(variances, rows)
        off = kept_entries(v, row, ~diagonal & (v.data != 0))
        if off.nnz == 0:
            return cls(variances)
        out = cls(variances, symmetrised(off, variances, rows))
        check_definite(out._pivots[1], rows)
        return out

    @classmethod
    def from_blocks(
        cls, blocks: Sequence[Floats], rows: Sequence[object] | None = None
    ) -> "SamplingCovariance":
        """Block-diagonal V from square blocks (or scalars) in row order.

        Parameters
        ----------
        blocks : sequence of array_like, each (m, m), or a scalar for m = 1
            The parts of V, in squared units of the estimates.
        rows : sequence, optional
            Names of the rows for error messages.

        Returns
        -------
        SamplingCovariance
            Of as many rows as the blocks have together, in their order.

        Raises
        ------
        CovarianceError
            If a block is not square; else as `from_matrix`.

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import SamplingCovariance
        >>> v = SamplingCovariance.from_blocks([[[0.2, 0.1], [0.1, 0.3]], [[0.4]]])
        >>> v.n, v.is_diagonal
        (3, False)
        """
        square = [np.atleast_2d(np.asarray(b, dtype=float)) for b in blocks]
        for i, b in enumerate(square):
            if b.ndim != 2 or b.shape[0] != b.shape[1]:
                raise CovarianceError(f"block {i} of V must be square, got shape {b.shape}")
        return cls.from_matrix(from_square_blocks(square), rows)

    def __repr__(self) -> str:
        if self.covariances is None:
            return f"SamplingCovariance({self.n} rows, diagonal)"
        sizes = np.bincount(self.cluster)
        low, high = (f"{r:.4g}" for r in correlation_range(self))
        return (
            f"SamplingCovariance({self.n} rows, {len(sizes)} block{'s' * (len(sizes) > 1)}, "
            f"largest {sizes.max()}, correlations {low if low == high else f'{low} to {high}'})"
        )

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.summary())}</pre>"

    def summary(self) -> str:
        """What is in V, as text: studies, blocks, correlations, and how it was made.

        Returns
        -------
        str

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import SamplingCovariance
        >>> v = SamplingCovariance.from_blocks([[[0.2, 0.1], [0.1, 0.3]], [[0.4]]])
        >>> print(v.summary())
        Covariance of the sampling errors of 3 effects
          variances     0.2 to 0.4
          correlations  0.4082, of 1 pair of effects
          blocks        2, the largest of 2 effects
        """
        return describe(self)

    @property
    def repairs(self) -> tuple[Repair, ...]:
        """Correlations that were replaced for V to be positive definite, on request only.

        ``pandas.DataFrame(V.repairs)`` is a table of them.

        Examples
        --------
        >>> import warnings
        >>> import pandas as pd
        >>> from mvmeta import vcalc
        >>> data = pd.DataFrame({"study": ["Ito"] * 3, "vi": [0.1, 0.2, 0.1], "obs": [1, 2, 3]})
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     V = vcalc("vi", "study", obs="obs", rho=-0.6, data=data, nearpd=True)
        >>> len(V.repairs), V.repairs[0].before, round(V.repairs[0].after, 3)
        (3, -0.6, -0.5)
        """
        return () if self.provenance is None else self.provenance.repairs

    def block(self, study: object) -> Floats:
        """V of the effects of one study, in the order of the rows.

        Parameters
        ----------
        study : object
            Its label in the column of clusters.

        Returns
        -------
        ndarray, shape (m, m)
            In squared units of the estimates.

        Raises
        ------
        SpecificationError
            If V does not know its studies (it was not made by `vcalc` or its kin).
        DataError
            If there is no such study.

        Examples
        --------
        >>> from mvmeta import datasets, vcalc
        >>> data = datasets.load("berkey1998")
        >>> v = vcalc("vi", "trial", obs="outcome", rho=0.4, data=data)
        >>> v.block(1).round(4)
        array([[0.0075, 0.003 ],
               [0.003 , 0.0077]])
        """
        if self.provenance is None:
            raise SpecificationError(
                "this V was built from numbers and does not know which study a row belongs to; "
                "use stack() with the rows, or blocks"
            )
        labels = [str(label) for label in self.provenance.labels]
        if str(study) not in labels:
            raise DataError(f"V has no study {study!r}; it has {', '.join(labels[:20])}")
        rows = np.flatnonzero(self.provenance.study == labels.index(str(study)))
        return np.asarray(self.stack(rows[None])[0])

    @property
    def n(self) -> int:
        """Number of rows.

        Examples
        --------
        >>> from mvmeta import SamplingCovariance
        >>> V = SamplingCovariance.from_blocks([[[1.0, 0.5], [0.5, 1.0]], 2.0])
        >>> V.n
        3
        """
        return len(self.variances)

    @property
    def is_diagonal(self) -> bool:
        """True where no two sampling errors are correlated.

        Examples
        --------
        >>> from mvmeta import SamplingCovariance
        >>> V = SamplingCovariance.from_blocks([[[1.0, 0.5], [0.5, 1.0]], 2.0])
        >>> V.is_diagonal
        False
        """
        return self.covariances is None

    @cached_property
    def cluster(self) -> Ints:
        """Code (n,) of the connected block each row belongs to, in order of first appearance.

        Examples
        --------
        >>> from mvmeta import SamplingCovariance
        >>> V = SamplingCovariance.from_blocks([[[1.0, 0.5], [0.5, 1.0]], 2.0])
        >>> V.cluster
        array([0, 0, 1])
        """
        if self.covariances is None:
            return np.arange(self.n)
        return connected_components(self.covariances, directed=False)[1].astype(np.intp)

    def take(self, rows: Ints) -> "SamplingCovariance":
        """V of the given rows (integer positions), in the given order.

        Parameters
        ----------
        rows : ndarray of int, shape (m,)
            Positions, each at most once.

        Returns
        -------
        SamplingCovariance
            Of the m rows, in the order given.

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import SamplingCovariance
        >>> v = SamplingCovariance.from_blocks([[[0.2, 0.1], [0.1, 0.3]], [[0.4]]])
        >>> v.take(np.array([2, 0])).toarray()
        array([[0.4, 0. ],
               [0. , 0.2]])
        """
        if len(rows) == self.n and (rows == np.arange(self.n)).all():
            return self
        v = self.variances[rows]
        made = None if self.provenance is None else self.provenance.take(rows)
        if self.covariances is None:
            return SamplingCovariance(v, None, made)
        off = self.covariances[rows][:, rows].tocsr()
        return SamplingCovariance(v, off if off.nnz else None, made)

    def scaled(self, factor: float) -> "SamplingCovariance":
        """``factor * V``.

        Parameters
        ----------
        factor : float
            Positive, without unit; the square of what a change of unit multiplies the estimates by.

        Returns
        -------
        SamplingCovariance

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import SamplingCovariance
        >>> v = SamplingCovariance.from_blocks([[[0.2, 0.1], [0.1, 0.3]], [[0.4]]])
        >>> v.scaled(10.0).toarray()
        array([[2., 1., 0.],
               [1., 3., 0.],
               [0., 0., 4.]])
        """
        off = None if self.covariances is None else self.covariances * factor
        return SamplingCovariance(self.variances * factor, off, self.provenance)

    def multiply(self, b: Floats) -> Floats:
        """``V @ b`` for b (n, k).

        Parameters
        ----------
        b : ndarray, shape (n, k)
            Columns to multiply, each in a unit of its own.

        Returns
        -------
        ndarray, shape (n, k)
            In the unit of `b` times squared units of the estimates.

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import SamplingCovariance
        >>> v = SamplingCovariance.from_blocks([[[0.2, 0.1], [0.1, 0.3]], [[0.4]]])
        >>> v.multiply(np.ones((3, 1))).ravel()
        array([0.3, 0.4, 0.4])
        """
        out = self.variances[:, None] * b
        return out if self.covariances is None else out + self.covariances @ b

    def solve(self, b: Floats) -> Floats:
        """``inv(V) @ b`` for b (n, k).

        Parameters
        ----------
        b : ndarray, shape (n, k)
            Right-hand sides, each in a unit of its own.

        Returns
        -------
        ndarray, shape (n, k)
            In the unit of `b` over squared units of the estimates.

        Raises
        ------
        CovarianceError
            If V is singular.

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import SamplingCovariance
        >>> v = SamplingCovariance.from_blocks([[[0.2, 0.1], [0.1, 0.3]], [[0.4]]])
        >>> v.solve(np.ones((3, 1))).ravel().round(3)
        array([4. , 2. , 2.5])
        """
        self._refuse_singular()
        out = b / self.variances[:, None]
        for rows, stack in self._blocks():
            out[rows] = np.linalg.solve(stack, b[rows])
        return np.asarray(out)

    def logdet(self) -> float:
        """log|V|; raises CovarianceError if V is singular.

        Returns
        -------
        float
            Logarithm of a determinant in squared units of the estimates: another unit adds a
            constant.

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import SamplingCovariance
        >>> v = SamplingCovariance.from_blocks([[[0.2, 0.1], [0.1, 0.3]], [[0.4]]])
        >>> round(v.logdet(), 4)
        -3.912
        """
        self._refuse_singular()
        return float(self._pivots[0].sum())

    def _refuse_singular(self) -> None:
        if self.is_singular:
            raise CovarianceError(
                "V is singular (a variance of 0 or rows that determine each other), so it has no "
                "inverse; statistics of the model without random effects are not defined"
            )

    def stack(self, rows: Ints) -> Floats:
        """Dense blocks of V for disjoint groups of rows.

        Parameters
        ----------
        rows : ndarray of int, shape (b, m)
            Row b of it lists the m rows of one group.

        Returns
        -------
        ndarray, shape (b, m, m)
            In squared units of the estimates.

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import SamplingCovariance
        >>> v = SamplingCovariance.from_blocks([[[0.2, 0.1], [0.1, 0.3]], [[0.4]]])
        >>> v.stack(np.array([[0, 1]])).shape
        (1, 2, 2)
        """
        return self.stacks([rows])[0]

    def stacks(self, groups: Sequence[Ints]) -> list[Floats]:
        """`stack` for several classes of disjoint groups, in one sweep over V.

        Parameters
        ----------
        groups : sequence of ndarray of int, each of shape (b, m)
            One array for each class of groups of equal size.

        Returns
        -------
        list of ndarray, each of shape (b, m, m)
            In squared units of the estimates.

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import SamplingCovariance
        >>> v = SamplingCovariance.from_blocks([[[0.2, 0.1], [0.1, 0.3]], [[0.4]]])
        >>> [block.shape for block in v.stacks([np.array([[0, 1]]), np.array([[2]])])]
        [(1, 2, 2), (1, 1, 1)]
        """
        out = []
        group = np.full(self.n, -1)
        position = np.zeros(self.n, dtype=np.intp)
        count = 0
        for rows in groups:
            b, m = rows.shape
            block, index = np.zeros((b, m, m)), np.arange(m)
            block[:, index, index] = self.variances[rows]
            out.append(block)
            if self.covariances is not None and m > 1:
                group[rows] = count + np.arange(b)[:, None]
                position[rows] = index
                count += b
                fill_blocks(block, rows, self.covariances, group, position)
        return out

    def tosparse(self) -> sparse.csr_array:
        """V as a scipy sparse matrix, shape (n, n).

        Returns
        -------
        scipy.sparse.csr_array, shape (n, n)
            In squared units of the estimates.

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import SamplingCovariance
        >>> v = SamplingCovariance.from_blocks([[[0.2, 0.1], [0.1, 0.3]], [[0.4]]])
        >>> v.tosparse().nnz
        5
        """
        diagonal = sparse.diags_array(self.variances).tocsr()
        return diagonal if self.covariances is None else (diagonal + self.covariances).tocsr()

    def toarray(self) -> Floats:
        """V as a dense matrix, shape (n, n): for small n and for looking at.

        Returns
        -------
        ndarray, shape (n, n)
            In squared units of the estimates.

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import SamplingCovariance
        >>> v = SamplingCovariance.from_blocks([[[0.2, 0.1], [0.1, 0.3]], [[0.4]]])
        >>> v.toarray()
        array([[0.2, 0.1, 0. ],
               [0.1, 0.3, 0. ],
               [0. , 0. , 0.4]])
        """
        return np.asarray(self.tosparse().toarray())

    def _blocks(self) -> Iterator[tuple[Ints, Floats]]:
        """Groups of equal size: (rows (b, m), stack (b, m, m)), single rows left out."""
        if self.covariances is None:
            return
        classes = [rows for rows in size_classes(self.cluster) if rows.shape[1] > 1]
        yield from zip(classes, self.stacks(classes), strict=True)

    @property
    def blocks(self) -> list[Floats]:
        """The connected blocks of V, each (m, m), in order of their first row.

        In squared units of the estimates.

        Examples
        --------
        >>> from mvmeta import SamplingCovariance
        >>> V = SamplingCovariance.from_blocks([[[1.0, 0.5], [0.5, 1.0]], 2.0])
        >>> V.blocks
        [array([[1. , 0.5],
               [0.5, 1. ]]), array([[2.]])]
        """
        classes = size_classes(self.cluster)
        pairs = [
            (int(rows[0]), block)
            for members, stack in zip(classes, self.stacks(classes), strict=True)
            for rows, block in zip(members, stack, strict=True)
        ]
        return [block for _, block in sorted(pairs, key=lambda pair: pair[0])]

    @cached_property
    def _pivots(self) -> tuple[Floats, list[tuple[Ints, Floats]]]:
        """One factorisation of every block, for all that is asked of V by itself.

        Returns
        -------
        logs : ndarray, shape (n,)
            Logarithms of squared pivots, which add up to log|V| where V is not singular.
        doubtful : list of (rows (b, m), eigenvalues (b, m))
            Blocks that may be singular, or worse.
        """
        logs = np.log(self.variances, out=np.full(self.n, -np.inf), where=self.variances > 0)
        doubtful: list[tuple[Ints, Floats]] = []
        for rows, stack in self._blocks():
            pivots = squared_pivots(stack)
            logs[rows] = np.log(pivots)
            unclear = ~clearly_definite(stack, pivots)
            if unclear.any():
                values: Floats = np.linalg.eigvalsh(stack[unclear]).astype(float, copy=False)
                doubtful.append((rows[unclear], values))
        return logs, doubtful

    @cached_property
    def singular_rows(self) -> Ints:
        """Rows of the blocks that are only semi-definite (a zero variance or eigenvalue).

        Examples
        --------
        >>> from mvmeta import SamplingCovariance
        >>> SamplingCovariance.from_blocks([[[1.0, 1.0], [1.0, 1.0]], 2.0]).singular_rows
        array([0, 1])
        """
        bad = self.variances <= 0
        for rows, values in self._pivots[1]:
            bad[rows[values[:, 0] <= DEFINITE_TOLERANCE * values[:, -1]]] = True
        return np.flatnonzero(bad)

    @property
    def is_singular(self) -> bool:
        """True where V is only positive semi-definite (some zero variance or eigenvalue).

        Examples
        --------
        >>> from mvmeta import SamplingCovariance
        >>> V = SamplingCovariance.from_blocks([[[1.0, 0.5], [0.5, 1.0]], 2.0])
        >>> V.is_singular
        False
        """
        return len(self.singular_rows) > 0

    def lifted(self, rows: Ints, size: float) -> "SamplingCovariance":
        """V with `size` added to the variances of some rows.

        Parameters
        ----------
        rows : ndarray of int, shape (m,)
            Positions.
        size : float
            What is added to their variances, in squared units of the estimates.

        Returns
        -------
        SamplingCovariance

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import SamplingCovariance
        >>> v = SamplingCovariance.from_blocks([[[0.2, 0.1], [0.1, 0.3]], [[0.4]]])
        >>> v.lifted(np.array([0, 2]), 1.0).toarray()
        array([[1.2, 0.1, 0. ],
               [0.1, 0.3, 0. ],
               [0. , 0. , 1.4]])
        """
        variances = self.variances.copy()
        variances[rows] += size
        return SamplingCovariance(variances, self.covariances, self.provenance)
