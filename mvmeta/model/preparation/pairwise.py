"""From one row per arm to contrasts of arms, with the V that multi-arm studies need."""

import warnings
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mvmeta.design.sampling import SamplingCovariance
from mvmeta.effects.arms import ArmOptions
from mvmeta.effects.escalc import escalc
from mvmeta.effects.inputs import as_frame
from mvmeta.effects.registry import find_measure
from mvmeta.effects.reshape import need_columns, need_names, need_values, to_wide
from mvmeta.errors import DataError, MvmetaWarning, SpecificationError
from mvmeta.model.preparation.varms import Caller, covariance_of_arms

INPUTS = {
    "table": {"xi": ("ai", "ci"), "mi": ("bi", "di"), "ni": ("n1i", "n2i")},
    "groups": {"mi": ("m1i", "m2i"), "sdi": ("sd1i", "sd2i"), "ni": ("n1i", "n2i")},
    "rates": {"xi": ("x1i", "x2i"), "ti": ("t1i", "t2i")},
}
INPUTS["d"] = INPUTS["groups"]
"""By data layout of a measure: the number of one arm, and what `escalc` calls it in two."""

POSTFIX = (".1", ".2")


class ArmContrasts(NamedTuple):
    """Contrasts in the order of V, and V itself.

    Attributes
    ----------
    dat : DataFrame
        One row per contrast: the study, the arms and their numbers, in the units they are given in,
        with ".1" and ".2" appended; yi on the scale of the measure and vi in its squared units;
        `id`, `comp` ("a-b") and `design` (all arms of the study).
    V : SamplingCovariance
        Of the rows of `dat`: contrasts of one study covary by the arms they share.

    Examples
    --------
    >>> import pandas as pd
    >>> from mvmeta import pairwise
    >>> arms = pd.DataFrame(
    ...     {"study": [1, 1, 1], "drug": ["a", "b", "c"], "events": [4, 6, 9], "n": [40, 40, 40]}
    ... )
    >>> contrasts = pairwise("OR", arms, study="study", arm="drug", xi="events", ni="n")
    >>> contrasts.dat["comp"].tolist(), contrasts.V.n
    (['a-c', 'b-c'], 2)
    """

    dat: pd.DataFrame
    V: SamplingCovariance


