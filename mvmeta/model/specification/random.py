"""Random terms as users write them, and their expansion to one specification per term."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

import pandas as pd

from mvmeta.errors import SpecificationError
from mvmeta.model.specification.constraints import Pins, read_pins, read_ties
from mvmeta.model.specification.distances import METRICS
from mvmeta.model.specification.frames import shorten
from mvmeta.model.specification.grammar import (
    NEEDS_MATRIX,
    SPATIAL,
    Grouping,
    parse_groupings,
    split_formula,
    structure_code,
)
from mvmeta.model.specification.groups import from_groups
from mvmeta.model.specification.specs import TermSpec
from mvmeta.model.specification.ties import tie
from mvmeta.structures.matern import MaternProfile

SCALE, SCALES = "SCALE", "scale"
"""Code of a random intercept with a scale formula, and the kind of the components it adds."""

CORR_SCALES = ("cor", "cor0", "cov0", "none")
"""What `corr_scale=` takes."""


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
        Covariance G of the inner levels; case does not matter.  Formulas, parameters and what
        each is for: the table of structures in the documentation.

        - Levels without order: "CS" (default for one factor), "HCS", "UN", "ID", "DIAG", "FA1"
          (one common factor; three levels or more), "PROP" (proportional to the known `corr`).
        - Levels in order: "AR", "HAR", "TOEP", "HTOEP" (by the rank of the level), "CAR" (by its
          value, a number).
        - Sites: "SPEXP", "SPGAU", "SPLIN", "SPRAT", "SPSPH", "MATERN".  Inner is coordinates
          "x + y", or a site with `distance` a matrix.  Rows with the same coordinates are at
          the same site and share its effect.
        - Species on the tree `corr`: "PHYBM" (Brownian motion), "PHYPL" (Pagel's lambda), "PHYOU"
          (Ornstein-Uhlenbeck), written "1 | species", or "species | g" for a tree in each g.
        - Random slopes: "GEN" (correlated), "GDIAG".  Inner is a patsy design such as "1 + dose".
    corr : DataFrame, optional
        Known correlations, rows and columns labelled by levels; levels that do not occur are
        left out.  Over which levels they are:

        - "1 | g": those of g.  The variance is then ``sigma2 * corr``, or that of the structure
          PHYBM, PHYPL or PHYOU.  With "a/b" it belongs to the last of the terms.
        - "inner | outer" with PROP, PHYBM, PHYPL or PHYOU: those of inner, the effects of
          different outer levels being independent.
        - "inner | outer" with any other structure: those of outer, ``corr (x) G``.  The effects
          of inner levels t in s and t' in s' have covariance ``corr_ss' G_tt'``: traits that
          evolve together along a tree.  Slopes ("1 + dose | species") are included.
    corr_scale : {"cor", "cor0", "cov0", "none"}
        After selecting the levels that occur: "cor" makes `corr` a correlation matrix, "cor0"
        then maps its smallest element to 0 and keeps 1, "cov0" subtracts its smallest element,
        "none" takes it as it is.
    distance : {"euclidean", "manhattan", "maximum", "gcd"} or DataFrame, optional
        Metric over the coordinates, in their unit ("gcd" is km over longitude and latitude in
        degrees), or the distances themselves in any one unit, labelled by site.
    smoothness : float, optional
        Of MATERN, without unit, from 0.1 to 50; 1.5 unless said.  0.5 is SPEXP.
    scale : str, optional
        Of "1 | g": a patsy formula of covariates on which the variance depends,
        ``log variance = log sigma2 + w'alpha`` (a location-scale model).  sigma2 is the variance
        where all covariates are 0; every covariate is a component "scale".  Rows of a group
        carry the group's effect, each times its own standard deviation.  With "a/b" it belongs
        to the last of the terms.
    fixed : dict, optional
        Components that are not estimated: {"sigma2": 0.1}, {"tau2": [None, 0.2], "rho": 0};
        one number, or one entry per component with None where it is estimated.  Keys are
        the components of the structure: "tau2" and "rho", but "tau2" and "lambda" of PHYPL,
        "tau2" and "alpha" of PHYOU, "loading" and "psi" of FA1.  For "1 | a/b" sigma2 has one
        entry per term.  Values are in the units of `MetaMixedLMResults.vcomp`.
    equal : dict, optional
        Components of an "inner | outer" term that have one value: {"tau2": [0, 0, 1]} for the
        variances of the first and second of three levels.  One entry per component, the same
        for those that are equal; None is in no group.  Each group is one component of the
        result.

    Raises
    ------
    SpecificationError
        If the parts contradict each other.

    References
    ----------
    :doc:`/reference/structures`.

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
    smoothness: float | None = None
    scale: Any = None
    fixed: Any = None
    equal: Any = None
    left: str = field(init=False)
    assumed: bool = field(init=False)
    groupings: tuple[Grouping, ...] = field(init=False)

    def __post_init__(self) -> None:
        left, right = split_formula(self.formula)
        object.__setattr__(self, "left", left)
        object.__setattr__(self, "assumed", self.struct is None)
        object.__setattr__(self, "groupings", parse_groupings(right, self.formula))
        object.__setattr__(self, "struct", structure_code(self.struct, left, self.formula))
        self._check_corr()
        self._check_distance()
        self._check_smoothness()
        self._check_scale()
        object.__setattr__(self, "fixed", self._checked_pins())
        if self.equal is not None:
            object.__setattr__(self, "equal", read_ties(self.equal, self.struct, self.formula))

    @property
    def is_intercept(self) -> bool:
        """True for "1 | g" without a structure.

        Examples
        --------
        >>> from mvmeta import Random
        >>> Random("1 | study").is_intercept, Random("outcome | study", "UN").is_intercept
        (True, False)
        """
        return self.struct is None

    def __repr__(self) -> str:
        parts = [repr(self.formula)]
        parts += [f"struct={self.struct!r}"] if self.struct else []
        parts += [f"corr={_brief(self.corr)}"] if self.corr is not None else []
        parts += [f"corr_scale={self.corr_scale!r}"] if self.corr_scale != "cor" else []
        parts += [f"distance={_brief(self.distance)}"] if self.distance is not None else []
        parts += [f"smoothness={self.smoothness!r}"] if self.smoothness is not None else []
        parts += [f"scale={self.scale!r}"] if self.scale is not None else []
        parts += [f"fixed={dict(self.fixed)!r}"] if self.fixed else []
        parts += [f"equal={dict(self.equal)!r}"] if self.equal else []
        return f"Random({', '.join(parts)})"

    def _check_corr(self) -> None:
        if self.corr_scale not in CORR_SCALES:
            raise SpecificationError(
                f"corr_scale={self.corr_scale!r} in {self!r}: "
                f"it takes one of {', '.join(CORR_SCALES)}"
            )
        if self.corr is not None:
            _require_labelled(self.corr, "corr", self)
        elif self.struct in NEEDS_MATRIX:
            raise SpecificationError(
                f"{self!r}: struct={self.struct!r} needs corr=matrix, a DataFrame whose index and "
                "columns name the levels"
            )
        if self.struct in NEEDS_MATRIX and self.left == "1" and len(self.groupings) > 1:
            raise SpecificationError(
                f"{self!r}: struct={self.struct!r} belongs to one grouping; give "
                f"{self.groupings[0].text!r} as a random term of its own"
            )

    def _check_scale(self) -> None:
        if self.scale is None:
            return
        if not isinstance(self.scale, str) or not self.scale.strip():
            raise SpecificationError(
                f"scale= of Random({self.formula!r}) is a formula such as 'x + C(kind)', got "
                f"{self.scale!r}"
            )
        if self.struct is not None or self.left != "1" or self.corr is not None:
            raise SpecificationError(
                f"Random({self.formula!r}): scale= is for random intercepts, '1 | g', without "
                "struct= and corr="
            )

    def _check_distance(self) -> None:
        if self.distance is None:
            return
        if self.struct not in SPATIAL:
            raise SpecificationError(
                f"{self!r}: distance= belongs to the structures of sites only: "
                f"{', '.join(sorted(SPATIAL))}"
            )
        if isinstance(self.distance, str):
            if self.distance not in METRICS:
                raise SpecificationError(
                    f"{self!r}: distance= takes {', '.join(map(repr, METRICS))} "
                    "or a labelled DataFrame"
                )
            return
        _require_labelled(self.distance, "distance", self)

    def _check_smoothness(self) -> None:
        if self.smoothness is None:
            return
        if self.struct != "MATERN":
            raise SpecificationError(f"{self!r}: smoothness= belongs to struct='MATERN' only")
        try:
            MaternProfile(float(self.smoothness))
        except (TypeError, ValueError) as error:
            raise SpecificationError(f"smoothness= of Random({self.formula!r}): {error}") from None

    def _checked_pins(self) -> Pins | None:
        if self.fixed is None:
            return None
        code = self.struct if self.scale is None else SCALE
        pins = read_pins(self.fixed, code, self.formula)
        sigma2 = pins.get("sigma2")
        if isinstance(sigma2, tuple) and len(sigma2) != len(self.groupings):
            raise SpecificationError(
                f"fixed sigma2 of Random({self.formula!r}) has {len(sigma2)} entries, but there "
                f"are {len(self.groupings)} variances: {shorten(g.text for g in self.groupings)}"
            )
        return pins


def expand(
    groups: Any, random: Any, columns: Sequence[object] | None = None, equal: Any = None
) -> list[TermSpec]:
    """Turn `groups=`, `random=` and `equal=` into the ordered list of terms.

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

    equal : None, list of str, or list of lists of str
        See `ties.tie`.

    Returns
    -------
    list of TermSpec
        `groups` first, then `random`; names are unique.

    Raises
    ------
    SpecificationError
        For a term that is asked for twice, or something that is no term.
    """
    specs = from_groups(groups, columns)
    terms = [] if random is None else random if isinstance(random, (list, tuple)) else [random]
    for term in terms:
        specs += _from_random(term)
    _check_duplicates(specs)
    return tie(_unique_names(specs), equal)


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
    make = _intercept if term.is_intercept else _structured
    specs = [make(term, position) for position in range(len(term.groupings))]
    if term.corr is None or term.struct in NEEDS_MATRIX:
        return specs
    last = specs[-1]
    with_corr = replace(
        last, name=f"{last.name} (corr)", corr=term.corr, corr_scale=term.corr_scale
    )
    return [*specs[:-1], with_corr]


def _intercept(term: Random, position: int) -> TermSpec:
    grouping = term.groupings[position]
    last = position == len(term.groupings) - 1
    own = term.fixed or {}
    pins = {k: v[position] if isinstance(v, tuple) else v for k, v in own.items() if k != SCALES}
    if term.scale is None or not last:
        return TermSpec(grouping.text, grouping, pins=pins)
    pins |= {SCALES: own[SCALES]} if SCALES in own else {}
    name = f"{grouping.text} (scale)"
    return TermSpec(name, grouping, code=SCALE, scale=term.scale.removeprefix("~"), pins=pins)


def _structured(term: Random, position: int) -> TermSpec:
    outer = term.groupings[position]
    own = term.struct in NEEDS_MATRIX
    groups = ":".join(outer.columns)
    return TermSpec(
        f"{outer.text} ({term.struct})" if term.left == "1" else f"{term.left} | {groups}",
        outer,
        term.left,
        term.struct,
        term.assumed,
        corr=term.corr if own else None,
        corr_scale=term.corr_scale,
        distance=term.distance,
        smoothness=term.smoothness,
        pins=term.fixed or {},
        ties=term.equal or {},
    )


def _check_duplicates(specs: Sequence[TermSpec]) -> None:
    seen: dict[tuple[object, ...], str] = {}
    for spec in specs:
        known = spec.distance if isinstance(spec.distance, str) else id(spec.distance)
        columns = frozenset(spec.outer.columns)
        key = (spec.left, columns, spec.code, id(spec.corr), known, spec.smoothness)
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
