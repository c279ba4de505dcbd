"""Numbers of the study from its records, and the tables of them."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Record = dict[str, Any]

MISS = 1e-6
"""Log-likelihood below the best known one that counts as a miss."""
STRICT = 1e-8
"""The same relative to the size of the log-likelihood, where that is above 1."""
FAR = 10.0
"""A better point with components larger by this factor lies further on the way to infinity."""
RANGES = ("SPEXP", "SPGAU", "SPRAT", "SPSPH", "MATERN", "PHYOU")
LEVELS = ("1e-6", "1e-4", "1e-2")
NOT_CONVERGED = ("AT_INFINITY", "MAXIMUM_ITERATIONS", "NO_PROGRESS")

CAUSES = {
    "at infinity": "no finite maximum, which is said: variance and range grow together without "
    "end, and the log-likelihood there has a rounding error of this size",
    "kink": "SPLIN: another of the many maxima at its kinks or between them",
    "indefinite": "better only where G is no covariance matrix",
    "other maximum": "stopped at a local maximum; there is a higher one",
    "not converged": "stopped before the maximum, and says so",
}


def below(record: Record) -> float:
    """How far below the best known log-likelihood, 0 if above."""
    return max(float(record["below"]), 0.0)


def is_miss(record: Record) -> bool:
    """More than `MISS` below."""
    return below(record) > MISS


def is_strict_miss(record: Record) -> bool:
    """More than `STRICT` below, relative to the log-likelihood."""
    return below(record) > STRICT * max(1.0, abs(record["loglik"]))


def cause(record: Record) -> str:
    """Why a design was missed: a key of `CAUSES`."""
    if record["status"] == "AT_INFINITY":
        return "at infinity"
    there = record["miss"]
    if not there["definite"] and not any(t.startswith("SP") for t in record["terms"]):
        return "indefinite"
    # the log-likelihood tends to a limit as variance and range grow in proportion
    grown = there["theta"][0] > FAR * record["theta"][0]
    if any(t.startswith(RANGES) for t in record["terms"]) and grown and record["theta"][0] > 0:
        return "at infinity"
    if any(t.startswith("SPLIN") for t in record["terms"]):
        return "kink"
    return "not converged" if record["status"] in NOT_CONVERGED else "other maximum"


def summarize(records: Sequence[Record], metafor: Sequence[Record]) -> dict[str, Any]:
    """Everything the tables show, and every miss with its seed, design and cause."""
    families = sorted({r["family"] for r in records})
    misses = [r for r in records if is_strict_miss(r) or is_miss(r)]
    return {
        "all": _block(records),
        "by_family": {f: _block([r for r in records if r["family"] == f]) for f in families},
        "by_size": {
            name: _block([r for r in records if low <= r["k"] < high])
            for name, low, high in (("4-39", 4, 40), ("40-99", 40, 100), ("100-300", 100, 301))
        },
        "by_method": {m: _block([r for r in records if r["method"] == m]) for m in ("REML", "ML")},
        "causes": dict(Counter(cause(r) for r in records if is_miss(r))),
        "causes_strict": dict(Counter(cause(r) for r in misses if is_strict_miss(r))),
        "starts": dict(Counter(str(r["starts"]) for r in records)),
        "metafor": _metafor(metafor),
        "misses": [{**r, "cause": cause(r), "meaning": CAUSES[cause(r)]} for r in misses],
    }


def _block(records: Sequence[Record]) -> dict[str, Any]:
    if not records:
        return {"designs": 0}
    count = np.array([r["evaluations"] for r in records])
    other = [r["independent_evaluations"] for r in records]
    agreement = [_disagreement(r) for r in records]
    return {
        "designs": len(records),
        "at_best": _share(records, lambda r: not is_miss(r)),
        "at_best_strict": _share(records, lambda r: not is_strict_miss(r)),
        "silent_misses": sum(is_miss(r) and r["status"] not in NOT_CONVERGED for r in records),
        "worst_below": max(below(r) for r in records),
        "endless": sum(r["status"] == "AT_INFINITY" for r in records),
        "kinks": sum(r["status"] == "KINK" for r in records),
        "not_converged": sum(r["status"] in NOT_CONVERGED for r in records),
        "boundary": _share(records, lambda r: r["status"] == "BOUNDARY"),
        "public_route": sum(r["route"] == "public" for r in records),
        "block_v": _share(records, lambda r: r["v"] == "block"),
        "independent_below": _share(records, lambda r: r["below"] < -MISS),
        "start_at_best": float(np.mean([r["starts_at_best"] / r["starts"] for r in records])),
        "worst_disagreement": max(agreement),
        "evaluations": _spread(count),
        "independent_evaluations": float(np.median(other)),
    }


def _spread(values: np.ndarray) -> list[float]:
    """Median, 95 % quantile and maximum."""
    return [float(np.median(values)), float(np.quantile(values, 0.95)), float(values.max())]


def _disagreement(record: Record) -> float:
    """Of the two log-likelihoods at mvmeta's components, relative."""
    return abs(record["loglik"] - record["independent"]) / max(1.0, abs(record["loglik"]))


