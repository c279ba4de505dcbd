"""Other random effects a model could have: none, study, row, both, categories within study."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mvmeta.design.terms import RandomTerm
from mvmeta.model.evidence.families import Family, families
from mvmeta.model.evidence.studies import ROW, Studies
from mvmeta.model.specification.build import Prepared
from mvmeta.model.specification.frames import Source
from mvmeta.model.specification.names import factor_column
from mvmeta.model.specification.random import Random, expand
from mvmeta.model.specification.records import TermRecord
from mvmeta.model.specification.terms import Selection, bind, collect

STRUCTURES = ("none", "study", "row", "study/row", "CS", "UN")
"""Random effects that are tried: CS and UN correlate the categories within a study."""


@dataclass(frozen=True, eq=False)
class Alternative:
    """Random terms by another name.

    Attributes
    ----------
    label : str
        Such as "Study/row" or "Category | Study (UN)".
    terms : tuple of RandomTerm
    records : list of TermRecord
    """

    label: str
    terms: tuple[RandomTerm, ...]
    records: list[TermRecord]


def alternative(
    prepared: Prepared, at: Studies, name: str, category: str | None = None
) -> Alternative | str:
    """Random terms of one of STRUCTURES, or why they make no sense for these data.

    Parameters
    ----------
    prepared : Prepared
    at : Studies
    name : str
        One of STRUCTURES.
    category : str, optional
        Factor whose levels CS and UN correlate; the first of the formula unless said.
    """
    if name == "none":
        return Alternative("no random effects", (), [])
    refused = _refused(prepared, at, name)
    if refused:
        return refused
    study, row = _free(at.name), "row"
    if name in ("CS", "UN"):
        return _by_category(prepared, at, name, category)
    formula = {"study": study, "row": row, "study/row": f"{study}/{row}"}[name]
    frame = pd.DataFrame({study: at.code, row: np.arange(len(at.code))})
    return _bound(formula, [Random(f"1 | {formula}")], frame)


def _refused(prepared: Prepared, at: Studies, name: str) -> str:
    n = prepared.problem.n
    if name == "row":
        return "" if n > prepared.problem.p else "as many coefficients as rows"
    if at.name == ROW:
        return "the model tells no studies apart; groups= names their column"
    if at.count < 2:
        return "there is one study"
    if name == "study/row" and at.count == n:
        return "every study has one row"
    return ""


def _by_category(
    prepared: Prepared, at: Studies, struct: str, category: str | None
) -> Alternative | str:
    family = _family(prepared, category)
    if isinstance(family, str):
        return family
    q = len(family.labels)
    if (family.code < 0).any():
        return f"some levels of {family.name} have no mean"
    if struct == "UN" and q * (q + 1) // 2 > at.count:
        return (
            f"an unstructured covariance of {q} levels has {q * (q + 1) // 2} components, more "
            f"than there are {at.noun(2)} ({at.count})"
        )
    study, inner = _free(at.name), _free(family.name)
    inner = f"{inner} level" if inner == study else inner
    frame = pd.DataFrame({study: at.code, inner: np.array(family.labels)[family.code]})
    label = f"{inner} | {study} ({struct})"
    return _bound(label, [Random(f"{inner} | {study}", struct=struct)], frame)


def _family(prepared: Prepared, category: str | None) -> Family | str:
    found = [f for f in families(prepared) if f.n_factors == 1 and len(f.labels) > 1]
    if category is not None:
        named = [f for f in found if f.name in (category, factor_column(category))]
        there = ", ".join(f.name for f in found) or "none"
        return named[0] if named else f"the formula has no factor {category!r}; it has {there}"
    return found[0] if found else "the formula has no factor"


def _bound(label: str, random: list[Random], frame: pd.DataFrame) -> Alternative:
    rows = np.arange(len(frame))
    source = Source(frame)
    bound = [
        bind(collect(spec, source, None), Selection(rows, rows))
        for spec in expand(None, random, source.columns)
    ]
    return Alternative(label, tuple(term for term, _, _ in bound), [r for _, r, _ in bound])


def _free(name: str) -> str:
    """A column name the grammar of random terms can read."""
    plain = "".join(c if c.isalnum() or c == "_" else "_" for c in name)
    return plain if plain.isidentifier() else f"g_{plain}"
