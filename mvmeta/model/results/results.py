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
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.wald import (
    Basis,
    Contrasts,
    WaldTest,
    coefficients,
    omnibus_rows,
    wald_test,
)
from mvmeta.inference.comparison.criteria import InfoCriteria, info_criteria
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.influence.leverage import row_diagnostics
from mvmeta.inference.prediction.blup import conditional_residuals
from mvmeta.model.results.comparison import ComparisonMethods
from mvmeta.model.results.component_methods import ComponentMethods
from mvmeta.model.results.components import component_labels, vcomp_frame
from mvmeta.model.results.deletion_methods import DeletionMethods
from mvmeta.model.results.evidence_methods import EvidenceMethods
from mvmeta.model.results.heterogeneity_methods import HeterogeneityMethods
from mvmeta.model.results.influence import MetaInfluence
from mvmeta.model.results.marginal_means_methods import MarginalMeansMethods
from mvmeta.model.results.metafor_names import MetaforNames
from mvmeta.model.results.plot_methods import PlotMethods
from mvmeta.model.results.prediction_methods import PredictionMethods
from mvmeta.model.results.publication_methods import PublicationMethods
from mvmeta.model.results.random_effect_methods import RandomEffectMethods
from mvmeta.model.results.refit import RefitMethods
from mvmeta.model.results.report_methods import ReportMethods
from mvmeta.model.results.resampling_methods import ResamplingMethods
from mvmeta.model.results.summary import summarize
from mvmeta.model.results.table_methods import TableMethods
from mvmeta.model.testing import hypotheses
from mvmeta.model.testing.clustering import cluster_codes, cluster_labels
from mvmeta.model.testing.inference import (
    Inference,
    check_options,
    few_studies,
    robust_inference,
)
from mvmeta.optimize.maximize import Optimum
from mvmeta.optimize.status import Status

if TYPE_CHECKING:
    from statsmodels.iolib.summary import Summary
    from statsmodels.stats.contrast import ContrastResults, MultiCompResult, WaldTestResults

    from mvmeta.model.mixed import MetaMixedLM


