"""Columns that are constant within levels, against a loop over the levels."""

import numpy as np
import pytest

from mvmeta.inference.fitted import constancy
from mvmeta.inference.fitted.constancy import constancy as constant_columns
from tests.problems import PROBLEMS, make


def looped(x, level):
    return [
        all(len(np.unique(x[level == one, j])) == 1 for one in np.unique(level))
        for j in range(x.shape[1])
    ]


@pytest.mark.parametrize("glance", [1, 3, 2**14])
@pytest.mark.parametrize(("n", "most"), [(1, 1), (50, 10), (300, 40)])
def test_a_glance_at_some_rows_decides_nothing_wrongly(monkeypatch, glance, n, most):
    monkeypatch.setattr(constancy, "GLANCE", glance)
    rng = np.random.default_rng(n)
    for _ in range(5):
        level = np.unique(rng.integers(0, most, n), return_inverse=True)[1]
        levels = int(level.max()) + 1
        by_level = rng.normal(size=(levels, 2))[level].round(1)
        x = np.column_stack([np.ones(n), by_level, rng.integers(0, 2, n)])
        found = constancy._constant_within(x, level, levels)
        np.testing.assert_array_equal(found, looped(x, level))


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_grouping_factor_is_looked_at(name):
    problem = make(name)
    found = list(constant_columns(problem))
    factors = [codes for t in problem.terms for codes in constancy.grouping_factors(t)]
    assert [levels for levels, _ in found] == [len(np.unique(c)) for c in factors]
    for (_, columns), codes in zip(found, factors, strict=True):
        np.testing.assert_array_equal(columns, looped(problem.x, codes))
