"""How much the effects differ, as methods of the results."""

from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats
from mvmeta.inference.coefficients.wald import contrasts, critical_value
from mvmeta.inference.components.region import LikelihoodRegion
from mvmeta.inference.heterogeneity.explained import explained, relative_heterogeneity
from mvmeta.inference.heterogeneity.limits import heterogeneity_limits
from mvmeta.inference.heterogeneity.q_and_i2 import (
    Heterogeneity,
    HeterogeneityTest,
    heterogeneity,
    heterogeneity_test,
)
from mvmeta.inference.heterogeneity.relative_limits import relative_limits
from mvmeta.inference.heterogeneity.variances import AddedVariances, Kind, mean_outer
from mvmeta.model.results.fit_holder import FitHolder
from mvmeta.model.testing.clustering import cluster_codes, cluster_labels
from mvmeta.model.testing.inference import Inference

RELATIVE = ("cvh", "m1", "m2")
"""Columns whose intervals are made of those of the variance and of the mean."""
QUANTITIES: tuple[Kind, ...] = ("variance", "i2", "share")
"""Columns of `heterogeneity` that have likelihood intervals."""


class HeterogeneityMethods(FitHolder):
    """Mixin: ``heterogeneity_test, heterogeneity, r2``."""

    # What it reads is defined by the results class it is mixed into.
    model: Any
    vcomp: Any
    _inference: Inference

    def heterogeneity_test(self) -> HeterogeneityTest:
        """QE: whether the effects differ by more than their sampling errors.

        Returns
        -------
        HeterogeneityTest
            With statistic, df (k - p) and pvalue; NaN where V is singular.

        References
        ----------
        :doc:`/explanation/model`, "Heterogeneity".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> test = res.heterogeneity_test()
        >>> round(test.statistic, 2), test.df
        (578.86, 55)
        """
        return self._heterogeneity_test

    def heterogeneity(self, alpha: float | None = 0.05, by: Any = None) -> pd.DataFrame:
        """How much effects differ: by random term and in total, with intervals.

        Parameters
        ----------
        alpha : float or None
            1 - coverage of the intervals; None leaves them out, and their cost: three or four
            evaluations of the likelihood for a limit, some tens for one on an edge.
        by : str or array_like of labels (n_given,), optional
            Describe the rows of each value on their own: a column the model uses, or values over
            the rows of the data as given.  Outcomes with variances of their own (UN, DIAG, HCS)
            have I2, CVH and M of their own like that; so have levels of a `scale` covariate.

        Returns
        -------
        DataFrame
            Index: terms and "total", with `by` below each of its values.  Columns

            - `variance`, what the term adds to the variance of a true effect, on average over
              the rows (squared units of the response);
            - `i2` = variance / (sum of variances + v), v = (k - p) / tr(P_V) the typical sampling
              variance and P_V the residual projector under V alone (Higgins & Thompson 2002,
              generalised to moderators and correlated sampling errors);
            - `share` = variance / sum of variances; for the outermost of nested levels this is
              the intraclass correlation of true effects;
            - `cvh` = sqrt(variance) / abs(mean), `m1` = sqrt(variance) / (abs(mean) +
              sqrt(variance)) and `m2` = variance / (mean^2 + variance), the mean being the
              average fitted value (Yang et al. 2025);
            - `variance_lower`, `variance_upper`, and the same of `i2` and `share`: likelihood
              intervals, NaN where a limit could not be found;
            - those of `cvh`, `m1` and `m2`, made of the intervals of the variance and of the mean
              (by the tests of this fit) as those of a ratio of independent estimates (MOVER, Zou
              & Donner 2008).  Where the interval of the mean holds 0, `cvh_upper` is infinite and
              `m1_upper` and `m2_upper` are 1.

            All but the variances are without unit, I2 and its limits shares of 1.

            With `by`, averages are over the rows of a value, and v is the sum of their 1 - h
            over that of their diagonal of P_V, h the leverages under V alone: for the mean of an
            outcome, (k - 1) / sum of P_V over its k rows.  NaN where the rows of a value only
            just determine coefficients.

        Raises
        ------
        SpecificationError
            If `alpha` is not between 0 and 1.
        DataError
            For intervals after `remove_data`, or if `by` does not fit the rows.

        See Also
        --------
        bootstrap : ``bootstrap(2000, "heterogeneity")`` gives intervals of `r2` as well.

        References
        ----------
        :doc:`/explanation/heterogeneity`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, Random, datasets
        >>> schools = datasets.load("konstantopoulos2011")
        >>> res = MetaMixedLM.from_formula(
        ...     "yi ~ 1", schools, variance="vi", groups="district/school"
        ... ).fit()
        >>> res.heterogeneity()[["i2_lower", "i2", "i2_upper"]].round(3)
                         i2_lower     i2  i2_upper
        district            0.308  0.633     0.865
        district/school     0.112  0.319     0.631
        total               0.914  0.952     0.980

        Of each outcome:

        >>> surgery = datasets.load("berkey1998")
        >>> v = datasets.covariance_blocks("berkey1998")
        >>> outcomes = Random("outcome | trial", "UN")
        >>> model = MetaMixedLM.from_formula(
        ...     "yi ~ outcome - 1", surgery, variance=v, random=outcomes
        ... )
        >>> model.fit().heterogeneity(None, by="outcome")[["variance", "i2"]].round(3)
                                 variance     i2
        outcome term
        PD      outcome | trial     0.012  0.752
                total               0.012  0.752
        AL      outcome | trial     0.033  0.949
                total               0.033  0.949
        """
        if by is not None:
            return self._heterogeneity_by(alpha, by)
        table = self._spread_table(self._heterogeneity, self._mean_effect)
        if alpha is None:
            return table
        mean = self._mean_limits(self.fit_.mean_columns, alpha)
        return self._with_intervals(table, alpha, self._added_variances, mean)

    def _heterogeneity_by(self, alpha: float | None, by: Any) -> pd.DataFrame:
        fit, prepared = self.fit_, self.model.prepared
        codes, labels = cluster_codes(prepared, by, "by"), cluster_labels(prepared, by)
        tables = {}
        for code, label in enumerate(labels):
            rows = np.flatnonzero(codes == code)
            found = heterogeneity(fit, rows)
            tables[label] = self._spread_table(found, float(fit.fitted[rows].mean()))
            if alpha is not None:
                weights = [mean_outer(t, rows) for t in fit.problem.terms]
                quantities = AddedVariances(fit.problem, found.typical, weights)
                mean = self._mean_limits(fit.problem.x[rows].mean(axis=0), alpha)
                tables[label] = self._with_intervals(tables[label], alpha, quantities, mean)
        name = by if isinstance(by, str) else getattr(by, "name", None) or "by"
        return pd.concat(tables, names=[name, "term"])

    def _spread_table(self, h: Heterogeneity, mean: float) -> pd.DataFrame:
        names = [*self.vcomp["term"].unique(), "total"]
        variance = np.append(h.variance, h.variance.sum())
        whole = variance[-1] if variance[-1] > 0 else np.nan
        relative = relative_heterogeneity(mean, variance)
        return pd.DataFrame(
            {
                "variance": variance,
                "i2": [*h.i2, h.total_i2],
                "share": variance / whole,
                "cvh": relative.cvh,
                "m1": relative.m1,
                "m2": relative.m2,
            },
            index=names,
        )

    def _mean_limits(self, row: Floats, alpha: float) -> tuple[float, float, float]:
        """A mean of X b, `row` being that of X (p,), and the limits of its interval."""
        at = contrasts(self._inference.basis, row[None])
        half = critical_value(at.df, alpha) * at.se
        low, high = (at.estimate - half, at.estimate + half)
        return float(at.estimate[0]), float(low[0]), float(high[0])

    def _with_intervals(
        self,
        table: pd.DataFrame,
        alpha: float,
        quantities: AddedVariances,
        mean: tuple[float, float, float],
    ) -> pd.DataFrame:
        region = LikelihoodRegion(self.fit_, self.model.backend, alpha)
        found = heterogeneity_limits(region, quantities)
        for kind in QUANTITIES:
            known = np.isfinite(table[kind])
            limits = pd.DataFrame(found[kind], index=table.index).where(known, axis=0)
            table[f"{kind}_lower"], table[f"{kind}_upper"] = limits["lower"], limits["upper"]
        variances = ("variance", "variance_lower", "variance_upper")
        sides = relative_limits(mean, *(table[c].to_numpy(dtype=float) for c in variances))
        for measure in RELATIVE:
            for side, at in zip(("lower", "upper"), sides, strict=True):
                table[f"{measure}_{side}"] = getattr(at, measure)
        return table

    def r2(self) -> pd.Series:
        """Share of the variance of true effects that moderators, and levels, explain.

        Returns
        -------
        Series
            Shares of 1: `marginal` = var(X b) / (var(X b) + sum of variances), and `conditional`,
            in which the variance of the levels that several rows share counts as explained
            (Nakagawa & Schielzeth 2013).  Sampling errors are left out: they are known.  NaN
            without any variance.

        Raises
        ------
        DataError
            After `remove_data`.

        See Also
        --------
        bootstrap : ``bootstrap(2000, "heterogeneity")`` gives intervals.

        References
        ----------
        :doc:`/explanation/heterogeneity`.

        .. [1] Nakagawa S, Schielzeth H (2013). A general and simple method for obtaining R2 from
           generalized linear mixed-effects models. *Methods in Ecology and Evolution* 4:133–142.
           doi:10.1111/j.2041-210x.2012.00261.x

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.r2().round(3)
        marginal       0.698
        conditional    0.698
        Name: r2, dtype: float64
        """
        at = explained(self.fit_, self._heterogeneity.variance)
        return pd.Series({"marginal": at.marginal, "conditional": at.conditional}, name="r2")

    @property
    def _added_variances(self) -> AddedVariances:
        return AddedVariances(self.fit_.problem, self._heterogeneity.typical)

    @cached_property
    def _heterogeneity_test(self) -> HeterogeneityTest:
        return heterogeneity_test(self.fit_)

    @cached_property
    def _heterogeneity(self) -> Heterogeneity:
        return heterogeneity(self.fit_)

    @cached_property
    def _mean_effect(self) -> float:
        return self.fit_.fitted_moments[0]
