"""`fit_many` as users see it: alignment, tests, tables, missing values, refusals."""

import re

import numpy as np
import pandas as pd
import pytest

from mvmeta import (
    CovarianceError,
    DataError,
    MetaMixedLM,
    Random,
    SpecificationError,
    datasets,
)
from tests.tolerances import BACKEND, OPTIMUM


@pytest.fixture(scope="module")
def data():
    frame = datasets.load("konstantopoulos2011")
    rng = np.random.default_rng(1)
    outcomes = pd.DataFrame(
        {
            "yi": frame["yi"],
            "twice": 2 * frame["yi"],
            "noise": rng.normal(0, np.sqrt(frame["vi"])),
        },
        index=frame.index,
    )
    return frame, outcomes


@pytest.fixture(scope="module")
def model(data):
    return MetaMixedLM.from_formula("yi ~ year", data[0], variance="vi", groups="district/school")


def test_same_numbers_as_fit(model, data):
    many = model.fit_many(data[1])
    one = model.fit()
    assert many.batched.all()
    assert many.converged.all()
    assert many.params[:, 0] == pytest.approx(one.params.to_numpy(), rel=OPTIMUM)
    assert many.bse[:, 0] == pytest.approx(one.bse.to_numpy(), rel=OPTIMUM)
    assert many.pvalues[:, 0] == pytest.approx(one.pvalues.to_numpy(), rel=1e-4)
    assert many.vcomp[:, 0] == pytest.approx(one.vcomp["estimate"].to_numpy(), rel=OPTIMUM)
    assert many.llf[0] == pytest.approx(one.llf, abs=1e-8)
    assert many.QE[0] == pytest.approx(one.QE, rel=BACKEND)
    assert many.QEp[0] == pytest.approx(one.QEp, rel=BACKEND)
    assert many.conf_int(0.1)[:, :, 0] == pytest.approx(one.conf_int(0.1).to_numpy(), rel=OPTIMUM)
    assert many.cov_params()[..., 0] == pytest.approx(one.cov_params().to_numpy(), rel=OPTIMUM)
    assert many.component_labels == one.component_labels
    assert many.param_names == list(one.params.index)


@pytest.mark.parametrize("options", [{"use_t": True}, {"cov_type": "knha", "use_t": True}])
def test_options_are_those_of_fit(model, data, options):
    many, one = model.fit_many(data[1], reml=False, **options), model.fit(reml=False, **options)
    assert many.bse[:, 0] == pytest.approx(one.bse.to_numpy(), rel=OPTIMUM)
    assert many.conf_int()[:, :, 0] == pytest.approx(one.conf_int().to_numpy(), rel=OPTIMUM)
    found = many.t_test("Intercept + 1980 * year = 0.1").iloc[0]
    expected = one.t_test("Intercept + 1980 * year = 0.1")
    assert found["statistic"] == pytest.approx(float(expected.tvalue.item()), rel=1e-4)
    assert found["pvalue"] == pytest.approx(float(expected.pvalue), rel=1e-4)


def test_rows_are_matched_by_index_and_missing_rows_of_the_model_left_out(data):
    frame, outcomes = data
    holes = frame.assign(year=frame["year"].astype(float))
    holes.loc[holes.index[:4], "year"] = np.nan
    with pytest.warns(UserWarning, match="4 of"):
        model = MetaMixedLM.from_formula("yi ~ year", holes, variance="vi", groups="district")
    expected = model.fit().llf
    shuffled = outcomes.sample(frac=1, random_state=1)
    for given in (outcomes, shuffled, outcomes.to_numpy(), outcomes.iloc[4:]):
        assert model.fit_many(given).llf[0] == pytest.approx(expected, abs=1e-8)


def test_missing_values_have_a_status(model, data):
    outcomes = data[1].copy()
    outcomes.loc[outcomes.index[:10], "twice"] = np.nan
    outcomes["empty"] = np.nan
    dropped = model.fit_many(outcomes)
    assert list(dropped.nobs) == [56, 46, 56, 0]
    assert [s.name for s in dropped.status][3] == "TOO_FEW_ROWS"
    assert list(dropped.converged) == [True, True, True, False]
    part = MetaMixedLM.from_formula(
        "yi ~ year", data[0].iloc[10:], variance="vi", groups="district/school"
    )
    one = part.fit_many(2 * data[0][["yi"]].iloc[10:])
    assert dropped.llf[1] == pytest.approx(one.llf[0], abs=1e-8)
    skipped = model.fit_many(outcomes, missing="skip")
    assert [s.converged for s in skipped.status] == [True, False, True, False]
    assert {skipped.status[1].name, skipped.status[3].name} == {"MISSING"}
    assert skipped.llf[[0, 2]] == pytest.approx(dropped.llf[[0, 2]], rel=BACKEND)
    assert np.isnan(skipped.params[:, [1, 3]]).all()
    assert list(skipped.nobs) == [56, 46, 56, 0]
    assert "2  not fitted: values are missing" in skipped.summary()
    with pytest.raises(DataError, match=r"missing in 2 outcomes.*twice, empty"):
        model.fit_many(outcomes, missing="raise")


