"""Formulas in MathML, which browsers show by themselves.

Every function returns markup; text that comes from data is escaped where it enters.
"""

from __future__ import annotations

from markupsafe import Markup, escape

NAMESPACE = "http://www.w3.org/1998/Math/MathML"


def element(name: str, *children: str, **attributes: str) -> Markup:
    """An element; children that are no markup are escaped."""
    given = "".join(f' {key}="{escape(value)}"' for key, value in attributes.items())
    inside = Markup("").join(children)
    return Markup(f"<{name}{given}>") + inside + Markup(f"</{name}>")


def name(text: str) -> Markup:
    """The name of a quantity: slanted if it is a letter, upright if it is a word."""
    return element("mi", text)


def digits(text: str) -> Markup:
    """A number."""
    return element("mn", text)


def sign(text: str) -> Markup:
    """An operator or a bracket."""
    return element("mo", text)


def word(text: str) -> Markup:
    """Text within a formula, whose blanks stay: those at its ends would be dropped."""
    return element("mtext", text.replace(" ", "\N{NO-BREAK SPACE}"))


def row(*parts: str) -> Markup:
    """Parts side by side."""
    return element("mrow", *parts)


def below(base: str, index: str) -> Markup:
    """A subscript."""
    return element("msub", base, index)


def above(base: str, exponent: str) -> Markup:
    """A superscript."""
    return element("msup", base, exponent)


def both(base: str, index: str, exponent: str) -> Markup:
    """A subscript and a superscript."""
    return element("msubsup", base, index, exponent)


def fraction(top: str, bottom: str) -> Markup:
    """A fraction."""
    return element("mfrac", top, bottom)


def normal(*covariance: str) -> Markup:
    """Distributed as N(0, covariance)."""
    return row(
        sign("∼"),
        name("N"),
        sign("("),
        digits("0"),
        sign(","),
        *covariance,
        sign(")"),
    )


def formula(*parts: str) -> Markup:
    """A formula on a line of its own."""
    return element("math", row(*parts), xmlns=NAMESPACE, display="block")
