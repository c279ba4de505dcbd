"""How a random term is written: its two sides, its groupings, its structure."""

import re
from dataclasses import dataclass

from mvmeta.errors import SpecificationError
from mvmeta.structures import structure_codes

SPATIAL = frozenset({"SPEXP", "SPGAU", "SPLIN", "SPRAT", "SPSPH", "MATERN"})
"""Structures over sites: their left side is coordinates, or a site with `distance=`."""

SLOPES = {"GEN": "UN", "GDIAG": "DIAG"}
"""Structures over a design (random slopes), and the class that gives their G."""

NEEDS_MATRIX = frozenset({"PROP", "PHYBM", "PHYPL", "PHYOU"})
"""Structures over a known matrix of the effects of one level; `Random` takes it as `corr`."""


@dataclass(frozen=True)
class Grouping:
    """One grouping factor: the combination of `columns`, written `text`."""

    text: str
    columns: tuple[str, ...]
    separator: str = "/"


def parse_groupings(text: str, where: str) -> tuple[Grouping, ...]:
    """Expand "a/b/c" to its three groupings and "a:b" to one; `where` is quoted in errors."""
    if re.search(r"[+*()|~]", text):
        raise SpecificationError(
            f"groups of a random term are 'a', 'a:b' or 'a/b', got {text!r} in {where!r}; "
            "give crossed groups as separate terms"
        )
    out: list[Grouping] = []
    parts = [tuple(name.strip() for name in step.split(":")) for step in text.split("/")]
    columns: tuple[str, ...] = ()
    for depth, part in enumerate(parts):
        columns += part
        if not all(columns):
            raise SpecificationError(f"a group is missing on the right side of {where!r}")
        if len(set(columns)) < len(columns):
            raise SpecificationError(f"the same group appears twice in {where!r}")
        steps = "/".join(":".join(p) for p in parts[: depth + 1])
        out.append(Grouping(steps, columns, "/" if depth else ":"))
    return tuple(out)


def split_formula(formula: object) -> tuple[str, str]:
    """Left and right side of "inner | outer"; a leading "~" is dropped.

    Raises
    ------
    SpecificationError
        If it is no such formula.
    """
    if not isinstance(formula, str) or not formula.strip():
        raise SpecificationError(
            f"a random term is written '1 | g' or 'inner | outer', got {formula!r}"
        )
    text = formula.strip().removeprefix("~")
    if "||" in text:
        raise SpecificationError(f"{formula!r}: for uncorrelated slopes use '|' and struct='GDIAG'")
    if text.count("|") != 1:
        raise SpecificationError(
            f"a random term has one '|', as in '1 | study' or 'outcome | study'; got {formula!r}"
        )
    left, right = (part.strip() for part in text.split("|"))
    if not left or not right:
        raise SpecificationError(f"one side of '|' is empty in the random term {formula!r}")
    return " ".join(left.split()), right


def structure_code(struct: object, left: str, formula: str) -> str | None:
    """Code of the structure in upper case; None for a random intercept.

    Raises
    ------
    SpecificationError
        For an unknown code (lists what exists), or one that the left side does not go with.
    """
    if struct is None:
        return _default_code(left, formula)
    if not isinstance(struct, str):
        raise SpecificationError(
            f"struct= of Random({formula!r}) is a code such as 'UN', got {struct!r}"
        )
    code = struct.upper()
    known = (*structure_codes(), *SLOPES)
    if code not in known:
        raise SpecificationError(
            f"unknown covariance structure {struct!r} in Random({formula!r}); "
            f"struct= takes one of {', '.join(known)}"
        )
    if code in SLOPES:
        _check_slopes(code, left, formula)
    elif not (code in NEEDS_MATRIX and left == "1"):
        _check_left(code, left, formula)
    return code


def _default_code(left: str, formula: str) -> str | None:
    if left == "1":
        return None
    if _is_name(left):
        return "CS"
    raise SpecificationError(
        f"Random({formula!r}) needs a struct=: GEN or GDIAG for random slopes, SP* for coordinates"
    )


def _check_slopes(code: str, left: str, formula: str) -> None:
    if all(part.strip().lstrip("-") in {"", "0", "1"} for part in left.split("+")):
        raise SpecificationError(
            f"struct={code!r} of Random({formula!r}) is for random slopes and has no covariate; "
            "write '1 + x | g', or leave struct= out for a random intercept"
        )


def _check_left(code: str, left: str, formula: str) -> None:
    if left == "1":
        raise SpecificationError(
            f"Random({formula!r}) is a random intercept and takes no struct={code!r}; "
            "put a factor on the left, or leave struct= out"
        )
    parts = [part.strip() for part in left.split("+")]
    most = None if code in SPATIAL else 1
    if not all(_is_name(part) for part in parts) or (most and len(parts) > most):
        what = "coordinates such as 'x + y'" if code in SPATIAL else "one factor"
        raise SpecificationError(f"struct={code!r} wants {what} on the left of '|', got {left!r}")


def _is_name(text: str) -> bool:
    return re.search(r"[+*:()/^~]|^[-\d]", text) is None
