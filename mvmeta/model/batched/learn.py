"""From batches to a `Prepared` model without rows: the passes before the fit."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.design.batched import NOT_HELD, BatchedProblem
from mvmeta.design.terms import RandomTerm
from mvmeta.errors import DataError, SpecificationError, warn
from mvmeta.marginal.batched import BatchedMarginal, total
from mvmeta.model.batched.cross import Cross, Orthonormal, cross, orthonormalise, refine
from mvmeta.model.batched.findings import Findings, Look
from mvmeta.model.batched.keys import key_columns, overlapping, refuse_overlap
from mvmeta.model.batched.pieces import Recipe, TermRecipe
from mvmeta.model.batched.reading import Factors, UsableRows, Wanted
from mvmeta.model.batched.source import Frames
from mvmeta.model.specification import formula as formulas
from mvmeta.model.specification import rows as masks
from mvmeta.model.specification.build import Prepared, say_redundant
from mvmeta.model.specification.formula import FormulaSpec, ParsedFormula
from mvmeta.model.specification.frames import Source
from mvmeta.model.specification.grammar import SLOPES
from mvmeta.model.specification.parameters import warn_of_too_many
from mvmeta.model.specification.random import expand
from mvmeta.model.specification.specs import TermSpec
from mvmeta.model.specification.terms import Selection, bind, collect
from mvmeta.model.specification.ties import tie_notes, tied_positions


@dataclass(frozen=True, eq=False)
class BatchedPrepared(Prepared):
    """What is known of a model whose rows come in batches.

    Attributes
    ----------
    recipe : Recipe
    plan : BatchedMarginal
    zeros : tuple of str
        The first rows whose sampling variance is 0.
    n_lost : int
        Rows dropped for missing values; `dropped` lists the first of them.
    ones : ndarray of bool (p,)
        Columns of X that are 1 everywhere.
    given : dict of str to object
        Variance, groups, random and equal as they were given.
    """

    recipe: Recipe | None = None
    plan: BatchedMarginal | None = None
    zeros: tuple[str, ...] = ()
    n_lost: int = 0
    ones: Any = None
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_dropped(self) -> int:
        """Rows dropped for missing values."""
        return self.n_lost


@dataclass(frozen=True, eq=False)
class _Parsed:
    """A specification that was read, before it meets rows; it stays where it was written."""

    formula: ParsedFormula
    terms: list[TermSpec]
    slopes: dict[str, ParsedFormula]
    environment: Any


def prepare_batches(
    formula: str,
    frames: Frames,
    variance: Any,
    *,
    groups: Any = None,
    random: Any = None,
    equal: Any = None,
    missing: str = "drop",
    backend: str | None = None,
    environment: Any,
) -> BatchedPrepared:
    """Prepare a model given by a formula and batches: two passes, seldom more.

    The first one collects levels and checks the batches; the second one makes the triangle of
    [X y].  There are more if the formula has transforms that depend on all rows, such as
    center(); if a part of it is missing in some rows, as log(-1) is; or if X is ill-conditioned.

    Parameters
    ----------
    formula : str
    frames : Frames
    variance : str, float or callable
    groups, random, equal, missing, backend
        As in `prepare_formula`.
    environment : patsy.EvalEnvironment

    Raises
    ------
    DataError, CovarianceError, SpecificationError
        For what cannot be used; the message says what, where, and what to do.
    """
    masks.check_action(missing)
    columns = frames.columns()
    parsed = _parse(formula, columns, expand(groups, random, columns, equal), environment)
    _check_variance(variance)
    wanted = Wanted(
        Factors.of(parsed.formula),
        variance,
        tuple(parsed.terms),
        {name: Factors.of(p) for name, p in parsed.slopes.items()},
        missing,
    )
    while True:
        found = _look(frames, wanted)
        recipe = _learn(frames, wanted, found, parsed, backend)
        seen: Cross | None = total(frames.rows(recipe).map(cross))
        if seen is not None and not seen.n_lost:
            break
        # rows in which a part of the formula is missing must not have taught it anything
        wanted = replace(wanted, filters=(*wanted.filters, recipe.left, recipe.right))
    prepared = _assemble(frames, found, recipe, seen, parsed)
    given = {"variance": variance, "groups": groups, "random": random, "equal": equal}
    return replace(prepared, given=given)


def _parse(formula: str, columns: list[Any], terms: list[TermSpec], environment: Any) -> _Parsed:
    parsed = formulas.parse(formula, columns, environment)
    for term in terms:
        _refuse(term)
    slopes = {
        t.name: formulas.parse(t.left, columns, environment, response=False)
        for t in terms
        if t.code in SLOPES
    }
    return _Parsed(parsed, terms, slopes, environment)


def _refuse(term: TermSpec) -> None:
    """Terms that cannot be had from batches, as those that no cut leaves whole."""
    why = None
    if term.arrays is not None:
        raise SpecificationError(
            "groups= takes names of columns here ('study', 'study/id'): arrays have no batches"
        )
    if term.scale is not None:
        raise SpecificationError(
            f"the random term {term.name!r}: scale= needs the covariates of all rows at once, "
            "which batches do not give; fit this model in memory with from_formula()"
        )
    if term.correlates_groups or term.is_product:
        why = "its levels are correlated with each other (corr=)"
    elif term.outer.columns == ("const",):
        why = "all rows share its one level (const)"
    if why:
        raise SpecificationError(
            f"the random term {term.name!r} links rows of different batches: {why}; batches are "
            "taken for independent, so fit this model in memory with from_formula()"
        )


def _check_variance(variance: Any) -> None:
    if not (isinstance(variance, (str, int, float, np.number)) or callable(variance)):
        raise DataError(
            "variance= takes the name of a column, a number, or a function of a batch that "
            f"returns its V (such as a call of vcalc), got {type(variance).__name__}"
        )


def _look(frames: Frames, wanted: Wanted) -> Findings:
    found: Findings | None = total(frames.map(Look(wanted)))
    if found is None:
        raise DataError("batches() yields no frame at all")
    masks.check_enough(np.arange(min(found.usable, 2)), found.given)
    for key in key_columns(wanted.terms):
        numbers = overlapping(found.spans[key])
        if numbers:
            refuse_overlap(frames, wanted, key, numbers)
    return found


def _learn(
    frames: Frames, wanted: Wanted, found: Findings, parsed: _Parsed, backend: str | None
) -> Recipe:
    usable = found.rows[found.witness_usable].reset_index(drop=True)

    def every() -> Any:
        return frames.map(UsableRows(wanted))

    left, _, right = formulas.learn(parsed.formula, usable, every)
    assert left is not None  # `parse` saw to it that there is a left side
    designs = {n: formulas.learn(p, usable, every)[2] for n, p in parsed.slopes.items()}
    terms, _ = _bind(found, parsed, designs, saturated=False)
    return Recipe(wanted, left, right, terms, backend)


def _bind(
    found: Findings, parsed: _Parsed, designs: dict[str, FormulaSpec], *, saturated: bool
) -> tuple[tuple[TermRecipe, ...], list[str]]:
    """Structures, records and notes of the terms, from the witness rows."""
    source = Source(found.rows)
    rows = np.flatnonzero(found.witness_usable)
    selection = Selection(rows, np.arange(source.n), saturated)
    out, notes = [], []
    for spec in parsed.terms:
        data = collect(spec, source, parsed.environment)
        term, record, said = bind(data, selection)
        design = designs.get(spec.name)
        record = replace(record, outer_levels=(), design=design)
        out.append(TermRecipe(spec, record, term.structure))
        notes += said
    return tuple(out), notes


def _assemble(
    frames: Frames, found: Findings, recipe: Recipe, seen: Cross, parsed: _Parsed
) -> BatchedPrepared:
    _say_dropped(found)
    at = orthonormalise(seen.triangle)
    redundant = [n for n, kept in zip(recipe.right.column_names, at.keep, strict=True) if not kept]
    say_redundant(redundant)
    recipe = replace(recipe, keep=at.keep)
    at = refine(at, frames.rows(recipe))
    designs = {t.spec.name: t.record.design for t in recipe.terms if t.record.design is not None}
    terms, notes = _bind(found, parsed, designs, saturated=seen.n == len(at.r))
    recipe = replace(recipe, terms=terms, reduction=at.reduction)
    problem = _problem(recipe, seen, at)
    notes += tie_notes(problem.ties, problem.terms)
    warn_of_too_many(problem)
    names = [n for n, kept in zip(recipe.right.column_names, at.keep, strict=True) if kept]
    ss, r = at.residual_ss, at.r
    return BatchedPrepared(
        problem=problem,
        endog_name=recipe.endog_name,
        exog_names=names,
        dropped_columns=redundant,
        exog_columns=np.flatnonzero(at.keep),
        index=pd.RangeIndex(0),
        rows=np.empty(0, dtype=np.intp),
        n_given=found.given,
        dropped=found.lost,
        weights=None,
        spec=recipe.right,
        frame=NOT_HELD,
        notes=notes,
        term_specs=[t.record for t in terms],
        formula=recipe.right.text,
        recipe=recipe,
        plan=BatchedMarginal(problem, frames.pieces(recipe), r, at.reduction.coefficients, ss),
        zeros=seen.zeros,
        n_lost=found.given - found.usable,
        ones=seen.ones[at.keep],
    )


def _problem(recipe: Recipe, seen: Cross, at: Orthonormal) -> BatchedProblem:
    terms = tuple(
        RandomTerm(
            t.spec.name,
            NOT_HELD,
            range(int(count)),
            t.structure,
            inner=None if t.record.inner_levels is None else NOT_HELD,
            z=None if t.record.design is None else NOT_HELD,
        )
        for t, count in zip(recipe.terms, seen.levels, strict=True)
    )
    y = seen.triangle[:, -1]
    return BatchedProblem(
        NOT_HELD,
        NOT_HELD,
        NOT_HELD,
        terms,
        tied_positions([t.spec for t in recipe.terms], terms),
        rows=seen.n,
        columns=len(at.r),
        variance=seen.variance / seen.n,
        square=float(y @ y) / seen.n,
        zeros=seen.n_zeros,
        singular=seen.singular > 0,
    )


def _say_dropped(found: Findings) -> None:
    count = found.given - found.usable
    if count:
        reasons = ", ".join(f"{name} ({n} rows)" for name, n in found.reasons.items())
        warn(f"{count} of {found.given} rows dropped for missing values: {reasons}")
