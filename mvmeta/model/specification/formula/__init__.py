"""Formulas: the only package that reads and applies them by patsy."""

from mvmeta.model.specification.formula.building import Design, build, learn
from mvmeta.model.specification.formula.categories import as_categories, with_levels
from mvmeta.model.specification.formula.combinations import level_weights, linear_constraints
from mvmeta.model.specification.formula.reading import (
    PATSY_NAMES,
    ParsedFormula,
    capture_environment,
    parse,
)
from mvmeta.model.specification.formula.spec import FormulaSpec

__all__ = [
    "PATSY_NAMES",
    "Design",
    "FormulaSpec",
    "ParsedFormula",
    "as_categories",
    "build",
    "capture_environment",
    "learn",
    "level_weights",
    "linear_constraints",
    "parse",
    "with_levels",
]
