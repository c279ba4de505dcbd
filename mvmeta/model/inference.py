"""How coefficients are tested: from the options of `fit` to a covariance and a df rule."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Ints
from mvmeta.errors import DataError, SpecificationError
from mvmeta.inference.containment import containment_df
from mvmeta.inference.degrees import given_df, normal_df, residual_df
from mvmeta.inference.fit import Fit
from mvmeta.inference.kenward_roger import kenward_roger
from mvmeta.inference.robust import KINDS, robust
from mvmeta.inference.satterthwaite import satterthwaite_df
from mvmeta.inference.scaling import SCALINGS, scaled_cov
from mvmeta.inference.wald import Basis
from mvmeta.model.build import Prepared

COV_TYPES = (*SCALINGS, *KINDS)
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
        For cluster-robust covariances.
    clusters : ndarray of int, shape (n,), or None
        Which rows those clusters are made of.
    """

    basis: Basis
    cov_type: str
    df_method: str
    n_clusters: int | None = None
    clusters: Ints | None = None


def choose_inference(
    fit: Fit, prepared: Prepared, use_t: bool, df: Any, cov_type: str, cov_kwds: dict[str, Any]
) -> Inference:
    """Turn the options of `MetaMixedLM.fit` into an `Inference`.

    Raises
    ------
    SpecificationError
        For options that do not exist or do not go together.
    """
    if cov_type in KINDS:
        return robust_inference(fit, prepared, cov_type, **cov_kwds)
    cov = scaled_cov(fit, cov_type)
    if not isinstance(df, str):
        return Inference(Basis(fit.beta, cov, given_df(fit, df)), cov_type, "given")
    if df == "kenward-roger":
        return _kenward_roger(fit, cov_type)
    if df not in DF_RULES:
        known = ", ".join([*DF_RULES, "kenward-roger"])
        raise SpecificationError(f"unknown df {df!r}; takes a number, an array or one of {known}")
    if df == "residual" and not use_t:
        return Inference(Basis(fit.beta, cov, normal_df(fit)), cov_type, "z")
    return Inference(Basis(fit.beta, cov, DF_RULES[df](fit)), cov_type, df)


def check_options(cov_type: str, cov_kwds: dict[str, Any] | None) -> None:
    """Refuse what `choose_inference` could not use, before time is spent on the fit."""
    if cov_type not in COV_TYPES:
        raise SpecificationError(
            f"unknown cov_type {cov_type!r}; takes one of {', '.join(COV_TYPES)}"
        )
    allowed = {"groups", "df"} if cov_type in KINDS else set()
    unknown = set(cov_kwds or {}) - allowed
    if unknown:
        takes = f"takes {' and '.join(sorted(allowed))}" if allowed else "takes none"
        raise SpecificationError(
            f"cov_kwds of cov_type={cov_type!r}: {takes}, got {', '.join(sorted(unknown))}"
        )


def robust_inference(
    fit: Fit, prepared: Prepared, kind: str, groups: Any = None, df: str = "satterthwaite"
) -> Inference:
    """Cluster-robust covariance with its own df; see `inference.robust.robust`."""
    codes = cluster_codes(prepared, groups)
    found = robust(fit, codes, kind, df)
    return Inference(Basis(fit.beta, found.cov, found.df), kind, df, found.n_clusters, codes)


def _kenward_roger(fit: Fit, cov_type: str) -> Inference:
    if cov_type != "nonrobust":
        raise SpecificationError(
            f"df='kenward-roger' has a covariance of its own and does not go with {cov_type!r}"
        )
    found = kenward_roger(fit)
    return Inference(Basis(fit.beta, found.cov, found.df), cov_type, "kenward-roger")


def cluster_codes(prepared: Prepared, groups: Any) -> Ints:
    """Cluster code (n,) of every fitted row.

    Parameters
    ----------
    prepared : Prepared
    groups : str, array_like (n_given,) or None
        A column the model uses, values over the rows of the data as given (a Series is matched
        by its index), or the outermost independent clusters.

    Raises
    ------
    DataError
        If there is no such column, the length does not fit, or a fitted row has no group.
    """
    return prepared.problem.cluster if groups is None else _factorize(prepared, groups)[0]


def cluster_labels(prepared: Prepared, groups: Any) -> pd.Index:
    """Labels of the clusters, in the order of `cluster_codes`."""
    return pd.Index(_factorize(prepared, groups)[1])


def _factorize(prepared: Prepared, groups: Any) -> tuple[Ints, Any]:
    values = _column(prepared, groups) if isinstance(groups, str) else _rows(prepared, groups)
    codes, labels = pd.factorize(values)
    if (codes < 0).any():
        missing = prepared.index[codes < 0]
        raise DataError(f"groups is missing in {len(missing)} fitted rows, first in {missing[0]!r}")
    return np.asarray(codes, dtype=np.intp), labels


def _column(prepared: Prepared, name: str) -> pd.Series:
    if name not in prepared.frame:
        raise DataError(
            f"groups={name!r} is no column the model uses ({', '.join(map(str, prepared.frame))}); "
            f"pass the column itself: groups=data[{name!r}]"
        )
    return prepared.frame[name]


def _rows(prepared: Prepared, groups: Any) -> Any:
    if isinstance(groups, pd.Series) and groups.index.is_unique and prepared.index.is_unique:
        if prepared.index.isin(groups.index).all():
            return groups.loc[prepared.index]
    values = np.asarray(groups)
    if values.ndim != 1 or len(values) != prepared.n_given:
        raise DataError(
            f"groups needs one value for each of the {prepared.n_given} rows of the data as given, "
            f"got shape {values.shape}"
        )
    return values[prepared.rows]
