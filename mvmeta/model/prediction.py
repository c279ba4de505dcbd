"""Predictions as a labelled table."""

import numpy as np
import pandas as pd

from mvmeta._typing import Floats
from mvmeta.inference.predict import Prediction


class PredictionResults:
    """Predicted means with confidence intervals, and prediction intervals of new true effects.

    Parameters
    ----------
    prediction : Prediction
        The numbers, in units of the response.
    index : pandas.Index
        Labels of the rows.

    Attributes
    ----------
    predicted_mean, se_mean : Series
    df : ndarray, shape (m,)
        Degrees of freedom of both intervals; infinite under z.
    """

    def __init__(self, prediction: Prediction, index: pd.Index) -> None:
        self._prediction, self._index = prediction, index
        self.df = prediction.df

    @property
    def predicted_mean(self) -> pd.Series:
        """``x beta``."""
        return pd.Series(self._prediction.mean, index=self._index, name="mean")

    @property
    def se_mean(self) -> pd.Series:
        """Standard errors of `predicted_mean`."""
        return pd.Series(self._prediction.se, index=self._index, name="mean_se")

    def conf_int(self, obs: bool = False, alpha: float = 0.05) -> Floats:
        """Limits of intervals.

        Parameters
        ----------
        obs : bool
            Of a new true effect, else of the mean.
        alpha : float
            1 - coverage.

        Returns
        -------
        ndarray, shape (m, 2)
        """
        p = self._prediction
        limits = p.prediction_interval(alpha) if obs else p.confidence_interval(alpha)
        return np.column_stack(limits)

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Table with columns mean, mean_se, mean_ci_lower/upper, obs_ci_lower/upper.

        obs_ci is the prediction interval of a new true effect; NaN where the variance of that
        effect depends on an inner level that the new data do not name.

        Parameters
        ----------
        alpha : float
            1 - coverage of all intervals.

        Returns
        -------
        DataFrame, shape (m, 6)
        """
        mean, obs = self.conf_int(alpha=alpha), self.conf_int(obs=True, alpha=alpha)
        return pd.DataFrame(
            {
                "mean": self._prediction.mean,
                "mean_se": self._prediction.se,
                "mean_ci_lower": mean[:, 0],
                "mean_ci_upper": mean[:, 1],
                "obs_ci_lower": obs[:, 0],
                "obs_ci_upper": obs[:, 1],
            },
            index=self._index,
        )

    def __repr__(self) -> str:
        return repr(self.summary_frame())
