"""Batches that are the partitions of a Dask frame: pieces are made and kept by the workers.

What goes over the network at each evaluation is the matrices G_t on the way out and a few
kilobytes of sums for each partition on the way back.  Every task can be repeated: the scheduler
makes again what was lost with a worker.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from mvmeta.errors import DataError, EngineError
from mvmeta.marginal.batched import total
from mvmeta.model.batched.pieces import OnPieces, OnRows, Recipe
from mvmeta.model.batched.reading import Task
from mvmeta.model.batched.source import Kept, keep
from mvmeta.progress import Progress


class DaskFrames:
    """The partitions of a Dask frame.

    Parameters
    ----------
    frame : dask.dataframe.DataFrame
    client : distributed.Client, optional
        The one that is current unless given.

    Raises
    ------
    EngineError
        Without dask, pyarrow, a client, or workers.
    DataError
        If it is no Dask frame.
    """

    def __init__(self, frame: Any, client: Any = None) -> None:
        _require_packages()
        if not (hasattr(frame, "to_delayed") and hasattr(frame, "columns")):
            raise DataError(
                f"from_dask takes a Dask DataFrame, got {type(frame).__module__}."
                f"{type(frame).__qualname__}; frames in memory go to from_formula()"
            )
        self._frame = frame
        self._client = _current_client() if client is None else client
        self._check_client()
        if not self._client.nthreads():
            raise EngineError(
                "the Dask cluster has no workers; start some, or wait for them with "
                "client.wait_for_workers(1)"
            )
        self._parts: list[Any] | None = None

    def columns(self) -> list[Any]:
        return list(self._frame.columns)

    def shuffle(self, column: str) -> None:
        """Bring all rows with one value of a column into one partition."""
        if column not in self._frame.columns:
            at = self._frame.index.name == column
            raise DataError(
                f"the column {column!r}, by which studies are made whole, is not in the data"
                + ("; it is their index: pass ddf.reset_index()" if at else "")
            )
        self._frame = self._frame.shuffle(on=column)

    def map(self, task: Task) -> Iterator[Any]:
        parts = self._partitions()
        futures = [self._submit(task, number, part) for number, part in enumerate(parts)]
        return self.answers(futures)

    def rows(self, recipe: Recipe) -> "DaskRows":
        return DaskRows(self, recipe)

    def pieces(self, recipe: Recipe) -> "DaskPieces":
        return DaskPieces(self, recipe)

    def prepared(self, recipe: Recipe) -> list[Any]:
        """Futures of the pieces of every partition."""
        task = OnPieces(recipe, keep)
        out = [self._submit(task, number, part) for number, part in enumerate(self._partitions())]
        self._parts = None  # the scheduler knows how to make the partitions again
        return out

    def ask(self, question: Callable[[Any], Any], kept: list[Any]) -> Iterator[Any]:
        """Answers of all partitions."""
        return self.answers([self._submit(_ask, question, future) for future in kept])

    def answers(self, futures: list[Any]) -> Iterator[Any]:
        """Results in order; each is let go of once it is here."""
        with engine_errors(), Progress("partitions", len(futures)) as progress:
            for at, future in enumerate(futures):
                answer = future.result()
                futures[at] = None
                progress.step()
                yield answer

    def _partitions(self) -> list[Any]:
        self._check_client()
        if self._parts is None:
            with engine_errors():
                self._parts = self._client.compute(self._frame.to_delayed())
        return self._parts

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self._check_client()
        with engine_errors():
            key = f"mvmeta-{getattr(function, '__name__', type(function).__name__)}-{uuid4().hex}"
            return self._client.submit(function, *arguments, key=key)

    def _check_client(self) -> None:
        if self._client.status in ("closed", "closing"):
            raise EngineError(
                "the Dask client is closed: a model from from_dask() needs it as long as something "
                "is computed; open another one and build the model again"
            )
        if self._client.asynchronous:
            raise EngineError("from_dask() needs a client that waits: Client(asynchronous=False)")


class DaskRows:
    """`Rows` of every partition, made where the partition is."""

    def __init__(self, frames: DaskFrames, recipe: Recipe) -> None:
        self._frames, self._recipe = frames, recipe

    def map(self, question: Callable[[Any], Any]) -> Iterator[Any]:
        return self._frames.map(OnRows(self._recipe, question))


class DaskPieces:
    """Planned pieces, made once and kept where their partition was."""

    def __init__(self, frames: DaskFrames, recipe: Recipe) -> None:
        self._frames, self._recipe = frames, recipe
        self._kept: list[Any] | None = None

    def map(self, question: Callable[[Any], Any]) -> Iterator[Any]:
        if self._kept is None:
            self._kept = self._frames.prepared(self._recipe)
        return self._frames.ask(question, self._kept)


def _ask(question: Callable[[Any], Any], kept: Kept | None) -> Any:
    return None if kept is None else total(map(question, kept.pieces))


@contextmanager
def engine_errors() -> Iterator[None]:
    """What goes wrong on the cluster as an `EngineError` that says what to do."""
    from concurrent.futures import CancelledError

    from distributed import KilledWorker
    from distributed.comm.core import CommClosedError

    try:
        yield
    except KilledWorker as error:
        raise EngineError(
            "a task was given up after several workers died over it, most likely for lack of "
            "memory: use more and smaller partitions (ddf.repartition), or workers with more "
            f"memory ({error})"
        ) from error
    except (CancelledError, CommClosedError, TimeoutError) as error:
        raise EngineError(
            "the connection to the Dask scheduler was lost, and the work with it; open a client "
            "and build the model again"
        ) from error


def _require_packages() -> None:
    for name in ("dask.dataframe", "distributed", "pyarrow"):
        try:
            __import__(name)
        except ImportError as error:
            raise EngineError(
                f"from_dask() needs {name.partition('.')[0]} ({error}); pip install 'mvmeta[dask]'"
            ) from error


def _current_client() -> Any:
    from distributed import get_client

    try:
        return get_client()
    except ValueError:
        raise EngineError(
            "there is no Dask client; open one, client = dask.distributed.Client(), and pass it "
            "as client= or leave it open"
        ) from None
