"""V from columns of a frame: what makes the effects of one study depend on one another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.impute import (
    Autoregressive,
    Concurrent,
    Constant,
    Contrasts,
    Fault,
    Labelled,
    Part,
    Tabulated,
    impute,
)
from mvmeta.design.sampling import DEFINITE_TOLERANCE, SamplingCovariance
from mvmeta.errors import CovarianceError, DataError, SpecificationError
from mvmeta.model.specification.frames import (
    MOST_NAMED,
    Source,
    normalise,
    numeric,
    row_names,
    shorten,
)
from mvmeta.model.specification.labelled import select_labelled
from mvmeta.model.specification.levels import Factor, factor, level_texts
from mvmeta.model.specification.rows import aligned, warn

Column: TypeAlias = Any
"""Name of a column of `data`, or one value per row."""

_NEEDS = (
    ("obs", "rho", "the correlation of different observations"),
    ("type", "rho", "the correlation of different types"),
    ("time1", "phi", "the correlation of two times one unit apart"),
    ("phi", "time1", "the times it works on"),
    ("grp1", "grp2", "the other group of each contrast"),
    ("grp2", "grp1", "the other group of each contrast"),
    ("w1", "grp1", "the groups whose sizes these are"),
    ("w1", "w2", "the sizes of the second groups"),
    ("w2", "w1", "the sizes of the first groups"),
    ("time2", "time1", "the time of the first condition"),
    ("time2", "grp2", "the groups of the two conditions (the same one in a within-subject design)"),
)
"""Arguments that say nothing without another one, and what that is."""


def vcalc(
    vi: Column,
    cluster: Column,
    *,
    subgroup: Column | None = None,
    obs: Column | None = None,
    type: Column | None = None,
    time1: Column | None = None,
    time2: Column | None = None,
    grp1: Column | None = None,
    grp2: Column | None = None,
    w1: Column | None = None,
    w2: Column | None = None,
    data: Any = None,
    rho: Any = None,
    phi: Any = None,
    rvars: Any = None,
    checkpd: bool = True,
    nearpd: bool = False,
) -> SamplingCovariance:
    """Build the covariance of dependent sampling errors from what makes them dependent.

    Rows of different clusters are independent.  Within a cluster V_ij = r_ij sqrt(v_i v_j), and
    r_ij is the product of the parts asked for: observations and types (`rho`), times (`phi`)
    and shared groups.  Two rows that no part tells apart correlate 1.

    Every argument down to `w2` is the name of a column of `data`, or an array or Series with
    one value per row.

    Parameters
    ----------
    vi : column or float
        Sampling variances.  A row where it is missing stays, with missing covariances: the
        model drops it.
    cluster : column
        Study: rows of different studies are independent.
    subgroup : column, optional
        Parts of a study without common subjects; rows of different parts are independent.
    obs : column, optional
        Tells apart several observations (scales, raters) of one construct; needs `rho`.
    type : column, optional
        Tells apart constructs or outcomes; needs `rho`, a pair where `obs` is given, too.
    time1, time2 : column, optional
        Numeric times of the first and the second condition of a row; need `phi`.  `time2` is
        `time1` unless given, and needs the groups.
    grp1, grp2 : column, optional
        The two groups each row contrasts.  Rows of a study that share a group correlate, by 0.5
        if they share one, with the same sign, and all groups are of one size.
    w1, w2 : column, optional
        Sizes of the two groups (more generally inverse sampling variances of their means).
    data : DataFrame or any eager frame narwhals knows, optional
    rho : float, str, mapping, Series, DataFrame or a pair of these, optional
        Correlation of different observations, or of different types: a number; per study, as the
        name of a column or a mapping or Series from study to number; or a DataFrame labelled by
        the levels of `obs` or `type`.  With both, a pair (within a type, by `obs`; between
        types, by `type`).  Alone, without any column to tell rows apart, it applies to all pairs
        of rows in a cluster.
    phi : float, str, mapping or Series, optional
        Autocorrelation of two times one unit apart, r = phi^|t_i - t_j|; per study as for `rho`.
    rvars : list of column names, or frame or array of shape (n, q), optional
        Columns with each study's correlation matrix: row i of a study with k rows holds, in the
        first i of them, row i of the lower triangle.  Instead of all parts above.  The diagonal
        counts, too: covariance matrices may be given with ``vi=1``.
    checkpd : bool
        Refuse a V in which a cluster is not positive definite.  Without it, such a V is returned
        as it is; one that is merely singular suits a model whose random effects fill the gap.
    nearpd : bool
        Replace the correlations of such clusters by the nearest ones that are positive definite,
        with a warning that says where and how much; sampling variances stay.

    Returns
    -------
    SamplingCovariance
        Block-sparse, in the order of the rows: the `variance` of a model.  ``.blocks`` and
        ``.toarray()`` are for looking at it.

    Raises
    ------
    DataError
        For columns that do not exist or have missing or impossible values; names the rows.
    SpecificationError
        For arguments that do not go together, or correlations outside [-1, 1].
    CovarianceError
        For a negative or infinite variance, or a cluster that is not positive definite
        (`checkpd`); names studies and rows.

    Notes
    -----
    Contrasts: with arm a in group g_a at time t_a, of weight w_a, the covariance of two arms is
    [g_a = g_b] phi^|t_a - t_b| / sqrt(w_a w_b); the correlation of two rows is that of the
    differences of their arms.  Shared groups: Gleser and Olkin (2009), Stochastically dependent
    effect sizes, in The Handbook of Research Synthesis and Meta-Analysis.

    Examples
    --------
    >>> from mvmeta import datasets, vcalc
    >>> effects = datasets.load("assink2016")
    >>> vcalc("vi", "study", obs="esid", rho=0.6, data=effects)
    SamplingCovariance(100 rows, 17 blocks, largest 22, correlations 0.6)
    """
    rows = _Rows.of(data, vi, cluster, subgroup)
    given = {
        "obs": obs, "type": type, "time1": time1, "time2": time2, "grp1": grp1, "grp2": grp2,
        "w1": w1, "w2": w2, "rho": rho, "phi": phi,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    variances = rows.variances(vi)
    if rvars is None:
        _check_combination(given)
        parts = _parts(rows, given)
    else:
        variances, part = _tabulated(rows, variances, rvars, given)
        parts = [part]
    out, faults = impute(variances, rows.block, parts, check=checkpd, repair=nearpd)
    if faults and nearpd:
        warn(_say_repaired(rows, faults))
    elif faults:
        raise CovarianceError(_say_indefinite(rows, faults))
    return out


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of the data and the clusters they form.

    Attributes
    ----------
    source : Source
    has_data : bool
    study : Factor
        Over `cluster`.
    unit : Factor
        Over `cluster` and `subgroup`.
    """

    source: Source
    has_data: bool
    study: Factor
    unit: Factor

    @classmethod
    def of(cls, data: Any, vi: Column, cluster: Column, subgroup: Column | None) -> "_Rows":
        source = _source(data, vi, cluster)
        columns = [_column(source, data is not None, cluster, "cluster")]
        if subgroup is not None:
            columns.append(_column(source, data is not None, subgroup, "subgroup"))
        for name, column in zip(("cluster", "subgroup"), columns, strict=False):
            _check_complete(column, name)
        study = factor(columns[:1])
        return cls(
            source, data is not None, study, factor(columns) if subgroup is not None else study
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
        column = _column(self.source, self.has_data, value, name)
        _check_complete(column, name)
        return column

    def numbers(self, value: Column, name: str) -> Floats:
        """A complete and finite numeric column (n,)."""
        out = numeric(self.column(value, name), name)
        self._refuse(~np.isfinite(out), f"{name} must be finite", DataError)
        return out

    def variances(self, vi: Column) -> Floats:
        """The sampling variances (n,), NaN where missing."""
        if isinstance(vi, Real):
            out = np.full(self.source.n, float(vi))
        else:
            out = numeric(_column(self.source, self.has_data, vi, "vi"), "vi")
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


def _source(data: Any, vi: Column, cluster: Column) -> Source:
    if data is not None:
        return Source(data)
    for name, value in (("cluster", cluster), ("vi", vi)):
        if isinstance(value, str):
            raise DataError(f"{name}={value!r} names a column, but data= is missing")
        if isinstance(value, pd.Series):
            return Source(pd.DataFrame(index=value.index))
    return Source(pd.DataFrame(index=pd.RangeIndex(np.size(cluster))))


def _column(source: Source, has_data: bool, value: Column, name: str) -> pd.Series:
    if isinstance(value, str):
        if not has_data:
            raise DataError(f"{name}={value!r} names a column, but data= is missing")
        return source.column(value, name)
    plain = value.array if isinstance(value, pd.Index) else value
    return normalise(aligned(plain, source.index, name))


def _check_complete(column: pd.Series, name: str) -> None:
    missing = column.isna().to_numpy()
    if missing.any():
        raise DataError(
            f"{name} is missing in {row_names(column.index, missing)}; fill it in, or leave "
            "these rows out before"
        )


def _check_combination(given: Mapping[str, Any]) -> None:
    for name, other, what in _NEEDS:
        if name in given and other not in given:
            raise SpecificationError(f"{name}= needs {other}=, {what}")
    columns = [name for name in given if name not in {"rho", "phi"}]
    if "rho" in given and columns and not {"obs", "type"} & set(columns):
        raise SpecificationError(
            "rho= needs obs= or type= beside "
            f"{shorten(columns, most=9)}, to say which rows it applies to"
        )
    if not given:
        raise SpecificationError(
            "nothing says how rows of one cluster correlate; give rho=, with obs= or type= where "
            "rows differ in what they measured, time1= with phi=, grp1= and grp2=, or rvars="
        )


def _parts(rows: _Rows, given: Mapping[str, Any]) -> list[Part]:
    parts: list[Part] = []
    if "rho" in given:
        parts.append(_concurrent(rows, given))
    times = _times(rows, given)
    phi = _autocorrelation(rows, given["phi"], times) if times else None
    if "grp1" in given:
        parts.append(_contrasts(rows, given, times, phi))
    elif times and phi is not None:
        parts.append(Autoregressive(times[0], phi))
    return parts


def _concurrent(rows: _Rows, given: Mapping[str, Any]) -> Part:
    rho = given["rho"]
    if {"obs", "type"} <= set(given):
        within, between = _pair(rho)
        obs, types = (factor([rows.column(given[name], name)]) for name in ("obs", "type"))
        same = Concurrent(obs.codes, _correlation(rows, within, obs, "the first of rho", "obs"))
        differ = _correlation(rows, between, types, "the second of rho", "type")
        return Concurrent(types.codes, differ, same)
    for name in ("obs", "type"):
        if name in given:
            levels = factor([rows.column(given[name], name)])
            return Concurrent(levels.codes, _correlation(rows, rho, levels, "rho", name))
    return _correlation(rows, rho, None, "rho", "")


def _pair(rho: Any) -> tuple[Any, Any]:
    flat = isinstance(rho, (list, tuple)) or (isinstance(rho, np.ndarray) and rho.ndim == 1)
    if flat and len(rho) == 2:
        return rho[0], rho[1]
    raise SpecificationError(
        "with obs= and type=, rho= must be a pair: the correlation within a type and the one "
        f"between types, got {_brief(rho)}"
    )


def _correlation(
    rows: _Rows, rho: Any, levels: Factor | None, what: str, over: str
) -> Constant | Labelled:
    if isinstance(rho, pd.DataFrame) and levels is not None:
        texts = level_texts(levels.levels.as_index)
        matrix = select_labelled(rho, texts, f"{what} (over the levels of {over})")
        if (np.diag(matrix) != 1).any() or (np.abs(matrix) > 1).any():
            raise SpecificationError(
                f"{what} must be a correlation matrix, with a diagonal of 1 and all else within "
                "[-1, 1]"
            )
        return Labelled(levels.codes, matrix)
    return Constant(_per_study(rows, rho, what))


def _per_study(rows: _Rows, value: Any, what: str) -> Floats:
    """A correlation per row (n,), the same in all rows of a block."""
    if isinstance(value, str):
        out = numeric(_column(rows.source, rows.has_data, value, what), what)
    elif isinstance(value, (Mapping, pd.Series)):
        out = _look_up(rows, value, what)
    elif isinstance(value, Real):
        out = np.full(rows.source.n, float(value))
    else:
        raise SpecificationError(
            f"{what} must be a number, the name of a column, a mapping from study to number, or "
            f"a DataFrame labelled by levels, got {_brief(value)}"
        )
    _check_per_study(rows, out, what)
    return out


def _check_per_study(rows: _Rows, values: Floats, what: str) -> None:
    paired = rows.paired
    missing = np.flatnonzero(paired & np.isnan(values))
    if len(missing):
        raise DataError(f"{what} is missing in {rows.where(missing)}")
    outside = np.flatnonzero(paired & ~(np.abs(values) <= 1))
    if len(outside):
        raise SpecificationError(
            f"{what} must lie within [-1, 1], but is {values[outside[0]]:g} in "
            f"{rows.where(outside)}"
        )
    first = np.zeros(rows.block.max(initial=0) + 1, dtype=np.intp)
    first[rows.block[::-1]] = np.arange(len(values))[::-1]
    varies = np.flatnonzero(paired & (values != values[first[rows.block]]))
    if len(varies):
        raise DataError(
            f"{what} must be one number per study, but varies within one: {rows.where(varies)}"
        )


def _look_up(rows: _Rows, values: Mapping[Any, Any] | pd.Series, what: str) -> Floats:
    table = pd.Series(values)
    if not table.index.is_unique:
        twice = table.index[table.index.duplicated()].unique()
        raise DataError(f"{what} has studies twice: {shorten(twice)}")
    table.index = pd.Index(level_texts(table.index), dtype=object)
    wanted = level_texts(rows.study.levels.as_index)
    found = table.index.get_indexer(pd.Index(wanted, dtype=object))
    needed = np.zeros(len(wanted), dtype=bool)
    needed[rows.study.codes[rows.paired]] = True
    lacking = np.flatnonzero(needed & (found < 0))
    if len(lacking):
        raise DataError(
            f"{what} has no value for {len(lacking)} studies: "
            f"{shorten(wanted[k] for k in lacking)}; it has {shorten(table.index)}"
        )
    numbers = np.append(numeric(table, what), np.nan)
    return numbers[found][rows.study.codes]


def _times(rows: _Rows, given: Mapping[str, Any]) -> tuple[Floats, Floats] | None:
    if "time1" not in given:
        return None
    first = rows.numbers(given["time1"], "time1")
    return first, rows.numbers(given["time2"], "time2") if "time2" in given else first


def _autocorrelation(rows: _Rows, phi: Any, times: tuple[Floats, Floats]) -> Floats:
    out = _per_study(rows, phi, "phi")
    # A row alone in its study needs none, but its own variance must still be a number.
    out = np.where(rows.paired, out, 0.0)
    whole = (times[0] == np.round(times[0])) & (times[1] == np.round(times[1]))
    bad = np.flatnonzero((out < 0) & ~whole)
    if len(bad):
        raise SpecificationError(
            f"a negative phi needs whole numbers as times; they are not in {rows.where(bad)}"
        )
    return out


def _contrasts(
    rows: _Rows,
    given: Mapping[str, Any],
    times: tuple[Floats, Floats] | None,
    phi: Floats | None,
) -> Contrasts:
    weights = [np.ones(rows.source.n)] * 2
    if "w1" in given:
        weights = [rows.numbers(given[name], name) for name in ("w1", "w2")]
    for name, w in zip(("w1", "w2"), weights, strict=True):
        if (w <= 0).any():
            raise DataError(
                f"{name} must be > 0, but is not in {rows.where(np.flatnonzero(w <= 0))}"
            )
    groups = _common_codes(*(rows.column(given[name], name) for name in ("grp1", "grp2")))
    out = Contrasts(groups, (weights[0], weights[1]), times, phi)
    empty = np.flatnonzero(rows.paired & ~(out.variances > 0))
    if len(empty):
        raise DataError(
            f"grp1 and grp2{' at the same time' if times else ''} are the same group in "
            f"{rows.where(empty)}, which is no contrast"
        )
    return out


def _common_codes(first: pd.Series, second: pd.Series) -> tuple[Ints, Ints]:
    """Codes (n,) of two columns that agree where their values read the same."""
    factors = [factor([first]), factor([second])]
    texts = [level_texts(f.levels.as_index) for f in factors]
    codes = np.unique(np.array([*texts[0], *texts[1]], dtype=object), return_inverse=True)[1]
    cut = len(texts[0])
    return codes[:cut][factors[0].codes], codes[cut:][factors[1].codes]


def _tabulated(
    rows: _Rows, variances: Floats, rvars: Any, given: Mapping[str, Any]
) -> tuple[Floats, Tabulated]:
    """Variances (n,) and correlations of the matrices in `rvars`."""
    if given:
        raise SpecificationError(
            f"rvars= holds all correlations; {shorten(given, most=9)} cannot be given beside it"
        )
    table = _table(rows, rvars)
    position = _positions(rows.block)
    n, q = table.shape
    large = np.flatnonzero(position >= q)
    if len(large):
        raise DataError(f"rvars= has {q} columns, but a study has more rows: {rows.where(large)}")
    bad = (~np.isfinite(table) & (np.arange(q) <= position[:, None])).any(axis=1)
    if bad.any():
        raise DataError(
            "rvars must be complete on and below the diagonal of each study's matrix, but is not "
            f"in {rows.where(np.flatnonzero(bad))}"
        )
    diagonal = table[np.arange(n), position]
    if (diagonal <= 0).any():
        where = rows.where(np.flatnonzero(diagonal <= 0))
        raise DataError(f"rvars must have a diagonal > 0, but has not in {where}")
    sd = np.sqrt(diagonal)
    return variances * diagonal, Tabulated(_scaled(table, sd, rows.block, position), position)


def _scaled(table: Floats, sd: Floats, block: Ints, position: Ints) -> Floats:
    """The matrices as correlations: entry (i, j) divided by sd_i sd_j."""
    by_block = np.ones((block.max(initial=0) + 1, table.shape[1]))
    by_block[block, position] = sd
    return table / (sd[:, None] * by_block[block])


def _table(rows: _Rows, rvars: Any) -> Floats:
    if isinstance(rvars, (list, tuple)) and all(isinstance(name, str) for name in rvars) and rvars:
        columns = [_column(rows.source, rows.has_data, name, "rvars") for name in rvars]
    elif isinstance(rvars, pd.DataFrame):
        columns = [
            _column(rows.source, rows.has_data, rvars.iloc[:, k], "rvars")
            for k in range(rvars.shape[1])
        ]
    elif np.ndim(rvars) == 2:
        columns = [_column(rows.source, rows.has_data, c, "rvars") for c in np.asarray(rvars).T]
    else:
        raise SpecificationError(
            f"rvars must be a list of column names or a table (n, q), got {_brief(rvars)}"
        )
    return np.column_stack([numeric(c, "rvars") for c in columns])


def _positions(block: Ints) -> Ints:
    """Which row of its block each row is, from 0."""
    order = np.argsort(block, kind="stable")
    size = np.bincount(block, minlength=1)
    out = np.empty(len(block), dtype=np.intp)
    out[order] = np.arange(len(block)) - np.repeat(np.cumsum(size) - size, size)
    return out


def _say_indefinite(rows: _Rows, faults: Sequence[Fault]) -> str:
    worst = min(faults, key=lambda fault: fault.least)
    singular = worst.least >= -DEFINITE_TOLERANCE
    text = (
        f"V is {'singular' if singular else 'not positive definite'} in {_studies(rows, faults)}: "
        f"the correlations of {row_names(rows.source.index, worst.rows)} have the smallest "
        f"eigenvalue {worst.least:.3g}"
    )
    if len(worst.twins):
        text += (
            f", and {row_names(rows.source.index, worst.twins)} correlate 1 or -1; does a column "
            "that tells them apart lack?"
        )
    advice = (
        "checkpd=False accepts it" if singular else "nearpd=True takes the nearest ones that are"
    )
    return f"{text}; check the correlations given, or {advice}"


def _say_repaired(rows: _Rows, faults: Sequence[Fault]) -> str:
    most = sorted(faults, key=lambda fault: -fault.change)
    changes = shorten(
        f"{_study(rows, fault)} by up to {fault.change:.3g}" for fault in most[:MOST_NAMED]
    )
    more = f" and {len(most) - MOST_NAMED} more" if len(most) > MOST_NAMED else ""
    return (
        "correlations were not positive definite and have been replaced by the nearest that are "
        f"(nearpd=True), in {changes}{more}"
    )


def _studies(rows: _Rows, faults: Sequence[Fault]) -> str:
    return shorten(_study(rows, fault) for fault in faults)


def _study(rows: _Rows, fault: Fault) -> str:
    return f"study {rows.unit.levels[int(rows.block[fault.rows[0]])]}"


def _brief(value: Any) -> str:
    kind = value.__class__.__name__
    shape = np.shape(value) if isinstance(value, (np.ndarray, pd.DataFrame, list, tuple)) else None
    return kind if shape is None else f"{kind} of shape {shape}"
