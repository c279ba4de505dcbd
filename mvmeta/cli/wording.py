"""Messages of the package in words of the shell: flags in place of Python's arguments."""

import re
from collections.abc import Callable

FLAGS = "groups|random|variance|weights|subset|missing|start|maxiter|backend|df|cov_type"


def in_the_shell(message: str) -> str:
    """Replace what a message calls by its name in Python.

    Only arguments whose value is quoted or left out are replaced: `df=4` may be part of a
    formula.
    """
    for pattern, words in REWORDED:
        message = re.sub(pattern, words, message)
    return message


def _flag(found: re.Match[str]) -> str:
    name, value = found[1].replace("_", "-"), found[2] or ""
    return f"--{name} {value}".rstrip()


REWORDED: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"\bwith reml=True", "without --ml"),
    (rf"\b({FLAGS})=(?:'([^']*)'|(?=[\s,;:.]|$))", _flag),
    (r"\b(struct|corr_scale|distance)='([^']*)'", r"\1=\2"),
    (r"needs corr=matrix, .*", "needs corr=FILE"),
    (r"a labelled DataFrame", "a labelled CSV file"),
    (r"\b(?:fixed|equal)= of (.*) must be a dict with the keys (.*), got .*", r"\1 has \2 only"),
    (r"\bfixed=", "fixed values"),
    (r"\bplots= takes", "--report-plots takes"),
    (r"\buse None for those", "leave empty those"),
    (r"read the file with decimal=','", "--decimal ,"),
    (r"convert it with pandas\S+ errors='coerce'\)", "correct it, or leave the cell empty"),
    (r"\bRandom\(('[^']*')(?:[^()]|\([^()]*\))*\)", r"the random term \1"),
)
"""What messages call by its name in Python, and how it is called in a shell."""
