"""Contributions and weights of rows and studies, labelled."""

from typing import Any

import pandas as pd

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.inference.borrowing.contributions import contributions, group_sums
from mvmeta.inference.borrowing.weights import coefficient_weights, group_weights, row_weights
from mvmeta.inference.fitted.fit import Fit
from mvmeta.model.evidence.studies import WHAT_A_STUDY_IS, Studies, studies
from mvmeta.model.specification.build import Prepared


def contributions_frame(
    fit: Fit, prepared: Prepared, by: str = "row", groups: Any = None
) -> pd.DataFrame:
    """H (p, n) with params = H y, or its sums by study (p, J); see `Evidence.contributions`."""
    names = pd.Index(prepared.exog_names)
    return labelled_contributions(
        contributions(fit), names, prepared.index, studies(prepared, groups), by
    )


def weights_frame(
    fit: Fit, prepared: Prepared, by: str = "row", groups: Any = None
) -> pd.DataFrame:
    """Weights in percent by row, by study, or of every study in every coefficient.

    Parameters
    ----------
    fit : Fit
    prepared : Prepared
    by : {"row", "study", "coefficient"}
        "row" and "study": columns `diagonal` (of inv(M), or the user's W) and `rowsum` (of its
        rows: the weights in the estimate of an intercept-only model, which may be negative; NaN
        for other models).  "coefficient": one row per study and one column per coefficient,
        each summing to 100; see `borrowing.weights.coefficient_weights`.
    groups : str or array_like of labels (n_given,), optional
        What a study is; the outermost grouping of the model unless said.

    Raises
    ------
    SpecificationError
        For another `by`.
    """
    if by == "row":
        w = row_weights(fit)
        return pd.DataFrame({"diagonal": w.diagonal, "rowsum": w.rowsum}, index=prepared.index)
    if by not in ("study", "coefficient"):
        raise SpecificationError(
            f"weights(by=) takes 'row', 'study' or 'coefficient', got {by!r}; {WHAT_A_STUDY_IS}"
        )
    at = studies(prepared, groups)
    index = pd.Index(at.labels, name=at.name)
    if by == "study":
        w = group_weights(fit, at.code)
        return pd.DataFrame({"diagonal": w.diagonal, "rowsum": w.rowsum}, index=index)
    return pd.DataFrame(
        coefficient_weights(fit, at.code).T, index=index, columns=prepared.exog_names
    )


def labelled_contributions(
    h: Floats, names: pd.Index, rows: pd.Index, at: Studies, by: str
) -> pd.DataFrame:
    """Contributions h (m, n) by row or study, labelled; raises for another `by`."""
    if by == "row":
        return pd.DataFrame(h, index=names, columns=rows)
    if by != "study":
        raise SpecificationError(
            f"contributions(by=) takes 'row' or 'study', got {by!r}; {WHAT_A_STUDY_IS}"
        )
    columns = pd.Index(at.labels, name=at.name)
    return pd.DataFrame(group_sums(h, at.code), index=names, columns=columns)
