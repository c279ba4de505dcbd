"""Publication bias, as methods of the results."""

from typing import Any

from mvmeta.model.results.fit_holder import FitHolder
from mvmeta.model.results.small_study import SmallStudyEffects, small_study_effects
from mvmeta.model.testing.clustering import AUTO


class PublicationMethods(FitHolder):
    """Mixin: ``small_study_effects``."""

    def small_study_effects(
        self,
        by: Any = None,
        cov_type: str = AUTO,
        alpha: float = 0.05,
        *,
        groups: Any = None,
    ) -> SmallStudyEffects:
        """Whether less precise estimates are larger, and what is left without that.

        A multilevel Egger regression: the model again with its standard errors (PET) or its
        sampling variances (PEESE) as one more moderator, random effects estimated again, and
        cluster-robust tests.

        Parameters
        ----------
        by : str or array_like (n_given,), optional
            What stands for the standard errors, in any one unit, where these depend on the effect
            itself, such as ``sqrt(1/n1 + 1/n2)`` for standardized mean differences (Pustejovsky &
            Rodgers 2019); PEESE is then left out.
        cov_type : str
            As in `MetaMixedLM.fit`; "robust" chooses clusters and estimator by the model.
        alpha : float
            1 - coverage of the intervals.
        groups : str or array_like of labels (n_given,), optional
            Studies, as in `get_robustcov_results`: the funnel of studies is tested instead of
            that of rows.  The moderator is then the standard error of the mean of each study by
            generalised least squares under V (or the average of `by` over its rows).

        Returns
        -------
        SmallStudyEffects
            Prints as text; `test`, `adjusted`, `chosen`, the fits `pet` and `peese`, and with
            `groups` the means of the `studies`.

        Raises
        ------
        SpecificationError
            If precision does not vary or is a combination of the moderators, or there are no
            more rows than coefficients; with `groups` if V is singular.
        CovarianceError
            With `groups`, if V links estimates of two of them.
        DataError
            If `by` or `groups` do not fit the rows, `by` is not >= 0, or after `remove_data`.

        Notes
        -----
        Which level: studies as wholes are published or not, and a test at their level asks whether
        small studies have larger effects.  One at the level of rows also sees outcomes that were
        reported for their size.  With one random intercept of the studies the test with `groups` is
        the regression of aggregated estimates of Rodgers & Pustejovsky (2021); V must hold the
        covariances within studies for it (see `vcalc`), else studies with many rows look more
        precise than they are.

        References
        ----------
        :doc:`/how-to/publication-bias`.

        .. [1] Egger M, Davey Smith G, Schneider M, Minder C (1997). Bias in meta-analysis detected
           by a simple, graphical test. *British Medical Journal* 315:629–634.
           doi:10.1136/bmj.315.7109.629
        .. [2] Pustejovsky JE, Rodgers MA (2019). Testing for funnel plot asymmetry of standardized
           mean differences. *Research Synthesis Methods* 10:57–71. doi:10.1002/jrsm.1332
        .. [3] Rodgers MA, Pustejovsky JE (2021). Evaluating meta-analytic methods to detect
           selective reporting in the presence of dependent effect sizes. *Psychological Methods*
           26:141–160. doi:10.1037/met0000300
        .. [4] Stanley TD, Doucouliagos H (2014). Meta-regression approximations to reduce
           publication selection bias. *Research Synthesis Methods* 5:60–78. doi:10.1002/jrsm.1095

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> res = MetaMixedLM.from_formula("yi ~ 1", bcg, variance="vi", groups="trial").fit()
        >>> found = res.small_study_effects(cov_type="nonrobust")
        >>> round(float(found.test["statistic"]), 2)
        -0.8
        """
        _ = self.fit_  # says so where the data were removed
        return small_study_effects(self, by, cov_type, alpha, groups)  # type: ignore[arg-type]
