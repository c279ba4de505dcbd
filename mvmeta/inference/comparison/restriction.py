"""What a restricted model sets to what in the variance components of a full one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.batched import BatchedProblem
from mvmeta.design.terms import RandomTerm
from mvmeta.inference.comparison.chibar import (
    MOST_VARIANCES,
    ChiBar,
    variances_at_zero,
    with_covariances,
)
from mvmeta.inference.fitted.fit import Fit
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.select import build_backend

SUBMODELS = {
    "UN": {"DIAG", "ID", "CS", "HCS", "AR", "HAR", "CAR", "TOEP", "HTOEP", "FA1"},
    "HCS": {"CS", "DIAG", "ID"},
    "CS": {"ID"},
    "HTOEP": {"TOEP", "HAR", "AR", "HCS", "CS", "DIAG", "ID"},
    "TOEP": {"AR", "CS", "ID"},
    "HAR": {"AR", "DIAG", "ID"},
    "AR": {"ID"},
    "CAR": {"ID"},
    "DIAG": {"ID"},
}
"""Structures that are others with correlations set to values inside their range, or equal."""
REGULAR_INFORMATION = 1e-8
"""Smallest eigenvalue of the information, scaled to unit diagonal, that can be inverted."""


@dataclass
class _Found:
    """What was found so far.

    Attributes
    ----------
    variances : list of int
        Components of the full model that are a variance by themselves and set to 0.
    joint : list of int
        For every effect dropped with its covariances, to how many others.
    theta : ndarray, shape (n_components,)
        Components of the full model at the restricted fit, NaN where they are not the same.
    held : bool
        Rows are held, so that terms can be compared by them.
    """

    theta: Floats
    held: bool
    variances: list[int] = field(default_factory=list)
    joint: list[int] = field(default_factory=list)


def null_distribution(full: Fit, restricted: Fit, df: int) -> ChiBar | None:
    """Asymptotic null distribution of the likelihood ratio; None where none is known.

    Parameters
    ----------
    full, restricted : Fit
    df : int
        Difference of the numbers of parameters.

    Notes
    -----
    Known where the restrictions lie inside the parameter space (chi-square), where up to three
    variances are 0 that are parameters by themselves, and where one effect is dropped with its
    covariances.  Not known where a component that both models estimate is on the boundary.
    """
    if int(full.estimated.sum()) == int(restricted.estimated.sum()):
        return ChiBar((1.0,), (df,))  # estimates of fixed effects and components are independent
    if restricted.boundary.any() or full.problem.ties != restricted.problem.ties:
        return _tied(full, restricted, df)
    found = _compare_terms(full, restricted)
    if found is None:
        return None
    if found.joint:
        if len(found.joint) > 1 or found.variances:
            return None
        q = found.joint[0]
        return with_covariances(q, df - q - 1) if df > q else None
    return _variances(full, found, df)


def _tied(full: Fit, restricted: Fit, df: int) -> ChiBar | None:
    """Equal components are a restriction inside the space, if all else is the same."""
    same = len(full.theta) == len(restricted.theta) and not restricted.boundary.any()
    if same and (full.problem.fixed == restricted.problem.fixed).all():
        return ChiBar((1.0,), (df,))
    return None


def _variances(full: Fit, found: _Found, df: int) -> ChiBar | None:
    k = len(found.variances)
    if k == 0:
        return ChiBar((1.0,), (df,))
    if k == 1:
        return with_covariances(0, df - 1)
    if k > MOST_VARIANCES or np.isnan(found.theta).any() or not found.held:
        return None
    free = np.flatnonzero(full.estimated)
    objective = Objective(build_backend(full.problem), full.reml)
    information = objective.natural(found.theta).expected[np.ix_(free, free)]
    size = np.sqrt(np.diag(information))
    scaled = information / np.outer(size, size)
    if not np.linalg.eigvalsh(scaled)[0] > REGULAR_INFORMATION:
        return None
    cov = np.linalg.inv(scaled) / np.outer(size, size)
    at = np.searchsorted(free, found.variances)
    return variances_at_zero(cov[np.ix_(at, at)], df - k)


def _compare_terms(full: Fit, restricted: Fit) -> _Found | None:
    """Match every term of the restricted fit to one of the full fit; None where that fails."""
    held = not any(isinstance(f.problem, BatchedProblem) for f in (full, restricted))
    found = _Found(np.full(len(full.theta), np.nan), held)
    starts = np.cumsum([0, *(len(t.structure.components) for t in full.problem.terms)])
    pieces = restricted.problem.split(restricted.theta)
    left = dict(enumerate(zip(restricted.problem.terms, pieces, strict=True)))
    for t, start in zip(full.problem.terms, starts.tolist(), strict=False):
        key = next((i for i, (r, _) in left.items() if _related(t, r, found.held)), None)
        if key is None:
            ok = _dropped(t, start, found)
        else:
            ok = _kept(t, start, *left.pop(key), found)
        if not ok:
            return None
    return None if left else found


def _related(full: RandomTerm, restricted: RandomTerm, held: bool) -> bool:
    """Whether the effects of one term are among those of the other; by name without rows."""
    if not held:
        return full.name == restricted.name and full.q == restricted.q
    same = np.array_equal(_partition(full.groups.codes), _partition(restricted.groups.codes))
    return same and _columns_of(full, restricted) is not None


def _partition(codes: Ints) -> Ints:
    """The partition (n,) with codes in order of first appearance."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _columns_of(full: RandomTerm, restricted: RandomTerm) -> list[int] | None:
    """Which effects of `full` those of `restricted` are; None if they are others."""
    if full.correlated is not None or restricted.correlated is not None:
        same = full.q == restricted.q and np.array_equal(full.inner, restricted.inner)  # type: ignore[arg-type]
        return list(range(full.q)) if same else None
    if full.inner is not None and restricted.inner is not None and full.q == restricted.q:
        if np.array_equal(full.inner, restricted.inner):
            return list(range(full.q))
    z, other = full.dense_z(), restricted.dense_z()
    found = []
    for column in other.T:
        hits = np.flatnonzero((z == column[:, None]).all(axis=0))
        if not len(hits):
            return None
        found.append(int(hits[0]))
    return found


