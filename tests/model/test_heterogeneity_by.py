"""Heterogeneity of the rows of each value of a column."""

import json

import numpy as np
import pandas as pd
import pytest

from mvmeta import DataError, MetaMixedLM, Random, SpecificationError, datasets
from tests.reference.loader import ROOT, fitted_case

METAFOR = json.loads((ROOT / "metafor" / "heterogeneity.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def outcomes():
    return MetaMixedLM.from_formula(
        "yi ~ outcome - 1",
        datasets.load("berkey1998"),
        variance=datasets.covariance_blocks("berkey1998"),
        random=Random("outcome | trial", "UN"),
    ).fit()


def test_i2_of_outcomes_is_that_of_metafors_documentation(outcomes):
    table = outcomes.heterogeneity(None, by="outcome").xs("total", level="term")
    got = table.loc[METAFOR["outcomes"]]
    np.testing.assert_allclose(got["variance"], METAFOR["tau2"], rtol=1e-4)
    np.testing.assert_allclose(got["i2"], METAFOR["i2"], rtol=1e-4)


def test_intervals_of_outcomes(outcomes):
    """The variance of an outcome is a component; its I2 grows with it."""
    table = outcomes.heterogeneity(by="outcome").xs("total", level="term").loc[["AL", "PD"]]
    components = outcomes.vcomp_conf_int()[:2]
    sides = ["variance_lower", "variance_upper"]
    np.testing.assert_allclose(table[sides], components[["lower", "upper"]], rtol=2e-4, atol=1e-6)
    typical = np.array(METAFOR["typical"])
    for side in ("lower", "upper"):
        variance = table[f"variance_{side}"]
        np.testing.assert_allclose(table[f"i2_{side}"], variance / (variance + typical), rtol=1e-8)
    # each outcome has a mean of its own, to which its spread is related
    np.testing.assert_allclose(
        table["cvh"], np.sqrt(table["variance"]) / outcomes.params.abs().to_numpy(), rtol=1e-10
    )


@pytest.mark.parametrize("name", ["b03_assink_3level_mods_t", "d01_ishak_har", "g01_obrien_gen"])
def test_measures_are_their_definitions(name):
    """From matrices of rows by rows, for three arbitrary parts of the rows."""
    res = fitted_case(name)
    fit = res.fit_
    x, v = fit.problem.x, fit.problem.v.toarray()
    n = np.linalg.inv(v)
    hat = x @ np.linalg.inv(x.T @ n @ x) @ x.T @ n
    p = n @ (np.eye(len(x)) - hat)
    part = pd.Series(np.arange(len(x)) % 3, name="part")
    got = res.heterogeneity(None, by=part.to_numpy())
    assert got.index.names == ["by", "term"]
    for value in range(3):
        rows = np.flatnonzero(part == value)
        typical = np.diag(np.eye(len(x)) - hat)[rows].sum() / np.diag(p)[rows].sum()
        variances = []
        for term, g in zip(fit.problem.terms, fit.gs, strict=True):
            z = term.sparse_z().toarray()
            between = z @ np.kron(np.eye(term.n_levels), g) @ z.T
            variances.append(np.diag(between)[rows].mean())
        total, mean = sum(variances), abs(fit.fitted[rows].mean())
        table = got.loc[value]
        np.testing.assert_allclose(table["variance"], [*variances, total], rtol=1e-9)
        np.testing.assert_allclose(
            table["i2"], np.array([*variances, total]) / (total + typical), rtol=1e-7
        )
        np.testing.assert_allclose(table["m1"].iloc[-1], total**0.5 / (mean + total**0.5))


def test_all_rows_in_one_part_are_the_whole_table():
    res = fitted_case("b03_assink_3level_mods_t")
    whole = res.heterogeneity()
    part = res.heterogeneity(by=np.zeros(res.nobs)).loc[0.0]
    pd.testing.assert_frame_equal(part, whole, check_names=False, rtol=1e-8)


def test_levels_of_a_scale_covariate():
    """The log-linear model gives each its variance, at the likelihood limits too."""
    frame = datasets.load("bangertdrowns2004")
    random = Random("1 | id", scale="imag")
    model = MetaMixedLM.from_formula("yi ~ imag", frame, variance="vi", random=random)
    res = model.fit()
    sigma2, slope = res.vcomp["estimate"]
    table = res.heterogeneity(by="imag").xs("total", level="term")
    np.testing.assert_allclose(table["variance"], sigma2 * np.exp(slope * table.index), rtol=1e-9)
    # sigma2 is the variance at imag = 0, so that the interval is that of the component
    at_zero = res.vcomp_conf_int().loc[0, ["lower", "upper"]].astype(float)
    limits = table.loc[0, ["variance_lower", "variance_upper"]]
    np.testing.assert_allclose(limits, at_zero, rtol=1e-4)


def test_rows_that_only_determine_a_coefficient_have_no_i2():
    frame = datasets.load("bcg")
    frame["kind"] = ["single"] + ["others"] * (len(frame) - 1)
    model = MetaMixedLM.from_formula("yi ~ kind", frame, variance="vi", groups="trial")
    table = model.fit().heterogeneity(by="kind")
    assert table.loc["single", ["i2", "i2_lower", "i2_upper"]].isna().all(axis=None)
    assert table.loc["single", "variance_upper"].notna().all()
    assert table.loc["others"].notna().all(axis=None)


def test_bad_by(outcomes):
    with pytest.raises(DataError, match="by='author' is no column the model uses"):
        outcomes.heterogeneity(by="author")
    with pytest.raises(DataError, match="by"):
        outcomes.heterogeneity(by=[1, 2, 3])


def test_models_of_batches_say_that_they_hold_no_rows():
    frame = datasets.load("konstantopoulos2011")
    model = MetaMixedLM.from_batches(
        "yi ~ 1", lambda: iter([frame]), variance="vi", groups="district/school"
    )
    with pytest.raises(SpecificationError, match=r"heterogeneity\(by=\).*holds none"):
        model.fit().heterogeneity(by="district")
