"""Rows to use: a column of booleans, or a condition on columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mvmeta.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def chosen_rows(data: pd.DataFrame, text: str | None) -> Any:
    """What `MetaMixedLM.from_formula` takes as `subset`.

    Raises
    ------
    DataError
        For a condition that cannot be read, or is not true or false in every row.
    """
    if text is None or text in data.columns or text.isidentifier():
        return text
    try:
        chosen: Any = data.eval(text, engine="python")
    except Exception as error:
        # pandas raises whatever its parser or the operands do
        raise DataError(
            f"--subset {text!r} is neither a column nor a condition such as 'year > 2000': {error}"
        ) from None
    if str(getattr(chosen, "dtype", "")) not in ("bool", "boolean") or len(chosen) != len(data):
        raise DataError(f"--subset {text!r} is not true or false in every row")
    return chosen.to_numpy()
