"""What single rows or groups of rows do to a fit, labelled."""

from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mvmeta import plots
from mvmeta._typing import Floats, Ints
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.fitted.projection import Projection
from mvmeta.inference.influence.deletion import Deletion, deletion
from mvmeta.inference.influence.leverage import RowDiagnostics, row_diagnostics
from mvmeta.inference.influence.reestimate import Reestimated, chi_squares, reestimate
from mvmeta.inference.prediction.blup import conditional_residuals
from mvmeta.marginal.base import MarginalCovariance
from mvmeta.model.results.subset_fits import SubsetFits, subset_fits
from mvmeta.model.specification.frames import shorten


class MetaInfluence:
    """Leverage and residuals by row, deletion diagnostics by row or group.

    Parameters
    ----------
    fit : Fit
        The fit whose rows are left out.
    groups : ndarray of int, shape (n,)
        Group 0..J-1 of each row; ``arange(n)`` for single rows.
    labels : pandas.Index, length J
        Of the groups.
    index : pandas.Index, length n
        Of the rows.
    names : pandas.Index, length p
        Of the coefficients.
    components : list of str
        Names of the variance components.
    use_t : bool
        Whether intervals of coefficients are by t, else by z.
    backend : MarginalCovariance, optional
        Of the full problem: the components are then estimated again without each group;
        they are held at their estimates where it is None.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> data = datasets.load("bcg")
    >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
    >>> res = model.fit()
    >>> influence = res.get_influence(groups="trial")
    >>> influence  # doctest: +NORMALIZE_WHITESPACE
    influence of each of 13 rows (1, 2, 3, 4, 5 and 8 more) on Intercept, ablat, components held;
    summary_frame(), dfbetas, cooks_distance, leave_one_out(), plot()
    >>> influence.dfbetas.head(2).round(2)
       Intercept  ablat
    1      -0.01   0.03
    2       0.11  -0.17
    """

    def __init__(
        self,
        fit: Fit,
        groups: Ints,
        labels: pd.Index,
        index: pd.Index,
        names: pd.Index,
        *,
        components: list[str],
        use_t: bool,
        backend: MarginalCovariance | None = None,
    ) -> None:
        self._fit, self._groups, self._backend = fit, groups, backend
        self._labels, self._index, self._names = labels, index, names
        self._components, self._use_t = components, use_t

    def __repr__(self) -> str:
        rows, held = len(self._index), "held" if self._backend is None else "estimated again"
        single = len(self._labels) == rows
        what = f"each of {rows} rows" if single else f"{len(self._labels)} groups of {rows} rows"
        return (
            f"influence of {what} ({shorten(self._labels)}) on {shorten(self._names)}, components "
            f"{held}; summary_frame(), dfbetas, cooks_distance, leave_one_out(), plot()"
        )

    @cached_property
    def _projection(self) -> Projection | None:
        fit = self._fit
        return Projection(fit.problem.x, fit.factor.solve) if fit.weights is None else None

    @cached_property
    def _rows(self) -> RowDiagnostics:
        return row_diagnostics(self._fit, self._projection)

    @cached_property
    def _held(self) -> Deletion:
        return deletion(self._fit, self._groups, self._projection)

    @cached_property
    def _deletion(self) -> Deletion | Reestimated:
        if self._backend is None:
            return self._held
        return reestimate(self._fit, self._backend, self._groups)

    @property
    def hat_matrix_diag(self) -> Floats:
        """Leverage, shape (n,).

        References
        ----------
        :doc:`/explanation/model`, "Diagnostics".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> influence = model.fit().get_influence()
        >>> influence.hat_matrix_diag[:3].round(3)
        array([0.049, 0.149, 0.035])
        """
        return self._rows.leverage

    @property
    def resid_studentized_internal(self) -> Floats:
        """Residuals over their standard errors, shape (n,).

        Without unit; NaN where a row determines a coefficient by itself.

        References
        ----------
        :doc:`/explanation/model`, "Diagnostics".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> res = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study").fit()
        >>> res.get_influence().resid_studentized_internal.round(3)
        array([-1.571, -1.   , -0.428,  0.714,  1.285])
        """
        return self._rows.studentized

    @property
    def resid_studentized_external(self) -> Floats:
        """Residuals from the fit without the row's group, over their standard errors, (n,).

        Without unit.  The variance is ``M_ii + x_i cov_(S) x_i'``, as metafor has it.

        References
        ----------
        :doc:`/explanation/model`, "Diagnostics".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> influence = model.fit().get_influence(reestimate=True)
        >>> influence.resid_studentized_external[:3].round(3)
        array([ 0.226, -0.482, -0.544])
        """
        return self._deletion.studentized

    @property
    def resid_studentized_conditional(self) -> Floats:
        """Conditional residuals y - X b - Z u_hat over their standard errors, (n,).

        Without unit.  Whether the estimate of a row lies far from its own true effect, as
        predicted: a matter of its sampling error. The other residuals also see true effects that
        are far from the mean.

        Raises
        ------
        SpecificationError
            Under user weights, where random effects are not predicted.

        References
        ----------
        :doc:`/explanation/model`, "Diagnostics".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> res = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study").fit()
        >>> res.get_influence().resid_studentized_conditional.round(3).tolist()
        [-19.372, -0.007, 19.357, -11.167, 11.192]
        """
        return conditional_residuals(self._fit).studentized

    @property
    def cooks_distance(self) -> Floats:
        """``d' inv(cov) d``, d the change of the coefficients, shape (J,); not divided by p.

        Without unit: a squared distance in standard errors of the coefficients.

        References
        ----------
        :doc:`/explanation/model`, "Diagnostics".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> influence = model.fit().get_influence()
        >>> influence.cooks_distance[:3].round(3)
        array([0.003, 0.042, 0.011])
        """
        return self._deletion.cooks_distance

    @property
    def dfbetas(self) -> pd.DataFrame:
        """Change of each coefficient in standard errors of the full fit, shape (J, p).

        References
        ----------
        :doc:`/explanation/model`, "Diagnostics".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> influence = model.fit().get_influence()
        >>> influence.dfbetas.head(3).round(3)
           Intercept  ablat
        0     -0.014  0.033
        1      0.111 -0.175
        2      0.019 -0.061
        """
        return pd.DataFrame(self._deletion.dfbetas, index=self._labels, columns=self._names)

    @property
    def cov_ratio(self) -> Floats:
        """Determinant of the covariance of the coefficients without each group over that with it.

        Without unit, shape (J,); above 1 where the group adds precision.

        References
        ----------
        :doc:`/explanation/model`, "Diagnostics".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> influence = model.fit().get_influence()
        >>> influence.cov_ratio[:3].round(3)
        array([1.052, 1.175, 1.036])
        """
        return self._deletion.covratio

    @property
    def cluster_chi2(self) -> pd.DataFrame:
        """Chi-square of the deleted residuals of each group, jointly: statistic and df.

        Both are without unit.  Components are those estimated without the group, or held at their
        estimates, as in all else here.

        References
        ----------
        :doc:`/explanation/model`, "Diagnostics".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> influence = model.fit().get_influence()
        >>> influence.cluster_chi2.round(2).head(3)
           statistic  df
        0       0.05   1
        1       0.24   1
        2       0.30   1
        """
        found = self._deletion
        statistic = (
            chi_squares(self._fit, self._groups, found)
            if isinstance(found, Reestimated)
            else found.statistic
        )
        size = np.bincount(self._groups, minlength=len(self._labels))
        return pd.DataFrame({"statistic": statistic, "df": size}, index=self._labels)

    @property
    def not_estimated(self) -> list[object]:
        """Labels of groups without which X loses rank, or the likelihood has no maximum.

        What leaving them out does is NaN.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> res.get_influence(groups="Study").not_estimated
        [1]
        """
        lost = np.flatnonzero(np.isnan(self._deletion.shift).any(axis=1))
        return list(self._labels[lost])

    @property
    def leverage(self) -> pd.Series:
        """Sum of the hat values of each group, length J; their sum is p under GLS weights.

        References
        ----------
        :doc:`/explanation/model`, "Diagnostics".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> influence = model.fit().get_influence()
        >>> influence.leverage.head(3).round(3)
        0    0.049
        1    0.149
        2    0.035
        Name: leverage, dtype: float64
        """
        total = np.bincount(self._groups, self.hat_matrix_diag, minlength=len(self._labels))
        return pd.Series(total, index=self._labels, name="leverage")

    def leave_one_out(self) -> SubsetFits:
        """The coefficients without each group, as of `MetaMixedLMResults.leave_one_out`.

        Returns
        -------
        SubsetFits

        References
        ----------
        See :meth:`mvmeta.MetaMixedLMResults.leave_one_out`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> influence = res.get_influence(groups="trial")
        >>> influence.leave_one_out().params.head(2).round(3)
                  Intercept  ablat
        left out
        1             0.255 -0.029
        2             0.224 -0.028
        """
        found, fit = self._deletion, self._fit
        theta = found.theta if isinstance(found, Reestimated) else None
        return subset_fits(
            fit.beta - found.shift,
            found.se,
            np.tile(fit.theta, (len(self._labels), 1)) if theta is None else theta,
            fit.problem.n - np.bincount(self._groups),
            labels=self._labels.rename("left out"),
            components=self._components,
            names=self._names,
            fit=fit,
            use_t=self._use_t,
        )

    def plot(self, coefficient: str | None = None, ax: Any = None, **kwargs: Any) -> Any:
        """Panels of what leaving out each group does.

        Parameters
        ----------
        coefficient : str, optional
            Whose estimates are drawn; the first unless given.
        ax : matplotlib Axes, optional
            To draw one panel on; a figure of its own unless given.
        **kwargs
            As in `mvmeta.plots.influence`.

        Returns
        -------
        matplotlib.figure.Figure

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> influence = res.get_influence(groups="trial")
        >>> figure = influence.plot()
        """
        return plots.influence(self, coefficient, ax, **kwargs)

    def summary_frame(self) -> pd.DataFrame:
        """Diagnostics of the rows.

        Columns hat_diag, resid, resid_se, student_resid, student_resid_external, resid_pearson,
        and cooks_d of the row's group.

        Returns
        -------
        pandas.DataFrame
            One row per row of the data, also where groups are left out; resid and resid_se are in
            units of the response, the others without unit.

        References
        ----------
        :doc:`/explanation/model`, "Diagnostics".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> influence = res.get_influence(groups="trial")
        >>> influence.summary_frame().iloc[:2, :2].round(3)
           hat_diag  resid
        0     0.049  0.140
        1     0.149 -0.236
        """
        rows = self._rows
        columns = {
            "hat_diag": rows.leverage,
            "resid": rows.resid,
            "resid_se": rows.resid_se,
            "student_resid": rows.studentized,
            "student_resid_external": self.resid_studentized_external,
            "resid_pearson": rows.pearson,
            "cooks_d": np.asarray(self.cooks_distance)[self._groups],
        }
        return pd.DataFrame(columns, index=self._index)
