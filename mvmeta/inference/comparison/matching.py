"""Which random term of a full model a term of a restricted one is part of."""

from collections.abc import Iterator

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.design.terms import RandomTerm
from mvmeta.inference.comparison.chibar import NoClosedFormError
from mvmeta.inference.fitted.fit import Fit


def matched_terms(
    full: Fit, restricted: Fit, held: bool
) -> Iterator[tuple[RandomTerm, RandomTerm | None, Floats]]:
    """Every term of the full fit with its counterpart and the components of that.

    Parameters
    ----------
    full, restricted : Fit
    held : bool
        Whether there are rows to compare terms by; names have to do otherwise.

    Yields
    ------
    term : RandomTerm
    counterpart : RandomTerm or None
        None where the restricted model has none.
    theta : ndarray
        Components of the counterpart; empty without one.

    Raises
    ------
    NoClosedFormError
        If a term of the restricted fit is part of none of the full one; names it.
    """
    pieces = restricted.problem.split(restricted.theta)
    left = list(zip(restricted.problem.terms, pieces, strict=True))
    found: dict[int, tuple[RandomTerm, Floats]] = {}
    for related in (_same_effects, _sums_to) if held else (_same_name,):
        for i, term in enumerate(full.problem.terms):
            at = next((k for k, (other, _) in enumerate(left) if related(term, other)), None)
            if i not in found and at is not None:
                found[i] = left.pop(at)
    if left:
        names = ", ".join(repr(term.name) for term, _ in left)
        raise NoClosedFormError(
            f"{names} of the restricted model is not seen to be part of a term of the full one"
        )
    for i, term in enumerate(full.problem.terms):
        yield (term, *found.get(i, (None, np.empty(0))))


def columns_of(full: RandomTerm, restricted: RandomTerm) -> list[int] | None:
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


def is_their_sum(full: RandomTerm, restricted: RandomTerm) -> bool:
    """Whether a random intercept is what the effects of a term are where all are equal."""
    known = full.correlated is not None or restricted.correlated is not None
    return not known and full.inner is not None and full.q > 1 and restricted.is_scalar


def _same_name(full: RandomTerm, restricted: RandomTerm) -> bool:
    return full.name == restricted.name and full.q == restricted.q


def _same_effects(full: RandomTerm, restricted: RandomTerm) -> bool:
    return _same_groups(full, restricted) and columns_of(full, restricted) is not None


def _sums_to(full: RandomTerm, restricted: RandomTerm) -> bool:
    return _same_groups(full, restricted) and is_their_sum(full, restricted)


def _same_groups(full: RandomTerm, restricted: RandomTerm) -> bool:
    return np.array_equal(_partition(full.groups.codes), _partition(restricted.groups.codes))


def _partition(codes: Ints) -> Ints:
    """The partition (n,) with codes in order of first appearance."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
