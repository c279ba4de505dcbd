"""What the names in a call stand for: columns of the data, or objects beside them."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.errors import DataError
from mvmeta.metafor.nodes import Node, Symbol, is_call, operands, refusal
from mvmeta.metafor.python import Column, Expression, Name
from mvmeta.model.specification.frames import Source, suggest

NUMPY = (
    "log", "log2", "log10", "log1p", "exp", "sqrt", "abs", "sin", "cos", "tan", "round", "floor",
    "ceil", "sign", "mean", "min", "max", "median", "sum", "where", "arcsin", "tanh", "arctanh",
    "std", "var", "asarray", "arange", "full", "ones",
)  # fmt: skip
"""Functions of numpy a translation may call."""


class Session:
    """The data and objects a call may name, and what comes before the model in the code.

    Parameters
    ----------
    data : DataFrame or None
        Data of the call, whatever their name in R.
    objects : mapping of str to object
        Everything else, data sets included, by its name in R or in Python.
    functions : mapping of str to callable
        What the Python code calls.

    Attributes
    ----------
    names : dict of str to object
        Values of the names in the Python code, as far as they are known.
    statements : list of (str, Expression)
        Assignments that come before the model.
    notes : list of str
        What differs between the two programs, in sentences.
    elsewhere : set of str
        Names that lines which are not translated give a value.
    """

    def __init__(
        self, data: Any, objects: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]
    ) -> None:
        self.objects = {python_name(name): value for name, value in objects.items()}
        self.names: dict[str, Any] = {f"np.{name}": getattr(np, name) for name in NUMPY}
        self.names |= {**functions, **self.objects}
        self.statements: list[tuple[str, Expression]] = []
        self.notes: list[str] = []
        self.elsewhere: set[str] = set()
        self._data = None if data is None else as_pandas(data)
        self._bound: str | None = None

    def frame(self, r_name: str, where: Node) -> str:
        """The Python name of a data set; the data given are those of the first one asked for.

        Raises
        ------
        SpecificationError
            If the call names a second data set that was not given.
        """
        name = python_name(r_name)
        if name in self.assigned:
            return name
        if name in self.objects:
            self.names[name] = as_pandas(self.objects[name])
        elif self._bound is None or self._data is None:
            self._bound = name
            if self._data is not None:
                self.names[name] = self._data
        elif self._bound != name:
            raise refusal(
                where,
                f"the data set {r_name!r} is not {self._bound!r}; give it by its name, as in "
                f"from_metafor(..., {name}=...)",
            )
        return name

    @property
    def has_unused_data(self) -> bool:
        """Whether data were given, and the text names other ones only."""
        return self._data is not None and self._bound is None

    @property
    def assigned(self) -> set[str]:
        """Names the code assigns."""
        return {name for name, _ in self.statements}

    def assign(self, name: str, value: Expression) -> None:
        """Add an assignment, and carry it out where everything in it is known.

        Raises
        ------
        MvmetaError
            Whatever the assignment raises.
        """
        known = None
        with suppress(KeyError):  # without data there is nothing to compute from
            known = value.value(self.names)
        self.statements.append((name, value))
        self.names.pop(name, None)
        if known is not None:
            self.names[name] = known

    def columns(self, frame: str) -> frozenset[str] | None:
        """Columns of a data set; None where it was not given."""
        known = self.names.get(frame)
        return frozenset(map(str, known.columns)) if isinstance(known, pd.DataFrame) else None

    def note(self, sentence: str) -> None:
        """Add a note, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)


@dataclass(frozen=True)
class Scope:
    """The names of one call.

    Attributes
    ----------
    session : Session
    frame : str
        Name of its data in the Python code.
    columns : frozenset of str, or None
        Columns of its data; None where they were not given.
    """

    session: Session
    frame: str
    columns: frozenset[str] | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", self.session.columns(self.frame))

    def note(self, sentence: str) -> None:
        """Add a note, once."""
        self.session.note(sentence)

    def is_column(self, symbol: Symbol) -> bool:
        """Whether a name is a column of the data rather than an object beside them.

        Raises
        ------
        SpecificationError
            If the data are known and it is neither.
        """
        if self.columns is not None and symbol.name in self.columns:
            return True
        name = python_name(symbol.name)
        if name in self.session.objects or name in self.session.assigned:
            return False
        if self.columns is None and name in self.session.elsewhere:
            return False
        if self.columns is None:
            return True
        raise refusal(
            symbol,
            f"{symbol.name!r} is no column of the data, and no object of that name was given"
            f"{suggest(symbol.name, sorted(self.columns))}. An object is given by its name, as in "
            f"from_metafor(..., {name}=...)",
        )

    def column(self, symbol: Symbol) -> Expression:
        """How a name is written outside formulas: ``dat["x"]``, or an object."""
        if self.is_column(symbol):
            return Column(self.frame, symbol.name)
        return Name(python_name(symbol.name))

    def is_numeric(self, symbol: Symbol) -> bool | None:
        """Whether a column holds numbers; None where the data were not given."""
        if self.columns is None or symbol.name not in self.columns:
            return None
        return bool(pd.api.types.is_numeric_dtype(self.session.names[self.frame][symbol.name]))

    def levels(self, name: str) -> list[str]:
        """Values of a column of text; nothing for another one, or where data were not given."""
        if self.columns is None:
            return []
        values = self.session.names[self.frame][name]
        if isinstance(values.dtype, pd.CategoricalDtype) or pd.api.types.is_numeric_dtype(values):
            return []
        found = values.dropna().unique()
        return [str(v) for v in found] if all(isinstance(v, str) for v in found) else []

    def missing(self) -> frozenset[str] | None:
        """Columns with missing values; None where the data were not given."""
        if self.columns is None:
            return None
        frame = self.session.names[self.frame]
        return frozenset(str(name) for name in frame.columns[frame.isna().any()])


def as_pandas(data: Any) -> pd.DataFrame:
    """The data as pandas; pandas frames are passed through."""
    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, Mapping) and any(isinstance(x, pd.DataFrame) for x in data.values()):
        raise DataError(
            "data= takes one data set, and these are several by name; give them by their names: "
            "from_metafor(call, dat=frame)"
        )
    source = Source(data)
    return source.frame(source.columns)


def python_name(name: str) -> str:
    """A name of R as one of Python: dots become underscores."""
    plain = re.sub(r"\W", "_", name)
    return f"{plain}_" if keyword.iskeyword(plain) or not plain.isidentifier() else plain


def column_name(node: Node) -> Symbol | None:
    """The column that ``x``, ``dat$x`` or ``dat[["x"]]`` stands for; None for anything else."""
    if isinstance(node, Symbol):
        return node
    if is_call(node, "$", "[["):
        of, name = operands(node)[:2]
        text = getattr(name, "value", None)
        if isinstance(of, Symbol) and isinstance(text, str):
            return Symbol(node.span, text)
    return None


def frames_named(node: Node | None) -> list[Symbol]:
    """Data sets named before a ``$`` anywhere in an expression."""
    if node is None:
        return []
    if is_call(node, "$", "[["):
        of = operands(node)[0]
        return [of] if isinstance(of, Symbol) else []
    return [name for part in operands(node) for name in frames_named(part)]
