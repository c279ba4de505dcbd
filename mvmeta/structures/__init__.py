"""Covariance structures; importing a module here registers what it defines."""

from mvmeta.structures.autoregressive import (
    Autoregressive,
    ContinuousAutoregressive,
    HeterogeneousAutoregressive,
)
from mvmeta.structures.base import (
    Chart,
    Component,
    CovarianceStructure,
    structure_class,
    structure_codes,
)
from mvmeta.structures.compound import (
    CompoundSymmetry,
    HeterogeneousCompoundSymmetry,
)
from mvmeta.structures.factor_analytic import FactorAnalytic
from mvmeta.structures.identity import Diagonal, Identity
from mvmeta.structures.known import BrownianMotion, Known, Proportional
from mvmeta.structures.kronecker import Kronecker
from mvmeta.structures.log_linear import LogLinear
from mvmeta.structures.phylogenetic import OrnsteinUhlenbeck, PagelLambda
from mvmeta.structures.pinned import Pinned
from mvmeta.structures.spatial import (
    Matern,
    SpatialExponential,
    SpatialGaussian,
    SpatialLinear,
    SpatialRational,
    SpatialSpherical,
)
from mvmeta.structures.tied import Tied
from mvmeta.structures.toeplitz import HeterogeneousToeplitz, Toeplitz
from mvmeta.structures.unstructured import Unstructured

__all__ = [
    "Autoregressive",
    "BrownianMotion",
    "Chart",
    "Component",
    "CompoundSymmetry",
    "ContinuousAutoregressive",
    "CovarianceStructure",
    "Diagonal",
    "FactorAnalytic",
    "HeterogeneousAutoregressive",
    "HeterogeneousCompoundSymmetry",
    "HeterogeneousToeplitz",
    "Identity",
    "Known",
    "Kronecker",
    "LogLinear",
    "Matern",
    "OrnsteinUhlenbeck",
    "PagelLambda",
    "Pinned",
    "Proportional",
    "SpatialExponential",
    "SpatialGaussian",
    "SpatialLinear",
    "SpatialRational",
    "SpatialSpherical",
    "Tied",
    "Toeplitz",
    "Unstructured",
    "structure_class",
    "structure_codes",
]
