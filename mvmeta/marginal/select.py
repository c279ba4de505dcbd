"""Which backend a problem gets: a pure function of its layout, which explains its choice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mvmeta.design.layout import connected, recode
from mvmeta.design.problem import MetaProblem
from mvmeta.design.terms import RandomTerm
from mvmeta.errors import SpecificationError
from mvmeta.marginal.base import MarginalCovariance
from mvmeta.marginal.blocks import BlocksMarginal
from mvmeta.marginal.compressed import CompressedMarginal
from mvmeta.marginal.dense import DenseMarginal
from mvmeta.marginal.joint import row_terms, shared_groups
from mvmeta.marginal.linking import Slot, slots_of
from mvmeta.marginal.nested import NestedMarginal, nested_order
from mvmeta.marginal.rotated import RotatedMarginal
from mvmeta.marginal.woodbury import WoodburyMarginal

BACKENDS = ("nested", "compressed", "rotated", "blocks", "woodbury", "dense")


@dataclass(frozen=True)
class Choice:
    """A backend and why.

    Attributes
    ----------
    name : {"nested", "compressed", "rotated", "blocks", "woodbury", "dense"}
    reason : str
        One sentence.
    outer : tuple of int
        "woodbury" only: the terms in its low-rank part.
    """

    name: str
    reason: str
    outer: tuple[int, ...] = ()


def choose_backend(problem: MetaProblem) -> Choice:
    """Pick the cheapest exact backend.

    Parameters
    ----------
    problem : MetaProblem

    Returns
    -------
    Choice
        "nested" where V is diagonal and all terms are random intercepts that nest (cost
        proportional to n), unless a sampling variance is 0, which it cannot divide by, and the
        clusters are small enough to be inverted; "compressed" where all terms have the same
        groups, V stays within them and is not singular (cost proportional to the number of
        groups); "rotated" where the same holds but for a variance of every row (proportional to
        n, whatever the size of the blocks of V); otherwise whichever of "blocks" (sum of cubed
        cluster sizes) and "woodbury" (the same without the terms that link clusters, plus the
        cubed number of those terms' effects and a constant) needs fewer operations.
    """
    nests = problem.v.is_diagonal and nested_order(problem) is not None
    if nests and problem.v.variances.min(initial=1.0) > 0:
        return Choice("nested", "V is diagonal and the random intercepts nest")
    if _compressible(problem):
        return Choice("compressed", "all random terms have the same groups, within which V stays")
    if _rotatable(problem):
        return Choice(
            "rotated", "the random terms have the same groups, but for one of single rows"
        )
    outer, cost = _cheapest_split(problem)
    if nests and cost > DEAR:
        return Choice("nested", "the random intercepts nest, and the clusters are too large")
    if not outer:
        return Choice("blocks", f"independent clusters of rows, about {cost:.1g} operations")
    names = ", ".join(problem.terms[t].name for t in outer)
    return Choice("woodbury", f"{names} would link small clusters into large ones", outer)


def _compressible(problem: MetaProblem) -> bool:
    """Whether `CompressedMarginal` can hold the problem and has enough groups to loop over."""
    return _worth_a_loop(problem.terms) and _can_be_compressed(problem)


def _rotatable(problem: MetaProblem) -> bool:
    """The same for `RotatedMarginal`."""
    return _can_be_rotated(problem) and _worth_a_loop(_shared_terms(problem))


def _can_be_compressed(problem: MetaProblem) -> bool:
    return shared_groups(problem.terms, problem.v) and not problem.v.is_singular


def _can_be_rotated(problem: MetaProblem) -> bool:
    shared = _shared_terms(problem)
    return (
        len(shared) < len(problem.terms)
        and shared_groups(shared, problem.v)
        and not problem.v.is_singular
    )


def _shared_terms(problem: MetaProblem) -> list[RandomTerm]:
    """Terms without those that have one level for every row."""
    own = row_terms(problem.terms)
    return [x for t, x in enumerate(problem.terms) if t not in own]


def _worth_a_loop(terms: Sequence[RandomTerm]) -> bool:
    q = sum(t.q for t in terms)
    return q <= FEW_EFFECTS or recode(terms[0].level)[1] >= GROUPS_PER_EFFECT * q


def _cheapest_split(problem: MetaProblem) -> tuple[tuple[int, ...], float]:
    """Terms for the low-rank part; terms with the same columns go there together."""
    terms = problem.terms
    slots = sorted(slots_of(terms, range(len(terms))), key=lambda s: s.width)
    best: tuple[tuple[int, ...], float] = ((), np.inf)
    for chosen in _subsets(slots, problem.n):
        outer = tuple(sorted(t for s in chosen for t in s.terms))
        rest = [terms[t].level for t in range(len(terms)) if t not in outer]
        size = np.bincount(connected([problem.v.cluster, *rest])).astype(float)
        low_rank = float(sum(s.width for s in chosen))
        cost = float((size**3).sum()) + LOW_RANK_COST * low_rank**3 + OVERHEAD * (len(chosen) > 0)
        if cost < best[1]:
            best = (outer, cost)
    return best


def _subsets(slots: Sequence[Slot], n: int) -> list[tuple[Slot, ...]]:
    """Sets of slots worth considering: all of a few, else growing ones; all of them last."""
    small = [s for s in slots if s.width < n]
    if len(small) <= ALL_SUBSETS_OF:
        found = [x for k in range(len(small) + 1) for x in combinations(small, k)]
    else:
        found = [tuple(small[:k]) for k in range(len(small) + 1)]
    return found if len(small) == len(slots) else [*found, tuple(slots)]


ALL_SUBSETS_OF = 4
"""Slots up to which all of their subsets are looked at."""
FEW_EFFECTS, GROUPS_PER_EFFECT = 16, 8
"""Effects per group up to which "compressed" and "rotated" are always good; their loops over
more of them need this many groups for each to be worth their overhead."""
DEAR = 1e10
"""Operations per evaluation beyond which zero sampling variances are no reason for blocks."""
LOW_RANK_COST = 4.0
"""Operations on a (Q, Q) matrix per evaluation, in units of those on a cluster of that size."""

OVERHEAD = 3e6
"""What the sparse bookkeeping of "woodbury" takes (2 ms), as for one cluster of 150 rows."""


def _woodbury(problem: MetaProblem) -> MarginalCovariance:
    if not problem.terms:
        raise SpecificationError("backend 'woodbury' needs at least one random term")
    width = [t.n_levels * t.q for t in problem.terms]
    return WoodburyMarginal(problem, _cheapest_split(problem)[0] or (int(np.argmin(width)),))


def _compressed(problem: MetaProblem) -> MarginalCovariance:
    if not _can_be_compressed(problem):
        raise SpecificationError(
            "backend 'compressed' needs random terms with the same outer groups, a V that links "
            "no two of them, and no sampling variance of 0; leave backend unset to have one chosen"
        )
    return CompressedMarginal(problem)


def _rotated(problem: MetaProblem) -> MarginalCovariance:
    if not _can_be_rotated(problem):
        raise SpecificationError(
            "backend 'rotated' needs a random intercept with one level for every row, other "
            "random terms with the same outer groups, a V that links no two of them, and no "
            "sampling variance of 0; leave backend unset to have one chosen"
        )
    return RotatedMarginal(problem)


_BUILD: dict[str, Callable[[MetaProblem], MarginalCovariance]] = {
    "nested": NestedMarginal,
    "compressed": _compressed,
    "rotated": _rotated,
    "blocks": BlocksMarginal,
    "woodbury": _woodbury,
    "dense": DenseMarginal,
}


def build_backend(problem: MetaProblem, name: str | None = None) -> MarginalCovariance:
    """Plan the named backend, or the one `choose_backend` picks.

    Parameters
    ----------
    problem : MetaProblem
    name : {"nested", "compressed", "rotated", "blocks", "woodbury", "dense"}, optional

    Raises
    ------
    SpecificationError
        For an unknown name, or a backend that cannot represent the problem.
    """
    if name is None:
        choice = choose_backend(problem)
        if choice.name == "woodbury":
            return WoodburyMarginal(problem, choice.outer)
        name = choice.name
    if name not in _BUILD:
        raise SpecificationError(f"unknown backend {name!r}; there are {', '.join(BACKENDS)}")
    return _BUILD[name](problem)
