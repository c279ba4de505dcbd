"""vcalc: metafor's numbers, correlations per study, invariances, and what is refused."""

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mvmeta
from mvmeta import (
    CovarianceError,
    DataError,
    MetaMixedLM,
    MvmetaWarning,
    SamplingCovariance,
    SpecificationError,
    datasets,
    vcalc,
)

REFERENCE = Path(__file__).parents[1] / "reference" / "metafor" / "vcalc.json"
EXACT = 1e-12
GROUPS = {"grp1": "grp1", "grp2": "grp2"}
SIZES = {"w1": "w1", "w2": "w2"}
WITHIN = {"grp1": "grp1", "grp2": "same2", "time1": "whole", "time2": "later2", "phi": 0.7}


@cache
def reference():
    return json.loads(REFERENCE.read_text(encoding="utf-8"))


def matrices():
    obs, kinds = [1, 2, 3], ["anxiety", "mood"]
    return (
        pd.DataFrame(reference()["R"], index=obs, columns=obs),
        pd.DataFrame(reference()["B"], index=kinds, columns=kinds),
    )


def frame():
    return pd.DataFrame(reference()["data"])


def build(vi="vi", data=None, **options):
    return vcalc(vi, "study", data=frame() if data is None else data, checkpd=False, **options)


R, B = matrices()
CALLS = {
    "obs": {"obs": "obs", "rho": 0.6},
    "obs_matrix": {"obs": "obs", "rho": R},
    "type": {"type": "type", "rho": 0.45},
    "type_matrix": {"type": "type", "rho": B},
    "obs_type": {"obs": "obs", "type": "type", "rho": (0.7, 0.5)},
    "obs_type_matrices": {"obs": "obs", "type": "type", "rho": (R, B)},
    "obs_type_mixed": {"obs": "obs", "type": "type", "rho": [0.7, B]},
    "subgroup": {"obs": "obs", "subgroup": "half", "rho": 0.6},
    "missing": {"vi": "vi_gap", "obs": "obs", "rho": 0.6},
    "time": {"time1": "time1", "phi": 0.8},
    "time_obs": {"time1": "time1", "phi": 0.8, "obs": "obs", "rho": R},
    "time_obs_type": {
        "time1": "time1",
        "phi": 0.8,
        "obs": "obs",
        "type": "type",
        "rho": [0.7, 0.5],
    },
    "groups": GROUPS,
    "groups_sizes": GROUPS | SIZES,
    "groups_obs": GROUPS | SIZES | {"obs": "obs", "rho": R},
    "groups_time": GROUPS | {"time1": "time1", "phi": 0.8},
    "groups_times": GROUPS | {"time1": "time1", "time2": "time2", "phi": 0.8},
    "within": WITHIN,
    "everything": WITHIN
    | SIZES
    | {"obs": "obs", "type": "type", "rho": (R, B), "subgroup": "half"},
    "rvars": {"rvars": [f"r{k}" for k in range(1, 9)]},
    "rvars_subgroup": {"subgroup": "half", "rvars": [f"s{k}" for k in range(1, 5)]},
}


def test_every_stored_matrix_is_compared():
    assert set(CALLS) == set(reference()["scattered"])


@pytest.mark.parametrize("name", list(CALLS))
def test_scattered_rows_as_metafor(name):
    expected = np.array(reference()["scattered"][name], dtype=float)
    study = frame()["study"].to_numpy()
    # metafor's entries between a missing variance and other studies are missing, too.
    expected[study[:, None] != study] = 0
    assert_allclose(build(**CALLS[name]).toarray(), expected, rtol=EXACT, atol=1e-15)


def test_assink_as_metafor_and_the_model_takes_it():
    stored = reference()["assink"]
    data = datasets.load("assink2016")
    v = vcalc("vi", "study", obs="esid", rho=0.6, data=data)
    for got, expected in zip(v.blocks, stored["V"], strict=True):
        assert_allclose(got, np.atleast_2d(expected), rtol=EXACT)
    res = MetaMixedLM.from_formula("yi ~ 1", data, variance=v, groups="study/esid").fit()
    assert_allclose(res.params.iloc[0], stored["fit"]["estimate"], rtol=1e-6)
    assert_allclose(res.bse.iloc[0], stored["fit"]["se"], rtol=1e-6)
    assert_allclose(res.vcomp["estimate"], stored["fit"]["sigma2"], rtol=1e-5)


