"""Marginal means: means of levels, averaged over everything else, and their differences."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.multiplicity import method_of
from mvmeta.inference.coefficients.wald import wald_test
from mvmeta.inference.prediction.predict import Prediction
from mvmeta.model.results.backtransform import transformed
from mvmeta.model.results.comparisons import Comparisons
from mvmeta.model.results.contrast_weights import named_weights, text_of
from mvmeta.model.results.mean_rows import MeanRows, MeansInput, grouped, with_notes
from mvmeta.model.specification.levels import level_texts
from mvmeta.model.specification.rank import independent_columns


class MarginalMeans:
    """Means of true effects at levels of moderators, the others averaged over.

    Made by `MetaMixedLMResults.marginal_means`; prints as a table.

    Parameters
    ----------
    source : MeansInput

    Attributes
    ----------
    notes : list of str
        What the data do not determine, and what an average hides.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> data = datasets.load("bcg")
    >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
    >>> res = model.fit()
    >>> means = res.marginal_means("alloc")
    >>> means.summary_frame().iloc[:, :2].round(3)
                 mean  mean_se
    alloc
    alternate  -0.518    0.441
    random     -0.966    0.267
    systematic -0.429    0.345
    """

    def __init__(self, source: MeansInput) -> None:
        self._s = source
        self._rows = MeanRows(source.labels, source.rows, source.estimable)
        self.notes = list(source.notes)

    @property
    def index(self) -> pd.Index:
        """Labels of the means: levels of `by`, then those that are compared.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> res.marginal_means("Category").index.tolist()
        ['A', 'B', 'C']
        """
        return self._rows.index

    @property
    def weights(self) -> pd.DataFrame:
        """Weights (m, p) of the coefficients in the means; NaN where not estimable.

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
        >>> res.marginal_means("Category").weights
                  C(Category)[A]  C(Category)[B]  C(Category)[C]
        Category
        A                    1.0             0.0             0.0
        B                    0.0             1.0             0.0
        C                    0.0             0.0             1.0
        """
        rows = np.where(self._s.estimable[:, None], self._s.rows, np.nan)
        return pd.DataFrame(rows, index=self.index, columns=self._s.names)

    def summary_frame(self, alpha: float = 0.05, transform: Any = None) -> pd.DataFrame:
        """The means with intervals.

        Parameters
        ----------
        alpha : float
            1 - coverage of all intervals, each for itself.
        transform : callable or str, optional
            Applied to means and limits, as in `PredictionResults.summary_frame`; mean_se is NaN
            then.

        Returns
        -------
        DataFrame, shape (m, 7)
            Columns mean, mean_se, df (of the fit; inf under z), mean_ci_lower, mean_ci_upper,
            obs_ci_lower, obs_ci_upper (a new true effect there; NaN where its variance differs
            among what is averaged over).  All but df are in units of the response, or on the scale
            of `transform`.  NaN where the mean is not estimable.

        References
        ----------
        See :meth:`mvmeta.MetaMixedLMResults.marginal_means`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> means = res.marginal_means("alloc")
        >>> means.summary_frame().round(3).iloc[:, :4]
                     mean  mean_se   df  mean_ci_lower
        alloc
        alternate  -0.518    0.441  inf         -1.383
        random     -0.966    0.267  inf         -1.490
        systematic -0.429    0.345  inf         -1.105
        """
        found = self._rows.contrasts(self._s.basis)
        new_se = np.sqrt(found.se**2 + self._s.heterogeneity)
        p = Prediction(found.estimate, found.se, new_se, found.df)
        mean, obs = p.confidence_interval(alpha), p.prediction_interval(alpha)
        estimate, se = p.mean, p.se
        if transform is not None:
            changed = transformed(transform, (estimate, *mean), (estimate, *obs), back=self._s.back)
            estimate, mean, obs = changed[0], (changed[1], changed[2]), (changed[4], changed[5])
            se = np.full_like(se, np.nan)
        return pd.DataFrame(
            {
                "mean": estimate,
                "mean_se": se,
                "df": found.df,
                "mean_ci_lower": mean[0],
                "mean_ci_upper": mean[1],
                "obs_ci_lower": obs[0],
                "obs_ci_upper": obs[1],
            },
            index=self.index,
        )

    def test(self, null: float = 0.0, adjust: str = "none") -> pd.DataFrame:
        """Test each mean against a value.

        Parameters
        ----------
        null : float
            The value, in units of the response.
        adjust : str
            As in `pairwise`, but "tukey", which is for differences.

        Returns
        -------
        DataFrame
            Columns estimate, se (both in units of the response), df, statistic (t or z), pvalue
            (adjusted within levels of `by`).

        Raises
        ------
        SpecificationError
            If `null` is no number, or for an unknown adjustment.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> means = res.marginal_means("alloc")
        >>> means.test(null=-0.5)["pvalue"].round(3)
        alloc
        alternate     0.968
        random        0.081
        systematic    0.837
        Name: pvalue, dtype: float64
        """
        if adjust == "tukey":
            raise SpecificationError(
                "adjust='tukey' is for all pairwise differences; for tests of means take 'holm'"
            )
        if not isinstance(null, Real) or not np.isfinite(null):
            raise SpecificationError(f"null= takes the number to test against, got {null!r}")
        return Comparisons(self._s, self._rows, adjust, null=float(null)).test_frame()

    def joint_test(self) -> pd.DataFrame:
        """Test whether the means are all equal, within each level of `by`.

        Returns
        -------
        DataFrame
            Columns statistic (chi-square, or F with t-type inference), df, df_denom, pvalue, all
            without unit; one row for each level of `by`.  Means that are not estimable are left
            out.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> means = res.marginal_means("alloc")
        >>> test = means.joint_test()
        >>> round(test.pvalue, 4).item()
        0.4132
        """
        out = []
        groups = grouped(self._s.labels, self._s.by)
        for at in groups:
            rows = self._s.rows[at[self._s.estimable[at]]]
            steps = np.diff(rows, axis=0)
            if len(steps):
                steps = steps[independent_columns(steps.T)] if steps.any() else steps[:0]
            out.append(
                wald_test(self._s.basis, steps).__dict__
                if len(steps)
                else dict.fromkeys(("statistic", "df", "df_denom", "pvalue"), np.nan)
            )
        frame = pd.DataFrame(out, columns=["statistic", "df", "df_denom", "pvalue"])
        if not self._s.by:
            return frame.set_axis(pd.Index(["all"]))
        levels = self._s.labels[self._s.by].iloc[[at[0] for at in groups]]
        return frame.set_axis(MeanRows(levels, self._s.rows[:0], self._s.estimable[:0]).index)

    def pairwise(self, adjust: str = "holm") -> Comparisons:
        """All differences of two means, within each level of `by`: later level minus earlier.

        Parameters
        ----------
        adjust : str
            Adjustment of the p-values for their number, within each level of `by`: "holm",
            "tukey", "bonferroni", "sidak", "scheffe", "holm-sidak", "bh", "by" or "none"; the
            codes of statsmodels' `multipletests` are understood, too.

        Returns
        -------
        Comparisons

        References
        ----------
        See :meth:`mvmeta.MetaMixedLMResults.marginal_means`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> means = res.marginal_means("alloc")
        >>> means.pairwise(adjust="holm").summary_frame().iloc[:, :2].round(3)
                                estimate     se
        contrast
        random - alternate        -0.448  0.516
        systematic - alternate     0.089  0.560
        systematic - random        0.537  0.436
        """
        return self.contrast("pairwise", adjust)

    def contrast(
        self, weights: str | Mapping[str, Any] = "pairwise", adjust: str = "none"
    ) -> Comparisons:
        """Combinations of the means, within each level of `by`.

        Parameters
        ----------
        weights : str or mapping
            "pairwise"; "reference" (each minus the first); "consecutive" (each minus the one
            before); "effects" (each minus the average of all); or a mapping from names to
            weights of the means: one number for each, in their order, or a mapping from levels
            to numbers, 0 for the others.  Weights of a comparison sum to 0, those of an average
            to 1.
        adjust : str
            As in `pairwise`.

        Returns
        -------
        Comparisons

        Raises
        ------
        SpecificationError
            For weights of another length, unknown levels or an unknown adjustment.

        References
        ----------
        See :meth:`mvmeta.MetaMixedLMResults.marginal_means`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> means = res.marginal_means("alloc")
        >>> means.contrast("effects").summary_frame().iloc[:, :2].round(3)
                              estimate     se
        contrast
        alternate - average      0.120  0.328
        random - average        -0.328  0.258
        systematic - average     0.209  0.287
        """
        adjust = method_of(adjust)
        if adjust == "tukey" and weights != "pairwise":
            raise SpecificationError(
                "adjust='tukey' is for all pairwise differences; for other contrasts take "
                "'scheffe' or 'holm'"
            )
        labels, rows, estimable, means = [], [], [], []
        for at in grouped(self._s.labels, self._s.by):
            means.append(int(self._s.estimable[at].sum()))
            names = self._texts(at)
            for name, w in named_weights(weights, names):
                used = w != 0
                labels.append([*self._s.labels[self._s.by].iloc[at[0]], name])
                rows.append(w[used] @ self._s.rows[at[used]])
                estimable.append(bool(self._s.estimable[at[used]].all()))
        frame = pd.DataFrame(labels, columns=[*self._s.by, "contrast"])
        made = np.array(rows).reshape(len(rows), len(self._s.names))
        combined = MeanRows(frame, made, np.array(estimable, dtype=bool))
        return Comparisons(self._s, combined, adjust, means=means)

    def _texts(self, at: Any) -> list[str]:
        own = self._s.labels.drop(columns=self._s.by).iloc[at]
        if not len(own.columns):
            return ["all"]
        parts = [
            level_texts(list(own[c])) if own[c].is_unique else [*map(text_of, own[c])] for c in own
        ]
        return ["/".join(level) for level in zip(*parts, strict=True)]

    def __repr__(self) -> str:
        return with_notes(self.summary_frame(), self.notes)
