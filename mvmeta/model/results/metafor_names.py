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
        """Variances of the random intercepts, in the order of the terms."""
        return self._of_kind("sigma2")

    @property
    def tau2(self) -> Floats:
        """Variances of all "inner | outer" terms, in the order of the terms."""
        return self._of_kind("tau2")

    @property
    def rho(self) -> Floats:
        """Correlations (or ranges) of all "inner | outer" terms, in the order of the terms."""
        return self._of_kind("rho")

    @property
    def beta(self) -> Any:
        """Fixed effects: `params`."""
        return self.params

    @property
    def se(self) -> Any:
        """Standard errors: `bse`."""
        return self.bse

    @property
    def zval(self) -> Any:
        """Test statistics of the coefficients: `tvalues`."""
        return self.tvalues

    @property
    def pval(self) -> Any:
        """p-values of the coefficients: `pvalues`."""
        return self.pvalues

    @property
    def k(self) -> int:
        """Number of estimates: `nobs`."""
        return self.nobs

    @property
    def p(self) -> int:
        """Number of coefficients: `k_fe`."""
        return self.k_fe

    @property
    def QE(self) -> float:  # noqa: N802
        """Statistic of `heterogeneity_test`."""
        return self.heterogeneity_test().statistic

    @property
    def QEp(self) -> float:  # noqa: N802
        """p-value of `heterogeneity_test`."""
        return self.heterogeneity_test().pvalue

    @property
    def QM(self) -> float:  # noqa: N802
        """Statistic of `moderators_test`."""
        return self.moderators_test().statistic

    @property
    def QMp(self) -> float:  # noqa: N802
        """p-value of `moderators_test`."""
        return self.moderators_test().pvalue

    @property
    def I2(self) -> float:  # noqa: N802
        """Total I2 in percent, as metafor prints it; by level in `heterogeneity()`."""
        return 100.0 * float(self.heterogeneity(alpha=None).loc["total", "i2"])
