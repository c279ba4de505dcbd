"""Are the docstrings of all public names complete?  `.ci/run docstrings` asks.

A name is public if the reference lists it: what the modules of `docs/reference/index.md` export,
the classes it names, and their methods and properties.  numpydoc says what is missing; wanted are

- a docstring, whose summary ends with a full stop;
- every parameter, under the name it has, and what is returned;
- the shape of every array, beside its type or in what is said of it;
- the unit or scale of every number (`docstrings/units.py` has the rule);
- every error that is raised in its own body, by name;
- where the formulas come from (`docstrings/sources.py` has the rule);
- an example; the tests run it.

A class that only others make describes its attributes in place of its parameters.
"""

import ast
import importlib
import inspect
import itertools
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from docstrings.members import function_of
from docstrings.sources import sourceless
from docstrings.units import unitless
from numpydoc.validate import validate

REFERENCE = Path(__file__).parent / "reference" / "index.md"
WANTED = ("GL08", "SS01", "SS03", "PR01", "PR02", "RT01", "EX01")
ARRAY = re.compile(r"^(?:[\w, *]+ : )?(?:[a-z]+ )*ndarray\b")


def listed() -> list[str]:
    """What the reference names, without the contracts for contributors."""
    text = REFERENCE.read_text(encoding="utf-8").split("## For contributors")[0]
    return re.findall(r"^   (mvmeta\S*)$", text, re.MULTILINE)


def ours(value: Any) -> bool:
    """Whether it was written here, not inherited from statsmodels or a data class."""
    return (getattr(value, "__module__", None) or "").startswith("mvmeta")


def exported(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Functions and classes of a module."""
    names = getattr(module, "__all__", None) or [n for n in vars(module) if n[0] != "_"]
    for name in names:
        value = getattr(module, name)
        if not inspect.ismodule(value) and ours(value):
            yield f"{module.__name__}.{name}", value


def members(path: str, cls: type) -> Iterator[tuple[str, Any]]:
    """Methods and properties of a class."""
    for name in dir(cls):
        value = inspect.getattr_static(cls, name)
        if name[0] != "_" and inspect.isfunction(function_of(value)):
            yield f"{path}.{name}", value


def named(path: str) -> Iterator[tuple[str, Any]]:
    """What stands behind a path in the reference: a module's exports, or one class."""
    try:
        yield from exported(importlib.import_module(path))
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        yield path, getattr(importlib.import_module(module), name)


def public() -> dict[str, Any]:
    """Path -> object, every object once."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    queue = [item for path in listed() for item in named(path)]
    for path, value in queue:
        inner = function_of(value)
        if id(inner) in seen or not ours(inner):
            continue
        seen.add(id(inner))
        found[path] = value
        if inspect.isclass(value):
            queue.extend(members(path, value))
    return found


def shapeless(value: Any) -> list[str]:
    """Arrays in its docstring of which no shape is said."""
    lines = [*(inspect.getdoc(function_of(value)) or "").splitlines(), ""]
    return [
        f"no shape of '{line}'"
        for line, description in itertools.pairwise(lines)
        if ARRAY.match(line) and "(" not in line and "shape" not in line + description
    ]


def unsaid(value: Any) -> list[str]:
    """Errors it raises that its docstring does not name; of a class, those of the constructor."""
    said = inspect.getdoc(function_of(value)) or ""
    inner = vars(value).get("__init__") if inspect.isclass(value) else function_of(value)
    if not inspect.isfunction(inner) or inner.__code__.co_filename.startswith("<"):
        return []  # none, or made by dataclass
    raised = [
        node.exc.func.id
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(inner))))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    ]
    return [f"{name} is raised and not named" for name in dict.fromkeys(raised) if name not in said]


def unmeasured(value: Any) -> list[str]:
    """Numbers in its docstring of which no unit is said; a property is a number by annotation."""
    inner = function_of(value)
    annotations = inner.__annotations__ if isinstance(value, (property, cached_property)) else {}
    returned = str(annotations.get("return", ""))
    return unitless(inspect.getdoc(inner) or "", returned)


def missing(path: str, names: Mapping[str, Any]) -> list[str]:
    """What the docstring of a public name lacks, in sentences."""
    value, codes = names[path], set(WANTED)
    if inspect.isclass(value) and "Attributes\n" in (inspect.getdoc(value) or ""):
        codes.remove("PR01")
    found = [text for code, text in validate(path)["errors"] if code in codes]
    said = [*shapeless(value), *unmeasured(value), *unsaid(value), *sourceless(path, names)]
    return [*found, *said]


def main() -> int:
    """Print what is missing and how much is covered."""
    names = public()
    gaps = {path: found for path in names if (found := missing(path, names))}
    for path, found in gaps.items():
        print(f"{path}: {'; '.join(found)}")
    print(f"{len(names) - len(gaps)} of {len(names)} public names have complete docstrings")
    return bool(gaps)


if __name__ == "__main__":
    sys.exit(main())
