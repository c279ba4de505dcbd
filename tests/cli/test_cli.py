"""The other commands, the help, and the command as a process."""

import io
import json
import shlex
import shutil
import subprocess
import sys

import pandas as pd
import pytest

import mvmeta
from mvmeta import MetaMixedLM, Random, datasets
from mvmeta.cli import completion, demo, escalc, fit, main
from mvmeta.cli.main import build_parser
from tests.cli.commands import ARGUMENTS, expected, failure, fit_json, usage_error

# -- datasets, demo, version ---------------------------------------------------------------


def test_datasets_are_listed(capsys):
    assert main(["datasets"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    for name, row in datasets.describe().iterrows():
        line = next(text for text in out.splitlines() if text.startswith(f"{name} "))
        assert line.split()[1:3] == [str(row["rows"]), str(row["studies"])]
        assert row["description"] in " ".join(out.split())


@pytest.mark.parametrize("name", datasets.names())
def test_a_data_set_is_described(capsys, name):
    assert main(["datasets", name]) == 0
    out = capsys.readouterr().out
    about = datasets.load(name).attrs
    assert " ".join(about["description"].split()) in " ".join(out.split())
    assert all(f"  {variable} " in out for variable in about["variables"])
    assert max(map(len, out.splitlines())) <= 80


def test_an_exported_data_set_is_the_data_set(capsys, toy):
    assert main(["datasets", "toy", "--csv", "-"]) == 0
    out = capsys.readouterr().out
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(out)), toy)


def test_data_sets_that_do_not_exist(capsys, tmp_path):
    assert "no data set named 'toys'" in failure(capsys, "datasets", "toys")
    path = str(tmp_path / "corr.csv")
    err = failure(capsys, "datasets", "toy", "--correlation", path)
    assert "lim2014" in err


def test_demo(capsys):
    assert main(["demo"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    prose = " ".join(out.split())
    # By hand, see test_fit_prints_the_summary; 10.0000 is the one estimate of C.
    assert "C(Category)[C] 10.0000 (0.3162) 19.9975 (10.0050)" in prose
    assert "10 + 9.9975 = 19.9975" in prose
    schools = MetaMixedLM.from_formula(
        "yi ~ 1", datasets.load("konstantopoulos2011"), variance="vi", groups="district/school"
    ).fit()
    summary = str(schools.summary())
    assert summary in out
    share = schools.heterogeneity()["i2"]
    assert f"{share['district']:.0%} lies between districts" in prose
    assert "heterogeneity is greatest between districts" in prose
    ours = out.replace(summary, "")
    assert max(map(len, ours.splitlines())) <= 80


def test_exported_covariances_are_read_by_a_fit(capsys, tmp_path):
    data, v = str(tmp_path / "trials.csv"), str(tmp_path / "v.csv")
    assert main(["datasets", "berkey1998", "--csv", data, "--covariance", v]) == 0
    found, _ = fit_json(
        capsys,
        data,
        *("-f", "yi ~ outcome - 1", "--variance-matrix", v, "--random", "outcome | trial; UN"),
    )
    model = MetaMixedLM.from_formula(
        "yi ~ outcome - 1",
        datasets.load("berkey1998"),
        variance=datasets.covariance_blocks("berkey1998"),
        random=Random("outcome | trial", struct="UN"),
    )
    assert found == expected(model.fit())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["nonsense"], "invalid choice"),
        (["datasets", "--csv", "x.csv"], "need the name of a data set"),
        (["completion", "cmd"], "invalid choice: 'cmd'"),
    ],
)
def test_wrong_usage(capsys, arguments, message):
    assert message in usage_error(capsys, *arguments)


@pytest.mark.parametrize(
    "command", [[], ["fit"], ["escalc"], ["translate"], ["datasets"], ["demo"]]
)
def test_help_fits_a_terminal_and_has_examples(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "mvmeta" in out


@pytest.mark.parametrize("command", [fit, escalc])
def test_examples_of_the_help_are_understood(command):
    lines = command.EXAMPLES.replace("\\\n", " ").splitlines()
    commands = [line.strip().rstrip("|") for line in lines if line.strip().startswith("mvmeta ")]
    examples = [shlex.split(text)[1:] for text in commands]
    assert len(examples) >= 4
    for arguments in examples:
        args = build_parser().parse_args(arguments)
        assert args.run in {fit.run, escalc.run}


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_completion(capsys, shell):
    pytest.importorskip("shtab")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "escalc" in script
    assert "variance-matrix" in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_options_and_files(capsys, tmp_path):
    pytest.importorskip("shtab")
    main(["completion", "bash"])
    (tmp_path / "complete.sh").write_text(capsys.readouterr().out, encoding="utf-8")
    (tmp_path / "effects.csv").touch()

    def completed(*words):
        listed = " ".join(f"'{word}'" for word in words)
        script = (
            f"source complete.sh; COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; "
            '_shtab_mvmeta; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        run = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return [word.strip() for word in run.stdout.splitlines()]

    assert completed("mvmeta", "e") == ["escalc"]
    assert completed("mvmeta", "fit", "--cov") == ["--cov-type"]
    assert completed("mvmeta", "fit", "eff") == ["effects.csv"]
    assert completed("mvmeta", "fit", "x.csv", "--json", "eff") == ["effects.csv"]


def test_completion_without_shtab(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert 'pip install "mvmeta[completion]"' in failure(capsys, "completion", "bash")


def test_commands_stand_beside_what_they_do(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    for name in ("fit", "escalc", "translate", "datasets", "demo", "completion"):
        (line,) = [text for text in lines if text.split()[:1] == [name]]
        assert len(line.split()) > 2


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"mvmeta {mvmeta.__version__}\n"


def test_interrupt(monkeypatch):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", interrupted)
    assert main(["demo"]) == 130


def test_stages_are_shown_on_a_terminal_only(capsys, monkeypatch, toy_csv):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["fit", toy_csv, *ARGUMENTS, "--quiet"]) == 0
    err = capsys.readouterr().err
    assert f"mvmeta: reading {toy_csv} ...\r" in err
    assert err.endswith(" \r")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert main(["fit", toy_csv, *ARGUMENTS, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_too_little_memory_is_a_message(capsys, monkeypatch):
    def exhausted(args):
        raise MemoryError

    monkeypatch.setattr(demo, "run", exhausted)
    assert "not enough memory" in failure(capsys, "demo")


# -- as a process --------------------------------------------------------------------------


def test_as_a_module(toy_csv):
    command = [sys.executable, "-m", "mvmeta", "fit", toy_csv, *ARGUMENTS, "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["coefficients"][2]["estimate"] == pytest.approx(19.9975)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes close differently")
def test_a_closed_pipe_is_no_traceback():
    command = [sys.executable, "-m", "mvmeta", "datasets"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert err == b""
    assert process.returncode == 141
