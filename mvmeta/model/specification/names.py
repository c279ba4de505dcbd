"""Names in the Python expressions that formulas are made of."""

import ast
from collections.abc import Sequence

from mvmeta.errors import SpecificationError


def free_names(codes: Sequence[str], text: str) -> list[str]:
    """Free names in Python expressions, and names quoted by Q(), in order, once each."""
    out: dict[str, None] = {}
    for code in codes:
        tree = _tree(code, text)
        bound = {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
        bound |= {
            n.id
            for n in ast.walk(tree)
            if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id not in bound:
                out[node.id] = None
            quoted = _quoted(node)
            if quoted is not None:
                out[quoted] = None
    return list(out)


def _tree(code: str, text: str) -> ast.AST:
    try:
        return ast.parse(code.strip(), mode="eval")
    except SyntaxError as error:
        raise SpecificationError(
            f"the formula {text!r} cannot be read: {code!r}: {error.msg}"
        ) from error


def _quoted(node: ast.AST) -> str | None:
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Q"
        and node.args
    ):
        value = getattr(node.args[0], "value", None)
        return value if isinstance(value, str) else None
    return None


def c_arguments(node: ast.expr) -> tuple[ast.expr | None, list[ast.AST]]:
    """First and further arguments of ``C(...)``; None if it is something else."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "C":
        if node.args:
            return node.args[0], [*node.args[1:], *node.keywords]
    return None, []


def column_name(node: ast.AST) -> str | None:
    """The column a node stands for, by its name or as ``Q("name")``; None for anything else."""
    return node.id if isinstance(node, ast.Name) else _quoted(node)


def called_names(codes: Sequence[str]) -> set[str]:
    """Names that stand before "(": only those may be builtins, a bare `id` is a lost column."""
    nodes = [n for code in codes for n in ast.walk(ast.parse(code.strip(), mode="eval"))]
    return {n.func.id for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}


def factor_column(code: str) -> str | None:
    """The column of ``column`` or ``C(column, ...)``; None for anything else."""
    try:
        node = ast.parse(code.strip(), mode="eval").body
    except SyntaxError:
        return None
    return column_name(c_arguments(node)[0] or node)
