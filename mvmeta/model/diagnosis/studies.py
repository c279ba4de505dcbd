"""Checks of the studies: whether there are enough, and whether one decides everything."""

from __future__ import annotations

import numpy as np
from scipy import stats

from mvmeta.inference.borrowing.evidence import within_share
from mvmeta.inference.coefficients.containment import studies_df
from mvmeta.inference.coefficients.satterthwaite import linked_levels_df, linked_terms
from mvmeta.inference.coefficients.wald import critical_value
from mvmeta.inference.comparison.added_intercept import separates_rows
from mvmeta.inference.influence.deletion import Deletion, deletion
from mvmeta.inference.robust.alone import determined_alone
from mvmeta.inference.robust.sandwich import KINDS
from mvmeta.model.diagnosis.findings import Finding, Outcome
from mvmeta.model.diagnosis.subject import Subject
from mvmeta.model.specification.frames import shorten
from mvmeta.model.testing.clustering import columns_of
from mvmeta.model.testing.inference import suited_df

FEW = 20
"""Studies below which normal quantiles and degrees of freedom that count rows mislead."""

FEW_ROBUST = 40
"""Clusters below which robust covariances without small-sample correction are too small."""

LEAST_DF = 4
"""Degrees of freedom below which t tests themselves are not to be trusted (Tipton 2015)."""

SUITED = ("satterthwaite", "kenward-roger")
"""Degrees of freedom that allow for few studies already."""

LEAST_FOR_INFLUENCE = 5
"""Studies from which on leaving one out says something about that one."""

LARGE_CHANGE = 1.0 + 1e-6
"""Change of a coefficient, in standard errors, by leaving out one study that is remarked on:
more than one, where the mean of two rows changes by exactly one without either."""

MOST_RATIOS = 3
"""Coefficients whose standard errors are compared in a finding."""

UNLIKELY = 0.05
"""P-value, times the number of studies, below which a study is called far from the others."""

MOST_WORK = 2e7
"""Sum of squared study sizes up to which studies are left out one by one."""


def enough(s: Subject) -> Outcome:
    """Whether the tests of the fit suit the number of studies."""
    if not s.fit.estimated.any() and s.res.cov_type == "nonrobust":
        return Outcome()
    robust = s.res.cov_type in KINDS
    count = s.res.n_clusters if robust and s.res.n_clusters else s.studies.count
    method = s.res.df_method
    df = np.broadcast_to(np.asarray(s.res.df_inference, dtype=float), len(s.res.params))
    if robust and method != "satterthwaite":
        few = count < FEW_ROBUST
    elif method in ("z", "residual"):
        few = count < FEW and (method == "z" or s.res.df_resid >= count)
        linked = linked_levels_df(s.fit)
        if not few and linked.min(initial=np.inf) < FEW - 1:
            return Outcome((_few_linked(s, count, linked),))
    else:
        few = bool((df < LEAST_DF).any()) or (count < FEW and _counts_rows(s, df))
    if not few:
        return Outcome(passed=f"{count} {s.studies.noun(count)}, tested by {_tests(s)}")
    suited = method in SUITED
    return Outcome((_too_few(s, count, df) if suited else _few(s, count, df),))


def _counts_rows(s: Subject, df: np.ndarray) -> bool:
    """Whether containment counts rows for a coefficient that compares studies: a level mean."""
    large = df >= s.studies.count
    if s.res.df_method != "contain" or not large.any():
        return False
    within = within_share(s.fit, np.eye(s.fit.problem.p)[large], s.studies.code)
    return bool((within == 0).any())


def _tests(s: Subject) -> str:
    kind = "z" if s.res.df_method == "z" else f"t ({s.res.df_method})"
    return f"{s.res.cov_type}, {kind}" if s.res.cov_type in KINDS else kind


