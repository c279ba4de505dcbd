"""The simulation of intervals of variance components counts what it says, and renders it."""

import json

import numpy as np
import pytest

from benchmarks.simulations import interval_coverage as study
from benchmarks.simulations.interval_coverage_render import render


@pytest.mark.parametrize("design", study.DESIGNS)
def test_designs_are_what_they_say(design):
    one, two = (study.DESIGNS[design](np.random.default_rng(3), 4000, 0.1) for _ in range(2))
    np.testing.assert_array_equal(one.y, two.y)
    within = study.WITHIN if design == "three-level" else 0.0
    assert one.y.var() == pytest.approx(0.1 + within + one.v.mean(), rel=0.1)
    assert (one.v.min() > 0.02) & (one.v.max() < 0.2)
    assert one.truth == ((0.1, within) if within else (0.1,))
    assert len(one.model().fit().vcomp) == len(one.truth)


def test_limits_are_those_of_the_methods():
    drawn = study.three_level(np.random.default_rng(1), 10, 0.1)
    res = drawn.model().fit()
    targets = study.TARGETS["three-level"]
    found = study.intervals(res, targets, 5)
    profile = res.vcomp_conf_int()[["lower", "upper"]].to_numpy()
    np.testing.assert_allclose(found["profile"][:2], profile, rtol=1e-6)
    table = res.heterogeneity()
    ends = (
        table.loc["total", ["i2_lower", "i2_upper"]],
        table.iloc[0][["share_lower", "share_upper"]],
    )
    np.testing.assert_allclose(found["profile"][2:], np.array(ends, dtype=float), rtol=1e-5)
    assert np.isnan(found["Wald"][2:]).all()
    boot = res.bootstrap(study.BOOTSTRAP, "heterogeneity", seed=5).conf_int()
    np.testing.assert_allclose(found["bootstrap, percentile"][2], boot.loc[("i2", "total")])
    np.testing.assert_allclose(found["bootstrap, percentile"][:2], boot.loc["variance"].iloc[:2])


def test_counts():
    limits = np.array([[0.0, 1.0], [2.0, 3.0], [-2.0, -1.0], [np.nan, 1.0], [0.5, 2.5]])
    truth = np.array([1.0, 1.0, 1.0, 1.0, np.nan])
    got = study._counts(limits, truth)
    assert (got["defined"], got["held"], got["above"], got["below"]) == (3, 1, 1, 1)
    assert got["median_width"] == 1.0


def test_a_cell_and_its_table(tmp_path):
    cell = study.run_cell("three-level", "small", 6, 3)
    assert list(cell["targets"]) == [t.name for t in study.TARGETS["three-level"]]
    for methods in cell["targets"].values():
        assert list(methods) == list(study.METHODS)
        for at in methods.values():
            assert at["held"] + at["below"] + at["above"] == at["defined"] <= 3
    path = tmp_path / "coverage.json"
    path.write_text(json.dumps({"alpha": 0.05, "bootstrap": 499, "cells": [cell]}))
    render(path)
    text = path.with_suffix(".md").read_text()
    assert "**Three-level: I2, total**" in text
    held = cell["targets"]["I2, total"]["profile"]
    assert f"| profile | {100 * held['held'] / held['defined']:.1f}" in text
    assert path.with_suffix(".png").stat().st_size > 10_000
