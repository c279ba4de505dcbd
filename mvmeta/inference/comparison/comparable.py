"""Whether likelihoods can be compared: same rows, y, V and criterion, and under REML same X."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvmeta._typing import Floats
from mvmeta.design.batched import BatchedProblem
from mvmeta.errors import SpecificationError
from mvmeta.inference.fitted.fit import Fit

SAME = 1e-10
"""Relative difference of y or V that counts as none."""
SAME_SPAN = 1e-8
"""Part of a column of X outside the span of another X, relative to it, that counts as none."""
MOST_NAMED = 3
"""Rows and columns named in a message."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A fit and what its parts are called in messages.

    Attributes
    ----------
    fit : Fit
    name : str
        Of the model.
    rows : sequence
        Labels of the n rows.
    columns : sequence of str
        Names of the p coefficients.
    """

    fit: Fit
    name: str
    rows: Sequence[object]
    columns: Sequence[str]

    @classmethod
    def of(cls, fit: Fit, name: str) -> "Candidate":
        """A fit without labels: rows by position, coefficients by number."""
        return cls(fit, name, range(fit.problem.n), [f"x{j}" for j in range(fit.problem.p)])


def check_comparable(a: Candidate, b: Candidate) -> None:
    """Refuse two fits whose log-likelihoods are not about the same thing.

    Raises
    ------
    SpecificationError
        Says what differs, where, and what to do.
    """
    for c in (a, b):
        if c.fit.weights is not None:
            raise SpecificationError(
                f"{c.name} has user weights: its coefficients do not maximise the likelihood, so "
                "it cannot be compared; fit it without weights="
            )
    if a.fit.reml != b.fit.reml:
        reml, ml = (a, b) if a.fit.reml else (b, a)
        raise SpecificationError(
            f"{reml.name} is fitted by REML and {ml.name} by ML: fit both by the same criterion "
            "(reml=False where the fixed effects differ)"
        )
    if isinstance(a.fit.problem, BatchedProblem) or isinstance(b.fit.problem, BatchedProblem):
        _check_fingerprint(a, b)
        return
    _check_rows(a, b)
    _check_sampling(a, b)
    if a.fit.reml and not (spans(a, b) and spans(b, a)):
        raise SpecificationError(
            f"REML likelihoods of models with other fixed effects are not comparable; "
            f"{_extra_columns(a, b)}: fit all with reml=False to compare them"
        )


def _check_fingerprint(a: Candidate, b: Candidate) -> None:
    """What can be said where rows are not held: number of rows, sums of y^2 and of variances."""
    marks = np.array([_fingerprint(c.fit) for c in (a, b)])
    if not np.allclose(marks[0], marks[1], rtol=SAME, atol=0.0):
        raise SpecificationError(
            f"{a.name} and {b.name} have different data: rows, mean of y^2 and mean variance are "
            f"{_listed([f'{m:.6g}' for m in marks[0]])} and "
            f"{_listed([f'{m:.6g}' for m in marks[1]])}; fit both to the same rows"
        )
    if a.fit.reml and list(a.columns) != list(b.columns):
        raise SpecificationError(
            "REML likelihoods of models with other fixed effects are not comparable: "
            f"{_listed(a.columns)} and {_listed(b.columns)}; fit both with reml=False"
        )


def _fingerprint(fit: Fit) -> tuple[float, float, float]:
    return fit.problem.n, fit.problem.mean_square, fit.problem.mean_variance


def _check_rows(a: Candidate, b: Candidate) -> None:
    x, y = a.fit.problem.y, b.fit.problem.y
    if len(x) != len(y):
        raise SpecificationError(
            f"{a.name} has {len(x)} rows and {b.name} has {len(y)}{_rows_only(a, b)}: rows were "
            "probably dropped for missing values of a column that only one of them uses; fit both "
            "to the rows complete in all columns (subset=)"
        )
    differ = np.flatnonzero(np.abs(x - y) > SAME * np.abs(x).max(initial=0.0))
    if len(differ):
        first = differ[0]
        raise SpecificationError(
            f"the response of {a.name} and {b.name} differs in {len(differ)} of {len(x)} rows "
            f"(first in row {a.rows[first]!r}: {x[first]:g} and {y[first]:g}): likelihoods of "
            "different or transformed responses, or of rows in another order, are not comparable"
        )


def _rows_only(a: Candidate, b: Candidate) -> str:
    parts = []
    for one, other in ((a, b), (b, a)):
        there = set(other.rows)
        only = [r for r in one.rows if r not in there]
        if only:
            parts.append(f"{_listed(only)} only in {one.name}")
    return f" ({'; '.join(parts)})" if parts else ""


def _check_sampling(a: Candidate, b: Candidate) -> None:
    v, w = a.fit.problem.v, b.fit.problem.v
    size = SAME * v.variances.max(initial=0.0)
    differ = np.flatnonzero(np.abs(v.variances - w.variances) > size)
    if len(differ):
        first = differ[0]
        raise SpecificationError(
            f"the sampling variances of {a.name} and {b.name} differ in {len(differ)} rows (first "
            f"in row {a.rows[first]!r}: {v.variances[first]:g} and {w.variances[first]:g}): "
            "another V is another model of the data; fit both with the same variance="
        )
    gap = abs(v.tosparse() - w.tosparse()).tocoo()
    if gap.nnz and gap.data.max() > size:
        at = int(np.argmax(gap.data))
        raise SpecificationError(
            f"the sampling covariances of {a.name} and {b.name} differ (most for rows "
            f"{a.rows[gap.row[at]]!r} and {a.rows[gap.col[at]]!r}): another V is another model of "
            "the data; fit both with the same variance="
        )


def spans(a: Candidate, b: Candidate) -> bool:
    """Whether the columns of X of `a` span those of `b`."""
    return not outside(a, b)


def outside(a: Candidate, b: Candidate) -> list[str]:
    """Coefficients of `b` whose columns lie outside the span of the X of `a`."""
    x, y = a.fit.problem.x, b.fit.problem.x
    q = np.linalg.qr(x)[0]
    rest = np.linalg.norm(y - q @ (q.T @ y), axis=0)
    beyond: Floats = rest > SAME_SPAN * np.linalg.norm(y, axis=0)
    return [name for name, out in zip(b.columns, beyond, strict=True) if out]


def _extra_columns(a: Candidate, b: Candidate) -> str:
    pairs = ((a, outside(b, a)), (b, outside(a, b)))
    return "; ".join(f"only {c.name} has {_listed(extra)}" for c, extra in pairs if extra)


def _listed(items: Sequence[object]) -> str:
    shown = ", ".join(map(str, items[:MOST_NAMED]))
    return shown + (f" and {len(items) - MOST_NAMED} more" if len(items) > MOST_NAMED else "")