def _few(s: Subject, count: int, df: np.ndarray) -> Finding:
    least = float(np.nanmin(df)) if np.isfinite(df).any() else np.inf
    numbers = {s.studies.noun(2): count, "tests": _tests(s)}
    if np.isfinite(least):
        numbers["smallest df"] = round(least, 2)
    else:
        counted = min(float(studies_df(s.fit).min()), max(count - 1.0, 1.0))
        wider = critical_value(counted, 0.05) / critical_value(np.inf, 0.05)
        numbers["degrees of freedom that count them"] = counted
        numbers["95 % intervals with these"] = f"{float(wider):.2g} times as wide"
    return Finding(
        "few-studies",
        "caution",
        f"There are {count} {s.studies.noun(count)}, few for the tests that were chosen.",
        numbers,
        f"How much {s.studies.noun(2)} differ is known from {count} of them. Tests that take it "
        "for known, or count rows, give intervals that are too narrow and P-values that are too "
        "small.",
        f"{suited_df(s.fit, s.res.cov_type)}; cov_type='CR2' where V is uncertain. "
        "With fewer than 4 degrees of freedom no method helps: say that the data are few.",
    )


def _few_linked(s: Subject, count: int, df: np.ndarray) -> Finding:
    """Where studies are many, and correlated levels leave few degrees of freedom."""
    names = [name for name, of in zip(s.prepared.exog_names, df, strict=True) if of < FEW - 1]
    linked = [t.name for t in linked_terms(s.fit)]
    wider = critical_value(float(df.min()), 0.05) / critical_value(np.inf, 0.05)
    return Finding(
        "few-studies",
        "caution",
        f"There are {count} {s.studies.noun(count)}, but levels of {shorten(linked)} are "
        f"correlated, and {shorten(names)} {'rests' if len(names) == 1 else 'rest'} on few degrees "
        "of freedom.",
        {
            "tests": _tests(s),
            "smallest df (Satterthwaite)": round(float(df.min()), 2),
            "95 % intervals with these": f"{float(wider):.2g} times as wide",
        },
        "Levels that are alike, as relatives and neighbours are, are fewer independent ones than "
        "there are of them. Tests that take their variance for known give intervals that are too "
        "narrow and P-values that are too small.",
        f"{suited_df(s.fit, s.res.cov_type)}. With fewer than 4 degrees of freedom no method "
        "helps: say that the data are few.",
    )


def _too_few(s: Subject, count: int, df: np.ndarray) -> Finding:
    """What is left to say where the tests are those for few studies."""
    names = [name for name, of in zip(s.prepared.exog_names, df, strict=True) if of < LEAST_DF]
    return Finding(
        "few-studies",
        "caution",
        f"There are {count} {s.studies.noun(count)}: tests of {shorten(names)} have fewer than "
        f"{LEAST_DF} degrees of freedom.",
        {"tests": _tests(s), "smallest df": round(float(np.nanmin(df)), 2)},
        "The tests that were chosen allow for few studies, but below that no method keeps its "
        "error rate: the variance that a standard error rests on is all but unknown.",
        "say that the data are few, and do not decide by these P-values; a simpler model leaves "
        "more degrees of freedom (merged categories, fewer moderators).",
    )


def known_from_one(s: Subject) -> Outcome:
    """Whether robust standard errors are of coefficients that one cluster determines."""
    codes = s.res.clusters
    if s.res.cov_type not in KINDS or codes is None:
        return Outcome()
    found: dict[str, dict[str, float]] = {}
    for column in columns_of(codes):
        for cluster, which in determined_alone(s.fit.problem.x, column).items():
            rows = s.studies.code[column == cluster]
            one = s.study(int(rows[0])) if (rows == rows[0]).all() else "one cluster"
            robust, model = s.res.bse.to_numpy(), np.sqrt(np.diag(s.fit.cov_beta))
            found.setdefault(one, {}).update(
                {s.prepared.exog_names[j]: robust[j] / model[j] for j in np.flatnonzero(which)}
            )
    if not found:
        return Outcome(passed="no coefficient is known from one cluster alone")
    return Outcome((_from_one(found),))


def _from_one(found: dict[str, dict[str, float]]) -> Finding:
    named = shorten(dict.fromkeys(name for ratios in found.values() for name in ratios))
    ratios = {
        f"robust over model-based standard error of {name}": ratio
        for of_one in found.values()
        for name, ratio in list(of_one.items())[:MOST_RATIOS]
    }
    return Finding(
        "robust-from-one-study",
        "problem",
        f"Robust standard errors of what cannot be estimated without {shorten(found)}: {named}.",
        ratios,
        "A robust covariance learns from how clusters differ, and nothing of what comes from one "
        "alone: CR0 and CR1 leave it out, and may be 0; CR2 is what algebra leaves, too small "
        "or too large.",
        "model-based standard errors (cov_type='nonrobust') for these coefficients, or merge the "
        "level with another one.",
    )


