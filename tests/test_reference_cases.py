"""Fits against metafor: maxima found elsewhere, and everything reported at fixed components."""

import re

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM
from mvmeta.errors import MvmetaError, MvmetaWarning
from tests.reference.agreement import PAGE, cases, compare
from tests.reference.loader import (
    STRUCTURED_NAMES,
    array,
    build_model,
    components_of,
    data_frame,
    fit_case,
    fit_options,
    fitted_case,
    load_case,
    variance_of,
)
from tests.reference.parameters import AT_FIXED, AT_OPTIMUM, LIKELIHOODS, each_case
from tests.reference.tolerance import assert_close, assert_near, tolerance_of

CRITERIA = (("llf", "ll"), ("deviance", "dev"), ("aic", "AIC"), ("bic", "BIC"), ("aicc", "AICc"))
MEAN_COLUMNS = {
    "mean": "pred",
    "mean_se": "se",
    "mean_ci_lower": "ci_lb",
    "mean_ci_upper": "ci_ub",
}
INTERVAL_COLUMNS = {"obs_ci_lower": "pi_lb", "obs_ci_upper": "pi_ub"}


every_case = each_case(AT_OPTIMUM, AT_FIXED)
optimum_cases = each_case(AT_OPTIMUM)


def checked(key):
    """Every case that has this entry in `checks`."""
    return each_case(AT_OPTIMUM, AT_FIXED, checks=key)


def _at_reference(folder, name):
    """Case, results and tolerance; skips where estimates cannot be compared at all."""
    case = load_case(name, folder)
    results, tolerance = fitted_case(name, folder), tolerance_of(case)
    if not tolerance.determined:
        pytest.skip("the likelihood does not determine the standard errors of this case")
    psd = case.get("optimum", {}).get("restricted_to_psd")
    if psd and results.llf < case["optimum"]["best_loglik"] - 1e-6:
        pytest.skip("the reference's G is indefinite: another optimum")
    return case, results, tolerance


@optimum_cases
def test_likelihood_reaches_the_best_known(folder, name):
    case, results = load_case(name, folder), fitted_case(name, folder)
    optimum = case["optimum"]
    best = optimum["best_loglik"]
    # Far above would mean another likelihood, not a better optimum.
    assert results.llf <= best + 1e-6 * max(1.0, abs(best))
    assert results.converged
    criterion = results.info_criteria(reml=optimum["criterion"] == "REML")
    assert results.llf == pytest.approx(criterion["llf"], rel=1e-12)
    if case["model"]["W"] is not None:
        return  # reported at the user's coefficients, which are not those that maximise it
    if optimum.get("restricted_to_psd"):
        best = min(best, optimum["restricted_to_psd"]["best_loglik"])
    assert results.llf >= best - 1e-8 * max(1.0, abs(best))


@every_case
def test_design(folder, name):
    case, results = load_case(name, folder), fitted_case(name, folder)
    assert results.nobs == case["expected"]["k"]
    assert results.k_fe == case["expected"]["p"]
    assert_close(results.model.exog, case["design"]["X"], relative=1e-12, what="X")


@every_case
def test_coefficients(folder, name):
    case, results, tol = _at_reference(folder, name)
    expected = case["expected"]["coefficients"]
    est, se = array(expected["est"]), array(expected["se"])
    assert_close(results.params, est, absolute=tol.params, what="params")
    assert_close(results.bse, se, absolute=tol.bse, what="bse")
    # d(b/s) = db/s + |b| ds/s^2
    stat = tol.params / se + np.abs(est) * tol.bse / se**2
    assert_close(results.tvalues, expected["stat"], absolute=stat, what="tvalues")
    assert_close(results.pvalues, expected["pval"], absolute=2 * stat + 1e-12, what="pvalues")
    interval = np.asarray(results.conf_int(alpha=1 - case["model"]["level"] / 100))
    # 13 is the 95 % quantile of t with one df, the smallest there is.
    ends = (tol.params + 13 * tol.bse)[:, None]
    bounds = np.column_stack([array(expected["ci_lb"]), array(expected["ci_ub"])])
    assert_close(interval, bounds, absolute=ends, what="conf_int")


