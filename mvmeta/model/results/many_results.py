"""Fits of one model to many outcomes: what `fit_many` gives."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special

from mvmeta._typing import Floats, Ints
from mvmeta.errors import DataError, SpecificationError
from mvmeta.inference.coefficients.wald import check_alpha
from mvmeta.inference.many.outcomes import ManyFits, ManySpec, NotFitted, rescaled
from mvmeta.model.results.components import component_labels
from mvmeta.model.specification.build import Prepared
from mvmeta.model.specification.frames import shorten
from mvmeta.model.specification.pins_of_rows import PinsOfRows
from mvmeta.model.testing.hypotheses import restrictions

if TYPE_CHECKING:
    from mvmeta.model.mixed import MetaMixedLM
    from mvmeta.model.results.results import MetaMixedLMResults


class ManyOutcomesResults:
    """Fits of one model to m outcomes; arrays have the outcomes as their last axis.

    Parameters
    ----------
    model : MetaMixedLM
    fits : ManyFits
        The numbers.
    outcome_names : Index
        The m outcomes.
    y : ndarray, shape (n, m)
        The outcomes, each in a unit of its own.
    variances : ndarray, shape (n,) or (n, m), or None
        Sampling variances of all outcomes or of each, in squared units of the outcome; None for
        those of the model.
    use_t : bool
        t tests, else z.
    cov_type : str
    spec : ManySpec
        What all outcomes share.

    Attributes
    ----------
    params : ndarray, shape (p, m)
        Fixed effects, in the order of `param_names`, in units of the outcome per unit of their
        column.
    vcomp : ndarray, shape (n_components, m)
        Variance components, in the order of `component_labels`, in the units that
        `MetaMixedLMResults.vcomp` has them in.  Those that the rows of an outcome do not tell are
        fixed for it; ``get_results(outcome).model.notes`` names them.
    boundary : ndarray of bool, shape (n_components, m)
        Components estimated on the edge of the parameter space.
    llf : ndarray, shape (m,)
        Log-likelihood of the criterion that was fitted.
    QE : ndarray, shape (m,)
        Chi-square of the residual heterogeneity, of nobs - p df; NaN where V is singular.
    nobs : ndarray of int, shape (m,)
        Rows without missing values.
    status : ndarray of object, shape (m,)
        How each fit ended: a `Status`, or a `NotFitted` that says why there is none; `.value`
        is the sentence.
    converged : ndarray of bool, shape (m,)
    n_iter : ndarray of int, shape (m,)
        Likelihood evaluations over all starts.
    batched : ndarray of bool, shape (m,)
        Fitted in the batch, not one by one.
    errors : dict
        Outcome name -> message of the solver.
    param_names, component_labels : list of str

    Examples
    --------
    >>> import numpy as np
    >>> from mvmeta import MetaMixedLM, datasets
    >>> data = datasets.load("bcg")
    >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
    >>> y = np.column_stack([data["yi"], data["yi"] ** 2])
    >>> many = model.fit_many(y)
    >>> many.params.round(3)
    array([[ 0.251, -0.386],
           [-0.029,  0.04 ]])
    """

    def __init__(
        self,
        model: MetaMixedLM,
        fits: ManyFits,
        outcome_names: pd.Index,
        y: Floats,
        variances: Floats | None,
        use_t: bool,
        cov_type: str,
        spec: ManySpec,
    ) -> None:
        self.model, self.outcome_names = model, outcome_names
        self.use_t, self.cov_type, self.reml = use_t, cov_type, spec.reml
        self._fits, self._y, self._variances, self._spec = fits, y, variances, spec
        self.param_names = list(model.exog_names)
        self.component_labels = component_labels(spec.problem)
        self.params, self.vcomp, self.boundary = fits.beta, fits.theta, fits.boundary
        self.llf, self.QE, self.nobs = fits.loglik, fits.qe, fits.nobs
        self.status, self.n_iter, self.batched = fits.status, fits.n_evaluations, fits.batched
        self.converged = np.array([s.converged for s in fits.status], dtype=bool)
        self.errors = {outcome_names[i]: text for i, text in fits.errors.items()}

    def __len__(self) -> int:
        return len(self.outcome_names)

    def __repr__(self) -> str:
        return (
            f"{len(self)} outcomes, {self.model.prepared.problem.n} rows, "
            f"{'REML' if self.reml else 'ML'}; {int(self.converged.sum())} converged"
        )

    @property
    def df_resid(self) -> Ints:
        """Nobs - p of each outcome, shape (m,).

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> many = model.fit_many(np.column_stack([bcg["yi"], bcg["yi"] ** 2]))
        >>> many.df_resid
        array([11, 11])
        """
        return self.nobs - len(self.param_names)

    @property
    def QEp(self) -> Floats:  # noqa: N802  (metafor's name)
        """p-value of QE, shape (m,); 1 without residual degrees of freedom, as in a single fit.

        References
        ----------
        :doc:`/explanation/model`, "Heterogeneity".

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> many = model.fit_many(np.column_stack([bcg["yi"], bcg["yi"] ** 2]))
        >>> many.QEp.round(4)
        array([0.0012, 0.    ])
        """
        df = self.df_resid
        p = special.chdtrc(np.maximum(df, 1), self.QE)
        return np.where(df > 0, p, np.where(np.isnan(self.QE), np.nan, 1.0))

    def cov_params(self) -> Floats:
        """Covariances of the fixed effects, shape (p, p, m).

        Returns
        -------
        ndarray, shape (p, p, m)
            One matrix for each of the m outcomes, in units of one coefficient times units of
            another.

        References
        ----------
        :doc:`/explanation/model`, "Fixed effects".

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> y = np.column_stack([data["yi"], data["yi"] ** 2])
        >>> many = model.fit_many(y)
        >>> many.cov_params()[..., 0].round(4)
        array([[ 0.062 , -0.0016],
               [-0.0016,  0.0001]])
        """
        return self._fits.cov_beta * self._scaling

    @cached_property
    def _scaling(self) -> Floats:
        """Factor of the covariances, shape (m,)."""
        if self.cov_type == "nonrobust":
            return np.ones(len(self))
        return np.maximum(1.0, self._fits.rss) if self.cov_type == "adhoc" else self._fits.rss

    @cached_property
    def bse(self) -> Floats:
        """Standard errors of the fixed effects, in their units, shape (p, m).

        References
        ----------
        :doc:`/explanation/model`, "Fixed effects".

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> many = model.fit_many(np.column_stack([bcg["yi"], bcg["yi"] ** 2]))
        >>> many.bse.round(3)
        array([[0.249, 0.582],
               [0.007, 0.016]])
        """
        p = len(self.param_names)
        return np.sqrt(self._fits.cov_beta[range(p), range(p)] * self._scaling)

    @property
    def tvalues(self) -> Floats:
        """The z or t statistics: estimates over their standard errors, shape (p, m).

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> many = model.fit_many(np.column_stack([bcg["yi"], bcg["yi"] ** 2]))
        >>> many.tvalues.round(2)
        array([[ 1.01, -0.66],
               [-4.04,  2.48]])
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.params / self.bse

    @property
    def pvalues(self) -> Floats:
        """Two-sided p-values of the fixed effects, shape (p, m).

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> many = model.fit_many(np.column_stack([bcg["yi"], bcg["yi"] ** 2]))
        >>> many.pvalues.round(2)
        array([[0.31, 0.51],
               [0.  , 0.01]])
        """
        return self._two_sided(self.tvalues)

    def _two_sided(self, statistic: Floats) -> Floats:
        if not self.use_t:
            return 2.0 * special.ndtr(-np.abs(statistic))
        df = self.df_resid
        p = 2.0 * special.stdtr(np.maximum(df, 1), -np.abs(statistic))
        return np.where(df > 0, p, np.nan)

    def conf_int(self, alpha: float = 0.05) -> Floats:
        """Confidence intervals of the fixed effects.

        Parameters
        ----------
        alpha : float
            1 - coverage.

        Returns
        -------
        ndarray, shape (p, 2, m)
            Lower and upper limits, in the units of the fixed effects.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> y = np.column_stack([data["yi"], data["yi"] ** 2])
        >>> many = model.fit_many(y)
        >>> many.conf_int()[..., 0].round(3)
        array([[-0.237,  0.74 ],
               [-0.043, -0.015]])
        """
        half = self._critical(alpha) * self.bse
        return np.stack([self.params - half, self.params + half], axis=1)

    def _critical(self, alpha: float) -> Floats | float:
        check_alpha(alpha)
        if not self.use_t:
            return float(-special.ndtri(alpha / 2))
        df = self.df_resid
        quantile = -special.stdtrit(np.maximum(df, 1), alpha / 2)
        return np.where(df > 0, quantile, np.nan)

    def t_test(self, r_matrix: Any, alpha: float = 0.05) -> pd.DataFrame:
        """Test one linear hypothesis about the fixed effects in every outcome.

        Parameters
        ----------
        r_matrix : str, array_like (p,), or tuple
            "x1 = x2", weights of the coefficients, in units of the columns of the design, or
            (weights, right-hand side).
        alpha : float
            1 - coverage of the intervals.

        Returns
        -------
        DataFrame
            One row per outcome: estimate, se, statistic, pvalue, ci_lower, ci_upper; the estimate,
            its standard error and its limits are in units of the outcome.

        Raises
        ------
        SpecificationError
            If it does not parse, or is more than one hypothesis.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> y = np.column_stack([data["yi"], data["yi"] ** 2])
        >>> many = model.fit_many(y)
        >>> many.t_test([0, 1]).round(4)
           estimate      se  statistic  pvalue  ci_lower  ci_upper
        0   -0.0291  0.0072    -4.0445  0.0001   -0.0432   -0.0150
        1    0.0405  0.0163     2.4843  0.0130    0.0085    0.0724
        """
        rows, rhs = restrictions(r_matrix, self.param_names)
        if len(rows) != 1:
            raise SpecificationError(f"t_test takes one hypothesis at a time, got {len(rows)}")
        estimate = rows[0] @ self.params
        variance = np.einsum("a,abm,b->m", rows[0], self._fits.cov_beta, rows[0])
        return self._tests(estimate, np.sqrt(variance * self._scaling), float(rhs[0]), alpha)

    def _tests(self, estimate: Floats, se: Floats, rhs: float, alpha: float) -> pd.DataFrame:
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = (estimate - rhs) / se
        half = self._critical(alpha) * se
        columns = {
            "estimate": estimate,
            "se": se,
            "statistic": statistic,
            "pvalue": self._two_sided(statistic),
            "ci_lower": estimate - half,
            "ci_upper": estimate + half,
        }
        return pd.DataFrame(columns, index=self.outcome_names)

    def to_frame(self, coefficient: str | None = None, alpha: float = 0.05) -> pd.DataFrame:
        """Results as a table with one row per outcome.

        Parameters
        ----------
        coefficient : str, optional
            Tests of this coefficient alone; all results unless said.
        alpha : float
            1 - coverage of the intervals of one coefficient.

        Returns
        -------
        DataFrame
            For one coefficient: estimate, se, statistic, pvalue, ci_lower, ci_upper.  Else for each
            coefficient its estimate (under its name), ``se[name]``, ``p[name]``; the components
            under their labels; llf, QE, QEp, nobs, n_iter, converged, status.  Each has the unit of
            the attribute of its name.

        Raises
        ------
        SpecificationError
            If there is no such coefficient.

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> y = np.column_stack([data["yi"], data["yi"] ** 2])
        >>> many = model.fit_many(y)
        >>> many.to_frame().iloc[:, :3].round(3)
           Intercept  se[Intercept]  p[Intercept]
        0      0.251          0.249         0.313
        1     -0.386          0.582         0.507
        """
        if coefficient is not None:
            if coefficient not in self.param_names:
                known = ", ".join(self.param_names)
                raise SpecificationError(f"no coefficient {coefficient!r}; there are {known}")
            j = self.param_names.index(coefficient)
            return self._tests(self.params[j], self.bse[j], 0.0, alpha)
        pvalues = self.pvalues
        columns: dict[str, Any] = {}
        for j, name in enumerate(self.param_names):
            columns |= {name: self.params[j], f"se[{name}]": self.bse[j], f"p[{name}]": pvalues[j]}
        columns |= dict(zip(self.component_labels, self.vcomp, strict=True))
        columns |= {"llf": self.llf, "QE": self.QE, "QEp": self.QEp, "nobs": self.nobs}
        columns |= {"n_iter": self.n_iter, "converged": self.converged}
        columns["status"] = [s.name for s in self.status]
        return pd.DataFrame(columns, index=self.outcome_names)

    def summary(self, alpha: float = 0.05) -> str:
        """How the fits ended, and how the estimates are distributed over outcomes.

        Parameters
        ----------
        alpha : float
            p-values below it are counted (not adjusted for the number of outcomes).

        Returns
        -------
        str

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> y = np.column_stack([data["yi"], data["yi"] ** 2])
        >>> many = model.fit_many(y)
        >>> print(many.summary())
        2 outcomes, 13 rows, REML; 2 converged
                 2  maximum reached: gradient zero and curvature positive in every component
        <BLANKLINE>
        coefficients over outcomes
                        5 %    median     95 % p < 0.05
        Intercept   -0.3546   -0.0675   0.2196     0.0%
        ablat      -0.02562  0.005676  0.03698   100.0%
        <BLANKLINE>
        components over outcomes
                          5 % median    95 % on boundary
        trial: sigma2  0.1015  0.328  0.5545        0.0%
        """
        check_alpha(alpha)
        counts = Counter(self.status)
        lines = [
            repr(self),
            *(f"  {count:>8}  {status.value}" for status, count in counts.most_common()),
        ]
        partial = int((self.nobs < self.model.prepared.problem.n).sum())
        if partial:
            lines.append(f"  {partial:>8}  of them with missing values in some rows")
        share = np.nanmean(self.pvalues < alpha, axis=1) if len(self) else []
        table = self._quantiles(self.params, self.param_names)
        table[f"p < {alpha:g}"] = [f"{x:.1%}" for x in share]
        lines += ["", "coefficients over outcomes", table.to_string()]
        if len(self.component_labels):
            table = self._quantiles(self.vcomp, self.component_labels)
            table["on boundary"] = [f"{x:.1%}" for x in self.boundary.mean(axis=1)]
            lines += ["", "components over outcomes", table.to_string()]
        return "\n".join(lines)

    @staticmethod
    def _quantiles(values: Floats, names: list[str]) -> pd.DataFrame:
        known = [v[~np.isnan(v)] for v in values]
        points = {"5 %": 0.05, "median": 0.5, "95 %": 0.95}
        return pd.DataFrame(
            {
                title: [f"{np.quantile(v, at):.4g}" if len(v) else "" for v in known]
                for title, at in points.items()
            },
            index=names,
        )

    def get_results(self, outcome: Any, **fit_options: Any) -> MetaMixedLMResults:
        """The full results of one outcome, from a fit of its own.

        Parameters
        ----------
        outcome : label or int
            Name of the outcome; its position where names are no integers.
        **fit_options
            Options of `MetaMixedLM.fit`, such as ``df="satterthwaite"``; those of `fit_many`
            unless said.

        Returns
        -------
        MetaMixedLMResults

        Raises
        ------
        SpecificationError
            If there is no such outcome.
        DataError
            If it was not fitted; says why.

        References
        ----------
        See :meth:`mvmeta.MetaMixedLM.fit`.

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> y = np.column_stack([data["yi"], data["yi"] ** 2])
        >>> many = model.fit_many(y)
        >>> many.get_results(0).params.round(4)
        Intercept    0.2515
        ablat       -0.0291
        Name: estimate, dtype: float64
        """
        at = self._position(outcome)
        if isinstance(self.status[at], NotFitted):
            reason = self.errors.get(self.outcome_names[at], self.status[at].value)
            raise DataError(f"outcome {self.outcome_names[at]!r}: {reason}")
        own: dict[str, Any] = {"reml": self.reml, "use_t": self.use_t, "cov_type": self.cov_type}
        own |= {"maxiter": self._spec.maxiter, "tol": self._spec.tol}
        return self._model_of(at).fit(**(own | fit_options))

    def _position(self, outcome: Any) -> int:
        if outcome in self.outcome_names:
            found = self.outcome_names.get_loc(outcome)
            if isinstance(found, int):
                return found
            raise SpecificationError(f"there are several outcomes {outcome!r}; use fit")
        if isinstance(outcome, int | np.integer) and -len(self) <= outcome < len(self):
            return int(outcome) % len(self)
        known = shorten(self.outcome_names.astype(str))
        raise SpecificationError(f"no outcome {outcome!r}; there are {len(self)}: {known}")

    def _model_of(self, at: int) -> MetaMixedLM:
        y, v = self._y[:, at], self._variances
        if v is not None and v.ndim == 2:
            v = v[:, at]
        prepared = _prepared_for(self.model.prepared, y, v, str(self.outcome_names[at]))
        model = type(self.model).__new__(type(self.model))
        model._set_up(prepared, self.model._backend_name)
        return model


def _prepared_for(prepared: Prepared, y: Floats, v: Floats | None, name: str) -> Prepared:
    """The same model for one outcome, rows with missing values left out."""
    problem, weights = replace(prepared.problem, y=y), prepared.weights
    gone = np.isnan(y)
    if v is not None:
        gone = gone | np.isnan(v)
        problem = replace(problem, v=rescaled(problem.v, np.where(gone, 1.0, v)))
    if not gone.any():
        return replace(prepared, problem=problem, endog_name=name)
    keep = np.flatnonzero(~gone)
    problem, notes = PinsOfRows.of(prepared.term_specs)(problem.take(keep))
    pairs = zip(prepared.term_specs, problem.terms, strict=True)
    return replace(
        prepared,
        problem=problem,
        endog_name=name,
        index=prepared.index[keep],
        rows=prepared.rows[keep],
        weights=None if weights is None else weights[keep][:, keep],
        frame=prepared.frame.iloc[keep],
        notes=list(dict.fromkeys([*prepared.notes, *notes])),
        term_specs=[replace(s, outer_levels=t.groups.labels) for s, t in pairs],
    )
