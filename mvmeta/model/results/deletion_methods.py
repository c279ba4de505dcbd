"""What single studies and the order of studies do to a fit, as methods of the results."""

from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Ints
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.collinearity import inflation
from mvmeta.inference.influence.cholesky_residuals import cholesky_residuals
from mvmeta.inference.influence.cumulative import cumulative
from mvmeta.model.results.fit_holder import FitHolder
from mvmeta.model.results.subset_fits import SubsetFits, subset_fits
from mvmeta.model.testing.clustering import cluster_codes, cluster_labels


class DeletionMethods(FitHolder):
    """Mixin: ``leave_one_out, cumulative, vif, resid_cholesky``."""

    # What it reads is defined by the results class it is mixed into.
    model: Any
    params: Any
    use_t: Any
    cov_params: Any
    component_labels: list[str]
    get_influence: Any
    _row_index: Any
    _row_series: Any

    @property
    def resid_cholesky(self) -> pd.Series:
        """Residuals that are uncorrelated with variance 1 under the model, length n.

        ``R e`` with R upper triangular and R'R = inv(M); they are without unit and depend on the
        order of the rows.

        References
        ----------
        :doc:`/explanation/model`, "Diagnostics".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> res = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study").fit()
        >>> res.resid_cholesky.round(3)
        0   -19.371
        1   -11.188
        2    -0.303
        3   -11.166
        4     0.909
        Name: resid_cholesky, dtype: float64
        """
        return self._row_series(cholesky_residuals(self.fit_), "resid_cholesky")

    def leave_one_out(self, by: Any = None, reestimate: bool = True) -> SubsetFits:
        """The coefficients without each row or group of rows.

        Parameters
        ----------
        by : str or array_like of labels (n_given,), optional
            What is left out together: a column the model uses, or values over the rows of the
            data as given.  Single rows unless said.
        reestimate : bool
            Estimate the components again each time (a warm-started fit each), else hold them
            (closed form: all of them at about the cost of one fit).

        Returns
        -------
        SubsetFits
            ``summary_frame()`` is the table; its intervals are by z, or by t with rows - p degrees
            of freedom if the fit has t tests of any kind (`sensitivity` has those of the fit's own
            tests).  A fit that does not exist is NaN and listed in ``not_estimated``.

        Raises
        ------
        DataError
            If the groups do not fit the rows, or after `remove_data`.
        SpecificationError
            Under user weights.

        References
        ----------
        .. [1] Viechtbauer W, Cheung MWL (2010). Outlier and influence diagnostics for
           meta-analysis. *Research Synthesis Methods* 1:112–125. doi:10.1002/jrsm.11

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> res = MetaMixedLM.from_formula("yi ~ 1", bcg, variance="vi", groups="trial").fit()
        >>> table = res.leave_one_out().summary_frame()
        >>> table["shift"].abs().idxmax()
        (3, 'Intercept')
        """
        if by is not None:
            cluster_codes(self.model.prepared, by, "by")  # complains of `by`, not of groups
        found: SubsetFits = self.get_influence(by, reestimate).leave_one_out()
        return found

    def cumulative(self, by: Any) -> SubsetFits:
        """The coefficients from the first studies, and how they change as more are added.

        Parameters
        ----------
        by : str or array_like (n_given,)
            What orders the rows, in any one unit, such as a year: a column the model uses, or
            values over the rows of the data as given.  Rows with equal values enter together.

        Returns
        -------
        SubsetFits
            One fit for each value, to the rows up to and including it, components estimated
            each time; NaN where the rows do not determine the coefficients yet.

        Raises
        ------
        DataError
            If `by` does not fit the rows, or after `remove_data`.
        SpecificationError
            Under user weights, or for values that have no order.

        References
        ----------
        .. [1] Lau J, Schmid CH, Chalmers TC (1995). Cumulative meta-analysis of clinical trials
           builds evidence for exemplary medical care. *Journal of Clinical Epidemiology* 48:45–57.
           doi:10.1016/0895-4356(94)00106-Z

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> res.cumulative(by="district").params.tail(3).round(3)
               Intercept
        up to
        91         0.208
        108        0.186
        644        0.185
        """
        codes, labels = self._groups(by)
        order = _order(labels)
        rank = np.empty(len(order), dtype=np.intp)
        rank[order] = np.arange(len(order))
        found = cumulative(self.fit_, rank[codes])
        return subset_fits(
            *(found.beta, found.se, found.theta, found.rows),
            labels=labels[order].rename("up to"),
            components=list(self.component_labels),
            names=self.params.index,
            fit=self.fit_,
            use_t=bool(self.use_t),
        )

    def vif(self) -> pd.DataFrame:
        """How much collinearity with the other moderators inflates the variances.

        Returns
        -------
        DataFrame
            Index: terms of the formula but the intercept; columns `df` (coefficients), `gvif`
            (generalised variance inflation factor, from the covariance of the coefficients; Fox &
            Monette 1992) and `gsif` = gvif^(1 / (2 df)), the inflation of standard errors.  All are
            without unit.

        Raises
        ------
        SpecificationError
            If there are no two moderators.

        References
        ----------
        .. [1] Fox J, Monette G (1992). Generalized collinearity diagnostics. *Journal of the
           American Statistical Association* 87:178–183. doi:10.2307/2290467

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> formula = "yi ~ ablat + year"
        >>> model = MetaMixedLM.from_formula(formula, data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.vif().round(2)
               df  gvif  gsif
        ablat   1  1.54  1.24
        year    1  1.54  1.24
        """
        columns = {k: v for k, v in self.model.prepared.term_columns.items() if v}
        x = self.fit_.problem.x
        constant = {j for j in range(x.shape[1]) if np.ptp(x[:, j]) == 0}
        keep = [j for j in range(x.shape[1]) if j not in constant]
        if len(keep) < 2:
            raise SpecificationError(
                "variance inflation compares moderators: the model has "
                f"{len(keep)} coefficient{'' if len(keep) == 1 else 's'} besides the intercept"
            )
        place = {j: i for i, j in enumerate(keep)}
        sets = {name: [place[j] for j in v if j in place] for name, v in columns.items()}
        sets = {name: v for name, v in sets.items() if v}
        cov = self.cov_params().to_numpy()[np.ix_(keep, keep)]
        gvif = inflation(cov, [np.array(v) for v in sets.values()])
        df = np.array([len(v) for v in sets.values()])
        return pd.DataFrame({"df": df, "gvif": gvif, "gsif": gvif ** (0.5 / df)}, index=list(sets))

    def _groups(self, by: Any) -> tuple[Ints, pd.Index]:
        prepared = self.model.prepared
        return cluster_codes(prepared, by, "by"), cluster_labels(prepared, by)


def _order(labels: pd.Index) -> Ints:
    try:
        return np.asarray(labels.argsort(), dtype=np.intp)
    except TypeError:
        raise SpecificationError(
            f"cumulative(by=) wants values with an order, such as a year; got {labels[0]!r} and "
            f"others of type {', '.join(sorted({type(v).__name__ for v in labels}))}"
        ) from None
