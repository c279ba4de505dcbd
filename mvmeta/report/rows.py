"""Whether the rows of a fit are at hand: those of a fit in batches are not."""

from __future__ import annotations

from typing import Any

import numpy as np

READ_IN_BATCHES = (
    "The rows were read batch by batch, and none of them was kept: this page has what a fit knows "
    "without them."
)


def holds_rows(res: Any) -> bool:
    """Whether the fit has its rows.

    Raises
    ------
    DataError
        If they were removed.
    """
    return bool(res.fit_.problem.holds_rows)


def has_one_mean(res: Any) -> bool:
    """Whether all rows have one mean: a column of ones and no other."""
    if res.k_fe != 1:
        return False
    if not holds_rows(res):
        return bool(np.all(res.model.prepared.ones))
    return bool((np.asarray(res.model.exog) == 1).all())


def function_name(function: Any) -> str:
    """A function as it is called: "v()"."""
    name = str(getattr(function, "__name__", ""))
    return f"{name}()" if name.isidentifier() else "a function"
