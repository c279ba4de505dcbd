"""The same designs through the public API, from a data frame."""

import warnings

import numpy as np
import pandas as pd

from benchmarks.simulations.designs import Design
from mvmeta import MetaMixedLM, MetaMixedLMResults, Random

INTERCEPT = "1"
FACTORS = ("ID", "DIAG", "CS", "HCS", "UN", "AR", "HAR", "TOEP", "HTOEP")
SLOPES = ("GEN", "GDIAG")


def expressible(design: Design) -> bool:
    """Whether `fit_public` can write the design."""
    return all(t.shape.code in (INTERCEPT, *FACTORS, *SLOPES) for t in design.terms)


def fit_public(design: Design) -> MetaMixedLMResults:
    """Fit the design with data frame, term formulas and matrix V."""
    data, random = {}, []
    for j, term in enumerate(design.terms):
        data[f"g{j}"] = [f"s{i:04d}" for i in term.level]
        if term.shape.code == INTERCEPT:
            random.append(Random(f"1 | g{j}"))
            continue
        if term.z is None:
            data[f"a{j}"] = [f"a{i:03d}" for i in term.inner]
            left = f"a{j}"
        else:
            slopes = [f"z{j}{i}" for i in range(1, term.shape.q)]
            data |= {name: term.z[:, i + 1] for i, name in enumerate(slopes)}
            left = " + ".join(["1", *slopes])
        random.append(Random(f"{left} | g{j}", struct=term.shape.code))
    model = MetaMixedLM(design.y, design.x, design.v, random=random, data=pd.DataFrame(data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(reml=design.reml)


def evaluations(result: MetaMixedLMResults) -> int:
    """Evaluations of the likelihood over all starts."""
    return int(result.certificate["evaluations"])


def components(result: MetaMixedLMResults) -> np.ndarray:
    """Natural components in reporting order."""
    return result.vcomp["estimate"].to_numpy(dtype=float)
