"""A formula as text: what patsy reads in it, and which columns and names it uses."""

import ast
import builtins
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import patsy
import patsy.builtins

from mvmeta.errors import DataError, SpecificationError
from mvmeta.model.specification.frames import suggest
from mvmeta.model.specification.names import (
    c_arguments,
    called_names,
    column_name,
    free_names,
)

PATSY_NAMES = frozenset({*patsy.builtins.__all__, "poly"})
"""Functions known in every formula: patsy's C, Q, center, ..., and ours."""


@dataclass(frozen=True, eq=False)
class ParsedFormula:
    """A formula that was read and whose names were found, before it meets rows.

    Attributes
    ----------
    text : str
    description : patsy.ModelDesc
    environment : patsy.EvalEnvironment
        Only the names the formula takes from the caller's scope.
    response, predictors : tuple of str
        Columns of the data used on the left and on the right of "~".
    factors : frozenset of str
        Columns that appear only as ``a`` or ``C(a, ...)``: text there can be made categories.
    coded : frozenset of str
        Columns that appear only as ``C(a, ...)``: numbers there can be made categories.
    bare : frozenset of str
        Columns that appear only as ``a``: numbers there are taken as they are.
    """

    text: str
    description: Any
    environment: Any
    response: tuple[str, ...]
    predictors: tuple[str, ...]
    factors: frozenset[str]
    coded: frozenset[str]
    bare: frozenset[str]

    @property
    def variables(self) -> tuple[str, ...]:
        """All columns used."""
        return tuple(dict.fromkeys(self.response + self.predictors))


def capture_environment(depth: int | Any = 0) -> Any:
    """Scope of the formula: `depth` frames above the caller of the caller of this function.

    An environment captured before (or a mapping of names) is passed through.
    """
    if isinstance(depth, Mapping):
        return patsy.EvalEnvironment([dict(depth)], flags=0)
    return patsy.EvalEnvironment.capture(depth, reference=2)


def parse(
    text: str, columns: Sequence[object], environment: Any, response: bool = True
) -> ParsedFormula:
    """Read a formula and look its names up, in the data first and then in the environment.

    Parameters
    ----------
    text : str
    columns : sequence
        Names of the columns of the data.
    environment : patsy.EvalEnvironment
    response : bool
        Whether a left side is wanted; it must be absent otherwise.

    Raises
    ------
    SpecificationError
        If the formula cannot be parsed, or has no left side.
    DataError
        If a name is neither a column nor visible to the caller.
    """
    description = _describe(text, response)
    names = {side: free_names(terms, text) for side, terms in _sides(description).items()}
    outside = [n for found in names.values() for n in found if n not in columns]
    _check_names(
        outside,
        called_names([c for codes in _sides(description).values() for c in codes]),
        columns,
        environment,
        text,
    )
    left, right = (tuple(n for n in names[side] if n in columns) for side in ("left", "right"))
    return ParsedFormula(
        text,
        description,
        environment.subset([n for n in outside if n in environment.namespace]),
        left,
        right,
        *_plain_factors(description, left + right),
    )


def _describe(text: object, response: bool) -> Any:
    if not isinstance(text, str):
        raise SpecificationError(f"the formula must be a string such as 'y ~ x', got {text!r}")
    try:
        description = patsy.ModelDesc.from_formula(text)
    except patsy.PatsyError as error:
        raise SpecificationError(f"the formula {text!r} cannot be read: {error}") from error
    if response and not description.lhs_termlist:
        raise SpecificationError(
            f"the formula {text!r} has no response; write 'y ~ {text.strip(' ~')}'"
        )
    if not response and description.lhs_termlist:
        raise SpecificationError(f"a design such as '1 + dose' has no response, got {text!r}")
    if not description.rhs_termlist:
        raise SpecificationError(
            f"the formula {text!r} has no predictors, not even an intercept ('y ~ 1')"
        )
    _refuse_random_terms(description, text)
    return description


def _refuse_random_terms(description: Any, text: str) -> None:
    """Python would evaluate ``1 | study`` bit by bit, and patsy has no other meaning for it."""
    for code in (c for codes in _sides(description).values() for c in codes):
        try:
            node = ast.parse(re.sub(r"\|\s*\|", "|", code.strip()), mode="eval").body
        except SyntaxError:
            continue
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            raise SpecificationError(
                f"{code!r} in the formula {text!r}: random terms go into groups= or random=, such "
                f"as random='1 | study'; for the logical or of two columns write I({code})"
            )


def _sides(description: Any) -> dict[str, list[str]]:
    """Python code of the factors on either side of the formula."""
    sides = {"left": description.lhs_termlist, "right": description.rhs_termlist}
    return {k: [f.code for t in terms for f in t.factors] for k, terms in sides.items()}


def _check_names(
    names: Iterable[str],
    called: set[str],
    columns: Sequence[object],
    environment: Any,
    text: str,
) -> None:
    for name in names:
        known = name in environment.namespace or name in PATSY_NAMES
        if known or (name in called and hasattr(builtins, name)):
            continue
        raise DataError(
            f"{name!r} in the formula {text!r} is no column of the data and no name visible "
            f"where the model was called{suggest(name, columns)}"
        )


def _plain_factors(
    description: Any, columns: Sequence[str]
) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Columns only used bare or as first argument of C(), those only in C(), those only bare."""
    bare: set[str] = set()
    coded: set[str] = set()
    other: set[str] = set()
    for code in {c for codes in _sides(description).values() for c in codes}:
        node = ast.parse(code.strip(), mode="eval").body
        inside, rest = c_arguments(node)
        name = column_name(inside or node)
        if name is None:
            rest = [node]
        else:
            (bare if inside is None else coded).add(name)
        other |= {name for tree in rest for n in ast.walk(tree) if (name := column_name(n))}
    plain = {c for c in columns if c in bare | coded and c not in other}
    return frozenset(plain), frozenset(plain - bare), frozenset(plain - coded)
