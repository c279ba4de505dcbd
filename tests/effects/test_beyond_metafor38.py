"""Measures and variances that metafor 3.8-1 lacks: worked examples, and formulas derived anew.

The variances are checked against the delta method with numerical derivatives, or by integration of
the distribution they are the variance of; how well they hold in samples is simulated by
benchmarks/simulations/sampling_variances.py.
"""

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import polygamma

from mvmeta import escalc
from mvmeta.errors import MvmetaWarning

GROUPS = {"m1i": 10.0, "m2i": 8.5, "sd1i": 2.0, "sd2i": 2.6, "n1i": 24, "n2i": 31}
PAIRS = {"m1i": 10.0, "m2i": 8.5, "sd1i": 2.0, "sd2i": 2.6, "ri": 0.55, "ni": 24}


def delta(function, at, covariance):
    """Variance of a function of estimates, by numerical derivatives."""
    at = np.asarray(at, dtype=float)
    step = 1e-5
    slope = np.array([function(at + e) - function(at - e) for e in step * np.eye(len(at))])
    slope /= 2 * step
    return slope @ covariance @ slope


def only(measure, **given):
    found = escalc(measure, **given)
    return found["yi"].iloc[0], found["vi"].iloc[0]


@pytest.mark.parametrize(
    ("measure", "inputs", "yi"),
    [
        # The examples of signed p-values in the documentation of metafor's escalc.
        ("SMD", {"pi": -0.018, "n1i": 20, "n2i": 20}, -0.7664),
        ("COR", {"pi": -0.07, "ni": 30}, -0.3354),
        ("PCOR", {"pi": -0.07, "mi": 5, "ni": 30}, -0.3610),
        ("SMCC", {"pi": -0.018, "ni": 50}, -0.3408),
    ],
)
def test_documented_examples(measure, inputs, yi):
    assert only(measure, **inputs)[0] == pytest.approx(yi, abs=5e-5)


def test_a_man_is_taller_than_a_woman():
    """McGraw & Wong (1992), p. 361: means 69.7 and 64.3, SDs 2.8 and 2.6 inches, CL = 0.92."""
    heights = {"m1i": 69.7, "m2i": 64.3, "sd1i": 2.8, "sd2i": 2.6, "n1i": 500, "n2i": 500}
    assert only("CLESN", **heights)[0] == pytest.approx(0.92, abs=0.005)


@pytest.mark.parametrize(("a", "n1", "n2"), [(0.893, 51, 58), (0.3, 12, 40), (0.5, 8, 8)])
def test_newcombe_method_4(a, n1, n2):
    """Newcombe (2006), in his own form, with (n1-1)(n2-1) in place of n1 n2 (Cho et al., 2019)."""
    star = (n1 + n2) / 2 - 1
    method4 = a * (1 - a) * (1 + star * (1 - a) / (2 - a) + star * a / (1 + a)) / (n1 * n2)
    expected = method4 * n1 * n2 / ((n1 - 1) * (n2 - 1))
    np.testing.assert_allclose(only("CLES", ai=a, n1i=n1, n2i=n2), [a, expected], rtol=1e-13)


@pytest.mark.parametrize("a", [0.2, 0.5, 0.893])
def test_hanley_and_mcneil_are_exact_for_exponential_variables(a):
    """X1 with rate 1, X2 with rate l: A = l / (1 + l); the variance of U by Mann & Whitney."""
    n1, n2, rate = 9, 14, a / (1 - a)
    both1 = integrate.quad(lambda x: np.exp(-2 * x) * rate * np.exp(-rate * x), 0, np.inf)[0]
    both2 = integrate.quad(lambda x: (1 - np.exp(-rate * x)) ** 2 * np.exp(-x), 0, np.inf)[0]
    spread = a * (1 - a) + (n1 - 1) * (both1 - a**2) + (n2 - 1) * (both2 - a**2)
    _, v = only("CLES", ai=a, n1i=n1, n2i=n2, vtype="LS2")
    np.testing.assert_allclose(v, spread / ((n1 - 1) * (n2 - 1)), rtol=1e-9)


def test_variance_of_u_without_a_difference():
    """Of all arrangements of 3 and 4 ranks (Mann & Whitney, 1947)."""
    from itertools import combinations

    areas = [sum(r - i for i, r in enumerate(ranks)) / 12 for ranks in combinations(range(7), 3)]
    _, v = only("CLES", ai=0.4, n1i=3, n2i=4, vtype="H0")
    np.testing.assert_allclose(v, np.var(areas), rtol=1e-13)