@every_case
def test_covariance_of_coefficients(folder, name):
    case, results, tol = _at_reference(folder, name)
    se = array(case["expected"]["coefficients"]["se"])
    allowed = 2 * (np.outer(se, tol.bse) + np.outer(tol.bse, se))
    assert_close(results.cov_params(), case["expected"]["vcov"], absolute=allowed, what="vcov")


@every_case
def test_degrees_of_freedom(folder, name):
    case, results = load_case(name, folder), fitted_case(name, folder)
    expected = case["expected"]["coefficients"]["ddf"]
    df = np.broadcast_to(np.asarray(results.df_inference, dtype=float), len(results.params))
    if expected is None:
        assert np.isposinf(df).all()
    else:
        assert_close(df, expected, relative=1e-12, what="df_inference")


@optimum_cases
def test_components(folder, name):
    case, results, tol = _at_reference(folder, name)
    ours = components_of(results)
    for component, expected in case["expected"]["components"].items():
        if component in ("rho", "phi") and component not in ours:
            assert not np.any(array(expected)), f"{component} is not reported"
            continue
        allowed = tol.components[component]
        assert_close(ours[component], expected, absolute=allowed, what=component)


@every_case
def test_heterogeneity(folder, name):
    expected = load_case(name, folder)["expected"]
    test = fitted_case(name, folder).heterogeneity_test()
    if expected["QE"] is None:
        assert np.isnan(test.statistic)
        return
    # QE does not depend on the components, but V may be nearly singular.
    assert_close(test.statistic, expected["QE"], relative=1e-8, absolute=1e-12, what="QE")
    assert test.df == expected["QE_df"]
    assert_close(test.pvalue, expected["QEp"], relative=1e-6, absolute=1e-12, what="QEp")


@every_case
def test_moderators(folder, name):
    case, results, tol = _at_reference(folder, name)
    expected, test = case["expected"], results.moderators_test()
    # A quadratic form in b / se: twice the relative width of each.
    wide = 4 * tol.relative
    assert_close(test.statistic, expected["QM"], relative=wide, absolute=1e-9, what="QM")
    df = [test.df, test.df_denom] if expected["QM_df"][1] is not None else [test.df]
    assert_close(df, expected["QM_df"][: len(df)], relative=1e-12, what="QM df")
    assert_close(test.pvalue, expected["QMp"], relative=10 * wide, absolute=1e-10, what="QMp")


@every_case
def test_information_criteria(folder, name):
    case, results, tol = _at_reference(folder, name)
    own = case.get("optimum", {}).get("criterion")
    for criterion in ("ML", "REML"):
        ours = results.info_criteria(reml=criterion == "REML")
        # Flat at its own maximum; the other criterion has a slope there.
        absolute = 1e-6 if criterion == own else 10 * tol.relative
        for key, theirs in CRITERIA:
            expected = case["expected"]["fit_stats"][criterion][theirs]
            assert_close(
                ours[key], expected, absolute=absolute, relative=1e-9, what=f"{criterion} {key}"
            )


@optimum_cases
def test_parameters_are_counted(folder, name):
    case, results = load_case(name, folder), fitted_case(name, folder)
    assert results.k_fe + results.k_vcomp == case["expected"]["n_parameters"]


@every_case
def test_fitted_values(folder, name):
    case, results, tol = _at_reference(folder, name)
    allowed = np.abs(array(case["design"]["X"])) @ tol.params + 1e-12
    expected = case["expected"]["fitted"]
    assert_close(results.fittedvalues, expected, absolute=allowed, what="fitted")


