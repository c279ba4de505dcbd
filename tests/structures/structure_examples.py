"""One or more instances of every registered structure, for the contract tests."""

from itertools import product

import numpy as np

from mvmeta.structures import (
    Autoregressive,
    BrownianMotion,
    CompoundSymmetry,
    ContinuousAutoregressive,
    CovarianceStructure,
    Diagonal,
    FactorAnalytic,
    HeterogeneousAutoregressive,
    HeterogeneousCompoundSymmetry,
    HeterogeneousToeplitz,
    Identity,
    Known,
    Kronecker,
    LogLinear,
    Matern,
    OrnsteinUhlenbeck,
    PagelLambda,
    Pinned,
    Proportional,
    SpatialExponential,
    SpatialGaussian,
    SpatialLinear,
    SpatialRational,
    SpatialSpherical,
    Tied,
    Toeplitz,
    Unstructured,
)
from mvmeta.structures.base import Chart

ABC, ABCD = ("A", "B", "C"), ("A", "B", "C", "D")

# ((A, B), C), D: shared branch lengths of an ultrametric tree of height 1.
TREE = np.array(
    [[1.0, 0.7, 0.3, 0.0], [0.7, 1.0, 0.3, 0.0], [0.3, 0.3, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)

# Sites in the plane, none of the distances equal.
SITES = np.array([[0.0, 0.0], [1.0, 0.2], [0.3, 1.7], [2.5, 2.1]])
PLANE = np.linalg.norm(SITES[:, None] - SITES, axis=2)

# Sites on a line, where the linear function is a correlation function.
LINE = np.abs(np.subtract.outer([0.0, 1.0, 2.5, 6.0], [0.0, 1.0, 2.5, 6.0]))

EXAMPLES: dict[str, CovarianceStructure] = {
    "ID": Identity(ABC),
    "ID-intercept": Identity(kind="sigma2"),
    "DIAG": Diagonal(ABC),
    "KNOWN": Known(TREE, ABCD),
    "PROP": Proportional(ABC, np.array([[2.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 3.0]])),
    "CS": CompoundSymmetry(ABC),
    "CS-1": CompoundSymmetry(("A",)),
    "HCS": HeterogeneousCompoundSymmetry(ABC),
    "UN": Unstructured(ABC),
    "UN-1": Unstructured(("A",)),
    "AR": Autoregressive(ABCD),
    "HAR": HeterogeneousAutoregressive(ABC),
    "CAR": ContinuousAutoregressive(ABC, times=np.array([0.0, 0.4, 1.0])),
    "CAR-whole": ContinuousAutoregressive(ABC, times=np.array([1.0, 2.0, 5.0])),
    "TOEP": Toeplitz(ABCD),
    "TOEP-1": Toeplitz(("A",)),
    "HTOEP": HeterogeneousToeplitz(ABC),
    "SPEXP": SpatialExponential(ABCD, distance=PLANE),
    "SPGAU": SpatialGaussian(ABCD, distance=PLANE),
    "SPLIN": SpatialLinear(ABCD, distance=LINE),
    "SPRAT": SpatialRational(ABCD, distance=PLANE),
    "SPSPH": SpatialSpherical(ABCD, distance=PLANE),
    "MATERN": Matern(ABCD, distance=PLANE, smoothness=1.5),
    "MATERN-rough": Matern(ABCD, distance=PLANE, smoothness=0.3),
    "MATERN-half": Matern(ABCD, distance=PLANE, smoothness=0.5),
    "MATERN-whole": Matern(ABCD, distance=PLANE, smoothness=1.0),
    "MATERN-two": Matern(ABCD, distance=PLANE, smoothness=2.0),
    "MATERN-smooth": Matern(ABCD, distance=PLANE, smoothness=2.5),
    "FA1": FactorAnalytic(ABCD),
    "SCALE": LogLinear(np.array([[0.0, 1.0], [0.5, 0.0], [2.0, 1.0]]), ("x", "z"), ABC),
    "pinned SCALE": Pinned(
        LogLinear(np.array([[1.0], [2.0], [4.0]]), ("x",), ABC), np.array([np.nan, 0.3])
    ),
    "PHYBM": BrownianMotion(ABCD, correlation=TREE),
    "PHYPL": PagelLambda(ABCD, correlation=TREE),
    "PHYOU": OrnsteinUhlenbeck(ABCD, correlation=TREE),
    "pinned CS": Pinned(CompoundSymmetry(ABC), np.array([np.nan, 0.3])),
    "pinned HCS": Pinned(HeterogeneousCompoundSymmetry(ABC), np.array([np.nan, 0, 0.5, np.nan])),
    "pinned UN": Pinned(Unstructured(ABC[:2]), np.array([np.nan, 0.5, np.nan])),
    "pinned UN one variance": Pinned(Unstructured(ABC), np.array([np.nan, 0.3] + [np.nan] * 4)),
    "pinned UN one pair": Pinned(Unstructured(ABCD), np.array([np.nan] * 8 + [-0.6, np.nan])),
    "pinned UN variance": Pinned(Unstructured(ABC), np.array([np.nan, 0, np.nan, 0, np.nan, 0])),
    "pinned UN all": Pinned(Unstructured(ABC), np.array([1.0, 2, 3, 0.1, 0.2, 0.3])),
    "pinned UN pair": Pinned(Unstructured(ABC), np.array([np.nan] * 3 + [0, np.nan, np.nan])),
    "pinned UN star": Pinned(
        Unstructured(ABCD), np.array([np.nan] * 4 + [np.nan, 0, 0, np.nan, np.nan, 0])
    ),
    "pinned TOEP": Pinned(Toeplitz(ABC), np.array([np.nan, 0.2, np.nan])),
    "pinned SPEXP": Pinned(SpatialExponential(ABCD, distance=PLANE), np.array([np.nan, 2.0])),
    "pinned FA1": Pinned(FactorAnalytic(ABC), np.array([np.nan, np.nan, -1, 0, 1, np.nan])),
    "pinned PHYPL": Pinned(PagelLambda(ABCD, correlation=TREE), np.array([0.5, np.nan])),
    "tied DIAG": Tied(Diagonal(ABC), [0, 1, 0]),
    "tied HCS": Tied(HeterogeneousCompoundSymmetry(ABC), [0, 0, 1, 2]),
    "tied HTOEP": Tied(HeterogeneousToeplitz(ABC), [0, 0, 0, 1, 2]),
    "tied UN": Tied(Unstructured(ABC[:2]), [0, 0, 1]),
    "tied FA1": Tied(FactorAnalytic(ABC), [0, 1, 2, 3, 3, 3]),
    "pinned tied HCS": Pinned(
        Tied(HeterogeneousCompoundSymmetry(ABC), [0, 0, 1, 2]), np.array([np.nan, np.nan, 0.3])
    ),
    "TREE x UN": Kronecker(TREE, ABCD, Unstructured(ABC[:2])),
    "TREE x DIAG": Kronecker(TREE, ABCD, Diagonal(("a", "b"))),
    "TREE x tied HCS": Kronecker(
        TREE, ABCD, Tied(HeterogeneousCompoundSymmetry(ABC), [0, 1, 0, 2])
    ),
}


def inside(chart: Chart, rng: np.random.Generator) -> np.ndarray:
    """A random point well within the bounds of `chart`."""
    lower = np.where(np.isfinite(chart.lower), chart.lower, -2.0)
    upper = np.where(np.isfinite(chart.upper), chart.upper, 2.0)
    return lower + (upper - lower) * rng.uniform(0.1, 0.9, len(lower))


def corners(chart: Chart) -> list[np.ndarray]:
    """All combinations of bounds; 0 and 1 stand in where there is no finite one."""
    lower = np.where(np.isfinite(chart.lower), chart.lower, 0.0)
    upper = np.where(np.isfinite(chart.upper), chart.upper, 1.0)
    return [np.array(x, dtype=float) for x in product(*zip(lower, upper, strict=True))]
