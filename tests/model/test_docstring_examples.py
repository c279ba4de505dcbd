"""Examples in docstrings of the facade give what they say."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name", ["mixed", "prediction", "prediction_methods", "marginal_means_methods"]
)
def test_examples(name):
    module = importlib.import_module(f"mvmeta.model.{name}")
    failed, attempted = doctest.testmod(module)
    assert attempted
    assert not failed
