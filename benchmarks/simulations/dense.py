"""The log-likelihood from its definition with dense matrices, and its maximum by L-BFGS-B."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize

from benchmarks.simulations.covariances import (
    Shape,
    bounds,
    derivatives,
    matrix,
    natural,
    random_start,
)
from benchmarks.simulations.designs import Design, Term

FAILED = 1e8
"""Value of minus the log-likelihood where M is not positive definite."""


@dataclass(frozen=True)
class Found:
    """The best of several starts, evaluations over all, and the end of each."""

    loglik: float
    theta: np.ndarray
    evaluations: int
    logliks: list[float]


class DenseModel:
    """Log-likelihood of a design at natural components, nothing shared with the package.

    Parameters
    ----------
    design : Design
    """

    def __init__(self, design: Design) -> None:
        self.design, self.shapes = design, [t.shape for t in design.terms]
        # an orthonormal basis of the columns of X: then log|X'X| = 0
        self.q = np.linalg.qr(design.x)[0]
        self.same = [t.level[:, None] == t.level for t in design.terms]
        self.loading = [_loading(t) for t in design.terms]
        r = design.y - self.q @ (self.q.T @ design.y)
        self.scale = max(float(r @ r) / max(design.n - design.p, 1), 1e-12 * design.v.max())

    def pieces(self, u: np.ndarray) -> list[np.ndarray]:
        """Cut parameters, or natural components, into one piece per term."""
        return np.split(u, np.cumsum([s.size for s in self.shapes])[:-1])

    def loglik(self, theta: np.ndarray) -> float:
        """Log-likelihood at natural components; -inf where M is not positive definite."""
        gs = [matrix(s, t) for s, t in zip(self.shapes, self.pieces(theta), strict=True)]
        out = self._evaluate(gs)
        return -np.inf if out is None else out[0]

    def objective(self, u: np.ndarray, kind: int) -> tuple[float, np.ndarray]:
        """Minus the log-likelihood and its gradient at parameters `u`."""
        cut = zip(self.shapes, self.pieces(u), strict=True)
        pieces = [(s, w, kind, self.scale) for s, w in cut]
        out = self._evaluate([matrix(a[0], natural(*a)) for a in pieces])
        if out is None:
            return FAILED, np.zeros_like(u)
        loglik, slope = out
        gradient = []
        for arguments, same, z in zip(pieces, self.same, self.loading, strict=True):
            inner = z.T @ (slope * same) @ z
            gradient.append(np.tensordot(derivatives(*arguments), inner, axes=2))
        return -loglik, -np.concatenate(gradient)

    def _evaluate(self, gs: list[np.ndarray]) -> tuple[float, np.ndarray] | None:
        """Log-likelihood and its derivative with respect to M; None where M is not definite."""
        d = self.design
        m = d.v.copy()
        for g, same, z in zip(gs, self.same, self.loading, strict=True):
            m += (z @ g @ z.T) * same
        if not np.isfinite(m).all():
            return None
        chol, bad = linalg.lapack.dpotrf(m, lower=1)
        if bad:
            return None
        half = linalg.solve_triangular(chol, np.column_stack([self.q, d.y]), lower=True)
        hx, hy = half[:, :-1], half[:, -1]
        basis, r = np.linalg.qr(hx)
        hr = hy - basis @ (basis.T @ hy)
        logdet = 2 * np.log(np.diag(chol)).sum()
        n = d.n - d.p if d.reml else d.n
        correction = 2 * np.log(np.abs(np.diag(r))).sum() if d.reml else 0.0
        loglik = -0.5 * (n * np.log(2 * np.pi) + logdet + correction + hr @ hr)
        inverse = linalg.lapack.dpotri(chol, lower=1)[0]
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        e = linalg.solve_triangular(chol, hr, lower=True, trans=1)
        slope = np.outer(e, e) - inverse
        if d.reml:
            b = linalg.solve_triangular(chol, basis, lower=True, trans=1)
            slope += b @ b.T
        return float(loglik), slope / 2

    def maximize(self, starts: int, rng: np.random.Generator) -> Found:
        """The best of `starts` runs of L-BFGS-B, alternating between the parametrisations."""
        best, logliks, evaluations = (-np.inf, np.empty(0)), [], 0
        for i in range(starts):
            kind = i % 2
            u = np.concatenate([random_start(s, kind, rng) for s in self.shapes])
            limits = [b for s in self.shapes for b in bounds(s, kind)]
            end = optimize.minimize(
                self.objective,
                u,
                args=(kind,),
                jac=True,
                method="L-BFGS-B",
                bounds=limits,
                options={"maxiter": 250, "maxfun": 300, "ftol": 1e-14, "gtol": 1e-7, "maxcor": 15},
            )
            evaluations += int(end.nfev)
            logliks.append(-float(end.fun))
            if -end.fun > best[0]:
                best = (-float(end.fun), self._natural(end.x, kind))
        return Found(best[0], best[1], evaluations, logliks)

    def _natural(self, u: np.ndarray, kind: int) -> np.ndarray:
        parts = zip(self.shapes, self.pieces(u), strict=True)
        return np.concatenate([natural(s, w, kind, self.scale) for s, w in parts])


def definite(shapes: list[Shape], pieces: list[np.ndarray]) -> bool:
    """Whether every G is positive semi-definite, to rounding."""
    for shape, theta in zip(shapes, pieces, strict=True):
        values = np.linalg.eigvalsh(matrix(shape, theta))
        if values[0] < -1e-9 * max(values[-1], 1e-300):
            return False
    return True


def _loading(term: Term) -> np.ndarray:
    if term.z is not None:
        return term.z
    if term.inner is None:
        return np.ones((len(term.level), 1))
    return np.eye(term.shape.q)[term.inner]
