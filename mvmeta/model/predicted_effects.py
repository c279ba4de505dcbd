"""Predicted random effects (BLUPs) as labelled tables."""

from collections.abc import Sequence

import pandas as pd

from mvmeta._typing import Floats
from mvmeta.design.terms import RandomTerm
from mvmeta.inference.blup import RandomEffects, TrueEffects
from mvmeta.inference.wald import critical_value


def ranef_frame(term: RandomTerm, effects: RandomEffects, alpha: float, df: float) -> pd.DataFrame:
    """Columns estimate, se, pi_lower, pi_upper, one row per level that carries data.

    The index is the level of a random intercept, and (outer level, inner level) otherwise.
    """
    keep = effects.observed.ravel()
    estimate, se = effects.effects.ravel()[keep], effects.se.ravel()[keep]
    return _interval_frame(estimate, se, ranef_index(term)[keep], alpha, df)


def ranef_index(term: RandomTerm) -> pd.Index:
    """Labels of the L q effects of a term, level by level."""
    if term.is_scalar:
        return pd.Index(term.level_labels, name=term.name)
    if term.n_levels == 1 and term.inner is not None and " | " not in term.name:
        return pd.Index(term.structure.labels, name=term.name)
    outer = [level for level in term.level_labels for _ in range(term.q)]
    inner = list(term.structure.labels) * term.n_levels
    return pd.MultiIndex.from_arrays([outer, inner], names=["outer", "inner"])


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


def random_effects(
    terms: Sequence[RandomTerm], effects: Sequence[RandomEffects]
) -> dict[object, pd.Series]:
    """As statsmodels' `random_effects`: level -> its effects, over all terms.

    Keys are the levels where there is one term, (term, level) where there are several.
    """
    return {
        key: pd.Series(e.effects[i], index=labels)
        for key, labels, e, i in _by_level(terms, effects)
    }


def random_effects_cov(
    terms: Sequence[RandomTerm], effects: Sequence[RandomEffects]
) -> dict[object, pd.DataFrame]:
    """As statsmodels' `random_effects_cov`: level -> covariance of u_hat - u, same keys."""
    return {
        key: pd.DataFrame(e.cov[i], index=labels, columns=labels)
        for key, labels, e, i in _by_level(terms, effects)
    }


def _by_level(
    terms: Sequence[RandomTerm], effects: Sequence[RandomEffects]
) -> list[tuple[object, list[str], RandomEffects, int]]:
    out = []
    for term, e in zip(terms, effects, strict=True):
        labels = [term.name] if term.is_scalar else list(term.structure.labels)
        for i, level in enumerate(term.level_labels):
            key = level if len(terms) == 1 else (term.name, level)
            out.append((key, labels, e, i))
    return out
