"""Other packages work on results: marginaleffects, statsmodels' tables."""

import importlib.metadata
import json
import sys

import numpy as np
import pandas as pd
import pytest
from statsmodels.iolib.summary2 import summary_col

from mvmeta import EngineError, MetaMixedLM, SpecificationError, datasets, interop


@pytest.fixture(scope="module")
def assink():
    return datasets.load("assink2016")


@pytest.fixture(scope="module")
def res(assink):
    model = MetaMixedLM.from_formula(
        "yi ~ deltype + year * C(pubstatus)", assink, variance="vi", groups="study/esid"
    )
    return model.fit(use_t=True)


@pytest.fixture(scope="module")
def me():
    return pytest.importorskip("marginaleffects")


def frame(table):
    return pd.DataFrame({name: table[name].to_list() for name in table.columns})


@pytest.mark.filterwarnings("ignore")
def test_average_predictions_are_those_of_predict(me, res, assink):
    found = frame(me.avg_predictions(interop.marginaleffects(res), by="deltype"))
    for _, row in found.iterrows():
        own = assink[assink["deltype"] == row["deltype"]].dropna(subset=["year"])
        weights = res.model.prepared.design(own).mean(axis=0)
        assert row["estimate"] == pytest.approx(weights @ res.params, rel=1e-8)
        assert row["std_error"] == pytest.approx(
            np.sqrt(weights @ res.cov_params() @ weights), rel=1e-5
        )


@pytest.mark.filterwarnings("ignore")
def test_slopes_and_comparisons_are_contrasts(me, res):
    model = interop.marginaleffects(res)
    slopes = frame(me.avg_slopes(model, variables="year", by="pubstatus"))
    slopes = slopes[slopes["pubstatus"] == "1"].reset_index(drop=True)
    interaction = next(name for name in res.params.index if ":" in name)
    own = res.t_test((res.params.index.isin(["year", interaction])).astype(float))
    # its derivatives are differences of predictions
    assert slopes["estimate"][0] == pytest.approx(float(own.effect[0]), rel=3e-4)
    assert slopes["std_error"][0] == pytest.approx(float(np.ravel(own.sd)[0]), rel=3e-4)
    assert slopes["p_value"][0] == pytest.approx(float(np.ravel(own.pvalue)[0]), rel=1e-3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(
    int(importlib.metadata.version("polars").split(".")[0]) >= 2,
    reason="marginaleffects 0.6 calls what polars 2 has no longer, for levels of any model",
)
def test_comparisons_of_levels_are_coefficients(me, res):
    found = frame(me.avg_comparisons(interop.marginaleffects(res), variables="deltype"))
    effects = dict(zip(found["contrast"], found["estimate"], strict=True))
    assert effects["overt - covert"] == pytest.approx(res.params["deltype[T.overt]"], rel=1e-8)


@pytest.mark.filterwarnings("ignore")
def test_robust_covariances_are_asked_for_by_name(me, res):
    model = interop.marginaleffects(res)
    found = frame(me.avg_slopes(model, variables="year", vcov="CR2"))
    plain = frame(me.avg_slopes(model, variables="year"))
    assert found["estimate"][0] == plain["estimate"][0]
    assert found["std_error"][0] != pytest.approx(plain["std_error"][0], rel=1e-2)


def test_a_model_of_arrays_is_refused(assink):
    model = MetaMixedLM(assink["yi"], None, assink["vi"], groups=assink["study"])
    with pytest.raises(SpecificationError, match="made from arrays"):
        interop.marginaleffects(model.fit())


def test_without_marginaleffects_the_error_says_what_to_install(res, monkeypatch):
    monkeypatch.delitem(sys.modules, "mvmeta.interop.adapter", raising=False)
    monkeypatch.setitem(sys.modules, "marginaleffects.classes", None)
    with pytest.raises(EngineError, match="pip install 'marginaleffects"):
        interop.marginaleffects(res)


def test_summary_col_puts_models_side_by_side(res, assink):
    small = MetaMixedLM.from_formula("yi ~ year", assink, variance="vi", groups="study").fit()
    table = summary_col([small, res], stars=True, model_names=["small", "large"]).tables[0]
    assert list(table.columns) == ["small", "large"]
    assert table.loc["year", "small"].startswith(f"{small.params['year']:.4f}")
    assert table.loc["deltype[T.overt]", "small"] == ""


@pytest.mark.filterwarnings("ignore")
def test_maketables_puts_models_side_by_side(res):
    maketables = pytest.importorskip("maketables")
    text = maketables.ETable([res]).make(type="tex")
    assert f"{res.params['deltype[T.overt]']:.3f}" in text
    assert f"{res.bse['deltype[T.overt]']:.3f}" in text


def test_dictionaries_are_tidy_and_json_has_nothing_else(res):
    found = res.to_dict()
    assert json.loads(res.to_json()) == json.loads(json.dumps(found))
    coefficients = pd.DataFrame(found["coefficients"])
    np.testing.assert_array_equal(coefficients["estimate"], res.summary_frame()["estimate"])
