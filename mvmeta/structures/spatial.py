"""Correlations of sites by their distance: SPEXP, SPGAU, SPLIN, SPRAT, SPSPH, MATERN."""

from collections.abc import Sequence

from mvmeta._typing import Floats
from mvmeta.structures.base import CovarianceStructure, register
from mvmeta.structures.checks import distance_matrix
from mvmeta.structures.decay import (
    ExponentialProfile,
    LinearProfile,
    Profile,
    RangeCorrelation,
    RationalProfile,
    SphericalProfile,
)
from mvmeta.structures.matern import MaternProfile
from mvmeta.structures.scaled import ScaledCorrelation, StraightRange


class Spatial(ScaledCorrelation):
    """``G_ij = tau2 f(d_ij / rho)`` with a range rho >= 0 in the unit of the distances.

    Parameters
    ----------
    labels : sequence of str
        Inner levels (sites); their number is q.
    distance : ndarray, shape (q, q)
        Distances, rows and columns in the order of `labels`.
    profile : Profile
        f.
    quantiles : tuple of float
        Start values of rho, see `RangeCorrelation`.

    Raises
    ------
    SpecificationError
        If `distance` is no distance matrix of these levels; the message names the pair.
    """

    def __init__(
        self,
        labels: Sequence[str],
        distance: Floats,
        profile: Profile,
        quantiles: tuple[float, ...] = (0.25, 0.02, 0.1, 2.0),
    ) -> None:
        self.distance = distance_matrix(distance, labels)
        super().__init__(labels, RangeCorrelation(self.distance, profile, quantiles))

    @property
    def may_be_indefinite(self) -> bool:
        """As f is a correlation function of some distances only."""
        return True

    def straightened(self, theta: Floats) -> CovarianceStructure:
        del theta  # a ridge of variance and range is straight everywhere
        return StraightRange(self.labels, self.correlation)


@register("SPEXP")
class SpatialExponential(Spatial):
    """``G_ij = tau2 exp(-d_ij / rho)``; see `Spatial` for the parameters."""

    def __init__(self, labels: Sequence[str], distance: Floats) -> None:
        super().__init__(labels, distance, ExponentialProfile())


@register("SPGAU")
class SpatialGaussian(Spatial):
    """``G_ij = tau2 exp(-(d_ij / rho)^2)``; see `Spatial` for the parameters."""

    def __init__(self, labels: Sequence[str], distance: Floats) -> None:
        super().__init__(labels, distance, ExponentialProfile(2.0))


@register("SPLIN")
class SpatialLinear(Spatial):
    """``G_ij = tau2 (1 - d_ij / rho)`` for d_ij < rho, else 0.

    A correlation function on the line only; elsewhere G may be indefinite, which is legal as
    long as the marginal covariance M is positive definite.  The likelihood has a kink wherever
    rho equals a distance and often several maxima between them, hence the many starts.
    """

    def __init__(self, labels: Sequence[str], distance: Floats) -> None:
        super().__init__(labels, distance, LinearProfile(), (0.25, 0.05, 0.5, 0.75, 2.0))


@register("SPRAT")
class SpatialRational(Spatial):
    """``G_ij = tau2 / (1 + (d_ij / rho)^2)``; see `Spatial` for the parameters."""

    def __init__(self, labels: Sequence[str], distance: Floats) -> None:
        super().__init__(labels, distance, RationalProfile())


@register("SPSPH")
class SpatialSpherical(Spatial):
    """``G_ij = tau2 (1 - 1.5 d_ij/rho + 0.5 (d_ij/rho)^3)`` for d_ij < rho, else 0.

    A correlation function in up to three dimensions; see `SpatialLinear` for what that means
    elsewhere.
    """

    def __init__(self, labels: Sequence[str], distance: Floats) -> None:
        super().__init__(labels, distance, SphericalProfile(), (0.25, 0.05, 0.5, 0.75, 2.0))


@register("MATERN")
class Matern(Spatial):
    """Matern correlations of given smoothness; see `MaternProfile`.

    Parameters
    ----------
    labels : sequence of str
        Inner levels (sites); their number is q.
    distance : ndarray, shape (q, q)
        Distances, rows and columns in the order of `labels`.
    smoothness : float
        nu > 0; 0.5 is SPEXP.
    """

    def __init__(self, labels: Sequence[str], distance: Floats, smoothness: float = 1.5) -> None:
        super().__init__(labels, distance, MaternProfile(smoothness))
