"""What is said and done where the correlations of a cluster are not those of any data."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mvmeta._typing import Ints
from mvmeta.columns import MOST_NAMED, row_names
from mvmeta.design.impute import Fault
from mvmeta.design.provenance import Provenance, Repair
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.valid_v import DEFINITE_TOLERANCE
from mvmeta.errors import CovarianceError, warn
from mvmeta.model.preparation.clustered import ClusteredRows
from mvmeta.model.specification.frames import shorten

REPAIRED = 1e-12
"""Change of a correlation below which a repair has left it alone."""


def signed_off(
    v: SamplingCovariance,
    faults: Sequence[Fault],
    rows: ClusteredRows,
    call: str,
    *,
    repaired: bool,
) -> SamplingCovariance:
    """V with its provenance, once what the check found is said.

    Parameters
    ----------
    v : SamplingCovariance
    faults : sequence of Fault
        Clusters that are, or were, not positive definite.
    rows : ClusteredRows
    call : str
        What made V, for its provenance.
    repaired : bool
        The faults have been repaired in `v`.

    Raises
    ------
    CovarianceError
        If there are faults that were not.
    """
    if faults and not repaired:
        raise CovarianceError(_say_indefinite(rows, faults))
    if faults:
        warn(_say_repaired(rows, faults))
    repairs, pairs = _log(rows, faults)
    made = Provenance(
        call, rows.study.codes, rows.study.levels, repairs, pairs, rows.labels, rows.cluster
    )
    return replace(v, provenance=made)


def _log(rows: ClusteredRows, faults: Sequence[Fault]) -> tuple[tuple[Repair, ...], Ints]:
    """Every correlation that changed, and the positions (r, 2) of its rows."""
    repairs: list[Repair] = []
    pairs: list[tuple[int, int]] = []
    for fault in faults:
        cluster = str(rows.unit.levels[int(rows.block[fault.rows[0]])])
        changed = np.triu(np.abs(fault.after - fault.before) > REPAIRED, 1)
        for a, b in np.argwhere(changed):
            i, j = int(fault.rows[a]), int(fault.rows[b])
            before, after = float(fault.before[a, b]), float(fault.after[a, b])
            index = rows.source.index
            repairs.append(Repair(cluster, index[i], index[j], before, after))
            pairs.append((i, j))
    return tuple(repairs), np.array(pairs, dtype=np.intp).reshape(-1, 2)


def _say_indefinite(rows: ClusteredRows, faults: Sequence[Fault]) -> str:
    worst = min(faults, key=lambda fault: fault.least)
    singular = worst.least >= -DEFINITE_TOLERANCE
    text = (
        f"V is {'singular' if singular else 'not positive definite'} in {_studies(rows, faults)}: "
        f"the correlations of {row_names(rows.source.index, worst.rows)} have the smallest "
        f"eigenvalue {worst.least:.3g}"
    )
    if len(worst.twins):
        pair = np.flatnonzero(np.isin(worst.rows, worst.twins))
        r = worst.before[pair[0], pair[1]]
        beyond = np.abs(r) > 1 + DEFINITE_TOLERANCE
        text += f", and {row_names(rows.source.index, worst.twins)} correlate {r:.4g}" + (
            ", beyond 1; is an entry wrong?"
            if beyond
            else "; does a column that tells them apart lack?"
        )
    advice = (
        "checkpd=False accepts it" if singular else "nearpd=True takes the nearest ones that are"
    )
    return f"{text}; check the correlations given, or {advice}"


def _say_repaired(rows: ClusteredRows, faults: Sequence[Fault]) -> str:
    most = sorted(faults, key=lambda fault: -fault.change)
    changes = shorten(
        f"{_study(rows, fault)} by up to {fault.change:.3g}" for fault in most[:MOST_NAMED]
    )
    more = f" and {len(most) - MOST_NAMED} more" if len(most) > MOST_NAMED else ""
    return (
        "correlations were not positive definite and have been replaced by the nearest that are "
        f"(nearpd=True; .repairs lists them), in {changes}{more}"
    )


def _studies(rows: ClusteredRows, faults: Sequence[Fault]) -> str:
    return shorten(_study(rows, fault) for fault in faults)


def _study(rows: ClusteredRows, fault: Fault) -> str:
    return f"study {rows.unit.levels[int(rows.block[fault.rows[0]])]}"
