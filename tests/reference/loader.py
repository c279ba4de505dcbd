"""Turn a stored reference case into a model of this package; the schema is in README.md."""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from mvmeta import MetaMixedLM, Random
from mvmeta.errors import MvmetaWarning

ROOT = Path(__file__).parent
# metafor's names for the components of the first and the second structured term.
STRUCTURED_NAMES = (("tau2", "rho"), ("gamma2", "phi"))


def case_names(folder="cases"):
    """Names of the cases in a folder below this one, in alphabetical order."""
    return sorted(path.stem for path in (ROOT / folder).glob("*.json"))


@cache
def load_case(name, folder="cases"):
    """Load one case as nested dicts and lists; shared, so not to be changed."""
    return json.loads((ROOT / folder / f"{name}.json").read_text(encoding="utf-8"))


def array(values):
    """Numbers of a case as a float array; null is NaN."""
    return np.array(_null_to_nan(values), dtype=float)


def data_frame(case):
    """Data of a case, all rows."""
    return pd.DataFrame({name: pd.Series(column) for name, column in case["data"].items()})


def variance_of(case, frame):
    """V as `from_formula` takes it: a column name, a scalar or a sparse matrix over all rows."""
    V = case["model"]["V"]
    if V["type"] == "diag":
        return V["column"]
    if V["type"] == "zero":
        return 0.0
    full = sparse.lil_array((len(frame), len(frame)))
    for block in V["blocks"]:
        # Missing entries belong to rows whose outcome is missing: they are dropped.
        full[np.ix_(block["rows"], block["rows"])] = np.nan_to_num(array(block["matrix"]))
    return sparse.csr_array(full)


def components_by_term(case, components):
    """Split components under metafor's names into one dict (sigma2, or tau2 and rho) per term."""
    components = components or {}
    names = iter(STRUCTURED_NAMES)
    sigma2 = list(components.get("sigma2", []))
    split = []
    for term in _terms(case):
        if term["type"] == "intercept":
            count = len(term["groups"])
            split.append({"sigma2": sigma2[:count]})
            sigma2 = sigma2[count:]
        else:
            ours_theirs = zip(("tau2", "rho"), next(names), strict=True)
            split.append({ours: list(components.get(name, [])) for ours, name in ours_theirs})
    return split


def theta(case, components):
    """Components in the order of `vcomp`: by term; variances, then correlations."""
    parts = components_by_term(case, components)
    return np.array([value for part in parts for values in part.values() for value in values])


def random_terms(case, *, fixed=None):
    """The `Random` terms of a case, the components in `fixed` pinned; None if there are none."""
    terms = []
    for term, pinned in zip(_terms(case), components_by_term(case, fixed), strict=True):
        options = {key: values for key, values in pinned.items() if _any_number(values)}
        keywords = {"fixed": options} if options else {}
        terms.append(_random(term, keywords))
    return terms or None


def build_model(case, *, formula=None, random=None, fixed=None, pin=True):
    """
    Model of a case.

    Parameters
    ----------
    case : dict
        What `load_case` returns.
    formula, random, fixed : optional
        Replace that part of the case's model, for example by the reduced model of a test.
    pin : bool
        False leaves the components free that the case holds fixed.
    """
    model = case["model"]
    if random is not None:
        case = case | {"model": model | {"random": random}}
    fixed = (fixed or model["fixed"]) if pin else None
    frame = data_frame(case)
    return MetaMixedLM.from_formula(
        formula or model["formula"],
        frame,
        variance=variance_of(case, frame),
        random=random_terms(case, fixed=fixed),
        weights=_weights(model["W"]),
    )


def fit_options(case):
    """Arguments of `fit` that say what the case's method, test and df say."""
    model = case["model"]
    options = {"reml": model["method"] != "ML", "use_t": model["test"] != "z", "df": model["dfs"]}
    if model["test"] in ("knha", "adhoc"):
        options["cov_type"] = model["test"]
    return options


def fit_case(case):
    """Build and fit; the package's own warnings are the subject of other tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MvmetaWarning)
        return build_model(case).fit(**fit_options(case))


@cache
def fitted_case(name, folder="cases"):
    """`fit_case`, once per test session; results do not change."""
    return fit_case(load_case(name, folder))


def components_of(results):
    """Components of a fit under metafor's names, as arrays."""
    names = iter(STRUCTURED_NAMES)
    found = {}
    for _, rows in results.vcomp.groupby("term", sort=False):
        kinds = dict(list(rows.groupby("component", sort=False)["estimate"]))
        if "sigma2" in kinds:
            found.setdefault("sigma2", []).extend(kinds["sigma2"])
            continue
        for ours, theirs in zip(("tau2", "rho"), next(names), strict=True):
            if ours in kinds:
                found[theirs] = list(kinds[ours])
    return {name: np.array(values, dtype=float) for name, values in found.items()}


def _terms(case):
    model = case["model"]
    return [] if model["method"] in ("EE", "FE") else model["random"] or []


def _random(term, keywords):
    formula = term["formula"]
    if term["type"] == "intercept":
        if "R" in term:
            keywords |= {"corr": _labelled(term["R"]), "corr_scale": term["R"]["scale"]}
        return Random(formula, **keywords)
    if term["struct"] in ("GEN", "GDIAG"):
        formula = f"1 + {term['inner']} | {term['outer']}"
    if "distance" in term:
        distance = term["distance"]
        keywords["distance"] = distance if isinstance(distance, str) else _labelled(distance)
    return Random(formula, term["struct"], **keywords)


def _labelled(matrix):
    return pd.DataFrame(array(matrix["matrix"]), index=matrix["levels"], columns=matrix["levels"])


def _weights(W):
    if W is None:
        return None
    return W["column"] if W["type"] == "diag" else array(W["matrix"])


def _any_number(values):
    return any(value is not None for value in values)


def _null_to_nan(values):
    if isinstance(values, list):
        return [_null_to_nan(value) for value in values]
    return np.nan if values is None else values
