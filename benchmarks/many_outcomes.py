"""Fits per second of `fit_many` on one core: ``python -m benchmarks.many_outcomes``.

Writes ``benchmarks/results/many_outcomes.json``. Half of the variances that the data are drawn with
are 0. Times are CPU time of the process, medians of five runs; BLAS is to be held to one thread.
"""

import json
import platform
import sys
import time
from pathlib import Path

import numpy as np

from mvmeta import MetaMixedLM, __version__

CASES = [("two-level", k, None, p) for k in (20, 35, 50) for p in (1, 2, 4)]
CASES += [("three-level", 40, 12, p) for p in (1, 2, 4)]
OUTCOMES, RUNS = 20_000, 5
RESULTS = Path(__file__).parent / "results" / "many_outcomes.json"


def problem(seed, k, studies, p):
    """A model of k rows, and outcomes for it with their variances."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(k), rng.normal(size=(k, p - 1))])
    v = rng.uniform(0.02, 0.3, size=(k, OUTCOMES))
    y = rng.normal(size=(k, OUTCOMES)) * np.sqrt(v + rng.choice([0.0, 0.1], OUTCOMES))
    groups = np.arange(k)
    if studies is not None:
        study = np.sort(np.concatenate([np.arange(studies), rng.integers(0, studies, k - studies)]))
        effects = rng.normal(size=(studies, OUTCOMES)) * rng.choice([0.0, 0.3], OUTCOMES)
        y += effects[study]
        groups = np.column_stack([study, np.arange(k)])
    return MetaMixedLM(y[:, 0], x, v[:, 0], groups=groups), y, v


def measure(case):
    """Fits per second, and how many outcomes went to the single solver."""
    name, k, studies, p = case
    model, y, v = problem([k, p, studies or 0], k, studies, p)
    model.fit_many(y[:, :100], v[:, :100])
    seconds = []
    for _ in range(RUNS):
        start = time.process_time()
        many = model.fit_many(y, v)
        seconds.append(time.process_time() - start)
    return {
        "model": name,
        "rows": k,
        "studies": studies,
        "coefficients": p,
        "fits_per_second": round(OUTCOMES / float(np.median(seconds))),
        "evaluations_per_fit": round(float(many.n_iter.mean()), 1),
        "one_by_one": int((~many.batched).sum()),
        "not_converged": int((~many.converged).sum()),
    }


def main():
    """Measure all cases and write the results."""
    rows = [measure(case) for case in CASES]
    about = {"mvmeta": __version__, "numpy": np.__version__, "machine": platform.machine()}
    RESULTS.write_text(json.dumps({"about": about, "outcomes": OUTCOMES, "cases": rows}, indent=1))
    for row in rows:
        sys.stdout.write(f"{row}\n")


if __name__ == "__main__":
    main()
