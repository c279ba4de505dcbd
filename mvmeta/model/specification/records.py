"""What a new row needs to know of a random term to find its variance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats, Ints
from mvmeta.model.specification.formula import FormulaSpec
from mvmeta.model.specification.frames import Source
from mvmeta.model.specification.levels import factor, level_texts
from mvmeta.model.specification.specs import TermSpec

SAME_VARIANCE = 1e-8
"""Relative difference of known variances that is rounding."""


@dataclass(frozen=True, eq=False)
class TermRecord:
    """What prediction needs to know of a term.

    Attributes
    ----------
    name : str
    code : str or None
        Structure as the user calls it; None for a random intercept, "KNOWN" with `corr=`.
    outer : tuple of str
        Columns whose combination is the level.
    outer_levels : sequence
        Labels of the levels, in the order of the codes.
    inner : tuple of str
        Columns of the inner factor (or the coordinates); empty for intercepts and slopes.
    inner_levels : Index or None
        Values of the inner factor in the order of its codes.
    separator : str
        Between the values of several inner columns in `inner_levels`.
    design : FormulaSpec or None
        Left side of a term with random slopes.
    homogeneous : bool
        Whether all levels, also new ones, have one variance by construction.
    known : Series or None
        Diagonal of a known matrix over the outer levels, labelled by them, where G is its
        product with a structure over the inner levels.
    outer_separator : str
        Between the values of several outer columns in the labels of `known`.
    scale_rows : ndarray, shape (q, m), or None
        Design of the log-variance over the inner levels, where `design` is its formula.
    spec : TermSpec or None
        What the user asked for, without matrices and anything that has a value per row.
    """

    name: str
    code: str | None
    outer: tuple[str, ...]
    outer_levels: Sequence[object]
    inner: tuple[str, ...] = ()
    inner_levels: pd.Index | None = None
    separator: str = "/"
    design: FormulaSpec | None = None
    homogeneous: bool = True
    known: pd.Series | None = None
    outer_separator: str = "/"
    scale_rows: Floats | None = None
    spec: TermSpec | None = None

    def variance(self, g: Floats, newdata: Any) -> Floats:
        """Variance of the term's effect in new rows, shape (n_new,).

        Parameters
        ----------
        g : ndarray, shape (q, q)
            Covariance of the effects of one level.
        newdata : DataFrame or anything `Source` reads

        Returns
        -------
        ndarray, shape (n_new,)
            NaN where the row does not say which variance it has: the inner factor's column
            is missing, or has no level of the fitted data.
        """
        source = Source(newdata)
        if self.scale_rows is not None:
            return self.scale_variance(g, source)
        block, share = self._of_one_level(g, source)
        if self.design is not None:
            return share * self._slope_variance(block, source)
        diagonal = np.diag(block)
        if self.homogeneous:
            return share * np.full(source.n, diagonal[0])
        codes = self.inner_codes(source)
        return np.asarray(share * np.where(codes >= 0, diagonal[codes], np.nan))

    def scale_variance(self, g: Floats, source: Source) -> Floats:
        """Variance of the effect in new rows (n_new,) of a term with a scale formula.

        NaN where a covariate is lacking.  Its coefficients are those that give diag(G), which
        they do exactly.
        """
        assert self.design is not None
        assert self.scale_rows is not None
        if any(c not in source for c in self.design.variables):
            return np.full(source.n, np.nan)
        fitted = g.diagonal()
        if not fitted.any():
            return np.zeros(source.n)
        slopes = np.linalg.lstsq(self.scale_rows, np.log(fitted), rcond=None)[0]
        return np.exp(self.design.design(source) @ slopes)

    def inner_codes(self, source: Source) -> Ints:
        """Codes (n_new,) of the inner levels of new rows; -1 where unknown or not said."""
        if self.inner_levels is None:
            return np.full(source.n, -1)
        known = pd.Index(level_texts(self.inner_levels))
        return _codes(known, self.inner, self.separator, source)

    def _of_one_level(self, g: Floats, source: Source) -> tuple[Floats, Floats | float]:
        """G of one outer level, and by what each row's (n_new,) differs from it."""
        if self.known is None:
            return g, 1.0
        variances = self.known.to_numpy()
        largest = int(variances.argmax())
        t = len(g) // len(variances)
        at = slice(largest * t, (largest + 1) * t)
        block = g[at, at] / variances[largest]
        if constant(variances):
            return block, float(variances[0])
        codes = _codes(pd.Index(self.known.index), self.outer, self.outer_separator, source)
        return block, np.where(codes >= 0, variances[codes], np.nan)

    def _slope_variance(self, g: Floats, source: Source) -> Floats:
        assert self.design is not None
        if any(c not in source for c in self.design.variables):
            return np.full(source.n, np.nan)
        z = self.design.design(source)
        return np.asarray(np.einsum("nq,qr,nr->n", z, g, z))


def constant(variances: Floats) -> bool:
    """Whether known variances are all one, but for rounding."""
    return bool(np.ptp(variances) <= SAME_VARIANCE * np.abs(variances).max())


def _codes(known: pd.Index, columns: Sequence[str], separator: str, source: Source) -> Ints:
    """Positions (n_new,) in `known` of the levels of new rows; -1 where unknown or not said."""
    if any(c not in source for c in columns):
        return np.full(source.n, -1)
    codes, _ = find_levels(known, columns, separator, source)
    return np.where(codes < len(known), codes, -1)


def find_levels(
    known: pd.Index, columns: Sequence[str], separator: str, source: Source
) -> tuple[Ints, pd.Index]:
    """Levels of new rows among known ones, and those that are not.

    Parameters
    ----------
    known : Index, length L
        Texts of the levels of the fitted data.
    columns : sequence of str
        Columns of `source` whose combination is the level.
    separator : str
        Between the values of several columns.
    source : Source

    Returns
    -------
    codes : ndarray of int, shape (n_new,)
        Positions in `known`; from L on positions in `new`; -1 where a column is missing.
    new : Index
        Texts of the unknown levels, sorted as levels are.
    """
    found = factor([source.column(c) for c in columns], separator)
    texts = pd.Index(level_texts(found.levels.as_index), dtype=known.dtype)
    place = known.get_indexer(texts)
    unknown = place < 0
    place[unknown] = len(known) + np.arange(unknown.sum())
    return np.append(place, -1)[found.codes].astype(np.intp), texts[unknown]
