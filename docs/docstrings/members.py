"""What stands behind the members of a class."""

from typing import Any


def function_of(value: Any) -> Any:
    """The function behind a method, a property or a cached property."""
    for attribute in ("fget", "func", "__func__"):
        value = getattr(value, attribute, value)
    return value
