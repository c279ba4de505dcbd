"""`MetaMixedLM`: interfaces that agree, options of `fit`, and a model that stays as it was."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mvmeta import MetaMixedLM, MvmetaWarning, Random, SpecificationError
from mvmeta.optimize.status import Status

SAME = 1e-7
"""Estimates from two routes to one maximum, relative."""


@cache
def _data():
    rng = np.random.default_rng(20)
    n = 24
    study = np.repeat(np.arange(8), 3)
    species = np.tile(np.arange(4), 6)
    return pd.DataFrame(
        {
            "yi": rng.normal(size=8)[study]
            + 0.5 * rng.normal(size=4)[species]
            + rng.normal(size=n),
            "vi": rng.uniform(0.1, 0.4, n),
            "x": rng.normal(size=n),
            "kind": np.array(["a", "b", "c"])[rng.integers(0, 3, n)],
            "study": np.array([f"s{i}" for i in study]),
            "es": np.tile([1, 2, 3], 8),
            "species": np.array([f"p{i}" for i in species]),
            "w": rng.uniform(1, 2, n),
        },
        index=[f"r{i}" for i in range(n)],
    )


@pytest.fixture
def data():
    return _data().copy()


@cache
def _two_level():
    return MetaMixedLM.from_formula("yi ~ x + kind", _data(), variance="vi", groups="study")


@cache
def _two_level_fit():
    return _two_level().fit()


def assert_same_fit(found, expected, names=True):
    assert found.llf == pytest.approx(expected.llf, rel=1e-10)
    assert found.vcomp["estimate"].to_numpy() == pytest.approx(
        expected.vcomp["estimate"].to_numpy(), rel=SAME, abs=1e-12
    )
    assert found.params.to_numpy() == pytest.approx(expected.params.to_numpy(), rel=SAME)
    assert found.bse.to_numpy() == pytest.approx(expected.bse.to_numpy(), rel=SAME)
    if names:
        assert list(found.params.index) == list(expected.params.index)
        assert list(found.vcomp["term"]) == list(expected.vcomp["term"])


# -- interfaces ------------------------------------------------------------------------------


def test_arrays_and_formula_agree(data):
    expected = _two_level_fit()
    design = pd.DataFrame(_two_level().exog, columns=_two_level().exog_names, index=data.index)
    labelled = MetaMixedLM(data["yi"], design, data["vi"], groups=data["study"])
    assert_same_fit(labelled.fit(), expected)
    assert labelled.endog_names == "yi"
    bare = MetaMixedLM(
        data["yi"].to_numpy(), design.to_numpy(), data["vi"].to_numpy(), data["study"].to_numpy()
    )
    assert_same_fit(bare.fit(), expected, names=False)
    assert bare.exog_names == ["const", "x1", "x2", "x3"]
    assert bare.endog_names == "y"


def test_two_columns_of_groups_are_nested(data):
    expected = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="study/es").fit()
    assert list(expected.vcomp["term"]) == ["study", "study/es"]
    assert list(expected.vcomp["n_levels"]) == [8, 24]
    columns = data[["study", "es"]]
    named = MetaMixedLM(data["yi"], None, data["vi"], groups=columns).fit()
    assert_same_fit(named, expected, names=False)
    assert list(named.vcomp["term"]) == ["study", "study/es"]
    bare = MetaMixedLM(
        data["yi"].to_numpy(), None, data["vi"].to_numpy(), groups=columns.to_numpy()
    ).fit()
    assert_same_fit(bare, expected, names=False)
    assert bare.vcomp["term"].is_unique


@pytest.mark.parametrize("index", ["labels", "integers in another order"])
@pytest.mark.parametrize("depth", [1, 2])
def test_groups_without_an_index_go_by_position(index, depth, data):
    if index != "labels":
        data.index = np.random.default_rng(1).permutation(len(data))
    columns = data[["study", "es"]].to_numpy()
    model = MetaMixedLM(
        data["yi"], None, data["vi"], groups=columns if depth == 2 else columns[:, 0]
    )
    expected = MetaMixedLM.from_formula(
        "yi ~ 1", data, variance="vi", groups="study/es" if depth == 2 else "study"
    )
    assert_same_fit(model.fit(), expected.fit(), names=False)


@pytest.mark.parametrize(
    "terms",
    [
        {"groups": ["study", "es"]},
        {"groups": "study", "random": "1 | study:es"},
        {"random": "1 | study/es"},
        {"random": Random("1 | study/es")},
        {"random": ["1 | study", Random("1 | study:es")]},
    ],
)
def test_spellings_of_nested_groups(terms, data):
    expected = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="study/es").fit()
    found = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", **terms).fit()
    assert_same_fit(found, expected, names=False)


def test_crossed_terms_maximise_the_dense_likelihood(data):
    model = MetaMixedLM.from_formula(
        "yi ~ 1", data, variance="vi", random=["1 | study", "1 | species"]
    )
    result = model.fit(reml=False)
    assert list(result.vcomp["term"]) == ["study", "species"]

    def loglik(theta):
        zz = [np.equal.outer(c, c) for c in (data["study"].to_numpy(), data["species"].to_numpy())]
        m = np.diag(data["vi"]) + theta[0] * zz[0] + theta[1] * zz[1]
        x, y = np.ones((len(data), 1)), data["yi"].to_numpy()
        weight = np.linalg.inv(m)
        r = y - x @ np.linalg.solve(x.T @ weight @ x, x.T @ weight @ y)
        return -0.5 * (len(y) * np.log(2 * np.pi) + np.linalg.slogdet(m)[1] + r @ weight @ r)

    best = result.vcomp["estimate"].to_numpy()
    assert result.llf == pytest.approx(loglik(best), rel=1e-12)
    for step in ([0.01, 0], [-0.01, 0], [0, 0.01], [0, -0.01]):
        assert loglik(best + step) < result.llf


def test_without_random_effects_it_is_weighted_least_squares(data):
    result = MetaMixedLM.from_formula("yi ~ x", data, variance="vi").fit()
    x, weight = np.column_stack([np.ones(len(data)), data["x"]]), np.diag(1 / data["vi"])
    cov = np.linalg.inv(x.T @ weight @ x)
    assert result.params.to_numpy() == pytest.approx(cov @ x.T @ weight @ data["yi"], rel=1e-12)
    assert result.bse.to_numpy() == pytest.approx(np.sqrt(np.diag(cov)), rel=1e-12)
    assert result.status is Status.NOTHING_TO_ESTIMATE
    assert result.converged
    assert result.ranef() == {}


def test_the_intercept_alone_needs_no_design(data):
    found = MetaMixedLM(data["yi"], None, data["vi"], data["study"]).fit()
    expected = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="study").fit()
    assert_same_fit(found, expected, names=False)


@pytest.mark.parametrize("backend", ["nested", "compressed", "blocks", "woodbury", "dense"])
def test_every_backend_gives_the_same_fit(backend, data):
    model = MetaMixedLM.from_formula(
        "yi ~ x + kind", data, variance="vi", groups="study", backend=backend
    )
    assert_same_fit(model.fit(), _two_level_fit())


# -- the model stays as it was ---------------------------------------------------------------


def _state(model):
    return {k: v for k, v in vars(model).items() if k != "_backend"}


def _numbers(model):
    problem = model.prepared.problem
    arrays = (problem.y, problem.x, problem.v.variances, model.endog, model.exog)
    return [a.tobytes() for a in arrays]


def test_fits_share_a_model_and_leave_it_alone(data):
    model = MetaMixedLM.from_formula("yi ~ x + kind", data, variance="vi", groups="study")
    before, numbers = _state(model), _numbers(model)
    reml, ml = model.fit(), model.fit(reml=False)
    reml.summary(), ml.get_prediction(), reml.get_robustcov_results()
    after = _state(model)
    assert after.keys() == before.keys()
    assert all(after[k] is before[k] for k in before)
    assert _numbers(model) == numbers
    assert reml.reml
    assert not ml.reml
    assert ml.sigma2[0] < reml.sigma2[0]
    assert reml.llf == pytest.approx(model.loglike(reml.vcomp["estimate"]), rel=1e-12)
    assert ml.llf == pytest.approx(model.loglike(ml.vcomp["estimate"], reml=False), rel=1e-12)
    assert_same_fit(model.fit(), reml)


def test_the_data_are_not_changed(data):
    before = data.copy()
    MetaMixedLM.from_formula("yi ~ x + kind", data, variance="vi", groups="study").fit()
    pd.testing.assert_frame_equal(data, before)


def test_threads_may_fit_at_once(data):
    model = MetaMixedLM.from_formula("yi ~ x + kind", data, variance="vi", groups="study")
    with ThreadPoolExecutor(2) as pool:
        shared = list(pool.map(lambda reml: model.fit(reml=reml), [True, False] * 3))
        built = list(
            pool.map(
                lambda f: MetaMixedLM.from_formula(f, data, variance="vi", groups="study").fit(),
                ["yi ~ x + kind", "yi ~ x"] * 2,
            )
        )
    for found in [*shared[::2], *built[::2]]:
        assert_same_fit(found, _two_level_fit())
    assert len({fit.llf for fit in shared[1::2]}) == 1
    assert all(fit.k_fe == 2 for fit in built[1::2])


# -- options of fit --------------------------------------------------------------------------


@pytest.mark.parametrize("start", [[0.0], [0.01], [50.0]])
def test_start_does_not_decide_the_answer(start):
    assert_same_fit(_two_level().fit(start=start), _two_level_fit())


def test_a_start_at_the_maximum_is_accepted():
    best = _two_level_fit().vcomp["estimate"]
    assert_same_fit(_two_level().fit(start=best), _two_level_fit())


@pytest.mark.parametrize(
    ("start", "match"),
    [([1.0, 2.0], r"has 1 components.*got shape \(2,\)"), ([-1.0], r"must lie in \[0, inf\]")],
)
def test_a_start_that_is_none(start, match):
    with pytest.raises(SpecificationError, match=match):
        _two_level().fit(start=start)


def test_too_few_evaluations_are_a_convergence_warning():
    with pytest.warns(ConvergenceWarning, match=r"iteration limit.*maxiter= may help") as caught:
        result = _two_level().fit(start=[1e4], maxiter=1)
    assert caught[0].filename == __file__
    assert not result.converged
    assert result.status is Status.MAXIMUM_ITERATIONS
    assert "iteration limit" in str(result.summary())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"df": "sattherwaite"}, "unknown df 'sattherwaite'.*satterthwaite.*kenward-roger"),
        ({"df": [1.0, 2.0]}, r"one per coefficient \(4\)"),
        ({"df": 0}, "must be positive"),
        ({"cov_type": "HC3"}, "unknown cov_type 'HC3'.*CR2"),
        ({"cov_kwds": {"groups": "study"}}, "'nonrobust': takes none, got groups"),
        ({"cov_type": "CR2", "cov_kwds": {"cluster": "study"}}, "df, groups, repair, got cluster"),
        ({"cov_type": "CR2", "cov_kwds": {"df": "contain"}}, "contain"),
        ({"df": "kenward-roger", "cov_type": "knha"}, "does not go with 'knha'"),
        ({"df": "kenward-roger", "reml": False}, "(?i)reml"),
        ({"reml": "ML"}, r"True \(REML\) or False \(ML\), got 'ML'"),
        ({"maxiter": 0}, "maxiter= must be at least 1"),
        ({"tol": 0.0}, "tol= positive"),
    ],
)
def test_options_that_do_not_exist_or_do_not_go_together(options, match):
    with pytest.raises(SpecificationError, match=match):
        _two_level().fit(**options)


@pytest.mark.parametrize(
    "options", [{"grups": "study"}, {"vi": "vi"}, {"method": "REML"}, {"drop_cols": ["x"]}]
)
def test_unknown_keywords_are_not_swallowed(options, data):
    with pytest.raises(TypeError, match="unexpected keyword"):
        MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", **options)
    with pytest.raises(TypeError, match="unexpected keyword"):
        _two_level().fit(**options)


def test_unknown_backend(data):
    with pytest.raises(SpecificationError, match=r"backend.*nested.*dense"):
        MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", backend="cholmod").fit()


def test_disp_prints_the_ascent(capsys):
    result = _two_level().fit(disp=True)
    lines = capsys.readouterr().out.strip().split("\n")
    assert len(lines) >= len(result.history) > 0
    assert "decrement" in lines[0]


# -- formulas --------------------------------------------------------------------------------


@pytest.fixture
def formulaic():
    """statsmodels with its formula engine switched (0.15; older versions know only patsy)."""
    options = pytest.importorskip("statsmodels.formula").options
    before = options.formula_engine
    options.formula_engine = "formulaic"
    yield
    options.formula_engine = before


def test_the_global_formula_engine_does_not_matter(data, request):
    before = MetaMixedLM.from_formula("yi ~ x + C(kind)", data, variance="vi", groups="study").fit()
    pickled = pickle.dumps(before)
    pytest.importorskip("formulaic")
    if not hasattr(statsmodels.formula, "options"):
        pytest.skip("this statsmodels has one formula engine")
    request.getfixturevalue("formulaic")
    during = MetaMixedLM.from_formula("yi ~ x + C(kind)", data, variance="vi", groups="study").fit()
    hypothesis = "C(kind)[T.b] = C(kind)[T.c], x = 0"
    new = pd.DataFrame({"x": [0.5], "kind": ["b"]})
    for result in (before, during, pickle.loads(pickled)):
        assert_same_fit(result, before)
        assert result.predict(new)[0] == pytest.approx(
            result.params @ np.array([1, 1, 0, 0.5]), rel=1e-12
        )
        table = result.t_test(hypothesis).effect
        b, c, x = result.params[["C(kind)[T.b]", "C(kind)[T.c]", "x"]]
        assert table == pytest.approx([b - c, x], rel=1e-12)
        assert result.wald_test(hypothesis).df_denom == 2
        assert len(result.wald_test_terms().table) == 3
        assert len(result.t_test_pairwise("C(kind)").result_frame) == 3


def test_local_functions_of_the_caller_are_seen(data):
    def twice(values):
        return 2 * values

    local = MetaMixedLM.from_formula("yi ~ twice(x)", data, variance="vi").fit()
    plain = MetaMixedLM.from_formula("yi ~ x", data, variance="vi").fit()
    assert local.params["twice(x)"] == pytest.approx(plain.params["x"] / 2, rel=1e-12)
    new = pd.DataFrame({"x": [3.0]})
    assert local.predict(new)[0] == pytest.approx(plain.predict(new)[0], rel=1e-12)


def test_eval_env_looks_further_up(data):
    def build(**options):
        return MetaMixedLM.from_formula("yi ~ twice(x)", data, variance="vi", **options)

    def caller():
        def twice(values):
            return 2 * values

        assert twice(1) == 2
        return build(eval_env=1)

    assert caller().exog_names == ["Intercept", "twice(x)"]


# -- rows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["mask", "series", "positions", "column"])
def test_subset(form, data):
    data["keep"] = data["species"] != "p0"
    subset = {
        "mask": data["keep"].to_numpy(),
        "series": data["keep"].sample(frac=1, random_state=1),
        "positions": np.flatnonzero(data["keep"]),
        "column": "keep",
    }[form]
    dense = np.diag(data["vi"]) + 0.01
    whole = MetaMixedLM.from_formula(
        "yi ~ x", data, subset, variance=dense, groups="study", weights="w"
    )
    keep = data["keep"].to_numpy()
    part = MetaMixedLM.from_formula(
        "yi ~ x",
        data[keep],
        variance=dense[np.ix_(keep, keep)],
        groups="study",
        weights="w",
    )
    assert_same_fit(whole.fit(), part.fit())
    assert len(whole.dropped) == 0
    assert list(whole.fit().resid.index) == list(data.index[keep])


def _with_holes(data):
    """A missing value in y, X, groups, weights and V, each in a row of its own."""
    data = data.copy()
    data.loc["r1", "yi"] = np.nan
    data.loc["r5", "x"] = np.nan
    data.loc["r9", "study"] = None
    data.loc["r13", "w"] = np.nan
    v = np.diag(data["vi"]) + 0.01
    v[17, 17] = np.nan
    return data, v, [1, 5, 9, 13, 17]


def test_one_mask_drops_rows_everywhere(data):
    holed, v, rows = _with_holes(data)
    options = {"groups": "study", "weights": "w"}
    message = r"5 of 24 rows dropped.*yi \(row r1\).*x \(row r5\)"
    with pytest.warns(MvmetaWarning, match=message) as caught:
        model = MetaMixedLM.from_formula("yi ~ x", holed, variance=v, **options)
    assert caught[0].filename == __file__
    keep = np.delete(np.arange(24), rows)
    whole = MetaMixedLM.from_formula(
        "yi ~ x", data.iloc[keep], variance=v[np.ix_(keep, keep)], **options
    )
    result = model.fit()
    assert_same_fit(result, whole.fit())
    assert list(model.dropped["row"]) == ["r1", "r5", "r9", "r13", "r17"]
    assert result.nobs == 19
    assert "5 of 24 rows were left out" in str(result.summary())
    with pytest.warns(MvmetaWarning, match="5 of 24 rows dropped"):
        arrays = MetaMixedLM(
            holed["yi"],
            holed[["x"]].assign(const=1.0)[["const", "x"]],
            v,
            groups=holed["study"],
            weights=holed["w"],
            missing="drop",
        )
    assert_same_fit(arrays.fit(), result, names=False)


@pytest.mark.parametrize("missing", ["raise", "none"])
def test_missing_values_are_errors_on_request(missing, data):
    holed, v, _ = _with_holes(data)
    with pytest.raises(ValueError, match=r"missing values in .*yi \(row r1\).*missing='drop'"):
        MetaMixedLM.from_formula("yi ~ x", holed, variance=v, groups="study", missing=missing)
    with pytest.raises(ValueError, match=r"x \(row r5\)"):
        MetaMixedLM(holed["yi"], holed[["x"]], v, holed["study"], missing=missing)


@pytest.mark.parametrize(
    "index",
    [
        pd.Index([7] * 24),
        pd.date_range("2001", periods=24),
        pd.MultiIndex.from_product([["u", "v"], range(12)]),
        pd.Index([f"r{i}" for i in range(24)][::-1]),
        pd.Index([None, *"abcdefghijklmnopqrstuvw"]),
    ],
    ids=["repeated", "dates", "two levels", "reversed", "with a missing label"],
)
def test_any_index_is_kept(index, data):
    data.index = index
    model = MetaMixedLM.from_formula("yi ~ x + kind", data, variance="vi", groups="study")
    result = model.fit()
    assert_same_fit(result, _two_level_fit())
    for rows in (result.fittedvalues, result.resid, result.blup(), result.weights()):
        pd.testing.assert_index_equal(rows.index, index)
    assert list(result.predict(data)) == pytest.approx(list(result.fittedvalues), rel=1e-12)
    pd.testing.assert_index_equal(result.predict(data).index, index)


def test_weights_column(data):
    found = MetaMixedLM.from_formula("yi ~ x", data, variance="vi", groups="study", weights="w")
    given = MetaMixedLM.from_formula(
        "yi ~ x", data, variance="vi", groups="study", weights=np.diag(data["w"])
    )
    result = found.fit()
    assert_same_fit(given.fit(), result)
    x, w = found.exog, np.diag(data["w"])
    bread = np.linalg.inv(x.T @ w @ x)
    assert result.params.to_numpy() == pytest.approx(bread @ x.T @ w @ data["yi"], rel=1e-10)
    same_study = np.equal.outer(data["study"].to_numpy(), data["study"].to_numpy())
    m = np.diag(data["vi"]) + result.sigma2[0] * same_study
    cov = bread @ x.T @ w @ m @ w @ x @ bread
    assert result.cov_params().to_numpy() == pytest.approx(cov, rel=1e-10)


def test_row_order_does_not_matter(data):
    shuffled = data.sample(frac=1, random_state=3)
    model = MetaMixedLM.from_formula("yi ~ x + kind", shuffled, variance="vi", groups="study")
    assert_same_fit(model.fit(), _two_level_fit())


def test_units_of_the_response_scale_the_answer(data):
    scaled = data.assign(yi=1e3 * data["yi"], vi=1e6 * data["vi"])
    result = MetaMixedLM.from_formula("yi ~ x + kind", scaled, variance="vi", groups="study").fit()
    expected = _two_level_fit()
    assert result.sigma2[0] == pytest.approx(1e6 * expected.sigma2[0], rel=SAME)
    assert result.params.to_numpy() == pytest.approx(1e3 * expected.params.to_numpy(), rel=SAME)
    assert result.tvalues.to_numpy() == pytest.approx(expected.tvalues.to_numpy(), rel=SAME)
