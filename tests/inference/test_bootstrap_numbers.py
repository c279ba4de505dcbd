"""Monte Carlo errors and p-values of the bootstrap against simulation and counting."""

import numpy as np
import pytest

from mvmeta.errors import SpecificationError
from mvmeta.inference.resampling.bootstrap import Bootstrapped, exceedance, quantile_error

REPEATS = 800
SPREAD = 0.1
"""Relative: a standard deviation from 800 repeats has a standard error of 2.5 %, the estimate of
a standard error from 400 replicates up to 8 % (fourth moments)."""


@pytest.fixture(scope="module")
def samples():
    return np.random.default_rng(1).standard_normal((REPEATS, 400, 1)) ** 2


def test_monte_carlo_errors_are_those_of_repeated_bootstraps(samples):
    runs = [Bootstrapped(np.zeros(1), s) for s in samples]
    for value, error in (
        ([r.bias for r in runs], np.mean([r.bias_error for r in runs])),
        ([r.se for r in runs], np.sqrt(np.mean([r.se_error**2 for r in runs]))),
        ([r.interval(0.2)[0] for r in runs], np.mean([r.interval_error(0.2)[0] for r in runs])),
        ([r.interval(0.2)[1] for r in runs], np.mean([r.interval_error(0.2)[1] for r in runs])),
    ):
        assert error == pytest.approx(np.std(value), rel=SPREAD)


def test_quantile_error_is_that_of_resampled_medians():
    sample = np.random.default_rng(2).standard_normal((51, 1))
    draws = np.random.default_rng(3).integers(0, 51, (20_000, 51))
    assert quantile_error(sample, 0.5)[0] == pytest.approx(
        np.median(sample[draws, 0], axis=1).std(), rel=0.03
    )


def test_basic_interval_is_the_percentile_interval_reflected():
    found = Bootstrapped(np.array([1.0]), np.random.default_rng(4).gamma(2, size=(99, 1)))
    low, high = found.interval(0.1)
    assert np.array(found.interval(0.1, "basic")) == pytest.approx(np.array([2 - high, 2 - low]))
    assert found.interval_error(0.1, "basic") == found.interval_error(0.1)[::-1]
    with pytest.raises(SpecificationError, match="percentile, basic"):
        found.interval(method="bca")
    with pytest.raises(SpecificationError, match="alpha"):
        found.interval(1.5)


def test_exceedance_counts_the_observed_value_and_ties():
    assert exceedance(2.0, np.array([1.0, 2.0, 3.0]))[0] == pytest.approx(3 / 4)
    assert exceedance(5.0, np.zeros(99))[0] == pytest.approx(1 / 100)
    assert exceedance(1.0, np.full(9, 1.0 - 1e-15))[0] == 1.0
