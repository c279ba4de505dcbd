"""The contract of a covariance structure: theta -> G(theta), its derivatives, its reporting.

A structure describes the covariance ``G`` (q, q) of the q effects that one level of a
random term carries.  It has two coordinate systems:

* **natural**: what people report and what `model.loglike(theta)` takes, one number per
  `Component`, in reporting order: variances, then correlations (lower triangle by column).
  The structure itself is this chart.
* **working**: what the optimiser moves in.  `structure.working` is a `Chart` in which the
  boundary (zero variance, singular G) is reachable by finite steps and the derivatives stay
  finite there.  Where the natural chart already has these properties the two are one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np

from mvmeta._typing import Bools, Floats
from mvmeta.errors import SpecificationError

EDGE = 1e-9
"""Distance from its bound within which a correlation counts as lying on it: the square of the
relative size (3e-5) of a pivot of the Cholesky factor that a converged fit leaves behind."""

INERT = 1e-10
"""Change of a correlation in G below which a parameter is taken to have no influence."""


@dataclass(frozen=True)
class Component:
    """One natural parameter of a structure.

    Attributes
    ----------
    kind : str
        "sigma2", "tau2" or "rho", as in the `component` column of `results.vcomp`; some
        structures have "lambda", "alpha", "loading" or "psi".
    level : str
        The inner level ("A") or pair of levels ("B~A": row level, column level) it belongs
        to; "" if it has none.
    lower, upper : float
        Closed range of the parameter; an infinite end is reached as a limit.
    power : int
        The parameter scales with this power of the unit of y: 2 for variances, 1 for
        loadings, 0 for correlations and ranges.
    """

    kind: str
    level: str = ""
    lower: float = 0.0
    upper: float = np.inf
    power: int = 2


@dataclass(frozen=True, eq=False)
class Sweep:
    """A working parameter along which the likelihood may have several maxima.

    Attributes
    ----------
    index : int
        Which working parameter of the structure.
    values : ndarray, shape (m,)
        Where to look, rising; close enough to see every hill.
    kinks : ndarray, shape (k,)
        Where G is not differentiable, rising.
    scale : int or None
        The working parameter that G is proportional to: where it is 0, the swept one is
        without effect.
    hilly : bool
        Whether ascents start on the hills along it; else it is only looked at where the scale is
        0, for a value at which it would grow.
    straight : bool
        Whether G is linear in all other parameters while the swept one is held.
    """

    index: int
    values: Floats
    kinks: Floats
    scale: int | None = None
    hilly: bool = True
    straight: bool = False


class Chart(ABC):
    """A coordinate system for G: bounds, value and closed-form derivatives."""

    lower: Floats  # (J,)
    upper: Floats  # (J,)

    @abstractmethod
    def matrix(self, x: Floats) -> Floats:
        """G at `x` (J,), shape (q, q), symmetric positive semi-definite.

        An array, or where q is large something that gives its entries: `factored.Factored`.
        """

    @abstractmethod
    def jacobian(self, x: Floats) -> Floats:
        """First derivatives dG/dx_j, shape (J, q, q), or (J,) of `Factored`."""

    def hessian(self, x: Floats) -> Floats | None:
        """Second derivatives d2G/dx_j dx_l, shape (J, J, q, q), or (J, J) of `Factored`.

        None where G is linear in x.
        """
        return None


class RestrictedChart(Chart):
    """A chart with some coordinates held.

    Parameters
    ----------
    chart : Chart
    at : ndarray, shape (J,)
        Values of all coordinates; those of the free ones do not matter.
    free : ndarray of bool, shape (J,)
        Coordinates that move.
    """

    def __init__(self, chart: Chart, at: Floats, free: Bools) -> None:
        self._chart, self._at, self._free = chart, at, free
        self.lower, self.upper = chart.lower[free], chart.upper[free]

    def fill(self, x: Floats) -> Floats:
        """All coordinates (J,) given the free ones."""
        full = self._at.copy()
        full[self._free] = x
        return full

    def matrix(self, x: Floats) -> Floats:
        return self._chart.matrix(self.fill(x))

    def jacobian(self, x: Floats) -> Floats:
        return self._chart.jacobian(self.fill(x))[self._free]

    def hessian(self, x: Floats) -> Floats | None:
        full = self._chart.hessian(self.fill(x))
        return None if full is None else full[np.ix_(self._free, self._free)]


class CovarianceStructure(Chart):
    """A named family of covariance matrices; being a `Chart` it is its own natural chart.

    Attributes
    ----------
    code : str
        The name users give as ``struct=``.
    convex : bool
        Whether with any two matrices the ones between them are of the family, too.
    can_run_off : bool
        Whether G may tend to a limit as parameters grow without end; in the chart of
        `straightened` they do so along a line.
    q : int
        Order of G.
    labels : tuple of str
        The q inner levels.
    components : tuple of Component
        The natural parameters in reporting order.
    fixed : ndarray of bool
        True for components the user or an automatic rule pinned; they are no working
        parameters.
    """

    convex: ClassVar[bool] = False
    can_run_off: ClassVar[bool] = False
    code: ClassVar[str] = ""
    q: int
    labels: tuple[str, ...]
    components: tuple[Component, ...]

    @property
    def lower(self) -> Floats:  # type: ignore[override]
        return np.array([c.lower for c in self.components])

    @property
    def upper(self) -> Floats:  # type: ignore[override]
        return np.array([c.upper for c in self.components])

    @property
    def fixed(self) -> Bools:
        return np.zeros(len(self.components), dtype=bool)

    @property
    def may_be_indefinite(self) -> bool:
        """Whether G may have a negative eigenvalue although each component is in its range."""
        return False

    @property
    def working(self) -> Chart:
        """The optimiser's chart; the natural one unless a structure needs another."""
        return self

    def to_working(self, theta: Floats) -> Floats:
        """Working parameters of natural `theta`."""
        return np.asarray(theta, dtype=float)

    def to_natural(self, x: Floats) -> Floats:
        """Natural parameters of working `x`."""
        return np.asarray(x, dtype=float)

    def units(self) -> Floats:
        """Power of the unit of y by which each *working* parameter scales, shape (J,)."""
        return np.array([float(c.power) for c in self.components])

    def sweep(self) -> Sweep | None:
        """Return the working parameter to sweep for several maxima; None without such."""
        return None

    def sweeps(self) -> list[Sweep]:
        """Return all of them, for structures in which each of several makes maxima."""
        sweep = self.sweep()
        return [] if sweep is None else [sweep]

    def separable(self) -> "CovarianceStructure":
        """Return the same natural chart with a working chart that moves one component each.

        This is what components are pinned in (`Pinned`): the j-th working parameter depends
        on the j-th component alone.  Within its bounds G may be indefinite.
        """
        return self

    def straightened(self, theta: Floats) -> "CovarianceStructure | None":
        """Return the same natural chart with a working chart in which ridges are straight.

        Parameters
        ----------
        theta : ndarray, shape (n_components,)
            Where an ascent in the working chart goes on and on by small steps.

        Returns
        -------
        CovarianceStructure or None
            None where the working chart is as good as any.
        """
        return None

    def restricted(self, values: Floats) -> "CovarianceStructure | None":
        """Return the same natural chart with a working chart of the points that have `values`.

        Preferred by `Pinned` to `separable`, for pins after which the positive semi-definite
        matrices still have a chart of their own.

        Parameters
        ----------
        values : ndarray, shape (n_components,)
            Pinned natural values, NaN where a component is free.

        Returns
        -------
        CovarianceStructure or None
            None where there is no such chart.
        """
        return None

    @abstractmethod
    def starts(self, scale: float) -> list[Floats]:
        """Working start values, the main one first; `scale` is a variance of the size of y's."""

    def like(self, g: Floats) -> list[Floats]:
        """Working start values at which G is like a rough estimate `g` (q, q) of it."""
        del g
        return []

    def root(self, theta: Floats) -> Floats:
        """Return R with R R' = G(theta), shape (q, r), for natural `theta`; G may be singular."""
        return matrix_root(self.matrix(theta))

    def on_boundary(self, theta: Floats) -> Bools:
        """Which natural components sit on an edge of the parameter space (estimates, not pins).

        On an edge are: a variance of exactly 0 (the optimiser sets what is zero to 0), a
        correlation within `EDGE` of a bound, a range or rate at 0 or infinity, and a
        correlation or range to which G does not respond: those of a level without variance
        are among them.  A matrix of reduced rank whose variances and correlations are all
        interior has no component on the boundary.

        Parameters
        ----------
        theta : ndarray, shape (n_components,)

        Returns
        -------
        ndarray of bool, shape (n_components,)
        """
        theta = np.asarray(theta, dtype=float)
        free_of_unit = np.array([c.power == 0 for c in self.components])
        bounded = free_of_unit & np.isfinite(self.upper)
        slack = np.where(bounded, EDGE, 0.0)
        edge = (theta <= self.lower + slack) | (theta >= self.upper - slack)
        if free_of_unit.any():
            edge |= free_of_unit & self._inert(theta, ~bounded)
        return edge & ~self.fixed

    def _inert(self, theta: Floats, relative: Bools) -> Bools:
        """Components whose change (of 1, or of 100 % where `relative`) leaves G as it is."""
        sd = np.sqrt(np.clip(np.diag(self.matrix(theta)), 0.0, None))
        inverse = np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 0)
        unit = np.where(relative & np.isfinite(theta), np.abs(theta), 1.0)
        response = np.abs(self.jacobian(theta) * np.outer(inverse, inverse)).max(axis=(1, 2))
        return np.asarray(response * unit <= INERT)


