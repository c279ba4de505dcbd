"""Tables and plots of the speed results, from the JSON of one run."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.problems import COUNTS

Record = dict[str, Any]

COLOURS = {
    "mvmeta": "#0072B2",
    "WLS": "#7f7f7f",
    "metafor": "#D55E00",
    "metafor, sparse": "#E69F00",
    "glmmTMB": "#009E73",
    "lme4 (+ residual)": "#CC79A7",
    "nlme": "#56B4E9",
    "pimeta": "#8B4513",
    "mixmeta": "#444444",
    "MixedLM (one level)": "#999933",
}
"""Okabe and Ito's palette, and three more."""
TITLES = {
    "small": "Small data: three-level, 1 moderator",
    "nested": "Three-level model, 4 moderators",
    "un": "Three correlated outcomes (UN), correlated sampling errors",
    "crossed": "Studies crossed with species, and an effect per estimate",
    "phylogeny": "Phylogeny, species, studies, estimates",
    "spatial": "Exponential spatial correlation",
}


def slope(records: Sequence[Record]) -> float:
    """Growth of time with size over the last two sizes: 1 is linear."""
    points = sorted((r["size"], r["seconds"]) for r in records if "seconds" in r)
    if len(points) < 2:
        return float("nan")
    (a, s), (b, t) = points[-2:]
    return float(np.log(t / s) / np.log(b / a))


def tables(run: Record) -> str:
    """Everything as Markdown."""
    parts = ["# Speed", _machine(run)]
    for family in dict.fromkeys(r["family"] for r in run["records"]):
        own = [r for r in run["records"] if r["family"] == family]
        parts += [f"## {TITLES[family]}", _table(own, COUNTS.get(family, "rows"))]
        parts += [_ratios(own)]
    if run.get("memory"):
        parts += ["## Memory", _memory(run["memory"])]
    if run.get("many"):
        parts += ["## Many outcomes", _many(run["many"])]
    if run.get("postfit"):
        parts += ["## After the fit", *_postfit(run["postfit"])]
    return "\n\n".join(p for p in parts if p) + "\n"


def _machine(run: Record) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return (
        f"{run['date']}, {run['cpu']}, one thread. CPU seconds, medians of runs in turn; the fit "
        f"with the making of the model, from arrays unless said. {versions}; R's BLAS: "
        f"{run['blas']}."
    )


def _by_engine(records: Iterable[Record]) -> dict[str, dict[int, Record]]:
    out: dict[str, dict[int, Record]] = {}
    for r in records:
        out.setdefault(r["engine"], {})[r["size"]] = r
    return out


def _table(records: Sequence[Record], unit: str) -> str:
    sizes = sorted({r["size"] for r in records})
    head = f"| seconds | {' | '.join(f'{s:,}' for s in sizes)} | growth |"
    rule = "|---|" + "--:|" * (len(sizes) + 1)
    lines = [f"Columns: number of {unit}.", "", head, rule]
    for engine, found in _by_engine(records).items():
        cells = [_cell(found.get(s)) for s in sizes]
        growth = slope(list(found.values()))
        lines.append(
            f"| {engine} | {' | '.join(cells)} | {'' if np.isnan(growth) else f'{growth:.1f}'} |"
        )
    counts = _by_engine(records).get("mvmeta", {})
    cells = [str(counts[s].get("evaluations", "")) if s in counts else "" for s in sizes]
    lines.append(f"| *likelihood evaluations of mvmeta* | {' | '.join(cells)} | |")
    return "\n".join(lines)


def _cell(record: Record | None) -> str:
    if record is None:
        return ""
    return f"{record['seconds']:.3g}" if "seconds" in record else "failed"


def _ratios(records: Sequence[Record]) -> str:
    found = _by_engine(records)
    ours = found.get("mvmeta", {})
    lines = []
    for engine, theirs in found.items():
        if engine.startswith("mvmeta"):
            continue
        base = found.get("mvmeta, formula", {}) if engine == "WLS, formula" else ours
        both = [s for s in sorted(theirs) if s in base and "seconds" in theirs[s]]
        if not both:
            continue
        if engine.startswith("WLS"):
            what = [f"{base[s]['seconds'] / theirs[s]['seconds']:.2f} at {s:,}" for s in both]
            name = "mvmeta, formula" if engine == "WLS, formula" else "mvmeta"
            lines.append(f"- {name}, in units of {engine}: " + ", ".join(what))
        else:
            what = [f"{_times(theirs[s]['seconds'] / ours[s]['seconds'])} at {s:,}" for s in both]
            lines.append(f"- {engine}, in units of mvmeta: " + ", ".join(what))
    return "\n".join(lines)


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}"


