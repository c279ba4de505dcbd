"""Predictions as a labelled table."""

from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.inference.prediction.predict import Prediction
from mvmeta.model.results.backtransform import transformed


class PredictionResults:
    """Predicted means with confidence intervals, and prediction intervals of new true effects.

    Parameters
    ----------
    prediction : Prediction
        The numbers, in units of the response.
    index : pandas.Index
        Labels of the rows.
    given : list of str
        Random terms whose effects are given; none for new studies.
    back : str
        The transformation that leads back from the scale of the estimates, by name.

    Attributes
    ----------
    predicted_mean, se_mean : Series
        In units of the response.
    df : ndarray, shape (m,)
        Degrees of freedom of both intervals; infinite under z.
    given : list of str

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> data = datasets.load("bcg")
    >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
    >>> res = model.fit()
    >>> import pandas as pd
    >>> found = res.get_prediction(pd.DataFrame({"ablat": [13, 55]}))
    >>> found.predicted_mean.round(3), found.se_mean.round(3)
    (0   -0.127
    1   -1.349
    Name: mean, dtype: float64, 0    0.169
    1    0.201
    Name: mean_se, dtype: float64)
    """

    def __init__(
        self,
        prediction: Prediction,
        index: pd.Index,
        given: list[str] | None = None,
        back: str = "",
    ) -> None:
        self._prediction, self._index, self._back = prediction, index, back
        self.df = prediction.df
        self.given = list(given or [])

    @property
    def predicted_mean(self) -> pd.Series:
        """Mean of true effects: ``x beta``, plus the predicted effects of the terms `given`.

        In units of the response.

        References
        ----------
        :doc:`/explanation/model`, "Predictions".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.get_prediction({"ablat": [0, 30]}).predicted_mean.round(3)
        0    0.251
        1   -0.622
        Name: mean, dtype: float64
        """
        return pd.Series(self._prediction.mean, index=self._index, name="mean")

    @property
    def se_mean(self) -> pd.Series:
        """Standard errors of `predicted_mean`, in units of the response.

        References
        ----------
        :doc:`/explanation/model`, "Predictions".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.get_prediction({"ablat": [0, 30]}).se_mean.round(3)
        0    0.249
        1    0.107
        Name: mean_se, dtype: float64
        """
        return pd.Series(self._prediction.se, index=self._index, name="mean_se")

    @property
    def se_obs(self) -> pd.Series:
        """Standard errors of a new true effect about `predicted_mean`.

        In units of the response.

        References
        ----------
        :doc:`/explanation/model`, "Predictions".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> res.get_prediction({"ablat": [0, 30]}).se_obs.round(3)
        0    0.372
        1    0.296
        Name: obs_se, dtype: float64
        """
        return pd.Series(self._prediction.new_se, index=self._index, name="obs_se")

    def conf_int(self, obs: bool = False, alpha: float = 0.05, transform: Any = None) -> Floats:
        """Limits of intervals.

        Parameters
        ----------
        obs : bool
            Of a new true effect, else of the mean.
        alpha : float
            1 - coverage.
        transform : callable or str, optional
            As in `summary_frame`.

        Returns
        -------
        ndarray, shape (m, 2)
            In units of the response, or on the scale of `transform`.

        References
        ----------
        :doc:`/explanation/model`, "Predictions".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> import pandas as pd
        >>> found = res.get_prediction(pd.DataFrame({"ablat": [13, 55]}))
        >>> found.conf_int().round(3)
        array([[-0.459,  0.205],
               [-1.743, -0.955]])
        """
        p = self._prediction
        limits = p.prediction_interval(alpha) if obs else p.confidence_interval(alpha)
        if transform is not None:
            limits = tuple(transformed(transform, (p.mean, *limits), back=self._back)[1:])  # type: ignore[assignment]
        return np.column_stack(limits)

    def summary_frame(self, alpha: float = 0.05, transform: Any = None) -> pd.DataFrame:
        """Table with columns mean, mean_se, mean_ci_lower/upper, obs_ci_lower/upper.

        obs_ci is the prediction interval of a new true effect; NaN where the variance of that
        effect depends on an inner level that the new data do not name.

        Parameters
        ----------
        alpha : float
            1 - coverage of all intervals.
        transform : callable or str, optional
            Applied to the mean and all limits: a monotone function of an array such as
            ``numpy.exp``, the name of one of `mvmeta.transf`, or "back", which undoes the
            transformation of effect sizes made by `escalc`.  mean_se is NaN then: an interval is
            what keeps its meaning on another scale.

        Returns
        -------
        DataFrame, shape (m, 6)
            In units of the response, or on the scale of `transform`.

        Raises
        ------
        SpecificationError
            If `transform` is not monotone, or not defined, within the limits.

        References
        ----------
        :doc:`/explanation/model`, "Predictions".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", data, variance="vi", groups="trial")
        >>> res = model.fit()
        >>> import pandas as pd
        >>> found = res.get_prediction(pd.DataFrame({"ablat": [13, 55]}))
        >>> found.summary_frame().iloc[:, :4].round(3)
            mean  mean_se  mean_ci_lower  mean_ci_upper
        0 -0.127    0.169         -0.459          0.205
        1 -1.349    0.201         -1.743         -0.955
        """
        p = self._prediction
        mean, obs = p.confidence_interval(alpha), p.prediction_interval(alpha)
        se, centre = p.se, p.mean
        if transform is not None:
            changed = transformed(transform, (p.mean, *mean), (p.mean, *obs), back=self._back)
            centre, mean, obs = changed[0], (changed[1], changed[2]), (changed[4], changed[5])
            se = np.full_like(se, np.nan)
        return pd.DataFrame(
            {
                "mean": centre,
                "mean_se": se,
                "mean_ci_lower": mean[0],
                "mean_ci_upper": mean[1],
                "obs_ci_lower": obs[0],
                "obs_ci_upper": obs[1],
            },
            index=self._index,
        )

    def probability(self, above: float | None = None, below: float | None = None) -> pd.Series:
        """Probability that a new true effect lies above or below a value, or between two.

        It refers to the distribution behind obs_ci, so it counts the heterogeneity and the
        uncertainty of the mean; a sampling variance only where `new_variance` was given.

        Parameters
        ----------
        above, below : float, optional
            In units of the response; at least one of them, both for ``P(above < effect < below)``.

        Returns
        -------
        Series, shape (m,)
            Probabilities, from 0 to 1; NaN where obs_ci is.

        Raises
        ------
        SpecificationError
            Without a limit, with one that is missing, or with `above` not below `below`.

        References
        ----------
        :doc:`/explanation/model`, "Predictions".

        Examples
        --------
        >>> import pandas as pd
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> res = MetaMixedLM.from_formula("yi ~ 1", bcg, variance="vi", groups="trial").fit()
        >>> new = res.get_prediction(pd.DataFrame(index=["a new trial"]))
        >>> round(float(new.probability(below=0).iloc[0]), 3)
        0.888
        """
        if above is None and below is None:
            raise SpecificationError("probability needs above=, below= or both")
        try:
            low = -np.inf if above is None else float(above)
            high = np.inf if below is None else float(below)
        except (TypeError, ValueError):
            raise SpecificationError(
                f"probability takes numbers, got above={above!r} and below={below!r}"
            ) from None
        if not low < high:
            raise SpecificationError(
                f"probability needs above < below, got above={above} and below={below}"
            )
        p = self._prediction
        inside = p.probability_below(high) - p.probability_below(low)
        name = f"P({low:g} < effect < {high:g})"
        if above is None or below is None:
            name = f"P(effect < {high:g})" if above is None else f"P(effect > {low:g})"
        return pd.Series(inside, index=self._index, name=name)

    def __repr__(self) -> str:
        return repr(self.summary_frame())
