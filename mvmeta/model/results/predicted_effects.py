"""Predicted random effects (BLUPs) as labelled tables."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TypeVar

import pandas as pd

from mvmeta._typing import Floats
from mvmeta.design.terms import RandomTerm
from mvmeta.inference.coefficients.wald import critical_value
from mvmeta.inference.prediction.blup import RandomEffects, TrueEffects
from mvmeta.model.specification.frames import shorten
from mvmeta.model.specification.levels import level_texts
from mvmeta.structures import Kronecker


def ranef_frame(
    term: RandomTerm, effects: RandomEffects, alpha: float, df: float, *, diagnostic: bool = False
) -> pd.DataFrame:
    """Columns estimate, se, pi_lower, pi_upper, one row per level that carries data.

    With `diagnostic` also se_diagnostic, that of the estimate itself.

    The index is the level of a random intercept, whether the levels are correlated or not, and
    (outer level, inner level) otherwise.
    """
    keep = effects.observed.ravel()
    estimate, se = effects.effects.ravel()[keep], effects.se.ravel()[keep]
    frame = _interval_frame(estimate, se, ranef_index(term)[keep], alpha, df)
    if diagnostic:
        frame["se_diagnostic"] = effects.diagnostic_se.ravel()[keep]
    return frame


def ranef_index(term: RandomTerm) -> pd.Index:
    """Labels of the L q effects of a term, level by level."""
    groups, inner = list(term.groups.labels), _inner_labels(term)
    if inner is None:
        return pd.Index(groups, name=term.name)
    outer = [group for group in groups for _ in inner]
    return pd.MultiIndex.from_arrays([outer, inner * len(groups)], names=["outer", "inner"])


def joint_index(terms: Sequence[RandomTerm]) -> pd.MultiIndex:
    """Labels (term, level, effect) of all effects of some terms, as texts."""
    names: list[str] = []
    levels: list[str] = []
    effects: list[str] = []
    for term in terms:
        groups, inner = level_texts(list(term.groups.labels)), _inner_labels(term) or [""]
        names += [term.name] * (len(groups) * len(inner))
        levels += [group for group in groups for _ in inner]
        effects += inner * len(groups)
    return pd.MultiIndex.from_arrays([names, levels, effects], names=["term", "level", "effect"])


def _inner_labels(term: RandomTerm) -> list[str] | None:
    """Names of the effects of one group, correlated with the other groups or not.

    None for intercepts, of which a group has one.
    """
    if isinstance(term.structure, Kronecker):
        return list(term.structure.structure.labels)
    return None if term.is_scalar or term.correlated else list(term.structure.labels)


def blup_frame(
    effects: TrueEffects, index: pd.Index, alpha: float, df: Floats | float
) -> pd.DataFrame:
    """Best prediction of each row's true effect: estimate, se, pi_lower, pi_upper."""
    return _interval_frame(effects.estimate, effects.se, index, alpha, df)


def _interval_frame(
    estimate: Floats, se: Floats, index: pd.Index, alpha: float, df: Floats | float
) -> pd.DataFrame:
    half = critical_value(df, alpha) * se
    columns = {
        "estimate": estimate,
        "se": se,
        "pi_lower": estimate - half,
        "pi_upper": estimate + half,
    }
    return pd.DataFrame(columns, index=index)


Table = TypeVar("Table")


class ByLevel(Mapping[object, Table]):
    """A table for each level, made when it is asked for: a hundred thousand of them take seconds.

    Parameters
    ----------
    keys : list
        One for each level.
    make : callable
        From the position of a key to its table.
    """

    def __init__(self, keys: list[object], make: Callable[[int], Table]) -> None:
        self._keys, self._make = keys, make

    @cached_property
    def _place(self) -> dict[object, int]:
        return {key: i for i, key in enumerate(self._keys)}

    def __getitem__(self, key: object) -> Table:
        return self._make(self._place[key])

    def __iter__(self) -> Iterator[object]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<{len(self)} levels: {shorten(map(repr, self._keys))}>"


def random_effects(
    terms: Sequence[RandomTerm], effects: Sequence[RandomEffects]
) -> ByLevel[pd.Series]:
    """As statsmodels' `random_effects`: level -> its effects, over all terms.

    Keys are the levels where there is one term, (term, level) where there are several.
    """
    keys, labels, pieces = _by_level(terms, effects)

    def make(i: int) -> pd.Series:
        term, start, stop = pieces(i)
        values = effects[term].effects.ravel()[start:stop]
        return pd.Series(values, index=labels[term], copy=True)

    return ByLevel(keys, make)


def random_effects_cov(
    terms: Sequence[RandomTerm], effects: Sequence[RandomEffects]
) -> ByLevel[pd.DataFrame]:
    """As statsmodels' `random_effects_cov`: level -> covariance of u_hat - u, same keys."""
    keys, labels, pieces = _by_level(terms, effects)

    def make(i: int) -> pd.DataFrame:
        term, start, stop = pieces(i)
        cov = effects[term].cov
        level, first = divmod(start, cov.shape[1])
        own = slice(first, first + stop - start)
        names = labels[term]
        return pd.DataFrame(cov[level, own, own], index=names, columns=names, copy=True)

    return ByLevel(keys, make)


Pieces = Callable[[int], tuple[int, int, int]]


def _by_level(
    terms: Sequence[RandomTerm], effects: Sequence[RandomEffects]
) -> tuple[list[object], list[list[str]], Pieces]:
    """Keys of all groups, names of the effects of one group of each term, and where they are.

    The latter gives for the i-th key its term and the range of its effects among those of the
    term.
    """
    keys: list[object] = []
    starts, labels = [0], []
    for term in terms:
        labels.append(_inner_labels(term) or [term.name])
        groups = list(term.groups.labels)
        keys += groups if len(effects) == 1 else [(term.name, group) for group in groups]
        starts.append(len(keys))

    def pieces(i: int) -> tuple[int, int, int]:
        term = bisect_right(starts, i) - 1
        q = len(labels[term])
        first = (i - starts[term]) * q
        return term, first, first + q

    return keys, labels, pieces
