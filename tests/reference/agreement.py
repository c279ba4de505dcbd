"""Digits of agreement with every reference case, as the tables of the validation page.

usage (from the root of the repository):  python -m tests.reference.agreement

Writes docs/reference/agreement.md.  A digit is -log10 of a difference: of the log-likelihood in its
own unit, of a coefficient in standard errors, of a standard error or variance relative to itself
(a variance below a millionth of the largest, relative to that), of a correlation in its own unit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.reference.loader import (
    array,
    case_names,
    components_of,
    fitted_case,
    load_case,
)
from tests.reference.parameters import AT_FIXED, AT_OPTIMUM, LIKELIHOODS
from tests.reference.tolerance import tolerance_of

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "agreement.md"
MOST = 15.0
COLUMNS = ("log-likelihood", "coefficients", "standard errors", "components")


def digits(differences):
    """Digits of the largest difference; None if there is none to look at."""
    differences = np.abs(differences[np.isfinite(differences)])
    if not len(differences):
        return None
    return min(MOST, -np.log10(max(differences.max(), 10.0**-MOST)))


def of_components(case, results):
    """Digits of the components both report; None where the likelihood does not identify one."""
    expected, ours = case["expected"]["components"], components_of(results)
    allowed = tolerance_of(case).components
    worst = []
    for name, values in ours.items():
        theirs = array(expected[name])[: len(values)]
        known = np.isfinite(allowed.get(name, np.zeros(len(theirs))))
        difference = (values - theirs)[known]
        if name in ("sigma2", "tau2", "gamma2"):
            least = 1e-6 * theirs.max() or 1.0  # all 0: equal or not
            difference = difference / np.maximum(np.abs(theirs), least)[known]
        worst.append(difference)
    return digits(np.concatenate(worst)) if worst else None


def compare(name, folder):
    """Digits of one case, by column."""
    case, results = load_case(name, folder), fitted_case(name, folder)
    expected = case["expected"]
    est, se = (array(expected["coefficients"][key]) for key in ("est", "se"))
    criterion = case["model"]["method"] if case["model"]["method"] == "ML" else "REML"
    reference = expected["fit_stats"][criterion]["ll"]
    if reference is None or case["model"]["W"] is not None:
        loglik = None
    else:
        loglik = digits(np.array([results.llf - reference]))
    found = [loglik, digits((results.params - est) / se), digits(results.bse / se - 1)]
    return [*found, of_components(case, results) if folder == AT_OPTIMUM else None]


def cases(folder):
    """Names of the cases that have numbers."""
    return [name for name in case_names(folder) if "expected" in load_case(name, folder)]


def elsewhere(name, folder):
    """Whether the reference's G is no covariance matrix, so that the fit has to be lower."""
    best = load_case(name, folder).get("optimum", {}).get("restricted_to_psd")
    return bool(best) and fitted_case(name, folder).llf < best["best_loglik"] + 1e-6


def cell(value):
    """One number of the table."""
    return "" if value is None else f"{value:.0f}"


def table(folder, columns):
    """One row per case."""
    lines = [
        f"| case | title | rows | {' | '.join(columns)} |",
        f"| --- | --- | --- | {' | '.join('---' for _ in columns)} |",
    ]
    for name in cases(folder):
        case = load_case(name, folder)
        values = compare(name, folder)[: len(columns)]
        if elsewhere(name, folder):
            values = [None] * len(columns)
        title = case["title"].replace("|", r"\|")
        cells = [f"`{name}`", title, str(case["expected"]["k"]), *map(cell, values)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def page():
    """The text of the page."""
    parts = (
        "<!-- Written by python -m tests.reference.agreement -->",
        "### At the maximum",
        table(AT_OPTIMUM, COLUMNS),
        "### At given components: everything that is reported",
        table(AT_FIXED, COLUMNS[:3]),
        "### At given components: likelihoods of all structures",
        table(LIKELIHOODS, COLUMNS[:3]),
    )
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
