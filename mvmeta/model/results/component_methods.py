"""How well the variance components are known, as methods of the results."""

from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats
from mvmeta.errors import ConvergenceError, SpecificationError, warn
from mvmeta.inference.components.limits import ComponentLimits
from mvmeta.inference.components.wald import components_covariance, wald_limits
from mvmeta.likelihood.objective import Objective
from mvmeta.model.results.component_profile import ComponentProfile
from mvmeta.model.results.fit_holder import FitHolder
from mvmeta.optimize.maximize import Optimum
from mvmeta.progress import track

METHODS = ("profile", "wald")
LIMITS = ["lower", "upper", "lower_at_edge", "upper_at_edge", "shape"]
"""Columns of an interval, and attributes of `ProfileInterval`."""


class ComponentMethods(FitHolder):
    """Mixin: ``profile, vcomp_conf_int, vcomp_cov``."""

    # What it reads is defined by the results class it is mixed into.
    model: Any
    vcomp: Any
    component_labels: list[str]
    not_identified: Any
    _optimum: Optimum

    def profile(self, component: int | str) -> ComponentProfile:
        """Profile likelihood of one variance component.

        Parameters
        ----------
        component : int or str
            Row of `vcomp`, or its name in `component_labels`, such as "study: sigma2".

        Returns
        -------
        ComponentProfile
            ``at(value)`` maximises over all other components; ``interval(alpha)`` gives limits;
            ``plot()`` draws both.

        Raises
        ------
        SpecificationError
            If there is no such component, or it is fixed.

        References
        ----------
        :doc:`/explanation/model`, "Components".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> profile = res.profile("district: sigma2")
        >>> interval = profile.interval()
        >>> round(interval.lower, 4), round(interval.upper, 4)
        (0.0222, 0.2072)
        """
        labels = list(self.component_labels)
        known = (
            component in labels if isinstance(component, str) else component in range(len(labels))
        )
        if not known:
            raise SpecificationError(f"no component {component!r}; there are {', '.join(labels)}")
        at = labels.index(component) if isinstance(component, str) else int(component)
        if self.fit_.problem.fixed[at]:
            raise SpecificationError(f"{labels[at]} is fixed: it has no profile")
        return self._profile(at)

    def _profile(self, at: int, limits: ComponentLimits | None = None) -> ComponentProfile:
        name, others = str(self.component_labels[at]), self._optimum.others
        return ComponentProfile(
            self.fit_, self.model.backend, at, name, others=others, limits=limits
        )

    def vcomp_conf_int(self, alpha: float = 0.05, method: str = "profile") -> pd.DataFrame:
        """Confidence intervals of the variance components.

        Parameters
        ----------
        alpha : float
            1 - coverage.
        method : {"profile", "wald"}
            "profile": values at which the deviance, all other components estimated again, is
            within the chi-square quantile of its minimum.  "wald": by the observed information,
            on the logarithm of variances and ranges and the logit of correlations; quick, and
            poor where few levels tell of a component.

        Returns
        -------
        DataFrame
            Rows as `vcomp`, to which it can be joined; lower, upper (in the unit of the
            estimate), lower_at_edge, upper_at_edge (the edge of the parameter space lies inside
            the interval) and shape: "" as a rule, "one-sided" or "flat" where
            the data rule out no value in one direction or in both, "several maxima" where a lower
            maximum outside the limits is as compatible with the data.  NaN for fixed components,
            and under "wald" for those on the boundary or not identified.

        Raises
        ------
        SpecificationError
            For another method.

        Warns
        -----
        MvmetaWarning
            If the likelihood is higher elsewhere than at the fit, or has several maxima.  If a
            profile cannot be followed to a limit: its limits are NaN, and the others are there.
            Under "wald" if components are not identified: they are NaN, and named.

        Notes
        -----
        A profile limit is a point where the component is extreme on a contour of the likelihood,
        found by Newton's method with all components at once (Venzon & Moolgavkar 1988): three or
        four evaluations.  Where the contour meets an edge the profile is followed value by value.

        References
        ----------
        :doc:`/explanation/model`, "Components".

        .. [1] Venzon DJ, Moolgavkar SH (1988). A method for computing profile-likelihood-based
           confidence intervals. *Applied Statistics* 37:87–94. doi:10.2307/2347496

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> limits = res.vcomp_conf_int()
        >>> res.vcomp[["term", "estimate"]].join(limits[["lower", "upper"]]).round(4)
                      term  estimate   lower   upper
        0         district    0.0651  0.0222  0.2072
        1  district/school    0.0327  0.0163  0.0628
        """
        if method not in METHODS:
            raise SpecificationError(
                f"method= takes {' or '.join(map(repr, METHODS))}, got {method!r}"
            )
        nothing = {
            "lower": np.nan,
            "upper": np.nan,
            "lower_at_edge": False,
            "upper_at_edge": False,
            "shape": "",
        }
        out = pd.DataFrame(nothing, index=self.vcomp.index)
        if method == "wald":
            cov = self._covariance()
            out["lower"], out["upper"] = wald_limits(self.fit_, cov, alpha)
            return out
        fit = self.fit_
        limits = ComponentLimits(fit, Objective(self.model.backend, fit.reml))
        group = fit.problem.shared.group
        for i in track(np.flatnonzero(fit.problem.estimated).tolist(), "profiles"):
            profile = self._profile(i, limits)
            try:
                found = profile.interval(alpha)
            except ConvergenceError as error:
                warn(f"{error}. The limits of this component are NaN")
                continue
            row: Any = [getattr(found, column) for column in LIMITS]
            out.loc[out.index[group == group[i]], LIMITS] = row
        return out

    def _covariance(self) -> Floats:
        """NaN for constants, and with a warning for what is not identified."""
        fit = self.fit_
        cov = components_covariance(fit, self.model.backend)
        flat = self.not_identified.to_numpy()
        cov[flat] = cov[:, flat] = np.nan
        unknown = np.isnan(np.diag(cov)) & ~fit.problem.fixed & ~fit.boundary
        names = self.not_identified.index[unknown]
        if len(names):
            warn(
                f"not identified: {', '.join(names)}. The likelihood does not fall along "
                f"{'it' if len(names) == 1 else 'a combination of them'}: no standard error and no "
                "Wald interval, which the other components have. Leave a term out, or hold "
                "a component by fixed=; vcomp_conf_int() shows what the data rule out"
            )
        return cov

    def vcomp_cov(self) -> pd.DataFrame:
        """Large-sample covariance of the variance components.

        Returns
        -------
        DataFrame, shape (n_components, n_components)
            Inverse of the observed information, labelled by `component_labels`, in the unit of one
            component times the unit of another; NaN for components that are fixed or on the
            boundary, which count as known, and for those that are not identified.

        Warns
        -----
        MvmetaWarning
            If components are not identified; names them.

        References
        ----------
        :doc:`/explanation/model`, "Components".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> res.vcomp_cov().round(6)
                                 district: sigma2  district/school: sigma2
        district: sigma2                 0.001261                -0.000046
        district/school: sigma2         -0.000046                 0.000123
        """
        cov = self._covariance()
        return pd.DataFrame(cov, index=self.component_labels, columns=self.component_labels)
