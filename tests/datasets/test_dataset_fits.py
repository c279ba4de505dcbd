"""The example of every data set gives what rma.mv gives.

The numbers are made by tests/reference/generate/dataset_fits.R, which fits the same models to the
same files.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mvmeta import datasets

REFERENCE = Path(__file__).parents[1] / "reference" / "metafor" / "dataset_fits.json"
ALGEBRA = 1e-8
"""Relative difference of log-likelihoods at the same components; metafor inverts M densely."""
SHORT_OF_MAXIMUM = 2e-6
"""How far below the maximum nlminb on finite differences stops, in log-likelihood."""
DETERMINED = 2e-3
"""What such a step moves: estimates in standard errors, standard errors relative to themselves."""


@cache
def reference():
    return json.loads(REFERENCE.read_text(encoding="utf-8"))["fits"]


@cache
def example(name):
    names = {}
    exec(datasets.load(name).attrs["example"], names)
    return names["res"]


def test_every_data_set_has_a_reference():
    assert sorted(reference()) == datasets.names()


@pytest.mark.parametrize("name", datasets.names())
def test_likelihood_at_the_components_of_metafor(name):
    expected, results = reference()[name], example(name)
    components = np.asarray(expected["components"], dtype=float)
    assert results.model.loglike(components) == pytest.approx(expected["loglik"], rel=ALGEBRA)


# Of the rest, metafor was asked for one evaluation only; their printed estimates are compared in
# tests/test_published_analyses.py.
@pytest.mark.parametrize("name", [n for n, fit in reference().items() if fit["at_maximum"]])
def test_maximum_coefficients_and_standard_errors(name):
    expected, results = reference()[name], example(name)
    assert results.converged
    assert -1e-9 <= results.llf - expected["loglik"] <= SHORT_OF_MAXIMUM
    se = np.asarray(expected["se"])
    np.testing.assert_allclose(results.params, expected["beta"], atol=DETERMINED * se.min())
    np.testing.assert_allclose(results.bse, se, rtol=DETERMINED)
