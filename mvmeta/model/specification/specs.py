"""One term of the model as asked for, before it meets the data."""

from dataclasses import dataclass, field

import pandas as pd

from mvmeta.model.specification.constraints import Pins, Ties
from mvmeta.model.specification.grammar import NEEDS_MATRIX, SLOPES, Grouping


@dataclass(frozen=True, eq=False)
class TermSpec:
    """One term of the model before it meets the data.

    Attributes
    ----------
    name : str
        Unique name of the term, as in `vcomp`.
    outer : Grouping
        What its levels are.
    left : str
        Left side of its formula; "1" for a random intercept.
    code : str or None
        Structure as the user calls it; None for a random intercept.
    assumed : bool
        Whether the structure is the default, not what the user asked for.
    corr, corr_scale, distance, smoothness, pins, ties
        As in `Random`, `fixed` and `equal` cut to this term.
    arrays : tuple of Series or ExtensionArray, or None
        The grouping variables themselves where the user gave arrays; a Series is matched to
        the rows of the data by its labels.
    scale : str or None
        Formula of the log-variance of a random intercept.
    tie : int or None
        Number of the group of terms whose components are equal.
    """

    name: str
    outer: Grouping
    left: str = "1"
    code: str | None = None
    assumed: bool = False
    corr: pd.DataFrame | None = None
    corr_scale: str = "cor"
    distance: str | pd.DataFrame | None = None
    smoothness: float | None = None
    pins: Pins = field(default_factory=dict)
    ties: Ties = field(default_factory=dict)
    arrays: "tuple[pd.Series | pd.api.extensions.ExtensionArray, ...] | None" = None
    scale: str | None = None
    tie: int | None = None

    @property
    def inner(self) -> tuple[str, ...]:
        """Columns on the left side; none for intercepts and designs."""
        if self.left == "1" or self.code in SLOPES:
            return ()
        return tuple(c.strip() for c in self.left.split("+"))

    @property
    def correlates_groups(self) -> bool:
        """Whether `corr` is over the levels of the grouping, "1 | g", not over inner levels."""
        return self.left == "1" and self.corr is not None

    @property
    def is_product(self) -> bool:
        """Whether `corr` over the outer levels comes on top of a structure over the inner ones."""
        return self.left != "1" and self.corr is not None and self.code not in NEEDS_MATRIX
