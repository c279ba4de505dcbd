"""Safeguarded Newton ascent in a box: from one start to one local maximum.

Steps maximise a quadratic model within the bounds, so that exact zeros are reached and left
again by the sign of the gradient.  The model is the observed information where that is
positive definite and not far from the expected information, which is safe from anywhere,
else the expected information, in both cases with the term that the nonlinearity of M adds
(without it the ascent stalls at singular covariance matrices).  Near the maximum, and
where that term makes even the latter indefinite, as it does near saddles, the eigenvalues of
the observed information are taken by their size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy.linalg import lapack

from mvmeta._typing import Bools, Floats
from mvmeta.likelihood.objective import Evaluation
from mvmeta.marginal.base import NotPositiveDefiniteError
from mvmeta.optimize.boxqp import box_step
from mvmeta.optimize.uphill import rises

DECREMENT = 1e-10
"""Newton decrement g'inv(I)g over the free parameters below which a point is a maximum."""
POLISH = 1e-16
"""Decrement at which even one more Newton step is pointless: it would move estimates by 1e-8
standard errors."""
POLISHED = 1 / 4
"""Share of the decrement below which a step that leaves the likelihood as it is was worth it."""
NOISE = 1e-9
"""Rounding of the likelihood, relative, where variances differ by a factor of a million."""
ROUGH = 1e-4
"""Rounding of the likelihood where M is almost singular: a matrix of relatedness 1e5 times V."""
TRUST_OBSERVED = (1 / 3, 3.0)
"""Eigenvalues of the observed relative to the expected information between which it is used."""
NEAR = 10.0
"""Decrement below which the expected information gives way to the observed one, its
eigenvalues by size: it is only linearly convergent, and slow at singular G."""
CERTAIN, SAME = 1e-3, 1e-6
"""Decrement below which the quadratic model is believed, and how close heights of one
maximum are."""
CURVATURE_FLOOR = 1e-7
"""Smallest curvature of the model, relative to its largest, after scaling."""
FIRST_DAMPING, MOST_DAMPING = 0.1, 1e12
INERT = 1e-10
"""Information about the relative size of a parameter below which it has no influence."""
FLAT, SADDLE = 1e-10, 1e-7
"""Eigenvalues, relative to the largest: flat below the first, a saddle below minus the second."""
PART = 1e-3
"""Entry of a unit null vector from which on a parameter takes part in it."""
LEVEL = 1e-12
"""Slope, in roots of the curvature, that counts as none."""
ESCAPE_SIZES, ESCAPE_GAIN = (1.0, 0.1, 0.01), 1e-9
"""Steps tried, in natural units, to leave a saddle, and the least gain that counts."""
SUFFICIENT = 1e-4
"""Share of the predicted gain a step must bring (Armijo)."""


@dataclass(frozen=True)
class Box:
    """Bounds and units of the working parameters.

    Attributes
    ----------
    lower, upper : ndarray, shape (J,)
    unit : ndarray, shape (J,)
        Natural size of each parameter; the driver works in multiples of it.
    """

    lower: Floats
    upper: Floats
    unit: Floats

    @cached_property
    def square(self) -> Floats:
        """Products of units, those of second derivatives, shape (J, J)."""
        return self.unit[:, None] * self.unit

    def inside(self, x: Floats) -> Floats:
        """The point of the box nearest to `x` (J,)."""
        return np.minimum(np.maximum(x, self.lower), self.upper)


@dataclass(frozen=True)
class Iteration:
    """One row of the history: evaluations so far, log-likelihood, decrement, damping, x."""

    evaluations: int
    loglik: float
    decrement: float
    damping: float
    x: Floats


