"""One estimate per study from several: generalised least squares under the sampling covariance."""

from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats, Ints
from mvmeta.columns import numeric, row_names
from mvmeta.design.impute import Autoregressive, Constant, Raised, impute
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.errors import CovarianceError, DataError, SpecificationError, warn
from mvmeta.model.preparation.clustered import ClusteredRows
from mvmeta.model.preparation.correlations import call_text, read_per_study
from mvmeta.model.preparation.definite import signed_off
from mvmeta.model.preparation.vcalc import vcalc
from mvmeta.model.specification.frames import Source, shorten
from mvmeta.model.specification.variance import read_variance

STRUCTURES = ("ID", "CS", "CAR", "CS+CAR", "CS*CAR")
"""Correlations within a study that `struct=` knows."""

COUNT = "ki"
"""Column with the number of estimates."""


def aggregate(
    data: Any,
    cluster: str,
    *,
    yi: str = "yi",
    vi: str = "vi",
    V: Any = None,  # noqa: N803  (metafor's name)
    struct: str = "CS",
    rho: Any = None,
    phi: Any = None,
    time: str | None = None,
    obs: str | None = None,
    weighted: bool = True,
    addk: bool = False,
) -> pd.DataFrame:
    """Combine the estimates of each study into one.

    Parameters
    ----------
    data : DataFrame or any eager frame narwhals knows
        With the estimates and their sampling variances.
    cluster : str
        Column with the study.
    yi, vi : str
        Columns of estimates and sampling variances.
    V : optional
        Covariance of the sampling errors of all rows, in squared units of `yi`: what `variance=` of
        a model takes, such as the result of `vcalc`.  Then `struct`, `rho`, `phi`, `time` and `obs`
        are not used.
    struct : {"CS", "ID", "CAR", "CS+CAR", "CS*CAR"}
        Correlation of two estimates of a study, d apart in time: rho; none; phi^d;
        rho + (1 - rho) phi^d; phi^d times rho if their `obs` differ.
    rho, phi : float or mapping, optional
        The correlations of `struct`, numbers or one per study; phi is that of two times one unit of
        `time` apart.
    time, obs : str, optional
        Columns with times, in any one unit, and with what tells apart several estimates of one
        time.
    weighted : bool
        Generalised least squares, else plain averages (whose variance still knows V).
    addk : bool
        Add the number of estimates of each study, `ki`.

    Returns
    -------
    DataFrame
        One row per study in the order of their first rows, yi and vi in the units of the data.  The
        other columns are averaged if they are numbers or booleans; of others the most frequent
        value is taken (the first of several).

    Raises
    ------
    SpecificationError
        For an unknown structure, arguments it lacks, or data with a column `ki` where `addk` makes
        one.
    DataError
        For unknown columns, or a study that is missing in some row.
    CovarianceError
        For a V that links two studies or is singular within one.

    Warns
    -----
    MvmetaWarning
        For rows without estimate or sampling variance, which are left out.

    Notes
    -----
    ``yi = (1'V^-1 1)^-1 1'V^-1 y`` and ``vi = (1'V^-1 1)^-1``; unweighted ``mean(y)`` and
    ``1'V 1 / k^2``.

    References
    ----------
    .. [1] Aitken AC (1935). On least squares and linear combination of observations. *Proceedings
       of the Royal Society of Edinburgh* 55:42–48. doi:10.1017/S0370164600014346
    .. [2] Gleser LJ, Olkin I (2009). Stochastically dependent effect sizes. In: Cooper H, Hedges
       LV, Valentine JC (eds), *The Handbook of Research Synthesis and Meta-Analysis*, 2nd ed.,
       357–376. Russell Sage Foundation.

    Examples
    --------
    >>> import pandas as pd
    >>> from mvmeta import aggregate
    >>> data = pd.DataFrame({"study": [1, 1, 2], "yi": [0.2, 0.4, 0.1], "vi": [0.1, 0.1, 0.2]})
    >>> aggregate(data, "study", rho=0.5)
       study   yi     vi
    0      1  0.3  0.075
    1      2  0.1  0.200
    """
    source = Source(data)
    frame = source.frame(list(source.columns), "aggregate")
    if addk and COUNT in frame:
        raise SpecificationError(
            f"aggregate: the data have a column {COUNT!r} already; rename it, or use addk=False"
        )
    study = source.column(cluster, "cluster")
    absent = study.isna().to_numpy()
    if absent.any():
        where = row_names(source.index, absent)
        raise DataError(f"aggregate: {cluster!r} is missing in {where}")
    y, v = (numeric(source.column(c, n), c) for c, n in ((yi, "yi"), (vi, "vi")))
    lost = np.isnan(y) | np.isnan(v)
    if lost.any():
        warn(
            f"aggregate: {lost.sum()} of {len(y)} rows without {yi} or {vi} left out "
            f"({row_names(source.index, lost)})"
        )
    keep = np.flatnonzero(~lost)
    kept = frame.iloc[keep]
    if V is None:
        covariance = _structured(kept, cluster, vi, struct, rho, phi, time, obs)
    else:
        covariance = read_variance(V, source).take(keep, source.index[keep])
    codes, labels = pd.factorize(study.iloc[keep])
    means, variances = combine(y[keep], covariance, codes, kept.index, labels, weighted=weighted)
    out = _others(kept, codes, exclude=(yi, vi))
    out[cluster] = labels
    out[yi], out[vi] = means, variances
    if addk:
        out[COUNT] = np.bincount(codes)
    order = [c for c in frame.columns if c in out] + ([COUNT] if addk else [])
    return out[order]


