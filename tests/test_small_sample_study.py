"""The simulation of small-sample tests counts what it says, and renders it."""

import json

import numpy as np
import pytest

from benchmarks.simulations.few_studies import DESIGNS
from benchmarks.simulations.small_samples import methods, run_cell
from benchmarks.simulations.small_samples_render import render


@pytest.mark.parametrize("design", DESIGNS)
def test_designs_are_what_they_say(design):
    one, two = (DESIGNS[design](np.random.default_rng(3), 12) for _ in range(2))
    np.testing.assert_array_equal(one.problem.y, two.problem.y)
    assert len(np.unique(one.studies)) == 12
    moderator = one.problem.x[:, one.tested[1]]
    for study in range(12):
        assert np.ptp(moderator[one.studies == study]) == 0
    assert np.linalg.matrix_rank(one.problem.x) == one.problem.p
    linked = design == "crossed"
    assert (one.problem.cluster.max() == 11) != linked


@pytest.mark.parametrize("design", ["three-level", "crossed"])
def test_a_cell_and_its_table(design, tmp_path):
    cell = run_cell(design, 6, 4)
    assert list(cell["methods"]) == list(methods(design))
    for rows in cell["methods"].values():
        assert [r["coefficient"] for r in rows] == ["intercept", "moderator"]
        assert all(0 <= r["rejected"] <= r["defined"] <= 4 for r in rows)
    z, contained = cell["methods"]["z"], cell["methods"]["t, contain"]
    assert contained[0]["median_df"] == 6 - 2
    assert z[0]["median_half_width"] < contained[0]["median_half_width"]
    path = tmp_path / "small.json"
    path.write_text(json.dumps({"alpha": 0.05, "cells": [cell]}))
    render(path)
    text = path.with_suffix(".md").read_text()
    assert f"**{design.capitalize()}**" in text
    assert f"| z | {100 * z[0]['rejected'] / 4:.1f} |" in text
    assert path.with_suffix(".png").stat().st_size > 10_000
