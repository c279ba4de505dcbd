"""The simulation of intervals of CVH and M asks the methods it names, and counts right."""

import numpy as np

from benchmarks.simulations import relative_coverage as study
from mvmeta import MetaMixedLM


def test_limits_are_those_of_the_methods():
    rng = np.random.default_rng(2)
    v = rng.uniform(0.02, 0.2, 9)
    y = 0.5 + rng.normal(0, np.sqrt(0.1 + v))
    z, kr, boot = study.limits(y, v, 5)
    res = MetaMixedLM(y, np.ones((9, 1)), v, groups=np.arange(9)).fit()
    columns = ["m1_lower", "m1_upper"]
    np.testing.assert_allclose(z, res.heterogeneity().loc["total", columns].astype(float))
    replicates = res.bootstrap(study.BOOTSTRAP, "heterogeneity", seed=5)
    np.testing.assert_allclose(boot, replicates.conf_int().loc[("m1", "total")])
    assert kr[0] < z[0] < z[1] < kr[1]


def test_a_cell_and_its_row(monkeypatch):
    truth = np.sqrt(0.1) / (0.2 + np.sqrt(0.1))
    sides = iter([[0.0, truth - 0.1]] * 2 + [[truth + 0.1, 1.0]] + [[0.1, 0.9]] * 7)
    monkeypatch.setattr(study, "limits", lambda *_: np.tile(next(sides), (3, 1)))
    cell = study.run_cell(8, 0.1, 0.2, 10)
    assert cell["below"] == dict.fromkeys(study.METHODS, 0.2)
    assert cell["above"] == dict.fromkeys(study.METHODS, 0.1)
    row = "| 8 | 0.1 | 0.2 | 30.0 (20.0) | 30.0 (20.0) | 30.0 (20.0) |"
    assert study.table([cell]).splitlines()[-1] == row
