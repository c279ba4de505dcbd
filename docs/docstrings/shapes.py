"""Whether a docstring says the shape of every array, beside its type or in what is said of it."""

import itertools
import re

ARRAY = re.compile(r"^(?:[\w, *]+ : )?(?:[a-z]+ )*ndarray\b")


def shapeless(text: str) -> list[str]:
    """Arrays whose shape a docstring does not say, in sentences."""
    return [
        f"no shape of '{line}'"
        for line, description in itertools.pairwise([*text.splitlines(), ""])
        if ARRAY.match(line) and "(" not in line and "shape" not in line + description
    ]
