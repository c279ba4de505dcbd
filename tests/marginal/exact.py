"""The statistics of `Sums` by their definitions in 60-digit decimal arithmetic.

Where G is 1e8 times V, floating-point numbers that hold M no longer hold V; the oracle for
that is M in more digits, factored and multiplied out with numpy's object arrays.
"""

from decimal import Decimal, localcontext

import numpy as np

DIGITS = 60


def decimals(x):
    """An array of Decimal with exactly the values of a float array."""
    return np.array([Decimal(float(v)) for v in np.ravel(x)], dtype=object).reshape(np.shape(x))


def exact_sums(problem, gs, a, directions):
    """`logdet`, `gram`, `trace`, `slope`, `trace_pairs` and `slope_pairs` as floats."""
    with localcontext(prec=DIGITS):
        m = decimals(problem.v.toarray())
        for t, g in enumerate(gs):
            m = m + _embed(problem.terms[t], decimals(g))
        a = decimals(a)
        inverse, logdet = _invert(m)
        na = inverse @ a
        ks = [_embed(problem.terms[d.term], decimals(d.matrix)) for d in directions]
        kna = [k @ na for k in ks]
        nk = [inverse @ k for k in ks]
        both = [[x.T @ (inverse @ y) for y in kna] for x in kna]
        out = {
            "logdet": logdet,
            "gram": a.T @ na,
            "trace": [np.trace(x) for x in nk],
            "slope": [na.T @ x for x in kna],
            "trace_pairs": [[(x * y.T).sum() for y in nk] for x in nk],
            "slope_pairs": [[(x + x.T) / 2 for x in row] for row in both],
        }
        return {name: np.array(value).astype(float) for name, value in out.items()}


def _embed(term, matrix):
    z = decimals(term.dense_z())
    same = term.level[:, None] == term.level
    return np.where(same, z @ matrix @ z.T, Decimal(0))


def _invert(m):
    """inv(M) and log|M| by Gauss and Jordan's elimination; M is positive definite."""
    n = len(m)
    work = np.hstack([m, decimals(np.eye(n))])
    logdet = Decimal(0)
    for i in range(n):
        pivot = work[i, i]
        logdet += pivot.ln()
        work[i] = work[i] / pivot
        others = np.arange(n) != i
        work[others] = work[others] - work[others, i][:, None] * work[i]
    return work[:, n:], logdet
