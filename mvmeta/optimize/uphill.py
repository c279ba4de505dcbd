"""Whether the likelihood rises all the way from one point to another, judged from both ends."""

import numpy as np

from mvmeta.likelihood.objective import Evaluation

AGREEMENT = 0.5
"""Difference, relative to the largest curvature, between the curvature at an end of the way and
what values and slopes at both ends say about it, up to which the picture is complete."""
ROUNDING = 1e-9
"""Fall of the log-likelihood that is rounding."""
_T = np.linspace(0.0, 1.0, 21)
_SLOPES = _T[:, None] ** np.arange(5) * np.arange(1, 6)


def rises(here: Evaluation, there: Evaluation) -> bool:
    """Whether the log-likelihood rises along the straight line from `here` to `there`.

    The judgement is that of the polynomial of degree five with value, slope and curvature of
    both ends, where the cubic with values and slopes alone foretells the curvatures roughly:
    otherwise something happens in between that the ends do not show.  Only to be asked where
    M is linear in the parameters: there the likelihood is as simple as it gets.
    """
    d = there.x - here.x
    gain = there.loglik - here.loglik
    if gain < -ROUNDING:
        return False
    slope, end_slope = float(here.gradient @ d), float(there.gradient @ d)
    bend, end_bend = -float(d @ here.observed @ d), -float(d @ there.observed @ d)
    foretold = 6 * gain - 4 * slope - 2 * end_slope, -6 * gain + 2 * slope + 4 * end_slope
    largest = max(abs(bend), abs(end_bend), abs(foretold[0]), abs(foretold[1]))
    if max(abs(foretold[0] - bend), abs(foretold[1] - end_bend)) > AGREEMENT * largest:
        return False
    rest = gain - slope - bend / 2, end_slope - slope - bend, end_bend - bend
    higher = (
        10 * rest[0] - 4 * rest[1] + rest[2] / 2,
        -15 * rest[0] + 7 * rest[1] - rest[2],
        6 * rest[0] - 3 * rest[1] + rest[2] / 2,
    )
    return bool((_SLOPES @ np.array([slope, bend / 2, *higher])).min() >= -ROUNDING)
