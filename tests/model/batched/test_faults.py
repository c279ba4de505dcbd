"""Batches that cannot be used say which, why, and what to do."""

import numpy as np
import pandas as pd
import pytest

from mvmeta import CovarianceError, DataError, MetaMixedLM, Random, SpecificationError
from tests.model.batched.simulated import cut, effects

FRAME = effects(24)


def model(batches, formula="y ~ dose", **options):
    return MetaMixedLM.from_batches(
        formula, batches, **{"variance": "v", "groups": "study", **options}
    )


def changed(number, change, studies=6):
    """Batches of which one is changed."""

    def batches():
        for k, frame in enumerate(cut(FRAME, studies)()):
            yield change(frame.copy()) if k == number else frame

    return batches


def test_an_iterator_is_used_up_after_one_pass():
    with pytest.raises(DataError, match=r"function that returns a new iterator.*lambda"):
        model(cut(FRAME)())


def test_a_function_that_returns_the_same_iterator_again():
    iterator = cut(FRAME)()
    with pytest.raises(DataError, match="new iterator over the same frames at every call"):
        model(lambda: iterator)


@pytest.mark.parametrize("batches", [list, lambda: iter([FRAME.iloc[:0]]), lambda: []])
def test_no_rows_at_all(batches):
    with pytest.raises(DataError, match=r"no frame at all|no usable row"):
        model(batches)


def test_a_scale_formula_needs_all_rows():
    random = Random("1 | id", scale="dose")
    with pytest.raises(SpecificationError, match=r"'id \(scale\)': scale= .*from_formula"):
        model(cut(FRAME), random=random)


@pytest.mark.parametrize("batches", [FRAME, 3, lambda: 3, "effects.parquet"])
def test_no_batches(batches):
    with pytest.raises(DataError, match=r"from_formula|must be a function|must return"):
        model(batches)


def test_a_batch_without_a_column():
    with pytest.raises(DataError, match=r"^batch 2: column 'dose' .* is not in the data"):
        model(changed(2, lambda f: f.drop(columns="dose")))


@pytest.mark.parametrize(
    ("column", "formula"), [("dose", "y ~ dose"), ("study", "y ~ 1"), ("v", "y ~ 1")]
)
def test_a_column_of_another_type(column, formula):
    with pytest.raises(DataError, match=rf"{column}.*(batch 1|numeric)"):
        model(changed(1, lambda f: f.assign(**{column: f[column].map("n{}".format)})), formula)


def test_empty_batches_and_batches_without_usable_rows_do_no_harm():
    def batches():
        yield FRAME.iloc[:0]
        for frame in cut(FRAME)():
            yield frame
            yield frame.assign(y=np.nan, study=frame["study"] + 1000)

    with pytest.warns(Warning, match=f"{len(FRAME)} of {2 * len(FRAME)} rows dropped"):
        found = model(batches).fit()
    wanted = MetaMixedLM.from_formula("y ~ dose", FRAME, variance="v", groups="study").fit()
    np.testing.assert_allclose(found.params, wanted.params, rtol=1e-9)


def test_missing_raise_names_batch_and_rows():
    def lose(frame):
        frame.iloc[1, frame.columns.get_loc("y")] = np.nan
        return frame

    with pytest.raises(DataError, match=r"^batch 1: missing values in y \(row r\d+\)"):
        model(changed(1, lose), missing="raise")


def test_infinite_values_name_batch_and_rows():
    def spoil(frame):
        frame.iloc[1, frame.columns.get_loc("dose")] = np.inf
        return frame

    with pytest.raises(DataError, match=r"^batch 1: infinite.*dose \(row r\d+\)"):
        model(changed(1, spoil))


def test_a_negative_variance_names_batch_and_row():
    def spoil(frame):
        frame.iloc[1, frame.columns.get_loc("v")] = -1.0
        return frame

    with pytest.raises(CovarianceError, match=r"^batch 3: .*negative in row r\d+"):
        model(changed(3, spoil))


@pytest.mark.parametrize("labels", ["numbers", "text", "whole floats"])
def test_a_study_split_over_batches_is_named(labels):
    frame = FRAME.copy()
    half = len(frame) // 2
    while frame["study"].iloc[half] != frame["study"].iloc[half - 1]:
        half += 1
    split = frame["study"].iloc[half]
    if labels == "text":
        frame["study"] = frame["study"].map("s{}".format)
    parts = [frame.iloc[:half], frame.iloc[half:]]
    if labels == "whole floats":
        parts[1] = parts[1].astype({"study": float})
    with pytest.raises(DataError, match=rf"s?{split}.* of 'study' has rows in batches 0 and 1"):
        model(lambda: iter(parts))


def test_a_study_that_comes_back_later_is_named():
    parts = [*cut(FRAME, 6)(), FRAME.iloc[:1]]
    name = FRAME["study"].iloc[0]
    with pytest.raises(DataError, match=f"level {name} of 'study' has rows in batches 0 and 4"):
        model(lambda: iter(parts))


def test_batches_in_any_order_are_fine():
    parts = list(cut(FRAME, 1)())[::-1]
    found = model(lambda: iter(parts[1::2] + parts[::2]), groups="study/id")
    wanted = MetaMixedLM.from_formula("y ~ dose", FRAME, variance="v", groups="study/id")
    np.testing.assert_allclose(found.fit().params, wanted.fit().params, rtol=1e-9)


def test_crossed_effects_are_refused():
    with pytest.raises(DataError, match=r"'arm' has rows in batches.*cross studies.*from_formula"):
        model(cut(FRAME), random="1 | arm")


