"""Checks of the sampling covariance V: a guess, a missing correlation, strange sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import stats

from mvmeta.columns import row_names
from mvmeta.design.exchangeable import exchangeable
from mvmeta.errors import ConvergenceError, CovarianceError
from mvmeta.inference.fitted.estimate import estimate
from mvmeta.inference.fitted.fit import Fit
from mvmeta.marginal.select import build_backend
from mvmeta.model.diagnosis.findings import Finding, Outcome
from mvmeta.model.diagnosis.subject import NO_REFIT, Subject
from mvmeta.model.evidence.studies import Studies, indefinite

SAME_CORRELATION = 1e-6
"""Spread of correlations that are one number written in many places."""

LEAST_BLOCKS = 3
"""Blocks with correlations that must agree before they look like a guess."""

WIDE = 1e4
"""Ratio of the largest to the smallest sampling variance above which it is remarked on."""

ASSUMED = 0.5
"""Correlation that is tried where none was given."""

REFUTED = 0.05
"""P-value, by the likelihood ratio to no correlation, below which the one that is tried is out."""

MATERIAL = 0.25
"""Change of an estimate, in standard errors, that matters."""

MATERIAL_SE = 0.1
"""Relative change of a standard error that matters."""


def guessed(s: Subject) -> Outcome:
    """Whether all correlations in V are one number."""
    v = s.fit.problem.v
    if v.covariances is None:
        return Outcome()
    off = v.covariances.tocoo()
    size = np.sqrt(v.variances[off.row] * v.variances[off.col])
    r = off.data[size > 0] / size[size > 0]
    blocks = len(np.unique(v.cluster[off.row]))
    if blocks < LEAST_BLOCKS or np.ptp(r) > SAME_CORRELATION:
        return Outcome(passed="correlations of sampling errors differ from study to study")
    finding = Finding(
        "one-correlation-in-V",
        "note",
        f"All sampling errors within a study have the correlation {r.mean():.3g}.",
        {"correlation": float(r.mean()), "studies": blocks},
        "The same number everywhere is usually an assumption. What is assumed here moves weight "
        "between rows and changes standard errors.",
        "sensitivity(rho=(0, 0.2, 0.4, 0.6, 0.8)) shows what other values do; estimate_rho() "
        "whether the data say anything about it.",
    )
    return Outcome((finding,))


def sizes(s: Subject) -> Outcome:
    """Whether sampling variances are zero, or differ by orders of magnitude."""
    variances = s.fit.problem.v.variances
    positive = variances[variances > 0]
    if not len(positive):
        return Outcome()
    ratio = float(positive.max() / positive.min())
    if ratio < WIDE:
        return Outcome(passed=f"the largest is {ratio:.3g} times the smallest")
    low, high = variances == positive.min(), variances == positive.max()
    finding = Finding(
        "variance-range",
        "caution",
        f"The largest sampling variance is {ratio:.3g} times the smallest.",
        {
            "smallest": f"{positive.min():.3g} ({row_names(s.prepared.index, low)})",
            "largest": f"{positive.max():.3g} ({row_names(s.prepared.index, high)})",
        },
        "Real studies differ, but rarely that much. A standard error typed in for a variance, "
        "another unit, or an effect from a very small table looks like this, and one such row "
        "can decide the result.",
        "look at these rows in the sources.",
    )
    return Outcome((finding,))


def independent(s: Subject) -> Outcome:
    """Whether correlated errors within studies would change anything, where V has none."""
    v = s.fit.problem.v
    people = s.people
    if not s.named or not v.is_diagonal or people is None or not (v.variances > 0).any():
        return Outcome()
    if not s.refit:
        return Outcome(skipped=NO_REFIT)
    return _tried(s, people)


def _tried(s: Subject, people: Studies) -> Outcome:
    v = s.fit.problem.v
    try:
        other = replace(s.fit.problem, v=exchangeable(v.variances, people.code, ASSUMED))
        found, optimum = estimate(build_backend(other), reml=s.fit.reml, weights=s.fit.weights)
    except (ConvergenceError, CovarianceError) as error:
        return Outcome(skipped=f"with correlated errors the model has no fit ({error})")
    one = indefinite(people.noun(1))
    worse = max(2.0 * (s.loglik - optimum.evaluation.loglik), 0.0)
    pvalue = float(stats.chi2.sf(worse, 1))
    if pvalue < REFUTED:
        return Outcome(
            passed=f"the data speak against a correlation of {ASSUMED} between the errors within "
            f"{one} (P = {pvalue:.2g})"
        )
    return _compared(s, found, people, one)


def _compared(s: Subject, found: Fit, people: Studies, one: str) -> Outcome:
    se, other_se = np.sqrt(np.diag(s.fit.cov_beta)), np.sqrt(np.diag(found.cov_beta))
    move, ratio = np.abs(found.beta - s.fit.beta) / se, other_se / se
    material = (move > MATERIAL) | (np.abs(np.log(ratio)) > np.log1p(MATERIAL_SE))
    several = int((np.bincount(people.code) > 1).sum())
    if not material.any():
        return Outcome(
            passed=f"if the errors within {one} had the correlation {ASSUMED}, no "
            f"estimate would move by more than {move.max():.2g} standard errors"
        )
    worst = int(
        np.where(material, move / MATERIAL + np.abs(np.log(ratio)) / MATERIAL_SE, 0).argmax()
    )
    finding = Finding(
        "independent-errors",
        "note",
        f"{several} {people.noun(several)} report several effects, whose sampling errors V "
        "takes for independent; if they are not, results change.",
        {
            "tried": f"correlation {ASSUMED} within every {people.noun(1)}",
            s.prepared.exog_names[worst]: f"{s.fit.beta[worst]:.4g} (se {se[worst]:.3g}) becomes "
            f"{found.beta[worst]:.4g} (se {other_se[worst]:.3g})",
        },
        "Effects measured on the same people share their sampling error. Counted as independent "
        f"they make {one} look as if it had more people than it has. Where every row has people "
        "of its own, nothing is wrong.",
        "vcalc() builds V from the correlations the sources report, or an assumed one; "
        "sensitivity(rho=...) tries several; with many studies the standard errors of "
        "cov_type='CR2' are right whatever they are.",
    )
    return Outcome((finding,))
