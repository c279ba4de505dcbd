"""Time and memory of predictions and random effects: ``python -m benchmarks.predictions``.

Writes ``benchmarks/results/predictions.json``. Times are CPU time of the process, medians of three
runs; BLAS is to be held to one thread. ``fits`` is the time in units of the fit of the same model.
"""

import json
import platform
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd

from mvmeta import MetaMixedLM, Random, __version__

RUNS = 3
RESULTS = Path(__file__).parent / "results" / "predictions.json"


def nested(rows=100_000, studies=10_000):
    """Three levels; every row is asked for again."""
    rng = np.random.default_rng(1)
    study = np.sort(rng.integers(0, studies, rows))
    data = pd.DataFrame(
        {
            "study": study,
            "es": np.arange(rows),
            "x": rng.normal(size=rows).round(2),
            "kind": rng.choice(list("abc"), rows),
            "vi": rng.uniform(0.05, 0.3, rows),
        }
    )
    data["yi"] = rng.normal(size=rows) * np.sqrt(data["vi"] + 0.1)
    data["yi"] += rng.normal(0, 0.3, studies)[study]
    model = MetaMixedLM.from_formula("yi ~ x + kind", data, variance="vi", groups="study/es")
    new = data.drop(columns=["yi", "vi"])
    tasks = {
        "a new study, each row": lambda r: r.get_prediction(new).summary_frame(),
        "a new effect of the known study": lambda r: r.get_prediction(new, given="study").se_obs,
        "the known effect": lambda r: r.get_prediction(new, given=True).se_obs,
        "ranef()": lambda r: r.ranef(diagnostic=True),
        "blup()": lambda r: r.blup(),
        "blup(terms='study')": lambda r: r.blup(terms="study"),
        "random_effects_cov": lambda r: r.random_effects_cov,
        "marginal means, Tukey": lambda r: r.marginal_means("kind").pairwise("tukey").conf_int(),
    }
    return model, tasks


def phylogeny(rows=10_000, studies=800, species=500):
    """Crossed with 500 species on a tree; 50 further species."""
    rng = np.random.default_rng(2)
    a = rng.normal(size=(species + 50, 200)) + 0.5
    names = [f"sp{i}" for i in range(len(a))]
    tree = pd.DataFrame(a @ a.T, index=names, columns=names)
    data = pd.DataFrame(
        {
            "study": rng.integers(0, studies, rows),
            "species": rng.choice(names[:species], rows),
            "vi": rng.uniform(0.05, 0.3, rows),
            "yi": rng.normal(size=rows),
        }
    )
    fixed = {"fixed": {"sigma2": 0.1}}
    random = [Random("1 | study", **fixed), Random("1 | species", corr=tree, **fixed)]
    model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", random=random)
    new = data.assign(species=rng.choice(names, rows))
    term = "species (corr)"
    tasks = {
        "the known species": lambda r: r.get_prediction(data, given=term).se_obs,
        "50 new species": lambda r: r.get_prediction(new, given=term, corr=tree).se_obs,
        "species and study, all in one cluster": lambda r: (
            r.get_prediction(data, given=True).se_obs
        ),
        "ranef()": lambda r: r.ranef(diagnostic=True),
    }
    return model, tasks


def sites(rows=3_000, known=400, new=100_000):
    """Kriging of a grid from 400 sites."""
    rng = np.random.default_rng(3)
    points = rng.uniform(0, 10, (known, 2)).round(3)
    at = rng.integers(0, known, rows)
    data = pd.DataFrame({"px": points[at, 0], "py": points[at, 1], "yi": rng.normal(size=rows)})
    field = Random("px + py | const", "SPEXP", fixed={"tau2": 0.5, "rho": 1.0})
    model = MetaMixedLM.from_formula("yi ~ 1", data, variance=0.2, random=field)
    grid = pd.DataFrame(rng.uniform(0, 10, (new, 2)), columns=["px", "py"])
    return model, {"100,000 new sites": lambda r: r.get_prediction(grid, given=True).se_obs}


def seconds(work):
    """Median CPU time of `work`."""
    taken = []
    for _ in range(RUNS):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return float(np.median(taken))


def measure(problem):
    """One record per task of a problem."""
    model, tasks = problem()
    model.fit()
    fit, result = seconds(model.fit), model.fit()
    out = []
    for name, task in tasks.items():
        taken = seconds(lambda task=task: task(result))
        tracemalloc.start()
        task(result)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        out.append(
            {
                "model": problem.__name__,
                "rows": result.nobs,
                "task": name,
                "seconds": round(taken, 3),
                "fits": round(taken / fit, 1),
                "peak_mib": round(peak / 2**20),
            }
        )
        print(out[-1], flush=True)
    return out


def main():
    """Measure everything and write the results."""
    records = [r for problem in (nested, phylogeny, sites) for r in measure(problem)]
    about = {"mvmeta": __version__, "numpy": np.__version__, "python": platform.python_version()}
    RESULTS.write_text(json.dumps({"versions": about, "runs": records}, indent=1) + "\n")


if __name__ == "__main__":
    main()
