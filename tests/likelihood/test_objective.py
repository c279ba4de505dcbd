"""Likelihood, gradient and information: textbook formulas and finite differences."""

import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.likelihood.criterion import criterion
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.base import Direction, NotPositiveDefiniteError
from mvmeta.marginal.select import build_backend
from tests.problems import PROBLEMS, intercept, interior, make, matrices
from tests.tolerances import ALGEBRA, DERIVATIVE, OBJECTIVE

each_problem = pytest.mark.parametrize("name", PROBLEMS)
each_criterion = pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])
each_chart = pytest.mark.parametrize("chart", ["natural", "working"])


def objective_of(name, reml):
    return Objective(build_backend(make(name)), reml)


def at_interior(objective, chart):
    """The function that evaluates in this chart, and where."""
    theta = interior(objective.problem)
    if chart == "natural":
        return objective.natural, theta
    return objective.working, objective.problem.to_working(theta)


class Textbook:
    """M, its inverse, P and everything made of them, written out."""

    def __init__(self, problem, theta, reml):
        self.problem, self.reml = problem, reml
        gs = matrices(problem, theta)
        m = problem.v.toarray()
        for term, g in zip(problem.terms, gs, strict=True):
            m = m + self.embed(term, g)
        x, y, n = problem.x, problem.y, problem.n
        self.inverse = np.linalg.inv(m)
        xnx = x.T @ self.inverse @ x
        self.cov = np.linalg.inv(xnx)
        self.p = self.inverse - self.inverse @ x @ self.cov @ x.T @ self.inverse
        self.beta = self.cov @ x.T @ self.inverse @ y
        r = y - x @ self.beta
        half = n * np.log(2 * np.pi) + np.linalg.slogdet(m)[1] + r @ self.inverse @ r
        if reml:
            half += np.linalg.slogdet(xnx)[1] - np.linalg.slogdet(x.T @ x)[1]
            half -= problem.p * np.log(2 * np.pi)
        self.loglik = -half / 2

    @staticmethod
    def embed(term, g):
        z = term.sparse_z().toarray()
        return z @ np.kron(np.eye(term.n_levels), g) @ z.T

    def kernels(self, charts, pieces):
        out = []
        for term, chart, x in zip(self.problem.terms, charts, pieces, strict=True):
            out += [self.embed(term, k) for k in chart.jacobian(x)]
        return out

    def average(self, ks):
        py = self.p @ self.problem.y
        return np.array([[py @ k @ self.p @ h @ py / 2 for h in ks] for k in ks])

    def expected(self, ks):
        q = self.p if self.reml else self.inverse
        return np.array([[np.trace(q @ k @ q @ h) / 2 for h in ks] for k in ks])


@each_problem
@each_criterion
def test_value_and_fixed_effects(name, reml):
    objective = objective_of(name, reml)
    theta = interior(objective.problem)
    ours, book = objective.natural(theta), Textbook(objective.problem, theta, reml)
    assert ours.loglik == pytest.approx(book.loglik, rel=OBJECTIVE)
    assert_allclose(ours.beta, book.beta, rtol=OBJECTIVE)
    scale = np.abs(book.cov).max(initial=0)
    assert_allclose(ours.cov_beta, book.cov, rtol=0, atol=OBJECTIVE * scale)


@each_problem
@each_criterion
def test_straight_terms_have_no_second_derivatives(name, reml):
    objective = objective_of(name, reml)
    x = objective.problem.to_working(interior(objective.problem))
    whole = objective.working(x)
    straight = objective.working(x, straight=range(len(objective.problem.terms)))
    assert straight.loglik == pytest.approx(whole.loglik, rel=ALGEBRA)
    scale = np.abs(whole.gradient).max(initial=1.0)
    assert_allclose(straight.gradient, whole.gradient, rtol=0, atol=ALGEBRA * scale)
    assert_allclose(straight.average, whole.average, rtol=ALGEBRA, atol=ALGEBRA * scale)
    assert not straight.curvature.any()


@each_problem
def test_charts_agree(name):
    objective = objective_of(name, reml=True)
    theta = interior(objective.problem)
    natural = objective.natural(theta)
    working = objective.working(objective.problem.to_working(theta))
    assert working.loglik == pytest.approx(natural.loglik, rel=ALGEBRA)


@each_problem
@each_criterion
@each_chart
def test_average_and_expected_information(name, reml, chart):
    objective = objective_of(name, reml)
    problem = objective.problem
    evaluate, x = at_interior(objective, chart)
    structures = [t.structure for t in problem.terms]
    charts = structures if chart == "natural" else [s.working for s in structures]
    pieces = problem.split(x) if chart == "natural" else problem.split_working(x)
    book = Textbook(problem, interior(problem), reml)
    ks = book.kernels(charts, pieces)
    ours = evaluate(x)
    for mine, theirs in ((ours.average, book.average(ks)), (ours.expected, book.expected(ks))):
        scale = np.abs(theirs).max(initial=0)
        assert_allclose(mine, theirs.reshape(mine.shape), rtol=0, atol=1e-8 * scale)


