"""Integer bookkeeping against definitions written as loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from mvmeta.design.layout import (
    connected,
    grouped_order,
    is_nested,
    ranks,
    recode,
    size_classes,
)

codes = st.lists(st.integers(-3, 6), min_size=1, max_size=25).map(np.array)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(codes)
def test_recode(values):
    code, count = recode(values)
    assert count == len(set(values.tolist()))
    assert set(code.tolist()) == set(range(count))
    assert_array_equal(np.unique(values)[code], values)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(codes)
def test_size_classes_partition_the_rows(values):
    classes = size_classes(values)
    assert sorted(np.concatenate([c.ravel() for c in classes])) == list(range(len(values)))
    assert [c.shape[1] for c in classes] == sorted({c.shape[1] for c in classes})
    for rows in classes:
        for group in rows:
            assert_array_equal(group, np.flatnonzero(values == values[group[0]]))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=15))
def test_is_nested(pairs):
    fine, coarse = np.array(pairs).T
    expected = all(len(set(coarse[fine == level])) == 1 for level in set(fine.tolist()))
    assert is_nested(fine, coarse) == expected


def test_every_partition_lies_within_itself_and_the_whole():
    values = np.array([2, 0, 2, 1])
    assert is_nested(values, values)
    assert is_nested(np.arange(4), values)
    assert is_nested(values, np.zeros(4, dtype=int))
    assert not is_nested(np.zeros(4, dtype=int), values)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 3))
def test_connected(seed, n, count):
    rng = np.random.default_rng(seed)
    partitions = [rng.integers(0, n, n) for _ in range(count)]
    linked = np.eye(n, dtype=bool)
    for p in partitions:
        linked |= p[:, None] == p
    for _ in range(n):
        linked = (linked.astype(int) @ linked.astype(int)) > 0
    cluster = connected(partitions)
    assert_array_equal(cluster[:, None] == cluster, linked)
    assert set(cluster.tolist()) == set(range(cluster.max() + 1))


@pytest.mark.parametrize("count", [1, 3])
def test_partitions_into_rows_connect_nothing(count):
    assert len(set(connected([np.arange(5)[::-1]] * count).tolist())) == 5


def some_integers(kind):
    rng = np.random.default_rng(3)
    values = {
        "sorted": np.sort(rng.integers(-50, 50, 200)),
        "small": rng.integers(-50, 50, 200),
        "far apart": rng.integers(-(2**62), 2**62, 200)[rng.integers(0, 60, 200)],
        "unsigned": rng.integers(2**63, 2**63 + 40, 200, dtype=np.uint64),
        "int8": rng.integers(-128, 127, 200).astype(np.int8),
        "one": np.array([7]),
        "none": np.array([], dtype=np.intp),
    }
    return values[kind]


INTEGERS = ("sorted", "small", "far apart", "unsigned", "int8", "one", "none")


@pytest.mark.parametrize("kind", INTEGERS)
def test_ranks_number_distinct_values_in_their_order(kind):
    values = some_integers(kind)
    codes, distinct = ranks(values)
    expected, inverse = np.unique(values, return_inverse=True)
    np.testing.assert_array_equal(distinct, expected)
    np.testing.assert_array_equal(codes, inverse)
    assert distinct.dtype == values.dtype
    assert recode(values)[1] == len(expected)


@pytest.mark.parametrize("ordered", [True, False])
def test_grouped_order_keeps_the_order_within_groups(ordered):
    codes = np.random.default_rng(4).integers(0, 9, 80)
    codes = np.sort(codes) if ordered else codes
    order, size = grouped_order(codes, 12)
    np.testing.assert_array_equal(order, np.argsort(codes, kind="stable"))
    np.testing.assert_array_equal(size, np.bincount(codes, minlength=12))


def test_nested_partitions_are_joined_by_the_coarsest_one():
    rng = np.random.default_rng(5)
    fine = rng.permutation(np.repeat(np.arange(40), 3))
    coarse = fine // 4
    found = connected([fine, np.arange(120), coarse])
    first = {}
    expected = [first.setdefault(int(c), len(first)) for c in coarse]
    assert found.tolist() == expected
