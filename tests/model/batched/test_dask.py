"""Fits of Dask frames: as in memory, whatever becomes of the workers."""

import os
import signal
import sys

import numpy as np
import pandas as pd
import pytest

from mvmeta import DataError, EngineError, MetaMixedLM, Random
from tests.model.batched.simulated import correlated_v, effects
from tests.tolerances import BACKEND, OPTIMUM

distributed = pytest.importorskip("distributed")
dask_frames = pytest.importorskip("dask.dataframe")

UN = Random("outcome | study", struct="UN")
KNOWN_BACK = ["ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"]
pytestmark = [pytest.mark.filterwarnings(w) for w in KNOWN_BACK]


@pytest.fixture
def cluster():
    """Two processes with one thread each."""
    options = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    with (
        distributed.LocalCluster(n_workers=2, processes=True, **options) as local,
        distributed.Client(local) as client,
    ):
        yield client


@pytest.fixture
def no_workers():
    """A scheduler in this process, and nobody to work for it."""
    options = {"dashboard_address": ":0", "silence_logs": 50}
    with (
        distributed.LocalCluster(n_workers=0, processes=False, **options) as local,
        distributed.Client(local) as client,
    ):
        yield client


def shuffled(frame, partitions):
    mixed = frame.sample(frac=1, random_state=1).reset_index(drop=True)
    return dask_frames.from_pandas(mixed, npartitions=partitions)


def assert_same(found, wanted):
    np.testing.assert_allclose(found.params, wanted.params, rtol=BACKEND)
    np.testing.assert_allclose(found.bse, wanted.bse, rtol=BACKEND)
    np.testing.assert_allclose(found.llf, wanted.llf, rtol=BACKEND)
    np.testing.assert_allclose(found.QE, wanted.QE, rtol=BACKEND)
    np.testing.assert_allclose(found.vcomp["estimate"], wanted.vcomp["estimate"], rtol=OPTIMUM)


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process by signal")
def test_a_fit_is_that_in_memory_and_outlives_a_worker(cluster):
    """One test, so that one cluster is started."""
    frame = effects()
    formula, groups = "y ~ dose + arm", {"groups": "study/id"}
    wanted = MetaMixedLM.from_formula(formula, frame, variance="v", **groups).fit()
    model = MetaMixedLM.from_dask(formula, shuffled(frame, 3), variance="v", **groups)
    found = model.fit(start=wanted.vcomp["estimate"])
    assert_same(found, wanted)
    robust = [r.get_robustcov_results("CR2") for r in (found, wanted)]
    np.testing.assert_allclose(robust[0].bse, robust[1].bse, rtol=OPTIMUM)
    rows = pd.concat(found.iter_rows())
    assert len(rows) == len(frame)
    np.testing.assert_allclose(
        np.sort(rows["estimate"]), np.sort(wanted.blup()["estimate"]), rtol=OPTIMUM
    )

    pids = iter(cluster.run(os.getpid).values())
    ask, asked = model.frames.ask, []

    def ask_and_kill(*arguments):
        asked.append(arguments)
        if len(asked) == 2:  # in the middle of the ascent
            os.kill(next(pids), signal.SIGKILL)
        return ask(*arguments)

    model.frames.ask = ask_and_kill
    assert_same(model.fit(), wanted)
    assert len(asked) > 2
    model.frames.ask = ask

    cuts = [frame["study"] < 120, (frame["study"] >= 120) & (frame["study"] < 140)]
    parts = [frame[cuts[0]], frame[cuts[1]], frame[frame["study"] >= 140]]
    whole = dask_frames.from_map(lambda k: parts[k], [0, 1, 2], meta=frame.iloc[:0])
    options = {"random": UN, "client": cluster, "whole": True}
    one = MetaMixedLM.from_dask("y ~ outcome - 1", whole, variance=correlated_v, **options)
    other = MetaMixedLM.from_formula(
        "y ~ outcome - 1", frame, variance=correlated_v(frame), random=UN
    )
    theta = [0.3, 0.2, 0.5]
    np.testing.assert_allclose(one.loglike(theta), other.loglike(theta), rtol=BACKEND)
    np.testing.assert_allclose(one.hessian(theta), other.hessian(theta), rtol=BACKEND)

    split = dask_frames.from_map(lambda k: parts[k % 3], [0, 1, 2, 3], meta=frame.iloc[:0])
    with pytest.raises(DataError, match="of 'study' has rows in batches 0 and 3"):
        MetaMixedLM.from_dask("y ~ 1", split, variance="v", groups="study", whole=True)
    indexed = frame.set_index("study")
    indexed = dask_frames.from_pandas(indexed, npartitions=2, sort=False)
    with pytest.raises(DataError, match=r"it is their index: pass ddf\.reset_index"):
        MetaMixedLM.from_dask("y ~ 1", indexed, variance="v", whole="study")

    cluster.close()
    with pytest.raises(EngineError, match="client is closed"):
        model.fit()


def test_a_cluster_without_workers(no_workers):
    with pytest.raises(EngineError, match="has no workers"):
        MetaMixedLM.from_dask("y ~ 1", shuffled(effects(), 2), variance="v", groups="study")


def test_no_client():
    with pytest.raises(EngineError, match="there is no Dask client"):
        MetaMixedLM.from_dask("y ~ 1", shuffled(effects(), 2), variance="v", groups="study")


@pytest.mark.parametrize("package", ["pyarrow", "distributed"])
def test_a_package_that_is_not_installed(package, monkeypatch):
    frame = shuffled(effects(), 2)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EngineError, match=rf"needs {package}.*mvmeta\[dask\]"):
        MetaMixedLM.from_dask("y ~ 1", frame, variance="v", groups="study")


def test_a_frame_that_is_not_dasks():
    with pytest.raises(DataError, match=r"takes a Dask DataFrame, got pandas.*from_formula"):
        MetaMixedLM.from_dask("y ~ 1", effects(), variance="v", groups="study")


def test_a_dask_frame_where_one_in_memory_is_wanted():
    with pytest.raises(DataError, match="from_dask"):
        MetaMixedLM.from_formula("y ~ 1", shuffled(effects(), 2), variance="v", groups="study")
