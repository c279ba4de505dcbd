"""V: ways to build it, what is refused and how, and its few operations."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from mvmeta.design.layout import size_classes
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.valid_v import SYMMETRY_TOLERANCE
from mvmeta.errors import CovarianceError
from tests.tolerances import ALGEBRA

NAMES = [f"trial {i}" for i in range(1, 11)]


def scattered():
    """A V of ten rows whose blocks (sizes 1, 2, 3 and 4) are not next to each other."""
    rng = np.random.default_rng(0)
    block = np.array([0, 1, 2, 3, 2, 3, 1, 3, 2, 3])
    r = np.where(block[:, None] == block, 0.4, 0.0)
    np.fill_diagonal(r, 1.0)
    s = np.sqrt(rng.uniform(0.1, 2.0, 10))
    return r * np.outer(s, s), block


def test_variances():
    v = SamplingCovariance.from_variances([0.1, 0.2, 0.0])
    assert v.is_diagonal
    assert v.n == 3
    assert_array_equal(v.toarray(), np.diag([0.1, 0.2, 0.0]))
    assert_array_equal(v.cluster, [0, 1, 2])


def test_variances_are_copied():
    given = np.array([1.0, 2.0])
    v = SamplingCovariance.from_variances(given)
    given[0] = 9.0
    assert v.variances[0] == 1.0


KINDS = [np.asarray, sparse.csr_array, sparse.coo_array, sparse.csc_matrix]


@pytest.mark.parametrize("kind", KINDS)
def test_matrix(kind):
    full, block = scattered()
    v = SamplingCovariance.from_matrix(kind(full))
    assert not v.is_diagonal
    assert_allclose(v.toarray(), full, rtol=ALGEBRA)
    assert_array_equal(v.cluster, block)
    assert v.covariances.nnz == 2 * (1 + 3 + 6)


def test_diagonal_matrix_is_recognised():
    assert SamplingCovariance.from_matrix(np.diag([1.0, 2.0])).is_diagonal


def test_stored_zeros_link_nothing():
    """Explicit zeros in a sparse matrix are no covariances."""
    index = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    v = SamplingCovariance.from_matrix(sparse.coo_array(([1.0, 0.0, 0.0, 2.0], index)))
    assert v.is_diagonal


def test_blocks():
    a, b = np.array([[2.0, 0.5], [0.5, 1.0]]), [[0.3]]
    v = SamplingCovariance.from_blocks([a, b, 0.7])
    expected = np.zeros((4, 4))
    expected[:2, :2], expected[2, 2], expected[3, 3] = a, 0.3, 0.7
    assert_array_equal(v.toarray(), expected)
    assert [len(x) for x in v.blocks] == [2, 1, 1]
    assert_array_equal(v.blocks[0], a)


def test_take_reorders():
    full, _ = scattered()
    rows = np.array([9, 3, 0, 4])
    v = SamplingCovariance.from_matrix(full).take(rows)
    assert_allclose(v.toarray(), full[np.ix_(rows, rows)], rtol=ALGEBRA)
    assert SamplingCovariance.from_matrix(full).take(np.array([0, 1, 2])).is_diagonal


def test_stacks():
    full, block = scattered()
    v = SamplingCovariance.from_matrix(full)
    groups = size_classes(block)
    for rows, stack in zip(groups, v.stacks(groups), strict=True):
        for r, s in zip(rows, stack, strict=True):
            assert_allclose(s, full[np.ix_(r, r)], rtol=ALGEBRA)
        assert_array_equal(v.stack(rows), stack)


def test_stack_of_unrelated_rows_and_of_parts():
    full, _ = scattered()
    v = SamplingCovariance.from_matrix(full)
    rows = np.array([[9, 3], [0, 8]])
    for r, s in zip(rows, v.stack(rows), strict=True):
        assert_allclose(s, full[np.ix_(r, r)], rtol=ALGEBRA)


def test_algebra():
    full, _ = scattered()
    v = SamplingCovariance.from_matrix(full)
    b = np.random.default_rng(1).normal(size=(10, 3))
    assert_allclose(v.multiply(b), full @ b, rtol=1e-11)
    assert_allclose(v.solve(b), np.linalg.solve(full, b), rtol=1e-10)
    assert v.logdet() == pytest.approx(np.linalg.slogdet(full)[1], rel=ALGEBRA)
    assert_allclose(v.scaled(2.5).toarray(), 2.5 * full, rtol=ALGEBRA)


def test_lifted():
    full, _ = scattered()
    v = SamplingCovariance.from_matrix(full).lifted(np.array([1, 2]), 3.0)
    assert_allclose(v.toarray() - full, np.diag([0, 3.0, 3.0] + [0] * 7), atol=1e-12)


# --- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "message"),
    [(-0.1, "negative in row trial 3"), (np.nan, "missing or infinite in row trial 3")],
)
def test_bad_variances_name_their_rows(bad, message):
    v = np.ones(10)
    v[2] = bad
    with pytest.raises(CovarianceError, match=message):
        SamplingCovariance.from_variances(v, rows=NAMES)


def test_many_bad_rows_are_summed_up():
    with pytest.raises(CovarianceError, match=r"rows trial 1, .*trial 6 and 4 more"):
        SamplingCovariance.from_variances(-np.ones(10), rows=NAMES)


def test_rows_are_numbered_without_names():
    with pytest.raises(CovarianceError, match="in row 1"):
        SamplingCovariance.from_variances([1.0, -1.0])


def test_missing_entries_of_a_matrix_are_located():
    full, _ = scattered()
    full[3, 5] = np.nan
    with pytest.raises(
        CovarianceError, match=r"1 missing .*, the first in row trial 4, column trial 6: give"
    ):
        SamplingCovariance.from_matrix(full, rows=NAMES)


@pytest.mark.parametrize("shape", [(3, 2), (3,), (2, 2, 2)])
def test_not_square(shape):
    with pytest.raises(CovarianceError, match="square"):
        SamplingCovariance.from_matrix(np.ones(shape))


def test_asymmetry_is_located():
    full, _ = scattered()
    full[2, 4] += 0.01
    with pytest.raises(CovarianceError, match=r"not symmetric.*\(2, 4\).*rows trial 3, trial 5"):
        SamplingCovariance.from_matrix(full, rows=NAMES)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_asymmetry_is_judged_relative_to_the_variances(scale):
    rounding, wrong = 0.5 * SYMMETRY_TOLERANCE, 4 * SYMMETRY_TOLERANCE
    base, above = np.array([[2.0, 0.5], [0.5, 2.0]]), np.array([[0.0, 1.0], [0.0, 0.0]])
    near = scale * (base + rounding * above)
    v = SamplingCovariance.from_matrix(near)
    assert v.toarray()[0, 1] == v.toarray()[1, 0] == pytest.approx(scale * 0.5)
    with pytest.raises(CovarianceError, match="not symmetric"):
        SamplingCovariance.from_matrix(scale * (base + wrong * above))


def test_one_sided_entry_is_asymmetric():
    with pytest.raises(CovarianceError, match="not symmetric"):
        SamplingCovariance.from_matrix(np.array([[1.0, 0.5], [0.0, 1.0]]))


def test_indefinite_blocks_are_located():
    full, _ = scattered()
    full[1, 6] = full[6, 1] = 1.1 * np.sqrt(full[1, 1] * full[6, 6])
    with pytest.raises(CovarianceError, match=r"not positive semi-definite.*trial 2, trial 7"):
        SamplingCovariance.from_matrix(full, rows=NAMES)


def test_number_of_other_indefinite_blocks():
    bad = np.array([[1.0, 1.5], [1.5, 1.0]])
    worse = np.array([[1.0, 3.0], [3.0, 1.0]])
    with pytest.raises(CovarianceError, match=r"rows 2, 3 .* -2 \(1 more blocks"):
        SamplingCovariance.from_blocks([bad, worse, [[1.0]]])


def test_covariance_with_a_variance_of_zero():
    with pytest.raises(CovarianceError, match="not positive semi-definite"):
        SamplingCovariance.from_matrix(np.array([[0.0, 0.2], [0.2, 1.0]]))


@pytest.mark.parametrize("block", [np.ones((2, 3)), np.ones(3)])
def test_blocks_that_are_not_square(block):
    with pytest.raises(CovarianceError, match="block 1 of V must be square"):
        SamplingCovariance.from_blocks([[[1.0]], block])


def test_no_blocks():
    with pytest.raises(CovarianceError, match="empty list"):
        SamplingCovariance.from_blocks([])


# --- singular but legal --------------------------------------------------------------------


@pytest.mark.parametrize(
    "blocks",
    [
        [np.ones((2, 2)), [[1.0]]],
        [np.ones((3, 3)) * 0.1, 2.0],
        [np.outer([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]), 1.0],
    ],
)
def test_singular_blocks_are_legal(blocks):
    v = SamplingCovariance.from_blocks(blocks)
    assert v.is_singular
    assert_array_equal(v.singular_rows, np.arange(len(blocks[0])))
    for operation in (v.logdet, lambda: v.solve(np.ones((v.n, 1)))):
        with pytest.raises(CovarianceError, match="V is singular"):
            operation()


def test_zero_variances_are_legal_and_singular():
    v = SamplingCovariance.from_variances([1.0, 0.0])
    assert v.is_singular
    assert_array_equal(v.singular_rows, [1])


def test_definite_is_not_singular():
    full, _ = scattered()
    assert not SamplingCovariance.from_matrix(full).is_singular
    assert not SamplingCovariance.from_variances([1e-12, 1e12]).is_singular


def many_scattered(seed, n=60):
    """Clusters of up to five rows in no order, some of their covariances 0."""
    rng = np.random.default_rng(seed)
    cluster = rng.permutation(np.repeat(np.arange(n // 3), rng.multinomial(n, [3 / n] * (n // 3))))
    root = np.where(cluster[:, None] == cluster, rng.normal(size=(n, n)), 0.0)
    v = root @ root.T + np.eye(n)
    for i, j in zip(*np.nonzero(np.triu(rng.random((n, n)) < 0.2, 1)), strict=True):
        v[i, j] = v[j, i] = 0.0
    return v + 5 * np.eye(n)


@pytest.mark.parametrize("seed", range(3))
def test_stacks_of_any_groups_are_parts_of_the_matrix(seed):
    matrix = many_scattered(seed)
    v = SamplingCovariance.from_matrix(sparse.coo_array(matrix))
    rng = np.random.default_rng(seed + 10)
    rows = rng.permutation(60)
    groups = [*size_classes(v.cluster)]
    for chunks in (groups, [rows[:20].reshape(4, 5), rows[20:48].reshape(14, 2)], [rows[None]]):
        for group, stack in zip(chunks, v.stacks(chunks), strict=True):
            assert_array_equal(stack, [matrix[np.ix_(r, r)] for r in group])
    order = [np.flatnonzero(v.cluster == k) for k in np.unique(v.cluster)]
    for block, r in zip(v.blocks, sorted(order, key=lambda r: r[0]), strict=True):
        assert_array_equal(block, matrix[np.ix_(r, r)])


@pytest.mark.parametrize("gap", [0.0, 1e-13, 1e-11, 1e-8, 1e-4, 0.5])
def test_singular_blocks_are_those_with_a_zero_eigenvalue(gap):
    """The cheap bound lets no singular block through, and sends no definite one away."""
    rng = np.random.default_rng(3)
    blocks = []
    for _ in range(40):
        basis = np.linalg.qr(rng.normal(size=(4, 4)))[0]
        block = (basis * [1.0, 0.7, 0.4, gap]) @ basis.T
        s = 10 ** rng.uniform(-1, 1, 4)
        blocks.append((block + block.T) / 2 * np.outer(s, s))
    v = SamplingCovariance.from_blocks(blocks)
    values = [np.linalg.eigvalsh(b) for b in blocks]
    singular = [k for k, x in enumerate(values) if x[0] <= 1e-10 * x[-1]]
    assert sorted(set(v.singular_rows // 4)) == singular
