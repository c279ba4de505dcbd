"""Results under the names metafor gives them: read-only, beside statsmodels' names."""

from typing import Any

from mvmeta._typing import Floats


class MetaforNames:
    """Mixin: ``sigma2, tau2, rho, b, beta, se, zval, pval, k, p, QE, QEp, QM, QMp, I2, ...``."""

    # What it reads is defined by the results class it is mixed into.
    vcomp: Any
    params: Any
    bse: Any
    tvalues: Any
    pvalues: Any
    nobs: int
    k_fe: int
    heterogeneity_test: Any
    moderators_test: Any
    heterogeneity: Any

    def _of_kind(self, kind: str) -> Floats:
        return self.vcomp.loc[self.vcomp["component"] == kind, "estimate"].to_numpy()

    @property
    def sigma2(self) -> Floats:
        """Variances of the random intercepts, in squared units of the response.

        In the order of the terms.

        References
        ----------
        See :attr:`vcomp`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
        >>> res.sigma2.round(4)
        array([0.0651, 0.0327])
        """
        return self._of_kind("sigma2")

    @property
    def tau2(self) -> Floats:
        """Variances of all "inner | outer" terms, in squared units of the response.

        In the order of the terms; those of slopes are per squared unit of the moderator.

        References
        ----------
        See :attr:`vcomp`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, Random, datasets
        >>> data = datasets.load("berkey1998")
        >>> V = datasets.covariance_blocks("berkey1998")
        >>> un = Random("outcome | trial", "UN")
        >>> res = MetaMixedLM.from_formula("yi ~ outcome - 1", data, variance=V, random=un).fit()
        >>> res.tau2.round(4)
        array([0.0327, 0.0117])
        """
        return self._of_kind("tau2")

    @property
    def rho(self) -> Floats:
        """Correlations (or ranges) of all "inner | outer" terms, in the order of the terms.

        Ranges are in the unit of the distances.

        References
        ----------
        See :attr:`vcomp`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, Random, datasets
        >>> data = datasets.load("berkey1998")
        >>> V = datasets.covariance_blocks("berkey1998")
        >>> un = Random("outcome | trial", "UN")
        >>> res = MetaMixedLM.from_formula("yi ~ outcome - 1", data, variance=V, random=un).fit()
        >>> res.rho.round(3)
        array([0.609])
        """
        return self._of_kind("rho")

    @property
    def beta(self) -> Any:
        """Fixed effects, in their units: `params`.

        References
        ----------
        See :attr:`params`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.beta.round(4)
        Intercept    0.2515
        ablat       -0.0291
        Name: estimate, dtype: float64
        """
        return self.params

    @property
    def se(self) -> Any:
        """Standard errors, in units of the fixed effects: `bse`.

        References
        ----------
        See :attr:`bse`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.se.round(4)
        Intercept    0.2491
        ablat        0.0072
        Name: se, dtype: float64
        """
        return self.bse

    @property
    def zval(self) -> Any:
        """The z or t statistics of the coefficients: `tvalues`.

        References
        ----------
        See :attr:`tvalues`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.zval.round(2)
        Intercept    1.01
        ablat       -4.04
        Name: statistic, dtype: float64
        """
        return self.tvalues

    @property
    def pval(self) -> Any:
        """p-values of the coefficients: `pvalues`.

        References
        ----------
        See :attr:`pvalues`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.pval.round(4)
        Intercept    0.3127
        ablat        0.0001
        Name: pvalue, dtype: float64
        """
        return self.pvalues

    @property
    def k(self) -> int:
        """Number of estimates: `nobs`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> res = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study").fit()
        >>> res.k
        5
        """
        return self.nobs

    @property
    def p(self) -> int:
        """Number of coefficients: `k_fe`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.p
        2
        """
        return self.k_fe

    @property
    def QE(self) -> float:  # noqa: N802
        """Chi-square of the residual heterogeneity: statistic of `heterogeneity_test`.

        References
        ----------
        See :meth:`heterogeneity_test`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> round(res.QE, 2)
        30.73
        """
        return self.heterogeneity_test().statistic

    @property
    def QEp(self) -> float:  # noqa: N802
        """p-value of `heterogeneity_test`.

        References
        ----------
        See :meth:`heterogeneity_test`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> round(res.QEp, 5)
        0.00121
        """
        return self.heterogeneity_test().pvalue

    @property
    def QM(self) -> float:  # noqa: N802
        """Chi-square, or F, of the moderators: statistic of `moderators_test`.

        References
        ----------
        See :meth:`moderators_test`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> round(res.QM, 2)
        16.36
        """
        return self.moderators_test().statistic

    @property
    def QMp(self) -> float:  # noqa: N802
        """p-value of `moderators_test`.

        References
        ----------
        See :meth:`moderators_test`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> round(res.QMp, 6)
        5.2e-05
        """
        return self.moderators_test().pvalue

    @property
    def I2(self) -> float:  # noqa: N802
        """Total I2 in percent, as metafor prints it; by level, as a share, in `heterogeneity()`.

        References
        ----------
        See :meth:`heterogeneity`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
        >>> round(res.I2, 2)
        95.19
        """
        return 100.0 * float(self.heterogeneity(alpha=None).loc["total", "i2"])
