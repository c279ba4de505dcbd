"""One model, many outcomes: `MetaMixedLM.fit_many`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.scaling import SCALINGS
from mvmeta.inference.many.fit_many import fit_many
from mvmeta.inference.many.outcomes import ManyFits, ManySpec, NotFitted
from mvmeta.model.results.many_data import (
    MISSING,
    read_outcomes,
    read_variances,
    refuse_impossible,
    skipped_outcomes,
)
from mvmeta.model.results.many_results import ManyOutcomesResults
from mvmeta.model.specification.build import Prepared
from mvmeta.model.specification.pins_of_rows import PinsOfRows
from mvmeta.model.specification.search import check_jobs, check_search
from mvmeta.optimize.newton import DECREMENT
from mvmeta.progress import Progress


class ManyOutcomes:
    """Mixin of the model: `fit_many`."""

    # What it reads is defined by the model it is mixed into.
    prepared: Prepared
    _check_rows: Any

    def fit_many(
        self,
        Y: Any,  # noqa: N803  (the symbol of the field)
        variances: Any = None,
        *,
        reml: bool = True,
        use_t: bool = False,
        cov_type: str = "nonrobust",
        missing: str = "drop",
        maxiter: int = 200,
        tol: float = DECREMENT,
        n_jobs: int = 1,
        disp: bool = False,
    ) -> ManyOutcomesResults:
        """Fit this model to many outcomes: same rows, moderators and random terms, other y.

        Parameters
        ----------
        Y : array_like, shape (n, m)
            One outcome per column, each in a unit of its own, one row per row of the data as given
            (or per fitted row).  A DataFrame is matched by its index and names the outcomes.  NaN
            is a missing value.
        variances : array_like, shape (n,) or (n, m), optional
            Sampling variances for all outcomes or for each, in squared units of the outcome; those
            of the model unless said.  Correlations in the model's V are kept.
        reml : bool
            Restricted maximum likelihood, else maximum likelihood.
        use_t : bool
            t tests with nobs - p degrees of freedom of each outcome, else z.
        cov_type : {"nonrobust", "knha", "adhoc"}
            Covariance of the fixed effects: model-based; with Knapp-Hartung scaling; with that
            scaling never below 1.  The last two imply `use_t`.
        missing : {"drop", "skip", "raise"}
            An outcome with missing values is fitted to its other rows (`nobs` says how many), with
            what these do not tell fixed as in a model of their own; or is not fitted, and its
            status says so; or is an error.
        maxiter : int
            Likelihood evaluations allowed from each start.
        tol : float
            As in `fit`.
        n_jobs : int
            Processes for outcomes that are not fitted in the batch.  They are spawned: a script
            needs ``if __name__ == "__main__":``.
        disp : bool
            Print how many outcomes are done.

        Returns
        -------
        ManyOutcomesResults
            With arrays over outcomes, and a status for each: none is lost.

        Raises
        ------
        DataError
            If Y or the variances do not fit the rows, or are infinite.
        CovarianceError
            For negative variances.
        SpecificationError
            For options that do not exist.

        Notes
        -----
        With random terms that are at most one with a level for each row and one that groups
        rows ("study", "id", "study/id"), outcomes are climbed together, tens of thousands a
        second; V must be diagonal, or shared by all outcomes with correlations within the groups
        only.  Every other model (user weights, "inner | outer", crossed or known correlations,
        more levels) works, too, one outcome after the other by the solver of `fit`, with the
        plan of the layout shared as long as V is.  So do the few outcomes of which the batch is
        not certain, and with a correlated V those with missing values.

        References
        ----------
        See :meth:`fit`.

        Examples
        --------
        >>> import numpy as np
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> y = np.column_stack([data["yi"], data["yi"] ** 2])
        >>> many = model.fit_many(y)
        >>> many.params.shape, many.converged.tolist()
        ((2, 2), [True, True])
        """
        self._check_rows()
        check_search(reml, maxiter, tol)
        check_jobs(n_jobs)
        _check_options(cov_type, missing)
        prepared = self.prepared
        y, names = read_outcomes(Y, prepared)
        v = None if variances is None else read_variances(variances, prepared, y.shape)
        refuse_impossible(y, v, prepared, names)
        skipped = skipped_outcomes(y, v, missing, names)
        pins = PinsOfRows.of(prepared.term_specs)
        spec = ManySpec(prepared.problem, reml, prepared.weights, maxiter, tol, pins=pins)
        keep = np.flatnonzero(~skipped)
        part = v[:, keep] if v is not None and v.ndim == 2 else v
        with Progress("outcomes", len(keep)) as progress:
            report = _printer(len(keep)) if disp else progress.step
            fits = fit_many(spec, y[:, keep], part, n_jobs=n_jobs, report=report)
        if skipped.any():
            fits = _spread(fits, keep, y)
        use_t = use_t or cov_type != "nonrobust"
        return ManyOutcomesResults(self, fits, names, y, v, use_t, cov_type, spec)  # type: ignore[arg-type]


def _check_options(cov_type: str, missing: str) -> None:
    if cov_type not in SCALINGS:
        raise SpecificationError(
            f"fit_many takes cov_type= one of {', '.join(SCALINGS)}, got {cov_type!r}; for others "
            "use get_results(outcome, cov_type=...)"
        )
    if missing not in MISSING:
        raise SpecificationError(f"missing= takes one of {', '.join(MISSING)}, got {missing!r}")


def _spread(fits: ManyFits, keep: Ints, y: Floats) -> ManyFits:
    """The fits of the outcomes `keep` among all of them."""
    out = ManyFits.blank(len(fits.beta), len(fits.theta), y.shape[1])
    out.status[:] = NotFitted.MISSING
    out.nobs[:] = (~np.isnan(y)).sum(axis=0)
    for name in ("beta", "cov_beta", "theta", "boundary", "loglik", "rss", "qe", "nobs"):
        getattr(out, name)[..., keep] = getattr(fits, name)
    for name in ("n_evaluations", "status", "batched"):
        getattr(out, name)[keep] = getattr(fits, name)
    out.errors.update({int(keep[i]): text for i, text in fits.errors.items()})
    return out


def _printer(total: int) -> Callable[[int], None]:
    done = 0

    def show(more: int) -> None:
        nonlocal done
        done += more
        sys.stdout.write(f"{done} of {total} outcomes\n")

    return show