def test_knapp_as_metafor():
    stored, data = reference()["knapp"], datasets.load("knapp2017")
    rho = pd.DataFrame(stored["rho"], index=stored["tasks"], columns=stored["tasks"])
    v = vcalc(
        "vi", "study", grp1="group1", grp2="group2", w1="n_sz", w2="n_hc",
        obs=stored["what"], rho=rho, data=data,
    )  # fmt: skip
    for study, expected in zip(data["study"].unique(), stored["V"], strict=True):
        assert_allclose(v.block(study), np.atleast_2d(expected), rtol=EXACT)
    res = MetaMixedLM.from_formula("yi ~ 1", data, variance=v, groups="study/comp").fit()
    assert_allclose(res.params.iloc[0], stored["fit"]["estimate"], rtol=1e-6)
    assert_allclose(res.bse.iloc[0], stored["fit"]["se"], rtol=1e-6)
    assert_allclose(res.vcomp["estimate"], stored["fit"]["sigma2"], rtol=1e-5, atol=1e-8)


def test_ishak_as_metafor():
    stored = reference()["ishak"]
    v = vcalc(
        "vi", "study", time1="time", phi=0.97, data={k: stored[k] for k in stored if k != "V"}
    )
    for got, expected in zip(v.blocks, stored["V"], strict=True):
        assert_allclose(got, np.atleast_2d(expected), rtol=EXACT)


def test_covariance_matrices_in_rvars_as_metafor():
    data = pd.DataFrame(reference()["berkey_data"])
    v = vcalc(1, "author", rvars=["v1i", "v2i"], data=data)
    assert_allclose(v.toarray(), reference()["berkey"], rtol=EXACT)
    again = vcalc(1, "author", rvars=data[["v1i", "v2i"]].to_numpy(), data=data)
    assert_array_equal(again.toarray(), v.toarray())


def test_covariances_in_rvars_beside_variances_are_doubted():
    data = pd.DataFrame(reference()["berkey_data"])
    variances = np.diagonal(np.asarray(reference()["berkey"]))
    with pytest.warns(MvmetaWarning, match="no correlations in rows 0, 1, 2.*give 1 for vi"):
        vcalc(variances, "author", rvars=["v1i", "v2i"], data=data)
    correlations = pd.DataFrame({"r1": [1, 0.4] * 5, "r2": [0.4, 1.0] * 5})
    v = vcalc(variances, data["author"], rvars=correlations)
    assert_allclose(np.diagonal(v.toarray()), variances, rtol=EXACT)


RHO = {"a": 0.2, "b": 0.4, "c": 0.5, "d": 0.6, "e": 0.9}


def per_study(data, rho, differs):
    """V of rows that correlate rho[study] where `differs` says so, else 1."""
    s, v = data["study"].to_numpy(), data["vi"].to_numpy()
    r = np.where(differs, np.vectorize(rho.get)(s)[:, None], 1.0)
    return np.where(s[:, None] == s, r * np.sqrt(np.outer(v, v)), 0.0)


@pytest.mark.parametrize("how", [dict, pd.Series, "column"])
def test_rho_per_study(how):
    data = frame().assign(r=lambda d: d["study"].map(RHO))
    rho = "r" if how == "column" else how(RHO)
    obs = data["obs"].to_numpy()
    expected = per_study(data, RHO, obs[:, None] != obs)
    assert_allclose(build(data=data, obs="obs", rho=rho).toarray(), expected, rtol=EXACT)


def test_pairs_per_study_and_phi_per_study():
    data, other = frame(), {k: v / 2 for k, v in RHO.items()}
    obs, kind, time = (data[c].to_numpy() for c in ("obs", "type", "time1"))
    got = build(
        obs="obs", type="type", rho=(RHO, pd.Series(other)), time1="time1", phi=RHO
    ).toarray()
    within, between = per_study(data, RHO, obs[:, None] != obs), per_study(data, other, True)
    phi = data["study"].map(RHO).to_numpy()[:, None] ** np.abs(time[:, None] - time)
    expected = np.where(kind[:, None] == kind, within, between) * phi
    assert_allclose(got, expected, rtol=EXACT)