def _memory(records: Sequence[Record]) -> str:
    lines = ["| problem | engine | data (MB) | added by model and fit (MB) | ratio |"]
    lines.append("|---|---|--:|--:|--:|")
    for r in records:
        added = r["added_mb"]
        shown = "failed" if added is None else f"{added:.0f}"
        ratio = "" if added is None else f"{added / r['data_mb']:.2f}"
        name = f"{r['family']}, {r['size']:,} {COUNTS.get(r['family'], 'rows')}"
        lines.append(f"| {name} | {r['engine']} | {r['data_mb']:.0f} | {shown} | {ratio} |")
    return "\n".join(lines)


def _many(records: Sequence[Record]) -> str:
    head = ["| design | fits per second | one model each | converged in the batch |"]
    head.append("|---|--:|--:|--:|")
    rows = [
        f"| {r['design']} | {r['fits_per_second']:,.0f} | {r['loop_per_second']:,.0f} | "
        f"{100 * r['converged']:.2f} % |"
        for r in records
    ]
    return "\n".join([*head, *rows])


def _postfit(records: Sequence[Record]) -> list[str]:
    """Costs in fits of the same model to the same data, one table per family."""
    out = [
        "CPU time in units of one fit of the same model to the same data, which took turns with "
        "what is measured; medians."
    ]
    for family in dict.fromkeys(r["family"] for r in records):
        own = [r for r in records if r["family"] == family]
        sizes = sorted({r["size"] for r in own})
        by_task: dict[str, dict[int, Record]] = {}
        for r in own:
            by_task.setdefault(r["task"], {})[r["size"]] = r
        lines = [
            f"| {TITLES[family]}: {COUNTS.get(family, 'rows')} | "
            f"{' | '.join(f'{s:,}' for s in sizes)} |",
            "|---|" + "--:|" * len(sizes),
        ]
        for task, found in by_task.items():
            cells = [f"{found[s]['fits']:.2g}" if s in found else "" for s in sizes]
            lines.append(f"| {task} | {' | '.join(cells)} |")
        fits = {r["size"]: r["fit"] for r in own}
        lines.append(f"| *seconds of a fit* | {' | '.join(f'{fits[s]:.3g}' for s in sizes)} |")
        out.append("\n".join(lines))
    return out


def plot(run: Record, path: Path) -> None:
    """Seconds against size, one panel per family, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    families = [f for f in TITLES if any(r["family"] == f for r in run["records"])]
    families = [f for f in families if f != "small"]
    columns = 2
    rows = -(-len(families) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(12, 3.6 * rows), layout="constrained")
    for ax, family in zip(np.ravel(axes), families, strict=False):
        _panel(ax, [r for r in run["records"] if r["family"] == family], family)
    for ax in np.ravel(axes)[len(families) :]:
        ax.set_axis_off()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _label(engine: str, growth: float) -> str:
    return engine if np.isnan(growth) else f"{engine}, $k^{{{growth:.1f}}}$"


def _panel(ax: Any, records: Sequence[Record], family: str) -> None:
    for engine, found in _by_engine(records).items():
        points = sorted((s, r["seconds"]) for s, r in found.items() if "seconds" in r)
        if engine.endswith("formula") or not points:
            continue
        x, y = zip(*points, strict=True)
        own = engine == "mvmeta"
        ax.plot(
            *(x, y),
            color=COLOURS.get(engine, "black"),
            marker="o" if own else ".",
            linewidth=2.4 if own else 1.2,
            linestyle="--" if engine == "WLS" else "-",
            zorder=3 if own else 2,
            label=_label(engine, slope(list(found.values()))),
        )
    ax.set(xscale="log", yscale="log", title=TITLES[family])
    sizes = sorted({r["size"] for r in records})
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=8)
    ax.set_xticks([], minor=True)
    ax.set_xlabel(COUNTS.get(family, "rows"))
    ax.set_ylabel("CPU seconds")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    ax.grid(True, which="major", linewidth=0.4, alpha=0.5)
    ax.spines[["top", "right"]].set_visible(False)
    ax.title.set_fontsize(9.5)
