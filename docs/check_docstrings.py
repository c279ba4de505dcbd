"""Are the docstrings of all public names complete?  `.ci/run docstrings` asks.

A name is public if the reference lists it: what the modules of `docs/reference/index.md` export,
the classes it names, and their methods and properties.  Wanted are, each by the rule in the file of
`docs/docstrings/` that is named,

- a docstring, whose summary ends with a full stop; every parameter, under the name it has, and what
  is returned; an example, which the tests run: by numpydoc;
- the shape of every array (`shapes.py`);
- the unit or scale of every number (`units.py`);
- every error that is raised in its own body (`errors.py`);
- where the formulas come from (`sources.py`).

A class that only others make describes its attributes in place of its parameters.
"""

import inspect
import sys
from collections.abc import Mapping
from typing import Any

from docstrings.errors import unsaid
from docstrings.public import docstring, property_type, public
from docstrings.shapes import shapeless
from docstrings.sources import sourceless
from docstrings.units import unitless
from numpydoc.validate import validate

WANTED = {"GL08", "SS01", "SS03", "PR01", "PR02", "RT01", "EX01"}
PARAMETERS = "PR01"


def incomplete(path: str, value: Any) -> list[str]:
    """What numpydoc misses."""
    described = inspect.isclass(value) and "Attributes\n" in docstring(value)
    wanted = WANTED - {PARAMETERS} if described else WANTED
    return [text for code, text in validate(path)["errors"] if code in wanted]


def missing(path: str, names: Mapping[str, Any]) -> list[str]:
    """What the docstring of a public name lacks, in sentences."""
    value = names[path]
    text = docstring(value)
    return [
        *incomplete(path, value),
        *shapeless(text),
        *unitless(text, property_type(value)),
        *unsaid(value),
        *sourceless(path, names),
    ]


def main() -> int:
    """Print what is missing and how much is covered."""
    names = public()
    gaps = {path: found for path in names if (found := missing(path, names))}
    for path, found in gaps.items():
        print(f"{path}: {'; '.join(found)}")
    print(f"{len(names) - len(gaps)} of {len(names)} public names have complete docstrings")
    return bool(gaps)


if __name__ == "__main__":
    sys.exit(main())
