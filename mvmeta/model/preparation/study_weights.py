"""Weights with which studies count however many effects they report."""

from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats
from mvmeta.columns import row_names
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.errors import DataError, SpecificationError

KINDS = ("equal", "precision")
"""What `kind=` takes."""


def study_weights(
    variance: Any, groups: Any, kind: str = "equal", tau2: float = 0.0
) -> pd.Series | Floats:
    """Weights of the rows, for `weights=`, with which studies do not count by their rows.

    Parameters
    ----------
    variance : array_like, shape (n,) or (n, n), or SamplingCovariance
        Sampling (co)variances, in squared units of the effects; only variances are used, and only
        for "precision".
    groups : array_like of labels, shape (n,)
        Study of each row.  A combination of study and category gives every study the same
        weight in each category it reports, not the same in all of them together.
    kind : {"equal", "precision"}
        "equal": 1 / k_j for each of the k_j rows of study j, so that every study weighs 1.
        "precision": 1 / (k_j (v_j + tau2)) with v_j the mean variance in study j, so that a
        study weighs 1 / (v_j + tau2), as is usual for correlated effects in robust variance
        estimation (Hedges, Tipton & Johnson 2010).
    tau2 : float
        Variance between studies, for "precision", in squared units of the effects.

    Returns
    -------
    Series or ndarray, shape (n,)
        Without unit if "equal", else in one over squared units of the effects; a Series where
        `groups` is one.  Fitting with these weights changes the fixed effects only; their standard
        errors are those of the weighted estimator under the fitted M.

    Raises
    ------
    SpecificationError
        For another kind or a negative `tau2`.
    DataError
        For missing groups, or variances that do not fit them, are missing or negative, or sum
        to 0 in a study.

    Notes
    -----
    Rows a model drops for missing values count here: drop them before.

    References
    ----------
    .. [1] Hedges LV, Tipton E, Johnson MC (2010). Robust variance estimation in meta-regression
       with dependent effect size estimates. *Research Synthesis Methods* 1:39–65.
       doi:10.1002/jrsm.5

    Examples
    --------
    >>> study_weights([0.1, 0.1, 0.1, 0.2], ["a", "a", "a", "b"])
    array([0.33333333, 0.33333333, 0.33333333, 1.        ])
    """
    if kind not in KINDS:
        raise SpecificationError(f"kind= takes one of {', '.join(KINDS)}, got {kind!r}")
    if not tau2 >= 0:
        raise SpecificationError(f"tau2= must not be negative, got {tau2!r}")
    code, labels = pd.factorize(np.asarray(groups))
    if (code < 0).any():
        where = row_names(pd.RangeIndex(len(code)), code < 0)
        raise DataError(
            f"groups is missing in {where} (counted from 0) of {len(code)}; fill it in, or leave "
            "out these rows"
        )
    size = np.bincount(code)
    total = np.ones(len(size))
    if kind == "precision":
        mean = np.bincount(code, weights=_variances(variance, len(code))) / size + tau2
        if not (mean > 0).all():
            raise DataError(
                f"study {str(labels[np.argmin(mean)])!r} has sampling variances that are all 0, so "
                "no finite precision; give tau2= > 0, or correct them"
            )
        total = 1.0 / mean
    weights = (total / size)[code]
    if isinstance(groups, pd.Series):
        return pd.Series(weights, index=groups.index, name="weights")
    return np.asarray(weights)


def _variances(variance: Any, n: int) -> Floats:
    if isinstance(variance, SamplingCovariance):
        values = variance.variances
    elif hasattr(variance, "diagonal") and len(variance.shape) == 2:
        values = np.asarray(variance.diagonal(), dtype=float)
    else:
        values = np.asarray(variance, dtype=float)
        values = np.diag(values) if values.ndim == 2 else values
    if values.shape != (n,):
        raise DataError(f"variance needs one value per row ({n}), got shape {values.shape}")
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        raise DataError(
            "sampling variances must be finite and not negative, but are not in "
            f"{row_names(pd.RangeIndex(n), bad)} (counted from 0); correct or leave out these rows"
        )
    return values
