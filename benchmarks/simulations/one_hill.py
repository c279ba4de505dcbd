"""Whether models with one variance in every term need further starts in data of some size.

    python -m benchmarks.simulations.one_hill --designs 2000
    python -m benchmarks.simulations.one_hill --families large_crossed --designs 200 --random 10

Random designs of 10 to 2,000 rows, every doubling as often as the next: variances over five orders
of magnitude and 0, sampling variances over three, REML and ML in turn.  The grouping factors nest,
or cross, or one of those that cross is a species with a tree; "few" are 10 to 50 rows in factors
that nest.  Each design is fitted from the starts it gets and from all starts that small data get;
counted is where the latter end higher, where they find lower maxima as well, and where no maximum
was reached.  With --random, from as many random starts, too.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

from mvmeta import MetaMixedLM, Random
from mvmeta._typing import Floats
from mvmeta.optimize import maximize

HIGHER = 1e-6
"""Difference of log-likelihoods that is another maximum, not rounding."""
RESULTS = Path(__file__).parents[1] / "results" / "one_hill.json"


def design(family: str, seed: int) -> MetaMixedLM:
    """One model."""
    rng = np.random.default_rng([20261, _STREAM[family], seed])
    n = int(np.exp(rng.uniform(*np.log(_ROWS[family]))))
    p = int(rng.integers(1, 5)) if family != "few" else int(rng.integers(0, min(4, n // 5 - 1)))
    x = np.column_stack([np.ones(n), rng.normal(size=(n, p))])
    v = 10 ** rng.uniform(-3, 0.5, n) if rng.random() < 0.5 else rng.uniform(0.02, 0.2, n)
    y = rng.normal(size=n) * np.sqrt(v)
    return _BUILD[family](rng, y, x, v)


def _nested(rng: Generator, y: Floats, x: Floats, v: Floats) -> MetaMixedLM:
    n = len(y)
    groups = [np.sort(rng.integers(0, rng.integers(3, n // 2), n))]
    groups += [rng.integers(0, rng.integers(2, 6), n) for _ in range(rng.integers(0, 3))]
    groups += [np.arange(n)] if rng.random() < 0.6 else []
    cell = np.zeros(n, dtype=int)
    for level in groups:
        cell = np.unique(cell * n + level, return_inverse=True)[1]
        y = y + _effects(rng, cell)
    return MetaMixedLM(y, x, v, groups=np.column_stack(groups))


def _factors(rng: Generator, n: int) -> dict[str, Any]:
    """Two or three factors that cross, and maybe one with a level for every row."""
    factors = {f"f{j}": rng.integers(0, rng.integers(3, n // 4), n) for j in range(2)}
    if rng.random() < 0.3:
        factors["f2"] = rng.integers(0, rng.integers(3, 30), n)
    if rng.random() < 0.6:
        factors["id"] = np.arange(n)
    return factors


def _crossed(rng: Generator, y: Floats, x: Floats, v: Floats) -> MetaMixedLM:
    factors = _factors(rng, len(y))
    y = y + sum(_effects(rng, f) for f in factors.values())
    return MetaMixedLM(y, x, v, random=[f"1 | {name}" for name in factors], data=factors)


def _tree(rng: Generator, y: Floats, x: Floats, v: Floats) -> MetaMixedLM:
    factors = _factors(rng, len(y))
    species = factors["f0"]
    count = int(species.max()) + 1
    corr = _relatedness(rng, count)
    root = np.linalg.cholesky(corr + 1e-10 * np.eye(count))
    y = y + sum(_effects(rng, f) for f in factors.values())
    y += np.sqrt(_variance(rng)) * (root @ rng.normal(size=count))[species]
    labels = [str(k) for k in range(count)]
    factors["phylo"] = species
    known = Random("1 | phylo", corr=pd.DataFrame(corr, labels, labels))
    terms = [known, *(f"1 | {name}" for name in factors if name != "phylo")]
    return MetaMixedLM(y, x, v, random=terms, data=factors)


def _relatedness(rng: Generator, count: int) -> Floats:
    """Correlations of the tips of a random tree under Brownian motion."""
    shared = np.zeros((count, count))
    clades = [np.arange(count)]
    depth = 0.0
    while len(clades) < count:
        k = int(rng.choice([j for j, c in enumerate(clades) if len(c) > 1]))
        depth = max(depth, rng.uniform(depth, 1.0) if rng.random() < 0.2 else depth)
        clade = rng.permutation(clades.pop(k))
        cut = int(rng.integers(1, len(clade)))
        clades += [clade[:cut], clade[cut:]]
        for part in (clade[:cut], clade[cut:]):
            shared[np.ix_(part, part)] = np.maximum(shared[np.ix_(part, part)], depth)
    np.fill_diagonal(shared, 1.0)
    return shared


def _effects(rng: Generator, level: Any) -> Floats:
    return np.sqrt(_variance(rng)) * rng.normal(size=int(np.max(level)) + 1)[level]


def _variance(rng: Generator) -> float:
    return 0.0 if rng.random() < 0.35 else float(10 ** rng.uniform(-3, 2))


_BUILD = {
    "nested": _nested,
    "crossed": _crossed,
    "tree": _tree,
    "few": _nested,
    "large_crossed": _crossed,
}
_ROWS = {
    "nested": (50, 1500),
    "crossed": (50, 600),
    "tree": (50, 600),
    "few": (10, 50),
    "large_crossed": (500, 2000),
}
_STREAM = {"nested": 0, "crossed": 1, "tree": 2, "few": 3, "large_crossed": 3}
"""Random streams, as the recorded designs were drawn; the two of one stream differ in size."""
FAMILIES = tuple(_BUILD)


def run(family: str, count: int, random_starts: int = 0) -> dict[str, Any]:
    """Fit every design both ways, and from random starts."""
    limit, each = maximize.ONE_HILL_FROM, maximize.ROWS_EACH
    maximize.CROSSED_FROM = limit
    higher, lower, evaluations = [], [], []
    for seed in range(count):
        model = design(family, seed)
        one = model.fit(reml=seed % 2 == 0)
        maximize.ONE_HILL_FROM = maximize.ROWS_EACH = 10**9
        every = model.fit(reml=seed % 2 == 0)
        maximize.ONE_HILL_FROM, maximize.ROWS_EACH = limit, each
        heights = [float(every.llf), *_heights(model, len(one.vcomp), seed, random_starts)]
        gap = max(heights) - float(one.llf)
        higher += [{"seed": seed, "gap": gap}] if gap > HIGHER or not one.converged else []
        known = float(every.certificate["next_best_below"])
        below = [max(heights) - h for h in heights if max(heights) - h > HIGHER]
        below += [known] if np.isfinite(known) else []
        lower += [{"seed": seed, "below": min(below)}] if below else []
        evaluations.append([float(r.certificate["evaluations"]) for r in (one, every)])
    one_start, all_starts = np.median(evaluations, axis=0)
    return {
        "designs": count,
        "random_starts": random_starts,
        "higher_from_other_starts": higher,
        "lower_maxima": lower,
        "evaluations_one_start": one_start,
        "evaluations_all_starts": all_starts,
    }


def _heights(model: MetaMixedLM, components: int, seed: int, count: int) -> list[float]:
    """Log-likelihoods of maxima reached from random variances over five orders of magnitude."""
    rng = np.random.default_rng([20262, seed])
    out = []
    for _ in range(count):
        start = 10 ** rng.uniform(-3, 2, components)
        end = model.fit(reml=seed % 2 == 0, start=start)
        out += [float(end.llf)] if end.converged else []
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", type=int, default=2000)
    parser.add_argument("--random", type=int, default=0, help="random starts as well")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES)
    given = parser.parse_args()
    new = {family: run(family, given.designs, given.random) for family in given.families}
    found = (json.loads(RESULTS.read_text()) if RESULTS.exists() else {}) | new
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