def test_studies_that_need_no_rho_need_no_value():
    # e has one row.
    known = {k: v for k, v in RHO.items() if k != "e"}
    assert_array_equal(build(obs="obs", rho=known).toarray(), build(obs="obs", rho=RHO).toarray())


def test_rho_alone_applies_to_all_pairs():
    data = frame()
    got = vcalc("vi", "study", rho=RHO, data=data).toarray()
    expected = per_study(data, RHO, ~np.eye(len(data), dtype=bool))
    assert_allclose(got, expected, rtol=EXACT)


@pytest.mark.parametrize("name", ["obs_type_matrices", "everything", "rvars"])
def test_order_of_studies_does_not_matter(name):
    data = frame()
    # Rows of one study keep their order, which rvars go by.
    order = data["study"].map({"c": 0, "a": 1, "e": 2, "b": 3, "d": 4}).argsort(kind="stable")
    expected = build(data=data, **CALLS[name]).toarray()[np.ix_(order, order)]
    got = build(data=data.iloc[order], **CALLS[name]).toarray()
    assert_array_equal(got, expected)


@pytest.mark.parametrize("name", ["time_obs_type", "everything"])
def test_rows_may_be_shuffled(name):
    data = frame()
    order = np.random.default_rng(1).permutation(len(data))
    expected = build(data=data, **CALLS[name]).toarray()[np.ix_(order, order)]
    assert_array_equal(build(data=data.iloc[order], **CALLS[name]).toarray(), expected)


def test_scaling_of_variances_and_of_sizes():
    data = frame()
    big = data.assign(vi=4 * data["vi"], w1=8 * data["w1"], w2=8 * data["w2"])
    options = CALLS["everything"]
    expected = 4 * build(data=data, **options).toarray()
    assert_allclose(build(data=big, **options).toarray(), expected, rtol=EXACT)


def test_swapping_the_groups_flips_the_sign():
    data = frame()
    options, turned = GROUPS | SIZES, np.arange(len(data)) % 3 == 0
    swapped = data.copy()
    for one, two in (("grp1", "grp2"), ("w1", "w2")):
        swapped[one] = data[one].where(~turned, data[two])
        swapped[two] = data[two].where(~turned, data[one])
    sign = np.where(turned, -1, 1)
    expected = build(data=data, **options).toarray() * np.outer(sign, sign)
    assert_allclose(build(data=swapped, **options).toarray(), expected, rtol=EXACT)


def test_arrays_series_and_other_frames():
    data = frame()
    expected = build(obs="obs", rho=0.6).toarray()
    plain = vcalc(
        data["vi"].to_numpy(), data["study"].to_list(), obs=data["obs"], rho=0.6, checkpd=False
    )
    assert_array_equal(plain.toarray(), expected)
    other = pl.DataFrame({c: data[c].to_list() for c in ("vi", "study", "obs")})
    assert_array_equal(build(data=other, obs="obs", rho=0.6).toarray(), expected)
    mixed = vcalc("vi", "study", obs=data["obs"].iloc[::-1], rho=0.6, data=data, checkpd=False)
    assert_array_equal(mixed.toarray(), expected)


def test_groups_are_matched_by_what_their_names_read():
    text = frame().assign(grp2=lambda d: d["grp2"].map({"C": "3", "D": "4"}))
    text["grp1"] = text["grp1"].map({"A": 1.0, "B": 2.0, "C": 3.0})
    assert_array_equal(build(data=text, **GROUPS).toarray(), build(**GROUPS).toarray())


def test_dropped_rows_take_their_covariances_with_them():
    data = datasets.load("assink2016").astype({"vi": float})
    gap = data.copy()
    gap.loc[[2, 40], "vi"] = np.nan
    gap.loc[7, "yi"] = np.nan
    kept = data.drop(index=[2, 7, 40])
    with pytest.warns(MvmetaWarning, match="3 of 100 rows dropped"):
        model = MetaMixedLM.from_formula(
            "yi ~ 1", gap, groups="study", variance=vcalc("vi", "study", rho=0.6, data=gap)
        )
    V = vcalc("vi", "study", rho=0.6, data=kept)
    expected = MetaMixedLM.from_formula("yi ~ 1", kept, groups="study", variance=V).fit()
    assert_allclose(model.fit().params, expected.params, rtol=1e-12)


