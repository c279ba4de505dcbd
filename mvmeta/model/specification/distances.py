"""Distances between points, for spatial structures."""

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from mvmeta._typing import Floats
from mvmeta.errors import DataError

EQUATOR_KM = 6378.137
"""Equatorial radius of the WGS84 ellipsoid."""

FLATTENING = 1 / 298.257223563
"""Flattening of the WGS84 ellipsoid."""


def euclidean(points: Floats, others: Floats | None = None) -> Floats:
    """Straight-line distances (q, r) of points (q, d) from others (r, d), or from each other."""
    return np.asarray(np.sqrt((_differences(points, others) ** 2).sum(axis=2)))


def manhattan(points: Floats, others: Floats | None = None) -> Floats:
    """Sums of coordinate differences (q, r); see `euclidean`."""
    return np.asarray(_differences(points, others).sum(axis=2))


def maximum(points: Floats, others: Floats | None = None) -> Floats:
    """Largest coordinate differences (q, r); see `euclidean`."""
    return np.asarray(_differences(points, others).max(axis=2))


def great_circle(points: Floats, others: Floats | None = None) -> Floats:
    """Distances in km along the WGS84 ellipsoid.

    Andoyer's formula as given by Meeus (1998), Astronomical Algorithms, 2nd ed., ch. 11; its
    error is of the order of the squared flattening (about 50 m halfway around the Earth).

    Parameters
    ----------
    points : ndarray, shape (q, 2)
        Longitude and latitude in degrees.
    others : ndarray, shape (r, 2), optional
        Where the distances are from; `points` themselves unless given.

    Returns
    -------
    ndarray, shape (q, r)

    Raises
    ------
    DataError
        If there are not two coordinates, or a latitude lies outside [-90, 90].
    """
    if points.shape[1] != 2:
        raise DataError(
            f"distance='gcd' needs 'longitude + latitude', got {points.shape[1]} coordinates"
        )
    others = points if others is None else others
    if max(np.abs(points[:, 1]).max(), np.abs(others[:, 1]).max()) > 90:
        raise DataError(
            "distance='gcd' needs 'longitude + latitude' in degrees; a latitude is beyond 90"
        )
    longitude, latitude = np.radians(points).T
    east, north = np.radians(others).T
    f = (latitude[:, None] + north) / 2
    g = (latitude[:, None] - north) / 2
    h = (longitude[:, None] - east) / 2
    s = np.sin(g) ** 2 * np.cos(h) ** 2 + np.cos(f) ** 2 * np.sin(h) ** 2
    c = np.cos(g) ** 2 * np.cos(h) ** 2 + np.sin(f) ** 2 * np.sin(h) ** 2
    omega = np.arctan2(np.sqrt(s), np.sqrt(c))
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.sqrt(s * c) / omega
        eastward = (3 * r - 1) / (2 * c) * np.sin(f) ** 2 * np.cos(g) ** 2
        northward = (3 * r + 1) / (2 * s) * np.cos(f) ** 2 * np.sin(g) ** 2
        correction = 1 + FLATTENING * (eastward - northward)
    # Coincident and antipodal points: 0/0 in a correction that the formula does not define there.
    correction = np.where((s > 0) & (c > 0), correction, 1.0)
    return np.asarray(2 * omega * EQUATOR_KM * correction)


METRICS: MappingProxyType[str, Callable[..., Floats]] = MappingProxyType(
    {"euclidean": euclidean, "manhattan": manhattan, "maximum": maximum, "gcd": great_circle}
)
"""The names `Random(distance=)` takes."""


def _differences(points: Floats, others: Floats | None) -> Floats:
    return np.abs(points[:, None, :] - (points if others is None else others)[None, :, :])
