"""Publication bias, as methods of the results."""

from typing import Any

from mvmeta.model.results.fit_holder import FitHolder
from mvmeta.model.results.small_study import SmallStudyEffects, small_study_effects
from mvmeta.model.testing.clustering import AUTO


class PublicationMethods(FitHolder):
    """Mixin: ``small_study_effects``."""

    def small_study_effects(
        self, by: Any = None, cov_type: str = AUTO, alpha: float = 0.05
    ) -> SmallStudyEffects:
        """Whether less precise estimates are larger, and what is left without that.

        A multilevel Egger regression: the model again with its standard errors (PET) or its
        sampling variances (PEESE) as one more moderator, random effects estimated again, and
        cluster-robust tests.

        Parameters
        ----------
        by : str or array_like (n_given,), optional
            What stands for the standard errors where these depend on the effect itself, such as
            ``sqrt(1/n1 + 1/n2)`` for standardized mean differences (Pustejovsky & Rodgers 2019,
            Res Synth Methods 10:57); PEESE is then left out.
        cov_type : str
            As in `MetaMixedLM.fit`; "robust" chooses clusters and estimator by the model.
        alpha : float
            1 - coverage of the intervals.

        Returns
        -------
        SmallStudyEffects
            Prints as text; `test`, `adjusted`, `chosen` and the fits `pet` and `peese`.

        Raises
        ------
        SpecificationError
            If precision does not vary or is a combination of the moderators.
        DataError
            If `by` does not fit the rows or is not >= 0, or after `remove_data`.

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
        return small_study_effects(self, by, cov_type, alpha)  # type: ignore[arg-type]
