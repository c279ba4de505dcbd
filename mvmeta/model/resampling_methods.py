"""Methods of the results that draw new data from the fit."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mvmeta.errors import SpecificationError
from mvmeta.inference.simulate import Simulator
from mvmeta.model.bootstrap import (
    BootstrapResults,
    Statistic,
    bootstrap,
    is_count,
    random_generator,
)
from mvmeta.model.fit_holder import FitHolder


class ResamplingMethods(FitHolder):
    """Mixin: ``simulate, bootstrap``."""

    # What it reads is defined by the results class it is mixed into.
    _row_index: Any

    def simulate(self, n: int = 1, seed: Any = None, *, conditional: bool = False) -> pd.DataFrame:
        """Draw new observations from the fitted model.

        Parameters
        ----------
        n : int
            Data sets to draw.
        seed : int, numpy.random.Generator, SeedSequence or None
            The same seed gives the same draws.
        conditional : bool
            Keep the random effects at their predictions (BLUPs) and draw new sampling errors
            only: the same studies, estimated again.  Else random effects are new, too: other
            studies of the same kind.

        Returns
        -------
        DataFrame, shape (nobs, n)
            Rows as the data, one column per data set.

        Raises
        ------
        SpecificationError
            For a seed that is none, or conditional draws under user weights.
        DataError
            After `remove_data`.

        Notes
        -----
        ``y = X b + sum_t Z_t u_t + e`` with u and e drawn block by block; no matrix of rows by
        rows is formed.
        """
        if not is_count(n, 1):
            raise SpecificationError(f"n= is the number of data sets, at least 1; got {n!r}")
        draws = Simulator(self.fit_, conditional=conditional).draw(n, random_generator(seed))
        return pd.DataFrame(draws, index=self._row_index)

    def bootstrap(
        self,
        n: int = 1000,
        statistic: Statistic | None = None,
        *,
        seed: Any = None,
        n_jobs: int = 1,
        disp: bool = False,
    ) -> BootstrapResults:
        """Parametric bootstrap: fit the model again to data drawn from the fit.

        Parameters
        ----------
        n : int
            Replicates.
        statistic : callable, optional
            Called with the `MetaMixedLMResults` of every refit; returns a number, a vector, a
            dict or a Series.  The fixed effects and all estimated components unless given.
        seed : int, numpy.random.Generator, SeedSequence or None
            The same seed gives the same replicates.
        n_jobs : int
            Processes.  They are spawned, so a script needs ``if __name__ == "__main__":``, and
            `statistic` must be a function of a module (no lambda).
        disp : bool
            Print how many replicates are done.

        Returns
        -------
        BootstrapResults
            With intervals, bias, standard errors, their Monte Carlo errors, and all replicates.

        Raises
        ------
        SpecificationError
            For options that do not exist; or a statistic that returns no numbers.
        DataError
            After `remove_data`.

        Warns
        -----
        MvmetaWarning
            If refits did not converge: they are counted and left out.

        Notes
        -----
        Without `statistic`, refits go through the batch of `fit_many` where the model allows it:
        a thousand of 500 rows in about a second.  Each is a full search for the maximum, from
        all starts.
        """
        return bootstrap(self, n, statistic, seed, n_jobs, disp)  # type: ignore[arg-type]
