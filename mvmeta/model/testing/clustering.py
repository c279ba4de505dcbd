"""Clusters of a robust covariance: what users name, and what the layout of a model calls for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Ints
from mvmeta.design.layout import is_nested, recode
from mvmeta.errors import DataError, SpecificationError
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.robust.alone import determined_alone
from mvmeta.inference.robust.clusters import are_independent
from mvmeta.inference.robust.sandwich import MOST_WAYS, Robust
from mvmeta.model.specification.build import Prepared
from mvmeta.model.specification.frames import shorten

AUTO = "robust"
"""The `cov_type` that chooses clusters and estimator by the layout of the model."""

ENOUGH = 10
"""Independent clusters that are preferred to more numerous groups which are linked."""

LEAST_EXPECTED = 0.8
"""Expected robust variance, relative to the model-based one, below which the notes say so."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """One or several groupings of the fitted rows.

    Attributes
    ----------
    codes : ndarray of int, shape (n,) or (n, m)
    names : tuple of str
        One or m.
    """

    codes: Ints
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Choice:
    """Clusters and estimator that suit a model, and why, in sentences."""

    clusters: Clusters
    kind: str
    notes: tuple[str, ...]


def read_clusters(prepared: Prepared, groups: Any) -> Clusters:
    """Understand `groups=`.

    Parameters
    ----------
    prepared : Prepared
    groups : str, array_like (n_given,), list of str, DataFrame or array (n_given, m), or None
        One grouping as in `cluster_codes`, or several: names of columns, or a column each;
        None: the outermost independent clusters.

    Raises
    ------
    DataError
        As in `cluster_codes`.
    """
    if groups is None:
        return Clusters(prepared.problem.cluster, (_components_name(prepared),))
    several = _several(prepared, groups)
    if several is None:
        name = groups if isinstance(groups, str) else getattr(groups, "name", None)
        return Clusters(cluster_codes(prepared, groups), (str(name or "groups"),))
    codes = [cluster_codes(prepared, column) for _, column in several]
    return Clusters(np.column_stack(codes), tuple(name for name, _ in several))


def _several(prepared: Prepared, groups: Any) -> list[tuple[str, Any]] | None:
    """Names and columns where `groups` are several groupings; None where they are one."""
    if isinstance(groups, pd.DataFrame):
        return [(str(name), groups[name]) for name in groups.columns]
    named = isinstance(groups, list | tuple) and all(isinstance(g, str) for g in groups)
    if named and groups and len(groups) != prepared.n_given:
        return [(name, name) for name in groups]
    if np.ndim(groups) == 2:
        values = np.asarray(groups)
        return [(f"groups {i + 1}", values[:, i]) for i in range(values.shape[1])]
    return None


def outer_factors(prepared: Prepared) -> list[tuple[str, Ints]]:
    """The groupings of the random terms and of V that are nested in no other; name and codes.

    One that has all rows in a single group is no grouping.
    """
    problem = prepared.problem
    found = [(_factor_name(t.name), t.groups.codes) for t in problem.terms]
    if not problem.v.is_diagonal:
        found.append(("blocks of V", problem.v.cluster))
    out: list[tuple[str, Ints]] = []
    for name, codes in found:
        if recode(codes)[1] == 1 or any(is_nested(codes, other) for _, other in out):
            continue
        out = [(n, c) for n, c in out if not is_nested(c, codes)]
        out.append((name, codes))
    return out


def _factor_name(term: str) -> str:
    """The grouping in the name of a term: "outcome | study" and "species (corr)"."""
    return term.rsplit("|", maxsplit=1)[-1].split("(", maxsplit=1)[0].strip()


def _components_name(prepared: Prepared) -> str:
    cluster = prepared.problem.cluster
    count = recode(cluster)[1]
    for name, codes in outer_factors(prepared):
        if recode(codes)[1] == count and is_nested(codes, cluster):
            return name
    return "row" if count == prepared.problem.n else "independent sets of linked rows"


def choose_clusters(fit: Fit, prepared: Prepared, given: Clusters, free: bool) -> Choice:
    """Clusters and estimator by the layout of the model.

    Independent clusters, with CR2, where the outermost grouping gives them or where there are at
    least ENOUGH connected sets of rows; several groupings at once, with CR1, where random terms
    (or blocks of V) are crossed; CR3, which leaves every group out in turn, where the model links
    the groups of a single factor, as a phylogeny does.  Only the last step is a choice where
    the user named the groups.

    Parameters
    ----------
    fit : Fit
    prepared : Prepared
    given : Clusters
        The user's, or the connected sets of rows.
    free : bool
        Whether the user left the groups open.
    """
    if given.codes.ndim == 2:
        return _chosen(given, "CR1")
    count, factors = recode(given.codes)[1], outer_factors(prepared)
    crossed = 2 <= len(factors) <= MOST_WAYS
    if free and crossed and count < ENOUGH:
        names = tuple(name for name, _ in factors)
        return _chosen(Clusters(np.column_stack([c for _, c in factors]), names), "CR1")
    if free and count == 1 and factors:
        name, codes = max(factors, key=lambda f: recode(f[1])[1])
        given = Clusters(codes, (name,))
    return _chosen(given, "CR2" if are_independent(fit, given.codes) else "CR3")


WHY = {
    "CR1": "crossed groupings, combined by inclusion-exclusion",
    "CR2": "clusters that are independent under the model",
    "CR3": "groups that the model links, each left out in turn",
}


def _chosen(clusters: Clusters, kind: str) -> Choice:
    return Choice(clusters, kind, (f"cov_type='{AUTO}' chose {kind}: {WHY[kind]}.",))


def check_several(prepared: Prepared, kind: str) -> None:
    """Refuse to take the connected sets of rows for clusters where there is only one.

    Raises
    ------
    SpecificationError
        Says what links the rows, and what there is to choose.
    """
    if recode(prepared.problem.cluster)[1] > 1:
        return
    factors = [name for name, _ in outer_factors(prepared)]
    if not factors:
        raise SpecificationError(
            f"{kind} needs several clusters, but the model has all rows in one; name them: groups="
        )
    ways = ", ".join(map(repr, factors))
    several = f"groups=[{ways}] with cov_type='CR1', " if len(factors) > 1 else ""
    raise SpecificationError(
        f"the random terms link all rows to a single cluster, which {kind} cannot use; take "
        f"{several}groups={factors[0]!r} with cov_type='CR3', or cov_type='{AUTO}', which chooses"
    )


def about_clusters(found: Robust, clusters: Clusters, prepared: Prepared) -> list[str]:
    """How the clusters of a robust covariance were formed, in sentences."""
    pairs = zip(clusters.names, found.counts, strict=True)
    notes = [f"Robust standard errors by {' and '.join(f'{n} ({j})' for n, j in pairs)}."]
    if found.repaired:
        notes.append("Negative eigenvalues of the robust covariance were set to 0.")
    if found.independent:
        return notes
    low = _underestimated(found, prepared.exog_names)
    if low:
        notes.append(
            "These groups are correlated with one another under the fitted model, in ways the "
            "robust variances do not see: if the model is right they are too small. Expected "
            f"variance relative to the model-based one: {', '.join(low)}."
        )
    return notes


def known_from_one(fit: Fit, clusters: Clusters, prepared: Prepared, kind: str) -> list[str]:
    """Coefficients of which a robust covariance learns nothing, in sentences."""
    notes = []
    for name, codes in zip(clusters.names, columns_of(clusters.codes), strict=True):
        found = determined_alone(fit.problem.x, codes)
        if not found:
            continue
        some = np.any(list(found.values()), axis=0)
        named = [n for n, w in zip(prepared.exog_names, some, strict=True) if w]
        where = shorten(cluster_name(prepared, name, codes, cluster) for cluster in found)
        plural = "these robust standard errors" if len(named) > 1 else "its robust standard error"
        notes.append(
            f"Not estimable without {where}: {shorten(named)}. {kind} learns from how clusters "
            f"differ, which says nothing of what comes from one alone: do not use {plural} "
            "(cov_type='nonrobust' has model-based ones)."
        )
    return notes


def columns_of(codes: Ints) -> list[Ints]:
    """Codes (n,) of every grouping."""
    return [codes] if codes.ndim == 1 else list(codes.T)


def cluster_name(prepared: Prepared, name: str, codes: Ints, cluster: int) -> str:
    """A cluster in sentences: "study 16", or one of its rows where its column is not known."""
    row = int(np.argmax(codes == cluster))
    if name in prepared.frame:
        return f"{name} {prepared.frame[name].iloc[row]}"
    return f"the cluster of row {prepared.index[row]}"


def _underestimated(found: Robust, names: Sequence[str]) -> list[str]:
    pairs = zip(names, found.expected, strict=True)
    return [f"{name} ({ratio:.2g})" for name, ratio in pairs if ratio < LEAST_EXPECTED]


def cluster_codes(prepared: Prepared, groups: Any, argument: str = "groups") -> Ints:
    """Cluster code (n,) of every fitted row.

    Parameters
    ----------
    prepared : Prepared
    groups : str, array_like (n_given,) or None
        A column the model uses, values over the rows of the data as given (a Series is matched
        by its index), or the outermost independent clusters.
    argument : str
        What the user calls it, for errors.

    Raises
    ------
    DataError
        If there is no such column, the length does not fit, or a fitted row has no group.
    """
    if groups is None:
        return prepared.problem.cluster
    return _factorize(prepared, groups, argument)[0]


def cluster_labels(prepared: Prepared, groups: Any) -> pd.Index:
    """Labels of the clusters, in the order of `cluster_codes`."""
    return pd.Index(_factorize(prepared, groups, "groups")[1])


def row_values(prepared: Prepared, values: Any, argument: str = "groups") -> Any:
    """Values of the fitted rows, from a column or from values over the data as given.

    Parameters
    ----------
    prepared : Prepared
    values : str or array_like (n_given,)
        A column the model uses, or values over the rows of the data as given (a Series is matched
        by its index).
    argument : str
        What the user calls it, for errors.

    Raises
    ------
    DataError
        If there is no such column, or the length does not fit.
    """
    return (
        _column(prepared, values, argument)
        if isinstance(values, str)
        else _rows(prepared, values, argument)
    )


def _factorize(prepared: Prepared, groups: Any, argument: str) -> tuple[Ints, Any]:
    values = row_values(prepared, groups, argument)
    codes, labels = pd.factorize(values)
    if (codes < 0).any():
        missing = prepared.index[codes < 0].tolist()
        raise DataError(
            f"{argument} is missing in {len(missing)} fitted rows, first in {missing[0]!r}"
        )
    return np.asarray(codes, dtype=np.intp), labels


def _column(prepared: Prepared, name: str, argument: str) -> pd.Series:
    if name not in prepared.frame:
        raise DataError(
            f"{argument}={name!r} is no column the model uses "
            f"({', '.join(map(str, prepared.frame))}); pass the column itself: "
            f"{argument}=data[{name!r}]"
        )
    return prepared.frame[name]


def _rows(prepared: Prepared, values: Any, argument: str) -> Any:
    if isinstance(values, pd.Series) and values.index.is_unique and prepared.index.is_unique:
        if prepared.index.isin(values.index).all():
            return values.loc[prepared.index]
    array = np.asarray(values)
    if array.ndim != 1 or len(array) != prepared.n_given:
        raise DataError(
            f"{argument} needs one value for each of the {prepared.n_given} rows of the data as "
            f"given, got shape {array.shape}"
        )
    return array[prepared.rows]
