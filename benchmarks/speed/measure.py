"""CPU time of one thread, engines in turn in one process; peak memory, each in its own process."""

import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed import peers
from benchmarks.speed.engines import ENGINES, Engine, Fitted
from benchmarks.speed.problems import FAMILIES, Problem

LONG = 10.0
"""Seconds after which an engine is not run again."""
ROUNDS = 9
"""Rounds in which the engines take turns, fewer where they are slow."""
BRIEF = 0.05
"""A timed stretch lasts at least this long: quick fits are repeated within it."""

Record = dict[str, Any]


def engines_for(problem: Problem, names: list[str] | None) -> list[Engine]:
    """Engines that take this problem and are installed."""
    return [
        e
        for e in ENGINES
        if problem.size <= e.largest.get(problem.family, 0)
        and (names is None or e.name in names)
        and (e.needs is None or find_spec(e.needs) is not None)
    ]


def in_turn(problem: Problem, names: list[str] | None = None) -> list[Record]:
    """One record per Python engine; all have seen the same state of the machine."""
    engines = engines_for(problem, names)
    fits = [e.prepare(problem) for e in engines]
    seconds: list[list[float]] = [[] for _ in engines]
    # warm: imports, caches, the allocator
    answers = [e.describe(fit()) for e, fit in zip(engines, fits, strict=True)]
    repeat = [1] * len(engines)
    for _ in range(ROUNDS):
        for i, fit in enumerate(fits):
            if sum(seconds[i]) > LONG:
                continue
            began = time.process_time()
            for _ in range(repeat[i]):
                fit()
            spent = time.process_time() - began
            seconds[i].append(spent / repeat[i])
            repeat[i] = max(repeat[i], int(np.ceil(BRIEF / max(seconds[i][-1], 1e-6))))
    return [
        _record(problem, e.name, s, a) for e, s, a in zip(engines, seconds, answers, strict=True)
    ]


def _record(problem: Problem, engine: str, seconds: list[float], answer: Fitted) -> Record:
    out: Record = {
        "family": problem.family,
        "size": problem.size,
        "rows": len(problem.frame),
        "engine": engine,
        "seconds": float(np.median(seconds)),
        "runs": len(seconds),
        "components": list(answer.components),
    }
    if np.isfinite(answer.loglik):
        out["loglik"] = answer.loglik
    if answer.evaluations is not None:
        out["evaluations"] = answer.evaluations
    return out


def of_peers(problem: Problem, names: list[str] | None = None) -> list[Record]:
    """One record per peer in R that is installed."""
    found = peers.installed()
    chosen = [
        p
        for p in peers.PEERS
        if problem.size <= p.largest.get(problem.family, 0)
        and p.package in found
        and (names is None or p.name in names)
    ]
    if not chosen:
        return []
    out = []
    with tempfile.TemporaryDirectory() as folder:
        peers.write(problem, Path(folder))
        for peer in chosen:
            answer = peers.run(peer, Path(folder), repeats=3)
            record = {
                "family": problem.family,
                "size": problem.size,
                "rows": len(problem.frame),
                "engine": peer.name,
            }
            if "failed" in answer:
                out.append(record | answer)
                continue
            seconds = np.atleast_1d(answer.pop("seconds"))
            answer["components"] = np.atleast_1d(answer.get("components", [])).tolist()
            out.append(
                record | {"seconds": float(np.median(seconds)), "runs": len(seconds)} | answer
            )
    return out


def peak_memory(family: str, size: int, engine: str) -> float | None:
    """MB that model and fit add to a process that holds the data; None if it failed."""
    code = [sys.executable, "-m", "benchmarks.speed.measure", family, str(size), engine]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def data_size(problem: Problem) -> float:
    """MB of y, v, X and the grouping columns."""
    return float(problem.frame.memory_usage(index=False).sum() + problem.x.nbytes) / 2**20


def _measure_here(family: str, size: int, engine: str) -> float:
    """In this process, which does nothing else: the high-water mark before and after the fit."""
    fit = next(e for e in ENGINES if e.name == engine).prepare(FAMILIES[family](size))
    tiny = next(e for e in ENGINES if e.name == engine).prepare(FAMILIES[family](60))
    tiny()  # imports are not the fit's
    _reset_peak()
    before = _status("VmRSS")
    fit()
    return (_status("VmHWM") - before) / 1024


def _reset_peak() -> None:
    with contextlib.suppress(OSError):  # where it cannot be reset, simulation counts as well
        Path("/proc/self/clear_refs").write_text("5")


def _status(key: str) -> float:
    """KB from the kernel's account of this process."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return float(next(line.split()[1] for line in lines if line.startswith(key)))


if __name__ == "__main__":
    print(json.dumps(_measure_here(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
