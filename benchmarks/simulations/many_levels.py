"""UN with many levels in few rows: whether a maximum is reached, and what it takes.

    python -m benchmarks.simulations.many_levels --designs 56

Random designs of 6 to 12 levels (21 to 78 components) with 6 to 13 rows for each, a third of the
cells empty or fewer; G of full rank or of rank 1 or 3; a mean for each level or one for all; REML
and ML.  One record per design: log-likelihood, status, rank of G, evaluations over all starts and
seconds.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.simulations.compare import fit
from benchmarks.simulations.covariances import Shape
from benchmarks.simulations.designs import Design, Term

RESULTS = Path(__file__).parents[1] / "results" / "many_levels.json"
FEWEST, MOST = 6, 12
"""Levels."""
RANK = 1e-8
"""Eigenvalue of G, relative to the largest, that counts."""


def design(index: int) -> Design:
    """One design; its number decides the levels, 7 in turn of either criterion."""
    rng = np.random.default_rng([777, index])
    sizes = MOST - FEWEST + 1
    q = FEWEST + index % sizes
    k = int(rng.integers(6 * q, 13 * q))
    studies = max(3, int(np.ceil(k / q * rng.uniform(1.0, 1.7))))
    level, inner = np.divmod(np.sort(rng.permutation(studies * q)[:k]), q)
    level = np.unique(level, return_inverse=True)[1]
    x = np.eye(q)[inner] if rng.random() < 0.6 else np.ones((k, 1))
    rank = (q, 1, 3)[int(rng.integers(3))]
    v = rng.uniform(0.02, 0.2, k) if rng.random() < 0.5 else 10 ** rng.uniform(-2, 0.5, k)
    root = rng.normal(size=(q, rank)) / np.sqrt(rank) * rng.uniform(0.3, 1.5, q)[:, None]
    effects = rng.normal(size=(int(level.max()) + 1, rank)) @ root.T
    y = x @ rng.normal(size=x.shape[1]) + effects[level, inner] + np.sqrt(v) * rng.normal(size=k)
    g = root @ root.T
    term = Term(Shape("UN", q), level, inner)
    reml = index // sizes % 2 == 0
    return Design("UN", y, x, np.diag(v), (term,), reml, g[np.tril_indices(q)])


def record(index: int) -> dict[str, Any]:
    """How the fit of one design ended."""
    drawn = design(index)
    began = time.process_time()
    objective, optimum = fit(drawn)
    seconds = round(time.process_time() - began, 3)
    (term,) = objective.problem.terms
    variances = np.linalg.eigvalsh(term.structure.matrix(optimum.theta))
    return {
        "levels": drawn.terms[0].shape.q,
        "rows": drawn.n,
        "means": drawn.p,
        "rank": int((variances > RANK * variances[-1]).sum()),
        "seconds": seconds,
        "evaluations": optimum.n_evaluations,
        "loglik": optimum.evaluation.loglik,
        "status": optimum.status.name,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", type=int, default=56)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    found = [record(index) for index in range(given.designs)]
    given.out.write_text(json.dumps(found, indent=1) + "\n")
