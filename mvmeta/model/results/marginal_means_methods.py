"""Marginal means as a method of the results."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Floats
from mvmeta.errors import SpecificationError
from mvmeta.model.results.marginal_means import MarginalMeans
from mvmeta.model.results.mean_rows import MeansInput
from mvmeta.model.results.reference_grid import (
    Averages,
    averages,
    constant_within,
    reference_grid,
    resolve_names,
)
from mvmeta.model.specification.frames import shorten
from mvmeta.model.specification.levels import level_texts
from mvmeta.model.testing.inference import Inference


class MarginalMeansMethods:
    """Mixin: ``marginal_means``."""

    # What it reads is defined by the results class it is mixed into.
    model: Any
    _inference: Inference
    effect_scale: Any
    _gs: list[Floats]

    def marginal_means(
        self,
        specs: str | list[str] | None = None,
        *,
        by: str | list[str] | None = None,
        at: Mapping[str, Any] | None = None,
        weights: str = "equal",
    ) -> MarginalMeans:
        """Means of true effects at the levels of moderators, the others averaged over.

        The means are taken over a grid of all combinations of the moderators: factors at all their
        levels, numeric moderators at their mean over the fitted rows (Searle, Speed & Milliken
        1980; Lenth's "estimated marginal means").

        Parameters
        ----------
        specs : str or list of str, optional
            Moderators whose levels (or values in `at`) are compared; the mean of all unless said.
        by : str or list of str, optional
            Moderators within whose levels they are compared.
        at : mapping of str to value or list, optional
            Levels of factors, or values of numeric moderators, instead of those above.
        weights : {"equal", "proportional", "cells"}
            Of the factor combinations that are averaged over: all the same; by the number of
            fitted rows that have them; by the number that have them together with the level
            averaged for.  With "cells" the means are those of populations that differ in the
            other factors, too.

        Returns
        -------
        MarginalMeans
            With `summary_frame`, `pairwise`, `contrast`, `test` and `joint_test`, whose
            covariance and df are those of the fit (containment, Satterthwaite, Kenward-Roger,
            cluster-robust, ...).  Means that the data do not determine, as of an empty cell, are
            NaN and named in `notes`.

        Raises
        ------
        SpecificationError
            For a model built from arrays, something that is no moderator, or other weights.
        DataError
            For a level in `at` that does not occur; and where no rows are held (after
            `remove_data`, or in batches) for a numeric moderator that is not in `at`, or weights
            that count rows.

        References
        ----------
        .. [1] Searle SR, Speed FM, Milliken GA (1980). Population marginal means in the linear
           model: an alternative to least squares means. *American Statistician* 34:216–221.
           doi:10.1080/00031305.1980.10483031

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> res = MetaMixedLM.from_formula(
        ...     "yi ~ alloc + ablat", bcg, variance="vi", groups="trial"
        ... ).fit()
        >>> means = res.marginal_means("alloc")
        >>> means.summary_frame()["mean"].round(2).tolist()
        [-0.62, -0.89, -0.56]
        >>> means.pairwise(adjust="holm").summary_frame().index.tolist()
        ['random - alternate', 'systematic - alternate', 'systematic - random']
        """
        prepared = self.model.prepared
        within = resolve_names(by, prepared, "by=")
        compared = resolve_names(specs, prepared, "specs")
        both = [n for n in within if n in compared]
        if both:
            raise SpecificationError(f"{both[0]!r} is in specs and in by=; leave it out of one")
        grid = reference_grid(prepared, at)
        found = averages(grid, [*within, *compared], weights)
        estimable = prepared.estimable(found.rows) & np.isfinite(found.rows).all(axis=1)
        pairs = zip(prepared.term_specs, self._gs, strict=True)
        variance: Floats = np.asarray(
            sum((r.variance(g, grid.frame) for r, g in pairs), np.zeros(len(grid.frame)))
        )
        k = len(found.levels)
        return MarginalMeans(
            MeansInput(
                self._inference.basis,
                found.levels,
                found.rows[:, prepared.exog_columns],
                estimable,
                constant_within(variance, found.member, found.weight, k),
                within,
                list(prepared.exog_names),
                self._notes(found, estimable, _averaged_over(grid.frame, [*within, *compared])),
                self.effect_scale.get("back", ""),
            )
        )

    def _notes(self, found: Averages, estimable: Bools, averaged: set[str]) -> list[str]:
        prepared = self.model.prepared
        over = list(found.levels.columns)
        notes = []
        if not estimable.all():
            names = [_named(row) for _, row in found.levels[~estimable].iterrows()]
            reason = (
                f": they depend on {shorten(prepared.dropped_columns)}, left out of the design as "
                "redundant"
                if prepared.dropped_columns
                else ""
            )
            notes.append(f"The data do not determine the means of {shorten(names)}{reason}.")
        averaged = averaged & set(prepared.spec.factor_levels())
        for variables in prepared.spec.interacting():
            hidden = sorted(variables & averaged)
            if hidden and variables & set(over):
                shown, others = ", ".join(sorted(variables & set(over))), ", ".join(hidden)
                notes.append(
                    f"{shown} and {others} interact in the model: differences averaged over "
                    f"{others} may hide that they are not the same for all its levels."
                )
        return list(dict.fromkeys(notes))


def _averaged_over(grid: pd.DataFrame, over: list[str]) -> set[str]:
    """Moderators of which an average holds several values."""
    return {str(v) for v in grid if v not in over and len(grid[v].unique()) > 1}


def _named(row: pd.Series) -> str:
    return ", ".join(f"{name}={level_texts([value])[0]}" for name, value in row.items())
