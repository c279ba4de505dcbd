"""Worked examples of textbooks, to the digits printed there."""

import numpy as np
import pytest

from mvmeta import conv_sd, conv_wald, escalc, transf

# Borenstein, Hedges, Higgins & Rothstein (2009), Introduction to Meta-Analysis, chapters 4-6.
GROUPS = {"m1i": 103, "m2i": 100, "sd1i": 5.5, "sd2i": 4.5, "n1i": 50, "n2i": 50}


@pytest.mark.parametrize(
    ("measure", "options", "inputs", "yi", "vi", "digits"),
    [
        ("MD", {"vtype": "HO"}, GROUPS, 3.0, 1.0100, 4),
        ("MD", {}, GROUPS, 3.0, 1.0100, 4),
        ("SMD", {"vtype": "LS2", "correct": False}, GROUPS, 0.5970, 0.0418, 4),
        ("SMD", {"vtype": "LS2"}, GROUPS, 0.5924, 0.0411, 4),
        ("RR", {}, {"ai": 5, "n1i": 100, "ci": 10, "n2i": 100}, -0.6931, 0.2800, 4),
        ("OR", {}, {"ai": 5, "n1i": 100, "ci": 10, "n2i": 100}, -0.7472, 0.3216, 4),
        ("RD", {}, {"ai": 5, "n1i": 100, "ci": 10, "n2i": 100}, -0.0500, 0.001375, 6),
        ("COR", {}, {"ri": 0.5, "ni": 100}, 0.5, 0.0057, 4),
        ("ZCOR", {}, {"ri": 0.5, "ni": 100}, 0.5493, 0.0103, 4),
    ],
)
def test_introduction_to_meta_analysis(measure, options, inputs, yi, vi, digits):
    result = escalc(measure, **inputs, **options)
    np.testing.assert_allclose(result["yi"], yi, atol=0.51 * 10**-digits)
    np.testing.assert_allclose(result["vi"], vi, atol=0.51 * 10**-digits)


@pytest.mark.parametrize(
    ("measure", "options", "inputs", "yi", "se", "digits"),
    [
        # Borenstein et al. (2009), chapter 4: change of 3 with SD 5.5 in 50 pairs; response ratio.
        ("MC", {}, {"m1i": 3, "m2i": 0, "sd1i": 5.5, "sd2i": 0, "ri": 0, "ni": 50}, 3, 0.7778, 4),
        (
            "ROM",
            {"vtype": "HO"},
            {"m1i": 61.515, "m2i": 51.015, "sd1i": 19.475, "sd2i": 19.475, "n1i": 10, "n2i": 10},
            0.1871,  # log(1.2058), rounded
            0.1568,
            3,
        ),
        # Agresti (2002), Categorical Data Analysis, 3.1: infarctions under placebo and aspirin.
        ("OR", {}, {"ai": 189, "n1i": 11034, "ci": 104, "n2i": 11037}, 0.605, 0.123, 3),
        ("RD", {}, {"ai": 189, "n1i": 11034, "ci": 104, "n2i": 11037}, 0.0077, 0.0015, 4),
        # Agresti (2002), 10.1: approval of a prime minister, first and second survey.
        ("MPRD", {}, {"ai": 794, "bi": 150, "ci": 86, "di": 570}, 0.04, 0.0095, 4),
    ],
)
def test_textbooks_with_standard_errors(measure, options, inputs, yi, se, digits):
    result = escalc(measure, **inputs, **options)
    np.testing.assert_allclose(result["yi"], yi, atol=0.51 * 10**-digits)
    np.testing.assert_allclose(np.sqrt(result["vi"]), se, atol=0.51 * 10**-digits)


def test_standard_deviations_of_the_cochrane_handbook():
    """Sections 6.5.2.2, an interval of 25 people, and 6.5.2.3, P = 0.008 of 25 and 22."""
    by_interval = conv_sd(n=25, ci_lb=30.0, ci_ub=34.2)["sd"]
    np.testing.assert_allclose(by_interval, 5.09, atol=0.005)
    # printed after rounding t to 2.78 and the standard error to 1.37
    by_test = conv_sd(n=25, n2=22, out=3.8, pval=0.008)["sd"]
    np.testing.assert_allclose(by_test, 4.69, atol=0.01)


def test_standard_error_of_a_relative_risk_from_its_interval():
    """Altman & Bland (2011), BMJ 343:d2304: 0.81 (0.70 to 0.94), SE 0.0753, z = -2.802."""
    found = conv_wald(out=0.81, ci_lb=0.70, ci_ub=0.94, transf=np.log)
    se = np.sqrt(found["vi"].iloc[0])
    assert se == pytest.approx(0.0753, abs=2e-4)
    assert found["yi"].iloc[0] / se == pytest.approx(-2.802, abs=5e-3)


def test_miller_back_transformation_returns_the_proportions():
    """Miller (1978): the inverse is exact at the sample size it is given."""
    x, n = np.array([0, 3, 9, 10, 40]), np.array([10, 17, 9, 21, 77])
    y = escalc("PFT", xi=x, ni=n)["yi"]
    np.testing.assert_allclose(transf.ipft(y, n), x / n, atol=1e-12)
