"""Hypotheses about the coefficients, as methods of the results."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.wald import (
    Basis,
    WaldTest,
    omnibus_rows,
    wald_test,
)
from mvmeta.model.results.fit_holder import FitHolder
from mvmeta.model.testing import hypotheses
from mvmeta.model.testing.inference import Inference

if TYPE_CHECKING:
    from statsmodels.stats.contrast import ContrastResults, MultiCompResult, WaldTestResults


class HypothesisMethods(FitHolder):
    """Mixin: ``moderators_test, t_test, wald_test, f_test, wald_test_terms, t_test_pairwise``."""

    # What it reads is defined by the results class it is mixed into.
    model: Any
    params: Any
    use_t: Any
    k_fe: int
    _inference: Inference

    def moderators_test(self, terms: str | list[str] | None = None) -> WaldTest:
        """QM: joint test of the moderators.

        Parameters
        ----------
        terms : str or list of str, optional
            Terms of the formula, or coefficients, to test; all coefficients but the intercept
            unless said (all of them where there is no intercept or nothing else).

        Returns
        -------
        WaldTest
            With statistic (chi-square, or F with t-type inference), df, df_denom, pvalue.

        Raises
        ------
        SpecificationError
            For an unknown term.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> test = res.moderators_test()
        >>> round(test.statistic, 2), test.df, f"{test.pvalue:.1e}"
        (16.36, 1, '5.2e-05')
        """
        if terms is None:
            if not self.k_fe:
                return WaldTest(np.nan, 0, np.nan, np.nan)
            rows = np.eye(self.k_fe)[self._omnibus]
        else:
            wanted = [terms] if isinstance(terms, str) else terms
            rows = np.vstack([np.eye(self.k_fe)[self.model.columns_of(t)] for t in wanted])
        return wald_test(self._inference.basis, rows)

    def t_test(
        self, r_matrix: Any, cov_p: Any = None, use_t: bool | None = None
    ) -> ContrastResults:
        """Test each of several linear hypotheses by itself.

        Parameters
        ----------
        r_matrix : str, list of str, array_like, or tuple
            "x1 = x2", weights of the coefficients (m, p), in units of the columns of the design, or
            (weights, right-hand sides).
        cov_p : array_like, shape (p, p), optional
            Another covariance of the coefficients, in the units of `cov_params`.
        use_t : bool, optional
            Must agree with the fit; choose t or z in `fit`.

        Returns
        -------
        statsmodels.stats.contrast.ContrastResults

        Raises
        ------
        SpecificationError
            If a hypothesis does not parse or has the wrong shape.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> test = res.t_test("alloc[random] - alloc[systematic]")
        >>> test.effect.round(3), test.sd.round(3), test.pvalue.round(3)
        (array([-0.537]), array([0.436]), np.float64(0.219))
        """
        return hypotheses.t_test(self._basis(cov_p, use_t), *self._restrictions(r_matrix))

    def wald_test(
        self,
        r_matrix: Any,
        cov_p: Any = None,
        invcov: Any = None,
        use_f: bool | None = None,
        df_constraints: Any = None,
        scalar: bool = True,
    ) -> ContrastResults:
        """Test several linear hypotheses jointly: chi-square, or F where the fit uses t.

        Parameters
        ----------
        r_matrix : str, list of str, array_like, or tuple
            As in `t_test`.
        cov_p : array_like, shape (p, p), optional
            Another covariance of the coefficients, in the units of `cov_params`.
        invcov : None
            Not used; statsmodels' signature.
        use_f : bool, optional
            Must agree with the fit; choose t or z in `fit`.
        df_constraints : None
            Not used; statsmodels' signature.
        scalar : bool
            Only True is possible: the statistic is a number.

        Returns
        -------
        statsmodels.stats.contrast.ContrastResults

        Raises
        ------
        SpecificationError
            If a hypothesis does not parse or has the wrong shape, or if they are linearly
            dependent.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> test = res.wald_test("alloc[random] = alloc[systematic]")
        >>> print(test)  # doctest: +ELLIPSIS
        <Wald test (chi2): statistic=1.51368..., p-value=0.21857..., df_denom=1>
        """
        if invcov is not None or df_constraints is not None or not scalar:
            raise SpecificationError(
                "wald_test takes neither invcov, df_constraints nor scalar=False"
            )
        return hypotheses.joint_test(self._basis(cov_p, use_f), *self._restrictions(r_matrix))

    def f_test(self, r_matrix: Any, cov_p: Any = None, invcov: Any = None) -> ContrastResults:
        """`wald_test` as an F test (with infinite denominator df under z, as in statsmodels).

        Parameters
        ----------
        r_matrix : str, list of str, array_like, or tuple
            As in `t_test`.
        cov_p : array_like, shape (p, p), optional
            Another covariance of the coefficients, in the units of `cov_params`.
        invcov : None
            Not used; statsmodels' signature.

        Returns
        -------
        statsmodels.stats.contrast.ContrastResults

        Raises
        ------
        SpecificationError
            As `wald_test`.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> test = res.f_test("alloc[random] = alloc[systematic]")
        >>> print(test)  # doctest: +ELLIPSIS
        <F test: F=1.51368..., p=0.21857..., df_denom=inf, df_num=1>
        """
        if invcov is not None:
            raise SpecificationError("f_test takes no invcov; give the covariance itself as cov_p=")
        return hypotheses.f_test(self._basis(cov_p, None), *self._restrictions(r_matrix))

    def wald_test_terms(
        self,
        skip_single: bool = False,
        extra_constraints: Any = None,
        combine_terms: list[str] | None = None,
        scalar: bool = True,
    ) -> WaldTestResults:
        """A Wald test for each term of the formula.

        Parameters
        ----------
        skip_single : bool
            Leave out terms with one coefficient.
        extra_constraints : None
            Not used; statsmodels' signature.
        combine_terms : list of str, optional
            For each string also test all terms whose name contains it, jointly.
        scalar : bool
            Only True is possible: statistics are numbers.

        Returns
        -------
        statsmodels.stats.contrast.WaldTestResults

        Raises
        ------
        SpecificationError
            For extra_constraints or scalar=False, or a text in `combine_terms` that no term has
            in its name; lists the terms.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.wald_test_terms(scalar=True).summary_frame().round(3)
                    chi2  P>chi2  df constraint
        Intercept  1.378   0.240              1
        alloc      1.768   0.413              2
        """
        if extra_constraints is not None or not scalar:
            raise SpecificationError(
                "wald_test_terms takes neither extra_constraints nor scalar=False; "
                "use f_test or wald_test for other hypotheses"
            )
        groups = {
            k: v for k, v in self.model.term_columns().items() if not skip_single or len(v) > 1
        }
        for part in combine_terms or []:
            every = self.model.term_columns().items()
            groups[part] = [c for name, columns in every if part in name for c in columns]
            if not groups[part]:
                raise SpecificationError(
                    f"combine_terms: no term has {part!r} in its name; terms are "
                    f"{', '.join(self.model.term_columns())}"
                )
        return hypotheses.terms_test(self._inference.basis, groups)

    def t_test_pairwise(
        self,
        term_name: str,
        method: str = "hs",
        alpha: float = 0.05,
        factor_labels: list[str] | None = None,
    ) -> MultiCompResult:
        """Compare all pairs of levels of a factor, with multiplicity-adjusted p-values.

        Parameters
        ----------
        term_name : str
            A main effect of the formula, such as "C(Category)".
        method : str
            Adjustment, as in statsmodels' `multipletests`.
        alpha : float
            1 - coverage of the intervals, and the level of the adjusted tests.
        factor_labels : list of str, optional
            Other labels for the levels.

        Returns
        -------
        statsmodels.stats.contrast.MultiCompResult
            `result_frame` is the table.

        Raises
        ------
        SpecificationError
            If the term is no factor of its own, or `factor_labels` are not one for each level.

        References
        ----------
        :doc:`/explanation/model`, "Tests of coefficients".

        .. [1] Benjamini Y, Hochberg Y (1995). Controlling the false discovery rate: a practical and
           powerful approach to multiple testing. *Journal of the Royal Statistical Society B*
           57:289–300. doi:10.1111/j.2517-6161.1995.tb02031.x
        .. [2] Benjamini Y, Yekutieli D (2001). The control of the false discovery rate in multiple
           testing under dependency. *Annals of Statistics* 29:1165–1188. doi:10.1214/aos/1013699998
        .. [3] Holm S (1979). A simple sequentially rejective multiple test procedure. *Scandinavian
           Journal of Statistics* 6:65–70.
        .. [4] Šidák Z (1967). Rectangular confidence regions for the means of multivariate normal
           distributions. *Journal of the American Statistical Association* 62:626–633.
           doi:10.1080/01621459.1967.10482935

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> pairs = res.t_test_pairwise("alloc").result_frame
        >>> pairs[["coef", "std err"]].round(3)
                               coef  std err
        random-alternate     -0.448    0.516
        systematic-alternate  0.089    0.560
        systematic-random     0.537    0.436
        """
        levels, labels = self.model.factor_levels(term_name)
        if factor_labels is not None and len(factor_labels) != len(labels):
            raise SpecificationError(
                f"factor_labels needs one label for each of the levels {', '.join(labels)}; "
                f"got {len(factor_labels)}"
            )
        return hypotheses.pairwise_test(
            self._inference.basis, levels, factor_labels or labels, term_name, method, alpha
        )

    @cached_property
    def _omnibus(self) -> Any:
        return omnibus_rows(self.fit_.problem.x)

    def _restrictions(self, r_matrix: Any) -> tuple[Floats, Floats]:
        dropped = self.model.prepared.dropped_columns
        return hypotheses.restrictions(r_matrix, list(self.params.index), dropped)

    def _basis(self, cov_p: Any, use_t: bool | None) -> Basis:
        b = self._inference.basis
        if use_t is not None and use_t is not self.use_t:
            raise SpecificationError(
                f"this fit uses {'t and F' if self.use_t else 'z and chi-square'}; "
                f"fit(use_t={use_t}) gives the other"
            )
        if cov_p is None:
            return b
        return Basis(b.beta, hypotheses.given_covariance(cov_p, self.k_fe), b.df)
