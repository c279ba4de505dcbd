"""What the command line reads: tables and matrices from files, or from standard input.

Whatever is wrong with a file becomes a `DataError` that names it.  pandas is imported where it
is used.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvmeta.datasets.digits import exact_floats
from mvmeta.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {";": "';'", ",": "','", "\t": "$'\\t'"}
"""What may stand between the columns of a CSV, and how a shell is told."""

STANDARD_STREAM = "-"
"""A file of this name is standard input or output."""


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """The options that say how the CSV is written."""
    add = parser.add_argument_group("reading").add_argument
    add("--sep", help="separator of the CSV (default: comma, tab in *.tsv)")
    add("--decimal", default=".", help="decimal sign of the CSV (default: point)")


def read_data(path: str, sep: str | None, decimal: str) -> pd.DataFrame:
    """A table from a CSV or Parquet file.

    Rows are labelled 1, 2, ...: messages about rows then count as people do.
    """
    import pandas as pd

    if Path(path).suffix.lower() in {".parquet", ".pq"}:
        frame = _reading(path, pd.read_parquet)
    else:
        sep = sep or ("\t" if Path(path).suffix.lower() == ".tsv" else ",")
        frame = _reading(path, lambda source: _read_csv(source, sep, decimal))
        _check_separated(frame, path, sep)
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1))


def _read_csv(source: Any, sep: str, decimal: str) -> pd.DataFrame:
    """A CSV file whose rows are no longer than its header: else pandas would shift columns."""
    import pandas as pd

    exactly = exact_floats() if len(sep) == 1 else {}  # a longer one has another, exact parser
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Length of header", pd.errors.ParserWarning)
        try:
            return pd.read_csv(source, sep=sep, decimal=decimal, index_col=False, **exactly)
        except pd.errors.ParserWarning:
            raise DataError(
                "the rows have more fields than the header; name every column (in R, write with "
                "row.names = FALSE)"
            ) from None


def _check_separated(frame: pd.DataFrame, path: str, sep: str) -> None:
    """Refuse one column whose name has another separator in it: no analysis has one column."""
    name = str(frame.columns[0])
    others = [other for other in SEPARATORS if other != sep and other in name]
    if frame.shape[1] == 1 and others:
        raise DataError(
            f"{path} has one column only, {name!r}: its separator is not {sep!r}; try "
            f"--sep {SEPARATORS[others[0]]}"
        )


def read_matrix(path: str) -> Any:
    """A matrix of numbers from a CSV without labels."""
    import pandas as pd

    frame = _reading(path, lambda source: pd.read_csv(source, header=None, **exact_floats()))
    return _numeric(frame, path, "numbers only, one row and one column for each row of the data")


def read_labelled(path: str) -> pd.DataFrame:
    """A matrix from a CSV whose first row and first column hold the same labels."""
    import pandas as pd

    frame = _reading(path, lambda source: pd.read_csv(source, index_col=0, **exact_floats()))
    if [str(label) for label in frame.index] != list(frame.columns):
        raise DataError(
            f"{path}: the first row and the first column must hold the same labels, in the "
            "same order"
        )
    values = _numeric(frame, path, "numbers only, but for the labels")
    return pd.DataFrame(values, index=frame.index, columns=frame.index)


def _numeric(frame: pd.DataFrame, path: str, what: str) -> Any:
    try:
        return frame.to_numpy(dtype=float)
    except ValueError:
        raise DataError(f"{path} must hold {what}") from None


def _reading(path: str, read: Callable[[Any], pd.DataFrame]) -> pd.DataFrame:
    """Read a file; whatever is wrong with it becomes a DataError that names it."""
    try:
        return read(sys.stdin if path == STANDARD_STREAM else path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except ImportError as error:
        missing = f"cannot read {path}: Parquet needs pyarrow; pip install pyarrow, or use CSV"
        raise DataError(missing) from error
    except ValueError as error:
        empty = type(error).__name__ == "EmptyDataError"  # of pandas, which is not imported here
        raise DataError(
            f"cannot read {path}: {'there is nothing in it' if empty else error}"
        ) from error
