"""From one row per study to one row per group, to contrasts of groups, and to their design."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.columns import did_you_mean, row_names
from mvmeta.effects.inputs import as_frame, read_inputs
from mvmeta.effects.layouts import LAYOUTS
from mvmeta.effects.registry import find_measure
from mvmeta.errors import DataError, SpecificationError

Rows = tuple[str, ...]
"""The inputs that make up one row of the long format, one for each of its columns."""

TWO_MEANS: tuple[Rows, ...] = (("m1i", "sd1i", "n1i"), ("m2i", "sd2i", "n2i"))
TWO_TIMES: tuple[tuple[str, ...], tuple[Rows, ...]] = (
    ("mean1", "mean2", "sd1", "sd2", "n", "r"),
    (("m1i", "m2i", "sd1i", "sd2i", "ni", "ri"),),
)

LONG: Mapping[str, tuple[tuple[str, ...], tuple[Rows, ...]]] = {
    "table": (("out1", "out2"), (("ai", "bi"), ("ci", "di"))),
    "groups": (("mean", "sd", "n"), TWO_MEANS),
    "d": (("mean", "sd", "n"), TWO_MEANS),
    "rates": (("events", "ptime"), (("x1i", "t1i"), ("x2i", "t2i"))),
    "correlation": (("r", "n"), (("ri", "ni"),)),
    "proportion": (("out1", "out2"), (("xi", "mi"),)),
    "rate": (("events", "ptime"), (("xi", "ti"),)),
    "mean": (("mean", "sd", "n"), (("mi", "sdi", "ni"),)),
    "change": TWO_TIMES,
    "change score": TWO_TIMES,
}
"""Columns of the long format of a data layout, and the inputs in each row of a study."""

COUNTS = ("table", "proportion")
"""Layouts of frequencies, which have a very long format as well."""


def to_long(
    measure: str,
    *,
    data: Any = None,
    slab: Any = None,
    vlong: bool = False,
    append: bool = True,
    var_names: Sequence[str] | None = None,
    **inputs: Any,
) -> pd.DataFrame:
    """One row per group (or per cell) from one row per study.

    Parameters
    ----------
    measure : str
        A measure that is computed from such data, such as "OR" or "SMD"; see `escalc`.
    data : DataFrame, optional
        Where column names are looked up.
    slab : array_like of labels or column name, optional
        Study labels; unless given a column `study` of the data, or 1, 2, ...
    vlong : bool
        One row per cell of a table of frequencies.
    append : bool
        Repeat the columns of `data` beside the new ones.
    var_names : sequence of str, optional
        Other names of the new columns.
    **inputs : column name, array-like (k,) or number
        As for `escalc`.

    Returns
    -------
    DataFrame
        Columns study, group (1 and 2, for two groups), and by kind of data: out1, out2 (or, with
        `vlong`, outcome and freq); mean, sd, n; events, ptime; r, n; mean1, mean2, sd1, sd2, n, r.
        The numbers have the units of the inputs.

    Raises
    ------
    SpecificationError, DataError
        As `escalc`, for data that have no long format, and for numbers that contradict each other
        (more events than people).

    Examples
    --------
    >>> from mvmeta import to_long
    >>> to_long("OR", ai=[4], bi=[119], ci=[11], di=[128])
       study  group  out1   out2
    0      1      1   4.0  119.0
    1      1      2  11.0  128.0
    """
    layout = _long_layout(measure, vlong)
    frame = as_frame(data, *inputs.values())
    arrays = dict(read_inputs(inputs, frame))
    with np.errstate(all="ignore"):
        contradictions = LAYOUTS[layout].complete(arrays)
    names, groups = LONG[layout]
    missing = [name for row in groups for name in row if name not in arrays]
    if missing:
        raise SpecificationError(f"to_long({measure!r}) lacks {', '.join(missing)}")
    cells = np.array([[arrays[name] for name in row] for row in groups])
    columns = _stacked(cells, names, vlong)
    each = len(next(iter(columns.values()))) // cells.shape[2]
    labels = _labels(slab, frame, cells.shape[2])
    for wrong, reason in contradictions:
        if wrong.any():
            raise DataError(
                f"to_long: {reason} in study {labels[np.argmax(wrong)]} ({wrong.sum()} such rows); "
                "correct the numbers, or leave these rows out"
            )
    columns = {"study": np.repeat(labels, each)} | columns
    long = pd.DataFrame(_renamed(columns, var_names))
    return long if frame is None or not append else _beside(frame, long, each)


def _long_layout(measure: str, vlong: bool) -> str:
    layout = find_measure(measure).layout
    if layout not in LONG:
        raise SpecificationError(f"data for measure {measure!r} have no long format")
    if vlong and layout not in COUNTS:
        raise SpecificationError("vlong=True is for tables of frequencies")
    return layout


def _stacked(cells: np.ndarray, names: tuple[str, ...], vlong: bool) -> dict[str, np.ndarray]:
    """Columns of the long format from cells (groups, columns, k)."""
    g, c, k = cells.shape
    out: dict[str, np.ndarray] = {}
    if g > 1:
        out["group"] = np.tile(np.repeat(np.arange(1, g + 1), c if vlong else 1), k)
    if vlong:
        out["outcome"] = np.tile(np.arange(1, c + 1), g * k)
        return out | {"freq": cells.transpose(2, 0, 1).ravel()}
    return out | {name: cells[:, j].T.ravel() for j, name in enumerate(names)}


def _beside(frame: pd.DataFrame, long: pd.DataFrame, each: int) -> pd.DataFrame:
    """The data, rows repeated, and the long format; the column of studies is the new one."""
    repeated = frame.iloc[np.repeat(np.arange(len(frame)), each)].reset_index(drop=True)
    own = long.columns[0]
    clash = [name for name in repeated if name in long and name != own]
    if clash:
        raise SpecificationError(
            f"to_long: the data have a column {clash[0]!r} already; give the new ones other "
            "names by var_names=, or use append=False"
        )
    return pd.concat([repeated.drop(columns=own, errors="ignore"), long], axis=1)


def _labels(slab: Any, frame: pd.DataFrame | None, k: int) -> np.ndarray:
    if slab is None and frame is not None and "study" in frame:
        return frame["study"].to_numpy()
    if slab is None:
        return np.arange(1, k + 1)
    if isinstance(slab, str):
        if frame is None or slab not in frame:
            raise DataError(f"slab={slab!r} is not a column of data")
        return frame[slab].to_numpy()
    labels = np.asarray(slab)
    if labels.shape != (k,):
        raise DataError(f"slab has {labels.size} labels for {k} rows")
    return labels


def _renamed(columns: dict[str, Any], names: Sequence[str] | None) -> dict[str, Any]:
    if names is None:
        return columns
    if len(set(names)) != len(columns) or len(names) != len(columns):
        raise SpecificationError(
            f"var_names= takes {len(columns)} names that differ, for {', '.join(columns)}; "
            f"got {', '.join(map(str, names))}"
        )
    return dict(zip(names, columns.values(), strict=True))


def to_wide(  # noqa: PLR0913
    data: Any,
    study: str,
    grp: str,
    grpvars: Sequence[str],
    *,
    ref: str | None = None,
    contrasts: str = "reference",
    postfix: tuple[str, str] = (".1", ".2"),
) -> pd.DataFrame:
    """Contrasts of groups, one per row, from one row per group.

    Parameters
    ----------
    data : DataFrame
        One row per group (arm) of a study.
    study, grp : str
        Columns with the study and the group.
    grpvars : sequence of str
        Columns that belong to a group (means, events, sizes, ...).
    ref : str, optional
        The group that all others of a study are compared with where it has it; the most frequent
        group unless given.  In a study without it the last group in alphabetical order takes its
        place.
    contrasts : {"reference", "all", "successive"}
        Which groups of a study are compared: all with one of them; any two; or each with the one
        before it, in the order of a categorical column, else of the sorted groups.
    postfix : pair of str
        Appended to `grp` and `grpvars` for the first and the second group.

    Returns
    -------
    DataFrame
        Columns study, other columns that are constant in a study (missing where they are not),
        grp.1, grpvars.1, grp.2, grpvars.2, and `id`, `comp` ("a-b"), `design` (all groups of the
        study).  A study with m groups gives m - 1 rows, and m (m - 1) / 2 of any two groups; their
        errors are correlated (`varms`, or `vcalc` with grp1, grp2).  The numbers have the units of
        the data.

    Raises
    ------
    DataError
        Without data, for unknown columns, a missing study or group, a study with one group, or a
        group that a study has twice.
    SpecificationError
        If `ref` is no group of the data or goes with successive groups, for other `contrasts`, or
        if `id`, `comp` or `design` is a column of studies in the data.

    Examples
    --------
    >>> import pandas as pd
    >>> from mvmeta import to_wide
    >>> arms = pd.DataFrame(
    ...     {"study": ["a", "a", "b", "b"], "arm": ["x", "y", "x", "y"], "events": [3, 5, 2, 8]}
    ... )
    >>> to_wide(arms, study="study", grp="arm", ref="y", grpvars=["events"])
      study arm.1  events.1 arm.2  events.2  id comp design
    0     a     x         3     y         5   1  x-y    x-y
    1     b     x         2     y         8   2  x-y    x-y
    """
    frame = as_frame(data)
    if frame is None:
        raise DataError("to_wide needs data")
    own = [grp, grpvars] if isinstance(grpvars, str) else [grp, *grpvars]
    need_columns(frame, [study, *own], "to_wide")
    need_values(frame, [study, grp], "to_wide")
    if frame.empty:
        raise DataError("to_wide: the data have no rows")
    codes, labels = pd.factorize(frame[study])
    order = np.lexsort((_ranks(frame[grp], ref, contrasts), codes))
    _check_arms(codes[order], frame[grp].iloc[order].to_numpy(), labels.tolist())
    sizes = np.bincount(codes)
    ends = np.cumsum(sizes) - 1
    first, second = (order[rows] for rows in _compared(sizes, contrasts))
    rest = [c for c in frame if c not in {study, *own}]
    constant = _constant(frame[rest], codes)
    clash = [name for name in ("id", "comp", "design") if name in constant]
    if clash:
        raise SpecificationError(f"to_wide: the data have a column {clash[0]!r} already; rename it")
    names = frame[grp].astype(str).to_numpy()
    designs = np.array(["-".join(arms) for arms in np.split(names[order], ends[:-1] + 1)])
    here, there = (frame[own].iloc[rows].reset_index(drop=True) for rows in (first, second))
    wide = pd.concat(
        [
            frame[[study]].iloc[first].reset_index(drop=True),
            constant.iloc[first].reset_index(drop=True),
            here.add_suffix(postfix[0]),
            there.add_suffix(postfix[1]),
        ],
        axis=1,
    )
    return wide.assign(
        id=np.arange(1, len(wide) + 1),
        comp=[f"{a}-{b}" for a, b in zip(names[first], names[second], strict=True)],
        design=designs[codes[first]],
    )


CONTRASTS = ("reference", "all", "successive")
"""What `contrasts=` takes."""


def _ranks(groups: pd.Series, ref: Any, contrasts: str) -> np.ndarray:
    """Order (n,) of the groups within a study: the reference last, unless successive ones count."""
    if contrasts not in CONTRASTS:
        raise SpecificationError(
            f"contrasts= takes one of {', '.join(CONTRASTS)}, got {contrasts!r}"
        )
    counts = Counter(groups)
    if ref is not None and ref not in counts:
        raise SpecificationError(
            f"ref={ref!r} is no group; there are {', '.join(map(str, counts))}"
        )
    if contrasts == "successive":
        if ref is not None:
            raise SpecificationError(
                "ref= is the group that others are compared with; successive groups have none: "
                "leave it out, and make the groups a pandas Categorical to say their order"
            )
        return np.asarray(groups.astype("category").cat.codes)
    base = ref if ref is not None else max(counts, key=lambda g: (counts[g], str(g)))
    rank = {g: i for i, g in enumerate(sorted(counts, key=lambda g: (g == base, str(g))))}
    return groups.map(rank).to_numpy()


def _compared(sizes: np.ndarray, contrasts: str) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the first and the second groups; `sizes` studies of groups in their order."""
    start = np.cumsum(sizes) - sizes
    if contrasts == "all":
        pairs = [np.triu_indices(size, 1) for size in sizes]
        first, second = (
            np.concatenate([p[k] + s for p, s in zip(pairs, start, strict=True)]) for k in (0, 1)
        )
        return first, second
    every = np.arange(sizes.sum())
    if contrasts == "successive":
        later = np.delete(every, start)
        return later, later - 1
    ends = start + sizes - 1
    return np.delete(every, ends), np.repeat(ends, sizes - 1)


