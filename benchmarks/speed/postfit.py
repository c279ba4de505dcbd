"""What is asked of a fit after it, in fits: intervals, diagnostics, resampling.

Fits and tasks take turns, so that both have seen the same state of the machine; the ratio of their
medians counts.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.speed.engines import ENGINES
from benchmarks.speed.problems import FAMILIES, Problem

SIZES = {
    "nested": (500, 10_000, 100_000, 1_000_000),
    "un": (100, 1_000, 10_000),
    "crossed": (300, 3_000, 10_000),
}
ROUNDS = 9
LONG = 15.0
"""CPU seconds after which a task is not run again."""
LEFT_OUT = 50
"""Studies that are left out one by one, and estimated again; the others are one more group."""
REFITS, REFIT_ROWS = 1000, 500
"""Of the bootstrap, and the largest data it is run on."""

Task = tuple[Callable[[], Any], int]
"""What to time, and how many units of it that is."""


def run(sizes: Mapping[str, tuple[int, ...]] = SIZES, largest: int = 10**9) -> list[dict[str, Any]]:
    """One record per problem and task."""
    return [
        record
        for family, some in sizes.items()
        for size in some
        if size <= largest
        for record in _of(FAMILIES[family](size))
    ]


def tasks(problem: Problem, res: Any) -> dict[str, Task]:
    """What is timed, by name."""
    study = problem.frame["study"].to_numpy()
    codes = np.minimum(np.unique(study, return_inverse=True)[1], LEFT_OUT)
    out: dict[str, Task] = {
        "profile intervals of all components": (res.vcomp_conf_int, 1),
        "Wald intervals of all components": (lambda: res.vcomp_conf_int(method="wald"), 1),
        "heterogeneity with intervals": (res.heterogeneity, 1),
        "influence of each row, components held": (lambda: res.get_influence().summary_frame(), 1),
        "all studies left out one by one, components held": (
            lambda: _influence_of(res, study),
            1,
        ),
        "one study left out, components estimated again": (
            lambda: res.leave_one_out(codes).summary_frame(),
            int(codes.max()) + 1,
        ),
    }
    if problem.family == "nested" and len(problem.frame) <= REFIT_ROWS:
        out["one refit of the bootstrap, of 1,000"] = (
            lambda: res.bootstrap(REFITS, seed=1),
            REFITS,
        )
    return out


def _influence_of(res: Any, study: Any) -> Any:
    """Estimates and standard errors without each study, Cook's distances and DFBETAS."""
    found = res.get_influence(study)
    return found.leave_one_out(), found.cooks_distance, found.dfbetas


def _of(problem: Problem) -> list[dict[str, Any]]:
    fit = next(e for e in ENGINES if e.name == "mvmeta").prepare(problem)
    found = {"fit": (fit, 1), **tasks(problem, fit())}
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(ROUNDS):
        for name, (task, units) in found.items():
            if sum(seconds[name]) * units > LONG:
                continue
            began = time.process_time()
            task()
            seconds[name].append((time.process_time() - began) / units)
    one = float(np.median(seconds.pop("fit")))
    about = {"family": problem.family, "size": problem.size, "rows": len(problem.frame)}
    records = []
    for name, spent in seconds.items():
        each = float(np.median(spent))
        records.append(
            about
            | {"task": name, "seconds": each, "fit": one, "fits": each / one, "runs": len(spent)}
        )
        print(
            f"postfit {problem.family} {problem.size:,} {name}: {each / one:.2f} fits", flush=True
        )
    return records
