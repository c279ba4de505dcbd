"""R's grammar, as far as calls and formulas go: from words to a tree, nothing evaluated.

Precedence is that of R's help page ``?Syntax``.
"""

from __future__ import annotations

from math import inf, nan

from mvmeta.metafor.nodes import Argument, Call, Constant, Node, Number, Span, Symbol, Text, refusal
from mvmeta.metafor.tokens import Token, tokenize

# (left, right) binding powers: the larger binds tighter; a right one below the left one makes
# an operator associate to the right.
BINARY = {
    "?": (1, 2),
    "=": (4, 3), "<-": (6, 5), "<<-": (6, 5), "->": (7, 8), "->>": (7, 8),
    "~": (9, 10),
    "|": (11, 12), "||": (11, 12),
    "&": (13, 14), "&&": (13, 14),
    "==": (17, 18), "!=": (17, 18), "<": (17, 18), ">": (17, 18), "<=": (17, 18), ">=": (17, 18),
    "+": (19, 20), "-": (19, 20),
    "*": (21, 22), "/": (21, 22),
    "%%": (23, 24), "|>": (23, 24),
    ":": (25, 26),
    "^": (30, 29),
}  # fmt: skip

PREFIX = {"?": 2, "~": 10, "!": 15, "-": 27, "+": 27}

POSTFIX = 40
"""Of calls, `[`, `[[`, `$` and `@`: tighter than every operator."""

NOT_EXPRESSIONS = frozenset({"function", "if", "else", "for", "while", "repeat", "next", "break"})

CONSTANTS = {
    "TRUE": True, "T": True, "FALSE": False, "F": False, "NULL": None,
    "NA": nan, "NA_real_": nan, "NA_integer_": nan, "NaN": nan, "Inf": inf,
}  # fmt: skip


def parse(text: str) -> list[Node]:
    """The expressions of an R text, in order.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of Node

    Raises
    ------
    SpecificationError
        Where the text is no R, or has what is not part of a call (functions, `if`, loops); says
        where.
    """
    return _Parser(text).program()


