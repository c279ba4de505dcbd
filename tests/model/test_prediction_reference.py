"""Predictions for known and for new levels against metafor, gstat and lme4."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM, Random
from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.terms import RandomTerm
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.prediction.blup import random_effects
from mvmeta.marginal.select import build_backend
from mvmeta.structures import Identity, Unstructured

REFERENCE = Path(__file__).parents[1] / "reference" / "predictions.json"

FAR = 1e-6
"""The row that stands for a new level in metafor has a variance of 1e10, not infinity."""

KRIGING = 1e-8
"""gstat at components given in full."""

CONDITIONAL = 1e-6
"""lme4's conditional variances at its own components."""


@cache
def reference():
    return json.loads(REFERENCE.read_text(encoding="utf-8"))


def tree():
    known = reference()["metafor"]["R"]
    return pd.DataFrame(known["matrix"], index=known["levels"], columns=known["levels"])


SPECIES = "species (corr)"
CASES = {
    "cs": (Random("outcome | study", fixed={"tau2": 0.3, "rho": 0.5}), "outcome | study"),
    "ar": (Random("time | study", "AR", fixed={"tau2": 0.3, "rho": -0.6}), "time | study"),
    "car": (Random("time | study", "CAR", fixed={"tau2": 0.3, "rho": 0.6}), "time | study"),
    "species": (
        lambda: [
            Random("1 | study", fixed={"sigma2": 0.1}),
            Random("1 | species", corr=tree(), fixed={"sigma2": 0.3}),
        ],
        SPECIES,
    ),
    "cov": (
        lambda: Random("1 | species", corr=tree(), corr_scale="none", fixed={"sigma2": 0.02}),
        SPECIES,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_new_levels_are_those_of_metafor(name):
    random, given = CASES[name]
    here = reference()["metafor"]
    model = MetaMixedLM.from_formula(
        "yi ~ x - 1",
        pd.DataFrame(here["data"]),
        variance="vi",
        random=random() if callable(random) else random,
    )
    want = here["far"][name]
    new = pd.DataFrame(want["new"]).assign(x=0.0)
    corr = {SPECIES: tree()} if given == SPECIES else None
    got = model.fit().get_prediction(new, given=given, corr=corr)
    size = np.abs(want["estimate"]).max()
    np.testing.assert_allclose(got.predicted_mean, want["estimate"], rtol=FAR, atol=FAR * size)
    np.testing.assert_allclose(got.se_mean, want["se"], rtol=FAR)


@pytest.mark.parametrize("struct", ["SPEXP", "SPGAU", "SPSPH"])
def test_universal_kriging_is_that_of_gstat(struct):
    here = reference()["gstat"]
    field = Random("px + py | const", struct, fixed={"tau2": here["tau2"], "rho": here["rho"]})
    model = MetaMixedLM.from_formula(
        "yi ~ px", pd.DataFrame(here["sites"]), variance=here["v"], random=field
    )
    got = model.fit().get_prediction(pd.DataFrame(here["targets"]), given=True)
    np.testing.assert_allclose(got.predicted_mean, here[struct]["estimate"], rtol=KRIGING)
    np.testing.assert_allclose(got.se_mean, here[struct]["se"], rtol=KRIGING)


def by_group(column):
    labels, level = np.unique(column, return_inverse=True)
    return level.astype(np.intp), tuple(labels.tolist())


@pytest.mark.parametrize("name", ["slopes", "crossed"])
def test_random_effects_are_those_of_lme4(name):
    """Without fixed effects, whose uncertainty lme4's conditional variances leave out."""
    here = reference()["lme4"]
    want, data = here[name], pd.DataFrame(here["data"])
    level, labels = by_group(data["g"])
    g = np.array(want["components"]["g"])
    if name == "slopes":
        z = np.column_stack([np.ones(len(data)), data["t"]])
        sd = np.sqrt(np.diag(g))
        theta = np.array([*np.diag(g), g[1, 0] / sd.prod()])
        terms = (RandomTerm("g", level, labels, Unstructured(("1", "t")), z=z),)
    else:
        other, names = by_group(data["h"])
        theta = np.array([g[0, 0], want["components"]["h"][0][0]])
        terms = (
            RandomTerm("g", level, labels, Identity(kind="sigma2")),
            RandomTerm("h", other, names, Identity(kind="sigma2")),
        )
    v = SamplingCovariance.from_variances(np.full(len(data), want["residual"]))
    problem = MetaProblem(data["y"].to_numpy(), np.empty((len(data), 0)), v, terms)
    pieces = zip(terms, problem.split(theta), strict=True)
    factor = build_backend(problem, None).factorize([t.structure.matrix(x) for t, x in pieces])
    none = np.zeros(len(theta), dtype=bool)
    fit = Fit(problem, True, theta, none, factor, np.empty(0), np.empty((0, 0)), {})
    for term, got in zip(terms, random_effects(fit), strict=True):
        effects = np.array(want["effects"][term.name])
        size = np.abs(effects).max()
        np.testing.assert_allclose(got.effects, effects, rtol=0, atol=CONDITIONAL * size)
        np.testing.assert_allclose(got.cov, want["variances"][term.name], rtol=CONDITIONAL)


def test_new_rows_of_known_groups_are_those_of_lme4():
    here = reference()["lme4"]
    known, data = here["known"], pd.DataFrame(here["data"])
    g = np.array(known["components"])
    rho = g[1, 0] / np.sqrt(g[0, 0] * g[1, 1])
    slopes = Random("1 + t | g", "GEN", fixed={"tau2": list(np.diag(g)), "rho": rho})
    model = MetaMixedLM.from_formula("y ~ t", data, variance=known["residual"], random=slopes)
    got = model.fit().get_prediction(pd.DataFrame(known["new"]), given=True)
    np.testing.assert_allclose(got.predicted_mean, known["mean"], rtol=CONDITIONAL)
