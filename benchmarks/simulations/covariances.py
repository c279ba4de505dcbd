"""G(theta) of every structure and two parametrisations of it, independent of the package.

Nothing here uses mvmeta.  All functions are complex-safe, so that derivatives come from the
complex step: dG/du_j = Im G(u + ih e_j) / h is exact to rounding for h = 1e-30.
"""

from dataclasses import dataclass
from math import gamma

import numpy as np
from scipy.special import kv

STEP = 1e-30
LARGEST = 1e7
"""Largest variance tried, relative to the residual variance: beyond, the log-likelihood of a
model that has no finite maximum consists of rounding errors."""
SPATIAL = ("SPEXP", "SPGAU", "SPLIN", "SPRAT", "SPSPH", "MATERN")
KNOWN = ("1", "R", "PROP", "PHYBM")
HETEROGENEOUS = ("DIAG", "GDIAG", "HCS", "UN", "GEN", "HAR", "HTOEP")
PAIRS, LAGS = ("UN", "GEN"), ("TOEP", "HTOEP")
UNCORRELATED = ("ID", "DIAG", "GDIAG")
BOX, FREE = 0, 1
"""The parametrisations: variances and correlations within bounds; logarithms and angles."""


@dataclass(frozen=True, eq=False)
class Shape:
    """What G depends on besides theta.

    Attributes
    ----------
    code : str
        Structure; "1" a random intercept, "R" one with known correlations.
    q : int
    distance : ndarray (q, q) or None
        Spatial structures, CAR (gaps in time) and PHYOU.
    corr : ndarray (q, q) or None
        "R", PROP and PHY*.
    smoothness : float
        MATERN.
    """

    code: str
    q: int
    distance: np.ndarray | None = None
    corr: np.ndarray | None = None
    smoothness: float = 1.5

    @property
    def n_scales(self) -> int:
        """Leading components that are variances (FA1: loadings and variances)."""
        return 2 * self.q if self.code == "FA1" else self.q if self.code in HETEROGENEOUS else 1

    @property
    def n_shapes(self) -> int:
        """Components that are correlations, ranges or rates."""
        if self.code in (*KNOWN, *UNCORRELATED, "FA1"):
            return 0
        if self.code in PAIRS:
            return self.q * (self.q - 1) // 2
        return self.q - 1 if self.code in LAGS else 1

    @property
    def size(self) -> int:
        """Number of components."""
        return self.n_scales + self.n_shapes

    @property
    def median(self) -> float:
        """Median positive distance, the unit of ranges."""
        positive = self.distance[self.distance > 0]
        return float(np.median(positive)) if positive.size else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """Range of a bounded correlation."""
        if self.code in ("CS", "HCS"):
            return (-1.0 / (self.q - 1) if self.q > 1 else -1.0), 1.0
        return (0.0, 1.0) if self.code == "PHYPL" else (-1.0, 1.0)


def matrix(shape: Shape, theta: np.ndarray) -> np.ndarray:
    """G (q, q) at natural components, in the order in which mvmeta reports them."""
    if shape.code == "FA1":
        loading, psi = theta[: shape.q], theta[shape.q :]
        return np.outer(loading, loading) + np.diag(psi)
    r = correlation(shape, theta[shape.n_scales :])
    if shape.code not in HETEROGENEOUS:
        return theta[0] * r
    sd = np.sqrt(theta[: shape.q])
    return np.outer(sd, sd) * r


def correlation(shape: Shape, rho: np.ndarray) -> np.ndarray:
    """R (q, q) at its natural parameters."""
    code, q = shape.code, shape.q
    if code in UNCORRELATED or code == "1":
        return np.eye(q)
    if code in KNOWN:
        return shape.corr
    if code in PAIRS:
        return _pairs(q, rho)
    if code in ("CS", "HCS"):
        return rho[0] * np.ones((q, q)) + (1 - rho[0]) * np.eye(q)
    if code in ("AR", "HAR", *LAGS):
        lags = np.concatenate([[1.0], np.cumprod(np.repeat(rho[:1], q - 1))])
        lags = np.concatenate([[1.0], rho]) if code in LAGS else lags
        i = np.arange(q)
        return lags[np.abs(i[:, None] - i)]
    return _by_distance(shape, rho[0])


