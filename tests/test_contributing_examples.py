"""The worked examples of CONTRIBUTING.md do what is said of them."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mvmeta import MetaMixedLM, SpecificationError, datasets, escalc
from mvmeta.effects.registry import MEASURES
from mvmeta.marginal.dense import DenseMarginal

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def example(kind):
    """Names that the example of this kind defines."""
    block = rf"<!-- {kind}-example -->\n```python\n(.*?)```"
    namespace = {}
    exec(re.search(block, TEXT, re.DOTALL).group(1), namespace)
    return namespace


@pytest.fixture
def cohens_h():
    yield example("measure")["cohens_h"]
    MEASURES.pop("CH")


def test_measure(cohens_h):
    table = escalc("CH", ai=[8], bi=[12], ci=[5], di=[20])
    # pwr::ES.h(0.4, 0.2) is twice the difference of the arcsine roots.
    expected = 2 * (np.arcsin(np.sqrt(0.4)) - np.arcsin(np.sqrt(0.2)))
    assert table["yi"].item() == pytest.approx(expected, rel=1e-14)
    assert table["vi"].item() == pytest.approx(1 / 20 + 1 / 25, rel=1e-14)
    assert MEASURES["CH"].description.startswith("Cohen's h")


def test_plot():
    data = datasets.load("konstantopoulos2011")
    model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="district/school")
    res = model.fit()
    figure = example("plot")["quantiles"](res)
    points = figure.axes[0].lines[1].get_xydata()
    np.testing.assert_allclose(points[:, 1], np.sort(res.resid_cholesky))
    np.testing.assert_allclose(points[:, 0], -points[::-1, 0], atol=1e-12)
    plt.close(figure)


def test_backend():
    vector = example("backend")["VectorMarginal"]
    data = datasets.load("bcg")

    def problem(groups):
        model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups=groups)
        return model.fit().fit_.problem

    plain = problem(None)
    a = np.column_stack([plain.x, plain.y])
    ours, dense = (kind(plain).factorize([]) for kind in (vector, DenseMarginal))
    assert ours.sums(a).logdet == pytest.approx(dense.sums(a).logdet, rel=1e-13)
    np.testing.assert_allclose(ours.sums(a).gram, dense.sums(a).gram, rtol=1e-12)
    np.testing.assert_allclose(ours.solve(a), dense.solve(a), rtol=1e-12)
    np.testing.assert_allclose(ours.inverse_diagonal(), dense.inverse_diagonal(), rtol=1e-12)
    with pytest.raises(SpecificationError, match="no random effects"):
        vector(problem("trial"))
