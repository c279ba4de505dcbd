"""Where a sampling covariance comes from: the call that made it, its studies, what was repaired."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mvmeta._typing import Ints


@dataclass(frozen=True)
class Repair:
    """A correlation that was replaced, for the matrix of its cluster to be positive definite.

    Attributes
    ----------
    cluster : str
        Study (and part of it) of the two rows.
    row, other : object
        Labels of the two rows in the data.
    before, after : float
        Their correlation as it was given and as it is in V.

    Examples
    --------
    >>> import warnings
    >>> import pandas as pd
    >>> from mvmeta import vcalc
    >>> data = pd.DataFrame({"study": ["Ito"] * 3, "vi": [0.1, 0.2, 0.1], "obs": [1, 2, 3]})
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     v = vcalc("vi", "study", obs="obs", rho=-0.6, data=data, nearpd=True)
    >>> repair = v.provenance.repairs[0]
    >>> repair.cluster, repair.before, round(repair.after, 3)
    ('Ito', -0.6, -0.5)
    """

    cluster: str
    row: object
    other: object
    before: float
    after: float


@dataclass(frozen=True, eq=False)
class Provenance:
    """How a sampling covariance was made.

    Attributes
    ----------
    call : str
        The call as it could be written, without the data.
    study : ndarray of int, shape (n,)
        Code of each row's study.
    labels : sequence of object
        The studies.
    repairs : tuple of Repair
        Every correlation that is not as it was given.
    repaired : ndarray of int, shape (r, 2)
        Positions of the two rows of each repair.
    rows : index, length n, or None
        Labels of the rows, by which a model finds them in data that are in another order; None
        where V was made from arrays.
    column : str or None
        Column of the data with the studies, by which a model sees whether its data still are those
        of V; None where the studies came as an array.

    Examples
    --------
    >>> from mvmeta import datasets, vcalc
    >>> data = datasets.load("berkey1998")
    >>> v = vcalc("vi", "trial", obs="outcome", rho=0.4, data=data)
    >>> v.provenance.call
    "vcalc(cluster='trial', obs='outcome', rho=0.4)"
    """

    call: str
    study: Ints
    labels: Sequence[object]
    repairs: tuple[Repair, ...] = ()
    repaired: Ints = field(default_factory=lambda: np.empty((0, 2), dtype=np.intp))
    rows: Any = None
    column: str | None = None

    def take(self, rows: Ints) -> "Provenance":
        """Of the given rows; repairs of other rows are left out.

        Parameters
        ----------
        rows : ndarray of int, shape (m,)
            Positions, each at most once.

        Returns
        -------
        Provenance

        Examples
        --------
        >>> from mvmeta import datasets, vcalc
        >>> data = datasets.load("berkey1998")
        >>> v = vcalc("vi", "trial", obs="outcome", rho=0.4, data=data)
        >>> v.provenance.take([0, 1, 2]).study
        array([0, 0, 1])
        """
        study = self.study[rows]
        labels = None if self.rows is None else self.rows[rows]
        if not self.repairs:
            return replace(self, study=study, rows=labels)
        place = np.full(len(self.study), -1)
        place[rows] = np.arange(len(rows))
        pairs = place[self.repaired]
        kept = np.flatnonzero((pairs >= 0).all(axis=1))
        repairs = tuple(self.repairs[int(k)] for k in kept)
        return replace(self, study=study, repairs=repairs, repaired=pairs[kept], rows=labels)
