"""Which coefficients are estimable within groups, against ranks with an indicator for each."""

import numpy as np
import pytest

from mvmeta.inference.fitted.within import told_within, within_triangle


def by_rank(x, codes):
    """Coefficients j for which the row e_j is in the row space once groups have their own mean."""
    dummies = (codes[:, None] == np.unique(codes)).astype(float)
    both = np.column_stack([dummies, x])
    rank, q = np.linalg.matrix_rank(both), dummies.shape[1]
    rows = np.hstack([np.zeros((x.shape[1], q)), np.eye(x.shape[1])])
    return np.array([np.linalg.matrix_rank(np.vstack([both, r])) == rank for r in rows])


def designs():
    rng = np.random.default_rng(3)
    codes = np.repeat(np.arange(6), 4)
    level = np.tile(np.eye(2)[[0, 1, 0, 1]], (6, 1))
    between, within = rng.normal(size=6)[codes], rng.normal(size=24)
    one = np.ones(24)
    yield "means of levels", codes, level
    yield "difference of levels", codes, np.column_stack([one, level[:, 1]])
    yield "between and within", codes, np.column_stack([one, between, within])
    yield "product", codes, np.column_stack([one, level[:, 1] * between, between])
    yield "far from 0", codes, np.column_stack([one, 1e5 + within, 1e-4 * between])
    yield "fewer groups than columns", codes // 4, np.column_stack([one, within, between, level])
    yield "single rows", np.arange(24), np.column_stack([one, within])


@pytest.mark.parametrize(("codes", "x"), [d[1:] for d in designs()], ids=[d[0] for d in designs()])
def test_estimable_within_groups(codes, x):
    size = np.linalg.norm(x, axis=0)
    found = told_within(within_triangle(x, codes), size)
    np.testing.assert_array_equal(found, by_rank(x, codes))
    first = codes < np.median(codes)
    parts = [within_triangle(x[rows], codes[rows]) for rows in (first, ~first)]
    together = np.linalg.qr(np.vstack(parts), mode="r")
    np.testing.assert_array_equal(told_within(together, size), found)
