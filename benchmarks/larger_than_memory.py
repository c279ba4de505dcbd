"""Fits from batches and from Dask: ``python -m benchmarks.larger_than_memory``.

Simulates three-level data (two to six rows in a study, four moderators) as Parquet row groups of
a million rows, and fits them in memory, from batches, and on a local Dask cluster of two workers.
Each fit is a process of its own: peak memory is what the operating system says of it, against that
of a process that does no more than read the batches one after the other. Times are CPU time of
one thread, model and fit together; in memory and on Dask the data have been read before. For Dask
they are those of the busier worker and of the client together: what the fit would take if nothing
waited. Writes
``benchmarks/results/larger_than_memory.json`` and the tables in docs/how-to made from it;
``--render`` only makes the tables again.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from mvmeta import MetaMixedLM, __version__, batches

RESULTS = Path(__file__).parent / "results" / "larger_than_memory.json"
GROUP_ROWS = 1_000_000
FORMULA = "y ~ x0 + x1 + x2 + x3"
MODEL = {"variance": "v", "groups": "study/id"}
FITS = {1_000_000: ("memory", "batches", "dask"), 10_000_000: ("memory", "batches")}


def write(path, rows, seed=5):
    """Parquet row groups of whole studies, sorted by study."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    rng, writer, first = np.random.default_rng(seed), None, 0
    for start in range(0, rows, GROUP_ROWS):
        n = min(GROUP_ROWS, rows - start)
        size = rng.integers(1, 7, n // 3)
        study = np.repeat(np.arange(len(size)), size)[:n]
        v, x = rng.uniform(0.02, 0.3, n), rng.normal(size=(n, 4))
        y = 0.2 + x @ [0.3, -0.2, 0.1, 0.0] + rng.normal(size=len(size))[study] * 0.4
        y += rng.normal(size=n) * 0.25 + rng.normal(size=n) * np.sqrt(v)
        columns = {"study": study + first, "id": np.arange(n) - np.searchsorted(study, study)}
        columns |= {"y": y, "v": v, **{f"x{j}": x[:, j] for j in range(4)}}
        table = pa.table(columns)
        writer = writer or ParquetWriter(path, table.schema, compression="none")
        writer.write_table(table, row_group_size=n)
        first += int(study[-1]) + 1
    writer.close()


def read_only(path):
    """Nothing but one batch after the other."""
    for frame in batches.parquet(path)():
        del frame
    return {}


def fit_batches(path):
    """From batches."""
    return timed(lambda: MetaMixedLM.from_batches(FORMULA, batches.parquet(path), **MODEL).fit())


def fit_memory(path):
    """In memory; reading is not counted."""
    data = pd.read_parquet(path)
    return timed(lambda: MetaMixedLM.from_formula(FORMULA, data, **MODEL).fit())


def fit_dask(path):
    """On two workers that hold a partition each."""
    import dask.dataframe
    from distributed import Client, LocalCluster, wait

    data = pd.read_parquet(path)
    middle = int((data["study"] < data["study"].iloc[len(data) // 2]).sum())
    with tempfile.TemporaryDirectory() as folder:
        for k, part in enumerate([data.iloc[:middle], data.iloc[middle:]]):
            part.to_parquet(Path(folder) / f"{k}.parquet")
        options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
        with LocalCluster(**options) as cluster, Client(cluster) as client:
            client.run(__import__, "mvmeta.model.mixed")
            frame = dask.dataframe.read_parquet(folder).persist()
            wait(frame)
            before = client.run(time.process_time)
            model = {**MODEL, "whole": True}
            found = timed(lambda: MetaMixedLM.from_dask(FORMULA, frame, **model).fit())
            after = client.run(time.process_time)
    found["cpu_seconds"] += round(max(after[w] - before[w] for w in after), 2)
    return found


def timed(work):
    """CPU time and what was found."""
    start = time.process_time()
    found = work()
    return {
        "cpu_seconds": round(time.process_time() - start, 2),
        "evaluations": int(found.certificate["evaluations"]),
        "llf": found.llf,
        "params": found.params.tolist(),
        "vcomp": found.vcomp["estimate"].tolist(),
    }


TASKS = {"read": read_only, "memory": fit_memory, "batches": fit_batches, "dask": fit_dask}


def in_a_process(task, path):
    """Run one task alone; its peak memory."""
    command = [sys.executable, "-m", "benchmarks.larger_than_memory", task, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    """Measure everything and write the results."""
    records = []
    with tempfile.TemporaryDirectory() as folder:
        for rows, tasks in FITS.items():
            path = Path(folder) / f"{rows}.parquet"
            write(path, rows)
            runs = {task: in_a_process(task, path) for task in ("read", *tasks)}
            for task in tasks:
                records.append(record(rows, task, runs))
                print(records[-1], flush=True)
            path.unlink()
    about = {
        "mvmeta": __version__,
        "numpy": np.__version__,
        "pandas": pd.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": [round(x, 1) for x in os.getloadavg()],
    }
    RESULTS.write_text(json.dumps({"about": about, "runs": records}, indent=1) + "\n")


def record(rows, task, runs):
    """What is told of a run: times, memory, and how far it is from the fit in memory."""
    run, reference = runs[task], runs["memory"]
    gaps = [
        np.abs(np.array(run[k]) / np.array(reference[k]) - 1).max() for k in ("params", "vcomp")
    ]
    above = round(run["peak_mib"] - runs["read"]["peak_mib"])
    return {
        "rows": rows,
        "fit": task,
        "cpu_seconds": round(run["cpu_seconds"], 2),
        "times_in_memory": round(run["cpu_seconds"] / reference["cpu_seconds"], 2),
        "evaluations": run["evaluations"],
        # of the client alone, on Dask: it says nothing
        "peak_mib_above_one_batch": None if task == "dask" else above,
        "llf_difference": run["llf"] - reference["llf"],
        "largest_relative_difference": float(max(gaps)),
    }


def render():
    """Put the tables into the pages."""
    found = json.loads(RESULTS.read_text())
    for page, fits in (("larger-than-memory", ("memory", "batches")), ("dask", ("memory", "dask"))):
        path = Path(__file__).parents[1] / "docs" / "how-to" / f"{page}.md"
        start, end = f"<!-- {page} -->\n", "<!-- end -->"
        head, _, rest = path.read_text().partition(start)
        _, _, tail = rest.partition(end)
        path.write_text(f"{head}{start}{table(found, fits)}{end}{tail}")


def table(found, fits):
    """Markdown of some of the runs."""
    sizes = {r["rows"] for r in found["runs"] if r["fit"] in fits and r["fit"] != "memory"}
    shown = [r for r in found["runs"] if r["fit"] in fits and r["rows"] in sizes]
    lines = [
        "",
        "| rows | fit | CPU seconds | times in memory | MiB above one batch | largest difference |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for r in shown:
        peak = r["peak_mib_above_one_batch"]
        cells = [
            f"{r['rows']:,}",
            NAMES[r["fit"]],
            f"{r['cpu_seconds']:.1f}",
            f"{r['times_in_memory']:.1f}",
            "" if peak is None else f"{peak:,}",
            f"{r['largest_relative_difference']:.0e}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    busy = ", shared with other work at the time" if max(found["about"]["load"]) > BUSY else ""
    more = "; on Dask of the busier worker and of the client" if "dask" in fits else ""
    lines += ["", f"{found['about']['machine']}{busy}{more}.", ""]
    return "\n".join(lines) + "\n"


NAMES = {"memory": "in memory", "batches": "from batches", "dask": "Dask, two workers"}
BUSY = 1.5
"""Load from which on the machine had other work to do."""


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
        render()
    elif sys.argv[1] == "--render":
        render()
    else:
        result = TASKS[sys.argv[1]](sys.argv[2])
        result["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(result))
