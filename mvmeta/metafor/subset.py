"""Which rows: R's `subset`, in which a comparison with a missing value chooses no row."""

from __future__ import annotations

from mvmeta.metafor.arithmetic import OPERATORS, arithmetic
from mvmeta.metafor.nodes import Call, Node, Symbol, bare, is_call, operands, refusal
from mvmeta.metafor.python import Expression, Literal, Method, Operation
from mvmeta.metafor.scope import Scope, column_name
from mvmeta.metafor.values import scalars

OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">": "<=", "<=": ">", ">=": "<"}


class SubsetReader:
    """Writes conditions on rows.

    Parameters
    ----------
    scope : Scope
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.missing = scope.missing()

    def rows(self, node: Node) -> Expression:
        """A condition, or positions, which count from 1 in R.

        Raises
        ------
        SpecificationError
            For what is neither; says where.
        """
        node = bare(node)
        if isinstance(node, Call) and (node.name in {"c", ":", "rep", "-"}):
            return self._positions(node)
        if isinstance(node, Symbol) and not self.scope.is_column(node):
            return arithmetic(node, self.scope.column)
        return self._condition(node, True)

    def _positions(self, node: Node) -> Expression:
        entries = scalars(node, "the rows of subset")
        if entries and all(isinstance(e, bool) for e in entries):
            return Literal([Literal(e) for e in entries])
        if not all(isinstance(e, float) and e >= 1 for e in entries):
            raise refusal(node, "subset is translated from conditions and positive positions")
        return Literal([Literal(int(e) - 1) for e in entries if isinstance(e, float)])

    def _condition(self, node: Node, wanted: bool) -> Expression:
        """Where a condition is `wanted` (TRUE or FALSE); not where it is NA."""
        node = bare(node)
        if is_call(node, "!"):
            return self._condition(operands(node)[0], not wanted)
        if is_call(node, "&", "&&", "|", "||"):
            assert isinstance(node, Call)
            both = (OPERATORS[node.name] == "&") == wanted
            sides = tuple(self._condition(side, wanted) for side in node.values)
            return Operation("&" if both else "|", sides)
        if is_call(node, *OPPOSITE):
            return self._comparison(node, wanted)
        if is_call(node, "is.na"):
            inner = arithmetic(operands(node)[0], self.scope.column)
            return Method(inner, "isna" if wanted else "notna")
        found = arithmetic(node, self.scope.column)
        return found if wanted else Operation("~", (found,))

    def _comparison(self, node: Node, wanted: bool) -> Expression:
        assert isinstance(node, Call)
        symbol = node.name if wanted else OPPOSITE[node.name]
        sides = tuple(arithmetic(side, self.scope.column) for side in node.values)
        found: Expression = Operation(symbol, sides)
        if symbol != "!=":  # in pandas every other comparison with a missing value is false
            return found
        for side in node.values:
            name = column_name(bare(side))
            if name is not None and (self.missing is None or name.name in self.missing):
                found = Operation("&", (found, Method(self.scope.column(name), "notna")))
        return found
