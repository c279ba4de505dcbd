"""Checks of the random effects: what is missing, at an edge, or not to be told apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.errors import ConvergenceError, CovarianceError
from mvmeta.inference.comparison.added_intercept import (
    AddedIntercept,
    add_intercept,
    separates_rows,
)
from mvmeta.inference.components.poorly_known import (
    PoorlyKnown,
    confounded,
    standard_errors,
    unknown_in_range,
)
from mvmeta.model.diagnosis.findings import Finding, Outcome
from mvmeta.model.diagnosis.subject import MOST_ROWS, NO_REFIT, Subject
from mvmeta.model.specification.frames import shorten

LEVEL = 0.05
"""P-value below which a test raises a finding."""

MOST_COMPONENTS = 40
"""Components up to which their information matrix is looked at."""


def no_random_effects(s: Subject) -> Outcome:
    """Whether a model without random effects leaves differences unexplained."""
    if s.fit.problem.terms:
        return Outcome()
    test = s.res.heterogeneity_test()
    if not np.isfinite(test.statistic) or test.df < 1:
        return Outcome(skipped="QE, the test of differences beyond sampling error, is not defined")
    if test.pvalue >= LEVEL:
        return Outcome(
            passed="the effects differ no more than sampling error explains "
            f"(P = {test.pvalue:.2g})"
        )
    finding = Finding(
        "no-random-effects",
        "problem",
        "The model has no random effects, yet the effects differ by more than sampling error.",
        {"QE": test.statistic, "df": test.df, "P": test.pvalue},
        "Standard errors and intervals take all effects of a kind to be the same but for sampling "
        "error. As they are not, the intervals are too narrow, and precise rows count too much.",
        "groups='study' lets every study differ; groups='study/id', with id numbering the rows, "
        "lets the effects within a study differ as well.",
    )
    return Outcome((finding,))


def estimate_level(s: Subject) -> Outcome:
    """Whether effects of the same study differ although no random effect lets them."""
    problem = s.fit.problem
    if not problem.terms:
        return Outcome()
    separating = [t.name for t in problem.terms if separates_rows(t)]
    if separating:
        return Outcome(passed=f"{separating[0]!r} gives every row an effect of its own")
    if problem.n <= problem.p + 1:
        return Outcome(skipped="too few rows for one more variance")
    return _tested(s) if s.refit else Outcome(skipped=NO_REFIT)


def _tested(s: Subject) -> Outcome:
    try:
        added = add_intercept(s.fit, s.loglik, np.arange(s.fit.problem.n), "row")
    except (ConvergenceError, CovarianceError) as error:
        return Outcome(skipped=f"the model with a random effect of the row has no fit ({error})")
    if added.pvalue < LEVEL:
        return Outcome((_no_estimate_level(s, added),))
    return Outcome(
        passed="no random effect of the single row is needed (likelihood ratio "
        f"{added.statistic:.2f}, P = {added.pvalue:.2g})"
    )


def _no_estimate_level(s: Subject, added: AddedIntercept) -> Finding:
    ratio = np.sqrt(np.diag(added.fit.cov_beta) / np.diag(s.fit.cov_beta))
    most = int(np.abs(np.log(ratio)).argmax())
    name = s.prepared.exog_names[most]
    before = f"{s.fit.beta[most]:.4g} (se {np.sqrt(s.fit.cov_beta[most, most]):.4g})"
    after = f"{added.fit.beta[most]:.4g} (se {np.sqrt(added.fit.cov_beta[most, most]):.4g})"
    terms = shorten(t.name for t in s.fit.problem.terms)
    return Finding(
        "no-estimate-level-term",
        "problem",
        f"Effects that share everything in {terms} differ by more than sampling error, and the "
        "model has no random effect that lets them.",
        {
            "likelihood ratio": added.statistic,
            "P": added.pvalue,
            "variance between rows": added.sigma2,
            f"{name} as fitted": before,
            f"{name} with it": after,
        },
        "A random effect of the study alone says that all true effects of a study are the same. "
        "Where they are not, studies with many rows count for too much and standard errors are "
        "wrong. This is the commonest mistake with several effects per study.",
        "number the rows and add a random effect for each: groups='study/id', or "
        "random='1 | id' beside the terms you have.",
    )


def boundary(s: Subject) -> Outcome:
    """Which components were estimated at an edge of their range."""
    v = s.res.vcomp
    at = np.flatnonzero(v["boundary"].to_numpy() & ~v["fixed"].to_numpy())
    if not s.fit.estimated.any():
        return Outcome()
    zero = [i for i in at if s.fit.problem.power[i] == 2]
    without = {v["term"].iloc[i] for i in zero}
    edge = [
        i
        for i in at
        if s.fit.problem.power[i] != 2 and v["term"].iloc[i] not in without and _at_edge(s, i)
    ]
    found = [*_zero_variances(s, zero), *_edge_values(s, edge)]
    if found:
        return Outcome(tuple(found))
    return Outcome(passed="every component was estimated inside its range")


def _at_edge(s: Subject, i: Any) -> bool:
    c = s.fit.problem.components[i]
    return bool(np.isclose(s.fit.theta[i], (c.lower, c.upper), rtol=1e-9, atol=1e-9).any())


def _zero_variances(s: Subject, at: list[Any]) -> list[Finding]:
    if not at:
        return []
    names = [s.res.component_labels[i] for i in at]
    one = len(names) == 1
    return [
        Finding(
            "variance-zero",
            "note",
            f"{'A variance was' if one else 'Some variances were'} estimated as exactly 0: "
            f"{shorten(names)}.",
            {"levels": [int(s.res.vcomp["n_levels"].iloc[i]) for i in at]},
            "The data show no differences of this kind beyond what the rest of the model explains. "
            "That is no proof that there are none: with few levels a variance of some size is "
            "compatible with the data, and the model goes on as if it were known to be 0.",
            "vcomp_conf_int() says how large it may be. Keep the term if the design has it; the "
            "estimates are the same as without.",
        )
    ]


def _edge_values(s: Subject, at: list[Any]) -> list[Finding]:
    if not at:
        return []
    names = [f"{s.res.component_labels[i]} = {s.fit.theta[i]:.4g}" for i in at]
    return [
        Finding(
            "correlation-at-edge",
            "caution",
            f"The likelihood is largest at the edge of what is possible: {shorten(names)}.",
            {"components": names},
            "Correlations of exactly 1, -1 or 0 are rarely the truth: the data are too few for "
            "the structure. Estimates that borrow through this correlation are treated as if it "
            "were certain.",
            "a structure with fewer parameters (CS or HCS instead of UN, ID instead of CS), and "
            "sensitivity() to see which conclusions depend on it.",
        )
    ]


def held_fixed(s: Subject) -> Outcome:
    """What was fixed automatically, because the data cannot tell it."""
    notes = s.res.model.notes
    if not notes:
        return Outcome()
    finding = Finding(
        "fixed-automatically",
        "caution",
        "Parts of the random effects cannot be estimated from these data and were fixed.",
        {"fixed": notes},
        "What is fixed is an assumption, not a result: intervals do not contain its uncertainty.",
        "a simpler structure, or fixed= with values you can defend, and sensitivity() over them.",
    )
    return Outcome((finding,))


def identified(s: Subject) -> Outcome:
    """Components that are flat, as good as unknown, or not to be told apart."""
    at = _inside(s)
    flat = list(np.flatnonzero(s.res.not_identified.to_numpy()))
    if not s.fit.estimated.any():
        return Outcome()
    found = [_flat(s, flat)] if flat else []
    if len(at) and len(at) <= MOST_COMPONENTS and _affordable(s, len(at)):
        information = s.res.model.information(s.fit.theta, s.res.reml)[np.ix_(at, at)]
        found += _unknown(s, at, information)
        found += [_confounded(s, at[d.components], d) for d in confounded(information)]
    elif len(at):
        return Outcome(tuple(found), skipped="the information matrix would be large")
    if found:
        return Outcome(tuple(found))
    return Outcome(passed="the data tell the components apart")


def _inside(s: Subject) -> Ints:
    """Components (J,) that are estimated inside their range."""
    still = s.fit.problem.fixed | s.fit.boundary | s.res.not_identified.to_numpy()
    return np.flatnonzero(~still)


def _affordable(s: Subject, count: int) -> bool:
    return s.refit or s.fit.problem.n * count**2 <= 10 * MOST_ROWS


def _flat(s: Subject, at: list[Any]) -> Finding:
    names = [s.res.component_labels[i] for i in at]
    return Finding(
        "flat",
        "problem",
        f"The data say nothing about {shorten(names)}: any value fits as well.",
        {"components": names},
        "The value shown is where the search stopped. Whatever depends on it (prediction "
        "intervals, what is borrowed) depends on that accident.",
        "leave it out of the model, or fix it (fixed=) and try several values.",
    )


def _unknown(s: Subject, at: Ints, information: Floats) -> list[Finding]:
    errors = standard_errors(information)
    components = [s.fit.problem.components[i] for i in at]
    found = unknown_in_range(components, errors)
    if not found:
        return []
    names = [s.res.component_labels[at[i]] for i in found]
    return [
        Finding(
            "as-good-as-unknown",
            "caution",
            f"The data say next to nothing about {shorten(names)}.",
            {
                name: f"{s.fit.theta[at[i]]:.3g} (se {errors[i]:.2g})"
                for name, i in zip(names, found, strict=True)
            },
            "The standard error is as large as if every possible value were equally likely; an "
            "estimate that leans on this correlation leans on a guess.",
            "a structure that shares one correlation (CS, HCS), or fixed={'rho': ...} at a few "
            "values.",
        )
    ]


def _confounded(s: Subject, at: Ints, d: PoorlyKnown) -> Finding:
    names = [s.res.component_labels[i] for i in at]
    opposite = bool((d.direction[1:] < 0).any())
    how = (
        "what one gains the other loses, and the likelihood hardly changes"
        if opposite
        else "they grow and shrink together, and the likelihood hardly changes"
    )
    moves = [f"{'+' if v > 0 else '-'} {n}" for n, v in zip(names, d.direction, strict=True)]
    return Finding(
        "confounded",
        "caution",
        f"The data can hardly tell {' and '.join(names)} apart: {how}.",
        {"direction": moves, "information left": f"{100 * d.eigenvalue:.1f} %"},
        "Each of them by itself is poorly known, although what they make together may be known "
        "well. Reading them one by one (which level varies most?) is not safe.",
        "report their combination, or a model with one of them; sensitivity() shows whether the "
        "estimates you care about differ.",
    )
