"""Where ascents start: variances of the size of the data's, and corners that hide maxima."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.linking import slots_of
from mvmeta.optimize.moments import residual_covariance
from mvmeta.optimize.newton import Box
from mvmeta.structures.base import CovarianceStructure

EXTRA_STARTS_UP_TO = 2000
"""Rows up to which every term is tried by itself: that costs milliseconds there. Larger data
sets get further starts only for terms with correlations or ranges."""
BOUNDS_UP_TO = 50
"""Rows up to which starts near the bounds of correlations are tried as well: they double the
work, and one small design in a hundred needs them."""
ALONE = (0.2, 0.05)
"""Sizes of a term that starts by itself, relative to the main start: Fisher scoring may step
from a large variance over a small one to 0."""
NEAR = 0.9
"""Share of the way from 0 to its bound at which a correlation starts."""
SMALL_START = 1e-3
"""Size, relative to the main start, of what an extra start makes small."""


def box_of(objective: Objective) -> Box:
    """Bounds and natural sizes of the working parameters."""
    structures = [t.structure for t in objective.problem.terms]
    join = objective.problem.join_working
    scale = np.sqrt(variance_scale(objective))
    return Box(
        lower=join([s.working.lower for s in structures]),
        upper=join([s.working.upper for s in structures]),
        unit=scale ** join([s.units() for s in structures]),
    )


def variance_scale(objective: Objective) -> float:
    """A variance of the size of the data's: of residuals, else of the sampling errors, else 1."""
    mean = objective.problem.mean_variance
    residual = objective.residual_variance
    if residual > ROUNDING * max(mean, objective.problem.mean_square):
        return residual
    return mean if mean > 0 else 1.0


ROUNDING = 1e-20
"""Residual variance, relative to y and V, that is rounding error of a perfect fit."""


def start_values(objective: Objective) -> Iterator[Floats]:
    """Starts term by term, the main one first; tied terms have theirs, too."""
    scale = variance_scale(objective)
    structures = [t.structure for t in objective.problem.terms]
    lists = [_unswept(s, s.starts(scale)) for s in structures]
    main = [x[0] for x in lists]
    yield _join(main)
    if not any(map(len, main)):
        return
    if objective.problem.n > EXTRA_STARTS_UP_TO:
        yield from _few_more(structures, lists, scale)
        return
    rough = [residual_covariance(objective.problem, t) for t in range(len(structures))]
    lists = [
        [*options, *(s.like(g) if g is not None else [])]
        for s, options, g in zip(structures, lists, rough, strict=True)
    ]
    if objective.problem.n <= BOUNDS_UP_TO:
        pairs = zip(structures, lists, strict=True)
        lists = [[*options, *_near_bounds(s, options)] for s, options in pairs]
    small = [s.starts(scale * SMALL_START)[0] for s in structures]
    for t, options in enumerate(lists):
        others = small if len(structures) > 1 else main
        for x in options if len(structures) > 1 else options[1:]:
            yield _join([*others[:t], x, *others[t + 1 :]])
    if len(structures) > 2:
        for t in range(len(main)):
            yield _join([*main[:t], small[t], *main[t + 1 :]])
    yield _join(small)


def alone(objective: Objective, index: int) -> list[Floats]:
    """Starts with the term that has working parameter `index` by itself, the others small.

    A model of one term starts small altogether.
    """
    problem, scale = objective.problem, variance_scale(objective)
    structures = [t.structure for t in problem.terms]
    small = problem.join_working([s.starts(scale * SMALL_START)[0] for s in structures])
    if len(structures) == 1:
        return [small]
    sizes = [len(s.working.lower) for s in structures]
    owner = problem.shared_working.lead(np.repeat(np.arange(float(len(sizes))), sizes))
    sized = (problem.join_working([s.starts(scale * a)[0] for s in structures]) for a in ALONE)
    return [np.where(owner == owner[index], x, small) for x in sized]


def rivals(objective: Objective) -> list[Floats]:
    """Where several terms have the same levels: each of them without the others.

    Such terms, a phylogeny and an effect of each species by itself for one, can explain the same
    differences, each by itself better than both by halves.  None in large data, and for rows that
    are not held, whose levels cannot be compared.
    """
    if not objective.problem.holds_rows or objective.problem.n > EXTRA_STARTS_UP_TO:
        return []
    problem, scale = objective.problem, variance_scale(objective)
    structures = [t.structure for t in problem.terms]
    main, small = ([s.starts(scale * a)[0] for s in structures] for a in (1.0, SMALL_START))
    shared = [s.terms for s in slots_of(problem.terms, range(len(structures)))]
    return [
        problem.join_working(
            [small[t] if t in terms and t != one else x for t, x in enumerate(main)]
        )
        for terms in shared
        if len(terms) > 1
        for one in terms
    ]


def distinct(starts: Iterable[Floats]) -> Iterator[Floats]:
    """The starts without those that came before: pinned terms have only one."""
    seen: set[bytes] = set()
    for x in starts:
        key = x.tobytes()
        if key not in seen:
            seen.add(key)
            yield x


def _few_more(
    structures: Sequence[CovarianceStructure], lists: Sequence[list[Floats]], scale: float
) -> list[Floats]:
    """For large data sets: only where correlations or ranges can make several maxima.

    Each such term by itself with all others small, and everything small.
    """
    curved = [t for t, s in enumerate(structures) if any(c.power == 0 for c in s.components)]
    if not curved:
        return []
    small = [s.starts(scale * SMALL_START)[0] for s in structures]
    alone = [[*small[:t], lists[t][0], *small[t + 1 :]] for t in curved]
    others = [
        [*(x[0] for x in lists[:t]), small[t], *(x[0] for x in lists[t + 1 :])] for t in curved
    ]
    return [_join(x) for x in [*alone, *others, small]]


def _unswept(structure: CovarianceStructure, options: list[Floats]) -> list[Floats]:
    """Starts that differ from the main one in more than what is swept anyway."""
    sweep = structure.sweep()
    if sweep is None:
        return options
    return [x for x in options if x[sweep.index] == options[0][sweep.index]]


def _near_bounds(structure: CovarianceStructure, options: list[Floats]) -> list[Floats]:
    """Starts with one correlation near a bound: where it is the only one, from all `options`."""
    if structure.sweep() is not None and sum(c.power != 0 for c in structure.components) == 1:
        return []
    ends = [
        (j, NEAR * bound)
        for j, c in enumerate(structure.components)
        for bound in (c.lower, c.upper)
        if c.power == 0 and np.isfinite([c.lower, c.upper]).all() and bound != 0
    ]
    ends = [(j, value) for j, value in ends if not structure.fixed[j]]
    out: list[Floats] = []
    for x in options if len({j for j, _ in ends}) == 1 else options[:1]:
        for j, value in ends:
            theta = structure.to_natural(x).copy()
            theta[j] = value
            try:
                start = structure.to_working(theta)
            except SpecificationError:  # out of reach of the other correlations
                continue
            if not any(np.array_equal(start, other) for other in out):
                out.append(start)
    return out


def _join(pieces: Sequence[Floats]) -> Floats:
    return np.concatenate(pieces) if pieces else np.empty(0)
