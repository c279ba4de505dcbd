"""Code that repeats an analysis whose rows came in batches, which stay where they are."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mvmeta.report.code import Code, Writer
from mvmeta.report.rows import function_name


def batched_code(res: Any) -> Code:
    """Code for a fit in batches; where they come from is for its reader to fill in."""
    return BatchedWriter(res, res.model.prepared.given, pd.DataFrame()).write()


class BatchedWriter(Writer):
    """Writes the same call, but for the rows and what is made of them."""

    @property
    def build(self) -> str:
        """What is called to make the model."""
        return "MetaMixedLM.from_batches"

    def _read_data(self) -> list[str]:
        self.notes.insert(
            0,
            "`batches` stands for where the rows come from: a reader of mvmeta.batches, or a "
            "function that yields frames; with a Dask frame, from_dask in place of from_batches.",
        )
        return []

    def _what(self) -> list[str]:
        self._note_functions(self.prepared.formula)
        return [repr(self.prepared.formula), "batches"]

    def _variance(self) -> str:
        value = self.given["variance"]
        if not callable(value):
            return f"variance={value!r}"
        name = function_name(value).removesuffix("()")
        named = name if name.isidentifier() else "v"
        self.notes.append(f"`{named}` is the function that computes V of a batch.")
        return f"variance={named}"

    def _groups(self) -> str:
        named = self.given["groups"]
        return "" if named is None else f"groups={named!r}"

    def _clusters(self) -> str:
        self.notes.append(
            "Clusters are the outermost groups of the model; where they were those of a column, "
            'its name goes into cov_kwds as "groups".'
        )
        return f'cov_kwds={{"df": {self.res.df_method!r}}}'
