"""`mvmeta escalc`: the same numbers as `escalc`, from files to files."""

import io

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM, datasets
from mvmeta import escalc as compute
from mvmeta.cli import main
from mvmeta.cli.escalc import INPUTS
from mvmeta.datasets.digits import exact_floats
from mvmeta.effects import MEASURES
from mvmeta.effects.layouts import LAYOUTS
from tests.cli.commands import expected, failure, fit_json, usage_error

TABLE = ["--ai", "tpos", "--bi", "tneg", "--ci", "cpos", "--di", "cneg"]


@pytest.fixture
def counts():
    return datasets.load("bcg").drop(columns=["yi", "vi"])


@pytest.fixture
def counts_csv(counts, tmp_path):
    counts.to_csv(tmp_path / "bcg.csv", index=False)
    return str(tmp_path / "bcg.csv")


def table(capsys, *arguments):
    assert main(["escalc", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return pd.read_csv(io.StringIO(out), **exact_floats())


def test_the_columns_are_those_of_escalc(capsys, counts, counts_csv):
    found = table(capsys, "RR", counts_csv, *TABLE)
    wanted = compute("RR", ai="tpos", bi="tneg", ci="cpos", di="cneg", data=counts)
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)
    # metafor, escalc(measure="RR", ...) of dat.bcg: the first row, as its documentation prints it
    assert found.loc[0, ["yi", "vi"]].astype(float).round(4).tolist() == [-0.8893, 0.3256]


def test_options_reach_escalc(capsys, counts, counts_csv):
    counts["back"] = counts.index % 2 == 0
    counts.to_csv(counts_csv, index=False)
    options = ["--add", "0.25", "--to", "all", "--flip", "back", "--var-names", "lor,v"]
    found = table(capsys, "OR", counts_csv, *TABLE, *options, "--only-new", "--drop00")
    wanted = compute(
        "OR",
        **{"ai": "tpos", "bi": "tneg", "ci": "cpos", "di": "cneg", "data": counts},
        **{"add": 0.25, "to": "all", "flip": "back", "var_names": ("lor", "v")},
        append=False,
        drop00=True,
    )
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)


def test_kinds_of_variance_and_numbers_as_inputs(capsys, tmp_path):
    frame = pd.DataFrame({"m1": [5.0, 6.0], "s1": [1.0, 2.0], "m2": [4.0, 4.5], "s2": [1.5, 1.0]})
    frame.to_csv(tmp_path / "means.csv", index=False)
    columns = ["--m1i", "m1", "--sd1i", "s1", "--m2i", "m2", "--sd2i", "s2"]
    sizes = ["--n1i", "20", "--n2i", "30", "--vtype", "UB", "--uncorrected"]
    found = table(capsys, "SMD", str(tmp_path / "means.csv"), *columns, *sizes)
    wanted = compute(
        "SMD",
        **{"m1i": "m1", "sd1i": "s1", "m2i": "m2", "sd2i": "s2", "n1i": 20, "n2i": 30},
        data=frame,
        vtype="UB",
        correct=False,
    )
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)


def test_what_it_writes_is_what_fit_reads(capsys, counts, counts_csv, tmp_path):
    path = str(tmp_path / "effects.csv")
    assert main(["escalc", "RR", counts_csv, *TABLE, "-o", path]) == 0
    found, _ = fit_json(capsys, path, "-f", "yi ~ ablat", "--variance", "vi", "--groups", "trial")
    effects = compute("RR", ai="tpos", bi="tneg", ci="cpos", di="cneg", data=counts)
    model = MetaMixedLM.from_formula("yi ~ ablat", effects, variance="vi", groups="trial")
    assert found == expected(model.fit())


def test_rows_that_cannot_be_used_are_warned_of(capsys, counts, counts_csv):
    counts["tpos"] = np.where(counts.index == 1, -1, counts["tpos"])
    counts.to_csv(counts_csv, index=False)
    assert main(["escalc", "RR", counts_csv, *TABLE, "--slab", "author"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("mvmeta: warning: ")
    assert err.count("\n") == 1
    assert counts.loc[1, "author"] in err


def test_the_measures_are_listed(capsys):
    assert main(["escalc", "--list"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    prose = " ".join(out.split())
    for code, measure in MEASURES.items():
        assert f"{code} {measure.description} Takes" in prose


def test_every_input_of_a_measure_is_an_option():
    assert set(INPUTS) == {name for layout in LAYOUTS.values() for name in layout.names}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["XYZ", "DATA", *TABLE], "there is no measure 'XYZ'"),
        (["RR", "DATA", "--ai", "tpos"], "measure 'RR' lacks"),
        (["RR", "DATA", *TABLE, "--ri", "tpos"], "does not use ri"),
        (["RR", "DATA", *TABLE[:-1], "nothing"], "di='nothing' is not a column"),
        (["RR", "nowhere.csv", *TABLE], "cannot read nowhere.csv"),
    ],
)
def test_what_cannot_be_computed(capsys, counts_csv, arguments, message):
    given = [counts_csv if word == "DATA" else word for word in arguments]
    assert message in failure(capsys, "escalc", *given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--list lists the measures"),
        (["RR"], "--list lists the measures"),
        (["RR", "x.csv", "--var-names", "a"], "--var-names takes two names"),
        (["x.csv", "RR"], "the measure comes first: mvmeta escalc RR x.csv"),
        (["RR", "x.csv", "ai=tpos", "n1i=n"], "ai=tpos n1i=n; an option and its value are written"),
    ],
)
def test_wrong_usage(capsys, arguments, message):
    assert message in usage_error(capsys, "escalc", *arguments)


def test_large_differences_are_doubted_and_newer_measures_known(capsys, tmp_path):
    path = str(tmp_path / "d.csv")
    pd.DataFrame({"d": [0.4, 3.5], "n": [20, 30], "a": [0.7, 0.8]}).to_csv(path, index=False)
    given = [path, "--di", "d", "--n1i", "n", "--n2i", "n"]
    assert main(["escalc", "SMD", *given]) == 0
    assert "1 of 2 rows are beyond 2 standard deviations" in capsys.readouterr().err
    table(capsys, "SMD", *given, "--cutoff", "4")
    found = table(capsys, "AUC", path, "--ai", "a", "--n1i", "n", "--n2i", "n")
    wanted = compute("AUC", ai=[0.7, 0.8], n1i=[20, 30], n2i=[20, 30])
    pd.testing.assert_frame_equal(found[["yi", "vi"]], wanted, check_exact=True)
