"""Data sets against the numbers of the script that wrote them, and against the papers."""

import json
import pickle
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mvmeta import datasets
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
def test_provenance_is_complete(name):
    frame = datasets.load(name)
    assert set(frame.attrs["variables"]) == set(frame.columns)
    for key in ("title", "description", "structure", "source", "licence"):
        assert frame.attrs[key].strip(), key
    assert frame.attrs["name"] == name


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
    assert (variance > 0).all()


def test_loads_are_independent():
    first = datasets.load("toy")
    first.loc[0, "d"] = 99
    first.attrs["source"] = "changed"
    second = datasets.load("toy")
    assert second.loc[0, "d"] == 0
    assert second.attrs["source"] != "changed"


def test_unknown_name_lists_what_exists():
    with pytest.raises(DataError, match=r"'bcgg'.*assink2016, bakdash2021, bcg, berkey1998"):
        datasets.load("bcgg")
    with pytest.raises(DataError, match="no data set"):
        datasets.load("../errors")


def test_describe_has_one_row_per_set():
    table = datasets.describe()
    assert list(table.index) == datasets.names()
    assert table.index.name == "name"
    expected = ["rows", "studies", "description", "structure", "source", "licence"]
    assert list(table.columns) == expected
    # Numbers of studies as the papers give them (districts for Konstantopoulos).
    studies = {"toy": 2, "konstantopoulos2011": 11, "assink2016": 17, "berkey1998": 5, "bcg": 13}
    studies |= {"senn2013": 26, "ishak2007": 46, "bakdash2021": 79}
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


def test_covariance_blocks_are_in_row_order():
    frame = datasets.load("berkey1998")
    blocks = datasets.covariance_blocks("berkey1998")
    assert len(blocks) == 5
    np.testing.assert_array_equal(np.concatenate([np.diag(b) for b in blocks]), frame["vi"])
    for block in blocks:
        np.testing.assert_array_equal(block, block.T)
        assert np.linalg.eigvalsh(block)[0] > 0
    reference = reference_case("c01_berkey_un_reml")["model"]["V"]["blocks"]
    np.testing.assert_allclose(blocks, [block["matrix"] for block in reference], rtol=1e-14)


def test_correlation_is_the_phylogeny_of_the_species():
    frame, matrix = datasets.load("lim2014"), datasets.correlation("lim2014")
    exported = EXPORTED["lim2014"]["correlation"]
    assert set(matrix.index) == set(frame[matrix.attrs["column"]])
    assert list(matrix.index) == list(matrix.columns)
    values = matrix.to_numpy()
    np.testing.assert_array_equal(values, values.T)
    np.testing.assert_array_equal(np.diag(values), 1.0)
    assert values.sum() == pytest.approx(exported["sum"], rel=1e-13)
    assert np.linalg.slogdet(values)[1] == pytest.approx(exported["log_determinant"], rel=1e-10)


def test_phylogeny_and_data_are_those_of_the_reference_case():
    case = reference_case("e01_lim_adj_phylo")
    frame, known = datasets.load("lim2014"), case["model"]["random"][3]["R"]
    np.testing.assert_allclose(frame["yi"], case["data"]["yi"], rtol=1e-14)
    reference = pd.DataFrame(known["matrix"], index=known["levels"], columns=known["levels"])
    ours = datasets.correlation("lim2014").loc[known["levels"], known["levels"]]
    np.testing.assert_allclose(ours, reference, atol=1e-14)


@pytest.mark.parametrize("part", [datasets.correlation, datasets.covariance_blocks])
def test_sets_without_a_matrix_say_which_have_one(part):
    with pytest.raises(DataError, match=r"'bcg' has no .*: (lim2014|berkey1998)"):
        part("bcg")
    with pytest.raises(DataError, match="no data set"):
        part("nothing")
