"""`MetaMixedLMResults`: every name people's scripts rely on, and what it promises."""

import copy
import io
import json
import pickle
import re
from functools import cache

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import optimize, stats
from statsmodels.iolib.summary import Summary
from statsmodels.iolib.summary2 import summary_col

from mvmeta import DataError, MetaMixedLM, Random, SpecificationError, datasets
from mvmeta.model.results.results import MetaMixedLMResults

EXACT = 1e-10
"""Two ways to compute one number from one fit, relative."""


@cache
def _data():
    rng = np.random.default_rng(7)
    study = np.repeat(np.arange(9), 3)
    n = len(study)
    return pd.DataFrame(
        {
            "yi": rng.normal(size=9)[study] + rng.normal(size=n),
            "vi": rng.uniform(0.1, 0.5, n),
            "x": rng.normal(size=n),
            "kind": np.array(["a", "b", "c"])[(np.arange(n) * 5) % 3],
            "study": [f"s{i:02d}" for i in study],
            "es": np.tile([1, 2, 3], 9),
        },
        index=pd.Index([f"r{i}" for i in range(n)], name="row"),
    )


FORMULA = "yi ~ x + C(kind)"


@cache
def _model(groups="study", formula=FORMULA):
    return MetaMixedLM.from_formula(formula, _data(), variance="vi", groups=groups)


@cache
def _fit(**options):
    return _model().fit(**options)


@cache
def _fixed(use_t=False):
    """A model without random effects and its twin in statsmodels."""
    data = _data()
    ours = _model(None).fit(use_t=use_t)
    wls = smf.wls(FORMULA, data, weights=1 / data["vi"])
    return ours, wls.fit(cov_type="fixed scale", use_t=use_t)


@cache
def _berkey():
    data = datasets.load("berkey1998")
    return MetaMixedLM.from_formula(
        "yi ~ outcome - 1", data, variance="vi", random=Random("outcome | trial", struct="UN")
    ).fit()


@pytest.fixture(params=[False, True], ids=["z", "t"])
def twins(request):
    return _fixed(request.param)


# -- against statsmodels ---------------------------------------------------------------------


