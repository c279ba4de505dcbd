"""Where the estimates of a fit come from, labelled and in words."""

from __future__ import annotations

import ast
import html
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.layout import is_nested, recode
from mvmeta.errors import SpecificationError
from mvmeta.inference.contributions import contributions, group_sums
from mvmeta.inference.degrees import DegreesOfFreedom
from mvmeta.inference.evidence import evidence
from mvmeta.inference.fit import Fit
from mvmeta.inference.weights import coefficient_weights, group_weights, row_weights
from mvmeta.model.build import Prepared
from mvmeta.model.formula import linear_constraints
from mvmeta.model.inference import cluster_codes, cluster_labels
from mvmeta.model.names import c_arguments, column_name

COLUMNS = (
    "joint",
    "joint_se",
    "direct",
    "direct_se",
    "shift",
    "shift_se",
    "shift_z",
    "shift_p",
    "borrowed",
    "n_rows",
    "n_groups",
    "weight_outside",
    "within",
)
"""Columns of the table that come as they are from `inference.evidence.EvidenceTable`."""

DISPLAYED = {
    "joint": "joint",
    "(se)": "joint_se",
    "direct": "direct",
    "(se) ": "direct_se",
    "shift": "shift",
}
"""Columns of the text, and what is in them."""

MATCH_TOLERANCE = 1e-8
"""Relative residual up to which a combination of coefficients is one of level means."""

SURPRISING = 0.05
"""P-value of a shift below which the sentences call it more than chance explains."""

MOST_NAMED = 4
"""Studies or levels that a sentence names one by one."""

WIDTH = 78
"""Columns of the text."""

LEAST_WORD = 3
"""Letters from which on a column name is taken for a word that has a plural."""

LEAST_REASON = 0.5
"""How far, in shifts, the direct studies must lie off average to be called the reason."""

ROW, BLOCK = "row", "V block"
"""What a study is where the model has no random terms."""

SLOPE = "a slope: every row informs it"
INTERCEPT = "the mean where every moderator is 0: every row informs it"
WHAT_A_STUDY_IS = (
    "a study is a level of the model's outermost grouping, and groups= picks another column"
)
UNKNOWN = "no combination of the level means of one factor: no rows observe it by themselves"
ARRAYS = "built from arrays that are not indicators of levels: every row informs it"


# -- what is estimated ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Family:
    """The level means of one factor, or of the cells of several.

    Attributes
    ----------
    name : str
        "Category", or "Category:sex".
    labels, short : list of str
        "Category[C]" and "C".
    means : ndarray, shape (m, p)
        Combinations of the coefficients.
    code : ndarray of int, shape (n,)
        Level of each row; -1 for levels that are left out.
    n_factors : int
    """

    name: str
    labels: list[str]
    short: list[str]
    means: Floats
    code: Ints
    n_factors: int = 1


@dataclass(frozen=True, eq=False)
class Studies:
    """What a study is: the outermost grouping of the rows.

    Attributes
    ----------
    name : str
        "Study"; ROW or BLOCK where the model names none.
    code : ndarray of int, shape (n,)
    labels : sequence
    """

    name: str
    code: Ints
    labels: pd.Index

    @property
    def count(self) -> int:
        """Number of studies."""
        return len(self.labels)

    def noun(self, count: int) -> str:
        """A word for `count` of them."""
        word = self.name.lower()
        if "stud" in word:
            word = "study"
        elif not word.isalpha() or len(word) < LEAST_WORD or word.endswith("s"):
            word = BLOCK if self.name == BLOCK else f"{self.name} group"
        if count == 1:
            return word
        return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


@dataclass(frozen=True, eq=False)
class Target:
    """One row of the table: a combination of the coefficients and who observes it.

    Attributes
    ----------
    label, short : str
    row : ndarray, shape (p,)
    direct : ndarray of bool, shape (n,), or None
    reason : str
        Why `direct` is None; empty otherwise.
    family : Family or None
        Whose levels it is made of.
    contrast : bool
        Whether it compares levels.
    """

    label: str
    short: str
    row: Floats
    direct: Bools | None = None
    reason: str = ""
    family: Family | None = None
    contrast: bool = False


