"""Working models for dependent effects with tests that hold where the model does not.

Within a study sampling errors correlate by a guess, and effects scatter around that of the study;
cluster-robust tests need neither to be right (Pustejovsky & Tipton 2022).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mvmeta.errors import SpecificationError
from mvmeta.model.mixed import MetaMixedLM
from mvmeta.model.preparation.vcalc import vcalc
from mvmeta.model.results.results import MetaMixedLMResults
from mvmeta.model.specification.formula import capture_environment
from mvmeta.model.specification.frames import Source
from mvmeta.model.specification.random import Random
from mvmeta.model.testing.inference import ROBUST

EFFECT = "effect"
"""Column that numbers the rows, where none is named that tells the effects of a study apart."""


def che(
    formula: str,
    data: Any,
    *,
    cluster: str,
    rho: Any,
    variance: str = "vi",
    effect: str | None = None,
    cov_type: str = "CR2",
    reml: bool = True,
    eval_env: Any = 0,
) -> MetaMixedLMResults:
    """Correlated and hierarchical effects (CHE), with cluster-robust tests.

    ``MetaMixedLM.from_formula(formula, data, variance=vcalc(variance, cluster, rho=rho,
    data=data), groups="cluster/effect").fit(cov_type="CR2")``.

    Parameters
    ----------
    formula : str
        patsy formula, such as "yi ~ 1" or "yi ~ C(outcome) + dose".
    data : DataFrame or any eager frame narwhals knows
    cluster : str
        Column with the study: effects of different studies are independent.
    rho : float, str, mapping or Series
        Correlation of two sampling errors of a study: a number, or one per study as for `vcalc`.
    variance : str
        Column with the sampling variances.
    effect : str, optional
        Column that tells the effects of a study apart; every row is one unless said.
    cov_type : str
        Covariance of the fixed effects as in `MetaMixedLM.fit`: "CR2" unless said (CHE+RVE);
        "nonrobust" trusts the model (CHE alone).
    reml : bool
        Restricted maximum likelihood, else maximum likelihood.
    eval_env : int or patsy.EvalEnvironment
        How many frames above the caller names in the formula are looked up.

    Returns
    -------
    MetaMixedLMResults
        With components for studies and for effects within them, and t and F tests with
        Satterthwaite's df where they are robust.

    Raises
    ------
    DataError, CovarianceError, SpecificationError
        As `vcalc` and `MetaMixedLM.from_formula`.

    See Also
    --------
    sce : Effects that are correlated within a category of a study only.

    Notes
    -----
    ``y_ij = x_ij'b + u_j + w_ij + e_ij``, ``cov(e_ij, e_ik) = rho sqrt(v_ij v_ik)`` (Pustejovsky &
    Tipton 2022).  The tests hold for another rho and for other random effects, too; the closer
    these are, the more precise the estimates.

    References
    ----------
    .. [1] Pustejovsky JE, Tipton E (2022). Meta-analysis with robust variance estimation: expanding
       the range of working models. *Prevention Science* 23:425–438. doi:10.1007/s11121-021-01246-3

    Examples
    --------
    >>> from mvmeta import che, datasets
    >>> res = che("yi ~ 1", datasets.load("assink2016"), cluster="study", rho=0.6)
    >>> res.conf_int().round(3)
                  0      1
    Intercept  0.16  0.575
    """
    frame = Source(data)
    known, groups = _nested(frame, cluster, effect)
    v = vcalc(variance, cluster, rho=rho, data=known)
    model = MetaMixedLM.from_formula(
        formula, known, variance=v, groups=groups, eval_env=capture_environment(eval_env)
    )
    return _fitted(model, cluster, cov_type, reml)


def sce(
    formula: str,
    data: Any,
    *,
    cluster: str,
    subgroup: str,
    rho: Any,
    variance: str = "vi",
    cov_type: str = "CR2",
    reml: bool = True,
    eval_env: Any = 0,
) -> MetaMixedLMResults:
    """Subgroup correlated effects (SCE), with cluster-robust tests.

    Every category of effects is a meta-analysis of its own, with its own variance between studies;
    robust tests know that the categories share studies.

    Parameters
    ----------
    formula : str
        patsy formula, such as "yi ~ C(outcome) - 1"; the categories are those of `subgroup`.
    data : DataFrame or any eager frame narwhals knows
    cluster : str
        Column with the study: effects of different studies are independent.
    subgroup : str
        Column with the category: sampling errors and random effects of different categories are
        taken for independent.
    rho : float, str, mapping or Series
        Correlation of two sampling errors of one study and category; see `che`.
    variance : str
        Column with the sampling variances.
    cov_type : str
        Covariance of the fixed effects as in `MetaMixedLM.fit`.
    reml : bool
        Restricted maximum likelihood, else maximum likelihood.
    eval_env : int or patsy.EvalEnvironment
        How many frames above the caller names in the formula are looked up.

    Returns
    -------
    MetaMixedLMResults
        With a component for each category.

    Raises
    ------
    DataError, CovarianceError, SpecificationError
        As `vcalc` and `MetaMixedLM.from_formula`.

    See Also
    --------
    che : Effects that are correlated within the whole study.

    Notes
    -----
    ``y_ij = x_ij'b + u_cj + e_ij``, with ``u_cj`` of variance tau2_c and V as in `che`, but 0
    between categories c (Pustejovsky & Tipton 2022).

    References
    ----------
    .. [1] Pustejovsky JE, Tipton E (2022). Meta-analysis with robust variance estimation: expanding
       the range of working models. *Prevention Science* 23:425–438. doi:10.1007/s11121-021-01246-3

    Examples
    --------
    >>> from mvmeta import datasets, sce
    >>> effects = datasets.load("assink2016")
    >>> res = sce(
    ...     "yi ~ deltype - 1", effects, cluster="study", subgroup="deltype", rho=0.6
    ... )
    >>> res.params.round(3)
    deltype[covert]    -0.687
    deltype[general]    0.319
    deltype[overt]      0.530
    Name: estimate, dtype: float64
    """
    v = vcalc(variance, cluster, subgroup=subgroup, rho=rho, data=data)
    random = Random(f"{subgroup} | {cluster}", struct="DIAG")
    model = MetaMixedLM.from_formula(
        formula, data, variance=v, random=random, eval_env=capture_environment(eval_env)
    )
    return _fitted(model, cluster, cov_type, reml)


def _nested(source: Source, cluster: str, effect: str | None) -> tuple[pd.DataFrame, list[str]]:
    """The data with a column that tells effects apart, and the nesting of it in studies."""
    source.column(cluster, "cluster")
    frame = source.frame(source.columns, "the data")
    if effect is not None:
        source.column(effect, "effect")
        return frame, [cluster, effect]
    if EFFECT in frame:
        raise SpecificationError(
            f"the data have a column {EFFECT!r}; effect={EFFECT!r} if it tells the effects of a "
            "study apart, else rename it"
        )
    return frame.assign(**{EFFECT: np.arange(1, len(frame) + 1)}), [cluster, EFFECT]


def _fitted(model: MetaMixedLM, cluster: str, cov_type: str, reml: bool) -> MetaMixedLMResults:
    """Fit, with studies as the clusters of a robust covariance."""
    kwds = {"groups": cluster} if cov_type in ROBUST else None
    return model.fit(reml, cov_type=cov_type, cov_kwds=kwds)
