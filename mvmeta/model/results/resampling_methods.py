"""Methods of the results that draw new data from the fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Ints
from mvmeta.errors import SpecificationError, warn
from mvmeta.inference.coefficients.wald import check_independent
from mvmeta.inference.resampling.permutation import PermutationTest, permutation_test
from mvmeta.inference.resampling.simulate import Simulator
from mvmeta.inference.resampling.wild import WildBootstrap, wild_bootstrap
from mvmeta.model.results.bootstrap import (
    BootstrapResults,
    Statistic,
    bootstrap,
    is_count,
    random_generator,
)
from mvmeta.model.results.fit_holder import FitHolder
from mvmeta.model.testing.clustering import read_clusters
from mvmeta.model.testing.hypotheses import restrictions
from mvmeta.model.testing.inference import Inference


class ResamplingMethods(FitHolder):
    """Mixin: ``simulate, bootstrap, wild_bootstrap_test, permutation_test``."""

    # What it reads is defined by the results class it is mixed into.
    model: Any
    params: Any
    _row_index: Any
    _inference: Inference

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
            Rows as the data, one column per data set, in units of the response.

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

        References
        ----------
        :doc:`/explanation/model`, "Resampling".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> drawn = res.simulate(3, seed=1)
        >>> drawn.shape
        (56, 3)
        """
        if not is_count(n, 1):
            raise SpecificationError(f"n= is the number of data sets, at least 1; got {n!r}")
        draws = Simulator(self.fit_, conditional=conditional).draw(n, random_generator(seed))
        return pd.DataFrame(draws, index=self._row_index)

    def bootstrap(
        self,
        n: int = 1000,
        statistic: Statistic | str | None = None,
        *,
        seed: Any = None,
        warm: bool = True,
        n_jobs: int = 1,
        disp: bool = False,
    ) -> BootstrapResults:
        """Parametric bootstrap: fit the model again to data drawn from the fit.

        Parameters
        ----------
        n : int
            Replicates.
        statistic : callable or "heterogeneity", optional
            Called with the `MetaMixedLMResults` of every refit; returns a number, a vector, a
            dict or a Series.  "heterogeneity": variance, I2, CVH, M1 and M2 by term and in total,
            and R2 where there are moderators.  The fixed effects and all estimated components
            unless given.
        seed : int, numpy.random.Generator, SeedSequence or None
            The same seed gives the same replicates.
        warm : bool
            Refits outside the batch climb from the components of this fit, which is several
            times faster, and can miss a higher maximum elsewhere; else from all starts.
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
            For options that do not exist; or a statistic that returns no numbers, or raises an
            error for the fit itself (which is its ``__cause__``).
        DataError
            After `remove_data`.

        Warns
        -----
        MvmetaWarning
            If refits did not converge: they are counted and left out.

        Notes
        -----
        Without a function as `statistic`, refits go through the batch of `fit_many` where the
        model allows it: a thousand of 500 rows in about a second, each of them climbed from all
        starts.

        References
        ----------
        :doc:`/explanation/model`, "Resampling".

        .. [1] Davison AC, Hinkley DV (1997). *Bootstrap Methods and their Application*. Cambridge
           University Press.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> schools = datasets.load("konstantopoulos2011")
        >>> res = MetaMixedLM.from_formula(
        ...     "yi ~ 1", schools, variance="vi", groups="district/school"
        ... ).fit()
        >>> boot = res.bootstrap(500, "heterogeneity", seed=1)
        >>> round(float(boot.observed["cvh", "total"]), 2)
        1.69
        >>> boot.conf_int().loc[("m2", "total")].round(1).tolist()
        [0.4, 1.0]
        """
        return bootstrap(self, n, statistic, seed, warm, n_jobs, disp)  # type: ignore[arg-type]

    def wild_bootstrap_test(
        self,
        r_matrix: Any,
        *,
        n: int = 1999,
        weights: str = "rademacher",
        cov_type: str = "CR0",
        groups: Any = None,
        seed: Any = None,
    ) -> WildBootstrap:
        """Test linear hypotheses by the wild cluster bootstrap: for few clusters.

        Residuals under the hypothesis are multiplied, cluster by cluster, by random signs, and
        the cluster-robust t or F is computed again; no distribution of it is assumed.  The
        variance components are held at their estimates.

        Parameters
        ----------
        r_matrix : str, list of str, array_like, or tuple
            As in `t_test`: one hypothesis gives a t test, several a joint F test.
        n : int
            Replicates.  Where there are no more than that many patterns of signs, 2^G for G
            clusters, all are taken instead: the p-value has no Monte Carlo error then.
        weights : {"rademacher", "webb", "mammen"}
            Signs; six values, which make up for few patterns below 10 clusters; or two values
            with a third moment of 1.
        cov_type : {"CR0", "CR2", "CR3"}
            Covariance that the statistics are studentised by.
        groups : str or array_like of labels (n_given,), optional
            Clusters, as in `get_robustcov_results`; those of robust results, else the outermost
            independent ones.
        seed : int, numpy.random.Generator, SeedSequence or None
            Of the weights.

        Returns
        -------
        WildBootstrap
            statistic (t or F), df, pvalue, pvalue_error, replicates, enumerated, ...

        Raises
        ------
        SpecificationError
            For options that do not exist, hypotheses that depend on each other, or fewer
            clusters than they need.
        DataError
            If the groups do not fit the rows, or after `remove_data`.

        Warns
        -----
        MvmetaWarning
            If there are so few clusters that no p-value below 0.05 can come out.

        Notes
        -----
        Cameron, Gelbach & Miller (2008), hypothesis imposed ("WCR"); for meta-analysis Joshi,
        Pustejovsky & Beretvas (2022).  Webb's weights: Webb (2023).

        References
        ----------
        .. [1] Cameron AC, Gelbach JB, Miller DL (2008). Bootstrap-based improvements for inference
           with clustered errors. *Review of Economics and Statistics* 90:414–427.
           doi:10.1162/rest.90.3.414
        .. [2] Joshi M, Pustejovsky JE, Beretvas SN (2022). Cluster wild bootstrapping to handle
           dependent effect sizes in meta-analysis with a small number of studies. *Research
           Synthesis Methods* 13:457–477.
        .. [3] Webb MD (2023). Reworking wild bootstrap-based inference for clustered errors.
           *Canadian Journal of Economics* 56:839–858. doi:10.1111/caje.12661

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> test = res.wild_bootstrap_test("Intercept = 0", n=99, seed=1)
        >>> round(test.pvalue, 3)
        0.04
        """
        rows, rhs = restrictions(r_matrix, list(self.params.index))
        if not is_count(n, 1):
            raise SpecificationError(f"n= is the number of replicates, at least 1; got {n!r}")
        check_independent(rows, self._inference.basis.cov)
        found = wild_bootstrap(
            self.fit_,
            self._test_clusters(groups),
            rows,
            rhs,
            n=n,
            weights=weights,
            kind=cov_type,
            rng=random_generator(seed),
        )
        if found.least_pvalue > FEW_PATTERNS:
            warn(
                f"with {found.n_clusters} clusters and {found.n_replicates} replicates of "
                f"{weights} weights no p-value can be below {found.least_pvalue:.2g}"
                + ("; take weights='webb'" if weights == "rademacher" else "; take a larger n")
            )
        return found

    def permutation_test(
        self,
        terms: str | list[str] | None = None,
        *,
        n: int = 999,
        groups: Any = None,
        seed: Any = None,
    ) -> PermutationTest:
        """Test moderators by dealing their values in other orders: no distribution is assumed.

        Moderators that are constant within groups are dealt to the groups as wholes, others to
        the rows within each group.  The components are estimated again for every order.

        Parameters
        ----------
        terms : str or list of str, optional
            Terms of the formula, or coefficients, to test; all but the intercept unless said.
        n : int
            Random orders; where there are no more than that many different ones, all are taken.
        groups : str or array_like of labels (n_given,), optional
            Groups of rows, as in `get_robustcov_results`; the outermost independent clusters
            unless said.
        seed : int, numpy.random.Generator, SeedSequence or None
            Of the orders.

        Returns
        -------
        PermutationTest
            statistic (QM), df, pvalue, pvalue_error, replicates, enumerated, n_failed.

        Raises
        ------
        SpecificationError
            For an unknown term, no moderator to test, user weights, moderators of which some
            vary within groups and some between them only, or means of categories (a formula
            without intercept), about which orders say nothing.
        DataError
            If the groups do not fit the rows, or after `remove_data`.

        Warns
        -----
        MvmetaWarning
            If there are so few orders that no p-value below 0.05 can come out, or orders without
            a maximum, which are counted and left out.

        Notes
        -----
        The values that are dealt take the other moderators along only if they are tested, too:
        with moderators that are correlated the test is approximate.

        References
        ----------
        .. [1] Follmann DA, Proschan MA (1999). Valid inference in random effects meta-analysis.
           *Biometrics* 55:732–737. doi:10.1111/j.0006-341X.1999.00732.x
        .. [2] Higgins JPT, Thompson SG (2004). Controlling the risk of spurious findings from
           meta-regression. *Statistics in Medicine* 23:1663–1682. doi:10.1002/sim.1752

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> test = res.permutation_test(n=99, seed=1)
        >>> round(test.pvalue, 2)
        0.01
        """
        if not is_count(n, 1):
            raise SpecificationError(f"n= is the number of orders, at least 1; got {n!r}")
        columns = self._moderators(terms)
        codes = read_clusters(self.model.prepared, groups).codes
        if np.ndim(codes) != 1:
            raise SpecificationError("a permutation test takes one grouping")
        found = permutation_test(
            self.fit_,
            columns,
            np.unique(codes, return_inverse=True)[1],
            n,
            random_generator(seed),
        )
        _warn_permutations(found)
        return found

    def _moderators(self, terms: str | list[str] | None) -> Ints:
        if terms is None:
            x = self.fit_.problem.x
            columns = [j for j in range(x.shape[1]) if np.ptp(x[:, j]) > 0]
        else:
            wanted: Any = [terms] if isinstance(terms, str) else terms
            if not isinstance(wanted, (list, tuple)) or not all(isinstance(t, str) for t in wanted):
                raise SpecificationError(
                    f"terms takes names of terms or coefficients, got {terms!r}; the number of "
                    "orders is n="
                )
            columns = sorted({j for t in wanted for j in self.model.columns_of(t)})
        if not columns:
            raise SpecificationError("the model has no moderator whose values could be dealt")
        return np.array(columns)

    def _test_clusters(self, groups: Any) -> Any:
        codes = self._inference.clusters if groups is None else None
        if codes is None:
            codes = read_clusters(self.model.prepared, groups).codes
        if np.ndim(codes) != 1:
            raise SpecificationError(
                "the wild cluster bootstrap takes one grouping: the one with the fewest clusters"
            )
        return codes


FEW_PATTERNS = 0.05
"""Least possible p-value from which on it is worth a warning."""


def _warn_permutations(found: PermutationTest) -> None:
    least = 1.0 / len(found.replicates) if found.enumerated else 1.0 / (len(found.replicates) + 1)
    if least > FEW_PATTERNS:
        warn(
            f"with {found.n_units} {found.unit} and {len(found.replicates)} orders no p-value can "
            f"be below {least:.2g}" + ("" if found.enumerated else "; take a larger n")
        )
    if found.n_failed:
        warn(
            f"{found.n_failed} of {len(found.replicates)} orders are left out: the moderators "
            "depend on each other there, or the likelihood has no maximum"
        )
