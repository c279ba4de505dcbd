"""Parts of a correlation, blocks of V from their product, and repairs, against plain loops."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mvmeta.design import impute as module
from mvmeta.design.impute import (
    Autoregressive,
    Concurrent,
    Constant,
    Contrasts,
    Labelled,
    Tabulated,
    impute,
    nearest_correlation,
)
from tests.tolerances import ALGEBRA

N = 40

REFERENCE = Path(__file__).parents[1] / "reference" / "nearpd.json"
NEAREST = json.loads(REFERENCE.read_text(encoding="utf-8"))


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def cluster(rng):
    return rng.permutation(np.repeat(np.arange(9), [1, 1, 2, 3, 3, 5, 6, 7, 12]))


def looped(variances, cluster, correlation):
    out = np.diag(variances).astype(float)
    for i in range(len(variances)):
        for j in range(len(variances)):
            if i != j and cluster[i] == cluster[j]:
                out[i, j] = correlation(i, j) * np.sqrt(variances[i] * variances[j])
    return out


def test_the_product_of_parts_is_what_a_loop_over_pairs_gives(rng, cluster):
    v, t = rng.uniform(0.1, 2, N), rng.uniform(0, 3, N)
    obs = rng.integers(0, 3, N)
    matrix = np.array([[1, 0.2, 0.3], [0.2, 1, 0.4], [0.3, 0.4, 1]])
    phi = rng.uniform(0.5, 0.9, 9)[cluster]
    got, faults = impute(v, cluster, [Labelled(obs, matrix), Autoregressive(t, phi)])
    assert faults == []
    expected = looped(v, cluster, lambda i, j: matrix[obs[i], obs[j]] * phi[i] ** abs(t[i] - t[j]))
    assert_allclose(got.toarray(), expected, rtol=ALGEBRA)
    assert_array_equal(got.toarray(), got.toarray().T)


def test_concurrent_rows(rng, cluster):
    kind, obs = rng.integers(0, 2, N), rng.integers(0, 3, N)
    within, between = rng.uniform(0.5, 0.9, 9)[cluster], rng.uniform(0.1, 0.4, 9)[cluster]
    part = Concurrent(kind, Constant(between), Concurrent(obs, Constant(within)))
    got, _ = impute(np.ones(N), cluster, [part], check=False)

    def correlation(i, j):
        if kind[i] != kind[j]:
            return between[i]
        return 1.0 if obs[i] == obs[j] else within[i]

    assert_allclose(got.toarray(), looped(np.ones(N), cluster, correlation), rtol=ALGEBRA)


def test_contrasts_are_differences_of_arms():
    # C holds the arms as rows and columns; D their differences.  Group 2 has times 0 and 1.
    phi, w = 0.8, np.array([10.0, 20.0, 30.0, 25.0])
    arms = np.diag(1 / w)
    arms[1, 2] = arms[2, 1] = phi / np.sqrt(w[1] * w[2])
    D = np.array([[1, -1, 0, 0], [1, 0, -1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    cov = D @ arms @ D.T
    expected = cov / np.sqrt(np.outer(np.diag(cov), np.diag(cov)))
    first, second = np.array([0, 0, 2, 1]), np.array([1, 2, 1, 3])
    group, time = np.array([1, 2, 2, 3]), np.array([0.0, 0, 1, 0])
    part = Contrasts(
        (group[first], group[second]),
        (w[first], w[second]),
        (time[first], time[second]),
        np.full(4, phi),
    )
    got, _ = impute(np.ones(4), np.zeros(4, dtype=int), [part], check=False)
    assert_allclose(got.toarray(), expected, rtol=ALGEBRA, atol=ALGEBRA)


def test_tables_are_read_below_the_diagonal():
    table = np.array([[1, np.nan, np.nan], [1, np.nan, np.nan], [0.3, 1, np.nan], [0.4, 0.5, 1]])
    part = Tabulated(table, np.array([0, 0, 1, 2]))
    got, _ = impute(np.ones(4), np.array([0, 1, 0, 0]), [part])
    expected = [[1, 0, 0.3, 0.4], [0, 1, 0, 0], [0.3, 0, 1, 0.5], [0.4, 0, 0.5, 1]]
    assert_array_equal(got.toarray(), expected)


def test_chunks_do_not_show(rng, cluster, monkeypatch):
    v, part = rng.uniform(0.1, 2, N), Autoregressive(rng.uniform(0, 3, N), np.full(N, 0.7))
    whole = impute(v, cluster, [part])[0].toarray()
    monkeypatch.setattr(module, "CHUNK", 20)
    assert_array_equal(impute(v, cluster, [part])[0].toarray(), whole)


def test_zeros_are_not_stored(cluster):
    got, _ = impute(np.ones(N), cluster, [Constant(np.zeros(N))])
    assert got.is_diagonal
    variances = np.where(np.arange(N) < 20, 0.0, 1.0)
    got, _ = impute(variances, cluster, [Constant(np.full(N, 0.5))])
    assert (got.covariances.data != 0).all()


def test_a_row_without_variance_has_missing_covariances_and_is_not_checked():
    # -0.6 between three rows is impossible, between two it is not.
    v = np.array([1.0, np.nan, 4.0])
    got, faults = impute(v, np.zeros(3, dtype=int), [Constant(np.full(3, -0.6))])
    assert faults == []
    nan = np.nan
    assert_allclose(got.toarray(), [[1, nan, -1.2], [nan, nan, nan], [-1.2, nan, 4]])


def test_faults_name_rows_eigenvalue_and_twins():
    cluster = np.array([0, 1, 0, 1, 0, 2])
    rho = np.array([-0.6, 1.0, -0.6, 1.0, -0.6, 0.0])
    _, (singular, negative) = impute(np.ones(6), cluster, [Constant(rho)])
    assert_array_equal(negative.rows, [0, 2, 4])
    assert_allclose(negative.least, 1 + 2 * -0.6)
    assert len(negative.twins) == 0
    assert_array_equal(singular.twins, [1, 3])
    assert abs(singular.least) < 1e-15
    assert singular.change == 0


def test_the_nearest_equicorrelation_is_known():
    # By symmetry the nearest matrix is equicorrelated, too: -1 / (m - 1), the least there is.
    stack = np.full((2, 4, 4), -0.6)
    stack[1] = -0.9
    stack[:, range(4), range(4)] = 1
    got = nearest_correlation(stack)
    expected = np.where(np.eye(4, dtype=bool), 1, -1 / 3)
    assert_allclose(got, [expected, expected], atol=2e-8)
    assert (np.linalg.eigvalsh(got)[:, 0] > 5e-9).all()


def test_the_nearest_matrix_of_higham():
    # Higham (2002), section 4: the matrix with 1 on three diagonals.
    a = np.array([[1.0, 1, 0], [1, 1, 1], [0, 1, 1]])
    expected = [[1, 0.7607, 0.1573], [0.7607, 1, 0.7607], [0.1573, 0.7607, 1]]
    assert_allclose(nearest_correlation(a[None])[0], expected, atol=5e-5)


@pytest.mark.parametrize("case", NEAREST["cases"], ids=lambda c: f"order {len(c['given'])}")
def test_nearest_matrices_are_those_of_the_package_matrix(case):
    given, want = np.array(case["given"]), np.array(case["nearest"])
    # Both stop short of the limit, by a change of 1e-10 and 1e-13.
    assert_allclose(nearest_correlation(given[None])[0], want, atol=1e-9)


def test_a_repaired_v_is_that_of_metafor():
    want = NEAREST["metafor"]
    variances, study = np.array(want["vi"]), np.zeros(3, dtype=int)
    v, _ = impute(variances, study, [Constant(np.full(3, -0.6))], repair=True)
    assert_allclose(v.toarray(), want["V"], rtol=1e-6)  # which stops at a change of 1e-7


def test_repair_leaves_good_blocks_and_variances_alone():
    cluster, v = np.array([0, 0, 0, 1, 1, 1]), np.arange(1.0, 7)
    rho = np.array([-0.6] * 3 + [0.3] * 3)
    before, _ = impute(v, cluster, [Constant(rho)], check=False)
    after, (fault,) = impute(v, cluster, [Constant(rho)], repair=True)
    assert_array_equal(after.variances, v)
    assert_array_equal(after.toarray()[3:, 3:], before.toarray()[3:, 3:])
    assert_allclose(fault.change, 0.1, atol=1e-7)
    assert np.linalg.eigvalsh(after.toarray())[0] > 0
    _, faults = impute(v, cluster, [Constant(np.where(rho < 0, -0.5 + 1e-8, rho))])
    assert faults == []
