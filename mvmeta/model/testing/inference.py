"""How coefficients are tested: from the options of `fit` to a covariance and a df rule."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mvmeta._typing import Ints
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.containment import (
    containment_df,
    in_one_group,
    several_groups_df,
    studies_df,
)
from mvmeta.inference.coefficients.degrees import given_df, normal_df, residual_df
from mvmeta.inference.coefficients.kenward_roger import kenward_roger
from mvmeta.inference.coefficients.satterthwaite import linked_levels_df, satterthwaite_df
from mvmeta.inference.coefficients.scaling import SCALINGS, scaled_cov
from mvmeta.inference.coefficients.wald import Basis, critical_value
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.robust.sandwich import KINDS, robust
from mvmeta.model.specification.build import Prepared
from mvmeta.model.specification.frames import shorten
from mvmeta.model.testing.clustering import (
    AUTO,
    about_clusters,
    check_several,
    choose_clusters,
    known_from_one,
    read_clusters,
)

TOO_NARROW = 0.07
"""Share by which few degrees of freedom may widen an interval before the notes say so."""

MANY_GROUPS = 50
"""Groups beyond the number of coefficients with which it is far below that."""

ROBUST = (*KINDS, AUTO)
"""Cluster-robust among them."""

COV_TYPES = (*SCALINGS, *ROBUST)
"""What `cov_type=` takes."""

DF_RULES: dict[str, Any] = {
    "residual": residual_df,
    "contain": containment_df,
    "satterthwaite": satterthwaite_df,
}
"""What `df=` takes, besides "kenward-roger", which brings its own covariance."""


@dataclass(frozen=True, eq=False)
class Inference:
    """How coefficients are tested.

    Attributes
    ----------
    basis : Basis
        Estimates, their covariance and the rule for degrees of freedom.
    cov_type : str
    df_method : str
        "z", "residual", "contain", "satterthwaite", "kenward-roger", "cluster" or "given".
    n_clusters : int or None
        For cluster-robust covariances; of the grouping with the fewest.
    clusters : ndarray of int, shape (n,) or (n, m), or None
        Which rows those clusters are made of, by one or several groupings.
    notes : tuple of str
        What a reader of the results should know of it, in sentences; see `few_studies`, too.
    """

    basis: Basis
    cov_type: str
    df_method: str
    n_clusters: int | None = None
    clusters: Ints | None = None
    notes: tuple[str, ...] = ()


def choose_inference(
    fit: Fit, prepared: Prepared, use_t: bool, df: Any, cov_type: str, cov_kwds: dict[str, Any]
) -> Inference:
    """Turn the options of `MetaMixedLM.fit` into an `Inference`.

    Raises
    ------
    SpecificationError
        For options that do not exist or do not go together.
    """
    if cov_type in ROBUST:
        return robust_inference(fit, prepared, cov_type, **cov_kwds)
    cov = scaled_cov(fit, cov_type)
    if not isinstance(df, str):
        return Inference(Basis(fit.beta, cov, given_df(fit, df)), cov_type, "given")
    if df == "kenward-roger":
        return _kenward_roger(fit, cov_type)
    if df not in DF_RULES:
        known = ", ".join([*DF_RULES, "kenward-roger"])
        raise SpecificationError(f"unknown df {df!r}; takes a number, an array or one of {known}")
    # a covariance that is scaled by the residuals has their degrees of freedom
    scaled = cov_type != "nonrobust"
    method = "z" if df == "residual" and not (use_t or scaled) else df
    rule = normal_df(fit) if method == "z" else DF_RULES[df](fit)
    return Inference(Basis(fit.beta, cov, rule), cov_type, method)


def few_studies(fit: Fit, inference: Inference, prepared: Prepared) -> tuple[str, ...]:
    """A sentence where tests that take the estimated components for known mislead, or none.

    By containment, the intervals of a coefficient that varies between J levels have J - p df,
    and those of a level mean J - 1; where levels are linked in one piece, as on a tree, they have
    Satterthwaite's df if these are fewer.  The sentence is there where these would widen one by
    more than TOO_NARROW.
    """
    if inference.cov_type not in ROBUST and inference.df_method == "contain":
        return _one_group(fit, prepared)
    if inference.cov_type in ROBUST or inference.df_method not in ("z", "residual"):
        return ()
    if not fit.estimated.any() or not fit.problem.p:
        return ()
    linked = linked_levels_df(fit)
    if np.isinf(linked).all() and _has_many_groups(fit):
        return ()
    rule = inference.basis.df
    by_groups, by_studies = several_groups_df(fit), studies_df(fit)
    counted = np.minimum(by_studies, linked)
    wider = critical_value(counted, 0.05) / critical_value(rule.coefficients(), 0.05) - 1.0
    named = [n for n, w in zip(prepared.exog_names, wider, strict=True) if w > TOO_NARROW]
    if not named:
        return ()
    tests = "z tests" if rule.normal else "t tests by residual df"
    if linked.min() < by_studies.min():
        how = "as levels of a term are correlated, by Satterthwaite's method"
    else:
        how = "by containment" if counted.min() == by_groups.min() else "by the number of studies"
    return (
        f"Few studies for {tests}: {how}, {round(counted.min(), 1):g} df, the 95% intervals of "
        f"{shorten(named)} would be up to {100 * wider.max():.0f}% wider. "
        f"{suited_df(fit, inference.cov_type)} allows for it.",
    )


def suited_df(fit: Fit, cov_type: str) -> str:
    """What to call where studies are few; Kenward and Roger's method is not for every fit."""
    scaled = cov_type in SCALINGS and cov_type != "nonrobust"
    if not fit.reml or fit.weights is not None or scaled:
        return "fit(df='satterthwaite')"
    return "fit(df='kenward-roger') or df='satterthwaite'"