def test_a_million_rows_stay_sparse():
    n = 1_000_000
    study = np.arange(n) // 4
    v = vcalc(np.ones(n), study, time1=np.arange(n) % 4, phi=0.5)
    assert v.covariances.nnz == 3 * n
    assert repr(v) == (
        "SamplingCovariance(1000000 rows, 250000 blocks, largest 4, correlations 0.125 to 0.5)"
    )


def test_repr():
    data = datasets.load("assink2016")
    v = vcalc("vi", "study", obs="esid", rho=0.6, data=data)
    assert repr(v) == "SamplingCovariance(100 rows, 17 blocks, largest 22, correlations 0.6)"
    assert repr(SamplingCovariance.from_variances([1.0, 2.0])) == (
        "SamplingCovariance(2 rows, diagonal)"
    )
    data.loc[3, "vi"] = np.nan
    assert "correlations 0.6)" in repr(vcalc("vi", "study", rho=0.6, data=data))


SMALL = pd.DataFrame(
    {
        "vi": [1.0, 2, 3, 4, 5],
        "study": ["x", "x", "x", "y", "y"],
        "obs": [1, 2, 3, 1, 2],
        "kind": ["p", "p", "q", "p", "q"],
        "t": [0.0, 1, 2.5, 0, 1],
        "g": ["A", "B", "C", "A", "B"],
        "h": ["C", "C", "C", "C", "C"],
        "r": [0.1, 0.1, 0.2, 0.3, 0.3],
        "u": [1, np.nan, 1, 1, 1],
        "m1": [1, 0.5, 0.5, 1, 0.5],
        "m2": [np.nan, 1, np.nan, np.nan, 1],
        "m3": [np.nan, np.nan, 1, np.nan, np.nan],
    },
    index=[11, 12, 13, 14, 15],
)


def labelled(values, labels):
    return pd.DataFrame(values, index=labels, columns=labels)


