"""How often `diagnose()` raises each finding, and how often the interval of rho holds the truth.

Data sets are drawn from worlds in which it is known what is wrong, mostly nothing:

    python -m benchmarks.simulations.diagnoses --draws 400 --out benchmarks/results/diagnoses.json
    python -m benchmarks.simulations.diagnoses --render --out benchmarks/results/diagnoses.json
"""

import argparse
import json
import platform
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mvmeta import MetaMixedLM, MetaMixedLMResults, __version__
from mvmeta.errors import MvmetaWarning

STUDIES = 30
RHO = 0.5
"""Correlation of sampling errors in the last world."""


@dataclass(frozen=True)
class World:
    """What is true, and what is fitted.

    Attributes
    ----------
    what : str
        In words.
    wrong : str
        Code that is right here; empty where nothing is wrong.
    between, within : float
        Standard deviations of true effects between studies and within.
    context : float
        Effect of the moderator between studies less that within.
    wild : float
        What one study lies off, in units of the response.
    groups : str or None
        Random effects that are fitted.
    """

    what: str
    wrong: str = ""
    between: float = 0.3
    within: float = 0.2
    context: float = 0.0
    wild: float = 0.0
    groups: str | None = "study/row"


WORLDS = {
    "sound": World("studies and rows differ, and the model lets them"),
    "alike": World(
        "rows of a study are alike; random effect of the study", "", 0.3, 0.0, groups="study"
    ),
    "equal": World("all effects are equal; no random effects", "", 0.0, 0.0, groups=None),
    "rows differ": World(
        "rows differ; random effect of the study only", "no-estimate-level-term", groups="study"
    ),
    "all differ": World(
        "studies and rows differ; no random effects", "no-random-effects", groups=None
    ),
    "context": World(
        "the moderator does 0.3 more between studies", "contextual-effect", context=0.3
    ),
    "wild": World("one study lies 2 off", "outlying-study", wild=2.0),
}


def draw(world: World, rng: np.random.Generator) -> pd.DataFrame:
    """1 to 6 rows in each of 30 studies, a moderator that varies within and between."""
    study = np.repeat(np.arange(STUDIES), rng.integers(1, 7, STUDIES))
    n = len(study)
    v = np.exp(rng.uniform(np.log(0.02), np.log(0.2), n))
    mean = rng.standard_normal(STUDIES)
    x = mean[study] + rng.standard_normal(n)
    own = np.bincount(study, weights=x) / np.bincount(study)
    y = 0.2 * x + world.context * own[study]
    y += world.between * rng.standard_normal(STUDIES)[study]
    y += world.within * rng.standard_normal(n) + np.sqrt(v) * rng.standard_normal(n)
    y += world.wild * (study == 0)
    return pd.DataFrame({"study": study, "row": np.arange(n), "x": x, "y": y, "v": v})


def fit(data: pd.DataFrame, groups: str | None) -> MetaMixedLMResults:
    """With tests that count studies, where there are any random effects."""
    model = MetaMixedLM.from_formula("y ~ x", data, variance="v", groups=groups)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MvmetaWarning)
        return model.fit(df="satterthwaite") if groups else model.fit()


def rates(world: World, draws: int, seed: int) -> dict[str, float]:
    """Share of the data sets in which each code is raised."""
    found: Counter[str] = Counter()
    for i in range(draws):
        data = draw(world, np.random.default_rng([seed, i]))
        found.update(set(fit(data, world.groups).diagnose().codes))
    return {code: count / draws for code, count in sorted(found.items())}


def coverage(draws: int, seed: int) -> dict[str, float]:
    """Of the 95% profile interval of the correlation within studies."""
    inside, estimates, width = 0, [], []
    world = WORLDS["alike"]
    for i in range(draws):
        rng = np.random.default_rng([seed, i])
        data = draw(world, rng)
        shared = rng.standard_normal(STUDIES)[data["study"]]
        error = np.sqrt(RHO) * shared + np.sqrt(1 - RHO) * rng.standard_normal(len(data))
        data["y"] = world.between * rng.standard_normal(STUDIES)[data["study"]]
        data["y"] += np.sqrt(data["v"]) * error
        found = fit(data, "study").estimate_rho()
        inside += found.lower <= RHO <= found.upper
        estimates.append(found.estimate)
        width.append(found.upper - found.lower)
    return {
        "rho": RHO,
        "covered": inside / draws,
        "mean_estimate": float(np.mean(estimates)),
        "median_width": float(np.median(width)),
    }


def run(draws: int, seed: int) -> dict[str, object]:
    """All worlds."""
    start = time.process_time()
    worlds = {
        name: {"what": w.what, "wrong": w.wrong, "rates": rates(w, draws, seed)}
        for name, w in WORLDS.items()
    }
    rho = coverage(draws, seed)
    return {
        "version": __version__,
        "python": platform.python_version(),
        "draws": draws,
        "seed": seed,
        "studies": STUDIES,
        "worlds": worlds,
        "rho": rho,
        "cpu_seconds": round(time.process_time() - start, 1),
    }


def render(results: dict) -> str:
    """The tables."""
    codes = sorted({c for w in results["worlds"].values() for c in w["rates"]})
    draws = results["draws"]
    lines = [
        "# Findings of `diagnose()` in data of known origin",
        "",
        f"Percent of {draws} data sets of {results['studies']} studies in which a finding was "
        "raised; made by `benchmarks/simulations/diagnoses.py`. Bold is what is wrong there. "
        "Findings that rest on a test are raised for P < 0.05, so about 5 % of sound data sets "
        "have one by chance.",
        "",
        "| world | " + " | ".join(f"`{c}`" for c in codes) + " |",
        "| --- |" + " --- |" * len(codes),
    ]
    for world in results["worlds"].values():
        cells = [_cell(world["rates"].get(c, 0.0), c == world["wrong"]) for c in codes]
        lines.append(f"| {world['what']} | " + " | ".join(cells) + " |")
    rho = results["rho"]
    lines += [
        "",
        f"`estimate_rho()`, errors correlated at {rho['rho']} within studies: the 95 % interval "
        f"holds the truth in {100 * rho['covered']:.1f} % of the data sets, the mean estimate is "
        f"{rho['mean_estimate']:.2f}, the median width {rho['median_width']:.2f}.",
        "",
    ]
    return "\n".join(lines)


def _cell(rate: float, wrong: bool) -> str:
    text = f"{100 * rate:.0f}" if rate else ""
    return f"**{text or 0}**" if wrong else text


def main() -> None:
    """Run or render."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--render", action="store_true")
    args = parser.parse_args()
    if not args.render:
        args.out.write_text(json.dumps(run(args.draws, args.seed), indent=1) + "\n", "utf-8")
    results = json.loads(args.out.read_text(encoding="utf-8"))
    args.out.with_suffix(".md").write_text(render(results), encoding="utf-8")


if __name__ == "__main__":
    main()