def families(prepared: Prepared) -> list[Family]:
    """Level means of every factor, and of the cells of every interaction of factors.

    The mean of a level is that over the levels of the other factors, each counting the same
    (Searle, Speed & Milliken 1980, Am Stat 34:216), with what is numeric at its average over
    the fitted rows.  Means the data do not determine (an empty cell) are left out.  A model
    built from arrays has one family where its columns are indicators of disjoint levels.
    """
    if prepared.spec is None:
        return _indicator_family(prepared)
    info = prepared.spec.design_info
    frame = prepared.frame.reset_index(drop=True)
    design = _AverageDesign(prepared, frame)
    sets = dict.fromkeys(
        frozenset(design.columns[f] for f in t.factors)
        for t in info.terms
        if t.factors and all(f in design.columns for f in t.factors)
    )
    made = [_family(design, [c for c in design.codes if c in chosen]) for chosen in sets]
    return [family for family in made if len(family.labels)]


def _indicator_family(prepared: Prepared) -> list[Family]:
    x, names = prepared.problem.x, list(prepared.exog_names)
    if x.shape[1] < 2 or not (np.isin(x, (0.0, 1.0)).all() and (x.sum(axis=1) == 1.0).all()):
        return []
    return [Family("exog", names, names, np.eye(len(names)), x.argmax(axis=1))]


def _codes(factor: Any, info: Any, frame: pd.DataFrame) -> Ints:
    """Level of each row, as positions in the categories patsy knows."""
    found = info.factor_infos[factor]
    value = factor.eval(found.state, frame)
    plain = isinstance(value, (np.ndarray, pd.Series, pd.Categorical))
    values = np.asarray(value if plain else value.data, dtype=object)
    return np.asarray(pd.Index(found.categories, dtype=object).get_indexer(values), dtype=np.intp)


def _numbers(factor: Any, info: Any, frame: pd.DataFrame) -> Floats:
    values = np.asarray(factor.eval(info.factor_infos[factor].state, frame), dtype=float)
    return values.reshape(len(frame), -1)


Column: TypeAlias = tuple[str, tuple[Any, ...]]
"""A factor whatever its coding: ``C(x)`` and ``C(x, Sum)`` are one; name and levels."""


class _AverageDesign:
    """Design rows with some factors at given levels and everything else averaged."""

    def __init__(self, prepared: Prepared, frame: pd.DataFrame) -> None:
        assert prepared.spec is not None
        self.info = info = prepared.spec.design_info
        kinds = {f: i.type == "categorical" for f, i in info.factor_infos.items()}
        self.columns: dict[Any, Column] = {
            f: (_factor_name(f.code), tuple(info.factor_infos[f].categories))
            for f, factor in kinds.items()
            if factor
        }
        self.codes = {column: _codes(f, info, frame) for f, column in self.columns.items()}
        self._numbers = {f: _numbers(f, info, frame) for f, factor in kinds.items() if not factor}
        self.seen = {column: np.unique(code) for column, code in self.codes.items()}
        self._kept = prepared.exog_columns
        self._lost = np.setdiff1d(np.arange(len(prepared.spec.column_names)), self._kept)
        self._ties = self._dependence(prepared) if len(self._lost) else None

    def row(self, levels: Mapping[Column, int]) -> Floats | None:
        """Combination (p,) of the kept coefficients; None where the data do not determine it."""
        full = np.concatenate(
            [
                self._columns(part, levels)
                for term in self.info.terms
                for part in self.info.term_codings[term]
            ]
        )
        kept = full[self._kept]
        if self._ties is not None:
            gap = np.abs(full[self._lost] - kept @ self._ties).max()
            if gap > MATCH_TOLERANCE * max(np.abs(full).max(), 1.0):
                return None
        return kept

    def _dependence(self, prepared: Prepared) -> Floats:
        """The columns that were dropped as combinations (p, k) of those that were kept."""
        assert prepared.spec is not None
        full = prepared.spec.design(prepared.frame)
        ties = np.linalg.lstsq(full[:, self._kept], full[:, self._lost], rcond=None)[0]
        return np.asarray(ties, dtype=float)

    def _columns(self, part: Any, levels: Mapping[Column, int]) -> Floats:
        """Columns of one of patsy's subterms; its leftmost factor varies fastest."""
        order = list(part.factors)
        numeric = [f for f in order if f in self._numbers]
        factors = [f for f in order if f in self.columns]
        tensor = self._numeric_mean(numeric)
        for f in factors:
            coding = part.contrast_matrices[f].matrix
            column = self.columns[f]
            at = coding[[levels[column]] if column in levels else self.seen[column]].mean(axis=0)
            tensor = np.multiply.outer(tensor, at)
        place = [(numeric + factors).index(f) for f in order]
        return np.asarray(tensor.transpose(place).ravel(order="F"))

    def _numeric_mean(self, numeric: list[Any]) -> Floats:
        """Average over the rows of the product of numeric factors, one axis each."""
        if not numeric:
            return np.ones(())
        values = np.ones((len(self._numbers[numeric[0]]), 1))
        for f in numeric:
            values = (values[:, :, None] * self._numbers[f][:, None, :]).reshape(len(values), -1)
        return np.asarray(values.mean(axis=0)).reshape([self._numbers[f].shape[1] for f in numeric])