def _structured(
    frame: pd.DataFrame,
    cluster: str,
    vi: str,
    struct: str,
    rho: Any,
    phi: Any,
    time: str | None,
    obs: str | None,
) -> SamplingCovariance:
    """V of the rows by a structure; the three that `vcalc` knows are its own."""
    code = str(struct).upper()
    if code not in STRUCTURES:
        raise SpecificationError(f"struct= takes one of {', '.join(STRUCTURES)}, got {struct!r}")
    given = {"rho": rho, "phi": phi, "time": time, "obs": obs}
    needs = {
        "ID": (),
        "CS": ("rho",),
        "CAR": ("phi", "time"),
        "CS+CAR": ("rho", "phi", "time"),
        "CS*CAR": ("rho", "phi", "time", "obs"),
    }[code]
    lacking = [name for name in needs if given[name] is None]
    if lacking:
        raise SpecificationError(f"struct={code!r} of aggregate needs {' and '.join(lacking)}=")
    if code == "ID":
        return SamplingCovariance.from_variances(numeric(frame[vi], vi), list(frame.index))
    if code == "CS":
        return vcalc(vi, cluster, data=frame, rho=rho)
    if code == "CAR":
        return vcalc(vi, cluster, time1=time, data=frame, phi=phi)
    if code == "CS*CAR":
        return vcalc(vi, cluster, obs=obs, time1=time, data=frame, rho=rho, phi=phi)
    return _cs_plus_car(frame, cluster, vi, rho, phi, str(time))


def _cs_plus_car(
    frame: pd.DataFrame, cluster: str, vi: str, rho: Any, phi: Any, time: str
) -> SamplingCovariance:
    """V with correlations rho + (1 - rho) phi^|t - t'| within studies."""
    rows = ClusteredRows.of(frame, vi, cluster)
    floor = Constant(read_per_study(rows, rho, "rho"))
    decay = Autoregressive(rows.numbers(time, "time"), read_per_study(rows, phi, "phi"))
    v, faults = impute(rows.variances(vi), rows.block, [Raised(floor, decay)])
    call = call_text("aggregate", {"cluster": cluster, "rho": rho, "phi": phi, "time": time})
    return signed_off(v, faults, rows, call, repaired=False)


def combine(
    y: Floats,
    v: SamplingCovariance,
    codes: Ints,
    index: pd.Index,
    labels: Any,
    *,
    weighted: bool = True,
    asker: str = "aggregate",
) -> tuple[Floats, Floats]:
    """Mean (S,) of the estimates of each study, and its sampling variance (S,).

    Parameters
    ----------
    y : ndarray, shape (n,)
    v : SamplingCovariance
    codes : ndarray of int, shape (n,)
        Study 0..S-1 of each estimate.
    index : Index, length n
        Names of the rows, for errors.
    labels : Index, length S
        Names of the studies, for errors.
    weighted : bool
        Generalised least squares under V, else plain averages.
    asker : str
        What the user called, for errors.

    Raises
    ------
    CovarianceError
        For a V that links two studies, or is singular within one and weighted.
    """
    count = len(labels)
    _check_unlinked(v, codes, index, labels, asker)
    ones = np.ones((len(y), 1))
    if not weighted:
        size = np.bincount(codes)
        total = np.bincount(codes, v.multiply(ones)[:, 0], count)
        return np.bincount(codes, y, count) / size, total / size**2
    if v.is_singular:
        bad = v.singular_rows
        studies = pd.unique(codes[bad])
        named = shorten(repr(label) for label in labels[studies])
        raise CovarianceError(
            f"{asker}: V is singular within {_noun(studies)} {named} ({row_names(index, bad)}): "
            "estimates repeat each other, or a variance is 0; use weighted=False or a smaller "
            "correlation"
        )
    solved = v.solve(np.column_stack([ones[:, 0], y]))
    precision = np.bincount(codes, solved[:, 0], count)
    return np.bincount(codes, solved[:, 1], count) / precision, 1.0 / precision


def _check_unlinked(
    v: SamplingCovariance, codes: Ints, index: pd.Index, labels: Any, asker: str
) -> None:
    """Refuse a V with covariances between studies; name the first pair of rows."""
    if v.covariances is None:
        return
    off = v.covariances.tocoo()
    between = np.flatnonzero(codes[off.row] != codes[off.col])
    if not len(between):
        return
    i, j = int(off.row[between[0]]), int(off.col[between[0]])
    studies = np.unique(np.concatenate([codes[off.row[between]], codes[off.col[between]]]))
    raise CovarianceError(
        f"{asker}: V links estimates of the studies {shorten(repr(s) for s in labels[studies])} "
        f"(first rows {index[i]} and {index[j]}, covariance {off.data[between[0]]:.3g}), so that "
        "their means are not independent; use a cluster that holds them, or fit a model to the rows"
    )


def _noun(studies: Ints) -> str:
    return "study" if len(studies) == 1 else "studies"


def _others(frame: pd.DataFrame, codes: Ints, exclude: tuple[str, ...]) -> pd.DataFrame:
    groups = frame.drop(columns=list(exclude)).groupby(codes, sort=True)
    columns = {}
    for name in frame.columns:
        if name in exclude:
            continue
        series = frame[name]
        by = groups[name]
        plain = isinstance(series.dtype, np.dtype) and series.dtype.kind in "biuf"
        columns[name] = by.mean() if plain else by.agg(_most_frequent)
    out = pd.DataFrame(columns)
    return out.reset_index(drop=True)


def _most_frequent(values: pd.Series) -> Any:
    found = values.dropna()
    if found.empty:
        return None
    counts = found.value_counts(sort=False)
    return counts.index[int(counts.to_numpy().argmax())]
