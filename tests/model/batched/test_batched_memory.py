"""Memory of a fit from batches does not grow with their number."""

import tracemalloc

import numpy as np
import pandas as pd

from mvmeta import MetaMixedLM
from mvmeta.model.batched import source

ROWS = 20_000
"""Of a batch: 1.1 MB."""


def batch(k):
    rng = np.random.default_rng(k)
    study = np.sort(rng.integers(0, ROWS // 4, ROWS)) + k * ROWS
    frame = pd.DataFrame({"study": study, "x": rng.normal(size=ROWS)})
    frame["v"] = rng.uniform(0.05, 0.3, ROWS)
    frame["y"] = 0.3 * frame["x"] + rng.normal(size=ROWS) * np.sqrt(frame["v"] + 0.1)
    return frame


def peak(count):
    """Largest memory in use while `count` batches are fitted."""
    tracemalloc.start()
    model = MetaMixedLM.from_batches(
        "y ~ x", lambda: map(batch, range(count)), variance="v", groups="study"
    )
    model.fit(start=[0.1], maxiter=2, tol=1e9)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_peak_memory_is_that_of_one_batch(monkeypatch):
    monkeypatch.setattr(source, "KEEP_ROWS", 0)
    peak(1)  # what is imported and cached once
    assert peak(6) < 1.1 * peak(2)
