"""Calls translated and fitted here, against the fits metafor makes of the same texts."""

import contextlib
import io
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from mvmeta import MvmetaWarning, from_metafor

REFERENCE = Path(__file__).parents[1] / "reference" / "metafor" / "calls.json"
CALLS = json.loads(REFERENCE.read_text(encoding="utf-8"))["calls"]

OBJECTIVE = 1e-9
"""Relative, of a log-likelihood at metafor's components."""

OPTIMUM = 2e-5
"""In standard errors: what metafor's optimiser leaves, whose criterion is 1e-10 in likelihood."""

OTHER_BASIS = {"natural"}
"""Calls whose moderators are the same space here, in another basis: the fit is the same."""

NO_CRITERION = {"weights", "rma_unweighted"}
"""With user weights metafor's log-likelihood is not that of the estimates at its maximum."""


@pytest.fixture(params=sorted(CALLS))
def case(request):
    return request.param


def translated(case, data):
    return from_metafor(CALLS[case]["call"], **data)


def fitted(case, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MvmetaWarning)  # dropped rows are part of some calls
        return translated(case, data).fit()


def test_the_likelihood_is_the_same_function(case, data):
    expected = CALLS[case]
    if case in NO_CRITERION:
        pytest.skip("user weights: metafor reports another criterion")
    res = fitted(case, data)
    at = np.array(expected["components"] or [])
    found = res.model.loglike(at, reml=res.reml)
    assert found == pytest.approx(expected["loglik"], rel=OBJECTIVE)
    assert res.llf >= expected["loglik"] - OBJECTIVE * abs(expected["loglik"])


def test_the_fit_is_the_same(case, data):
    expected, res = CALLS[case], fitted(case, data)
    assert res.nobs == expected["k"]
    se = np.max(expected["se"])
    np.testing.assert_allclose(
        res.fittedvalues, expected["fitted"], atol=OPTIMUM * se, rtol=OPTIMUM
    )
    assert pytest.approx(expected["QE"], rel=1e-8) == res.heterogeneity_test().statistic
    test = res.moderators_test()
    assert test.statistic == pytest.approx(expected["QM"], rel=1e-3)
    assert test.pvalue == pytest.approx(expected["QMp"], rel=2e-3)


def test_coefficients_and_intervals_are_the_same(case, data):
    if case in OTHER_BASIS:
        pytest.skip("another basis of the same space")
    expected, res = CALLS[case], fitted(case, data)
    # patsy puts categories before numbers, R goes from left to right
    for ours, theirs in (
        (res.params, "beta"),
        (res.bse, "se"),
        (res.conf_int().iloc[:, 0], "ci_lb"),
        (res.conf_int().iloc[:, 1], "ci_ub"),
    ):
        np.testing.assert_allclose(
            np.sort(ours), np.sort(expected[theirs]), rtol=1e-4, atol=1e-7, err_msg=theirs
        )


def test_the_code_shown_is_the_code_run(case, data):
    translation = translated(case, data)
    names = {name.replace(".", "_"): value for name, value in data.items()}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", MvmetaWarning)
        exec(translation.code, names)
        res = translation.fit()
    np.testing.assert_array_equal(names["res"].params, res.params)
    np.testing.assert_array_equal(names["res"].vcomp["estimate"], res.vcomp["estimate"])
    np.testing.assert_array_equal(names["res"].pvalues, res.pvalues)
