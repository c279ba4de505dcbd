"""V from columns of a frame: what makes the effects of one study depend on one another."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats, Ints
from mvmeta.columns import numeric
from mvmeta.design.impute import (
    Autoregressive,
    Concurrent,
    Contrasts,
    Overlapping,
    Part,
    Tabulated,
    impute,
)
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.errors import DataError, SpecificationError, warn
from mvmeta.model.preparation.clustered import ClusteredRows, Column, common_codes, read_column
from mvmeta.model.preparation.correlations import (
    brief,
    call_text,
    read_correlation,
    read_pair,
    read_per_study,
)
from mvmeta.model.preparation.definite import signed_off
from mvmeta.model.specification.frames import shorten
from mvmeta.model.specification.levels import factor

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
    ("sample", "overlap", "the share of people that two samples have in common"),
    ("overlap", "sample", "the sample each row is computed from"),
    ("ni", "sample", "the samples whose sizes these are"),
)
"""Arguments that say nothing without another one, and what that is."""

ROUNDED = 0.01
"""How far from 1 the diagonal of a correlation matrix may be typed."""


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
    sample: Column | None = None,
    ni: Column | None = None,
    data: Any = None,
    rho: Any = None,
    phi: Any = None,
    overlap: Any = None,
    rvars: Any = None,
    checkpd: bool = True,
    nearpd: bool = False,
) -> SamplingCovariance:
    """Build the covariance of dependent sampling errors from what makes them dependent.

    Rows of different clusters are independent.  Within a cluster V_ij = r_ij sqrt(v_i v_j), and
    r_ij is the product of the parts asked for: observations and types (`rho`), times (`phi`),
    shared groups and shared people (`overlap`).  Two rows that no part tells apart correlate 1.

    Every argument down to `ni` is the name of a column of `data`, or an array or Series with
    one value per row.

    Parameters
    ----------
    vi : column or float
        Sampling variances, in squared units of the effects.  A row where it is missing stays, with
        missing covariances: the model drops it.
    cluster : column of labels
        Study: rows of different studies are independent.
    subgroup : column of labels, optional
        Parts of a study without common subjects; rows of different parts are independent.
    obs : column of labels, optional
        Tells apart several observations (scales, raters) of one construct; needs `rho`.
    type : column of labels, optional
        Tells apart constructs or outcomes; needs `rho`, a pair where `obs` is given, too.
    time1, time2 : column, optional
        Numeric times of the first and the second condition of a row, in any one unit; need `phi`.
        `time2` is `time1` unless given, and needs the groups.
    grp1, grp2 : column of labels, optional
        The two groups each row contrasts.  Rows of a study that share a group correlate, by 0.5
        if they share one, with the same sign, and all groups are of one size.
    w1, w2 : column, optional
        Sizes of the two groups, or other weights in any one unit (inverse sampling variances of
        their means).
    sample : column of labels, optional
        The sample of people that a row is computed from; rows of one sample have all people in
        common.  Needs `overlap`.  Samples may overlap within a cluster only: studies of one
        registry are one cluster.
    ni : column, optional
        Sizes of the samples; they are taken for equal unless given.
    data : DataFrame or any eager frame narwhals knows, optional
    rho : float, str, mapping, Series, DataFrame or a pair of these, optional
        Correlation of different observations, or of different types: a number; per study, as the
        name of a column or a mapping or Series from study to number; or a DataFrame labelled by
        the levels of `obs` or `type`.  With both, a pair (within a type, by `obs`; between
        types, by `type`).  Alone, without any column to tell rows apart, it applies to all pairs
        of rows in a cluster.
    phi : float, str, mapping or Series, optional
        Autocorrelation of two times one unit of `time1` apart, r = phi^|t_i - t_j|; per study as
        for `rho`.
    overlap : float, str, mapping, Series or DataFrame, optional
        Share of the smaller of two samples that is in the larger one, too, from 0 to 1: a number,
        per study as for `rho`, or a DataFrame labelled by the levels of `sample`.
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
        Block-sparse, in the order of the rows: the `variance` of a model.  ``print``,
        ``.block(study)`` and ``.toarray()`` are for looking at it, ``.repairs`` lists what `nearpd`
        changed.

    Raises
    ------
    DataError
        For columns that do not exist or have missing or impossible values; names the rows.
    SpecificationError
        For arguments that do not go together, or correlations outside [-1, 1].
    CovarianceError
        For a negative or infinite variance, or a cluster that is not positive definite
        (`checkpd`); names studies and rows.

    Warns
    -----
    MvmetaWarning
        If `nearpd` changes correlations, or `rvars` has a diagonal other than 1 while `vi` is not
        1, as covariances have that are scaled a second time.

    Notes
    -----
    Contrasts: with arm a in group g_a at time t_a, of weight w_a, the covariance of two arms is
    [g_a = g_b] phi^|t_a - t_b| / sqrt(w_a w_b); the correlation of two rows is that of the
    differences of their arms.  Shared groups: Gleser and Olkin (2009), Stochastically dependent
    effect sizes, in The Handbook of Research Synthesis and Meta-Analysis; where the numbers of
    the groups are known, `varms` has the formulas of each measure.  Shared people: means of n_i and
    n_j people, n_ij of them in both, correlate ``n_ij / sqrt(n_i n_j)`` times the correlation
    within a person, which is ``overlap sqrt(min(n_i, n_j) / max(n_i, n_j))``.

    References
    ----------
    .. [1] Gleser LJ, Olkin I (2009). Stochastically dependent effect sizes. In: Cooper H, Hedges
       LV, Valentine JC (eds), *The Handbook of Research Synthesis and Meta-Analysis*, 2nd ed.,
       357–376. Russell Sage Foundation.

    Examples
    --------
    >>> from mvmeta import datasets, vcalc
    >>> effects = datasets.load("assink2016")
    >>> vcalc("vi", "study", obs="esid", rho=0.6, data=effects)
    SamplingCovariance(100 rows, 17 blocks, largest 22, correlations 0.6)
    """
    rows = ClusteredRows.of(data, vi, cluster, subgroup)
    given = {
        "obs": obs, "type": type, "time1": time1, "time2": time2, "grp1": grp1, "grp2": grp2,
        "w1": w1, "w2": w2, "sample": sample, "ni": ni, "rho": rho, "phi": phi,
        "overlap": overlap,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    call = call_text("vcalc", {"cluster": cluster, "subgroup": subgroup, **given, "rvars": rvars})
    variances = rows.variances(vi)
    if rvars is None:
        _check_combination(given)
        parts = _parts(rows, given)
    else:
        variances, part = _tabulated(rows, variances, rvars, given)
        parts = [part]
    out, faults = impute(variances, rows.block, parts, check=checkpd, repair=nearpd)
    return signed_off(out, faults, rows, call, repaired=nearpd)


def _check_combination(given: Mapping[str, Any]) -> None:
    for name, other, what in _NEEDS:
        if name in given and other not in given:
            raise SpecificationError(f"{name}= needs {other}=, {what}")
    columns = [name for name in given if name not in {"rho", "phi", "overlap"}]
    if "rho" in given and columns and not {"obs", "type"} & set(columns):
        raise SpecificationError(
            "rho= needs obs= or type= beside "
            f"{shorten(columns, most=9)}, to say which rows it applies to"
        )
    if not given:
        raise SpecificationError(
            "nothing says how rows of one cluster correlate; give rho=, with obs= or type= where "
            "rows differ in what they measured, time1= with phi=, grp1= and grp2=, sample= with "
            "overlap=, or rvars="
        )


def _parts(rows: ClusteredRows, given: Mapping[str, Any]) -> list[Part]:
    parts: list[Part] = []
    if "rho" in given:
        parts.append(_concurrent(rows, given))
    times = _times(rows, given)
    phi = _autocorrelation(rows, given["phi"], times) if times else None
    if "grp1" in given:
        parts.append(_contrasts(rows, given, times, phi))
    elif times and phi is not None:
        parts.append(Autoregressive(times[0], phi))
    if "sample" in given:
        parts.append(_overlapping(rows, given))
    return parts


def _concurrent(rows: ClusteredRows, given: Mapping[str, Any]) -> Part:
    rho = given["rho"]
    if {"obs", "type"} <= set(given):
        within, between = read_pair(rho)
        obs, types = (factor([rows.column(given[name], name)]) for name in ("obs", "type"))
        same = Concurrent(obs.codes, read_correlation(rows, within, obs, "the first of rho", "obs"))
        differ = read_correlation(rows, between, types, "the second of rho", "type")
        return Concurrent(types.codes, differ, same)
    for name in ("obs", "type"):
        if name in given:
            levels = factor([rows.column(given[name], name)])
            return Concurrent(levels.codes, read_correlation(rows, rho, levels, "rho", name))
    return read_correlation(rows, rho, None, "rho", "")


def _overlapping(rows: ClusteredRows, given: Mapping[str, Any]) -> Part:
    samples = factor([rows.column(given["sample"], "sample")])
    share = read_correlation(rows, given["overlap"], samples, "overlap", "sample", least=0.0)
    if "ni" not in given:
        return Concurrent(samples.codes, share)
    return Concurrent(samples.codes, Overlapping(share, rows.positive(given["ni"], "ni")))


def _times(rows: ClusteredRows, given: Mapping[str, Any]) -> tuple[Floats, Floats] | None:
    if "time1" not in given:
        return None
    first = rows.numbers(given["time1"], "time1")
    return first, rows.numbers(given["time2"], "time2") if "time2" in given else first


def _autocorrelation(rows: ClusteredRows, phi: Any, times: tuple[Floats, Floats]) -> Floats:
    out = read_per_study(rows, phi, "phi")
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
    rows: ClusteredRows,
    given: Mapping[str, Any],
    times: tuple[Floats, Floats] | None,
    phi: Floats | None,
) -> Contrasts:
    weights = [np.ones(rows.source.n)] * 2
    if "w1" in given:
        weights = [rows.positive(given[name], name) for name in ("w1", "w2")]
    groups = common_codes(*(rows.column(given[name], name) for name in ("grp1", "grp2")))
    out = Contrasts(groups, (weights[0], weights[1]), times, phi)
    empty = np.flatnonzero(rows.paired & ~(out.variances > 0))
    if len(empty):
        raise DataError(
            f"grp1 and grp2{' at the same time' if times else ''} are the same group in "
            f"{rows.where(empty)}, which is no contrast"
        )
    return out


def _tabulated(
    rows: ClusteredRows, variances: Floats, rvars: Any, given: Mapping[str, Any]
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
        row = int(np.flatnonzero(bad)[0])
        column = int(np.flatnonzero(~np.isfinite(table[row, : position[row] + 1]))[0])
        raise DataError(
            "rvars must be complete on and below the diagonal of each study's matrix, but is not "
            f"in {rows.where(np.flatnonzero(bad))}: column {column + 1} of the first of them, the "
            f"correlation with row {column + 1} of its study, is missing or infinite"
        )
    diagonal = table[np.arange(n), position]
    if (diagonal <= 0).any():
        where = rows.where(np.flatnonzero(diagonal <= 0))
        raise DataError(f"rvars must have a diagonal > 0, but has not in {where}")
    _warn_of_covariances(rows, variances, diagonal)
    sd = np.sqrt(diagonal)
    return variances * diagonal, Tabulated(_scaled(table, sd, rows.block, position), position)


def _warn_of_covariances(rows: ClusteredRows, variances: Floats, diagonal: Floats) -> None:
    """Say so where `rvars` holds covariances and sampling variances are given beside them."""
    twice = (np.abs(diagonal - 1.0) > ROUNDED) & (np.abs(variances - 1.0) > ROUNDED)
    if twice.any():
        warn(
            f"rvars= holds no correlations in {rows.where(np.flatnonzero(twice))}: the diagonal is "
            "not 1, and the variances of V are vi times the diagonal; where rvars= holds "
            "covariances, give 1 for vi"
        )


def _scaled(table: Floats, sd: Floats, block: Ints, position: Ints) -> Floats:
    """The matrices as correlations: entry (i, j) divided by sd_i sd_j."""
    by_block = np.ones((block.max(initial=0) + 1, table.shape[1]))
    by_block[block, position] = sd
    return table / (sd[:, None] * by_block[block])


def _table(rows: ClusteredRows, rvars: Any) -> Floats:
    if isinstance(rvars, (list, tuple)) and all(isinstance(name, str) for name in rvars) and rvars:
        columns = [read_column(rows.source, rows.has_data, name, "rvars") for name in rvars]
    elif isinstance(rvars, pd.DataFrame):
        columns = [
            read_column(rows.source, rows.has_data, rvars.iloc[:, k], "rvars")
            for k in range(rvars.shape[1])
        ]
    elif np.ndim(rvars) == 2:
        columns = [read_column(rows.source, rows.has_data, c, "rvars") for c in np.asarray(rvars).T]
    else:
        raise SpecificationError(
            f"rvars must be a list of column names or a table (n, q), got {brief(rvars)}"
        )
    return np.column_stack([numeric(c, "rvars") for c in columns])


def _positions(block: Ints) -> Ints:
    """Which row of its block each row is, from 0."""
    order = np.argsort(block, kind="stable")
    size = np.bincount(block, minlength=1)
    out = np.empty(len(block), dtype=np.intp)
    out[order] = np.arange(len(block)) - np.repeat(np.cumsum(size) - size, size)
    return out
