"""What statsmodels keeps of y and X of a model."""

from functools import cached_property

import pandas as pd
from statsmodels.base.data import PandasData

from mvmeta._typing import Floats


class RowData(PandasData):
    """The `data` of a model; y and X become a Series and a DataFrame when somebody asks for them.

    Their values have been checked and their names are known, so that nothing of what statsmodels
    does with data given to a model is left to do: in small models it would take as long as an
    evaluation of the likelihood.

    Parameters
    ----------
    y : ndarray, shape (n,)
    x : ndarray, shape (n, p)
    index : Index, length n
        Labels of the rows.
    endog_name : str
    exog_names : list of str
    constant : int or None
        Position of a column of ones.
    """

    def __init__(
        self,
        y: Floats,
        x: Floats,
        index: pd.Index,
        endog_name: str,
        exog_names: list[str],
        constant: int | None,
    ) -> None:
        self.endog, self.exog, self.index = y, x, index
        self._endog_name, self._exog_names = endog_name, exog_names
        self.const_idx, self.k_constant = constant, 0 if constant is None else 1
        self._cache: dict[str, object] = {}  # of statsmodels' properties

    @cached_property
    def orig_endog(self) -> pd.Series:
        """The response (n,) under its labels."""
        return pd.Series(self.endog, index=self.index, name=self._endog_name, copy=False)

    @cached_property
    def orig_exog(self) -> pd.DataFrame:
        """The design (n, p) under its labels."""
        return pd.DataFrame(self.exog, index=self.index, columns=self._exog_names, copy=False)

    def forget(self) -> None:
        """Drop everything with one entry per row."""
        for name in ("endog", "exog", "index", "orig_endog", "orig_exog", "frame", "_cache"):
            self.__dict__.pop(name, None)
