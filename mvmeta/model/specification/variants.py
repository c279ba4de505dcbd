"""A model again with something changed: other V, other random terms, fewer rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.problem import MetaProblem
from mvmeta.inference.robust.sandwich import KINDS
from mvmeta.model.specification.build import Prepared
from mvmeta.model.specification.records import TermRecord

if TYPE_CHECKING:
    from mvmeta.model.mixed import MetaMixedLM
    from mvmeta.model.results.results import MetaMixedLMResults


def with_problem(
    model: MetaMixedLM, problem: MetaProblem, records: list[TermRecord] | None = None
) -> MetaMixedLM:
    """The model with another V or other random terms over the same rows and columns.

    Parameters
    ----------
    model : MetaMixedLM
    problem : MetaProblem
        With y and X of the model.
    records : list of TermRecord, optional
        Of the random terms, where they are others than those of the model.

    Returns
    -------
    MetaMixedLM
    """
    changes = {} if records is None else {"term_specs": records, "notes": []}
    return _with(model, problem=problem, **changes)


def with_column(model: MetaMixedLM, name: str, values: Floats) -> MetaMixedLM:
    """The model with one more column of X, last; it has no formula to apply to new data.

    Parameters
    ----------
    model : MetaMixedLM
    name : str
    values : ndarray, shape (n,)
        Linearly independent of X.

    Returns
    -------
    MetaMixedLM
    """
    old = model.prepared
    return _with(
        model,
        problem=replace(old.problem, x=np.column_stack([old.problem.x, values])),
        exog_names=[*old.exog_names, name],
        exog_columns=np.arange(old.problem.p + 1),
        dropped_columns=[],
        spec=None,
        formula=None,
    )


def on_rows(model: MetaMixedLM, rows: Ints, columns: Bools) -> MetaMixedLM:
    """The model on some of its rows and with some of its coefficients.

    Parameters
    ----------
    model : MetaMixedLM
    rows : ndarray of int, shape (k,)
        Positions among the fitted rows.
    columns : ndarray of bool, shape (p,)
        Columns of X, linearly independent in these rows.

    Returns
    -------
    MetaMixedLM
    """
    old = model.prepared
    taken = old.problem.take(rows)
    return _with(
        model,
        problem=replace(taken, x=np.ascontiguousarray(taken.x[:, columns])),
        exog_names=[name for name, keep in zip(old.exog_names, columns, strict=True) if keep],
        exog_columns=old.exog_columns[columns],
        index=old.index[rows],
        rows=old.rows[rows],
        frame=old.frame.iloc[rows],
        weights=None if old.weights is None else old.weights[rows][:, rows].tocsr(),
    )


def _with(model: MetaMixedLM, **changes: Any) -> MetaMixedLM:
    new = type(model).__new__(type(model))
    new._set_up(replace(model.prepared, **changes), None)
    return new


def fit_options(res: MetaMixedLMResults) -> dict[str, Any]:
    """Arguments of `MetaMixedLM.fit` with which the coefficients are tested as in `res`."""
    options: dict[str, Any] = {"reml": res.reml, "use_t": res.use_t, "cov_type": res.cov_type}
    if res.cov_type in KINDS:
        clusters = res._inference.clusters
        groups = res.fit_.problem.cluster if clusters is None else clusters
        kwds = {"groups": as_given(res.model.prepared, groups), "df": res.df_method}
        return options | {"cov_kwds": kwds | ({"repair": True} if groups.ndim == 2 else {})}
    if res.df_method == "given":
        return options | {"df": res._inference.basis.df.coefficients()}
    return options | {"df": "residual" if res.df_method == "z" else res.df_method}


def as_given(prepared: Prepared, codes: Ints) -> Ints:
    """Codes (n, ...) of the fitted rows spread over the rows of the data as given."""
    out = np.zeros((prepared.n_given, *codes.shape[1:]), dtype=np.intp)
    out[prepared.rows] = codes
    return out