def test_coefficients_are_those_of_statsmodels(twins):
    ours, theirs = twins
    for name in ("params", "bse", "tvalues", "pvalues", "conf_int", "cov_params"):
        a, b = getattr(ours, name), getattr(theirs, name)
        a, b = (a(), b()) if callable(a) else (a, b)
        assert list(a.index) == list(b.index)
        np.testing.assert_allclose(a.to_numpy(), b.to_numpy(), rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(ours.conf_int(0.2), theirs.conf_int(0.2), rtol=1e-9)
    np.testing.assert_allclose(ours.fittedvalues, theirs.fittedvalues, rtol=1e-9)
    np.testing.assert_allclose(ours.resid, theirs.resid, rtol=1e-9)
    assert ours.use_t == theirs.use_t
    assert (ours.nobs, ours.df_resid) == (theirs.nobs, theirs.df_resid)
    assert ours.df_model == theirs.df_model
    pd.testing.assert_index_equal(ours.resid.index, theirs.resid.index)


HYPOTHESES = {
    "string": "x = 0.1",
    "strings": "C(kind)[T.b] = C(kind)[T.c], x = 0",
    "list": ["x = 0", "C(kind)[T.b] = 1"],
    "row": [0, 1, -1, 0],
    "matrix": np.eye(4)[1:],
    "with right sides": (np.eye(4)[[1, 2]], [0.5, -1.0]),
}


@pytest.mark.parametrize("hypothesis", HYPOTHESES.values(), ids=HYPOTHESES.keys())
def test_hypotheses_are_tested_as_statsmodels_does(hypothesis, twins):
    ours, theirs = twins
    a, b = ours.t_test(hypothesis), theirs.t_test(hypothesis)
    for name in ("effect", "sd", "statistic", "pvalue"):
        np.testing.assert_allclose(
            np.ravel(getattr(a, name)), np.ravel(getattr(b, name)), rtol=1e-8, err_msg=name
        )
    np.testing.assert_allclose(a.conf_int(0.1), b.conf_int(0.1), rtol=1e-8)
    np.testing.assert_allclose(
        a.summary_frame().to_numpy(), b.summary_frame().to_numpy(), rtol=1e-8
    )
    f, g = ours.f_test(hypothesis), theirs.f_test(hypothesis)
    np.testing.assert_allclose(np.squeeze(f.statistic), np.squeeze(g.statistic), rtol=1e-8)
    if ours.use_t:  # statsmodels refers F to the residual df under z, too
        np.testing.assert_allclose(f.pvalue, g.pvalue, rtol=1e-8)
        assert f.df_denom == g.df_denom
    w, v = ours.wald_test(hypothesis), theirs.wald_test(hypothesis, scalar=True)
    np.testing.assert_allclose(w.statistic, v.statistic, rtol=1e-8)
    np.testing.assert_allclose(w.pvalue, v.pvalue, rtol=1e-8)
    assert w.distribution == v.distribution


def test_terms_and_pairs_are_tested_as_statsmodels_does(twins):
    ours, theirs = twins
    a, b = ours.wald_test_terms(), theirs.wald_test_terms(scalar=True)
    assert list(a.table.index) == list(b.table.index)
    for column in ("statistic", "pvalue", "df_constraint"):
        np.testing.assert_allclose(
            a.table[column].astype(float), b.table[column].astype(float), rtol=1e-8
        )
    assert "C(kind)" in str(a)
    both = ours.wald_test_terms(combine_terms=["kind"], skip_single=True).table
    assert list(both.index) == ["C(kind)", "kind"]
    pairs, expected = (r.t_test_pairwise("C(kind)").result_frame for r in twins)
    assert list(pairs.index) == list(expected.index)
    for column in expected.columns:
        if not column.startswith(("P>", "z", "t")):
            np.testing.assert_allclose(
                pairs[column].astype(float), expected[column].astype(float), rtol=1e-8
            )
    statistic = "t" if ours.use_t else "z"
    np.testing.assert_allclose(pairs[statistic], expected[statistic], rtol=1e-8)


def test_predictions_are_those_of_statsmodels(twins):
    ours, theirs = twins
    new = pd.DataFrame({"x": [0.1, -2.0], "kind": ["c", "a"]}, index=["p", "q"])
    np.testing.assert_allclose(ours.predict(new), theirs.predict(new), rtol=1e-9)
    a = ours.get_prediction(new).summary_frame(alpha=0.1)
    b = theirs.get_prediction(new).summary_frame(alpha=0.1)
    columns = ["mean", "mean_se", "mean_ci_lower", "mean_ci_upper"]
    np.testing.assert_allclose(a[columns], b[columns], rtol=1e-9)
    assert list(a.index) == ["p", "q"]
    # no heterogeneity: a new true effect is its mean
    np.testing.assert_allclose(a["obs_ci_lower"], a["mean_ci_lower"], rtol=1e-9)


def test_leverage_and_residuals_of_rows():
    ours = _fixed()[0].get_influence()
    x, v = _model(None).exog, _data()["vi"].to_numpy()
    h = np.diag(x @ np.linalg.solve(x.T / v @ x, x.T / v))
    np.testing.assert_allclose(ours.hat_matrix_diag, h, rtol=1e-9)
    frame = ours.summary_frame()
    pd.testing.assert_index_equal(frame.index, _data().index)
    internal = _fixed()[0].resid.to_numpy() / np.sqrt(v * (1 - h))
    np.testing.assert_allclose(ours.resid_studentized_internal, internal, rtol=1e-9)
    np.testing.assert_allclose(frame["student_resid"], internal, rtol=1e-9)


def test_moderators_test():
    ours, theirs = _fixed()
    qm = ours.moderators_test()
    expected = theirs.wald_test(np.eye(4)[1:], scalar=True)
    assert qm.statistic == pytest.approx(expected.statistic, rel=1e-9)
    assert (qm.df, ours.QM) == (3, qm.statistic)
    kind = ours.moderators_test("C(kind)")
    assert kind.df == 2
    assert kind.pvalue == pytest.approx(
        theirs.wald_test_terms(scalar=True).table.loc["C(kind)", "pvalue"], rel=1e-8
    )
    assert ours.moderators_test(["x", "C(kind)[T.b]"]).df == 2
    with pytest.raises(SpecificationError, match=r"'kin'; terms: Intercept, C\(kind\), x"):
        ours.moderators_test("kin")


# -- hypotheses that cannot be tested --------------------------------------------------------


@pytest.mark.parametrize(
    ("hypothesis", "match"),
    [
        ("dose = 0", r"(?s)dose.*coefficients are Intercept, C\(kind\)\[T.b\]"),
        ("x = = 0", "cannot be read"),
        (np.eye(3), r"4 coefficients.*got shape \(3, 3\)"),
        ((np.eye(4), [1.0, 2.0]), "4 hypotheses need as many right-hand sides"),
    ],
)
def test_hypotheses_that_do_not_fit(hypothesis, match):
    for test in (_fit().t_test, _fit().wald_test, _fit().f_test):
        with pytest.raises(SpecificationError, match=match):
            test(hypothesis)


def test_dependent_hypotheses_cannot_be_tested_jointly():
    assert _fit().t_test(["x = 0", "2 * x = 0"]).pvalue[0] == pytest.approx(_fit().pvalues["x"])
    with pytest.raises(SpecificationError, match="linearly dependent"):
        _fit().wald_test(["x = 0", "2 * x = 0"])


def test_the_fit_decides_between_z_and_t():
    with pytest.raises(SpecificationError, match=r"uses z and chi-square; fit\(use_t=True\)"):
        _fit().t_test("x = 0", use_t=True)
    with pytest.raises(SpecificationError, match="uses t and F"):
        _fit(use_t=True).wald_test("x = 0", use_f=False)


def test_pairs_need_a_factor():
    with pytest.raises(SpecificationError, match=r"'x' is no categorical.*'C\(kind\)'"):
        _fit().t_test_pairwise("x")
    with pytest.raises(SpecificationError, match="each of the levels a, b, c; got 2"):
        _fit().t_test_pairwise("C(kind)", factor_labels=["one", "two"])
    renamed = _fit().t_test_pairwise("C(kind)", factor_labels=["one", "two", "three"])
    assert list(renamed.result_frame.index) == ["two-one", "three-one", "three-two"]


def test_another_covariance_may_be_given():
    cov = 4 * _fit().cov_params()
    assert _fit().t_test("x = 0", cov_p=cov).sd.item() == pytest.approx(2 * _fit().bse["x"])
    assert _fit().wald_test("x = 0", cov_p=cov).statistic == pytest.approx(
        _fit().tvalues["x"] ** 2 / 4
    )
    combination = _fit().cov_params(r_matrix=[0, 1, -1, 0])
    assert combination.item() == pytest.approx(
        _fit().t_test([0, 1, -1, 0]).sd.item() ** 2, rel=EXACT
    )


# -- degrees of freedom ----------------------------------------------------------------------


def test_residual_df():
    result = _fit(use_t=True)
    assert result.df_inference == result.df_resid_inference == 23
    assert result.t_test("x = 0").df_denom == 23
    half = result.conf_int().loc["x"].diff().iloc[1] / 2
    assert half == pytest.approx(stats.t.ppf(0.975, 23) * result.bse["x"], rel=EXACT)
    assert _fit().df_inference == np.inf


@pytest.mark.parametrize("rule", ["contain", "satterthwaite", "kenward-roger"])
def test_each_contrast_has_its_own_df(rule):
    result = _fit(df=rule)
    assert result.use_t
    assert result.df_method == rule
    df = np.broadcast_to(result.df_inference, 4)
    table = result.t_test(np.eye(4))
    np.testing.assert_allclose(np.broadcast_to(table.df_denom, 4), df, rtol=EXACT)
    np.testing.assert_allclose(table.pvalue, result.pvalues, rtol=EXACT)
    np.testing.assert_allclose(
        result.pvalues, 2 * stats.t.sf(np.abs(result.tvalues), df), rtol=EXACT
    )
    single = result.wald_test("x = 0")
    assert single.df_denom == pytest.approx(df[list(result.params.index).index("x")], rel=1e-6)
    assert float(single.pvalue) == pytest.approx(result.pvalues["x"], rel=1e-6)
    prediction = result.get_prediction(pd.DataFrame({"x": [0.0], "kind": ["a"]}))
    assert prediction.df == pytest.approx([df[0]], rel=1e-6)
    assert prediction.summary_frame().loc[0, "mean_ci_lower"] == pytest.approx(
        result.conf_int().loc["Intercept", 0], rel=1e-6
    )


def test_containment_takes_the_least_df_involved():
    # the intercept is constant within all 9 studies: 9 - p; the others vary: k - p
    result = _fit(df="contain")
    df = pd.Series(result.df_inference, result.params.index)
    assert df["Intercept"] == 5
    assert df["x"] == 23
    assert result.t_test("Intercept + x = 0").df_denom == 5
    assert result.wald_test("Intercept = 0, x = 0").df_denom == 5


def test_df_may_be_given():
    result = _fit(df=5)
    assert result.use_t
    assert result.df_inference == 5
    assert result.df_method == "given"
    each = _model().fit(df=[3, 4, 5, 6])
    np.testing.assert_array_equal(each.df_inference, [3, 4, 5, 6])
    assert each.t_test([0, 0, 1, 1]).df_denom == 5
    assert each.wald_test(np.eye(4)[1:]).df_denom == 4


def test_kenward_roger_adjusts_the_covariance():
    plain, adjusted = _fit(df="satterthwaite"), _fit(df="kenward-roger")
    np.testing.assert_array_equal(plain.params, adjusted.params)
    assert (adjusted.bse > plain.bse).all()
    np.testing.assert_allclose(np.diag(adjusted.cov_params()), adjusted.bse**2, rtol=EXACT)


def test_knapp_hartung_scales_the_covariance():
    result, scaled = _fit(), _fit(cov_type="knha", use_t=True)
    same = np.equal.outer(_data()["study"].to_numpy(), _data()["study"].to_numpy())
    m = np.diag(_data()["vi"]) + result.sigma2[0] * same
    e = result.resid.to_numpy()
    factor = e @ np.linalg.solve(m, e) / 23
    np.testing.assert_allclose(scaled.cov_params(), factor * result.cov_params(), rtol=1e-9)
    adhoc = _fit(cov_type="adhoc", use_t=True)
    np.testing.assert_allclose(adhoc.cov_params(), max(1, factor) * result.cov_params(), rtol=1e-9)
    for cov_type, asked in (("knha", scaled), ("adhoc", adhoc)):
        unasked = _fit(cov_type=cov_type)
        assert unasked.df_method == "residual"
        pd.testing.assert_frame_equal(unasked.summary_frame(), asked.summary_frame())


def test_robust_results_flow_into_everything():
    plain, robust = _fit(), _fit().get_robustcov_results("CR2")
    assert isinstance(robust, MetaMixedLMResults)
    assert robust is not plain
    assert robust.cov_type == "CR2"
    assert (robust.use_t, robust.n_clusters) == (True, 9)
    np.testing.assert_array_equal(robust.params, plain.params)
    assert robust.llf == plain.llf
    assert abs(robust.bse / plain.bse - 1).max() > 0.01
    assert robust.t_test("x = 0").sd.item() == pytest.approx(robust.bse["x"], rel=EXACT)
    new = pd.DataFrame({"x": [0.0], "kind": ["a"]})
    frame = robust.get_prediction(new).summary_frame()
    assert frame.loc[0, "mean_se"] == pytest.approx(robust.bse["Intercept"], rel=EXACT)
    assert frame.loc[0, "mean_ci_upper"] == pytest.approx(
        robust.conf_int().loc["Intercept", 1], rel=1e-8
    )
    from_fit = _model().fit(cov_type="CR2")
    np.testing.assert_allclose(from_fit.cov_params(), robust.cov_params(), rtol=EXACT)
    by_column = plain.get_robustcov_results("CR2", groups=_data()["study"].sample(frac=1))
    np.testing.assert_allclose(by_column.cov_params(), robust.cov_params(), rtol=EXACT)
    text = str(robust.summary())
    assert "CR2" in text
    assert "No. Clusters:                       9" in text
    with pytest.raises(SpecificationError, match="unknown cov_type 'HC0'"):
        plain.get_robustcov_results("HC0")
    with pytest.raises(DataError, match=r"'author' is no column the model uses \(.*study"):
        plain.get_robustcov_results("CR2", groups="author")


# -- likelihood ------------------------------------------------------------------------------


@pytest.mark.parametrize("reml", [True, False])
def test_score_vanishes_and_curvature_is_positive_at_the_maximum(reml):
    model = _model("study/es")
    result = model.fit(reml=reml)
    theta = result.vcomp["estimate"].to_numpy()
    assert (theta > 0).all()
    assert model.loglike(theta, reml=reml) == pytest.approx(result.llf, rel=1e-12)
    hessian = model.hessian(theta, reml=reml)
    score = model.score(theta, reml=reml)
    assert np.abs(score / np.sqrt(-np.diag(hessian))).max() < 1e-5
    assert (np.linalg.eigvalsh(hessian) < 0).all()
    elsewhere = theta * [1.5, 0.7]
    numeric = optimize.approx_fprime(elsewhere, lambda t: model.loglike(t, reml=reml), 1e-6)
    np.testing.assert_allclose(model.score(elsewhere, reml=reml), numeric, rtol=1e-4, atol=1e-5)


def test_kinds_of_information():
    model = _model("study/es")
    theta = [0.8, 0.6]
    observed, expected, average = (
        model.information(theta, kind=kind) for kind in ("observed", "expected", "average")
    )
    np.testing.assert_array_equal(observed, -model.hessian(theta))
    np.testing.assert_array_equal(expected, model.information(theta))
    # Gilmour, Thompson & Cullis (1995): the mean of the two, for G linear in the components
    np.testing.assert_allclose(average, (observed + expected) / 2, rtol=1e-8)
    with pytest.raises(SpecificationError, match=r"expected, average, observed, got 'fisher'"):
        model.information(theta, kind="fisher")


def test_information_criteria():
    result = _fit()
    other = result.info_criteria(reml=False)
    assert list(other.index) == ["llf", "deviance", "aic", "bic", "aicc"]
    assert result.k_vcomp == 1
    q, n = 4 + 1, 27 - 4
    assert result.aic == pytest.approx(-2 * result.llf + 2 * q, rel=1e-12)
    assert result.bic == pytest.approx(-2 * result.llf + q * np.log(n), rel=1e-12)
    assert result.aicc == pytest.approx(-2 * result.llf + 2 * q * n / (n - q - 1), rel=1e-12)
    assert result.deviance == pytest.approx(-2 * result.llf, rel=1e-12)
    theta = result.vcomp["estimate"]
    assert other["llf"] == pytest.approx(_model().loglike(theta, reml=False), rel=1e-12)


def test_an_array_of_components_must_fit():
    with pytest.raises(SpecificationError, match=r"1 components.*got shape \(2,\)"):
        _model().loglike([0.1, 0.2])
    with pytest.raises(SpecificationError, match=r"sigma2 must lie in \[0, inf\], got -0.1"):
        _model().score([-0.1])


def test_the_ascent_is_on_record():
    result = _fit()
    assert list(result.history.columns) == ["evaluations", "llf", "decrement", "damping"]
    assert result.history["llf"].iloc[-1] == pytest.approx(result.llf, rel=1e-8)
    assert result.certificate["newton_decrement"] < 1e-10
    assert result.certificate["smallest_curvature"] > 0


# -- components and random effects -----------------------------------------------------------


def test_table_of_components():
    table = _berkey().vcomp
    columns = ["term", "component", "level", "estimate", "sqrt", "n_levels", "fixed", "boundary"]
    assert list(table.columns) == columns
    assert list(table["component"]) == ["tau2", "tau2", "rho"]
    assert list(table["level"][:2]) == ["AL", "PD"]
    assert set(table["term"]) == {"outcome | trial"}
    assert np.isnan(table["sqrt"].iloc[2])
    np.testing.assert_allclose(table["sqrt"][:2] ** 2, table["estimate"][:2], rtol=1e-12)
    np.testing.assert_array_equal(_berkey().tau2, table["estimate"][:2])
    np.testing.assert_array_equal(_berkey().rho, table["estimate"][2:])
    assert len(_berkey().sigma2) == 0


def test_pinned_components_are_marked():
    model = MetaMixedLM.from_formula(
        "yi ~ 1", _data(), variance="vi", random=Random("1 | study/es", fixed={"sigma2": [None, 0]})
    )
    result = model.fit()
    assert list(result.vcomp["fixed"]) == [False, True]
    assert result.vcomp["estimate"].iloc[1] == 0
    assert result.k_vcomp == 1
    text = str(result.summary())
    assert "fixed" in text
    assert result.llf == pytest.approx(_model(formula="yi ~ 1").fit().llf, rel=1e-10)


def test_metafors_names():
    result = _fit()
    assert (result.k, result.p) == (27, 4)
    for ours, theirs in (
        ("params", "beta"), ("bse", "se"), ("tvalues", "zval"), ("pvalues", "pval")
    ):  # fmt: skip
        pd.testing.assert_series_equal(getattr(result, ours), getattr(result, theirs))
    assert result.QE == result.heterogeneity_test().statistic
    assert result.QEp == result.heterogeneity_test().pvalue
    assert result.QMp == result.moderators_test().pvalue
    assert result.I2 == pytest.approx(100 * result.heterogeneity().loc["total", "i2"])
    with pytest.raises(AttributeError):
        result.QE = 1.0


def test_heterogeneity_by_level():
    result = _model("study/es").fit()
    table = result.heterogeneity()
    assert list(table.index) == ["study", "study/es", "total"]
    weight = np.diag(1 / _data()["vi"])
    x = result.model.exog
    p = weight - weight @ x @ np.linalg.solve(x.T @ weight @ x, x.T @ weight)
    typical = (27 - 4) / np.trace(p)
    total = result.sigma2.sum() + typical
    expected = [*result.sigma2 / total, result.sigma2.sum() / total]
    np.testing.assert_allclose(table["i2"], expected, rtol=1e-9)


def _dense(result):
    """M and Z of a model with random intercepts of studies."""
    study = _data()["study"].to_numpy()
    z = (study[:, None] == np.unique(study)).astype(float)
    return np.diag(_data()["vi"]) + result.sigma2[0] * z @ z.T, z


def test_predicted_random_effects():
    result = _fit()
    m, z = _dense(result)
    expected = result.sigma2[0] * z.T @ np.linalg.solve(m, result.resid)
    table = result.ranef()["study"]
    assert list(table.columns) == ["estimate", "se", "pi_lower", "pi_upper"]
    assert list(table.index) == sorted(_data()["study"].unique())
    np.testing.assert_allclose(table["estimate"], expected, rtol=1e-8)
    x = result.model.exog
    weight = np.linalg.inv(m)
    p = weight - weight @ x @ np.linalg.solve(x.T @ weight @ x, x.T @ weight)
    g = result.sigma2[0]
    cov = g * np.eye(9) - g**2 * z.T @ p @ z
    np.testing.assert_allclose(table["se"], np.sqrt(np.diag(cov)), rtol=1e-8)
    np.testing.assert_allclose(
        table["pi_upper"], table["estimate"] + 1.959963984540054 * table["se"], rtol=1e-9
    )
    effects, covs = result.random_effects, result.random_effects_cov
    assert list(effects) == list(table.index)
    np.testing.assert_allclose([e.item() for e in effects.values()], table["estimate"])
    np.testing.assert_allclose([c.iloc[0, 0] for c in covs.values()], table["se"] ** 2)
    blup = result.blup()
    np.testing.assert_allclose(blup["estimate"], result.fittedvalues + z @ expected, rtol=1e-8)
    pd.testing.assert_index_equal(blup.index, _data().index)


def test_labels_of_random_effects():
    nested = _model("study/es").fit()
    assert list(nested.ranef()) == ["study", "study/es"]
    assert nested.ranef()["study/es"].index[0] == "s00/1"
    assert ("study", "s00") in nested.random_effects
    by_outcome = _berkey().ranef()["outcome | trial"]
    assert isinstance(by_outcome.index, pd.MultiIndex)
    assert by_outcome.index[0][1] == "AL"
    one = next(iter(_berkey().random_effects_cov.values()))
    assert one.shape == (2, 2)
    assert list(one.index) == list(one.columns) == ["AL", "PD"]


def test_weights_of_rows():
    result = MetaMixedLM.from_formula("yi ~ 1", _data(), variance="vi", groups="study").fit()
    m, _ = _dense(result)
    weight = np.linalg.inv(m)
    table = result.weights(by="row")
    np.testing.assert_allclose(table["diagonal"], 100 * np.diag(weight) / np.trace(weight))
    np.testing.assert_allclose(table["rowsum"], 100 * weight.sum(axis=0) / weight.sum())
    assert table["rowsum"] @ _data()["yi"] / 100 == pytest.approx(result.params.iloc[0], rel=1e-9)
    assert _fit().weights()["rowsum"].isna().all()
    with pytest.raises(SpecificationError, match="'study' or 'coefficient', got 'rows'"):
        result.weights(by="rows")


def test_influence_of_groups():
    result = _fit()
    influence = result.get_influence(groups="study")
    assert len(influence.cooks_distance) == 9
    assert list(influence.dfbetas.index) == sorted(_data()["study"].unique())
    assert list(influence.dfbetas.columns) == list(result.params.index)
    # the components held, leaving out a study is generalised least squares without its rows
    m, _ = _dense(result)
    keep = (_data()["study"] != "s03").to_numpy()
    x, y = result.model.exog[keep], _data()["yi"][keep].to_numpy()
    weight = np.linalg.inv(m[np.ix_(keep, keep)])
    without = np.linalg.solve(x.T @ weight @ x, x.T @ weight @ y)
    d = result.params.to_numpy() - without
    assert influence.cooks_distance[3] == pytest.approx(
        d @ np.linalg.solve(result.cov_params(), d), rel=1e-7
    )
    np.testing.assert_allclose(influence.dfbetas.loc["s03"], d / result.bse, rtol=1e-7)
    assert list(influence.cluster_chi2["df"]) == [3] * 9
    assert len(influence.summary_frame()) == 27


# -- prediction ------------------------------------------------------------------------------


def test_an_unknown_level_is_named():
    with pytest.raises(DataError, match=r"'kind' has the level 'd'.*known levels: 'a', 'b', 'c'"):
        _fit().predict(pd.DataFrame({"x": [0.0], "kind": ["d"]}))
    with pytest.raises(DataError, match="'kind' wanted for the formula"):
        _fit().get_prediction(pd.DataFrame({"x": [0.0]}))


def test_missing_moderators_give_missing_predictions():
    new = pd.DataFrame({"x": [0.0, np.nan, 1.0], "kind": ["a", "a", None]}, index=[5, 6, 7])
    predicted = _fit().predict(new)
    assert list(predicted.index) == [5, 6, 7]
    assert list(predicted.isna()) == [False, True, True]
    for options in ({}, {"df": "satterthwaite"}, {"df": "contain"}):
        frame = _fit(**options).get_prediction(new).summary_frame()
        assert list(frame["mean"].isna()) == [False, True, True]
        assert list(frame["obs_ci_upper"].isna()) == [False, True, True]


def test_an_empty_frame_predicts_an_intercept():
    result = _model("study", "yi ~ 1").fit()
    frame = result.get_prediction(pd.DataFrame(index=["new", "other"])).summary_frame()
    assert list(frame.index) == ["new", "other"]
    assert list(frame["mean"]) == pytest.approx([result.params.iloc[0]] * 2)
    half = 1.959963984540054 * np.sqrt(result.bse.iloc[0] ** 2 + result.sigma2[0])
    assert frame["obs_ci_upper"].iloc[0] == pytest.approx(result.params.iloc[0] + half, rel=1e-9)
    with_error = result.get_prediction(pd.DataFrame(index=["new"]), new_variance=0.3)
    half = 1.959963984540054 * np.sqrt(result.bse.iloc[0] ** 2 + result.sigma2[0] + 0.3)
    assert with_error.conf_int(obs=True)[0, 1] == pytest.approx(
        result.params.iloc[0] + half, rel=1e-9
    )


def test_the_inner_level_picks_its_variance():
    result = _berkey()
    frame = result.get_prediction(pd.DataFrame({"outcome": ["PD", "AL"]})).summary_frame()
    tau2 = dict(zip(["AL", "PD"], result.tau2, strict=True))
    for row, level in ((0, "PD"), (1, "AL")):
        half = 1.959963984540054 * np.sqrt(frame["mean_se"][row] ** 2 + tau2[level])
        assert frame["obs_ci_upper"][row] == pytest.approx(frame["mean"][row] + half, rel=1e-9)


def test_without_the_inner_level_only_the_mean_is_known():
    data = datasets.load("berkey1998")
    result = MetaMixedLM.from_formula(
        "yi ~ 1", data, variance="vi", random=Random("outcome | trial", struct="DIAG")
    ).fit()
    frame = result.get_prediction(pd.DataFrame(index=[0])).summary_frame()
    assert frame["mean"].notna().all()
    assert frame["mean_ci_lower"].notna().all()
    assert frame[["obs_ci_lower", "obs_ci_upper"]].isna().all(axis=None)
    unknown = result.get_prediction(pd.DataFrame({"outcome": ["XX"]})).summary_frame()
    assert unknown["obs_ci_lower"].isna().all()


def test_predictions_of_the_fitted_rows():
    result = _fit()
    frame = result.get_prediction().summary_frame()
    pd.testing.assert_index_equal(frame.index, _data().index)
    np.testing.assert_allclose(frame["mean"], result.fittedvalues, rtol=1e-12)
    same = result.get_prediction(_data()).summary_frame()
    np.testing.assert_allclose(frame, same, rtol=1e-9)
    pd.testing.assert_series_equal(result.predict(), result.predict(newdata=_data()))
    design = result.model.exog[:2]
    np.testing.assert_allclose(result.predict(design, transform=False), frame["mean"][:2])
    by_design = result.get_prediction(design, transform=False).summary_frame()
    np.testing.assert_allclose(by_design, frame[:2], rtol=1e-9)
    with pytest.raises(SpecificationError, match="predict takes no rows"):
        result.predict(rows=[1])


def test_predictions_of_a_model_built_from_arrays():
    data = _data()
    x = np.column_stack([np.ones(27), data["x"]])
    result = MetaMixedLM(data["yi"].to_numpy(), x, data["vi"].to_numpy()).fit()
    frame = result.get_prediction([[1.0, 2.0]]).summary_frame()
    assert frame["mean"][0] == pytest.approx(result.params @ np.array([1.0, 2.0]))
    grouped = MetaMixedLM(
        data["yi"].to_numpy(), x, data["vi"].to_numpy(), data["es"].tolist()
    ).fit()
    listed, array = ([[1.0, 2.0]], np.array([[1.0, 2.0]]))
    framed = pd.DataFrame(array, columns=["const", "x1"], index=["new"])
    limits = [grouped.get_prediction(new).conf_int(obs=True) for new in (listed, array, framed)]
    assert np.isfinite(limits[0]).all()
    np.testing.assert_array_equal(limits[0], limits[1])
    np.testing.assert_array_equal(limits[0], limits[2])
    assert list(grouped.predict(framed).index) == ["new"]
    with pytest.raises(DataError, match=r"2 columns const, x1; got shape \(1, 3\)"):
        result.get_prediction([[1.0, 2.0, 3.0]])


# -- output ----------------------------------------------------------------------------------


def test_summary_says_what_metafor_says():
    result = _model("study/es").fit()
    summary = result.summary()
    assert isinstance(summary, Summary)
    for text in (str(summary), summary.as_html(), summary.as_latex(), summary.as_csv()):
        for number in (result.llf, result.aic, result.bic, result.aicc, result.QE, result.QM):
            assert f"{number:.4f}" in text
        for row in result.vcomp.itertuples():
            assert f"{row.estimate:.4f}" in text
            assert f"{row.sqrt:.4f}" in text
            assert row.term in text
        for value in (*result.params, *result.bse, *np.ravel(result.conf_int())):
            assert f"{value:.4f}" in text
        for word in ("sqrt", "levels", "estimated", "I2", "REML", "QE", "QM", "coef"):
            assert word in text
        percent = 100 * result.heterogeneity()["i2"].iloc[0]
        assert f"{percent:.1f}" in text
    assert "maximum reached" in str(summary)
    assert str(summary) == str(result.summary())


def test_summary_marks_the_boundary():
    toy = datasets.load("toy")
    result = MetaMixedLM.from_formula(
        "d ~ C(Category) - 1", toy, variance=0.0001, groups="Study/id"
    ).fit()
    lines = str(result.summary()).split("\n")
    (line,) = [line for line in lines if line.startswith("Study/id: sigma2")]
    assert line.split()[2:] == ["0.0000", "0.0000", "5", "boundary", "0.0%"]


def test_summary_may_be_renamed():
    text = str(
        _fit(use_t=True).summary(
            yname="effect", xname=["one", "two", "three", "four"], title="Mine", alpha=0.1
        )
    )
    for word in ("effect", "three", "Mine", "[0.05", "0.95]", "P>|t|", "Moderators (F)"):
        assert word in text
    assert "C(kind)" not in text


def _long_names():
    data = _data().rename(
        columns={
            "x": "average_minutes_of_instruction_per_school_day",
            "yi": "standardised_mean_difference_in_reading",
            "kind": "setting_of_the_intervention",
            "study": "identifier_of_the_publication",
        }
    )
    return MetaMixedLM.from_formula(
        "standardised_mean_difference_in_reading ~ average_minutes_of_instruction_per_school_day"
        " * C(setting_of_the_intervention)",
        data,
        variance="vi",
        groups="identifier_of_the_publication/es",
    ).fit(df="satterthwaite")


def test_long_names_keep_to_the_width_of_a_terminal():
    result = _long_names()
    text = str(result.summary())
    assert max(map(len, text.split("\n"))) <= 80
    # nothing of the names is lost: they go on in the lines below
    joined = "".join(line[:20].strip() for line in text.split("\n"))
    assert "average_minutes_of_instruction_per_school_day" in joined
    assert "standard...reading" in text
    assert "standardised_mean_difference_in_reading" in result.summary().as_html()


def test_markup_in_names_is_escaped():
    data = _data().rename(columns={"x": "p < 5 & q_1~2"})
    result = MetaMixedLM.from_formula('yi ~ Q("p < 5 & q_1~2")', data, variance="vi").fit()
    assert "p &lt; 5 &amp; q_1~2" in result.summary().as_html()
    assert r"p $<$ 5 \& q\_1\textasciitilde{}2" in result.summary().as_latex()


def test_small_and_large_numbers_stay_readable():
    data = _data().assign(yi=lambda d: d["yi"] * 1e-6, vi=lambda d: d["vi"] * 1e-12)
    result = MetaMixedLM.from_formula("yi ~ x", data, variance="vi", groups="study").fit()
    text = str(result.summary())
    assert f"{result.sigma2[0]:.4g}" in text
    for value in (*result.params, *np.ravel(result.conf_int())):
        assert f"{value:.4g}" in text
    assert max(map(len, text.split("\n"))) <= 80


def test_summary_frame():
    frame = _fit(df="satterthwaite").summary_frame(alpha=0.1)
    columns = ["estimate", "se", "statistic", "df", "pvalue", "ci_lower", "ci_upper"]
    assert list(frame.columns) == columns
    np.testing.assert_allclose(
        frame[["ci_lower", "ci_upper"]], _fit(df="satterthwaite").conf_int(0.1)
    )


def test_statsmodels_tables_take_our_results():
    ours, theirs = _fixed()
    table = summary_col([ours, theirs, _fit()], stars=True, model_names=["a", "b", "c"])
    text = str(table)
    assert f"{ours.params['x']:.4f}" in text
    assert f"({_fit().bse['x']:.4f})" in text
    rows = table.tables[0]
    assert list(rows.iloc[:8, 0]) == list(rows.iloc[:8, 1])


def test_json_and_dict_hold_the_summary():
    result = _model("study/es").fit()
    found = result.to_dict()
    assert found["coefficients"][0]["name"] == "Intercept"
    assert found["vcomp"][1]["term"] == "study/es"
    assert found["heterogeneity_test"]["statistic"] == result.QE
    assert found["converged"] is True
    again = json.loads(result.to_json())
    assert again["info_criteria"]["llf"] == result.llf
    assert again["moderators_test"]["df_denom"] is None
    assert again["coefficients"][0]["df"] is None
    json.dumps(found["nobs"])


# -- copies ----------------------------------------------------------------------------------


def _round_trip(result, how):
    if how == "deepcopy":
        return copy.deepcopy(result)
    if how == "pickle":
        return pickle.loads(pickle.dumps(result))
    buffer = io.BytesIO()
    result.save(buffer)
    buffer.seek(0)
    return MetaMixedLMResults.load(buffer)


NEW = pd.DataFrame({"x": [0.3], "kind": ["b"]})


def _what_stays(result):
    """Everything that needs no rows."""
    return [
        str(result.summary()),
        result.to_json(),
        str(result.t_test("x = 0").summary()),
        str(result.wald_test_terms()),
        result.t_test_pairwise("C(kind)").result_frame.to_string(),
        result.predict(NEW).to_string(),
        result.get_prediction(NEW).summary_frame().to_string(),
        result.vcomp.to_string(),
        result.heterogeneity(alpha=None).to_string(),
        result.info_criteria(reml=False).to_string(),
        repr(result.moderators_test()),
        result.history.to_string(),
    ]


NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def _assert_same_texts(found, expected):
    """Equal but for the last digits of numbers: what is computed again is rounded anew."""
    for text, other in zip(found, expected, strict=True):
        assert NUMBER.sub("#", text) == NUMBER.sub("#", other)
        numbers, others = ([float(n) for n in NUMBER.findall(t)] for t in (text, other))
        np.testing.assert_allclose(numbers, others, rtol=1e-12)


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "save"])
@pytest.mark.parametrize("options", [{}, {"df": "kenward-roger"}, {"cov_type": "CR2"}])
def test_copies_know_everything(how, options):
    result = _fit() if not options else _model().fit(**options)
    again = _round_trip(result, how)
    _assert_same_texts(_what_stays(again), _what_stays(result))
    pd.testing.assert_frame_equal(again.ranef()["study"], result.ranef()["study"])
    pd.testing.assert_frame_equal(again.blup(), result.blup())
    assert again.model.fit().llf == pytest.approx(result.llf, rel=1e-12)


