"""The profile likelihood of a component that has a name and can be drawn."""

from typing import Any

from mvmeta import plots
from mvmeta.inference.components.profile import Profile
from mvmeta.inference.fitted.fit import Fit
from mvmeta.marginal.base import MarginalCovariance


class ComponentProfile(Profile):
    """The profile log-likelihood of one component of a fit.

    Made by `MetaMixedLMResults.profile`; ``at(value)`` maximises over all other components,
    ``interval(alpha)`` gives limits.

    Parameters
    ----------
    fit : Fit
    backend : MarginalCovariance
        Of the same problem.
    component : int
        Position in theta.
    name : str
        Of the component, such as "study: sigma2".
    **known
        As for `Profile`.

    Attributes
    ----------
    name : str
        As given.
    reml : bool
        Whether the likelihood is the restricted one.
    estimate, lower, upper : float
        The estimate, and the edges of the parameter space, in the unit of the component in
        `MetaMixedLMResults.vcomp`.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> data = datasets.load("konstantopoulos2011")
    >>> nested = "district/school"
    >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
    >>> res = model.fit()
    >>> res.profile("district: sigma2")  # doctest: +NORMALIZE_WHITESPACE
    profile likelihood of district: sigma2 (REML): estimate 0.06506 in [0, inf];
    at(value), interval(alpha), plot()
    """

    def __init__(
        self, fit: Fit, backend: MarginalCovariance, component: int, name: str, **known: Any
    ) -> None:
        super().__init__(fit, backend, component, name, **known)
        self.reml = fit.reml

    def __repr__(self) -> str:
        return (
            f"profile likelihood of {self.name} ({'REML' if self.reml else 'ML'}): estimate "
            f"{self.estimate:.4g} in [{self.lower:.4g}, {self.upper:.4g}]; at(value), "
            "interval(alpha), plot()"
        )

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """The curve, the cut line, and the limits where they meet.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Drawn on; a figure of its own unless given.
        **kwargs
            As in `mvmeta.plots.profile`.

        Returns
        -------
        matplotlib.figure.Figure

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> profile = res.profile("district: sigma2")
        >>> figure = profile.plot(n=7)
        """
        return plots.profile(self, ax=ax, **kwargs)
