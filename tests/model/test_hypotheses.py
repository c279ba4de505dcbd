"""What users write to pick, test and compare coefficients."""

import numpy as np
import pytest
from scipy import stats

from mvmeta import MetaMixedLM, datasets
from mvmeta.errors import SpecificationError
from mvmeta.model.testing.hypotheses import pick_coefficients

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


# -- hypotheses that cannot be tested --------------------------------------------------------


@pytest.fixture(scope="module")
def redundant():
    data = datasets.load("konstantopoulos2011")
    data["decade"] = data["year"] / 10 - 198
    data["twice"] = 2 * data["decade"]
    data["third"] = (data["school"] % 3).astype(str)
    model = MetaMixedLM.from_formula(
        "yi ~ C(third) + decade + twice", data, variance="vi", groups="district/school"
    )
    return model.fit(df="satterthwaite")


@pytest.mark.filterwarnings("ignore::mvmeta.MvmetaWarning")
@pytest.mark.parametrize(
    ("hypothesis", "message"),
    [
        ("nope = 0", "(?s)'nope = 0' cannot be read.*coefficients are Intercept"),
        ("decade = = 0", "cannot be read"),
        ("twice = 0", "'twice' is not estimable.*combination of the others"),
        (["decade = 0", "twice = 1"], "'twice' is not estimable"),
        (np.zeros(4), "hypothesis 1 of 1 involves no coefficient"),
        ([[0, 1, 0, 0], [0, 0, 0, 0]], "hypothesis 2 of 2 involves no coefficient"),
        ("decade - decade = 0", "no variables appear in constraint"),
        ([np.nan, 0, 0, 1], "must be finite"),
        ([["a", "b", "c", "d"]], "must be numbers"),
        (np.eye(5), r"one weight for each of the 4 .*got shape \(5, 5\); left out as .*: twice"),
        (np.zeros((0, 4)), "no hypothesis to test"),
        ((np.eye(4)[:2], [1, 2, 3]), "2 hypotheses need as many right-hand sides"),
        ((np.eye(4)[:2], [1, np.nan]), "right-hand sides must be finite"),
    ],
)
@pytest.mark.parametrize("test", ["t_test", "wald_test", "f_test"])
def test_what_cannot_be_tested_is_said(redundant, test, hypothesis, message):
    with pytest.raises(SpecificationError, match=message):
        getattr(redundant, test)(hypothesis)


@pytest.mark.filterwarnings("ignore::mvmeta.MvmetaWarning")
@pytest.mark.parametrize("hypothesis", ["decade = 0, 2 * decade = 0", np.eye(4)[[1, 2, 1]]])
def test_dependent_hypotheses(redundant, hypothesis):
    for test in (redundant.wald_test, redundant.f_test):
        with pytest.raises(SpecificationError, match="linearly dependent"):
            test(hypothesis)
    assert len(np.atleast_1d(redundant.t_test(hypothesis).effect)) >= 2


@pytest.mark.filterwarnings("ignore::mvmeta.MvmetaWarning")
@pytest.mark.parametrize(
    "cov", [np.eye(3), np.full((4, 4), np.nan), np.arange(16.0).reshape(4, 4), "no"]
)
def test_another_covariance_must_fit(redundant, cov):
    for call in (
        lambda: redundant.t_test(np.eye(4), cov_p=cov),
        lambda: redundant.wald_test(np.eye(4), cov_p=cov),
        lambda: redundant.cov_params(cov_p=cov),
    ):
        with pytest.raises(SpecificationError, match="cov_p="):
            call()


@pytest.mark.filterwarnings("ignore::mvmeta.MvmetaWarning")
def test_terms_and_coefficients_that_are_not_there(redundant):
    with pytest.raises(SpecificationError, match="combine_terms: no term has 'zzz' in its name"):
        redundant.wald_test_terms(combine_terms=["zzz"])
    with pytest.raises(SpecificationError, match="no coefficient 'nope'"):
        redundant.cov_params(column="nope")
    with pytest.raises(SpecificationError, match="one weight for each of the 4"):
        redundant.cov_params(np.eye(3))


# -- the right df for every contrast ---------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"df": "satterthwaite"},
        {"df": "kenward-roger"},
        {"df": "contain"},
        {"use_t": True},
        {"cov_type": "CR2"},
        {"cov_type": "CR3", "cov_kwds": {"df": "cluster"}},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
def test_every_test_has_its_own_df(options):
    data = datasets.load("konstantopoulos2011")
    data["third"] = (data["school"] % 3).astype(str)
    data["decade"] = data["year"] / 10 - 198
    model = MetaMixedLM.from_formula(
        "yi ~ C(third) + decade", data, variance="vi", groups="district/school"
    )
    res = model.fit(**options)
    rule = res._inference.basis.df
    rows = np.array([[0, 1, -1, 0], [1, 0.5, 0.0, 2.0], [0, 0, 0, 1.0]])
    each = [rule.contrast(r) for r in rows]
    np.testing.assert_allclose(res.t_test(rows).df_denom, each)
    pairs = res.t_test_pairwise("C(third)")
    table = pairs.result_frame
    se = np.sqrt(np.einsum("mp,pq,mq->m", pairs.contrasts, res.cov_params(), pairs.contrasts))
    np.testing.assert_allclose(table["std err"], se)
    half = (table["Conf. Int. Upp."] - table["Conf. Int. Low"]) / 2
    quantiles = stats.t.isf(0.025, [rule.contrast(r) for r in pairs.contrasts])
    np.testing.assert_allclose(half, quantiles * se)
    terms = res.wald_test_terms().table
    assert terms.loc["C(third)", "df_denom"] == pytest.approx(rule.joint(np.eye(4)[1:3]))
    assert terms.loc["decade", "df_denom"] == pytest.approx(rule.contrast(np.eye(4)[3]))
    x = np.array([[1.0, 0, 1, 0.5], [1, 0, 0, -0.2]])
    at = res.get_prediction(x, transform=False)
    frame = at.summary_frame()
    want = stats.t.isf(0.025, [rule.contrast(r) for r in x]) * frame["mean_se"]
    np.testing.assert_allclose(frame["mean_ci_upper"] - frame["mean"], want)
    means = res.marginal_means("third")
    frame = means.summary_frame()
    np.testing.assert_allclose(frame["df"], rule.contrasts(means.weights.to_numpy()))
    pairs = means.pairwise()
    np.testing.assert_allclose(
        pairs.summary_frame()["df"], rule.contrasts(pairs.weights.to_numpy())
    )