@checked("residuals")
def test_residuals(folder, name):
    case, results, tol = _at_reference(folder, name)
    expected = case["checks"]["residuals"]
    influence = results.get_influence()
    found = {
        "response": results.resid,
        "pearson": results.resid_pearson,
        "hatvalues": influence.hat_matrix_diag,
        "rstandard": influence.resid_studentized_internal,
        "cholesky": results.resid_cholesky,
    }
    expected = expected | {"rstandard": expected["rstandard"] and expected["rstandard"]["z"]}
    if expected["hatvalues"] is not None and max(array(expected["hatvalues"])) > 1 - 1e-9:
        del found["rstandard"]  # 0 / 0 in the rows that are fitted exactly
    for key, ours in found.items():
        if expected.get(key) is not None:
            assert_near(ours, expected[key], 5 * tol.relative, what=key)


@checked("residuals")
def test_weights(folder, name):
    case, results, tol = _at_reference(folder, name)
    weights, expected = results.weights(by="row"), case["checks"]["residuals"]
    for ours, theirs in (("diagonal", "weights_diag_pct"), ("rowsum", "weights_rowsum_pct")):
        if expected[theirs] is not None:
            assert_near(weights[ours], expected[theirs], 5 * tol.relative, what=ours)


@checked("ranef")
def test_random_effects(folder, name):
    case, results, tol = _at_reference(folder, name)
    floor = np.max(array(case["expected"]["coefficients"]["se"]))
    tables = list(results.ranef().values())
    assert len(tables) == len(case["checks"]["ranef"])
    for table, expected in zip(tables, case["checks"]["ranef"], strict=True):
        if "levels" not in expected and "inner" not in expected:
            continue  # slopes and sites: no labels in common
        ours = _aligned(table, expected)
        for column, key in (("estimate", "est"), ("se", "se")):
            assert_near(ours[column], expected[key], 10 * tol.relative, floor=floor, what=key)
        if case["model"]["test"] == "z" and "pi_lb" in expected:
            for column, key in (("pi_lower", "pi_lb"), ("pi_upper", "pi_ub")):
                assert_near(ours[column], expected[key], 30 * tol.relative, floor=floor, what=key)


def _aligned(table, expected):
    """Rows of a ranef() table in the order of the case, matched by the text of their labels."""
    if "levels" in expected:
        wanted = [str(level) for level in expected["levels"]]
        labels = [str(label) for label in table.index]
    else:
        wanted = list(zip(map(str, expected["outer"]), map(str, expected["inner"]), strict=True))
        labels = [tuple(map(str, label)) for label in table.index]
    position = {label: row for row, label in enumerate(labels)}
    return table.iloc[[position[label] for label in wanted]]


@checked("predict")
def test_predictions(folder, name):
    case, results, tol = _at_reference(folder, name)
    floor = np.max(array(case["expected"]["coefficients"]["se"]))
    for item in case["checks"]["predict"]:
        new, with_interval = _new_data(case, item)
        options = {} if item.get("new_vi") is None else {"new_variance": item["new_vi"]}
        frame = results.get_prediction(new, **options).summary_frame(alpha=1 - item["level"] / 100)
        columns = MEAN_COLUMNS | (INTERVAL_COLUMNS if with_interval else {})
        for ours, theirs in columns.items():
            # Ends of an interval carry up to 13 standard errors of one df.
            assert_near(frame[ours], item[theirs], 20 * tol.relative, floor=floor, what=theirs)


def _new_data(case, item):
    """Frame to predict at, and whether it can say which levels the intervals are for."""
    rows = len(item["pred"])
    new = pd.DataFrame(item["newdata"]) if item.get("newdata") else pd.DataFrame(index=range(rows))
    structured = [t for t in case["model"]["random"] or [] if t["type"] == "struct"]
    for (key, _), term in zip(STRUCTURED_NAMES, structured, strict=False):
        levels = item.get(f"{key}_levels")
        if levels is None:
            continue
        wanted = list(map(str, np.broadcast_to(levels, rows)))
        if term["inner"] in new and list(map(str, new[term["inner"]])) != wanted:
            return new, False  # a moderator too, and asked for at another of its levels
        new[term["inner"]] = levels
    return new, True