PLACES = {"|>": "_", "%>%": "."}
"""Pipes, and what stands in a call for the value they hand to it."""


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = list(tokenize(text))
        self.position = 0
        self.nested = 0  # within brackets the end of a line is a space
        self.piped = 0  # right of |> the name _ stands for what is left of it

    # -- words ---------------------------------------------------------------------------

    @property
    def token(self) -> Token:
        if self.nested:
            self._skip_lines()
        return self.tokens[self.position]

    def _skip_lines(self) -> None:
        while self.tokens[self.position].kind == "newline":
            self.position += 1

    def _next(self) -> Token:
        token = self.token
        self.position += 1
        return token

    def _at(self, *operators: str) -> bool:
        return self.token.kind == "operator" and self.token.text in operators

    def _expect(self, operator: str, opened: Token) -> Token:
        if not self._at(operator):
            if self.token.kind == "end":
                raise refusal(opened.span, f"{opened.text!r} is opened here and not closed")
            raise refusal(self.token.span, f"a comma or {operator!r} is missing here")
        return self._next()

    # -- grammar -------------------------------------------------------------------------

    def program(self) -> list[Node]:
        out: list[Node] = []
        while True:
            while self.token.kind == "newline" or self._at(";"):
                self.position += 1
            if self.token.kind == "end":
                return out
            out.append(self.expression(0))
            if not (self.token.kind in {"newline", "end"} or self._at(";")):
                raise refusal(self.token.span, "R expects an operator or the end of the line here")

    def expression(self, power: int) -> Node:
        left = self._prefixed()
        while True:
            if self._at("(", "[", "[[", "$", "@"):
                left = self._postfixed(left)
                continue
            token = self.token
            name = _operator(token)
            if name is None or BINARY[name][0] < power:
                return left
            self._next()
            self._skip_lines()
            self.piped += name == "|>"
            right = self.expression(BINARY[name][1])
            self.piped -= name == "|>"
            left = _joined(token, left, right)

    def _prefixed(self) -> Node:
        token = self._next()
        if token.kind == "operator" and token.text in PREFIX:
            operand = self.expression(PREFIX[token.text])
            function = Symbol(token.span, token.text)
            argument = Argument(None, operand, operand.span)
            return Call(token.span.to(operand.span), function, (argument,))
        if token.kind == "operator" and token.text == "(":
            return self._parenthesis(token)
        return self._atom(token)

    def _parenthesis(self, opened: Token) -> Node:
        self.nested += 1
        inner = self.expression(0)
        closed = self._expect(")", opened)
        self.nested -= 1
        argument = Argument(None, inner, inner.span)
        return Call(opened.span.to(closed.span), Symbol(opened.span, "("), (argument,))

    def _atom(self, token: Token) -> Node:
        if token.kind == "number":
            return Number(token.span, _number(token.text))
        if token.kind in {"string", "raw"}:
            return Text(token.span, token.text)
        if token.kind == "quoted":
            return Symbol(token.span, token.text)
        if token.kind == "name":
            return self._name(token)
        if token.kind == "end":
            raise refusal(token.span, "the call ends before it is complete")
        what = "the end of the line" if token.kind == "newline" else repr(token.text)
        raise refusal(token.span, f"{what} is not expected here")

    def _name(self, token: Token) -> Node:
        if token.text == "_" and not self.piped:
            raise refusal(token.span, "'_' stands for what |> hands to a call, and there is none")
        if token.text in NOT_EXPRESSIONS:
            raise refusal(
                token.span, f"{token.text!r} cannot be translated: only calls and formulas are read"
            )
        if self._at("::", ":::"):
            self._next()
            name = self._next()
            return Symbol(token.span.to(name.span), name.text)
        if token.text not in CONSTANTS:
            return Symbol(token.span, token.text)
        value = CONSTANTS[token.text]
        if isinstance(value, float):
            return Number(token.span, value)
        return Constant(token.span, value)

    def _postfixed(self, left: Node) -> Node:
        opened = self._next()
        if opened.text in "$@":
            name = self._next()
            field = Text(name.span, name.text)
            arguments = tuple(Argument(None, n, n.span) for n in (left, field))
            return Call(left.span.to(name.span), Symbol(opened.span, opened.text), arguments)
        self.nested += 1
        close = {"(": ")", "[": "]", "[[": "]"}[opened.text]
        given = self._arguments(opened, close)
        closed = self._expect(close, opened)
        if opened.text == "[[":
            closed = self._expect(close, opened)
        self.nested -= 1
        span = left.span.to(closed.span)
        if opened.text == "(":
            return Call(span, left, given)
        own = Argument(None, left, left.span)
        return Call(span, Symbol(opened.span, opened.text), (own, *given))

    def _arguments(self, opened: Token, close: str) -> tuple[Argument, ...]:
        out: list[Argument] = []
        if self._at(close):
            return ()
        while True:
            out.append(self._argument(close))
            if not self._at(","):
                return tuple(out)
            self._next()
            if self._at(close) and opened.text == "(":
                return tuple(out)

    def _argument(self, close: str) -> Argument:
        token = self.token
        if self._at(",", close):
            return Argument(None, None, token.span)
        name = self._argument_name()
        if name is not None and self._at(",", close):
            return Argument(name, None, token.span)
        value = self.expression(BINARY["="][0] + 1)
        return Argument(name, value, token.span.to(value.span))

    def _argument_name(self) -> str | None:
        """The name before "=", which is read past."""
        token, start = self.token, self.position
        if token.kind not in {"name", "string", "quoted"}:
            return None
        self.position += 1
        if self._at("="):
            self.position += 1
            return token.text
        self.position = start
        return None


def _operator(token: Token) -> str | None:
    """Entry of `BINARY` for a token; None if it is no binary operator."""
    if token.kind != "operator":
        return None
    name = "%%" if token.text.startswith("%") else token.text
    return name if name in BINARY else None


def _joined(token: Token, left: Node, right: Node) -> Node:
    span = left.span.to(right.span)
    if token.text in {"->", "->>"}:
        left, right, token = right, left, Token("operator", "<-", token.span)
    if token.text in PLACES and isinstance(right, Call):
        return _piped(span, left, right, PLACES[token.text])
    arguments = tuple(Argument(None, n, n.span) for n in (left, right))
    return Call(span, Symbol(token.span, token.text), arguments)


def _piped(span: Span, left: Node, call: Call, place: str) -> Call:
    """``left |> f(...)``: the argument that is ``_``, or else the first one."""
    places = [isinstance(a.value, Symbol) and a.value.name == place for a in call.arguments]
    given = tuple(
        Argument(a.name, left, left.span) if here else a
        for a, here in zip(call.arguments, places, strict=True)
    )
    if not any(places):
        given = (Argument(None, left, left.span), *given)
    return Call(span, call.function, given)


def _number(text: str) -> float:
    digits = text.removesuffix("L")
    return float(int(digits, 16)) if digits[:2].lower() == "0x" else float(digits)
