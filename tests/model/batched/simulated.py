"""Simulated data sorted by study, and batches of them that hold whole studies."""

import numpy as np
import pandas as pd

from mvmeta import vcalc

COLUMNS = ["observed", "fittedvalues", "resid", "resid_pearson", "estimate", "se"]


def effects(studies: int = 60, seed: int = 1) -> pd.DataFrame:
    """Up to six effects a study, on two outcomes, from one to three arms."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 7, studies)
    study = np.repeat(np.arange(studies), size)
    n = len(study)
    within = np.concatenate([np.arange(s) for s in size])
    frame = pd.DataFrame(
        {
            "study": study + 100,
            "id": within,
            "row": np.arange(n),
            "lab": study // 4,
            "outcome": np.array(["pain", "sleep"], dtype=object)[within % 2],
            "arm": rng.choice(["a", "b", "c"], n).astype(object),
            "dose": rng.normal(2.0, 1.0, n),
            "year": rng.integers(1990, 2021, n),
            "v": rng.uniform(0.05, 0.3, n),
        },
        index=[f"r{i}" for i in range(n)],
    )
    noise = rng.normal(size=studies)[study] * 0.5 + rng.normal(size=n) * 0.3
    frame["y"] = 1.0 + 0.3 * frame["dose"] + noise + rng.normal(size=n) * np.sqrt(frame["v"])
    return frame


def cut(frame: pd.DataFrame, studies: int = 13):
    """A function that yields the frame in batches of some studies."""
    code = pd.factorize(frame["study"])[0] // studies

    def batches():
        for k in range(code.max() + 1):
            yield frame[code == k]

    return batches


def correlated_v(frame: pd.DataFrame):
    """V in which the errors of a study are correlated."""
    return vcalc("v", cluster="study", obs="id", rho=0.6, data=frame)
