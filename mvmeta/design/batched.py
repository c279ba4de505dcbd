"""A problem whose rows come in batches: what is known of it without any of them."""

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from mvmeta._typing import Ints
from mvmeta.design.problem import MetaProblem
from mvmeta.errors import DataError

WHY = (
    "this model reads its rows batch by batch and holds none of them, so that nothing with one "
    "entry per row exists: go through the batches with res.iter_rows() or res.iter_ranef(), pass "
    "new data to predict(), or fit the rows in memory with from_formula()"
)


class NotHeld:
    """Stands where an array over rows would be; whoever looks into it is told why there is none.

    Raises
    ------
    DataError
        On every use.
    """

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise DataError(WHY)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what copy and pickle ask for must be absent, not refused
            raise AttributeError(name)
        self._refuse()

    __array__ = __len__ = __getitem__ = __iter__ = _refuse
    __add__ = __sub__ = __mul__ = __matmul__ = __pow__ = __neg__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __abs__ = _refuse


NOT_HELD: Any = NotHeld()


@dataclass(frozen=True, eq=False)
class BatchedProblem(MetaProblem):
    """A `MetaProblem` without its rows: y, x, v and the levels of the terms are `NotHeld`.

    Attributes
    ----------
    rows, columns : int
        n and p.
    variance, square : float
        Mean sampling variance and mean of y^2.
    zeros : int
        Rows whose sampling variance is 0.
    singular : bool
        Whether V is only positive semi-definite.
    """

    rows: int = 0
    columns: int = 0
    variance: float = 0.0
    square: float = 0.0
    zeros: int = 0
    singular: bool = False

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.rows

    @property
    def p(self) -> int:
        """Number of fixed effects."""
        return self.columns

    @property
    def holds_rows(self) -> bool:
        """Its rows are with the batches."""
        return False

    @property
    def mean_variance(self) -> float:
        """Mean of the sampling variances."""
        return self.variance

    @property
    def mean_square(self) -> float:
        """Mean of y^2."""
        return self.square

    @property
    def zero_variances(self) -> Ints:
        """As many positions as rows have a sampling variance of 0; which, nobody knows."""
        return np.arange(self.zeros)

    @property
    def inseparable(self) -> Ints:
        """None: the pieces, which hold the levels, have been asked."""
        return np.arange(0)
