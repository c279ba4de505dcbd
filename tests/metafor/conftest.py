"""The data sets of the reference calls, under the names the calls give them."""

import numpy as np
import pytest

from mvmeta import datasets


def _berkey_v(berkey):
    v = np.zeros((len(berkey), len(berkey)))
    for rows in berkey.groupby("trial").indices.values():
        v[np.ix_(rows, rows)] = berkey.iloc[rows][["v1i", "v2i"]]
    return v


@pytest.fixture(scope="session")
def data():
    """What the calls name: data sets, V and A."""
    ishak = datasets.load("ishak2007").dropna(subset="months")
    ishak["study.id"] = ishak["study"]
    berkey = datasets.load("berkey1998")
    return {
        "schools": datasets.load("konstantopoulos2011"),
        "assink": datasets.load("assink2016"),
        "bcg": datasets.load("bcg"),
        "berkey": berkey,
        "ishak": ishak,
        "patients": ishak.assign(month=ishak["months"] / 12, year=(ishak["mdur"] - 12) / 10),
        "lim": datasets.load("lim2014"),
        "V": _berkey_v(berkey),
        "A": datasets.correlation("lim2014"),
    }
