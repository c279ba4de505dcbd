"""Where the batches are: read again at every pass."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from mvmeta.errors import DataError
from mvmeta.marginal.batched import total
from mvmeta.model.batched.pieces import OnPieces, OnRows, Piece, Recipe
from mvmeta.model.batched.reading import Task
from mvmeta.model.specification.frames import Source
from mvmeta.progress import Progress


class Frames(Protocol):
    """All batches, as the user's data has them."""

    def columns(self) -> list[Any]:
        """Names of the columns, from the first batch."""
        ...

    def map(self, task: Task) -> Iterator[Any]:
        """What the task makes of each batch, in their order."""
        ...

    def rows(self, recipe: Recipe) -> Any:
        """Source of `Rows` under a recipe without a reduction."""
        ...

    def pieces(self, recipe: Recipe) -> Any:
        """Source of planned pieces."""
        ...


class ReadFrames:
    """Batches that a function of the user yields, one after the other, at every pass.

    Parameters
    ----------
    batches : callable, or re-iterable
        ``batches()`` returns a new iterator of frames.

    Raises
    ------
    DataError
        For an iterator, which would be exhausted after the first pass, or the name of a file.
    """

    def __init__(self, batches: Callable[[], Iterable[Any]] | Iterable[Any]) -> None:
        if not callable(batches) and (
            isinstance(batches, (Iterator, str)) or not hasattr(batches, "__iter__")
        ):
            raise DataError(
                "batches must be a function that returns a new iterator of frames at every call "
                f"(a fit goes through the data several times), got {type(batches).__name__}; "
                "write batches=lambda: pandas.read_csv('effects.csv', chunksize=100_000), or use "
                "mvmeta.batches.csv or mvmeta.batches.parquet"
            )
        if hasattr(batches, "columns") and hasattr(batches, "shape"):
            raise DataError(
                "batches is a frame, which fits into memory as it is: use from_formula(data=...)"
            )
        self._batches = batches
        self._sizes: list[int] | None = None

    def columns(self) -> list[Any]:
        for data in self._open():
            return Source(data).columns
        raise DataError("batches() yields no frame at all")

    def map(self, task: Task) -> Iterator[Any]:
        sizes: list[int] = []
        frames = self._open()
        known = None if self._sizes is None else len(self._sizes)
        with Progress("batches", known) as progress:
            while (data := next(frames, None)) is not None:
                sizes.append(len(data))
                self._check_size(sizes)
                answer = task(len(sizes) - 1, data)
                del data  # before the next batch is read: one at a time is in memory
                progress.step()
                yield answer
        self._check_end(sizes)

    def rows(self, recipe: Recipe) -> "RowSource":
        return RowSource(self, recipe)

    def pieces(self, recipe: Recipe) -> "ReadSource":
        return ReadSource(self, recipe)

    @property
    def n_rows(self) -> int:
        """Rows of all batches, known after the first pass."""
        return sum(self._sizes or [])

    def _open(self) -> Iterator[Any]:
        made = self._batches() if callable(self._batches) else self._batches
        try:
            return iter(made)
        except TypeError:
            raise DataError(
                f"batches() must return an iterator of frames, got {type(made).__name__}"
            ) from None

    def _check_size(self, sizes: list[int]) -> None:
        at = len(sizes) - 1
        if self._sizes is None or (at < len(self._sizes) and self._sizes[at] == sizes[at]):
            return
        before = f"{self._sizes[at]} rows" if at < len(self._sizes) else "not there"
        raise DataError(
            f"batch {at} has {sizes[at]} rows, but was {before} in the first pass: {SAME}"
        )

    def _check_end(self, sizes: list[int]) -> None:
        if self._sizes is None:
            self._sizes = sizes
        elif len(sizes) < len(self._sizes):
            raise DataError(
                f"batches() yields {len(sizes)} frames, in the first pass it was "
                f"{len(self._sizes)}: {SAME}"
            )


SAME = (
    "batches() must return a new iterator over the same frames at every call, not one that is "
    "used up"
)


class ReadSource:
    """Pieces that are made again at every pass, or kept where there are only a few rows.

    Parameters
    ----------
    frames : ReadFrames
    recipe : Recipe
    """

    def __init__(self, frames: ReadFrames, recipe: Recipe) -> None:
        self._frames, self._recipe = frames, recipe
        self._kept: list[Kept | None] | None = None

    def map(self, question: Callable[[Any], Any]) -> Iterator[Any]:
        if self._frames.n_rows > KEEP_ROWS:
            return self._frames.map(OnPieces(self._recipe, question))
        if self._kept is None:
            self._kept = list(self._frames.map(OnPieces(self._recipe, keep)))
        return (None if k is None else total(map(question, k.pieces)) for k in self._kept)


KEEP_ROWS = 1 << 16
"""Rows up to which the pieces are kept: less than 20 MB, and small data take many evaluations."""


@dataclass(frozen=True)
class Kept:
    """Pieces of a batch; `+` appends."""

    pieces: tuple[Piece, ...]

    def __add__(self, other: "Kept") -> "Kept":
        return Kept(self.pieces + other.pieces)


def keep(piece: Piece) -> Kept:
    """The question for the piece itself."""
    return Kept((piece,))


class RowSource:
    """`Rows` of every batch."""

    def __init__(self, frames: ReadFrames, recipe: Recipe) -> None:
        self._frames, self._recipe = frames, recipe

    def map(self, question: Callable[[Any], Any]) -> Iterator[Any]:
        return self._frames.map(OnRows(self._recipe, question))
