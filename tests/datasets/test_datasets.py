"""Data sets against the numbers of the script that wrote them, and against the papers."""

import json
import pickle
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mvmeta import datasets
from mvmeta.datasets.loader import MODELS
from mvmeta.datasets.tree import shared_branches
from mvmeta.effects import MEASURES, escalc
from mvmeta.errors import DataError

REFERENCE = Path(__file__).parents[1] / "reference"
EXPORTED = json.loads((REFERENCE / "datasets.json").read_text(encoding="utf-8"))["datasets"]
every_set = pytest.mark.parametrize("name", sorted(EXPORTED))


def reference_case(name):
    return json.loads((REFERENCE / "cases" / f"{name}.json").read_text(encoding="utf-8"))


def test_names_are_those_of_the_export():
    assert datasets.names() == sorted(EXPORTED)


@every_set
def test_values_are_those_of_the_export(name):
    frame, exported = datasets.load(name), EXPORTED[name]
    assert list(frame.columns) == exported["columns"]
    assert len(frame) == exported["rows"]
    assert frame.isna().sum().to_dict() == exported["missing"]
    sums = frame[list(exported["sums"])].sum()
    np.testing.assert_allclose(sums, list(exported["sums"].values()), rtol=1e-14)


@every_set
def test_columns_are_of_the_kind_of_the_export(name):
    dtypes = datasets.load(name).dtypes
    tests = {
        "integer": pd.api.types.is_integer_dtype,
        "float": pd.api.types.is_float_dtype,
        "text": pd.api.types.is_string_dtype,
    }
    for column, kind in EXPORTED[name]["kinds"].items():
        assert tests[kind](dtypes[column]), (column, kind, dtypes[column])


@every_set
def test_provenance_is_complete(name):
    frame = datasets.load(name)
    assert set(frame.attrs["variables"]) == set(frame.columns)
    assert all(meaning.strip() for meaning in frame.attrs["variables"].values())
    for key in ("title", "description", "structure", "source", "licence", "example"):
        assert frame.attrs[key].strip(), key
    assert frame.attrs["name"] == name


@every_set
def test_models_and_measures_are_those_there_are(name):
    frame = datasets.load(name)
    assert frame.attrs["models"]
    assert set(frame.attrs["models"]) <= set(MODELS)
    assert frame.attrs["measures"]
    assert set(frame.attrs["measures"]) <= set(MEASURES)


def test_there_is_a_set_of_every_kind_of_model():
    assert {model: bool(datasets.names(model=model)) for model in MODELS} == dict.fromkeys(
        MODELS, True
    )


def test_there_is_a_set_for_the_measures_people_use():
    used = (
        "MD SMD SMDH ROM VR CVR OR RR RD PETO AS IRR IRD COR ZCOR PCOR ZPCOR SPCOR PHI RTET "
        "MN PR PLO PFT PAS IR MC SMCC SMCR SMCRP ROMC ARAW AHW ABT REH HR R2 CLESN GEN"
    )
    for measure in used.split():
        assert datasets.names(measure=measure), measure


def test_names_by_model_and_measure():
    assert datasets.names(model="spatial") == ["maire2019"]
    assert datasets.names(model="phylogeny", measure="ZCOR") == ["lim2014", "moura2021"]
    assert datasets.names(model="spatial", measure="ZCOR") == []
    with pytest.raises(DataError, match=r"'netwrk' among its models; they are crossed.*network"):
        datasets.names(model="netwrk")
    with pytest.raises(DataError, match=r"'smd' among its measures.*SMD"):
        datasets.names(measure="smd")


@every_set
def test_attrs_survive_ordinary_work(name):
    frame = datasets.load(name)
    attrs = dict(frame.attrs)
    assert frame.copy().attrs == attrs
    assert frame.iloc[1:].attrs == attrs
    assert frame.assign(one=1).attrs == attrs
    assert pickle.loads(pickle.dumps(frame)).attrs == attrs


@every_set
def test_files_are_small(name):
    for entry in files("mvmeta.datasets").iterdir():
        if entry.name.startswith(name):
            assert len(entry.read_bytes()) < 200_000, entry.name


@every_set
def test_variances_are_positive(name):
    frame = datasets.load(name)
    variance = frame["Variance" if name == "toy" else "vi"]
    assert (variance.dropna() > 0).all()


def test_loads_are_independent():
    first = datasets.load("toy")
    first.loc[0, "d"] = 99
    first.attrs["source"] = "changed"
    second = datasets.load("toy")
    assert second.loc[0, "d"] == 0
    assert second.attrs["source"] != "changed"


