"""rcalc, aggregate and reshaping against metafor's (tests/reference/generate/preparation.R)."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mvmeta import (
    CovarianceError,
    DataError,
    MvmetaWarning,
    SpecificationError,
    aggregate,
    contrmat,
    datasets,
    rcalc,
    to_long,
    to_wide,
    vcalc,
)
from tests.tolerances import ALGEBRA

REFERENCE = Path(__file__).parents[1] / "reference" / "metafor" / "preparation.json"


@cache
def reference():
    return json.loads(REFERENCE.read_text())


def craft():
    return pd.DataFrame(reference()["craft"])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("r", {}),
        ("z", {"rtoz": True}),
        ("harmonic", {"nfun": "harmonic"}),
        ("mean", {"nfun": np.mean}),
    ],
)
def test_covariances_of_correlations_are_metafors(name, options):
    dat, v = rcalc("ri ~ var1 + var2 | study", "ni", craft(), **options)
    want = reference()["rcalc"][name]
    dense = v.toarray()
    np.testing.assert_allclose(dense.sum(axis=1), want["row_sums"], rtol=ALGEBRA)
    first = dense[:6, :6].T[np.tril_indices(6)]  # R lists the upper triangle by column
    np.testing.assert_allclose(first, want["first"], rtol=ALGEBRA, atol=1e-17)
    np.testing.assert_allclose(dat["yi"], want["yi"], rtol=ALGEBRA)
    np.testing.assert_allclose(dat["ni"], want["ni"], rtol=ALGEBRA)


def test_correlations_of_mixed_rows_come_together_by_study():
    frame = craft()
    mixed = frame.sample(frac=1, random_state=2)
    dat, v = rcalc("ri ~ var1 + var2 | study", "ni", mixed)
    plain, w = rcalc("ri ~ var1 + var2 | study", "ni", frame)
    place = [plain.index.get_loc(i) for i in dat.index]
    np.testing.assert_allclose(v.toarray(), w.toarray()[np.ix_(place, place)], rtol=ALGEBRA)
    assert dat["study"].ne(dat["study"].shift()).sum() == dat["study"].nunique()


def as_matrices(frame):
    """A matrix for each study, one of its triangles missing."""
    out = {}
    for study, rows in frame.groupby("study", sort=False):
        names = sorted({*rows["var1"], *rows["var2"]})
        matrix = pd.DataFrame(np.nan, index=names, columns=names)
        for _, row in rows.iterrows():
            matrix.loc[row["var2"], row["var1"]] = row["ri"]
        out[study] = matrix
    return out


def test_correlations_of_matrices_are_those_of_rows():
    frame = craft()
    sizes = frame.groupby("study")["ni"].min()
    dat, v = rcalc(as_matrices(frame), sizes, rtoz=True)
    plain, w = rcalc("ri ~ var1 + var2 | study", "ni", frame, rtoz=True)
    keys = ["study", "var1", "var2"]
    order = pd.MultiIndex.from_frame(plain[keys]).get_indexer(pd.MultiIndex.from_frame(dat[keys]))
    assert sorted(order) == list(range(len(plain)))
    np.testing.assert_allclose(v.toarray(), w.toarray()[np.ix_(order, order)], rtol=ALGEBRA)
    np.testing.assert_allclose(dat["yi"], plain["yi"].to_numpy()[order], rtol=ALGEBRA)
    one = as_matrices(frame)[1]
    np.testing.assert_allclose(
        rcalc(one, 140).V.toarray(), rcalc({1: one}, {1: 140}).V.toarray(), rtol=ALGEBRA
    )


def test_covariances_of_correlations_know_their_studies():
    dat, v = rcalc("ri ~ var1 + var2 | study", "ni", craft())
    one = dat["study"].to_numpy() == 3
    np.testing.assert_array_equal(v.block(3), v.toarray()[np.ix_(one, one)])
    assert v.provenance.call == "rcalc(correlations='ri ~ var1 + var2 | study', ni='ni')"
    r = pd.DataFrame([[1, 0.5], [0.5, 1]], index=["a", "b"], columns=["a", "b"])
    _, v = rcalc({"Lee": r, "Ito": r}, 50, rtoz=True)
    assert v.block("Ito").shape == (1, 1)
    assert v.provenance.call == "rcalc(correlations=<dict>, ni=50, rtoz=True)"


def test_bad_matrices_of_correlations():
    r = pd.DataFrame([[1, 0.5], [0.4, 1]], index=["a", "b"], columns=["a", "b"])
    with pytest.raises(DataError, match=r"'Lee' is not symmetric: 0\.5 and 0.4 for 'a' and 'b'"):
        rcalc({"Lee": r}, 50)
    with pytest.raises(DataError, match="the same variables on index and columns"):
        rcalc({"Lee": r.set_axis(["b", "a"])}, 50)
    identity = r * 0.0 + np.eye(2)
    with pytest.raises(DataError, match="no sample size for study 'Lee'"):
        rcalc({"Lee": identity}, {"Ito": 50})
    with pytest.raises(SpecificationError, match="ni= is a number, or a mapping"):
        rcalc({"Lee": identity}, "n")
    with pytest.raises(DataError, match="'Lee' has 2 on its diagonal, for 'b'; give correlations"):
        rcalc({"Lee": identity + np.diag([0, 1])}, 50)
    with pytest.raises(SpecificationError, match="a formula and data=, or correlation matrices"):
        rcalc(r, 50, r)
    with pytest.raises(SpecificationError, match="got ndarray"):
        rcalc(r.to_numpy(), 50)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(index=3), r"study 1.* depends on .*1 of 6 are lacking"),
        (lambda f: f.assign(ri=f["ri"].where(f.index != 2)), "a missing value in row 2"),
        (lambda f: f.assign(ri=f["ri"].where(f.index != 2, 1.0)), "not between -1 and 1 in row 2"),
        (lambda f: f.assign(var1=f["var1"].where(f.index != 2)), "a missing value in row 2"),
        (lambda f: f.head(0), "the data have no rows"),
        (lambda f: f.assign(ni=4), "study 1 has a common sample size of 4"),
        (lambda f: f.assign(var2=f["var1"]), "a variable with itself"),
        (lambda f: pd.concat([f, f.iloc[:1]], ignore_index=True), "given twice"),
    ],
)
def test_bad_correlations(change, message):
    with pytest.raises(DataError, match=message):
        rcalc("ri ~ var1 + var2 | study", "ni", change(craft()))


def test_bad_calls_of_rcalc():
    for formula in ("ri ~ var1", "ri", "~ var1 + var2", "ri ~ var1 + var2 | study | x"):
        with pytest.raises(SpecificationError, match="ri ~ var1"):
            rcalc(formula, "ni", craft())
    with pytest.raises(SpecificationError, match="min, harmonic, mean"):
        rcalc("ri ~ var1 + var2 | study", "ni", craft(), nfun="median")
    with pytest.raises(DataError, match="'nowhere'"):
        rcalc("ri ~ var1 + var2 | nowhere", "ni", craft())


AGGREGATED = {
    "CS": {"rho": 0.6},
    "ID": {"struct": "ID"},
    "CAR": {"struct": "CAR", "time": "esid", "phi": 0.8},
    "both": {"struct": "cs+car", "time": "esid", "rho": 0.3, "phi": 0.8},
    "product": {"struct": "CS*CAR", "time": "half", "obs": "odd", "rho": 0.3, "phi": 0.8},
    "plain": {"rho": 0.6, "weighted": False},
}


@pytest.mark.parametrize("name", AGGREGATED)
def test_aggregate_is_metafors(name):
    data = pd.DataFrame(reference()["aggregate"]["data"])
    got, want = aggregate(data, "study", addk=True, **AGGREGATED[name]), reference()["aggregate"]
    want = want[name]
    for column in ("yi", "vi", "year"):
        np.testing.assert_allclose(got[column], want[column], rtol=1e-11)
    assert got["deltype"].tolist() == want["deltype"]
    assert got["ki"].tolist() == want["ki"]


def test_aggregate_by_v_and_missing_rows():
    data = datasets.load("assink2016").sample(frac=1, random_state=1).reset_index(drop=True)
    v = vcalc("vi", "study", obs="esid", data=data, rho=0.6)
    given = aggregate(data, "study", V=v).set_index("study").sort_index()
    plain = aggregate(data, "study", rho=0.6).set_index("study").sort_index()
    np.testing.assert_allclose(given["yi"], plain["yi"], rtol=1e-11)
    lost = data.assign(yi=data["yi"].where(data.index != 4))
    without = aggregate(data.drop(index=4), "study", rho=0.6)
    with pytest.warns(MvmetaWarning, match=r"1 of 100 rows without yi or vi left out \(row 4\)"):
        found = aggregate(lost, "study", rho=0.6)
    np.testing.assert_allclose(found["yi"], without["yi"], rtol=ALGEBRA)


def test_bad_aggregates():
    data = pd.DataFrame({"study": [1, 1, 2], "yi": [0.2, 0.4, 0.1], "vi": [0.1, 0.1, 0.2]})
    with pytest.raises(SpecificationError, match="'CS' of aggregate needs rho"):
        aggregate(data, "study")
    with pytest.raises(SpecificationError, match="one of ID, CS, CAR"):
        aggregate(data, "study", struct="XX")
    with pytest.raises(DataError, match="'trial' wanted for cluster"):
        aggregate(data, "trial", rho=0.5)
    with pytest.raises(SpecificationError, match="a column 'ki' already"):
        aggregate(data.assign(ki=3), "study", rho=0.5, addk=True)
    with pytest.raises(DataError, match="'study' is missing in row 2"):
        aggregate(data.assign(study=[1, 1, None]), "study", rho=0.5)
    linked = np.full((3, 3), 0.05) + np.diag([0.1, 0.1, 0.2])
    named = data.assign(study=["Lee", "Lee", "Ito"]).set_axis([7, 8, 9])
    with pytest.raises(
        CovarianceError,
        match=r"studies 'Lee', 'Ito' \(first rows 7 and 9, covariance 0.05\)",
    ):
        aggregate(named, "study", V=linked)
    with pytest.raises(CovarianceError, match=r"singular within study 'Lee' \(row 7\)"):
        aggregate(named.assign(vi=[0.0, 0.1, 0.2]), "study", struct="ID")
    with pytest.raises(CovarianceError, match=r"within studies 'Lee', 'Ito' \(rows 7, 9\)"):
        aggregate(named.assign(vi=[0.0, 0.1, 0.0]), "study", struct="ID")
    timed = data.assign(t=[1.0, 2.0, 1.0])
    with pytest.raises(DataError, match="rho has no value for 1 studies: 1; it has 2"):
        aggregate(timed, "study", struct="CS+CAR", rho={2: 0.5}, phi=0.5, time="t")
    with pytest.raises(SpecificationError, match=r"phi must lie within .* 1.5 in rows 0, 1 .study"):
        aggregate(timed, "study", struct="CS+CAR", rho=0.5, phi=1.5, time="t")


def same(got, want):
    for name, values in want.items():
        column = got[name]
        if pd.api.types.is_numeric_dtype(column):
            np.testing.assert_allclose(column, np.array(values, dtype=float), rtol=ALGEBRA)
        else:
            assert column.astype(str).tolist() == [str(v) for v in values]


def test_long_formats_are_metafors():
    bcg, want = datasets.load("bcg"), reference()["long"]
    cells = {"ai": "tpos", "bi": "tneg", "ci": "cpos", "di": "cneg"}
    same(to_long("OR", data=bcg, append=False, **cells), want["bcg"])
    same(to_long("OR", data=bcg, append=False, vlong=True, **cells), want["tall"])
    hart, normand = want["hart"], want["normand"]
    rates = {"x1i": hart["events"][::2], "t1i": hart["ptime"][::2]}
    rates |= {"x2i": hart["events"][1::2], "t2i": hart["ptime"][1::2]}
    same(to_long("IRR", **rates), hart)
    means = {
        f"{a}{g}i": normand[b][g - 1 :: 2]
        for a, b in (("m", "mean"), ("sd", "sd"), ("n", "n"))
        for g in (1, 2)
    }
    same(to_long("SMD", **means), normand)


def test_long_formats_beside_the_data():
    bcg = datasets.load("bcg")
    found = to_long("RR", data=bcg, slab="author", ai="tpos", bi="tneg", ci="cpos", di="cneg")
    assert len(found) == 26
    assert found["study"].tolist()[:2] == ["Aronson", "Aronson"]
    assert found["out2"].tolist()[:2] == [119.0, 128.0]
    assert found["year"].tolist()[:2] == [1948, 1948]
    totals = to_long("RR", ai=[4], n1i=[123], ci=[11], n2i=[139], var_names=["a", "b", "c", "d"])
    assert totals.columns.tolist() == ["a", "b", "c", "d"]
    assert totals["d"].tolist() == [119.0, 128.0]
    single = to_long("PLO", xi=[3], ni=[10], vlong=True)
    assert single[["outcome", "freq"]].to_numpy().tolist() == [[1, 3], [2, 7]]


def test_bad_long_formats():
    with pytest.raises(SpecificationError, match="lacks bi"):
        to_long("OR", ai=[1], ci=[1], di=[1])
    with pytest.raises(SpecificationError, match="no long format"):
        to_long("ARAW", ai=[0.5], mi=[5], ni=[20])
    with pytest.raises(SpecificationError, match="tables of frequencies"):
        to_long("COR", ri=[0.1], ni=[20], vlong=True)
    with pytest.raises(SpecificationError, match="var_names= takes 4 names that differ"):
        to_long("OR", ai=[1], bi=[1], ci=[1], di=[1], var_names=["a"])
    with pytest.raises(SpecificationError, match="var_names= takes 4 names that differ"):
        to_long("OR", ai=[1], bi=[1], ci=[1], di=[1], var_names=["a", "a", "b", "c"])
    with pytest.raises(DataError, match=r"ai exceeds n1i in study 2 \(1 such rows\)"):
        to_long("OR", ai=[1, 4], n1i=[5, 3], ci=[1, 1], n2i=[5, 5])
    frame = pd.DataFrame({"a": [1], "group": [5]})
    with pytest.raises(SpecificationError, match="a column 'group' already"):
        to_long("OR", data=frame, ai="a", bi="a", ci="a", di="a")


def test_contrasts_are_metafors():
    senn, want = pd.DataFrame(reference()["senn"]), reference()["wide"]
    wide = to_wide(senn, "study", "treatment", ["ni", "mi", "sdi"], ref="placebo")
    keys = ["study", "treatment.1"]
    order = pd.MultiIndex.from_arrays([want[k] for k in keys])  # metafor sorts by study
    wide = wide.set_index(keys).loc[order].reset_index(names=keys)
    same(wide, {k: v for k, v in want.items() if k not in {"id", "comp", "design"}})
    design = contrmat(wide, "treatment.1", "treatment.2", append=False)
    assert list(design) == reference()["design"]["names"]
    np.testing.assert_array_equal(design, reference()["design"]["matrix"])
    short = contrmat(wide, "treatment.1", "treatment.2", shorten=True)
    assert list(short)[-10:] == ["ac", "be", "me", "mi", "pi", "ro", "si", "su", "vi", "pl"]


def test_studies_with_several_groups_give_several_contrasts():
    arms = pd.DataFrame({"s": [1, 1, 1, 2, 2], "g": list("abcab"), "n": [5, 6, 7, 8, 9]})
    wide = to_wide(arms, "s", "g", ["n"], ref="c")
    assert wide[["g.1", "g.2"]].to_numpy().tolist() == [["a", "c"], ["b", "c"], ["a", "b"]]
    assert wide["design"].tolist() == ["a-b-c", "a-b-c", "a-b"]
    assert wide["id"].tolist() == [1, 2, 3]


def test_columns_of_studies_stay_where_they_are_constant():
    arms = pd.DataFrame(
        {
            "g": list("abcab"), "n": [5, 6, 7, 8, 9], "s": [2, 2, 2, 1, 1],
            "year": [1990, 1990, 1990, 2001, 2001], "place": ["x", "x", "y", "z", "z"],
            "dose": [1, 2, 3, 4, 5], "note": [None, None, None, "u", "u"],
        },
        index=[3, 5, 5, 9, 11],
    )  # fmt: skip
    wide = to_wide(arms.iloc[[4, 0, 3, 2, 1]], "s", "g", "n", ref="c")
    assert list(wide) == "s year place note g.1 n.1 g.2 n.2 id comp design".split()
    assert wide["s"].tolist() == [1, 2, 2]
    assert wide["year"].tolist() == [2001, 1990, 1990]
    assert wide["place"].fillna("").tolist() == ["z", "", ""]
    assert wide["note"].fillna("").tolist() == ["u", "", ""]
    assert wide[["n.1", "n.2"]].to_numpy().tolist() == [[8, 9], [5, 7], [6, 7]]


def test_bad_contrasts():
    arms = pd.DataFrame({"s": [1, 1, 2], "g": list("aba"), "n": [5, 6, 7]})
    with pytest.raises(DataError, match="study 2 has a single group"):
        to_wide(arms, "s", "g", ["n"])
    with pytest.raises(DataError, match="study 1 has the group 'a' twice"):
        to_wide(arms.assign(g="a"), "s", "g", ["n"])
    with pytest.raises(SpecificationError, match="ref='z' is no group"):
        to_wide(arms, "s", "g", ["n"], ref="z")
    for name in ("s", "g"):
        with pytest.raises(DataError, match=f"'{name}' is missing in row 1"):
            to_wide(arms.assign(**{name: arms[name].where(arms.index != 1)}), "s", "g", ["n"])
    with pytest.raises(DataError, match="the data have no rows"):
        to_wide(arms.head(0), "s", "g", ["n"])
    with pytest.raises(SpecificationError, match="a column 'design' already"):
        to_wide(arms.head(2).assign(design="parallel"), "s", "g", ["n"])
    pairs = pd.DataFrame({"a": ["x", "y"], "b": ["y", "y"]})
    with pytest.raises(DataError, match="the data have no rows"):
        contrmat(pairs.head(0), "a", "b")
    with pytest.raises(DataError, match="row 1 contrasts a group with itself"):
        contrmat(pairs, "a", "b")
    with pytest.raises(SpecificationError, match="last='q' is no group"):
        contrmat(pairs[:1], "a", "b", last="q")
    with pytest.raises(DataError, match="'z' is no column"):
        contrmat(pairs, "a", "z")
