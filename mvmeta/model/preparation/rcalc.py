"""Covariances of correlation coefficients of one sample."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mvmeta._typing import Floats
from mvmeta.columns import numeric, row_names
from mvmeta.design.provenance import Provenance
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.errors import DataError, SpecificationError
from mvmeta.model.preparation.correlations import call_text
from mvmeta.model.specification.frames import Source

LEAST_N = 5
"""Common sample size below which a study has no covariances."""

UNIT_TOLERANCE = 1e-8
"""How far the diagonal of a correlation matrix may be from 1, for rounding."""

COMMON: dict[str, Callable[[Floats], float]] = {
    "min": lambda n: float(n.min()),
    "harmonic": lambda n: float(len(n) / (1.0 / n).sum()),
    "mean": lambda n: float(n.mean()),
}
"""How the sample sizes of one study become one."""


class Correlations(NamedTuple):
    """Correlations in the order of V, and V itself.

    Attributes
    ----------
    dat : DataFrame
        Columns study, var1, var2, pair ("var1.var2"), yi (r or Fisher's z) and ni (the common
        sample size of the study); all numbers are without unit.
    V : SamplingCovariance
        Of the rows of `dat`: block-diagonal by study.

    Examples
    --------
    >>> import pandas as pd
    >>> from mvmeta import rcalc
    >>> data = pd.DataFrame({"r": [0.5], "a": ["x"], "b": ["y"], "study": [1], "n": [40]})
    >>> rcalc("r ~ a + b | study", "n", data).dat[["study", "pair", "yi"]]
       study pair   yi
    0      1  x.y  0.5
    """

    dat: pd.DataFrame
    V: SamplingCovariance


def rcalc(
    correlations: str | pd.DataFrame | Mapping[Any, pd.DataFrame],
    ni: Any,
    data: Any = None,
    *,
    rtoz: bool = False,
    nfun: str | Callable[[Floats], float] = "min",
) -> Correlations:
    """Data and covariance matrix for a meta-analysis of dependent correlations.

    Parameters
    ----------
    correlations : str, DataFrame or mapping of study to DataFrame
        A formula, "ri ~ var1 + var2 | study": the column of correlations, the two columns with the
        names of the variables they are of, and the study; without "| study" all rows are of one
        study.  Or the correlation matrix (without unit) of one study, or of several by their names,
        labelled by variables; correlations that are missing in both triangles are left out.
    ni : str, array_like (n,), number or mapping of study to number
        Sample sizes: a column of `data` or one value per row; with matrices, of each study.
    data : DataFrame or any eager frame narwhals knows
        With a formula.
    rtoz : bool
        Transform the correlations by Fisher's z.
    nfun : {"min", "harmonic", "mean"} or callable
        How the sample sizes in a study become the one that its covariances are computed with.

    Returns
    -------
    Correlations
        A pair `(dat, V)`; rows are those of `data`, studies brought together, or the lower
        triangles of the matrices, column by column.

    Raises
    ------
    SpecificationError
        For a formula of another form, matrices beside data, or an unknown `nfun`.
    DataError
        For unknown columns, missing numbers, correlations that are not between -1 and 1, a pair
        of variables given twice, fewer than 5 subjects, or a study in which a correlation that a
        covariance depends on is lacking; names study and rows.
    CovarianceError
        If the correlations of a study are those of no data, so that V is indefinite there.

    Notes
    -----
    With n - 1 subjects in the denominator (Steiger 1980; Olkin & Finn 1990):
    ``cov(r_jk, r_lm) (n - 1) = r_jk r_lm (r_jl^2 + r_jm^2 + r_kl^2 + r_km^2) / 2 + r_jl r_km
    + r_jm r_kl - (r_jk r_jl r_jm + r_kj r_kl r_km + r_lj r_lk r_lm + r_mj r_mk r_ml)``.
    Of Fisher's z: the same over (1 - r_jk^2) (1 - r_lm^2), with n - 3 in place of n - 1.

    References
    ----------
    .. [1] Olkin I, Finn JD (1990). Testing correlated correlations. *Psychological Bulletin*
       108:330–333. doi:10.1037/0033-2909.108.2.330
    .. [2] Steiger JH (1980). Tests for comparing elements of a correlation matrix. *Psychological
       Bulletin* 87:245–251. doi:10.1037/0033-2909.87.2.245

    Examples
    --------
    >>> import pandas as pd
    >>> from mvmeta import rcalc
    >>> data = pd.DataFrame(
    ...     {"r": [0.5, 0.4, 0.3], "a": list("xxy"), "b": list("yzz"), "n": 101}
    ... )
    >>> dat, V = rcalc("r ~ a + b", "n", data)
    >>> V.toarray().round(5)
    array([[0.00562, 0.00127, 0.00227],
           [0.00127, 0.00706, 0.00345],
           [0.00227, 0.00345, 0.00828]])
    """
    formula, sizes, frame = correlations, ni, data
    if not isinstance(formula, str):
        if data is not None:
            raise SpecificationError("rcalc takes a formula and data=, or correlation matrices")
        formula, sizes, frame = "r ~ var1 + var2 | study", "n", _from_matrices(formula, ni)
    dat, blocks = _computed(formula, sizes, Source(frame), rtoz, _common(nfun))
    codes, labels = pd.factorize(dat["study"])
    given = {"correlations": correlations, "ni": ni, "rtoz": rtoz or None}
    call = call_text("rcalc", given | {"nfun": None if nfun == "min" else nfun})
    v = SamplingCovariance.from_blocks(blocks, list(dat.index))
    made = Provenance(call, codes, list(labels), rows=dat.index, column="study")
    return Correlations(dat, replace(v, provenance=made))


def _computed(
    formula: str, ni: Any, source: Source, rtoz: bool, common: Callable[[Floats], float]
) -> tuple[pd.DataFrame, list[Floats]]:
    """Rows of the result, studies brought together, and the block of each study."""
    r_name, names, study_name = _parse(formula)
    r = numeric(source.column(r_name, "the correlations"), f"the correlations {r_name!r}")
    sizes = numeric(source.column(ni, "ni") if isinstance(ni, str) else _beside(ni, source), "ni")
    variables = [source.column(name, "the variables") for name in names]
    if study_name is None:
        study = pd.Series("1", index=source.index)
    else:
        study = source.column(study_name, "the study")
    _check(r, [pd.Series(sizes), study, *variables], source.index)
    pairs = [column.astype(str).to_numpy() for column in variables]
    codes, labels = pd.factorize(study)
    order = np.argsort(codes, kind="stable")
    out_n, blocks = np.empty(len(r)), []
    bounds = np.cumsum(np.bincount(codes, minlength=len(labels)))[:-1]
    for label, rows in zip(labels, np.split(order, bounds), strict=True):
        n = common(sizes[rows])
        if not n >= LEAST_N:
            raise DataError(
                f"rcalc: study {label!r} has a common sample size of {n:g}, covariances need at "
                f"least {LEAST_N}; leave it out"
            )
        out_n[rows] = n
        table, positions = _table(r[rows], [p[rows] for p in pairs], label)
        blocks.append(_covariances(r[rows], table, positions, n, rtoz, (pairs, rows, label)))
    dat = pd.DataFrame(
        {
            "study": study.to_numpy(),
            "var1": pairs[0],
            "var2": pairs[1],
            "pair": [f"{a}.{b}" for a, b in zip(*pairs, strict=True)],
            "yi": np.arctanh(r) if rtoz else r,
            "ni": out_n,
        },
        index=source.index,
    ).iloc[order]
    return dat, blocks


def _from_matrices(matrices: Any, ni: Any) -> pd.DataFrame:
    """One row per correlation of each study: study, var1, var2, r, n."""
    by_study = {"1": matrices} if isinstance(matrices, pd.DataFrame) else matrices
    if not isinstance(by_study, Mapping) or not by_study:
        raise SpecificationError(
            "rcalc takes a formula, a correlation matrix (DataFrame) or a mapping from study to "
            f"matrix, got {type(matrices).__name__}"
        )
    parts = []
    for study, matrix in by_study.items():
        variables = [str(c) for c in matrix.columns]
        values = _symmetric(matrix, variables, study)
        low, high = np.triu_indices(len(variables), 1)
        part = pd.DataFrame(
            {
                "study": study,
                "var1": [variables[j] for j in low],
                "var2": [variables[k] for k in high],
                "r": values[low, high],
                "n": _size(ni, study),
            }
        )
        parts.append(part[part["r"].notna()])
    return pd.concat(parts, ignore_index=True)


def _symmetric(matrix: Any, variables: list[str], study: object) -> Floats:
    """Correlations (q, q); one that is missing in one triangle is taken from the other."""
    if not isinstance(matrix, pd.DataFrame) or [str(i) for i in matrix.index] != variables:
        raise DataError(
            f"rcalc: the matrix of study {study!r} must be a DataFrame with the same variables on "
            "index and columns, in the same order"
        )
    values = np.column_stack([numeric(matrix[c], f"column {c!r}") for c in matrix.columns])
    gap = np.nan_to_num(np.abs(values - values.T))
    if gap.max(initial=0.0) > 0:
        j, k = np.unravel_index(int(np.argmax(gap)), gap.shape)
        raise DataError(
            f"rcalc: the matrix of study {study!r} is not symmetric: {values[j, k]:g} and "
            f"{values[k, j]:g} for {variables[j]!r} and {variables[k]!r}"
        )
    values = np.where(np.isnan(values), values.T, values)
    diagonal = np.diag(values)
    wrong = np.flatnonzero(~np.isnan(diagonal) & (np.abs(diagonal - 1.0) > UNIT_TOLERANCE))
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"rcalc: the matrix of study {study!r} has {diagonal[first]:g} on its diagonal, for "
            f"{variables[first]!r}; give correlations, not covariances"
        )
    return values


def _size(ni: Any, study: object) -> float:
    if isinstance(ni, (Mapping, pd.Series)):
        sizes = dict(ni)
        if study not in sizes:
            raise DataError(f"rcalc: ni has no sample size for study {study!r}")
        return float(sizes[study])
    if isinstance(ni, Real):
        return float(ni)
    raise SpecificationError("with matrices, ni= is a number, or a mapping from study to number")


def _parse(formula: str) -> tuple[str, tuple[str, str], str | None]:
    left, tilde, right = str(formula).partition("~")
    sides = [part.strip() for part in right.split("|")]
    names = [part.strip() for part in sides[0].split("+")]
    if not tilde or not left.strip() or len(names) != 2 or not all(names) or len(sides) > 2:
        raise SpecificationError(
            f"rcalc takes a formula 'ri ~ var1 + var2 | study', got {formula!r}"
        )
    return left.strip(), (names[0], names[1]), sides[1] if len(sides) == 2 else None


def _beside(values: Any, source: Source) -> pd.Series:
    array = np.asarray(values)
    if array.shape != (source.n,):
        raise DataError(f"ni needs one value for each of the {source.n} rows, got {array.shape}")
    return pd.Series(array, index=source.index, name="ni")


def _common(nfun: str | Callable[[Floats], float]) -> Callable[[Floats], float]:
    if callable(nfun):
        return nfun
    if nfun not in COMMON:
        raise SpecificationError(f"nfun= takes {', '.join(COMMON)} or a function, got {nfun!r}")
    return COMMON[nfun]


def _check(r: Floats, others: Sequence[pd.Series], index: pd.Index) -> None:
    if not len(r):
        raise DataError("rcalc: the data have no rows")
    for bad, what in (
        (np.any([np.isnan(r), *(c.isna().to_numpy() for c in others)], axis=0), "a missing value"),
        (np.abs(r) >= 1, "a correlation that is not between -1 and 1"),
    ):
        if bad.any():
            raise DataError(f"rcalc: {what} in {row_names(index, bad)}; correct or drop these rows")


def _table(
    r: Floats, pairs: list[np.ndarray], label: object
) -> tuple[Floats, tuple[np.ndarray, np.ndarray]]:
    """Correlations of a study's variables, NaN where they are not given, and the rows' places."""
    variables = pd.unique(np.concatenate(pairs))
    first, second = (pd.Index(variables).get_indexer(p) for p in pairs)
    low, high = np.minimum(first, second), np.maximum(first, second)
    same = low == high
    twice = pd.Series(list(zip(low, high, strict=True))).duplicated().to_numpy()
    for bad, what in ((same, "a variable with itself"), (twice, "a pair that is given twice")):
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"rcalc: study {label!r} has {what}: {pairs[0][at]!s} and {pairs[1][at]!s}"
            )
    table = np.full((len(variables),) * 2, np.nan)
    np.fill_diagonal(table, 1.0)
    table[first, second] = table[second, first] = r
    return table, (first, second)


def _covariances(
    r: Floats,
    table: Floats,
    positions: tuple[np.ndarray, np.ndarray],
    n: float,
    rtoz: bool,
    where: tuple[list[np.ndarray], np.ndarray, object],
) -> Floats:
    """Block of one study, (m, m)."""
    j, k = (p[:, None] for p in positions)
    l_, m = (p[None, :] for p in positions)
    jk, lm = table[j, k], table[l_, m]
    jl, jm, kl, km = table[j, l_], table[j, m], table[k, l_], table[k, m]
    cov = jk * lm * (jl**2 + jm**2 + kl**2 + km**2) / 2.0 + jl * km + jm * kl
    cov -= jk * jl * jm + jk * kl * km + jl * kl * lm + jm * km * lm
    if np.isnan(cov).any():
        pairs, rows, label = where
        a, b = (rows[i] for i in np.argwhere(np.isnan(cov))[0])
        named = [f"({pairs[0][i]}, {pairs[1][i]})" for i in (a, b)]
        raise DataError(
            f"rcalc: study {label!r}: the covariance of the correlations {' and '.join(named)} "
            "depends on the correlations between these variables, and not all of them are in the "
            f"data ({_lacking(table, positions)}); add them, or leave out one of the two"
        )
    if not rtoz:
        return cov / (n - 1.0)
    slope = 1.0 - r**2
    return cov / np.outer(slope, slope) / (n - 3.0)


def _lacking(table: Floats, positions: tuple[np.ndarray, np.ndarray]) -> str:
    used = np.unique(np.concatenate(positions))
    count = int(np.isnan(table[np.ix_(used, used)]).sum() / 2)
    return f"{count} of {len(used) * (len(used) - 1) // 2} are lacking"
