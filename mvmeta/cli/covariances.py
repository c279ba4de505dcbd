"""Dependent sampling errors as they are typed: "study; obs=effect; rho=0.6"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvmeta.cli.clauses import clauses, refuse
from mvmeta.cli.files import read_labelled
from mvmeta.cli.values import names, number_or_name

if TYPE_CHECKING:
    import pandas as pd

    from mvmeta.design.sampling import SamplingCovariance

COLUMNS = ("subgroup", "obs", "type", "time1", "time2", "grp1", "grp2", "w1", "w2")

HELP = """\
covariances of sampling errors:  CLUSTER [; NAME=VALUE ...] [; nearpd]
  rho=NUMBER             correlation of different rows of a cluster; also a
                         column with a number for each cluster, a labelled CSV
                         (*.csv) of levels of obs or type, or two for both
  obs=, type=, subgroup= columns that tell rows of a cluster apart
  time1=, time2=, phi=   columns of times, and their autocorrelation
  grp1=, grp2=, w1=, w2= columns of the groups a row compares, and their sizes
  rvars=COLUMNS          columns with the correlations themselves: c1,c2,...
  nearpd                 nearest covariances where those asked for cannot be
"""


@dataclass(frozen=True)
class DependenceText:
    """What makes sampling errors dependent, as it was typed, taken apart."""

    cluster: str
    options: dict[str, Any]

    def build(self, data: pd.DataFrame, variance: str) -> SamplingCovariance:
        """V, from the column of sampling variances and the correlations."""
        from mvmeta.model.preparation.vcalc import vcalc

        options = {key: _loaded(value) for key, value in self.options.items()}
        return vcalc(variance, self.cluster, data=data, **options)


def dependence(text: str) -> DependenceText:
    """Take a description of dependent sampling errors apart."""
    cluster, pairs = clauses(text)
    options: dict[str, Any] = {}
    for name, value in pairs:
        key = name or value
        known = key == "nearpd" if not name else key in _READERS
        if not known or not value or key in options or not cluster:
            raise refuse(
                name,
                value,
                text,
                "after the column of clusters and a ';' come NAME=VALUE, each once, with the "
                f"names {', '.join(_READERS)}, and the word nearpd",
            )
        options[key] = _READERS[key](value) if name else True
    return DependenceText(cluster, options)


def _correlations(text: str) -> Any:
    values = tuple(number_or_name(part.strip()) for part in text.split(","))
    return values if len(values) > 1 else values[0]


def _loaded(value: Any) -> Any:
    """Correlations with those that are files read."""
    if isinstance(value, tuple):
        return tuple(map(_loaded, value))
    is_file = isinstance(value, str) and Path(value).suffix.lower() == ".csv"
    return read_labelled(value) if is_file else value


_READERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(COLUMNS, str),
    "rho": _correlations,
    "phi": number_or_name,
    "rvars": names,
}
