"""Time of small-sample and robust inference: ``python -m benchmarks.small_sample_tests``.

Writes ``benchmarks/results/small_sample_tests.json``. Times are CPU time of the process, medians of
three runs; BLAS is to be held to one thread. ``fits`` is the time in units of the fit of the same
model.
"""

import json
import platform
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.predictions import seconds
from mvmeta import MetaMixedLM, Random, __version__
from mvmeta.inference.coefficients.kenward_roger import kenward_roger
from mvmeta.inference.coefficients.satterthwaite import satterthwaite_df
from mvmeta.inference.coefficients.wald import Basis, coefficients
from mvmeta.inference.robust.sandwich import robust

RESULTS = Path(__file__).parent / "results" / "small_sample_tests.json"


def by_kenward_roger(fit):
    """Adjusted covariance and every coefficient's df."""
    found = kenward_roger(fit)
    return coefficients(Basis(fit.beta, found.cov, found.df))


MODEL_BASED = {
    "Satterthwaite, all coefficients": lambda r: satterthwaite_df(r.fit_).coefficients(),
    "Kenward-Roger, all coefficients": lambda r: by_kenward_roger(r.fit_),
}

CLUSTERED = {
    f"{kind}, Satterthwaite, all coefficients": (
        lambda r, kind=kind: robust(r.fit_, r.fit_.problem.cluster, kind).df.coefficients()
    )
    for kind in ("CR0", "CR2", "CR3")
} | {
    "CR2 with the HTZ test of all moderators": lambda r: r.get_robustcov_results(
        "CR2"
    ).moderators_test()
}


def three_level(studies=25_000):
    """About 100,000 effects in studies of 2 to 6."""
    rng = np.random.default_rng(1)
    study = np.repeat(np.arange(studies), rng.integers(2, 7, studies))
    n = len(study)
    data = pd.DataFrame(
        {
            "study": study,
            "es": np.arange(n),
            "x": rng.normal(size=n),
            "z": rng.normal(size=studies)[study],
            "kind": rng.choice(list("abcd"), n),
            "vi": rng.uniform(0.05, 0.3, n),
        }
    )
    data["yi"] = rng.normal(0, 0.3, studies)[study]
    data["yi"] += rng.normal(size=n) * np.sqrt(data["vi"] + 0.04)
    model = MetaMixedLM.from_formula("yi ~ x + z + kind", data, variance="vi", groups="study/es")
    return model, MODEL_BASED | CLUSTERED


def unstructured(studies=25_000, outcomes=4):
    """Four outcomes in each study, correlated errors."""
    rng = np.random.default_rng(2)
    study, outcome = np.repeat(np.arange(studies), outcomes), np.tile(np.arange(outcomes), studies)
    n = len(study)
    effect = rng.multivariate_normal(np.zeros(outcomes), 0.2 * np.eye(outcomes) + 0.2, studies)
    data = pd.DataFrame({"study": study, "outcome": [f"o{i}" for i in outcome]})
    data["z"] = rng.normal(size=studies)[study]
    vi = rng.uniform(0.05, 0.3, n)
    data["yi"] = effect.ravel() + rng.normal(size=n) * np.sqrt(vi)
    random = Random("outcome | study", struct="UN")
    model = MetaMixedLM.from_formula("yi ~ outcome + z", data, variance=vi, random=random)
    return model, MODEL_BASED | CLUSTERED


def crossed(rows=2_000, studies=200, species=80):
    """Studies crossed with species: one cluster of all rows."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame(
        {
            "study": rng.integers(0, studies, rows),
            "species": rng.integers(0, species, rows),
            "x": rng.normal(size=rows),
            "vi": rng.uniform(0.05, 0.3, rows),
        }
    )
    data["yi"] = rng.normal(0, 0.3, studies)[data["study"]]
    data["yi"] += rng.normal(0, 0.3, species)[data["species"]]
    data["yi"] += rng.normal(size=rows) * np.sqrt(data["vi"])
    model = MetaMixedLM.from_formula(
        "yi ~ x", data, variance="vi", random=["1 | study", "1 | species"]
    )
    both = ["study", "species"]
    tasks = {
        "CR1 of both groupings, Satterthwaite": lambda r: r.get_robustcov_results("CR1", both),
        "CR3 of studies, Satterthwaite": lambda r: r.get_robustcov_results("CR3", "study"),
        "CR1 of both groupings, df by clusters": lambda r: r.get_robustcov_results(
            "CR1", both, df="cluster"
        ),
    }
    return model, MODEL_BASED | tasks


def measure(problem):
    """One record per task of a problem."""
    model, tasks = problem()
    result = model.fit()
    fit = seconds(model.fit)
    records = [{"model": problem.__name__, "rows": result.nobs, "task": "fit", "seconds": fit}]
    for name, task in tasks.items():
        taken = seconds(lambda task=task: task(result))
        records.append(
            {
                "model": problem.__name__,
                "rows": result.nobs,
                "task": name,
                "seconds": round(taken, 3),
                "fits": round(taken / fit, 1),
            }
        )
    records[0]["seconds"] = round(fit, 3)
    return records


def main():
    """Measure everything and write the JSON."""
    runs = [
        record for problem in (three_level, unstructured, crossed) for record in measure(problem)
    ]
    versions = {
        "mvmeta": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    RESULTS.write_text(json.dumps({"versions": versions, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
