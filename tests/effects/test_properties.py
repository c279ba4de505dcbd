"""What must hold for any numbers: signs, units, order, limits, and inverses."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import hyp2f1

from mvmeta import escalc, transf

GROUPS = {
    "m1i": np.array([10.0, 4.0, 7.7]),
    "m2i": np.array([8.0, 5.0, 7.1]),
    "sd1i": np.array([2.0, 1.5, 3.1]),
    "sd2i": np.array([2.5, 1.1, 2.2]),
    "n1i": np.array([20.0, 31.0, 9.0]),
    "n2i": np.array([24.0, 12.0, 11.0]),
}
TABLE = {
    "ai": np.array([4.0, 0.0, 25.0]),
    "bi": np.array([16.0, 20.0, 75.0]),
    "ci": np.array([7.0, 3.0, 14.0]),
    "di": np.array([13.0, 18.0, 61.0]),
}


def exchanged(inputs, pairs):
    swap = {**dict(pairs), **{b: a for a, b in pairs}}
    return {name: inputs[swap[name]] for name in inputs}


@pytest.mark.parametrize("measure", ["MD", "SMD", "SMDH", "ROM", "VR", "CVR", "RPB", "D2OR"])
def test_exchanging_groups_flips_the_sign(measure):
    pairs = [("m1i", "m2i"), ("sd1i", "sd2i"), ("n1i", "n2i")]
    one, other = escalc(measure, **GROUPS), escalc(measure, **exchanged(GROUPS, pairs))
    np.testing.assert_allclose(one["yi"], -other["yi"], rtol=1e-13)
    np.testing.assert_allclose(one["vi"], other["vi"], rtol=1e-13)


@pytest.mark.parametrize("measure", ["OR", "RR", "RD", "PETO", "AS", "PBIT", "PHI", "YUQ", "YUY"])
def test_exchanging_rows_flips_the_sign(measure):
    one = escalc(measure, **TABLE)
    other = escalc(measure, **exchanged(TABLE, [("ai", "ci"), ("bi", "di")]))
    np.testing.assert_allclose(one["yi"], -other["yi"], rtol=1e-12)
    np.testing.assert_allclose(one["vi"], other["vi"], rtol=1e-12)


@pytest.mark.parametrize("measure", ["SMD", "SMDH", "SMD1", "SMD1H", "ROM", "VR", "CVR", "RBIS"])
def test_unit_of_measurement_does_not_matter(measure):
    scaled = {n: v * 39.37 if n[0] in "ms" else v for n, v in GROUPS.items()}
    np.testing.assert_allclose(escalc(measure, **GROUPS), escalc(measure, **scaled), rtol=1e-11)


def test_mean_difference_scales_with_the_unit():
    scaled = {n: v * 10 if n[0] in "ms" else v for n, v in GROUPS.items()}
    expected = escalc("MD", **GROUPS) * [10, 100]
    np.testing.assert_allclose(escalc("MD", **scaled), expected, rtol=1e-13)


def test_bias_correction_vanishes_in_large_samples():
    large = {**GROUPS, "n1i": 1e7, "n2i": 1e7}
    for measure in ("SMD", "SMDH", "SMD1", "SMD1H", "VR", "CVR"):
        corrected, plain = (escalc(measure, **large, correct=c)["yi"] for c in (True, False))
        np.testing.assert_allclose(corrected, plain, rtol=1e-6)


def test_permuting_rows_permutes_results():
    order = [2, 0, 1]
    for vtype in ("LS", "AV"):
        permuted = escalc("SMD", vtype=vtype, **{n: v[order] for n, v in GROUPS.items()})
        expected = escalc("SMD", vtype=vtype, **GROUPS).iloc[order]
        np.testing.assert_allclose(permuted, expected, rtol=1e-13)


def test_d_t_f_and_p_tell_the_same():
    d = escalc("SMD", **GROUPS, correct=False)["yi"].to_numpy()
    sizes = {name: GROUPS[name] for name in ("n1i", "n2i")}
    t = d / np.sqrt(1 / sizes["n1i"] + 1 / sizes["n2i"])
    from scipy.stats import t as student

    p = np.sign(t) * 2 * student.sf(np.abs(t), sizes["n1i"] + sizes["n2i"] - 2)
    expected = escalc("SMD", **GROUPS)
    for reported in ({"di": d}, {"ti": t}, {"fi": np.sign(t) * t**2}, {"pi": p}):
        np.testing.assert_allclose(escalc("SMD", **sizes, **reported), expected, rtol=1e-9)


def test_alternative_inputs_fill_only_missing_rows():
    means = {**GROUPS, "m1i": np.array([10.0, np.nan, np.nan])}
    mixed = escalc("SMD", **means, di=[99.0, 0.5, np.nan], ti=[99.0, 99.0, 2.0])
    expected = escalc("SMD", **GROUPS)
    np.testing.assert_allclose(mixed["yi"][0], expected["yi"][0])
    only_d = escalc("SMD", di=0.5, n1i=31, n2i=12)
    np.testing.assert_allclose(mixed.iloc[1], only_d.iloc[0])
    only_t = escalc("SMD", ti=2.0, n1i=9, n2i=11)
    np.testing.assert_allclose(mixed.iloc[2], only_t.iloc[0])


def test_correlation_from_t_and_p():
    r, n = np.array([0.3, -0.6]), np.array([20.0, 44.0])
    t = r * np.sqrt((n - 2) / (1 - r**2))
    np.testing.assert_allclose(escalc("ZCOR", ti=t, ni=n), escalc("ZCOR", ri=r, ni=n), rtol=1e-12)


def test_partial_correlation_of_one_predictor_is_the_correlation():
    plain = escalc("ZCOR", ri=0.4, ni=30)
    np.testing.assert_allclose(escalc("ZPCOR", ri=0.4, ni=30, mi=1), plain, rtol=1e-14)


def test_unbiased_correlation_by_quadrature():
    """Olkin & Pratt: the mean of the estimate over the density of r is rho (Hotelling, 1953)."""
    rho, n = 0.6, 8
    r, weights = np.polynomial.legendre.leggauss(400)
    kernel = hyp2f1(0.5, 0.5, n - 0.5, (1 + rho * r) / 2)
    density = (1 - r**2) ** ((n - 4) / 2) * (1 - rho * r) ** (1.5 - n) * kernel * weights
    estimate = escalc("UCOR", ri=r, ni=n, vtype="UB")
    mean = np.average(estimate["yi"].to_numpy(), weights=density)
    np.testing.assert_allclose(mean, rho, rtol=1e-8)


@pytest.mark.parametrize("n", [100, 400, 5000])
@pytest.mark.parametrize("r", [0.02, 0.3, 0.95])
def test_unbiased_correlation_by_its_integral(r, n):
    """F(a, a; c; z) is the mean of (1 - z t)^-a over beta(a, c - a); no NaN in large samples."""
    half = stats.beta(0.5, (n - 3) / 2).expect(lambda t: (1 - (1 - r**2) * t) ** -0.5)
    full = stats.beta(1, n / 2 - 1).expect(lambda t: 1 / (1 - (1 - r**2) * t))
    found = escalc("UCOR", ri=r, ni=n, vtype="UB")
    variance = (r * half) ** 2 - 1 + (n - 3) / (n - 2) * (1 - r**2) * full
    np.testing.assert_allclose(found["yi"], r * half, rtol=1e-8)
    np.testing.assert_allclose(found["vi"], variance, rtol=1e-5)


def test_corrections_of_neighbouring_sizes():
    """J(m) J(m+1) = (m-1) / sqrt(m (m+1)): the gammas of odd sums cancel."""
    m = np.array([5.0, 150.0, 200.0, 201.0, 300.0, 1e4, 1e8])
    one, next_ = (
        escalc("SMD", di=1.0, n1i=df / 2 + 1, n2i=df / 2 + 1)["yi"].to_numpy() for df in (m, m + 1)
    )
    np.testing.assert_allclose(one * next_, (m - 1) / np.sqrt(m * (m + 1)), rtol=1e-13)


def test_phi_variances_by_numerical_derivatives():
    """Delta method over the multinomial (CS) and the two binomials (ST)."""
    cells = np.array([14.0, 6.0, 9.0, 21.0])
    n = cells.sum()

    def phi(p):
        a, b, c, d = p
        return (a * d - b * c) / np.sqrt((a + b) * (c + d) * (a + c) * (b + d))

    p, step = cells / n, 1e-6
    gradient = np.array([(phi(p + e) - phi(p - e)) / (2 * step) for e in step * np.eye(4)])
    multinomial = (np.diag(p) - np.outer(p, p)) / n
    rows = [cells[:2] / cells[:2].sum(), cells[2:] / cells[2:].sum()]
    sizes = [cells[:2].sum(), cells[2:].sum()]
    binomial = np.zeros((4, 4))
    for i, (share, size) in enumerate(zip(rows, sizes, strict=True)):
        block = (np.diag(share) - np.outer(share, share)) * size / n**2
        binomial[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = block
    for vtype, covariance in (("CS", multinomial), ("ST", binomial)):
        computed = escalc(
            "PHI", vtype=vtype, **dict(zip(("ai", "bi", "ci", "di"), cells, strict=True))
        )
        np.testing.assert_allclose(computed["vi"], gradient @ covariance @ gradient, rtol=1e-7)


def test_vtype_by_row():
    mixed = escalc("PHI", **TABLE, vtype=["ST", "CS", "ST"])["vi"]
    st, cs = (escalc("PHI", **TABLE, vtype=v)["vi"] for v in ("ST", "CS"))
    np.testing.assert_array_equal(mixed, [st[0], cs[1], st[2]])


@pytest.mark.parametrize(
    ("forth", "back", "x"),
    [
        ("rtoz", "ztor", [-0.9, 0.0, 0.5]),
        ("r2toz", "ztor2", [0.0, 0.3, 0.9]),
        ("logit", "ilogit", [0.01, 0.5, 0.9]),
        ("probit", "iprobit", [0.01, 0.5, 0.9]),
        ("arcsin", "iarcsin", [0.0, 0.4, 1.0]),
        ("ahw", "iahw", [-0.2, 0.5, 0.9]),
        ("abt", "iabt", [-0.2, 0.5, 0.9]),
    ],
)
def test_inverses(forth, back, x):
    round_trip = getattr(transf, back)(getattr(transf, forth)(x))
    np.testing.assert_allclose(round_trip, x, rtol=1e-13, atol=1e-15)


def test_inverses_with_sizes():
    p, n = np.array([0.0, 0.2, 0.7, 1.0]), np.array([5.0, 10.0, 100.0, 40.0])
    np.testing.assert_allclose(transf.ipft(transf.pft(p, n), n), p, atol=1e-12)
    np.testing.assert_allclose(transf.iirft(transf.irft(p, n), n), p, atol=1e-14)


def test_freeman_tukey_back_transformation_at_the_harmonic_mean():
    y = np.array([0.3, 0.8])
    np.testing.assert_allclose(transf.ipft_hm(y, [10, 40]), transf.ipft(y, 16.0), rtol=1e-14)


def test_transformations_outside_their_domain_are_nan():
    assert np.isnan(transf.rtoz(1.2))
    assert np.isnan(transf.logit(-0.1))
    assert np.isnan(transf.probit(1.1))
    assert np.isnan(transf.arcsin(1.01))


@pytest.mark.parametrize("tau2", [0.0, 0.3, 30.0])
def test_integral_transformations_by_quadrature(tau2):
    from scipy.integrate import quad
    from scipy.stats import norm

    sd = np.sqrt(tau2)
    mean = np.tanh(0.4)
    if tau2:
        mean = quad(lambda u: np.tanh(0.4 + sd * u) * norm.pdf(u), -12, 12, epsabs=1e-12)[0]
    np.testing.assert_allclose(transf.ztor_int(0.4, tau2), mean, rtol=1e-9)
