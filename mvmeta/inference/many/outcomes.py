"""Many outcomes of one design: what is asked of the fits, and what comes out."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy import sparse

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.optimize.newton import DECREMENT


class NotFitted(Enum):
    """Why there is no fit of an outcome."""

    TOO_FEW_ROWS = "not fitted: fewer rows without missing values than coefficients"
    RANK_DEFICIENT = "not fitted: the rows without missing values leave a coefficient undetermined"
    MISSING = "not fitted: values are missing, and missing='skip'"
    FAILED = "not fitted: the solver raised an error, see `errors`"

    @property
    def converged(self) -> bool:
        """False: there is no maximum."""
        return False


@dataclass(frozen=True, eq=False)
class ManyFits:
    """Fits of m outcomes; NaN where there is none.

    Attributes
    ----------
    beta : ndarray, shape (p, m)
    cov_beta : ndarray, shape (p, p, m)
    theta : ndarray, shape (n_components, m)
        Natural components in reporting order.
    boundary : ndarray of bool, shape (n_components, m)
    loglik : ndarray, shape (m,)
        Under the criterion of the fit.
    rss : ndarray, shape (m,)
        r'N r over n - p: the Knapp-Hartung factor; NaN where n = p.
    qe : ndarray, shape (m,)
        Residual heterogeneity; NaN where V is singular.
    nobs : ndarray of int, shape (m,)
        Rows without missing values.
    n_evaluations : ndarray of int, shape (m,)
    status : ndarray of object, shape (m,)
        `Status` or `NotFitted`.
    batched : ndarray of bool, shape (m,)
        Fitted in the batch; the others by the solver of single fits.
    errors : dict
        Outcome -> message, where the solver raised one.
    """

    beta: Floats
    cov_beta: Floats
    theta: Floats
    boundary: Bools
    loglik: Floats
    rss: Floats
    qe: Floats
    nobs: Ints
    n_evaluations: Ints
    status: np.ndarray
    batched: Bools
    errors: dict[int, str]

    @classmethod
    def blank(cls, p: int, components: int, m: int) -> "ManyFits":
        """Room for m outcomes."""

        def none(*shape: int) -> Floats:
            return np.full(shape, np.nan)

        return cls(
            beta=none(p, m),
            cov_beta=none(p, p, m),
            theta=none(components, m),
            boundary=np.zeros((components, m), dtype=bool),
            loglik=none(m),
            rss=none(m),
            qe=none(m),
            nobs=np.zeros(m, dtype=np.intp),
            n_evaluations=np.zeros(m, dtype=np.intp),
            status=np.empty(m, dtype=object),
            batched=np.zeros(m, dtype=bool),
            errors={},
        )


@dataclass(frozen=True, eq=False)
class ManySpec:
    """What all outcomes share.

    Attributes
    ----------
    problem : MetaProblem
        Its y does not matter.
    reml : bool
    weights : sparse array, shape (n, n), optional
        User weights for the fixed effects.
    maxiter, tol
        See `optimize.maximize.maximize`.
    start : ndarray, shape (n_components,), optional
        Natural components from which outcomes are climbed that are fitted one by one, instead
        of the automatic starts.
    pins : callable, optional
        Problem of the rows an outcome has -> the same with what these do not tell fixed, and notes;
        pickles.  The components of all rows are those of each outcome unless said.
    """

    problem: MetaProblem
    reml: bool = True
    weights: sparse.csr_array | None = None
    maxiter: int = 200
    tol: float = DECREMENT
    start: Floats | None = None
    pins: Callable[[MetaProblem], tuple[MetaProblem, list[str]]] | None = None


@dataclass(frozen=True, eq=False)
class Columns:
    """Some outcomes: y (n, b) with NaN where y or its variance is missing, v (n, b) or None."""

    y: Floats
    v: Floats | None


def columns_of(y: Floats, variances: Floats | None, at: Ints) -> Columns:
    """Outcomes `at` (b,) of y (n, m), with variances (n,) or (n, m) if there are any."""
    part = y[:, at].astype(float)
    if variances is None:
        return Columns(part, None)
    v = variances[:, at] if variances.ndim == 2 else np.repeat(variances[:, None], len(at), axis=1)
    part[np.isnan(v)] = np.nan
    return Columns(part, v)


def rescaled(v: SamplingCovariance, variances: Floats) -> SamplingCovariance:
    """V with other variances (n,) and the same correlations."""
    if v.covariances is None:
        return SamplingCovariance(variances)
    known = v.variances > 0
    ratio = np.where(known, np.sqrt(variances / np.where(known, v.variances, 1.0)), 0.0)
    scale = sparse.diags_array(ratio)
    return SamplingCovariance(variances, (scale @ v.covariances @ scale).tocsr())
