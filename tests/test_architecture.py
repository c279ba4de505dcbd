"""The promises of the architecture: layers, registered structures and public names."""

import inspect
import re
import shutil
import subprocess
import sys
from functools import cached_property
from pathlib import Path

import pytest

import mvmeta
from mvmeta.model.specification.grammar import SLOPES
from mvmeta.structures import structure_codes

ROOT = Path(__file__).parents[1]
NAMES = [name for name in mvmeta.__all__ if name != "__version__"]
LINTER = shutil.which("lint-imports", path=str(Path(sys.executable).parent))


def own_functions(cls):
    """Public methods, and whatever else is public, that this package defines or overrides."""
    for name in dir(cls):
        home = next((base for base in cls.__mro__ if name in vars(base)), None)
        if name.startswith("_") or home is None or not home.__module__.startswith("mvmeta"):
            continue
        member = vars(home)[name]
        if isinstance(member, (property, cached_property, classmethod, staticmethod)):
            yield name, member
        elif inspect.isfunction(member):
            yield name, member


def parameters(function):
    names = inspect.signature(function).parameters
    return [name for name in names if name not in {"self", "cls", "_"}]


def described(doc, heading):
    """Names in a section of a numpydoc docstring."""
    if f"\n{heading}\n{'-' * len(heading)}\n" not in f"\n{doc}":
        return []
    body = f"\n{doc}".split(f"\n{heading}\n{'-' * len(heading)}\n")[1]
    entries = []
    lines = body.split("\n")
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if following and set(following) == {"-"}:
            break
        if line and not line.startswith(" "):
            entries += [name.strip().lstrip("*") for name in line.split(" : ")[0].split(",")]
    return entries


@pytest.mark.skipif(LINTER is None, reason="import-linter is not installed")
def test_imports_keep_to_the_layers():
    done = subprocess.run([LINTER], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("code", [*structure_codes(), *SLOPES])
def test_every_structure_is_in_the_documentation(code):
    page = (ROOT / "docs" / "reference" / "structures.md").read_text(encoding="utf-8")
    assert f"`{code}`" in page
    assert f'"{code}"' in inspect.getdoc(mvmeta.Random)


@pytest.mark.parametrize("name", NAMES)
def test_public_names_say_what_they_are(name):
    thing = getattr(mvmeta, name)
    assert inspect.getdoc(thing).split("\n")[0].endswith(".")
    if inspect.isclass(thing) and not issubclass(thing, Exception):
        documented = described(inspect.getdoc(thing), "Parameters")
        documented += described(inspect.getdoc(thing), "Attributes")
        assert set(parameters(thing)) <= set(documented)


def members():
    for name in NAMES:
        thing = getattr(mvmeta, name)
        if inspect.isclass(thing) and not issubclass(thing, Exception):
            yield from ((name, method, member) for method, member in own_functions(thing))
        elif inspect.ismodule(thing):
            yield from ((name, f, getattr(thing, f)) for f in thing.__all__)
        elif inspect.isfunction(thing):
            yield "mvmeta", name, thing


@pytest.mark.parametrize(
    ("name", "method", "member"),
    list(members()),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_public_methods_have_complete_docstrings(name, method, member):
    doc = inspect.getdoc(member)
    assert doc, f"{name}.{method} has no docstring"
    function = getattr(member, "__func__", member)
    if not inspect.isfunction(function):
        return
    others = {n for m in NAMES for n in dir(getattr(mvmeta, m))} - {method}
    if others & set(re.findall(r"`(\w+)`", doc)) and "Returns" not in doc:
        return  # says the rest there
    listed = described(doc, "Parameters")
    # A docstring without sections names its arguments in the sentence, but for the one that the
    # function is of.
    named = listed or [*parameters(function)[:1], *re.findall(r"\w+", doc)]
    assert set(parameters(function)) <= set(named)
    returns = str(inspect.signature(function).return_annotation)
    if listed and returns not in {"None", str(inspect.Signature.empty)}:
        assert "Returns" in doc


# What variables are called as well: `results.vcomp` is an attribute of the results of a fit.
ALSO_VARIABLES = {"results", "model", "structure", "status", "parsed", "plan"}
MODULES = ROOT / "mvmeta"
SOURCES = sorted(MODULES.rglob("*.py"))
DOTTED = re.compile(r"`([a-z_0-9]+(?:\.[a-z_0-9]+)*\.\w+)`")


def names_of_modules(text):
    """Names such as `optimize.ridge` or `restriction.null_distribution` in docstrings."""
    known = {p for path in SOURCES for p in path.relative_to(MODULES).with_suffix("").parts}
    return {n for n in DOTTED.findall(text) if n.split(".")[0] in known - ALSO_VARIABLES}


def stands_for(name):
    """Whether it is a module, or something that a module defines, by the end of its path."""
    path, _, last = name.replace(".", "/").rpartition("/")
    definition = re.compile(rf"^(?:def |class |){last}\b", re.MULTILINE)
    ends = [str(p.with_suffix("")).removesuffix("/__init__") for p in SOURCES]
    return any(
        end.endswith(f"/{path}/{last}")
        or (end.endswith(f"/{path}") and definition.search(p.read_text(encoding="utf-8")))
        for p, end in zip(SOURCES, ends, strict=True)
    )


def test_modules_that_docstrings_name_are_where_they_say():
    named = {(p.name, n) for p in SOURCES for n in names_of_modules(p.read_text(encoding="utf-8"))}
    assert len(named) > 20
    assert {(file, name) for file, name in named if not stands_for(name)} == set()