def slopes(f, x):
    """Derivatives of f (any shape) at x by the five-point rule, error O(h^4)."""
    out = []
    for j in range(len(x)):
        h = 2e-3 * max(abs(x[j]), 0.1)
        e = h * np.eye(len(x))[j]
        out.append((8 * (f(x + e) - f(x - e)) - (f(x + 2 * e) - f(x - 2 * e))) / (12 * h))
    return np.array(out)


@each_problem
@each_criterion
@each_chart
def test_gradient_and_observed_information(name, reml, chart):
    objective = objective_of(name, reml)
    evaluate, x = at_interior(objective, chart)
    here = evaluate(x)
    gradient = slopes(lambda z: evaluate(z).loglik, x)
    hessian = slopes(lambda z: evaluate(z).gradient, x).reshape(len(x), len(x))
    size = np.abs(gradient).max(initial=0.1)
    assert_allclose(here.gradient, gradient, rtol=DERIVATIVE, atol=DERIVATIVE * size)
    size = np.abs(hessian).max(initial=0.1)
    assert_allclose(here.observed, -hessian, rtol=DERIVATIVE, atol=DERIVATIVE * size)
    assert_allclose(here.observed, here.observed.T, rtol=ALGEBRA, atol=ALGEBRA * size)


@each_problem
@each_criterion
def test_slopes_in_given_directions_are_the_gradient(name, reml):
    objective = objective_of(name, reml)
    _, x = at_interior(objective, "working")
    problem = objective.problem
    pieces = zip(problem.terms, problem.split_working(x), strict=True)
    along = [
        Direction(t, k)
        for t, (term, w) in enumerate(pieces)
        for k in term.structure.working.jacobian(w)
    ]
    gradient = objective.working(x).gradient
    assert_allclose(objective.slopes(x, along), gradient, rtol=OBJECTIVE, atol=1e-10)


@each_criterion
def test_both_ends_of_a_straight_way_of_matrices(reml):
    """Value, slope and curvature by the share of the way, against differences along it."""
    objective = objective_of("multivariate_un", reml)
    problem = objective.problem
    here = problem.to_working(interior(problem, 1))
    there = problem.to_working(interior(problem, 2))
    first, last = objective.along(here, there)
    assert first.loglik == pytest.approx(objective.working(here).loglik, rel=ALGEBRA)
    assert last.loglik == pytest.approx(objective.working(there).loglik, rel=ALGEBRA)
    ends = [matrices(problem, problem.to_natural(x)) for x in (here, there)]

    def at(share):
        gs = [(1 - share) * a + share * b for a, b in zip(*ends, strict=True)]
        return objective._at(np.array([share]), gs, [], []).loglik

    h = 1e-4
    for end, share in ((first, 0.0), (last, 1.0)):
        slope = (at(share + h) - at(share - h)) / (2 * h)
        bend = (at(share + h) - 2 * at(share) + at(share - h)) / h**2
        assert_allclose(end.gradient[0], slope, rtol=1e-5, atol=1e-6)
        assert_allclose(-end.observed[0, 0], bend, rtol=1e-4, atol=1e-4)


def test_expected_information_is_the_mean_of_the_observed():
    """y'Ay has mean tr(AM), so both terms of the observed information are known on average."""
    problem, theta = make("nested_two"), np.array([0.6, 0.3])
    rng, observed = np.random.default_rng(8), []
    for _ in range(600):
        y = np.sqrt(problem.v.variances) * rng.normal(size=problem.n)
        for term, variance in zip(problem.terms, theta, strict=True):
            y += np.sqrt(variance) * rng.normal(size=term.n_levels)[term.level]
        draw = MetaProblem(y, problem.x, problem.v, problem.terms)
        observed.append(Objective(build_backend(draw), reml=True).natural(theta).observed)
    expected = Objective(build_backend(problem), reml=True).natural(theta).expected
    error = np.std(observed, axis=0) / np.sqrt(len(observed))
    assert (np.abs(np.mean(observed, axis=0) - expected) < 4 * error).all()


# --- digits --------------------------------------------------------------------------------


