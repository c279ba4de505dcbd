"""Many outcomes of one design: fits per second of `fit_many`, against a loop over models."""

import time
from typing import Any

import numpy as np

from mvmeta import MetaMixedLM

OUTCOMES = 20_000
LOOP = 50
"""Outcomes that the loop fits, one model each."""
DESIGNS = {
    "two-level, k = 20, p = 2": (20, 2, None),
    "two-level, k = 50, p = 4": (50, 4, None),
    "three-level, k = 40 in 12 studies, p = 2": (40, 2, 12),
}


def run(seed: int = 5) -> list[dict[str, Any]]:
    """One record per design."""
    out = []
    for name, (k, p, studies) in DESIGNS.items():
        rng = np.random.default_rng(seed)
        x = np.column_stack([np.ones(k), rng.normal(size=(k, p - 1))])
        v = rng.uniform(0.02, 0.2, k)
        rows = np.arange(k)
        groups = rows if studies is None else np.column_stack([np.sort(rows % studies), rows])
        y = rng.normal(size=(k, OUTCOMES)) * np.sqrt(v[:, None] + 0.05)
        if studies is not None:
            y += rng.normal(0, 0.2, (studies, OUTCOMES))[groups[:, 0]]
        model = MetaMixedLM(y[:, 0], x, v, groups=groups)
        model.fit_many(y[:, :100])
        began = time.process_time()
        many = model.fit_many(y)
        batched = OUTCOMES / (time.process_time() - began)
        began = time.process_time()
        for j in range(LOOP):
            MetaMixedLM(y[:, j], x, v, groups=groups).fit()
        single = LOOP / (time.process_time() - began)
        out.append(
            {
                "design": name,
                "outcomes": OUTCOMES,
                "fits_per_second": batched,
                "loop_per_second": single,
                "converged": float(np.mean(many.converged)),
            }
        )
    return out
