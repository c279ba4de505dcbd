"""How often intervals of CVH and M hold the truth, simulated.

    python -m benchmarks.simulations.relative_coverage --replicates 500

One effect in each of 8, 20 or 60 studies, sampling variances that differ by a factor of ten, a mean
effect of about one or several standard deviations.  CVH, M1 and M2 are increasing functions of each
other, so that an interval of one holds the truth whenever those of the others do.
"""

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.simulations.few_studies import normal, sampling_variances
from mvmeta import MetaMixedLM, __version__

STUDIES = (8, 20, 60)
BETWEEN = (0.02, 0.10)
"""Variance between studies; the typical sampling variance is about 0.05."""
MEANS = (0.2, 0.8)
ALPHA = 0.05
SEED = 20251127
BOOTSTRAP = 199
METHODS = ("z", "Kenward-Roger", "bootstrap, percentile")
"""Tests behind the interval of the mean that `heterogeneity` uses; and the bootstrap."""


def limits(y: np.ndarray, v: np.ndarray, seed: Any) -> np.ndarray:
    """Lower and upper limit of M1 by every method, (3, 2)."""
    model = MetaMixedLM(y, np.ones((len(y), 1)), v, groups=np.arange(len(y)))
    out = []
    for df in ("residual", "kenward-roger"):
        res = model.fit(df=df)
        out.append(res.heterogeneity(ALPHA).loc["total", ["m1_lower", "m1_upper"]])
    boot = model.fit().bootstrap(BOOTSTRAP, "heterogeneity", seed=seed)
    return np.array([*out, boot.conf_int(ALPHA).loc[("m1", "total")]], dtype=float)


def run_cell(studies: int, between: float, mean: float, replicates: int) -> dict[str, Any]:
    """Shares of intervals that hold the truth, lie below it and above it."""
    truth = np.sqrt(between) / (mean + np.sqrt(between))
    found = np.full((replicates, len(METHODS), 2), np.nan)
    for i in range(replicates):
        key = [SEED, studies, BETWEEN.index(between), MEANS.index(mean), i]
        rng = np.random.default_rng(key)
        v = sampling_variances(rng, studies)
        y = mean + normal(rng, studies, np.sqrt(between + v))
        found[i] = limits(y, v, np.random.SeedSequence(key))
    low, high = found[..., 0], found[..., 1]
    if np.isnan(found).any():
        raise ArithmeticError("an interval has no limit")
    return {
        "studies": studies,
        "between": between,
        "mean": mean,
        "replicates": replicates,
        "below": dict(zip(METHODS, (high < truth).mean(axis=0).tolist(), strict=True)),
        "above": dict(zip(METHODS, (low > truth).mean(axis=0).tolist(), strict=True)),
    }


def table(cells: list[dict[str, Any]]) -> str:
    """Percent that miss the truth: all, and in parentheses those that lie below it."""
    lines = [
        "| studies | variance | mean | " + " | ".join(METHODS) + " |",
        "| --- | --- | --- |" + " --- |" * len(METHODS),
    ]
    for c in cells:
        shown = [
            f"{100 * (c['below'][m] + c['above'][m]):.1f} ({100 * c['below'][m]:.1f})"
            for m in METHODS
        ]
        head = f"| {c['studies']} | {c['between']} | {c['mean']} | "
        lines.append(head + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the options, run the cells that are missing, write JSON and table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=500)
    parser.add_argument("--out", default="benchmarks/results/relative_coverage.json")
    options = parser.parse_args()
    out = Path(options.out)
    cells = json.loads(out.read_text())["cells"] if out.exists() else []
    done = {(c["studies"], c["between"], c["mean"]) for c in cells}
    warnings.simplefilter("ignore")
    for cell in ((k, b, m) for k in STUDIES for b in BETWEEN for m in MEANS):
        if cell not in done:
            cells.append(run_cell(*cell, options.replicates))
            record = {
                "mvmeta": __version__,
                "seed": SEED,
                "alpha": ALPHA,
                "bootstrap": BOOTSTRAP,
                "cells": cells,
            }
            out.write_text(json.dumps(record, indent=1) + "\n")
            print(table(cells[-1:]).splitlines()[-1], flush=True)
    out.with_suffix(".md").write_text(table(cells))


if __name__ == "__main__":
    main()