@pytest.mark.parametrize(
    "term",
    [
        Random("1 | study", corr=pd.DataFrame(np.eye(2), [100, 101], [100, 101])),
        Random("outcome | study", corr=pd.DataFrame(np.eye(2), [100, 101], [100, 101])),
        Random("dose + v | const", struct="SPEXP"),
    ],
)
def test_terms_that_link_all_rows_are_refused(term):
    with pytest.raises(SpecificationError, match=r"links rows of different batches.*from_formula"):
        model(cut(FRAME), groups=None, random=term)


def test_arrays_have_no_batches():
    with pytest.raises(SpecificationError, match="names of columns"):
        model(cut(FRAME), groups=FRAME["study"].to_numpy())
    with pytest.raises(DataError, match="name of a column, a number, or a function"):
        model(cut(FRAME), variance=FRAME["v"].to_numpy())


def test_an_identifier_as_a_factor_is_a_mistake(monkeypatch):
    monkeypatch.setattr("mvmeta.model.batched.witness.MOST_LEVELS", 5)
    with pytest.raises(SpecificationError, match="more than 5 levels"):
        model(cut(FRAME), "y ~ C(study)")


def test_other_frames_at_a_later_pass():
    passes = []

    def batches():
        passes.append(1)
        frames = list(cut(FRAME, 6)())
        return iter(frames if len(passes) < 4 else frames[:-1])

    found = model(batches)
    with pytest.raises(DataError, match="yields 3 frames, in the first pass it was 4"):
        found.fit()


def test_a_level_that_was_not_there_in_the_first_pass():
    passes = []

    def batches():
        passes.append(1)
        name = "outcome" if len(passes) < 4 else "arm"
        return (f.assign(outcome=f[name]) for f in cut(FRAME, 6)())

    found = model(batches, random=Random("outcome | study", struct="UN"), groups=None)
    with pytest.raises(DataError, match="did not have in the first pass"):
        found.fit()


@pytest.mark.parametrize(
    "ask",
    [
        lambda r: r.fittedvalues,
        lambda r: r.resid,
        lambda r: r.resid_pearson,
        lambda r: r.ranef(),
        lambda r: r.blup(),
        lambda r: r.random_effects,
        lambda r: r.weights(),
        lambda r: r.contributions(),
        lambda r: r.evidence(),
        lambda r: r.predict(),
        lambda r: r.get_prediction(),
        lambda r: r.get_influence().summary_frame(),
        lambda r: r.model.predict(r.params),
    ],
)
def test_what_has_one_entry_per_row_says_why_it_is_not_there(ask):
    with pytest.raises(DataError, match=r"holds none of them.*iter_rows"):
        ask(model(cut(FRAME)).fit())


def test_robust_groups_over_batches_are_checked():
    found = model(cut(FRAME), "y ~ dose + arm").fit()
    with pytest.raises(DataError, match="'arm' has rows in batches"):
        found.get_robustcov_results("CR0", groups="arm", df="cluster")
    with pytest.raises(DataError, match="a column the model uses"):
        found.get_robustcov_results("CR0", groups=FRAME["study"])


def test_ratio_tests_need_the_same_rows():
    one = model(cut(FRAME)).fit(reml=False)
    fewer = model(cut(FRAME.iloc[:-1]), groups=None).fit(reml=False)
    with pytest.raises(SpecificationError, match="different data"):
        one.compare_lr_test(fewer)
    restricted = model(cut(FRAME), "y ~ 1", groups=None)
    with pytest.raises(SpecificationError, match="other fixed effects"):
        model(cut(FRAME)).fit().compare_lr_test(restricted.fit())


def test_the_automatic_robust_covariance_needs_all_rows():
    with pytest.raises(SpecificationError, match="name one of CR0"):
        model(cut(FRAME)).fit(cov_type="robust")


def test_zero_variances_that_nothing_mends_are_named():
    frame = FRAME.assign(v=np.where(np.arange(len(FRAME)) == 30, 0.0, FRAME["v"]))
    with pytest.raises(CovarianceError, match=r"1 sampling variance is 0 \(row r30 of batch \d"):
        model(cut(frame, 6), groups=None).fit()


def test_rows_without_variance_that_nothing_tells_apart_are_named():
    study = FRAME["study"].to_numpy()
    rows = np.flatnonzero(study == study[30])[:2]
    frame = FRAME.assign(v=np.where(np.isin(np.arange(len(FRAME)), rows), 0.0, FRAME["v"]))
    with pytest.raises(CovarianceError, match=rf"2 sampling .*rows r{rows[0]} of batch \d"):
        model(cut(frame, 6), groups="study").fit()


def test_zero_variances_leave_no_qe_but_a_fit():
    frame = FRAME.assign(v=np.where(np.arange(len(FRAME)) == 30, 0.0, FRAME["v"]))
    found = model(cut(frame, 6), groups="study/id").fit()
    wanted = MetaMixedLM.from_formula("y ~ dose", frame, variance="v", groups="study/id").fit()
    assert np.isnan(found.QE)
    np.testing.assert_allclose(found.params, wanted.params, rtol=1e-9)
    np.testing.assert_allclose(
        found.heterogeneity()["variance"], wanted.heterogeneity()["variance"]
    )


def test_after_remove_data_the_summary_is_there_though_nobody_asked_for_it_before():
    text = str(model(cut(FRAME)).fit().summary())
    found = model(cut(FRAME)).fit()
    found.remove_data()
    assert str(found.summary()) == text


def test_after_remove_data_nothing_can_be_fitted():
    found = model(cut(FRAME)).fit()
    old = found.model
    found.remove_data()
    with pytest.raises(DataError, match="removed"):
        found.model.fit()
    assert old.fit().converged
