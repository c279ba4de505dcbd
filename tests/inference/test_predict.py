"""Predictions against metafor at the recorded components."""

import numpy as np
import pytest
from dense_double import case_fit, case_names, case_tolerance, load, numbers
from test_wald import basis

from mvmeta.errors import SpecificationError
from mvmeta.inference.prediction.predict import heterogeneity_variance, predict


def added(case, fit, item, m):
    """Variance of a new true effect, the record's levels of the inner factors looked up."""
    total, structured = np.zeros(m), iter(("tau2_levels", "gamma2_levels"))
    for term, g in zip(fit.problem.terms, fit.gs, strict=True):
        inner = None
        if " | " in term.name:
            levels = item[next(structured)]
            names = list(term.structure.labels)
            if levels is not None and levels[0] is not None:
                inner = np.array([names.index(str(v)) for v in np.broadcast_to(levels, m)])
        total = total + heterogeneity_variance(g, m, inner=inner)
    return total


@pytest.mark.parametrize("name", case_names(check="predict"))
def test_predictions_are_metafors(name):
    case, fit, rtol = load(name), case_fit(name), 10 * case_tolerance(name)
    for item in case["checks"]["predict"]:
        x = numbers(item["X_new"]) if item["X_new"] else np.ones((len(item["pred"]), 1))
        new = 0.0 if item["new_vi"] is None else numbers(item["new_vi"])
        got = predict(basis(name), x, added(case, fit, item, len(x)), new)
        big = np.abs(numbers(item["pred"])).max()
        np.testing.assert_allclose(got.mean, numbers(item["pred"]), atol=rtol * big)
        np.testing.assert_allclose(got.se, numbers(item["se"]), rtol=rtol)
        alpha = 1 - item["level"] / 100
        for limits, keys in (
            (got.confidence_interval(alpha), ("ci_lb", "ci_ub")),
            (got.prediction_interval(alpha), ("pi_lb", "pi_ub")),
        ):
            for ours, key in zip(limits, keys, strict=True):
                if item[key] and item["pi_type"] == "default":
                    want = numbers(item[key])
                    np.testing.assert_allclose(ours, want, atol=rtol * max(1.0, big), err_msg=key)


def test_variance_of_a_new_effect():
    g = np.array([[1.0, 0.3], [0.3, 4.0]])
    np.testing.assert_equal(
        heterogeneity_variance(g, 3, inner=np.array([1, -1, 0])), [4.0, np.nan, 1.0]
    )
    np.testing.assert_equal(heterogeneity_variance(g, 2), [np.nan, np.nan])
    np.testing.assert_equal(heterogeneity_variance(2.0 * np.eye(3), 2), [2.0, 2.0])
    z = np.array([[1.0, 2.0], [1.0, np.nan]])
    np.testing.assert_allclose(heterogeneity_variance(g, 2, z=z), [1 + 2 * 0.6 + 16, np.nan])


def test_new_variance_widens_the_prediction_only():
    at = basis("b01_konst_3level_reml")
    plain = predict(at, np.ones((1, 1)), np.array([0.2]))
    wider = predict(at, np.ones((1, 1)), np.array([0.2]), 0.1)
    np.testing.assert_allclose(wider.new_se**2, plain.new_se**2 + 0.1)
    np.testing.assert_array_equal(wider.se, plain.se)


@pytest.mark.parametrize("bad", [-1.0, np.nan, "vi"])
def test_new_variance_must_be_a_variance(bad):
    with pytest.raises(SpecificationError, match="new_variance"):
        predict(basis("b01_konst_3level_reml"), np.ones((1, 1)), np.zeros(1), bad)


def test_one_added_variance_per_new_row():
    with pytest.raises(SpecificationError, match="one value per new row"):
        predict(basis("b01_konst_3level_reml"), np.ones((2, 1)), np.zeros(3))
