"""What is in a sampling covariance, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mvmeta._typing import Floats

if TYPE_CHECKING:
    from mvmeta.design.sampling import SamplingCovariance


def describe(v: SamplingCovariance) -> str:
    """Effects, variances, correlations, blocks, and how V was made, a line each."""
    made = v.provenance
    studies = "" if made is None else f" in {_count(len(np.unique(made.study)), 'studies')}"
    lines = [
        f"Covariance of the sampling errors of {_count(v.n, 'effects')}{studies}",
        _line("variances", _range(v.variances)),
    ]
    missing = int(np.isnan(v.variances).sum())
    if missing:
        lines.append(_line("missing", f"{_count(missing, 'variances')}, with their covariances"))
    lines += _correlated(v)
    if made is not None:
        lines.append(_line("made by", made.call))
        if made.repairs:
            repaired = _count(len(made.repairs), "correlations")
            lines.append(_line("repaired", f"{repaired}, listed by .repairs"))
    return "\n".join(lines)


def correlation_range(v: SamplingCovariance) -> tuple[float, float]:
    """Smallest and largest stored correlation, missing ones left out; NaN without any."""
    if v.covariances is None:
        return np.nan, np.nan
    off = v.covariances.tocoo()
    r = off.data / np.sqrt(v.variances[off.row] * v.variances[off.col])
    r = r[~np.isnan(r)]
    return (float(r.min()), float(r.max())) if len(r) else (np.nan, np.nan)


def _correlated(v: SamplingCovariance) -> list[str]:
    if v.covariances is None:
        return [_line("correlations", "none")]
    pairs = _count(v.covariances.nnz // 2, "pairs")
    sizes = np.bincount(v.cluster)
    largest = _count(int(sizes.max()), "effects")
    return [
        _line("correlations", f"{_range(np.array(correlation_range(v)))}, of {pairs} of effects"),
        _line("blocks", f"{len(sizes):,}, the largest of {largest}"),
    ]


def _line(what: str, text: str) -> str:
    return f"  {what:<14}{text}"


def _count(number: int, noun: str) -> str:
    singular = {"studies": "study"}.get(noun, noun.removesuffix("s"))
    return f"{number:,} {singular if number == 1 else noun}"


def _range(values: Floats) -> str:
    known = values[~np.isnan(values)]
    if not len(known):
        return "none known"
    low, high = (f"{v:.4g}" for v in (known.min(), known.max()))
    return low if low == high else f"{low} to {high}"