def quadratic_in_year(raw):
    """A quadratic trend in the year, in raw years or in decades from 2000."""
    rng = np.random.default_rng(4)
    n = 30
    year = rng.permutation(np.arange(1990, 1990 + n)).astype(float)
    t = year if raw else (year - 2000) / 10
    x = np.column_stack([np.ones(n), t, t**2])
    study = rng.permutation(np.arange(n) // 3)
    v = SamplingCovariance.from_variances(rng.uniform(0.1, 1.0, n))
    y = 0.3 + 0.1 * (year - 2000) / 10 + rng.normal(size=n)
    return MetaProblem(y, x, v, (intercept("study", study),))


def eliminate(a, b):
    """Solution of a x = b and log of the determinant of a, in exact rational arithmetic."""
    rows = [[Fraction(x) for x in (*r, *s)] for r, s in zip(a, b, strict=True)]
    n, logdet = len(rows), 0.0
    for k in range(n):  # definite matrices need no pivoting
        pivot = rows[k][k]
        logdet += math.log(pivot.numerator) - math.log(pivot.denominator)
        rows[k] = [x / pivot for x in rows[k]]
        for i in range(n):
            if i != k and rows[i][k]:
                rows[i] = [x - rows[i][k] * y for x, y in zip(rows[i], rows[k], strict=True)]
    return [r[n:] for r in rows], logdet


def product(a, b):
    """a' b of exact matrices."""
    pairs = range(len(a[0])), range(len(b[0]))
    return [
        [sum(Fraction(r[i]) * s[j] for r, s in zip(a, b, strict=True)) for j in pairs[1]]
        for i in pairs[0]
    ]


def exact_fit(problem, theta, reml):
    """Log-likelihood and fixed effects without rounding; X, y, V as the doubles they are."""
    level, n, p = problem.terms[0].level, problem.n, problem.p
    m = [[Fraction(x) for x in row] for row in problem.v.toarray().tolist()]
    for i, j in zip(*np.nonzero(level[:, None] == level), strict=True):
        m[i][j] += Fraction(theta)
    a = np.column_stack([problem.x, problem.y]).tolist()
    solved, logdet = eliminate(m, a)
    gram = product(a, solved)
    xnx = [row[:p] for row in gram[:p]]
    beta, logdet_xnx = eliminate(xnx, [row[p:] for row in gram[:p]])
    rss = gram[p][p] - sum(b[0] * row[p] for b, row in zip(beta, gram[:p], strict=True))
    out = n * math.log(2 * math.pi) + logdet + float(rss)
    if reml:
        x = problem.x.tolist()
        _, logdet_xx = eliminate(product(x, [[Fraction(v) for v in r] for r in x]), [[0]] * p)
        out += logdet_xnx - logdet_xx - p * math.log(2 * math.pi)
    return -out / 2, np.array([float(b[0]) for b in beta])


@each_criterion
def test_raw_polynomials_lose_no_digits(reml):
    problem = quadratic_in_year(raw=True)
    ours = Objective(build_backend(problem), reml).natural([0.4])
    loglik, beta = exact_fit(problem, 0.4, reml)
    assert ours.loglik == pytest.approx(loglik, rel=OBJECTIVE)
    # the columns of X differ by 1 part in 1e9 from dependent ones: beta has what is left
    assert np.linalg.cond(problem.x) > 1e9
    assert_allclose(ours.beta, beta, rtol=1e-5)


def test_transformed_raw_polynomials_have_the_same_likelihood():
    raw, centred = quadratic_in_year(raw=True), quadratic_in_year(raw=False)
    for reml in (True, False):
        values = [Objective(build_backend(p), reml).natural([0.4]) for p in (raw, centred)]
        assert values[0].loglik == pytest.approx(values[1].loglik, rel=OBJECTIVE)
        assert_allclose(values[0].gradient, values[1].gradient, rtol=1e-8)


@each_criterion
@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_a_large_mean_costs_only_its_own_digits(reml, offset):
    problem = make("nested_two")
    step = Fraction(1, 2**20)  # y on a grid, so that y + offset is exact
    y = np.round(problem.y / float(step)) * float(step)
    values = []
    for shift in (0.0, offset):
        moved = MetaProblem(y + shift, problem.x, problem.v, problem.terms)
        values.append(Objective(build_backend(moved), reml).natural([0.6, 0.3]))
    assert ((y + offset) - offset == y).all()
    # y = 1e6 + O(1) in doubles leaves 10 digits of the residuals
    assert values[1].loglik == pytest.approx(values[0].loglik, rel=OBJECTIVE)
    assert_allclose(values[1].gradient, values[0].gradient, rtol=1e-7)
    assert values[1].beta[0] - offset == pytest.approx(values[0].beta[0], abs=1e-9 * offset)


# --- edges ---------------------------------------------------------------------------------


def test_x_that_m_cannot_see_is_not_positive_definite():
    """A covariate of NaN reaches the Cholesky factor of X'inv(M)X and is refused there."""
    problem = make("one_intercept")
    x = problem.x.copy()
    x[0, 1] = np.nan
    broken = MetaProblem(problem.y, x, problem.v, problem.terms)
    with pytest.raises(NotPositiveDefiniteError):
        Objective(build_backend(broken), reml=True).natural([0.5])


def test_evaluations_are_counted():
    objective = objective_of("one_intercept", reml=True)
    for _ in range(3):
        objective.natural([0.5])
    assert objective.n_evaluations == 3


def test_criterion_differs_by_the_restricted_terms():
    chol = np.diag([2.0, 3.0])
    ml, reml = criterion(reml=False), criterion(reml=True)
    gap = reml.loglik(10, 1.0, 2.0, chol) - ml.loglik(10, 1.0, 2.0, chol)
    assert gap == pytest.approx(np.log(2 * np.pi) - np.log(6.0), rel=ALGEBRA)
    assert not ml.projector(chol).any()
    assert reml.projector(chol) is chol
