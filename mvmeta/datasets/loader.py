"""Read the csv files that lie beside this module, each with a json file that describes it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from mvmeta.datasets.digits import exact_floats
from mvmeta.errors import DataError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    import numpy as np
    import pandas as pd

_DESCRIBED = ("title", "description", "structure", "variables", "source", "licence")


def names() -> list[str]:
    """
    Names of the data sets that `load` knows.

    Returns
    -------
    list of str
        In alphabetical order.
    """
    entries = (entry.name for entry in _folder().iterdir())
    return sorted(entry.removesuffix(".json") for entry in entries if entry.endswith(".json"))


def load(name: str) -> pd.DataFrame:
    """
    Load a data set.

    Parameters
    ----------
    name : str
        One of `names()`.

    Returns
    -------
    pandas.DataFrame
        One row per estimate, in the order of the source. ``.attrs`` holds ``name``, ``title``,
        ``description``, ``structure`` (the kind of model it suits), ``variables`` (column name
        to meaning), ``source`` and ``licence``.

    Raises
    ------
    DataError
        If there is no data set of this name.

    Examples
    --------
    >>> from mvmeta import datasets
    >>> datasets.load("toy")["d"].tolist()
    [0, 5, 10, 20, 25]
    """
    entry = _entry(name)
    frame = _read_csv(f"{name}.csv")
    frame.attrs = {"name": name} | {key: entry[key] for key in _DESCRIBED}
    return frame


def describe() -> pd.DataFrame:
    """
    Table of all data sets.

    Returns
    -------
    pandas.DataFrame
        One row per data set, indexed by ``name``, with columns ``rows`` (estimates), ``studies``
        (distinct values of the column that holds the outermost unit), ``description`` (one
        line), ``structure`` (the kind of model it suits), ``source`` and ``licence``.
    """
    import pandas as pd

    return pd.DataFrame([_describe_one(name) for name in names()]).set_index("name")


def correlation(name: str) -> pd.DataFrame:
    """
    Known correlation matrix that belongs to a data set, such as a phylogeny.

    Parameters
    ----------
    name : str
        A data set that has one: ``"lim2014"``.

    Returns
    -------
    pandas.DataFrame
        Symmetric, unit diagonal, rows and columns labelled by the levels of the column it
        belongs to (``.attrs["column"]``); what ``Random("1 | species", corr=...)`` takes.

    Raises
    ------
    DataError
        If there is no data set of this name, or it has no correlation matrix.
    """
    column = _part(name, "correlation", "known correlation matrix")
    lower = _read_csv(f"{name}_correlation.csv").set_index("level")
    matrix = lower.where(lower.notna(), lower.T).rename_axis(index=column)
    matrix.attrs = {"name": name, "column": column}
    return matrix


def covariance_blocks(name: str) -> list[np.ndarray]:
    """
    Published sampling covariance matrices of a data set, one per study.

    Parameters
    ----------
    name : str
        A data set whose source gives them: ``"berkey1998"``.

    Returns
    -------
    list of ndarray
        Blocks (m, m) in row order, what ``variance=`` takes.

    Raises
    ------
    DataError
        If there is no data set of this name, or its source gives variances only.
    """
    part = _part(name, "covariance", "published sampling covariances")
    frame = load(name)
    blocks = frame.groupby(part["cluster"], sort=False)[part["columns"]]
    return [block.to_numpy() for _, block in blocks]


def _folder() -> Traversable:
    return files("mvmeta.datasets")


def _entry(name: str) -> dict[str, Any]:
    known = names()
    if name not in known:
        raise DataError(f"there is no data set named {name!r}; choose one of {', '.join(known)}")
    entry: dict[str, Any] = json.loads((_folder() / f"{name}.json").read_text(encoding="utf-8"))
    return entry


def _part(name: str, key: str, meaning: str) -> Any:
    entry = _entry(name)
    if key not in entry:
        having = [other for other in names() if key in _entry(other)]
        raise DataError(f"data set {name!r} has no {meaning}; those that do: {', '.join(having)}")
    return entry[key]


def _read_csv(filename: str) -> pd.DataFrame:
    import pandas as pd

    with (_folder() / filename).open(encoding="utf-8") as stream:
        return pd.read_csv(stream, **exact_floats())


def _describe_one(name: str) -> dict[str, object]:
    entry, frame = _entry(name), load(name)
    return {
        "name": name,
        "rows": len(frame),
        "studies": frame[entry["study"]].nunique(),
        "description": entry["title"],
        "structure": entry["structure"],
        "source": entry["source"],
        "licence": entry["licence"],
    }
