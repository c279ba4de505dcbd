"""Constants in an R call: numbers, strings, truth values, and vectors of them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence

from mvmeta.metafor.nodes import (
    Call,
    Constant,
    Node,
    Number,
    Text,
    bare,
    is_call,
    operands,
    refusal,
)

ARITHMETIC: dict[tuple[str, int], Callable[..., float]] = {
    ("-", 1): operator.neg, ("+", 1): operator.pos, ("+", 2): operator.add,
    ("-", 2): operator.sub, ("*", 2): operator.mul, ("/", 2): operator.truediv,
    ("^", 2): math.pow, ("sqrt", 1): math.sqrt, ("exp", 1): math.exp, ("log", 1): math.log,
}  # fmt: skip
"""Operators and functions by their names in R and how many numbers they take."""

Scalar = float | str | bool | None


def scalars(node: Node, what: str) -> list[Scalar]:
    """The entries of a constant, ``c(...)``, ``rep(x, n)`` or ``a:b``; NA is None.

    Raises
    ------
    SpecificationError
        If it is no constant; `what` says what it was wanted for.
    """
    node = bare(node)
    if is_call(node, "c"):
        return [entry for part in operands(node) for entry in scalars(part, what)]
    if is_call(node, "rep"):
        return _repeated(node, what)
    if is_call(node, ":"):
        first, last = (number(part, what) for part in operands(node))
        step = 1 if last >= first else -1
        return [first + step * j for j in range(math.floor(abs(last - first)) + 1)]
    return [_scalar(node, what)]


def _repeated(node: Node, what: str) -> list[Scalar]:
    if len(operands(node)) != 2:
        raise refusal(node, f"{what} is read from rep(value, times) only")
    value, times = operands(node)
    return scalars(value, what) * int(number(times, what))


def _scalar(node: Node, what: str) -> Scalar:
    if isinstance(node, Number):
        return None if math.isnan(node.value) else node.value
    if isinstance(node, (Text, Constant)):
        return node.value
    if is_call(node, *(name for name, _ in ARITHMETIC)):
        return _arithmetic(node, what)
    raise refusal(node, f"{what} must be written out as a constant here")


def _arithmetic(node: Node, what: str) -> float:
    assert isinstance(node, Call)
    values = [number(part, what) for part in node.values]
    try:
        return float(ARITHMETIC[node.name, len(values)](*values))
    except (KeyError, ValueError, ArithmeticError):
        raise refusal(node, f"{what} cannot be computed") from None


def number(node: Node, what: str) -> float:
    """One number.

    Raises
    ------
    SpecificationError
        For anything else.
    """
    found = scalars(node, what)
    if len(found) != 1 or isinstance(found[0], (str, bool)) or found[0] is None:
        raise refusal(node, f"{what} must be one number")
    return found[0]


def text(node: Node, what: str, known: Sequence[str]) -> str:
    """One string among those `known`, in the spelling given there.

    Raises
    ------
    SpecificationError
        For anything else.
    """
    found = scalars(node, what)
    folded = {name.lower(): name for name in known}
    if len(found) == 1 and isinstance(found[0], str) and found[0].lower() in folded:
        return folded[found[0].lower()]
    raise refusal(node, f"{what} must be one of {', '.join(map(repr, known))}")


def truth(node: Node, what: str) -> bool:
    """TRUE or FALSE; a number counts as whether it is not 0, as in R.

    Raises
    ------
    SpecificationError
        For anything else.
    """
    found = scalars(node, what)
    if len(found) != 1 or isinstance(found[0], str) or found[0] is None:
        raise refusal(node, f"{what} must be TRUE or FALSE")
    return bool(found[0])


def named(node: Node, what: str) -> dict[str, Node]:
    """Entries of ``list(a = ..., b = ...)`` by name.

    Raises
    ------
    SpecificationError
        If it is no such list.
    """
    if not is_call(node, "list", "c") or not isinstance(node, Call):
        raise refusal(node, f"{what} is read from list(name = value) only")
    out: dict[str, Node] = {}
    for argument in node.arguments:
        if argument.name is None or argument.value is None:
            raise refusal(argument, f"{what}: every entry of the list needs a name")
        out[argument.name] = argument.value
    return out


def is_null(node: Node | None) -> bool:
    """Whether an argument is left out or NULL."""
    return node is None or (isinstance(node, Constant) and node.value is None)
