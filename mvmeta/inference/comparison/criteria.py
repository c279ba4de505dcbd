"""Information criteria at the fitted components, defined as metafor defines them."""

from dataclasses import dataclass

import numpy as np

from mvmeta.inference.fitted.fit import Fit


@dataclass(frozen=True)
class InfoCriteria:
    """Log-likelihood and what is derived from it.

    Attributes
    ----------
    llf : float
        Log-likelihood; under REML with the constant +1/2 log|X'X|.
    deviance : float
        ML: -2 (llf - llf of the saturated model); -2 llf where V is singular.  REML: -2 llf.
    aic, bic, aicc : float
        NaN where the criterion is not defined (BIC with no residual degree of freedom).
    n_parameters : int
        q = p + number of estimated components, under REML too.
    n_effective : int
        n of BIC and AICc: k under ML, k - p under REML.
    """

    llf: float
    deviance: float
    aic: float
    bic: float
    aicc: float
    n_parameters: int
    n_effective: int


def info_criteria(fit: Fit, *, reml: bool | None = None) -> InfoCriteria:
    """Information criteria under REML or ML at the fitted components.

    Parameters
    ----------
    fit : Fit
    reml : bool, optional
        Criterion to evaluate; that of the fit unless said.

    Notes
    -----
    AIC = -2 ll + 2 q, BIC = -2 ll + q log n, AICc = -2 ll + 2 q m / (m - q - 1) with
    m = max(n, q + 2).
    """
    reml = fit.reml if reml is None else reml
    k, p = fit.problem.n, fit.problem.p
    q = p + int(fit.estimated.sum())
    n = k - p if reml else k
    m = max(n, q + 2)
    llf = fit.loglik[reml]
    return InfoCriteria(
        llf=llf,
        deviance=-2.0 * llf if reml else -2.0 * (llf - fit.saturated_loglik),
        aic=-2.0 * llf + 2.0 * q,
        bic=-2.0 * llf + q * float(np.log(n)) if n > 0 else np.nan,
        aicc=-2.0 * llf + 2.0 * q * m / (m - q - 1),
        n_parameters=q,
        n_effective=n,
    )
