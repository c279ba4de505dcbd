"""Variances that random terms add to a row, and shares of them, as functions of the components."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from mvmeta._typing import Floats
from mvmeta.design.problem import MetaProblem
from mvmeta.design.terms import RandomTerm

Kind = Literal["variance", "i2", "share"]


def mean_outer(term: RandomTerm) -> Floats:
    """Mean over rows of z z' (q, q): the mean of diag(Z (I (x) G) Z') is its product with G."""
    if term.z is not None:
        return np.asarray(term.z.T @ term.z / len(term.z))
    if term.inner is None:
        return np.ones((1, 1))
    return np.diag(np.bincount(term.inner, minlength=term.q) / len(term.inner))


class AddedVariances:
    """The variance each of T terms adds to a row on average, at any working parameters.

    Parameters
    ----------
    problem : MetaProblem
    typical : float
        Typical sampling variance, the rest of the total in I2.
    weights : sequence of ndarray (q, q), optional
        `mean_outer` of every term, where the rows it is made from are not held.
    """

    def __init__(
        self, problem: MetaProblem, typical: float, weights: Sequence[Floats] | None = None
    ) -> None:
        self._problem, self._typical = problem, typical
        self._weights = weights or [mean_outer(t) for t in problem.terms]

    def at(self, x: Floats) -> tuple[Floats, Floats]:
        """Variances (T,) and their derivatives (T, J)."""
        charts = [t.structure.working for t in self._problem.terms]
        pieces = self._problem.split_working(x)
        values = np.array(
            [(w * c.matrix(p)).sum() for w, c, p in zip(self._weights, charts, pieces, strict=True)]
        )
        slopes = [
            np.tensordot(c.jacobian(p), w, axes=2)
            for w, c, p in zip(self._weights, charts, pieces, strict=True)
        ]
        full = np.zeros((len(values), sum(map(len, slopes))))
        start = 0
        for t, slope in enumerate(slopes):
            full[t, start : start + len(slope)] = slope
            start += len(slope)
        return values, self._problem.shared_working.add(full.T).T

    def quantity(self, kind: Kind, term: int | None) -> Callable[[Floats], tuple[float, Floats]]:
        """Value and gradient of one quantity of a term, or of all together (None).

        Parameters
        ----------
        kind : {"variance", "i2", "share"}
            The variance; its part in heterogeneity and sampling variance; its part in the
            heterogeneity.
        term : int or None
        """

        def function(x: Floats) -> tuple[float, Floats]:
            values, slopes = self.at(x)
            chosen = slice(None) if term is None else slice(term, term + 1)
            part, d_part = float(values[chosen].sum()), slopes[chosen].sum(axis=0)
            if kind == "variance":
                return part, d_part
            whole = float(values.sum()) + (self._typical if kind == "i2" else 0.0)
            if whole <= 0.0:
                return np.nan, np.zeros_like(d_part)
            return part / whole, (d_part - part / whole * slopes.sum(axis=0)) / whole

        return function
