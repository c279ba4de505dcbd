"""`mvmeta translate`: calls of metafor as Python, from the command line and from scripts."""

import io
import sys

import pytest

from mvmeta import MetaMixedLM, Random, datasets, from_metafor
from mvmeta.cli import main
from tests.cli.commands import failure, usage_error

CALL = "rma.mv(yi, vi, random = ~ 1 | district/school, data = dat)"


@pytest.fixture
def schools_csv(tmp_path):
    path = tmp_path / "schools.csv"
    datasets.load("konstantopoulos2011").to_csv(path, index=False)
    return str(path)


def test_the_code_is_that_of_from_metafor(capsys, tmp_path):
    assert main(["translate", CALL]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == (f"{from_metafor(CALL)}\n", "")
    path = tmp_path / "model.py"
    assert main(["translate", CALL, "-o", str(path)]) == 0
    assert path.read_text(encoding="utf-8") == out


def test_a_script_from_standard_input(capsys, monkeypatch):
    script = f"library(metafor)\nres <- {CALL}  # three levels\nsummary(res)"
    monkeypatch.setattr(sys, "stdin", io.StringIO(script.rsplit("\n", 1)[0]))
    assert main(["translate", "-"]) == 0
    assert 'groups="district/school"' in capsys.readouterr().out


def test_with_data_the_model_is_fitted(capsys, schools_csv):
    assert main(["translate", CALL, "--data", schools_csv]) == 0
    out = capsys.readouterr().out
    frame = datasets.load("konstantopoulos2011")
    res = MetaMixedLM.from_formula("yi ~ 1", frame, variance="vi", groups="district/school").fit()
    assert out == f"{from_metafor(CALL)}\n\n{res.summary()}\n"


def test_matrices_that_a_call_names(capsys, tmp_path):
    data, tree = str(tmp_path / "lim.csv"), str(tmp_path / "tree.csv")
    main(["datasets", "lim2014", "--csv", data, "--correlation", tree])
    call = "rma.mv(yi, vi, random = ~ 1 | species, R = list(species = A), data = dat)"
    assert main(["translate", call, "--data", data, "--matrix", f"A={tree}"]) == 0
    term = Random("1 | species", corr=datasets.correlation("lim2014"))
    frame = datasets.load("lim2014")
    res = MetaMixedLM.from_formula("yi ~ 1", frame, variance="vi", random=term).fit()
    assert capsys.readouterr().out.endswith(f"\n{res.summary()}\n")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("lm(y ~ x)", "this line is not translated"),
        ("rma.mv(yi, vi", "rma.mv(yi, vi"),
        ("library(metafor)", "there is no call of rma.mv() or rma()"),
    ],
)
def test_what_is_no_call(capsys, call, message):
    assert message in failure(capsys, "translate", call)


def test_a_matrix_that_was_not_given(capsys, schools_csv):
    call = "rma.mv(yi, V, random = ~ 1 | school, data = dat)"
    assert main(["translate", call, "--data", schools_csv]) == 1
    assert "'V'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-", "--data", "-"], "cannot both come from standard input"),
        ([CALL, "--matrix", "A=a.csv"], "--matrix goes with --data"),
        ([CALL, "--matrix", "a.csv"], "a matrix is given as NAME=FILE"),
        ([], "required: call"),
    ],
)
def test_wrong_usage(capsys, arguments, message):
    assert message in usage_error(capsys, "translate", *arguments)
