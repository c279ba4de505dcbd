"""Covariance of the components against metafor's inverse Hessian, and intervals made of it."""

import numpy as np
import pandas as pd
import pytest
from dense_double import case_fit, load

from mvmeta import MetaMixedLM, MvmetaWarning, Random, SpecificationError, datasets
from mvmeta.inference.components.wald import (
    components_covariance,
    inverse_where_known,
    wald_limits,
)
from mvmeta.marginal.select import build_backend

LIMITS = ["lower", "upper"]
NUMERICAL_HESSIAN = 2e-3
"""metafor's Hessian is by differences of the log-likelihood."""


@pytest.mark.parametrize("name", ["b01_konst_3level_reml", "c01_berkey_un_reml"])
def test_covariance_is_metafors(name):
    fit, check = case_fit(name), load(name)["checks"]["components_vcov"]
    ours = components_covariance(fit, build_backend(fit.problem))
    want = np.array(check["matrix"], dtype=float)
    scale = np.sqrt(np.outer(np.diag(want), np.diag(want)))
    np.testing.assert_allclose(ours / scale, want / scale, atol=NUMERICAL_HESSIAN)


def test_intervals_by_hand():
    """Variance by its logarithm, correlation between its bounds by the logit."""
    fit = case_fit("c01_berkey_un_reml")
    cov = components_covariance(fit, build_backend(fit.problem))
    lower, upper = wald_limits(fit, cov, alpha=0.1)
    z, se = 1.6448536269514722, np.sqrt(np.diag(cov))
    tau2, rho = fit.theta[0], fit.theta[2]
    logs = np.log(tau2) + np.array([-z, z]) * se[0] / tau2
    np.testing.assert_allclose([lower[0], upper[0]], np.exp(logs), rtol=1e-12)
    place = (rho + 1) / 2
    logits = np.log(place / (1 - place)) + np.array([-z, z]) * se[2] / 2 / (place * (1 - place))
    np.testing.assert_allclose([lower[2], upper[2]], 2 / (1 + np.exp(-logits)) - 1, rtol=1e-12)


def test_constants_are_nan_and_ties_share():
    frame = datasets.load("konstantopoulos2011")
    terms = [Random("1 | district/school", fixed={"sigma2": [None, 0.03]})]
    res = MetaMixedLM.from_formula("yi ~ 1", frame, variance="vi", random=terms).fit()
    table = res.vcomp_conf_int(method="wald")
    assert table["lower"].isna().tolist() == [False, True]
    tied = MetaMixedLM.from_formula(
        "yi ~ 1",
        frame.assign(wave=frame["year"]),
        variance="vi",
        random=["1 | district", "1 | wave"],
        equal=["district", "wave"],
    ).fit()
    cov = tied.vcomp_cov()
    assert cov.to_numpy().min() == cov.to_numpy().max() > 0
    assert list(cov.index) == ["district: sigma2", "wave: sigma2"]


def test_intervals_join_the_table_of_components():
    frame = datasets.load("konstantopoulos2011")
    terms = [Random("1 | district/school", fixed={"sigma2": [None, 0.03]})]
    res = MetaMixedLM.from_formula("yi ~ 1", frame, variance="vi", random=terms).fit()
    for method in ("profile", "wald"):
        table = res.vcomp_conf_int(method=method)
        assert table.columns.tolist() == [*LIMITS, "lower_at_edge", "upper_at_edge", "shape"]
        assert res.vcomp.join(table)["lower"].isna().tolist() == [False, True]
        assert table[["lower_at_edge", "upper_at_edge"]].dtypes.eq(bool).all()
        assert table["lower"].isna().tolist() == [False, True]


def test_boundary_and_bad_input():
    frame = pd.DataFrame({"y": [0.1, 0.3, -0.2, 0.25, 0.0, 0.1], "s": [1, 1, 2, 2, 3, 3]})
    res = MetaMixedLM.from_formula("y ~ 1", frame, variance=0.05, groups="s").fit()
    assert res.vcomp_conf_int(method="wald")[["lower", "upper"]].isna().all(axis=None)
    with pytest.raises(SpecificationError, match="'profile' or 'wald'"):
        res.vcomp_conf_int(method="exact")