def _family(design: _AverageDesign, factors: list[Column]) -> Family:
    cells = np.stack([design.codes[f] for f in factors], axis=1)
    levels, code = np.unique(cells, axis=0, return_inverse=True)
    rows = [design.row(dict(zip(factors, map(int, cell), strict=True))) for cell in levels]
    kept = [i for i, row in enumerate(rows) if row is not None]
    place = np.full(len(levels), -1)
    place[kept] = np.arange(len(kept))
    names = [name for name, _ in factors]
    texts = [
        [str(known[k]) for (_, known), k in zip(factors, cell, strict=True)]
        for cell in levels[kept]
    ]
    return Family(
        ":".join(names),
        [":".join(f"{n}[{t}]" for n, t in zip(names, text, strict=True)) for text in texts],
        [":".join(text) for text in texts],
        np.array([row for row in rows if row is not None]).reshape(len(kept), -1),
        place[code.ravel()],
        len(factors),
    )


def _factor_name(code: str) -> str:
    """The column of ``C(column, ...)``: a name that does not depend on the coding."""
    node = ast.parse(code.strip(), mode="eval").body
    return column_name(c_arguments(node)[0] or node) or code


def studies(prepared: Prepared, groups: Any = None) -> Studies:
    """The grouping that `groups` names, or the outermost one of the model.

    That is the first random term with several levels, or one it is nested in with fewer; without
    random terms the correlated blocks of V; without these every row by itself.
    """
    if groups is not None:
        name = groups if isinstance(groups, str) else getattr(groups, "name", None)
        labels = cluster_labels(prepared, groups)
        code = recode(cluster_codes(prepared, groups))[0]
        return Studies(str(name or "study"), code, labels)
    terms = [t for t in prepared.problem.terms if t.n_levels > 1]
    if terms:
        found = terms[0]
        for t in terms[1:]:
            if t.n_levels < found.n_levels and is_nested(found.level, t.level):
                found = t
        name = found.name.split("|")[-1].split("(")[0].strip()
        return Studies(name, found.level, pd.Index(list(found.level_labels), dtype=object))
    v = prepared.problem.v
    if v.is_diagonal:
        return Studies(ROW, np.arange(v.n), prepared.index)
    code, count = recode(v.cluster)
    return Studies(BLOCK, code, pd.RangeIndex(1, count + 1))


# -- which rows are direct -----------------------------------------------------------------


def default_targets(prepared: Prepared, found: list[Family]) -> list[Target]:
    """Every level mean, then every slope; the coefficients where there are no levels."""
    words = len(found) == 1 and not any(s.replace(".", "").isnumeric() for s in found[0].short)
    out = [
        Target(label, short if words else label, row, family.code == i, "", family)
        for family in found
        for i, (label, short, row) in enumerate(
            zip(family.labels, family.short, family.means, strict=True)
        )
    ]
    level = _level_columns(prepared)
    reasons = {True: INTERCEPT, False: SLOPE}
    if prepared.spec is None and not found:
        reasons[False] = ARRAYS
    every = np.ones(prepared.problem.n, dtype=bool)
    for j, (name, row) in enumerate(
        zip(prepared.exog_names, np.eye(prepared.problem.p), strict=True)
    ):
        if level[j] and found:
            continue
        if prepared.problem.p == 1 and (prepared.problem.x == 1.0).all():
            out.append(Target(name, name, row, every))
        else:
            out.append(Target(name, name, row, None, reasons[bool(level[j])]))
    return out


