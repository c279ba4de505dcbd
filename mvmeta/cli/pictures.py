"""Plots as they are typed: "forest.svg", or "orchard=figure2.png"."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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


@dataclass(frozen=True)
class Picture:
    """A plot that was asked for and the file it goes to."""

    kind: str
    path: str

    def draw(self, res: MetaMixedLMResults) -> None:
        """Draw it and write the file, in the format its name ends with."""
        from mvmeta import plots

        figure = getattr(plots, self.kind)(res)
        try:
            figure.savefig(self.path, bbox_inches="tight")
        except ValueError as error:
            raise DataError(f"cannot write {self.path}: {error}") from None
        finally:
            _close(figure)


def picture(text: str) -> Picture:
    """Take a plot apart."""
    kind, equals, path = text.partition("=")
    if not equals:
        kind, path = Path(text).stem, text
    if kind not in PICTURES or not Path(path).suffix:
        raise argparse.ArgumentTypeError(
            f"{text!r}: a plot is KIND=FILE, or a FILE named after its kind such as forest.svg; "
            f"kinds are {', '.join(PICTURES)}, and the file ends in .svg, .pdf or .png"
        )
    return Picture(kind, path)


def _close(figure: object) -> None:
    import matplotlib.pyplot as plt

    plt.close(figure)  # type: ignore[arg-type]
