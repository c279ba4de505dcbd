"""Frames of every library as one kind: what narwhals reads, in memory."""

from typing import Any

from mvmeta.errors import DataError


def in_memory(data: Any) -> Any:
    """A frame as narwhals sees it; a DuckDB relation is carried out.

    Parameters
    ----------
    data : pandas, polars, pyarrow or other eager frame, or DuckDB relation

    Returns
    -------
    narwhals.DataFrame

    Raises
    ------
    DataError
        For a lazy frame, whose rows are not there yet, and for what is no frame.
    """
    import narwhals

    try:
        frame = narwhals.from_native(data)
    except TypeError:
        raise DataError(f"data {TAKES}, got {_kind(data)}") from None
    if isinstance(frame, narwhals.DataFrame):
        return frame
    if frame.implementation.is_duckdb():
        return frame.collect(backend="pandas")
    hint = "; collect it first: data=frame.collect()" if hasattr(data, "collect") else ""
    raise DataError(f"data {TAKES}, got {_kind(data)}{hint}")


TAKES = "must be a frame in memory (pandas, polars, pyarrow, duckdb) or a dict of columns"


def _kind(data: Any) -> str:
    return f"{type(data).__module__}.{type(data).__qualname__}"
