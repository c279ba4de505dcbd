"""From new rows to the fitted random effects they share: one `Link` per term."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats, Ints
from mvmeta.columns import row_names
from mvmeta.errors import DataError, SpecificationError
from mvmeta.inference.prediction.conditional import NO_LEVEL, Link
from mvmeta.model.specification.frames import Source, shorten, suggest
from mvmeta.model.specification.levels import level_texts
from mvmeta.model.specification.new_levels import (
    FittedTerm,
    Given,
    check_same,
    enlarged,
    inner_effects,
)
from mvmeta.model.specification.records import find_levels


def given_terms(given: Any, terms: Sequence[FittedTerm], columns: Sequence[object]) -> list[str]:
    """Names of the terms whose effects are given.

    Parameters
    ----------
    given : True, str or list of str
        True for every term whose grouping is among `columns`.
    terms : sequence of FittedTerm
    columns : sequence
        Of the new data.

    Raises
    ------
    SpecificationError
        If there is no such term, or none for True.
    """
    names = [t.name for t in terms]
    if given is True:
        found = [t.name for t in terms if _has_grouping(t, columns)]
        if not found:
            raise SpecificationError(
                "given=True: the new data have the grouping of none of the random terms "
                f"{', '.join(map(repr, names)) or '(there are none)'}"
            )
        return found
    wanted = [given] if isinstance(given, str) else given
    if not isinstance(wanted, (list, tuple)) or not all(isinstance(w, str) for w in wanted):
        raise SpecificationError(
            f"given= takes True, the name of a random term or a list of them, got {given!r}"
        )
    for name in wanted:
        if name not in names:
            raise SpecificationError(
                f"given={name!r} is no random term of the model{suggest(name, names)}".replace(
                    "it has the columns", "there are"
                )
            )
    return list(wanted)


def _has_grouping(fitted: FittedTerm, columns: Sequence[object]) -> bool:
    record = fitted.record
    outer = () if record.outer == ("const",) else record.outer
    needed = (*outer, *record.inner, *(record.design.variables if record.design else ()))
    return all(c in columns for c in needed)


def matrices(corr: Any, distance: Any, terms: Sequence[FittedTerm]) -> Given:
    """What `corr=` and `distance=` of a prediction say, by term.

    A bare DataFrame belongs to the only term that has such a matrix.

    Raises
    ------
    SpecificationError
        If it does not name the terms it belongs to.
    """
    with_corr = [t.name for t in terms if t.record.known is not None or _over_matrix(t)]
    sites = [t.name for t in terms if t.record.spec and t.record.spec.distance is not None]
    return Given(_by_term(corr, with_corr, "corr"), _by_term(distance, sites, "distance"))


def _over_matrix(fitted: FittedTerm) -> bool:
    return fitted.record.code in {"KNOWN", "PROP", "PHYBM", "PHYPL", "PHYOU"}


def _by_term(value: Any, names: list[str], argument: str) -> dict[str, pd.DataFrame]:
    if value is None:
        return {}
    if isinstance(value, pd.DataFrame):
        value = {names[0]: value} if len(names) == 1 else {None: value}
    if isinstance(value, Mapping) and all(
        k in names and isinstance(m, pd.DataFrame) for k, m in value.items()
    ):
        return dict(value)
    raise SpecificationError(
        f"{argument}= takes a dict from random terms to labelled DataFrames (or one DataFrame "
        "where one term has such a matrix); terms that have one: "
        f"{', '.join(map(repr, names)) or 'none'}"
    )


def link_of(fitted: FittedTerm, source: Source, given: Given) -> Link:
    """How the effects of a term in new rows depend on the fitted ones.

    A row whose grouping is missing belongs to a new level: its `Link.level` is `NO_LEVEL`.

    Raises
    ------
    DataError
        If a column is lacking, or a level is unknown and has no known correlation with others.
    SpecificationError
        If the structure says nothing of a new inner level.
    """
    if fitted.over_groups:
        own = inner_effects(fitted, source, given)
        level = np.where(own.code < 0, NO_LEVEL, 0)
        return Link(level, np.maximum(own.code, 0), own.covariance, own.variance)
    code, covariance, variance = _inner(fitted, source, given)
    if fitted.kronecker is not None:
        return _product(fitted, source, given, (code, covariance, variance))
    level = _outer_levels(fitted, source)
    return Link(level, code, covariance, variance)


Effects = tuple[Ints, Floats, Floats]


def _inner(fitted: FittedTerm, source: Source, given: Given) -> Effects:
    """Code (m,) of each row's effect within its outer level, covariances (k, T), variances (k,)."""
    record = fitted.record
    structure, theta = fitted.inner_structure()
    if record.scale_rows is not None:
        g = structure.matrix(theta)
        variance = record.scale_variance(g, source)
        covariance = np.sqrt(np.outer(variance, g.diagonal()))  # one effect, more or less of it
        return np.arange(source.n), covariance, variance
    if record.design is not None:
        g = structure.matrix(theta)
        z, code = np.unique(record.design.design(source), axis=0, return_inverse=True)
        return code.ravel(), z @ g, np.einsum("mq,qr,mr->m", z, g, z)
    if not record.inner:
        g = structure.matrix(theta)
        return np.zeros(source.n, dtype=np.intp), g, np.diag(g)
    found = inner_effects(fitted, source, given)
    return found.code, found.covariance, found.variance


