"""How often intervals of variance components, I2 and ICC hold the truth, simulated.

    python -m benchmarks.simulations.interval_coverage --replicates 1000 --minutes 40

Data are drawn with known variances between studies (and within them, in three levels), sampling
variances that differ by a factor of ten, and 8, 20 or 60 studies; every replicate is fitted by REML
and given Wald, profile likelihood and parametric bootstrap intervals by the methods users call.
Cells that are in the output already are not run again.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.simulations.few_studies import normal, sampling_variances
from benchmarks.simulations.interval_coverage_render import render
from mvmeta import MetaMixedLM, __version__
from mvmeta.errors import MvmetaError
from mvmeta.inference.components.region import LikelihoodRegion
from mvmeta.inference.heterogeneity.q_and_i2 import typical_sampling_variance
from mvmeta.inference.heterogeneity.variances import AddedVariances, Kind
from mvmeta.model.results.results import MetaMixedLMResults

STUDIES = (8, 20, 60)
BETWEEN = {"zero": 0.0, "small": 0.02, "moderate": 0.10}
"""Variance between studies; the typical sampling variance is about 0.05."""

WITHIN = 0.05
"""Variance within studies of the three-level designs."""

MOST_EFFECTS = 6
"""Effects in a study of three levels: 1 to this."""

ALPHA = 0.05
SEED = 20240917

BOOTSTRAP = 499
"""Replicates of the bootstrap."""

METHODS = ("Wald", "profile", "bootstrap, percentile", "bootstrap, basic")

Limits = dict[str, np.ndarray]
"""Method -> lower and upper limit of every target, (T, 2)."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Data without moderators, and the variances they were drawn with."""

    y: np.ndarray
    v: np.ndarray
    groups: np.ndarray
    truth: tuple[float, ...]

    def model(self) -> MetaMixedLM:
        """With one random effect for each column of `groups`."""
        return MetaMixedLM(self.y, np.ones((len(self.y), 1)), self.v, groups=self.groups)


def two_level(rng: np.random.Generator, studies: int, between: float) -> Drawn:
    """One effect in each study."""
    v = sampling_variances(rng, studies)
    y = normal(rng, studies, np.sqrt(between + v))
    return Drawn(y, v, np.arange(studies), (between,))


def three_level(rng: np.random.Generator, studies: int, between: float) -> Drawn:
    """1 to 6 effects in each study, which differ within studies, too."""
    size = rng.integers(1, MOST_EFFECTS + 1, studies)
    size[:2] = [2, 4]  # so that both variances can be told apart
    study = np.repeat(np.arange(studies), size)
    n = len(study)
    v = sampling_variances(rng, n)
    y = normal(rng, studies, np.sqrt(between))[study] + normal(rng, n, np.sqrt(WITHIN + v))
    return Drawn(y, v, np.column_stack([study, np.arange(n)]), (between, WITHIN))


DESIGNS: dict[str, Callable[[np.random.Generator, int, float], Drawn]] = {
    "two-level": two_level,
    "three-level": three_level,
}


@dataclass(frozen=True)
class Target:
    """A quantity of which there are intervals.

    Attributes
    ----------
    name : str
    of : callable
        (components (..., C), typical sampling variance) -> its values (...).
    component : int or None
        Which component it is, if it is one.
    kind, term
        What `AddedVariances.quantity` calls it, if it is none.
    """

    name: str
    of: Callable[[np.ndarray, float], np.ndarray]
    component: int | None = None
    kind: Kind = "variance"
    term: int | None = None


def _share(theta: np.ndarray, _: float) -> np.ndarray:
    whole = theta.sum(axis=-1)
    return np.divide(theta[..., 0], whole, out=np.full(whole.shape, np.nan), where=whole > 0)


BETWEEN_STUDIES = Target("variance between studies", lambda t, _: t[..., 0], component=0)
TARGETS: dict[str, tuple[Target, ...]] = {
    "two-level": (BETWEEN_STUDIES,),
    "three-level": (
        BETWEEN_STUDIES,
        Target("variance within studies", lambda t, _: t[..., 1], component=1),
        Target("I2, total", lambda t, v: t.sum(axis=-1) / (t.sum(axis=-1) + v), kind="i2"),
        Target("ICC", _share, kind="share", term=0),
    ),
}
"""With two levels I2 is an increasing function of the one variance: its interval holds the truth
whenever that of the variance does."""


