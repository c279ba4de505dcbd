"""In which directions a term of a full model can move where the restricted model is true."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvmeta._typing import Floats
from mvmeta.design.terms import RandomTerm
from mvmeta.inference.comparison.chibar import NoClosedFormError
from mvmeta.inference.comparison.matching import columns_of, is_their_sum
from mvmeta.structures import CompoundSymmetry
from mvmeta.structures.scaled import ScaledCorrelation

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
"""Structures that are others with correlations set to values inside their range, or equal; or,
CAR at a correlation of 0, at the end of it."""
CORNERS = {"UN", "TOEP", "HTOEP"}
"""Structures with correlations that are on an edge together where G is singular."""
SINGULAR = 1e-9
"""Eigenvalue of G at the null, relative to the largest, that counts as zero."""


@dataclass(frozen=True, eq=False)
class AtNull:
    """A term of the full model where the restricted one is true.

    Attributes
    ----------
    one_sided : sequence of ndarray (q, q)
        Directions that lead from the edge of the parameter space to its inside.
    free : sequence of ndarray (q, q)
        Directions in which G can move both ways.
    g : ndarray, shape (q, q), or None
        G there; None where directions are not worked out: the numbers of them still hold.
    """

    one_sided: Sequence[Floats | None]
    free: Sequence[Floats] = ()
    g: Floats | None = None


def at_null(full: RandomTerm, restricted: RandomTerm | None, theta: Floats, held: bool) -> AtNull:
    """The directions of one term.

    Parameters
    ----------
    full : RandomTerm
    restricted : RandomTerm or None
        Its counterpart in the restricted model.
    theta : ndarray
        Components of the counterpart.
    held : bool
        Whether rows are held.

    Raises
    ------
    NoClosedFormError
        If they make no half-lines: the space of covariance matrices has a corner there, or a
        component of the full model is without meaning there.
    """
    if restricted is None:
        return _dropped(full)
    columns = columns_of(full, restricted) if held else list(range(full.q))
    if columns is None:
        assert is_their_sum(full, restricted)
        return _all_equal(full, restricted, theta)
    if len(columns) < full.q:
        return _fewer_effects(full, restricted, theta, columns)
    if _same_family(full, restricted, theta):
        return _same_structure(full, restricted, theta)
    _refuse_pins(full, restricted)
    if _code(restricted) not in SUBMODELS.get(_code(full), ()):
        raise NoClosedFormError(
            f"{_called(restricted)} of the restricted model is not known to be a special case of "
            f"{_called(full)} of the full one"
        )
    _refuse_singular(restricted, theta)
    return AtNull([None] if _code(full) == "CAR" else [])


def _code(term: RandomTerm) -> str:
    structure = term.structure
    inner = getattr(structure, "inner", structure)
    return str(inner.code)


def _called(term: RandomTerm) -> str:
    return f"{term.name!r} ({_code(term)})"


def _refuse_pins(*terms: RandomTerm) -> None:
    for term in terms:
        if term.structure.fixed.any():
            raise NoClosedFormError(
                f"components of {_called(term)} are fixed, and the models differ in that term"
            )


def _refuse_singular(term: RandomTerm, theta: Floats) -> None:
    """A G of reduced rank is at a corner of the space whatever is tested."""
    if term.q == 1 or _code(term) not in CORNERS:
        return
    values = np.linalg.eigvalsh(term.structure.matrix(theta))
    if values[0] <= SINGULAR * values[-1]:
        raise NoClosedFormError(f"the covariance matrix of {_called(term)} is singular under both")


def _dropped(term: RandomTerm) -> AtNull:
    """A term the restricted model does not have: its variances are 0."""
    structure = term.structure
    _refuse_pins_of_variances(term)
    if isinstance(structure, CompoundSymmetry) and term.q > 1:
        zero = np.zeros(2)  # two variances, of the mean and about it
        return AtNull(list(structure.working.jacobian(zero)), g=structure.working.matrix(zero))
    if all(c.power == 2 for c in structure.components):
        zero = np.zeros(len(structure.components))
        return AtNull(list(structure.jacobian(zero)), g=structure.matrix(zero))
    if term.q == 1:
        return AtNull([np.ones((1, 1))], g=np.zeros((1, 1)))
    raise NoClosedFormError(
        f"without {_called(term)} its correlations or ranges have no meaning, as its variances "
        "are 0, or these leave 0 with covariances"
    )


def _refuse_pins_of_variances(term: RandomTerm) -> None:
    variance = np.array([c.power == 2 for c in term.structure.components])
    if (term.structure.fixed & variance).any():
        raise NoClosedFormError(
            f"a variance of {_called(term)} is fixed in the full model, and the restricted one "
            "leaves the term out"
        )


def _all_equal(full: RandomTerm, restricted: RandomTerm, theta: Floats) -> AtNull:
    """A random intercept in place of correlated effects: their correlation is 1.

    A correlation function of one parameter that ends at R = J, the matrix of ones, is there by
    design a smooth one with a slope: CS, AR, CAR, those of distance at an infinite range, and
    whatever has two levels.
    """
    _refuse_pins(full, restricted)
    structure = full.structure
    if _code(full) == "SCALE":
        return AtNull([])  # its slopes are 0, which is no edge
    if _code(full) in CORNERS and not _one_correlation(full):
        raise NoClosedFormError(
            f"{_called(full)} is singular where it is the random intercept {restricted.name!r}: "
            "several correlations come to an edge together"
        )
    ones = np.ones((full.q, full.q))
    if not isinstance(structure, ScaledCorrelation) or not _ends_at(structure, ones):
        raise NoClosedFormError(
            f"the random intercept {restricted.name!r} is not known to be a special case of "
            f"{_called(full)}"
        )
    chart = structure.correlation.working
    sigma2 = float(theta[0])
    own = np.eye(full.q)[:, :, None] * np.ones(full.q)  # row k of G with the k-th variance
    free = [ones] if structure.n_scales == 1 else list((own + own.swapaxes(1, 2)) / 2.0)
    return AtNull([-sigma2 * chart.jacobian(chart.upper)[0]], free, sigma2 * ones)


def _ends_at(structure: ScaledCorrelation, r: Floats) -> bool:
    """Whether a correlation function of one parameter is `r` at the upper end of its range."""
    chart = structure.correlation.working
    if len(chart.upper) != 1:
        return False
    return bool(np.allclose(chart.matrix(chart.upper), r, rtol=0.0, atol=SINGULAR))


def _fewer_effects(
    full: RandomTerm, restricted: RandomTerm, theta: Floats, columns: Sequence[int]
) -> AtNull:
    """Effects left out of a term."""
    _refuse_pins(full, restricted)
    gone = [j for j in range(full.q) if j not in columns]
    alike = restricted.q == 1 or _code(restricted) == _code(full)
    if len(set(columns)) < len(columns) or not alike:
        raise NoClosedFormError(f"{_called(restricted)} has other effects than {_called(full)}")
    g = np.zeros((full.q, full.q))
    g[np.ix_(columns, columns)] = restricted.structure.matrix(theta)
    unit = np.eye(full.q)
    if _code(full) == "DIAG":
        kept, lost = ([np.outer(unit[j], unit[j]) for j in which] for which in (columns, gone))
        return AtNull(lost, kept, g)
    if _code(full) != "UN" or len(gone) > 1:
        raise NoClosedFormError(
            f"{len(gone)} effects of {_called(full)} are left out with their correlations; a "
            "mixture is known for one effect of UN or GEN, and for uncorrelated ones"
        )
    _refuse_singular(restricted, theta)
    row, column = np.triu_indices(full.q)
    pairs = [(i, j) for i, j in zip(row.tolist(), column.tolist(), strict=True)]
    free = [_both(unit, i, j) for i, j in pairs if (i, j) != (gone[0], gone[0])]
    return AtNull([np.outer(unit[gone[0]], unit[gone[0]])], free, g)


def _both(unit: Floats, i: int, j: int) -> Floats:
    half = np.outer(unit[i], unit[j])
    return half if i == j else half + half.T


def _same_family(full: RandomTerm, restricted: RandomTerm, theta: Floats) -> bool:
    if _code(full) != _code(restricted) or len(theta) != len(full.structure.components):
        return False
    g, h = full.structure.matrix(theta), restricted.structure.matrix(theta)
    return bool(np.allclose(g, h, rtol=1e-12, atol=0.0))


def _same_structure(full: RandomTerm, restricted: RandomTerm, theta: Floats) -> AtNull:
    structure = full.structure
    new = restricted.structure.fixed & ~structure.fixed
    if (structure.fixed & ~restricted.structure.fixed).any():
        raise NoClosedFormError(
            f"a component of {_called(full)} is fixed in the full model and not in the restricted"
        )
    on_edge = [j for j in np.flatnonzero(new).tolist() if _on_edge(full, j, float(theta[j]))]
    slopes = structure.jacobian(theta)
    one_sided = [slopes[j] if theta[j] < structure.upper[j] else -slopes[j] for j in on_edge]
    if not all(np.any(slope) for slope in one_sided):
        raise NoClosedFormError(f"{_called(full)} does not move with what is fixed at its edge")
    if not on_edge and _code(full) in CORNERS:
        _refuse_singular(restricted, theta)
    still = structure.fixed.copy()
    still[on_edge] = True
    free = [slopes[j] for j in np.flatnonzero(~still)]
    return AtNull(one_sided, free, structure.matrix(theta))


def _on_edge(term: RandomTerm, j: int, value: float) -> bool:
    """Whether a value the restricted model fixes is an edge, and one with a single direction."""
    structure = term.structure
    c = structure.components[j]
    if c.lower < value < c.upper:
        return False
    by_itself = all(other.power == 2 for other in structure.components)
    if c.power == 2 and value == 0 and by_itself:
        return True
    if _one_correlation(term) and c.power == 0 and np.isfinite(value):
        return True
    raise NoClosedFormError(
        f"{c.kind}{f' of {c.level}' if c.level else ''} of {_called(term)} is fixed at {value:g}, "
        "an edge where other components lose their meaning or come to an edge, too"
    )


def _one_correlation(term: RandomTerm) -> bool:
    structure = term.structure
    return isinstance(structure, ScaledCorrelation) and len(structure.correlation.levels) == 1