def test_unknown_name_lists_what_exists():
    with pytest.raises(DataError, match=r"'bcgg'; did you mean 'bcg'\?.*assink2016, bakdash2021,"):
        datasets.load("bcgg")
    with pytest.raises(DataError, match="no data set"):
        datasets.load("../errors")


def test_describe_has_one_row_per_set():
    table = datasets.describe()
    assert list(table.index) == datasets.names()
    assert table.index.name == "name"
    expected = ["rows", "studies", "description", "structure", "models", "measures"]
    expected += ["source", "licence"]
    assert list(table.columns) == expected
    # Numbers of studies as the papers give them (districts for Konstantopoulos).
    studies = {"toy": 2, "konstantopoulos2011": 11, "assink2016": 17, "berkey1998": 5, "bcg": 13}
    studies |= {"senn2013": 26, "ishak2007": 46, "bakdash2021": 79}
    studies |= {"bornmann2007": 21, "bourassa1996": 47, "crede2010": 68, "curtis1998": 29}
    studies |= {"fine1993": 17, "hasselblad1998": 24, "kearon1998": 34, "mccurdy2020": 126}
    studies |= {"moura2021": 457, "pignon2000": 65, "riley2003": 81, "tannersmith2016": 17}
    assert table.loc[list(studies), "studies"].to_dict() == studies
    assert table.loc["lim2014", "rows"] == 185


def test_toy_is_the_founding_example():
    toy = datasets.load("toy")
    expected = pd.DataFrame(
        {
            "Study": [1, 1, 1, 2, 2],
            "Category": ["A", "B", "C", "A", "B"],
            "d": [0, 5, 10, 20, 25],
            "Variance": [0.1] * 5,
            "id": [1, 2, 3, 4, 5],
        }
    )
    pd.testing.assert_frame_equal(toy, expected, check_dtype=False)


def test_effect_sizes_follow_from_the_raw_numbers():
    bcg = datasets.load("bcg")
    treated, control = bcg["tpos"] + bcg["tneg"], bcg["cpos"] + bcg["cneg"]
    risk_ratio = (bcg["tpos"] / treated) / (bcg["cpos"] / control)
    np.testing.assert_allclose(bcg["yi"], np.log(risk_ratio), rtol=1e-13)
    variance = 1 / bcg["tpos"] - 1 / treated + 1 / bcg["cpos"] - 1 / control
    np.testing.assert_allclose(bcg["vi"], variance, rtol=1e-12)
    senn = datasets.load("senn2013")
    np.testing.assert_allclose(senn["vi"], senn["sdi"] ** 2 / senn["ni"], rtol=1e-14)
    lim = datasets.load("lim2014")
    np.testing.assert_allclose(lim["yi"], np.arctanh(lim["ri"]), rtol=1e-13)
    np.testing.assert_allclose(lim["vi"], 1 / (lim["ni"] - 3), rtol=1e-14)
    bakdash = datasets.load("bakdash2021")  # published with nine digits
    np.testing.assert_allclose(bakdash["vi"], 1 / (bakdash["ni"] - 3), rtol=1e-7)


# What escalc has to be told to give yi and vi of a set; computed by metafor in the export.
COMPUTED = {
    "aloe2013": ("PCOR", {"ti": "tval", "ni": "n", "mi": "preds"}),
    "bonett2010": ("ABT", {"ai": "ai", "mi": "mi", "ni": "ni"}),
    "bornmann2007": ("OR", {"ai": "waward", "n1i": "wtotal", "ci": "maward", "n2i": "mtotal"}),
    "bourassa1996": (
        "OR",
        {"ai": "lh_le", "bi": "lh_re", "ci": "rh_le", "di": "rh_re", "add": 0.5, "to": "all"},
    ),
    "craft2003": ("COR", {"ri": "ri", "ni": "ni"}),
    "crede2010": ("ZCOR", {"ri": "ri", "ni": "ni"}),
    "curtis1998": ("ROM", {k: k for k in ("m1i", "sd1i", "n1i", "m2i", "sd2i", "n2i")}),
    "frank2008": ("REH", {"ai": "ct_ins_ins", "bi": "ct_ins_del", "ci": "ct_del_del"}),
    "hart1999": ("IRR", {k: k for k in ("x1i", "t1i", "x2i", "t2i")}),
    "hasselblad1998": ("PLO", {"xi": "xi", "ni": "ni", "add": 0.5, "to": "all"}),
    "hine1989": ("RD", {k: k for k in ("ai", "n1i", "ci", "n2i")}),
    "kearon1998": ("PLO", {"xi": "xi", "ni": "ni", "add": 0.5, "to": "all"}),
    "morris2008": (
        "SMCR",
        {"m1i": "m_post", "m2i": "m_pre", "sd1i": "sd_pre", "ni": "ni", "ri": "ri"},
    ),
    "moura2021": ("ZCOR", {"ri": "ri", "ni": "ni"}),
    "normand1999": ("MD", {k: k for k in ("m1i", "sd1i", "n1i", "m2i", "sd2i", "n2i")}),
    "obrien2003": ("PLO", {"xi": "cases", "ni": "total"}),
    "pritz1997": ("PFT", {"xi": "xi", "ni": "ni"}),
    "yusuf1985": ("PETO", {k: k for k in ("ai", "n1i", "ci", "n2i")}),
}


