"""Predictions as methods of the results."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats
from mvmeta.errors import DataError, SpecificationError
from mvmeta.inference.prediction.conditional import NO_LEVEL, Link, own_link, predict_given
from mvmeta.inference.prediction.predict import predict
from mvmeta.model.results.backtransform import resolve
from mvmeta.model.results.fit_holder import FitHolder
from mvmeta.model.results.prediction import PredictionResults
from mvmeta.model.specification.frames import Source
from mvmeta.model.specification.links import given_terms, link_of, matrices
from mvmeta.model.specification.new_levels import FittedTerm
from mvmeta.model.testing.inference import Inference


class PredictionMethods(FitHolder):
    """Mixin: ``predict, get_prediction, effect_scale, transformation``."""

    # What it reads is defined by the results class it is mixed into.
    model: Any
    params: Any
    _inference: Inference
    _gs: list[Floats]

    @property
    def effect_scale(self) -> dict[str, Any]:
        """The scale of the estimates where they come from `escalc`, else empty.

        "label" names it ("Log odds ratio"), "back" the function of `mvmeta.transf` (or "exp") that
        leads back from it and "natural" what that gives ("Odds ratio"), both empty where there is
        none.  "no_effect" is the estimate where there is no effect, None for a scale without such a
        value (proportions, rates, reliabilities).

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets, escalc
        >>> bcg = datasets.load("bcg").drop(columns=["yi", "vi"])
        >>> effects = escalc("RR", ai="tpos", bi="tneg", ci="cpos", di="cneg", data=bcg)
        >>> res = MetaMixedLM.from_formula("yi ~ 1", effects, variance="vi", groups="trial").fit()
        >>> [res.effect_scale[part] for part in ("label", "back", "natural", "no_effect")]
        ['Log risk ratio', 'exp', 'Risk ratio', 0.0]
        """
        frame = getattr(self.model.data, "frame", None)  # a model of batches holds none
        noted = frame.attrs.get("scale", {}) if isinstance(frame, pd.DataFrame) else {}
        return dict(noted) if noted.get("column") == self.model.endog_names else {}

    def transformation(self, transform: Any) -> Callable[[Any], Any]:
        """The function that a `transform=` stands for.

        Parameters
        ----------
        transform : callable or str
            A function of an array, "exp", the name of a function of `mvmeta.transf`, or "back" for
            the one that leads back from the scale of effect sizes made by `escalc`.

        Returns
        -------
        callable

        Raises
        ------
        SpecificationError
            For an unknown name, or "back" for estimates whose scale is not known or is none.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, escalc
        >>> data = escalc("ZCOR", ri=[0.3, 0.5, 0.1], ni=[30, 40, 50]).assign(study=[1, 2, 3])
        >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="study").fit()
        >>> res.transformation("back").__name__
        'ztor'
        """
        return resolve(transform, self.effect_scale.get("back", ""))

    def predict(self, exog: Any = None, transform: bool = True, **kwargs: Any) -> pd.Series:
        """Predicted means at new data.

        Parameters
        ----------
        exog : DataFrame or array_like, optional
            New data in the units of those that were fitted, to which the formula is applied (or,
            with ``transform=False`` or a model built from arrays, the design matrix); the fitted
            rows unless said.
        transform : bool
            Apply the formula.
        **kwargs
            ``newdata`` is another name for `exog`.

        Returns
        -------
        Series
            In units of the response; NaN where a moderator is missing, or the data do not determine
            the mean.

        Raises
        ------
        DataError
            For a missing column or an unknown level of a factor.
        SpecificationError
            For an unknown keyword.

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
        >>> res.predict(pd.DataFrame({"ablat": [13, 55]})).round(3)
        0   -0.127
        1   -1.349
        Name: predicted, dtype: float64
        """
        newdata = kwargs.pop("newdata", exog)
        if kwargs:
            raise SpecificationError(
                f"predict takes no {', '.join(kwargs)}, only exog (or newdata) and transform; "
                "get_prediction has intervals and random effects (given=)"
            )
        _check_transform(transform)
        x, index = self.model.new_design(newdata, transform)
        return pd.Series(x @ self.params.to_numpy(), index=index, name="predicted")

    def get_prediction(
        self,
        newdata: Any = None,
        *,
        given: Any = None,
        corr: Any = None,
        distance: Any = None,
        new_variance: float | Floats = 0.0,
        transform: bool = True,
    ) -> PredictionResults:
        """Predicted means with confidence intervals and prediction intervals.

        For a new study the mean is that of the moderators, and the prediction interval adds
        the variance of all random terms.  With `given` the effects of some terms are those of
        the levels the new data name, as far as the fitted data tell them: the mean is that of
        true effects in these levels, its standard error holds the error of their prediction,
        and the prediction interval adds the variance of the other terms only.

        Parameters
        ----------
        newdata : DataFrame or array_like, optional
            New data in the units of those that were fitted; an empty frame with an index serves an
            intercept-only model.  For "inner | outer" terms the column of the inner factor picks
            the variance of its level.  The fitted rows unless said.
        given : True, str or list of str, optional
            Random terms whose effects are given: names as in `vcomp`, or True for every term
            whose columns the new data have.  Their levels are looked up in the new data; a row
            in which the grouping is missing belongs to a new level.  Levels that are new but
            correlated with fitted ones are predicted from these: sites of a spatial structure,
            times of CAR (and AR, where the fitted ones are evenly spaced numbers), further levels
            of CS and ID, and, with `corr`, species of a tree.
        corr : DataFrame or dict of str to DataFrame, optional
            Known correlations that hold new levels besides the fitted ones, by term; the
            matrix the model was fitted with, plus rows and columns.  Without `given` it says
            the variances of new levels, where the diagonal is not constant.
        distance : DataFrame or dict of str to DataFrame, optional
            Distances that hold new sites, where the model was fitted with such a matrix, in its
            unit.
        new_variance : float or ndarray, shape (m,)
            Sampling variance added to the prediction interval, in squared units of the response:
            that of a new estimate.
        transform : bool
            Apply the formula.  (To transform the result see `PredictionResults.summary_frame`.)

        Returns
        -------
        PredictionResults
            See its `summary_frame` and `probability`.

        Raises
        ------
        DataError
            For a missing column, an unknown level of a factor, or a level of a term in `given`
            that the fitted data do not have and nothing is known of; for new data without rows.
        SpecificationError
            For a term that does not exist, a structure that says nothing of new inner levels,
            or user weights with `given`.

        Notes
        -----
        Errors of predicted effects, of the fixed effects and their covariance are all counted,
        the components being held at their estimates.  Degrees of freedom are those of the
        mean ``x beta``.

        References
        ----------
        :doc:`/explanation/model`, "Predictions".

        Examples
        --------
        The next school of a district that was observed, and of one that was not:

        >>> import pandas as pd
        >>> from mvmeta import MetaMixedLM, datasets
        >>> schools = datasets.load("konstantopoulos2011")
        >>> res = MetaMixedLM.from_formula(
        ...     "yi ~ 1", schools, variance="vi", groups="district/school"
        ... ).fit()
        >>> new = pd.DataFrame({"district": [11, None]})
        >>> res.get_prediction(new, given="district").summary_frame().round(2)["mean"].tolist()
        [-0.01, 0.18]
        """
        _check_transform(transform)
        x, index = self.model.new_design(newdata, transform)
        if not len(x):
            raise DataError("the new data have no rows; one row for each prediction is needed")
        basis = self._inference.basis
        if given is None or given is False:
            if distance is not None:
                raise SpecificationError(
                    "distance= tells where new sites are among the fitted ones; say of which terms "
                    "with given="
                )
            added = self._new_heterogeneity(newdata, len(x), transform, corr)
            found = predict(basis, x, added, new_variance)
            return PredictionResults(found, index, back=self.effect_scale.get("back", ""))
        names, links, added = self._given(newdata, given, (corr, distance))
        found = predict_given(self.fit_, basis, x, links, added, new_variance)
        return PredictionResults(found, index, names, self.effect_scale.get("back", ""))

    def _given(
        self, newdata: Any, given: Any, known: tuple[Any, Any]
    ) -> tuple[list[str], list[Link | None], Floats]:
        """Names of the terms given, a link for each, and the variance (m,) of what is new."""
        terms = self._fitted_terms()
        n = len(self.fit_.problem.y)  # a model that holds no rows says so here
        if newdata is None:
            every = [t.name for t in terms]
            names = every if given is True else given_terms(given, terms, ())
            links: list[Link | None] = [
                own_link(t.term, t.g) if t.name in names else None for t in terms
            ]
            variances = [t.term.marginal_variance(t.g) for t in terms if t.name not in names]
            return names, links, np.asarray(sum(variances, np.zeros(n)))
        if not isinstance(newdata, Mapping) and not hasattr(newdata, "columns"):
            raise DataError(
                "given= needs new data whose columns name the levels of the random terms: a data "
                f"frame, not {type(newdata).__name__}"
            )
        source = Source(newdata)
        names = given_terms(given, terms, source.columns)
        extra = matrices(*known, terms)
        added = np.zeros(source.n)
        links = []
        for t in terms:
            link = link_of(t, source, extra) if t.name in names else None
            links.append(link)
            new = np.ones(source.n, dtype=bool) if link is None else link.level == NO_LEVEL
            if new.any():
                added = added + np.where(new, t.record.variance(t.g, source), 0.0)
        return names, links, added

    def _fitted_terms(self) -> list[FittedTerm]:
        fit, prepared = self.fit_, self.model.prepared
        parts = zip(
            prepared.term_specs,
            fit.problem.terms,
            fit.problem.split(fit.theta),
            fit.gs,
            strict=True,
        )
        return [FittedTerm(r, term, theta, g, prepared.frame) for r, term, theta, g in parts]

    def _new_heterogeneity(self, newdata: Any, m: int, transform: bool, corr: Any = None) -> Floats:
        """Variance of a true effect about its mean in new rows, shape (m,)."""
        if newdata is None:
            return self.fit_.marginal_diagonal - self.fit_.problem.v.variances
        named = transform and self.model.formula is not None
        frame = (
            newdata if named or isinstance(newdata, pd.DataFrame) else pd.DataFrame(index=range(m))
        )
        pairs = zip(self.model.prepared.term_specs, self._gs, strict=True)
        variances = {r.name: r.variance(g, frame) for r, g in pairs}
        if corr is not None:
            terms = self._fitted_terms()
            extra = matrices(corr, None, terms)
            for t in (t for t in terms if t.name in extra.corr):
                link = link_of(t, Source(frame), extra)
                known = link.variance[link.pattern]
                variances[t.name] = np.where(link.level == NO_LEVEL, variances[t.name], known)
        return sum(variances.values(), np.zeros(m))


def _check_transform(transform: object) -> None:
    if not isinstance(transform, bool | np.bool_):
        raise SpecificationError(
            "transform= says whether the formula is applied to the new data (True or False); to "
            "transform the result: get_prediction(...).summary_frame(transform=...)"
        )
