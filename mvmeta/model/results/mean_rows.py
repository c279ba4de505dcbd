"""What marginal means and their comparisons are made of: combinations of the coefficients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.inference.coefficients.wald import Basis, Contrasts, contrasts


@dataclass(frozen=True, eq=False)
class MeanRows:
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


def grouped(labels: pd.DataFrame, by: list[str]) -> list[Ints]:
    """Positions of the rows of each combination of `by`, in the order of appearance."""
    if not by or not len(labels):
        return [np.arange(len(labels))]
    code = labels.groupby(by, sort=False, observed=True).ngroup().to_numpy()
    return [np.flatnonzero(code == c) for c in range(int(code.max()) + 1)]


def with_notes(frame: pd.DataFrame, notes: Sequence[str]) -> str:
    """A table as text, followed by what is to be known of it."""
    return "\n".join([frame.to_string(float_format="{:.4f}".format), *notes])
