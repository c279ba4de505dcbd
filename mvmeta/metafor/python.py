"""Python expressions that can be written as code and be evaluated, so that both say the same.

Only the functions of a table are called, and nothing is compiled: what a call in R says cannot
run anything else.
"""

from __future__ import annotations

import json
import keyword
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

WIDTH = 88
"""Beyond which a call is written over several lines."""

SPREAD = 4
"""Arguments from which a call is written one to a line."""

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
    "**": operator.pow, "==": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt,
    "<=": operator.le, ">=": operator.ge, "&": operator.and_, "|": operator.or_,
}  # fmt: skip

SIGNS: dict[str, Callable[[Any], Any]] = {"-": operator.neg, "+": operator.pos, "~": operator.inv}


class Expression:
    """Something that is written as Python, and has a value where the names in it have one."""

    def code(self) -> str:
        """The expression on one line."""
        raise NotImplementedError

    def value(self, names: Mapping[str, Any]) -> Any:
        """Its value, given those of the names.

        Raises
        ------
        KeyError
            With the first name that has no value.
        """
        raise NotImplementedError

    def __str__(self) -> str:
        return self.code()


@dataclass(frozen=True)
class Literal(Expression):
    """A number, a string, a truth value or None, or a list or dict of expressions."""

    content: Any

    def code(self) -> str:
        """The literal as it is written in Python; whole numbers without a point."""
        match self.content:
            case str():
                return json.dumps(self.content, ensure_ascii=False)
            case dict():
                items = (f"{json.dumps(key)}: {item}" for key, item in self.content.items())
                return f"{{{', '.join(items)}}}"
            case list():
                return f"[{', '.join(map(str, self.content))}]"
            case float():
                return _number(self.content)
        return repr(self.content)

    def value(self, names: Mapping[str, Any]) -> Any:
        if isinstance(self.content, dict):
            return {key: item.value(names) for key, item in self.content.items()}
        if isinstance(self.content, list):
            return [item.value(names) for item in self.content]
        return self.content


@dataclass(frozen=True)
class Name(Expression):
    """A variable."""

    name: str

    def code(self) -> str:
        return self.name

    def value(self, names: Mapping[str, Any]) -> Any:
        return names[self.name]


@dataclass(frozen=True)
class Column(Expression):
    """A column of a frame, ``frame["name"]``."""

    frame: str
    name: str

    def code(self) -> str:
        return f"{self.frame}[{Literal(self.name).code()}]"

    def value(self, names: Mapping[str, Any]) -> Any:
        return names[self.frame][self.name]


@dataclass(frozen=True)
class InFormula(Expression):
    """A column named in a formula; its value is found there."""

    name: str

    def code(self) -> str:
        return self.name


@dataclass(frozen=True)
class Operation(Expression):
    """An operator and one or two operands."""

    symbol: str
    operands: tuple[Expression, ...]

    def code(self) -> str:
        parts = [_atomic(operand) for operand in self.operands]
        if len(parts) == 1:
            return f"{self.symbol}{parts[0]}"
        space = "" if self.symbol == "**" else " "
        return f"{parts[0]}{space}{self.symbol}{space}{parts[1]}"

    def value(self, names: Mapping[str, Any]) -> Any:
        values = [operand.value(names) for operand in self.operands]
        if len(values) == 1:
            return SIGNS[self.symbol](values[0])
        return OPERATORS[self.symbol](values[0], values[1])


@dataclass(frozen=True)
class Apply(Expression):
    """A call of a function of the table `names` holds, ``function(1, key=2)``."""

    function: str
    arguments: tuple[Expression, ...] = ()
    keywords: tuple[tuple[str, Expression], ...] = ()

    def code(self) -> str:
        return f"{self.function}({', '.join(f'{key}{part}' for key, part in self.parts())})"

    def value(self, names: Mapping[str, Any]) -> Any:
        arguments = [argument.value(names) for argument in self.arguments]
        keywords = {key: argument.value(names) for key, argument in self.keywords}
        return names[self.function](*arguments, **keywords)

    def parts(self) -> list[tuple[str, Expression]]:
        """Arguments, each with what is written before it."""
        return [
            *(("", argument) for argument in self.arguments),
            *((f"{key}=", argument) for key, argument in self.keywords),
        ]


@dataclass(frozen=True)
class Method(Expression):
    """A method of an expression, ``x.isin([1, 2])``."""

    of: Expression
    name: str
    arguments: tuple[Expression, ...] = ()
    keywords: tuple[tuple[str, Expression], ...] = ()

    def code(self) -> str:
        return Apply(f"{_atomic(self.of)}.{self.name}", self.arguments, self.keywords).code()

    def value(self, names: Mapping[str, Any]) -> Any:
        method = getattr(self.of.value(names), self.name)
        return Apply("method", self.arguments, self.keywords).value({**names, "method": method})


@dataclass(frozen=True)
class WithColumn(Expression):
    """A frame with one more column, or another one, ``frame.assign(name=...)``."""

    frame: str
    name: str
    content: Expression

    def code(self) -> str:
        plain = self.name.isidentifier() and not keyword.iskeyword(self.name)
        key = f"{self.name}=" if plain else f"**{{{Literal(self.name)}: "
        return f"{self.frame}.assign({key}{self.content}{'' if plain else '}'})"

    def value(self, names: Mapping[str, Any]) -> Any:
        return names[self.frame].assign(**{self.name: self.content.value(names)})


def layout(expression: Expression, before: str = "", indent: str = "") -> str:
    """``before + code``; what is too long for a line has its arguments on lines of their own.

    Parameters
    ----------
    expression : Expression
    before : str
        What stands on the line already, such as ``"model = "``.
    indent : str
        Of the lines after the first.

    Returns
    -------
    str
    """
    text = before + expression.code()
    match expression:
        case Apply():
            opening, parts, closing = f"{expression.function}(", expression.parts(), ")"
        case Literal(content=list() as items):
            opening, parts, closing = "[", [("", item) for item in items], "]"
        case _:
            return text
    crowded = isinstance(expression, Apply) and len(parts) >= SPREAD
    if len(indent + text) < WIDTH and not crowded:
        return text
    deeper = indent + "    "
    lines = "".join(f"{deeper}{layout(part, key, deeper)},\n" for key, part in parts)
    return f"{before}{opening}\n{lines}{indent}{closing}"


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(int(value) if value.is_integer() else value)
    return f'float("{value}")'


def _atomic(expression: Expression) -> str:
    text = expression.code()
    return f"({text})" if isinstance(expression, Operation) else text
