"""Ordinary mixed models, V = 0 and a term for every row: lmerTest and pbkrtest say the same."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM, Random

REFERENCE = Path(__file__).parents[1] / "reference" / "mixed_models.json"
MODELS = json.loads(REFERENCE.read_text(encoding="utf-8"))["models"]

OPTIMUM = 1e-6
"""Of what is in closed form there and here: how far two optimisers agree on the components."""

NUMERICAL = 1e-5
"""Of lmerTest's df: it differentiates the deviance numerically (numDeriv)."""


@cache
def fitted(name, df):
    m = MODELS[name]
    data = pd.DataFrame(m["data"])
    data["row"] = np.arange(len(data))
    terms = [Random(f, s or None) for f, s in zip(m["random"], m["struct"], strict=True)]
    model = MetaMixedLM.from_formula(m["formula"], data, variance=0.0, random=[*terms, "1 | row"])
    return model.fit(df=df)


@pytest.mark.parametrize("name", MODELS)
def test_estimates(name):
    m, res = MODELS[name], fitted(name, "satterthwaite")
    size = np.sqrt(np.diag(m["vcov"]))
    assert np.abs(res.params - m["beta"]).max() < OPTIMUM * size.max()
    np.testing.assert_allclose(
        res.cov_params(), m["vcov"], rtol=OPTIMUM, atol=OPTIMUM * size.min() ** 2
    )


@pytest.mark.parametrize("name", MODELS)
def test_satterthwaite_of_contrasts(name):
    res = fitted(name, "satterthwaite")
    for row in MODELS[name]["single"]:
        t = res.t_test(np.array(row["l"], dtype=float))
        assert float(t.sd.item()) == pytest.approx(row["se"], rel=OPTIMUM)
        assert float(np.asarray(t.df_denom).item()) == pytest.approx(
            row["satterthwaite"], rel=NUMERICAL
        )


@pytest.mark.parametrize("name", MODELS)
def test_kenward_roger_of_contrasts(name):
    res = fitted(name, "kenward-roger")
    m = MODELS[name]
    adjusted = np.array(m["adjusted"])
    np.testing.assert_allclose(
        res.cov_params(), adjusted, rtol=OPTIMUM, atol=OPTIMUM * np.diag(adjusted).min()
    )
    for row in m["single"]:
        t = res.t_test(np.array(row["l"], dtype=float))
        assert float(t.sd.item()) == pytest.approx(row["kr_se"], rel=OPTIMUM)
        assert float(np.asarray(t.df_denom).item()) == pytest.approx(row["kr_df"], rel=OPTIMUM)


@pytest.mark.parametrize("name", MODELS)
def test_joint_tests(name):
    by_satterthwaite, by_kr = fitted(name, "satterthwaite"), fitted(name, "kenward-roger")
    for test in MODELS[name]["joint"]:
        rows = np.eye(len(by_kr.params))[test["at"]]
        f = by_satterthwaite.f_test(rows)
        assert float(f.fvalue) == pytest.approx(test["F"], rel=OPTIMUM)
        assert float(f.df_denom) == pytest.approx(test["satterthwaite"], rel=NUMERICAL)
        k = by_kr.wald_test(rows)
        assert float(k.statistic) == pytest.approx(test["kr_F"], rel=OPTIMUM)
        assert float(k.df_denom) == pytest.approx(test["kr_df"], rel=OPTIMUM)
        assert float(k.pvalue) == pytest.approx(test["kr_p"], rel=1e3 * OPTIMUM)
        scale = by_kr._inference.basis.df.scale(rows)
        assert scale == pytest.approx(test["kr_scale"], rel=OPTIMUM)
