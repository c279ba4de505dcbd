"""`from_metafor`: a call written for R's metafor as a model of ours, as code and as an object."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from mvmeta.effects import escalc
from mvmeta.errors import DataError, SpecificationError
from mvmeta.metafor.call import Reading
from mvmeta.metafor.parser import parse
from mvmeta.metafor.python import WIDTH, Apply, layout
from mvmeta.metafor.scope import Session
from mvmeta.metafor.script import Script
from mvmeta.model.mixed import MetaMixedLM
from mvmeta.model.preparation.vcalc import vcalc
from mvmeta.model.results.results import MetaMixedLMResults
from mvmeta.model.specification.random import Random

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "MetaMixedLM.from_formula": MetaMixedLM.from_formula,
    "Random": Random,
    "escalc": escalc,
    "len": len,
    "vcalc": vcalc,
}
"""What a translation may call, besides numpy."""


class MetaforTranslation:
    """A call written for metafor, and what it is here; made by `from_metafor`.

    Printing it shows the code and the notes.

    Parameters
    ----------
    call : str
        The call as it was given.
    reading : Reading
        What was made of it.
    session : Session
        The data and objects it names.

    Attributes
    ----------
    call : str
        The call as it was given.
    notes : list of str
        What differs between the two programs, in sentences.

    Examples
    --------
    >>> from mvmeta import datasets, from_metafor
    >>> call = "rma.mv(yi, vi, random = ~ 1 | district/school, data = dat)"
    >>> translation = from_metafor(call)
    >>> print(translation.code)
    from mvmeta import MetaMixedLM
    <BLANKLINE>
    model = MetaMixedLM.from_formula(
        "yi ~ 1",
        data=dat,
        variance="vi",
        groups="district/school",
    )
    res = model.fit()
    print(res.summary())
    """

    def __init__(self, call: str, reading: Reading, session: Session) -> None:
        self.call = call
        self.notes = list(session.notes)
        self._reading = reading
        self._session = session

    @property
    def code(self) -> str:
        """Python code that does the same, ready to be pasted; the data must be there already.

        Examples
        --------
        >>> from mvmeta import from_metafor
        >>> print(from_metafor("rma.mv(yi, vi, random = ~ 1 | district/school, data = dat)").code)
        from mvmeta import MetaMixedLM
        <BLANKLINE>
        model = MetaMixedLM.from_formula(
            "yi ~ 1",
            data=dat,
            variance="vi",
            groups="district/school",
        )
        res = model.fit()
        print(res.summary())
        """
        body = [layout(value, f"{name} = ") for name, value in self._session.statements]
        body.append(layout(self._reading.model, "model = "))
        body.append(layout(Apply("model.fit", (), self._reading.fit), "res = "))
        alpha = "" if self._reading.alpha == 0.05 else f"alpha={self._reading.alpha}"
        body.append(f"print(res.summary({alpha}))")
        return "\n".join([*_imports("\n".join(body)), "", *body])

    @cached_property
    def model(self) -> MetaMixedLM:
        """The model.

        Raises
        ------
        DataError
            If the data, or an object the call names, were not given.
        MvmetaError
            Whatever `MetaMixedLM.from_formula` raises.

        Examples
        --------
        >>> from mvmeta import datasets, from_metafor
        >>> bcg = datasets.load("bcg")
        >>> from_metafor("rma(yi, vi, mods = ~ ablat)", bcg).model.exog_names
        ['Intercept', 'ablat']
        """
        names = self._session.names | {"MetaMixedLM.from_formula": self._build}
        try:
            made: MetaMixedLM = self._reading.model.value(names)
        except KeyError as error:
            raise DataError(
                f"{error.args[0]!r} was not given: from_metafor(call, data), and everything else "
                f"the call names as from_metafor(call, data, {error.args[0]}=...)"
            ) from None
        return made

    def fit(self, **options: Any) -> MetaMixedLMResults:
        """Fit the model, with the method and the tests of the call.

        Parameters
        ----------
        **options
            Further options of `MetaMixedLM.fit`, or other ones in place of those of the call.

        Returns
        -------
        MetaMixedLMResults

        Raises
        ------
        MvmetaError
            As `model`, and whatever `MetaMixedLM.fit` raises.

        References
        ----------
        See :meth:`mvmeta.MetaMixedLM.fit`.

        Examples
        --------
        >>> from mvmeta import datasets, from_metafor
        >>> call = "rma.mv(yi, vi, random = ~ 1 | district/school, data = dat)"
        >>> translation = from_metafor(call, datasets.load("konstantopoulos2011"))
        >>> translation.fit().params.round(4)
        Intercept    0.1847
        Name: estimate, dtype: float64
        """
        chosen = {name: value.value(self._session.names) for name, value in self._reading.fit}
        return self.model.fit(**(chosen | options))

    def _build(self, formula: str, **arguments: Any) -> MetaMixedLM:
        names = {"np": np, **self._session.objects}
        return MetaMixedLM.from_formula(formula, **arguments, eval_env=names)

    def __str__(self) -> str:
        wrapped = (
            textwrap.fill(note, WIDTH, initial_indent="# - ", subsequent_indent="#   ")
            for note in self.notes
        )
        return "\n".join([self.code, "", *wrapped]).rstrip()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}\n{self}\n>"


def from_metafor(call: str, data: Any = None, **objects: Any) -> MetaforTranslation:
    """Translate a call of metafor's `rma.mv` or `rma`.

    The call is read as R, not run.  Lines above it may load packages, or make the data with
    `escalc`, columns of them as in ``dat$x2 <- dat$x^2``, and V with `vcalc`; `robust` below or
    around it chooses cluster-robust tests.

    Parameters
    ----------
    call : str
        Such as ``"rma.mv(yi, vi, random = ~ 1 | study/id, mods = ~ x, data = dat)"``, perhaps
        assigned to a name, over several lines, with comments.
    data : DataFrame, optional
        The data the call names; pandas, polars, pyarrow or anything narwhals reads.  Without
        them the call is translated, but names are taken for columns without being looked up, and
        nothing can be fitted.
    **objects
        What else the call names, such as ``V=`` a covariance matrix or ``A=`` a known correlation
        matrix (a DataFrame labelled by levels); dots in a name of R are underscores.

    Returns
    -------
    MetaforTranslation
        `.code` to paste, `.notes` on what differs, `.model` and `.fit()`.

    Raises
    ------
    SpecificationError
        If the text is no R, or something in it has no counterpart; shows where.
    DataError
        For data that are no frame.

    Notes
    -----
    What the arguments mean is taken from metafor's documentation; the tests compare fits of
    translated calls with those of metafor itself.

    Examples
    --------
    >>> from mvmeta import datasets, from_metafor
    >>> schools = datasets.load("konstantopoulos2011")
    >>> same = from_metafor(
    ...     "rma.mv(yi, vi, random = ~ 1 | district/school, data = schools, test = 't')", schools
    ... )
    >>> print(same)
    from mvmeta import MetaMixedLM
    <BLANKLINE>
    model = MetaMixedLM.from_formula(
        "yi ~ 1",
        data=schools,
        variance="vi",
        groups="district/school",
    )
    res = model.fit(use_t=True)
    print(res.summary())
    >>> same.fit().params.round(4)
    Intercept    0.1847
    Name: estimate, dtype: float64
    """
    if not isinstance(call, str):
        raise SpecificationError(f"the call must be a text in R, got {type(call).__name__}")
    session = Session(data, objects, FUNCTIONS)
    script = Script(session)
    for statement in parse(call):
        script.read(statement)
    if script.reading is None:
        raise SpecificationError("there is no call of rma.mv() or rma() in this text")
    if session.has_unused_data:
        raise SpecificationError(
            f"data was given, and {script.reading.frame}= as well, which are the data the call "
            "names; give one of them"
        )
    return MetaforTranslation(call, script.reading, session)


def _imports(code: str) -> list[str]:
    names = [
        n for n in ("MetaMixedLM", "Random", "escalc", "vcalc") if re.search(rf"\b{n}\b", code)
    ]
    numpy = ["import numpy as np"] if re.search(r"\bnp\.", code) else []
    return [*numpy, f"from mvmeta import {', '.join(names)}"]
