"""The files that a page carries, and how to read them back as they were."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

LARGEST_FILE = 4_000_000
"""Bytes of a file that a page carries."""


@dataclass(frozen=True)
class File:
    """A file that the code reads.

    Attributes
    ----------
    name : str
    content : str
        Empty where it is too large for a page.
    what : str
    """

    name: str
    content: str
    what: str

    @property
    def address(self) -> str:
        """The content as an address, which a browser saves without a network."""
        return f"data:text/csv;base64,{base64.b64encode(self.content.encode()).decode()}"

    @property
    def size(self) -> str:
        """For a reader."""
        return f"{max(1, round(len(self.content) / 1000)):,} kB"


def same_values(column: pd.Series, values: Any) -> bool:
    """Whether a column holds just these values."""
    other = pd.Series(np.asarray(values))
    try:
        return bool((column.to_numpy() == other.to_numpy()).all())
    except (TypeError, ValueError):
        return False


def reading(frame: pd.DataFrame, text: str) -> tuple[str, list[str]]:
    """Options of `read_csv`, and lines after it, by which columns come back as they were."""
    plain = pd.read_csv(io.StringIO(text))
    types = {
        str(name): "str"
        for name in frame
        if _is_text(frame[name]) and not same_values(plain[name], frame[name].astype(str))
    }
    lines = [
        f"data[{name!r}] = pd.Categorical(data[{name!r}], "
        f"categories={list(frame[name].cat.categories)!r}, ordered={frame[name].cat.ordered})"
        for name in frame
        if isinstance(frame[name].dtype, pd.CategoricalDtype)
    ]
    options = f", dtype={types!r}, keep_default_na=False" if types else ""
    return options, lines


def _is_text(column: pd.Series) -> bool:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _is_text(pd.Series(column.cat.categories))
    return pd.api.types.infer_dtype(column, skipna=True) == "string"
