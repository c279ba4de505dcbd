"""Batches and Dask on designs drawn at random: the likelihood is that of the dense matrix M."""

import numpy as np
import pytest

from mvmeta import MetaMixedLM, Random
from tests.model.batched.simulated import correlated_v, cut, effects
from tests.model.batched.test_batches import assert_close, assert_same_fit, assert_same_likelihood

FIXED = ("1", "dose", "C(arm)", "dose * arm", "center(dose) + outcome", "bs(dose, df=4)")
INNER = ("ID", "DIAG", "CS", "HCS", "UN")
GROUPS = (None, "study", "study/id", "lab/study", ["lab", "study", "id"])


def draw(seed):
    """A frame, a formula, the options of a model, and how many studies a batch has."""
    rng = np.random.default_rng([4, seed])
    frame = effects(int(rng.integers(24, 60)), seed=seed)
    blocks = rng.random() < 0.5
    groups = GROUPS[rng.integers(len(GROUPS))]
    random = []
    if rng.random() < 0.6 or groups is None:
        random.append(Random("outcome | study", struct=str(rng.choice(INNER))))
    if rng.random() < 0.3:
        random.append(Random("0 + center(dose) | study", struct="GDIAG"))
    if rng.random() < 0.3 and (groups is None or "id" not in groups):
        random.append("1 | row")
    options = {"variance": correlated_v if blocks else "v", "groups": groups, "random": random}
    # batches hold whole labs, four studies each
    return frame, f"y ~ {rng.choice(FIXED)}", options, 4 * int(rng.integers(2, 6))


def models(seed, **memory):
    """The model of all rows and that from batches."""
    frame, formula, options, studies = draw(seed)
    streamed = MetaMixedLM.from_batches(formula, cut(frame, studies), **options)
    variance = options["variance"]
    options["variance"] = variance(frame) if callable(variance) else variance
    return MetaMixedLM.from_formula(formula, frame, **options, **memory), streamed


@pytest.mark.parametrize("seed", range(24))
def test_likelihood_and_score_of_batches_are_those_of_the_dense_matrix(seed):
    wanted, found = models(seed, backend="dense")
    assert_same_likelihood(found, wanted)


@pytest.mark.parametrize("seed", range(40, 50))
def test_fit_from_batches(seed):
    wanted, found = models(seed)
    wanted = wanted.fit()
    assert_same_fit(found.fit(start=wanted.vcomp["estimate"]), wanted)


def test_likelihood_and_score_of_dask_frames_are_those_of_the_dense_matrix():
    distributed = pytest.importorskip("distributed")
    dask_frames = pytest.importorskip("dask.dataframe")
    quiet = {"dashboard_address": ":0", "silence_logs": 50}
    with (
        distributed.LocalCluster(n_workers=1, processes=False, **quiet) as local,
        distributed.Client(local),
    ):
        for seed in range(60, 66):
            frame, formula, options, _ = draw(seed)
            mixed = frame.sample(frac=1, random_state=seed).reset_index(drop=True)
            ddf = dask_frames.from_pandas(mixed, npartitions=3)
            found = MetaMixedLM.from_dask(formula, ddf, **options)
            variance = options["variance"]
            options["variance"] = variance(frame) if callable(variance) else variance
            wanted = MetaMixedLM.from_formula(formula, frame, **options, backend="dense")
            components = wanted.prepared.problem.components
            theta = [0.3 if c.power or not np.isfinite(c.upper) else 0.1 for c in components]
            for reml in (True, False):
                assert_close(found.loglike(theta, reml), wanted.loglike(theta, reml))
                assert_close(found.score(theta, reml), wanted.score(theta, reml))
