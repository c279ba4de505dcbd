"""Marginal means: means of levels, averaged over everything else, and their differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.errors import SpecificationError
from mvmeta.inference.multiplicity import SIMULTANEOUS, Family, adjusted, critical, method_of
from mvmeta.inference.predict import Prediction
from mvmeta.inference.wald import Basis, Contrasts, contrasts, wald_test
from mvmeta.model.results.backtransform import transformed
from mvmeta.model.specification.frames import shorten
from mvmeta.model.specification.levels import level_texts
from mvmeta.model.specification.rank import independent_columns

FAMILIES = ("pairwise", "reference", "consecutive", "effects")
"""Contrasts that have a name."""

SUM_TOLERANCE = 1e-9
"""How far the weights of a contrast may be from a sum of 0 by rounding."""


@dataclass(frozen=True, eq=False)
class _Rows:
    """Linear combinations of the coefficients, some of which the data do not determine.

    Attributes
    ----------
    labels : DataFrame (m, variables)
    rows : ndarray, shape (m, p)
        Combinations; of no meaning where not estimable.
    estimable : ndarray of bool, shape (m,)
    """

    labels: pd.DataFrame
    rows: Floats
    estimable: Bools

    def contrasts(self, basis: Basis, rhs: float = 0.0) -> Contrasts:
        """Estimates and tests against `rhs`; NaN where not estimable."""
        at = self.estimable
        found = contrasts(basis, self.rows[at], rhs)
        parts = []
        for values in (found.estimate, found.se, found.statistic, found.pvalue, found.df):
            full = np.full(len(at), np.nan)
            full[at] = values
            parts.append(full)
        return Contrasts(*parts)

    @property
    def index(self) -> pd.Index:
        """The labels as an index."""
        if not len(self.labels.columns):
            return pd.Index(["all"] * len(self.labels))
        if len(self.labels.columns) == 1:
            return pd.Index(self.labels.iloc[:, 0])
        return pd.MultiIndex.from_frame(self.labels)


@dataclass(frozen=True, eq=False)
class MeansInput:
    """What `MarginalMeans` is made of.

    Attributes
    ----------
    basis : Basis
    labels : DataFrame (m, variables)
        Levels of `by`, then those that are compared.
    rows : ndarray, shape (m, p)
    estimable : ndarray of bool, shape (m,)
    heterogeneity : ndarray, shape (m,)
        Variance of a true effect about each mean; NaN where it is not one number.
    by : list of str
    names : list of str
        Coefficients.
    notes : list of str
    back : str
        The transformation that leads back from the scale of the estimates, by name.
    """

    basis: Basis
    labels: pd.DataFrame
    rows: Floats
    estimable: Bools
    heterogeneity: Floats
    by: list[str]
    names: list[str]
    notes: list[str]
    back: str = ""


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
        self._rows = _Rows(source.labels, source.rows, source.estimable)
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
            among what is averaged over).  NaN where the mean is not estimable.

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
        adjust : str
            As in `pairwise`, but "tukey", which is for differences.

        Returns
        -------
        DataFrame
            Columns estimate, se, df, statistic, pvalue (adjusted within levels of `by`).

        Raises
        ------
        SpecificationError
            If `null` is no number, or for an unknown adjustment.

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
            Columns statistic (chi-square, or F with t-type inference), df, df_denom, pvalue; one
            row for each level of `by`.  Means that are not estimable are left out.

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
        groups = _grouped(self._s.labels, self._s.by)
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
        return frame.set_axis(_Rows(levels, self._s.rows[:0], self._s.estimable[:0]).index)

    def pairwise(self, adjust: str = "holm") -> "Comparisons":
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
    ) -> "Comparisons":
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
        for at in _grouped(self._s.labels, self._s.by):
            means.append(int(self._s.estimable[at].sum()))
            names = self._texts(at)
            for name, w in _named_weights(weights, names):
                used = w != 0
                labels.append([*self._s.labels[self._s.by].iloc[at[0]], name])
                rows.append(w[used] @ self._s.rows[at[used]])
                estimable.append(bool(self._s.estimable[at[used]].all()))
        frame = pd.DataFrame(labels, columns=[*self._s.by, "contrast"])
        made = np.array(rows).reshape(len(rows), len(self._s.names))
        combined = _Rows(frame, made, np.array(estimable, dtype=bool))
        return Comparisons(self._s, combined, adjust, means=means)

    def _texts(self, at: Any) -> list[str]:
        own = self._s.labels.drop(columns=self._s.by).iloc[at]
        if not len(own.columns):
            return ["all"]
        parts = [
            level_texts(list(own[c])) if own[c].is_unique else [*map(_text, own[c])] for c in own
        ]
        return ["/".join(level) for level in zip(*parts, strict=True)]

    def __repr__(self) -> str:
        return _with_notes(self.summary_frame(), self.notes)


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
        rows: _Rows,
        adjust: str,
        *,
        means: Sequence[int] = (),
        null: float = 0.0,
    ) -> None:
        self._s, self._rows, self.adjust = source, rows, method_of(adjust)
        self._means, self._null = list(means), null
        self.notes = [*(n for n in source.notes if "not determine" in n), *self._said()]

    def _said(self) -> list[str]:
        groups = _grouped(self._rows.labels, self._s.by)
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
        groups = _grouped(self._rows.labels, self._s.by)
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
            Adjusted for m comparisons as `adjust` says.

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
            In the units of the response.

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
            One row per comparison.

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
            Columns estimate, se, df, statistic (t, or z), pvalue (adjusted), ci_lower, ci_upper.
            NaN where a mean is not estimable.

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
        return _with_notes(self.summary_frame(), self.notes)


def _grouped(labels: pd.DataFrame, by: list[str]) -> list[Ints]:
    """Positions of the rows of each combination of `by`, in the order of appearance."""
    if not by or not len(labels):
        return [np.arange(len(labels))]
    code = labels.groupby(by, sort=False, observed=True).ngroup().to_numpy()
    return [np.flatnonzero(code == c) for c in range(int(code.max()) + 1)]


def _text(value: object) -> str:
    return level_texts([value])[0]


def _with_notes(frame: pd.DataFrame, notes: Sequence[str]) -> str:
    return "\n".join([frame.to_string(float_format="{:.4f}".format), *notes])


def _named_weights(weights: Any, names: list[str]) -> list[tuple[str, Floats]]:
    """Names and weights (m,) of the contrasts of m means called `names`."""
    if isinstance(weights, str):
        return _family(weights, names)
    if not isinstance(weights, Mapping) or not weights:
        raise SpecificationError(
            f"contrast takes one of {', '.join(map(repr, FAMILIES))}, or a mapping from names to "
            f"weights of the means {shorten(names, most=20)}; got {type(weights).__name__}"
        )
    return [(str(name), _weights(name, given, names)) for name, given in weights.items()]


def _weights(name: object, given: Any, names: list[str]) -> Floats:
    if isinstance(given, Mapping):
        out = np.zeros(len(names))
        for level, weight in given.items():
            text = "/".join(map(_text, level)) if isinstance(level, tuple) else _text(level)
            if text not in names:
                raise SpecificationError(
                    f"contrast {name!r}: there is no mean {level!r}; there are "
                    f"{shorten(names, most=20)}"
                )
            out[names.index(text)] = _numbers(name, weight)
    else:
        out = _numbers(name, given)
    if out.shape != (len(names),) or not np.isfinite(out).all() or not out.any():
        raise SpecificationError(
            f"contrast {name!r} needs a number for each of the {len(names)} means "
            f"{shorten(names, most=20)}, not all 0"
        )
    return out


def _numbers(name: object, given: Any) -> Floats:
    try:
        return np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        raise SpecificationError(
            f"contrast {name!r} needs numbers for weights, got {given!r}"
        ) from None


def _family(kind: str, names: list[str]) -> list[tuple[str, Floats]]:
    eye = np.eye(len(names))
    pairs = {
        "pairwise": list(combinations(range(len(names)), 2)),
        "reference": [(0, j) for j in range(1, len(names))],
        "consecutive": [(j - 1, j) for j in range(1, len(names))],
    }
    if kind in pairs:
        return [(f"{names[j]} - {names[i]}", eye[j] - eye[i]) for i, j in pairs[kind]]
    if kind == "effects":
        return [(f"{n} - average", e - 1 / len(names)) for n, e in zip(names, eye, strict=True)]
    raise SpecificationError(
        f"contrast {kind!r} has no meaning; there are {', '.join(map(repr, FAMILIES))}, and a "
        "mapping from names to weights"
    )
