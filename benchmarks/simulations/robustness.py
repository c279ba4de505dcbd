"""Does mvmeta find the maximum?  Random designs against an independent multi-start optimiser.

    python -m benchmarks.simulations.robustness --designs 2040 --out robustness.json

One record per design goes to a .jsonl file next to `--out` as soon as it is there; a run that
was interrupted goes on where it stopped.  The answers of the independent optimiser, which do not
depend on the package, go to a file of their own and are read from it when the study is repeated.
At the end the summary and all misses are written to `--out` and, as a table, to the .md file
next to it.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TextIO

from benchmarks.simulations.compare import compare, independent
from benchmarks.simulations.render import render, summarize


def main() -> None:
    """Parse the options, run what is missing, write the summary."""
    options = _options()
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    log = out.with_suffix(".jsonl")
    if not options.render:
        _run(options, log)
    summary = summarize(read(log), _metafor(out))
    out.write_text(json.dumps(summary, indent=1) + "\n")
    out.with_suffix(".md").write_text(render(summary))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after these")
    parser.add_argument("--out", default="benchmarks/results/robustness.json")
    parser.add_argument(
        "--alone", action="store_true", help="only the independent runs, for a later comparison"
    )
    parser.add_argument("--render", action="store_true", help="only summarise what is there")
    return parser.parse_args()


def read(log: Path) -> list[dict[str, Any]]:
    """The records so far."""
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text().splitlines()]


def _metafor(out: Path) -> list[dict[str, Any]]:
    return read(out.with_name(f"{out.stem}_metafor.jsonl"))


def _run(options: argparse.Namespace, log: Path) -> None:
    warnings.simplefilter("ignore")
    kept = log.with_name(f"{log.stem}_independent.jsonl")
    found = {tuple(r["seed"]): r for r in read(kept)}
    done = set(found) if options.alone else {tuple(r["seed"]) for r in read(log)}
    seeds = [(options.seed, i) for i in range(options.designs)]
    tasks = [(s, found.get(s), options.alone) for s in seeds if s not in done]
    end = time.monotonic() + 60 * options.minutes
    with log.open("a") as records, kept.open("a") as answers:
        for count, (answer, record) in enumerate(_records(tasks, options.jobs)):
            if tuple(answer["seed"]) not in found:
                _write(answers, answer)
            if record is not None:
                _write(records, record)
            if count % 100 == 99:
                sys.stderr.write(f"{count + 1} of {len(tasks)}\n")
            if time.monotonic() > end:
                break


Answer = dict[str, Any]
Task = tuple[tuple[int, int], Answer | None, bool]


def _write(file: TextIO, record: dict[str, Any]) -> None:
    file.write(json.dumps(record) + "\n")
    file.flush()


def _records(tasks: list[Task], jobs: int) -> Iterator[tuple[Answer, dict[str, Any] | None]]:
    if jobs == 1:
        yield from map(_one, tasks)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(_one, tasks, chunksize=4)


def _one(task: Task) -> tuple[Answer, dict[str, Any] | None]:
    """The independent answer, and the comparison with it unless it is wanted alone."""
    warnings.simplefilter("ignore")
    seed, answer, alone = task
    answer = independent(*seed) if answer is None else answer
    return answer, None if alone else compare(*seed, answer)


if __name__ == "__main__":
    main()
