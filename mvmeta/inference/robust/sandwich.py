"""Cluster-robust covariance of the fixed effects, with the tests that go with it."""

from dataclasses import dataclass

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.degrees import DegreesOfFreedom, PerCoefficient, residual_df
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.robust.clusters import (
    Adjustment,
    ClusterMoments,
    are_independent,
    cluster_scores,
)
from mvmeta.inference.robust.linked import (
    Intersection,
    Jackknife,
    LinkedMoments,
    Loadings,
    Sandwich,
    intersections,
)
from mvmeta.inference.robust.moments import RobustSatterthwaite

KINDS = ("CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3")
DF_RULES = ("satterthwaite", "cluster", "residual")

MOST_WAYS = 4
"""Most groupings at once: every further one doubles the number of intersections."""

INDEFINITE_TOLERANCE = 1e-10
"""Negative eigenvalue, relative to the largest, that is more than rounding."""

ROUNDING = 1e-20
"""Robust variance, relative to the model-based one, that is rounding."""


@dataclass(frozen=True, eq=False)
class Robust:
    """A cluster-robust replacement of the covariance of beta.

    Attributes
    ----------
    cov : ndarray, shape (p, p)
    df : DegreesOfFreedom
    counts : tuple of int
        Number of clusters of each grouping.
    independent : bool
        Whether rows of different clusters are independent under the fitted model.
    expected : ndarray, shape (p,)
        Variances to be expected of `cov` if the fitted model is right, relative to the
        model-based ones; 1 where there is no bias.  NaN for CR0 to CR1S of independent clusters
        with simple df, where it is not computed.
    repaired : bool
        Whether negative eigenvalues were set to 0.
    """

    cov: Floats
    df: DegreesOfFreedom
    counts: tuple[int, ...]
    independent: bool
    expected: Floats
    repaired: bool = False

    @property
    def n_clusters(self) -> int:
        """The number of clusters, of the grouping with the fewest."""
        return min(self.counts)


def robust(
    fit: Fit,
    groups: Ints,
    kind: str = "CR2",
    df: str = "satterthwaite",
    repair: bool = False,
) -> Robust:
    """Cluster-robust covariance of the fixed effects and the df of its tests.

    Parameters
    ----------
    fit : Fit
    groups : ndarray of int, shape (n,) or (n, m)
        Cluster of each row; or m groupings, crossed or not, whose sandwiches are combined by
        inclusion-exclusion (Cameron, Gelbach & Miller 2011).
    kind : {"CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3"}
        No adjustment; factors J/(J-1), J/(J-p), J (n-1)/((J-1)(n-p)) for J clusters, each
        intersection of groupings with its own J; bias-reduced linearisation (Bell & McCaffrey
        2002; Pustejovsky & Tipton 2018); the sum of squares of beta - beta_(j), every cluster
        left out in turn with the components held (MacKinnon, Nielsen & Webb 2023, Journal of
        Econometrics 232:272, leave out the factor (J-1)/J of theirs, as clubSandwich does).
        CR2 needs clusters that are independent under the fitted model, the others do not.
    df : {"satterthwaite", "cluster", "residual"}
        By the working model that M is as fitted; J - p, with the fewest clusters of any grouping;
        n - p.
    repair : bool
        Set negative eigenvalues to 0, as Cameron, Gelbach & Miller propose; inclusion-exclusion
        may give a matrix that has some.

    Raises
    ------
    SpecificationError
        For another kind or df, too few clusters, clusters the adjustment cannot handle, or a
        covariance with negative eigenvalues that may not be repaired.
    """
    check_robust(kind, df)
    groupings = list(np.asarray(groups).T) if np.ndim(groups) == 2 else [np.asarray(groups)]
    if len(groupings) > MOST_WAYS:
        raise SpecificationError(
            f"{len(groupings)} groupings at once; {MOST_WAYS} are possible: take the coarsest ones"
        )
    one = len(groupings) == 1
    if one and are_independent(fit, groupings[0]):
        return _independent(fit, groupings[0], kind, df)
    if kind == "CR2":
        raise SpecificationError(_no_cr2(one))
    return _linked(fit, groupings, kind, df, repair)


def _no_cr2(one: bool) -> str:
    what = (
        "rows of different groups are correlated under the fitted model (or tied by user weights)"
        if one
        else "with several groupings no cluster is independent of all others"
    )
    return (
        f"{what}, which the adjustment CR2 cannot handle; take coarser groups (the outermost "
        "independent clusters), or several groupings with CR1, as groups=['study', 'species'], or "
        "CR3, which leaves every group out in turn"
    )


def _independent(fit: Fit, groups: Ints, kind: str, df: str) -> Robust:
    part = intersections([groups])[0]
    factor = small_sample_factor(fit, part.count, kind)
    if df != "satterthwaite" and kind not in ("CR2", "CR3"):
        sandwich = Sandwich(fit)
        scores = sandwich.contributions(part)
        cov = _without_rounding(in_columns(sandwich.r, factor * scores.T @ scores), fit)
        unknown = np.full(fit.problem.p, np.nan)
        return Robust(cov, simple_df(fit, part.count, df), (part.count,), True, unknown)
    at = cluster_scores(fit, groups, adjustment_of(kind))
    half = at.scores @ at.bread.T
    rule = RobustSatterthwaite(ClusterMoments(at))
    expected = factor * _ratio(fit, rule)
    chosen = rule if df == "satterthwaite" else simple_df(fit, part.count, df)
    cov = _without_rounding(in_columns(at.r, factor * half.T @ half), fit)
    return Robust(cov, chosen, (part.count,), True, expected)