def _check_arms(codes: np.ndarray, arms: np.ndarray, labels: Sequence[Any]) -> None:
    """Refuse studies with one arm, and arms that are in a study twice; arms are sorted by study."""
    twice = np.flatnonzero((codes[1:] == codes[:-1]) & (arms[1:] == arms[:-1]))
    if len(twice):
        label, arm = labels[codes[twice[0]]], arms[twice[0]]
        raise DataError(
            f"study {label!r} has the group {arm!r} twice, where contrasts need one row for each "
            "group: take one outcome at a time, or pairwise(type=) for several"
        )
    single = np.flatnonzero(np.bincount(codes) < 2)
    if len(single):
        raise DataError(
            f"to_wide: study {labels[single[0]]!r} has a single group: there is nothing to compare"
        )


def _constant(frame: pd.DataFrame, codes: np.ndarray) -> pd.DataFrame:
    """The columns that are constant in some study, missing in the others."""
    kept = {}
    for name in frame:
        values = pd.factorize(frame[name])[0]
        first, last = (np.full(codes.max() + 1, start) for start in (len(values), -1))
        np.minimum.at(first, codes, values)
        np.maximum.at(last, codes, values)
        same = (first == last)[codes] & (values >= 0)
        if same.any():
            kept[name] = frame[name] if same.all() else frame[name].where(same)
    return pd.DataFrame(kept, index=frame.index)


