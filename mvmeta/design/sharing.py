"""Parameters that stand in several places: which places share one, and sums over them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvmeta._typing import Bools, Floats, Ints


@dataclass(frozen=True, eq=False)
class Sharing:
    """J places filled from m <= J parameters.

    Attributes
    ----------
    group : ndarray of int, shape (J,)
        Parameter of each place: 0, 1, ... in the order of their first places.
    first : ndarray of int, shape (m,)
        First place of each parameter.
    """

    group: Ints
    first: Ints

    @classmethod
    def of(cls, sizes: Sequence[int], ties: Sequence[Sequence[int]]) -> "Sharing":
        """Places in consecutive runs of `sizes`; the runs of a tie share theirs one by one.

        Parameters
        ----------
        sizes : sequence of int
            Length of each run.
        ties : sequence of sequences of int
            Positions of runs of equal length.
        """
        start = np.concatenate([[0], np.cumsum(sizes, dtype=np.intp)])
        place: Ints = np.arange(start[-1], dtype=np.intp)
        for tie in ties:
            head = min(tie)
            for run in tie:
                place[start[run] : start[run + 1]] = np.arange(start[head], start[head + 1])
        first, group = np.unique(place, return_inverse=True)
        return cls(group.astype(np.intp), first)

    @property
    def trivial(self) -> bool:
        """Whether every place has a parameter of its own."""
        return len(self.first) == len(self.group)

    @property
    def leading(self) -> Bools:
        """Which places are the first of their parameter, shape (J,)."""
        out = np.zeros(len(self.group), dtype=bool)
        out[self.first] = True
        return out

    def spread(self, values: Floats) -> Floats:
        """Values (m, ...) of the parameters at all places (J, ...)."""
        return values if self.trivial else values[self.group]

    def lead(self, values: Floats) -> Floats:
        """Values (J, ...) of the places at the first place of each parameter (m, ...)."""
        return values if self.trivial else values[self.first]

    def add(self, values: Floats) -> Floats:
        """Sum derivatives (J, ...) by places to derivatives (m, ...) by parameters."""
        if self.trivial:
            return values
        out = np.zeros((len(self.first), *values.shape[1:]))
        np.add.at(out, self.group, values)
        return out

    def add_pairs(self, values: Floats) -> Floats:
        """Sum second derivatives (J, J, ...) by places to (m, m, ...) by parameters."""
        if self.trivial:
            return values
        return self.add(self.add(values).swapaxes(0, 1)).swapaxes(0, 1)