def test_save_with_the_data_removed(tmp_path):
    result = _model().fit()
    expected = _what_stays(result)
    path = tmp_path / "fit.pickle"
    result.save(str(path), remove_data=True)
    _assert_same_texts(_what_stays(MetaMixedLMResults.load(str(path))), expected)


@pytest.mark.parametrize(
    "options", [{}, {"df": "satterthwaite"}, {"df": "kenward-roger"}, {"cov_type": "CR2"}]
)
def test_removing_the_data_keeps_what_needs_no_rows(options):
    result = _round_trip(_model().fit(**options), "deepcopy")
    expected = _what_stays(result)
    result.remove_data()
    _assert_same_texts(_what_stays(result), expected)
    _assert_same_texts(_what_stays(_round_trip(result, "pickle")), expected)
    for ask in (
        lambda: result.resid,
        lambda: result.resid_conditional,
        result.ranef,
        result.blup,
        result.weights,
        result.get_influence,
        result.get_prediction,
        result.get_robustcov_results,
        lambda: result.model.loglike([0.1]),
        result.model.fit,
    ):
        with pytest.raises(DataError, match=r"removed by remove_data\(\)"):
            ask()


def test_removing_the_data_leaves_other_results_alone():
    model = MetaMixedLM.from_formula(FORMULA, _data(), variance="vi", groups="study")
    reml, ml = model.fit(), model.fit(reml=False)
    expected = ml.resid
    reml.remove_data()
    pd.testing.assert_series_equal(ml.resid, expected)
    assert model.fit().llf == reml.llf


def test_removing_the_data_makes_it_small():
    rng = np.random.default_rng(0)
    n = 4000
    data = pd.DataFrame({"yi": rng.normal(size=n), "g": np.arange(n) // 2, "x": rng.normal(size=n)})
    result = MetaMixedLM.from_formula("yi ~ x", data, variance=0.1, groups="g").fit()
    full = len(pickle.dumps(result))
    result.remove_data()
    assert len(pickle.dumps(result)) < 30_000 < full


def test_results_do_not_share_their_tables():
    result = _model().fit()
    interval, bse = result.conf_int(), result.bse
    interval.iloc[0, 0] = bse.iloc[0] = 99
    assert result.conf_int().iloc[0, 0] != 99
    assert result.bse.iloc[0] != 99
