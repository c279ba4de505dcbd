"""The rows of the data and the clusters within which their sampling errors may correlate."""

from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.columns import numeric, row_names
from mvmeta.errors import CovarianceError, DataError
from mvmeta.model.specification.frames import Source, normalise, shorten
from mvmeta.model.specification.levels import Factor, factor, level_texts
from mvmeta.model.specification.rows import aligned

Column: TypeAlias = Any
"""Name of a column of `data`, or one value per row."""


@dataclass(frozen=True, eq=False)
class ClusteredRows:
    """The rows of the data and the clusters they form.

    Attributes
    ----------
    source : Source
    has_data : bool
    labels : Index or None
        Of the rows, where the data (or `cluster` or `vi`) have an index.
    cluster : str or None
        Column of the data with the studies, where it was given by name.
    study : Factor
        Over `cluster`.
    unit : Factor
        Over `cluster` and `subgroup`.
    """

    source: Source
    has_data: bool
    labels: pd.Index | None
    cluster: str | None
    study: Factor
    unit: Factor

    @classmethod
    def of(
        cls, data: Any, vi: Column, cluster: Column, subgroup: Column | None = None
    ) -> "ClusteredRows":
        """Rows of `data`, or of the arrays where there is none."""
        source = read_source(data, vi, cluster)
        columns = [read_column(source, data is not None, cluster, "cluster")]
        if subgroup is not None:
            columns.append(read_column(source, data is not None, subgroup, "subgroup"))
        for name, column in zip(("cluster", "subgroup"), columns, strict=False):
            check_complete(column, name)
        study = factor(columns[:1])
        unit = factor(columns) if subgroup is not None else study
        indexed = any(isinstance(given, (pd.DataFrame, pd.Series)) for given in (data, vi, cluster))
        return cls(
            source=source,
            has_data=data is not None,
            labels=source.index if indexed else None,
            cluster=cluster if isinstance(cluster, str) else None,
            study=study,
            unit=unit,
        )

    @property
    def block(self) -> Ints:
        """Code (n,) of the rows that may correlate."""
        return self.unit.codes

    @property
    def paired(self) -> Bools:
        """Rows (n,) that are not alone in their block."""
        return np.asarray(np.bincount(self.block, minlength=1)[self.block] > 1)

    def column(self, value: Column, name: str) -> pd.Series:
        """A complete column (n,)."""
        column = read_column(self.source, self.has_data, value, name)
        check_complete(column, name)
        return column

    def numbers(self, value: Column, name: str) -> Floats:
        """A complete and finite numeric column (n,)."""
        out = numeric(self.column(value, name), name)
        self._refuse(~np.isfinite(out), f"{name} must be finite", DataError)
        return out

    def positive(self, value: Column, name: str) -> Floats:
        """A complete numeric column (n,) of finite numbers above 0."""
        out = self.numbers(value, name)
        self._refuse(out <= 0, f"{name} must be > 0", DataError)
        return out

    def variances(self, vi: Column) -> Floats:
        """The sampling variances (n,), NaN where missing."""
        if isinstance(vi, Real):
            out = np.full(self.source.n, float(vi))
        else:
            out = numeric(read_column(self.source, self.has_data, vi, "vi"), "vi")
        self._refuse(np.isinf(out) | (out < 0), "vi must be finite and >= 0", CovarianceError)
        return out

    def _refuse(self, bad: Bools, what: str, error: type[Exception]) -> None:
        if bad.any():
            raise error(f"{what}, but is not in {self.where(np.flatnonzero(bad))}")

    def where(self, positions: Ints) -> str:
        """Return "row 7 (study 3)" or "rows 7, 9 (studies 3, 5)"."""
        rows = row_names(self.source.index, positions)
        studies = pd.unique(self.study.codes[positions])
        names = shorten(self.study.levels[int(s)] for s in studies)
        return f"{rows} ({'study' if len(studies) == 1 else 'studies'} {names})"


def read_source(data: Any, vi: Column, cluster: Column) -> Source:
    """The data; without any, the index of the first argument that has one."""
    if data is not None:
        return Source(data)
    for name, value in (("cluster", cluster), ("vi", vi)):
        if isinstance(value, str):
            raise DataError(f"{name}={value!r} names a column, but data= is missing")
        if isinstance(value, pd.Series):
            return Source(pd.DataFrame(index=value.index))
    return Source(pd.DataFrame(index=pd.RangeIndex(np.size(cluster))))


def read_column(source: Source, has_data: bool, value: Column, name: str) -> pd.Series:
    """A column (n,) by its name, or values beside the data aligned with them."""
    if isinstance(value, str):
        if not has_data:
            raise DataError(f"{name}={value!r} names a column, but data= is missing")
        return source.column(value, name)
    plain = value.array if isinstance(value, pd.Index) else value
    return normalise(aligned(plain, source.index, name))


def check_complete(column: pd.Series, name: str) -> None:
    """Refuse missing values."""
    missing = column.isna().to_numpy()
    if missing.any():
        raise DataError(
            f"{name} is missing in {row_names(column.index, missing)}; fill it in, or leave "
            "these rows out before"
        )


def common_codes(first: pd.Series, second: pd.Series) -> tuple[Ints, Ints]:
    """Codes (n,) of two columns that agree where their values read the same."""
    factors = [factor([first]), factor([second])]
    texts = [level_texts(f.levels.as_index) for f in factors]
    codes = np.unique(np.array([*texts[0], *texts[1]], dtype=object), return_inverse=True)[1]
    cut = len(texts[0])
    return codes[:cut][factors[0].codes], codes[cut:][factors[1].codes]
