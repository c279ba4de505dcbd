"""Which tests hold their level with few studies?  Type I error and coverage, simulated.

    python -m benchmarks.simulations.small_samples --replicates 2000 --minutes 25 \
        --out benchmarks/results/small_samples.json

Every replicate is fitted once by REML and tested by all methods; all coefficients are 0, so that
the share of p-values below 0.05 is the type I error, and 1 minus it the coverage of the 95 %
interval.  Cells that are in the output already are not run again.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.simulations.few_studies import DESIGNS, Drawn
from benchmarks.simulations.small_samples_render import render
from mvmeta.errors import MvmetaError
from mvmeta.inference.coefficients.containment import containment_df
from mvmeta.inference.coefficients.degrees import DegreesOfFreedom, normal_df, residual_df
from mvmeta.inference.coefficients.kenward_roger import kenward_roger
from mvmeta.inference.coefficients.satterthwaite import satterthwaite_df
from mvmeta.inference.coefficients.scaling import scaled_cov
from mvmeta.inference.coefficients.wald import Basis, coefficients, critical_value
from mvmeta.inference.fitted.curvature import Curvature, curvature
from mvmeta.inference.fitted.estimate import estimate
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.resampling.wild import wild_bootstrap
from mvmeta.inference.robust.sandwich import robust
from mvmeta.marginal.select import build_backend

STUDIES = (5, 10, 20, 40)
ALPHA = 0.05
SEED = 20240917

WILD = 499
"""Replicates of the wild bootstrap."""

FEW_FOR_SIGNS = 10
"""Studies below which the wild bootstrap multiplies residuals by Webb's six weights."""

Method = Callable[[Fit, Drawn, Curvature], np.ndarray]
"""P-value, df and half width of the interval of both coefficients, (2, 3)."""


def _robust(kind: str, by_study: bool) -> Method:
    def test(fit: Fit, drawn: Drawn, _: Curvature) -> np.ndarray:
        groups = drawn.studies if by_study else drawn.groupings
        found = robust(fit, groups, kind, repair=True)
        return _tests(Basis(fit.beta, found.cov, found.df), drawn)

    return test


def _with_df(rule: Callable[[Fit, Curvature], DegreesOfFreedom], scaling: str) -> Method:
    def test(fit: Fit, drawn: Drawn, at: Curvature) -> np.ndarray:
        return _tests(Basis(fit.beta, scaled_cov(fit, scaling), rule(fit, at)), drawn)

    return test


def _kenward_roger(fit: Fit, drawn: Drawn, at: Curvature) -> np.ndarray:
    found = kenward_roger(fit, at)
    return _tests(Basis(fit.beta, found.cov, found.df), drawn)


def _wild(fit: Fit, drawn: Drawn, _: Curvature) -> np.ndarray:
    """Wild bootstrap by study; signs of few studies have too few patterns for small p-values."""
    out = np.full((2, 3), np.nan)
    weights = "webb" if len(np.unique(drawn.studies)) < FEW_FOR_SIGNS else "rademacher"
    for i, at in enumerate(drawn.tested):
        row = np.eye(fit.problem.p)[[at]]
        # other weights for other data, the same ones in another run
        rng = np.random.default_rng(int.from_bytes(fit.problem.y[:1].tobytes(), "little"))
        found = wild_bootstrap(
            fit, drawn.studies, row, np.zeros(1), n=WILD, weights=weights, rng=rng
        )
        out[i, 0] = found.pvalue
    return out


MODEL_BASED: dict[str, Method] = {
    "z": _with_df(lambda fit, _: normal_df(fit), "nonrobust"),
    "t, residual": _with_df(lambda fit, _: residual_df(fit), "nonrobust"),
    "t, contain": _with_df(lambda fit, _: containment_df(fit), "nonrobust"),
    "Satterthwaite": _with_df(satterthwaite_df, "nonrobust"),
    "Kenward-Roger": _kenward_roger,
    "Knapp-Hartung": _with_df(lambda fit, _: residual_df(fit), "knha"),
    "wild bootstrap": _wild,
}

INDEPENDENT: dict[str, Method] = {
    "CR0": _robust("CR0", by_study=True),
    "CR2": _robust("CR2", by_study=True),
}

LINKED: dict[str, Method] = {
    "CR1, both groupings": _robust("CR1", by_study=False),
    "CR3, studies left out": _robust("CR3", by_study=True),
}


def methods(design: str) -> dict[str, Method]:
    """Those that exist for a design."""
    return MODEL_BASED | (LINKED if design == "crossed" else INDEPENDENT)


def run_cell(design: str, studies: int, replicates: int) -> dict[str, Any]:
    """One design with one number of studies: counts for every method."""
    used = methods(design)
    outcome = {name: np.full((replicates, 2, 3), np.nan) for name in used}
    boundary = failed = 0
    for i in range(replicates):
        rng = np.random.default_rng([SEED, list(DESIGNS).index(design), studies, i])
        drawn = DESIGNS[design](rng, studies)
        # from the truth a single ascent finds what the many starts of a fit to real data find
        start = np.array(drawn.truth)
        fit, optimum = estimate(build_backend(drawn.problem), reml=True, start=start)
        failed += not optimum.status.converged
        boundary += bool(fit.boundary.any())
        at = curvature(fit)
        for name, method in used.items():
            try:
                outcome[name][i] = method(fit, drawn, at)
            except MvmetaError:
                continue
    return {
        "design": design,
        "studies": studies,
        "replicates": replicates,
        "seed": SEED,
        "not_converged": failed,
        "on_boundary": boundary,
        "methods": {name: _counts(o) for name, o in outcome.items()},
    }


def _tests(basis: Basis, drawn: Drawn) -> np.ndarray:
    c = coefficients(basis)
    half = critical_value(c.df, ALPHA) * c.se
    return np.column_stack([c.pvalue, c.df, half])[list(drawn.tested)]


def _counts(outcome: np.ndarray) -> list[dict[str, Any]]:
    rows = []
    for name, o in zip(("intercept", "moderator"), np.moveaxis(outcome, 1, 0), strict=True):
        defined = ~np.isnan(o[:, 0])
        rows.append(
            {
                "coefficient": name,
                "defined": int(defined.sum()),
                "rejected": int((o[defined, 0] < ALPHA).sum()),
                "median_df": _median(o[defined, 1]),
                "median_half_width": _median(o[defined, 2]),
            }
        )
    return rows


def _median(values: np.ndarray) -> float | None:
    middle = float(np.median(values)) if len(values) else np.nan
    return middle if np.isfinite(middle) else None


def main() -> None:
    """Parse the options, run the cells that are missing, write JSON, table and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="of CPU time")
    parser.add_argument("--out", default="benchmarks/results/small_samples.json")
    parser.add_argument("--render", action="store_true", help="only table and plot")
    options = parser.parse_args()
    out = Path(options.out)
    cells = json.loads(out.read_text())["cells"] if out.exists() else []
    done = {(c["design"], c["studies"]) for c in cells}
    warnings.simplefilter("ignore")
    for studies in STUDIES:
        for design in DESIGNS:
            spent = time.process_time() / 60
            if options.render or (design, studies) in done or spent > options.minutes:
                continue
            cells.append(run_cell(design, studies, options.replicates))
            out.write_text(json.dumps({"alpha": ALPHA, "cells": cells}, indent=1) + "\n")
            print(design, studies, f"{time.process_time() / 60:.1f} min", flush=True)
    render(out)


if __name__ == "__main__":
    main()
