"""`MetaMixedLM`: the model users build, a statsmodels `LikelihoodModel`."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.base.model import LikelihoodModel
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mvmeta._typing import Floats
from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.errors import DataError, warn
from mvmeta.inference.fitted.estimate import estimate
from mvmeta.inference.fitted.fit import Fit
from mvmeta.marginal.base import MarginalCovariance
from mvmeta.marginal.select import Choice, build_backend, choose_backend
from mvmeta.model.design_methods import DesignMethods
from mvmeta.model.diagnosis.indefinite import indefinite_warning
from mvmeta.model.likelihood_methods import LikelihoodMethods
from mvmeta.model.progress import printer
from mvmeta.model.results.components import component_labels
from mvmeta.model.results.many import ManyOutcomes
from mvmeta.model.results.refit import Arguments
from mvmeta.model.results.results import MetaMixedLMResults
from mvmeta.model.row_data import RowData
from mvmeta.model.specification.build import Prepared, prepare_arrays, prepare_formula
from mvmeta.model.specification.formula import capture_environment
from mvmeta.model.specification.frames import shorten
from mvmeta.model.specification.search import check_search
from mvmeta.model.testing.inference import check_options, choose_inference
from mvmeta.optimize.maximize import Optimum
from mvmeta.optimize.newton import DECREMENT
from mvmeta.progress import Progress


class MetaMixedLM(LikelihoodMethods, DesignMethods, ManyOutcomes, LikelihoodModel):
    """Multilevel and multivariate meta-analysis with known sampling (co)variances.

    ``y = X b + sum_j Z_j u_j + e``, ``u_j ~ N(0, I (x) G_j)``, ``e ~ N(0, V)`` with V known.

    Parameters
    ----------
    endog : array_like, shape (n,)
        Effect sizes, on the scale of their measure: the unit of the response, as it is called
        elsewhere.  Rows of several outcomes may each be in the unit of their outcome.
    exog : array_like, shape (n, p), or None
        Moderators, the intercept included, each in a unit of its own; None is an intercept alone.
    variance : str, float, array_like, sparse matrix, list of arrays or SamplingCovariance
        The known sampling (co)variance V, in squared units of `endog`: a scalar; variances
        (n,); a dense or scipy sparse matrix (n, n); a list of blocks in row order; a
        `SamplingCovariance`; with `data` also the name of a column.
    groups : array_like of labels, shape (n,) or (n, depth), optional
        Grouping of the random intercepts, outermost first; with `data` also names such as
        "study/id" or ["study", "id"].
    random : str, Random, or list of these, optional
        Further random terms, such as "1 | species"; needs `data`.
    equal : list of str, or list of lists of str, optional
        Names of random terms whose components are equal, such as ["study", "lab"], or several
        groups of them: terms with one variance each, or with the same structure over the same
        levels.  (Components of one term are made equal by ``Random(..., equal=)``.)
    weights : array_like, shape (n,) or (n, n), optional
        User weights W for the fixed effects, which get a sandwich covariance; in any one unit, as
        only their ratios count.
    subset : array_like of bool or int, optional
        Rows to use: booleans or integer positions.
    missing : {"raise", "drop", "none"}
        What to do with rows in which anything is missing.
    data : DataFrame, optional
        Where names are looked up.
    backend : {"nested", "compressed", "rotated", "blocks", "woodbury", "dense"}, optional
        How M is factored; chosen from the layout unless said (see `backend_choice`).

    Raises
    ------
    DataError, CovarianceError, SpecificationError
        For data, V or a specification that cannot be used; the message says what and where.

    Notes
    -----
    As in statsmodels, `endog`, `exog` and variances given as arrays of floats are used as they
    are, not copied; do not change them as long as the model is in use.  Frames and series are
    copied.

    See Also
    --------
    MetaMixedLM.from_formula : The same with a formula and column names.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> toy = datasets.load("toy")
    >>> model = MetaMixedLM.from_formula(
    ...     "d ~ C(Category) - 1", data=toy, variance="Variance", groups="Study"
    ... )
    >>> result = model.fit()
    >>> round(float(result.params.iloc[2]), 4)
    19.9975
    """

    def __init__(
        self,
        endog: Any,
        exog: Any,
        variance: Any,
        groups: Any = None,
        random: Any = None,
        *,
        equal: Any = None,
        weights: Any = None,
        subset: Any = None,
        missing: str = "raise",
        data: Any = None,
        backend: str | None = None,
    ) -> None:
        self._set_up(
            prepare_arrays(
                endog,
                exog,
                variance,
                groups=groups,
                random=random,
                equal=equal,
                weights=weights,
                subset=subset,
                missing=missing,
                data=data,
            ),
            backend,
        )

    @classmethod
    def from_formula(  # statsmodels' signature has drop_cols third; ours is keyword-only
        cls,
        formula: str,
        data: Any,
        subset: Any = None,
        *,
        variance: Any,
        groups: Any = None,
        random: Any = None,
        equal: Any = None,
        weights: Any = None,
        missing: str = "drop",
        backend: str | None = None,
        eval_env: Any = 0,
    ) -> MetaMixedLM:
        """Build a model from a formula and a data frame.

        Parameters
        ----------
        formula : str
            patsy formula, such as "d ~ C(Category) - 1".
        data : DataFrame
            pandas, polars, pyarrow or anything narwhals reads; it is not changed.
        subset : str or array_like of bool or int, optional
            Rows to use: booleans, integer positions, or the name of a boolean column.
        variance : str, float, array_like, sparse matrix, list of arrays or SamplingCovariance
            As in the class, or the name of a column.
        groups : str or list of str, optional
            Random intercepts: "study", "study/id" or ["study", "id"] (nested).
        random : str, Random, or list of these, optional
            Further random terms: "1 | species", ``Random("outcome | study", struct="UN")``.
        equal : list of str, or list of lists of str, optional
            Random terms whose components are equal, as in the class.
        weights : str or array_like, optional
            User weights for the fixed effects, in any one unit: a column, (n,) or (n, n).
        missing : {"drop", "raise", "none"}
            What to do with rows in which anything is missing; dropped rows are counted in a
            warning and listed in `dropped`.  Infinite values are errors, not missing values:
            they always raise.
        backend : str, optional
            As in the class.
        eval_env : int or patsy.EvalEnvironment
            How many frames above the caller names in the formula are looked up.

        Returns
        -------
        MetaMixedLM

        Raises
        ------
        DataError, CovarianceError, SpecificationError
            For data, V or a specification that cannot be used; the message says what and where.

        Warns
        -----
        MvmetaWarning
            If columns of the design are linearly dependent and left out, or a moderator is text
            that reads as numbers.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> model.exog_names, len(model.endog)
        (['Intercept'], 56)
        """
        prepared = prepare_formula(
            formula,
            data,
            variance,
            groups=groups,
            random=random,
            equal=equal,
            weights=weights,
            subset=subset,
            missing=missing,
            eval_env=capture_environment(eval_env),
        )
        model = cls.__new__(cls)
        arguments = Arguments.of(
            variance=variance,
            groups=groups,
            random=random,
            equal=equal,
            weights=weights,
            missing=missing,
            backend=backend,
        )
        model._set_up(prepared, backend, arguments)
        return model

    @classmethod
    def from_batches(
        cls,
        formula: str,
        batches: Any,
        *,
        variance: Any,
        groups: Any = None,
        random: Any = None,
        equal: Any = None,
        missing: str = "drop",
        backend: str | None = None,
        eval_env: Any = 0,
    ) -> MetaMixedLM:
        """Build a model from data that do not fit into memory, read batch by batch.

        The data are read once for their levels, once for X'X, and once for each evaluation of
        the likelihood (less than ten as a rule).  Nothing with one entry per row is kept.

        Parameters
        ----------
        formula : str
            patsy formula, such as "d ~ C(Category) - 1".
        batches : callable
            ``batches()`` returns a new iterator of frames (pandas, polars, pyarrow) at every
            call, the same ones each time.  All rows of a study, and whatever else V or a random
            term links, must be in one batch.  `mvmeta.batches.parquet` and `mvmeta.batches.csv`
            make such functions.
        variance : str, float or callable
            Sampling variances, in squared units of the response: a column; a number; or a function
            of a batch that returns its V in any form that `from_formula` takes, such as a call of
            `vcalc`.
        groups : str or list of str, optional
            Random intercepts: "study", "study/id" or ["study", "id"] (nested).
        random : str, Random, or list of these, optional
            Further random terms within the same groups, such as
            ``Random("outcome | study", struct="UN")``; without `scale`.
        equal : list of str, or list of lists of str, optional
            Random terms whose components are equal, as in the class.
        missing : {"drop", "raise", "none"}
            What to do with rows in which anything is missing; see `from_formula`.
        backend : str, optional
            As in the class.
        eval_env : int or patsy.EvalEnvironment
            How many frames above the caller names in the formula are looked up.

        Returns
        -------
        MetaMixedLM
            Its `fit()` is that of any model, and so are its results but for what has one entry
            per row: they are iterated over (`iter_rows`, `iter_ranef`).

        Raises
        ------
        DataError
            For an iterator in place of a function, a batch without one of the columns or with
            another type of it, a study with rows in two batches, or batches that are not the same
            at every call; names the batch.
        SpecificationError
            For a term that links rows of different batches, such as a known correlation between
            studies, or a scale formula.
        CovarianceError
            For variances that cannot be used.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> batches = lambda: (study for _, study in toy.groupby("Study"))
        >>> model = MetaMixedLM.from_batches(
        ...     "d ~ C(Category) - 1", batches, variance="Variance", groups="Study"
        ... )
        >>> round(float(model.fit().params.iloc[2]), 4)
        19.9975
        """
        from mvmeta.model.batched.model import BatchedMetaMixedLM
        from mvmeta.model.batched.source import ReadFrames

        return BatchedMetaMixedLM.of(
            formula,
            ReadFrames(batches),
            variance=variance,
            groups=groups,
            random=random,
            equal=equal,
            missing=missing,
            backend=backend,
            environment=capture_environment(eval_env),
        )

    @classmethod
    def from_dask(
        cls,
        formula: str,
        data: Any,
        *,
        variance: Any,
        groups: Any = None,
        random: Any = None,
        equal: Any = None,
        missing: str = "drop",
        backend: str | None = None,
        whole: bool | str = False,
        client: Any = None,
        eval_env: Any = 0,
    ) -> MetaMixedLM:
        """Build a model from a Dask frame; its partitions stay with the workers.

        Parameters
        ----------
        formula : str
            patsy formula, such as "d ~ C(Category) - 1".
        data : dask.dataframe.DataFrame
            Its partitions are the batches of `from_batches`.
        variance, groups, random, equal, missing, backend, eval_env
            As in `from_batches`; a function given as `variance` goes to the workers.
        whole : bool or str
            True: every partition holds whole studies as it is.  False: rows are shuffled so that
            it does, by the first column of the coarsest grouping.  The name of a column: by that
            one.
        client : distributed.Client, optional
            The current one unless given.  The model needs it as long as something is computed.

        Returns
        -------
        MetaMixedLM
            As from `from_batches`.

        Raises
        ------
        EngineError
            Without dask, pyarrow, a client or workers; while computing, if the cluster is gone or
            a task was given up.
        DataError, SpecificationError, CovarianceError
            As `from_batches`.

        Examples
        --------
        >>> from dask.distributed import Client                      # doctest: +SKIP
        >>> client = Client()                                        # doctest: +SKIP
        >>> ddf = dask.dataframe.read_parquet("effects")             # doctest: +SKIP
        >>> MetaMixedLM.from_dask(                                   # doctest: +SKIP
        ...     "d ~ dose", ddf, variance="v", groups="study/id"
        ... ).fit().summary()
        """
        from mvmeta.model.batched.keys import shuffle_column
        from mvmeta.model.batched.model import BatchedMetaMixedLM
        from mvmeta.model.batched.on_dask import DaskFrames

        environment = capture_environment(eval_env)
        frames = DaskFrames(data, client)
        column = shuffle_column(whole, groups, random, frames.columns())
        if column is not None:
            frames.shuffle(column)
        return BatchedMetaMixedLM.of(
            formula,
            frames,
            variance=variance,
            groups=groups,
            random=random,
            equal=equal,
            missing=missing,
            backend=backend,
            environment=environment,
        )

    def _set_up(
        self, prepared: Prepared, backend: str | None, arguments: Arguments | None = None
    ) -> None:
        self.arguments = arguments
        problem = prepared.problem
        names, constant = prepared.exog_names, _column_of_ones(problem.x)
        data = RowData(problem.y, problem.x, prepared.index, prepared.endog_name, names, constant)
        LikelihoodModel.__init__(self, data, hasconst=False)
        self.prepared = prepared
        self.formula = prepared.formula
        self.data.frame = prepared.frame
        self._backend_name = backend
        self.df_resid, self.df_model = problem.n - problem.p, problem.p - self.k_constant

    def _handle_data(self, endog: RowData, *_: Any, **__: Any) -> RowData:
        """Take finished data; a hook of statsmodels, which would make them of arrays or frames."""
        return endog

    # -- what was specified --------------------------------------------------------------

    @property
    def endog_names(self) -> str:
        """Name of the response.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> model = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study")
        >>> model.endog_names
        'd'
        """
        return self.prepared.endog_name

    @property
    def exog_names(self) -> list[str]:
        """Names of the coefficients.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> model.exog_names
        ['Intercept', 'ablat']
        """
        return self.prepared.exog_names

    @property
    def notes(self) -> list[str]:
        """What was fixed or left out automatically, in sentences.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> toy["lab"] = "the only one"
        >>> model = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="lab")
        >>> model.notes
        ["sigma2 of 'lab' fixed at 0: its grouping factor has a single level"]
        """
        return list(self.prepared.notes)

    @property
    def dropped(self) -> pd.DataFrame:
        """Rows that were left out for missing values, and why: labels and reasons, no numbers.

        Examples
        --------
        >>> import warnings
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> toy.loc[1, "d"] = float("nan")
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     model = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance")
        >>> model.dropped
           row     reason
        0    1  missing d
        """
        return self.prepared.dropped.copy(deep=False)

    @property
    def backend_choice(self) -> Choice:
        """Which backend the layout of the problem calls for, and why.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> model = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study")
        >>> model.backend_choice
        Choice(name='nested', reason='V is diagonal and the random intercepts nest', outer=())
        """
        return choose_backend(self.prepared.problem)

    @property
    def backend(self) -> MarginalCovariance:
        """The plan by which M is factored, made on first use.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> model = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study")
        >>> model.backend.name
        'nested'
        """
        return self._backend

    @cached_property
    def _backend(self) -> MarginalCovariance:
        return build_backend(self.prepared.problem, self._backend_name)

    # -- fitting -------------------------------------------------------------------------

    def fit(
        self,
        reml: bool = True,
        *,
        use_t: bool = False,
        df: str | float | Floats = "residual",
        cov_type: str = "nonrobust",
        cov_kwds: dict[str, Any] | None = None,
        start: Any = None,
        maxiter: int = 200,
        tol: float = DECREMENT,
        disp: bool = False,
    ) -> MetaMixedLMResults:
        """Maximise the likelihood over the components and estimate the fixed effects there.

        Parameters
        ----------
        reml : bool
            Restricted maximum likelihood, else maximum likelihood.
        use_t : bool
            t and F tests with `df`, else z and chi-square.
        df : {"residual", "contain", "satterthwaite", "kenward-roger"}, float or array (p,)
            Degrees of freedom of t and F: k - p; by containment in the random terms;
            Satterthwaite's with the observed information; Kenward and Roger's (1997) with
            their covariance and scaled F; or given.  All but "residual" imply `use_t`.
        cov_type : str
            Covariance of the fixed effects: "nonrobust", model-based; "knha", with Knapp-Hartung
            scaling; "adhoc", with that scaling never below 1 (both imply `use_t`); "CR0", "CR1",
            "CR1p", "CR1S", "CR2", "CR3" or "robust", cluster-robust (see
            `get_robustcov_results`).
        cov_kwds : dict, optional
            For cluster-robust covariances: `groups`, `df` and `repair`.  Their tests are t and F
            with this `df` ("satterthwaite" unless said), whatever `use_t` and `df` above say.
        start : array_like, shape (n_components,), optional
            Components to start from, in the order and scale of `vcomp`.
        maxiter : int
            Likelihood evaluations allowed from each start, at least 1.
        tol : float
            Newton decrement at which to stop, in units of the log-likelihood; positive.
        disp : bool
            Print every iteration.

        Returns
        -------
        MetaMixedLMResults

        Raises
        ------
        SpecificationError
            For options that do not exist or do not go together.
        CovarianceError
            If M is singular.
        ConvergenceError
            If the likelihood is not finite anywhere.
        DataError
            After `remove_data`, or if y and V are in a unit that leaves the range of numbers.

        Warns
        -----
        ConvergenceWarning
            If no maximum was reached.
        MvmetaWarning
            If the likelihood does not depend on a component there; names it.  If an estimated
            covariance matrix of random effects has a negative eigenvalue beyond 1 % of the
            largest variance, as those of SPLIN off the line or with several correlations in
            ``fixed=`` can; names the term.

        References
        ----------
        :doc:`/explanation/model`, "Likelihood"; :doc:`/explanation/model`, "Fixed effects";
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> res = model.fit(df="kenward-roger")
        >>> res.params.round(4)
        Intercept    0.2515
        ablat       -0.0291
        Name: estimate, dtype: float64
        >>> res.df_inference.round(1)
        array([5.9, 6.5])
        """
        self._check_rows()
        check_search(reml, maxiter, tol)
        check_options(cov_type, cov_kwds)
        fit, optimum = self._estimate(
            reml=reml,
            start=self._check_theta(start) if start is not None else None,
            maxiter=maxiter,
            tol=tol,
            disp=disp,
        )
        if not optimum.status.converged:
            warn(
                f"{optimum.status.value}; res.certificate and res.history say more, start= and "
                "maxiter= may help",
                ConvergenceWarning,
            )
        flat = np.array(component_labels(fit.problem))[optimum.not_identified]
        if len(flat):
            warn(
                f"not identified: the likelihood does not depend on {shorten(flat)} at the "
                "maximum; fix it or leave it out of the model"
            )
        indefinite = indefinite_warning(fit)
        if indefinite:
            warn(indefinite)
        return self._conclude(fit, optimum, use_t, df, cov_type, cov_kwds or {})

    # What a model without rows does otherwise: `model.batched`.

    def _estimate(
        self, *, reml: bool, start: Floats | None, maxiter: int, tol: float, disp: bool
    ) -> tuple[Fit, Optimum]:
        with Progress("iterations") as progress:
            return estimate(
                self._backend,
                reml=reml,
                weights=self.prepared.weights,
                start=start,
                maxiter=maxiter,
                tol=tol,
                report=printer() if disp else lambda _: progress.step(),
                row_labels=self.prepared.index,
            )

    def _conclude(
        self,
        fit: Fit,
        optimum: Optimum,
        use_t: bool,
        df: Any,
        cov_type: str,
        cov_kwds: dict[str, Any],
    ) -> MetaMixedLMResults:
        inference = choose_inference(fit, self.prepared, use_t, df, cov_type, cov_kwds)
        return MetaMixedLMResults(self, fit, optimum, inference)

    def _check_rows(self) -> None:
        if self.exog is None:
            raise DataError("the data were removed by remove_data(); build the model again")

    # -- size and copies -----------------------------------------------------------------

    def remove_data(self) -> None:
        """Forget everything with one entry per row; new data can still be predicted.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> model.remove_data()
        >>> res.params.round(4)
        Intercept    0.2515
        ablat       -0.0291
        Name: estimate, dtype: float64
        """
        self.__dict__.pop("_backend", None)
        self.prepared = _without_rows(self.prepared)
        self._forget_rows()

    def _forget_rows(self) -> None:
        self.endog = self.exog = None
        self.data.forget()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_backend"}


def _column_of_ones(x: Floats) -> int | None:
    """Position of the first column of ones in x (n, p); a look at one row rules most out."""
    ones = (j for j in np.flatnonzero(x[0] == 1.0).tolist() if (x[:, j] == 1.0).all())
    return next(ones, None)


def _without_rows(prepared: Prepared) -> Prepared:
    """What is needed to predict new data, and nothing with one entry per row."""
    p = len(prepared.exog_names)
    nothing = np.empty(0)
    return replace(
        prepared,
        problem=MetaProblem(nothing, np.empty((0, p)), SamplingCovariance(nothing)),
        index=prepared.index[:0],
        rows=prepared.rows[:0],
        weights=None,
        frame=prepared.frame.iloc[:0],
        term_specs=[replace(t, outer_levels=t.outer_levels[:0]) for t in prepared.term_specs],
    )
