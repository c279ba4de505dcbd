"""Table and plot of the small-sample study."""

import json
from pathlib import Path
from typing import Any

import numpy as np

COLORS = {
    "z": "#d55e00",
    "t, residual": "#e69f00",
    "t, contain": "#56b4e9",
    "Satterthwaite": "#0072b2",
    "Kenward-Roger": "#009e73",
    "Knapp-Hartung": "#999999",
    "CR0": "#f0a0c0",
    "CR2": "#cc79a7",
    "CR1, both groupings": "#f0a0c0",
    "CR3, studies left out": "#cc79a7",
    "wild bootstrap": "#000000",
}
"""One color for each method (Okabe & Ito)."""

DASHED = {"CR1, both groupings", "CR3, studies left out"}
"""What stands for CR0 and CR2 where effects cross: the same color, another line."""


def render(path: Path) -> None:
    """Write the .md and .png files next to the JSON."""
    results = json.loads(path.read_text())
    path.with_suffix(".md").write_text(table(results))
    plot(results, path.with_suffix(".png"))


def table(results: dict[str, Any]) -> str:
    """Type I errors in percent, in Markdown."""
    cells = results["cells"]
    designs = list(dict.fromkeys(c["design"] for c in cells))
    counts = sorted({c["studies"] for c in cells})
    fewest = min(c["replicates"] for c in cells)
    error = 100 * np.sqrt(results["alpha"] * (1 - results["alpha"]) / fewest)
    lines = [
        f"Type I error in percent at a nominal {100 * results['alpha']:g} %; the coverage of the "
        f"{100 * (1 - results['alpha']):g} % interval is 100 minus it. {fewest:,} replicates in a "
        f"cell or more: the Monte Carlo standard error at the nominal level is {error:.2f}. In "
        "brackets: percent of the replicates in which the method is not defined, where there are "
        "any.",
        "",
    ]
    for design in designs:
        here = {c["studies"]: c for c in cells if c["design"] == design}
        lines += [f"**{design[0].upper()}{design[1:]}**", "", *_table_of(here, counts), ""]
    return "\n".join(lines)


def _table_of(here: dict[int, Any], counts: list[int]) -> list[str]:
    names = list(next(iter(here.values()))["methods"])
    heads = [f"{what}, {j}" for what in ("intercept", "moderator") for j in counts]
    lines = [f"| {' | '.join(['studies', *heads])} |", "|---|" + "--:|" * len(heads)]
    for name in names:
        cells = [_cell(here.get(j), name, i) for i in (0, 1) for j in counts]
        lines.append(f"| {' | '.join([name, *cells])} |")
    boundary = [
        f"{j}: {100 * here[j]['on_boundary'] / here[j]['replicates']:.0f} %"
        for j in counts
        if j in here
    ]
    return [*lines, "", f"Fits with a component on its boundary: {', '.join(boundary)}."]


def _cell(cell: dict[str, Any] | None, name: str, which: int) -> str:
    if cell is None or name not in cell["methods"]:
        return ""
    at = cell["methods"][name][which]
    if not at["defined"]:
        return "-"
    rate = f"{100 * at['rejected'] / at['defined']:.1f}"
    missing = 100 * (1 - at["defined"] / cell["replicates"])
    return f"{rate} ({missing:.0f})" if missing >= 0.5 else rate


def plot(results: dict[str, Any], path: Path) -> None:
    """Type I error against the number of studies; designs across, coefficients down."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    cells = results["cells"]
    designs = list(dict.fromkeys(c["design"] for c in cells))
    figure, axes = plt.subplots(
        2,
        len(designs),
        figsize=(3.4 * len(designs), 6.4),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for column, design in enumerate(designs):
        here = sorted((c for c in cells if c["design"] == design), key=lambda c: c["studies"])
        for row, what in enumerate(("intercept", "moderator")):
            ax = axes[row, column]
            _panel(ax, here, row)
            ax.set_title(f"{design}: {what}", fontsize=10)
    axes[0, 0].set_yticks([1, 2, 5, 10, 20, 40], ["1", "2", "5", "10", "20", "40"])
    for ax in axes[:, 0]:
        ax.set_ylabel("type I error, %")
    for ax in axes[1]:
        ax.set_xlabel("studies")
    handles = {
        h.get_label(): h for ax in axes.flat for h in ax.get_lines() if h.get_marker() == "o"
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _panel(ax: Any, cells: list[dict[str, Any]], which: int) -> None:
    counts = [c["studies"] for c in cells]
    ax.set(xscale="log", yscale="log", ylim=(0.8, 45))
    ax.set_xticks(counts, [str(j) for j in counts])
    ax.minorticks_off()
    error = 196 * np.sqrt(0.05 * 0.95 / min(c["replicates"] for c in cells))
    ax.axhspan(5 - error, 5 + error, color="0.88", zorder=0)
    ax.axhline(5, color="0.5", linewidth=0.8, zorder=0)
    for name in dict.fromkeys(n for c in cells for n in c["methods"]):
        at = [c["methods"][name][which] for c in cells]
        rate = [100 * a["rejected"] / a["defined"] if a["defined"] else np.nan for a in at]
        ax.plot(
            counts,
            rate,
            marker="o",
            markersize=3.5,
            linewidth=1.3,
            linestyle="--" if name in DASHED else "-",
            label=name,
            color=COLORS[name],
        )