class MetaMixedLMResults(
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
    def _criteria(self) -> dict[bool, InfoCriteria]:
        return {reml: info_criteria(self.fit_, reml=reml) for reml in (True, False)}

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

    # -- the likelihood ------------------------------------------------------------------

    @property
    def llf(self) -> float:
        """Log-likelihood of the criterion that was fitted; REML with +1/2 log|X'X|.

        References
        ----------
        :doc:`/explanation/model`, "Likelihood".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> round(res.llf, 3)
        -8.087
        """
        return self._criteria[self.reml].llf

    @property
    def deviance(self) -> float:
        """REML: -2 llf.  ML: -2 (llf - that of the saturated model).

        Without unit, on the scale of twice the log-likelihood.

        References
        ----------
        :doc:`/explanation/model`, "Likelihood".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> round(res.deviance, 3)
        16.175
        """
        return self._criteria[self.reml].deviance

    @property
    def aic(self) -> float:
        """-2 llf + 2 q, q counting coefficients and estimated components, under REML too.

        Without unit: only differences between fits to the same data have a meaning.

        References
        ----------
        :doc:`/explanation/model`, "Likelihood".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> round(res.aic, 3)
        22.175
        """
        return self._criteria[self.reml].aic

    @property
    def bic(self) -> float:
        """On the scale of `aic`: -2 llf + q log(n), n = k under ML and k - p under REML.

        References
        ----------
        :doc:`/explanation/model`, "Likelihood".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> round(res.bic, 3)
        23.368
        """
        return self._criteria[self.reml].bic

    @property
    def aicc(self) -> float:
        """AIC corrected for small samples, on the scale of `aic`.

        References
        ----------
        :doc:`/explanation/model`, "Likelihood".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> round(res.aicc, 3)
        25.603
        """
        return self._criteria[self.reml].aicc

    def info_criteria(self, reml: bool | None = None) -> pd.Series:
        """Log-likelihood, deviance, AIC, BIC and AICc at the fitted components.

        Parameters
        ----------
        reml : bool, optional
            Evaluate REML or ML; that of the fit unless said.

        Returns
        -------
        Series
            With the index llf, deviance, aic, bic, aicc; all but the first on the scale of -2 llf.

        References
        ----------
        :doc:`/explanation/model`, "Likelihood".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> res.info_criteria().round(3)
        llf         -7.959
        deviance    15.917
        aic         21.917
        bic         27.939
        aicc        22.388
        dtype: float64
        """
        found = self._criteria[self.reml if reml is None else reml]
        return pd.Series({k: getattr(found, k) for k in ("llf", "deviance", "aic", "bic", "aicc")})

    @property
    def status(self) -> Status:
        """How the optimisation ended; `status.value` is the sentence.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> res = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study").fit()
        >>> res.status.value
        'maximum reached: gradient zero and curvature positive in every component'
        """
        return self._optimum.status

    @property
    def converged(self) -> bool:
        """Whether the components are at a maximum of the likelihood.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> res = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study").fit()
        >>> res.converged
        True
        """
        return self.status.converged

    @property
    def not_identified(self) -> pd.Series:
        """Whether the likelihood is flat there, for every name in `component_labels`.

        References
        ----------
        :doc:`/explanation/optimizer`, "What the result tells you".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
        >>> res.not_identified
        district: sigma2           False
        district/school: sigma2    False
        Name: not_identified, dtype: bool
        """
        flags = np.asarray(self._optimum.not_identified, dtype=bool)
        return pd.Series(flags, index=list(self.component_labels), name="not_identified")

    @property
    def certificate(self) -> pd.Series:
        """Evidence for the maximum.

        `newton_decrement` is g'inv(I)g over the components not held by a boundary,
        `smallest_curvature` the smallest eigenvalue of I relative to the largest (positive at
        a maximum), `other_maxima` the number of other local maxima found and
        `next_best_below` how far the best of them is below.  The first and the last are in units
        of the log-likelihood.

        References
        ----------
        :doc:`/explanation/optimizer`, "What the result tells you".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
        >>> res.certificate[["smallest_curvature", "other_maxima"]].round(3)
        smallest_curvature    0.096
        other_maxima          0.000
        dtype: float64
        """
        o = self._optimum
        below = min((m.below for m in o.others), default=np.nan)
        return pd.Series(
            {
                "newton_decrement": o.decrement,
                "smallest_curvature": o.smallest_curvature,
                "evaluations": o.n_evaluations,
                "other_maxima": len(o.others),
                "next_best_below": below,
            }
        )

    @property
    def history(self) -> pd.DataFrame:
        """The ascent that won: evaluations so far, llf, decrement, damping.

        The decrement is in units of the log-likelihood, the damping without unit.

        References
        ----------
        :doc:`/explanation/optimizer`, "One ascent".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> res = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study").fit()
        >>> res.history[["evaluations", "llf"]].tail(2).round(4)
           evaluations       llf
        4            5 -316.1752
        5            6 -316.1752
        """
        rows = [(i.evaluations, i.loglik, i.decrement, i.damping) for i in self._optimum.history]
        return pd.DataFrame(rows, columns=["evaluations", "llf", "decrement", "damping"])

    # -- rows ----------------------------------------------------------------------------

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

    # -- tests ---------------------------------------------------------------------------

    def moderators_test(self, terms: str | list[str] | None = None) -> WaldTest:
        """QM: joint test of the moderators.

        Parameters
        ----------
        terms : str or list of str, optional
            Terms of the formula, or coefficients, to test; all coefficients but the intercept
            unless said (all of them where there is no intercept or nothing else).

        Returns
        -------
        WaldTest
            With statistic (chi-square, or F with t-type inference), df, df_denom, pvalue.

        Raises
        ------
        SpecificationError
            For an unknown term.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> test = res.moderators_test()
        >>> round(test.statistic, 2), test.df, f"{test.pvalue:.1e}"
        (16.36, 1, '5.2e-05')
        """
        if terms is None:
            if not self.k_fe:
                return WaldTest(np.nan, 0, np.nan, np.nan)
            rows = np.eye(self.k_fe)[self._omnibus]
        else:
            wanted = [terms] if isinstance(terms, str) else terms
            rows = np.vstack([np.eye(self.k_fe)[self.model.columns_of(t)] for t in wanted])
        return wald_test(self._inference.basis, rows)

    def t_test(
        self, r_matrix: Any, cov_p: Any = None, use_t: bool | None = None
    ) -> ContrastResults:
        """Test each of several linear hypotheses by itself.

        Parameters
        ----------
        r_matrix : str, list of str, array_like, or tuple
            "x1 = x2", weights of the coefficients (m, p), in units of the columns of the design, or
            (weights, right-hand sides).
        cov_p : array_like, shape (p, p), optional
            Another covariance of the coefficients, in the units of `cov_params`.
        use_t : bool, optional
            Must agree with the fit; choose t or z in `fit`.

        Returns
        -------
        statsmodels.stats.contrast.ContrastResults

        Raises
        ------
        SpecificationError
            If a hypothesis does not parse or has the wrong shape.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> test = res.t_test("alloc[random] - alloc[systematic]")
        >>> test.effect.round(3), test.sd.round(3), test.pvalue.round(3)
        (array([-0.537]), array([0.436]), np.float64(0.219))
        """
        return hypotheses.t_test(self._basis(cov_p, use_t), *self._restrictions(r_matrix))

    def wald_test(
        self,
        r_matrix: Any,
        cov_p: Any = None,
        invcov: Any = None,
        use_f: bool | None = None,
        df_constraints: Any = None,
        scalar: bool = True,
    ) -> ContrastResults:
        """Test several linear hypotheses jointly: chi-square, or F where the fit uses t.

        Parameters
        ----------
        r_matrix : str, list of str, array_like, or tuple
            As in `t_test`.
        cov_p : array_like, shape (p, p), optional
            Another covariance of the coefficients, in the units of `cov_params`.
        invcov : None
            Not used; statsmodels' signature.
        use_f : bool, optional
            Must agree with the fit; choose t or z in `fit`.
        df_constraints : None
            Not used; statsmodels' signature.
        scalar : bool
            Only True is possible: the statistic is a number.

        Returns
        -------
        statsmodels.stats.contrast.ContrastResults

        Raises
        ------
        SpecificationError
            If a hypothesis does not parse or has the wrong shape, or if they are linearly
            dependent.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> test = res.wald_test("alloc[random] = alloc[systematic]")
        >>> print(test)  # doctest: +ELLIPSIS
        <Wald test (chi2): statistic=1.51368..., p-value=0.21857..., df_denom=1>
        """
        if invcov is not None or df_constraints is not None or not scalar:
            raise SpecificationError(
                "wald_test takes neither invcov, df_constraints nor scalar=False"
            )
        return hypotheses.joint_test(self._basis(cov_p, use_f), *self._restrictions(r_matrix))

    def f_test(self, r_matrix: Any, cov_p: Any = None, invcov: Any = None) -> ContrastResults:
        """`wald_test` as an F test (with infinite denominator df under z, as in statsmodels).

        Parameters
        ----------
        r_matrix : str, list of str, array_like, or tuple
            As in `t_test`.
        cov_p : array_like, shape (p, p), optional
            Another covariance of the coefficients, in the units of `cov_params`.
        invcov : None
            Not used; statsmodels' signature.

        Returns
        -------
        statsmodels.stats.contrast.ContrastResults

        Raises
        ------
        SpecificationError
            As `wald_test`.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> test = res.f_test("alloc[random] = alloc[systematic]")
        >>> print(test)  # doctest: +ELLIPSIS
        <F test: F=1.51368..., p=0.21857..., df_denom=inf, df_num=1>
        """
        if invcov is not None:
            raise SpecificationError("f_test takes no invcov; give the covariance itself as cov_p=")
        return hypotheses.f_test(self._basis(cov_p, None), *self._restrictions(r_matrix))

    def wald_test_terms(
        self,
        skip_single: bool = False,
        extra_constraints: Any = None,
        combine_terms: list[str] | None = None,
        scalar: bool = True,
    ) -> WaldTestResults:
        """A Wald test for each term of the formula.

        Parameters
        ----------
        skip_single : bool
            Leave out terms with one coefficient.
        extra_constraints : None
            Not used; statsmodels' signature.
        combine_terms : list of str, optional
            For each string also test all terms whose name contains it, jointly.
        scalar : bool
            Only True is possible: statistics are numbers.

        Returns
        -------
        statsmodels.stats.contrast.WaldTestResults

        Raises
        ------
        SpecificationError
            For extra_constraints or scalar=False, or a text in `combine_terms` that no term has
            in its name; lists the terms.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.wald_test_terms(scalar=True).summary_frame().round(3)
                    chi2  P>chi2  df constraint
        Intercept  1.378   0.240              1
        alloc      1.768   0.413              2
        """
        if extra_constraints is not None or not scalar:
            raise SpecificationError(
                "wald_test_terms takes neither extra_constraints nor scalar=False; "
                "use f_test or wald_test for other hypotheses"
            )
        groups = {
            k: v for k, v in self.model.term_columns().items() if not skip_single or len(v) > 1
        }
        for part in combine_terms or []:
            every = self.model.term_columns().items()
            groups[part] = [c for name, columns in every if part in name for c in columns]
            if not groups[part]:
                raise SpecificationError(
                    f"combine_terms: no term has {part!r} in its name; terms are "
                    f"{', '.join(self.model.term_columns())}"
                )
        return hypotheses.terms_test(self._inference.basis, groups)

    def t_test_pairwise(
        self,
        term_name: str,
        method: str = "hs",
        alpha: float = 0.05,
        factor_labels: list[str] | None = None,
    ) -> MultiCompResult:
        """Compare all pairs of levels of a factor, with multiplicity-adjusted p-values.

        Parameters
        ----------
        term_name : str
            A main effect of the formula, such as "C(Category)".
        method : str
            Adjustment, as in statsmodels' `multipletests`.
        alpha : float
            1 - coverage of the intervals, and the level of the adjusted tests.
        factor_labels : list of str, optional
            Other labels for the levels.

        Returns
        -------
        statsmodels.stats.contrast.MultiCompResult
            `result_frame` is the table.

        Raises
        ------
        SpecificationError
            If the term is no factor of its own, or `factor_labels` are not one for each level.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        .. [1] Benjamini Y, Hochberg Y (1995). Controlling the false discovery rate: a practical and
           powerful approach to multiple testing. *Journal of the Royal Statistical Society B*
           57:289–300. doi:10.1111/j.2517-6161.1995.tb02031.x
        .. [2] Benjamini Y, Yekutieli D (2001). The control of the false discovery rate in multiple
           testing under dependency. *Annals of Statistics* 29:1165–1188. doi:10.1214/aos/1013699998
        .. [3] Holm S (1979). A simple sequentially rejective multiple test procedure. *Scandinavian
           Journal of Statistics* 6:65–70.
        .. [4] Šidák Z (1967). Rectangular confidence regions for the means of multivariate normal
           distributions. *Journal of the American Statistical Association* 62:626–633.
           doi:10.1080/01621459.1967.10482935

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> pairs = res.t_test_pairwise("alloc").result_frame
        >>> pairs[["coef", "std err"]].round(3)
                               coef  std err
        random-alternate     -0.448    0.516
        systematic-alternate  0.089    0.560
        systematic-random     0.537    0.436
        """
        levels, labels = self.model.factor_levels(term_name)
        if factor_labels is not None and len(factor_labels) != len(labels):
            raise SpecificationError(
                f"factor_labels needs one label for each of the levels {', '.join(labels)}; "
                f"got {len(factor_labels)}"
            )
        return hypotheses.pairwise_test(
            self._inference.basis, levels, factor_labels or labels, term_name, method, alpha
        )

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

    @cached_property
    def _diagnostics(self) -> Any:
        return row_diagnostics(self.fit_)

    @cached_property
    def _omnibus(self) -> Any:
        return omnibus_rows(self.fit_.problem.x)

    @property
    def _row_index(self) -> pd.Index:
        return self.model.prepared.index

    def _series(self, values: Floats, name: str) -> pd.Series:
        return pd.Series(values, index=self.params.index, name=name, copy=True)

    def _row_series(self, values: Floats, name: str) -> pd.Series:
        return pd.Series(values, index=self._row_index, name=name, copy=True)

    def _restrictions(self, r_matrix: Any) -> tuple[Floats, Floats]:
        dropped = self.model.prepared.dropped_columns
        return hypotheses.restrictions(r_matrix, list(self.params.index), dropped)

    def _basis(self, cov_p: Any, use_t: bool | None) -> Basis:
        b = self._inference.basis
        if use_t is not None and use_t is not self.use_t:
            raise SpecificationError(
                f"this fit uses {'t and F' if self.use_t else 'z and chi-square'}; "
                f"fit(use_t={use_t}) gives the other"
            )
        if cov_p is None:
            return b
        return Basis(b.beta, hypotheses.given_covariance(cov_p, self.k_fe), b.df)


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
