"""Whether nested variances in data of some size ever need a second start.

    python -m benchmarks.simulations.one_hill --designs 2000

Random nested designs of 100 to 1,500 rows: two to four levels or fewer, variances over five orders
of magnitude and 0, sampling variances over three, REML and ML in turn.  Each is fitted from the
main start alone and from all starts; counted is where the latter end higher.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from mvmeta import MetaMixedLM
from mvmeta.optimize import maximize

HIGHER = 1e-7
"""Difference of log-likelihoods that is another maximum."""
RESULTS = Path(__file__).parents[1] / "results" / "one_hill.json"


def design(seed: int) -> MetaMixedLM:
    """One model."""
    rng = np.random.default_rng([20261, seed])
    n, p = int(rng.integers(100, 1500)), int(rng.integers(1, 5))
    x = np.column_stack([np.ones(n), rng.normal(size=(n, p))])
    groups = [np.sort(rng.integers(0, rng.integers(3, n // 2), n))]
    groups += [rng.integers(0, rng.integers(2, 6), n) for _ in range(rng.integers(0, 3))]
    groups += [np.arange(n)] if rng.random() < 0.6 else []
    v = 10 ** rng.uniform(-3, 0.5, n) if rng.random() < 0.5 else rng.uniform(0.02, 0.2, n)
    y = rng.normal(size=n) * np.sqrt(v)
    cell = np.zeros(n, dtype=int)
    for level in groups:
        cell = np.unique(cell * n + level, return_inverse=True)[1]
        variance = 0.0 if rng.random() < 0.35 else 10 ** rng.uniform(-3, 2)
        y += np.sqrt(variance) * rng.normal(size=cell.max() + 1)[cell]
    return MetaMixedLM(y, x, v, groups=np.column_stack(groups))


def run(count: int) -> dict[str, Any]:
    """Fit every design both ways."""
    limit = maximize.ONE_HILL_FROM
    higher, evaluations = [], []
    for seed in range(count):
        model = design(seed)
        one = model.fit(reml=seed % 2 == 0)
        maximize.ONE_HILL_FROM = 10**9
        every = model.fit(reml=seed % 2 == 0)
        maximize.ONE_HILL_FROM = limit
        gap = float(every.llf - one.llf)
        higher += [{"seed": seed, "gap": gap}] if gap > HIGHER or not one.converged else []
        evaluations.append([float(r.certificate["evaluations"]) for r in (one, every)])
    one_start, all_starts = np.median(evaluations, axis=0)
    return {
        "designs": count,
        "higher_from_other_starts": higher,
        "evaluations_one_start": one_start,
        "evaluations_all_starts": all_starts,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", type=int, default=2000)
    RESULTS.write_text(json.dumps(run(parser.parse_args().designs), indent=1) + "\n")
