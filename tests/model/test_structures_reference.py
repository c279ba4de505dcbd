"""Structures other programs lack, against rma.mv given their covariance written out.

The numbers are made by tests/reference/generate/structures.R: log-likelihood, coefficients and
standard errors at fixed components, and the best restricted likelihood found there by nlminb.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM, Random

REFERENCE = Path(__file__).parents[1] / "reference" / "metafor" / "structures.json"
FIXED_POINT = 1e-9
"""Relative; metafor forms and inverts M densely."""
AT_MAXIMUM = 1e-7
"""How far nlminb on a finite-difference gradient may stop below the maximum."""


@cache
def reference():
    return json.loads(REFERENCE.read_text())


def labelled(values, labels):
    return pd.DataFrame(values, index=labels, columns=labels)


def tree():
    return labelled(reference()["tree"], reference()["species"])


def proportions():
    return labelled(reference()["proportions"], ["1", "2", "3", "4"])


# (data, formula, term without fixed, kinds of components with their numbers)
MODELS = {
    "kronecker_un": (
        "phylo",
        "yi ~ trait - 1",
        lambda **k: Random("trait | species", "UN", corr=tree(), **k),
        {"tau2": 2, "rho": 1},
    ),
    "kronecker_diag": (
        "phylo",
        "yi ~ trait - 1",
        lambda **k: Random("trait | species", "DIAG", corr=tree(), **k),
        {"tau2": 2},
    ),
    "phypl": (
        "phylo",
        "zi ~ 1",
        lambda **k: Random("1 | species", "PHYPL", corr=tree(), **k),
        {"tau2": 1, "lambda": 1},
    ),
    "phyou": (
        "phylo",
        "zi ~ 1",
        lambda **k: Random("1 | species", "PHYOU", corr=tree(), **k),
        {"tau2": 1, "alpha": 1},
    ),
    "phybm": (
        "phylo",
        "zi ~ 1",
        lambda **k: Random("1 | species", "PHYBM", corr=tree(), **k),
        {"tau2": 1},
    ),
    "matern_05": (
        "phylo",
        "wi ~ 1",
        lambda **k: Random("x + y | const", "MATERN", smoothness=0.5, **k),
        {"tau2": 1, "rho": 1},
    ),
    "matern_15": (
        "phylo",
        "wi ~ 1",
        lambda **k: Random("x + y | const", "MATERN", **k),
        {"tau2": 1, "rho": 1},
    ),
    "matern_25": (
        "phylo",
        "wi ~ 1",
        lambda **k: Random("x + y | const", "MATERN", smoothness=2.5, **k),
        {"tau2": 1, "rho": 1},
    ),
    "toep": (
        "waves",
        "yi ~ 1",
        lambda **k: Random("wave | study", "TOEP", **k),
        {"tau2": 1, "rho": 3},
    ),
    "htoep": (
        "waves",
        "yi ~ 1",
        lambda **k: Random("wave | study", "HTOEP", **k),
        {"tau2": 4, "rho": 3},
    ),
    "fa1": (
        "waves",
        "yi ~ 1",
        lambda **k: Random("wave | study", "FA1", **k),
        {"loading": 4, "psi": 4},
    ),
    "prop": (
        "waves",
        "yi ~ 1",
        lambda **k: Random("wave | study", "PROP", corr=proportions(), corr_scale="none", **k),
        {"tau2": 1},
    ),
}

NO_MAXIMUM = frozenset({"matern_05"})
"""The likelihood of these data rises towards an infinite range, so there is no reference."""

each = pytest.mark.parametrize("name", MODELS)


def model(name, **keywords):
    data, formula, term, _ = MODELS[name]
    frame = pd.DataFrame(reference()[data])
    return MetaMixedLM.from_formula(formula, frame, variance="vi", random=term(**keywords))


def as_fixed(name, theta):
    counts = MODELS[name][3]
    ends = np.cumsum(list(counts.values()))[:-1]
    return {k: list(v) for k, v in zip(counts, np.split(np.array(theta), ends), strict=True)}


def at_fixed(name, reml=True):
    case = reference()["cases"][name]
    return case, model(name, fixed=as_fixed(name, case["at"])).fit(reml=reml)


def test_every_case_is_used():
    assert set(reference()["cases"]) == {*MODELS, "hcs_equal"}


@each
def test_likelihood_and_coefficients_at_fixed_components(name):
    case, results = at_fixed(name)
    assert results.llf == pytest.approx(case["loglik"]["REML"], rel=FIXED_POINT)
    assert results.info_criteria(reml=False)["llf"] == pytest.approx(
        case["loglik"]["ML"], rel=FIXED_POINT
    )
    np.testing.assert_allclose(results.params, case["beta"], rtol=1e-7)
    np.testing.assert_allclose(results.bse, case["se"], rtol=1e-7)
    assert results.vcomp["fixed"].all()
    np.testing.assert_array_equal(results.vcomp["estimate"], case["at"])


@pytest.mark.parametrize("name", [name for name in MODELS if name not in NO_MAXIMUM])
def test_maximum(name):
    case = reference()["cases"][name]
    results = model(name).fit()
    assert results.converged
    assert results.llf >= case["best_loglik"] - 1e-9
    assert results.llf <= case["best_loglik"] + AT_MAXIMUM
    estimate = results.vcomp["estimate"].to_numpy(copy=True)
    if name == "fa1":  # loadings have no sign
        estimate[:4] *= np.sign(estimate[2])
    np.testing.assert_allclose(estimate, case["best"], atol=2e-3, rtol=2e-3)


def test_tied_variances():
    """HCS with two pairs of equal variances; each pair is one parameter."""
    case, frame = reference()["cases"]["hcs_equal"], pd.DataFrame(reference()["waves"])
    term = Random("wave | study", "HCS", equal={"tau2": [0, 0, 1, 1]})
    results = MetaMixedLM.from_formula("yi ~ 1", frame, variance="vi", random=term).fit()
    assert results.llf == pytest.approx(case["best_loglik"], abs=AT_MAXIMUM)
    assert results.k_vcomp == 3
    assert list(results.vcomp["level"]) == ["1=2", "3=4", ""]
    np.testing.assert_allclose(results.vcomp["estimate"], case["best"], rtol=1e-4)
    values = {"tau2": [case["at"][0], None, case["at"][1], None], "rho": case["at"][2]}
    term = Random("wave | study", "HCS", equal={"tau2": [0, 0, 1, 1]}, fixed=values)
    results = MetaMixedLM.from_formula("yi ~ 1", frame, variance="vi", random=term).fit()
    assert results.llf == pytest.approx(case["loglik"]["REML"], rel=FIXED_POINT)
    assert results.k_vcomp == 0


def test_smoothness_one_half_is_the_exponential():
    frame = pd.DataFrame(reference()["phylo"])

    def llf(struct, **keywords):
        term = Random("x + y | const", struct, fixed={"tau2": 0.6, "rho": 0.3}, **keywords)
        return MetaMixedLM.from_formula("wi ~ 1", frame, variance="vi", random=term).fit().llf

    assert llf("MATERN", smoothness=0.5) == pytest.approx(llf("SPEXP"), rel=1e-12)


def test_brownian_motion_is_the_known_correlation():
    frame = pd.DataFrame(reference()["phylo"])
    term = Random("1 | species", corr=tree())
    known = MetaMixedLM.from_formula("zi ~ 1", frame, variance="vi", random=term).fit()
    results = model("phybm").fit()
    assert results.llf == pytest.approx(known.llf, rel=1e-12)
    assert results.vcomp["estimate"][0] == pytest.approx(known.vcomp["estimate"][0], rel=1e-6)


@pytest.mark.parametrize("struct", ["PHYBM", "PHYPL", "PHYOU"])
def test_a_tree_in_one_group_of_all_rows_is_the_tree(struct):
    frame = pd.DataFrame(reference()["phylo"])
    term = Random("species | const", struct, corr=tree())
    inner = MetaMixedLM.from_formula("zi ~ 1", frame, variance="vi", random=term).fit()
    own = model(struct.lower()).fit()
    assert inner.llf == pytest.approx(own.llf, rel=1e-10)
    np.testing.assert_allclose(inner.vcomp["estimate"], own.vcomp["estimate"], rtol=1e-5)
