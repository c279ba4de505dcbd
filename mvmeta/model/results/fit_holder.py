"""What every group of result methods starts from: the fit, as long as its data are there."""

from mvmeta.errors import DataError
from mvmeta.inference.fitted.fit import Fit


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

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> toy = datasets.load("toy")
        >>> res = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study").fit()
        >>> res.fit_.problem.n
        5
        """
        if self._fit is None:
            raise DataError("the data were removed by remove_data(); fit again to get row results")
        return self._fit
