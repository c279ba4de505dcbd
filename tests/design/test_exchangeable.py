"""V with one correlation within groups, against the matrix written out."""

import numpy as np
import pytest

from mvmeta import CovarianceError
from mvmeta.design.exchangeable import exchangeable, lowest_correlation
from tests.tolerances import ALGEBRA

GROUPS = np.array([0, 1, 0, 2, 1, 0])
VARIANCES = np.array([0.1, 0.2, 0.4, 0.3, 0.5, 0.9])


@pytest.mark.parametrize("rho", [-0.5, -0.2, 0.0, 0.6, 1.0])
def test_the_matrix_written_out(rho):
    r = np.where(np.equal.outer(GROUPS, GROUPS), rho, 0.0)
    np.fill_diagonal(r, 1.0)
    sd = np.sqrt(VARIANCES)
    got = exchangeable(VARIANCES, GROUPS, rho).toarray()
    np.testing.assert_allclose(got, np.outer(sd, sd) * r, rtol=ALGEBRA)


def test_the_range_depends_on_the_largest_group():
    assert lowest_correlation(GROUPS) == pytest.approx(-0.5)
    assert lowest_correlation(np.arange(3)) == -1.0
    at_the_end = exchangeable(VARIANCES, GROUPS, -0.5).toarray()
    assert np.linalg.eigvalsh(at_the_end)[0] > -1e-15
    for rho in (-0.51, 1.01):
        with pytest.raises(CovarianceError, match=r"\[-0.5, 1\] here, as the largest group has 3"):
            exchangeable(VARIANCES, GROUPS, rho)


def test_variances_of_zero_have_no_covariances():
    v = exchangeable(np.array([0.0, 0.1, 0.2]), np.zeros(3, dtype=int), 0.5)
    assert v.covariances.nnz == 2
    assert exchangeable(np.array([0.1, 0.0]), np.zeros(2, dtype=int), 0.5).is_diagonal


def test_rows_alone_in_their_group_stay_independent():
    assert exchangeable(VARIANCES, np.arange(6), 0.7).is_diagonal
