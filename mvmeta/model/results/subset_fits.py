"""Fits to parts of the data, side by side."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mvmeta._typing import Floats, Ints
from mvmeta.inference.coefficients.wald import check_alpha, critical_value
from mvmeta.inference.fitted.fit import Fit
from mvmeta.model.specification.frames import shorten


@dataclass(frozen=True, eq=False)
class SubsetFits:
    """J fits to parts of the data.

    Attributes
    ----------
    params, bse : DataFrame, shape (J, p)
        Coefficients and standard errors, in the units of the fit to all rows; NaN where the rows do
        not determine them.
    vcomp : DataFrame, shape (J, n_components)
        Components, in the units of `MetaMixedLMResults.vcomp`; the same in all rows where they were
        held.
    rows : Series of int, length J
        Rows in each fit.
    full, full_bse : Series, length p
        Coefficients and standard errors of the fit to all rows, in units of the response per unit
        of their column.
    full_rows : int
        Rows in it.
    use_t : bool
        Whether intervals are by t with rows - p degrees of freedom, else by z.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> data = datasets.load("konstantopoulos2011")
    >>> nested = "district/school"
    >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
    >>> fits = res.leave_one_out("district")
    >>> fits.params.head(3).round(3)
              Intercept
    left out
    11            0.207
    12            0.195
    18            0.167
    """

    params: pd.DataFrame
    bse: pd.DataFrame
    vcomp: pd.DataFrame
    rows: pd.Series
    full: pd.Series
    full_bse: pd.Series
    full_rows: int
    use_t: bool

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """One row per fit and coefficient.

        Parameters
        ----------
        alpha : float
            1 - coverage.

        Returns
        -------
        DataFrame
            Columns estimate, se, lower, upper, shift (from the fit to all rows), all in the unit of
            the coefficient, and n_rows.

        Raises
        ------
        SpecificationError
            If `alpha` is not between 0 and 1.

        References
        ----------
        See :meth:`mvmeta.MetaMixedLMResults.leave_one_out`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
        >>> fits = res.leave_one_out("district")
        >>> fits.summary_frame()[["estimate", "shift", "n_rows"]].head(3).round(3)
                              estimate  shift  n_rows
        left out coefficient
        11       Intercept       0.207  0.022      52
        12       Intercept       0.195  0.011      52
        18       Intercept       0.167 -0.017      53
        """
        p = self.params.shape[1]
        half = self._critical(self.rows.to_numpy(), alpha)[:, None] * self.bse
        wide = {
            "estimate": self.params,
            "se": self.bse,
            "lower": self.params - half,
            "upper": self.params + half,
            "shift": self.params - self.full,
        }
        columns = {name: frame.to_numpy().ravel() for name, frame in wide.items()}
        index = pd.MultiIndex.from_product(
            [self.params.index, self.params.columns], names=[self.params.index.name, "coefficient"]
        )
        return pd.DataFrame(columns | {"n_rows": np.repeat(self.rows.to_numpy(), p)}, index=index)

    def full_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """The fit to all rows, with intervals by the rule of the others.

        Parameters
        ----------
        alpha : float
            1 - coverage.

        Returns
        -------
        DataFrame, shape (p, 4)
            Columns estimate, se, lower, upper, in the unit of the coefficient.

        References
        ----------
        See :meth:`mvmeta.MetaMixedLMResults.leave_one_out`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
        >>> fits = res.leave_one_out("district")
        >>> fits.full_frame().round(3)
                   estimate     se  lower  upper
        Intercept     0.185  0.085  0.019   0.35
        """
        half = self._critical(np.array([self.full_rows]), alpha)[0] * self.full_bse
        return pd.DataFrame(
            {
                "estimate": self.full,
                "se": self.full_bse,
                "lower": self.full - half,
                "upper": self.full + half,
            }
        )

    def _critical(self, rows: Ints, alpha: float) -> Floats:
        check_alpha(alpha)
        df: Floats = np.full(len(rows), np.inf)
        if self.use_t:
            df = np.maximum(rows - self.params.shape[1], 1).astype(float)
        return np.asarray(critical_value(df, alpha), dtype=float)

    @property
    def not_estimated(self) -> list[object]:
        """Labels of fits that do not exist: X loses rank, or the likelihood has no maximum.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
        >>> fits = res.leave_one_out("district")
        >>> fits.not_estimated
        []
        """
        return list(self.params.index[self.params.isna().any(axis=1)])

    def __repr__(self) -> str:
        lost = self.not_estimated
        note = f"\nnot estimated: {shorten(lost)}" if lost else ""
        return f"{self.summary_frame()}{note}"


def subset_fits(
    beta: Floats,
    se: Floats,
    theta: Floats,
    rows: Ints,
    *,
    labels: pd.Index,
    components: list[str],
    names: pd.Index,
    fit: Fit,
    use_t: bool,
) -> SubsetFits:
    """Label arrays of J fits to parts of the rows of `fit`; see `SubsetFits`."""
    return SubsetFits(
        pd.DataFrame(beta, index=labels, columns=names),
        pd.DataFrame(se, index=labels, columns=names),
        pd.DataFrame(theta, index=labels, columns=components),
        pd.Series(rows, index=labels, name="n_rows"),
        pd.Series(fit.beta, index=names),
        pd.Series(np.sqrt(np.diag(fit.cov_beta)), index=names),
        fit.problem.n,
        use_t,
    )