def test_tables(model, data):
    many = model.fit_many(data[1], 1.5 * data[0]["vi"])
    table = many.to_frame()
    assert list(table.index) == ["yi", "twice", "noise"]
    assert table["se[year]"].to_numpy() == pytest.approx(many.bse[1])
    assert list(table["status"]) == [s.name for s in many.status]
    assert table["district/school: sigma2"].to_numpy() == pytest.approx(many.vcomp[1])
    one = many.to_frame("year", alpha=0.1)
    assert one[["ci_lower", "ci_upper"]].to_numpy() == pytest.approx(many.conf_int(0.1)[1].T)
    assert repr(many) == "3 outcomes, 56 rows, REML; 3 converged"
    text = many.summary()
    assert text.startswith("3 outcomes, 56 rows, REML; 3 converged")
    assert "district: sigma2" in text
    assert len(text.splitlines()) < 20


def test_get_results_is_a_full_fit(model, data):
    outcomes = data[1].copy()
    outcomes.iloc[:10, 1] = np.nan
    v = np.column_stack([data[0]["vi"] * f for f in (1, 2, 3)])
    many = model.fit_many(outcomes, v)
    for name, at in (("yi", 0), ("twice", 1), (2, 2)):
        one = many.get_results(name)
        assert one.llf == pytest.approx(many.llf[at], abs=1e-8)
        assert one.nobs == many.nobs[at]
        assert set(one.ranef()) == {"district", "district/school"}
    assert many.get_results("yi", df="satterthwaite").df_method == "satterthwaite"
    with pytest.raises(SpecificationError, match="no outcome 'nil'"):
        many.get_results("nil")


def test_other_structures_and_correlated_errors_work(data):
    frame = datasets.load("berkey1998")
    model = MetaMixedLM.from_formula(
        "yi ~ outcome - 1", frame, variance="vi", random=Random("outcome | trial", "UN")
    )
    many = model.fit_many(np.column_stack([frame["yi"], -frame["yi"]]))
    one = model.fit()
    assert not many.batched.any()
    assert many.llf == pytest.approx([one.llf, one.llf], abs=1e-8)
    assert many.vcomp[:, 1] == pytest.approx(one.vcomp["estimate"].to_numpy(), rel=1e-5)


def test_user_weights_go_one_by_one(data):
    frame, outcomes = data
    model = MetaMixedLM.from_formula(
        "yi ~ 1", frame, variance="vi", groups="district", weights=np.ones(len(frame))
    )
    many = model.fit_many(outcomes)
    assert not many.batched.any()
    assert many.params[0, 0] == pytest.approx(frame["yi"].mean())


def test_refusals(model, data, capsys):
    frame, outcomes = data
    with pytest.raises(DataError, match=re.escape("56 rows of the data as given, got shape (3,")):
        model.fit_many(outcomes.iloc[:3])
    elsewhere = outcomes.set_axis([f"gene {i}" for i in range(len(outcomes))])
    with pytest.raises(
        DataError, match="labelled by rows that are not those of the model: 'gene 0'"
    ):
        model.fit_many(elsewhere)
    with pytest.raises(DataError, match="one column per outcome"):
        model.fit_many(frame["yi"])
    with pytest.raises(DataError, match="variances must have shape"):
        model.fit_many(outcomes, np.ones((56, 2)))
    with pytest.raises(DataError, match="Y must be numbers"):
        model.fit_many(frame[["yi"]].astype(str) + "?")
    infinite = outcomes.copy()
    infinite.loc[infinite.index[3], "noise"] = np.inf
    with pytest.raises(DataError, match=r"infinite in 1 cells.*of outcome 'noise'"):
        model.fit_many(infinite)
    with pytest.raises(CovarianceError, match="negative variances in 56 cells"):
        model.fit_many(outcomes, -frame["vi"])
    with pytest.raises(SpecificationError, match=r"get_results\(outcome, cov_type"):
        model.fit_many(outcomes, cov_type="CR2")
    with pytest.raises(SpecificationError, match="missing= takes one of"):
        model.fit_many(outcomes, missing="none")
    with pytest.raises(SpecificationError, match="n_jobs= is a number of processes"):
        model.fit_many(outcomes, n_jobs=0)
    with pytest.raises(SpecificationError, match="no coefficient 'nil'"):
        model.fit_many(outcomes).to_frame("nil")
    empty = MetaMixedLM.from_formula("yi ~ 1", frame, variance="vi")
    empty.remove_data()
    with pytest.raises(DataError, match="the data were removed"):
        empty.fit_many(outcomes)
    model.fit_many(outcomes, disp=True)
    assert "3 of 3 outcomes" in capsys.readouterr().out