def _pairs(q: int, rho: np.ndarray) -> np.ndarray:
    out = np.eye(q, dtype=rho.dtype)
    column, row = np.triu_indices(q, 1)
    out[row, column] = out[column, row] = rho
    return out


def _by_distance(shape: Shape, rho: complex) -> np.ndarray:
    d = shape.distance
    if shape.code == "CAR":
        return np.where(d == 0, 1.0, rho ** np.where(d == 0, 1.0, d))
    if shape.code == "PHYPL":
        own = np.diag(np.diag(shape.corr))
        return own + rho * (shape.corr - own)
    if shape.code == "PHYOU":
        return np.where(d == 0, 1.0, np.exp(-np.where(d == 0, 1.0, d) * rho))
    s = d / (rho if abs(rho) > 1e-200 else 1e-200)
    return _DECAY[shape.code](s) if shape.code != "MATERN" else _matern(s, shape.smoothness)


def _spherical(s: np.ndarray) -> np.ndarray:
    return np.where(s.real < 1, (1 - s) ** 2 * (1 + s / 2), 0.0)


_DECAY = {
    "SPEXP": lambda s: np.exp(-s),
    "SPGAU": lambda s: np.exp(-(np.where(s.real < 1e3, s, 1e3) ** 2)),
    "SPLIN": lambda s: np.where(s.real < 1, 1 - s, 0.0),
    "SPRAT": lambda s: 1 / (1 + np.where(s.real < 1e100, s, 1e100) ** 2),
    "SPSPH": _spherical,
}


def _matern(s: np.ndarray, nu: float) -> np.ndarray:
    s = np.sqrt(2 * nu) * s
    t = np.clip(s.real, 1e-12, 600.0)
    constant = 2 ** (1 - nu) / gamma(nu)
    value = np.where(s.real < 1e-12, 1.0, constant * t**nu * kv(nu, t))
    if not np.iscomplexobj(s):
        return value
    return value - 1j * s.imag * constant * t**nu * kv(abs(nu - 1), t)


# --- parametrisations ------------------------------------------------------------------------


def natural(shape: Shape, u: np.ndarray, kind: int, scale: float) -> np.ndarray:
    """Natural components of parameters `u`; `scale` is the unit of variances."""
    n = shape.n_scales
    return np.concatenate([_scales(shape, u[:n], kind, scale), _shapes(shape, u[n:], kind)])


def _scales(shape: Shape, u: np.ndarray, kind: int, scale: float) -> np.ndarray:
    if shape.code == "FA1":
        q = shape.q
        psi = np.exp(u[q:]) if kind == FREE else u[q:]
        return np.concatenate([np.sqrt(scale) * u[:q], scale * psi])
    if kind == FREE:
        return scale * np.exp(u)
    return scale * (u**2 if shape.code in HETEROGENEOUS else u)


def _shapes(shape: Shape, u: np.ndarray, kind: int) -> np.ndarray:
    if not len(u):
        return u
    code = shape.code
    if code in PAIRS:
        return _from_partial(shape.q, u, kind)
    if code in LAGS:
        return _from_partial_lags(np.sin(u) if kind == FREE else u)
    if code == "CAR":
        return np.exp(-np.exp(u) / shape.median) if kind == FREE else u ** (1 / shape.median)
    if code in SPATIAL or code == "PHYOU":
        ranges = shape.median * (np.exp(u) if kind == FREE else u / (1 - u))
        return 1 / ranges if code == "PHYOU" else ranges
    low, high = shape.interval
    return low + (high - low) * (1 + np.sin(u)) / 2 if kind == FREE else u


