"""Reference cases as pytest parameters: every case of a folder, none is left out."""

import pytest

from tests.reference.loader import case_names, load_case

AT_OPTIMUM = "cases"
AT_FIXED = "metafor/inference"
LIKELIHOODS = "metafor/loglik"


def each_case(*folders, checks=None):
    """Decorator: one test per (folder, name), only those with this entry in `checks` if given."""
    return pytest.mark.parametrize(("folder", "name"), _parameters(folders, checks))


def _parameters(folders, checks):
    return [
        _parameter(folder, name)
        for folder in folders
        for name in case_names(folder)
        if _has_results(load_case(name, folder), checks)
    ]


def _has_results(case, checks):
    return "expected" in case and (checks is None or bool(case.get("checks", {}).get(checks)))


def _parameter(folder, name):
    label = name if folder == AT_OPTIMUM else f"{folder.rsplit('/')[-1]}-{name}"
    return pytest.param(folder, name, id=label)
