"""Plots as they are typed: "forest.svg", or "orchard=figure2.png"."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvmeta.columns import did_you_mean
from mvmeta.errors import DataError

if TYPE_CHECKING:
    from mvmeta.model.results.results import MetaMixedLMResults

PICTURES = (
    "bubble",
    "caterpillar",
    "evidence",
    "forest",
    "funnel",
    "heterogeneity",
    "history",
    "influence",
    "network",
    "orchard",
    "profile",
    "sensitivity",
)
"""Those of `mvmeta.plots`, which a test compares; importing it takes longer than `--help` may."""


OF_SOMETHING = (
    "bubble",
    "caterpillar",
    "evidence",
    "influence",
    "network",
    "orchard",
    "profile",
    "sensitivity",
)
"""Those that can be told of what: a moderator, a term, a contrast, a coefficient, a component."""


@dataclass(frozen=True)
class Picture:
    """A plot that was asked for, of what, and the file it goes to."""

    kind: str
    path: str
    of: str | None = None

    def check(self) -> None:
        """See that matplotlib is installed and writes the format that the name ends with.

        Raises
        ------
        MvmetaError
            Where it does not.
        """
        from mvmeta.plots._axes import pyplot

        pyplot()
        from matplotlib.backend_bases import FigureCanvasBase

        formats = sorted(FigureCanvasBase.get_supported_filetypes())
        given = Path(self.path).suffix[1:].lower()
        if given not in formats:
            hint = did_you_mean(given, formats, 1) or ";"
            raise DataError(
                f"cannot write {self.path}: plots are not written as {given!r}{hint} the formats "
                f"are {', '.join(formats)}"
            )

    def draw(self, res: MetaMixedLMResults, alpha: float, transform: Any) -> None:
        """Draw it and write the file, in the format its name ends with."""
        from mvmeta import plots

        function = getattr(plots, self.kind)
        given = {"alpha": alpha, "transform": transform}
        options = {k: v for k, v in given.items() if k in signature(function).parameters}
        figure = function(res, *([] if self.of is None else [self.of]), **options)
        try:
            figure.savefig(self.path, bbox_inches="tight")
        except ValueError as error:
            raise DataError(f"cannot write {self.path}: {error}") from None
        finally:
            _close(figure)


def picture(text: str) -> Picture:
    """Take a plot apart."""
    head, equals, path = text.rpartition("=")
    kind, colon, of = (head if equals else Path(path).stem).partition(":")
    known = OF_SOMETHING if colon else PICTURES
    if kind not in known or not Path(path).suffix or (colon and not of):
        raise argparse.ArgumentTypeError(
            f"{text!r}: a plot is KIND=FILE, KIND:NAME=FILE, or a FILE named after its kind such "
            f"as forest.svg; kinds are {', '.join(PICTURES)}, a NAME is that of the moderator, "
            "term, coefficient or component, and the file ends in .svg, .pdf or .png"
        )
    return Picture(kind, path, of or None)


def _close(figure: object) -> None:
    import matplotlib.pyplot as plt

    plt.close(figure)  # type: ignore[arg-type]
