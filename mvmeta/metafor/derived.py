"""Columns that a line adds to the data: ``dat$x2 <- dat$x^2``, ``dat$id <- 1:nrow(dat)``."""

from __future__ import annotations

from mvmeta.errors import SpecificationError
from mvmeta.metafor.arithmetic import arithmetic
from mvmeta.metafor.nodes import Call, Constant, Node, Number, Symbol, bare, is_call, operands
from mvmeta.metafor.python import Apply, Expression, Literal, Method, Name, Operation, WithColumn
from mvmeta.metafor.scope import Scope, Session, column_name, frames_named

UNKNOWN_IN_R = frozenset({"ifelse", "==", "!=", "<", ">", "<=", ">="})
"""Functions that are missing where a column is, and something else in Python."""


def derived_column(target: Node, value: Node, session: Session) -> tuple[str, WithColumn] | None:
    """The name of the data of ``dat$x <- value``, and the data with that column.

    None for what is not translated: another target, names that are no columns of the same data,
    functions without a counterpart, and conditions on columns that have missing values.
    """
    column = column_name(target) if is_call(target, "$", "[[") else None
    frames = {symbol.name for symbol in frames_named(target)}
    if column is None or len(frames) != 1 or isinstance(bare(value), Constant):
        return None
    (of,) = frames
    if not _is_of(value, of):
        return None
    scope = Scope(session, session.frame(of, target))
    if _has_condition(value) and not _is_complete(value, scope):
        return None
    try:
        content = _content(bare(value), scope)
    except SpecificationError:
        return None
    return scope.frame, WithColumn(scope.frame, column.name, content)


def _is_of(node: Node, frame: str) -> bool:
    """Whether all names in an expression are columns of one data set, or its number of rows."""
    if is_call(node, "$", "[["):
        return [symbol.name for symbol in frames_named(node)] == [frame]
    if is_call(node, "nrow"):
        return [getattr(part, "name", None) for part in operands(node)] == [frame]
    return not isinstance(node, Symbol) and all(_is_of(part, frame) for part in operands(node))


def _has_condition(node: Node) -> bool:
    return is_call(node, *UNKNOWN_IN_R) or any(_has_condition(part) for part in operands(node))


def _is_complete(node: Node, scope: Scope) -> bool:
    """Whether the columns of an expression are known to have no missing values."""
    missing = scope.missing()
    return missing is not None and not missing & _columns(node)


def _columns(node: Node) -> set[str]:
    name = column_name(node)
    if name is not None:
        return {name.name}
    return set().union(*map(_columns, operands(node)))


def _content(value: Node, scope: Scope) -> Expression:
    if _counts_rows(value):
        rows = Operation("+", (Apply("len", (Name(scope.frame),)), Literal(1)))
        return Apply("np.arange", (Literal(1), rows))
    if isinstance(value, Call) and value.name in {"factor", "as.factor"} and len(value.values) == 1:
        return Method(arithmetic(value.values[0], scope.column), "astype", (Literal("category"),))
    return arithmetic(value, scope.column)


def _counts_rows(node: Node) -> bool:
    """Whether it is ``1:nrow(dat)`` or ``seq_len(nrow(dat))``."""
    parts = operands(node)
    if is_call(node, "seq_len"):
        return len(parts) == 1 and is_call(parts[0], "nrow")
    starts = is_call(node, ":") and isinstance(parts[0], Number) and parts[0].value == 1
    return starts and is_call(parts[1], "nrow")
