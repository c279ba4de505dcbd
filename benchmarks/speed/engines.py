"""What fits the problems: mvmeta, least squares as the yardstick, and the peers in Python.

An engine prepares a problem, which is not timed, and returns a function that makes the model and
fits it, which is.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.speed.problems import Problem

Fit = Callable[[], Any]
"""Makes the model and fits it; what it returns is described outside the timed stretch."""


@dataclass(frozen=True)
class Fitted:
    """What engines are compared by; NaN and empty where one does not say.

    Attributes
    ----------
    loglik : float
        Restricted log-likelihood with +1/2 log|X'X|.
    components : tuple of float
    evaluations : int or None
        Of the likelihood, over all starts.
    """

    loglik: float = float("nan")
    components: tuple[float, ...] = ()
    evaluations: int | None = None


@dataclass(frozen=True)
class Engine:
    """A way to fit.

    Attributes
    ----------
    name : str
    largest : dict
        The largest size of each family that it is given; families it lacks are left out.
    prepare : callable
        Problem -> function to time.
    describe : callable
        What that function returned -> Fitted.
    needs : str or None
        Module it needs.
    """

    name: str
    largest: Mapping[str, int]
    prepare: Callable[[Problem], Fit]
    describe: Callable[[Any], Fitted]
    needs: str | None = None


ALL = 10**9
"""No limit."""


def _nothing(_: Any) -> Fitted:
    return Fitted()


def _of_pimeta(result: Any) -> Fitted:
    return Fitted(components=tuple(np.ravel(result.sigma2).tolist()))


def _ours(result: Any) -> Fitted:
    theta = tuple(float(x) for x in result.vcomp["estimate"])
    return Fitted(float(result.llf), theta, int(result.certificate["evaluations"]))


def random_terms(problem: Problem) -> dict[str, Any]:
    """`groups=` and `random=` of a family, by column names."""
    from mvmeta import Random

    return {
        "small": {"groups": ["study", "id"]},
        "nested": {"groups": ["study", "id"]},
        "un": {"random": Random("outcome | study", "UN")},
        "crossed": {"random": ["1 | study", "1 | species", "1 | id"]},
        "phylogeny": {
            "random": [
                Random("1 | phylo", corr=problem.extra.get("corr")),
                *("1 | species", "1 | study", "1 | id"),
            ]
        },
        "spatial": {"random": Random("east + north | all", "SPEXP")},
    }[problem.family]


def _variance(problem: Problem, alone: Any) -> Any:
    """V as a sparse matrix where it has covariances."""
    return alone if problem.blocks is None else sparse.block_diag(problem.blocks, format="csr")


def _mvmeta_arrays(problem: Problem) -> Fit:
    from mvmeta import MetaMixedLM

    y, x = problem.frame["y"].to_numpy(), problem.x
    variance = _variance(problem, problem.frame["v"].to_numpy())
    terms = random_terms(problem)
    if set(terms) == {"groups"}:
        groups = problem.frame[terms["groups"]].to_numpy()
        return lambda: MetaMixedLM(y, x, variance, groups=groups).fit()
    frame = problem.frame
    return lambda: MetaMixedLM(y, x, variance, data=frame, **terms).fit()


def _mvmeta_formula(problem: Problem) -> Fit:
    from mvmeta import MetaMixedLM

    terms, variance = random_terms(problem), _variance(problem, "v")
    return lambda: MetaMixedLM.from_formula(
        problem.formula, problem.frame, variance=variance, **terms
    ).fit()


def _wls_arrays(problem: Problem) -> Fit:
    import statsmodels.api as sm

    y, x, weights = problem.frame["y"].to_numpy(), problem.x, 1.0 / problem.frame["v"].to_numpy()

    return lambda: sm.WLS(y, x, weights=weights).fit()


def _wls_formula(problem: Problem) -> Fit:
    import statsmodels.formula.api as smf

    weights = 1.0 / problem.frame["v"]

    return lambda: smf.wls(problem.formula, problem.frame, weights=weights).fit()


def _mixedlm(problem: Problem) -> Fit:
    """Statsmodels' own mixed model: one random intercept, residual variances equal and unknown."""
    import statsmodels.api as sm

    y, x, study = problem.frame["y"].to_numpy(), problem.x, problem.frame["study"].to_numpy()

    def fit() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return sm.MixedLM(y, x, groups=study).fit()

    return fit


def _pimeta(problem: Problem) -> Fit:
    import pimeta

    frame, mods = problem.frame, problem.x[:, 1:]
    formula = {
        "small": "~ 1 | study/id",
        "nested": "~ 1 | study/id",
        "crossed": ["~ 1 | study", "~ 1 | species", "~ 1 | id"],
    }[problem.family]
    data = {c: frame[c].to_numpy() for c in ("study", "species", "id") if c in frame}
    y, v = frame["y"].to_numpy(), frame["v"].to_numpy()

    def fit() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pimeta.rma_mv(y, v, mods=mods, data=data, random=formula)

    return fit


EVERY = dict.fromkeys(("small", "nested", "un", "crossed", "phylogeny", "spatial"), ALL)

ENGINES = (
    Engine("mvmeta", EVERY, _mvmeta_arrays, _ours),
    Engine("mvmeta, formula", EVERY, _mvmeta_formula, _ours),
    Engine("WLS", EVERY, _wls_arrays, _nothing, "statsmodels"),
    Engine("WLS, formula", EVERY, _wls_formula, _nothing, "statsmodels"),
    Engine("MixedLM (one level)", {"nested": 10_000}, _mixedlm, _nothing, "statsmodels"),
    Engine(
        "pimeta", {"small": 50, "nested": 1_000, "crossed": 1_000}, _pimeta, _of_pimeta, "pimeta"
    ),
)
"""Engines that run in one Python process, in turn."""
