"""Correlations of species from the tree they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from mvmeta._typing import Floats


def shared_branches(tree: pd.DataFrame, tips: list[str]) -> Floats:
    """
    Share of the way from the root that each pair of tips has in common.

    Under Brownian motion along the tree this is their correlation (Felsenstein 1985, The American
    Naturalist 125:1): the covariance of two tips is the length of the branches above both.

    Parameters
    ----------
    tree : DataFrame
        One row per node but the root: ``node``, ``parent``, ``length`` of the branch between.
    tips : list of str
        The q nodes wanted, in order.

    Returns
    -------
    ndarray (q, q)
        Symmetric with unit diagonal.
    """
    row = {node: i for i, node in enumerate(tree["node"])}
    parents, lengths = tree["parent"].tolist(), tree["length"].to_numpy()
    above = np.zeros((len(tips), len(tree)), dtype=bool)
    for i, tip in enumerate(tips):
        node = tip
        while node in row:
            above[i, row[node]] = True
            node = parents[row[node]]
    shared = (above * lengths) @ above.T
    height = np.sqrt(np.diag(shared))
    correlation = shared / np.outer(height, height)
    np.fill_diagonal(correlation, 1.0)
    return np.minimum(correlation, correlation.T)
