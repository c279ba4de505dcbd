"""What a plot is of: the results of a fit, not a model that is yet to be fitted, nor a table."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

from mvmeta.errors import SpecificationError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")

OF_A_FIT = "component_labels"
"""What results of one fit have, and neither a model, a table nor results of statsmodels have."""


def of_results(*others: str) -> Callable[[Callable[P, Figure]], Callable[P, Figure]]:
    """Decorate a plot so that it says what it draws where it is given something else.

    Parameters
    ----------
    *others : str
        Names of the classes that it draws besides results.
    """

    def decorate(plot: Callable[P, Figure]) -> Callable[P, Figure]:
        @wraps(plot)
        def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
            if args or "res" in kwargs:  # Python itself tells who gave neither
                _check(args[0] if args else kwargs["res"], plot.__name__, others)
            return plot(*args, **kwargs)

        return drawn

    return decorate


def _check(subject: Any, name: str, others: tuple[str, ...]) -> None:
    kind = type(subject).__name__
    if hasattr(subject, "get_results"):
        raise SpecificationError(
            f"plots.{name} draws one outcome, and this {kind} has many: "
            f"plots.{name}(many.get_results(outcome))"
        )
    if kind in others or hasattr(subject, OF_A_FIT):
        return
    if callable(getattr(subject, "fit", None)):
        raise SpecificationError(
            f"plots.{name} draws the results of a fit, and this {kind} has not been fitted: "
            f"res = model.fit(), then plots.{name}(res)"
        )
    also = "".join(f" or a {other}" for other in others)
    raise SpecificationError(
        f"plots.{name} draws the results of a fit{also}, as MetaMixedLM.from_formula(...).fit() "
        f"returns them, and got {kind}"
    )
