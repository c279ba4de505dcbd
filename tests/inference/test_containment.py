"""Containment df on a layout small enough to count by hand.

6 outer levels x 3 inner levels x 4 repeats, k = 72, p = 4.  The numbers are those that
metafor's ``dfs="contain"`` gives for this layout (`containment.R`).
"""

import numpy as np
import pytest
from dense_double import FormulaStructure, case_fit, make_fit

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.terms import RandomTerm
from mvmeta.inference.containment import containment_df, effect_df
from mvmeta.structures.known import Known

OUTER = np.repeat(np.arange(6), 12)
INNER = np.tile(np.repeat(np.arange(3), 4), 6)
ROWS = np.arange(72)
ONE = np.zeros(72, dtype=np.intp)


def intercept(level):
    return RandomTerm("g", level, tuple(range(level.max() + 1)), FormulaStructure("ID", [""]))


def structured(level, inner=INNER):
    structure = FormulaStructure("ID", [str(i) for i in range(inner.max() + 1)])
    return RandomTerm("i | g", level, tuple(range(level.max() + 1)), structure, inner)


def design():
    """Intercept; varies within cells; constant in cells of inner and outer; constant in inner."""
    rng = np.random.default_rng(1)
    within, cell = rng.standard_normal(72), rng.standard_normal(18)[3 * OUTER + INNER]
    return np.column_stack([np.ones(72), within, cell, (INNER + 1.0) ** 2])


def df(*terms):
    v = SamplingCovariance.from_variances(np.full(72, 0.05))
    problem = MetaProblem(np.zeros(72), design(), v, terms)
    return make_fit(problem, np.full(len(problem.components), 0.1))


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ((structured(OUTER),), [2, 68, 14, 14]),
        ((structured(ONE),), [1, 68, 68, 1]),
        ((structured(OUTER), structured(ROWS)), [2, 68, 14, 14]),
        ((intercept(OUTER), intercept(INNER)), [1, 68, 68, 1]),
        ((intercept(OUTER), intercept(3 * OUTER + INNER)), [2, 68, 14, 14]),
        ((structured(INNER, OUTER),), [1, 68, 14, 1]),
        ((), [68, 68, 68, 68]),
    ],
)
def test_levels_of_the_coarsest_factor_that_holds_a_column(terms, expected):
    np.testing.assert_array_equal(containment_df(df(*terms)).coefficients(), expected)


def test_a_known_correlation_groups_by_its_levels_and_not_by_its_storage():
    known = Known(np.eye(6), tuple("abcdef"))
    term = RandomTerm("species", ONE, ("",), known, OUTER)
    fit = df(term)
    np.testing.assert_array_equal(containment_df(fit).coefficients(), [2, 68, 68, 68])
    np.testing.assert_array_equal(effect_df(fit), [2])


def test_effects_of_a_term_count_its_outer_levels():
    np.testing.assert_array_equal(effect_df(df(structured(OUTER), intercept(ROWS))), [2, 68])


def test_the_recorded_case():
    fit = case_fit("j010_lab_cs_out")
    np.testing.assert_array_equal(containment_df(fit).coefficients(), [36, 36, 36])
    np.testing.assert_array_equal(effect_df(fit), [3, 21])
