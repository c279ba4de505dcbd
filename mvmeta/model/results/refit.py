"""The same specification fitted to other data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats, Ints
from mvmeta.columns import numeric
from mvmeta.design.layout import is_nested
from mvmeta.errors import SpecificationError
from mvmeta.inference.robust.sandwich import KINDS
from mvmeta.model.results.fit_holder import FitHolder
from mvmeta.model.specification import formula as formulas
from mvmeta.model.specification.build import Prepared, prepare_arrays
from mvmeta.model.specification.frames import Source
from mvmeta.model.specification.variants import fit_options
from mvmeta.model.testing.inference import Inference

if TYPE_CHECKING:
    from mvmeta.model.results.results import MetaMixedLMResults


@dataclass(frozen=True)
class Arguments:
    """What a model was built with, as far as it means the same for other data.

    Attributes
    ----------
    values : mapping of str to object
        Keyword arguments of `prepare_arrays`, and the backend.
    bound : tuple of str
        Arguments that were arrays over the rows of the first data.
    """

    values: Mapping[str, Any]
    bound: tuple[str, ...]

    @classmethod
    def of(cls, **given: Any) -> Arguments:
        """Sort arguments into names and arrays, which are not kept."""
        bound = tuple(k for k in ("variance", "groups", "weights") if not _portable(given[k]))
        return cls({k: v for k, v in given.items() if k not in bound}, bound)

    def filled(self, **given: Any) -> dict[str, Any]:
        """All arguments, `given` ones in place of arrays.

        Raises
        ------
        SpecificationError
            If one is still missing; names it.
        """
        new = {k: v for k, v in given.items() if v is not None}
        lacking = [k for k in self.bound if k not in new]
        if lacking:
            raise SpecificationError(
                f"{' and '.join(lacking)} of the model {'was' if len(lacking) == 1 else 'were'} "
                "given as arrays, not as names of columns; give refit() those of the new data"
            )
        return {**self.values, **new}


def _portable(value: Any) -> bool:
    names = value if isinstance(value, (list, tuple)) and len(value) else [value]
    return value is None or np.isscalar(value) or all(isinstance(n, str) for n in names)


def prepare_again(
    old: Prepared, data: Any, arguments: dict[str, Any], environment: Any
) -> Prepared:
    """The design of a fitted formula in new rows; the formula is not read again.

    Parameters
    ----------
    old : Prepared
        Of a model with a formula.
    data : DataFrame or anything `Source` reads
    arguments : dict
        Of `prepare_arrays`.
    environment : patsy.EvalEnvironment
        Where names in the response that are no columns are found.
    """
    source = Source(data)
    spec = old.spec
    assert spec is not None  # the caller saw to it
    y = pd.Series(_response(old, source, environment), index=source.index, name=old.endog_name)
    x = pd.DataFrame(
        old.design(source), index=source.index, columns=pd.Index(old.exog_names), copy=False
    )
    new = prepare_arrays(y, x, data=source, **arguments)
    used = {c: source.column(c).iloc[new.rows] for c in spec.variables if c not in new.frame}
    return replace(
        new,
        spec=spec,
        formula=old.formula,
        exog_columns=old.exog_columns[new.exog_columns],
        frame=new.frame.assign(**used),
    )


def _response(old: Prepared, source: Source, environment: Any) -> Floats:
    if old.endog_name in source:
        name = old.endog_name
        return numeric(source.column(name), f"the response {name!r}")
    # an expression such as log(y)
    text = f"{old.endog_name} ~ 1"
    parsed = formulas.parse(text, source.columns, environment)
    design = formulas.build(parsed, source.frame(parsed.variables, f"the response {text!r}"))
    assert design.endog is not None  # there is a left side
    kept = np.ones(source.n, dtype=bool)
    for mask in design.missing.values():
        kept &= ~mask
    out = np.full(source.n, np.nan)
    out[kept] = design.endog
    return out


def _same_partition(one: Ints, other: Ints) -> bool:
    return one.ndim == 1 and is_nested(one, other) and is_nested(other, one)


class RefitMethods(FitHolder):
    """Mixin: ``refit``."""

    # What it reads is defined by the results class it is mixed into.
    model: Any
    _inference: Inference

    def refit(
        self,
        data: Any,
        *,
        variance: Any = None,
        groups: Any = None,
        weights: Any = None,
        eval_env: Any = 0,
    ) -> MetaMixedLMResults:
        """Fit the same specification to other data.

        The formula is not read again: factors keep their levels and coding, transforms such as
        center() the numbers they took from the first data, so that coefficients mean the same.
        Levels of random terms are those of the new data.

        Parameters
        ----------
        data : DataFrame or anything `MetaMixedLM.from_formula` reads
            With the columns the model uses.
        variance, groups, weights : optional
            As in `MetaMixedLM.from_formula`; needed where the model was built with arrays, which
            belong to its own rows.
        eval_env : int or patsy.EvalEnvironment
            How many frames above the caller names in the response are looked up.

        Returns
        -------
        MetaMixedLMResults
            Of a new model, tested as these results are.

        Raises
        ------
        SpecificationError
            If the model has no formula, or an argument that was an array is not given again, or
            the covariance is robust over groups of its own.
        DataError
            For a missing column, or a level of a factor that the first data do not have.

        References
        ----------
        See :meth:`mvmeta.MetaMixedLM.fit`.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> schools = datasets.load("konstantopoulos2011")
        >>> res = MetaMixedLM.from_formula(
        ...     "yi ~ 1", schools, variance="vi", groups="district/school"
        ... ).fit()
        >>> round(float(res.refit(schools.iloc[:40]).params.iloc[0]), 3)
        0.206
        """
        if self.model.arguments is None:
            raise SpecificationError(
                "refit needs a model built by from_formula; build a new one from the new arrays"
            )
        given = {"variance": variance, "groups": groups, "weights": weights}
        arguments = self.model.arguments.filled(**given)
        backend = arguments.pop("backend")
        environment = formulas.capture_environment(eval_env)
        prepared = prepare_again(self.model.prepared, data, arguments, environment)
        model: Any = object.__new__(type(self.model))
        model._set_up(prepared, backend, self.model.arguments)
        found: MetaMixedLMResults = model.fit(**self._options_elsewhere())
        return found

    def _options_elsewhere(self) -> dict[str, Any]:
        """Options of the fit for other rows."""
        options = fit_options(self)  # type: ignore[arg-type]
        if options["cov_type"] not in KINDS:
            return options
        clusters = self._inference.clusters
        own = self.fit_.problem.cluster
        if clusters is not None and not _same_partition(clusters, own):
            raise SpecificationError(
                "these results are robust over groups of their own; refit the model-based results "
                "and call get_robustcov_results(..., groups=) on the new ones"
            )
        return options | {"cov_kwds": {"df": options["cov_kwds"]["df"]}}
