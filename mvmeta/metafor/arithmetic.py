"""Arithmetic and comparisons of columns: of R, in Python."""

from __future__ import annotations

from collections.abc import Callable

from mvmeta.metafor.nodes import (
    Call,
    Constant,
    Node,
    Number,
    Symbol,
    Text,
    bare,
    is_call,
    operands,
    refusal,
)
from mvmeta.metafor.python import Apply, Expression, Literal, Method, Operation
from mvmeta.metafor.scope import column_name
from mvmeta.metafor.values import scalars

OPERATORS = {
    "+": "+", "-": "-", "*": "*", "/": "/", "^": "**",
    "==": "==", "!=": "!=", "<": "<", ">": ">", "<=": "<=", ">=": ">=",
    "&": "&", "&&": "&", "|": "|", "||": "|",
}  # fmt: skip

SIGNS = {"-": "-", "+": "+", "!": "~"}

FUNCTIONS = {
    "log": "np.log", "log2": "np.log2", "log10": "np.log10", "log1p": "np.log1p", "exp": "np.exp",
    "sqrt": "np.sqrt", "abs": "np.abs", "sin": "np.sin", "cos": "np.cos", "tan": "np.tan",
    "round": "np.round", "floor": "np.floor", "ceiling": "np.ceil", "sign": "np.sign",
    "mean": "np.mean", "min": "np.min", "max": "np.max", "median": "np.median", "sum": "np.sum",
    "ifelse": "np.where", "asin": "np.arcsin", "tanh": "np.tanh", "atanh": "np.arctanh",
}  # fmt: skip

WHOLE_COLUMN = frozenset({"mean", "min", "max", "median", "sum", "sd", "var"})
"""Functions whose value depends on which rows there are."""

ONE_ARGUMENT = frozenset(FUNCTIONS) - {"ifelse", "round"}

Lookup = Callable[[Symbol], Expression]
"""How a column is written: ``dat["x"]``, or ``x`` in a formula."""


def arithmetic(node: Node, column: Lookup) -> Expression:
    """An expression over columns.

    Parameters
    ----------
    node : Node
    column : callable
        From a name to the expression that stands for it.

    Returns
    -------
    Expression

    Raises
    ------
    SpecificationError
        For a function or an operator that is not translated; says where.
    """
    node = bare(node)
    name = column_name(node)
    if name is not None:
        return column(name)
    if isinstance(node, (Number, Text, Constant)):
        return Literal(node.value)
    assert isinstance(node, Call)
    if node.name in OPERATORS and len(node.values) == 2:
        sides = tuple(arithmetic(side, column) for side in node.values)
        return Operation(OPERATORS[node.name], sides)
    if node.name in SIGNS and len(node.values) == 1:
        return Operation(SIGNS[node.name], (arithmetic(node.values[0], column),))
    return _function(node, column)


def _function(node: Call, column: Lookup) -> Expression:
    values = node.values
    if node.name == "%in%":
        entries = [Literal(entry) for entry in scalars(values[1], "the set after %in%")]
        return Method(arithmetic(values[0], column), "isin", (Literal(entries),))
    if node.name == "is.na" and len(values) == 1:
        return Method(arithmetic(values[0], column), "isna")
    if node.name in {"sd", "var"} and values:
        name = {"sd": "np.std", "var": "np.var"}[node.name]
        return Apply(name, (arithmetic(values[0], column),), (("ddof", Literal(1)),))
    if node.name in {"as.numeric", "as.integer", "as.double"} and len(values) == 1:
        return Apply("np.asarray", (arithmetic(values[0], column), Literal("float")))
    if node.name in FUNCTIONS:
        if node.name in ONE_ARGUMENT:
            values = _first_alone(node)
        return Apply(FUNCTIONS[node.name], tuple(arithmetic(v, column) for v in values))
    what = f"the function {node.name!r}" if node.name else "this expression"
    raise refusal(
        node,
        f"{what} is not translated; compute the column in the data first, and name it in the call",
    )


def _first_alone(node: Call) -> tuple[Node, ...]:
    """The argument of a function of one; ``na.rm`` is what Python's do with a column anyway."""
    rest = [a for a in node.arguments[1:] if a.name != "na.rm"]
    if rest or not node.values:
        raise refusal(node, f"{node.name}() is translated with one argument only")
    return node.values[:1]


def uses_whole_column(node: Node) -> bool:
    """Whether an expression takes a mean, or the like, over the rows."""
    return is_call(node, *WHOLE_COLUMN) or any(uses_whole_column(p) for p in operands(node))
