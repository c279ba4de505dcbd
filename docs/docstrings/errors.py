"""Whether a docstring names every error that is raised in the body below it."""

import ast
import inspect
import textwrap
from typing import Any

from docstrings.public import docstring, function_of


def raised(value: Any) -> list[str]:
    """Names of the errors that its own body raises; of a class those of the constructor."""
    inner = vars(value).get("__init__") if inspect.isclass(value) else function_of(value)
    if not inspect.isfunction(inner) or inner.__code__.co_filename.startswith("<"):
        return []  # none, or made by dataclass
    names = [
        node.exc.func.id
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(inner))))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    ]
    return list(dict.fromkeys(names))


def unsaid(value: Any) -> list[str]:
    """Errors it raises that its docstring does not name, in sentences."""
    said = docstring(value)
    return [f"{name} is raised and not named" for name in raised(value) if name not in said]
