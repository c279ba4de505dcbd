"""Multilevel and multivariate meta-analysis with formulas, in the manner of statsmodels."""

from mvmeta import datasets
from mvmeta._version import __version__
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.errors import (
    ConvergenceError,
    CovarianceError,
    DataError,
    MvmetaError,
    MvmetaWarning,
    SpecificationError,
)
from mvmeta.model.mixed import MetaMixedLM
from mvmeta.model.random import Random
from mvmeta.model.results import MetaMixedLMResults

__all__ = [
    "ConvergenceError",
    "CovarianceError",
    "DataError",
    "MetaMixedLM",
    "MetaMixedLMResults",
    "MvmetaError",
    "MvmetaWarning",
    "Random",
    "SamplingCovariance",
    "SpecificationError",
    "__version__",
    "datasets",
]