def intervals(res: MetaMixedLMResults, targets: tuple[Target, ...], seed: Any) -> Limits:
    """Limits (T, 2) of every target by every method; NaN where a method gives none."""
    typical = typical_sampling_variance(res.fit_)
    wald, profile = (
        res.vcomp_conf_int(ALPHA, method)[["lower", "upper"]].to_numpy()
        for method in ("wald", "profile")
    )
    out = {method: np.full((len(targets), 2), np.nan) for method in METHODS}
    for i, target in enumerate(targets):
        if target.component is not None:
            out["Wald"][i] = wald[target.component]
            out["profile"][i] = profile[target.component]
        else:
            out["profile"][i] = _likelihood_limits(res, target, typical)
    boot = res.bootstrap(BOOTSTRAP, seed=seed)
    theta = boot.replicates.to_numpy()[:, len(res.params) :]
    for i, target in enumerate(targets):
        values, at = target.of(theta, typical), float(target.of(res.fit_.theta, typical))
        low, high = np.nanquantile(values, [ALPHA / 2, 1 - ALPHA / 2])
        out["bootstrap, percentile"][i] = low, high
        out["bootstrap, basic"][i] = 2 * at - high, 2 * at - low
    return out


def _likelihood_limits(
    res: MetaMixedLMResults, target: Target, typical: float
) -> tuple[float, float]:
    """As in `heterogeneity()`, which would compute those of other quantities as well."""
    if np.isnan(target.of(res.fit_.theta, typical)):  # a share of nothing
        return np.nan, np.nan
    quantity = AddedVariances(res.fit_.problem, typical).quantity(target.kind, target.term)
    found = LikelihoodRegion(res.fit_, res.model.backend, ALPHA).limits(quantity)
    return found.lower, found.upper


def run_cell(design: str, level: str, studies: int, replicates: int) -> dict[str, Any]:
    """One design with one variance and number of studies: counts for every target and method."""
    targets = TARGETS[design]
    limits = {method: np.full((replicates, len(targets), 2), np.nan) for method in METHODS}
    truth = np.full((replicates, len(targets)), np.nan)
    failed = 0
    for i in range(replicates):
        key = [SEED, list(DESIGNS).index(design), list(BETWEEN).index(level), studies, i]
        drawn = DESIGNS[design](np.random.default_rng(key), studies, BETWEEN[level])
        res = drawn.model().fit()
        typical = typical_sampling_variance(res.fit_)
        truth[i] = [float(t.of(np.array(drawn.truth), typical)) for t in targets]
        try:
            found = intervals(res, targets, np.random.SeedSequence([*key, BOOTSTRAP]))
        except MvmetaError:
            failed += 1
            continue
        for method, pairs in found.items():
            limits[method][i] = pairs
    return {
        "design": design,
        "between": level,
        "studies": studies,
        "replicates": replicates,
        "seed": SEED,
        "failed": failed,
        "targets": {
            target.name: {m: _counts(f[:, j], truth[:, j]) for m, f in limits.items()}
            for j, target in enumerate(targets)
        },
    }


def _counts(limits: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Intervals (R, 2) that exist, hold the truth (R,), lie below and above it."""
    low, high = limits.T
    defined = ~np.isnan(low) & ~np.isnan(high) & ~np.isnan(truth)
    slack = 1e-9  # of a limit at the edge, where the truth may lie as well
    below, above = high + slack < truth, low - slack > truth
    width = high[defined] - low[defined]
    return {
        "defined": int(defined.sum()),
        "held": int((defined & ~below & ~above).sum()),
        "below": int((defined & below).sum()),
        "above": int((defined & above).sum()),
        "median_width": float(np.median(width)) if len(width) else None,
    }


def main() -> None:
    """Parse the options, run the cells that are missing, write JSON, table and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="of CPU time")
    parser.add_argument("--out", default="benchmarks/results/interval_coverage.json")
    parser.add_argument("--render", action="store_true", help="only table and plot")
    options = parser.parse_args()
    out = Path(options.out)
    cells = json.loads(out.read_text())["cells"] if out.exists() else []
    done = {(c["design"], c["between"], c["studies"]) for c in cells}
    warnings.simplefilter("ignore")
    for design, level, studies in ((d, b, s) for d in DESIGNS for b in BETWEEN for s in STUDIES):
        spent = time.process_time() / 60
        if options.render or (design, level, studies) in done or spent > options.minutes:
            continue
        cells.append(run_cell(design, level, studies, options.replicates))
        record = {"mvmeta": __version__, "alpha": ALPHA, "bootstrap": BOOTSTRAP, "cells": cells}
        out.write_text(json.dumps(record, indent=1) + "\n")
        print(design, level, studies, f"{time.process_time() / 60:.1f} min", flush=True)
    render(out)


if __name__ == "__main__":
    main()