def test_ties_lower_the_variance_and_cannot_exceed_what_there_is():
    given = {"ai": 0.6, "n1i": 10, "n2i": 12, "vtype": "LS2"}
    _, without = only("CLES", **given)
    _, tied = only("CLES", **given, mi=0.2)
    np.testing.assert_allclose(without - tied, 0.05 / (9 * 11), rtol=1e-12)
    with pytest.warns(MvmetaWarning, match="more than ai leaves for ties"):
        escalc("CLES", **given, mi=0.9)


def test_complete_separation_has_no_variance():
    with pytest.warns(MvmetaWarning, match="1 of 2 rows .*row 0: ai = 1: 0 and 1 have"):
        escalc("AUC", ai=[1.0, 0.9], n1i=10, n2i=10)
    assert only("AUC", ai=1.0, n1i=10, n2i=10, vtype="H0")[1] > 0


def test_exchanged_groups_and_flips_give_the_other_probability():
    swap = {k.translate(str.maketrans("12", "21")): v for k, v in GROUPS.items()}
    for vtype in ("LS", "HO"):
        y, v = only("CLESN", **GROUPS, vtype=vtype)
        np.testing.assert_allclose(only("CLESN", **swap, vtype=vtype), [1 - y, v], rtol=1e-12)
        np.testing.assert_allclose(only("CLESN", **GROUPS, vtype=vtype, flip=True), [1 - y, v])
    for vtype in ("LS", "LS2", "H0"):
        one = only("AUC", ai=0.7, n1i=10, n2i=25, vtype=vtype)
        other = only("AUC", ai=0.3, n1i=25, n2i=10, vtype=vtype)
        np.testing.assert_allclose(other, [1 - one[0], one[1]], rtol=1e-12)


def test_normal_superiority_by_the_delta_method():
    m1, m2, s1, s2, n1, n2 = GROUPS.values()
    f1, f2 = n1 - 1, n2 - 1
    moments = [m1, m2, s1**2, s2**2]
    covariance = np.diag([s1**2 / f1, s2**2 / f2, 2 * s1**4 / f1, 2 * s2**4 / f2])

    def area(x):
        return stats.norm.cdf((x[0] - x[1]) / np.sqrt(x[2] + x[3]))

    expected = [area(moments), delta(area, moments, covariance)]
    np.testing.assert_allclose(only("CLESN", **GROUPS), expected, rtol=1e-7)


def test_normal_superiority_with_equal_variances():
    m1, m2, s1, s2, n1, n2 = GROUPS.values()
    f1, f2 = n1 - 1, n2 - 1
    pooled = (f1 * s1**2 + f2 * s2**2) / (f1 + f2)
    moments = [m1 - m2, pooled]
    covariance = np.diag([pooled * (1 / f1 + 1 / f2), 2 * pooled**2 / (f1 + f2)])

    def area(x):
        return stats.norm.cdf(x[0] / np.sqrt(2 * x[1]))

    expected = [area(moments), delta(area, moments, covariance)]
    y, v = only("AUCN", **GROUPS, vtype="HO")
    np.testing.assert_allclose([y, v], expected, rtol=1e-7)
    d = (m1 - m2) / np.sqrt(pooled)
    for reported in ({"di": d}, {"ai": y}):
        np.testing.assert_allclose(only("AUCN", **reported, n1i=n1, n2i=n2), [y, v], rtol=1e-10)


def test_paired_superiority_by_the_delta_method():
    d = 1.5 / np.sqrt(2.0**2 + 2.6**2 - 2 * 0.55 * 2.0 * 2.6)
    covariance = np.diag([1 / 23, 2 / 23])
    area = delta(lambda x: stats.norm.cdf(x[0] / np.sqrt(x[1])), [d, 1.0], covariance)
    np.testing.assert_allclose(only("CLESCN", **PAIRS), [stats.norm.cdf(d), area], rtol=1e-7)
    reported = only("AUCCN", m1i=1.5, m2i=0, sd1i=1.5 / d, sd2i=0, ri=0, ni=24)
    np.testing.assert_allclose(reported, only("AUCCN", **PAIRS), rtol=1e-13)


