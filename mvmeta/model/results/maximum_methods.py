"""The maximum of the likelihood, and how it was reached, as methods of the results."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd

from mvmeta.inference.comparison.criteria import InfoCriteria, info_criteria
from mvmeta.model.results.fit_holder import FitHolder
from mvmeta.optimize.maximize import Optimum
from mvmeta.optimize.status import Status


class MaximumMethods(FitHolder):
    """Mixin: ``llf``, ``info_criteria`` and its parts, ``status``, ``certificate``, ``history``."""

    # What it reads is defined by the results class it is mixed into.
    reml: bool
    component_labels: list[str]
    _optimum: Optimum

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

    @cached_property
    def _criteria(self) -> dict[bool, InfoCriteria]:
        return {reml: info_criteria(self.fit_, reml=reml) for reml in (True, False)}

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
