"""Level means of the factors of a formula, as combinations of its coefficients."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from mvmeta._typing import Floats, Ints
from mvmeta.model.specification.build import Prepared
from mvmeta.model.specification.names import factor_column


@dataclass(frozen=True, eq=False)
class Family:
    """The level means of one factor, or of the cells of several.

    Attributes
    ----------
    name : str
        "Category", or "Category:sex".
    labels, short : list of str
        "Category[C]" and "C".
    means : ndarray, shape (m, p)
        Combinations of the coefficients.
    code : ndarray of int, shape (n,)
        Level of each row; -1 for levels that are left out.
    n_factors : int
    """

    name: str
    labels: list[str]
    short: list[str]
    means: Floats
    code: Ints
    n_factors: int = 1


def families(prepared: Prepared) -> list[Family]:
    """Level means of every factor, and of the cells of every interaction of factors.

    The mean of a level is that over the levels of the other factors, each counting the same
    (Searle, Speed & Milliken 1980, Am Stat 34:216), with what is numeric at its average over
    the fitted rows.  Means the data do not determine (an empty cell) are left out.  A model
    built from arrays has one family where its columns are indicators of disjoint levels.
    """
    if prepared.spec is None:
        return indicator_family(prepared)
    info = prepared.spec.design_info
    frame = prepared.frame.reset_index(drop=True)
    design = _AverageDesign(prepared, frame)
    sets = dict.fromkeys(
        frozenset(design.columns[f] for f in t.factors)
        for t in info.terms
        if t.factors and all(f in design.columns for f in t.factors)
    )
    made = [_family(design, [c for c in design.codes if c in chosen]) for chosen in sets]
    return [family for family in made if len(family.labels)]


def indicator_family(prepared: Prepared) -> list[Family]:
    """The levels of a design from arrays whose columns are indicators; an empty list without."""
    x, names = prepared.problem.x, list(prepared.exog_names)
    if x.shape[1] < 2 or not (np.isin(x, (0.0, 1.0)).all() and (x.sum(axis=1) == 1.0).all()):
        return []
    return [Family("exog", names, names, np.eye(len(names)), x.argmax(axis=1))]


def _codes(factor: Any, info: Any, frame: pd.DataFrame) -> Ints:
    """Level of each row, as positions in the categories patsy knows."""
    found = info.factor_infos[factor]
    value = factor.eval(found.state, frame)
    plain = isinstance(value, (np.ndarray, pd.Series, pd.Categorical))
    values = np.asarray(value if plain else value.data, dtype=object)
    return np.asarray(pd.Index(found.categories, dtype=object).get_indexer(values), dtype=np.intp)


def _numbers(factor: Any, info: Any, frame: pd.DataFrame) -> Floats:
    values = np.asarray(factor.eval(info.factor_infos[factor].state, frame), dtype=float)
    return values.reshape(len(frame), -1)


Column: TypeAlias = tuple[str, tuple[Any, ...]]
"""A factor whatever its coding: ``C(x)`` and ``C(x, Sum)`` are one; name and levels."""


class _AverageDesign:
    """Design rows with some factors at given levels and everything else averaged."""

    def __init__(self, prepared: Prepared, frame: pd.DataFrame) -> None:
        assert prepared.spec is not None
        self.info = info = prepared.spec.design_info
        kinds = {f: i.type == "categorical" for f, i in info.factor_infos.items()}
        self.columns: dict[Any, Column] = {
            f: (factor_column(f.code) or f.code, tuple(info.factor_infos[f].categories))
            for f, factor in kinds.items()
            if factor
        }
        self.codes = {column: _codes(f, info, frame) for f, column in self.columns.items()}
        self._numbers = {f: _numbers(f, info, frame) for f, factor in kinds.items() if not factor}
        self.seen = {column: np.unique(code) for column, code in self.codes.items()}
        self.p = prepared.problem.p
        self._prepared = prepared

    def row(self, levels: Mapping[Column, int]) -> Floats | None:
        """Combination (p,) of the kept coefficients; None where the data do not determine it."""
        full = np.concatenate(
            [
                self._columns(part, levels)
                for term in self.info.terms
                for part in self.info.term_codings[term]
            ]
        )
        if not self._prepared.estimable(full[None])[0]:
            return None
        return np.asarray(full[self._prepared.exog_columns], dtype=float)

    def _columns(self, part: Any, levels: Mapping[Column, int]) -> Floats:
        """Columns of one of patsy's subterms; its leftmost factor varies fastest."""
        order = list(part.factors)
        numeric = [f for f in order if f in self._numbers]
        factors = [f for f in order if f in self.columns]
        tensor = self._numeric_mean(numeric)
        for f in factors:
            coding = part.contrast_matrices[f].matrix
            column = self.columns[f]
            at = coding[[levels[column]] if column in levels else self.seen[column]].mean(axis=0)
            tensor = np.multiply.outer(tensor, at)
        place = [(numeric + factors).index(f) for f in order]
        return np.asarray(tensor.transpose(place).ravel(order="F"))

    def _numeric_mean(self, numeric: list[Any]) -> Floats:
        """Average over the rows of the product of numeric factors, one axis each."""
        if not numeric:
            return np.ones(())
        values = np.ones((len(self._numbers[numeric[0]]), 1))
        for f in numeric:
            values = (values[:, :, None] * self._numbers[f][:, None, :]).reshape(len(values), -1)
        return np.asarray(values.mean(axis=0)).reshape([self._numbers[f].shape[1] for f in numeric])


def _family(design: _AverageDesign, factors: list[Column]) -> Family:
    cells = np.stack([design.codes[f] for f in factors], axis=1)
    levels, code = np.unique(cells, axis=0, return_inverse=True)
    rows = [design.row(dict(zip(factors, map(int, cell), strict=True))) for cell in levels]
    kept = [i for i, row in enumerate(rows) if row is not None]
    place = np.full(len(levels), -1)
    place[kept] = np.arange(len(kept))
    names = [name for name, _ in factors]
    texts = [
        [str(known[k]) for (_, known), k in zip(factors, cell, strict=True)]
        for cell in levels[kept]
    ]
    return Family(
        ":".join(names),
        [":".join(f"{n}[{t}]" for n, t in zip(names, text, strict=True)) for text in texts],
        [":".join(text) for text in texts],
        np.array([row for row in rows if row is not None]).reshape(len(kept), design.p),
        place[code.ravel()],
        len(factors),
    )
