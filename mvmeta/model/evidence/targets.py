"""Which combinations of coefficients are looked at, and which rows observe each by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.errors import SpecificationError
from mvmeta.model.evidence.families import Family, indicator_family
from mvmeta.model.specification.build import Prepared
from mvmeta.model.specification.formula import linear_constraints
from mvmeta.model.testing.hypotheses import combinations_of

MATCH_TOLERANCE = 1e-8
"""Relative residual up to which a combination of coefficients is one of level means."""

SLOPE = "a slope: every row informs it"
INTERCEPT = "the mean where every moderator is 0: every row informs it"
UNKNOWN = "no combination of the level means of one factor: no rows observe it by themselves"
CONFOUNDED = "a factor whose levels have no means, as the data do not tell the factors apart"
ARRAYS = "built from arrays that are not indicators of levels: every row informs it"


@dataclass(frozen=True, eq=False)
class Target:
    """One row of the table: a combination of the coefficients and who observes it.

    Attributes
    ----------
    label, short : str
    row : ndarray, shape (p,)
    direct : ndarray of bool, shape (n,), or None
    reason : str
        Why `direct` is None; empty otherwise.
    family : Family or None
        Whose levels it is made of.
    contrast : bool
        Whether it compares levels.
    """

    label: str
    short: str
    row: Floats
    direct: Bools | None = None
    reason: str = ""
    family: Family | None = None
    contrast: bool = False


def default_targets(prepared: Prepared, found: list[Family]) -> list[Target]:
    """Every level mean, then every slope; the coefficients where there are no levels."""
    words = len(found) == 1 and not any(s.replace(".", "").isnumeric() for s in found[0].short)
    out = [
        Target(label, short if words else label, row, family.code == i, "", family)
        for family in found
        for i, (label, short, row) in enumerate(
            zip(family.labels, family.short, family.means, strict=True)
        )
    ]
    level = _level_columns(prepared)
    reasons = {True: INTERCEPT, False: SLOPE}
    if prepared.spec is None and not found:
        reasons[False] = ARRAYS
    every = np.ones(prepared.problem.n, dtype=bool)
    for j, (name, row) in enumerate(
        zip(prepared.exog_names, np.eye(prepared.problem.p), strict=True)
    ):
        if level[j] and found:
            continue
        if prepared.problem.p == 1 and (prepared.problem.x == 1.0).all():
            out.append(Target(name, name, row, every))
        else:
            constant = bool((prepared.problem.x[:, j] == 1.0).all())
            reason = CONFOUNDED if level[j] and not constant else reasons[bool(level[j])]
            out.append(Target(name, name, row, None, reason))
    return out


def contrast_targets(
    prepared: Prepared, found: list[Family], contrasts: Any, codes: Ints
) -> list[Target]:
    """The combinations a user asks for; see `Evidence`."""
    level = _level_columns(prepared)
    return [
        _classified(label, row, found, level, codes)
        for label, row in _read(prepared, found, contrasts)
    ]


def _level_columns(prepared: Prepared) -> Bools:
    """Columns (p,) of the intercept and of terms of factors alone."""
    if prepared.spec is None:
        x = prepared.problem.x
        return np.asarray(
            (x == 1.0).all(axis=0) if not indicator_family(prepared) else np.ones(x.shape[1], bool)
        )
    info = prepared.spec.design_info
    out = np.zeros(len(prepared.spec.column_names), dtype=bool)
    for term, at in info.term_slices.items():
        out[at] = all(info.factor_infos[f].type == "categorical" for f in term.factors)
    return out[prepared.exog_columns]


def _read(prepared: Prepared, found: list[Family], contrasts: Any) -> list[tuple[str, Floats]]:
    if isinstance(contrasts, str) and contrasts == "pairwise":
        return [
            (f"{f.labels[j]} - {f.labels[i]}", f.means[j] - f.means[i])
            for f in found
            if f.n_factors == 1
            for i, j in combinations(range(len(f.labels)), 2)
        ]
    if isinstance(contrasts, str):
        return _from_text(prepared, found, contrasts)
    if isinstance(contrasts, Mapping):
        named = [(k, _read(prepared, found, v)) for k, v in contrasts.items()]
        return [(str(k), row) for k, parts in named for _, row in parts]
    if isinstance(contrasts, pd.DataFrame):
        return list(
            zip(
                map(str, contrasts.index),
                combinations_of(prepared.exog_names, contrasts),
                strict=True,
            )
        )
    if isinstance(contrasts, Sequence) and len(contrasts) and isinstance(contrasts[0], str):
        return [pair for text in contrasts for pair in _from_text(prepared, found, text)]
    rows = combinations_of(prepared.exog_names, contrasts)
    return [(f"c{i}", row) for i, row in enumerate(rows)]


def _from_text(prepared: Prepared, found: list[Family], text: str) -> list[tuple[str, Floats]]:
    """Combinations in words, of level means ("Category[C] - Category[A]") or coefficients."""
    means = {label: row for f in found for label, row in zip(f.labels, f.means, strict=True)}
    for name, row in zip(prepared.exog_names, np.eye(prepared.problem.p), strict=True):
        means.setdefault(name, row)
    weights, rhs = linear_constraints(text, list(means))
    if rhs.any():
        raise SpecificationError(
            f"evidence shows where an estimate comes from; leave the number out of {text!r}"
        )
    rows = weights @ np.array(list(means.values()))
    return [(text if len(rows) == 1 else f"{text} [{i}]", row) for i, row in enumerate(rows)]


def _classified(label: str, row: Floats, found: list[Family], level: Bools, codes: Ints) -> Target:
    if not row.any():
        raise SpecificationError(f"the contrast {label!r} has only zero weights")
    if not row[level].any():
        return Target(label, label, row, None, SLOPE)
    best: tuple[Family, Floats] | None = None
    for family in found:
        weights = _as_levels(row[level], family.means[:, level])
        if weights is not None and (best is None or (weights != 0).sum() < (best[1] != 0).sum()):
            best = family, weights
    if best is None:
        return Target(label, label, row, None, UNKNOWN)
    family, weights = best
    contrast = bool(abs(weights.sum()) <= MATCH_TOLERANCE * np.abs(weights).max())
    involved = np.flatnonzero(weights)
    direct: Bools = np.asarray(np.isin(family.code, involved))
    if contrast:
        cells = np.zeros((int(codes.max()) + 1, len(family.labels) + 1), dtype=bool)
        cells[codes, family.code] = True
        direct = direct & np.all(cells[:, involved], axis=1)[codes]
    return Target(label, label, row, direct, "", family, contrast)


def _as_levels(row: Floats, means: Floats) -> Floats | None:
    """Weights (m,) of the level means (m, c) that give `row` (c,); None if there are none."""
    weights = np.linalg.lstsq(means.T, row, rcond=None)[0]
    if np.abs(weights @ means - row).max() > MATCH_TOLERANCE * np.abs(row).max():
        return None
    return np.where(np.abs(weights) > MATCH_TOLERANCE * np.abs(weights).max(), weights, 0.0)
