"""The same study for metafor's default optimiser, on the designs that it can express.

    python -m benchmarks.simulations.metafor --designs 200 --results benchmarks/results

Needs `Rscript` with metafor and jsonlite.  Designs come from the records of `robustness`; the
log-likelihood is recomputed at metafor's components with the independent dense code, and
compared with the best that is known from either side.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.simulations.dense import DenseModel, definite
from benchmarks.simulations.designs import Design, Term, draw
from benchmarks.simulations.robustness import read

CODES = (
    *("1", "R", "ID", "DIAG", "CS", "HCS", "UN", "AR", "HAR", "CAR", "GEN", "GDIAG"),
    *("SPEXP", "SPGAU", "SPLIN", "SPRAT", "SPSPH"),
)
SPATIAL = ("SPEXP", "SPGAU", "SPLIN", "SPRAT", "SPSPH")
SLOPES = ("GEN", "GDIAG")
LARGEST = 120
"""Rows up to which designs are taken: metafor's optimiser takes minutes beyond."""


def main() -> None:
    """Take a sample, run R once, write the comparison next to the records."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", type=int, default=200)
    parser.add_argument("--results", default="benchmarks/results")
    options = parser.parse_args()
    folder = Path(options.results)
    records = [r for r in read(folder / "robustness.jsonl") if r["k"] <= LARGEST]
    sample = [(r, draw(*r["seed"])) for r in records]
    sample = [(r, d) for r, d in sample if _expressible(d)]
    step = max(1, len(sample) // options.designs)
    sample = sample[::step][: options.designs]
    fits = run_r([_for_r(i, d) for i, (_, d) in enumerate(sample)])
    out = folder / "robustness_metafor.jsonl"
    with out.open("w") as file:
        for f in fits:
            record, design = sample[f["index"]]
            file.write(json.dumps(_judge(record, design, f)) + "\n")


def _expressible(design: Design) -> bool:
    structured = [t for t in design.terms if t.shape.code not in ("1", "R")]
    return all(t.shape.code in CODES for t in design.terms) and len(structured) <= 2


def run_r(designs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One R process for all designs."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "designs.json"), Path(folder, "fits.jsonl")
        source.write_text(json.dumps(designs))
        script = Path(__file__).with_name("metafor_fit.R")
        subprocess.run(["Rscript", str(script), str(source), str(target)], check=True)
        return read(target)


def _for_r(index: int, design: Design) -> dict[str, Any]:
    data: dict[str, list[Any]] = {}
    random, struct, known = [], [], {}
    for j, term in enumerate(design.terms):
        left, right = _columns(j, term, data)
        random.append(f"~ {left} | {right}")
        if term.shape.code == "R":
            levels = [f"a{i:03d}" for i in range(term.shape.q)]
            known[right] = {"levels": levels, "matrix": term.shape.corr.tolist()}
        elif term.shape.code != "1":
            struct.append(term.shape.code)
    return {
        "index": index,
        "y": design.y.tolist(),
        "x": design.x.tolist(),
        "v": design.v.tolist(),
        "method": "REML" if design.reml else "ML",
        "data": data,
        "random": random,
        "struct": struct,
        "R": known,
    }


def _columns(j: int, term: Term, data: dict[str, list[Any]]) -> tuple[str, str]:
    """Add the columns of a term to `data`; the two sides of its formula."""
    code, outer = term.shape.code, f"g{j}"
    if code == "R":
        data[outer] = [f"a{i:03d}" for i in term.inner]
        return "1", outer
    data[outer] = [f"s{i:04d}" for i in term.level]
    if code == "1":
        return "1", outer
    if code in SLOPES:
        names = [f"z{j}{i}" for i in range(1, term.shape.q)]
        for i, name in enumerate(names):
            data[name] = term.z[:, i + 1].tolist()
        return " + ".join(names), outer
    if code in SPATIAL or code == "CAR":
        names = [f"c{j}{i}" for i in range(term.coordinates.shape[1])]
        for i, name in enumerate(names):
            data[name] = term.coordinates[term.inner, i].tolist()
        return " + ".join(names), outer
    data[f"a{j}"] = [f"a{i:03d}" for i in term.inner]
    return f"a{j}", outer


def _judge(record: dict[str, Any], design: Design, fit: dict[str, Any]) -> dict[str, Any]:
    out = {k: record[k] for k in ("seed", "family", "terms", "k", "method")}
    out |= {
        "seconds": fit["seconds"],
        "own_seconds": record["seconds"],
        "own_below": record["below"],
    }
    if "error" in fit:
        return {**out, "failed": fit["error"]}
    dense = DenseModel(design)
    theta = _natural(design, fit)
    loglik = dense.loglik(theta)
    best = max(record["best_known"], record["independent"])
    return {
        **out,
        "loglik": loglik,
        "reported": fit["loglik"],
        "inside": _inside(dense, theta),
        "below": best - loglik,
        "theta": theta.tolist(),
    }


def _inside(dense: DenseModel, theta: np.ndarray) -> bool:
    """Whether mvmeta could be there: G is definite and rho of CS and HCS at least -1/(q-1)."""
    pieces = dense.pieces(theta)
    low = [
        shape.code in ("CS", "HCS") and piece[-1] < shape.interval[0] - 1e-9
        for shape, piece in zip(dense.shapes, pieces, strict=True)
    ]
    return definite(dense.shapes, pieces) and not any(low)


def _natural(design: Design, fit: dict[str, Any]) -> np.ndarray:
    """Components of metafor in the order of the terms; what it does not estimate is 0."""
    sigma2 = iter(np.atleast_1d(fit["sigma2"]))
    structured = iter((("tau2", "rho"), ("gamma2", "phi")))
    out: list[np.ndarray] = []
    for term in design.terms:
        shape = term.shape
        if shape.code in ("1", "R"):
            out.append(np.array([next(sigma2)], dtype=float))
            continue
        variances, correlations = (np.atleast_1d(fit[name]) for name in next(structured))
        tau2 = np.array(variances, dtype=float)[: shape.n_scales]
        rho = np.array([r or 0.0 for r in correlations], dtype=float)[: shape.n_shapes]
        out.append(np.concatenate([np.broadcast_to(tau2, shape.n_scales), rho]))
    return np.nan_to_num(np.concatenate(out))


if __name__ == "__main__":
    main()
