"""Random effects: metafor's `random`, `struct`, `R`, `dist` and fixed components."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mvmeta.metafor.formula import FormulaReader
from mvmeta.metafor.nodes import Call, Node, Number, Symbol, Text, bare, is_call, operands, refusal
from mvmeta.metafor.python import Apply, Expression, Literal, Name
from mvmeta.metafor.scope import Scope, python_name
from mvmeta.metafor.values import is_null, named, scalars

STRUCTURES = (
    "CS", "HCS", "UN", "ID", "DIAG", "AR", "HAR", "CAR",
    "SPEXP", "SPGAU", "SPLIN", "SPRAT", "SPSPH", "GEN", "GDIAG",
)  # fmt: skip
"""Structures that mean the same in both programs."""

METRICS = ("euclidean", "manhattan", "maximum", "gcd")

SCALES = {"cor": "cor", "cor0": "cor0", "cov0": "cov0", "none": "none", True: "cor", False: "none"}
"""Rscale; the numbers 0 to 3 are the same in another order."""

NUMBERED_SCALES = ("none", "cor", "cor0", "cov0")

OUT_OF_NAMES = re.compile(r"[/:+*()|~]")
"""What a column in a random term cannot contain here."""

Settings = Mapping[str, Node]


@dataclass(frozen=True)
class Term:
    """One ``~ inner | outer`` of the call.

    Attributes
    ----------
    node : Node
    left : Node
        Of the "|"; a number for a random intercept.
    groups : tuple of str
        One grouping per intercept: ``a/b`` is "a" and "a:b".
    uncorrelated : bool
        Written with ``||``.
    text : str
        The right side as written.
    """

    node: Node
    left: Node
    groups: tuple[str, ...]
    uncorrelated: bool
    text: str

    @property
    def is_intercept(self) -> bool:
        """Whether it is ``~ 1 | g``."""
        return isinstance(self.left, Number)


@dataclass(frozen=True)
class RandomPart:
    """The arguments of `MetaMixedLM.from_formula` that hold the random effects."""

    groups: Expression | None = None
    random: tuple[Expression, ...] = ()


class RandomReader:
    """Writes random terms.

    Parameters
    ----------
    scope : Scope
    settings : mapping of str to Node
        The arguments of the call by their names in metafor.
    """

    def __init__(self, scope: Scope, settings: Settings) -> None:
        self.scope = scope
        self.settings = settings

    def read(self) -> RandomPart:
        """Random effects of the call.

        Raises
        ------
        SpecificationError
            For a term or a structure that is not translated; says where.
        """
        given = self.settings.get("random")
        if given is None or is_null(given):
            self._unused(0, 0)
            return RandomPart()
        nodes = operands(given) if is_call(given, "list") else (given,)
        terms = [self._term(bare(node)) for node in nodes]
        written = list(self._written(terms))
        if len(terms) == 1 and terms[0].is_intercept and not written[0].keywords:
            return RandomPart(groups=Literal(terms[0].text))
        return RandomPart(random=tuple(_shortest(term) for term in written))

    # -- the formulas --------------------------------------------------------------------

    def _term(self, node: Node) -> Term:
        if not is_call(node, "~") or len(operands(node)) != 1:
            raise refusal(node, "a random term is written ~ 1 | study or ~ inner | outer")
        inner = operands(node)[0]
        if not is_call(inner, "|", "||"):
            raise refusal(node, "a random term has a '|', as in ~ 1 | study")
        assert isinstance(inner, Call)
        left, right = inner.values
        steps = self._steps(right)
        text = "/".join(":".join(step) for step in steps)
        outer = tuple(":".join(_flat(steps[: j + 1])) for j in range(len(steps)))
        return Term(node, left, outer, inner.name == "||", text)

    def _left(self, node: Node, slopes: bool) -> str:
        if not slopes:
            return self._inner(_without_constant(node))
        left = FormulaReader(self.scope).terms(node)
        return left if _has_constant(left) else f"1 + {left}"

    def _inner(self, node: Node) -> str:
        """The column of inner levels, or the columns ``x + y`` of coordinates."""
        node = _without_factor(bare(node))
        if is_call(node, "+") and len(operands(node)) == 2:
            return " + ".join(self._inner(side) for side in operands(node))
        if is_call(node, "as.numeric", "as.integer", "as.double"):
            column = bare(operands(node)[0])
            # of a factor it is the place of the level, which may not be its number
            if isinstance(column, Symbol) and self.scope.is_numeric(column) is not False:
                return self._name(column)
        if isinstance(node, Symbol):
            return self._name(node)
        raise refusal(
            node,
            "inner levels are a column; compute it in the data first, and name it in the call",
        )

    def _steps(self, node: Node) -> list[tuple[str, ...]]:
        """``a/b:c`` as [("a",), ("b", "c")]."""
        node = _without_factor(bare(node))
        if is_call(node, "/"):
            outer, inner = operands(node)
            return [*self._steps(outer), *self._steps(inner)]
        if is_call(node, ":"):
            return [tuple(_flat(step for side in operands(node) for step in self._steps(side)))]
        if isinstance(node, Symbol):
            return [(self._name(node),)]
        raise refusal(node, "groups of a random term are columns, combined with '/' or ':'")

    def _name(self, symbol: Symbol) -> str:
        if symbol.name != "const" and not self.scope.is_column(symbol):
            raise refusal(symbol, f"{symbol.name!r} must be a column of the data")
        if OUT_OF_NAMES.search(symbol.name):
            raise refusal(symbol, "a column with such a name cannot stand in a random term; rename")
        return symbol.name

    # -- what belongs to them ------------------------------------------------------------

    def _written(self, terms: list[Term]) -> Iterator[Apply]:
        structs = self._structs(terms)
        known = self._matrices(terms)
        distances = self._distances(structs)
        sigma2 = self._fixed_sigma2(terms)
        self._unused(len(sigma2), len(structs))
        place = 0
        structured = 0
        for term in terms:
            if term.is_intercept:
                pins = sigma2[place : place + len(term.groups)]
                place += len(term.groups)
                yield from self._intercepts(term, pins, known)
                continue
            code = structs[structured]
            options = self._structured(code, structured)
            options += distances.get(structured, ())
            structured += 1
            yield Apply("Random", (Literal(self._formula(term, code)),), options)

    def _unused(self, intercepts: int, structured: int) -> None:
        """Say which values belong to no term; metafor leaves them aside without a word."""
        needed = {"sigma2": intercepts, "tau2": structured, "rho": structured}
        needed |= {"gamma2": structured - 1, "phi": structured - 1}
        for name, terms in needed.items():
            node = self.settings.get(name)
            if terms <= 0 and node is not None and not is_null(node):
                self.scope.note(f"`{name}` was left out: the call has no term that it belongs to.")

    def _formula(self, term: Term, code: str) -> str:
        if len(term.groups) > 1:
            raise refusal(term.node, "metafor has no nested groups for a term with a structure")
        return f"{self._left(term.left, code in {'GEN', 'GDIAG'})} | {term.text}"

    def _intercepts(
        self, term: Term, pins: list[float | None], known: Mapping[str, Expression]
    ) -> Iterator[Apply]:
        matrices = [known.get(group) for group in term.groups]
        if not any(matrices):
            fixed = _pins("sigma2", pins)
            yield Apply("Random", (Literal(f"1 | {term.text}"),), fixed)
            return
        for group, matrix, pin in zip(term.groups, matrices, pins, strict=True):
            options = _pins("sigma2", [pin])
            if matrix is not None:
                options = (("corr", matrix), *self._scale(), *options)
            yield Apply("Random", (Literal(f"1 | {group}"),), options)

    def _structured(self, code: str, which: int) -> tuple[tuple[str, Expression], ...]:
        options: list[tuple[str, Expression]] = []
        if code != "CS":
            options.append(("struct", Literal(code)))
        pins: dict[str, Expression] = {}
        for name, own in (("tau2", ("tau2", "gamma2")), ("rho", ("rho", "phi"))):
            node = self.settings.get(own[which])
            if node is None or is_null(node):
                continue
            values = _numbers(node, own[which])
            if any(value is not None for value in values):
                pins[name] = _entries(values)
        if pins:
            options.append(("fixed", Literal(pins)))
        return tuple(options)

    def _structs(self, terms: list[Term]) -> list[str]:
        structured = [term for term in terms if not term.is_intercept]
        if len(structured) > 2:
            raise refusal(structured[2].node, "metafor takes at most two terms ~ inner | outer")
        node = self.settings.get("struct")
        given = ["CS"] if node is None else [str(s).upper() for s in scalars(node, "struct")]
        codes = given * len(structured) if len(given) == 1 else given[: len(structured)]
        if len(codes) < len(structured):
            raise refusal(structured[-1].node, "struct has no entry for this term")
        for code in codes:
            if code not in STRUCTURES:
                assert node is not None
                raise refusal(
                    node,
                    f"struct {code!r} is not translated; the ones that mean the same in both "
                    f"programs are {', '.join(STRUCTURES)}",
                )
        return [
            "GDIAG" if term.uncorrelated and code == "GEN" else code
            for term, code in zip(structured, codes, strict=True)
        ]

    def _matrices(self, terms: list[Term]) -> dict[str, Expression]:
        node = self.settings.get("R")
        if node is None or is_null(node):
            return {}
        groups = [group for term in terms if term.is_intercept for group in term.groups]
        out: dict[str, Expression] = {}
        for name, matrix in named(node, "R").items():
            if name.replace("/", ":") not in groups:
                raise refusal(node, f"R names {name!r}, but there is no random term ~ 1 | {name}")
            out[name.replace("/", ":")] = self._matrix(matrix, f"R${name}")
        self.scope.note(
            "Matrices of R are DataFrames here, whose index and columns name the levels."
        )
        return out

    def _matrix(self, node: Node, what: str) -> Expression:
        if isinstance(node, Symbol):
            return Name(python_name(node.name))
        raise refusal(node, f"{what} must be the name of a matrix; compute it before the call")

    def _scale(self) -> tuple[tuple[str, Expression], ...]:
        node = self.settings.get("Rscale")
        if node is None:
            return ()
        given = scalars(node, "Rscale")[0]
        if isinstance(given, float) and given in range(len(NUMBERED_SCALES)):
            given = NUMBERED_SCALES[int(given)]
        scale = SCALES.get(given) if isinstance(given, (str, bool)) else None
        if scale is None:
            raise refusal(node, f"Rscale must be one of {', '.join(NUMBERED_SCALES)}")
        return () if scale == "cor" else (("corr_scale", Literal(scale)),)

    def _distances(self, structs: list[str]) -> dict[int, tuple[tuple[str, Expression], ...]]:
        node = self.settings.get("dist")
        if node is None:
            return {}
        given = operands(node) if is_call(node, "list") else (node,)
        spatial = [j for j, code in enumerate(structs) if code.startswith("SP")]
        given = given * len(spatial) if len(given) == 1 else given
        return {j: (("distance", self._distance(d)),) for j, d in zip(spatial, given, strict=False)}

    def _distance(self, node: Node) -> Expression:
        if not isinstance(node, Text):
            return self._matrix(node, "dist")
        if node.value not in METRICS:
            raise refusal(node, f"dist must be a matrix or one of {', '.join(METRICS)}")
        return Literal(node.value)

    def _fixed_sigma2(self, terms: list[Term]) -> list[float | None]:
        count = sum(len(term.groups) for term in terms if term.is_intercept)
        node = self.settings.get("sigma2")
        if node is None or is_null(node):
            return [None] * count
        values = _numbers(node, "sigma2")
        values = values * count if len(values) == 1 else values
        if len(values) != count:
            raise refusal(node, f"sigma2 has {len(values)} entries for {count} variances")
        return values


def _without_factor(node: Node) -> Node:
    """The column in ``factor(x)``: groups and inner levels are factors anyway."""
    return operands(node)[0] if is_call(node, "factor", "as.factor") else node


def _without_constant(node: Node) -> Node:
    """The factor in ``x - 1`` and ``0 + x``: inner levels have no constant among them."""
    sides = operands(node)
    numbers = [isinstance(_unsigned(side), Number) for side in sides]
    if is_call(node, "+", "-") and len(sides) == 2 and sum(numbers) == 1:
        return sides[numbers.index(False)]
    return node


def _unsigned(node: Node) -> Node:
    return operands(node)[0] if is_call(node, "-") and len(operands(node)) == 1 else node


def _has_constant(left: str) -> bool:
    return any(part.strip() in {"0", "1"} for part in re.split(r"[+-]", left))


def _flat(steps: Iterable[Iterable[str]]) -> list[str]:
    return [name for step in steps for name in step]


def _numbers(node: Node, what: str) -> list[float | None]:
    out: list[float | None] = []
    for value in scalars(node, what):
        if isinstance(value, (str, bool)):
            raise refusal(node, f"{what} is fixed at numbers, with NA for what is estimated")
        out.append(value)
    return out


def _entries(values: list[float | None]) -> Expression:
    if len(values) == 1:
        return Literal(values[0])
    return Literal([Literal(value) for value in values])


def _pins(kind: str, values: list[float | None]) -> tuple[tuple[str, Expression], ...]:
    if all(value is None for value in values):
        return ()
    return (("fixed", Literal({kind: _entries(values)})),)


def _shortest(term: Apply) -> Expression:
    """A term that is nothing but its formula is a string."""
    return term if term.keywords else term.arguments[0]
