"""Hypotheses about the fixed effects, from what users write to statsmodels' result objects."""

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
from mvmeta.inference.wald import Basis, contrasts, wald_test
from mvmeta.model.formula import linear_constraints

Bool = bool | np.bool_


def restrictions(r_matrix: Any, names: Sequence[str]) -> tuple[Floats, Floats]:
    """Rows (m, p) and right-hand sides (m,) of a hypothesis.

    Parameters
    ----------
    r_matrix : str, list of str, array_like, or tuple (array_like, array_like)
        "x1 = x2", ["x1 = 0", "x2 = 1"], weights of the coefficients, or weights and
        right-hand sides.
    names : sequence of str
        The p coefficients.

    Raises
    ------
    SpecificationError
        If it does not parse or has the wrong number of columns.
    """
    text = isinstance(r_matrix, str)
    if text or (isinstance(r_matrix, list) and r_matrix and isinstance(r_matrix[0], str)):
        return linear_constraints(r_matrix, names)
    rhs: Any = 0.0
    if isinstance(r_matrix, tuple):
        r_matrix, rhs = r_matrix
    rows = np.atleast_2d(np.asarray(r_matrix, dtype=float))
    if rows.ndim != 2 or rows.shape[1] != len(names):
        raise SpecificationError(
            f"a hypothesis needs one weight for each of the {len(names)} coefficients "
            f"({', '.join(names)}); got shape {rows.shape}"
        )
    try:
        return rows, np.broadcast_to(np.asarray(rhs, dtype=float), (len(rows),)).copy()
    except ValueError:
        raise SpecificationError(
            f"{len(rows)} hypotheses need as many right-hand sides, got {np.shape(rhs)}"
        ) from None


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
    if np.isnan(w.df_denom):
        return ContrastResults(
            statistic=w.statistic, df_denom=w.df, distribution="chi2", dist_args=(w.df,)
        )
    out = ContrastResults(F=w.statistic, df_denom=w.df_denom, df_num=w.df)
    out.pvalue = np.asarray(w.pvalue)  # scipy's F is undefined at infinite df; ours is its limit
    return out


def f_test(basis: Basis, rows: Floats, rhs: Floats) -> ContrastResults:
    """The joint test as F; under z the chi-square over its df, with infinite denominator df."""
    w = wald_test(basis, rows, rhs)
    normal = bool(np.isnan(w.df_denom))
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
