"""Fits to draw, and figures that are closed after every test."""

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import block_diag

from mvmeta import Random, datasets
from tests.plots.fits import fit


@pytest.fixture(autouse=True)
def plt():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    with pyplot.style.context("default"):
        yield pyplot
    pyplot.close("all")


@pytest.fixture(scope="session")
def toy():
    return fit("d ~ C(Category) - 1", datasets.load("toy"), "Variance", "Study")


@pytest.fixture(scope="session")
def schools():
    return fit("yi ~ 1", datasets.load("konstantopoulos2011"), "vi", "district/school")


@pytest.fixture(scope="session")
def outcomes():
    data = datasets.load("berkey1998")
    v = block_diag(*[g[["v1i", "v2i"]].to_numpy() for _, g in data.groupby("trial")])
    term = Random("outcome | trial", struct="UN")
    return fit("yi ~ outcome - 1", data, v, random=term)


@pytest.fixture(scope="session")
def trials():
    return fit("yi ~ ablat", datasets.load("bcg"), "vi", "trial")


@pytest.fixture(scope="session")
def many():
    """2000 rows of 500 studies."""
    rng = np.random.default_rng(7)
    study = np.repeat(np.arange(500), 4)
    vi = rng.uniform(0.02, 0.3, 2000)
    yi = 0.3 + rng.normal(0, 0.4, 500)[study] + rng.normal(0, 1, 2000) * vi**0.5
    return fit("yi ~ 1", pd.DataFrame({"study": study, "yi": yi, "vi": vi}), "vi", "study")