@pytest.mark.parametrize("name", COMPUTED)
@pytest.mark.filterwarnings("ignore::mvmeta.errors.MvmetaWarning")  # rows without counts
def test_escalc_gives_the_effect_sizes_of_the_set(name):
    frame, (measure, inputs) = datasets.load(name), COMPUTED[name]
    again = escalc(measure, data=frame, append=False, **inputs)
    np.testing.assert_allclose(again["yi"], frame["yi"], rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(again["vi"], frame["vi"], rtol=1e-11)


def test_covariance_blocks_are_in_row_order():
    frame = datasets.load("berkey1998")
    blocks = datasets.covariance_blocks("berkey1998")
    assert len(blocks) == 5
    assert np.concatenate(
        [np.diag(b) for b in datasets.covariance_blocks("fine1993")]
    ).tolist() == (datasets.load("fine1993")["vi"].tolist())
    np.testing.assert_array_equal(np.concatenate([np.diag(b) for b in blocks]), frame["vi"])
    for block in blocks:
        np.testing.assert_array_equal(block, block.T)
        assert np.linalg.eigvalsh(block)[0] > 0
    reference = reference_case("c01_berkey_un_reml")["model"]["V"]["blocks"]
    np.testing.assert_allclose(blocks, [block["matrix"] for block in reference], rtol=1e-14)


@pytest.mark.parametrize("name", ["lim2014", "moura2021"])
def test_correlation_is_the_phylogeny_of_the_species(name):
    frame, matrix = datasets.load(name), datasets.correlation(name)
    exported = EXPORTED[name]["correlation"]
    assert set(matrix.index) == set(frame[matrix.attrs["column"]])
    assert list(matrix.index) == list(matrix.columns)
    assert len(matrix) == exported["levels"]
    values = matrix.to_numpy()
    np.testing.assert_array_equal(values, values.T)
    np.testing.assert_array_equal(np.diag(values), 1.0)
    assert values.sum() == pytest.approx(exported["sum"], rel=1e-13)
    assert np.linalg.slogdet(values)[1] == pytest.approx(exported["log_determinant"], rel=1e-9)


def test_shared_branches_of_a_tree_drawn_by_hand():
    """((a:1,b:1):2,c:3): a and b share 2 of 3; d, half as old, shares nothing."""
    tree = pd.DataFrame(
        {
            "node": ["x", "a", "b", "c", "d"],
            "parent": ["root", "x", "x", "root", "root"],
            "length": [2.0, 1.0, 1.0, 3.0, 1.5],
        }
    )
    expected = [[1, 2 / 3, 0, 0], [2 / 3, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(shared_branches(tree, ["a", "b", "c", "d"]), expected, rtol=1e-15)


def test_distances_between_stations():
    frame, between = datasets.load("maire2019"), datasets.distance("maire2019")
    exported = EXPORTED["maire2019"]["distance"]
    assert list(between.index) == list(between.columns) == list(frame[between.attrs["column"]])
    assert len(between) == exported["levels"]
    assert between.to_numpy().sum() == exported["sum"]
    np.testing.assert_array_equal(between, between.T)


def test_phylogeny_and_data_are_those_of_the_reference_case():
    case = reference_case("e01_lim_adj_phylo")
    frame, known = datasets.load("lim2014"), case["model"]["random"][3]["R"]
    np.testing.assert_allclose(frame["yi"], case["data"]["yi"], rtol=1e-14)
    reference = pd.DataFrame(known["matrix"], index=known["levels"], columns=known["levels"])
    ours = datasets.correlation("lim2014").loc[known["levels"], known["levels"]]
    np.testing.assert_allclose(ours, reference, atol=1e-14)


@pytest.mark.parametrize(
    "part", [datasets.correlation, datasets.covariance_blocks, datasets.distance]
)
def test_sets_without_a_matrix_say_which_have_one(part):
    having = "lim2014, moura2021|berkey1998, fine1993|maire2019"
    with pytest.raises(DataError, match=rf"'bcg' has no .*: ({having})"):
        part("bcg")
    with pytest.raises(DataError, match="no data set"):
        part("nothing")
