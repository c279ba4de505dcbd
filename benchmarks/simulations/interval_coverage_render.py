"""Table and plot of the study of intervals of variance components."""

import json
from pathlib import Path
from typing import Any

import numpy as np

COLORS = {
    "Wald": "#d55e00",
    "profile": "#0072b2",
    "bootstrap, percentile": "#009e73",
    "bootstrap, basic": "#999999",
}
"""One color for each method (Okabe & Ito)."""

LEAST = 0.2
"""Percent that stands for 0 on the logarithmic axis."""

FEW = 0.5
"""Percent of replicates without an interval from which on the table says so."""


def render(path: Path) -> None:
    """Write the .md and .png files next to the JSON."""
    results = json.loads(path.read_text())
    path.with_suffix(".md").write_text(table(results))
    plot(results, path.with_suffix(".png"))


def table(results: dict[str, Any]) -> str:
    """Coverage in percent, in Markdown."""
    cells, nominal = results["cells"], 100 * (1 - results["alpha"])
    fewest = min(c["replicates"] for c in cells)
    failed = sum(c["failed"] for c in cells)
    error = np.sqrt(nominal * (100 - nominal) / fewest)
    lines = [
        f"Coverage of {nominal:g} % intervals in percent: {fewest:,} replicates in a cell, "
        f"{results['bootstrap']} bootstrap replicates each. The Monte Carlo standard error at the "
        f"nominal level is {error:.1f}. In brackets: percent of the replicates in which the method "
        "gives no interval, where there are any; they are left out of the coverage."
        + (f" {failed} data sets could not be analysed." if failed else ""),
        "",
    ]
    for design in dict.fromkeys(c["design"] for c in cells):
        here = [c for c in cells if c["design"] == design]
        for target in here[0]["targets"]:
            lines += [f"**{design[0].upper()}{design[1:]}: {target}**", ""]
            lines += [*_table_of(here, target), ""]
    return "\n".join(lines)


def _table_of(cells: list[dict[str, Any]], target: str) -> list[str]:
    """Methods down; variance between studies and number of studies across."""
    heads = [f"{c['between']}, {c['studies']}" for c in cells]
    lines = [f"| between, studies | {' | '.join(heads)} |", "|---|" + "--:|" * len(heads)]
    for method in cells[0]["targets"][target]:
        entries = [_entry(c["targets"][target][method], c["replicates"]) for c in cells]
        if any(entries):
            lines.append(f"| {method} | {' | '.join(entries)} |")
    return lines


def _entry(at: dict[str, Any], replicates: int) -> str:
    if not at["defined"]:
        return ""
    missing = 100 * (1 - at["defined"] / replicates)
    rate = f"{100 * at['held'] / at['defined']:.1f}"
    return f"{rate} ({missing:.0f})" if missing >= FEW else rate


def plot(results: dict[str, Any], path: Path) -> None:
    """Percent of intervals that miss; targets across, variances between studies down.

    On a logarithmic axis, as coverages of 87 and 95 % differ more than they look.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    cells = results["cells"]
    levels = list(dict.fromkeys(c["between"] for c in cells))
    targets = list(dict.fromkeys((c["design"], t) for c in cells for t in c["targets"]))
    figure, axes = plt.subplots(
        len(levels),
        len(targets),
        figsize=(2.9 * len(targets), 2.6 * len(levels)),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for row, level in enumerate(levels):
        for column, (design, target) in enumerate(targets):
            here = [c for c in cells if (c["design"], c["between"]) == (design, level)]
            ax = axes[row, column]
            _panel(ax, sorted(here, key=lambda c: c["studies"]), target, results["alpha"])
            if row == 0:
                ax.set_title(f"{design}:\n{target}", fontsize=10)
        axes[row, 0].set_ylabel(f"between studies: {level}\nmiss the truth, %")
    axes[0, 0].set_yticks([LEAST, 1, 5, 20, 100], ["0", "1", "5", "20", "100"])
    for ax in axes[-1]:
        ax.set_xlabel("studies")
    handles = {
        h.get_label(): h for ax in axes.flat for h in ax.get_lines() if h.get_marker() == "o"
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _panel(ax: Any, cells: list[dict[str, Any]], target: str, alpha: float) -> None:
    counts = [c["studies"] for c in cells]
    ax.set(xscale="log", yscale="log", ylim=(0.8 * LEAST, 120))
    ax.set_xticks(counts, [str(j) for j in counts])
    ax.minorticks_off()
    missed = 100 * alpha
    error = 1.96 * np.sqrt(missed * (100 - missed) / min(c["replicates"] for c in cells))
    ax.axhspan(max(missed - error, LEAST), missed + error, color="0.88", zorder=0)
    ax.axhline(missed, color="0.5", linewidth=0.8, zorder=0)
    for method, color in COLORS.items():
        at = [c["targets"][target][method] for c in cells]
        if any(a["defined"] for a in at):
            rate = [_missed(a) for a in at]
            ax.plot(
                *(counts, rate),
                marker="o",
                markersize=3.5,
                linewidth=1.3,
                label=method,
                color=color,
            )


def _missed(at: dict[str, Any]) -> float:
    """In percent, drawn at `LEAST` where there are none."""
    if not at["defined"]:
        return np.nan
    return max(100 * (1 - at["held"] / at["defined"]), LEAST)
