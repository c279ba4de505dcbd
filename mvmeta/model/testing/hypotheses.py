"""Hypotheses about the fixed effects, from what users write to statsmodels' result objects."""

import re
from collections.abc import Sequence
from itertools import combinations
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.contrast import ContrastResults, MultiCompResult, WaldTestResults
from statsmodels.stats.multitest import multipletests, multitest_methods_names

from mvmeta._typing import Bools, Floats
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.wald import Basis, contrasts, wald_test
from mvmeta.model.specification.formula import linear_constraints

Bool = bool | np.bool_


def restrictions(
    r_matrix: Any, names: Sequence[str], dropped: Sequence[str] = ()
) -> tuple[Floats, Floats]:
    """Rows (m, p) and right-hand sides (m,) of a hypothesis.

    Parameters
    ----------
    r_matrix : str, list of str, array_like, or tuple (array_like, array_like)
        "x1 = x2", ["x1 = 0", "x2 = 1"], weights of the coefficients, or weights and
        right-hand sides.
    names : sequence of str
        The p coefficients.
    dropped : sequence of str
        Redundant columns that were left out of the model.

    Raises
    ------
    SpecificationError
        If it does not parse, has the wrong number of columns, is about a column that was left
        out (not estimable), or has weights that are all 0 or missing.
    """
    text = isinstance(r_matrix, str)
    if text or (isinstance(r_matrix, list) and r_matrix and isinstance(r_matrix[0], str)):
        _check_estimable(r_matrix, names, dropped)
        rows, values = linear_constraints(r_matrix, names)
        return _checked(rows), values
    rhs: Any = 0.0
    if isinstance(r_matrix, tuple):
        r_matrix, rhs = r_matrix
    rows = _checked(combinations_of(names, r_matrix, dropped))
    values = _numbers(rhs, "right-hand sides")
    try:
        return rows, np.broadcast_to(values, (len(rows),)).copy()
    except ValueError:
        raise SpecificationError(
            f"{len(rows)} hypotheses need as many right-hand sides, got {np.shape(rhs)}"
        ) from None


def combinations_of(names: Sequence[str], values: Any, dropped: Sequence[str] = ()) -> Floats:
    """Weights (m, p) of linear combinations of the coefficients.

    Raises
    ------
    SpecificationError
        If they are not finite numbers, one for each coefficient.
    """
    rows = np.atleast_2d(_numbers(values, "weights of the coefficients"))
    if rows.ndim != 2 or rows.shape[1] != len(names):
        left_out = f"; left out as redundant: {', '.join(dropped)}" if dropped else ""
        raise SpecificationError(
            f"a hypothesis needs one weight for each of the {len(names)} coefficients "
            f"({', '.join(names)}); got shape {rows.shape}{left_out}"
        )
    return rows


def _check_estimable(text: str | list[str], names: Sequence[str], dropped: Sequence[str]) -> None:
    """Refuse a hypothesis about a redundant column, whose coefficient does not exist."""
    words = text if isinstance(text, str) else ", ".join(map(str, text))
    for name in names:  # a longer name may contain a shorter one
        words = words.replace(name, "")
    for name in dropped:
        if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", words):
            raise SpecificationError(
                f"{name!r} is not estimable: that column is a combination of the others and was "
                f"left out of the model; coefficients are {', '.join(names)}"
            )


def _numbers(values: Any, what: str) -> Floats:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise SpecificationError(f"{what} must be numbers, got {values!r}") from None
    if not np.isfinite(array).all():
        raise SpecificationError(f"{what} must be finite, got {array.tolist()}")
    return array


def _checked(rows: Floats) -> Floats:
    """The rows (m, p), none of which is 0."""
    empty = np.flatnonzero(~rows.any(axis=1))
    if len(rows) == 0:
        raise SpecificationError("there is no hypothesis to test")
    if len(empty):
        raise SpecificationError(
            f"hypothesis {empty[0] + 1} of {len(rows)} involves no coefficient: its weights are 0"
        )
    return rows


def given_covariance(cov_p: Any, p: int) -> Floats:
    """Another covariance (p, p) of the coefficients.

    Raises
    ------
    SpecificationError
        If it has another shape, is not symmetric, or has missing entries.
    """
    cov = _numbers(cov_p, "entries of cov_p=")
    if cov.shape != (p, p) or not np.allclose(cov, cov.T):
        raise SpecificationError(f"cov_p= is a symmetric matrix ({p}, {p}), got shape {cov.shape}")
    return cov


def pick_coefficients(names: Sequence[str], cols: Any) -> list[int]:
    """Positions of coefficients given by name, by position, or by a mask (p,); or of one.

    Raises
    ------
    SpecificationError
        If there is no such coefficient; names those there are.
    """
    array = np.atleast_1d(np.asarray(cols, dtype=object))
    if array.ndim == 1 and len(array) == len(names) and all(isinstance(c, Bool) for c in array):
        return np.flatnonzero(array.astype(bool)).tolist()
    return [_position(names, c) for c in array.ravel()]


