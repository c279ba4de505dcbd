"""What is read of every batch, and which of its rows are usable."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Ints
from mvmeta.errors import CovarianceError, DataError, SpecificationError
from mvmeta.model.specification.formula import FormulaSpec, ParsedFormula
from mvmeta.model.specification.frames import Source
from mvmeta.model.specification.grammar import SLOPES
from mvmeta.model.specification.rows import usable_rows
from mvmeta.model.specification.specs import TermSpec
from mvmeta.model.specification.variance import GivenVariance, read_variance

MANY = 2
"""Times as many columns as are used, from which on the used ones are copied."""


@dataclass(frozen=True, eq=False)
class Factors:
    """Columns a formula uses, and those whose every level it has to know; it pickles.

    Attributes
    ----------
    text : str
    variables : tuple of str
    factors, coded : frozenset of str
        As in `ParsedFormula`.
    """

    text: str
    variables: tuple[str, ...]
    factors: frozenset[str]
    coded: frozenset[str]

    @classmethod
    def of(cls, parsed: ParsedFormula) -> "Factors":
        """What is kept of a parsed formula."""
        return cls(parsed.text, parsed.variables, parsed.factors, parsed.coded)


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is read of every batch; it pickles.

    Attributes
    ----------
    formula : Factors
    variance : str, float or callable
        A column, a number, or a function of a batch that returns its V.
    terms : tuple of TermSpec
    slopes : mapping of str to Factors
        Left sides of the terms with random slopes, by name of the term.
    missing : {"drop", "raise", "none"}
    filters : tuple of FormulaSpec
        Rows on which one of these is missing are unusable, too.
    """

    formula: Factors
    variance: Any
    terms: tuple[TermSpec, ...]
    slopes: Mapping[str, Factors]
    missing: str
    filters: tuple[FormulaSpec, ...] = ()

    @property
    def parts(self) -> list[Factors]:
        """The formula and the left sides of the random slopes."""
        return [self.formula, *self.slopes.values()]

    @cached_property
    def columns(self) -> dict[str, str]:
        """Every column that is used, and what for."""
        out = dict.fromkeys(self.formula.variables, f"the formula {self.formula.text!r}")
        if isinstance(self.variance, str):
            out.setdefault(self.variance, "variance")
        for term in self.terms:
            role = f"the random term {term.name!r}"
            slopes = self.slopes[term.name].variables if term.code in SLOPES else ()
            for name in (*term.outer.columns, *term.inner, *slopes):
                out.setdefault(name, role)
        return out

    def read(self, number: int, data: Any) -> "Batch":
        """The used columns of a batch, its V, and its usable rows.

        Parameters
        ----------
        number : int
            Of the batch, counted from 0.
        data : DataFrame or anything `Source` reads

        Raises
        ------
        DataError, CovarianceError
            If a column is not there or cannot be used; names the batch.
        """
        with naming(number):
            source = Source(data)
            frame = pd.DataFrame(
                {name: source.column(name, role) for name, role in self.columns.items()},
                index=source.index,
                copy=False,
            )
            if len(source.columns) > MANY * len(frame.columns):
                frame = frame.copy()  # views would keep alive what is not used
            _refuse_complex(frame)
            variance = read_variance(self._variance(data), source)
            absent = {name: frame[name].isna().to_numpy() for name in self.columns}
            absent[variance.name] = variance.missing
            rows, lost = self._usable(frame, absent)
            return Batch(number, frame, variance, rows, lost)

    def _variance(self, data: Any) -> Any:
        return self.variance(data) if callable(self.variance) else self.variance

    def _usable(
        self, frame: pd.DataFrame, absent: Mapping[str, Bools]
    ) -> tuple[Ints, pd.DataFrame]:
        rows, lost = usable_rows(np.arange(len(frame)), absent, self.missing, frame.index)
        for spec in self.filters:
            bad = np.isnan(spec.design(frame.iloc[rows])).any(axis=1)
            mask = np.zeros(len(frame), dtype=bool)
            mask[rows] = bad
            name = f"a part of {spec.text!r}"
            rows, more = usable_rows(rows, {name: mask}, self.missing, frame.index)
            lost = pd.concat([lost, more], ignore_index=True) if len(lost) else more
        return rows, lost


@dataclass(frozen=True, eq=False)
class Batch:
    """One batch.

    Attributes
    ----------
    number : int
    frame : DataFrame (m, ...)
        The used columns of all its rows.
    variance : GivenVariance
        V of all its rows.
    rows : ndarray of int
        Positions of the usable ones.
    lost : DataFrame
        Columns `row` and `reason` of the others.
    """

    number: int
    frame: pd.DataFrame
    variance: GivenVariance
    rows: Ints
    lost: pd.DataFrame

    @property
    def usable(self) -> pd.DataFrame:
        """The used columns of the usable rows."""
        return self.frame if len(self.rows) == len(self.frame) else self.frame.iloc[self.rows]


@contextmanager
def naming(number: int) -> Iterator[None]:
    """Errors of the package raised inside name the batch."""
    try:
        yield
    except (DataError, CovarianceError, SpecificationError) as error:
        text = str(error)
        if text.startswith("batch "):
            raise
        raise type(error)(f"batch {number}: {text}") from error


@dataclass(frozen=True, eq=False)
class UsableRows:
    """The task that fetches the usable rows of the formula's columns."""

    wanted: Wanted

    def __call__(self, number: int, data: Any) -> pd.DataFrame:
        return self.wanted.read(number, data).usable


Task = Callable[[int, Any], Any]
"""What a source of frames applies to every batch: its number and the frame."""


def _refuse_complex(frame: pd.DataFrame) -> None:
    for name in frame:
        if frame[name].dtype.kind == "c":
            raise DataError(f"the column {name!r} holds complex numbers; take their real part")