OBS = {"obs": "obs"}
BOTH = {"obs": "obs", "type": "kind"}
REFUSED = [
    (SpecificationError, {}, "nothing says how rows of one cluster correlate"),
    (SpecificationError, OBS, "obs= needs rho="),
    (SpecificationError, {"type": "kind"}, "type= needs rho="),
    (SpecificationError, {"time1": "t"}, "time1= needs phi="),
    (SpecificationError, {"phi": 0.5, "rho": 0.5}, "phi= needs time1="),
    (SpecificationError, {"grp1": "g"}, "grp1= needs grp2="),
    (SpecificationError, {"grp2": "g"}, "grp2= needs grp1="),
    (SpecificationError, {"w1": "vi", "w2": "vi"}, "w1= needs grp1="),
    (SpecificationError, {"grp1": "g", "grp2": "h", "w1": "vi"}, "w1= needs w2="),
    (SpecificationError, {"time1": "t", "time2": "t", "phi": 0.5}, "time2= needs grp2="),
    (SpecificationError, {"time1": "t", "phi": 0.5, "rho": 0.5}, "rho= needs obs= or type="),
    (SpecificationError, {"sample": "g", "overlap": 0.5, "rho": 0.5}, "rho= needs obs= or type="),
    (SpecificationError, {"sample": "g"}, "sample= needs overlap="),
    (SpecificationError, {"overlap": 0.5}, "overlap= needs sample="),
    (SpecificationError, {"ni": "vi", "rho": 0.5}, "ni= needs sample="),
    (
        SpecificationError,
        {"sample": "g", "overlap": -0.5},
        "within \\[0, 1\\], but is -0.5 in rows",
    ),
    (DataError, {"sample": "g", "overlap": 0.5, "ni": "t"}, "ni must be > 0.*rows 11, 14"),
    (
        SpecificationError,
        OBS | {"rho": labelled([[1, 0, 0.1], [0, 1, 1.2], [0.1, 1.2, 1]], [1, 2, 3])},
        "rho .over the levels of obs. must lie within .* but is 1.2 for '2' and '3'; correct",
    ),
    (
        SpecificationError,
        {
            "sample": "obs",
            "overlap": labelled([[1, 0, -0.1], [0, 1, 0.2], [-0.1, 0.2, 1]], [1, 2, 3]),
        },
        "overlap .* but is -0.1 for '1' and '3'",
    ),
    (SpecificationError, BOTH | {"rho": 0.5}, "must be a pair.*got float"),
    (SpecificationError, BOTH | {"rho": np.eye(2)}, "must be a pair.*shape \\(2, 2\\)"),
    (SpecificationError, BOTH | {"rho": [0.5]}, "must be a pair.*shape \\(1,\\)"),
    (SpecificationError, OBS | {"rho": [0.5, 0.6]}, "rho must be a number.*got list"),
    (SpecificationError, OBS | {"rho": True}, "rho must be a number.*got bool"),
    (SpecificationError, OBS | {"rho": np.eye(3)}, "a DataFrame labelled by levels"),
    (SpecificationError, {"rho": labelled(np.eye(3), [1, 2, 3])}, "rho must be a number"),
    (SpecificationError, OBS | {"rho": 1.2}, "within \\[-1, 1\\], but is 1.2 in rows 11, 12"),
    (
        SpecificationError,
        OBS | {"rho": labelled(np.eye(3) * 2, [1, 2, 3])},
        "diagonal of 1, but has 2 for '1'",
    ),
    (DataError, OBS | {"rho": labelled(np.eye(2), [1, 2])}, "obs.*no rows for 1 levels.*: 3;"),
    (DataError, OBS | {"rho": {"x": 0.5}}, "rho has no value for 1 studies: y; it has x"),
    (DataError, OBS | {"rho": {"x": 0.5, "y": np.nan}}, "missing in rows 14, 15 \\(study y\\)"),
    (DataError, OBS | {"rho": pd.Series([1, 1, 1], index=list("xxy"))}, "studies twice: x"),
    (DataError, OBS | {"rho": "r"}, "varies within one: row 13 \\(study x\\)"),
    (DataError, OBS | {"rho": "rr"}, "column 'rr' wanted for rho is not in the data"),
    (DataError, {"obs": "u", "rho": 0.5}, "obs is missing in row 12"),
    (DataError, {"time1": "u", "phi": 0.5}, "time1 is missing in row 12"),
    (DataError, {"time1": "g", "phi": 0.5}, "time1 must be numeric"),
    (SpecificationError, {"time1": "t", "phi": -0.5}, "whole numbers.*row 13 \\(study x\\)"),
    (DataError, {"grp1": "g", "grp2": "h"}, "the same group in row 13 \\(study x\\)"),
    (
        DataError,
        {"grp1": "g", "grp2": "h", "time1": "t", "time2": "t", "phi": 0.5},
        "at the same time are the same group in row 13",
    ),
    (DataError, {"grp1": "g", "grp2": "obs", "w1": "t", "w2": "vi"}, "w1 must be > 0.*11, 14"),
    (DataError, {"obs": [1, 2], "rho": 0.5}, "obs has 2 rows, the data have 5"),
    (SpecificationError, {"rvars": ["m1"], "rho": 0.5}, "rho cannot be given beside it"),
    (SpecificationError, {"rvars": "m1"}, "rvars must be a list"),
    (DataError, {"rvars": ["m1", "m2"]}, "2 columns, but a study has more rows: row 13"),
    (DataError, {"rvars": ["m1", "m2", "m3"]}, "below the diagonal.*row 13 .study x.: column 2 of"),
    (DataError, {"rvars": ["m1", "t", "vi"]}, None),
]


@pytest.mark.parametrize(("error", "options", "message"), REFUSED)
def test_refused(error, options, message):
    if message is None:
        # A diagonal of 0.
        options, message = {"rvars": ["t", "vi", "vi"]}, "diagonal > 0.*rows 11, 14"
    with pytest.raises(error, match=message):
        vcalc("vi", "study", data=SMALL, **options)


