"""Examples in docstrings give what they say."""

import doctest
import importlib
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import mvmeta

ROOT = Path(mvmeta.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    for path in ROOT.rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    # pandas fills the lines of an index with spaces.
    failed, attempted = doctest.testmod(
        importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE
    )
    plt.close("all")
    assert attempted
    assert not failed
