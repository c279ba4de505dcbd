"""The founding problem: four models of five estimates, to the digits it was posed with."""

from functools import cache

import numpy as np
import pytest

from mvmeta import MetaMixedLM, datasets
from mvmeta.optimize.status import Status

FORMULA = "d ~ C(Category) - 1"
TIGHT = 1e-4


@cache
def fit(variance="Variance", **terms):
    toy = datasets.load("toy")
    return MetaMixedLM.from_formula(FORMULA, toy, variance=variance, **terms).fit()


def by_study():
    return fit(groups="Study")


# Two error contrasts are free of the category means: d_A = y_2A - y_1A = 20 and d_B = 20. Both
# carry u_2 - u_1; their mean has variance 2 sigma2 + v, and their difference none of sigma2. So
# REML sets 2 sigma2 + v = 20^2: sigma2 = 200 - v / 2, with v = 0.1 sigma2 = 200 - 0.05.
def test_the_variance_between_studies_is_exact():
    assert by_study().sigma2[0] == pytest.approx(200 - 0.05, rel=1e-8)
    assert by_study().vcomp.loc[0, "sqrt"] == pytest.approx(np.sqrt(199.95), rel=1e-8)


def test_it_is_an_interior_maximum_with_a_certificate():
    result = by_study()
    assert result.converged
    assert result.status is Status.INTERIOR
    assert result.certificate["newton_decrement"] < 1e-10
    assert not result.vcomp["boundary"].any()
    assert not result.vcomp["fixed"].any()


def test_category_c_is_pulled_to_its_study():
    # With s = 199.95, v = 0.1.  A, B: se^2 = s / 2 + v / 2 = 100.025.
    # C: 10 + 10 * 2 s / (2 s + v), se^2 = s + v - s^2 / (2 s + v), and 1.96 of these around it.
    result = by_study()
    assert list(result.params.index) == ["C(Category)[A]", "C(Category)[B]", "C(Category)[C]"]
    assert result.params.to_numpy() == pytest.approx([10, 15, 19.9975], abs=5e-5)
    assert result.bse.to_numpy() == pytest.approx([10.00125, 10.00125, 10.00500], abs=5e-6)
    interval = result.conf_int().loc["C(Category)[C]"]
    assert interval.to_numpy() == pytest.approx([0.3881, 39.6069], abs=5e-5)


def test_the_tests_of_heterogeneity_and_moderators():
    result = by_study()
    qe, qm = result.heterogeneity_test(), result.moderators_test()
    assert qe.statistic == pytest.approx(4000, rel=1e-10)
    assert (qe.df, qm.df) == (2, 3)
    assert qe.pvalue < 1e-300
    # y'inv(M)y - y'Py with s = 199.95.  Study 1: 50 / 0.1 + 3 * 5^2 / (3 s + 0.1);
    # study 2: 12.5 / 0.1 + 2 * 22.5^2 / (2 s + 0.1); y'Py = 20^2 / (2 s + 0.1) = 1
    assert qm.statistic == pytest.approx(626.6563, abs=5e-5)
    assert np.isnan(qm.df_denom)
    assert qm.pvalue < 1e-100


def test_without_groups_the_categories_are_plain_means():
    result = fit()
    assert result.params.to_numpy() == pytest.approx([10, 15, 10], rel=1e-12)
    # sqrt(0.1 / 2) and sqrt(0.1)
    assert result.bse.to_numpy() == pytest.approx([0.2236, 0.2236, 0.3162], abs=5e-5)
    assert result.heterogeneity_test().statistic == pytest.approx(4000, rel=1e-10)
    # 100 / 0.05 + 225 / 0.05 + 100 / 0.1
    assert result.moderators_test().statistic == pytest.approx(7500, rel=1e-12)
    assert result.status is Status.NOTHING_TO_ESTIMATE
    assert len(result.vcomp) == 0


def test_the_estimates_within_a_study_do_not_differ_at_all():
    result = fit(TIGHT, groups="Study/id")
    vcomp = result.vcomp.set_index("term")
    assert list(vcomp.index) == ["Study", "Study/id"]
    assert vcomp.loc["Study", "estimate"] == pytest.approx(200 - TIGHT / 2, rel=1e-8)
    assert vcomp.loc["Study/id", "estimate"] == 0.0
    assert list(vcomp["boundary"]) == [False, True]
    assert list(vcomp["n_levels"]) == [2, 5]
    assert result.status is Status.BOUNDARY
    assert result.converged


# Without the studies each contrast has variance 2 (sigma2 + v): sigma2 + v = 400 / 2.
def test_estimates_independent_of_each_other():
    result = fit(TIGHT, random="1 | id")
    assert result.sigma2[0] == pytest.approx(200 - TIGHT, rel=1e-8)
    assert result.params["C(Category)[C]"] == pytest.approx(10, rel=1e-10)
    # sqrt(sigma2 + v)
    assert result.bse["C(Category)[C]"] == pytest.approx(14.1421, abs=5e-5)
