"""M over rows that come in batches: every statistic is the sum of those of the pieces.

A piece is a set of whole independent clusters with a plan of its own, made by any of the other
backends.  Where the pieces live, read again at every pass or kept by workers, is their source's
business.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from mvmeta._typing import Floats
from mvmeta.design.batched import NOT_HELD, BatchedProblem
from mvmeta.errors import DataError
from mvmeta.marginal.base import (
    Arranged,
    Direction,
    LeastSquares,
    MarginalCovariance,
    MarginalFactor,
    Sums,
)

T = TypeVar("T")


class Detached:
    """The source of a model that was saved and loaded."""

    def map(self, question: Callable[[Any], T]) -> Iterator[T]:
        """Refuse: there are no pieces.

        Raises
        ------
        DataError
            Always.
        """
        raise DataError(
            "a saved model has left its batches behind: predictions, tests and tables remain, but "
            "to go through its rows build it again with from_batches() or from_dask()"
        )


class Piece(Protocol):
    """Whole clusters of rows.

    Attributes
    ----------
    plan : MarginalCovariance
        Of the problem of these rows.
    columns : Arranged
        [Q e] of these rows, Q and e being those of all rows.
    """

    @property
    def plan(self) -> MarginalCovariance: ...
    @property
    def columns(self) -> Arranged: ...


class PieceSource(Protocol):
    """Where the pieces are."""

    def map(self, question: Callable[[Any], T]) -> Iterator[T]:
        """Answers of all pieces to a question, which pickles, in the order of the data."""
        ...


def total(answers: Iterable[Any]) -> Any:
    """Sum of answers that know `+`; None, which a batch without rows answers, adds nothing."""
    out = None
    for answer in answers:
        out = answer if out is None else out if answer is None else out + answer
    return out


@dataclass(frozen=True, eq=False)
class SumsOf:
    """The question for `Sums` at matrices G_t: it goes to where the pieces are."""

    gs: Sequence[Floats]
    directions: Sequence[Direction]
    extra: Sequence[Direction]
    pairs: bool

    def __call__(self, piece: Piece) -> Sums:
        factor = piece.plan.factorize(self.gs)
        return factor.sums(piece.columns, self.directions, self.extra, pairs=self.pairs)


class BatchedMarginal(MarginalCovariance):
    """A sum over pieces.

    Parameters
    ----------
    problem : BatchedProblem
    source : PieceSource
    r, coefficients, residual_ss
        As in `LeastSquares`, over all rows.
    """

    name = "batched"

    def __init__(
        self,
        problem: BatchedProblem,
        source: PieceSource,
        r: Floats,
        coefficients: Floats,
        residual_ss: float,
    ) -> None:
        self.problem, self.source = problem, source
        # the columns themselves are with the pieces
        self.least_squares = LeastSquares(r, coefficients, residual_ss, Arranged(NOT_HELD))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "source": Detached()}

    def arrange(self, a: Floats) -> Arranged:
        return Arranged(NOT_HELD[...])

    def factorize(self, gs: Sequence[Floats]) -> "BatchedFactor":
        return BatchedFactor(self, [np.asarray(g) for g in gs])


class BatchedFactor(MarginalFactor):
    """The matrices G_t; pieces are factored when they are asked."""

    def __init__(self, plan: BatchedMarginal, gs: Sequence[Floats]) -> None:
        self.plan, self.gs = plan, gs

    def sums(
        self,
        a: Floats | Arranged,
        directions: Sequence[Direction] = (),
        extra: Sequence[Direction] = (),
        *,
        pairs: bool = True,
    ) -> Sums:
        question = SumsOf(self.gs, directions, extra, pairs)
        return total(self.plan.source.map(question))

    def solve(self, b: Floats) -> Floats:
        return NOT_HELD[...]

    def level_gram(self, term: int) -> Floats:
        return NOT_HELD[...]

    def inverse_diagonal(self) -> Floats:
        return NOT_HELD[...]
