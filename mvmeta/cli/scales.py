"""Scales by name: "exp", or a function of `mvmeta.transf` such as "ilogit"."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mvmeta.errors import SpecificationError


def scale(name: str | None) -> Callable[[Any], Any] | None:
    """The function of a name; None where there is none.

    Raises
    ------
    SpecificationError
        For a name that is no function of one argument; lists those there are.
    """
    if name is None:
        return None
    known = _known()
    if name not in known:
        raise SpecificationError(f"--transform takes one of {', '.join(known)}; got {name!r}")
    return known[name]


def _known() -> dict[str, Callable[[Any], Any]]:
    import numpy as np

    from mvmeta import transf

    found = {name: getattr(transf, name) for name in transf.__all__}
    return {"exp": np.exp} | {name: f for name, f in found.items() if _takes_one(f)}


def _takes_one(function: Callable[..., Any]) -> bool:
    """Whether the values alone are enough."""
    parameters = inspect.signature(function).parameters.values()
    return sum(p.default is p.empty for p in parameters) == 1
