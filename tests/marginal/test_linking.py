"""Columns that terms share, and the two routes through the low-rank part."""

import numpy as np
import pytest
from scipy import sparse

from mvmeta.design.terms import RandomTerm
from mvmeta.marginal.linking import Sandwiches, dense, slots_of, spread
from mvmeta.marginal.lowrank import DiagonalLowRank, GeneralLowRank, Turned
from mvmeta.marginal.select import build_backend, choose_backend
from mvmeta.structures import Unstructured
from tests.problems import correlated, intercept, make, problem_of
from tests.tolerances import ALGEBRA, BACKEND


def agree(actual, desired, tolerance=ALGEBRA):
    scale = np.abs(desired).max()
    np.testing.assert_allclose(actual, desired, rtol=0, atol=tolerance * scale)


def full_design(slots, n):
    width = slots[-1].at.stop
    out = np.zeros((n, width))
    for slot in slots:
        for column, entry in slot.loadings:
            out[np.arange(n), slot.at.start + column] += 1.0 if entry is None else entry
    return out


def test_a_phylogeny_and_its_species_share_columns():
    problem = make("known_correlation")
    slots = slots_of(problem.terms, [1, 2])
    assert [s.terms for s in slots] == [(1, 2)]
    assert slots[0].width == 7
    choice = choose_backend(problem.take(np.tile(np.arange(problem.n), 10)))
    assert {1, 2} <= set(choice.outer)


def random_terms():
    rng = np.random.default_rng(4)
    n = 40
    site, trait = rng.integers(0, 6, n), rng.integers(0, 3, n)
    un = correlated("trait | site", site, trait, Unstructured(("a", "b", "c")))
    level = intercept("lab", rng.integers(0, 5, n))
    slopes = RandomTerm(
        "1 + x | lab",
        level.level,
        level.level_labels,
        Unstructured(("1", "x")),
        z=rng.normal(size=(n, 2)),
    )
    return un, level, slopes


@pytest.mark.parametrize("which", [[0], [1], [2], [0, 1, 2]])
def test_slots_hold_the_covariance_of_their_terms(which):
    terms = random_terms()
    rng = np.random.default_rng(1)
    slots = slots_of(terms, which)
    z, n = full_design(slots, 40), 40
    for slot in slots:
        for t, effects in zip(slot.terms, slot.effects, strict=True):
            root = rng.normal(size=(terms[t].q, terms[t].q))
            g = root @ root.T
            part = z[:, slot.at] @ dense(spread(terms[t], effects, g)) @ z[:, slot.at].T
            agree(part, terms[t].stack(np.arange(n)[None], g)[0])


def test_sandwiches():
    terms = random_terms()
    rng = np.random.default_rng(2)
    chunks = [np.arange(12).reshape(3, 4), np.arange(12, 40).reshape(4, 7)]
    stacks = [rng.normal(size=(3, 4, 4)), rng.normal(size=(4, 7, 7))]
    slots = slots_of(terms, [0, 1, 2])
    loadings = [(s.at.start + c, x) for s in slots for c, x in s.loadings]
    z = full_design(slots, 40)
    b = np.zeros((40, 40))
    for rows, stack in zip(chunks, stacks, strict=True):
        for r, block in zip(rows, stack, strict=True):
            b[np.ix_(r, r)] = block
    sandwiches = Sandwiches(chunks, loadings, z.shape[1])
    values = sandwiches.values(stacks)
    agree(dense(sandwiches.matrix(values)), z.T @ b @ z)
    agree((z.T @ b @ z)[sandwiches.row, sandwiches.column], values)


def spd(rng, n):
    root = rng.normal(size=(n, n))
    return root @ root.T + np.eye(n)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_both_routes_are_the_formulas(size, kind):
    rng = np.random.default_rng(3)
    k, s = spd(rng, 9), [spd(rng, 9), spd(rng, 9)]
    g = size * np.repeat([0.5, 2.0], [5, 4])
    at = [slice(0, 5), slice(5, 9)]
    outer = [Turned(a, sparse.csr_array(sparse.eye_array(a.stop - a.start))) for a in at]
    one = DiagonalLowRank(kind(k), g)
    parts = [(a, np.diag(g[a])) for a in at]
    two = GeneralLowRank(kind(k), parts)
    w = np.linalg.inv(np.eye(9) + k * g)
    h, wk = g[:, None] * w, np.linalg.inv(np.linalg.inv(k) + np.diag(g))
    d = [np.diag(np.arange(9) < 5).astype(float), np.diag(np.arange(9) >= 5).astype(float)]
    b = rng.normal(size=(9, 2))
    for low in (one, two):
        assert low.logdet == pytest.approx(np.linalg.slogdet(np.eye(9) + k * g)[1], rel=BACKEND)
        agree(low.weigh(b), w @ b, BACKEND)
        agree(low.lift(b), g[:, None] * b)
        agree(low.h, h, BACKEND)
        agree(low.wk, wk, BACKEND)
        found = low.traces(outer, [kind(x) for x in s])
        agree(found.outer, [np.trace(wk @ x) for x in d], BACKEND)
        agree(found.outer_pairs, [[np.trace(wk @ x @ wk @ y) for y in d] for x in d], BACKEND)
        agree(found.inner_pairs, [[np.trace(h @ x @ h @ y) for y in s] for x in s], BACKEND)
        mixed = [[np.trace(x @ w @ y @ w.T) for x in d] for y in s]
        agree(found.mixed_pairs, mixed, BACKEND)


@pytest.mark.parametrize("second", [1.0, 0.0, 1e-12])
def test_a_variance_of_zero_takes_the_general_route(second):
    rng = np.random.default_rng(5)
    terms = intercept("rater", rng.integers(0, 6, 60)), intercept("site", rng.integers(0, 5, 60))
    problem = problem_of(rng, make("no_terms").v.take(np.arange(60) % 30), terms)
    gs = [np.eye(1), second * np.eye(1)]
    b = rng.normal(size=(60, 2))
    found = build_backend(problem, "woodbury").factorize(gs).solve(b)
    agree(found, build_backend(problem, "dense").factorize(gs).solve(b), BACKEND)