def _code(term: RandomTerm) -> str:
    structure = term.structure
    inner = getattr(structure, "inner", structure)
    return str(inner.code)


def _dropped(term: RandomTerm, start: int, found: _Found) -> bool:
    """A term the restricted model does not have: its variances are 0."""
    structure = term.structure
    if any(c.power != 2 for c in structure.components):
        return _joint_drop(term, 0, found)
    free = np.flatnonzero(~structure.fixed)
    found.theta[start : start + len(structure.components)] = 0.0
    found.variances += (start + free).tolist()
    return not structure.fixed.any()  # a pinned variance would be set to another value


def _kept(
    full: RandomTerm, start: int, restricted: RandomTerm, theta: Floats, found: _Found
) -> bool:
    columns = _columns_of(full, restricted) if found.held else list(range(full.q))
    assert columns is not None
    if len(columns) < full.q:
        return _fewer_effects(full, start, restricted, theta, columns, found)
    if _same_family(full, restricted, theta):
        return _same_structure(full, start, restricted, theta, found)
    if full.structure.fixed.any() or restricted.structure.fixed.any():
        return False
    return _code(restricted) in SUBMODELS.get(_code(full), ())


def _same_family(full: RandomTerm, restricted: RandomTerm, theta: Floats) -> bool:
    if _code(full) != _code(restricted) or len(theta) != len(full.structure.components):
        return False
    g, h = full.structure.matrix(theta), restricted.structure.matrix(theta)
    return bool(np.allclose(g, h, rtol=1e-12, atol=0.0))


def _same_structure(
    full: RandomTerm, start: int, restricted: RandomTerm, theta: Floats, found: _Found
) -> bool:
    found.theta[start : start + len(theta)] = theta
    new = restricted.structure.fixed & ~full.structure.fixed
    if (full.structure.fixed & ~restricted.structure.fixed).any():
        return False
    return all(_pin(full, start, int(j), float(theta[j]), found) for j in np.flatnonzero(new))


def _pin(full: RandomTerm, start: int, j: int, value: float, found: _Found) -> bool:
    """One component pinned by the restricted model only."""
    c = full.structure.components[j]
    if c.lower < value < c.upper:
        return True
    by_itself = all(other.power == 2 for other in full.structure.components)
    if c.power == 2 and value == 0 and by_itself:
        found.variances.append(start + j)
        return True
    return False


def _fewer_effects(
    full: RandomTerm,
    start: int,
    restricted: RandomTerm,
    theta: Floats,
    columns: Sequence[int],
    found: _Found,
) -> bool:
    """Effects left out of a term."""
    pinned: Bools = np.concatenate([full.structure.fixed, restricted.structure.fixed])
    if pinned.any() or len(set(columns)) < len(columns):
        return False
    if _code(full) == "DIAG" and _code(restricted) in ("DIAG", "ID"):
        if _code(restricted) == "ID" and restricted.q > 1:
            return False
        gone = [j for j in range(full.q) if j not in columns]
        found.theta[start : start + full.q] = 0.0
        found.theta[start + np.asarray(columns)] = theta
        found.variances += [start + j for j in gone]
        return True
    unstructured = _code(restricted) == "UN" or restricted.q == 1
    if full.q - len(columns) == 1 and _code(full) == "UN" and unstructured:
        return _joint_drop(full, len(columns), found)
    return False


def _joint_drop(term: RandomTerm, others: int, found: _Found) -> bool:
    """One effect dropped with its covariances to q others; whole terms have no closed form."""
    if term.q != others + 1:
        return False
    found.joint.append(others)
    return True
