"""Reference cases as `Fit`s at their recorded components, over an explicit inverse of M.

Nothing here shares code with the backends or the covariance structures of the package: M is
built from the definitions in the README of the reference cases, derivatives of G by complex
steps, every verb of a factor by its definition.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
from scipy import linalg, sparse

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.terms import Groups, RandomTerm
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.fitted.weighted import weighted_fixed_effects
from mvmeta.marginal.base import MarginalFactor, Sums
from mvmeta.structures.base import Component, CovarianceStructure
from mvmeta.structures.known import Known
from mvmeta.structures.pinned import Pinned

REFERENCE = Path(__file__).parents[1] / "reference"
SPATIAL = ("SPEXP", "SPGAU", "SPLIN", "SPRAT", "SPSPH")


# --- M as it is written down ---------------------------------------------------------------


def dense_m(problem, gs):
    """M (n, n) in full."""
    m = problem.v.toarray()
    for term, g in zip(problem.terms, gs, strict=True):
        z = term.sparse_z().toarray()
        m = m + z @ np.kron(np.eye(term.n_levels), g) @ z.T
    return m


class DenseDouble(MarginalFactor):
    """Every verb by its definition, from the explicit inverse of M."""

    def __init__(self, problem, gs):
        self.problem = problem
        self.m = dense_m(problem, gs)
        self.inverse = np.linalg.inv(self.m)

    def k(self, direction):
        term = self.problem.terms[direction.term]
        z = term.sparse_z().toarray()
        return z @ np.kron(np.eye(term.n_levels), direction.matrix) @ z.T

    def sums(self, a, directions=(), extra=()):
        n, na = self.inverse, self.inverse @ a
        nk = [n @ self.k(d) for d in directions]
        ne = [n @ self.k(d) for d in extra]
        j, e, p = len(nk), len(ne), a.shape[1]
        return Sums(
            logdet=np.linalg.slogdet(self.m)[1],
            gram=a.T @ na,
            trace=np.array([np.trace(b) for b in nk]),
            slope=np.array([a.T @ b @ na for b in nk]).reshape(j, p, p),
            trace_pairs=np.array([[np.trace(b @ c) for c in nk] for b in nk]).reshape(j, j),
            slope_pairs=np.array([[a.T @ b @ c @ na for c in nk] for b in nk]).reshape(j, j, p, p),
            extra_trace=np.array([np.trace(b) for b in ne]),
            extra_slope=np.array([a.T @ b @ na for b in ne]).reshape(e, p, p),
        )

    def solve(self, b):
        return self.inverse @ b

    def level_gram(self, term):
        t = self.problem.terms[term]
        z = t.sparse_z().toarray()
        full = (z.T @ self.inverse @ z).reshape(t.n_levels, t.q, t.n_levels, t.q)
        return np.stack([full[i, :, i, :] for i in range(t.n_levels)])

    def inverse_diagonal(self):
        return np.diag(self.inverse).copy()


class FormulaStructure(CovarianceStructure):
    """G by the table of the README; derivatives by complex steps."""

    def __init__(self, struct, labels, values=None, distances=None):
        self.code = {"GEN": "UN", "GDIAG": "DIAG"}.get(struct, struct)
        self.labels, self.q = tuple(map(str, labels)), len(labels)
        self._values, self._distances = values, distances
        variances = self.q if self.code in ("HCS", "DIAG", "UN", "HAR") else 1
        pairs = [(i, j) for j in range(self.q) for i in range(j + 1, self.q)]
        if self.code == "UN":
            names = [f"{self.labels[i]}~{self.labels[j]}" for i, j in pairs]
        else:
            names = [] if self.code in ("ID", "DIAG") else [""]
        top, low = (np.inf, 0.0) if self.code in SPATIAL else (1.0, -1.0)
        self.n_variances = variances
        self.components = tuple(
            Component("tau2", self.labels[i] if variances > 1 else "") for i in range(variances)
        ) + tuple(Component("rho", s, low, top, 0) for s in names)

    def _matrix(self, x):
        v, r, q = x[: self.n_variances], x[self.n_variances :], self.q
        c = np.eye(q, dtype=x.dtype)
        if self.code == "UN":
            column, row = np.triu_indices(q, 1)
            c[row, column] = c[column, row] = r
        elif self.code in ("CS", "HCS"):
            c = np.full((q, q), r[0])
        elif self.code in ("AR", "HAR"):
            c = r[0] ** np.abs(np.subtract.outer(np.arange(q), np.arange(q)))
        elif self.code == "CAR":
            c = r[0] ** np.abs(np.subtract.outer(self._values, self._values))
        elif self.code in SPATIAL:
            c = self._spatial(r[0])
        c[np.arange(q), np.arange(q)] = 1.0
        s = np.sqrt(v if len(v) == q else np.repeat(v, q))
        return c * np.outer(s, s)

    def _spatial(self, rho):
        d = self._distances / rho
        near = d.real < 1
        return {
            "SPEXP": lambda: np.exp(-d),
            "SPGAU": lambda: np.exp(-(d**2)),
            "SPLIN": lambda: np.where(near, 1 - d, 0.0),
            "SPRAT": lambda: 1 / (1 + d**2),
            "SPSPH": lambda: np.where(near, 1 - 1.5 * d + 0.5 * d**3, 0.0),
        }[self.code]()

    def matrix(self, x):
        return self._matrix(np.asarray(x, float))

    def jacobian(self, x):
        x, out = np.asarray(x, float), []
        for j in range(len(x)):
            step = x.astype(complex)
            step[j] += 1e-30j
            out.append(self._matrix(step).imag / 1e-30)
        return np.array(out)

    def hessian(self, x):
        x, out = np.asarray(x, float), []
        for j in range(len(x)):
            h = 1e-5 * max(abs(x[j]), 1e-6)
            step = np.zeros(len(x))
            step[j] = h
            out.append((self.jacobian(x + step) - self.jacobian(x - step)) / (2 * h))
        out = np.array(out)
        return (out + out.swapaxes(0, 1)) / 2

    def starts(self, scale):
        raise NotImplementedError


def make_fit(problem, theta, *, reml=True, boundary=None, weights=None, factor=None):
    """A `Fit` at given components, by dense algebra."""
    theta = np.asarray(theta, float)
    gs = [t.structure.matrix(x) for t, x in zip(problem.terms, problem.split(theta), strict=True)]
    factor = DenseDouble(problem, gs) if factor is None else factor
    x, y, (n, p) = problem.x, problem.y, problem.x.shape
    m = dense_m(problem, gs)
    root = linalg.cholesky(m, lower=True)
    a, c = (linalg.solve_triangular(root, b, lower=True) for b in (x, y))
    q, r = np.linalg.qr(a)
    beta, cov = np.linalg.solve(r, q.T @ c), np.linalg.inv(r) @ np.linalg.inv(r).T
    if weights is not None:
        w = weighted_fixed_effects(x, y, weights, lambda b: m @ b)
        beta, cov = w.beta, w.cov
    e = linalg.solve_triangular(root, y - x @ beta, lower=True)
    common = -np.log(np.diag(root)).sum() - e @ e / 2
    constant = np.log(np.abs(np.diag(np.linalg.qr(x)[1]))).sum() - np.log(np.abs(np.diag(r))).sum()
    loglik = {
        False: -n / 2 * np.log(2 * np.pi) + common,
        True: -(n - p) / 2 * np.log(2 * np.pi) + common + constant,
    }
    none = np.zeros(len(theta), dtype=bool)
    boundary = none if boundary is None else boundary
    return Fit(problem, reml, theta, boundary, factor, beta, cov, loglik, weights)


# --- reference cases -----------------------------------------------------------------------


def numbers(x):
    """Lists of numbers with null as arrays with NaN."""
    if isinstance(x, (list, tuple)):
        return np.array([numbers(i) for i in x], dtype=float)
    return np.nan if x is None else float(x)


@cache
def load(name, folder="cases"):
    return json.loads((REFERENCE / folder / f"{name}.json").read_text(encoding="utf-8"))


def case_names(*, check=None):
    """Names of the cases that were fitted, with a kind of check."""
    out = []
    for path in sorted((REFERENCE / "cases").glob("*.json")):
        case = load(path.stem)
        if "expected" in case and (check is None or check in case.get("checks", {})):
            out.append(path.stem)
    return out


@cache
def case_fit(name):
    """The `Fit` of a case at its recorded components."""
    case = load(name)
    problem, theta = _problem(case), _theta(case)
    pieces = zip(problem.terms, problem.split(theta), strict=True)
    boundary = [t.structure.on_boundary(x) for t, x in pieces]
    boundary = np.concatenate(boundary) if boundary else np.zeros(0, dtype=bool)
    reml = case["model"]["method"] != "ML"
    return make_fit(problem, theta, reml=reml, boundary=boundary, weights=_weights(case))


def case_tolerance(name):
    """Relative accuracy a case allows: its ill-conditioned designs lose digits in metafor."""
    tags = set(load(name)["tags"])
    return 1e-5 if tags & {"ill_conditioned", "collinear", "scale", "boundary", "hard"} else 1e-7


def _column(case, name):
    return np.array([case["data"][name][i] for i in case["design"]["rows_used"]])


def _problem(case):
    y = _column(case, case["model"]["yi"]).astype(float)
    x = numbers(case["design"]["X"])
    terms = [] if case["model"]["method"] in ("EE", "FE") else list(_terms(case))
    return MetaProblem(y, x, _sampling(case), tuple(terms))


def _sampling(case):
    spec, rows = case["model"]["V"], np.array(case["design"]["rows_used"])
    if spec["type"] == "diag":
        return SamplingCovariance.from_variances(_column(case, spec["column"]).astype(float))
    n = len(case["data"][case["model"]["yi"]])
    v = np.zeros((n, n))
    for block in spec.get("blocks", []):
        v[np.ix_(block["rows"], block["rows"])] = np.nan_to_num(numbers(block["matrix"]))
    return SamplingCovariance.from_matrix(v[np.ix_(rows, rows)])


def _weights(case):
    w, rows = case["model"]["W"], np.array(case["design"]["rows_used"])
    if w is None:
        return None
    if w["type"] == "diag":
        return sparse.diags_array(_column(case, w["column"]).astype(float)).tocsr()
    return sparse.csr_array(numbers(w["matrix"])[np.ix_(rows, rows)])


def label(x):
    """How the cases write a level."""
    return str(int(x)) if isinstance(x, (float, np.floating)) and float(x).is_integer() else str(x)


def _labels(case, columns):
    parts = [[label(v) for v in _column(case, c).tolist()] for c in columns]
    return np.array(["/".join(p) for p in zip(*parts, strict=True)])


def _terms(case):
    expected, structured, intercepts = case["expected"], 0, 0
    for spec in case["model"]["random"]:
        if spec["type"] == "intercept":
            for groups in spec["groups"]:
                fixed = expected["components_fixed"]["sigma2"][intercepts]
                value = expected["components"]["sigma2"][intercepts] if fixed else None
                known = spec.get("R") if groups == spec["groups"][-1] else None
                yield _intercept(case, groups, known, value)
                intercepts += 1
        else:
            yield _structured(case, spec, structured)
            structured += 1


def _intercept(case, groups, known, value):
    levels, code = np.unique(_labels(case, groups), return_inverse=True)
    name, n = "/".join(groups), len(code)
    if known is None:
        structure = FormulaStructure("ID", [""])
        level, inner, labels = code, None, tuple(levels)
    else:
        structure = Known(_scaled(known, levels), tuple(levels))
        level, inner, labels = np.zeros(n, dtype=np.intp), code, ("",)
    if value is not None:
        structure = Pinned(structure, np.array([value]))
    groups = None if known is None else Groups(code, tuple(levels))
    return RandomTerm(name, level.astype(np.intp), labels, structure, inner, correlated=groups)


def _scaled(known, levels):
    at = {label(v): i for i, v in enumerate(known["levels"])}
    pick = [at[v] for v in levels]
    r = numbers(known["matrix"])[np.ix_(pick, pick)]
    if known["scale"] in ("cor", "cor0"):
        d = np.sqrt(np.diag(r))
        r = r / np.outer(d, d)
    if known["scale"] == "cor0":
        r = (r - r.min()) / (1 - r.min())
    return r - r.min() if known["scale"] == "cov0" else r


def _structured(case, spec, index):
    struct = spec["struct"]
    outer, level = np.unique(_labels(case, [spec["outer"]]), return_inverse=True)
    info = case["expected"]["GH"[index]]
    inner, z, values, distances = None, None, None, None
    columns = [c.strip() for c in spec["inner"].split("+")]
    if struct in ("GEN", "GDIAG"):
        z = np.column_stack([np.ones(len(level))] + [_column(case, c) for c in columns])
        labels = info["levels"]
    elif struct in SPATIAL:
        sites, inner = np.unique(_labels(case, columns), return_inverse=True)
        labels, distances = list(sites), _distances(case, spec, columns, sites, inner)
    else:
        labels = info["levels"]
        at = {label(v): i for i, v in enumerate(labels)}
        if struct == "CAR":
            values = np.array(labels, dtype=float)
            column = _column(case, spec["inner"]).astype(float)
            inner = np.array([int(np.argmin(np.abs(values - v))) for v in column])
        else:
            inner = np.array([at[v] for v in _labels(case, columns)])
    structure = FormulaStructure(struct, labels, values, distances)
    pins = _pins(case, structure, index)
    structure = structure if np.isnan(pins).all() else Pinned(structure, pins)
    return RandomTerm(
        f"{spec['inner']} | {spec['outer']}", level, tuple(outer), structure, inner, z
    )


def _distances(case, spec, columns, sites, inner):
    rule = spec["distance"]
    if isinstance(rule, dict):
        at = {label(v): i for i, v in enumerate(rule["levels"])}
        pick = [at[v] for v in sites]
        return numbers(rule["matrix"])[np.ix_(pick, pick)]
    first = [int(np.flatnonzero(inner == i)[0]) for i in range(len(sites))]
    points = np.column_stack([_column(case, c).astype(float)[first] for c in columns])
    gap = np.abs(points[:, None] - points[None])
    return {"euclidean": np.sqrt((gap**2).sum(-1)), "manhattan": gap.sum(-1)}[rule]


def _names(index):
    return (("tau2", "rho"), ("gamma2", "phi"))[index]


def _values(case, structure, index):
    variance, correlation = _names(index)
    c = case["expected"]["components"]
    has_correlations = len(structure.components) > len(c[variance])
    return numbers([*c[variance], *(c[correlation] if has_correlations else [])])


def _pins(case, structure, index):
    variance, correlation = _names(index)
    fixed = case["expected"]["components_fixed"]
    flags = [*fixed[variance], *(fixed.get(correlation) or [])][: len(structure.components)]
    return np.where(np.array(flags, dtype=bool), _values(case, structure, index), np.nan)


def _theta(case):
    """Recorded components in the order of the terms; what rests on the boundary exactly there."""
    if case["model"]["method"] in ("EE", "FE"):
        return np.zeros(0)
    out, structured, intercepts = [], 0, 0
    for spec in case["model"]["random"]:
        if spec["type"] == "intercept":
            for _ in spec["groups"]:
                out.append([case["expected"]["components"]["sigma2"][intercepts]])
                intercepts += 1
        else:
            info = case["expected"]["GH"[structured]]
            q = len(info.get("levels") or [""])
            shape = FormulaStructure(spec["struct"], ["x"] * q)
            values = _values(case, shape, structured)
            edge = np.abs(np.abs(values) - 1) < 1e-12
            edge[: shape.n_variances] = False
            out.append(np.where(edge, np.sign(values), values))
            structured += 1
    return np.concatenate(out) if out else np.zeros(0)
