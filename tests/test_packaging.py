"""The house around the package: one home per fact, and commands that are what they say."""

import configparser
import os
import re
import shutil
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import mvmeta

ROOT = Path(__file__).parents[1]
TOOLS = ("ruff", "mypy", "lint-imports", "sphinx-build")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")

needs_bash = pytest.mark.skipif(
    os.name == "nt" or shutil.which("bash") is None, reason=".ci/run is a bash script"
)


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def shell_blocks(text: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)\n```$", text, flags=re.MULTILINE | re.DOTALL)


def contract(identifier: str) -> dict:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    return next(c for c in contracts if c["id"] == identifier)


class TestOneHomePerFact:
    def test_setup_cfg_holds_only_what_setuptools_reads_there(self):
        assert set(setup_cfg().sections()) == {
            "metadata",
            "options",
            "options.packages.find",
            "options.package_data",
        }
        assert set(setup_cfg()["options"]) == {"packages", "zip_safe"}

    def test_metadata_is_in_one_of_the_two_files(self):
        assert set(setup_cfg()["metadata"]) == set(PROJECT["dynamic"])
        assert not set(PROJECT["dynamic"]) & set(PROJECT)
        assert "setuptools" not in PYPROJECT["tool"]

    def test_citation_is_of_this_version(self):
        citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
        assert f"\nversion: {mvmeta.__version__}\n" in citation
        assert f"\nlicense: {PROJECT['license']}\n" in citation

    def test_version_comes_from_the_source(self):
        assert setup_cfg()["metadata"]["version"] == "attr: mvmeta._version.__version__"
        assert mvmeta.__version__ == mvmeta._version.__version__

    def test_installed_version_is_that_of_the_source(self):
        try:
            installed = metadata.version("mvmeta")
        except metadata.PackageNotFoundError:
            pytest.skip("run from a checkout that is not installed")
        assert installed == mvmeta.__version__

    def test_changelog_knows_the_version(self):
        changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        assert f"## [{mvmeta.__version__}]" in changelog

    def test_floors_are_the_lower_bounds(self):
        lines = (ROOT / "constraints" / "floors.txt").read_text(encoding="utf-8").splitlines()
        floors = dict(line.split("==") for line in lines if not line.startswith("#"))
        extras = PROJECT["optional-dependencies"]
        added = (extras[name] for name in ("completion", "dask", "plot", "progress", "report"))
        wanted = [*PROJECT["dependencies"], *(entry for extra in added for entry in extra)]
        bounds = dict(re.sub(r"\[.*\]", "", entry).split(">=") for entry in wanted)

        def release(version: str) -> tuple[int, ...]:
            numbers = [int(part) for part in version.split(".")]
            return tuple(numbers + [0] * (3 - len(numbers)))

        # the newest of these two do not work with the oldest narwhals and matplotlib
        of_their_time = {"duckdb", "pyparsing"}
        assert {k: release(v) for k, v in floors.items() if k not in of_their_time} == {
            k: release(v) for k, v in bounds.items()
        }


class TestLinks:
    """What Sphinx does not check: files outside docs/ that are read on their own."""

    @pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
    def test_of_the_files_at_the_top_lead_somewhere(self, name):
        text = (ROOT / name).read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
        missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
        assert links
        assert not missing


class TestReadme:
    def test_gives_two_commands_that_can_work(self):
        run, test = shell_blocks(README)
        assert run.endswith(".venv/bin/mvmeta demo")
        assert PROJECT["scripts"]["mvmeta"] == "mvmeta.cli:main"
        assert test.endswith(".venv/bin/python -m pytest -n auto")
        assert set(re.findall(r"\.\[(\w+)\]", test)) <= set(PROJECT["optional-dependencies"])

    @needs_bash
    def test_test_command_is_what_the_checks_run_last(self, tmp_path):
        checkout = fake_checkout(tmp_path, README)
        done = ci_run(checkout)
        assert done.returncode == 0, done.stderr
        commands = [line for line in done.stdout.splitlines() if line.startswith("+ ")]
        assert commands[-1] == f"+ bash -euo pipefail -c {shell_blocks(README)[1]}"
        stages = [line for line in done.stdout.splitlines() if line.startswith("== ")]
        expected = ["lint", "types", "layers", "docstrings", "docs", "test"]
        assert stages[:-1] == [f"== {stage}" for stage in expected]

    @needs_bash
    def test_a_failing_test_command_fails_the_checks(self, tmp_path):
        readme = "<!-- test-command -->\n```sh\nfalse && true\n```\n"
        assert ci_run(fake_checkout(tmp_path, readme), "test").returncode != 0

    @needs_bash
    def test_a_readme_without_test_command_fails_the_checks(self, tmp_path):
        done = ci_run(fake_checkout(tmp_path, "# mvmeta\n"), "test")
        assert done.returncode == 1
        assert "<!-- test-command -->" in done.stderr


def fake_checkout(folder: Path, readme: str) -> Path:
    """A directory in which .ci/run finds tools and a Python that succeed without doing anything."""
    programs = folder / "programs"
    tools = folder / ".ci" / "venv" / "bin"
    environment = folder / ".venv" / "bin"
    for place, names in {
        programs: ["python3"],
        tools: ["python", *TOOLS],
        environment: ["pip", "python"],
    }.items():
        place.mkdir(parents=True)
        for name in names:
            (place / name).write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
            (place / name).chmod(0o755)
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci" / "run")
    (folder / "README.md").write_text(readme, encoding="utf-8")
    for name in ("pyproject.toml", "setup.cfg"):
        (folder / name).touch()
        os.utime(folder / name, (0, 0))
    (folder / ".ci" / "venv" / "stamp").touch()
    return folder


def ci_run(checkout: Path, *stages: str) -> subprocess.CompletedProcess[str]:
    path = f"{checkout / 'programs'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [checkout / ".ci" / "run", *stages],
        env={**os.environ, "PATH": path, "CI": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class TestContracts:
    def test_every_module_has_a_layer(self):
        entries = " | ".join(contract("layers")["layers"])
        named = {re.sub(r"[()\s]", "", name) for name in entries.split("|")}
        present = {
            path.stem
            for path in (ROOT / "mvmeta").iterdir()
            if path.suffix == ".py" or (path / "__init__.py").exists()
        }
        assert present - {"__init__"} <= named
        assert contract("layers")["exhaustive"] is True

    def test_core_is_kept_from_the_data_frame_packages(self):
        layers = contract("layers")["layers"]
        below_model = layers[layers.index("inference") :]
        core = {f"mvmeta.{name}" for name in below_model if "|" not in name}
        assert core <= set(contract("core")["source_modules"])
        assert {"pandas", "patsy", "statsmodels", "matplotlib"} <= set(
            contract("core")["forbidden_modules"]
        )

    def test_structures_and_backends_are_independent(self):
        assert contract("structures")["modules"] == ["mvmeta.structures.*"]
        assert contract("backends")["modules"] == ["mvmeta.marginal.*"]