def _one_group(fit: Fit, prepared: Prepared) -> tuple[str, ...]:
    """A sentence where containment finds one group only, or none."""
    alone = in_one_group(fit)
    if not alone.any():
        return ()
    named = [n for n, one in zip(prepared.exog_names, alone, strict=True) if one]
    terms = [t.name for t in fit.problem.terms if len(t.groups.labels) == 1]
    return (
        f"One level of {shorten(terms)} holds all rows, which containment counts as one group (as "
        f"dfs='contain' of metafor does): {shorten(named)} {'has' if len(named) == 1 else 'have'} "
        "1 df. fit(df='satterthwaite') goes by how well the components are known.",
    )


def _has_many_groups(fit: Fit) -> bool:
    """Whether every term has so many groups that none of them makes few df: seen at a glance."""
    problem = fit.problem
    if not problem.holds_rows:
        return False
    counts = [len(t.groups.labels) for t in problem.terms]
    return min((c for c in counts if c > 1), default=problem.n) > MANY_GROUPS + problem.p


def check_options(cov_type: str, cov_kwds: dict[str, Any] | None) -> None:
    """Refuse what `choose_inference` could not use, before time is spent on the fit."""
    if cov_type not in COV_TYPES:
        raise SpecificationError(
            f"unknown cov_type {cov_type!r}; takes one of {', '.join(COV_TYPES)}"
        )
    allowed = {"groups", "df", "repair"} if cov_type in ROBUST else set()
    unknown = set(cov_kwds or {}) - allowed
    if unknown:
        takes = f"takes {', '.join(sorted(allowed))}" if allowed else "takes none"
        raise SpecificationError(
            f"cov_kwds of cov_type={cov_type!r}: {takes}, got {', '.join(sorted(unknown))}"
        )


def robust_inference(
    fit: Fit,
    prepared: Prepared,
    kind: str,
    groups: Any = None,
    df: str = "satterthwaite",
    repair: bool = False,
) -> Inference:
    """Cluster-robust covariance with its own df; see `robust.sandwich.robust`.

    With kind "robust" the clusters and the kind are chosen; see `clustering.choose_clusters`.
    """
    clusters = read_clusters(prepared, groups)
    chosen = choose_clusters(fit, prepared, clusters, groups is None) if kind == AUTO else None
    if chosen is not None:
        clusters, kind = chosen.clusters, chosen.kind
        repair = True
    elif groups is None:
        check_several(prepared, kind)
    found = robust(fit, clusters.codes, kind, df, repair)
    notes = [
        *(chosen.notes if chosen else []),
        *about_clusters(found, clusters, prepared),
        *known_from_one(fit, clusters, prepared, kind),
    ]
    basis = Basis(fit.beta, found.cov, found.df)
    return Inference(basis, kind, df, found.n_clusters, clusters.codes, tuple(notes))


def _kenward_roger(fit: Fit, cov_type: str) -> Inference:
    if cov_type != "nonrobust":
        raise SpecificationError(
            f"df='kenward-roger' has a covariance of its own and does not go with {cov_type!r}"
        )
    found = kenward_roger(fit)
    return Inference(Basis(fit.beta, found.cov, found.df), cov_type, "kenward-roger")
