"""Do likelihood-ratio tests of variances hold their level?  Simulated under the hypothesis.

    python -m benchmarks.simulations.lr_boundary

Data are drawn from a restricted model (REML, sampling variances 0.02 to 0.3), both models are
fitted by `fit_many`, and the shares of p-values below 0.05 are counted: by chi-square as if there
were no edge, by the mixture, and by the parametric bootstrap with 199 replicates (fewer data sets).
Writes ``benchmarks/results/lr_boundary.json`` and the table ``lr_boundary.md``.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from mvmeta import __version__
from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.terms import RandomTerm
from mvmeta.inference.comparison.restriction import null_distribution
from mvmeta.inference.fitted.estimate import estimate
from mvmeta.inference.many.fit_many import fit_many
from mvmeta.inference.many.outcomes import ManySpec
from mvmeta.inference.resampling.simulate import Simulator
from mvmeta.marginal.select import build_backend
from mvmeta.structures import Identity

STUDIES, EACH = (10, 20, 50, 100), 4
DRAWS, WITH_MIXTURE, BOOTSTRAPPED, REPLICATES = 20_000, 400, 400, 199
ALPHA = 0.05
RESULTS = Path(__file__).parents[1] / "results"


def term(name: str, codes: np.ndarray) -> RandomTerm:
    """A random intercept."""
    labels, level = np.unique(codes, return_inverse=True)
    return RandomTerm(name, level, tuple(labels.tolist()), Identity(kind="sigma2"))


def problems(count: int, hypothesis: str, rng: np.random.Generator) -> tuple[MetaProblem, ...]:
    """The full and the restricted model, and the components data are drawn with."""
    study, n = np.repeat(np.arange(count), EACH), count * EACH
    x = np.column_stack([np.ones(n), rng.normal(size=n)])
    v = SamplingCovariance(rng.uniform(0.02, 0.3, n))
    both = term("study", study), term("id", np.arange(n))
    full = MetaProblem(np.zeros(n), x, v, both)
    kept = {"study variance": both[1:], "both variances": ()}[hypothesis]
    return full, replace(full, terms=kept)


def statistics(full: MetaProblem, restricted: MetaProblem, y: np.ndarray) -> np.ndarray:
    """Likelihood-ratio statistics (b,) of y (n, b)."""
    fits = [fit_many(ManySpec(p), y) for p in (full, restricted)]
    return np.maximum(2 * (fits[0].loglik - fits[1].loglik), 0.0)


def fitted(problem: MetaProblem, y: np.ndarray) -> object:
    """One fit."""
    return estimate(build_backend(replace(problem, y=y)))[0]


def measure(count: int, hypothesis: str) -> dict[str, object]:
    """Rejection rates of one design."""
    rng = np.random.default_rng([count, len(hypothesis)])
    full, restricted = problems(count, hypothesis, rng)
    start = fitted(restricted, rng.normal(0, np.sqrt(restricted.v.variances + 0.1)))
    truth = np.full(len(restricted.terms), 0.1)
    gs = [np.array([[t]]) for t in truth]
    null = replace(
        start, theta=truth, beta=np.zeros(2), factor=build_backend(restricted).factorize(gs)
    )
    y = Simulator(null).draw(DRAWS, rng)
    found = statistics(full, restricted, y)
    df = len(full.terms) - len(restricted.terms)
    mixtures = [
        null_distribution(fitted(full, y[:, i]), fitted(restricted, y[:, i]), df)
        for i in range(WITH_MIXTURE)
    ]
    known = next(m for m in mixtures if m is not None)
    share = float(np.mean([m is not None for m in mixtures]))
    boot = []
    for i in range(BOOTSTRAPPED):
        again = Simulator(fitted(restricted, y[:, i])).draw(REPLICATES, rng)
        below = (statistics(full, restricted, again) >= found[i] - 1e-9).sum()
        boot.append((1 + below) / (REPLICATES + 1))
    return {
        "hypothesis": f"{hypothesis} = 0",
        "studies": count,
        "chi2": float((stats.chi2.sf(found, df) < ALPHA).mean()),
        "mixture": float(np.mean([known.sf(t) < ALPHA for t in found])),
        "mixture is": str(known),
        "mixture known": share,
        "bootstrap": float((np.array(boot) <= ALPHA).mean()),
    }


def render(rows: list[dict[str, object]]) -> str:
    """A Markdown table."""
    head = (
        "# Level of likelihood-ratio tests of variances\n\n"
        f"Share of p-values below {ALPHA} under the hypothesis: {DRAWS} data sets (bootstrap: "
        f"{BOOTSTRAPPED}, {REPLICATES} replicates each), studies of {EACH} effects, REML.\n"
        f"Monte Carlo standard errors at {ALPHA}: {np.sqrt(ALPHA * (1 - ALPHA) / DRAWS):.4f} and "
        f"{np.sqrt(ALPHA * (1 - ALPHA) / BOOTSTRAPPED):.3f}.\n\n"
        "| hypothesis | studies | chi2 | mixture | bootstrap | mixture |\n"
        "|---|---|---|---|---|---|\n"
    )
    lines = [
        f"| {r['hypothesis']} | {r['studies']} | {r['chi2']:.3f} | {r['mixture']:.3f} | "
        f"{r['bootstrap']:.3f} | {r['mixture is']} |\n"
        for r in rows
    ]
    return head + "".join(lines)


def main() -> None:
    """Measure all designs and write the results."""
    rows = [measure(n, h) for h in ("study variance", "both variances") for n in STUDIES]
    RESULTS.joinpath("lr_boundary.json").write_text(
        json.dumps({"mvmeta": __version__, "alpha": ALPHA, "cells": rows}, indent=1)
    )
    RESULTS.joinpath("lr_boundary.md").write_text(render(rows))


if __name__ == "__main__":
    main()