def _outer_levels(fitted: FittedTerm, source: Source) -> Ints:
    """Fitted outer level (m,) of every row, `NO_LEVEL` where missing."""
    record = fitted.record
    if record.outer == ("const",) and "const" not in source:
        return np.zeros(source.n, dtype=np.intp)
    labels = pd.Index(level_texts(_as_index(record.outer_levels)), dtype=object)
    code, new = _find(fitted, labels, source)
    unknown = code >= len(labels)
    if unknown.any():
        are = "is no level" if len(new) == 1 else "are no levels"
        raise DataError(
            f"{shorten(map(repr, new))} in {row_names(source.index, unknown)} {are} of the "
            f"random term {record.name!r} in the fitted data; known levels: "
            f"{shorten(map(repr, labels))}. For a level that is new leave {record.outer[-1]!r} "
            "missing (None)"
        )
    return code


def _find(fitted: FittedTerm, labels: pd.Index, source: Source) -> tuple[Ints, pd.Index]:
    record = fitted.record
    for column in record.outer:
        source.column(column, f"the levels of the random term {record.name!r}")
    return find_levels(labels, record.outer, record.outer_separator, source)


def _as_index(levels: Any) -> pd.Index:
    return levels.as_index if hasattr(levels, "as_index") else pd.Index(list(levels), dtype=object)


def _product(fitted: FittedTerm, source: Source, given: Given, inner: Effects) -> Link:
    """Outer levels with known correlations R: the covariances are R (x) those of the inner ones."""
    record, product = fitted.record, fitted.kronecker
    assert product is not None
    assert record.known is not None
    labels = pd.Index(record.known.index, dtype=object)
    outer, new = _find(fitted, labels, source)
    r = product.correlation
    own = np.diag(r)
    if len(new):
        full = enlarged(fitted, labels, new, given)
        check_same(full[: len(r), : len(r)], r, list(labels), record.name)
        own, r = np.diag(full), full[:, : len(r)]
    code, covariance, variance = inner
    named = outer >= 0
    pair = np.where(named, outer, 0) * len(variance) + code
    used, pattern = np.unique(pair, return_inverse=True)
    s, t = np.divmod(used, len(variance))
    both = np.einsum("ks,kt->kst", r[s], covariance[t]).reshape(len(used), -1)
    level = np.where(named, 0, NO_LEVEL)
    return Link(level, pattern.ravel(), both, own[s] * variance[t])
