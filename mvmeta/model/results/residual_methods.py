"""Fitted values, residuals and influence, as methods of the results."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.inference.influence.leverage import row_diagnostics
from mvmeta.inference.prediction.blup import conditional_residuals
from mvmeta.model.results.fit_holder import FitHolder
from mvmeta.model.results.influence import MetaInfluence
from mvmeta.model.testing.clustering import cluster_codes, cluster_labels


class ResidualMethods(FitHolder):
    """Mixin: ``fittedvalues, resid, resid_pearson, resid_conditional, get_influence``."""

    # What it reads is defined by the results class it is mixed into.
    model: Any
    params: Any
    use_t: Any
    component_labels: list[str]
    nobs: int
    _row_index: Any
    _row_series: Any

    @property
    def fittedvalues(self) -> pd.Series:
        """X b, in units of the response.

        References
        ----------
        :doc:`/explanation/model`, "Fixed effects".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.fittedvalues.head(3).round(3)
        0   -1.029
        1   -1.349
        2   -0.971
        Name: fittedvalues, dtype: float64
        """
        return self._row_series(self.fit_.fitted, "fittedvalues")

    @property
    def resid(self) -> pd.Series:
        """Marginal residuals y - X b, in units of the response.

        References
        ----------
        :doc:`/explanation/model`, "Diagnostics".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> res = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study").fit()
        >>> res.resid.round(3)
        0   -13.75
        1    -8.75
        2    -3.75
        3     6.25
        4    11.25
        Name: resid, dtype: float64
        """
        return self._row_series(self.fit_.resid, "resid")

    @property
    def resid_pearson(self) -> pd.Series:
        """Marginal residuals over the square root of their marginal variance: without unit.

        References
        ----------
        :doc:`/explanation/model`, "Diagnostics".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> res = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study").fit()
        >>> res.resid_pearson.round(3)
        0   -1.111
        1   -0.707
        2   -0.303
        3    0.505
        4    0.909
        Name: resid_pearson, dtype: float64
        """
        return self._row_series(self._diagnostics.pearson, "resid_pearson")

    @property
    def resid_conditional(self) -> pd.Series:
        """Residuals y - X b - Z u_hat: what the predicted true effects leave of each row.

        The best predictions of the sampling errors, shrunken towards 0, in units of the response:
        `blup` takes its estimates from them. For a measure of how unusual they are see
        ``get_influence().resid_studentized_conditional``.

        Raises
        ------
        SpecificationError
            Under user weights, where random effects are not predicted.

        References
        ----------
        :doc:`/explanation/model`, "Predictions".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> res = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study").fit()
        >>> res.resid_conditional.round(3)
        0   -5.002
        1   -0.002
        2    4.998
        3   -2.497
        4    2.503
        Name: resid_conditional, dtype: float64
        """
        return self._row_series(conditional_residuals(self.fit_).resid, "resid_conditional")

    def get_influence(self, groups: Any = None, reestimate: bool = False) -> MetaInfluence:
        """Leverage and residuals of every row, and what leaving out rows or groups changes.

        Parameters
        ----------
        groups : str or array_like of labels (n_given,), optional
            Leave out groups of rows together: a column the model uses, or values over the rows
            of the data as given.  Single rows unless said.
        reestimate : bool
            Estimate the components again without each row or group (one warm-started fit
            each); they are held at their estimates otherwise (closed form, no refit).

        Returns
        -------
        MetaInfluence

        Raises
        ------
        DataError
            If the groups do not fit the rows.

        References
        ----------
        :doc:`/explanation/model`, "Diagnostics".

        .. [1] Viechtbauer W, Cheung MWL (2010). Outlier and influence diagnostics for
           meta-analysis. *Research Synthesis Methods* 1:112–125. doi:10.1002/jrsm.11

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> influence = res.get_influence(groups="trial")
        >>> influence.cooks_distance.round(2)[:3]
        array([0.  , 0.04, 0.01])
        """
        codes, labels = np.arange(self.nobs), self._row_index
        if groups is not None:
            codes = cluster_codes(self.model.prepared, groups)
            labels = cluster_labels(self.model.prepared, groups)
        return MetaInfluence(
            self.fit_,
            codes,
            labels,
            self._row_index,
            self.params.index,
            components=list(self.component_labels),
            use_t=bool(self.use_t),
            backend=self.model.backend if reestimate else None,
        )

    @cached_property
    def _diagnostics(self) -> Any:
        return row_diagnostics(self.fit_)
