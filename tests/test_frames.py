"""Every function that takes data takes the frames of other libraries, with the same numbers."""

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from mvmeta import (
    DataError,
    MetaMixedLM,
    aggregate,
    che,
    contrmat,
    conv_fivenum,
    conv_wald,
    datasets,
    escalc,
    from_metafor,
    rcalc,
    to_long,
    to_wide,
    vcalc,
)

ASSINK = datasets.load("assink2016").dropna(subset=["year"]).reset_index(drop=True)
BCG = datasets.load("bcg").drop(columns=["yi", "vi"])
CELLS = {"ai": "tpos", "bi": "tneg", "ci": "cpos", "di": "cneg"}
ARMS = pd.DataFrame({"study": [1, 1, 2, 2], "grp": list("abab"), "mi": [1.0, 2.0, 3.0, 4.0]})
PAIRS = pd.DataFrame({"g1": ["a", "b"], "g2": ["b", "c"]})
LIMITS = pd.DataFrame({"y": [1.0, 2.0], "l": [0.0, 1.0], "u": [2.0, 3.0]})
FIVE = pd.DataFrame({"lo": [1.0], "q1": [2.0], "mid": [3.0], "q3": [4.5], "hi": [6.0], "n": [40]})
R = pd.DataFrame(
    {"id": 1, "x": ["a", "a", "b"], "y": ["b", "c", "c"], "r": [0.3, 0.2, 0.5], "n": 50}
)
NEW = pd.DataFrame({"deltype": ["overt", "general"], "year": [0.0, 1.5]})

FRAMES = {
    "polars": pl.from_pandas,
    "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "duckdb": duckdb.from_df,
}


def fitted(frame):
    return MetaMixedLM.from_formula(
        "yi ~ deltype + year", frame, variance="vi", groups="study/esid"
    ).fit()


USES = {
    "from_formula": (ASSINK, lambda d: fitted(d).params),
    "from_batches": (
        ASSINK,
        lambda d: (
            MetaMixedLM.from_batches("yi ~ deltype", lambda: [d], variance="vi", groups="study")
            .fit()
            .params
        ),
    ),
    "arrays": (
        ASSINK,
        lambda d: (
            MetaMixedLM(ASSINK["yi"].to_numpy(), None, "vi", groups="study", data=d).fit().params
        ),
    ),
    "refit": (ASSINK, lambda d: fitted(ASSINK).refit(d).params),
    "predict": (NEW, lambda d: fitted(ASSINK).predict(d)),
    "get_prediction": (NEW, lambda d: fitted(ASSINK).get_prediction(d).summary_frame()["mean"]),
    "from_metafor": (
        ASSINK,
        lambda d: (
            from_metafor(
                "rma.mv(yi, vi, random = ~ 1 | study, subset = year > 0 & deltype != 'overt')",
                d,
            )
            .fit()
            .params
        ),
    ),
    "che": (ASSINK, lambda d: che("yi ~ 1", d, cluster="study", rho=0.6).params),
    "vcalc": (ASSINK, lambda d: vcalc("vi", "study", obs="esid", rho=0.6, data=d).toarray()),
    "aggregate": (ASSINK, lambda d: aggregate(d, cluster="study", rho=0.5)["yi"]),
    "escalc": (BCG, lambda d: escalc("OR", **CELLS, data=d)[["yi", "vi"]]),
    "to_long": (BCG, lambda d: to_long("OR", **CELLS, data=d).select_dtypes("number")),
    "to_wide": (
        ARMS,
        lambda d: to_wide(d, "study", "grp", ["mi"], ref="a").select_dtypes("number"),
    ),
    "contrmat": (PAIRS, lambda d: contrmat(d, "g1", "g2", append=False)),
    "conv_wald": (LIMITS, lambda d: conv_wald(out="y", ci_lb="l", ci_ub="u", data=d)[["yi", "vi"]]),
    "conv_fivenum": (
        FIVE,
        lambda d: conv_fivenum(
            min="lo", q1="q1", median="mid", q3="q3", max="hi", n="n", data=d
        ).select_dtypes("number"),
    ),
    "rcalc": (R, lambda d: rcalc("r ~ x + y | id", "n", d).V.toarray()),
}


@pytest.mark.parametrize("library", FRAMES)
@pytest.mark.parametrize("use", USES)
def test_other_frames_give_the_same_numbers(use, library):
    data, compute = USES[use]
    expected = np.asarray(compute(data), dtype=float)
    found = np.asarray(compute(FRAMES[library](data)), dtype=float)
    assert expected.size
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_categories_of_polars_are_sorted_as_text_is():
    frame = pl.from_pandas(ASSINK).with_columns(pl.col("deltype").cast(pl.Categorical))
    assert list(fitted(frame).params.index) == list(fitted(ASSINK).params.index)


@pytest.mark.parametrize("use", [fitted, lambda d: escalc("OR", **CELLS, data=d)])
def test_frames_that_are_not_in_memory_are_refused(use):
    with pytest.raises(DataError, match=r"in memory .* collect it first"):
        use(pl.LazyFrame({"yi": [1.0]}))
    with pytest.raises(DataError, match="must be a frame in memory"):
        use(3)
