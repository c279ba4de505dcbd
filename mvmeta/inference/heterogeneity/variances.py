"""Variances that random terms add to a row, and shares of them, as functions of the components."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.design.problem import MetaProblem
from mvmeta.design.terms import RandomTerm

Kind = Literal["variance", "i2", "share"]


def mean_outer(term: RandomTerm, rows: Ints | None = None) -> Floats:
    """Mean over rows of z z' (q, q), or its diagonal (q,) if that is all; see `mean_variance`.

    Parameters
    ----------
    term : RandomTerm
    rows : ndarray of int, optional
        All unless given.
    """
    chosen = slice(None) if rows is None else rows
    if term.z is not None:
        z = term.z[chosen]
        return np.asarray(z.T @ z / len(z))
    if term.inner is None:
        return np.ones((1, 1))
    inner = term.inner[chosen]
    return np.asarray(np.bincount(inner, minlength=term.q) / len(inner))


def mean_variance(weights: Floats, g: Floats) -> float:
    """Mean of diag(Z (I (x) G) Z') for the `mean_outer` of a term and its G, or a derivative."""
    return float(weights @ g.diagonal() if weights.ndim == 1 else (weights * g).sum())


class AddedVariances:
    """The variance each of T terms adds to a row on average, at any working parameters.

    Parameters
    ----------
    problem : MetaProblem
    typical : float
        Typical sampling variance, the rest of the total in I2.
    weights : sequence of ndarray (q, q) or (q,), optional
        `mean_outer` of every term, where the rows it is made from are not held.

    Attributes
    ----------
    typical : float
        As given.
    """

    def __init__(
        self, problem: MetaProblem, typical: float, weights: Sequence[Floats] | None = None
    ) -> None:
        self._problem, self.typical = problem, typical
        self._weights = weights or [mean_outer(t) for t in problem.terms]

    @property
    def n_terms(self) -> int:
        """T."""
        return len(self._problem.terms)

    def i2(self, variance: float) -> float:
        """I2 of a variance that is all there is."""
        return 1.0 if np.isposinf(variance) else variance / (variance + self.typical)

    def at(self, x: Floats) -> tuple[Floats, Floats, Floats]:
        """Variances (T,), their derivatives (T, J) and second derivatives (T, J, J)."""
        charts = [t.structure.working for t in self._problem.terms]
        pieces = self._problem.split_working(x)
        ends = np.cumsum([0, *(len(p) for p in pieces)]).tolist()
        values = np.zeros(len(charts))
        slopes, bends = (
            np.zeros((len(charts), ends[-1])),
            np.zeros((len(charts), ends[-1], ends[-1])),
        )
        for t, (w, chart, piece) in enumerate(zip(self._weights, charts, pieces, strict=True)):
            own = slice(ends[t], ends[t + 1])
            values[t] = mean_variance(w, chart.matrix(piece))
            slopes[t, own] = [mean_variance(w, k) for k in chart.jacobian(piece)]
            second = chart.hessian(piece)
            if second is not None:
                bends[t, own, own] = [[mean_variance(w, k) for k in row] for row in second]
        share = self._problem.shared_working
        return (
            values,
            share.add(slopes.T).T,
            share.add_pairs(bends.transpose(1, 2, 0)).transpose(2, 0, 1),
        )

    def quantity(
        self, kind: Kind, term: int | None
    ) -> Callable[[Floats], tuple[float, Floats, Floats]]:
        """Value, gradient (J,) and second derivatives (J, J) of one quantity.

        Parameters
        ----------
        kind : {"variance", "i2", "share"}
            The variance; its part in heterogeneity and sampling variance; its part in the
            heterogeneity.
        term : int or None
            Whose; of all terms together if None.
        """

        def function(x: Floats) -> tuple[float, Floats, Floats]:
            values, slopes, bends = self.at(x)
            chosen = slice(None) if term is None else slice(term, term + 1)
            part, d_part, dd_part = (
                float(values[chosen].sum()),
                slopes[chosen].sum(axis=0),
                bends[chosen].sum(axis=0),
            )
            if kind == "variance":
                return part, d_part, dd_part
            whole = float(values.sum()) + (self.typical if kind == "i2" else 0.0)
            if whole <= 0.0:
                return np.nan, np.zeros_like(d_part), np.zeros_like(dd_part)
            ratio, d_whole = part / whole, slopes.sum(axis=0)
            slope = (d_part - ratio * d_whole) / whole
            cross = np.outer(slope, d_whole)
            return ratio, slope, (dd_part - ratio * bends.sum(axis=0) - cross - cross.T) / whole

        return function
