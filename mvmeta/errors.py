"""The errors and warnings of the package: what was wrong, where, and what to do."""

import inspect
import os
import warnings

__all__ = [
    "ConvergenceError",
    "CovarianceError",
    "DataError",
    "EngineError",
    "MvmetaError",
    "MvmetaWarning",
    "SpecificationError",
]

PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class MvmetaError(ValueError):
    """Base of every error raised on purpose by this package.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, MvmetaError, datasets
    >>> bcg = datasets.load("bcg")
    >>> try:
    ...     MetaMixedLM.from_formula("yi ~ 1", bcg, variance="vi", groups="study").fit()
    ... except MvmetaError as error:
    ...     print(type(error).__name__)
    DataError
    """


class DataError(MvmetaError):
    """The data cannot be used: a missing column, a non-finite value, no rows left.

    Examples
    --------
    >>> from mvmeta import DataError, MetaMixedLM, datasets
    >>> bcg = datasets.load("bcg")
    >>> try:
    ...     MetaMixedLM.from_formula("yi ~ 1", bcg, variance="v")
    ... except DataError as error:
    ...     print(str(error)[:67])
    column 'v' wanted for variance is not in the data; did you mean 'vi
    """


class CovarianceError(MvmetaError):
    """The sampling covariance V (or the marginal covariance M) is not what it must be.

    Examples
    --------
    >>> import numpy as np
    >>> from mvmeta import CovarianceError, SamplingCovariance
    >>> try:
    ...     SamplingCovariance.from_matrix(np.array([[1.0, 2.0], [2.0, 1.0]]))
    ... except CovarianceError as error:
    ...     print(str(error)[:42])
    V is not positive semi-definite: the block
    """


class SpecificationError(MvmetaError):
    """The model asked for does not exist or contradicts itself.

    Examples
    --------
    >>> from mvmeta import Random, SpecificationError
    >>> try:
    ...     Random("outcome | study", "UNSTRUCTURED")
    ... except SpecificationError as error:
    ...     print(type(error).__name__)
    SpecificationError
    """


class ConvergenceError(MvmetaError):
    """No usable maximum of the likelihood could be reached.

    Examples
    --------
    >>> from mvmeta import ConvergenceError, MvmetaError
    >>> try:
    ...     raise ConvergenceError("no maximum")
    ... except MvmetaError as error:
    ...     print(error)
    no maximum
    """


class EngineError(MvmetaError):
    """What was to do the work, such as a Dask cluster, is not there or gave up.

    Examples
    --------
    >>> from mvmeta import EngineError, MvmetaError
    >>> try:
    ...     raise EngineError("the cluster is gone")
    ... except MvmetaError as error:
    ...     print(error)
    the cluster is gone
    """


class MvmetaWarning(UserWarning):
    """Base of every warning issued by this package.

    Examples
    --------
    >>> import warnings
    >>> from mvmeta import MvmetaWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", MvmetaWarning)  # stop at the first
    """


def warn(message: str, category: type[Warning] = MvmetaWarning) -> None:
    """Issue a warning that points at the user's line, not into this package."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
