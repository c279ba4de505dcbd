"""The options of the search for the maximum, and of many of them, checked."""

import numpy as np

from mvmeta.errors import SpecificationError


def check_search(reml: object, maxiter: float, tol: float) -> None:
    """Refuse what the optimiser could not use, before time is spent on it.

    Raises
    ------
    SpecificationError
    """
    if not isinstance(reml, bool | np.bool_):
        raise SpecificationError(f"reml= takes True (REML) or False (ML), got {reml!r}")
    if not maxiter >= 1 or not tol > 0:
        raise SpecificationError(
            f"maxiter= must be at least 1 and tol= positive, got {maxiter} and {tol}"
        )


def check_jobs(n_jobs: object) -> None:
    """Refuse anything but a number of processes.

    Raises
    ------
    SpecificationError
    """
    whole = isinstance(n_jobs, int | np.integer) and not isinstance(n_jobs, bool)
    if not whole or int(n_jobs) < 1:  # type: ignore[call-overload]
        raise SpecificationError(f"n_jobs= is a number of processes, at least 1; got {n_jobs!r}")
