"""The tetrachoric correlation against its definition, with scipy's bivariate normal."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from mvmeta import escalc
from mvmeta.errors import MvmetaWarning

TABLES = [(40, 10, 12, 35), (14, 6, 9, 21), (5, 20, 20, 7), (1, 30, 25, 2), (30, 30, 30, 30)]


def correlation(cells):
    return escalc("RTET", **dict(zip(("ai", "bi", "ci", "di"), cells, strict=True)))


@pytest.mark.parametrize("cells", TABLES)
def test_normal_distribution_has_the_proportions_of_the_table(cells):
    p = np.array(cells) / sum(cells)
    r = correlation(cells)["yi"].item()
    cut = norm.ppf([p[0] + p[1], p[0] + p[2]])
    both = multivariate_normal.cdf(cut, cov=[[1, r], [r, 1]])
    np.testing.assert_allclose(both, p[0], rtol=1e-9)


@pytest.mark.parametrize("cells", TABLES)
def test_variance_is_the_delta_method(cells):
    n, p, step = sum(cells), np.array(cells) / sum(cells), 1e-5
    # Proportions are what counts, so that other tables of the same size may have fractions.
    shifts = [correlation(n * (p + s))["yi"].item() for s in step * np.eye(4)]
    back = [correlation(n * (p - s))["yi"].item() for s in step * np.eye(4)]
    gradient = (np.array(shifts) - np.array(back)) / (2 * step)
    variance = gradient @ (np.diag(p) - np.outer(p, p)) @ gradient / n
    np.testing.assert_allclose(correlation(cells)["vi"].item(), variance, rtol=1e-4)


def test_zero_cells_have_no_tetrachoric_correlation():
    with pytest.warns(MvmetaWarning, match="a count is 0"):
        assert np.isnan(correlation((0, 10, 5, 5))["yi"].item())
