"""Run the speed benchmarks, or render their results.

python -m benchmarks                        all problems, sizes and engines
python -m benchmarks --families nested un --largest 10000
python -m benchmarks --families postfit --merge
python -m benchmarks --render               tables and plot from the JSON
"""

import argparse
import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# before numpy is loaded: the peers get one thread, too
os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

from benchmarks.speed import many, measure, peers, postfit, render
from benchmarks.speed.problems import FAMILIES, SIZES

RESULTS = Path(__file__).parent / "results"
MEMORY = (
    *(("nested", 1_000_000, e) for e in ("mvmeta", "WLS")),
    *(("nested", 10_000_000, e) for e in ("mvmeta", "WLS")),
    ("un", 100_000, "mvmeta"),
    ("crossed", 100_000, "mvmeta"),
)
"""(family, size, engine) whose peak memory is measured."""
POSTFIT = "postfit"
"""Name under which what is asked of fits is measured, beside the families of fits."""
PACKAGES = ("mvmeta", "numpy", "scipy", "pandas", "patsy", "statsmodels", "pimeta")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    known = [*FAMILIES, POSTFIT]
    add("--families", nargs="+", choices=known, default=known)
    add("--largest", type=int, default=10**9, help="leave out larger sizes")
    add("--engines", nargs="+", help="only these, by name")
    add("--no-memory", action="store_true", help="do not measure memory")
    add("--no-many", action="store_true", help="leave out many outcomes")
    add("--merge", action="store_true", help="keep what the results have of other families")
    add("--render", action="store_true", help="only write tables and plot again")
    add("--out", type=Path, default=RESULTS / "speed.json")
    options = parser.parse_args()
    if not options.render:
        run = _run(options)
        if options.merge and options.out.exists():
            run = _merged(json.loads(options.out.read_text()), run, options.families)
        options.out.write_text(json.dumps(run, indent=1) + "\n")
    run = json.loads(options.out.read_text())
    options.out.with_suffix(".md").write_text(render.tables(run))
    render.plot(run, options.out.with_suffix(".png"))


def _run(options: argparse.Namespace) -> dict[str, Any]:
    records = []
    for family in (f for f in options.families if f in FAMILIES):
        for size in SIZES[family]:
            if size > options.largest:
                continue
            problem = FAMILIES[family](size)
            new = measure.in_turn(problem, options.engines)
            new += measure.of_peers(problem, options.engines)
            for r in new:
                shown = f"{r['seconds']:.4g} s" if "seconds" in r else r["failed"]
                print(f"{family} {size:,} {r['engine']}: {shown}", flush=True)
            records += new
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu(),
        "versions": _versions(),
        "blas": peers.blas() if peers.installed() else "",
        "records": records,
        "memory": [] if options.no_memory else _memory(options),
        "many": [] if options.no_many else many.run(),
        "postfit": postfit.run(largest=options.largest) if POSTFIT in options.families else [],
    }


def _merged(old: dict[str, Any], new: dict[str, Any], families: list[str]) -> dict[str, Any]:
    """The new run of some families, with the records of the others."""
    kept = [r for r in old["records"] if r["family"] not in families]
    order = list(FAMILIES)
    records = sorted([*kept, *new["records"]], key=lambda r: order.index(r["family"]))
    rest = {key: new[key] or old.get(key, []) for key in ("memory", "many", "postfit")}
    return new | {"records": records} | rest


def _memory(options: argparse.Namespace) -> list[dict[str, Any]]:
    out = []
    for family, size, engine in MEMORY:
        if size > options.largest or family not in options.families:
            continue
        data = measure.data_size(FAMILIES[family](size))
        added = measure.peak_memory(family, size, engine)
        print(
            f"memory {family} {size:,} {engine}: data {data:.0f} MB, added {added} MB", flush=True
        )
        out.append(
            {"family": family, "size": size, "engine": engine, "data_mb": data, "added_mb": added}
        )
    return out


def _versions() -> dict[str, str]:
    out = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            continue
    return out | peers.installed()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "")


if __name__ == "__main__":
    main()
