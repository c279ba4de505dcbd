"""Results for other packages: `marginaleffects`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mvmeta.errors import EngineError, SpecificationError

if TYPE_CHECKING:
    from mvmeta.model.results.results import MetaMixedLMResults

__all__ = ["marginaleffects"]


def marginaleffects(res: MetaMixedLMResults) -> Any:
    """A fit as a model of the package marginaleffects, which knows statsmodels' own classes only.

    Parameters
    ----------
    res : MetaMixedLMResults
        Of a model made from a formula.

    Returns
    -------
    marginaleffects.classes.ModelAbstract
        What ``predictions``, ``avg_predictions``, ``avg_comparisons``, ``avg_slopes``,
        ``hypotheses`` and ``datagrid`` of that package take as their model.  The design of new
        rows is that of `res.predict`, the covariance that of `res.cov_params` (`vcov="CR2"` is
        cluster-robust), the degrees of freedom the least among the coefficients.

    Raises
    ------
    EngineError
        Without marginaleffects 0.6 or newer.
    SpecificationError
        For a model made from arrays, which has no columns to vary.

    Notes
    -----
    marginaleffects 0.6 works with polars 1; with polars 2 it cannot compare levels of a factor
    (of any model), the rest works on models passed through this function.

    See Also
    --------
    mvmeta.MetaMixedLMResults.marginal_means : Marginal means without a further package.

    Examples
    --------
    The way it is used, with the package installed::

        from marginaleffects import avg_slopes
        avg_slopes(interop.marginaleffects(res), variables="dose")
    """
    if res.model.prepared.spec is None:
        raise SpecificationError(
            "marginaleffects varies columns of the data, and this model was made from arrays; use "
            "MetaMixedLM.from_formula"
        )
    try:
        from mvmeta.interop.adapter import AdaptedModel
    except ImportError:
        raise EngineError(
            "interop.marginaleffects needs the package marginaleffects, 0.6 or newer: "
            "pip install 'marginaleffects>=0.6'"
        ) from None
    return AdaptedModel(res)
