"""The measures by code: each registers its function with the data it needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mvmeta.columns import did_you_mean
from mvmeta.effects.values import Values, YiVi
from mvmeta.errors import SpecificationError

MeasureFunction = Callable[[Values], YiVi]


@dataclass(frozen=True)
class Measure:
    """A measure: its code, function, data layout, needed inputs and choices of variance.

    `no_effect` is the estimate where there is no effect, None where there is no such value, as for
    a proportion; `standardized` estimates are in standard deviations.  `back` names the function of
    `mvmeta.transf` (or "exp") that leads from a transformed scale to `natural`.
    """

    code: str
    function: MeasureFunction
    layout: str
    needs: tuple[str, ...]
    vtypes: tuple[str, ...]
    add: float
    no_effect: float | None
    standardized: bool
    back: str
    natural: str

    @property
    def label(self) -> str:
        """Name of the estimates, as on an axis: the description up to the first restriction."""
        return re.split(r"[,;(]", self.description.removesuffix("."))[0].strip()

    @property
    def centre(self) -> float:
        """The value about which `flip` turns an estimate."""
        return 0.0 if self.no_effect is None else self.no_effect

    def scale(self, column: str) -> dict[str, Any]:
        """What a plot needs to name the scale of a column of estimates, and to leave it."""
        natural = self.natural
        if self.back == "exp" and not natural:
            natural = re.sub(r"\blog ", "", self.label, count=1, flags=re.IGNORECASE).capitalize()
        return {
            "column": column,
            "label": self.label,
            "back": self.back,
            "natural": natural,
            "no_effect": self.no_effect,
        }

    @property
    def description(self) -> str:
        """First line of the function's docstring."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


MEASURES: dict[str, Measure] = {}


def measure(  # noqa: PLR0913
    *codes: str,
    layout: str,
    needs: str,
    vtypes: str = "LS",
    add: float = 0.5,
    no_effect: float | None = 0.0,
    standardized: bool = False,
    back: str = "",
    natural: str = "",
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
    no_effect : float or None
        Value where there is no effect; None for measures of one group without such a value.
    standardized : bool
        Whether the estimates are in standard deviations.
    back : str
        Function that undoes the transformation of the measure: "exp", or a name in `mvmeta.transf`.
    natural : str
        What that gives; after "exp" the name without "log" unless said.
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
                no_effect,
                standardized,
                back,
                natural,
            )
        return function

    return register


OTHER_NAMES = {
    "SMD": "D G HEDGES COHEN STD SDM",
    "ROM": "LRR LNRR LNR RATIO",
    "OR": "LOR LNOR ODDS ODDSRATIO",
    "RR": "LNRISK RISKRATIO",
    "COR": "R CORRELATION",
    "ZCOR": "Z FISHERZ",
    "VR": "LNVR",
    "CVR": "LNCVR",
    "PR": "PROP PROPORTION",
    "PLO": "LOGIT",
    "MD": "WMD MEANDIFF",
}
"""What measures are called elsewhere, by their codes."""


def _shown(code: object) -> str:
    """The code that is none, and the measure that may be meant."""
    if not isinstance(code, str):
        return f"of type {type(code).__name__};"
    plain = "".join(filter(str.isalnum, code.upper()))
    meant = [own for own, others in OTHER_NAMES.items() if plain in others.split()]
    hint = f"; did you mean {meant[0]!r}?" if meant else did_you_mean(code, MEASURES) or ";"
    return f"{code!r}{hint}"


def find_measure(code: object) -> Measure:
    """Look a measure up by its code, in upper or lower case.

    Raises
    ------
    SpecificationError
        If there is no such measure; the message lists those that exist.
    """
    found = MEASURES.get(code.upper()) if isinstance(code, str) else None
    if found is None:
        raise SpecificationError(
            f"there is no measure {_shown(code)} the measures are {', '.join(sorted(MEASURES))}"
        )
    return found
