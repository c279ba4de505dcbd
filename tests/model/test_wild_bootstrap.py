"""`wild_bootstrap_test` as users see it."""

import numpy as np
import pytest

from mvmeta import DataError, MetaMixedLM, MvmetaWarning, SpecificationError, datasets


@pytest.fixture(scope="module")
def results():
    frame = datasets.load("konstantopoulos2011")
    return MetaMixedLM.from_formula(
        "yi ~ year", frame, variance="vi", groups="district/school"
    ).fit()


def test_a_test_of_one_hypothesis(results):
    found = results.wild_bootstrap_test("year = 0", n=2048)
    assert found.enumerated
    assert found.n_clusters == 11
    assert found.n_replicates == 2**11
    robust = results.get_robustcov_results("CR0")
    assert found.statistic == pytest.approx(robust.tvalues["year"])
    assert str(found).startswith("wild cluster bootstrap, 11 clusters, rademacher weights, all")
    # the same up to sampling as with 999 of the patterns
    sampled = results.wild_bootstrap_test("year = 0", n=999, seed=1)
    assert not sampled.enumerated
    assert abs(sampled.pvalue - found.pvalue) < 4 * sampled.pvalue_error
    assert "(+-" in str(sampled)
    assert sampled.pvalue == results.wild_bootstrap_test("year = 0", n=999, seed=1).pvalue


def test_joint_and_robust(results):
    joint = results.wild_bootstrap_test(["Intercept = 0", "year = 0"], cov_type="CR2", n=2048)
    assert joint.df == 2
    wald = results.get_robustcov_results("CR2", df="residual").wald_test(np.eye(2))
    assert joint.statistic == pytest.approx(float(wald.fvalue))
    schools = np.arange(56) // 2
    by_pairs = results.get_robustcov_results("CR0", groups=schools, df="residual")
    assert by_pairs.wild_bootstrap_test("year = 0", n=99, seed=1).n_clusters == 28
    assert results.wild_bootstrap_test("year = 0", n=99, seed=1, groups="district").n_clusters == 11


def test_few_clusters_are_warned_of(results):
    four = np.arange(56) * 4 // 56
    with pytest.warns(MvmetaWarning, match=r"no p-value can be below 0.12; take weights='webb'"):
        found = results.wild_bootstrap_test("year = 0", groups=four)
    assert found.pvalue >= 0.125
    assert results.wild_bootstrap_test("year = 0", groups=four, weights="webb", seed=1).pvalue > 0
    with pytest.warns(MvmetaWarning, match="take a larger n"):
        results.wild_bootstrap_test("year = 0", n=9, weights="webb", seed=1)


def test_refusals(results):
    with pytest.raises(SpecificationError, match="linearly dependent"):
        results.wild_bootstrap_test(["year = 0", "2 * year = 0"])
    with pytest.raises(SpecificationError, match="number of replicates"):
        results.wild_bootstrap_test("year = 0", n=0)
    with pytest.raises(SpecificationError, match="one grouping"):
        results.wild_bootstrap_test("year = 0", groups=["district", "school"])
    with pytest.raises(DataError, match="no column the model uses"):
        results.wild_bootstrap_test("year = 0", groups="nil")