@dataclass(frozen=True, eq=False)
class Ascent:
    """Where one ascent ended.

    Attributes
    ----------
    at : Evaluation
    local : Local
        The quadratic model there.
    done : bool
        The decrement is below the tolerance.
    stalled : bool
        No step increased the likelihood any more.
    history : list of Iteration
    known : bool
        It was about to end at a maximum that was known before, and was cut short.
    endless : bool
        It ended on its way to infinity, close to the limit of the likelihood.
    kink : bool
        It ended at a kink, from which the likelihood falls on both sides.
    """

    at: Evaluation
    local: "Local"
    done: bool
    stalled: bool
    history: list[Iteration] = field(default_factory=list)
    known: bool = False
    endless: bool = False
    kink: bool = False

    @property
    def ended(self) -> bool:
        """Whether there is no reason to go on."""
        return self.done or self.stalled or self.known


def joined(first: Ascent, then: Ascent) -> Ascent:
    """`then` with the history of `first` before its own."""
    used = first.history[-1].evaluations
    later = [replace(row, evaluations=used + row.evaluations) for row in then.history]
    return replace(then, history=[*first.history, *later])


def ascend(  # noqa: PLR0913  (what stops an ascent is six of the eight)
    evaluate: Callable[[Floats], Evaluation],
    start: Floats,
    box: Box,
    *,
    maxiter: int,
    tol: float = DECREMENT,
    report: Callable[[Iteration], None] | None = None,
    known: Sequence[Evaluation] = (),
    polish: bool = True,
    enough: Callable[[Sequence[Iteration]], bool] | None = None,
) -> Ascent:
    """Climb from `start` to a local maximum.

    Parameters
    ----------
    evaluate : callable
        x (J,) -> Evaluation; may raise NotPositiveDefiniteError.
    start : ndarray, shape (J,)
    box : Box
    maxiter : int
        Limit on evaluations.
    tol : float
        Decrement at which to stop; Newton steps from there on polish the maximum.
    report : callable, optional
        Called with every iteration.
    known : sequence of Evaluation
        Maxima found before; an ascent that is about to end at one of them stops.
    polish : bool
        Take further Newton steps at the maximum until they change nothing.
    enough : callable, optional
        The history so far -> whether to stop though the decrement is above `tol`.
    """
    at = evaluate(box.inside(start))
    count, damping = 1, 0.0
    history: list[Iteration] = []
    while True:
        local = Local(at, box)
        history.append(Iteration(count, at.loglik, local.decrement, damping, at.x))
        if report is not None:
            report(history[-1])
        close = local.decrement < tol or (enough is not None and enough(history))
        if any(_leads_to(there, at, local) for there in known):
            return Ascent(at, local, False, False, history, known=True)
        done = close and not local.saddle and (local.decrement < POLISH or not polish)
        if done or count >= maxiter:
            return Ascent(at, local, close and not local.saddle, False, history)
        new, damping, used = _advance(evaluate, at, local, box, damping, close)
        count += used
        if new is None and local.saddle and close:
            new, used = _escape(evaluate, at, local, box)
            count += used
        if new is None:
            return Ascent(at, local, close, not close, history)
        at = new


def _leads_to(known: Evaluation, at: Evaluation, local: "Local") -> bool:
    """Whether the quadratic model has its maximum at the height of the one known already.

    Where M is linear in the parameters, also whether the way there is uphill throughout.
    """
    if local.decrement < CERTAIN and local.smallest > FLAT:
        ahead = at.loglik + local.decrement / 2
        if abs(ahead - known.loglik) < SAME:
            return True
    return not at.curvature.any() and rises(at, known)


def _advance(
    evaluate: Callable[[Floats], Evaluation],
    at: Evaluation,
    local: "Local",
    box: Box,
    damping: float,
    close: bool,
) -> tuple[Evaluation | None, float, int]:
    """Damp the step until the likelihood rises; (new point or None, damping, evaluations)."""
    used = 0
    while damping <= MOST_DAMPING:
        step, gain = local.step(damping)
        used += 1
        new = _try(evaluate, at.x + step, box)
        if new is not None and _accepted(at, local, new, box, gain, close):
            return new, damping / 10 if damping > FIRST_DAMPING else 0.0, used
        if close:  # at a maximum to rounding: not worth a search
            return None, damping, used
        damping = max(10 * damping, FIRST_DAMPING)
    return None, 0.0, used


