"""Log-likelihoods at fixed components against metafor: no optimiser on either side."""

import warnings

import numpy as np
import pytest

from mvmeta.errors import MvmetaWarning
from tests.reference.loader import (
    array,
    build_model,
    fit_options,
    load_case,
    theta,
)
from tests.reference.parameters import AT_FIXED, LIKELIHOODS, each_case
from tests.reference.tolerance import assert_close

# Both sides sum some twenty terms of order one in different orders.
OBJECTIVE = 1e-10


every_case = each_case(LIKELIHOODS, AT_FIXED)


def _build(case, *, pin):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MvmetaWarning)
        return build_model(case, pin=pin)


@every_case
@pytest.mark.parametrize("criterion", ["ML", "REML"])
def test_log_likelihood(folder, name, criterion):
    case = load_case(name, folder)
    model = _build(case, pin=False)
    point = theta(case, case["model"]["fixed"])
    ours = model.loglike(point, reml=criterion == "REML")
    expected = case["expected"]["fit_stats"][criterion]["ll"]
    assert ours == pytest.approx(expected, rel=OBJECTIVE, abs=OBJECTIVE)


@every_case
def test_estimates_with_every_component_pinned(folder, name):
    case = load_case(name, folder)
    results = _build(case, pin=True).fit(**fit_options(case))
    assert_close(results.vcomp["estimate"], theta(case, case["model"]["fixed"]).tolist())
    assert bool(np.all(results.vcomp["fixed"]))
    assert results.k_vcomp == 0
    expected = case["expected"]["coefficients"]
    se = array(expected["se"])
    assert_close(results.params, expected["est"], absolute=1e-9 * se, what="params")
    assert_close(results.bse, expected["se"], relative=1e-9, what="bse")
