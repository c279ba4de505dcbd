"""Worked examples of textbooks, to the digits printed there."""

import numpy as np
import pytest

from mvmeta import escalc, transf

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


def test_miller_back_transformation_returns_the_proportions():
    """Miller (1978): the inverse is exact at the sample size it is given."""
    x, n = np.array([0, 3, 9, 10, 40]), np.array([10, 17, 9, 21, 77])
    y = escalc("PFT", xi=x, ni=n)["yi"]
    np.testing.assert_allclose(transf.ipft(y, n), x / n, atol=1e-12)