def _from_partial(q: int, u: np.ndarray, kind: int) -> np.ndarray:
    """Correlations from angles (BOX: the angles are free) or atanh of partial correlations."""
    factor = np.zeros((q, q), dtype=u.dtype)
    cosine = np.tanh(u) if kind == FREE else np.cos(u)
    sine = 1 / np.cosh(u) if kind == FREE else np.sin(u)
    factor[0, 0], at = 1.0, 0
    for i in range(1, q):
        rest = np.ones((), dtype=u.dtype)
        for j in range(i):
            factor[i, j] = rest * cosine[at]
            rest, at = rest * sine[at], at + 1
        factor[i, i] = rest
    column, row = np.triu_indices(q, 1)
    return (factor @ factor.T)[row, column]


def _from_partial_lags(partial: np.ndarray) -> np.ndarray:
    rho = np.ones(1, dtype=partial.dtype)
    phi = np.empty(0, dtype=partial.dtype)
    variance = 1.0
    for a in partial:
        rho = np.append(rho, phi @ rho[:0:-1] + a * variance)
        phi = np.append(phi - a * phi[::-1], a)
        variance = variance * (1 - a) * (1 + a)
    return rho[1:]


def bounds(shape: Shape, kind: int) -> list[tuple[float, float]]:
    """Bounds of the parameters."""
    psi = [(-25.0, np.log(LARGEST)) if kind == FREE else (0.0, _largest(shape))]
    if shape.code == "FA1":
        return [(-np.inf, np.inf)] * shape.q + psi * shape.q
    return psi * shape.n_scales + [_shape_bounds(shape, kind)] * shape.n_shapes


def _largest(shape: Shape) -> float:
    return np.sqrt(LARGEST) if shape.code in HETEROGENEOUS else LARGEST


def _shape_bounds(shape: Shape, kind: int) -> tuple[float, float]:
    code = shape.code
    if code in PAIRS:
        return (-18.0, 18.0) if kind == FREE else (-np.inf, np.inf)
    if code == "CAR":
        return (-18.0, 5.0) if kind == FREE else (1e-9, 1.0)
    if code in SPATIAL or code == "PHYOU":
        return (-7.0, 20.0) if kind == FREE else (1e-5, 1 - 1e-9)
    if kind == FREE:
        return (-np.inf, np.inf)
    return (-1.0, 1.0) if code in LAGS else shape.interval


def random_start(shape: Shape, kind: int, rng: np.random.Generator) -> np.ndarray:
    """Parameters drawn wide: variances over four orders of magnitude, shapes over their range."""
    n, m = shape.n_scales, shape.n_shapes
    scales = rng.normal(-1.0, 2.0, n)
    if shape.code == "FA1":
        loading, psi = rng.normal(size=shape.q), scales[shape.q :]
        scales = np.concatenate([loading, psi if kind == FREE else np.exp(psi)])
    elif kind == BOX:
        scales = np.exp(scales / 2 if shape.code in HETEROGENEOUS else scales)
    return np.concatenate([scales, _random_shapes(shape, kind, rng, m)])


def _random_shapes(shape: Shape, kind: int, rng: np.random.Generator, m: int) -> np.ndarray:
    if kind == FREE:
        return rng.normal(0.0, 1.2, m)
    if shape.code in PAIRS:
        return rng.uniform(0.05, np.pi - 0.05, m)
    low, high = _shape_bounds(shape, kind) if m else (0.0, 1.0)
    return low + (high - low) * rng.uniform(0.02, 0.98, m)


def derivatives(shape: Shape, u: np.ndarray, kind: int, scale: float) -> np.ndarray:
    """dG/du, shape (J, q, q), by the complex step."""
    out = np.empty((len(u), shape.q, shape.q))
    for j in range(len(u)):
        moved = u.astype(complex)
        moved[j] += 1j * STEP
        out[j] = np.imag(matrix(shape, natural(shape, moved, kind, scale))) / STEP
    return out
