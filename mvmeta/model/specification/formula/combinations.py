"""Combinations of coefficients, from words and from the coding of a factor."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import patsy

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.model.specification.formula.spec import FormulaSpec


def linear_constraints(text: str | list[str], names: Sequence[str]) -> tuple[Floats, Floats]:
    """Hypotheses in words, such as "x1 = x2" or "x1 = 0, x2 = 1", as rows and right-hand sides.

    Parameters
    ----------
    text : str or list of str
    names : sequence of str
        The p coefficients.

    Returns
    -------
    rows : ndarray, shape (m, p)
    rhs : ndarray, shape (m,)

    Raises
    ------
    SpecificationError
        If it does not parse or names no coefficient; lists them.
    """
    try:
        found = patsy.DesignInfo(list(names)).linear_constraint(text)
    except patsy.PatsyError as error:
        raise SpecificationError(
            f"the hypothesis {text!r} cannot be read: {error}; coefficients are {', '.join(names)}"
        ) from error
    return np.asarray(found.coefs, dtype=float), np.asarray(found.constants, dtype=float).ravel()


def level_weights(spec: FormulaSpec, term: str) -> tuple[Floats, list[str]]:
    """Weights of the design columns in the means of the levels of a main effect.

    Parameters
    ----------
    spec : FormulaSpec
    term : str
        A factor of the formula by itself, such as "C(Category)".

    Returns
    -------
    weights : ndarray, shape (m, p)
        Up to what all levels share.
    labels : list of str
        The m levels.

    Raises
    ------
    SpecificationError
        If it is no categorical main effect; lists those there are.
    """
    info = spec.design_info
    factors = {
        t.name(): t for t in info.terms if len(t.factors) == 1 and _is_factor(info, t.factors[0])
    }
    if term not in factors:
        raise SpecificationError(
            f"{term!r} is no categorical main effect of {spec.text!r}; "
            f"there are {', '.join(map(repr, factors)) or 'none'}"
        )
    factor = factors[term].factors[0]
    categories = info.factor_infos[factor].categories
    coding = info.term_codings[factors[term]][0].contrast_matrices[factor].matrix
    out = np.zeros((len(categories), len(spec.column_names)))
    out[:, spec.term_slices[term]] = coding
    return out, [str(c) for c in categories]


def _is_factor(info: Any, factor: Any) -> bool:
    return bool(info.factor_infos[factor].type == "categorical")
