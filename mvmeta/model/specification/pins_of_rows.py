"""What is fixed automatically where some of a model's rows are left out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mvmeta.design.problem import MetaProblem
from mvmeta.design.terms import RandomTerm
from mvmeta.model.specification.pins import Occurrence, pin
from mvmeta.model.specification.records import TermRecord
from mvmeta.model.specification.specs import TermSpec
from mvmeta.structures import CovarianceStructure, Pinned, Tied


@dataclass(frozen=True, eq=False)
class PinsOfRows:
    """The rules of `pins.pin` for a part of the rows: what these tell nothing of is fixed.

    A variance that all rows tell may be told by none of them: that of a level seen once, say.

    Parameters
    ----------
    specs : tuple of TermSpec or None
        What the user asked for, term by term.
    """

    specs: tuple[TermSpec | None, ...]

    @classmethod
    def of(cls, records: Sequence[TermRecord]) -> "PinsOfRows":
        """The rules of the terms with these records."""
        return cls(tuple(r.spec for r in records))

    def __call__(self, part: MetaProblem) -> tuple[MetaProblem, list[str]]:
        """Fix in `part` what its rows do not tell.

        Parameters
        ----------
        part : MetaProblem
            Some rows of the problem, with the structures it has.

        Returns
        -------
        problem : MetaProblem
            The same with the structures of a model made for these rows: as many components, more
            or fewer of them fixed.  Terms with ``corr=`` or ``scale=`` stay as they are.
        notes : list of str
            One sentence for every component that is fixed automatically.
        """
        saturated = part.n == part.p
        terms, notes = [], []
        for term, spec in zip(part.terms, self.specs, strict=True):
            if spec is None or spec.scale is not None or term.correlated is not None:
                terms.append(term)
                continue
            structure, own = pin(
                _free(term.structure), spec, term.n_levels, _occurrence(term), saturated
            )
            terms.append(replace(term, structure=structure))
            notes += own
        return replace(part, terms=tuple(terms)), notes


def _free(structure: CovarianceStructure) -> CovarianceStructure:
    """The structure without what is fixed or equal."""
    while isinstance(structure, Pinned | Tied):
        structure = structure.inner
    return structure


def _occurrence(term: RandomTerm) -> Occurrence | None:
    return None if term.inner is None else Occurrence(term.level, term.inner, term.q)