def _accepted(
    at: Evaluation, local: "Local", new: Evaluation, box: Box, gain: float, close: bool
) -> bool:
    """Whether a step brings what it promised.

    Close to a maximum the likelihood cannot tell better from worse for rounding, the gradient can:
    with variances far above the sampling variances its own rounding errors are much smaller.
    """
    if close:
        noise = NOISE * max(1.0, abs(at.loglik))
        return new.loglik > at.loglik or _sharper(at, local, new, box, noise)
    rounding = 1e-14 * abs(at.loglik)
    if new.loglik >= at.loglik + SUFFICIENT * gain - rounding:
        return True
    return local.decrement < CERTAIN and _sharper(at, local, new, box, ROUGH)


def _sharper(at: Evaluation, local: "Local", new: Evaluation, box: Box, noise: float) -> bool:
    """Whether the decrement is much smaller and the likelihood the same, but for the noise."""
    level = new.loglik > at.loglik - noise
    return level and Local(new, box).decrement < POLISHED * local.decrement


def _try(evaluate: Callable[[Floats], Evaluation], x: Floats, box: Box) -> Evaluation | None:
    try:
        new = evaluate(box.inside(x))
    except NotPositiveDefiniteError:
        return None
    return new if np.isfinite(new.loglik) else None


def _escape(
    evaluate: Callable[[Floats], Evaluation], at: Evaluation, local: "Local", box: Box
) -> tuple[Evaluation | None, int]:
    """Leave a saddle along its most negative curvature: (point or None, evaluations)."""
    used = 0
    for size in ESCAPE_SIZES:
        for sign in (1.0, -1.0):
            used += 1
            x = at.x + sign * size * local.worst * box.unit
            new = _try(evaluate, x, box)
            if new is not None and new.loglik > at.loglik + ESCAPE_GAIN:
                return new, used
    return None, used


