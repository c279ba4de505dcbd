"""Commands run in tests: what comes out of them, and how they fail."""

import json

import pytest

from mvmeta.cli import main

FORMULA = "d ~ C(Category) - 1"
ARGUMENTS = ["-f", FORMULA, "--variance", "Variance", "--groups", "Study"]


def fit_json(capsys, *arguments):
    """Run a fit that must work, and return its JSON and what was said on standard error."""
    code = main(["fit", *arguments, "--json", "-"])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out), err


def usage_error(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert stop.value.code == 2
    return capsys.readouterr().err


def failure(capsys, *arguments):
    """Run what must fail with exit code 1 and a message on standard error alone."""
    assert main(list(arguments)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mvmeta: error: ")
    assert "Traceback" not in err
    return err


def expected(result, alpha=0.05):
    return json.loads(result.to_json(alpha))
