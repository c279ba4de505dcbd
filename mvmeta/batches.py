"""Batches for `MetaMixedLM.from_batches`: Parquet row groups and CSV chunks.

>>> from mvmeta import MetaMixedLM, batches
>>> model = MetaMixedLM.from_batches(                             # doctest: +SKIP
...     "d ~ dose", batches.parquet("effects.parquet", whole="study"), variance="v", groups="study"
... )

pandas and pyarrow are imported where they are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvmeta.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CsvBatches", "ParquetBatches", "csv", "parquet"]

CHUNK_ROWS = 100_000
"""Rows of a chunk of a CSV file, unless said."""


def parquet(
    path: str | Path | Sequence[str | Path],
    columns: Sequence[str] | None = None,
    *,
    whole: str | None = None,
    rows: int | None = None,
) -> ParquetBatches:
    """Batches from Parquet files, one row group at a time.

    Parameters
    ----------
    path : str, Path or sequence of these
        A file, a pattern such as "effects-*.parquet", a folder of "*.parquet" files, or several
        of these; files are read in the order of their names, several paths in their own.
    columns : sequence of str, optional
        Columns to read; all of them unless said.
    whole : str, optional
        A column by which the rows are sorted, or at least grouped: the rows of one of its
        values that lie in several row groups are put into one batch.
    rows : int, optional
        Rows of a batch, where row groups are too large; whole row groups unless said.

    Returns
    -------
    ParquetBatches
        A function without arguments that returns a new iterator of DataFrames at every call.

    Raises
    ------
    DataError
        If there is no such file; when it is read, if it is no Parquet file, a column is not
        there, or pyarrow is not installed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from mvmeta import MetaMixedLM, batches, datasets
    >>> folder = TemporaryDirectory()
    >>> path = Path(folder.name) / "schools.parquet"
    >>> datasets.load("konstantopoulos2011").to_parquet(path, row_group_size=20)
    >>> rows = batches.parquet(path, whole="district")
    >>> [len(frame) for frame in rows()]
    [4, 15, 11, 3, 8, 11, 4]
    >>> model = MetaMixedLM.from_batches("yi ~ 1", rows, variance="vi", groups="district/school")
    >>> model.fit().params.round(4)
    Intercept    0.1847
    Name: estimate, dtype: float64
    >>> folder.cleanup()
    """
    return ParquetBatches(_files(path), None if columns is None else tuple(columns), whole, rows)


def csv(
    path: str | Path | Sequence[str | Path],
    chunksize: int = CHUNK_ROWS,
    *,
    whole: str | None = None,
    **options: Any,
) -> CsvBatches:
    """Batches from CSV files, some rows at a time.

    Parameters
    ----------
    path : str, Path or sequence of these
        As in `parquet`.
    chunksize : int
        Rows read at a time.
    whole : str, optional
        As in `parquet`.
    **options
        Of `pandas.read_csv`.  ``dtype=`` is worth its line: pandas guesses the types of each
        chunk by itself.

    Returns
    -------
    CsvBatches
        A function without arguments that returns a new iterator of DataFrames at every call.

    Raises
    ------
    DataError
        If there is no such file; when it is read, if it cannot be.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from mvmeta import MetaMixedLM, batches, datasets
    >>> folder = TemporaryDirectory()
    >>> path = Path(folder.name) / "schools.csv"
    >>> datasets.load("konstantopoulos2011").to_csv(path, index=False)
    >>> rows = batches.csv(path, chunksize=20, whole="district")
    >>> [len(frame) for frame in rows()]
    [4, 15, 11, 3, 8, 11, 4]
    >>> model = MetaMixedLM.from_batches("yi ~ 1", rows, variance="vi", groups="district/school")
    >>> model.fit().params.round(4)
    Intercept    0.1847
    Name: estimate, dtype: float64
    >>> folder.cleanup()
    """
    if chunksize < 1:
        raise DataError(f"chunksize must be at least 1, got {chunksize}")
    return CsvBatches(_files(path, "*.csv"), chunksize, whole, options)


@dataclass(frozen=True)
class ParquetBatches:
    """What `parquet` returns; calling it starts a pass.

    Parameters
    ----------
    files : tuple of Path
        Read in this order.
    columns : tuple of str or None
        Columns to read, all unless given.
    rows : int or None
        Largest number of rows of a batch.
    whole : str or None
        Column whose levels are kept in one batch.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from mvmeta import MetaMixedLM, batches, datasets
    >>> folder = TemporaryDirectory()
    >>> path = Path(folder.name) / "schools.parquet"
    >>> datasets.load("konstantopoulos2011").to_parquet(path, row_group_size=20)
    >>> rows = batches.parquet(path, columns=["district", "yi", "vi"])
    >>> next(iter(rows())).columns.tolist()
    ['district', 'yi', 'vi']
    >>> folder.cleanup()
    """

    files: tuple[str, ...]
    columns: tuple[str, ...] | None = None
    whole: str | None = None
    rows: int | None = None

    def __call__(self) -> Iterator[pd.DataFrame]:
        """Return a new iterator over the batches."""
        return _made_whole(self._frames(), self.whole)

    def _frames(self) -> Iterator[pd.DataFrame]:
        start = 0
        for name in self.files:
            with _open_parquet(name) as file:
                for table in self._tables(file, name):
                    # blocks of their own, freed column by column: pyarrow's copy goes first
                    frame = table.to_pandas(split_blocks=True, self_destruct=True)
                    del table
                    yield _numbered(frame, start)
                    start += len(frame)
                    del frame

    def _tables(self, file: Any, name: str) -> Iterator[Any]:
        present = file.schema_arrow.names
        for column in self.columns or ():
            if column not in present:
                raise DataError(
                    f"{name} has no column {column!r}; it has {', '.join(map(str, present))}"
                )
        wanted = None if self.columns is None else list(self.columns)
        if self.rows is not None:
            import pyarrow as pa

            for batch in file.iter_batches(self.rows, columns=wanted):
                yield pa.Table.from_batches([batch])
            return
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=wanted)


@dataclass(frozen=True)
class CsvBatches:
    """What `csv` returns; calling it starts a pass.

    Parameters
    ----------
    files : tuple of Path
        Read in this order.
    chunksize : int
        Lines read at a time.
    whole : str or None
        Column whose levels are kept in one batch.
    options : Mapping
        Passed to `pandas.read_csv`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from mvmeta import MetaMixedLM, batches, datasets
    >>> folder = TemporaryDirectory()
    >>> path = Path(folder.name) / "schools.csv"
    >>> datasets.load("konstantopoulos2011").to_csv(path, index=False)
    >>> rows = batches.csv(path, chunksize=20)
    >>> type(rows).__name__, sum(len(frame) for frame in rows())
    ('CsvBatches', 56)
    >>> folder.cleanup()
    """

    files: tuple[str, ...]
    chunksize: int = CHUNK_ROWS
    whole: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self) -> Iterator[pd.DataFrame]:
        """Return a new iterator over the batches."""
        return _made_whole(self._frames(), self.whole)

    def _frames(self) -> Iterator[pd.DataFrame]:
        import pandas as pd

        for name in self.files:
            try:
                with pd.read_csv(name, chunksize=self.chunksize, **self.options) as reader:
                    yield from reader
            except (OSError, ValueError) as error:
                raise DataError(f"cannot read {name}: {error}") from error


def _numbered(frame: pd.DataFrame, start: int) -> pd.DataFrame:
    """Rows without labels of their own numbered on from `start`."""
    import pandas as pd

    if isinstance(frame.index, pd.RangeIndex):
        frame.index = pd.RangeIndex(start, start + len(frame))
    return frame


def _open_parquet(name: str) -> Any:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise DataError(
            f"cannot read {name}: Parquet needs pyarrow; pip install pyarrow, or use CSV"
        ) from None
    try:
        return ParquetFile(name)
    except (OSError, ArrowException) as error:
        raise DataError(f"cannot read {name}: {error}") from error


def _files(path: Any, pattern: str = "*.parquet") -> tuple[str, ...]:
    paths = [path] if isinstance(path, str | Path) else list(path)
    out: list[str] = []
    for one in paths:
        at = Path(one)
        if at.is_dir():
            found = sorted(str(f) for f in at.glob(pattern))
        else:
            found = [str(at)] if at.is_file() else sorted(glob(str(one)))
        if not found:
            raise DataError(f"no file {str(one)!r}" + (f" ({pattern})" if at.is_dir() else ""))
        out += found
    if not out:
        raise DataError("path names no file")
    return tuple(out)


def _made_whole(frames: Iterable[pd.DataFrame], column: str | None) -> Iterator[pd.DataFrame]:
    """Frames in which each run of equal values of a column is in one frame.

    The runs in which a frame begins and ends wait for their neighbours, as small frames of their
    own: what is between them is never copied.
    """
    if column is None:
        yield from frames
        return
    run: list[pd.DataFrame] = []
    for frame in frames:
        _require(column, frame)
        if not len(frame):
            continue
        first, last = _ends(frame[column])
        if run and not _same(run[0][column].iloc[0], frame[column].iloc[0]):
            yield _joined(run)
            run = []
        run.append(frame.iloc[:first].copy())
        if first < len(frame):
            yield _joined(run)
            yield frame.iloc[first:last]
            run = [frame.iloc[last:].copy()]
    if run:
        yield _joined(run)


def _require(column: str, frame: pd.DataFrame) -> None:
    if column not in frame:
        raise DataError(
            f"whole={column!r} is no column of the data; they have "
            f"{', '.join(map(str, frame.columns))}"
        )


def _ends(values: pd.Series) -> tuple[int, int]:
    """Where the first run of equal values ends and where the last one starts."""
    changed = (values.ne(values.shift()) & (values.notna() | values.shift().notna())).to_numpy()
    starts = changed.nonzero()[0]
    starts = starts[starts > 0]
    return (int(starts[0]), int(starts[-1])) if len(starts) else (len(values), 0)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)  # noqa: PLR0124  (both missing)


def _joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    return frames[0] if len(frames) == 1 else pd.concat(frames)