def test_what_is_not_identified_is_named():
    """Two terms with the same groups: the sum of their variances is all there is."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"y": rng.normal(size=12), "a": range(12), "b": range(100, 112)})
    model = MetaMixedLM.from_formula("y ~ 1", frame, variance=0.1, random=["1 | a", "1 | b"])
    with pytest.warns(MvmetaWarning, match="not identified"):
        res = model.fit()
    for ask in (res.vcomp_cov, lambda: res.vcomp_conf_int(method="wald")[LIMITS]):
        with pytest.warns(MvmetaWarning, match=r"a: sigma2, b: sigma2\. .*fixed="):
            assert ask().isna().all(axis=None)
    one = MetaMixedLM.from_formula("y ~ 1", frame, variance=0.1, random="1 | a").fit()
    table, alone = res.vcomp_conf_int(), one.vcomp_conf_int()
    assert table["shape"].tolist() == ["one-sided"] * 2
    assert table["lower"].tolist() == [0.0, 0.0]
    np.testing.assert_allclose(table["upper"], alone["upper"].iloc[0], rtol=1e-5)
    total = res.heterogeneity().loc["total", ["variance_lower", "variance_upper"]]
    np.testing.assert_allclose(total.astype(float), alone.loc[0, LIMITS].astype(float), rtol=1e-5)


def test_what_is_identified_has_its_interval():
    """The sum of two variances cannot be told apart; that of the studies can.

    The same model with one term for the two has the same likelihood, and all it knows.
    """
    rng = np.random.default_rng(4)
    study = np.repeat(np.arange(12), 4)
    y = rng.normal(0, 0.5, 12)[study] + rng.normal(0, 0.5, 48)
    frame = pd.DataFrame({"y": y, "study": study, "a": range(48), "b": range(100, 148)})
    options = {"data": frame, "variance": 0.1}
    model = MetaMixedLM.from_formula("y ~ 1", random=["1 | a", "1 | study", "1 | b"], **options)
    with pytest.warns(MvmetaWarning, match="not identified"):
        res = model.fit()
    one = MetaMixedLM.from_formula("y ~ 1", random=["1 | a", "1 | study"], **options).fit()
    with pytest.warns(MvmetaWarning, match=r"not identified: a: sigma2, b: sigma2\. .*combination"):
        table = res.vcomp_conf_int(method="wald")
    want = one.vcomp_conf_int(method="wald")
    got, wanted = (t.loc[1, LIMITS].astype(float) for t in (table, want))
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    assert table.loc[[0, 2], LIMITS].isna().all(axis=None)
    with pytest.warns(MvmetaWarning, match="not identified"):
        cov = res.vcomp_cov()
    assert cov.iloc[1, 1] == pytest.approx(one.vcomp_cov().iloc[1, 1], rel=1e-5)
    assert cov.iloc[0].isna().all()


def test_covariance_where_some_directions_are_open():
    """What is known does not depend on what is chosen for the open direction."""
    rng = np.random.default_rng(5)
    move = np.array([3.0, 0.0, -0.04, 0.0])  # parameters 0 and 2, in units of their own
    factor = rng.normal(size=(3, 4)) * [1.0, 1e3, 1e2, 5.0]
    factor[:, 2] = -factor[:, 0] * move[0] / move[2]
    information = factor.T @ factor
    np.testing.assert_allclose(information @ move, 0.0, atol=1e-9 * information.max())
    found = inverse_where_known(information)
    held = np.ix_([0, 1, 3], [0, 1, 3])  # parameter 2 at any value
    want = np.linalg.inv(information[held])
    np.testing.assert_allclose(found[np.ix_([1, 3], [1, 3])], want[1:, 1:], rtol=1e-7)
    assert np.isnan(found[[0, 2]]).all()
    assert np.isnan(found[:, [0, 2]]).all()
    regular = np.eye(3) + 0.2
    np.testing.assert_allclose(inverse_where_known(regular), np.linalg.inv(regular), rtol=1e-12)
    assert np.isnan(inverse_where_known(np.diag([2.0, -1.0]))[1]).all()