def _position(names: Sequence[str], col: Any) -> int:
    if isinstance(col, str) and col in names:
        return list(names).index(col)
    whole = isinstance(col, Integral) and not isinstance(col, Bool)
    if whole and -len(names) <= int(col) < len(names):
        return int(col) % len(names)
    raise SpecificationError(
        f"no coefficient {col!r}; there are the {len(names)} coefficients {', '.join(names)}, to "
        "be given by name or position"
    )


def t_test(basis: Basis, rows: Floats, rhs: Floats) -> ContrastResults:
    """Each hypothesis by itself, as statsmodels' `ContrastResults` with the df of each."""
    c = contrasts(basis, rows, rhs)
    if basis.df.normal:
        return ContrastResults(
            effect=c.estimate,
            statistic=c.statistic,
            sd=c.se,
            df_denom=np.inf,
            distribution="norm",
        )
    return ContrastResults(effect=c.estimate, t=c.statistic, sd=c.se, df_denom=c.df)


def joint_test(basis: Basis, rows: Floats, rhs: Floats) -> ContrastResults:
    """The joint Wald test as statsmodels' `ContrastResults` (chi2 or F)."""
    w = wald_test(basis, rows, rhs)
    if basis.df.normal:
        return ContrastResults(
            statistic=w.statistic, df_denom=w.df, distribution="chi2", dist_args=(w.df,)
        )
    out = ContrastResults(F=w.statistic, df_denom=w.df_denom, df_num=w.df)
    out.pvalue = np.asarray(w.pvalue)  # scipy's F is undefined at infinite df; ours is its limit
    return out


def f_test(basis: Basis, rows: Floats, rhs: Floats) -> ContrastResults:
    """The joint test as F; under z the chi-square over its df, with infinite denominator df."""
    w = wald_test(basis, rows, rhs)
    normal = basis.df.normal
    out = ContrastResults(
        F=w.statistic / w.df if normal else w.statistic,
        df_denom=np.inf if normal else w.df_denom,
        df_num=w.df,
    )
    out.pvalue = np.asarray(w.pvalue)
    return out


def terms_test(basis: Basis, groups: dict[str, list[int]]) -> WaldTestResults:
    """A Wald test for each group of coefficients, as statsmodels' `WaldTestResults`."""
    eye = np.eye(len(basis.beta))
    tests = {name: wald_test(basis, eye[at]) for name, at in groups.items() if at}
    table = pd.DataFrame(
        {
            "statistic": [t.statistic for t in tests.values()],
            "pvalue": [t.pvalue for t in tests.values()],
            "df_constraint": [t.df for t in tests.values()],
        },
        index=list(tests),
    )
    if basis.df.normal:
        return WaldTestResults(None, "chi2", None, table=table)
    table["df_denom"] = [t.df_denom for t in tests.values()]
    return WaldTestResults(None, "F", None, table=table)


def pairwise_test(
    basis: Basis, levels: Floats, labels: Sequence[str], term: str, method: str, alpha: float
) -> MultiCompResult:
    """All pairs of levels of a factor, with p-values adjusted for their number.

    Parameters
    ----------
    basis : Basis
    levels : ndarray, shape (m, p)
        Weights of the coefficients in the mean of each level (up to a common shift).
    labels : sequence of str
    term : str
        Name of the factor.
    method : str
        As in statsmodels' `multipletests`.
    alpha : float

    Raises
    ------
    SpecificationError
        For an unknown method (lists what exists), or an `alpha` not between 0 and 1.
    """
    pairs = list(combinations(range(len(levels)), 2))
    rows = np.array([levels[j] - levels[i] for i, j in pairs])
    c = contrasts(basis, rows)
    lower, upper = c.interval(alpha)
    symbol = "z" if basis.df.normal else "t"
    names = [f"{labels[j]}-{labels[i]}" for i, j in pairs]
    frame = pd.DataFrame(
        {
            "coef": c.estimate,
            "std err": c.se,
            symbol: c.statistic,
            f"P>|{symbol}|": c.pvalue,
            "Conf. Int. Low": lower,
            "Conf. Int. Upp.": upper,
        },
        index=names,
    )
    reject, adjusted = _adjusted(c.pvalue, method, alpha)
    frame[f"pvalue-{method}"], frame[f"reject-{method}"] = adjusted, reject
    return MultiCompResult(
        result_frame=frame,
        contrasts=rows,
        term=term,
        contrast_labels=names,
        term_encoding_matrix=levels,
    )


def _adjusted(pvalues: Floats, method: str, alpha: float) -> tuple[Bools, Floats]:
    """Which hypotheses are rejected, and p-values adjusted for their number, both (m,)."""
    try:
        reject, adjusted = multipletests(pvalues, method=method, alpha=alpha)[:2]
    except (AttributeError, ValueError):  # the former for what is no text
        known = ", ".join(f"{code!r} ({name})" for code, name in multitest_methods_names.items())
        raise SpecificationError(
            f"unknown method={method!r} of adjustment; takes one of {known}"
        ) from None
    return reject, adjusted
