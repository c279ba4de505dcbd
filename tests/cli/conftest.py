"""The example of the README as a file."""

import pytest

from mvmeta import datasets


@pytest.fixture
def toy():
    return datasets.load("toy")


@pytest.fixture
def toy_csv(toy, tmp_path):
    path = tmp_path / "toy.csv"
    toy.to_csv(path, index=False)
    return str(path)
