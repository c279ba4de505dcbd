"""The benchmark problems are what they say, and the results are rendered as they are."""

import json

import numpy as np
import pytest

from benchmarks.speed import peers, postfit, render
from benchmarks.speed.engines import ENGINES
from benchmarks.speed.problems import FAMILIES, SIZES

TINY = {"small": 6, "nested": 40, "un": 12, "crossed": 60, "phylogeny": 8, "spatial": 20}


@pytest.mark.parametrize("family", FAMILIES)
def test_arrays_and_formula_are_one_model(family):
    problem = FAMILIES[family](TINY[family])
    arrays, formula = (e.describe(e.prepare(problem)()) for e in ENGINES[:2])
    assert arrays.loglik == pytest.approx(formula.loglik, rel=1e-12)
    assert arrays.components == pytest.approx(formula.components, rel=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_gives_one_problem(family):
    one, two = (FAMILIES[family](TINY[family]) for _ in range(2))
    np.testing.assert_array_equal(one.frame["y"], two.frame["y"])
    assert len(one.frame) == (5 if family == "phylogeny" else 1) * TINY[family] or family == "un"
    assert set(SIZES) == set(FAMILIES)


def test_files_for_the_peers(tmp_path):
    problem = FAMILIES["un"](12)
    peers.write(problem, tmp_path)
    entries = np.loadtxt(tmp_path / "v.csv", delimiter=",", skiprows=1)
    v = np.zeros((len(problem.frame),) * 2)
    i, j = entries[:, :2].astype(int).T - 1
    v[i, j] = entries[:, 2]
    start = np.cumsum([0, *(len(b) for b in problem.blocks)])
    for first, block in zip(start, problem.blocks, strict=False):
        np.testing.assert_array_equal(
            v[first : first + len(block), first : first + len(block)], block
        )
    facts = json.loads((tmp_path / "problem.json").read_text())
    assert facts == {"family": "un", "covariates": ["is_b", "is_c", "x1", "b_x1", "c_x1"]}


def test_tables_and_plot(tmp_path):
    def record(engine, size, seconds, **more):
        row = {"family": "nested", "size": size, "rows": size, "engine": engine}
        return row | {"seconds": seconds} | more

    run = {
        "date": "2026-01-01",
        "cpu": "a machine",
        "blas": "openblas",
        "versions": {"Python": "3.11"},
        "records": [
            record("mvmeta", 100, 0.01, evaluations=5),
            record("mvmeta", 1000, 0.1, evaluations=6),
            record("WLS", 1000, 0.05),
            record("metafor", 100, 0.5),
            record("metafor", 1000, 50.0),
            {"family": "nested", "size": 1000, "rows": 1000, "engine": "nlme", "failed": "no"},
        ],
        "memory": [
            {"family": "nested", "size": 10, "engine": "WLS", "data_mb": 2.0, "added_mb": 3.0}
        ],
        "many": [
            {"design": "d", "fits_per_second": 6e4, "loop_per_second": 90.0, "converged": 1.0}
        ],
        "postfit": [
            {"family": "un", "size": size, "task": "intervals", "fit": 0.1, "fits": size / 100}
            for size in (150, 1000)
        ],
    }
    text = render.tables(run)
    assert "| metafor | 0.5 | 50 | 2.0 |" in text
    assert "| nlme |  | failed |  |" in text
    assert "metafor, in units of mvmeta: 50 at 100, 500 at 1,000" in text
    assert "mvmeta, in units of WLS: 2.00 at 1,000" in text
    assert "| nested, 10 rows | WLS | 2 | 3 | 1.50 |" in text
    assert "| d | 60,000 | 90 | 100.00 % |" in text
    assert "| intervals | 1.5 | 10 |" in text
    assert "| *seconds of a fit* | 0.1 | 0.1 |" in text
    render.plot(run, tmp_path / "speed.png")
    assert (tmp_path / "speed.png").stat().st_size > 10_000


def test_costs_after_the_fit(monkeypatch, capsys):
    monkeypatch.setattr(postfit, "ROUNDS", 1)
    monkeypatch.setattr(postfit, "REFITS", 5)
    found = postfit.run({"nested": (40, 10_000)}, largest=100)
    assert {r["size"] for r in found} == {40}
    assert len({r["task"] for r in found}) == len(found) == 7
    assert all(r["fits"] == r["seconds"] / r["fit"] > 0 for r in found)
    assert capsys.readouterr().out.count("fits") == 7
