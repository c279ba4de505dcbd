"""Likelihood limits of all that `heterogeneity` reports, each found once."""

import numpy as np

from mvmeta.inference.region import LikelihoodRegion, Limits
from mvmeta.inference.variances import AddedVariances, Kind

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
    count = quantities.n_terms
    terms = range(count) if count > 1 else []

    def each(kind: Kind) -> list[Limits]:
        return [region.limits(quantities.quantity(kind, t)) for t in terms]

    total = region.limits(quantities.quantity("variance", None))
    total_i2 = Limits(quantities.i2(total.lower), quantities.i2(total.upper))
    if not np.isfinite(quantities.typical):
        total_i2, i2 = UNKNOWN, [UNKNOWN for _ in terms]
    else:
        i2 = each("i2")
    alone = count == 1
    return {
        "variance": [*([total] if alone else each("variance")), total],
        "i2": [*([total_i2] if alone else i2), total_i2],
        "share": [*([WHOLE] if alone else _shares(region, quantities, count)), WHOLE],
    }


def _shares(region: LikelihoodRegion, quantities: AddedVariances, count: int) -> list[Limits]:
    found = [
        region.limits(quantities.quantity("share", t)) for t in range(1 if count == 2 else count)
    ]
    if count == 2:
        found.append(Limits(1.0 - found[0].upper, 1.0 - found[0].lower))
    return found
