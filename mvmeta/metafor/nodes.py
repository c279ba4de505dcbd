"""R expressions as trees, each node with its place in the text."""

from __future__ import annotations

from dataclasses import dataclass

from mvmeta.errors import SpecificationError


@dataclass(frozen=True)
class Span:
    """Where something stands: ``text[start:end]``."""

    text: str
    start: int
    end: int

    def __str__(self) -> str:
        return " ".join(self.text[self.start : self.end].split())

    def to(self, last: Span) -> Span:
        """From here to the end of `last`."""
        return Span(self.text, self.start, last.end)

    @property
    def line(self) -> int:
        """Line of the start, from 1."""
        return self.text.count("\n", 0, self.start) + 1

    @property
    def column(self) -> int:
        """Column of the start, from 1."""
        return self.start - (self.text.rfind("\n", 0, self.start) + 1) + 1

    def pointed_at(self) -> str:
        """The line with carets below what is meant."""
        first = self.text.rfind("\n", 0, self.start) + 1
        line = self.text[first:].split("\n", 1)[0].expandtabs(1)
        wide = max(1, min(self.end, first + len(line)) - self.start)
        return f"  {line}\n  {' ' * (self.column - 1)}{'^' * wide}"


@dataclass(frozen=True)
class Node:
    """Part of an R program."""

    span: Span

    def __str__(self) -> str:
        return str(self.span)


@dataclass(frozen=True)
class Number(Node):
    """A number; `NA` is one that is nan."""

    value: float


@dataclass(frozen=True)
class Text(Node):
    """A string."""

    value: str


@dataclass(frozen=True)
class Constant(Node):
    """TRUE, FALSE or NULL."""

    value: bool | None


@dataclass(frozen=True)
class Symbol(Node):
    """A name; ``pkg::name`` is one without its package."""

    name: str


@dataclass(frozen=True)
class Argument:
    """An argument of a call; ``x[1, ]`` has one without a value."""

    name: str | None
    value: Node | None
    span: Span


@dataclass(frozen=True)
class Call(Node):
    """A function and its arguments; operators, `$`, `[` and `(` are functions, as in R."""

    function: Node
    arguments: tuple[Argument, ...]

    @property
    def name(self) -> str:
        """Name of the function; "" where it is an expression of its own."""
        return self.function.name if isinstance(self.function, Symbol) else ""

    @property
    def values(self) -> tuple[Node, ...]:
        """The arguments that have a value, by position."""
        return tuple(a.value for a in self.arguments if a.value is not None)


def is_call(node: Node | None, *names: str) -> bool:
    """Whether a node is a call of one of these functions or operators."""
    return isinstance(node, Call) and node.name in names


def operands(node: Node) -> tuple[Node, ...]:
    """What an operator or function is applied to; nothing for what is no call."""
    return node.values if isinstance(node, Call) else ()


def bare(node: Node) -> Node:
    """The node within any parentheses."""
    while is_call(node, "("):
        node = operands(node)[0]
    return node


def refusal(where: Node | Argument | Span, why: str) -> SpecificationError:
    """An error that says why something cannot be translated, and shows where it stands.

    Parameters
    ----------
    where : Node, Argument or Span
    why : str
        A sentence without its full stop.

    Returns
    -------
    SpecificationError
        To be raised.
    """
    span = where if isinstance(where, Span) else where.span
    place = f"line {span.line}, column {span.column}"
    return SpecificationError(f"{why} ({place}):\n{span.pointed_at()}")
