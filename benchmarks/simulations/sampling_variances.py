"""Sampling variances by simulation: ``python -m benchmarks.simulations.sampling_variances``.

Draws studies of one kind, computes their effect sizes with `escalc`, and divides the mean of the
sampling variances by the variance of the estimates.  1 is right; large-sample formulas come near it
as studies grow.  It covers the measures and kinds of variance that the installed metafor (3.8-1)
lacks, and SMD as a yardstick.  Writes ``benchmarks/results/sampling_variances.md``.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from mvmeta import escalc

RESULTS = Path(__file__).parents[1] / "results" / "sampling_variances.md"
SIZES = (20, 100)
"""Of the smaller group, or of the study."""

Inputs = dict[str, np.ndarray]


def two_groups(rng: np.random.Generator, n: int, studies: int) -> Inputs:
    """Means and standard deviations of normal groups of n and 1.5 n, unequal variances."""
    n1, n2 = n, n * 3 // 2
    return {
        "m1i": rng.normal(10, 2 / np.sqrt(n1), studies),
        "m2i": rng.normal(8.5, 1.5 / np.sqrt(n2), studies),
        "sd1i": 2 * np.sqrt(rng.chisquare(n1 - 1, studies) / (n1 - 1)),
        "sd2i": 1.5 * np.sqrt(rng.chisquare(n2 - 1, studies) / (n2 - 1)),
        "n1i": np.full(studies, n1),
        "n2i": np.full(studies, n2),
    }


def equal_groups(rng: np.random.Generator, n: int, studies: int) -> Inputs:
    """The same with equal variances."""
    drawn = two_groups(rng, n, studies)
    return drawn | {
        "m1i": 8.5 + (drawn["m1i"] - 10) + 1.2,
        "m2i": 8.5 + (drawn["m2i"] - 8.5) * 2 / 1.5,
        "sd2i": drawn["sd2i"] * 2 / 1.5,
    }


def null_groups(rng: np.random.Generator, n: int, studies: int) -> Inputs:
    """Equal groups."""
    drawn = equal_groups(rng, n, studies)
    return drawn | {"m1i": drawn["m1i"] - 1.2}


def areas(rng: np.random.Generator, n: int, studies: int, shift: float = 0.8) -> Inputs:
    """Mann-Whitney statistics of normal groups."""
    n1, n2 = n, n * 3 // 2
    values = rng.normal(size=(studies, n1 + n2))
    values[:, :n1] += shift
    u = rankdata(values, axis=1)[:, :n1].sum(axis=1) - n1 * (n1 + 1) / 2
    return {"ai": u / (n1 * n2), "n1i": np.full(studies, n1), "n2i": np.full(studies, n2)}


def null_areas(rng: np.random.Generator, n: int, studies: int) -> Inputs:
    """Mann-Whitney statistics of equal groups."""
    return areas(rng, n, studies, shift=0.0)


def tied_areas(rng: np.random.Generator, n: int, studies: int) -> Inputs:
    """Mann-Whitney statistics of ratings from 0 to 4, with the share of ties."""
    n1, n2 = n, n * 3 // 2
    values = rng.normal(size=(studies, n1 + n2))
    values[:, :n1] += 0.8
    ratings = np.clip(np.floor(values + 2), 0, 4)
    u = rankdata(ratings, axis=1)[:, :n1].sum(axis=1) - n1 * (n1 + 1) / 2
    ties = sum(
        (ratings[:, :n1] == k).mean(axis=1) * (ratings[:, n1:] == k).mean(axis=1) for k in range(5)
    )
    return {
        "ai": u / (n1 * n2),
        "mi": ties,
        "n1i": np.full(studies, n1),
        "n2i": np.full(studies, n2),
    }


def pairs(
    rng: np.random.Generator, n: int, studies: int, sd: tuple[float, float] = (2.0, 1.5)
) -> Inputs:
    """Means, standard deviations and correlation of n pairs of normal measurements."""
    r = 0.6
    values = rng.normal(size=(studies, n, 2))
    first = 10 + sd[0] * values[..., 0]
    second = 9 + sd[1] * (r * values[..., 0] + np.sqrt(1 - r**2) * values[..., 1])
    s1, s2 = first.std(axis=1, ddof=1), second.std(axis=1, ddof=1)
    m1, m2 = first.mean(axis=1), second.mean(axis=1)
    product = ((first - m1[:, None]) * (second - m2[:, None])).sum(axis=1) / (n - 1)
    return {
        "m1i": m1,
        "m2i": m2,
        "sd1i": s1,
        "sd2i": s2,
        "ri": product / (s1 * s2),
        "ni": np.full(studies, n),
    }


def equal_pairs(rng: np.random.Generator, n: int, studies: int) -> Inputs:
    """The same with equal variances."""
    return pairs(rng, n, studies, sd=(2.0, 2.0))


def fixed_regressions(rng: np.random.Generator, n: int, studies: int) -> Inputs:
    """R2 of 0.3 in regressions on three fixed predictors."""
    m = 3
    above = rng.noncentral_chisquare(m, n * 0.3 / 0.7, studies)
    below = rng.chisquare(n - m - 1, studies)
    return {
        "r2i": above / (above + below),
        "mi": np.full(studies, m),
        "ni": np.full(studies, n),
    }


def random_regressions(rng: np.random.Generator, n: int, studies: int) -> Inputs:
    """R2 of 0.3 in regressions on three normal predictors: n - 1 has become a chi-square."""
    m = 3
    above = rng.noncentral_chisquare(m, rng.chisquare(n - 1, studies) * 0.3 / 0.7)
    below = rng.chisquare(n - m - 1, studies)
    return {
        "r2i": above / (above + below),
        "mi": np.full(studies, m),
        "ni": np.full(studies, n),
    }


def proportions(rng: np.random.Generator, n: int, studies: int) -> Inputs:
    """Events at a risk of 0.3."""
    return {"xi": rng.binomial(n, 0.3, studies), "ni": np.full(studies, n)}


def dichotomized(rng: np.random.Generator, n: int, studies: int) -> Inputs:
    """Bivariate normal samples (r = 0.4), one variable cut at 0.3; groups of 3 or more."""
    total = n * 5 // 2
    values = rng.normal(size=(studies, total, 2))
    other = 0.4 * values[..., 0] + np.sqrt(1 - 0.4**2) * values[..., 1]
    first = values[..., 0] > 0.3
    n1 = first.sum(axis=1)
    keep = (n1 > 2) & (n1 < total - 2)
    other, first, n1 = other[keep], first[keep], n1[keep]

    def mean_and_sd(group: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = (other * group).sum(axis=1) / size
        squares = (((other - mean[:, None]) * group) ** 2).sum(axis=1)
        return mean, np.sqrt(squares / (size - 1))

    m1, s1 = mean_and_sd(first, n1)
    m2, s2 = mean_and_sd(~first, total - n1)
    return {"m1i": m1, "m2i": m2, "sd1i": s1, "sd2i": s2, "n1i": n1, "n2i": total - n1}


def correlations(rng: np.random.Generator, n: int, studies: int) -> Inputs:
    """Correlations of independent variables."""
    t = rng.standard_t(n - 2, studies)
    return {"ri": t / np.sqrt(t**2 + n - 2), "ni": np.full(studies, n)}


CASES: tuple[tuple[str, str, Callable[..., Inputs]], ...] = (
    ("SMD", "LS", equal_groups),
    ("SMD", "H0", null_groups),
    ("SMD1", "H0", null_groups),
    ("COR", "H0", correlations),
    ("ROM", "LS", two_groups),
    ("ROM", "LS2", two_groups),
    ("VR", "LS", two_groups),
    ("VR", "LS2", two_groups),
    ("CVR", "LS", two_groups),
    ("CVR", "LS2", two_groups),
    ("CLES", "LS", areas),
    ("CLES", "LS2", areas),
    ("CLES", "H0", null_areas),
    ("CLES", "LS2", tied_areas),
    ("CLESN", "LS", two_groups),
    ("CLESN", "HO", equal_groups),
    ("CLESCN", "LS", pairs),
    ("SMCRP", "LS", equal_pairs),
    ("SMCRP", "LS2", equal_pairs),
    ("SMCRPH", "LS", pairs),
    ("R2", "LS", random_regressions),
    ("R2", "LS2", random_regressions),
    ("ZR2", "LS", random_regressions),
    ("R2F", "LS", fixed_regressions),
    ("ZR2F", "LS", fixed_regressions),
    ("PRZ", "LS", proportions),
    ("RBIS", "LS", dichotomized),
    ("ZBIS", "LS", dichotomized),
)


def ratio(inputs: Inputs, measure: str, vtype: str) -> tuple[float, float, float, float]:
    """Mean estimate, its variance, mean of v over that, and the simulation error of the ratio."""
    found = escalc(measure, vtype=vtype, cutoff=None, **inputs).dropna()
    y, v = found["yi"].to_numpy(), found["vi"].to_numpy()
    spread = (y - y.mean()) ** 2
    error = spread.std() / spread.mean() / np.sqrt(len(y))
    return y.mean(), spread.mean(), v.mean() / spread.mean(), v.mean() / spread.mean() * error


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    lines = [
        f"# Sampling variances, {options.studies} simulated studies of each kind, "
        f"seed {options.seed}\n\n",
        "Mean of the computed variances over the variance of the estimates, with its simulation "
        "error.\n\n",
        "| measure | vtype | studies | " + " | ".join(f"n = {n}" for n in SIZES) + " |\n",
        "|---|---|---|" + "---|" * len(SIZES) + "\n",
    ]
    for measure, vtype, draw in CASES:
        cells = []
        for n in SIZES:
            rng = np.random.default_rng(options.seed)
            *_, quotient, error = ratio(draw(rng, n, options.studies), measure, vtype)
            cells.append(f"{quotient:.3f} ± {error:.3f}")
        kind = draw.__name__.replace("_", " ")
        lines.append(f"| {measure} | {vtype} | {kind} | {' | '.join(cells)} |\n")
        print(lines[-1], end="")
    options.out.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
