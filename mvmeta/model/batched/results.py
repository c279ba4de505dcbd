"""Results of a fit over batches: what has one entry per row is iterated over."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats, Ints
from mvmeta.errors import SpecificationError
from mvmeta.inference.batched.fit import BatchedFit, Estimates
from mvmeta.inference.coefficients.wald import critical_value
from mvmeta.inference.heterogeneity.q_and_i2 import Heterogeneity, HeterogeneityTest
from mvmeta.inference.heterogeneity.variances import AddedVariances
from mvmeta.inference.prediction.blup import RandomEffects, random_effects, true_effects
from mvmeta.model.batched.clusters import robust_inference
from mvmeta.model.batched.pieces import Piece
from mvmeta.model.results import predicted_effects
from mvmeta.model.results.results import MetaMixedLMResults
from mvmeta.model.testing.inference import check_options

if TYPE_CHECKING:
    from mvmeta.model.batched.model import BatchedMetaMixedLM


class BatchedResults(MetaMixedLMResults):
    """Results of a model whose rows come in batches.

    Everything that `MetaMixedLMResults` has but what needs all rows at once: `fittedvalues`,
    `resid`, `ranef()`, influence, evidence and their plots raise a `DataError` that says so.
    `iter_rows` and `iter_ranef` go through the batches instead.

    Attributes
    ----------
    model : MetaMixedLM
        What was fitted; its `from_batches` or `from_dask` made it.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> data = datasets.load("konstantopoulos2011")
    >>> def halves():
    ...     yield data[data["district"] <= 70]
    ...     yield data[data["district"] > 70]
    >>> nested = "district/school"
    >>> model = MetaMixedLM.from_batches("yi ~ 1", halves, variance="vi", groups=nested)
    >>> res = model.fit()
    >>> res.params.round(4)
    Intercept    0.1847
    Name: estimate, dtype: float64
    """

    model: BatchedMetaMixedLM

    @property
    def fit_(self) -> BatchedFit:
        """The numerical fit behind these results.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> batches = lambda: (study for _, study in toy.groupby("Study"))
        >>> model = MetaMixedLM.from_batches("d ~ 1", batches, variance="Variance", groups="Study")
        >>> model.fit().fit_.problem.n
        5
        """
        found = super().fit_
        assert isinstance(found, BatchedFit)
        return found

    # -- rows, batch by batch ------------------------------------------------------------

    def iter_rows(self, alpha: float = 0.05) -> Iterator[pd.DataFrame]:
        """What has one entry per row, one frame for each batch; a pass over the data.

        Parameters
        ----------
        alpha : float
            1 - coverage of the prediction intervals.

        Yields
        ------
        DataFrame
            The rows of a batch that were fitted, under their labels: observed, fittedvalues, resid,
            resid_pearson (without unit), and the best prediction of the true effect, estimate, se,
            pi_lower, pi_upper (as `blup()` has it); all others in units of the response.

        References
        ----------
        :doc:`/explanation/model`, "Diagnostics"; :doc:`/explanation/model`, "Predictions".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> def halves():
        ...     yield data[data["district"] <= 70]
        ...     yield data[data["district"] > 70]
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_batches("yi ~ 1", halves, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> [len(rows) for rows in res.iter_rows()]
        [30, 26]
        """
        df = float(np.min(self._table.df)) if self.use_t else np.inf
        half = critical_value(df, alpha)
        for found in self.fit_.plan.source.map(RowsOf(self.fit_.estimates)):
            if found is not None:
                yield found.frame(half)

    def iter_ranef(self, alpha: float = 0.05) -> Iterator[dict[str, pd.DataFrame]]:
        """Predicted random effects, one dict as from `ranef()` for each batch; a pass.

        Parameters
        ----------
        alpha : float
            1 - coverage of the prediction intervals.

        Yields
        ------
        dict of str to DataFrame
            Term name -> DataFrame with columns estimate, se, pi_lower, pi_upper, in units of the
            response (of random slopes: per unit of the moderator); the levels that lie in the
            batch.

        References
        ----------
        See :meth:`mvmeta.MetaMixedLMResults.ranef`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> def halves():
        ...     yield data[data["district"] <= 70]
        ...     yield data[data["district"] > 70]
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_batches("yi ~ 1", halves, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> for effects in res.iter_ranef():
        ...     print(effects["district"].head(1).round(3))
                  estimate     se  pi_lower  pi_upper
        district
        11           -0.19  0.167    -0.516     0.136
                  estimate    se  pi_lower  pi_upper
        district
        71           0.534  0.13      0.28     0.789
        """
        df = self._effect_df()
        for found in self.fit_.plan.source.map(EffectsOf(self.fit_.estimates)):
            if found is not None:
                yield found.frames(alpha, df)

    def _effect_df(self) -> Floats:
        terms = self.fit_.problem.terms
        if self.df_method == "contain":
            levels = np.array([t.n_levels for t in terms], dtype=float)
            return np.maximum(levels - self.fit_.problem.p, 1.0)
        return super()._effect_df()

    # -- tests ---------------------------------------------------------------------------

    def get_robustcov_results(
        self,
        cov_type: str = "CR2",
        groups: Any = None,
        df: str = "satterthwaite",
        repair: bool = False,
    ) -> BatchedResults:
        """The same fit with a cluster-robust covariance of the fixed effects; a pass.

        Parameters
        ----------
        cov_type, df
            As in `MetaMixedLMResults.get_robustcov_results`.
        groups : str, optional
            Clusters: a column the model uses, whose values lie within batches; the outermost
            independent clusters unless said.
        repair : bool
            Not used: it is for several groupings.

        Returns
        -------
        BatchedResults

        Raises
        ------
        SpecificationError, DataError
            As `MetaMixedLMResults.get_robustcov_results`.

        References
        ----------
        :doc:`/explanation/model`, "Cluster-robust covariances".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> def halves():
        ...     yield data[data["district"] <= 70]
        ...     yield data[data["district"] > 70]
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_batches("yi ~ 1", halves, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> res.get_robustcov_results("CR2").bse.round(4)
        Intercept    0.0845
        Name: se, dtype: float64
        """
        check_options(cov_type, {"groups": groups, "df": df, "repair": repair})
        inference = robust_inference(self.model, self.fit_, cov_type, groups, df)
        return BatchedResults(self.model, self.fit_, self._optimum, inference)

    def heterogeneity(self, alpha: float | None = None, by: Any = None) -> pd.DataFrame:
        """How much effects differ: by random term and in total; see `MetaMixedLMResults`.

        Parameters
        ----------
        alpha : float or None
            1 - coverage of the intervals; None, as unless said, leaves them out: each limit
            takes tens of passes over the data.
        by : None
            Parts of the rows are for models that hold their rows.

        Returns
        -------
        DataFrame
            The columns of `MetaMixedLMResults.heterogeneity`: variances in squared units of the
            response, all others shares and ratios without unit.

        Raises
        ------
        SpecificationError
            For `by`.

        References
        ----------
        See :meth:`mvmeta.MetaMixedLMResults.heterogeneity`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> def halves():
        ...     yield data[data["district"] <= 70]
        ...     yield data[data["district"] > 70]
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_batches("yi ~ 1", halves, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> res.heterogeneity()[["variance", "i2"]].round(3)
                         variance     i2
        district            0.065  0.633
        district/school     0.033  0.319
        total               0.098  0.952
        """
        if by is not None:
            raise SpecificationError(
                "heterogeneity(by=) averages over rows, and a model of batches holds none: fit the "
                "batches of each value on their own, or a sample of them by from_formula"
            )
        return super().heterogeneity(alpha)

    @property
    def _added_variances(self) -> AddedVariances:
        fit = self.fit_
        weights = [s / fit.problem.n for s in fit.described.loadings]
        return AddedVariances(fit.problem, self._heterogeneity.typical, weights)

    @cached_property
    def _heterogeneity_test(self) -> HeterogeneityTest:
        return self.fit_.heterogeneity_test()

    @cached_property
    def _heterogeneity(self) -> Heterogeneity:
        return self.fit_.heterogeneity()

    @cached_property
    def _omnibus(self) -> Ints:
        ones = np.asarray(self.model.prepared.ones)
        if not ones.any() or len(ones) == 1:
            return np.arange(len(ones))
        return np.delete(np.arange(len(ones)), int(np.argmax(ones)))

    def __getstate__(self) -> dict[str, Any]:
        if self._fit is not None:
            self._look_once()
        return self.__dict__

    def remove_data(self) -> None:
        """Forget where the batches are; coefficients, tests, summary and predictions stay.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> def halves():
        ...     yield data[data["district"] <= 70]
        ...     yield data[data["district"] > 70]
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_batches("yi ~ 1", halves, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> res.remove_data()
        >>> res.params.round(4)
        Intercept    0.1847
        Name: estimate, dtype: float64
        """
        self._look_once()
        self._fit = None
        self.model = copy.copy(self.model)
        self.model.prepared = replace(self.model.prepared, plan=None)
        self.model.frames = None


@dataclass(frozen=True, eq=False)
class RowResults:
    """Columns of `iter_rows` of some rows of a batch; `+` appends."""

    position: Ints
    label: pd.Index
    table: Floats

    def __add__(self, other: RowResults) -> RowResults:
        return RowResults(
            np.concatenate([self.position, other.position]),
            self.label.append(other.label),
            np.concatenate([self.table, other.table]),
        )

    def frame(self, half: Floats | float) -> pd.DataFrame:
        """In the order of the batch, with intervals."""
        names = ["observed", "fittedvalues", "resid", "resid_pearson", "estimate", "se"]
        order = np.argsort(self.position)
        out = pd.DataFrame(self.table[order], index=self.label[order], columns=names)
        out["pi_lower"] = out["estimate"] - half * out["se"]
        out["pi_upper"] = out["estimate"] + half * out["se"]
        return out


@dataclass(frozen=True, eq=False)
class RowsOf:
    """The question for `RowResults`."""

    estimates: Estimates

    def __call__(self, piece: Piece) -> RowResults:
        fit = self.estimates.of(piece.plan)
        effects = true_effects(fit, self.estimates.projection(piece, fit))
        resid = fit.resid
        columns = [
            fit.problem.y,
            fit.fitted,
            resid,
            resid / np.sqrt(fit.marginal_diagonal),
            effects.estimate,
            effects.se,
        ]
        return RowResults(piece.rows.positions, piece.rows.index, np.column_stack(columns))


@dataclass(frozen=True, eq=False)
class EffectsOf:
    """The question for `Effects`."""

    estimates: Estimates

    def __call__(self, piece: Piece) -> Effects:
        fit = self.estimates.of(piece.plan)
        effects = random_effects(fit, self.estimates.projection(piece, fit))
        return Effects([list(zip(fit.problem.terms, effects, strict=True))])


@dataclass(frozen=True, eq=False)
class Effects:
    """Terms and their effects, piece by piece; `+` appends."""

    pieces: list[list[tuple[Any, RandomEffects]]]

    def __add__(self, other: Effects) -> Effects:
        return Effects([*self.pieces, *other.pieces])

    def frames(self, alpha: float, df: Floats) -> dict[str, pd.DataFrame]:
        """One table for each term."""
        out = {}
        for t, d in enumerate(df):
            tables = [
                predicted_effects.ranef_frame(*piece[t], alpha, float(d)) for piece in self.pieces
            ]
            out[self.pieces[0][t][0].name] = pd.concat(tables) if len(tables) > 1 else tables[0]
        return out
