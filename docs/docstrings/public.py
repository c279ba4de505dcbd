"""The public names: what the reference lists, and the members of its classes."""

import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

REFERENCE = Path(__file__).parents[1] / "reference" / "index.md"


def listed() -> list[str]:
    """What the reference names, without the contracts for contributors."""
    text = REFERENCE.read_text(encoding="utf-8").split("## For contributors")[0]
    return re.findall(r"^   (mvmeta\S*)$", text, re.MULTILINE)


def function_of(value: Any) -> Any:
    """The function behind a method, a property or a cached property."""
    for attribute in ("fget", "func", "__func__"):
        value = getattr(value, attribute, value)
    return value


def docstring(value: Any) -> str:
    """The docstring, without indentation; of a property that of its function."""
    return inspect.getdoc(function_of(value)) or ""


def property_type(value: Any) -> str:
    """What a property returns, by its annotation; of anything else nothing."""
    if not isinstance(value, (property, cached_property)):
        return ""
    kind = function_of(value).__annotations__.get("return", "")
    return kind if isinstance(kind, str) else inspect.formatannotation(kind)


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
