"""Contrasts of means, by the name of a family or by weights for levels."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.model.specification.frames import shorten
from mvmeta.model.specification.levels import level_texts

FAMILIES = ("pairwise", "reference", "consecutive", "effects")
"""Contrasts that have a name."""


def named_weights(weights: Any, names: list[str]) -> list[tuple[str, Floats]]:
    """Names and weights (m,) of the contrasts of m means called `names`."""
    if isinstance(weights, str):
        return _family(weights, names)
    if not isinstance(weights, Mapping) or not weights:
        raise SpecificationError(
            f"contrast takes one of {', '.join(map(repr, FAMILIES))}, or a mapping from names to "
            f"weights of the means {shorten(names, most=20)}; got {type(weights).__name__}"
        )
    return [(str(name), _weights(name, given, names)) for name, given in weights.items()]


def _weights(name: object, given: Any, names: list[str]) -> Floats:
    if isinstance(given, Mapping):
        out = np.zeros(len(names))
        for level, weight in given.items():
            text = "/".join(map(text_of, level)) if isinstance(level, tuple) else text_of(level)
            if text not in names:
                raise SpecificationError(
                    f"contrast {name!r}: there is no mean {level!r}; there are "
                    f"{shorten(names, most=20)}"
                )
            out[names.index(text)] = _numbers(name, weight)
    else:
        out = _numbers(name, given)
    if out.shape != (len(names),) or not np.isfinite(out).all() or not out.any():
        raise SpecificationError(
            f"contrast {name!r} needs a number for each of the {len(names)} means "
            f"{shorten(names, most=20)}, not all 0"
        )
    return out


def _numbers(name: object, given: Any) -> Floats:
    try:
        return np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        raise SpecificationError(
            f"contrast {name!r} needs numbers for weights, got {given!r}"
        ) from None


def _family(kind: str, names: list[str]) -> list[tuple[str, Floats]]:
    eye = np.eye(len(names))
    pairs = {
        "pairwise": list(combinations(range(len(names)), 2)),
        "reference": [(0, j) for j in range(1, len(names))],
        "consecutive": [(j - 1, j) for j in range(1, len(names))],
    }
    if kind in pairs:
        return [(f"{names[j]} - {names[i]}", eye[j] - eye[i]) for i, j in pairs[kind]]
    if kind == "effects":
        return [(f"{n} - average", e - 1 / len(names)) for n, e in zip(names, eye, strict=True)]
    raise SpecificationError(
        f"contrast {kind!r} has no meaning; there are {', '.join(map(repr, FAMILIES))}, and a "
        "mapping from names to weights"
    )


def text_of(value: object) -> str:
    """A level as messages and labels have it."""
    return level_texts([value])[0]
