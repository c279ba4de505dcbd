"""The errors and warnings of the package: what was wrong, where, and what to do."""


class MvmetaError(ValueError):
    """Base of every error raised on purpose by this package."""


class DataError(MvmetaError):
    """The data cannot be used: a missing column, a non-finite value, no rows left."""


class CovarianceError(MvmetaError):
    """The sampling covariance V (or the marginal covariance M) is not what it must be."""


class SpecificationError(MvmetaError):
    """The model asked for does not exist or contradicts itself."""


class ConvergenceError(MvmetaError):
    """No usable maximum of the likelihood could be reached."""


class EngineError(MvmetaError):
    """What was to do the work, such as a Dask cluster, is not there or gave up."""


class MvmetaWarning(UserWarning):
    """Base of every warning issued by this package."""
