"""Random terms as users write them, and their expansion to one specification per term."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.errors import DataError, SpecificationError
from mvmeta.model.distances import METRICS
from mvmeta.model.frames import shorten
from mvmeta.structures import structure_class

SPATIAL = frozenset({"SPEXP", "SPGAU", "SPLIN", "SPRAT", "SPSPH", "MATERN"})
"""Structures over sites: their left side is coordinates, or a site with `distance=`."""

SLOPES = {"GEN": "UN", "GDIAG": "DIAG"}
"""Structures over a design (random slopes), and the class that gives their G."""

NEEDS_MATRIX = frozenset({"PROP", "PHYBM", "PHYPL", "PHYOU"})
"""Structures over a known matrix of the inner levels; `Random` takes those as `corr`."""

UNCORRELATED = frozenset({"ID", "DIAG", "GDIAG"})
"""Structures without a rho."""

CORR_SCALES = ("cor", "cor0", "cov0", "none")
"""What `corr_scale=` takes."""

Pins = Mapping[str, float | tuple[float | None, ...] | None]


@dataclass(frozen=True)
class Grouping:
    """One grouping factor: the combination of `columns`, written `text`."""

    text: str
    columns: tuple[str, ...]
    separator: str = "/"


@dataclass(frozen=True, eq=False, repr=False)
class Random:
    """A random term of the model.

    Parameters
    ----------
    formula : str
        "1 | g": a random intercept for each level of g, with variance sigma2.  g is a column,
        a combination ("a:b"), a nesting ("a/b/c", which is the three terms a, a/b and a/b/c),
        or "const", one group for all rows.
        "inner | outer": correlated effects of the levels of `inner` within those of `outer`.
        A leading "~" is allowed.
    struct : str, optional
        Covariance of the inner levels: "CS" (default for one factor), "HCS", "UN", "ID",
        "DIAG", "AR", "HAR", "CAR"; spatial "SPEXP", "SPGAU", "SPLIN", "SPRAT", "SPSPH" (inner:
        coordinates "x + y", or a site with `distance` a matrix); "GEN", "GDIAG" (inner: a
        patsy design such as "1 + dose").  Case does not matter.
    corr : DataFrame, optional
        Known correlations of the levels of g, rows and columns labelled by them: the variance
        is then ``sigma2 * corr``.  Levels that do not occur are left out.  With "a/b" it
        belongs to the last of the terms.
    corr_scale : {"cor", "cor0", "cov0", "none"}
        After selecting the levels that occur: "cor" makes `corr` a correlation matrix, "cor0"
        then maps its smallest element to 0 and keeps 1, "cov0" subtracts its smallest element,
        "none" takes it as it is.
    distance : {"euclidean", "manhattan", "maximum", "gcd"} or DataFrame, optional
        Metric over the coordinates ("gcd" is km over longitude and latitude in degrees), or
        the distances themselves, labelled by site.
    fixed : dict, optional
        Components that are not estimated: {"sigma2": 0.1}, {"tau2": [None, 0.2], "rho": 0};
        one number, or one entry per component with None where it is estimated.  For
        "1 | a/b" sigma2 has one entry per term.

    Raises
    ------
    SpecificationError
        If the parts contradict each other.

    Examples
    --------
    >>> Random("outcome | study", struct="un")
    Random('outcome | study', struct='UN')
    """

    formula: str
    struct: str | None = None
    _: KW_ONLY
    corr: pd.DataFrame | None = None
    corr_scale: str = "cor"
    distance: str | pd.DataFrame | None = None
    fixed: Any = None
    left: str = field(init=False)
    groupings: tuple[Grouping, ...] = field(init=False)

    def __post_init__(self) -> None:
        left, right = _split(self.formula)
        object.__setattr__(self, "left", left)
        object.__setattr__(self, "groupings", parse_groupings(right, self.formula))
        object.__setattr__(self, "struct", _structure_code(self.struct, left, self.formula))
        self._check_corr()
        self._check_distance()
        object.__setattr__(self, "fixed", self._checked_pins())

    @property
    def is_intercept(self) -> bool:
        """True for "1 | g"."""
        return self.struct is None

    def __repr__(self) -> str:
        parts = [repr(self.formula)]
        parts += [f"struct={self.struct!r}"] if self.struct else []
        parts += [f"corr={_brief(self.corr)}"] if self.corr is not None else []
        parts += [f"corr_scale={self.corr_scale!r}"] if self.corr_scale != "cor" else []
        parts += [f"distance={_brief(self.distance)}"] if self.distance is not None else []
        parts += [f"fixed={dict(self.fixed)!r}"] if self.fixed else []
        return f"Random({', '.join(parts)})"

    def _check_corr(self) -> None:
        if self.corr_scale not in CORR_SCALES:
            raise SpecificationError(
                f"corr_scale={self.corr_scale!r} in {self!r}: "
                f"it takes one of {', '.join(CORR_SCALES)}"
            )
        if self.corr is None:
            return
        if not self.is_intercept:
            raise SpecificationError(
                f"{self!r}: corr= belongs to random intercepts '1 | g', "
                f"not to {self.left!r} on the left"
            )
        _require_labelled(self.corr, "corr", self)

    def _check_distance(self) -> None:
        if self.distance is None:
            return
        if self.struct not in SPATIAL:
            raise SpecificationError(f"{self!r}: distance= belongs to the structures SP* only")
        if isinstance(self.distance, str):
            if self.distance not in METRICS:
                raise SpecificationError(
                    f"{self!r}: distance= takes {', '.join(map(repr, METRICS))} "
                    "or a labelled DataFrame"
                )
            return
        _require_labelled(self.distance, "distance", self)

    def _checked_pins(self) -> Pins | None:
        if self.fixed is None:
            return None
        allowed = ("sigma2",) if self.is_intercept else ("tau2", "rho")
        allowed = allowed[:1] if self.struct in UNCORRELATED else allowed
        if not isinstance(self.fixed, Mapping) or set(self.fixed) - set(allowed):
            raise SpecificationError(
                f"fixed= of Random({self.formula!r}) must be a dict with the keys "
                f"{', '.join(map(repr, allowed))}, got {self.fixed!r}"
            )
        pins = {k: _pin_values(v, k, self.formula) for k, v in self.fixed.items()}
        sigma2 = pins.get("sigma2")
        if isinstance(sigma2, tuple) and len(sigma2) != len(self.groupings):
            raise SpecificationError(
                f"fixed sigma2 of Random({self.formula!r}) has {len(sigma2)} entries, but there "
                f"are {len(self.groupings)} variances: {shorten(g.text for g in self.groupings)}"
            )
        return pins


@dataclass(frozen=True, eq=False)
class TermSpec:
    """One term of the model before it meets the data.

    Attributes
    ----------
    name : str
        Unique name of the term, as in `vcomp`.
    outer : Grouping
        What its levels are.
    left : str
        Left side of its formula; "1" for a random intercept.
    code : str or None
        Structure as the user calls it; None for a random intercept.
    corr, corr_scale, distance, pins
        As in `Random`, `fixed` cut to this term.
    arrays : tuple of Series or None
        The grouping variables themselves where the user gave arrays.
    """

    name: str
    outer: Grouping
    left: str = "1"
    code: str | None = None
    corr: pd.DataFrame | None = None
    corr_scale: str = "cor"
    distance: str | pd.DataFrame | None = None
    pins: Pins = field(default_factory=dict)
    arrays: tuple[pd.Series, ...] | None = None

    @property
    def inner(self) -> tuple[str, ...]:
        """Columns on the left side; none for intercepts and designs."""
        if self.code is None or self.code in SLOPES:
            return ()
        return tuple(c.strip() for c in self.left.split("+"))


def expand(groups: Any, random: Any, columns: Sequence[object] | None = None) -> list[TermSpec]:
    """Turn `groups=` and `random=` into the ordered list of terms.

    Parameters
    ----------
    groups : None, str, list of str, array (n,) or (n, depth), or list of arrays
        "a", "a/b" or ["a", "b"] (nested); arrays are nested from left to right.  Names of
        arrays are those of the Series or of the columns of a DataFrame, else "group",
        "group2", "group3".
    random : None, str, Random, or list of them
    columns : sequence, optional
        Columns of the data: a list of strings in `groups` that are not among them holds
        the labels of the rows.

    Returns
    -------
    list of TermSpec
        `groups` first, then `random`; names are unique.

    Raises
    ------
    SpecificationError
        For a term that is asked for twice, or something that is no term.
    """
    specs = _from_groups(groups, columns)
    terms = [] if random is None else random if isinstance(random, (list, tuple)) else [random]
    for term in terms:
        specs += _from_random(term)
    _check_duplicates(specs)
    return _unique_names(specs)


def parse_groupings(text: str, where: str) -> tuple[Grouping, ...]:
    """Expand "a/b/c" to its three groupings and "a:b" to one; `where` is quoted in errors."""
    if re.search(r"[+*()|~]", text):
        raise SpecificationError(
            f"groups of a random term are 'a', 'a:b' or 'a/b', got {text!r} in {where!r}; "
            "give crossed groups as separate terms"
        )
    out: list[Grouping] = []
    parts = [tuple(name.strip() for name in step.split(":")) for step in text.split("/")]
    columns: tuple[str, ...] = ()
    for depth, part in enumerate(parts):
        columns += part
        if not all(columns):
            raise SpecificationError(f"a group is missing on the right side of {where!r}")
        if len(set(columns)) < len(columns):
            raise SpecificationError(f"the same group appears twice in {where!r}")
        steps = "/".join(":".join(p) for p in parts[: depth + 1])
        out.append(Grouping(steps, columns, "/" if depth else ":"))
    return tuple(out)


def _split(formula: object) -> tuple[str, str]:
    if not isinstance(formula, str) or not formula.strip():
        raise SpecificationError(
            f"a random term is written '1 | g' or 'inner | outer', got {formula!r}"
        )
    text = formula.strip().removeprefix("~")
    if "||" in text:
        raise SpecificationError(f"{formula!r}: for uncorrelated slopes use '|' and struct='GDIAG'")
    if text.count("|") != 1:
        raise SpecificationError(
            f"a random term has one '|', as in '1 | study' or 'outcome | study'; got {formula!r}"
        )
    left, right = (part.strip() for part in text.split("|"))
    if not left or not right:
        raise SpecificationError(f"one side of '|' is empty in the random term {formula!r}")
    return " ".join(left.split()), right


def _structure_code(struct: object, left: str, formula: str) -> str | None:
    """Code of the structure in upper case; None for a random intercept."""
    if struct is None:
        if left == "1":
            return None
        if _is_name(left):
            return "CS"
        raise SpecificationError(
            f"Random({formula!r}) needs a struct=: GEN or GDIAG for random slopes, "
            "SP* for coordinates"
        )
    if not isinstance(struct, str):
        raise SpecificationError(
            f"struct= of Random({formula!r}) is a code such as 'UN', got {struct!r}"
        )
    code = struct.upper()
    if code in SLOPES:
        return code
    structure_class(code)
    if code in NEEDS_MATRIX:
        raise SpecificationError(
            f"struct={code!r} of Random({formula!r}) cannot be given here; for known correlations "
            "use Random('1 | g', corr=matrix)"
        )
    _check_left(code, left, formula)
    return code


def _check_left(code: str, left: str, formula: str) -> None:
    if left == "1":
        raise SpecificationError(
            f"Random({formula!r}) is a random intercept and takes no struct={code!r}; "
            "put a factor on the left, or leave struct= out"
        )
    parts = [part.strip() for part in left.split("+")]
    most = None if code in SPATIAL else 1
    if not all(_is_name(part) for part in parts) or (most and len(parts) > most):
        what = "coordinates such as 'x + y'" if code in SPATIAL else "one factor"
        raise SpecificationError(f"struct={code!r} wants {what} on the left of '|', got {left!r}")


def _is_name(text: str) -> bool:
    return re.search(r"[+*:()/^~]|^[-\d]", text) is None


def _pin_values(value: Any, kind: str, formula: str) -> float | tuple[float | None, ...] | None:
    try:
        if value is None or np.ndim(value) == 0:
            return _pin_value(value)
        return tuple(_pin_value(v) for v in value)
    except (TypeError, ValueError):
        raise SpecificationError(
            f"fixed {kind} of Random({formula!r}) takes numbers, and None for what is estimated; "
            f"got {value!r}"
        ) from None


def _pin_value(value: Any) -> float | None:
    if value is None or np.isnan(float(value)):
        return None
    return float(value)


def _require_labelled(matrix: object, what: str, term: Random) -> None:
    if not isinstance(matrix, pd.DataFrame):
        raise SpecificationError(
            f"{what}= of Random({term.formula!r}) must be a DataFrame whose index and columns name "
            f"the levels, got {type(matrix).__name__}; wrap it: pandas.DataFrame({what}, "
            "index=levels, columns=levels)"
        )
    if matrix.shape[0] != matrix.shape[1]:
        raise SpecificationError(
            f"{what}= of Random({term.formula!r}) must be square, got {matrix.shape}"
        )


def _brief(matrix: object) -> str:
    if isinstance(matrix, pd.DataFrame):
        return f"<DataFrame {matrix.shape[0]} x {matrix.shape[1]}>"
    return repr(matrix) if isinstance(matrix, str) else f"<{type(matrix).__name__}>"


def _from_random(term: object) -> list[TermSpec]:
    if isinstance(term, str):
        term = Random(term)
    if not isinstance(term, Random):
        raise SpecificationError(
            "random= takes strings such as '1 | study' and Random(...), "
            f"got {type(term).__name__}: {term!r}"
        )
    if not term.is_intercept:
        return [_structured(term, g) for g in term.groupings]
    specs = [
        TermSpec(g.text, g, pins=_pin_of(term.fixed or {}, position))
        for position, g in enumerate(term.groupings)
    ]
    if term.corr is not None:
        last = specs[-1]
        specs[-1] = replace(
            last, name=f"{last.name} (corr)", corr=term.corr, corr_scale=term.corr_scale
        )
    return specs


def _structured(term: Random, outer: Grouping) -> TermSpec:
    return TermSpec(
        f"{term.left} | {':'.join(outer.columns)}",
        outer,
        term.left,
        term.struct,
        distance=term.distance,
        pins=term.fixed or {},
    )


def _pin_of(pins: Pins, position: int) -> Pins:
    return {k: v[position] if isinstance(v, tuple) else v for k, v in pins.items()}


def _from_groups(groups: Any, columns: Sequence[object] | None) -> list[TermSpec]:
    if groups is None:
        return []
    if isinstance(groups, str):
        if "|" in groups:
            raise SpecificationError(
                f"groups={groups!r} names columns, as in 'study' or 'study/id'; "
                "terms with '|' are given as random="
            )
        return [TermSpec(g.text, g) for g in parse_groupings(groups, f"groups={groups!r}")]
    if _is_column_list(groups, columns):
        return [
            TermSpec(g.text, g) for g in parse_groupings("/".join(groups), f"groups={groups!r}")
        ]
    return _from_arrays(_as_columns(groups))


def _is_column_list(groups: object, columns: Sequence[object] | None) -> bool:
    if not isinstance(groups, (list, tuple)) or not groups:
        return False
    if not all(isinstance(g, str) for g in groups):
        return False
    return columns is None or any(g in columns for g in groups)


def _as_columns(groups: Any) -> list[pd.Series]:
    if isinstance(groups, pd.DataFrame):
        return [groups.iloc[:, j] for j in range(groups.shape[1])]
    if isinstance(groups, (list, tuple)) and len(groups) and np.ndim(groups[0]) == 1:
        return [c for g in groups for c in _as_columns(g)]
    if isinstance(groups, (pd.Series, pd.Index, pd.Categorical)):
        return [pd.Series(groups)]
    values = np.asarray(groups)
    if values.ndim == 2:
        return [pd.Series(values[:, j]).infer_objects() for j in range(values.shape[1])]
    if values.ndim != 1:
        raise DataError(f"groups must be an array (n,) or (n, depth), got shape {values.shape}")
    name = getattr(groups, "name", None)
    return [pd.Series(values, name=name if isinstance(name, str) else None)]


def _from_arrays(arrays: list[pd.Series]) -> list[TermSpec]:
    if not arrays:
        raise DataError("groups has no columns; pass None for a model without random effects")
    names = [
        a.name if isinstance(a.name, str) else "group" + (str(j) if j > 1 else "")
        for j, a in enumerate(arrays, start=1)
    ]
    if len(set(names)) < len(names):
        raise SpecificationError(
            f"the arrays in groups need different names, got {', '.join(names)}"
        )
    return [
        TermSpec(
            "/".join(names[: depth + 1]),
            Grouping("/".join(names[: depth + 1]), tuple(names[: depth + 1])),
            arrays=tuple(arrays[: depth + 1]),
        )
        for depth in range(len(arrays))
    ]


def _check_duplicates(specs: Sequence[TermSpec]) -> None:
    seen: dict[tuple[object, ...], str] = {}
    for spec in specs:
        key = (spec.left, frozenset(spec.outer.columns), spec.code, id(spec.corr))
        if key in seen:
            raise SpecificationError(
                f"the random term {spec.name!r} is given twice (also as {seen[key]!r}); remove "
                "one. 'a/b' already contains 'a', and groups= are random terms too"
            )
        seen[key] = spec.name


def _unique_names(specs: Sequence[TermSpec]) -> list[TermSpec]:
    """Tell terms of equal name apart by their structure, or by a number where there is none."""
    names = [s.name for s in specs]
    taken: set[str] = set()
    out: list[TermSpec] = []
    for spec in specs:
        twice = spec.code is not None and names.count(spec.name) > 1
        base = name = f"{spec.name} ({spec.code})" if twice else spec.name
        number = 2
        while name in taken:
            name, number = f"{base} {number}", number + 1
        taken.add(name)
        out.append(replace(spec, name=name))
    return out
