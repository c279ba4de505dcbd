"""Differences and other combinations of marginal means."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats, Ints
from mvmeta.inference.coefficients.multiplicity import (
    SIMULTANEOUS,
    Family,
    adjusted,
    critical,
    method_of,
)
from mvmeta.inference.coefficients.wald import Contrasts
from mvmeta.model.results.backtransform import transformed
from mvmeta.model.results.mean_rows import MeanRows, MeansInput, grouped, with_notes
from mvmeta.model.specification.rank import independent_columns


class Comparisons:
    """Differences and other combinations of marginal means, with adjusted p-values.

    Made by `MarginalMeans.pairwise` and `MarginalMeans.contrast`; prints as a table.

    Attributes
    ----------
    adjust : str
        Adjustment of the p-values.
    notes : list of str

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> data = datasets.load("bcg")
    >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
    >>> res = model.fit()
    >>> means = res.marginal_means("alloc")
    >>> pairs = means.pairwise()
    >>> len(pairs.summary_frame())
    3
    """

    def __init__(
        self,
        source: MeansInput,
        rows: MeanRows,
        adjust: str,
        *,
        means: Sequence[int] = (),
        null: float = 0.0,
    ) -> None:
        self._s, self._rows, self.adjust = source, rows, method_of(adjust)
        self._means, self._null = list(means), null
        self.notes = [*(n for n in source.notes if "not determine" in n), *self._said()]

    def _said(self) -> list[str]:
        groups = grouped(self._rows.labels, self._s.by)
        most = max((int(self._rows.estimable[at].sum()) for at in groups), default=0)
        if self.adjust == "none" or most < 2:
            return []
        intervals = "hold together" if self.adjust in SIMULTANEOUS else "are not adjusted"
        within = f" within levels of {', '.join(self._s.by)}" if self._s.by else ""
        return [f"P-values are adjusted by {self.adjust!r}{within}; intervals {intervals}."]

    @cached_property
    def _found(self) -> Contrasts:
        return self._rows.contrasts(self._s.basis, self._null)

    def _families(self) -> list[tuple[Ints, Family]]:
        """Positions that are adjusted together, within a level of `by`."""
        out = []
        groups = grouped(self._rows.labels, self._s.by)
        for at, means in zip(groups, self._means or [len(at) for at in groups], strict=True):
            rows = self._rows.rows[at[self._rows.estimable[at]]]
            rank = int(independent_columns(rows.T).sum()) if rows.any() else 1
            out.append((at, Family(max(means, 2), rank)))
        return out

    def pvalues(self) -> Floats:
        """Adjusted p-values, shape (m,).

        Returns
        -------
        ndarray, shape (m,)
            P-values, adjusted for m comparisons as `adjust` says.

        References
        ----------
        .. [1] Benjamini Y, Hochberg Y (1995). Controlling the false discovery rate: a practical and
           powerful approach to multiple testing. *Journal of the Royal Statistical Society B*
           57:289–300. doi:10.1111/j.2517-6161.1995.tb02031.x
        .. [2] Benjamini Y, Yekutieli D (2001). The control of the false discovery rate in multiple
           testing under dependency. *Annals of Statistics* 29:1165–1188. doi:10.1214/aos/1013699998
        .. [3] Holm S (1979). A simple sequentially rejective multiple test procedure. *Scandinavian
           Journal of Statistics* 6:65–70.
        .. [4] Kramer CY (1956). Extension of multiple range tests to group means with unequal
           numbers of replications. *Biometrics* 12:307–310. doi:10.2307/3001469
        .. [5] Scheffé H (1953). A method for judging all contrasts in the analysis of variance.
           *Biometrika* 40:87–104. doi:10.1093/biomet/40.1-2.87
        .. [6] Šidák Z (1967). Rectangular confidence regions for the means of multivariate normal
           distributions. *Journal of the American Statistical Association* 62:626–633.
           doi:10.1080/01621459.1967.10482935

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> means = res.marginal_means("alloc")
        >>> pairs = means.pairwise()
        >>> pairs.pvalues().round(3)
        array([0.771, 0.874, 0.656])
        """
        out = np.full(len(self._rows.labels), np.nan)
        for at, family in self._families():
            out[at] = adjusted(self._found.statistic[at], self._found.df[at], self.adjust, family)
        return out

    def conf_int(self, alpha: float = 0.05) -> Floats:
        """Limits (m, 2): intervals that hold together where `adjust` allows it.

        That is for tukey, scheffe, bonferroni and sidak; each for itself otherwise.

        Parameters
        ----------
        alpha : float
            1 - coverage.

        Returns
        -------
        ndarray, shape (m, 2)
            In units of the response.

        References
        ----------
        See :meth:`pvalues`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> means = res.marginal_means("alloc")
        >>> pairs = means.pairwise()
        >>> pairs.conf_int().round(3)
        array([[-1.459,  0.563],
               [-1.009,  1.187],
               [-0.318,  1.392]])
        """
        half = np.full(len(self._rows.labels), np.nan)
        for at, family in self._families():
            count = int(self._rows.estimable[at].sum())
            factor = critical(self._found.df[at], alpha, self.adjust, family, count)
            half[at] = factor * self._found.se[at]
        return np.column_stack([self._found.estimate - half, self._found.estimate + half])

    def test_frame(self) -> pd.DataFrame:
        """Columns estimate, se, df, statistic, pvalue (adjusted).

        Returns
        -------
        pandas.DataFrame
            One row per comparison; estimate and se are in units of the response.

        References
        ----------
        See :meth:`pvalues`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> means = res.marginal_means("alloc")
        >>> pairs = means.pairwise()
        >>> pairs.test_frame().iloc[:, :2].round(3)
                                estimate     se
        contrast
        random - alternate        -0.448  0.516
        systematic - alternate     0.089  0.560
        systematic - random        0.537  0.436
        """
        f = self._found
        return pd.DataFrame(
            {
                "estimate": f.estimate,
                "se": f.se,
                "df": f.df,
                "statistic": f.statistic,
                "pvalue": self.pvalues(),
            },
            index=self._rows.index,
        )

    def summary_frame(self, alpha: float = 0.05, transform: Any = None) -> pd.DataFrame:
        """The comparisons with tests and intervals.

        Parameters
        ----------
        alpha : float
            1 - coverage, of all intervals of a family together where `adjust` allows it.
        transform : callable or str, optional
            Applied to estimates and limits: with "exp" differences of logarithms are ratios.
            se is NaN then.

        Returns
        -------
        DataFrame, shape (m, 7)
            Columns estimate, se, df, statistic (t, or z), pvalue (adjusted), ci_lower, ci_upper;
            the estimate, its standard error and limits are in units of the response, or on the
            scale of `transform`.  NaN where a mean is not estimable.

        References
        ----------
        See :meth:`pvalues`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> means = res.marginal_means("alloc")
        >>> pairs = means.pairwise()
        >>> pairs.summary_frame().iloc[:, :2].round(3)
                                estimate     se
        contrast
        random - alternate        -0.448  0.516
        systematic - alternate     0.089  0.560
        systematic - random        0.537  0.436
        """
        frame, limits = self.test_frame(), self.conf_int(alpha)
        lower, upper = limits.T
        if transform is not None:
            estimate, lower, upper = transformed(
                transform, (self._found.estimate, lower, upper), back=self._s.back
            )
            frame["estimate"], frame["se"] = estimate, np.nan
        frame["ci_lower"], frame["ci_upper"] = lower, upper
        return frame

    @property
    def weights(self) -> pd.DataFrame:
        """Weights (m, p) of the coefficients; NaN where not estimable.

        In the units of the design: without unit, but for numeric moderators.

        References
        ----------
        See :meth:`mvmeta.MetaMixedLMResults.marginal_means`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> res.marginal_means("Category").pairwise().weights
                  C(Category)[A]  C(Category)[B]  C(Category)[C]
        contrast
        B - A               -1.0             1.0             0.0
        C - A               -1.0             0.0             1.0
        C - B                0.0            -1.0             1.0
        """
        rows = np.where(self._rows.estimable[:, None], self._rows.rows, np.nan)
        return pd.DataFrame(rows, index=self._rows.index, columns=self._s.names)

    def __repr__(self) -> str:
        return with_notes(self.summary_frame(), self.notes)
