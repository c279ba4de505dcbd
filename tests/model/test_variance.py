"""Every form of variance=, against the dense matrix it stands for."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from mvmeta import MetaMixedLM, aggregate, datasets, vcalc
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.errors import CovarianceError, DataError
from mvmeta.model.specification.frames import Source
from mvmeta.model.specification.variance import read_variance

VARIANCES = np.array([0.1, 0.2, 0.3, 0.4])
BLOCK = np.array([[0.1, 0.05], [0.05, 0.2]])
FULL = np.array([[0.1, 0.05, 0, 0], [0.05, 0.2, 0, 0], [0, 0, 0.3, 0], [0, 0, 0, 0.4]])


@pytest.fixture
def source():
    return Source(pd.DataFrame({"vi": VARIANCES, "text": list("abcd")}, index=list("wxyz")))


def taken(variance, source, rows=(0, 1, 2, 3)):
    rows = np.array(rows)
    return read_variance(variance, source).take(rows, source.index[rows])


@pytest.mark.parametrize(
    ("variance", "dense"),
    [
        ("vi", np.diag(VARIANCES)),
        (0.5, 0.5 * np.eye(4)),
        (VARIANCES, np.diag(VARIANCES)),
        (VARIANCES[:, None], np.diag(VARIANCES)),
        (list(VARIANCES), np.diag(VARIANCES)),
        (pd.Series(VARIANCES[::-1], index=list("zyxw")), np.diag(VARIANCES)),
        (pd.Series(VARIANCES, index=list("wxyz"), dtype="Float64"), np.diag(VARIANCES)),
        (FULL, FULL),
        (FULL.tolist(), FULL),
        (sparse.csc_matrix(FULL), FULL),
        (sparse.coo_array(FULL), FULL),
        (pd.DataFrame(FULL, index=list("wxyz"), columns=list("wxyz")), FULL),
        ([BLOCK, 0.3, [[0.4]]], FULL),
        (SamplingCovariance.from_matrix(FULL), FULL),
    ],
)
def test_forms(variance, dense, source):
    np.testing.assert_array_equal(taken(variance, source).toarray(), dense)
    np.testing.assert_array_equal(
        taken(variance, source, [3, 0]).toarray(), dense[np.ix_([3, 0], [3, 0])]
    )


@pytest.mark.parametrize("make", [np.array, sparse.csr_array])
def test_a_missing_diagonal_is_a_missing_row(make, source):
    v = FULL.copy()
    v[1, :] = v[:, 1] = np.nan
    given = read_variance(make(v), source)
    assert list(given.missing) == [False, True, False, False]
    rows = np.array([0, 2, 3])
    np.testing.assert_array_equal(given.take(rows, source.index[rows]).variances, VARIANCES[rows])


def test_a_missing_covariance_between_rows_that_stay_is_an_error(source):
    v = FULL.copy()
    v[0, 1] = v[1, 0] = np.nan
    given = read_variance(v, source)
    assert not given.missing.any()
    with pytest.raises(CovarianceError, match="in row w, column x"):
        given.take(np.arange(4), source.index)
    assert given.take(np.array([0, 2]), source.index[[0, 2]]).n == 2


@pytest.mark.parametrize(
    ("variance", "error", "match"),
    [
        (None, DataError, "variance= is missing"),
        ("v", DataError, "did you mean 'vi'"),
        ("text", DataError, "row w holds 'a'"),
        (["a", "b", "c", "d"], DataError, "row w holds 'a'"),
        (VARIANCES[:3], DataError, "has 3 rows, the data have 4"),
        (FULL[:3, :3], DataError, "variance has 3 rows"),
        (FULL[:3], CovarianceError, "square"),
        ([BLOCK, BLOCK, BLOCK], DataError, "variance has 6 rows"),
        ([BLOCK, BLOCK[:1]], CovarianceError, "block 1 of V must be square"),
        (np.zeros((2, 2, 2)), DataError, "shape"),
        (pd.DataFrame(FULL, index=list("wxyz"), columns=list("zyxw")), DataError, "same labels"),
        (pd.DataFrame(FULL, index=list("abcd"), columns=list("abcd")), DataError, "does not have"),
        (pd.Series(VARIANCES, index=list("abcd")), DataError, "does not have"),
        (SamplingCovariance.from_variances(VARIANCES[:2]), DataError, "has 2 rows"),
    ],
)
def test_what_does_not_fit_is_refused(variance, error, match, source):
    with pytest.raises(error, match=match):
        read_variance(variance, source)


@pytest.mark.parametrize(
    ("variance", "match"),
    [
        (np.array([0.1, -0.2, 0.3, 0.4]), "negative in row x"),
        (np.array([0.1, np.inf, 0.3, 0.4]), "infinite in row x"),
        (FULL + np.triu(np.ones((4, 4)), 1), "not symmetric"),
        (FULL + 0.5 * (1 - np.eye(4)), "not positive semi-definite"),
    ],
)
def test_what_is_no_covariance_is_refused_naming_rows(variance, match, source):
    with pytest.raises(CovarianceError, match=match):
        taken(variance, source)


def test_rows_that_are_dropped_may_hold_anything(source):
    assert taken(np.array([0.1, -0.2, 0.3, np.inf]), source, [0, 2]).n == 2


def test_a_made_v_follows_its_rows_into_data_in_another_order():
    data = datasets.load("assink2016")
    mixed = data.sample(frac=1, random_state=1)
    v = vcalc("vi", "study", obs="esid", rho=0.6, data=data)
    there = read_variance(v, Source(mixed)).take(np.arange(100), mixed.index)
    np.testing.assert_array_equal(there.toarray(), v.toarray()[np.ix_(mixed.index, mixed.index)])
    np.testing.assert_array_equal(there.block(2), v.take(mixed.index.to_numpy()).block(2))
    fits = [
        MetaMixedLM.from_formula("yi ~ 1", frame, variance=v, groups="study/esid").fit()
        for frame in (data, mixed)
    ]
    np.testing.assert_allclose(fits[1].params, fits[0].params, rtol=1e-8)
    one, other = (aggregate(frame, "study", V=v).set_index("study") for frame in (data, mixed))
    np.testing.assert_allclose(other.loc[one.index, "yi"], one["yi"], rtol=1e-12)


def test_a_made_v_stays_with_rows_that_got_a_new_index():
    data = datasets.load("assink2016").sample(frac=1, random_state=1)
    v = vcalc("vi", "study", obs="esid", rho=0.6, data=data)
    renamed = data.reset_index(drop=True)
    kept = read_variance(v, Source(renamed)).take(np.arange(100), renamed.index)
    np.testing.assert_array_equal(kept.toarray(), v.toarray())


def test_a_made_v_of_other_studies_is_refused():
    data = datasets.load("assink2016")
    v = vcalc("vi", "study", obs="esid", rho=0.6, data=data)
    mixed = data.sample(frac=1, random_state=1).reset_index(drop=True)
    with pytest.raises(DataError, match="other studies than those in column 'study': the data wer"):
        MetaMixedLM.from_formula("yi ~ 1", mixed, variance=v, groups="study/esid")
    recoded = data.assign(study=data["study"].map("study {}".format).where(data.index > 2))
    np.testing.assert_array_equal(read_variance(v, Source(recoded)).variances, data["vi"])


def test_a_made_v_without_the_labels_of_the_data_is_in_the_order_of_the_rows():
    data = datasets.load("assink2016").head(6)
    v = vcalc("vi", "study", obs="esid", rho=0.6, data=data)
    named = data.set_axis(list("abcdef"))
    kept = read_variance(v, Source(named)).take(np.arange(6), named.index)
    np.testing.assert_array_equal(kept.toarray(), v.toarray())
    arrays = vcalc(data["vi"].to_numpy(), data["study"].to_numpy(), rho=0.6)
    assert arrays.provenance.rows is None
    mixed = data.iloc[::-1]
    np.testing.assert_array_equal(read_variance(arrays, Source(mixed)).variances, data["vi"])


def test_a_made_v_with_repeated_labels_in_another_order_is_refused():
    data = datasets.load("assink2016").head(3).set_axis([0, 0, 1])
    v = vcalc("vi", "study", obs="esid", rho=0.6, data=data)
    read_variance(v, Source(data))
    with pytest.raises(DataError, match="different indexes with repeated labels"):
        read_variance(v, Source(data.iloc[::-1]))
