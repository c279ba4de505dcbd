"""`MetaMixedLM` over batches: the same model, none of its rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats
from mvmeta.design.batched import WHY
from mvmeta.errors import DataError
from mvmeta.inference.batched.fit import BatchedFit
from mvmeta.inference.fitted.estimate import estimate
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.robust.sandwich import KINDS
from mvmeta.marginal.base import MarginalCovariance
from mvmeta.marginal.select import Choice
from mvmeta.model.batched.clusters import robust_inference
from mvmeta.model.batched.learn import BatchedPrepared, prepare_batches
from mvmeta.model.batched.results import BatchedResults
from mvmeta.model.batched.source import Frames
from mvmeta.model.mixed import MetaMixedLM
from mvmeta.model.progress import printer
from mvmeta.model.row_data import RowData
from mvmeta.model.testing.clustering import AUTO
from mvmeta.model.testing.inference import choose_inference
from mvmeta.optimize.maximize import Optimum


class BatchedMetaMixedLM(MetaMixedLM):
    """What `MetaMixedLM.from_batches` and `MetaMixedLM.from_dask` return."""

    prepared: BatchedPrepared

    @classmethod
    def of(cls, formula: str, frames: Frames, **options: Any) -> BatchedMetaMixedLM:
        """A model of a source of frames; options as in `prepare_batches`."""
        prepared = prepare_batches(formula, frames, **options)
        model = cls.__new__(cls)
        model._set_up_without_rows(prepared, options["backend"])
        model.frames = frames
        return model

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in super().__getstate__().items() if k != "frames"}

    def _set_up_without_rows(self, prepared: BatchedPrepared, backend: str | None) -> None:
        problem, ones = prepared.problem, np.asarray(prepared.ones)
        constant = int(np.argmax(ones)) if ones.any() else None
        data = RowData(
            np.empty(0),
            np.empty((0, problem.p)),
            pd.RangeIndex(0),
            prepared.endog_name,
            prepared.exog_names,
            constant,
        )
        super(MetaMixedLM, self).__init__(data, hasconst=constant is not None)
        self.prepared = prepared
        self.arguments = None
        self.formula = prepared.formula
        self._forget_rows()
        self.data.frame = prepared.frame
        self._backend_name = backend
        self.df_resid, self.df_model = problem.n - problem.p, problem.p - int(ones.any())

    @property
    def backend_choice(self) -> Choice:
        """Chosen for every piece of the data by its own layout."""
        return Choice("batched", "rows come in batches; every piece of them has its own plan")

    @property
    def _backend(self) -> MarginalCovariance:
        plan = self.prepared.plan
        if plan is None:
            raise DataError("the data were removed by remove_data(); build the model again")
        return plan

    def _estimate(
        self, *, reml: bool, start: Floats | None, maxiter: int, tol: float, disp: bool
    ) -> tuple[Fit, Optimum]:
        return estimate(
            self._backend,
            reml=reml,
            start=start,
            maxiter=maxiter,
            tol=tol,
            report=printer() if disp else None,
            row_labels=self.prepared.zeros,
            make=BatchedFit,
        )

    def _conclude(
        self,
        fit: Fit,
        optimum: Optimum,
        use_t: bool,
        df: Any,
        cov_type: str,
        cov_kwds: dict[str, Any],
    ) -> BatchedResults:
        assert isinstance(fit, BatchedFit)
        if cov_type in (*KINDS, AUTO):
            inference = robust_inference(self, fit, cov_type, **cov_kwds)
        else:
            inference = choose_inference(fit, self.prepared, use_t, df, cov_type, cov_kwds)
        return BatchedResults(self, fit, optimum, inference)

    def _check_rows(self) -> None:
        self._backend  # noqa: B018  (raises where the data were removed)

    def new_design(self, newdata: Any, transform: bool = True) -> tuple[Floats, pd.Index]:
        """Design matrix (m, p) of new data and the labels of its rows; see `MetaMixedLM`.

        Raises
        ------
        DataError
            Without new data: the fitted rows are not held.
        """
        if newdata is None:
            raise DataError(WHY)
        return super().new_design(newdata, transform)

    def predict(self, params: Any, exog: Any = None) -> Floats:
        """``exog @ params``; see `MetaMixedLM.predict`.

        Raises
        ------
        DataError
            Without `exog`: the fitted rows are not held.
        """
        if exog is None:
            raise DataError(WHY)
        return super().predict(params, exog)