@pytest.mark.parametrize(
    ("error", "vi", "message"),
    [
        (CovarianceError, [1, 2, -3, 4, 5], ">= 0, but is not in row 13 \\(study x\\)"),
        (CovarianceError, [1, np.inf, 3, 4, 5], "finite.*row 12"),
        (CovarianceError, -1, "rows 11, 12, 13, 14, 15 \\(studies x, y\\)"),
        (DataError, ["a"] * 5, "vi must be numeric"),
        (DataError, [1, 2], "vi has 2 rows, the data have 5"),
        (DataError, "v", "column 'v' wanted for vi is not in the data"),
    ],
)
def test_refused_variances(error, vi, message):
    with pytest.raises(error, match=message):
        vcalc(vi, "study", rho=0.5, data=SMALL)


def test_refused_clusters():
    with pytest.raises(DataError, match="cluster is missing in row 12"):
        vcalc("vi", "u", rho=0.5, data=SMALL)
    with pytest.raises(DataError, match="subgroup is missing in row 12"):
        vcalc("vi", "study", subgroup="u", rho=0.5, data=SMALL)
    with pytest.raises(DataError, match="cluster='study' names a column, but data= is missing"):
        vcalc([1.0], "study", rho=0.5)
    with pytest.raises(DataError, match="obs='obs' names a column, but data= is missing"):
        vcalc([1.0], [1], obs="obs", rho=0.5)
    with pytest.raises(DataError, match="cluster must have one value per row"):
        vcalc(1.0, 3, rho=0.5)


def test_indefinite_clusters_are_named():
    with pytest.raises(CovarianceError) as caught:
        vcalc("vi", "study", rho=-0.6, data=SMALL)
    assert str(caught.value) == (
        "V is not positive definite in study x: the correlations of rows 11, 12, 13 have the "
        "smallest eigenvalue -0.2; check the correlations given, or nearpd=True takes the nearest "
        "ones that are"
    )
    v = vcalc("vi", "study", rho=-0.6, data=SMALL, checkpd=False)
    assert_allclose(v.toarray()[0, 1], -0.6 * np.sqrt(2))


def test_singular_clusters_name_the_rows_nothing_tells_apart():
    twice = SMALL.assign(obs=[1, 2, 2, 1, 2], part=["k", "l", "l", "k", "k"])
    with pytest.raises(CovarianceError, match=r"singular in study x:.*rows 12, 13 correlate 1"):
        vcalc("vi", "study", obs="obs", rho=0.6, data=twice)
    with pytest.raises(CovarianceError, match=r"study x/l: .*checkpd=False accepts it"):
        vcalc("vi", "study", obs="obs", subgroup="part", rho=0.6, data=twice)


def test_correlations_beyond_one_are_named():
    covariances = pd.DataFrame({"a": [1.0, 1.5], "b": [np.nan, 1.0]})
    with pytest.raises(CovarianceError, match=r"rows 0, 1 correlate 1\.5, beyond 1; is an entry"):
        vcalc(np.array([0.1, 0.2]), np.array([1, 1]), rvars=covariances)


