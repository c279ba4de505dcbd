"""One-call working models against metafor and clubSandwich.

The numbers are made by tests/reference/generate/working_models.R.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mvmeta import (
    DataError,
    MetaMixedLM,
    MvmetaWarning,
    SpecificationError,
    che,
    datasets,
    sce,
    vcalc,
)
from tests.tolerances import ALGEBRA

REFERENCE = Path(__file__).parents[1] / "reference" / "metafor" / "working_models.json"
TWO_OPTIMA = 2e-6
"""Components at metafor's optimum, where its search stopped, against ours."""


@cache
def reference(name):
    return json.loads(REFERENCE.read_text())[name]


def effects():
    return datasets.load("assink2016")


def fits():
    data = effects()
    two = data[data["deltype"] != "covert"]
    study = {"cluster": "study", "rho": 0.6}
    return {
        "che": lambda **more: che("yi ~ 1", data, **study, **more),
        "che_mods": lambda **more: che("yi ~ deltype + year", data, effect="esid", **study, **more),
        "sce": lambda **more: sce("yi ~ deltype - 1", two, subgroup="deltype", **study, **more),
    }


@pytest.mark.parametrize("name", ["che", "che_mods", "sce"])
def test_estimates_and_robust_tests_are_those_of_metafor_and_clubsandwich(name):
    res, want = fits()[name](), reference(name)
    np.testing.assert_allclose(res.llf, want["loglik"], rtol=1e-10)
    kind = "tau2" if name == "sce" else "sigma2"
    np.testing.assert_allclose(res.vcomp["estimate"], want[kind], rtol=TWO_OPTIMA)
    np.testing.assert_allclose(res.params, want["est"], rtol=TWO_OPTIMA)
    np.testing.assert_allclose(res.bse, want["se"], rtol=TWO_OPTIMA)
    np.testing.assert_allclose(res.df_inference, want["df"], rtol=TWO_OPTIMA)
    np.testing.assert_allclose(res.pvalues, want["p"], rtol=TWO_OPTIMA)


def test_joint_test_of_moderators_is_clubsandwichs():
    test, want = fits()["che_mods"]().moderators_test(), reference("che_mods")["joint"]
    np.testing.assert_allclose(test.statistic, want["F"], rtol=TWO_OPTIMA)
    np.testing.assert_allclose(test.df_denom, want["df_denom"], rtol=TWO_OPTIMA)
    np.testing.assert_allclose(test.pvalue, want["p"], rtol=TWO_OPTIMA)


@pytest.mark.parametrize("name", ["che", "che_mods", "sce"])
def test_without_robust_tests_the_standard_errors_are_the_models(name):
    res = fits()[name](cov_type="nonrobust")
    np.testing.assert_allclose(res.bse, reference(name)["model_se"], rtol=TWO_OPTIMA)


def test_it_is_the_steps_it_stands_for():
    data, rho = effects(), {s: 0.3 + s / 100 for s in effects()["study"].unique()}
    v = vcalc("vi", "study", rho=rho, data=data)
    steps = MetaMixedLM.from_formula("yi ~ year", data, variance=v, groups="study/esid").fit(
        reml=False, cov_type="CR1", cov_kwds={"groups": "study"}
    )
    once = che(
        "yi ~ year", data, cluster="study", effect="esid", rho=rho, cov_type="CR1", reml=False
    )
    np.testing.assert_allclose(once.params, steps.params, rtol=ALGEBRA)
    np.testing.assert_allclose(once.bse, steps.bse, rtol=ALGEBRA)


def test_other_frames_and_functions_of_the_callers_scope():
    def decades(year):
        return year / 10

    frame = pl.DataFrame(effects().to_dict("list"))
    res = che("yi ~ decades(year)", frame, cluster="study", rho=0.6)
    want = che("yi ~ year", effects(), cluster="study", rho=0.6)
    np.testing.assert_allclose(res.params.iloc[1], 10 * want.params.iloc[1], rtol=1e-8)
    both = sce("yi ~ decades(year)", frame, cluster="study", subgroup="deltype", rho=0.6)
    assert both.params.index[1] == "decades(year)"


def test_the_data_are_not_changed():
    data = effects()
    before = data.copy()
    che("yi ~ 1", data, cluster="study", rho=0.6)
    assert data.equals(before)


def test_warnings_point_at_the_call():
    data = effects()
    data.loc[3, "yi"] = np.nan
    with pytest.warns(MvmetaWarning, match="1 of 100 rows dropped") as said:
        che("yi ~ 1", data, cluster="study", rho=0.6)
    assert said[0].filename == __file__


def test_what_is_refused():
    data = effects()
    with pytest.raises(DataError, match=r"'trial' wanted for cluster is not in .*, deltype$"):
        che("yi ~ 1", data, cluster="trial", rho=0.6)
    with pytest.raises(DataError, match="'outcome' wanted for effect is not in the data"):
        che("yi ~ 1", data, cluster="study", effect="outcome", rho=0.6)
    with pytest.raises(SpecificationError, match="a column 'effect'; effect='effect' if it tells"):
        che("yi ~ 1", data.assign(effect=1), cluster="study", rho=0.6)
    with pytest.raises(SpecificationError, match=r"within \[-1, 1\], but is 1.6"):
        che("yi ~ 1", data, cluster="study", rho=1.6)
    with pytest.raises(DataError, match="'kind' wanted for subgroup"):
        sce("yi ~ 1", data, cluster="study", subgroup="kind", rho=0.6)
    with pytest.raises(SpecificationError, match="unknown cov_type 'CR9'"):
        sce("yi ~ 1", data, cluster="study", subgroup="deltype", rho=0.6, cov_type="CR9")