@pytest.mark.parametrize(
    ("measure", "divisor", "sds"), [("SMCRP", 24, (2.3, 2.3)), ("SMCRPH", 23, (2.0, 2.6))]
)
def test_change_by_pooled_sd_by_the_delta_method(measure, divisor, sds):
    given = PAIRS | {"sd1i": sds[0], "sd2i": sds[1]}
    s1, s2, r = *sds, given["ri"]
    covariance = np.zeros((3, 3))
    covariance[0, 0] = s1**2 + s2**2 - 2 * r * s1 * s2
    covariance[1:, 1:] = 2 * np.array([[s1**4, (r * s1 * s2) ** 2], [(r * s1 * s2) ** 2, s2**4]])

    def change(x):
        return x[0] / np.sqrt((x[1] + x[2]) / 2)

    moments = [1.5, s1**2, s2**2]
    expected = [change(moments), delta(change, moments, covariance / divisor)]
    np.testing.assert_allclose(only(measure, **given, correct=False), expected, rtol=1e-7)


def test_correction_of_pooled_change():
    """Cousineau (2020): 2 (n-1) / (1 + r^2) degrees of freedom."""
    df = 2 * 23 / (1 + 0.55**2)
    corrected, plain = (only("SMCRP", **PAIRS, correct=c)[0] for c in (True, False))
    # E(1 / chi) with df degrees of freedom, by integration
    mean = integrate.quad(lambda x: stats.chi.pdf(x, df) / x, 0, np.inf)[0]
    np.testing.assert_allclose(plain / corrected, np.sqrt(df) * mean, rtol=1e-8)


@pytest.mark.parametrize(("r2", "n", "m"), [(0.3, 100, 3), (0.05, 40, 1), (0.9, 25, 8), (0, 30, 2)])
def test_fixed_determination_by_integration(r2, n, m):
    # R2 = m F / (m F + df) of a noncentral F is a Poisson mixture of beta distributions
    j = np.arange(1000)
    weight = stats.poisson.pmf(j, n * r2 / (1 - r2) / 2)

    def moment(k):
        def integrand(x):
            return x**k * weight @ stats.beta.pdf(x, m / 2 + j, (n - m - 1) / 2)

        return integrate.quad(integrand, 0, 1, epsabs=1e-13, limit=400)[0]

    expected = moment(2) - moment(1) ** 2
    np.testing.assert_allclose(only("R2F", r2i=r2, ni=n, mi=m), [r2, expected], rtol=1e-7)


def test_fixed_determination_in_large_samples():
    for r2, n in ((0.3, 1e5), (0.99, 1e6), (0.001, 1e8)):
        expected = 4 * r2 * (1 - r2) ** 2 * (1 - r2 / 2) / n
        np.testing.assert_allclose(only("R2F", r2i=r2, ni=n, mi=3)[1], expected, rtol=2e-4)


def test_random_determination():
    """Cohen, Cohen, West & Aiken (2003), eq. 3.6.3, and Olkin & Finn (1995)."""
    r2, n, m = 0.35, 60, 4
    se = np.sqrt(4 * r2 * (1 - r2) ** 2 * (n - m - 1) ** 2 / ((n**2 - 1) * (n + 3)))
    given = {"r2i": r2, "ni": n, "mi": m}
    np.testing.assert_allclose(only("R2", **given, vtype="LS2"), [r2, se**2], rtol=1e-13)
    np.testing.assert_allclose(only("R2", **given)[1], 4 * r2 * (1 - r2) ** 2 / n, rtol=1e-13)
    root = np.sqrt(r2)
    z = np.log((1 + root) / (1 - root)) / 2
    np.testing.assert_allclose(only("ZR2", **given), [z, 1 / n], rtol=1e-13)
    # The variance of z follows from that of R2 by the derivative 1 / (2 sqrt(R2) (1 - R2)).
    np.testing.assert_allclose(
        only("ZR2F", **given)[1] / only("R2F", **given)[1],
        only("ZR2", **given)[1] / only("R2", **given)[1],
        rtol=1e-12,
    )


def test_determination_at_the_average():
    r2, n = np.array([0.2, 0.5]), np.array([30, 90])
    mean = (0.2 * 30 + 0.5 * 90) / 120
    for averaged, plain in (("AV", "LS"), ("AV2", "LS2")):
        found = escalc("R2", r2i=r2, ni=n, mi=2, vtype=averaged)["vi"]
        np.testing.assert_allclose(found, escalc("R2", r2i=mean, ni=n, mi=2, vtype=plain)["vi"])


def test_determination_from_f_and_p():
    r2, n, m = 0.3, 50, 3
    f = r2 / m / ((1 - r2) / (n - m - 1))
    p = stats.f.sf(f, m, n - m - 1)
    for reported in ({"fi": f}, {"pi": p}):
        assert only("R2", ni=n, mi=m, **reported)[0] == pytest.approx(r2, rel=1e-10)


