"""Transformations that metafor 3.8-1 lacks, from their definitions."""

import numpy as np
import pytest
from scipy import integrate, stats

from mvmeta import DataError, escalc, transf


def test_every_function_takes_numbers_and_arrays():
    more = {"ni": 20.0, "ti": 3.0, "tau2": 0.1, "sd": 2.0, "pc": 0.3}
    for name in transf.__all__:
        function = getattr(transf, name)
        names = function.__code__.co_varnames[1 : function.__code__.co_argcount]
        given = {n: more[n] for n in names if n in more}
        number, array = function(0.4, **given), function([0.4, 0.4], **given)
        assert np.ndim(number) == 0, name
        np.testing.assert_allclose(array, [number, number], rtol=1e-14, err_msg=name)
        with pytest.raises(DataError, match="a transformation takes numbers"):
            function("many", **given)


@pytest.mark.parametrize(
    ("forth", "back", "sizes"),
    [
        ("dtorpb", "rpbtod", ()),
        ("dtorpb", "rpbtod", (20, 31)),
        ("dtorbis", "rtod", ()),
        ("dtorbis", "rtod", (20, 31)),
        ("rpbtorbis", "rtorpb", (0.3,)),
        ("lnortod_norm", "dtolnor_norm", ()),
        ("lnortod_logis", "dtolnor_logis", ()),
    ],
)
def test_inverses(forth, back, sizes):
    x = np.array([-0.7, 0.0, 0.2, 0.5])
    round_trip = getattr(transf, back)(getattr(transf, forth)(x, *sizes), *sizes)
    np.testing.assert_allclose(round_trip, x, rtol=1e-13, atol=1e-15)


def test_conversions_are_those_of_escalc():
    d, n1, n2 = np.array([-0.4, 0.9]), 20, 31
    sizes = {"n1i": n1, "n2i": n2}
    for measure, found in (
        ("RPB", transf.dtorpb(d, n1, n2)),
        ("RBIS", transf.dtorbis(d, n1, n2)),
        ("D2ORN", transf.dtolnor_norm(d)),
        ("D2ORL", transf.dtolnor_logis(d)),
        ("CLESN", transf.dtocles(d)),
    ):
        np.testing.assert_allclose(found, escalc(measure, di=d, **sizes)["yi"], rtol=1e-13)
    table = {"ai": 30, "bi": 20, "ci": 18, "di": 32}
    log_or = escalc("OR", **table)["yi"]
    np.testing.assert_allclose(transf.lnortod_norm(log_or), escalc("OR2DN", **table)["yi"])
    np.testing.assert_allclose(transf.lnortod_logis(log_or), escalc("OR2DL", **table)["yi"])
    # Pearson's and Digby's approximations of the tetrachoric correlation.
    exact = escalc("RTET", **table)["yi"]
    np.testing.assert_allclose(transf.lnortortet_pearson(log_or), exact, atol=0.005)
    np.testing.assert_allclose(transf.lnortortet_digby(log_or), exact, atol=0.02)


def test_newer_names_are_the_same():
    for name in ("tord", "torr"):
        old, new = getattr(transf, f"logor{name}"), getattr(transf, f"lnor{name}")
        assert new(-0.5, 0.3) == old(-0.5, 0.3)


def test_overlap_and_dominance_by_integration():
    d = 0.8
    overlap = integrate.quad(
        lambda x: min(stats.norm.pdf(x), stats.norm.pdf(x - d)), -9, 9, points=[d / 2]
    )[0]
    np.testing.assert_allclose(transf.dtoovl([d, -d]), overlap, rtol=1e-9)
    above = integrate.quad(lambda x: stats.norm.pdf(x - d) * stats.norm.cdf(x), -9, 9)[0]
    np.testing.assert_allclose(transf.dtocliffd(d), above - (1 - above), rtol=1e-9)


def test_what_dichotomizing_leaves_of_a_correlation():
    """Covariance of a normal variable with the indicator of another, by integration."""
    r, p = 0.6, 0.2
    covariance = r * integrate.quad(lambda x: x * stats.norm.pdf(x), stats.norm.isf(p), 12)[0]
    found = transf.rtorpb(r, p)
    np.testing.assert_allclose(found, covariance / np.sqrt(p * (1 - p)), rtol=1e-9)


@pytest.mark.parametrize(("name", "inner"), [("ztor", "rtoz"), ("ilogit", "logit")])
@pytest.mark.parametrize("mean", [-1.0, 0.05, 0.4, 2.0])
@pytest.mark.parametrize("tau2", [0.01, 0.3, 4.0])
def test_modes_are_where_the_density_is_highest(name, inner, mean, tau2):
    low = -1.0 if name == "ztor" else 0.0
    x = np.linspace(low, 1.0, 2_000_001)[1:-1]
    slope = 1 - x**2 if name == "ztor" else x * (1 - x)
    density = -((getattr(transf, inner)(x) - mean) ** 2) / (2 * tau2) - np.log(slope)
    found = getattr(transf, f"{name}_mode")(mean, tau2)
    np.testing.assert_allclose(found, x[np.argmax(density)], atol=2e-6)


def test_two_equal_modes_are_none():
    assert transf.ztor_mode(0.0, 0.4) == 0.0
    assert np.isnan(transf.ztor_mode(0.0, 0.6))
    assert transf.ilogit_mode(0.0, 1.9) == 0.5
    assert np.isnan(transf.ilogit_mode(0.0, 2.1))
    assert transf.exp_mode(0.2, 0.1) == pytest.approx(np.exp(0.1))
