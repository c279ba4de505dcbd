"""Likelihood limits of all that `heterogeneity` reports, each found once."""

from collections.abc import Callable

import numpy as np

from mvmeta.inference.components.region import LikelihoodRegion, Limits
from mvmeta.inference.heterogeneity.variances import AddedVariances, Kind
from mvmeta.progress import Progress

WHOLE = Limits(1.0, 1.0)
UNKNOWN = Limits(np.nan, np.nan)


def heterogeneity_limits(
    region: LikelihoodRegion, quantities: AddedVariances
) -> dict[Kind, list[Limits]]:
    """Limits of variance, I2 and share of each of T terms, and of all together.

    Parameters
    ----------
    region : LikelihoodRegion
    quantities : AddedVariances
        Of the same problem.

    Returns
    -------
    dict
        Kind -> T + 1 limits, the last in total.

    Notes
    -----
    The I2 of all terms grows with their variance, the shares of two terms make 1, and a term that
    is alone is all there is: these limits follow from others.
    """
    with Progress("limits") as progress:
        return _all_limits(region, quantities, progress)


def _all_limits(
    region: LikelihoodRegion, quantities: AddedVariances, progress: Progress
) -> dict[Kind, list[Limits]]:
    count = quantities.n_terms
    terms = range(count) if count > 1 else []

    def limits(kind: Kind, term: int | None) -> Limits:
        found = region.limits(quantities.quantity(kind, term))
        progress.step()
        return found

    def each(kind: Kind) -> list[Limits]:
        return [limits(kind, t) for t in terms]

    total = limits("variance", None)
    total_i2 = Limits(quantities.i2(total.lower), quantities.i2(total.upper))
    if not np.isfinite(quantities.typical):
        total_i2, i2 = UNKNOWN, [UNKNOWN for _ in terms]
    else:
        i2 = each("i2")
    alone = count == 1
    return {
        "variance": [*([total] if alone else each("variance")), total],
        "i2": [*([total_i2] if alone else i2), total_i2],
        "share": [*([WHOLE] if alone else _shares(limits, count)), WHOLE],
    }


def _shares(limits: Callable[[Kind, int], Limits], count: int) -> list[Limits]:
    found = [limits("share", t) for t in range(1 if count == 2 else count)]
    if count == 2:
        found.append(Limits(1.0 - found[0].upper, 1.0 - found[0].lower))
    return found
