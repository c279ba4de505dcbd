"""The results of a fit: statsmodels' names in front of the functions in `mvmeta.inference`."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from statsmodels.base.model import LikelihoodModelResults

from mvmeta._typing import Floats, Ints
from mvmeta.inference.coefficients.wald import (
    Contrasts,
    coefficients,
)
from mvmeta.inference.fitted.fit import Fit
from mvmeta.model.results.comparison import ComparisonMethods
from mvmeta.model.results.component_methods import ComponentMethods
from mvmeta.model.results.components import component_labels, vcomp_frame
from mvmeta.model.results.deletion_methods import DeletionMethods
from mvmeta.model.results.evidence_methods import EvidenceMethods
from mvmeta.model.results.heterogeneity_methods import HeterogeneityMethods
from mvmeta.model.results.hypothesis_methods import HypothesisMethods
from mvmeta.model.results.marginal_means_methods import MarginalMeansMethods
from mvmeta.model.results.maximum_methods import MaximumMethods
from mvmeta.model.results.metafor_names import MetaforNames
from mvmeta.model.results.plot_methods import PlotMethods
from mvmeta.model.results.prediction_methods import PredictionMethods
from mvmeta.model.results.publication_methods import PublicationMethods
from mvmeta.model.results.random_effect_methods import RandomEffectMethods
from mvmeta.model.results.refit import RefitMethods
from mvmeta.model.results.report_methods import ReportMethods
from mvmeta.model.results.resampling_methods import ResamplingMethods
from mvmeta.model.results.residual_methods import ResidualMethods
from mvmeta.model.results.summary import summarize
from mvmeta.model.results.table_methods import TableMethods
from mvmeta.model.testing import hypotheses
from mvmeta.model.testing.inference import (
    Inference,
    check_options,
    few_studies,
    robust_inference,
)
from mvmeta.optimize.maximize import Optimum

if TYPE_CHECKING:
    from statsmodels.iolib.summary import Summary

    from mvmeta.model.mixed import MetaMixedLM


class MetaMixedLMResults(
    HypothesisMethods,
    MaximumMethods,
    ResidualMethods,
    PredictionMethods,
    MarginalMeansMethods,
    RandomEffectMethods,
    ComponentMethods,
    PublicationMethods,
    HeterogeneityMethods,
    DeletionMethods,
    EvidenceMethods,
    MetaforNames,
    PlotMethods,
    TableMethods,
    ReportMethods,
    ComparisonMethods,
    ResamplingMethods,
    RefitMethods,
    LikelihoodModelResults,
):
    """Results of `MetaMixedLM.fit`; nothing in it changes afterwards.

    Fixed effects and everything about rows are labelled pandas objects.  metafor's names
    (`sigma2`, `tau2`, `rho`, `QE`, `QM`, `I2`, ...) are read-only properties.

    Parameters
    ----------
    model : MetaMixedLM
        What was fitted.
    fit : Fit
        The numbers.
    optimum : Optimum
        How the components were found.
    inference : Inference
        How coefficients are tested.

    Attributes
    ----------
    params : Series, shape (p,)
        Fixed effects, in units of the response per unit of their column: means of effects and
        differences of means in units of the response.
    vcomp : DataFrame
        Variance components, one row each: term, component ("sigma2", "tau2", "rho"), level,
        estimate, sqrt, n_levels, fixed (pinned, not estimated), boundary (estimated on an edge of
        the parameter space).  Variances are in squared units of the response (of slopes: per
        squared unit of the moderator), loadings in units of the response, ranges in the unit of the
        distances, scale slopes in log variance per unit of the covariate; correlations, lambda and
        alpha are without unit.
    component_labels : list of str
        Unique names of the rows of `vcomp`.
    nobs, k_fe, k_vcomp : int
        Estimates, coefficients, and components that were estimated.
    df_resid : int
        nobs - k_fe.
    reml : bool
    cov_type : str
    df_method : str
        "z", "residual", "contain", "satterthwaite", "kenward-roger", "cluster" or "given".
    n_clusters : int or None
        For cluster-robust covariances.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> data = datasets.load("konstantopoulos2011")
    >>> nested = "district/school"
    >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
    >>> res = model.fit()
    >>> res.params.round(4)
    Intercept    0.1847
    Name: estimate, dtype: float64
    >>> res.bse.round(4)
    Intercept    0.0846
    Name: se, dtype: float64
    >>> res.sigma2.round(4)
    array([0.0651, 0.0327])
    >>> round(res.QE, 2), round(res.QEp, 4)
    (578.86, 0.0)
    """

    def __init__(
        self, model: MetaMixedLM, fit: Fit, optimum: Optimum, inference: Inference
    ) -> None:
        super().__init__(model, None)
        del self.params  # the property below, made when it is asked for
        self._fit: Fit | None = fit
        self._gs = fit.gs
        self._optimum, self._inference = optimum, inference
        self.component_labels = component_labels(fit.problem)
        self.k_vcomp = int(fit.estimated.sum())
        self.nobs, self.k_fe = fit.problem.n, fit.problem.p
        self.df_resid = self.nobs - self.k_fe
        self.df_model = self.k_fe - int(model.k_constant)
        self.reml, self.cov_type = fit.reml, inference.cov_type
        self.df_method, self.n_clusters = inference.df_method, inference.n_clusters

    @cached_property
    def params(self) -> pd.Series:
        """Fixed effects (p,), in units of the response; slopes per unit of their moderator.

        References
        ----------
        :doc:`/explanation/model`, "Fixed effects".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> model.fit().params.round(4)
        Intercept    0.2515
        ablat       -0.0291
        Name: estimate, dtype: float64
        """
        names = self.model.exog_names
        return pd.Series(self._inference.basis.beta, index=names, name="estimate", copy=True)

    @cached_property
    def _few_studies(self) -> tuple[str, ...]:
        return few_studies(self.fit_, self._inference, self.model.prepared)

    @cached_property
    def _table(self) -> Contrasts:
        return coefficients(self._inference.basis)

    @cached_property
    def vcomp(self) -> Any:
        """Variance components, one row each, in the units that the attributes of the class say.

        References
        ----------
        :doc:`/explanation/model`, "Likelihood".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
        >>> res.vcomp[["term", "component", "estimate"]].round(4)
                      term component  estimate
        0         district    sigma2    0.0651
        1  district/school    sigma2    0.0327
        """
        return vcomp_frame(self.fit_)

    # -- the fixed effects ---------------------------------------------------------------

    @property
    def use_t(self) -> bool:
        """Whether t and F are used, not z and chi-square.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> res = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study").fit()
        >>> res.use_t
        False
        """
        return not self._inference.basis.df.normal

    @property
    def bse(self) -> pd.Series:
        """Standard errors of the fixed effects, in their units.

        References
        ----------
        :doc:`/explanation/model`, "Fixed effects".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.bse.round(4)
        Intercept    0.2491
        ablat        0.0072
        Name: se, dtype: float64
        """
        return self._series(self._table.se, "se")

    @property
    def tvalues(self) -> pd.Series:
        """The z or t statistics: estimates over their standard errors.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.tvalues.round(2)
        Intercept    1.01
        ablat       -4.04
        Name: statistic, dtype: float64
        """
        return self._series(self._table.statistic, "statistic")

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values of the fixed effects.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.pvalues.round(4)
        Intercept    0.3127
        ablat        0.0001
        Name: pvalue, dtype: float64
        """
        return self._series(self._table.pvalue, "pvalue")

    def conf_int(self, alpha: float = 0.05, cols: Any = None) -> pd.DataFrame:
        """Confidence intervals of the fixed effects.

        Parameters
        ----------
        alpha : float
            1 - coverage.
        cols : sequence of str or int, optional
            Coefficients to give, by name or position; all unless said.

        Returns
        -------
        DataFrame, shape (p, 2)
            Columns 0 (lower) and 1 (upper), as in statsmodels, in the units of the fixed effects.

        Raises
        ------
        SpecificationError
            If alpha is not between 0 and 1, or there is no such coefficient.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.conf_int(alpha=0.1).round(3)
                       0      1
        Intercept -0.158  0.661
        ablat     -0.041 -0.017
        """
        out = pd.DataFrame(np.column_stack(self._table.interval(alpha)), index=self.params.index)
        if cols is None:
            return out
        return out.iloc[hypotheses.pick_coefficients(list(self.params.index), cols)]

    def cov_params(
        self,
        r_matrix: Any = None,
        column: Any = None,
        scale: Any = None,
        cov_p: Any = None,
        other: Any = None,
    ) -> pd.DataFrame | Floats:
        """Covariance of the fixed effects, or of linear combinations of them.

        Parameters
        ----------
        r_matrix : array_like, shape (m, p), optional
            Combinations, in units of the columns of the design; the covariance of ``r_matrix @
            params`` is returned.
        column : str, int, or list of these, optional
            Coefficients (names or positions) to give the covariance of.
        scale : float, optional
            Factor of the covariance, without unit; 1 unless said.
        cov_p : array_like, shape (p, p), optional
            Another covariance of the coefficients, in the units of this one.
        other : array_like, shape (l, p), optional
            Second `r_matrix`, in units of the columns of the design: ``r_matrix @ cov @ other.T``
            is returned.

        Returns
        -------
        DataFrame, shape (p, p), or ndarray, shape (m, m)
            In units of one coefficient times units of another; of combinations in squared units of
            the response.

        References
        ----------
        :doc:`/explanation/model`, "Fixed effects".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.cov_params().round(5)
                   Intercept    ablat
        Intercept    0.06205 -0.00162
        ablat       -0.00162  0.00005
        """
        cov = self._basis(cov_p, None).cov
        cov = cov * (1.0 if scale is None else scale)
        names = list(self.params.index)
        if r_matrix is not None:
            left = hypotheses.combinations_of(names, r_matrix)
            right = left if other is None else hypotheses.combinations_of(names, other)
            return left @ cov @ right.T
        frame = pd.DataFrame(cov, index=names, columns=names)
        if column is None:
            return frame
        at = hypotheses.pick_coefficients(names, column)
        return frame.iloc[at, at]

    @property
    def df_inference(self) -> float | Floats:
        """Degrees of freedom of the coefficients: inf under z, a number, or one each (p,).

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> model.fit(df="satterthwaite").df_inference.round(2)
        array([3.36, 3.7 ])
        """
        df = self._table.df
        return float(df[0]) if len(df) and (df == df[0]).all() else df

    @property
    def df_resid_inference(self) -> float | Floats:
        """Degrees of freedom of the coefficients: `df_inference` under its name in statsmodels.

        References
        ----------
        See :attr:`df_inference`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> model.fit(df="satterthwaite").df_resid_inference.round(2)
        array([3.36, 3.7 ])
        """
        return self.df_inference

    @property
    def clusters(self) -> Ints | None:
        """Clusters of a robust covariance: codes (n,), or (n, m) of several groupings.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
        >>> robust = res.get_robustcov_results("CR2", groups="district")
        >>> robust.clusters[:6]
        array([0, 0, 0, 0, 1, 1])
        """
        return self._inference.clusters

    @property
    def notes(self) -> list[str]:
        """What to know of the model and of its tests, in sentences; `summary` shows them.

        Examples
        --------
        >>> from textwrap import fill
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> res = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study").fit()
        >>> print(fill(res.notes[0], 80))
        Few studies for z tests: by containment, 1 df, the 95% intervals of Intercept
        would be up to 548% wider. fit(df='kenward-roger') or df='satterthwaite' allows
        for it.
        """
        return [*self.model.notes, *self._inference.notes, *self._few_studies]

    # -- other covariances ---------------------------------------------------------------

    def get_robustcov_results(
        self,
        cov_type: str = "CR2",
        groups: Any = None,
        df: str = "satterthwaite",
        repair: bool = False,
    ) -> MetaMixedLMResults:
        """The same fit with a cluster-robust covariance of the fixed effects.

        Parameters
        ----------
        cov_type : {"CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3", "robust"}
            No adjustment; factors J/(J-1), J/(J-p), J (n-1)/((J-1)(n-p)) for J clusters;
            bias-reduced linearisation (Bell & McCaffrey 2002; Pustejovsky & Tipton 2018);
            jackknife, every cluster left out in turn with the components held.  "robust"
            chooses: CR2 for independent clusters, CR1 of all crossed groupings, or CR3 where a
            known correlation links the groups; `notes` say which.
        groups : str, array_like of labels (n_given,), or several of these, optional
            Clusters: a column the model uses, or values over the rows of the data as given;
            the outermost independent clusters unless said.  Several, as a list of columns, a
            frame or an array (n_given, m), are combined by inclusion-exclusion (Cameron, Gelbach
            & Miller 2011).
        df : {"satterthwaite", "cluster", "residual"}
            For t and F: Satterthwaite's under the working model (F is then the HTZ test);
            clusters - p (of the grouping with the fewest); k - p.
        repair : bool
            Set negative eigenvalues, which several groupings may cause, to 0; they are an
            error otherwise.

        Returns
        -------
        MetaMixedLMResults

        Raises
        ------
        SpecificationError
            For another kind or df, too few clusters, or clusters the adjustment cannot handle.
        DataError
            If the groups do not fit the rows.

        References
        ----------
        :doc:`/explanation/model`, "Cluster-robust covariances".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> robust = res.get_robustcov_results("CR2", groups="district")
        >>> robust.bse.round(4)
        Intercept    0.0845
        Name: se, dtype: float64
        """
        check_options(cov_type, {"groups": groups, "df": df})
        inference = robust_inference(self.fit_, self.model.prepared, cov_type, groups, df, repair)
        return MetaMixedLMResults(self.model, self.fit_, self._optimum, inference)

    # -- output --------------------------------------------------------------------------

    def summary(
        self,
        yname: str | None = None,
        xname: list[str] | None = None,
        title: str | None = None,
        alpha: float = 0.05,
    ) -> Summary:
        """What one reads first: the model, its components, tests, and the coefficients.

        Parameters
        ----------
        yname, xname, title : str, list of str, and str, optional
            Other names for the response, the coefficients, and the heading.
        alpha : float
            1 - coverage of the confidence intervals.

        Returns
        -------
        statsmodels.iolib.summary.Summary
            Text, ``as_html()``, ``as_latex()``, ``as_markdown()``, ``as_csv()``.

        Raises
        ------
        SpecificationError
            If `xname` does not have one name per coefficient.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> print(res.summary().tables[1])
                                      Variance Components
        ===============================================================================
                                  estimate       sqrt     levels      state          I2
        -------------------------------------------------------------------------------
        district: sigma2            0.0651     0.2551         11  estimated       63.3%
        district/school: sigma2     0.0327     0.1809         56  estimated       31.9%
        ===============================================================================
        """
        return summarize(self, yname=yname, xname=xname, title=title, alpha=alpha)

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """The table of coefficients.

        Parameters
        ----------
        alpha : float
            1 - coverage of the confidence intervals.

        Returns
        -------
        DataFrame, shape (p, 7)
            Columns estimate, se, statistic (z or t), df, pvalue, ci_lower, ci_upper; the estimate,
            its standard error and its limits in units of the response per unit of the column of the
            design.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> res.summary_frame().round(4)
                   estimate      se  statistic   df  pvalue  ci_lower  ci_upper
        Intercept    0.1847  0.0846     2.1845  inf  0.0289     0.019    0.3504
        """
        ci = self.conf_int(alpha)
        return pd.DataFrame(
            {
                "estimate": self.params,
                "se": self.bse,
                "statistic": self.tvalues,
                "df": self._table.df,
                "pvalue": self.pvalues,
                "ci_lower": ci[0],
                "ci_upper": ci[1],
            }
        )

    def to_dict(self, alpha: float = 0.05) -> dict[str, Any]:
        """Everything `summary` shows, as dicts, lists and numbers.

        Parameters
        ----------
        alpha : float
            1 - coverage of the confidence intervals.

        Returns
        -------
        dict

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> content = res.to_dict()
        >>> sorted(content)[:4]
        ['coefficients', 'converged', 'cov_type', 'df_method']
        """
        qm = self.moderators_test()
        return {
            "formula": self.model.formula,
            "method": "REML" if self.reml else "ML",
            "nobs": self.nobs,
            "converged": self.converged,
            "status": self.status.name,
            "coefficients": self.summary_frame(alpha).reset_index(names="name").to_dict("records"),
            "vcomp": self.vcomp.to_dict("records"),
            "not_identified": self.not_identified.index[self.not_identified].tolist(),
            "heterogeneity_test": asdict(self.heterogeneity_test()),
            "moderators_test": asdict(qm),
            "i2": self.heterogeneity(alpha=None)["i2"].to_dict(),
            "info_criteria": self.info_criteria().to_dict(),
            "cov_type": self.cov_type,
            "df_method": self.df_method,
            "notes": self.notes,
        }

    def to_json(self, alpha: float = 0.05, indent: int | None = 2) -> str:
        """`to_dict` as JSON; what is not finite becomes null.

        Parameters
        ----------
        alpha : float
            1 - coverage of the confidence intervals.
        indent : int or None
            Spaces per level; None for a single line.

        Returns
        -------
        str

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> text = res.to_json()
        >>> text[:1], text[-1:]
        ('{', '}')
        """
        return json.dumps(_jsonable(self.to_dict(alpha)), indent=indent)

    # -- size ----------------------------------------------------------------------------

    def remove_data(self) -> None:
        """Forget everything with one entry per row; coefficients, tests and summary stay.

        `model` is then a copy without rows: other results of the same model keep theirs.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.remove_data()
        >>> res.params.round(4)
        Intercept    0.2515
        ablat       -0.0291
        Name: estimate, dtype: float64
        """
        self._look_once()
        self.__dict__.pop("_diagnostics", None)
        self._fit = None
        self._inference = replace(self._inference, clusters=None)
        self.model: MetaMixedLM = copy.copy(self.model)
        self.model.data = copy.copy(self.model.data)
        self.model.remove_data()

    def _look_once(self) -> None:
        """Compute what the summary shows and takes the fit."""
        for name in (
            "vcomp",
            "_criteria",
            "_few_studies",
            "_heterogeneity_test",
            "_heterogeneity",
            "_mean_effect",
            "_omnibus",
        ):
            getattr(self, name)

    @property
    def _row_index(self) -> pd.Index:
        return self.model.prepared.index

    def _series(self, values: Floats, name: str) -> pd.Series:
        return pd.Series(values, index=self.params.index, name=name, copy=True)

    def _row_series(self, values: Floats, name: str) -> pd.Series:
        return pd.Series(values, index=self._row_index, name=name, copy=True)


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
