"""The measures by code: each registers its function with the data it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mvmeta.effects.values import Values, YiVi
from mvmeta.errors import SpecificationError

MeasureFunction = Callable[[Values], YiVi]


@dataclass(frozen=True)
class Measure:
    """A measure: its code, function, data layout, needed inputs and choices of variance.

    `centre` is the value of no effect, about which `flip` turns an estimate; `standardized`
    estimates are in standard deviations.
    """

    code: str
    function: MeasureFunction
    layout: str
    needs: tuple[str, ...]
    vtypes: tuple[str, ...]
    add: float
    centre: float
    standardized: bool

    @property
    def description(self) -> str:
        """First line of the function's docstring."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


MEASURES: dict[str, Measure] = {}


def measure(
    *codes: str,
    layout: str,
    needs: str,
    vtypes: str = "LS",
    add: float = 0.5,
    centre: float = 0.0,
    standardized: bool = False,
) -> Callable[[MeasureFunction], MeasureFunction]:
    """Register a function under its codes.

    Parameters
    ----------
    *codes : str
        Measure codes.
    layout : str
        Data layout (see `mvmeta.effects.layouts`) the inputs come in.
    needs : str
        Inputs the formula uses after the layout has completed them, separated by blanks.
    vtypes : str
        Kinds of sampling variance on offer, separated by blanks; the first is the default.
    add : float
        Default amount for zero cells, where the layout has cells.
    centre : float
        Value of no effect.
    standardized : bool
        Whether the estimates are in standard deviations.
    """

    def register(function: MeasureFunction) -> MeasureFunction:
        for code in codes:
            MEASURES[code] = Measure(
                code,
                function,
                layout,
                tuple(needs.split()),
                tuple(vtypes.split()),
                add,
                centre,
                standardized,
            )
        return function

    return register


def find_measure(code: str) -> Measure:
    """Look a measure up by its code, in upper or lower case.

    Raises
    ------
    SpecificationError
        If there is no such measure; the message lists those that exist.
    """
    found = MEASURES.get(str(code).upper())
    if found is None:
        raise SpecificationError(
            f"there is no measure {code!r}; the measures are {', '.join(sorted(MEASURES))}"
        )
    return found
