"""Measures of heterogeneity as one vector: what a bootstrap of them is made of."""

import numpy as np

from mvmeta._typing import Floats
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.heterogeneity.explained import explained_share, relative_heterogeneity
from mvmeta.inference.heterogeneity.q_and_i2 import typical_sampling_variance
from mvmeta.inference.heterogeneity.variances import mean_outer, mean_variance

TOTAL = "total"


class SpreadMeasures:
    """Variances, I2, CVH and M by term and in total, and R2, at any coefficients and components.

    I2 is left out where V is singular, R2 where there are no moderators.

    Parameters
    ----------
    fit : Fit
        Whose rows the variances of terms and the typical sampling variance refer to.
    """

    def __init__(self, fit: Fit) -> None:
        problem = fit.problem
        self._problem = problem
        self._typical = typical_sampling_variance(fit)
        self._weights = [mean_outer(t) for t in problem.terms]
        self._shared = np.array([t.n_levels < problem.n for t in problem.terms], dtype=bool)
        self._mean = problem.x.mean(axis=0)
        centred = problem.x - self._mean
        self._moderated = bool(np.abs(centred).max(initial=0.0) > 0)
        self._scatter = centred.T @ centred / max(problem.n - 1, 1)

    @property
    def names(self) -> list[tuple[str, str]]:
        """Measure, and term or part, of every value."""
        terms = [*(t.name for t in self._problem.terms), TOTAL]
        kinds = ["variance", *(["i2"] if np.isfinite(self._typical) else []), "cvh", "m1", "m2"]
        out = [(kind, term) for kind in kinds for term in terms]
        return [*out, *([("r2", "marginal"), ("r2", "conditional")] if self._moderated else [])]

    def at(self, beta: Floats, theta: Floats) -> Floats:
        """Values (S,) in the order of `names`.

        Parameters
        ----------
        beta : ndarray, shape (p,)
        theta : ndarray, shape (n_components,)
            Natural components.
        """
        pieces = zip(self._problem.terms, self._weights, self._problem.split(theta), strict=True)
        by_term = np.array(
            [mean_variance(w, t.structure.matrix(x)) for t, w, x in pieces], dtype=float
        )
        variance = np.append(by_term, by_term.sum())
        relative = relative_heterogeneity(float(self._mean @ beta), variance)
        out = [variance]
        if np.isfinite(self._typical):
            out.append(variance / (variance[-1] + self._typical))
        out += [relative.cvh, relative.m1, relative.m2]
        if self._moderated:
            fixed = float(beta @ self._scatter @ beta)
            at = explained_share(fixed, by_term, self._shared)
            out.append(np.array([at.marginal, at.conditional]))
        return np.concatenate(out)
