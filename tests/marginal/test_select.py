"""Which backend a layout gets, and what the explanation says."""

from dataclasses import replace

import numpy as np
import pytest

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.errors import SpecificationError
from mvmeta.marginal.nested import nested_order
from mvmeta.marginal.select import BACKENDS, build_backend, choose_backend
from tests.problems import intercept, make

CHOICES = {
    "no_terms": "nested",
    "no_terms_block_v": "blocks",
    "one_intercept": "nested",
    "nested_two": "nested",
    "nested_three_mixed_order": "nested",
    "nested_four": "nested",
    "same_partition": "nested",
    "singletons": "nested",
    "unbalanced": "nested",
    "zero_variances": "blocks",
    "crossed": "blocks",
    "crossed_with_id": "blocks",
    "known_correlation": "blocks",
    "two_known_correlations": "compressed",
    "multivariate_diag": "compressed",
    "multivariate_cs": "compressed",
    "multivariate_un": "compressed",
    "five_outcomes": "compressed",
    "outcomes_and_slopes": "compressed",
    "repeated_cells": "rotated",
    "random_slopes": "blocks",
    "scattered_blocks": "blocks",
    "spatial_sites": "compressed",
}


@pytest.mark.parametrize("name", CHOICES)
def test_choice(name):
    problem = make(name)
    choice = choose_backend(problem)
    assert choice.name == CHOICES[name]
    assert build_backend(problem).name == choice.name
    assert choice == choose_backend(make(name))


def test_nested_says_why():
    assert choose_backend(make("nested_two")).reason == (
        "V is diagonal and the random intercepts nest"
    )


def copies(problem, count):
    """The rows of a problem `count` times, in the same levels: one large cluster."""
    rows = np.tile(np.arange(problem.n), count)
    terms = tuple(
        replace(
            t,
            level=t.level[rows] if t.name != "id" else np.arange(len(rows)),
            level_labels=t.level_labels if t.name != "id" else tuple(range(len(rows))),
            inner=None if t.inner is None else t.inner[rows],
        )
        for t in problem.terms
    )
    v = SamplingCovariance.from_variances(problem.v.variances[rows])
    return MetaProblem(problem.y[rows], problem.x[rows], v, terms)


@pytest.mark.parametrize("name", ["crossed", "known_correlation"])
def test_many_rows_in_few_linked_levels_are_for_woodbury(name):
    problem = copies(make(name), 10)
    choice = choose_backend(problem)
    assert (choice.name, build_backend(problem).name) == ("woodbury", "woodbury")
    names = [problem.terms[t].name for t in choice.outer]
    assert names
    assert all(n in choice.reason for n in names)
    assert "id" not in names


def test_blocks_says_how_much_work():
    assert "independent clusters" in choose_backend(make("scattered_blocks")).reason


@pytest.mark.parametrize("name", ["crossed", "multivariate_un", "scattered_blocks"])
def test_nested_must_be_possible(name):
    with pytest.raises(SpecificationError, match="diagonal V and random intercepts that nest"):
        build_backend(make(name), "nested")


def test_woodbury_needs_a_term():
    with pytest.raises(SpecificationError, match="at least one random term"):
        build_backend(make("no_terms"), "woodbury")


def test_unknown_backend_lists_the_known_ones():
    with pytest.raises(
        SpecificationError, match="nested, compressed, rotated, blocks, woodbury, dense"
    ):
        build_backend(make("no_terms"), "sparse")


@pytest.mark.parametrize("name", BACKENDS)
def test_a_named_backend_is_used(name):
    problem = make("nested_two" if name == "rotated" else "one_intercept")
    assert build_backend(problem, name).name == name


@pytest.mark.parametrize("name", ["one_intercept", "crossed", "scattered_blocks", "zero_variances"])
def test_rotated_must_be_possible(name):
    with pytest.raises(SpecificationError, match="one level for every row"):
        build_backend(make(name), "rotated")


def test_correlated_errors_and_a_variance_of_every_row():
    problem = make("nested_two")
    v = SamplingCovariance.from_matrix(
        np.diag(problem.v.variances)
        + 0.05 * (problem.terms[0].level[:, None] == problem.terms[0].level)
    )
    assert choose_backend(replace(problem, v=v)).name == "rotated"


@pytest.mark.parametrize("name", ["crossed", "nested_two", "scattered_blocks", "zero_variances"])
def test_compressed_must_be_possible(name):
    with pytest.raises(SpecificationError, match="the same outer groups"):
        build_backend(make(name), "compressed")


def test_a_singular_v_cannot_be_whitened():
    problem = make("multivariate_un")
    v = problem.v.variances.copy()
    v[3] = 0.0
    problem = replace(problem, v=SamplingCovariance.from_variances(v))
    assert choose_backend(problem).name == "blocks"
    with pytest.raises(SpecificationError, match="no sampling variance of 0"):
        build_backend(problem, "compressed")


def test_order_is_from_fine_to_coarse():
    problem = make("nested_four")
    names = [problem.terms[t].name for t in nested_order(problem)]
    assert names == ["author/lab/paper/id", "author/lab/paper", "author/lab", "author"]


def test_labels_without_rows_do_not_hide_the_nesting():
    problem = make("nested_two")
    study = problem.terms[0]
    padded = replace(study, level_labels=tuple(range(500)))
    padded_problem = MetaProblem(problem.y, problem.x, problem.v, (padded, problem.terms[1]))
    assert choose_backend(padded_problem).name == "nested"
    gs = [np.eye(1), np.eye(1)]
    gram = build_backend(padded_problem).factorize(gs).level_gram(0)
    dense = build_backend(padded_problem, "dense").factorize(gs).level_gram(0)
    assert gram.shape == (500, 1, 1)
    np.testing.assert_allclose(gram, dense, rtol=1e-9)


def test_a_large_crossed_problem_does_not_become_one_block():
    rng = np.random.default_rng(0)
    n = 20_000
    v = SamplingCovariance.from_variances(rng.uniform(0.1, 1.0, n))
    terms = (
        intercept("study", rng.integers(0, 2_000, n)),
        intercept("species", rng.integers(0, 50, n)),
        intercept("id", np.arange(n)),
    )
    choice = choose_backend(MetaProblem(np.zeros(n), np.ones((n, 1)), v, terms))
    assert (choice.name, choice.outer) == ("woodbury", (1,))
