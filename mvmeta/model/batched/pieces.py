"""Batches cut into pieces of whole clusters, and what each piece is to the numerical core."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.columns import row_names
from mvmeta.design.layout import connected
from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.terms import RandomTerm
from mvmeta.errors import DataError
from mvmeta.marginal.base import Arranged, MarginalCovariance
from mvmeta.marginal.batched import total
from mvmeta.marginal.select import build_backend
from mvmeta.model.batched.keys import codes_of, key_columns
from mvmeta.model.batched.reading import Batch, Wanted, naming
from mvmeta.model.specification import rows as masks
from mvmeta.model.specification.formula import FormulaSpec
from mvmeta.model.specification.frames import Source
from mvmeta.model.specification.levels import factor
from mvmeta.model.specification.records import TermRecord
from mvmeta.model.specification.specs import TermSpec
from mvmeta.structures import CovarianceStructure

T = TypeVar("T")

PIECE_ROWS = 1 << 16
"""Rows of a piece, unless a cluster has more: enough to forget the overhead of a piece, few enough
for its arrays to be small beside the batch."""


@dataclass(frozen=True, eq=False)
class TermRecipe:
    """How rows of a batch get their levels of one random term."""

    spec: TermSpec
    record: TermRecord
    structure: CovarianceStructure

    def term(self, frame: pd.DataFrame) -> RandomTerm:
        """The term over the rows of a frame (n, ...)."""
        outer = factor([frame[c] for c in self.spec.outer.columns], self.spec.outer.separator)
        inner = z = None
        if self.record.design is not None:
            z = self.record.design.design(frame)
            _check_slopes(z, self.spec, frame.index)
        elif self.record.inner_levels is not None:
            inner = self.record.inner_codes(Source(frame))
            if (inner < 0).any():
                raise DataError(CHANGED)
        labels: Any = outer.levels
        return RandomTerm(self.spec.name, outer.codes, labels, self.structure, inner, z)


CHANGED = (
    "the data have a level that they did not have in the first pass: batches must yield the same "
    "frames at every call"
)


def _check_slopes(z: Floats, spec: TermSpec, index: pd.Index) -> None:
    lost = np.asarray(~np.isfinite(z).all(axis=1))
    if lost.any():
        raise DataError(
            f"the design {spec.left!r} of {spec.name!r} is missing or infinite in "
            f"{row_names(index, lost)}; correct or leave out these rows"
        )


@dataclass(frozen=True, eq=False)
class Rows:
    """Whole clusters of one batch.

    Attributes
    ----------
    batch : Batch
    positions : ndarray of int, shape (n,)
        Of the rows in the batch.
    problem : MetaProblem
        Theirs.
    n_lost : int
        Rows left out because a part of the formula is missing there.
    """

    batch: Batch
    positions: Ints
    problem: MetaProblem
    n_lost: int

    @property
    def index(self) -> pd.Index:
        """Labels of the rows."""
        return self.batch.frame.index[self.positions]


@dataclass(frozen=True, eq=False)
class Reduction:
    """How the rows of X become rows of Q, X = Q R, and y the residual of least squares.

    Attributes
    ----------
    roots : tuple of ndarray (p, p)
        Inverses of upper triangular matrices: Q = X roots[0] roots[1] ...
    coefficients : ndarray, shape (p,)
        Of Q.
    """

    roots: tuple[Floats, ...]
    coefficients: Floats

    def columns(self, problem: MetaProblem) -> Floats:
        """[Q e], shape (n, p + 1)."""
        q = problem.x
        for root in self.roots:
            q = q @ root
        return np.column_stack([q, problem.y - q @ self.coefficients])


@dataclass(frozen=True, eq=False)
class Piece:
    """Rows with their plan; see `marginal.batched.Piece`."""

    rows: Rows
    plan: MarginalCovariance
    columns: Arranged
    reduction: Reduction

    @property
    def orthonormal(self) -> Floats:
        """[Q e] in the order of the rows, (n, p + 1)."""
        return self.reduction.columns(self.rows.problem)


@dataclass(frozen=True, eq=False)
class Recipe:
    """How a batch becomes pieces; it pickles.

    Attributes
    ----------
    wanted : Wanted
    left, right : FormulaSpec
    terms : tuple of TermRecipe
    backend : str or None
    keep : ndarray of bool (p,) or None
        Columns of the design that are used; all of them unless said.
    reduction : Reduction or None
        Known after the second pass.
    whole : str or None
        A column whose values are kept together as well.
    """

    wanted: Wanted
    left: FormulaSpec
    right: FormulaSpec
    terms: tuple[TermRecipe, ...]
    backend: str | None = None
    keep: Bools | None = None
    reduction: Reduction | None = None
    whole: str | None = None

    @cached_property
    def endog_name(self) -> str:
        """Name of the response."""
        return self.left.column_names[0]

    def cut(self, batch: Batch) -> Iterator[Rows]:
        """Pieces of a batch; none where no row is usable."""
        with naming(batch.number):
            for positions in self._positions(batch):
                yield self._rows(batch, positions)

    def plan(self, rows: Rows) -> Piece:
        """A plan for a piece, [Q e] arranged for it."""
        assert self.reduction is not None
        plan = build_backend(rows.problem, self.backend)
        columns = plan.arrange(self.reduction.columns(rows.problem))
        return Piece(rows, plan, columns, self.reduction)

    def _positions(self, batch: Batch) -> Iterator[Ints]:
        n = len(batch.rows)
        if n <= PIECE_ROWS:
            if n:
                yield batch.rows
            return
        cluster = self._cluster(batch)
        order = None
        if (np.diff(cluster) < 0).any():
            order = np.argsort(cluster, kind="stable")
            cluster = cluster[order]
        ends = np.append(np.flatnonzero(np.diff(cluster)) + 1, n)
        start = 0
        while start < n:
            fit = np.searchsorted(ends, start + PIECE_ROWS, side="right") - 1
            stop = int(ends[fit])
            stop = stop if stop > start else int(ends[fit + 1])
            part = slice(start, stop)
            yield batch.rows[part] if order is None else np.sort(batch.rows[order[part]])
            start = stop

    def _cluster(self, batch: Batch) -> Ints:
        """Code of the cluster of each usable row, in order of appearance where there is one key."""
        frame, columns = batch.usable, key_columns(self.wanted.terms)
        if self.whole is not None:
            columns = [*columns, (self.whole,)]
        links = [codes_of(frame, key) for key in columns]
        v = batch.variance
        if v.matrix is not None or v.checked is not None:
            links.append(_linked(batch))
        if not links:
            return np.arange(len(frame))
        return links[0] if len(links) == 1 else connected(links)

    def _rows(self, batch: Batch, positions: Ints) -> Rows:
        frame = batch.frame.iloc[positions]
        y, x = self.left.design(frame)[:, 0], self.right.design(frame)
        bad = np.isnan(y) | np.isnan(x).any(axis=1)
        if bad.any():
            positions, y, x = positions[~bad], y[~bad], x[~bad]
            frame = batch.frame.iloc[positions]
        index = frame.index
        masks.check_finite(y, [self.endog_name], index)
        masks.check_finite(x, self.right.column_names, index)
        x = x if self.keep is None or self.keep.all() else x[:, self.keep]
        terms = tuple(t.term(frame) for t in self.terms)
        v = batch.variance.take(positions, index)
        return Rows(batch, positions, MetaProblem(y, x, v, terms), int(bad.sum()))


def _linked(batch: Batch) -> Ints:
    """Codes of the blocks of V, whose entries are checked later, piece by piece."""
    v = batch.variance
    if v.checked is not None:
        return v.checked.take(batch.rows).cluster
    matrix = v.matrix
    assert matrix is not None
    kept = (
        matrix[np.ix_(batch.rows, batch.rows)]
        if isinstance(matrix, np.ndarray)
        else (matrix[batch.rows][:, batch.rows])
    )
    return SamplingCovariance.from_matrix(kept).cluster


@dataclass(frozen=True, eq=False)
class OnRows:
    """The task that asks every piece of a batch, and adds the answers up; None without rows."""

    recipe: Recipe
    question: Callable[[Rows], Any]

    def __call__(self, number: int, data: Any) -> Any:
        batch = self.recipe.wanted.read(number, data)
        with naming(number):
            return total(self.question(r) for r in self.recipe.cut(batch) if len(r.positions))


@dataclass(frozen=True, eq=False)
class OnPieces:
    """The same for questions about planned pieces."""

    recipe: Recipe
    question: Callable[[Piece], Any]

    def __call__(self, number: int, data: Any) -> Any:
        return OnRows(self.recipe, self._ask)(number, data)

    def _ask(self, rows: Rows) -> Any:
        return self.question(self.recipe.plan(rows))
