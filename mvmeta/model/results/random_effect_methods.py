"""Predicted random effects as methods of the results."""

from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.containment import effect_df
from mvmeta.inference.prediction.blup import TrueEffects, effects_cov, random_effects, true_effects
from mvmeta.inference.prediction.conditional import conditional_moments, own_link
from mvmeta.model.results import predicted_effects
from mvmeta.model.results.fit_holder import FitHolder


class RandomEffectMethods(FitHolder):
    """Mixin: ``ranef, ranef_cov, random_effects, random_effects_cov, blup``."""

    # What it reads is defined by the results class it is mixed into.
    use_t: Any
    df_method: str
    _table: Any
    _row_index: Any

    def ranef(self, alpha: float = 0.05, *, diagnostic: bool = False) -> dict[str, pd.DataFrame]:
        """Predicted random effects (BLUPs) of every term.

        Parameters
        ----------
        alpha : float
            1 - coverage of the prediction intervals.
        diagnostic : bool
            Also give `se_diagnostic`, the standard error of u_hat itself: u_hat over it is a
            standard normal under the model, and a large one a level that does not fit.

        Returns
        -------
        dict of str to DataFrame
            Term name -> DataFrame with columns estimate, se (comparative: of u_hat - u, uncertainty
            of the fixed effects included), pi_lower, pi_upper, in units of the response (of random
            slopes: per unit of the moderator).  The index holds the levels; for "inner | outer"
            terms it is a MultiIndex (outer, inner), inner being the slope for random slopes.

        Raises
        ------
        SpecificationError
            Under user weights, where these are not best predictions.
        DataError
            After `remove_data`.

        References
        ----------
        :doc:`/explanation/model`, "Predictions".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> res.ranef()["district"].head(2).round(3)
                  estimate     se  pi_lower  pi_upper
        district
        11          -0.190  0.167    -0.516     0.136
        12          -0.085  0.124    -0.328     0.159
        """
        df = self._effect_df()
        pairs = zip(self.fit_.problem.terms, random_effects(self.fit_), strict=True)
        return {
            t.name: predicted_effects.ranef_frame(t, e, alpha, d, diagnostic=diagnostic)
            for (t, e), d in zip(pairs, df, strict=True)
        }

    def ranef_cov(self, terms: str | list[str] | None = None) -> pd.DataFrame:
        """Joint covariance of u_hat - u over all effects of some terms.

        Parameters
        ----------
        terms : str or list of str, optional
            Random terms; all of them unless said.

        Returns
        -------
        DataFrame, shape (E, E)
            Rows and columns labelled by term, level and effect, the latter being the inner
            level or the slope, and "" for intercepts; in squared units of the response.

        Raises
        ------
        SpecificationError
            For an unknown term, under user weights, or for more than 10,000 effects.
        DataError
            After `remove_data`.

        References
        ----------
        :doc:`/explanation/model`, "Predictions".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> res.ranef_cov()["district"].iloc[:2, :2].round(4)
        level                      11      12
        effect
        term     level effect
        district 11            0.0277  0.0037
                 12            0.0037  0.0154
        """
        at = self._term_positions(terms)
        every = self.fit_.problem.terms
        index = predicted_effects.joint_index([every[t] for t in at])
        return pd.DataFrame(effects_cov(self.fit_, at), index=index, columns=index)

    def _term_positions(self, terms: str | list[str] | None) -> list[int]:
        names = [t.name for t in self.fit_.problem.terms]
        wanted = names if terms is None else [terms] if isinstance(terms, str) else terms
        wanted = list(dict.fromkeys(wanted))  # a term named twice is one term
        for name in wanted:
            if name not in names:
                raise SpecificationError(
                    f"no random term {name!r}; there are {', '.join(map(repr, names)) or 'none'}"
                )
        return [names.index(name) for name in wanted]

    def _effect_df(self) -> Floats:
        n_terms = len(self.fit_.problem.terms)
        if self.df_method == "contain":
            return effect_df(self.fit_)
        return np.full(n_terms, self._least_df())

    def _least_df(self) -> float:
        return float(np.min(self._table.df)) if self.use_t else np.inf

    @property
    def random_effects(self) -> predicted_effects.ByLevel[pd.Series]:
        """As in statsmodels: level -> predicted effects; keys (term, level) for several terms.

        In units of the response (of slopes: per unit of the moderator).  A mapping whose values are
        made when they are asked for; ``dict(...)`` makes all.

        References
        ----------
        :doc:`/explanation/model`, "Predictions".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> res = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study").fit()
        >>> res.random_effects[1].round(3)
        Study   -8.748
        dtype: float64
        """
        return predicted_effects.random_effects(self.fit_.problem.terms, random_effects(self.fit_))

    @property
    def random_effects_cov(self) -> predicted_effects.ByLevel[pd.DataFrame]:
        """As in statsmodels: level -> covariance of u_hat - u; keys as `random_effects`.

        In squared units of the response (of slopes: per unit of each moderator).  For covariances
        across levels and terms see `ranef_cov`.

        References
        ----------
        :doc:`/explanation/model`, "Predictions".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> res = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study").fit()
        >>> res.random_effects_cov[1].round(3)
                Study
        Study  76.562
        """
        return predicted_effects.random_effects_cov(
            self.fit_.problem.terms, random_effects(self.fit_)
        )

    def blup(self, alpha: float = 0.05, terms: str | list[str] | None = None) -> pd.DataFrame:
        """Best prediction of each row's true effect, fixed and random parts together.

        Parameters
        ----------
        alpha : float
            1 - coverage of the prediction intervals.
        terms : str or list of str, optional
            Count only these random terms: with the study's term alone the mean of true effects
            in the study of each row.  All terms unless said.

        Returns
        -------
        DataFrame
            Columns estimate, se (of the prediction error), pi_lower, pi_upper, all in units of the
            response.

        Raises
        ------
        SpecificationError
            For an unknown term, and under user weights.
        DataError
            After `remove_data`.

        References
        ----------
        :doc:`/explanation/model`, "Predictions".

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> data = datasets.load("konstantopoulos2011")
        >>> nested = "district/school"
        >>> model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested)
        >>> res = model.fit()
        >>> res.blup().head(2).round(3)
           estimate     se  pi_lower  pi_upper
        0    -0.043  0.204    -0.443     0.357
        1    -0.052  0.204    -0.452     0.348
        """
        fit = self.fit_
        at = self._term_positions(terms)
        if len(at) == len(fit.problem.terms):
            total = true_effects(fit)
        else:
            parts = zip(fit.problem.terms, fit.gs, strict=True)
            links = [own_link(t, g) if i in at else None for i, (t, g) in enumerate(parts)]
            estimate, variance = conditional_moments(fit, fit.cov_beta, fit.problem.x, links)
            total = TrueEffects(estimate, np.sqrt(variance))
        return predicted_effects.blup_frame(total, self._row_index, alpha, self._least_df())