def _without_rounding(cov: Floats, fit: Fit) -> Floats:
    """The covariance with variances of 0, but for rounding, as 0.

    Those of coefficients from the rows of one cluster alone are, without an adjustment.
    """
    nothing = np.diag(cov) < ROUNDING * np.diag(fit.cov_beta)
    if nothing.any():
        cov[nothing] = cov[:, nothing] = 0.0
    return cov


def _linked(fit: Fit, groupings: list[Ints], kind: str, df: str, repair: bool) -> Robust:
    source = Jackknife(fit) if kind == "CR3" else Sandwich(fit)
    parts = [_part(fit, source, cell, kind) for cell in intersections(groupings)]
    counts = tuple(k.groups.count for k in parts[: len(groupings)])
    half = [k.contributions(source.residuals) for k in parts]
    inside = sum((k.weight * h.T @ h for k, h in zip(parts, half, strict=True)), 0.0)
    cov, repaired = _checked(in_columns(source.r, np.asarray(inside)), repair)
    mean = sum((k.weight * k.mean for k in parts), np.zeros_like(source.r))
    expected = np.diag(in_columns(source.r, mean)) / np.diag(fit.cov_beta)
    rule = (
        RobustSatterthwaite(LinkedMoments(source.r, parts, source.cov_residuals))
        if df == "satterthwaite"
        else simple_df(fit, min(counts), df)
    )
    return Robust(cov, rule, counts, False, expected, repaired)


def _part(fit: Fit, source: Sandwich | Jackknife, cell: Intersection, kind: str) -> Loadings:
    return source.loadings(cell, cell.sign * small_sample_factor(fit, cell.count, kind))


def in_columns(r: Floats, inside: Floats) -> Floats:
    """Return a covariance of the coefficients of Q as one of those of X = Q R."""
    half = np.linalg.solve(r, inside)
    cov = np.linalg.solve(r, half.T)
    return np.asarray((cov + cov.T) / 2.0)


def _ratio(fit: Fit, rule: RobustSatterthwaite) -> Floats:
    return np.diag(rule.expected(np.eye(fit.problem.p))) / np.diag(fit.cov_beta)


def _checked(cov: Floats, repair: bool) -> tuple[Floats, bool]:
    """The covariance, its negative eigenvalues set to 0 on request, and whether there were any."""
    # Judged in units of the standard errors: those of the coefficients decide nothing.
    scale = np.sqrt(np.abs(np.diag(cov)))
    scale = np.where(scale > 0, scale, 1.0)
    scaled = np.linalg.eigvalsh(cov / np.outer(scale, scale))
    if not len(scaled) or scaled[0] >= -INDEFINITE_TOLERANCE * np.abs(scaled).max():
        return cov, False
    if not repair:
        raise SpecificationError(
            f"the combined covariance of several groupings has a negative eigenvalue "
            f"({scaled[0]:.2g} in units of squared standard errors), as happens with few clusters; "
            "repair=True (in fit: cov_kwds) sets such eigenvalues to 0; CR3 of the grouping with "
            "the fewest clusters does without"
        )
    values, vectors = np.linalg.eigh(cov)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T, True


def check_robust(kind: str, df: str) -> None:
    """Raise a SpecificationError for a kind or a rule of df that does not exist."""
    if kind not in KINDS:
        raise SpecificationError(f"unknown cov_type {kind!r}; takes one of {', '.join(KINDS)}")
    if df not in DF_RULES:
        raise SpecificationError(f"unknown df {df!r}; takes one of {', '.join(DF_RULES)}")


def adjustment_of(kind: str) -> Adjustment:
    """How the scores of a cluster are adjusted under `kind`."""
    return "CR2" if kind == "CR2" else "CR3" if kind == "CR3" else "none"


def small_sample_factor(fit: Fit, clusters: int, kind: str) -> float:
    """Factor of the sandwich under CR1, CR1p and CR1S; 1 for the others.

    Raises
    ------
    SpecificationError
        For too few clusters.
    """
    n, p, j = fit.problem.n, fit.problem.p, clusters
    if j < 2 or (kind == "CR1p" and j <= p) or (kind == "CR1S" and n <= p):
        raise SpecificationError(
            f"{kind} needs more groups than there are: {j} {'group' if j == 1 else 'groups'} for "
            f"{p} {'coefficient' if p == 1 else 'coefficients'}"
        )
    return {
        "CR1": lambda: j / (j - 1),
        "CR1p": lambda: j / (j - p),
        "CR1S": lambda: j * (n - 1) / ((j - 1) * (n - p)),
    }.get(kind, lambda: 1.0)()


def simple_df(fit: Fit, clusters: int, rule: str) -> PerCoefficient:
    """Give every test clusters - p ("cluster") or k - p ("residual") degrees of freedom.

    Raises
    ------
    SpecificationError
        If none are left.
    """
    if rule == "residual":
        return residual_df(fit)
    left = clusters - fit.problem.p
    if left <= 0:
        raise SpecificationError(
            f"df='cluster' is groups minus coefficients, {clusters} - {fit.problem.p}; "
            "use df='satterthwaite'"
        )
    return PerCoefficient(np.full(fit.problem.p, float(left)))