def test_no_variance_of_a_determination_of_zero():
    for measure in ("R2", "ZR2F"):
        with pytest.warns(MvmetaWarning, match="where R2 is 0"):
            assert np.isnan(only(measure, r2i=0.0, ni=50, mi=2)[1])


def test_probit_by_the_delta_method():
    expected = delta(lambda p: stats.norm.ppf(p[0]), [0.3], [[0.3 * 0.7 / 40]])
    found = only("PRZ", xi=12, ni=40)
    np.testing.assert_allclose(found, [stats.norm.ppf(0.3), expected], rtol=1e-7)
    two = only("PBIT", ai=12, bi=28, ci=12, di=28)
    np.testing.assert_allclose(two[1], 2 * found[1], rtol=1e-12)


def test_second_order_variances():
    """The variance of log sd is trigamma(f/2) / 4; that of the log of a mean by its moments."""
    for n in (10, 200):
        _, v = only("VR", sd1i=2, sd2i=3, n1i=n, n2i=n, vtype="LS2")
        exact = 2 * polygamma(1, (n - 1) / 2) / 4
        np.testing.assert_allclose(v, exact, rtol=0.7 / (n - 1) ** 2)
    sure = GROUPS | {"sd2i": 1e-9}
    cv2 = 0.2**2 / 24
    np.testing.assert_allclose(only("ROM", **sure, vtype="LS2")[1], cv2 + cv2**2 / 2, rtol=1e-12)
    total = only("VR", **{k: GROUPS[k] for k in ("sd1i", "sd2i", "n1i", "n2i")}, vtype="LS2")[1]
    total += only("ROM", **GROUPS, vtype="LS2")[1]
    np.testing.assert_allclose(only("CVR", **GROUPS, vtype="LS2")[1], total, rtol=1e-13)


def test_variances_without_an_effect():
    assert only("SMD", **GROUPS, vtype="H0")[1] == pytest.approx(1 / 24 + 1 / 31)
    assert only("COR", ri=0.5, ni=30, vtype="H0")[1] == pytest.approx(1 / 29)


def test_point_biserial_correlation_tells_the_same_as_d():
    sizes = {"n1i": 24, "n2i": 31}
    r, _ = only("RPB", di=0.6, **sizes)
    for measure in ("SMD", "RPB", "RBIS", "ZBIS", "D2OR", "CLESN"):
        expected = only(measure, di=0.6, **sizes)
        np.testing.assert_allclose(only(measure, ri=r, **sizes), expected, rtol=1e-12)


def test_paired_t_tells_the_same_as_means():
    d = only("SMCC", **PAIRS, correct=False)[0]
    t = d * np.sqrt(24)
    p = np.sign(t) * 2 * stats.t.sf(abs(t), 23)
    for reported in ({"di": d}, {"ti": t}, {"fi": t**2}, {"pi": p}):
        found = only("SMCC", ni=24, **reported)
        np.testing.assert_allclose(found, only("SMCC", **PAIRS), rtol=1e-10)


def test_semipartial_correlation_given_directly():
    expected = only("SPCOR", ti=2.1, ni=45, mi=3, r2i=0.3)
    found = only("SPCOR", ri=expected[0], ni=45, r2i=0.3)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_margins_with_the_share_of_pairs_with_both_events():
    a, b, c, d = 30, 12, 8, 50
    n = a + b + c + d
    margins = {"ai": a + b, "bi": c + d, "ci": a + c, "di": b + d}
    expected = only("MPOR", ai=a, bi=b, ci=c, di=d)
    np.testing.assert_allclose(only("MPORM", **margins, pi=a / n), expected, rtol=1e-12)
    with pytest.warns(MvmetaWarning, match="no paired table with these margins"):
        escalc("MPORM", **margins, pi=0.6)
    with pytest.warns(MvmetaWarning, match="no paired table with these margins"):
        escalc("MPORM", **margins, ri=0.99)


def test_biserial_correlations_beyond_one_have_no_fisher_z():
    with pytest.warns(MvmetaWarning, match="groups so far apart"):
        assert np.isnan(only("ZBIS", di=6.0, n1i=10, n2i=10)[0])
    y, v = only("ZBIS", **GROUPS)
    r, w = only("RBIS", **GROUPS)
    np.testing.assert_allclose([y, v], [np.arctanh(r), w / (1 - r**2) ** 2], rtol=1e-13)


@pytest.mark.parametrize("measure", ["HR", "HD"])
def test_hazards_come_ready_made(measure):
    found = escalc(measure, yi=[-0.3], sei=[0.1], slab=["A"])
    np.testing.assert_allclose(found, [[-0.3, 0.01]])
    assert found.attrs["measure"] == measure
