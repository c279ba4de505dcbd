"""One design: mvmeta's maximum against the best of many independent runs."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.simulations import public
from benchmarks.simulations.dense import DenseModel, definite
from benchmarks.simulations.designs import Design, draw
from mvmeta.errors import SpecificationError
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.base import NotPositiveDefiniteError
from mvmeta.marginal.select import build_backend
from mvmeta.optimize.maximize import Optimum, maximize

STRICT = 1e-8
"""Relative difference of log-likelihoods from which a record is explained."""
MISS = 1e-6
"""The absolute one."""
PUBLIC = 15
"""Every so many designs go through the public API, if it can express them."""


def starts_for(n: int) -> int:
    """Independent starts: 20, fewer where one evaluation costs milliseconds."""
    return 20 if n <= 60 else 10 if n <= 120 else 5


def independent(seed: int, index: int) -> dict[str, Any]:
    """The best of the independent runs of one design; nothing in it depends on mvmeta."""
    design = draw(seed, index)
    began = time.perf_counter()
    starts = starts_for(design.n)
    found = DenseModel(design).maximize(starts, np.random.default_rng([seed, index, 1]))
    return {
        "seed": [seed, index],
        "loglik": found.loglik,
        "theta": [float(t) for t in found.theta],
        "logliks": found.logliks,
        "evaluations": found.evaluations,
        "seconds": round(time.perf_counter() - began, 3),
    }


def compare(seed: int, index: int, found: dict[str, Any] | None = None) -> dict[str, Any]:
    """Fit one design both ways; the record that goes into the results.

    Parameters
    ----------
    seed, index : int
        Of the study and of the design.
    found : dict, optional
        What `independent` said about this design before.
    """
    design = draw(seed, index)
    dense = DenseModel(design)
    own = _fit(design, index)
    found = independent(seed, index) if found is None else found
    at_own = dense.loglik(own.theta)
    record = {
        "seed": [seed, index],
        **design.describe(),
        "route": own.route,
        "loglik": own.loglik,
        "independent": at_own,
        "best_known": found["loglik"],
        "below": found["loglik"] - at_own,
        "starts": len(found["logliks"]),
        "starts_at_best": _at_best(found["logliks"], max(found["loglik"], at_own)),
        "status": own.status,
        "evaluations": own.evaluations,
        "seconds": round(own.seconds, 5),
        "independent_evaluations": found["evaluations"],
        "independent_seconds": found["seconds"],
        "theta": [float(t) for t in own.theta],
    }
    if record["below"] > min(STRICT * max(1.0, abs(own.loglik)), MISS):
        record["miss"] = explain(dense, np.array(found["theta"]))
    return record


def _at_best(logliks: list[float], best: float) -> int:
    return int(np.sum(np.array(logliks) > best - 1e-4))


@dataclass(frozen=True)
class Own:
    """The answer of mvmeta, from the core or the public API."""

    route: str
    loglik: float
    theta: np.ndarray
    status: str
    evaluations: int
    seconds: float


def _fit(design: Design, index: int) -> Own:
    began = time.process_time()
    if index % PUBLIC == 0 and public.expressible(design):
        result = public.fit_public(design)
        seconds = time.process_time() - began
        theta, count = public.components(result), public.evaluations(result)
        # levels that occur once are pinned there, which makes it another model
        if not result.vcomp["fixed"].any():
            return Own("public", float(result.llf), theta, result.status.name, count, seconds)
    began = time.process_time()
    _, optimum = fit(design)
    seconds = time.process_time() - began
    loglik, status = optimum.evaluation.loglik, optimum.status.name
    return Own("core", loglik, optimum.theta, status, optimum.n_evaluations, seconds)


def fit(design: Design) -> tuple[Objective, Optimum]:
    """Maximum found by mvmeta."""
    objective = Objective(build_backend(design.problem()), design.reml)
    return objective, maximize(objective)


def explain(dense: DenseModel, theta: np.ndarray) -> dict[str, Any]:
    """Where mvmeta goes from the better point `theta`, and what kind of point that is."""
    out: dict[str, Any] = {
        "theta": [float(t) for t in theta],
        "definite": definite(dense.shapes, dense.pieces(theta)),
    }
    design = dense.design
    objective = Objective(build_backend(design.problem()), design.reml)
    try:
        out["loglik_there"] = objective.natural(theta).loglik
        again = maximize(objective, start=theta)
    except (NotPositiveDefiniteError, SpecificationError) as err:
        out["error"] = repr(err)
        return out
    out["from_there"] = again.evaluation.loglik
    out["status_from_there"] = again.status.name
    out["theta_from_there"] = [float(t) for t in again.theta]
    return out