def contrast_targets(
    prepared: Prepared, found: list[Family], contrasts: Any, codes: Ints
) -> list[Target]:
    """The combinations a user asks for; see `Evidence`."""
    level = _level_columns(prepared)
    return [
        _classified(label, row, found, level, codes)
        for label, row in _read(prepared, found, contrasts)
    ]


def _level_columns(prepared: Prepared) -> Bools:
    """Columns (p,) of the intercept and of terms of factors alone."""
    if prepared.spec is None:
        x = prepared.problem.x
        return np.asarray(
            (x == 1.0).all(axis=0) if not _indicator_family(prepared) else np.ones(x.shape[1], bool)
        )
    info = prepared.spec.design_info
    out = np.zeros(len(prepared.spec.column_names), dtype=bool)
    for term, at in info.term_slices.items():
        out[at] = all(info.factor_infos[f].type == "categorical" for f in term.factors)
    return out[prepared.exog_columns]


def _read(prepared: Prepared, found: list[Family], contrasts: Any) -> list[tuple[str, Floats]]:
    if isinstance(contrasts, str) and contrasts == "pairwise":
        return [
            (f"{f.labels[j]} - {f.labels[i]}", f.means[j] - f.means[i])
            for f in found
            if f.n_factors == 1
            for i, j in combinations(range(len(f.labels)), 2)
        ]
    if isinstance(contrasts, str):
        return _from_text(prepared, found, contrasts)
    if isinstance(contrasts, Mapping):
        named = [(k, _read(prepared, found, v)) for k, v in contrasts.items()]
        return [(str(k), row) for k, parts in named for _, row in parts]
    if isinstance(contrasts, pd.DataFrame):
        return list(zip(map(str, contrasts.index), _weights(prepared, contrasts), strict=True))
    if isinstance(contrasts, Sequence) and len(contrasts) and isinstance(contrasts[0], str):
        return [pair for text in contrasts for pair in _from_text(prepared, found, text)]
    rows = _weights(prepared, contrasts)
    return [(f"c{i}", row) for i, row in enumerate(rows)]


def _from_text(prepared: Prepared, found: list[Family], text: str) -> list[tuple[str, Floats]]:
    """Combinations in words, of level means ("Category[C] - Category[A]") or coefficients."""
    means = {label: row for f in found for label, row in zip(f.labels, f.means, strict=True)}
    for name, row in zip(prepared.exog_names, np.eye(prepared.problem.p), strict=True):
        means.setdefault(name, row)
    weights, rhs = linear_constraints(text, list(means))
    if rhs.any():
        raise SpecificationError(
            f"evidence shows where an estimate comes from; leave the number out of {text!r}"
        )
    rows = weights @ np.array(list(means.values()))
    return [(text if len(rows) == 1 else f"{text} [{i}]", row) for i, row in enumerate(rows)]


def _weights(prepared: Prepared, values: Any) -> Floats:
    rows = np.atleast_2d(np.asarray(values, dtype=float))
    if rows.ndim != 2 or rows.shape[1] != prepared.problem.p:
        raise SpecificationError(
            f"contrasts need one weight for each of the {prepared.problem.p} coefficients "
            f"({', '.join(prepared.exog_names)}); got shape {rows.shape}"
        )
    return rows