@checked("contrasts")
def test_contrasts(folder, name):
    case, results, tol = _at_reference(folder, name)
    for item in case["checks"]["contrasts"]:
        L = np.eye(len(results.params))[item["btt"]] if "btt" in item else array(item["L"])
        rhs = np.broadcast_to(array(item.get("rhs") or 0.0), len(L))
        test = results.t_test((L, rhs))
        found = {
            "est_minus_rhs": np.ravel(test.effect) - rhs,
            "se": np.ravel(test.sd),
            "stat": np.ravel(test.statistic),
            "pval": np.ravel(test.pvalue),
        }
        joint = results.wald_test((L, rhs), scalar=True)
        found |= {"QM": float(joint.statistic), "QMp": float(joint.pvalue)}
        for key, ours in found.items():
            if item.get(key) is not None:
                # Differences of coefficients lose digits that the coefficients have.
                assert_near(ours, item[key], 20 * tol.relative, what=key)


@checked("lrt")
def test_likelihoods_of_reduced_models(folder, name):
    case, full = load_case(name, folder), fitted_case(name, folder)
    for item in case["checks"]["lrt"]:
        parts = {key: item["reduced"].get(key) for key in ("formula", "random", "fixed")}
        reduced = build_model(case, **parts).fit(**fit_options(case))
        parameters = [fit.k_fe + fit.k_vcomp for fit in (full, reduced)]
        assert parameters[0] - parameters[1] == item["df"]
        # Twice the difference of two maxima, each within 1e-7 of its own.
        assert 2 * (full.llf - reduced.llf) == pytest.approx(item["LRT"], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", ["a01_toy_study_reml", "b01_konst_3level_reml"])
def test_groups_are_nested_random_terms(name):
    case = load_case(name)
    groups = case["model"]["random"][0]["formula"].removeprefix("1 | ")
    frame = data_frame(case)
    grouped = MetaMixedLM.from_formula(
        case["model"]["formula"], frame, variance=variance_of(case, frame), groups=groups
    ).fit()
    random = fitted_case(name)
    assert list(grouped.vcomp["term"]) == list(random.vcomp["term"])
    assert_close(grouped.vcomp["estimate"], random.vcomp["estimate"], relative=1e-9)
    assert grouped.llf == pytest.approx(random.llf, rel=1e-12)


def test_too_few_rows_are_refused():
    case = load_case("k05_single_row_error")
    assert case["expected_error"]["code"] == "too_few_rows"
    with pytest.raises(MvmetaError):
        fit_case(case)


def test_redundant_columns_are_named():
    case = load_case("j009_nested_cell")
    assert case["design"]["dropped_columns"] == [5]
    with pytest.warns(MvmetaWarning, match=r"C\(A\)\[T\.a3\]:C\(B\)\[T\.b2\]"):
        build_model(case)


def test_validation_page_has_every_case():
    text = PAGE.read_text(encoding="utf-8")
    names = [name for folder in (AT_OPTIMUM, AT_FIXED, LIKELIHOODS) for name in cases(folder)]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == names


@pytest.mark.parametrize("name", ["a01_toy_study_reml", "c01_berkey_un_reml"])
def test_digits_of_agreement_are_those_of_the_page(name):
    row = next(r for r in PAGE.read_text(encoding="utf-8").splitlines() if f"`{name}`" in r)
    stated = [float(c) for c in row.strip("| ").split(" | ")[3:]]
    # A digit more or less is another rounding of the same fit.
    np.testing.assert_allclose(compare(name, AT_OPTIMUM), stated, atol=1.5)
