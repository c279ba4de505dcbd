"""The plots of `mvmeta.plots` as methods of the results (extra "plot")."""

from typing import Any

from mvmeta import plots


class PlotMethods:
    """Mixin: ``plot_forest, plot_orchard, plot_bubble, plot_influence, ...``."""

    def plot_forest(self, ax: Any = None, **kwargs: Any) -> Any:
        """Forest plot, rows grouped by study.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Drawn on; a figure of its own unless given.
        **kwargs
            As in `mvmeta.plots.forest`.

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
        >>> figure = res.plot_forest()
        >>> figure.savefig("forest.svg")  # doctest: +SKIP
        """
        return plots.forest(self, ax, **kwargs)

    def plot_orchard(self, by: str | list[str] | None = None, ax: Any = None, **kwargs: Any) -> Any:
        """Means of categories with both intervals, over the swarm of estimates.

        Parameters
        ----------
        by : str or list of str, optional
            Factors of the formula; the first unless given.
        ax : matplotlib Axes, optional
            Drawn on; a figure of its own unless given.
        **kwargs
            As in `mvmeta.plots.orchard`.

        Returns
        -------
        matplotlib.figure.Figure

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> figure = res.plot_orchard()
        >>> figure.savefig("orchard.svg")  # doctest: +SKIP
        """
        return plots.orchard(self, by, ax, **kwargs)

    def plot_bubble(self, moderator: str | None = None, ax: Any = None, **kwargs: Any) -> Any:
        """Estimates against a moderator, with the mean and both intervals.

        Parameters
        ----------
        moderator : str, optional
            Column of the formula; the first unless given.
        ax : matplotlib Axes, optional
            Drawn on; a figure of its own unless given.
        **kwargs
            As in `mvmeta.plots.bubble`.

        Returns
        -------
        matplotlib.figure.Figure

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> figure = res.plot_bubble("ablat")
        >>> figure.savefig("bubble.svg")  # doctest: +SKIP
        """
        return plots.bubble(self, moderator, ax, **kwargs)

    def plot_influence(self, coefficient: str | None = None, ax: Any = None, **kwargs: Any) -> Any:
        """What leaving out each study does, in panels.

        Parameters
        ----------
        coefficient : str, optional
            Whose estimates are drawn; the first unless given.
        ax : matplotlib Axes, optional
            To draw one panel on; a figure of its own unless given.
        **kwargs
            As in `mvmeta.plots.influence`.

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
        >>> figure = res.plot_influence()
        >>> figure.savefig("influence.svg")  # doctest: +SKIP
        """
        return plots.influence(self, coefficient, ax, **kwargs)

    def plot_network(self, factor: Any = None, ax: Any = None, **kwargs: Any) -> Any:
        """Which levels of a factor studies observe together.

        Parameters
        ----------
        factor : optional
            As in `mvmeta.plots.network`.
        ax : matplotlib Axes, optional
            Drawn on; a figure of its own unless given.
        **kwargs
            As in `mvmeta.plots.network`.

        Returns
        -------
        matplotlib.figure.Figure

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> figure = res.plot_network()
        >>> figure.savefig("network.svg")  # doctest: +SKIP
        """
        return plots.network(self, factor, ax, **kwargs)

    def plot_heterogeneity(self, ax: Any = None, **kwargs: Any) -> Any:
        """I2 of every random term, with intervals.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Drawn on; a figure of its own unless given.
        **kwargs
            As in `mvmeta.plots.heterogeneity`.

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
        >>> figure = res.plot_heterogeneity()
        >>> figure.savefig("heterogeneity.svg")  # doctest: +SKIP
        """
        return plots.heterogeneity(self, ax, **kwargs)

    def plot_caterpillar(self, term: str | None = None, ax: Any = None, **kwargs: Any) -> Any:
        """Predicted random effects of a term, sorted, with intervals.

        Parameters
        ----------
        term : str, optional
            Name of the term; the first unless given.
        ax : matplotlib Axes, optional
            Drawn on; a figure of its own unless given.
        **kwargs
            As in `mvmeta.plots.caterpillar`.

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
        >>> figure = res.plot_caterpillar()
        >>> figure.savefig("caterpillar.svg")  # doctest: +SKIP
        """
        return plots.caterpillar(self, term, ax, **kwargs)

    def plot_funnel(self, ax: Any = None, **kwargs: Any) -> Any:
        """Residuals against standard errors, with contours.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Drawn on; a figure of its own unless given.
        **kwargs
            As in `mvmeta.plots.funnel`.

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
        >>> figure = res.plot_funnel()
        >>> figure.savefig("funnel.svg")  # doctest: +SKIP
        """
        return plots.funnel(self, ax, **kwargs)

    def plot_profile(self, component: int | str, ax: Any = None, **kwargs: Any) -> Any:
        """Profile likelihood of a variance component, with its interval.

        Parameters
        ----------
        component : int or str
            As in `profile`.
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
        >>> figure = res.plot_profile("district: sigma2")
        >>> figure.savefig("profile.svg")  # doctest: +SKIP
        """
        return plots.profile(self, component, ax, **kwargs)

    def plot_evidence(self, contrasts: Any = None, ax: Any = None, **kwargs: Any) -> Any:
        """Joint and direct estimates, and the share borrowed.

        Parameters
        ----------
        contrasts : optional
            As in `evidence`.
        ax : matplotlib Axes, optional
            Drawn on; a figure of its own unless given.
        **kwargs
            As in `mvmeta.plots.evidence`.

        Returns
        -------
        matplotlib.figure.Figure

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> figure = res.plot_evidence()
        >>> figure.savefig("evidence.svg")  # doctest: +SKIP
        """
        return plots.evidence(self, contrasts, ax, **kwargs)

    def plot_sensitivity(self, coefficients: Any = None, ax: Any = None, **kwargs: Any) -> Any:
        """Intervals of every coefficient under other assumptions.

        Parameters
        ----------
        coefficients : str or list of str, optional
            As in `mvmeta.plots.sensitivity`.
        ax : matplotlib Axes, optional
            Drawn on; a figure of its own unless given.
        **kwargs
            As in `sensitivity`.

        Returns
        -------
        matplotlib.figure.Figure

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> formula = "d ~ C(Category) - 1"
        >>> model = MetaMixedLM.from_formula(formula, toy, variance="Variance", groups="Study")
        >>> res = model.fit()
        >>> figure = res.plot_sensitivity()
        >>> figure.savefig("sensitivity.svg")  # doctest: +SKIP
        """
        return plots.sensitivity(self, coefficients, ax, **kwargs)

    def plot_history(self, ax: Any = None) -> Any:
        """Log-likelihood by iteration of the ascent that won.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Drawn on; a figure of its own unless given.

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
        >>> figure = res.plot_history()
        >>> figure.savefig("history.svg")  # doctest: +SKIP
        """
        return plots.history(self, ax)