def _classified(label: str, row: Floats, found: list[Family], level: Bools, codes: Ints) -> Target:
    if not row.any():
        raise SpecificationError(f"the contrast {label!r} has only zero weights")
    if not row[level].any():
        return Target(label, label, row, None, SLOPE)
    best: tuple[Family, Floats] | None = None
    for family in found:
        weights = _as_levels(row[level], family.means[:, level])
        if weights is not None and (best is None or (weights != 0).sum() < (best[1] != 0).sum()):
            best = family, weights
    if best is None:
        return Target(label, label, row, None, UNKNOWN)
    family, weights = best
    contrast = bool(abs(weights.sum()) <= MATCH_TOLERANCE * np.abs(weights).max())
    involved = np.flatnonzero(weights)
    direct: Bools = np.asarray(np.isin(family.code, involved))
    if contrast:
        cells = np.zeros((int(codes.max()) + 1, len(family.labels) + 1), dtype=bool)
        cells[codes, family.code] = True
        direct = direct & np.all(cells[:, involved], axis=1)[codes]
    return Target(label, label, row, direct, "", family, contrast)


def _as_levels(row: Floats, means: Floats) -> Floats | None:
    """Weights (m,) of the level means (m, c) that give `row` (c,); None if there are none."""
    weights = np.linalg.lstsq(means.T, row, rcond=None)[0]
    if np.abs(weights @ means - row).max() > MATCH_TOLERANCE * np.abs(row).max():
        return None
    return np.where(np.abs(weights) > MATCH_TOLERANCE * np.abs(weights).max(), weights, 0.0)


# -- the result ----------------------------------------------------------------------------


class Evidence:
    """Where the estimates of a fit come from.

    Parameters
    ----------
    fit : Fit
    prepared : Prepared
    df : DegreesOfFreedom
        Of the tests of the fit.
    contrasts : optional
        None: every level mean of the factors of the formula, in one table that does not depend
        on their coding, then every slope.  "pairwise": all differences of the levels of a
        factor.  Text such as "Category[C] - Category[A]" in these names or in those of the
        coefficients, a list of texts, a dict from labels to texts, or weights of the
        coefficients (m, p).
    groups : str or array_like (n_given,), optional
        What a study is; the outermost grouping of the model unless said.

    Attributes
    ----------
    frame : DataFrame
        One row per estimate: `joint, joint_se` from all rows; `direct, direct_se` from its own
        rows alone, with the same components; `shift` (joint - direct) with `shift_se`,
        `shift_z` and `shift_p`; `borrowed`, 1 - var(joint) / var(direct); `n_rows` and
        `n_groups`, the own rows and the studies they are in; `weight_outside`, the sum of the
        absolute contributions of all other rows; `within` and `between`, the shares of the
        information that are in comparisons within and between studies.  Standard errors are
        those of the model, whatever `cov_type` the fit has.
    reasons : Series
        Why there is no direct estimate; empty where there is one.
    sentences : Series
        The table in words.

    Notes
    -----
    The own rows of a level mean are the rows of that level.  The mean of a level is taken over
    the levels of the other factors in equal parts and at the average of numeric moderators, so
    with other moderators its own rows may not determine it: `direct` is NaN then.  The own rows
    of a comparison of levels are those of its levels in the studies that observe all of them.
    A slope has none, as every row informs it, and neither has a combination of coefficients
    that is not one of level means of a single factor or interaction.
    """

    def __init__(
        self,
        fit: Fit,
        prepared: Prepared,
        df: DegreesOfFreedom,
        contrasts: Any = None,
        groups: Any = None,
    ) -> None:
        self._index = prepared.index
        self._studies = studies(prepared, groups)
        found = families(prepared)
        if contrasts is None:
            targets = default_targets(prepared, found)
        else:
            targets = contrast_targets(prepared, found, contrasts, self._studies.code)
        labels = pd.Index([t.label for t in targets])
        rows = np.array([t.row for t in targets]).reshape(len(targets), fit.problem.p)
        at = evidence(fit, df, rows, [t.direct for t in targets], self._studies.code)
        self.frame = pd.DataFrame({c: getattr(at, c) for c in COLUMNS}, index=labels)
        self.frame["between"] = 1.0 - self.frame["within"]
        self._h = at.contributions
        nothing = {True: "its own rows do not determine it", False: ""}
        reasons = [
            t.reason or nothing[bool(np.isnan(d))] for t, d in zip(targets, at.direct, strict=True)
        ]
        self.reasons = pd.Series(reasons, index=labels, name="reason")
        numbers = self.frame.assign(others=at.others).to_dict("records")
        self.sentences = pd.Series(
            [_sentence(t, r, self._studies) for t, r in zip(targets, numbers, strict=True)],
            index=labels,
            name="sentence",
        )

    def contributions(self, by: str = "row") -> pd.DataFrame:
        """Signed contributions: the estimate is their sum, each times the observed effect.

        Parameters
        ----------
        by : {"row", "study"}
            Rows of the data, or their sums over studies.

        Returns
        -------
        DataFrame
            One row per estimate, one column per row or study.

        Raises
        ------
        SpecificationError
            For another `by`.
        """
        return _contributions(self._h, self.frame.index, self._index, self._studies, by)

    def summary(self) -> str:
        """The table and one sentence per estimate, as text."""
        body = self._display().to_string()
        width = max(WIDTH, *(len(line) for line in body.split("\n")))
        lines = [
            textwrap.fill(
                s, WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False
            )
            for s in self.sentences
        ]
        title = "Where the estimates come from".center(width).rstrip()
        rule = "=" * width
        return "\n".join([title, rule, body, rule, *lines])

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{html.escape(s)}</li>" for s in self.sentences)
        return f"{self._display().to_html()}<ul>{items}</ul>"

    def _display(self) -> pd.DataFrame:
        f = self.frame
        columns = {
            name: [_number(v, se) for v, se in zip(f[column], f["joint_se"], strict=True)]
            for name, column in DISPLAYED.items()
        }
        columns |= {
            "P": ["" if np.isnan(p) else f"{p:.3f}" for p in f["shift_p"]],
            "borrowed": [_percent_cell(v) for v in f["borrowed"]],
            "within": [_percent_cell(v) for v in f["within"]],
            "rows": list(map(str, f["n_rows"])),
            "groups": list(map(str, f["n_groups"])),
        }
        return pd.DataFrame(columns, index=f.index)


