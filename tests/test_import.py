"""`import mvmeta` is as light as statsmodels' base class allows."""

import subprocess
import sys

PROBE = """
import sys
{first}
before = set(sys.modules)
import mvmeta
heavy = {{"matplotlib", "dask", "distributed", "numba", "polars", "pyarrow", "joblib", "tqdm"}}
unwanted = heavy | {{"statsmodels.api", "statsmodels.formula.api", "scipy.optimize"}}
print(*sorted(unwanted & set(sys.modules) - before))
"""


def _imported(first):
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE.format(first=first)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert run.stderr == ""
    return run.stdout.split()


def test_the_import_brings_nothing_heavy_of_its_own():
    assert _imported("import statsmodels.base.model") == []


def test_the_import_brings_no_optional_package():
    # what pandas or statsmodels.base.model bring along is theirs
    assert set(_imported("")) <= {"scipy.optimize", "pyarrow"}
