"""Models against each other: likelihood-ratio tests and tables of information criteria."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError, warn
from mvmeta.inference.comparison.comparable import Candidate, check_comparable
from mvmeta.inference.comparison.lrt import LikelihoodRatio, likelihood_ratio
from mvmeta.inference.many.fit_many import fit_many
from mvmeta.inference.many.outcomes import ManyFits, ManySpec
from mvmeta.inference.resampling.bootstrap import exceedance
from mvmeta.inference.resampling.simulate import Simulator
from mvmeta.model.results.bootstrap import FEWEST, draw_in_chunks, is_count, random_generator
from mvmeta.model.results.fit_holder import FitHolder
from mvmeta.model.specification.search import check_jobs
from mvmeta.progress import Progress

if TYPE_CHECKING:
    from mvmeta.model.results.results import MetaMixedLMResults

CRITERIA = ("aic", "bic", "aicc")
METHODS = ("asymptotic", "bootstrap")
RESTRICTED = "the restricted model"


class ComparisonMethods(FitHolder):
    """Mixin: ``compare_lr_test``."""

    model: Any  # defined by the results class it is mixed into

    def compare_lr_test(
        self,
        restricted: MetaMixedLMResults,
        method: str = "asymptotic",
        *,
        n: int = 1000,
        seed: Any = None,
        n_jobs: int = 1,
    ) -> LikelihoodRatio:
        """Likelihood-ratio test against a fit nested in this one.

        Parameters
        ----------
        restricted : MetaMixedLMResults
            Fit of fewer parameters to the same rows and V by the same criterion.
        method : {"asymptotic", "bootstrap"}
            Large-sample distributions alone, or also the parametric bootstrap: data are drawn
            from the restricted fit and both models are fitted to them.
        n : int
            Replicates of the bootstrap.
        seed : int, numpy.random.Generator, SeedSequence or None
            Of the bootstrap.
        n_jobs : int
            Processes of the bootstrap, as in `bootstrap`.

        Returns
        -------
        LikelihoodRatio
            statistic, pvalue, df_diff (it unpacks in that order); pvalue_boundary, which allows
            for variances that the restricted model sets to 0 and correlations it sets to the end
            of their range, and `reference`, the mixture of chi-squares it comes from, or why
            there is none; pvalue_bootstrap with its Monte Carlo error.

        Raises
        ------
        SpecificationError
            If the fits cannot be compared; says what differs and what to do: other rows,
            response, V or criterion, REML with other fixed effects, user weights, models that
            are not nested.

        Warns
        -----
        MvmetaWarning
            If refits of the bootstrap did not converge: they are counted and left out.  If the
            likelihood of the full model is below that of the restricted one, which contains it.

        Notes
        -----
        `pvalue_boundary` is known for one variance at 0 (half chi2(0), half chi2(1); Self & Liang
        1987), for one random effect dropped with its covariances to q others (half chi2(q), half
        chi2(q + 1); Stram & Lee 1994), for effects with one correlation against the random
        intercept they are where it is 1 (a half-line, too), and for up to three of these at once
        (weights from their information, binomial where they are uncorrelated; Shapiro 1985), each
        together with any restrictions inside the parameter space.

        References
        ----------
        .. [1] Self SG, Liang KY (1987). Asymptotic properties of maximum likelihood estimators and
           likelihood ratio tests under nonstandard conditions. *Journal of the American Statistical
           Association* 82:605–610. doi:10.1080/01621459.1987.10478472
        .. [2] Shapiro A (1985). Asymptotic distribution of test statistics in the analysis of
           moment structures under inequality constraints. *Biometrika* 72:133–144.
           doi:10.1093/biomet/72.1.133
        .. [3] Stram DO, Lee JW (1994). Variance components testing in the longitudinal mixed
           effects model. *Biometrics* 50:1171–1177. doi:10.2307/2533455
        .. [4] Wilks SS (1938). The large-sample distribution of the likelihood ratio for testing
           composite hypotheses. *Annals of Mathematical Statistics* 9:60–62.
           doi:10.1214/aoms/1177732360

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> two = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="district").fit()
        >>> test = res.compare_lr_test(two)
        >>> round(test.statistic, 2), test.df_diff
        (48.52, 1)
        >>> f"{test.pvalue_boundary:.1e}"
        '1.6e-12'
        """
        full, null = (
            candidate(self, "the full model"),
            candidate(restricted, "the restricted model"),
        )
        if method not in METHODS:
            raise SpecificationError(f"method= takes one of {', '.join(METHODS)}, got {method!r}")
        found = likelihood_ratio(full, null)
        _say_lower(full, null)
        if method == "asymptotic":
            return found
        return _bootstrapped(found, full, null, n, seed, n_jobs)


def _say_lower(full: Candidate, null: Candidate) -> None:
    gap = null.fit.loglik[null.fit.reml] - full.fit.loglik[full.fit.reml]
    if gap > LOWER:
        warn(
            f"the log-likelihood of the full model is {gap:.3g} below that of the restricted one, "
            "which is a special case of it: it is at a local maximum (fit again with start=), or "
            "the models are not nested"
        )


LOWER = 1e-6
"""Difference of log-likelihoods beyond what the precision of a maximum explains."""


def candidate(results: Any, name: str) -> Candidate:
    """The fit of some results with its labels.

    Raises
    ------
    SpecificationError
        If it is something else.
    """
    if not isinstance(results, ComparisonMethods):
        raise SpecificationError(
            f"{name}: takes the results of a model's fit(), got {type(results).__name__}"
        )
    prepared = results.model.prepared
    return Candidate(results.fit_, name, prepared.index, prepared.exog_names)


def _bootstrapped(
    found: LikelihoodRatio, full: Candidate, null: Candidate, n: int, seed: Any, n_jobs: int
) -> LikelihoodRatio:
    if not is_count(n, FEWEST):
        raise SpecificationError(f"n= is the number of replicates, at least {FEWEST}; got {n!r}")
    check_jobs(n_jobs)
    draws = draw_in_chunks(Simulator(null.fit), n, null.fit.problem.n, random_generator(seed))
    with Progress("fits", 2 * n) as progress:
        statistics = np.concatenate(
            [_simulated(y, full, null, n_jobs, progress.step) for y in draws]
        )
    good = statistics[~np.isnan(statistics)]
    failed = n - len(good)
    if not len(good):
        raise SpecificationError(f"none of {n} bootstrap refits converged")
    if failed:
        warn(f"{failed} of {n} bootstrap refits did not converge and are left out")
    p, error = exceedance(found.statistic, good)
    return replace(
        found, pvalue_bootstrap=p, bootstrap_error=error, n_replicates=len(good), n_failed=failed
    )


def _simulated(
    y: Floats, full: Candidate, null: Candidate, n_jobs: int, report: Callable[[int], None]
) -> Floats:
    """Likelihood ratios (b,) of both models fitted to y (n, b); NaN where a fit failed."""
    fits = [_fits(c, y, n_jobs, report) for c in (full, null)]
    good = np.array(
        [all(s.converged for s in pair) for pair in zip(*(f.status for f in fits), strict=True)]
    )
    ratio = np.maximum(2.0 * (fits[0].loglik - fits[1].loglik), 0.0)
    return np.where(good, ratio, np.nan)


def _fits(c: Candidate, y: Floats, n_jobs: int, report: Callable[[int], None]) -> ManyFits:
    return fit_many(ManySpec(c.fit.problem, c.fit.reml), y, n_jobs=n_jobs, report=report)


def compare(
    *results: MetaMixedLMResults, criterion: str = "aicc", **named: MetaMixedLMResults
) -> pd.DataFrame:
    """Information criteria of several models of the same data, the best first.

    Parameters
    ----------
    *results : MetaMixedLMResults
        Results of fits, called "model 1", "model 2", ...
    criterion : {"aicc", "aic", "bic"}
        What to sort and weigh by.
    **named : MetaMixedLMResults
        Results under names of their own.

    Returns
    -------
    DataFrame
        One row per model: `df` (coefficients and estimated components), `llf`, `aic`, `bic`,
        `aicc`, `delta` (difference of the criterion to the best) and `weight` (Akaike weights,
        ``exp(-delta / 2)`` scaled to the sum 1; Burnham & Anderson 2002, section 2.9).  The
        criteria are on the scale of -2 llf, without unit, and weights are shares of 1.

    Raises
    ------
    SpecificationError
        For fewer than two models, another criterion, or fits that cannot be compared: other
        rows, response, V or criterion of fitting, REML with other fixed effects, user weights.

    References
    ----------
    :doc:`/explanation/model`, "Likelihood".

    .. [1] Burnham KP, Anderson DR (2002). *Model Selection and Multimodel Inference: A Practical
       Information-Theoretic Approach*, 2nd ed. Springer.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, compare, datasets
    >>> schools = datasets.load("konstantopoulos2011")
    >>> two, three = (
    ...     MetaMixedLM.from_formula("yi ~ 1", schools, variance="vi", groups=g).fit()
    ...     for g in ("district", "district/school")
    ... )
    >>> list(compare(two=two, three=three).index)
    ['three', 'two']
    """
    models = {f"model {i}": res for i, res in enumerate(results, 1)} | named
    if criterion not in CRITERIA:
        raise SpecificationError(
            f"criterion= takes one of {', '.join(CRITERIA)}, got {criterion!r}"
        )
    if len(models) < 2:
        raise SpecificationError(f"compare takes two models or more, got {len(models)}")
    candidates = [candidate(res, name) for name, res in models.items()]
    for other in candidates[1:]:
        check_comparable(candidates[0], other)
    rows = {name: {"df": _df(res), **res.info_criteria()} for name, res in models.items()}
    table = pd.DataFrame.from_dict(rows, orient="index").astype({"df": int})
    table = table[["df", "llf", "aic", "bic", "aicc"]].sort_values(criterion, kind="stable")
    table["delta"] = table[criterion] - table[criterion].iloc[0]
    weight = np.exp(-table["delta"] / 2)
    table["weight"] = weight / weight.sum()
    return table


def _df(results: MetaMixedLMResults) -> int:
    return int(results.k_fe + results.k_vcomp)
