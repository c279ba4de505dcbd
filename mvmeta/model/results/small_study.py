"""Small-study effects with dependent estimates: multilevel Egger regression, PET and PEESE.

Estimates that are larger the less precise they are may have been selected for publication.  The
model of the fit gets its own precision as a moderator: the standard errors (Egger et al. 1997; PET)
or the variances (PEESE; Stanley & Doucouliagos 2014, Res Synth Methods 5:60), with random effects
as they are and cluster-robust tests (Rodgers & Pustejovsky 2021, Psychol Methods 26:141).  The
other coefficients are then those of estimates of endless precision.

At the level of studies every row has the standard error of the mean of its study.  Where studies
differ by one random intercept, the slope is that of a regression of study means on their standard
errors (Rodgers & Pustejovsky's test of aggregated estimates), because the means hold all that the
data say of moderators that are constant within studies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats
from mvmeta.columns import row_names
from mvmeta.errors import DataError, SpecificationError
from mvmeta.inference.coefficients.wald import check_alpha
from mvmeta.model.preparation.aggregate import combine
from mvmeta.model.specification.variants import with_column
from mvmeta.model.testing.clustering import AUTO, cluster_codes, cluster_labels, row_values

if TYPE_CHECKING:
    from mvmeta.model.results.results import MetaMixedLMResults

SLOPE = "precision"
"""Name of the added coefficient."""

ONE_SIDED = 0.05
"""One-sided level at which PET must find an effect for PEESE to be preferred (Stanley &
Doucouliagos 2014)."""

NEW = 1e-8
"""Part of a moderator, relative to its length, that must be new to the model."""

LIMITS = (
    "A slope can have other reasons than missing studies: small studies may differ in patients, "
    "doses or care, and standard errors of some measures (SMD, log odds ratios) depend on the "
    "effect itself (give by= a function of the sample sizes then). With few or equally precise "
    "studies the test has little power, and the adjusted estimates extrapolate beyond the data."
)
"""What every printed result says."""


@dataclass(frozen=True, eq=False)
class SmallStudyEffects:
    """A test of small-study effects, and coefficients adjusted for them.

    Attributes
    ----------
    test : Series
        Of the slope on the standard errors: estimate, se, statistic, df, pvalue, lower, upper.  The
        slope is without unit where precision is a standard error, else in units of the response per
        unit of `by`; so are its standard error and limits.
    adjusted : DataFrame
        MultiIndex (method, coefficient), methods "unadjusted", "PET" and "PEESE" (the last only
        where precision is that of the sampling variances); columns estimate, se, lower, upper,
        pvalue, the first four in the unit of the coefficient.
    chosen : str or None
        "PET" or "PEESE" by the rule of Stanley and Doucouliagos for a model with one coefficient;
        None where there are several, or only PET, or PET has no test.
    pet, peese : MetaMixedLMResults
        The fits with the added moderator; `peese` may be None.
    studies : DataFrame or None
        Where precision is that of studies: their means by generalised least squares under V
        (`estimate`, `se`), in units of the response, the `precision` that the regression uses, and
        their rows, `n_rows`.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> data = datasets.load("konstantopoulos2011")
    >>> nested = "district/school"
    >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
    >>> res = model.fit()
    >>> found = res.small_study_effects()
    >>> round(found.pet.pvalues.iloc[1], 3)
    np.float64(0.225)
    """

    test: pd.Series
    adjusted: pd.DataFrame
    chosen: str | None
    pet: MetaMixedLMResults
    peese: MetaMixedLMResults | None
    studies: pd.DataFrame | None = None

    def __str__(self) -> str:
        t = self.test
        verdict = "larger" if t["estimate"] > 0 else "smaller"
        level = "" if self.studies is None else f" between {len(self.studies)} studies"
        lines = [
            f"Small-study effects{level} ({self.pet.cov_type}): with one unit of standard error "
            f"more, estimates are {abs(t['estimate']):.3g} {verdict} (se {t['se']:.3g}, "
            f"t({t['df']:.3g}) = {t['statistic']:.3g}, P {_p(t['pvalue'])}).",
            "",
            self.adjusted.round(4).to_string(),
            "",
        ]
        if self.chosen is not None:
            why = "finds" if self.chosen == "PEESE" else "does not find"
            lines += [f"PET {why} an effect (one-sided 5 %): {self.chosen} is preferred.", ""]
        return "\n".join([*lines, LIMITS])

    __repr__ = __str__


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"= {value:.4f}"


def small_study_effects(
    res: MetaMixedLMResults,
    by: Any = None,
    cov_type: str = AUTO,
    alpha: float = 0.05,
    groups: Any = None,
) -> SmallStudyEffects:
    """Fit the model of `res` with precision as a moderator; see `MetaMixedLMResults`."""
    check_alpha(alpha)
    precision, studies = _of_rows(res, by), None
    if groups is not None:
        studies = _of_studies(res, groups, None if by is None else precision)
        precision = studies["precision"].to_numpy()[cluster_codes(res.model.prepared, groups)]
    _check_new(res, precision, by, groups)
    pet = _fit(res, precision, cov_type)
    peese = _fit(res, precision**2, cov_type) if by is None else None
    tables = {"unadjusted": _rows(res, alpha), "PET": _rows(pet, alpha).drop(SLOPE)}
    if peese is not None:
        tables["PEESE"] = _rows(peese, alpha).drop(SLOPE)
    adjusted = pd.concat(tables, names=["method", "coefficient"])
    chosen = _choose(res, pet, peese)
    return SmallStudyEffects(_slope(pet, alpha), adjusted, chosen, pet, peese, studies)


def _of_rows(res: MetaMixedLMResults, by: Any) -> Floats:
    """Standard errors (n,) of the rows, or what the user gives for them."""
    prepared = res.model.prepared
    if by is None:
        return np.sqrt(prepared.problem.v.variances)
    given = row_values(prepared, by, "by")
    values = pd.to_numeric(pd.Series(np.asarray(given)), errors="coerce").to_numpy(dtype=float)
    bad = np.flatnonzero(~np.isfinite(values) | (values < 0))
    if len(bad):
        first = np.asarray(given)[bad[0]]
        raise DataError(
            "by= of small_study_effects takes standard errors, or what stands for them, as finite "
            f"numbers >= 0; it is {_shown(first)} in {row_names(prepared.index, bad[:1])}"
            + (f" and no such number in {len(bad) - 1} more" if len(bad) > 1 else "")
            + "; correct these values, or leave the rows out of the model (subset=)"
        )
    return values


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | np.floating) else repr(value)


def _of_studies(res: MetaMixedLMResults, groups: Any, by: Floats | None) -> pd.DataFrame:
    """Means of the studies, and their standard errors or the mean of `by` (n,) in their rows."""
    prepared = res.model.prepared
    problem, codes = prepared.problem, cluster_codes(prepared, groups)
    if problem.v.is_singular:
        rows = row_names(prepared.index, problem.v.singular_rows)
        raise SpecificationError(
            f"V is singular within a study ({rows}): its mean has no standard error; leave out "
            "groups= for the regression on the rows, or give smaller correlations"
        )
    labels, asker = cluster_labels(prepared, groups), "small_study_effects(groups=)"
    mean, variance = combine(problem.y, problem.v, codes, prepared.index, labels, asker=asker)
    size = np.bincount(codes)
    precision = np.sqrt(variance) if by is None else np.bincount(codes, by) / size
    columns = {"estimate": mean, "se": np.sqrt(variance), "precision": precision, "n_rows": size}
    return pd.DataFrame(columns, index=labels)


def _check_new(res: MetaMixedLMResults, values: Floats, by: Any, groups: Any) -> None:
    """Precision must say something that the moderators do not, and rows be left to test it."""
    x = res.model.prepared.problem.x
    if len(x) <= x.shape[1] + 1:
        raise SpecificationError(
            f"{len(x)} rows determine the {x.shape[1] + 1} coefficients with that of precision "
            "exactly: nothing is left to test it by"
        )
    rest = values - x @ np.linalg.lstsq(x, values, rcond=None)[0]
    if np.linalg.norm(rest) > NEW * np.linalg.norm(values):
        return
    what = "the standard errors" if by is None else "by="
    where = "rows" if groups is None else "studies"
    raise SpecificationError(
        f"{what} are the same in all {where}, or a combination of the moderators: there is no "
        "small-study effect to be seen in these data"
    )


def _fit(res: MetaMixedLMResults, values: Floats, cov_type: str) -> MetaMixedLMResults:
    return with_column(res.model, SLOPE, values).fit(reml=res.reml, use_t=True, cov_type=cov_type)


def _rows(res: MetaMixedLMResults, alpha: float) -> pd.DataFrame:
    interval = res.conf_int(alpha)
    return pd.DataFrame(
        {
            "estimate": res.params,
            "se": res.bse,
            "lower": interval.iloc[:, 0],
            "upper": interval.iloc[:, 1],
            "pvalue": res.pvalues,
        }
    )


def _slope(pet: MetaMixedLMResults, alpha: float) -> pd.Series:
    row = _rows(pet, alpha).loc[SLOPE]
    df = np.broadcast_to(np.asarray(pet.df_inference, dtype=float), len(pet.params))[-1]
    more = {"statistic": pet.tvalues[SLOPE], "df": df}
    order = ["estimate", "se", "statistic", "df", "pvalue", "lower", "upper"]
    return pd.Series({**row, **more})[order].rename(SLOPE)


def _choose(
    res: MetaMixedLMResults, pet: MetaMixedLMResults, peese: MetaMixedLMResults | None
) -> str | None:
    """PEESE where PET finds an effect in the direction of the unadjusted one; None without test."""
    if peese is None or len(res.params) != 1 or np.isnan(pet.pvalues.iloc[0]):
        return None
    same = np.sign(pet.params.iloc[0]) == np.sign(res.params.iloc[0])
    return "PEESE" if same and pet.pvalues.iloc[0] / 2 < ONE_SIDED else "PET"