def _share(records: Sequence[Record], test: Callable[[Record], bool]) -> float:
    return float(np.mean([test(r) for r in records]))


def _metafor(records: Sequence[Record]) -> dict[str, Any]:
    if not records:
        return {"designs": 0}
    fits = [r for r in records if "failed" not in r]
    return {
        "designs": len(records),
        "failed": len(records) - len(fits),
        "messages": dict(Counter(r["failed"][:90] for r in records if "failed" in r)),
        "below_1e-6": sum(r["below"] > 1e-6 for r in fits),
        "below_1e-4": sum(r["below"] > 1e-4 for r in fits),
        "below_1e-2": sum(r["below"] > 1e-2 for r in fits),
        "below_1": sum(r["below"] > 1 for r in fits),
        "above_outside": sum(r["below"] < -MISS and not r["inside"] for r in fits),
        "above_inside": sum(r["below"] < -MISS and r["inside"] for r in fits),
        "worst_below": max(r["below"] for r in fits),
        "own_below_1e-6": sum(bool(r["own_below"] > MISS) for r in records),
    }


# --- tables ----------------------------------------------------------------------------------


def render(summary: dict[str, Any]) -> str:
    """The summary as Markdown."""
    rows = [("all", summary["all"])]
    rows += [(f"k = {name}", b) for name, b in summary["by_size"].items()]
    rows += list(summary["by_method"].items())
    lines = ["# Robustness of the optimiser", "", *_table(rows), "", "## By family of designs", ""]
    lines += [*_table(list(summary["by_family"].items())), "", *_causes(summary), ""]
    lines += [*_metafor_lines(summary["metafor"]), "", *_details(summary), ""]
    return "\n".join(lines)


def _table(rows: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    out = [
        "| designs | number | within 1e-6 of the best | evaluations: median | 95 % | most |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, b in rows:
        if not b["designs"]:
            continue
        median, high, most = b["evaluations"]
        out.append(
            f"| {name} | {b['designs']} | {_percent(b['at_best'])} | {median:.0f} | {high:.0f} | "
            f"{most:.0f} |"
        )
    return out


def _percent(share: float) -> str:
    """Percent, never rounded up to 100."""
    return f"{np.floor(share * 1e4) / 100:.2f} %"


def _causes(summary: dict[str, Any]) -> list[str]:
    out = ["## Misses", "", "| cause | more than 1e-6 below | more than 1e-8 (relative) below |"]
    out.append("|---|--:|--:|")
    for key, meaning in CAUSES.items():
        loose, strict = (summary[k].get(key, 0) for k in ("causes", "causes_strict"))
        out.append(f"| {meaning} | {loose} | {strict} |")
    out += ["", "Every one of them is in the JSON with seed, design and the better point."]
    return out


def _metafor_lines(m: dict[str, Any]) -> list[str]:
    if not m["designs"]:
        return []
    return [
        "## metafor's default optimiser on a sample",
        "",
        f"{m['designs']} designs that `rma.mv` can express; its log-likelihood recomputed with the "
        "independent code at its components.",
        "",
        "| metafor | designs |",
        "|---|--:|",
        f"| failed with an error | {m['failed']} |",
        *(f"| more than {x} below the best | {m[f'below_{x}']} |" for x in LEVELS),
        f"| higher, at a correlation below -1/(q-1), which mvmeta rules out | "
        f"{m['above_outside']} |",
        f"| higher, elsewhere | {m['above_inside']} |",
        f"| *mvmeta* more than 1e-6 below the best, same designs | {m['own_below_1e-6']} |",
    ]


def _details(summary: dict[str, Any]) -> list[str]:
    b = summary["all"]
    starts = ", ".join(f"{n} designs with {s}" for s, n in sorted(summary["starts"].items()))
    return [
        "## Details",
        "",
        f"- Independent starts: {starts}; fewer where one evaluation costs milliseconds.",
        f"- A single independent start ended at the best point in "
        f"{100 * b['start_at_best']:.0f} % of the runs; all of them together were below mvmeta's "
        f"maximum by more than 1e-6 in {100 * b['independent_below']:.2f} % of the designs.",
        f"- Largest relative difference of the two log-likelihoods at mvmeta's components: "
        f"{b['worst_disagreement']:.1g}.",
        f"- Within 1e-8 (relative) of the best: {_percent(b['at_best_strict'])}. "
        f"Worst: {b['worst_below']:.2g} below.",
        f"- {b['silent_misses']} designs more than 1e-6 below the best were reported as converged. "
        f"{b['endless']} designs have no finite maximum and say so (AT_INFINITY), {b['kinks']} "
        f"have their maximum at a kink, {b['not_converged'] - b['endless']} stopped before a "
        "maximum.",
        f"- {100 * b['boundary']:.0f} % of the maxima have a component on the boundary; V is block "
        f"diagonal in {100 * b['block_v']:.0f} %; {b['public_route']} designs went through the "
        "public API.",
    ]
