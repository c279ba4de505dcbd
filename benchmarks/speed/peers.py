"""The peers in R, run as programs: data in as CSV, one line of JSON out.

The clock runs around the fit alone, in R: user and system time of one thread.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.problems import Problem

SCRIPTS = Path(__file__).parent / "r"
LIMIT = 900
"""Seconds after which a peer is stopped; its row then says so."""


@dataclass(frozen=True)
class Peer:
    """A script `r/<script>` and the largest size of each family it is given."""

    name: str
    script: str
    package: str
    largest: Mapping[str, int]
    option: str = ""


PEERS = (
    Peer(
        *("metafor", "metafor.R", "metafor"),
        {"small": 50, "nested": 1_000, "un": 300, "crossed": 3_000, "phylogeny": 200}
        | {"spatial": 200},
    ),
    Peer(
        *("metafor, sparse", "metafor.R", "metafor"),
        {"small": 50, "nested": 3_000, "un": 1_000},
        "sparse",
    ),
    Peer("glmmTMB", "glmmtmb.R", "glmmTMB", {"nested": 100_000, "crossed": 10_000}),
    Peer("lme4 (+ residual)", "lme4.R", "lme4", {"nested": 100_000, "crossed": 10_000}),
    Peer("nlme", "nlme.R", "nlme", {"small": 50, "nested": 100_000}),
    Peer("mixmeta", "mixmeta.R", "mixmeta", {"nested": 10_000, "un": 1_000}),
)


def installed(peers: tuple[Peer, ...] = PEERS) -> dict[str, str]:
    """Package -> version of those that R has; empty without Rscript."""
    if shutil.which("Rscript") is None:
        return {}
    names = sorted({p.package for p in peers})
    code = (
        f"for (p in c({', '.join(map(repr, names))})) if (requireNamespace(p, quietly = TRUE)) "
        "cat(p, as.character(packageVersion(p)), '\\n')"
    )
    out = subprocess.run(
        ["Rscript", "-e", code], capture_output=True, text=True, check=True
    ).stdout.split("\n")
    return dict(line.split() for line in out if line.strip())


def blas() -> str:
    """File name of the BLAS that R uses; the reference BLAS would be unfair to it."""
    out = subprocess.run(
        ["Rscript", "-e", "cat(sessionInfo()$BLAS)"], capture_output=True, text=True, check=False
    )
    return "/".join(out.stdout.split("/")[-2:])


def write(problem: Problem, folder: Path) -> None:
    """Data, covariances and known correlations as files."""
    problem.frame.to_csv(folder / "data.csv", index=False)
    facts = {"family": problem.family, "covariates": list(problem.covariates)}
    (folder / "problem.json").write_text(json.dumps(facts))
    if problem.blocks is not None:
        start = np.cumsum([0, *(len(b) for b in problem.blocks)])
        with (folder / "v.csv").open("w") as file:
            file.write("i,j,v\n")
            for first, block in zip(start, problem.blocks, strict=False):
                for (i, j), value in np.ndenumerate(block):
                    file.write(f"{first + i + 1},{first + j + 1},{float(value)!r}\n")
    if "corr" in problem.extra:
        problem.extra["corr"].to_csv(folder / "corr.csv")


def run(peer: Peer, folder: Path, repeats: int) -> dict[str, Any]:
    """Seconds of each repeat, log-likelihood, components and peak memory; or why there are none."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = ["Rscript", str(SCRIPTS / peer.script), str(folder), str(repeats), peer.option]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"stopped after {LIMIT} s"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])
