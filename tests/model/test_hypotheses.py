"""What users write to pick, test and compare coefficients."""

import numpy as np
import pytest

from mvmeta import MetaMixedLM, datasets
from mvmeta.errors import SpecificationError
from mvmeta.model.hypotheses import pick_coefficients

NAMES = ["Intercept", "x", "year"]


@pytest.fixture(scope="module")
def result():
    data = datasets.load("konstantopoulos2011")
    data["third"] = data["school"] % 3
    return MetaMixedLM.from_formula("yi ~ C(third)", data, variance="vi", groups="district").fit()


@pytest.mark.parametrize(
    ("cols", "expected"),
    [
        (["x", "Intercept"], [1, 0]),
        ("year", [2]),
        ([0, -1], [0, 2]),
        (np.array([1, 2]), [1, 2]),
        (1, [1]),
        ([True, False, True], [0, 2]),
        ([], []),
    ],
)
def test_coefficients_by_name_position_or_mask(cols, expected):
    assert pick_coefficients(NAMES, cols) == expected


@pytest.mark.parametrize("cols", [["unknown"], ["x", "unknown"], [3], [-4], [1.5], [None], [True]])
def test_coefficients_that_are_not_there(cols):
    with pytest.raises(SpecificationError, match="3 coefficients Intercept, x, year"):
        pick_coefficients(NAMES, cols)


@pytest.mark.parametrize("alpha", [0, 1, -0.05, 5, 95, np.nan, "0.05", None])
def test_alpha_is_between_0_and_1(result, alpha):
    calls = [
        result.conf_int,
        result.summary_frame,
        lambda alpha: result.summary(alpha=alpha),
        lambda alpha: result.t_test_pairwise("C(third)", alpha=alpha),
        lambda alpha: result.get_prediction().conf_int(obs=True, alpha=alpha),
        lambda alpha: result.get_prediction().summary_frame(alpha),
        result.ranef,
        result.blup,
    ]
    for call in calls:
        with pytest.raises(SpecificationError, match="alpha="):
            call(alpha=alpha)


@pytest.mark.parametrize("method", ["tukey", None])
def test_an_unknown_adjustment_is_answered_with_all_there_are(result, method):
    with pytest.raises(SpecificationError, match=r"unknown method.*'b' \(Bonferroni\).*'fdr_bh'"):
        result.t_test_pairwise("C(third)", method=method)