def need_columns(frame: pd.DataFrame, names: Sequence[str], what: str) -> None:
    """Refuse what are no names, and names that are no columns."""
    need_names(names, what)
    for name in names:
        if name not in frame:
            raise DataError(
                f"{what}: {name!r} is no column of the data"
                f"{did_you_mean(str(name), frame.columns) or ';'} its columns are "
                f"{', '.join(map(str, frame.columns))}"
            )


def need_names(names: Sequence[Any], what: str) -> None:
    """Refuse values in place of the names of columns."""
    for name in names:
        if isinstance(name, pd.Series | pd.Index | np.ndarray | list):
            raise DataError(
                f"{what} takes names of columns of its data, such as 'study', and got a "
                f"{type(name).__name__}; put it into the data first"
            )


def need_values(frame: pd.DataFrame, names: Sequence[str], what: str) -> None:
    """Refuse missing values; name the column and the rows."""
    for name in names:
        missing = frame[name].isna().to_numpy()
        if missing.any():
            raise DataError(
                f"{what}: {name!r} is missing in {row_names(frame.index, missing)}; fill it in, or "
                "leave these rows out"
            )


def contrmat(  # noqa: PLR0913
    data: Any,
    grp1: str,
    grp2: str,
    *,
    last: str | None = None,
    shorten: bool = False,
    minlen: int = 2,
    append: bool = True,
) -> pd.DataFrame:
    """Which two groups each row contrasts: the design of a network model.

    Parameters
    ----------
    data : DataFrame
        One row per contrast.
    grp1, grp2 : str
        Columns with the first and the second group.
    last : str, optional
        The group in the last column, which a model leaves out; the most frequent second group
        unless given.
    shorten : bool
        Shorten the names of the columns to at least `minlen` letters, as many as tell them apart.
    minlen : int
    append : bool
        Return the columns of `data` too.

    Returns
    -------
    DataFrame of int
        One column per group: 1 where it is the first, -1 where it is the second, else 0.

    Raises
    ------
    DataError
        For unknown columns, a missing group, or a row that contrasts a group with itself.
    SpecificationError
        If `last` is no group, or a column of the data has the name of one.

    Examples
    --------
    >>> import pandas as pd
    >>> from mvmeta import contrmat
    >>> pairs = pd.DataFrame({"a": ["drug", "dose"], "b": ["placebo", "drug"]})
    >>> contrmat(pairs, "a", "b", last="placebo", append=False)
       dose  drug  placebo
    0     0     1       -1
    1     1    -1        0
    """
    frame = as_frame(data)
    if frame is None:
        raise DataError("contrmat needs data")
    need_columns(frame, [grp1, grp2], "contrmat")
    need_values(frame, [grp1, grp2], "contrmat")
    if frame.empty:
        raise DataError("contrmat: the data have no rows")
    first, second = frame[grp1], frame[grp2]
    same = (first.astype(str) == second.astype(str)).to_numpy()
    if same.any():
        at = frame.index[int(np.flatnonzero(same)[0])]
        raise DataError(f"contrmat: row {at!r} contrasts a group with itself")
    groups = sorted({*first, *second}, key=str)
    counts = Counter(second)
    final = last if last is not None else max(groups, key=lambda g: counts[g])
    if final not in groups:
        raise SpecificationError(
            f"last={last!r} is no group; there are {', '.join(map(str, groups))}"
        )
    groups = [g for g in groups if g != final] + [final]
    names = _short([str(g) for g in groups], minlen) if shorten else [str(g) for g in groups]
    matrix = {
        name: (first == g).astype(int) - (second == g).astype(int)
        for name, g in zip(names, groups, strict=True)
    }
    design = pd.DataFrame(matrix, index=frame.index)
    if not append:
        return design
    clash = [name for name in names if name in frame]
    if clash:
        raise SpecificationError(
            f"contrmat: the data have a column {clash[0]!r} already; use append=False"
        )
    return pd.concat([frame, design], axis=1)


def _short(names: list[str], least: int) -> list[str]:
    """Beginnings of the names, each as long as it takes to be the only one."""
    out = []
    for name in names:
        size = max(least, 1)
        while size < len(name) and any(n != name and n[:size] == name[:size] for n in names):
            size += 1
        out.append(name[:size])
    if any(a == b for a, b in combinations(out, 2)):
        return names
    return out
