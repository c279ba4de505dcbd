"""Intervals of CVH and M against the formula by hand, at its limits, and what leaves them alone."""

import numpy as np
import pytest

from mvmeta import MetaMixedLM, Random, datasets
from mvmeta.inference.heterogeneity.relative_limits import relative_limits
from tests.tolerances import ALGEBRA, OPTIMUM

SIDES = ("lower", "upper")


def limits_of_cvh(mean, variance):
    sides = relative_limits(mean, *(np.array([v]) for v in variance))
    return [float(side.cvh[0]) for side in sides]


def test_by_hand():
    """mean 2 in (1, 3), variance 0.25 in (0.04, 1): log sd in (log 0.2, 0)."""
    sd, size = np.log(0.5), np.log(2.0)
    below = np.sqrt((sd - np.log(0.2)) ** 2 + (np.log(3.0) - size) ** 2)
    above = np.sqrt((0.0 - sd) ** 2 + (size - np.log(1.0)) ** 2)
    want = np.exp([sd - size - below, sd - size + above])
    for sign in (1.0, -1.0):
        mean = (2.0 * sign, *sorted((1.0 * sign, 3.0 * sign)))
        np.testing.assert_allclose(limits_of_cvh(mean, (0.25, 0.04, 1.0)), want, rtol=ALGEBRA)


def test_limits_of_the_formula():
    known = (2.0, 2.0, 2.0)
    np.testing.assert_allclose(limits_of_cvh(known, (0.25, 0.04, 1.0)), [0.1, 0.5], rtol=ALGEBRA)
    # only the mean is uncertain
    np.testing.assert_allclose(
        limits_of_cvh((2.0, 1.0, 4.0), (1.0, 1.0, 1.0)), [0.25, 1.0], rtol=ALGEBRA
    )
    tiny = 1e-12  # what is left where the variance, or the mean, goes to 0
    at, near = (
        limits_of_cvh((2.0, 1.0, 3.0), (0.0, 0.0, 1.0)),
        limits_of_cvh((2.0, 1.0, 3.0), (tiny**2, 0.0, 1.0)),
    )
    assert at[0] == near[0] == 0.0
    assert at[1] == pytest.approx(0.5)
    assert near[1] == pytest.approx(at[1], rel=0.02)
    at, near = (limits_of_cvh((m, -1.0, 1.0), (1.0, 0.25, 4.0)) for m in (0.0, tiny))
    assert at == [1.0, np.inf]
    assert near[0] == pytest.approx(at[0], rel=0.02)
    assert limits_of_cvh((0.0, -1.0, 1.0), (0.0, 0.0, 4.0)) == [0.0, np.inf]
    assert limits_of_cvh((2.0, 1.0, 3.0), (1.0, 0.25, np.inf))[1] == np.inf
    upper = relative_limits((2.0, -1.0, 5.0), *np.array([[1.0], [0.5], [2.0]]))[1]
    assert (upper.m1[0], upper.m2[0]) == (1.0, 1.0)
    assert np.isnan(limits_of_cvh((2.0, 1.0, 3.0), (1.0, 0.25, np.nan))[1])


@pytest.fixture(scope="module")
def schools():
    frame = datasets.load("konstantopoulos2011")
    return MetaMixedLM.from_formula("yi ~ 1", frame, variance="vi", groups="district/school")


def test_the_table_has_them_for_every_term(schools):
    res = schools.fit(df="kenward-roger")
    table = res.heterogeneity(0.1)
    row = res.conf_int(0.1).loc["Intercept"]
    variance = (table[f"variance{s}"].to_numpy() for s in ("", "_lower", "_upper"))
    sides = relative_limits((res.params["Intercept"], *row), *variance)
    for side, want in zip(SIDES, sides, strict=True):
        np.testing.assert_allclose(table[f"cvh_{side}"], want.cvh, rtol=ALGEBRA)
        cvh = table[f"cvh_{side}"]
        np.testing.assert_allclose(table[f"m1_{side}"], cvh / (1 + cvh), rtol=ALGEBRA)
        np.testing.assert_allclose(table[f"m2_{side}"], cvh**2 / (1 + cvh**2), rtol=ALGEBRA)
    # what the uncertainty of the components adds to the mean is in the interval
    by_z = schools.fit().heterogeneity(0.1)
    assert (by_z["cvh_upper"] < table["cvh_upper"]).all()
    assert (table["cvh_lower"] < table["cvh"]).all()
    assert (table["cvh"] < table["cvh_upper"]).all()


def test_sign_and_unit_change_nothing():
    frame = datasets.load("bcg")
    columns = [f"{m}_{s}" for m in ("cvh", "m1", "m2") for s in SIDES]

    def table(factor):
        scaled = frame.assign(yi=frame["yi"] * factor, vi=frame["vi"] * factor**2)
        model = MetaMixedLM.from_formula("yi ~ ablat", scaled, variance="vi", groups="trial")
        return model.fit().heterogeneity()[columns]

    want = table(1.0)
    for factor in (-1.0, 100.0, 1e-3):
        np.testing.assert_allclose(table(factor), want, rtol=OPTIMUM)


def test_of_each_outcome_by_its_own_mean():
    v = datasets.covariance_blocks("berkey1998")
    model = MetaMixedLM.from_formula(
        "yi ~ outcome - 1",
        datasets.load("berkey1998"),
        variance=v,
        random=Random("outcome | trial", "UN"),
    )
    res = model.fit()
    table, limits = res.heterogeneity(by="outcome"), res.conf_int()
    for outcome in ("PD", "AL"):
        row, name = table.loc[(outcome, "total")], f"outcome[{outcome}]"
        variance = (np.array([row[f"variance{s}"]]) for s in ("", "_lower", "_upper"))
        sides = relative_limits((res.params[name], *limits.loc[name]), *variance)
        for side, want in zip(SIDES, sides, strict=True):
            assert row[f"cvh_{side}"] == pytest.approx(float(want.cvh[0]), rel=ALGEBRA)