def influential(s: Subject) -> Outcome:
    """Whether leaving out one study changes coefficients a lot."""
    if not s.named:
        return Outcome()
    reason = _not_left_out(s)
    if reason:
        return Outcome(skipped=reason)
    found = deletion(s.fit, s.studies.code)
    large = np.flatnonzero(
        (found.cooks_distance > stats.chi2.median(s.fit.problem.p))
        | (np.abs(np.nan_to_num(found.dfbetas)) > LARGE_CHANGE).any(axis=1)
    )
    pvalue = _distances(s, found)
    far = np.flatnonzero(pvalue < UNLIKELY)
    findings = [_influential(s, found, large)] if len(large) else []
    findings += [_outlying(s, found, far, pvalue)] if len(far) else []
    if findings:
        return Outcome(tuple(findings))
    most = np.nanmax(np.abs(found.dfbetas), initial=0.0)
    return Outcome(
        passed=f"without any one {s.studies.noun(1)} no coefficient changes by more than "
        f"{most:.2g} standard errors, and none is far from what the others predict"
    )


def _distances(s: Subject, found: Deletion) -> np.ndarray:
    """P-values (J,), times J, of what each study has and the others predict; 1 where unknown.

    Not where rows differ by more than the model lets them: every study is far off then.
    """
    if not any(separates_rows(t) for t in s.fit.problem.terms):
        return np.ones(s.studies.count)
    single = stats.chi2.sf(found.statistic, found.size)
    return np.asarray(np.nan_to_num(single, nan=1.0) * s.studies.count)


def _not_left_out(s: Subject) -> str:
    if s.fit.weights is not None:
        return "leaving out studies in closed form needs a fit without user weights"
    if s.studies.count < LEAST_FOR_INFLUENCE:
        return f"with {s.studies.count} {s.studies.noun(s.studies.count)} each decides by itself"
    if float((s.sizes.astype(float) ** 2).sum()) > MOST_WORK:
        return "the studies are too large to leave them out one by one: get_influence()"
    return ""


def _influential(s: Subject, found: Deletion, large: np.ndarray) -> Finding:
    strength = np.nanmax(np.abs(found.dfbetas[large]), axis=1)
    order = large[np.argsort(-strength)]
    first = int(order[0])
    j = int(np.nanargmax(np.abs(found.dfbetas[first])))
    before, after = s.fit.beta[j], s.fit.beta[j] - found.shift[first, j]
    return Finding(
        "influential-study",
        "caution",
        f"Results depend on {shorten(s.study(int(i)) for i in order)}.",
        {
            "most": s.study(first),
            s.prepared.exog_names[j]: f"{before:.4g}, without it {after:.4g}",
            "change in standard errors": float(found.dfbetas[first, j]),
        },
        "A conclusion that one study can undo is a conclusion about that study.",
        "check its numbers in the source, then report the result with and without it: "
        "sensitivity() refits without each study.",
    )


def _outlying(s: Subject, found: Deletion, far: np.ndarray, pvalue: np.ndarray) -> Finding:
    order = far[np.argsort(pvalue[far])]
    first = int(order[0])
    mean = float(np.mean(found.resid[s.studies.code == first]))
    noun = s.studies.noun(2)
    return Finding(
        "outlying-study",
        "caution",
        f"Far from what all other {noun} predict: {shorten(s.study(int(i)) for i in order)}.",
        {
            "most": s.study(first),
            "mean distance": mean,
            "chi-square": float(found.statistic[first]),
            "df": int(found.size[first]),
            f"P, times {s.studies.count} {noun}": float(pvalue[first]),
        },
        "The model takes random effects for normal; one that is far out makes the differences "
        "between all others look larger than they are, and every interval wider.",
        "check its numbers (sign, scale, standard error typed in for a standard deviation); "
        "sensitivity() shows the results without it.",
    )
