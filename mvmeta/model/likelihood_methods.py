"""The likelihood at any components, as methods of the model."""

from __future__ import annotations

from typing import Any

import numpy as np

from mvmeta._typing import Floats
from mvmeta.errors import CovarianceError, SpecificationError
from mvmeta.likelihood.objective import Evaluation, Objective
from mvmeta.marginal.base import NotPositiveDefiniteError
from mvmeta.model.specification.build import Prepared
from mvmeta.model.specification.frames import shorten

INFORMATION = ("expected", "average", "observed")


class LikelihoodMethods:
    """Mixin of the model: ``loglike, score, hessian, information``."""

    # What it reads is defined by the model it is mixed into.
    prepared: Prepared
    _backend: Any
    _check_rows: Any

    def loglike(self, params: Any, reml: bool = True) -> float:
        """Log-likelihood at given components, fixed effects profiled out.

        Parameters
        ----------
        params : array_like, shape (n_components,)
            Components in the order and natural scale of `vcomp`, pinned ones included.
        reml : bool
            Restricted likelihood (with +1/2 log|X'X|), else the full one.

        Returns
        -------
        float
            Log-likelihood, in natural logarithms.

        Raises
        ------
        SpecificationError
            For a wrong number of components or one outside its range.
        CovarianceError
            If M is not positive definite there.
        DataError
            After `remove_data`.

        References
        ----------
        :doc:`/explanation/model`, "Likelihood".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> round(model.loglike(res.vcomp["estimate"]), 4) == round(res.llf, 4)
        True
        >>> round(model.loglike([0.1, 0.1]), 4)
        -14.2566
        """
        return self._evaluate(params, reml).loglik

    def score(self, params: Any, reml: bool = True) -> Floats:
        """Gradient of `loglike`.

        Parameters
        ----------
        params : array_like, shape (n_components,)
            As in `loglike`, which also says what is raised.
        reml : bool
            As in `loglike`.

        Returns
        -------
        ndarray, shape (n_components,)
            Log-likelihood per unit of each component.  Pinned components have their derivative,
            too.

        References
        ----------
        :doc:`/explanation/model`, "Likelihood".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> model.score([0.1, 0.1]).round(2)
        array([ -16.54, -104.75])
        """
        return self._evaluate(params, reml).gradient

    def hessian(self, params: Any, reml: bool = True) -> Floats:
        """Second derivatives of `loglike`.

        Parameters
        ----------
        params : array_like, shape (n_components,)
            As in `loglike`, which also says what is raised.
        reml : bool
            As in `loglike`.

        Returns
        -------
        ndarray, shape (n_components, n_components)
            Log-likelihood per unit of one component and unit of another.

        References
        ----------
        :doc:`/explanation/model`, "Likelihood".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> model.hessian([0.1, 0.1]).round(1)
        array([[-35.6, -25.5],
               [-25.5, 193.8]])
        """
        return -self._evaluate(params, reml).observed

    def information(self, params: Any, reml: bool = True, kind: str = "expected") -> Floats:
        """Information about the components.

        Parameters
        ----------
        params : array_like, shape (n_components,)
            As in `loglike`.
        reml : bool
            As in `loglike`.
        kind : {"expected", "average", "observed"}
            Fisher's; the average information of Gilmour, Thompson & Cullis (1995); minus the
            Hessian.

        Returns
        -------
        ndarray, shape (n_components, n_components)
            Log-likelihood per unit of one component and unit of another, as `hessian`.

        Raises
        ------
        SpecificationError
            For another kind, or as in `loglike`.

        References
        ----------
        :doc:`/explanation/model`, "Likelihood".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> model.information([0.1, 0.1]).round(1)
        array([[ 303.8,   65.9],
               [  65.9, 1654.8]])
        """
        if kind not in INFORMATION:
            raise SpecificationError(f"kind= takes one of {', '.join(INFORMATION)}, got {kind!r}")
        return np.asarray(getattr(self._evaluate(params, reml), kind))

    def _evaluate(self, theta: Any, reml: bool) -> Evaluation:
        self._check_rows()
        at = self._check_theta(theta)
        try:
            return Objective(self._backend, reml).natural(at)
        except NotPositiveDefiniteError:
            raise CovarianceError(
                "the marginal covariance M = V + Z G Z' is not positive definite at the "
                f"components {shorten(f'{value:g}' for value in at)}: the likelihood is not "
                "defined there"
            ) from None

    def _check_theta(self, theta: Any) -> Floats:
        components = self.prepared.problem.components
        try:
            values = np.atleast_1d(np.asarray(theta, dtype=float))
        except (TypeError, ValueError):
            raise SpecificationError(f"components must be numbers, got {theta!r}") from None
        if values.shape != (len(components),):
            raise SpecificationError(
                f"this model has {len(components)} components (the rows of vcomp), "
                f"got shape {values.shape}"
            )
        for value, c in zip(values, components, strict=True):
            if not (c.lower <= value <= c.upper and np.isfinite(value)):
                finite = "" if np.isfinite(value) else "; it must be finite"
                raise SpecificationError(
                    f"{c.kind} {c.level}".strip() + f" must lie in [{c.lower:g}, {c.upper:g}], "
                    f"got {value:g}{finite}"
                )
        return values
