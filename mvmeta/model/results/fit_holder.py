"""What every group of result methods starts from: the fit, as long as its data are there."""

from mvmeta.errors import DataError
from mvmeta.inference.fit import Fit


class FitHolder:
    """Mixin: ``fit_``."""

    _fit: Fit | None

    @property
    def fit_(self) -> Fit:
        """The numerical fit behind these results.

        Raises
        ------
        DataError
            After `remove_data`.
        """
        if self._fit is None:
            raise DataError("the data were removed by remove_data(); fit again to get row results")
        return self._fit