class Local:
    """The quadratic model around one evaluation, in units of the box.

    Attributes
    ----------
    free : ndarray of bool, shape (J,)
        Parameters not held by a bound.
    decrement : float
        g'inv(I)g over the free parameters, I the observed information.
    saddle : bool
        The observed information of the free parameters has a negative eigenvalue.
    smallest : float
        That eigenvalue relative to the largest one (1 where nothing is free).
    worst : ndarray, shape (J,)
        Unit direction of the smallest eigenvalue.
    flat : ndarray of bool, shape (J,)
        Free parameters that can move together without changing the likelihood to second order.
    """

    def __init__(self, at: Evaluation, box: Box) -> None:
        u = box.unit
        self._box, self._x = box, at.x
        self.gradient = g = at.gradient * u
        self._observed = at.observed * box.square
        self._safe = (at.expected + at.curvature) * box.square
        self._low, self._high = (box.lower - at.x) / u, (box.upper - at.x) / u
        held = (self._low >= 0) & (g <= 0) | (self._high <= 0) & (g >= 0)
        # at a zero standard deviation the slope is 0 whatever the variance would gain
        curvature = self._observed.diagonal()
        level = np.abs(g) <= LEVEL * np.sqrt(np.abs(curvature))
        size = np.maximum(np.abs(at.x) / u, 1.0)
        self.inert = np.abs(self._safe.diagonal()) * size**2 < INERT
        self.free = (~held | level & (curvature < 0)) & ~self.inert
        self._eigen()

    def _among(self, matrix: Floats) -> Floats:
        """The rows and columns of the free parameters."""
        return matrix if self.free.all() else matrix[self.free][:, self.free]

    def _eigen(self) -> None:
        self.decrement, self.smallest, self.worst = 0.0, 1.0, np.zeros_like(self.gradient)
        if self.free.any():
            values, vectors = spectrum(self._among(self._observed))
            size = np.abs(values)
            top = max(float(size.max()), INERT)
            along = self.gradient[self.free] @ vectors
            self.decrement = float((along**2 / np.maximum(size, FLAT * top)).sum())
            self.smallest = float(values[0]) / top
            self.worst[self.free] = vectors[:, 0]
        self.saddle = self.smallest < -SADDLE

    @cached_property
    def flat(self) -> Bools:
        """Which parameters take part in a null vector of the information, each in its own unit."""
        observed = self._among(self._observed)
        size = np.sqrt(np.maximum(np.abs(observed.diagonal()), INERT))
        out = np.zeros_like(self.free)
        if len(size):
            values, vectors = spectrum(observed / (size[:, None] * size))
            out[self.free] = (np.abs(vectors[:, np.abs(values) < FLAT]) > PART).any(axis=1)
        return out

    def step(self, damping: float) -> tuple[Floats, float]:
        """Step (J,) in the parameters and the gain the model predicts for it."""
        g, low, high, model = self.gradient, self._low, self._high, self._model
        if self.inert.any():
            g, low, high = (np.where(self.inert, 0.0, a) for a in (g, low, high))
        if damping:
            model = model + damping * np.diag(model.diagonal())
        s = box_step(g, model, low, high)
        gain = float(g @ s - 0.5 * (s @ model @ s))
        # land on a bound exactly: x + u * ((bound - x) / u) need not be the bound
        x, at_low, at_high = self._x + s * self._box.unit, s <= low, s >= high
        if (at_low | at_high).any():
            x = np.where(~self.inert & at_low, self._box.lower, x)
            x = np.where(~self.inert & at_high, self._box.upper, x)
        return x - self._x, gain

    @cached_property
    def _model(self) -> Floats:
        """What a step maximises: positive definite, shape (J, J)."""
        scale = np.sqrt(np.maximum(np.abs(self._safe.diagonal()), INERT))
        square = scale[:, None] * scale
        safe, observed = self._safe / square, self._observed / square
        everywhere = _positive(safe)
        if _alike(observed, everywhere):
            return self._observed
        near = self.decrement < NEAR
        if self.free.all():
            return np.asarray(_cautious(observed, safe, everywhere, near) * square)
        # parameters held by a bound may not distort the model of the free ones
        block = np.ix_(self.free, self.free)
        model = np.where(np.logical_or.outer(self.free, self.free), 0.0, everywhere)
        model[block] = _free_model(observed[block], safe[block], near)
        return np.asarray(model * square)


def _free_model(observed: Floats, safe: Floats, near: bool) -> Floats:
    positive = _positive(safe)
    if _alike(observed, positive):
        return observed
    return _cautious(observed, safe, positive, near)


def _cautious(observed: Floats, safe: Floats, positive: Floats, near: bool) -> Floats:
    """The model where the observed information is not like the expected one."""
    if near or (len(safe) and spectrum(safe)[0][0] < 0):
        return _positive(observed)
    return positive


def _positive(matrix: Floats) -> Floats:
    """Replace eigenvalues by their absolute values, away from zero."""
    if not len(matrix):
        return matrix
    values, vectors = spectrum(matrix)
    size = np.abs(values)
    floor = CURVATURE_FLOOR * size.max()
    if values[0] >= floor:
        return matrix
    return np.asarray((vectors * np.maximum(size, floor)) @ vectors.T)


def _alike(observed: Floats, safe: Floats) -> bool:
    if not len(safe):
        return False
    ratio, _, bad = lapack.dsygvd(observed, safe, jobz="N")
    return bad == 0 and bool(TRUST_OBSERVED[0] < ratio[0] and ratio[-1] < TRUST_OBSERVED[1])


def spectrum(matrix: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues in rising order, and eigenvectors, of a small symmetric matrix.

    LAPACK called directly: on matrices of a few rows the checks around it take longer.
    """
    values, vectors, bad = lapack.dsyevd(matrix)
    if bad:
        raise np.linalg.LinAlgError("eigenvalues did not converge")
    return values, vectors