class ByNaturalChart(CovarianceStructure):
    """A structure whose natural chart is an object of its own, `_natural`."""

    _natural: Chart

    def matrix(self, x: Floats) -> Floats:
        return self._natural.matrix(np.asarray(x, dtype=float))

    def jacobian(self, x: Floats) -> Floats:
        return self._natural.jacobian(np.asarray(x, dtype=float))

    def hessian(self, x: Floats) -> Floats | None:
        return self._natural.hessian(np.asarray(x, dtype=float))


def several_correlations(structure: CovarianceStructure) -> bool:
    """Whether correlations depend on each other: their ranges do not say which go together."""
    return sum(c.power == 0 for c in structure.components) > 1


def matrix_root(g: Floats) -> Floats:
    """Return R (q, q) with R R' = g for a symmetric positive semi-definite g, singular or not."""
    try:
        return np.asarray(np.linalg.cholesky(g), dtype=float)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(g)
        return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None)), dtype=float)


S = TypeVar("S", bound=type[CovarianceStructure])
_REGISTRY: dict[str, type[CovarianceStructure]] = {}


def register(code: str) -> Callable[[S], S]:
    """Class decorator: make a structure available to users as ``struct=code``."""

    def add(cls: S) -> S:
        cls.code = code
        _REGISTRY[code] = cls
        return cls

    return add


def structure_codes() -> Sequence[str]:
    """Codes of all registered structures, in order of registration."""
    return tuple(_REGISTRY)


def structure_class(code: str) -> type[CovarianceStructure]:
    """Look up the class registered under `code` (case-insensitive).

    Raises
    ------
    SpecificationError
        If there is none; the message lists what exists.
    """
    try:
        return _REGISTRY[code.upper()]
    except (KeyError, AttributeError):
        raise SpecificationError(
            f"unknown covariance structure {code!r}; struct= takes one of {', '.join(_REGISTRY)}"
        ) from None
