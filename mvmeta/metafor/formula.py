"""R's model formulas in the words of patsy."""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Callable

from mvmeta.metafor.arithmetic import arithmetic, uses_whole_column
from mvmeta.metafor.nodes import (
    Call,
    Constant,
    Node,
    Number,
    Symbol,
    bare,
    is_call,
    refusal,
)
from mvmeta.metafor.python import Apply, Expression, InFormula, Literal, Name
from mvmeta.metafor.scope import Scope, column_name, python_name
from mvmeta.metafor.values import number, scalars, truth

ALGEBRA = {"+": " + ", "-": " - ", "*": " * ", ":": ":", "/": " / "}

CONTRASTS = {"contr.treatment": "Treatment", "contr.sum": "Sum", "contr.helmert": "Helmert"}
"""R's contrasts, and patsy's of the same space (Helmert's are scaled otherwise)."""

PATSY = frozenset({"C", "I", "Q", "center", "standardize", "scale", "bs", "cr", "cc", "te", "poly"})
"""Names that stand for patsy's functions in a formula, unless quoted."""


class FormulaReader:
    """Writes R formulas for patsy.

    Parameters
    ----------
    scope : Scope
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def terms(self, node: Node) -> str:
        """The right-hand side of a formula.

        Raises
        ------
        SpecificationError
            For what patsy has no word for; says where.
        """
        match node:
            case Number():
                return Literal(node.value).code()
            case Call() if node.name in self._forms:
                return self._forms[node.name](node)
        return self.factor(node).code()

    @property
    def _forms(self) -> dict[str, Callable[[Call], str]]:
        """Calls that are not variables of their own."""
        return {
            **dict.fromkeys(ALGEBRA, self._algebra),
            **dict.fromkeys(("|", "||", "~"), self._misplaced),
            "(": lambda node: f"({self.terms(node.values[0])})",
            "^": self._power,
            "poly": self._polynomial,
        }

    def _misplaced(self, node: Call) -> str:
        raise refusal(node, f"{node.name!r} has no place in a formula of moderators")

    def _power(self, node: Call) -> str:
        base, power = node.values
        return f"{self._side(base)}**{number(power, 'the power'):.0f}"

    def _algebra(self, node: Call) -> str:
        sides = [self._side(side) for side in node.values]
        if len(sides) == 1:
            return f"{node.name}{sides[0]}"
        return ALGEBRA[node.name].join(sides)

    def _side(self, node: Node) -> str:
        text = self.terms(node)
        return f"({text})" if is_call(node, "poly") and " + " in text else text

    def factor(self, node: Node) -> Expression:
        """One variable, or a function of variables."""
        name = column_name(node)
        if name is not None:
            return self.column(name)
        assert not isinstance(node, (Number, Constant))
        if isinstance(node, Call):
            return self._function(node)
        raise refusal(node, "a formula names columns and functions of them")

    def column(self, symbol: Symbol) -> Expression:
        """A column as patsy reads it: quoted where its name is no Python name."""
        if not self.scope.is_column(symbol):
            return Name(python_name(symbol.name))
        name = symbol.name
        self._say_order(name)
        odd = not name.isidentifier() or keyword.iskeyword(name)
        if odd or name in PATSY or (hasattr(builtins, name) and self.scope.columns is None):
            return Apply("Q", (Literal(name),))
        return InFormula(name)

    def _say_order(self, name: str) -> None:
        """Text whose levels R sorts otherwise, which may make another one the reference."""
        levels = self.scope.levels(name)
        if levels and min(levels) != min(levels, key=str.casefold):
            self.scope.note(
                f"The first level of {name!r} is {min(levels)!r}: capitals come before small "
                f"letters. In most locales R takes {min(levels, key=str.casefold)!r} for the "
                "reference; C(..., Treatment(level)) chooses."
            )

    def _function(self, node: Call) -> Expression:
        match node.name:
            case "factor" | "as.factor" | "ordered" | "as.character" | "C" | "relevel":
                return self._categorical(node)
            case "I":
                return Apply("I", (self._numbers(node.values[0]),))
            case "scale":
                return self._standardised(node)
            case "ns" | "bs":
                return self._spline(node)
            case "offset" | "cut" | "rcs" | "s":
                raise refusal(
                    node, f"{node.name}() has no counterpart here; compute its columns in the data"
                )
        return self._numbers(node)

    def _numbers(self, node: Node) -> Expression:
        if uses_whole_column(node):
            self.scope.note(
                "Means and the like within a formula are taken over the rows that are fitted; "
                "R takes them over all rows of the data, before `subset` and missing values."
            )
        return arithmetic(node, self.column)

    # -- functions with a counterpart ----------------------------------------------------

    def _categorical(self, node: Call) -> Expression:
        if not node.values:
            raise refusal(node, f"{node.name}() of what?")
        inner = bare(node.values[0])
        if isinstance(inner, Call) and inner.name in {"factor", "as.factor", "as.character"}:
            return self._with_contrast(node, self._categorical(inner))
        return self._with_contrast(node, Apply("C", (self.factor(inner),)))

    def _with_contrast(self, node: Call, categories: Expression) -> Expression:
        """`categories`, a ``C(...)``, with what the arguments of `node` add to it."""
        assert isinstance(categories, Apply)
        arguments, keywords = categories.arguments, categories.keywords
        for position, argument in enumerate(node.arguments[1:], start=1):
            if argument.value is None:
                continue
            name = argument.name or _POSITIONAL.get((node.name, position), "")
            if name == "levels":
                levels = [Literal(level) for level in scalars(argument.value, "levels")]
                keywords = (*keywords, ("levels", Literal(levels)))
            elif name == "ref":
                reference = Literal(scalars(argument.value, "the reference level")[0])
                arguments = (*arguments[:1], Apply("Treatment", (reference,)))
            elif name == "contr" and column_name(argument.value) is not None:
                arguments = (*arguments[:1], self._contrast(argument.value))
            elif name != "ordered":
                raise refusal(argument, f"this argument of {node.name}() is not translated")
        return Apply("C", arguments, keywords)

    def _contrast(self, node: Node) -> Expression:
        name = node.name if isinstance(node, Symbol) else ""
        if name not in CONTRASTS:
            known = ", ".join(CONTRASTS)
            raise refusal(node, f"contrasts are translated for {known}")
        return Name(CONTRASTS[name])

    def _standardised(self, node: Call) -> Expression:
        options = {a.name: truth(a.value, a.name) for a in node.arguments[1:] if a.name and a.value}
        inner = self._numbers(node.values[0])
        self.scope.note(
            "Columns are centred at the mean of the rows that are fitted; R's scale() takes that "
            "of all rows of the data, before `subset` and missing values."
        )
        if options.get("center", True) and not options.get("scale", True):
            return Apply("center", (inner,))
        if not all(options.values()):
            raise refusal(node, "scale() is translated with center=TRUE only")
        return Apply("standardize", (inner,), (("ddof", Literal(1)),))

    def _spline(self, node: Call) -> Expression:
        options = {a.name: a.value for a in node.arguments[1:] if a.value is not None}
        if set(options) - {"df", "degree"} or "df" not in options:
            raise refusal(node, f"{node.name}() is translated with df= (and degree=) only")
        values = {str(k): int(number(v, str(k))) for k, v in options.items()}
        inner = self._numbers(node.values[0])
        if node.name == "bs":
            return Apply("bs", (inner,), tuple((k, Literal(v)) for k, v in values.items()))
        self.scope.note(
            "ns() is a natural cubic spline with the same knots here, in another basis: the fit is "
            "the same, its coefficients are others."
        )
        inside = [Literal(j / values["df"]) for j in range(1, values["df"])]
        knots = Apply("np.quantile", (inner, Literal(inside)))
        # without a constraint cr() contains the constant, which ns() does not
        keywords = (("knots", knots), ("constraints", Literal("center")))
        return Apply("cr", (inner,), keywords)

    def _polynomial(self, node: Call) -> str:
        raw, degree = False, 1
        for position, argument in enumerate(node.arguments[1:], start=1):
            if argument.value is None:
                continue
            name = argument.name or {1: "degree"}.get(position, "")
            if name == "raw":
                raw = truth(argument.value, "raw")
            elif name == "degree":
                degree = int(number(argument.value, "the degree of poly()"))
            else:
                raise refusal(argument, "poly() is translated with its degree and raw= only")
        inner = self._numbers(node.values[0]).code()
        if not raw:
            return f"poly({inner}, {degree})" if degree > 1 else f"poly({inner})"
        return " + ".join([inner, *(f"I({inner}**{power})" for power in range(2, degree + 1))])


_POSITIONAL = {
    ("factor", 1): "levels",
    ("relevel", 1): "ref",
    ("C", 1): "contr",
    ("ordered", 1): "levels",
}
"""Arguments by position that say more about a factor."""
