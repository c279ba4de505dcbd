"""Public meta-analytic data sets, with their provenance."""

from mvmeta.datasets.loader import (
    correlation,
    covariance_blocks,
    describe,
    distance,
    load,
    names,
)

__all__ = ["correlation", "covariance_blocks", "describe", "distance", "load", "names"]