def contributions_frame(
    fit: Fit, prepared: Prepared, by: str = "row", groups: Any = None
) -> pd.DataFrame:
    """H (p, n) with params = H y, or its sums by study (p, J); see `Evidence.contributions`."""
    names = pd.Index(prepared.exog_names)
    return _contributions(contributions(fit), names, prepared.index, studies(prepared, groups), by)


def weights_frame(
    fit: Fit, prepared: Prepared, by: str = "row", groups: Any = None
) -> pd.DataFrame:
    """Weights in percent by row, by study, or of every study in every coefficient.

    Parameters
    ----------
    fit : Fit
    prepared : Prepared
    by : {"row", "study", "coefficient"}
        "row" and "study": columns `diagonal` (of inv(M), or the user's W) and `rowsum` (of its
        rows: the weights in the estimate of an intercept-only model, which may be negative; NaN
        for other models).  "coefficient": one row per study and one column per coefficient,
        each summing to 100; see `inference.weights.coefficient_weights`.
    groups : str or array_like (n_given,), optional
        What a study is; the outermost grouping of the model unless said.

    Raises
    ------
    SpecificationError
        For another `by`.
    """
    if by == "row":
        w = row_weights(fit)
        return pd.DataFrame({"diagonal": w.diagonal, "rowsum": w.rowsum}, index=prepared.index)
    if by not in ("study", "coefficient"):
        raise SpecificationError(
            f"weights(by=) takes 'row', 'study' or 'coefficient', got {by!r}; {WHAT_A_STUDY_IS}"
        )
    at = studies(prepared, groups)
    index = pd.Index(at.labels, name=at.name)
    if by == "study":
        w = group_weights(fit, at.code)
        return pd.DataFrame({"diagonal": w.diagonal, "rowsum": w.rowsum}, index=index)
    return pd.DataFrame(
        coefficient_weights(fit, at.code).T, index=index, columns=prepared.exog_names
    )


def _contributions(
    h: Floats, names: pd.Index, rows: pd.Index, at: Studies, by: str
) -> pd.DataFrame:
    if by == "row":
        return pd.DataFrame(h, index=names, columns=rows)
    if by != "study":
        raise SpecificationError(
            f"contributions(by=) takes 'row' or 'study', got {by!r}; {WHAT_A_STUDY_IS}"
        )
    columns = pd.Index(at.labels, name=at.name)
    return pd.DataFrame(group_sums(h, at.code), index=names, columns=columns)


# -- in words ------------------------------------------------------------------------------


