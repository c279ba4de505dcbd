"""Fits at one size each, for comparing two versions of the package on one machine.

python -m pytest benchmarks/regressions --benchmark-autosave
python -m pytest benchmarks/regressions --benchmark-compare --benchmark-compare-fail=median:25%
"""

import pytest

from benchmarks.speed.engines import ENGINES
from benchmarks.speed.problems import FAMILIES

SIZES = {
    "small": 20,
    "nested": 100_000,
    "un": 1_000,
    "crossed": 3_000,
    "phylogeny": 200,
    "spatial": 200,
}


@pytest.mark.parametrize("family", SIZES)
@pytest.mark.parametrize("engine", ["mvmeta", "mvmeta, formula"])
def test_fit(benchmark, family, engine):
    """Model and fit together."""
    problem = FAMILIES[family](SIZES[family])
    chosen = next(e for e in ENGINES if e.name == engine)
    answer = chosen.describe(benchmark(chosen.prepare(problem)))
    assert all(c >= 0 for c in answer.components)
