"""Containment df on a layout small enough to count by hand.

6 outer levels x 3 inner levels x 4 repeats, k = 72, p = 4.  The numbers are those that
metafor's ``dfs="contain"`` gives for this layout (`containment.R`).
"""

import numpy as np
import pytest
from dense_double import FormulaStructure, case_fit, make_fit

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.terms import Groups, RandomTerm
from mvmeta.inference.coefficients.containment import containment_df, effect_df
from mvmeta.structures import Identity, Kronecker, PagelLambda, Pinned, Proportional
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


SPECIES = tuple("abcdef")
TREE = np.full((6, 6), 0.5) + 0.5 * np.eye(6)


@pytest.mark.parametrize(
    "structure",
    [
        Known(TREE, SPECIES),
        Pinned(Known(TREE, SPECIES), np.array([0.1])),
        Proportional(SPECIES, TREE),
        PagelLambda(SPECIES, TREE),
    ],
)
def test_a_known_correlation_groups_by_its_levels_and_not_by_its_storage(structure):
    term = RandomTerm("species", ONE, ("",), structure, OUTER, correlated=Groups(OUTER, SPECIES))
    fit = df(term)
    np.testing.assert_array_equal(containment_df(fit).coefficients(), [2, 68, 68, 68])
    np.testing.assert_array_equal(effect_df(fit), [2])


def test_one_level_the_user_asked_for_is_a_grouping():
    """`species | const` with a known matrix is, as any term within const, of one level."""
    term = RandomTerm("s | const", ONE, ("const",), Proportional(SPECIES, TREE), OUTER)
    np.testing.assert_array_equal(containment_df(df(term)).coefficients(), [1, 68, 68, 68])


def test_a_product_with_a_known_matrix_groups_as_its_structure_does():
    """Groups that are correlated are counted as those that are not: first row of the table."""
    structure = Kronecker(TREE, SPECIES, Identity(("x", "y", "z")))
    cells, groups = OUTER * 3 + INNER, Groups(OUTER, SPECIES)
    fit = df(RandomTerm("i | g", ONE, ("",), structure, cells, correlated=groups))
    np.testing.assert_array_equal(containment_df(fit).coefficients(), [2, 68, 14, 14])
    np.testing.assert_array_equal(effect_df(fit), effect_df(df(structured(OUTER))))


def test_effects_of_a_term_count_its_outer_levels():
    np.testing.assert_array_equal(effect_df(df(structured(OUTER), intercept(ROWS))), [2, 68])


def test_the_recorded_case():
    fit = case_fit("j010_lab_cs_out")
    np.testing.assert_array_equal(containment_df(fit).coefficients(), [36, 36, 36])
    np.testing.assert_array_equal(effect_df(fit), [3, 21])
