"""Data with one column per outcome against the same data by rows, whose V metafor made."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mvmeta import (
    CovarianceError,
    DataError,
    MetaMixedLM,
    MvmetaWarning,
    Random,
    SpecificationError,
    datasets,
    stack_outcomes,
    vcalc,
)
from tests.tolerances import ALGEBRA

REFERENCE = Path(__file__).parents[1] / "reference" / "metafor" / "vcalc.json"
MONTHS = ["1", "2", "3", "4"]


def berkey():
    long = datasets.load("berkey1998")
    wide = long.pivot(index=["trial", "year"], columns="outcome", values=["yi", "vi"])
    wide.columns = [f"{a}_{b}" for a, b in wide.columns]
    wide["c"] = long[long["outcome"] == "AL"]["v1i"].to_numpy()
    return wide.reset_index(), long


def columns(outcomes):
    return {"yi": {o: f"yi_{o}" for o in outcomes}, "vi": {o: f"vi_{o}" for o in outcomes}}


def test_covariances_in_a_column():
    wide, long = berkey()
    dat, v = stack_outcomes(wide, study="trial", cov={("AL", "PD"): "c"}, **columns(["PD", "AL"]))
    want = json.loads(REFERENCE.read_text(encoding="utf-8"))["berkey"]
    assert_allclose(v.toarray(), want, rtol=ALGEBRA)
    assert dat["outcome"].tolist() == long["outcome"].tolist()
    assert dat["outcome"].cat.categories.tolist() == ["PD", "AL"]
    assert list(dat.columns) == ["trial", "year", "outcome", "yi", "vi"]
    assert_array_equal(dat[["yi", "vi", "year"]], long[["yi", "vi", "year"]])
    assert "made by       stack_outcomes(study='trial', yi=('yi_PD', 'yi_AL')" in str(v)
    assert_allclose(v.block(3), np.array(want)[4:6, 4:6], rtol=ALGEBRA)


def test_the_model_is_that_of_the_rows():
    wide, long = berkey()
    dat, v = stack_outcomes(wide, study="trial", cov={("PD", "AL"): "c"}, **columns(["PD", "AL"]))
    random = Random("outcome | trial", struct="UN")
    got = MetaMixedLM.from_formula("yi ~ outcome - 1", dat, variance=v, random=random).fit()
    V = vcalc(1, "trial", rvars=["v1i", "v2i"], data=long)
    want = MetaMixedLM.from_formula("yi ~ outcome - 1", long, variance=V, random=random).fit()
    assert_allclose(sorted(got.params), sorted(want.params), rtol=1e-8)
    assert_allclose(got.llf, want.llf, rtol=1e-10)


def ishak():
    stored = json.loads(REFERENCE.read_text(encoding="utf-8"))["ishak"]
    long = pd.DataFrame({k: stored[k] for k in ("study", "time", "vi")})
    long["yi"] = np.arange(len(long)) / 10
    wide = long.pivot(index="study", columns="time", values=["yi", "vi"])
    wide.columns = [f"{a}_{b}" for a, b in wide.columns]
    return wide.reset_index(), stored


def test_missing_outcomes_and_a_table_of_correlations():
    wide, stored = ishak()
    t = np.arange(1, 5)
    rho = pd.DataFrame(0.97 ** np.abs(np.subtract.outer(t, t)), index=MONTHS, columns=MONTHS)
    dat, v = stack_outcomes(wide, study="study", rho=rho, **columns(MONTHS))
    assert dat["outcome"].astype(int).tolist() == stored["time"]
    for got, expected in zip(v.blocks, stored["V"], strict=True):
        assert_allclose(got, np.atleast_2d(expected), rtol=ALGEBRA)


def test_rho_fills_in_what_cov_lacks():
    wide, _ = berkey()
    wide["r"] = [0.1, 0.2, 0.3, 0.4, 0.5]
    wide.loc[[1, 3], "c"] = np.nan
    v = stack_outcomes(
        wide, study="trial", cov={("PD", "AL"): "c"}, rho="r", **columns(["PD", "AL"])
    ).V
    off = v.tosparse().diagonal(1)[::2]
    guess = wide["r"] * np.sqrt(wide["vi_PD"] * wide["vi_AL"])
    assert_allclose(off, wide["c"].fillna(guess), rtol=ALGEBRA)
    frame = pl.DataFrame(wide.drop(columns="c").to_dict("list"))
    again = stack_outcomes(frame, study="trial", rho="r", **columns(["PD", "AL"])).V
    assert_allclose(again.tosparse().diagonal(1)[::2], guess, rtol=ALGEBRA)


def test_the_order_is_that_of_yi():
    wide, _ = berkey()
    call = {"study": "trial", "rho": 0.5, "yi": columns(["PD", "AL"])["yi"]}
    dat, v = stack_outcomes(wide, vi=columns(["AL", "PD"])["vi"], **call)
    same, w = stack_outcomes(wide, vi=columns(["PD", "AL"])["vi"], **call)
    pd.testing.assert_frame_equal(dat, same)
    assert_array_equal(v.toarray(), w.toarray())


def test_samples_of_one_study_are_independent():
    wide, _ = berkey()
    v = stack_outcomes(
        wide.assign(trial=[1, 1, 2, 2, 2]), study="trial", rho=0.5, **columns(["PD", "AL"])
    ).V
    assert len(v.blocks) == 5
    assert v.block(1).shape == (4, 4)
    assert_array_equal(v.block(1)[:2, 2:], 0.0)


def test_half_missing_outcomes_are_said():
    wide, _ = berkey()
    wide.loc[1, "vi_PD"] = np.nan
    wide.loc[2, "yi_AL"] = np.nan
    wide.loc[4, ["yi_PD", "vi_PD", "yi_AL", "vi_AL"]] = np.nan
    with pytest.warns(MvmetaWarning) as said:
        dat, v = stack_outcomes(wide, study="trial", rho=0.5, **columns(["PD", "AL"]))
    assert [str(w.message) for w in said] == [
        "outcomes without variance left out: PD of 2",
        "outcomes without estimate left out: AL of 3",
        "studies without any outcome left out: 5",
    ]
    assert len(dat) == v.n == 6


@pytest.mark.parametrize(
    ("error", "change", "message"),
    [
        (SpecificationError, {"yi": "yi_PD"}, "yi= takes a mapping from outcome to column"),
        (SpecificationError, {"vi": {"PD": "vi_PD"}}, "yi= has the outcomes PD, AL, vi= has PD"),
        (SpecificationError, {"cov": {("PD", "XX"): "c"}}, "pairs of two outcomes, of PD, AL, got"),
        (SpecificationError, {"cov": {"PD": "c"}}, "pairs of two outcomes"),
        (SpecificationError, {"rho": 1.5}, r"within \[-1, 1\], but is 1.5"),
        (SpecificationError, {"rho": [0.5]}, "rho must be a number, .* got list of shape"),
        (DataError, {"study": "x"}, "'x' wanted for study is not in the data"),
        (DataError, {"rho": "x"}, "'x' wanted for rho"),
        (DataError, {"cov": {("PD", "AL"): "x"}}, "'x' wanted for cov"),
        (DataError, {"rho": None}, "'PD' and 'AL' of study 1 covary is not known .5 such rows.; g"),
        (CovarianceError, {"rho": None, "cov": {("PD", "AL"): "year"}}, "not positive definite in"),
    ],
)
def test_refused(error, change, message):
    wide, _ = berkey()
    call = {"study": "trial", "rho": 0.5} | columns(["PD", "AL"]) | change
    with pytest.raises(error, match=message):
        stack_outcomes(wide, **call)


def test_refused_cells():
    wide, _ = berkey()
    call = {"study": "trial", "rho": 0.5} | columns(["PD", "AL"])
    with pytest.raises(DataError, match=r"vi must be > 0 .* is -1 for 'AL' of study 3 \(1 such"):
        stack_outcomes(wide.assign(vi_AL=[1, 1, -1, 1, 1]), **call)
    with pytest.raises(DataError, match="study is missing in row 1"):
        stack_outcomes(wide.assign(trial=[1, None, 3, 4, 5]), **call)
    with pytest.raises(SpecificationError, match="a column 'outcome' already"):
        stack_outcomes(wide.assign(outcome=1), **call)
