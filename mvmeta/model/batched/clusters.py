"""Clusters of robust covariances over batches: the independent ones, or those of a column."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mvmeta._typing import Ints
from mvmeta.design.layout import recode
from mvmeta.errors import DataError, SpecificationError
from mvmeta.inference.batched.fit import BatchedFit
from mvmeta.inference.coefficients.wald import Basis
from mvmeta.inference.robust.sandwich import KINDS
from mvmeta.model.batched.keys import refuse_shared
from mvmeta.model.batched.pieces import Piece
from mvmeta.model.testing.inference import Inference

if TYPE_CHECKING:
    from mvmeta.model.batched.model import BatchedMetaMixedLM


@dataclass(frozen=True, eq=False)
class ByColumn:
    """Codes (n,) of the values of a column in the rows of a piece; it pickles."""

    name: str

    def __call__(self, piece: Piece) -> Ints:
        values = piece.rows.batch.frame[self.name].iloc[piece.rows.positions]
        return np.asarray(pd.factorize(values)[0], dtype=np.intp)


def independent(piece: Piece) -> Ints:
    """Codes (n,) of the independent clusters of a piece."""
    return recode(piece.rows.problem.cluster)[0]


def robust_inference(
    model: BatchedMetaMixedLM,
    fit: BatchedFit,
    kind: str,
    groups: Any = None,
    df: str = "satterthwaite",
    repair: bool = False,  # noqa: ARG001  (cov_kwds may have it: it concerns several groupings)
) -> Inference:
    """Cluster-robust covariance over batches.

    Raises
    ------
    SpecificationError
        For kind "robust", which is chosen by looking at all rows.
    DataError
        If `groups` is no column the model uses, or one of its values has rows in two batches.
    """
    if kind not in KINDS:
        raise SpecificationError(
            f"cov_type={kind!r} looks at all rows to choose clusters and adjustment, which a model "
            f"from batches does not hold; name one of {', '.join(KINDS)}"
        )
    recipe = model.prepared.recipe
    assert recipe is not None
    codes: Any = independent
    source = fit.plan.source
    if groups is not None:
        _check_column(groups, recipe.wanted.columns)
        refuse_shared(model.frames, recipe.wanted, (groups,))
        source, codes = model.frames.pieces(replace(recipe, whole=groups)), ByColumn(groups)
    found = fit.robust(source, codes, kind, df)
    return Inference(Basis(fit.beta, found.cov, found.df), kind, df, found.n_clusters)


def _check_column(groups: object, columns: dict[str, str]) -> None:
    if not isinstance(groups, str) or groups not in columns:
        raise DataError(
            f"groups of a model from batches is a column the model uses ({', '.join(columns)}), "
            f"got {groups!r}"
        )
