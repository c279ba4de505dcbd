"""The worked example of CONTRIBUTING.md does what it says."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mvmeta.structures import base

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture
def banded():
    text = CONTRIBUTING.read_text(encoding="utf-8")
    code = re.search(r"<!-- structure-example -->\n```python\n(.*?)```", text, re.DOTALL).group(1)
    namespace = {}
    exec(code, namespace)
    yield namespace["Banded"]
    base._REGISTRY.pop("BAND")


def test_example_is_registered_and_right(banded):
    assert base.structure_class("band") is banded
    g = banded(("a", "b", "c"))
    assert_allclose(g.matrix(np.array([4.0, 0.5])), [[4, 2, 0], [2, 4, 2], [0, 2, 4]])


def test_example_reaches_its_singular_bound(banded):
    g = banded(("a", "b", "c"))
    for bound in (g.lower[1], g.upper[1]):
        assert np.linalg.eigvalsh(g.matrix(np.array([1.0, bound])))[0] == pytest.approx(
            0, abs=1e-12
        )


def test_example_knows_its_derivatives(banded):
    g, x, h = banded(("a", "b", "c")), np.array([2.0, 0.3]), 1e-6
    for j, step in enumerate(h * np.eye(2)):
        numeric = (g.matrix(x + step) - g.matrix(x - step)) / (2 * h)
        assert_allclose(g.jacobian(x)[j], numeric, atol=1e-8)
