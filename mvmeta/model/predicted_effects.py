"""Predicted random effects (BLUPs) as labelled tables."""

from collections.abc import Sequence

import pandas as pd

from mvmeta._typing import Floats
from mvmeta.design.terms import RandomTerm
from mvmeta.inference.blup import RandomEffects, TrueEffects
from mvmeta.inference.wald import critical_value
from mvmeta.model.levels import level_texts
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


def random_effects(
    terms: Sequence[RandomTerm], effects: Sequence[RandomEffects]
) -> dict[object, pd.Series]:
    """As statsmodels' `random_effects`: level -> its effects, over all terms.

    Keys are the levels where there is one term, (term, level) where there are several.
    """
    return {
        key: pd.Series(e.effects.ravel()[at], index=labels)
        for key, labels, e, at in _by_level(terms, effects)
    }


def random_effects_cov(
    terms: Sequence[RandomTerm], effects: Sequence[RandomEffects]
) -> dict[object, pd.DataFrame]:
    """As statsmodels' `random_effects_cov`: level -> covariance of u_hat - u, same keys."""
    out = {}
    for key, labels, e, at in _by_level(terms, effects):
        level, start = divmod(at.start, e.cov.shape[1])
        own = slice(start, start + len(labels))
        out[key] = pd.DataFrame(e.cov[level, own, own], index=labels, columns=labels)
    return out


def _by_level(
    terms: Sequence[RandomTerm], effects: Sequence[RandomEffects]
) -> list[tuple[object, list[str], RandomEffects, slice]]:
    """For every group its key, the names of its effects, and where they are among all of them."""
    out = []
    for term, e in zip(terms, effects, strict=True):
        labels = _inner_labels(term) or [term.name]
        for i, group in enumerate(term.groups.labels):
            key = group if len(terms) == 1 else (term.name, group)
            out.append((key, labels, e, slice(i * len(labels), (i + 1) * len(labels))))
    return out