def _sentence(t: Target, r: dict[Any, Any], at: Studies) -> str:
    joint = _number(r["joint"], r["joint_se"])
    if t.direct is None:
        return f"{t.short} is {joint}; it has no direct estimate ({t.reason})."
    if t.direct.all() and t.family is None:
        return f"{t.short} is {joint}, the mean that every row observes."
    where = _where(t, at)
    if np.isnan(r["direct"]):
        if r["n_rows"]:
            return f"{where}, whose rows alone do not determine it; all rows give {joint}."
        return f"{where}: {joint} is borrowed from other rows altogether."
    if r["shift_se"] == 0:
        return f"{where}: its own rows alone give {joint}, and no other row changes that."
    direct, shift = (_number(r[k], r["joint_se"]) for k in ("direct", "shift"))
    shift = shift if shift.startswith("-") else f"+{shift}"
    chance = ""
    if r["shift_p"] < SURPRISING:
        p = f"= {r['shift_p']:.2g}" if r["shift_p"] >= 1e-4 else "< 0.0001"
        chance = f", more than chance explains (P {p})"
    return (
        f"{where}: its own rows alone give {direct}, all rows together {joint}, "
        f"a shift of {shift}{chance}{_because(t, r, at)}; {_borrowed(t, r, at)}."
    )


def _where(t: Target, at: Studies) -> str:
    assert t.direct is not None
    which = np.unique(at.code[t.direct])
    several = f"{len(which)} {at.noun(len(which))} of {at.count}{_named(which, at)}"
    if t.contrast:
        if not len(which) and at.name == ROW:
            return f"{t.short} is compared within no study, as the model names none"
        if not len(which):
            return f"{t.short} is compared within no {at.noun(1)} of {at.count}"
        return f"{t.short} is compared within {several}"
    return f"{t.short} is seen in {several}"


def _named(which: Ints, at: Studies) -> str:
    if at.name == ROW or not 0 < len(which) <= MOST_NAMED or len(which) == at.count:
        return ""
    return f" ({_list([f'{at.name} {at.labels[i]}' for i in which])})"


def _because(t: Target, r: dict[Any, Any], at: Studies) -> str:
    """The studies that observe a level read low or high elsewhere: why its mean moved away."""
    others = r["others"]
    if t.contrast or t.family is None or not others * r["shift"] < 0:
        return ""
    if abs(others) < LEAST_REASON * abs(r["shift"]):
        return ""
    assert t.direct is not None
    which = np.unique(at.code[t.direct])
    if len(which) == at.count:
        return ""
    near = np.isin(at.code, which) & ~t.direct & (t.family.code >= 0)
    levels = [t.family.short[i] for i in np.unique(t.family.code[near])]
    what = _list(levels) if 0 < len(levels) <= MOST_NAMED else f"the rest of {t.family.name}"
    who = f"{at.name} {at.labels[which[0]]}" if len(which) == 1 else f"these {at.noun(2)}"
    side = "below" if others < 0 else "above"
    return f", because the effects of {who} in {what} lie about {abs(others):.2g} {side} average"


def _borrowed(t: Target, r: dict[Any, Any], at: Studies) -> str:
    share = r["borrowed"]
    if share < 0:
        return "with the given weights the other rows make it less certain"
    what = "it" if t.contrast else t.short
    borrowed = f"{_percent(share)} of what is known about {what} is borrowed from other rows"
    if not t.contrast or np.isnan(r["within"]):
        return borrowed
    return f"{borrowed}, and {_percent(r['within'])} comes from comparisons within {at.noun(2)}"


def _percent(share: float) -> str:
    if 0 < share < 0.01:
        return "less than 1 %"
    if 0.99 < share < 1:
        return "more than 99 %"
    return f"{100 * share:.0f} %"


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _number(value: float, se: float) -> str:
    """Four decimals, or more where the standard error is small; no trailing zeros."""
    if np.isnan(value):
        return ""
    decimals = 4 if not se > 0 else max(4, 3 - int(np.floor(np.log10(se))))
    text = f"{value:.{decimals}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _percent_cell(value: float) -> str:
    return "" if np.isnan(value) else f"{100 * value:.0f}%"