def pairwise(
    measure: str,
    data: Any,
    *,
    study: str,
    arm: str,
    xi: str | None = None,
    mi: str | None = None,
    sdi: str | None = None,
    ni: str | None = None,
    ti: str | None = None,
    type: str | None = None,
    rho: Any = None,
    overlap: Any = None,
    ref: str | None = None,
    contrasts: str = "reference",
    correct: bool = True,
    add: float | None = None,
    to: str = "only0",
    drop00: bool = False,
) -> ArmContrasts:
    """Contrasts of the arms of each study, with effect sizes and their covariance.

    Parameters
    ----------
    measure : str
        Measure of two groups that `varms` knows, such as "OR", "RR", "RD", "MD", "SMD", "ROM" or
        "IRR".
    data : DataFrame or any eager frame narwhals knows
        One row per arm of a study (and outcome).
    study, arm : str
        Columns with the study and the arm (treatment).
    xi, mi, sdi, ni, ti : str
        Columns with the numbers of an arm, named as for the measures of single groups: events `xi`
        of `ni` people (or events and non-events `mi`); mean `mi`, standard deviation `sdi` and size
        `ni`; events `xi` in person-time `ti`.
    type : str, optional
        Column with the outcome, where studies report several; needs `rho`.
    rho, overlap : optional
        Correlation of outcomes in people, and the share of people that two outcomes have in
        common, as for `varms`.
    ref : str, optional
        Arm that the others are compared with where a study has it, as for `to_wide`.
    contrasts : {"reference", "all", "successive"}
        All arms of a study with one of them; any two; or each with the one before it (doses in
        order, see `to_wide`).
    correct, add, to, drop00
        As for `escalc`.

    Returns
    -------
    ArmContrasts
        A pair `(dat, V)`.  A study with m arms has m - 1 contrasts with its reference arm, or of
        successive ones; either hold all that the m (m - 1) / 2 differences of two arms do.  V of
        these is singular where m is 3 or more: the differences follow from one another.  They are
        for tables, plots and analyses of one comparison at a time.

    Raises
    ------
    SpecificationError
        For a measure that does not compare two groups, or numbers it lacks.
    DataError
        For unknown columns, a missing arm or study, a study with a single arm or with the same arm
        twice.

    Warns
    -----
    MvmetaWarning
        Contrasts without an effect size (NaN), which a model drops.

    Notes
    -----
    Heterogeneity that is the same for any two arms (``Random("comp | study", "CS",
    fixed={"rho": 0.5})``) is that of contrasts with one arm, which they have in common with one
    sign; successive contrasts have an arm in common with two signs.

    See Also
    --------
    contrmat : The design of a network model over such contrasts.

    References
    ----------
    See :func:`escalc` for the effect sizes, :func:`varms` for their covariance.

    Examples
    --------
    >>> import pandas as pd
    >>> from mvmeta import pairwise
    >>> arms = pd.DataFrame(
    ...     {
    ...         "study": ["Lee"] * 3 + ["Ito"] * 2,
    ...         "drug": ["high", "low", "placebo", "low", "placebo"],
    ...         "events": [9, 12, 20, 15, 22], "n": [58, 60, 61, 80, 79],
    ...     }
    ... )
    >>> dat, V = pairwise("OR", arms, study="study", arm="drug", xi="events", ni="n")
    >>> dat[["study", "comp", "yi", "vi"]].round(3)
      study          comp     yi     vi
    0   Lee  high-placebo -0.977  0.206
    1   Lee   low-placebo -0.668  0.179
    2   Ito   low-placebo -0.514  0.145
    >>> V.toarray().round(3)
    array([[0.206, 0.074, 0.   ],
           [0.074, 0.179, 0.   ],
           [0.   , 0.   , 0.145]])
    """
    frame = as_frame(data)
    if frame is None:
        raise DataError("pairwise needs data=, one row per arm")
    need_names([study, arm, xi, mi, sdi, ni, ti, type], "pairwise")
    numbers = {"xi": xi, "mi": mi, "sdi": sdi, "ni": ni, "ti": ti}
    columns = _columns(measure, {name: c for name, c in numbers.items() if c is not None})
    wide = _contrasts(frame, study, arm, list(columns), type, ref, contrasts)
    inputs: dict[str, Any] = {
        name: f"{column}{postfix}"
        for column, names in columns.items()
        for name, postfix in zip(names, POSTFIX, strict=True)
    }
    with warnings.catch_warnings():
        # what is said of V is said of the same rows
        warnings.simplefilter("ignore", MvmetaWarning)
        wide = escalc(measure, data=wide, correct=correct, add=add, to=to, drop00=drop00, **inputs)
    v = covariance_of_arms(
        measure,
        cluster=study,
        grp1=f"{arm}{POSTFIX[0]}",
        grp2=f"{arm}{POSTFIX[1]}",
        type=type,
        data=wide,
        rho=rho,
        overlap=overlap,
        options=ArmOptions(correct, add, to, drop00),
        checkpd=contrasts != "all",
        inputs=inputs,
        caller=Caller("pairwise", _names(wide, study, type), inputs, "have no effect size (NaN)"),
    )
    return ArmContrasts(wide, v)


def _names(wide: pd.DataFrame, study: str, outcome: str | None) -> list[str]:
    """Names of contrasts in messages: "3, a-b", and the outcome where there are several."""
    parts = [wide[study], *([] if outcome is None else [wide[outcome]]), wide["comp"]]
    return [", ".join(map(str, row)) for row in zip(*parts, strict=True)]


def _columns(measure: str, given: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Column of an arm's number -> what `escalc` calls it for the first and the second arm."""
    layout = find_measure(measure).layout
    if layout not in INPUTS:
        raise SpecificationError(
            f"measure {measure!r} does not compare two independent groups; pairwise takes those of "
            "2x2 tables (OR, RR, RD), means (MD, SMD, ROM) and rates (IRR)"
        )
    known = INPUTS[layout]
    foreign = [name for name in given if name not in known]
    if foreign or len(given) < min(len(known), 2):
        said = f"does not use {', '.join(foreign)}" if foreign else "lacks numbers of the arms"
        raise SpecificationError(
            f"pairwise: measure {measure!r} {said}; it takes {', '.join(known)}"
        )
    return {column: known[name] for name, column in given.items()}


def _contrasts(
    frame: pd.DataFrame,
    study: str,
    arm: str,
    numbers: list[str],
    outcome: str | None,
    ref: str | None,
    contrasts: str,
) -> pd.DataFrame:
    """Contrasts within studies and outcomes, studies in the order of their first rows."""
    names = [study, arm] if outcome is None else [study, arm, outcome]
    need_columns(frame, names, "pairwise")
    need_values(frame, names, "pairwise")
    if outcome is None:
        return to_wide(frame, study, arm, numbers, ref=ref, contrasts=contrasts)
    parts = [
        to_wide(rows, study, arm, numbers, ref=ref, contrasts=contrasts)
        for _, rows in frame.groupby(outcome, sort=False)
    ]
    wide = pd.concat(parts, ignore_index=True)
    order = np.argsort(pd.Index(frame[study].unique()).get_indexer(wide[study]), kind="stable")
    return wide.iloc[order].reset_index(drop=True).assign(id=np.arange(1, len(wide) + 1))
