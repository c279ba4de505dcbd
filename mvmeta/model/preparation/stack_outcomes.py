"""From one column per outcome to one row per outcome, with the covariances within a study."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Floats
from mvmeta.columns import numeric, row_names
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.errors import DataError, SpecificationError, warn
from mvmeta.model.preparation.correlations import brief, call_text
from mvmeta.model.preparation.vcalc import vcalc
from mvmeta.model.specification.frames import Source, shorten
from mvmeta.model.specification.labelled import select_labelled

OUTCOME = "outcome"
"""Column with the outcome in the result."""


class StackedOutcomes(NamedTuple):
    """Rows in the order of V, and V itself.

    Attributes
    ----------
    dat : DataFrame
        One row per outcome that a study has: `outcome` (a categorical in the order given), `yi` and
        `vi` in the units of the columns they come from, and the columns of the data that are not of
        single outcomes.
    V : SamplingCovariance
        Of the rows of `dat`.

    Examples
    --------
    >>> import pandas as pd
    >>> from mvmeta import stack_outcomes
    >>> wide = pd.DataFrame({"study": [1, 2], "y": [0.4, 0.3], "v": 0.1, "z": 0.2, "w": 0.1})
    >>> stacked = stack_outcomes(
    ...     wide, study="study", rho=0.6,
    ...     yi={"pain": "y", "sleep": "z"}, vi={"pain": "v", "sleep": "w"}
    ... )
    >>> stacked.dat[["outcome", "yi"]]
      outcome   yi
    0    pain  0.4
    1   sleep  0.2
    2    pain  0.3
    3   sleep  0.2
    """

    dat: pd.DataFrame
    V: SamplingCovariance


def stack_outcomes(
    data: Any,
    *,
    yi: Mapping[str, str],
    vi: Mapping[str, str],
    study: str,
    cov: Mapping[tuple[str, str], str] | None = None,
    rho: Any = None,
    checkpd: bool = True,
    nearpd: bool = False,
) -> StackedOutcomes:
    """Rows for a multivariate model from data with one column per outcome.

    Parameters
    ----------
    data : DataFrame or any eager frame narwhals knows
        One row per study (or per sample of a study).
    yi, vi : mapping of str to str
        Outcome -> column of its estimates, and of their sampling variances.  An outcome that a
        study lacks is missing in both.
    study : str
        Column with the study.
    cov : mapping of pair of str to str, optional
        Pair of outcomes -> column of the covariance of their estimates, such as
        ``{("PD", "AL"): "cov"}``.
    rho : float, str or DataFrame, optional
        Correlation of the estimates of two outcomes of a study, where `cov` does not have their
        covariance: a number, a column of the data, or a DataFrame labelled by outcomes.
    checkpd : bool
        Refuse a V in which a study is not positive definite.
    nearpd : bool
        Repair the correlations of such studies; see `vcalc`.

    Returns
    -------
    StackedOutcomes
        A pair `(dat, V)`; studies in the order of the data, outcomes in that of `yi`.

    Raises
    ------
    SpecificationError
        For outcomes that differ between `yi`, `vi` and `cov`, or a correlation outside [-1, 1].
    DataError
        For unknown columns, a missing study, a variance that is not positive, or a study with two
        outcomes of which neither `cov` nor `rho` says how they covary; names the study.
    CovarianceError
        For a study that is not positive definite (`checkpd`).

    Warns
    -----
    MvmetaWarning
        For estimates without a variance, variances without an estimate and studies without any
        outcome, which are left out.

    See Also
    --------
    vcalc : For data with one row per outcome already.

    References
    ----------
    See :func:`vcalc`.

    Examples
    --------
    >>> import pandas as pd
    >>> from mvmeta import stack_outcomes
    >>> wide = pd.DataFrame(
    ...     {
    ...         "trial": ["Ito", "Lee"], "pain": [0.4, 0.3], "pain_v": [0.04, 0.05],
    ...         "sleep": [0.2, None], "sleep_v": [0.03, None],
    ...     }
    ... )
    >>> dat, V = stack_outcomes(
    ...     wide, study="trial", rho=0.6,
    ...     yi={"pain": "pain", "sleep": "sleep"}, vi={"pain": "pain_v", "sleep": "sleep_v"},
    ... )
    >>> dat
      trial outcome   yi    vi
    0   Ito    pain  0.4  0.04
    1   Ito   sleep  0.2  0.03
    2   Lee    pain  0.3  0.05
    """
    source = Source(data)
    _check_outcomes(yi, vi, cov)
    names = source.column(study, "study")
    if names.isna().any():
        raise DataError(f"study is missing in {row_names(source.index, names.isna().to_numpy())}")
    y, v = (_columns(source, yi, c, what) for c, what in ((yi, "yi"), (vi, "vi")))
    present = _present(y, v, list(yi), names)
    table = _covariances(source, v, present, list(yi), cov or {}, rho, names)
    row, outcome = np.nonzero(present)
    rest = [c for c in source.columns if c not in _used(yi, vi, cov)]
    clash = [c for c in (OUTCOME, "yi", "vi") if c in rest]
    if clash:
        raise SpecificationError(
            f"the data have a column {clash[0]!r} already, which the result needs; rename it"
        )
    dat = source.frame(rest, "the rows").iloc[row].reset_index(drop=True)
    dat[OUTCOME] = pd.Categorical.from_codes(outcome.tolist(), categories=pd.Index(list(yi)))
    dat["yi"], dat["vi"] = y[present], v[present]
    made = vcalc(
        1.0, study, subgroup=row, rvars=_lower(table, present), data=dat,
        checkpd=checkpd, nearpd=nearpd,
    )  # fmt: skip
    assert made.provenance is not None  # vcalc has one
    given = {"study": study, "yi": tuple(yi.values()), "cov": cov, "rho": rho}
    provenance = replace(made.provenance, call=call_text("stack_outcomes", given))
    return StackedOutcomes(dat, replace(made, provenance=provenance))


def _used(*columns: Mapping[Any, str] | None) -> set[str]:
    return {name for mapping in columns if mapping for name in mapping.values()}


def _check_outcomes(yi: Any, vi: Any, cov: Any) -> None:
    for name, value in (("yi", yi), ("vi", vi)):
        if not isinstance(value, Mapping) or not value:
            raise SpecificationError(
                f"{name}= takes a mapping from outcome to column, such as {{'pain': 'pain_{name}'}}"
            )
    if set(yi) != set(vi):
        raise SpecificationError(
            f"yi= has the outcomes {shorten(yi)}, vi= has {shorten(vi)}; they must be the same"
        )
    for pair in cov or {}:
        known = isinstance(pair, tuple) and len(pair) == 2 and set(pair) <= set(yi)
        if not known or pair[0] == pair[1]:
            raise SpecificationError(
                f"cov= takes pairs of two outcomes, of {shorten(yi, most=9)}, got {pair!r}"
            )


def _columns(
    source: Source, outcomes: Iterable[str], columns: Mapping[str, str], what: str
) -> Floats:
    """Numbers (k, q), NaN where missing."""
    names = [columns[outcome] for outcome in outcomes]
    return np.column_stack(
        [numeric(source.column(name, what), f"{what} {name!r}") for name in names]
    )


def _present(y: Floats, v: Floats, outcomes: list[str], study: pd.Series) -> Bools:
    """Outcomes (k, q) with estimate and variance; what has one of the two only is warned of."""
    has_y, has_v = ~np.isnan(y), ~np.isnan(v)
    for half, what in ((has_y & ~has_v, "variance"), (has_v & ~has_y, "estimate")):
        if half.any():
            cells = [f"{outcomes[j]} of {study.iloc[i]}" for i, j in np.argwhere(half)]
            warn(f"outcomes without {what} left out: {shorten(cells)}")
    present = has_y & has_v
    bad = np.argwhere(present & ~((v > 0) & np.isfinite(v)))
    if len(bad):
        i, j = bad[0]
        raise DataError(
            f"vi must be > 0 and finite, but is {v[i, j]:g} for {outcomes[j]!r} of study "
            f"{study.iloc[i]} ({len(bad)} such cells); correct it or leave it out"
        )
    none = np.flatnonzero(~present.any(axis=1))
    if len(none):
        warn(f"studies without any outcome left out: {shorten(study.iloc[none])}")
    return present


def _covariances(
    source: Source,
    v: Floats,
    present: Bools,
    outcomes: list[str],
    cov: Mapping[tuple[str, str], str],
    rho: Any,
    study: pd.Series,
) -> Floats:
    """Covariances (k, q, q) of the outcomes of each row; anything where one is not present."""
    k, q = v.shape
    out = np.full((k, q, q), np.nan)
    out[:, np.arange(q), np.arange(q)] = v
    for (a, b), name in cov.items():
        i, j = outcomes.index(a), outcomes.index(b)
        out[:, i, j] = out[:, j, i] = numeric(source.column(name, "cov"), f"cov {name!r}")
    if rho is not None:
        sd = np.sqrt(v)
        guess = _correlations(source, rho, outcomes, k) * sd[:, :, None] * sd[:, None, :]
        out = np.where(np.isnan(out), guess, out)
    both = present[:, :, None] & present[:, None, :]
    unknown = np.argwhere(both & np.isnan(out))
    if len(unknown):
        i, a, b = unknown[0]
        raise DataError(
            f"how {outcomes[a]!r} and {outcomes[b]!r} of study {study.iloc[i]} covary is not "
            f"known ({len({int(r) for r in unknown[:, 0]})} such rows); give their covariances by "
            "cov=, or a correlation by rho="
        )
    return out


def _correlations(source: Source, rho: Any, outcomes: list[str], k: int) -> Floats:
    """Correlations of the outcomes, (k, q, q) or (q, q)."""
    if isinstance(rho, pd.DataFrame):
        out = select_labelled(rho, [str(o) for o in outcomes], "rho (over the outcomes)")
        values = out
    elif isinstance(rho, str):
        values = numeric(source.column(rho, "rho"), f"rho {rho!r}")
        out = np.broadcast_to(values[:, None, None], (k, len(outcomes), len(outcomes)))
    elif isinstance(rho, Real):
        values = np.array([float(rho)])
        out = np.full((len(outcomes),) * 2, values[0])
    else:
        raise SpecificationError(
            "rho must be a number, the name of a column or a DataFrame labelled by outcomes, got "
            f"{brief(rho)}"
        )
    outside = values[np.abs(values) > 1]
    if len(outside):
        raise SpecificationError(f"rho must lie within [-1, 1], but is {outside[0]:g}")
    return out


def _lower(table: Floats, present: Bools) -> Floats:
    """Lower triangles beside the rows (n, most), as `rvars` of `vcalc` wants them."""
    row, outcome = np.nonzero(present)
    position = (np.cumsum(present, axis=1) - 1)[row, outcome]
    out = np.full((len(row), present.shape[1]), np.nan)
    for other in range(present.shape[1]):
        has = present[row, other]
        place = (np.cumsum(present, axis=1) - 1)[row, other]
        earlier = np.flatnonzero(has & (place <= position))
        out[earlier, place[earlier]] = table[row[earlier], outcome[earlier], other]
    return out
