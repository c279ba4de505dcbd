"""How an optimisation ended: an enum whose value is the sentence for the user."""

from enum import Enum


class Status(Enum):
    """End of a fit."""

    INTERIOR = "maximum reached: gradient zero and curvature positive in every component"
    BOUNDARY = (
        "maximum reached: components on the boundary have the likelihood falling inwards, the "
        "others a zero gradient and positive curvature"
    )
    NOTHING_TO_ESTIMATE = "no components to estimate"
    KINK = (
        "maximum reached at a kink: a range equals a distance, and the likelihood falls on both "
        "sides of it"
    )
    AT_INFINITY = (
        "no finite maximum: the likelihood tends to a limit as components grow without end (a "
        "variance with a range, the coefficients of a scale formula); stopped close to the limit"
    )
    NOT_IDENTIFIED = "maximum reached, but the likelihood is flat in some components"
    MAXIMUM_ITERATIONS = "stopped at the iteration limit before the maximum was reached"
    NO_PROGRESS = "stopped: no step increases the likelihood, yet the gradient is not zero"

    @property
    def converged(self) -> bool:
        """Whether the point is a maximum."""
        return self not in (Status.AT_INFINITY, Status.MAXIMUM_ITERATIONS, Status.NO_PROGRESS)