def test_repair_on_request_says_what_it_changed():
    message = r"nearpd=True; .repairs lists them\), in study x by up to 0.1$"
    with pytest.warns(MvmetaWarning, match=message) as caught:
        v = vcalc("vi", "study", rho={"x": -0.6, "y": 0.3}, data=SMALL, nearpd=True)
    assert caught[0].filename == __file__
    assert_array_equal(v.variances, SMALL["vi"])
    assert_allclose(v.toarray()[:3, :3], per_block(-0.5, [1, 2, 3]), rtol=1e-7)
    assert_allclose(v.toarray()[3:, 3:], per_block(0.3, [4, 5]), rtol=EXACT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert vcalc("vi", "study", rho=0.3, data=SMALL, nearpd=True).repairs == ()


def test_every_repaired_correlation_is_listed():
    with pytest.warns(MvmetaWarning):
        v = vcalc("vi", "study", rho={"x": -0.6, "y": 0.3}, data=SMALL, nearpd=True)
    log = pd.DataFrame(v.repairs)
    assert log["cluster"].tolist() == ["x"] * 3
    assert log[["row", "other"]].to_numpy().tolist() == [[11, 12], [11, 13], [12, 13]]
    assert_array_equal(log["before"], -0.6)
    sd = np.sqrt(v.variances)
    r = v.toarray() / np.outer(sd, sd)
    assert_allclose(log["after"], [r[0, 1], r[0, 2], r[1, 2]], rtol=EXACT)
    assert "repaired      3 correlations, listed by .repairs" in str(v)
    part = v.take(np.array([3, 2, 0]))
    assert [(f.row, f.other) for f in part.repairs] == [(11, 13)]
    assert_array_equal(part.provenance.repaired, [[2, 1]])


def test_v_knows_its_studies_and_the_call():
    data = datasets.load("assink2016")
    v = vcalc("vi", "study", obs="esid", rho=0.6, data=data)
    rows = np.flatnonzero(data["study"] == 3)
    assert_array_equal(v.block(3), v.toarray()[np.ix_(rows, rows)])
    assert str(v).splitlines() == [
        "Covariance of the sampling errors of 100 effects in 17 studies",
        f"  variances     {data['vi'].min():.4g} to {data['vi'].max():.4g}",
        f"  correlations  0.6, of {v.covariances.nnz // 2} pairs of effects",
        "  blocks        17, the largest of 22 effects",
        "  made by       vcalc(cluster='study', obs='esid', rho=0.6)",
    ]
    assert v._repr_html_() == f"<pre>{str(v).replace(chr(39), '&#x27;')}</pre>"
    kept = v.take(rows).scaled(2.0)
    assert_array_equal(kept.block(3), 2 * v.block(3))
    assert "effects in 1 study" in str(kept)
    with pytest.raises(DataError, match="V has no study 99; it has 1, 2"):
        v.block(99)
    with pytest.raises(SpecificationError, match="built from numbers"):
        SamplingCovariance.from_variances([1.0]).block(1)


def test_what_is_said_of_tables_missing_variances_and_diagonal_v():
    v = build(obs="obs", type="type", rho=(R, 0.5))
    assert "rho=(<DataFrame of shape (3, 3)>, 0.5)" in str(v)
    assert "2 variances, with their covariances" in str(build("vi_gap", obs="obs", rho=0.6))
    assert "correlations  none" in str(SamplingCovariance.from_variances([1.0, 2.0]))


def people():
    """Samples that share people, and the covariance of their means: each person counts 1 / n."""
    members = {"a": range(60), "b": range(40, 100), "c": range(90, 110), "d": range(55, 65)}
    share = pd.DataFrame(
        {
            s: {t: len({*x} & {*y}) / min(len(x), len(y)) for t, y in members.items()}
            for s, x in members.items()
        }
    )
    weight = np.array([[(k in m) / len(m) for k in range(110)] for m in members.values()])
    size = np.array([len(m) for m in members.values()])
    data = pd.DataFrame({"registry": 1, "sample": list(members), "n": size, "v": 9 / size})
    return data, share, 9 * weight @ weight.T


def test_means_of_samples_that_share_people():
    data, share, expected = people()
    v = vcalc("v", "registry", sample="sample", ni="n", overlap=share, data=data)
    assert_allclose(v.toarray(), expected, rtol=EXACT, atol=1e-16)


def test_overlap_goes_with_the_correlation_of_outcomes():
    data, share, expected = people()
    both = pd.concat([data.assign(out="x"), data.assign(out="y")], ignore_index=True)
    v = vcalc(
        "v", "registry", type="out", rho=0.3, sample="sample", ni="n", overlap=share, data=both
    )
    assert_allclose(v.toarray(), np.kron([[1, 0.3], [0.3, 1]], expected), rtol=EXACT, atol=1e-16)


def test_overlap_as_a_number_and_per_study():
    data = frame()
    obs = data["obs"].to_numpy()
    expected = per_study(data, RHO, obs[:, None] != obs)
    assert_allclose(build(sample="obs", overlap=RHO).toarray(), expected, rtol=EXACT)
    half = build(sample="obs", overlap=0.25).toarray()
    assert_array_equal(half, build(obs="obs", rho=0.25).toarray())


def per_block(r, variances):
    v = np.array(variances, dtype=float)
    return np.where(np.eye(len(v), dtype=bool), v, r * np.sqrt(np.outer(v, v)))


def test_it_is_public():
    assert mvmeta.vcalc is vcalc
    assert "vcalc" in mvmeta.__all__
