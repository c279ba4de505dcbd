"""A model as the package marginaleffects wants it; importing this needs that package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
from marginaleffects.classes import ModelAbstract, ModelVault

if TYPE_CHECKING:
    from mvmeta.model.results.results import MetaMixedLMResults


class AdaptedModel(ModelAbstract):  # type: ignore[misc]
    """What marginaleffects asks a model, answered by results of ours.

    Parameters
    ----------
    res : MetaMixedLMResults
    """

    def __init__(self, res: MetaMixedLMResults) -> None:
        self._columns = _Columns(res)
        self.df_resid = self._columns.df
        vault = ModelVault(
            coef=res.params.to_numpy(),
            coefnames=res.params.index.to_numpy(dtype=object),
            formula=self._columns.formula,
            formula_engine="patsy",
            modeldata=self._columns.as_polars(),
            package="mvmeta",
            variable_names=self._columns.names,
            pandas_categorical_orders=self._columns.labels,
        )
        super().__init__(res, vault)

    def validation(self) -> None:
        # its own check of types fails with polars 2; the rest is right by construction
        self.coef, self.formula = self.vault.coef, self.vault.formula
        self.response_name = self._columns.names[0]
        self.vault.variables_type = self._columns.types

    def get_exog(self, newdata: Any) -> Any:
        return self.model.model.prepared.design(self._columns.original(newdata.to_pandas()))

    def get_predict(self, params: Any, newdata: Any) -> Any:
        rows = np.arange(len(newdata), dtype=np.int32)
        estimates = np.asarray(newdata, dtype=float) @ np.asarray(params)
        return pl.DataFrame({"rowid": rows, "estimate": estimates})

    def get_vcov(self, vcov: Any = True) -> Any:
        if isinstance(vcov, str):
            return np.asarray(self.model.get_robustcov_results(vcov).cov_params())
        return np.asarray(self.model.cov_params()) if vcov else None

    def get_df(self) -> float:
        return self.df_resid


class _Columns:
    """Columns of the model as marginaleffects wants them: every factor an enum.

    Attributes
    ----------
    frame : DataFrame
        Columns of the formula in the fitted rows.
    names : list of str
        The response, then the moderators.
    formula : str
        The names alone: marginaleffects reads which columns there are from it.
    labels : dict of str to list of str
        Levels of the factors.
    types : dict of str to str
        Kinds of columns in the words of marginaleffects.
    df : float
        Degrees of freedom of tests.
    """

    def __init__(self, res: MetaMixedLMResults) -> None:
        prepared = res.model.prepared
        assert prepared.spec is not None
        self.levels = prepared.spec.factor_levels()
        self.labels = {name: [str(v) for v in found] for name, found in self.levels.items()}
        response = "".join(c if c.isalnum() else "_" for c in prepared.endog_name)
        self.names = [response, *prepared.spec.variables]
        self.formula = f"{response} ~ {' + '.join(prepared.spec.variables) or '1'}"
        given = prepared.frame[list(prepared.spec.variables)].reset_index(drop=True)
        self.frame = given.assign(**{response: prepared.problem.y})
        for name, labels in self.labels.items():
            text = given[name].map(str)
            self.frame[name] = pd.Categorical(text, categories=labels)
        self.types = {name: self._type(name) for name in self.names}
        self.df = float(np.min(res.df_inference))

    def _type(self, name: str) -> str:
        values = self.frame[name]
        if name in self.labels:
            return "character"
        if values.dtype == bool:
            return "boolean"
        if values.isin([0, 1]).all():
            return "binary"
        return "integer" if pd.api.types.is_integer_dtype(values.dtype) else "numeric"

    def as_polars(self) -> Any:
        """The columns as a polars frame whose factors are enums of their levels."""
        plain = self.frame.assign(**{name: self.frame[name].astype(str) for name in self.labels})
        enums = [pl.col(name).cast(pl.Enum(labels)) for name, labels in self.labels.items()]
        return pl.from_pandas(plain).with_columns(*enums)

    def original(self, newdata: pd.DataFrame) -> pd.DataFrame:
        """Factors as they were in the data of the model."""
        out = newdata.copy()
        for name, levels in self.levels.items():
            back = dict(zip(self.labels[name], levels, strict=True))
            out[name] = newdata[name].astype(str).map(back).astype(np.asarray(levels).dtype)
        return out
