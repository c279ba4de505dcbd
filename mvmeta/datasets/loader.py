"""Read the csv files that lie beside this module, each with a json file that describes it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from mvmeta.columns import did_you_mean
from mvmeta.datasets.digits import exact_floats
from mvmeta.datasets.tree import shared_branches
from mvmeta.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable

    import numpy as np
    import pandas as pd

_DESCRIBED = (
    "title",
    "description",
    "structure",
    "models",
    "measures",
    "variables",
    "source",
    "licence",
)

MODELS = (
    "random effects",
    "meta-regression",
    "location-scale",
    "three-level",
    "crossed",
    "sparse categories",
    "shared groups",
    "multivariate",
    "diagnostic accuracy",
    "longitudinal",
    "dose-response",
    "network",
    "phylogeny",
    "spatial",
    "robust",
)
"""Kinds of model a data set may be an example of."""


def names(*, model: str | None = None, measure: str | None = None) -> list[str]:
    """
    Names of the data sets that `load` knows.

    Parameters
    ----------
    model : str, optional
        Only those that suit this kind of model: "three-level", "multivariate", "network",
        "phylogeny", ...; column ``models`` of `describe` has them all.
    measure : str, optional
        Only those whose columns give this effect size, by its code in `mvmeta.escalc`.

    Returns
    -------
    list of str
        In alphabetical order.

    Raises
    ------
    DataError
        If no data set is of this kind or has this measure; says which there are.

    Examples
    --------
    >>> from mvmeta import datasets
    >>> datasets.names(model="network")
    ['hasselblad1998', 'senn2013']
    >>> datasets.names(measure="IRR")
    ['hart1999']
    """
    found = _all_names()
    for key, wanted in (("models", model), ("measures", measure)):
        if wanted is not None:
            found = [name for name in found if name in _having(key, wanted)]
    return found


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
        One row per estimate, in the order of the source: effect sizes ``yi`` with sampling
        variances ``vi`` (but ``toy``), and what they were computed from where the source has it.
        Whole numbers are integers, floats where some are missing; text is text, also where it looks
        like a number. ``.attrs`` holds ``name``, ``title``, ``description``, ``structure`` and
        ``models`` (what it is an example of), ``measures`` (effect sizes it has or can give, by
        their codes in `mvmeta.escalc`), ``variables`` (column name to meaning, with the scale of
        ``yi``; ``vi`` is in squared units of it), ``source``, ``licence`` and ``example`` (Python
        code of a model fitted to it).

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
    frame = _read_csv(f"{name}.csv", text=entry.get("text", ()))
    frame.attrs = {"name": name} | {key: entry[key] for key in _DESCRIBED}
    frame.attrs["example"] = "\n".join(entry["example"])
    return frame


def describe() -> pd.DataFrame:
    """
    Table of all data sets.

    Returns
    -------
    pandas.DataFrame of text and counts
        One row per data set, indexed by ``name``, with columns ``rows`` (estimates), ``studies``
        (distinct values of the column that holds the outermost unit), ``description`` (one
        line), ``structure``, ``models`` and ``measures`` (both lists, as text), ``source`` and
        ``licence``.

    Examples
    --------
    >>> from mvmeta import datasets
    >>> datasets.describe().loc["ishak2007", ["models", "measures"]].tolist()
    ['longitudinal', 'MC']
    """
    import pandas as pd

    return pd.DataFrame([_describe_one(name) for name in _all_names()]).set_index("name")


def correlation(name: str) -> pd.DataFrame:
    """
    Known correlation matrix that belongs to a data set: of species, from their phylogeny.

    Parameters
    ----------
    name : str
        A data set that has one: ``"lim2014"`` or ``"moura2021"``.

    Returns
    -------
    pandas.DataFrame
        Correlations, without unit: symmetric, unit diagonal, rows and columns labelled by the
        levels of the column it belongs to (``.attrs["column"]``); what
        ``Random("1 | species", corr=...)`` takes.

    Raises
    ------
    DataError
        If there is no data set of this name, or it has no correlation matrix.

    References
    ----------
    .. [1] Felsenstein J (1985). Phylogenies and the comparative method. *American Naturalist*
       125:1–15.

    Examples
    --------
    >>> from mvmeta import datasets
    >>> tree = datasets.correlation("lim2014")
    >>> tree.shape, float(tree.iloc[0, 0])
    ((98, 98), 1.0)
    """
    import pandas as pd

    column = _part(name, "correlation", "known correlation matrix")
    levels = sorted(load(name)[column].unique())
    tree = _read_csv(f"{name}_tree.csv", text=("node", "parent"))
    matrix = pd.DataFrame(shared_branches(tree, levels), index=levels, columns=levels)
    return _labelled(matrix, name, column)


def distance(name: str) -> pd.DataFrame:
    """
    Distances between the sites of a data set.

    Parameters
    ----------
    name : str
        A data set that has them: ``"maire2019"``.

    Returns
    -------
    pandas.DataFrame
        Symmetric, zero diagonal, in the unit the description gives (km along the rivers), rows and
        columns labelled by the levels of the column it belongs to (``.attrs["column"]``); what
        ``Random("site_station | const", "SPEXP", distance=...)`` takes.

    Raises
    ------
    DataError
        If there is no data set of this name, or it has no distances.

    Examples
    --------
    >>> from mvmeta import datasets
    >>> rivers = datasets.distance("maire2019")
    >>> rivers.shape, float(rivers.loc["site2_sta1", "site2_sta4"])
    ((35, 35), 6.0)
    """
    column = _part(name, "distance", "distances")
    lower = _read_csv(f"{name}_distance.csv").set_index("level")
    return _labelled(lower.where(lower.notna(), lower.T), name, column)


def covariance_blocks(name: str) -> list[np.ndarray]:
    """
    Published sampling covariance matrices of a data set, one per study.

    Parameters
    ----------
    name : str
        A data set whose source gives them: ``"berkey1998"`` or ``"fine1993"``.

    Returns
    -------
    list of ndarray, each of shape (m, m)
        Blocks in row order, m the estimates of the study, in squared units of ``yi``; what
        ``variance=`` takes.

    Raises
    ------
    DataError
        If there is no data set of this name, or its source gives variances only.

    Examples
    --------
    >>> from mvmeta import datasets
    >>> datasets.covariance_blocks("berkey1998")[0]
    array([[0.0075, 0.003 ],
           [0.003 , 0.0077]])
    """
    part = _part(name, "covariance", "published sampling covariances")
    frame = load(name)
    blocks = frame.groupby(part["cluster"], sort=False)[part["columns"]]
    return [block.dropna(axis="columns", how="all").to_numpy() for _, block in blocks]


def _folder() -> Traversable:
    return files("mvmeta.datasets")


def _all_names() -> list[str]:
    entries = (entry.name for entry in _folder().iterdir())
    return sorted(entry.removesuffix(".json") for entry in entries if entry.endswith(".json"))


def _having(key: str, wanted: str) -> list[str]:
    offered = {name: _entry(name)[key] for name in _all_names()}
    having = [name for name, values in offered.items() if wanted in values]
    if not having:
        known = sorted({value for values in offered.values() for value in values})
        raise DataError(f"no data set has {wanted!r} among its {key}; they are {', '.join(known)}")
    return having


def _labelled(matrix: pd.DataFrame, name: str, column: str) -> pd.DataFrame:
    matrix = matrix.rename_axis(index=column)
    matrix.attrs = {"name": name, "column": column}
    return matrix


def _entry(name: str) -> dict[str, Any]:
    known = _all_names()
    if name not in known:
        hint = did_you_mean(str(name), known) or ";"
        raise DataError(
            f"there is no data set named {name!r}{hint} choose one of {', '.join(known)}"
        )
    entry: dict[str, Any] = json.loads((_folder() / f"{name}.json").read_text(encoding="utf-8"))
    return entry


def _part(name: str, key: str, meaning: str) -> Any:
    entry = _entry(name)
    if key not in entry:
        having = [other for other in _all_names() if key in _entry(other)]
        raise DataError(f"data set {name!r} has no {meaning}; those that do: {', '.join(having)}")
    return entry[key]


def _read_csv(filename: str, text: Sequence[str] = ()) -> pd.DataFrame:
    import pandas as pd

    # Only an empty field is missing: "None" or "NA" may be the name of a treatment.
    options: dict[str, Any] = {"keep_default_na": False, "na_values": [""]}
    with (_folder() / filename).open(encoding="utf-8") as stream:
        return pd.read_csv(stream, dtype=dict.fromkeys(text, str), **options, **exact_floats())


def _describe_one(name: str) -> dict[str, object]:
    entry, frame = _entry(name), load(name)
    return {
        "name": name,
        "rows": len(frame),
        "studies": frame[entry["study"]].nunique(),
        "description": entry["title"],
        "structure": entry["structure"],
        "models": ", ".join(entry["models"]),
        "measures": ", ".join(entry["measures"]),
        "source": entry["source"],
        "licence": entry["licence"],
    }
