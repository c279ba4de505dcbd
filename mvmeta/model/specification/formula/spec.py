"""The right side of a formula as it was applied to the fitted rows."""

import pickle
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import patsy

from mvmeta._typing import Floats
from mvmeta.errors import DataError, SpecificationError
from mvmeta.model.specification.formula.categories import with_levels
from mvmeta.model.specification.formula.missing import Missing
from mvmeta.model.specification.formula.saving import dump
from mvmeta.model.specification.frames import Source, shorten
from mvmeta.model.specification.names import factor_column, free_names


class FormulaSpec:
    """The right side of a formula as it was applied to the fitted rows; applies it to new ones.

    It pickles.  What a formula took from the caller's scope is saved where it can be (modules,
    importable functions, plain values); loading never fails, and `design` says what is lacking.

    Attributes
    ----------
    text : str
    variables : tuple of str
        Columns `design` needs.
    column_names : list of str
    term_slices : dict of str to slice
        Columns of each term.
    has_intercept : bool
    """

    def __init__(
        self,
        text: str,
        info: Any,
        variables: tuple[str, ...],
        levels: Mapping[str, pd.Index],
    ) -> None:
        self.text, self.variables, self._levels = text, variables, dict(levels)
        self.column_names: list[str] = list(info.column_names)
        self.term_slices: dict[str, slice] = dict(info.term_name_slices)
        self.has_intercept = any(not term.factors for term in info.terms)
        self._info: Any = info
        self._pickled: bytes | None = None

    @property
    def design_info(self) -> Any:
        """Patsy's DesignInfo of the right side (what statsmodels calls the model spec).

        Raises
        ------
        SpecificationError
            If it was not possible to save it with the model.
        """
        if self._info is None:
            self._info = self._restored()
        return self._info

    def factor_levels(self) -> dict[str, list[Any]]:
        """Levels of the columns that are factors, bare or as ``C(column, ...)``, by column."""
        out = {}
        for factor, info in self.design_info.factor_infos.items():
            name = factor_column(factor.code)
            if info.type == "categorical" and name in self.variables:
                out[str(name)] = list(info.categories)
        return out

    def interacting(self) -> list[frozenset[str]]:
        """For every term the columns it is made of."""
        return [
            frozenset(free_names([f.code for f in term.factors], self.text)) & {*self.variables}
            for term in self.design_info.terms
        ]

    def design(self, newdata: Any) -> Floats:
        """Design matrix of new rows.

        Parameters
        ----------
        newdata : DataFrame or anything `Source` reads
            With the columns `variables`; an empty frame with an index will do for "~ 1".

        Returns
        -------
        ndarray, shape (n_new, p)
            Columns as `column_names`; rows with a missing value are NaN.

        Raises
        ------
        DataError
            For a missing column, or a level the model has not seen; names both.
        """
        source = Source(newdata)
        frame = source.frame(self.variables, f"the formula {self.text!r}")
        known = {name: self._with_known_levels(name, frame[name]) for name in self._levels}
        frame = frame.assign(**known).reset_index(drop=True)
        info, missing = self.design_info, Missing()
        try:
            (made,) = patsy.build_design_matrices([info], frame, NA_action=missing)
        except patsy.PatsyError as error:
            self._explain_levels(frame)
            raise SpecificationError(
                f"the formula cannot be applied to the new data: {error}"
            ) from error
        out = np.full((source.n, len(self.column_names)), np.nan)
        out[~missing.any(source.n)] = made
        return out

    def _with_known_levels(self, name: str, column: pd.Series) -> pd.Series:
        out = with_levels(column, self._levels[name])
        unknown = column[(out.isna() & column.notna()).to_numpy()]
        if len(unknown):
            raise _unknown_level(name, unknown.iloc[0], self._levels[name])
        return out

    def _explain_levels(self, frame: pd.DataFrame) -> None:
        """Raise for a level no category of the fitted rows knows (numbers in ``C(year)``)."""
        for found, info in self.design_info.factor_infos.items():
            if info.type != "categorical":
                continue
            value = found.eval(info.state, frame)
            series = pd.Series(np.asarray(getattr(value, "data", value), dtype=object))
            unknown = series[series.notna() & ~series.isin(list(info.categories))]
            if len(unknown):
                raise _unknown_level(found.code, unknown.iloc[0], info.categories)

    def _restored(self) -> Any:
        try:
            return pickle.loads(self._pickled or b"")
        except Exception as error:
            raise SpecificationError(
                f"the formula {self.text!r} could not be saved with the model ({error}); predict "
                "with a design matrix, or build the model again"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_info": None}
        if self._info is not None:
            state["_pickled"] = dump(self._info)
        return state


def _unknown_level(column: str, level: object, known: Iterable[object]) -> DataError:
    level = level.item() if isinstance(level, np.generic) else level
    return DataError(
        f"column {column!r} has the level {level!r}, which the fitted data do not have; "
        f"known levels: {shorten(map(repr, known), most=20)}"
    )
