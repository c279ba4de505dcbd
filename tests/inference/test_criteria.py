"""Information criteria against metafor's at the recorded components."""

import numpy as np
import pytest
from dense_double import case_fit, case_names, load, make_fit, numbers

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.inference.comparison.criteria import info_criteria

FIELDS = {"llf": "ll", "deviance": "dev", "aic": "AIC", "bic": "BIC", "aicc": "AICc"}


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", case_names())
def test_criteria_are_metafors(name, reml):
    expected = load(name)["expected"]
    want = expected["fit_stats"]["REML" if reml else "ML"]
    got = info_criteria(case_fit(name), reml=reml)
    assert got.n_parameters == expected["n_parameters"]
    for ours, theirs in FIELDS.items():
        if want[theirs] is not None:
            np.testing.assert_allclose(
                getattr(got, ours), numbers(want[theirs]), rtol=1e-9, atol=1e-7, err_msg=ours
            )


def test_the_criterion_of_the_fit_is_the_default():
    fit = case_fit("c01_berkey_un_reml")
    assert info_criteria(fit).llf == fit.loglik[True]


def test_bic_without_residual_degrees_of_freedom_is_nan():
    fit = case_fit("k02_one_study")
    n = info_criteria(fit, reml=True).n_effective
    assert np.isnan(info_criteria(fit, reml=True).bic) == (n < 1)


def test_deviance_of_ml_without_a_saturated_model_is_minus_twice_the_loglik():
    """A sampling variance of 0: the saturated log-likelihood is infinite."""
    base = case_fit("a06_toy_intercept_study").problem
    variances = base.v.variances.copy()
    variances[0] = 0.0
    v = SamplingCovariance.from_variances(variances)
    fit = make_fit(MetaProblem(base.y, base.x, v, base.terms), [0.1], reml=False)
    assert info_criteria(fit).deviance == -2 * fit.loglik[False]
