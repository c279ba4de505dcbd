"""V of effects that share arms, by the formula of their measure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats, Ints
from mvmeta.columns import did_you_mean
from mvmeta.design.arms import Events, Pair, People, Relation, SharedArms
from mvmeta.design.impute import Part, impute
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.effects.arms import ArmData, ArmOptions, arm_data
from mvmeta.effects.checks import Problems
from mvmeta.effects.inputs import as_frame
from mvmeta.effects.registry import MEASURES
from mvmeta.errors import DataError, SpecificationError, warn
from mvmeta.model.preparation.clustered import ClusteredRows, Column, common_codes
from mvmeta.model.preparation.correlations import call_text, read_correlation
from mvmeta.model.preparation.definite import signed_off
from mvmeta.model.specification.levels import Factor, factor

RELATIONS: dict[str, Relation] = {"exclusive": "exclusive", "nested": "nested"}
"""What `rho=` takes in words."""

POOLS = ("pair", "study")
"""What `pool=` takes."""


def varms(
    measure: str | Column,
    *,
    cluster: Column,
    grp1: Column,
    grp2: Column | None = None,
    type: Column | None = None,
    subgroup: Column | None = None,
    data: Any = None,
    rho: Any = None,
    overlap: Any = None,
    pool: str = "pair",
    correct: bool = True,
    add: float | None = None,
    to: str = "only0",
    drop00: bool = False,
    checkpd: bool = True,
    nearpd: bool = False,
    **inputs: Any,
) -> SamplingCovariance:
    """Build the covariance of effects that share groups of people, by the formula of their measure.

    Two effects of a study covary as far as they rest on the same people: contrasts with one control
    group, several outcomes of the same groups, or both.  Where the numbers of the groups are known,
    the covariance follows from them; `vcalc` is for studies that report effects and variances
    alone.

    Parameters
    ----------
    measure : str or column of str
        Code of the measure as for `escalc`: MD, SMD, SMD1, SMD1H, SMDH, ROM, VR, CVR, D2OR, D2ORL,
        D2ORN; OR, RR, RD, AS, PBIT, PETO, YUQ, YUY, OR2D, OR2DL, OR2DN; IRR, IRD, IRSD; of single
        groups MC, SMCC, SMCR, SMCRP, ROMC, VRC, CVRC, MN, SMN, MNLN, SDLN, CVLN, PR, PLN, PLO, PAS,
        IR, IRLN, IRS.  Or a column of codes: effects
        of several measures (a log odds ratio of one outcome, a mean difference of another).
    cluster : column of labels
        Study: rows of different studies are independent.
    grp1, grp2 : column of labels
        The two groups (arms) each row compares; `grp1` alone for measures of single groups.
    type : column of labels, optional
        Outcome; needs `rho`.
    subgroup : column of labels, optional
        Parts of a study without common people (men and women): rows of different parts are
        independent, whatever their groups are called.
    data : DataFrame, optional
        Where column names are looked up.
    rho : float, str, mapping, Series, DataFrame, "exclusive" or "nested", optional
        Correlation of different outcomes in people: a number; per study, as a column or a mapping;
        a DataFrame labelled by the levels of `type`.  Of events "exclusive", of which no two happen
        to one person, or "nested", of which one is part of the other (death within one and within
        two years), the correlation follows from their risks.  For measures of change it is the
        correlation of the changes.
    overlap : float, str, mapping, Series or DataFrame, optional
        Share of the smaller group that is in the larger one, too, where the numbers of people
        differ between outcomes; 1 unless given.  Given as `rho` is.
    pool : {"pair", "study"}
        Whose standard deviation SMD, D2OR, D2ORL and D2ORN are in units of: pooled over the two
        groups of the row, or over all groups of the study.
    correct, add, to, drop00
        As for `escalc`.
    checkpd : bool
        Refuse a V in which a study is not positive definite.
    nearpd : bool
        Repair the correlations of such studies; see `vcalc`.
    **inputs : column name, array-like (k,) or number
        The numbers of the groups, as for `escalc`: ai, bi, ci, di, n1i, n2i, m1i, sd1i, ...

    Returns
    -------
    SamplingCovariance
        Its variances are those of `escalc` with the default `vtype` (but for ``pool="study"``); NaN
        where `escalc` has no effect size.

    Raises
    ------
    SpecificationError
        For a measure that is not made of independent groups, or arguments that do not go together.
    DataError
        For columns that do not exist or have missing values; a row that compares a group with
        itself.
    CovarianceError
        For a study that is not positive definite (`checkpd`); names studies and rows.

    Warns
    -----
    MvmetaWarning
        Rows without an effect size, and groups with different numbers in two rows.

    Notes
    -----
    With ``e_i = sum_a (l_ia + s_ia)``, over the groups a of row i, of independent errors of
    location and spread with standard deviations L_ia and S_ia (signed; their squares add up to the
    variance), the covariance of two rows is ``sum_a o_a (r L_ia L_ja + r^2 S_ia S_ja)`` over the
    groups that both have, r the correlation of the outcomes in people and ``o_a = overlap
    sqrt(min(n_ia, n_ja) / max(n_ia, n_ja))``, which is ``n_ij / sqrt(n_i n_j)``.  This gives the
    covariances of Gleser and Olkin (2009, in The Handbook of Research Synthesis and Meta-Analysis,
    ch. 19) for shared controls and multiple endpoints, of Lajeunesse (2011) for the ratio of means,
    of Wei and Higgins (2013) for several outcomes, binary, continuous or both, and of Trikalinos
    and Olkin (2008; 2012) for exclusive and nested events.

    References
    ----------
    .. [1] Gleser LJ, Olkin I (2009). Stochastically dependent effect sizes. In: Cooper H, Hedges
       LV, Valentine JC (eds), *The Handbook of Research Synthesis and Meta-Analysis*, 2nd ed.,
       357–376. Russell Sage Foundation.
    .. [2] Lajeunesse MJ (2011). On the meta-analysis of response ratios for studies with correlated
       and multi-group designs. *Ecology* 92:2049–2055. doi:10.1890/11-0423.1
    .. [3] Trikalinos TA, Olkin I (2008). A method for the meta-analysis of mutually exclusive
       binary outcomes. *Statistics in Medicine*. doi:10.1002/sim.3299
    .. [4] Trikalinos TA, Olkin I (2012). Meta-analysis of effect sizes reported at multiple time
       points: a multivariate approach. *Clinical Trials* 9:610–620. doi:10.1177/1740774512453218
    .. [5] Wei Y, Higgins JPT (2013). Estimating within-study covariances in multivariate
       meta-analysis with multiple outcomes. *Statistics in Medicine* 32:1191–1205.
       doi:10.1002/sim.5679

    Examples
    --------
    >>> import pandas as pd
    >>> from mvmeta import varms
    >>> trial = pd.DataFrame(
    ...     {
    ...         "arm": ["low", "high"], "control": "placebo", "study": "Lee",
    ...         "events": [12, 9], "n": [60, 58], "events0": 20, "n0": 61,
    ...     }
    ... )
    >>> varms(
    ...     "OR", cluster="study", grp1="arm", grp2="control", data=trial,
    ...     ai="events", n1i="n", ci="events0", n2i="n0",
    ... ).toarray().round(4)
    array([[0.1786, 0.0744],
           [0.0744, 0.2059]])
    """
    return covariance_of_arms(
        measure,
        cluster=cluster,
        grp1=grp1,
        grp2=grp2,
        type=type,
        subgroup=subgroup,
        data=data,
        rho=rho,
        overlap=overlap,
        pool=pool,
        options=ArmOptions(correct, add, to, drop00),
        checkpd=checkpd,
        nearpd=nearpd,
        inputs=inputs,
        caller=Caller("varms"),
    )


@dataclass(frozen=True)
class Caller:
    """Who asks, in whose words rows and numbers are told.

    Attributes
    ----------
    name : str
    rows : sequence of str or None
        Names of the rows; their labels unless given.
    columns : mapping of str to str
        What the caller's user knows the numbers as, by their names here.
    what : str
        What becomes of rows with something wrong.
    """

    name: str
    rows: Sequence[str] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    what: str = "have no variance (NaN)"

    def warn(self, problems: Problems, labels: Sequence[Any]) -> None:
        """One warning of all rows with something wrong."""
        for row, reason in enumerate(problems.reasons):
            if reason is not None:
                problems.reasons[row] = re.sub(
                    r"\b\w+\b", lambda found: self.columns.get(found[0], found[0]), reason
                )
        problems.warn(self.name, labels if self.rows is None else self.rows, self.what)


def covariance_of_arms(
    measure: str | Column,
    *,
    cluster: Column,
    grp1: Column,
    grp2: Column | None = None,
    type: Column | None = None,
    subgroup: Column | None = None,
    data: Any = None,
    rho: Any = None,
    overlap: Any = None,
    pool: str = "pair",
    options: ArmOptions,
    checkpd: bool = True,
    nearpd: bool = False,
    inputs: Mapping[str, Any],
    caller: Caller,
) -> SamplingCovariance:
    """`varms` for those who call it under another name."""
    given = {
        "measure": measure, "cluster": cluster, "grp1": grp1, "grp2": grp2, "type": type,
        "subgroup": subgroup, "rho": rho, "overlap": overlap,
        "pool": None if pool == "pair" else pool,
    }  # fmt: skip
    rows = ClusteredRows.of(data, 0.0, cluster, subgroup)
    if not rows.source.n:
        raise DataError(f"{caller.name}: the data have no rows")
    numbers = arm_data(_codes(rows, measure), inputs, as_frame(data), options)
    caller.warn(numbers.problems, list(rows.source.index))
    arms = _arms(rows, grp1, grp2, numbers)
    outcome, within = _outcomes(rows, type, rho, numbers)
    _warn_of_differences(rows, arms, outcome, numbers, caller.name)
    spread, pooled = _pooled(rows, arms, outcome, numbers, pool)
    shared = SharedArms(
        arms=arms,
        location=numbers.location,
        spread=spread,
        size=numbers.size,
        outcome=outcome.codes,
        within=within,
        overlap=_overlap(rows, outcome, overlap),
        pooled=pooled,
    )
    v, faults = impute(shared.variances, rows.block, [shared], check=checkpd, repair=nearpd)
    return signed_off(v, faults, rows, call_text("varms", given), repaired=nearpd)


def _codes(rows: ClusteredRows, measure: str | Column) -> np.ndarray:
    """Code of the measure (n,) of each row."""
    if isinstance(measure, str) and (measure in MEASURES or measure not in rows.source):
        return np.full(rows.source.n, measure)
    return rows.column(measure, "measure").astype(str).to_numpy(dtype=str)


def _arms(
    rows: ClusteredRows, grp1: Column, grp2: Column | None, numbers: ArmData
) -> tuple[Ints, Ints]:
    first = rows.column(grp1, "grp1")
    if grp2 is None:
        two = np.flatnonzero(~numbers.single)
        if len(two):
            raise SpecificationError(
                f"grp2= is missing: {rows.where(two)} compare two groups; which is the second one?"
            )
        return factor([first]).codes, np.full(rows.source.n, -1)
    codes, others = common_codes(first, rows.column(grp2, "grp2"))
    others = np.where(numbers.single, -1, others)
    same = np.flatnonzero(codes == others)
    if len(same):
        raise DataError(
            f"grp1 and grp2 are the same group in {rows.where(same)}, which is no contrast"
        )
    return codes, others


def _outcomes(
    rows: ClusteredRows, outcome: Column | None, rho: Any, numbers: ArmData
) -> tuple[Factor, People | Events | None]:
    """Outcome of each row, and how two of them correlate in people."""
    if outcome is None:
        if rho is not None:
            raise SpecificationError("rho= needs type=, the outcomes it is the correlation of")
        return factor([pd.Series(0, index=rows.source.index)]), None
    levels = factor([rows.column(outcome, "type")])
    if rho is None:
        raise SpecificationError("type= needs rho=, the correlation of outcomes in people")
    relation = RELATIONS.get(rho) if isinstance(rho, str) else None
    if relation is None and isinstance(rho, str) and rho not in rows.source:
        raise SpecificationError(
            f"rho={rho!r} is no column of the data and none of {', '.join(map(repr, RELATIONS))}, "
            f"which are for events{did_you_mean(rho, [*RELATIONS, *rows.source.columns])}"
        )
    if relation is None:
        return levels, People(read_correlation(rows, rho, levels, "rho", "type"))
    usable = ~np.isnan(numbers.location[0])
    lacking = usable & np.isnan(numbers.risk[0])
    if lacking.any():
        raise SpecificationError(
            f"rho={rho!r} is for events, but {rows.where(np.flatnonzero(lacking))} have no counts "
            "of them; give the correlation as a number"
        )
    return levels, Events(relation, numbers.risk)


def _overlap(rows: ClusteredRows, outcome: Factor, overlap: Any) -> Part | None:
    if overlap is None:
        return None
    return read_correlation(rows, overlap, outcome, "overlap", "type", least=0.0)


def _pooled(
    rows: ClusteredRows, arms: tuple[Ints, Ints], outcome: Factor, numbers: ArmData, pool: str
) -> tuple[Pair, Floats | None]:
    """Errors of spread by arm, and those that all rows of a study share (``pool="study"``)."""
    if pool not in POOLS:
        raise SpecificationError(f"pool= takes one of {', '.join(POOLS)}, got {pool!r}")
    if pool == "pair":
        return numbers.spread, None
    whole = numbers.pooled != 0
    if not whole.any():
        raise SpecificationError(
            "pool='study' is for standardized mean differences (SMD, D2OR, D2ORL, D2ORN)"
        )
    long = _by_arm(rows, arms, outcome, {"n": numbers.size})
    groups = long.groupby(["study", "outcome", "arm"])["n"].max()
    total = groups.groupby(level=["study", "outcome"]).sum()
    keys = pd.MultiIndex.from_arrays([rows.block, outcome.codes])
    n = total.reindex(keys).to_numpy(dtype=float)
    first, second = (np.where(whole, 0.0, s) for s in numbers.spread)
    return (first, second), numbers.pooled / np.sqrt(2.0 * n)


def _by_arm(
    rows: ClusteredRows, arms: tuple[Ints, Ints], outcome: Factor, columns: Mapping[str, Pair]
) -> pd.DataFrame:
    """One row per arm of each row: study, outcome, arm, position, and columns of numbers."""
    n = rows.source.n
    long = pd.DataFrame(
        {
            "study": np.tile(rows.block, 2),
            "outcome": np.tile(outcome.codes, 2),
            "arm": np.concatenate(arms),
            "position": np.tile(np.arange(n), 2),
        }
        | {name: np.concatenate(pair) for name, pair in columns.items()}
    )
    return long[long["arm"] >= 0]


def _warn_of_differences(
    rows: ClusteredRows, arms: tuple[Ints, Ints], outcome: Factor, numbers: ArmData, name: str
) -> None:
    """Warn where a group of a study has other numbers in another row of the same outcome."""
    first, second = numbers.numbers
    columns = {f"x{c}": (first[:, c], second[:, c]) for c in range(first.shape[1])}
    long = _by_arm(rows, arms, outcome, columns)
    groups = long.groupby(["study", "outcome", "arm"])[list(columns)]
    differ = (groups.transform("max") > groups.transform("min")).any(axis=1).to_numpy()
    if not differ.any():
        return
    where = np.unique(long["position"].to_numpy()[differ])
    warn(
        f"{name}: a group has other numbers in one row than in another of its study, in "
        f"{rows.where(where)}: are these different people? Their errors are taken to be shared as "
        "far as the smaller of the two goes"
    )
