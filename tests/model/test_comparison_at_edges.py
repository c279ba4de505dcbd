"""Which mixture a restriction to an edge gets: the same as where the model is written otherwise.

A random intercept is what correlated effects become where they are all equal.  The tests write
the larger model a second way, in which that edge is a variance of 0, whose mixture is published.
"""

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM, Random
from mvmeta.inference.comparison.chibar import variances_at_zero

HALF = "0.5 chi2({}) + 0.5 chi2({})"
SAME_OPTIMUM = 1e-6


@pytest.fixture(scope="module")
def frame():
    """40 studies in 8 labs with three outcomes each, measured at two of three sites."""
    rng = np.random.default_rng(11)
    study = np.repeat(np.arange(40), 3)
    outcome = np.tile(["A", "B", "C"], 40)
    lab, x = study % 8, np.tile([0.0, 1.0, 3.0], 40)
    y = rng.normal(0, 0.6, 40)[study] + rng.normal(0, 0.3, 8)[lab] + rng.normal(0, 0.35, 120)
    return pd.DataFrame({"y": y, "study": study, "outcome": outcome, "lab": lab, "x": x})


def fit(frame, *terms, **options):
    model = MetaMixedLM.from_formula(
        "y ~ 1", frame, variance=0.05, random=list(terms), **({"groups": None} | options)
    )
    return model.fit()


def intercept(frame):
    res = fit(frame, "1 | study")
    assert not res.vcomp["boundary"].any()
    return res


def test_equal_effects_are_a_variance_of_zero_within_studies(frame):
    """CS with rho >= 0 is a study effect and one of the outcome within it."""
    one = intercept(frame)
    found = fit(frame, Random("outcome | study", "CS")).compare_lr_test(one)
    nested = fit(frame, "1 | study/outcome").compare_lr_test(one)
    assert found.statistic == pytest.approx(nested.statistic, rel=SAME_OPTIMUM)
    assert found.reference == nested.reference == HALF.format(0, 1)
    assert found.pvalue_boundary == pytest.approx(nested.pvalue_boundary, rel=1e-4)


def test_two_levels_are_an_intercept_and_a_slope(frame):
    """UN of two outcomes is a random slope of their contrast, dropped with its covariance."""
    two = frame[frame["outcome"] != "C"].assign(b=lambda f: (f["outcome"] == "B").astype(float))
    one = intercept(two)
    slope = fit(two, Random("1 + b | study", "GEN")).compare_lr_test(one)
    assert slope.reference == HALF.format(1, 2)
    for struct in ("UN", "HCS", "HAR", "HTOEP"):
        found = fit(two, Random("outcome | study", struct)).compare_lr_test(one)
        assert found.reference == slope.reference
        assert found.statistic == pytest.approx(slope.statistic, rel=1e-5)
    assert fit(two, Random("outcome | study", "TOEP")).compare_lr_test(one).reference == (
        HALF.format(0, 1)
    )


@pytest.mark.parametrize(
    ("term", "reference"),
    [
        (("outcome | study", "AR"), HALF.format(0, 1)),
        (("x | study", "CAR"), HALF.format(0, 1)),
        (("outcome | study", "HCS"), HALF.format(2, 3)),
        (("outcome | study", "HAR"), HALF.format(2, 3)),
        (("x | study", "SPEXP"), HALF.format(0, 1)),
        (("x | study", "SPLIN"), HALF.format(0, 1)),
    ],
)
def test_one_correlation_that_ends_at_equal_effects(frame, term, reference):
    found = fit(frame, Random(*term)).compare_lr_test(intercept(frame))
    assert found.reference == reference
    df = found.df_diff
    assert found.pvalue_boundary < found.pvalue or found.statistic == 0
    assert f"chi2({df})" in reference


def test_weights_do_not_depend_on_how_the_model_is_written(frame):
    """Two edges at once: equal outcomes, and no variance between labs."""
    one = intercept(frame)
    correlated = fit(frame, Random("outcome | study", "CS"), "1 | lab").compare_lr_test(one)
    nested = fit(frame, "1 | study/outcome", "1 | lab").compare_lr_test(one)
    assert correlated.reference == nested.reference
    assert correlated.reference.count("chi2") == 3
    assert correlated.pvalue_boundary == pytest.approx(nested.pvalue_boundary, rel=1e-4)


def test_all_of_compound_symmetry_dropped_is_two_variances(frame):
    """Mean and contrasts of balanced outcomes are independent: binomial weights."""
    nothing = fit(frame)
    found = fit(frame, Random("outcome | study", "CS")).compare_lr_test(nothing)
    binomial = variances_at_zero(np.eye(2))
    assert found.reference == str(binomial)
    assert found.pvalue_boundary == pytest.approx(binomial.sf(found.statistic), rel=1e-9)


def test_a_correlation_fixed_at_the_end_of_its_range(frame):
    free = fit(frame, Random("outcome | study", "CS"))
    for rho, reference in ((1.0, HALF.format(0, 1)), (0.0, "chi2(1)")):
        held = fit(frame, Random("outcome | study", "CS", fixed={"rho": rho}))
        assert free.compare_lr_test(held).reference == reference
    one = intercept(frame)
    equal = fit(frame, Random("outcome | study", "CS", fixed={"rho": 1.0}))
    assert free.compare_lr_test(equal).statistic == pytest.approx(
        free.compare_lr_test(one).statistic, rel=SAME_OPTIMUM
    )
    times = fit(frame, Random("x | study", "CAR"))
    alone = fit(frame, Random("outcome | study", "ID"))
    assert times.compare_lr_test(alone).reference == HALF.format(0, 1)  # its range starts at 0


@pytest.mark.filterwarnings("ignore:the log-likelihood of the full model")
def test_why_there_is_no_mixture_is_said(frame):
    one = intercept(frame)

    def reason(full, restricted=one):
        found = full.compare_lr_test(restricted)
        assert np.isnan(found.pvalue_boundary)
        assert found.reference.startswith("not known in closed form: ")
        assert found.reference.endswith("; use method='bootstrap'")
        return found.reference

    def outcomes(struct, **options):
        return fit(frame, Random("outcome | study", struct, **options))

    assert "'outcome | study' (UN) is singular where it is the random intercept 'study'" in reason(
        outcomes("UN")
    )
    assert "several correlations come to an edge together" in reason(outcomes("TOEP"))
    assert "'study' of the restricted model is not seen to be part" in reason(
        fit(frame, "1 | lab", "1 | outcome")
    )
    assert "not known to be a special case of 'outcome | study' (DIAG)" in reason(outcomes("DIAG"))
    assert "are fixed, and the models differ" in reason(
        outcomes("HCS", fixed={"tau2": [None, 0.3, None]})
    )
    nothing = fit(frame)
    assert "without 'outcome | study' (AR) its correlations or ranges have no meaning" in reason(
        outcomes("AR"), nothing
    )
    assert "4 parameters are set to an edge" in reason(
        fit(frame, Random("outcome | study", "DIAG"), "1 | lab"), nothing
    )
    flat = frame.assign(y=frame["y"] - frame.groupby("study")["y"].transform("mean"))
    zero = fit(flat, "1 | study")
    assert zero.vcomp["boundary"].all()
    assert "sigma2 of 'study' is itself on the edge of its range" in reason(
        fit(flat, Random("outcome | study", "CS")), zero
    )
