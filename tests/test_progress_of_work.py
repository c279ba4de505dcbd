"""Everything that can take long says so on a terminal, and nothing in a pipe or a log."""

import io
import sys

import numpy as np
import pytest

from mvmeta import MetaMixedLM, datasets, plots, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(scope="module")
def schools():
    return datasets.load("konstantopoulos2011")


@pytest.fixture(scope="module")
def res(schools):
    model = MetaMixedLM.from_formula("yi ~ year", schools, variance="vi", groups="district/school")
    return model.fit()


@pytest.fixture(scope="module")
def small(schools):
    return MetaMixedLM.from_formula("yi ~ year", schools, variance="vi", groups="district").fit()


def many(res, _):
    y = np.asarray(res.model.endog)
    return res.model.fit_many(np.column_stack([y, 2.0 * y]))


def batches(_, __):
    data = datasets.load("konstantopoulos2011")
    parts = [part for _, part in data.groupby("district")]
    model = MetaMixedLM.from_batches("yi ~ 1", lambda: parts, variance="vi", groups="district")
    return model.fit()


def profile_plot(res, _):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    plots.profile(res, 0, n=5)
    pyplot.close("all")


WORK = {
    "iterations": [lambda res, _: res.model.fit()],
    "replicates": [
        lambda res, _: res.bootstrap(4, seed=1),
        lambda res, _: res.wild_bootstrap_test("year = 0", n=99, seed=1),
    ],
    "profiles": [lambda res, _: res.vcomp_conf_int()],
    "points": [profile_plot],
    "limits": [lambda res, _: res.heterogeneity()],
    "left out": [
        lambda res, _: res.leave_one_out("district"),
        lambda res, _: res.get_influence("district", reestimate=True).cooks_distance,
    ],
    "cumulative fits": [lambda res, _: res.cumulative("district")],
    "orders": [lambda res, _: res.permutation_test(n=9, seed=1)],
    "settings": [lambda res, _: res.sensitivity()],
    "correlations": [lambda res, _: res.estimate_rho()],
    "checks": [lambda res, _: res.diagnose()],
    "fits": [lambda res, small: res.compare_lr_test(small, "bootstrap", n=19, seed=1)],
    "outcomes": [many],
    "batches": [batches],
}
CASES = [(what, work) for what, works in WORK.items() for work in works]


@pytest.mark.filterwarnings("ignore::mvmeta.MvmetaWarning")
@pytest.mark.parametrize(("what", "work"), CASES)
def test_long_work_shows_a_bar_on_a_terminal_only(what, work, res, small, monkeypatch):
    monkeypatch.setattr(progress, "AFTER", -1.0)
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        work(res, small)
        if stream.isatty():
            assert f"{what}:" in stream.getvalue()
        else:
            assert stream.getvalue() == ""
