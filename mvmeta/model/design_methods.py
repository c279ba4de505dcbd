"""Columns and terms of the design, of the fitted rows and of new ones, as methods of the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats
from mvmeta.columns import row_names
from mvmeta.errors import DataError, SpecificationError, warn
from mvmeta.model.specification.build import Prepared
from mvmeta.model.specification.formula import level_weights
from mvmeta.model.specification.frames import shorten


class DesignMethods:
    """Mixin of the model: ``predict, new_design, term_columns, columns_of, factor_levels``."""

    # What it reads is defined by the model it is mixed into.
    prepared: Prepared
    exog_names: Any
    exog: Any

    def predict(self, params: Any, exog: Any = None) -> Floats:
        """``exog @ params``.

        Parameters
        ----------
        params : array_like, shape (p,)
            Fixed effects, in units of the response per unit of their column.
        exog : array_like, shape (m, p), optional
            Design matrix, in the units of the fitted one, which is used unless another is given.

        Returns
        -------
        ndarray, shape (m,)
            In units of the response.

        References
        ----------
        :doc:`/explanation/model`, "The model".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> model.predict(res.params, model.exog[:2]).round(3)
        array([-1.029, -1.349])
        """
        x = self.exog if exog is None else np.asarray(exog, dtype=float)
        return np.asarray(x @ np.asarray(params, dtype=float))

    def new_design(self, newdata: Any, transform: bool = True) -> tuple[Floats, pd.Index]:
        """Design matrix (m, p) of new data and the labels of its rows.

        Parameters
        ----------
        newdata : DataFrame, array_like or None
            New data in the units of those that were fitted; the fitted rows where None.
        transform : bool
            Apply the formula; else `newdata` is the design matrix.

        Returns
        -------
        x : ndarray, shape (m, p)
            In the units of the moderators; NaN in rows in which a moderator is missing, or that the
            data do not determine.
        index : pandas.Index, length m

        Raises
        ------
        DataError
            For a missing column, an unknown level, a matrix of the wrong width, or no new data
            after `remove_data`.

        Warns
        -----
        MvmetaWarning
            If the data do not determine the mean of some rows; names them.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> import pandas as pd
        >>> model.new_design(pd.DataFrame({"ablat": [13, 55]}))
        (array([[ 1., 13.],
               [ 1., 55.]]), RangeIndex(start=0, stop=2, step=1))
        """
        prepared = self.prepared
        if newdata is None:
            if self.exog is None:
                raise DataError("the data were removed by remove_data(); pass new data")
            return self.exog, prepared.index
        index = getattr(newdata, "index", None)  # a list has a method of that name
        if transform and prepared.spec is not None:
            x = prepared.design(newdata)
            _say_not_estimable(prepared, newdata, x)
        else:
            if isinstance(newdata, pd.DataFrame) and set(prepared.exog_names) < set(newdata):
                newdata = newdata[prepared.exog_names]
            x = np.atleast_2d(np.asarray(newdata, dtype=float))
        if x.shape[1] != len(prepared.exog_names):
            raise DataError(
                f"a design matrix needs the {len(prepared.exog_names)} columns "
                f"{', '.join(prepared.exog_names)}; got shape {x.shape}"
            )
        return x, index if isinstance(index, pd.Index) else pd.RangeIndex(len(x))

    def term_columns(self) -> dict[str, list[int]]:
        """Positions of the coefficients of every term of the formula.

        Returns
        -------
        dict of str to list of int

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> model.term_columns()
        {'C(Category)': [0, 1, 2]}
        """
        return self.prepared.term_columns

    def columns_of(self, name: str) -> list[int]:
        """Positions of the coefficients of a term, or of one coefficient.

        Parameters
        ----------
        name : str
            Term of the formula or name of a coefficient.

        Returns
        -------
        list of int

        Raises
        ------
        SpecificationError
            If there is neither; lists what there is.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> model.columns_of("C(Category)")
        [0, 1, 2]
        """
        terms = self.term_columns()
        if name in terms:
            return terms[name]
        if name in self.exog_names:
            return [self.exog_names.index(name)]
        raise SpecificationError(
            f"no term or coefficient {name!r}; terms: {', '.join(terms)}; "
            f"coefficients: {', '.join(self.exog_names)}"
        )

    def factor_levels(self, term: str) -> tuple[Floats, list[str]]:
        """Weights of the coefficients in the level means of a factor, and its labels.

        Parameters
        ----------
        term : str
            Categorical main effect of the formula, such as "C(Category)".

        Returns
        -------
        weights : ndarray, shape (m, p)
            Numbers without unit, up to what all levels share.
        labels : list of str
            The m levels.

        Raises
        ------
        SpecificationError
            If there is no such factor, or the model was built from arrays.

        References
        ----------
        .. [1] Searle SR, Speed FM, Milliken GA (1980). Population marginal means in the linear
           model: an alternative to least squares means. *American Statistician* 34:216–221.
           doi:10.1080/00031305.1980.10483031

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> model.factor_levels("C(Category)")
        (array([[1., 0., 0.],
               [0., 1., 0.],
               [0., 0., 1.]]), ['A', 'B', 'C'])
        """
        prepared = self.prepared
        if prepared.spec is None:
            raise SpecificationError("a model built from arrays has no factors to compare")
        weights, labels = level_weights(prepared.spec, term)
        return weights[:, prepared.exog_columns], labels


def _say_not_estimable(prepared: Prepared, newdata: Any, x: Floats) -> None:
    """Name the rows whose means depend on columns that were left out of the design."""
    if prepared.dependence is None or prepared.spec is None:
        return
    full = np.isfinite(prepared.spec.design(newdata)).all(axis=1)
    lost = np.asarray(np.isnan(x).any(axis=1) & full)
    if lost.any():
        index = getattr(newdata, "index", None)
        labels = index if isinstance(index, pd.Index) else pd.RangeIndex(len(x))
        warn(
            f"the data do not determine the mean in {row_names(labels, lost)}, which is NaN: it "
            f"depends on {shorten(prepared.dropped_columns)}, left out of the design as redundant"
        )
