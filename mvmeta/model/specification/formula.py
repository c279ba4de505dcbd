"""Formulas: the only file that knows patsy."""

import ast
import builtins
import io
import pickle
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import patsy
import patsy.builtins

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.errors import DataError, SpecificationError
from mvmeta.model.specification.frames import Source, shorten, suggest
from mvmeta.model.specification.names import (
    c_arguments,
    called_names,
    column_name,
    factor_column,
    free_names,
)
from mvmeta.model.specification.polynomials import Polynomials

poly = patsy.stateful_transform(Polynomials)

PATSY_NAMES = frozenset({*patsy.builtins.__all__, "poly"})
"""Functions known in every formula: patsy's C, Q, center, ..., and ours."""


@dataclass(frozen=True, eq=False)
class ParsedFormula:
    """A formula that was read and whose names were found, before it meets rows.

    Attributes
    ----------
    text : str
    description : patsy.ModelDesc
    environment : patsy.EvalEnvironment
        Only the names the formula takes from the caller's scope.
    response, predictors : tuple of str
        Columns of the data used on the left and on the right of "~".
    factors : frozenset of str
        Columns that appear only as ``a`` or ``C(a, ...)``: text there can be made categories.
    coded : frozenset of str
        Columns that appear only as ``C(a, ...)``: numbers there can be made categories.
    bare : frozenset of str
        Columns that appear only as ``a``: numbers there are taken as they are.
    """

    text: str
    description: Any
    environment: Any
    response: tuple[str, ...]
    predictors: tuple[str, ...]
    factors: frozenset[str]
    coded: frozenset[str]
    bare: frozenset[str]

    @property
    def variables(self) -> tuple[str, ...]:
        """All columns used."""
        return tuple(dict.fromkeys(self.response + self.predictors))


@dataclass(frozen=True, eq=False)
class Design:
    """What a formula makes of a frame.

    Attributes
    ----------
    endog : ndarray, shape (n,), or None
        None for a formula without a left side.
    endog_name : str
    exog : ndarray, shape (n, p)
    missing : dict of str to ndarray of bool (m,)
        Factors that are missing in some of the m rows of the frame, which then are not
        among the n rows of the design.
    spec : FormulaSpec
    """

    endog: Floats | None
    endog_name: str
    exog: Floats
    missing: dict[str, Bools]
    spec: "FormulaSpec"


def capture_environment(depth: int | Any = 0) -> Any:
    """Scope of the formula: `depth` frames above the caller of the caller of this function.

    An environment captured before (or a mapping of names) is passed through.
    """
    if isinstance(depth, Mapping):
        return patsy.EvalEnvironment([dict(depth)], flags=0)
    return patsy.EvalEnvironment.capture(depth, reference=2)


def parse(
    text: str, columns: Sequence[object], environment: Any, response: bool = True
) -> ParsedFormula:
    """Read a formula and look its names up, in the data first and then in the environment.

    Parameters
    ----------
    text : str
    columns : sequence
        Names of the columns of the data.
    environment : patsy.EvalEnvironment
    response : bool
        Whether a left side is wanted; it must be absent otherwise.

    Raises
    ------
    SpecificationError
        If the formula cannot be parsed, or has no left side.
    DataError
        If a name is neither a column nor visible to the caller.
    """
    description = _describe(text, response)
    names = {side: free_names(terms, text) for side, terms in _sides(description).items()}
    outside = [n for found in names.values() for n in found if n not in columns]
    _check_names(
        outside,
        called_names([c for codes in _sides(description).values() for c in codes]),
        columns,
        environment,
        text,
    )
    left, right = (tuple(n for n in names[side] if n in columns) for side in ("left", "right"))
    return ParsedFormula(
        text,
        description,
        environment.subset([n for n in outside if n in environment.namespace]),
        left,
        right,
        *_plain_factors(description, left + right),
    )


def build(parsed: ParsedFormula, frame: pd.DataFrame) -> Design:
    """Evaluate a formula on a frame; rows in which a factor is missing are left out and named.

    Text columns used as factors become sorted categories and categories without a row are
    left out, so that levels, and with them the columns of the design, are those that occur.

    Parameters
    ----------
    parsed : ParsedFormula
    frame : DataFrame
        Columns `parsed.variables`; not changed.

    Raises
    ------
    SpecificationError
        If a factor cannot be evaluated; quotes patsy and the place in the formula.
    DataError
        If the response is not a single numeric column.
    """
    ready = as_categories(frame, parsed.factors, parsed.coded)
    environment = parsed.environment.with_outer_namespace({"C": _fast_c, "poly": poly})
    missing = _Missing()
    has_response = bool(parsed.description.lhs_termlist)
    make = patsy.dmatrices if has_response else patsy.dmatrix
    data = _for_patsy(ready, parsed.bare) if parsed.variables else ready
    made = _guarded(
        lambda: make(parsed.description, data, environment, NA_action=missing), parsed.text
    )
    left, right = made if has_response else (None, made)
    endog, name = (None, "") if left is None else _response(left)
    levels = {c: ready[c].cat.categories for c in parsed.predictors if _is_categorical(ready[c])}
    spec = FormulaSpec(parsed.text, right.design_info, parsed.predictors, levels)
    exog = np.ascontiguousarray(right, dtype=float)
    if exog.shape[0] != len(frame) and not missing.found:
        # Nothing in the formula has rows: "~ 1" without a response.
        exog = np.ones((len(frame), exog.shape[1]))
    return Design(endog, name, exog, missing.found, spec)


def _for_patsy(frame: pd.DataFrame, bare: frozenset[str]) -> dict[str, Any]:
    """Columns as patsy is fastest with them, where that makes no difference to the formula.

    Numbers that are used as they are need no index; text in the hands of numpy is objects.
    """
    out: dict[str, Any] = {}
    for name in frame:
        column = frame[name]
        if name in bare and column.dtype.kind in "iuf":
            out[str(name)] = column.to_numpy()
        else:
            text = isinstance(column.dtype, pd.StringDtype)
            out[str(name)] = column.astype(object).where(column.notna(), None) if text else column
    return out


def learn(
    parsed: ParsedFormula, witness: pd.DataFrame, frames: Callable[[], Iterator[pd.DataFrame]]
) -> tuple["FormulaSpec | None", str, "FormulaSpec"]:
    """Learn a formula from rows that come in batches.

    Parameters
    ----------
    parsed : ParsedFormula
    witness : DataFrame
        Some of the rows, in which every level of `parsed.factors` occurs.
    frames : callable
        Returns an iterator over all rows, batch by batch.  It is called only if the formula
        has transforms that depend on all rows, such as center(), or levels that are computed.

    Returns
    -------
    left : FormulaSpec or None
        Left side; None for a formula without one.
    endog_name : str
    right : FormulaSpec

    Raises
    ------
    SpecificationError, DataError
        As `build`.
    """
    ready = as_categories(witness, parsed.factors, parsed.coded)
    levels = {c: ready[c].cat.categories for c in parsed.variables if _is_categorical(ready[c])}
    environment = parsed.environment.with_outer_namespace({"C": _fast_c, "poly": poly})
    sides = [s for s in (parsed.description.lhs_termlist, parsed.description.rhs_termlist) if s]
    factors = {f for terms in sides for t in terms for f in t.factors}
    of_all_rows = any(f.memorize_passes_needed({}, environment) for f in factors)

    def batches() -> Iterator[pd.DataFrame]:
        if not of_all_rows:
            yield ready
        for frame in frames():
            yield frame.assign(**{c: with_levels(frame[c], levels[c]) for c in levels})

    infos = _guarded(
        lambda: patsy.design_matrix_builders(sides, batches, environment, NA_action=_Missing()),
        parsed.text,
    )
    known = {c: levels[c] for c in parsed.predictors if c in levels}
    right = FormulaSpec(parsed.text, infos[-1], parsed.predictors, known)
    if len(infos) == 1:
        return None, "", right
    left = FormulaSpec(parsed.text, infos[0], parsed.response, {})
    return left, _response_name(infos[0]), right


def with_levels(column: pd.Series, levels: pd.Index) -> pd.Series:
    """A column as categories with the given levels; missing where it has another value."""
    if _is_categorical(column) and column.cat.categories.equals(levels):
        return column
    code = _level_codes(column, levels)
    return pd.Series(pd.Categorical.from_codes(code, levels), index=column.index)


def _level_codes(column: pd.Series, levels: pd.Index) -> Ints:
    """Position (n,) of every value among `levels`, -1 where it is none of them."""
    if _is_categorical(column):
        place = levels.get_indexer(column.cat.categories)
        return np.append(place, -1)[column.cat.codes]
    return levels.get_indexer(pd.Index(column))


def as_categories(frame: pd.DataFrame, names: Iterable[str], coded: Iterable[str]) -> pd.DataFrame:
    """A frame whose factors among `names` are categories with exactly the levels that occur.

    Text becomes categories, and so do numbers among `coded`; other numbers are no factors.
    patsy is several times faster on categories than on strings.
    """
    changed = {}
    for name in names:
        column = frame[name]
        if _is_categorical(column):
            changed[name] = column.cat.remove_unused_categories()
        elif _is_text(column) or (name in coded and column.dtype.kind in "iuf"):
            changed[name] = column.astype("category")
    return frame.assign(**changed) if changed else frame


class FormulaSpec:
    """The right side of a formula as it was applied to the fitted rows; applies it to new ones.

    It pickles.  What a formula took from the caller's scope is saved where it can be (modules,
    importable functions, plain values); loading never fails, and `design` says what is lacking.

    Attributes
    ----------
    text : str
    variables : tuple of str
        Columns `design` needs.
    column_names : list of str
    term_slices : dict of str to slice
        Columns of each term.
    has_intercept : bool
    """

    def __init__(
        self,
        text: str,
        info: Any,
        variables: tuple[str, ...],
        levels: Mapping[str, pd.Index],
    ) -> None:
        self.text, self.variables, self._levels = text, variables, dict(levels)
        self.column_names: list[str] = list(info.column_names)
        self.term_slices: dict[str, slice] = dict(info.term_name_slices)
        self.has_intercept = any(not term.factors for term in info.terms)
        self._info: Any = info
        self._pickled: bytes | None = None

    @property
    def design_info(self) -> Any:
        """Patsy's DesignInfo of the right side (what statsmodels calls the model spec).

        Raises
        ------
        SpecificationError
            If it was not possible to save it with the model.
        """
        if self._info is None:
            self._info = self._restored()
        return self._info

    def factor_levels(self) -> dict[str, list[Any]]:
        """Levels of the columns that are factors, bare or as ``C(column, ...)``, by column."""
        out = {}
        for factor, info in self.design_info.factor_infos.items():
            name = factor_column(factor.code)
            if info.type == "categorical" and name in self.variables:
                out[str(name)] = list(info.categories)
        return out

    def interacting(self) -> list[frozenset[str]]:
        """For every term the columns it is made of."""
        return [
            frozenset(free_names([f.code for f in term.factors], self.text)) & {*self.variables}
            for term in self.design_info.terms
        ]

    def design(self, newdata: Any) -> Floats:
        """Design matrix of new rows.

        Parameters
        ----------
        newdata : DataFrame or anything `Source` reads
            With the columns `variables`; an empty frame with an index will do for "~ 1".

        Returns
        -------
        ndarray, shape (n_new, p)
            Columns as `column_names`; rows with a missing value are NaN.

        Raises
        ------
        DataError
            For a missing column, or a level the model has not seen; names both.
        """
        source = Source(newdata)
        frame = source.frame(self.variables, f"the formula {self.text!r}")
        known = {name: self._with_known_levels(name, frame[name]) for name in self._levels}
        frame = frame.assign(**known).reset_index(drop=True)
        info, missing = self.design_info, _Missing()
        try:
            (made,) = patsy.build_design_matrices([info], frame, NA_action=missing)
        except patsy.PatsyError as error:
            self._explain_levels(frame)
            raise SpecificationError(
                f"the formula cannot be applied to the new data: {error}"
            ) from error
        out = np.full((source.n, len(self.column_names)), np.nan)
        out[~missing.any(source.n)] = made
        return out

    def _with_known_levels(self, name: str, column: pd.Series) -> pd.Series:
        out = with_levels(column, self._levels[name])
        unknown = column[(out.isna() & column.notna()).to_numpy()]
        if len(unknown):
            raise _unknown_level(name, unknown.iloc[0], self._levels[name])
        return out

    def _explain_levels(self, frame: pd.DataFrame) -> None:
        """Raise for a level no category of the fitted rows knows (numbers in ``C(year)``)."""
        for found, info in self.design_info.factor_infos.items():
            if info.type != "categorical":
                continue
            value = found.eval(info.state, frame)
            series = pd.Series(np.asarray(getattr(value, "data", value), dtype=object))
            unknown = series[series.notna() & ~series.isin(list(info.categories))]
            if len(unknown):
                raise _unknown_level(found.code, unknown.iloc[0], info.categories)

    def _restored(self) -> Any:
        try:
            return pickle.loads(self._pickled or b"")
        except Exception as error:
            raise SpecificationError(
                f"the formula {self.text!r} could not be saved with the model ({error}); predict "
                "with a design matrix, or build the model again"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_info": None}
        if self._info is not None:
            state["_pickled"] = _dump(self._info)
        return state


class _Missing(patsy.NAAction):
    """Drops rows with missing factors, as patsy does, and remembers which."""

    def __init__(self) -> None:
        super().__init__(on_NA="drop")
        self.found: dict[str, Bools] = {}

    def handle_NA(  # noqa: N802  (patsy's name)
        self, values: list[Any], masks: list[Bools], origins: list[Any]
    ) -> Any:
        for mask, origin in zip(masks, origins, strict=True):
            if mask.any():
                name = "the formula" if origin is None else origin.code[origin.start : origin.end]
                self.found[name] = self.found.get(name, False) | mask
        return super().handle_NA(values, masks, origins)

    def any(self, n: int) -> Bools:
        """Rows (n,) in which anything is missing."""
        out = np.zeros(n, dtype=bool)
        for mask in self.found.values():
            out |= mask
        return out


class _Pickler(pickle.Pickler):
    """Pickles what patsy refuses to: the plain objects a DesignInfo is made of."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, ModuleType):
            return _module, (obj.__name__,)
        if isinstance(obj, patsy.EvalEnvironment):
            names = {k: v for space in reversed(obj._namespaces) for k, v in dict(space).items()}
            return patsy.EvalEnvironment, (
                [{k: v for k, v in names.items() if _portable(v)}],
                obj.flags,
            )
        if type(obj).__module__.startswith("patsy.") and hasattr(obj, "__dict__"):
            return _blank, (type(obj),), obj.__dict__
        return NotImplemented


def _module(name: str) -> ModuleType:
    return __import__(name, fromlist=["_"])


def _blank(cls: Any) -> Any:
    return cls.__new__(cls)


def _dump(obj: Any) -> bytes | None:
    buffer = io.BytesIO()
    try:
        _Pickler(buffer).dump(obj)
    except Exception:
        return None
    return buffer.getvalue()


def _portable(value: Any) -> bool:
    if isinstance(value, ModuleType):
        return True
    return not hasattr(value, "__patsy_stateful_transform__") and _dump(value) is not None


def _guarded(make: Callable[[], Any], text: str) -> Any:
    try:
        return make()
    except patsy.PatsyError as error:
        raise SpecificationError(f"the formula {text!r} cannot be evaluated: {error}") from error


def _describe(text: object, response: bool) -> Any:
    if not isinstance(text, str):
        raise SpecificationError(f"the formula must be a string such as 'y ~ x', got {text!r}")
    try:
        description = patsy.ModelDesc.from_formula(text)
    except patsy.PatsyError as error:
        raise SpecificationError(f"the formula {text!r} cannot be read: {error}") from error
    if response and not description.lhs_termlist:
        raise SpecificationError(
            f"the formula {text!r} has no response; write 'y ~ {text.strip(' ~')}'"
        )
    if not response and description.lhs_termlist:
        raise SpecificationError(f"a design such as '1 + dose' has no response, got {text!r}")
    if not description.rhs_termlist:
        raise SpecificationError(
            f"the formula {text!r} has no predictors, not even an intercept ('y ~ 1')"
        )
    _refuse_random_terms(description, text)
    return description


def _refuse_random_terms(description: Any, text: str) -> None:
    """Python would evaluate ``1 | study`` bit by bit, and patsy has no other meaning for it."""
    for code in (c for codes in _sides(description).values() for c in codes):
        try:
            node = ast.parse(re.sub(r"\|\s*\|", "|", code.strip()), mode="eval").body
        except SyntaxError:
            continue
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            raise SpecificationError(
                f"{code!r} in the formula {text!r}: random terms go into groups= or random=, such "
                f"as random='1 | study'; for the logical or of two columns write I({code})"
            )


def _sides(description: Any) -> dict[str, list[str]]:
    """Python code of the factors on either side of the formula."""
    sides = {"left": description.lhs_termlist, "right": description.rhs_termlist}
    return {k: [f.code for t in terms for f in t.factors] for k, terms in sides.items()}


def _check_names(
    names: Iterable[str],
    called: set[str],
    columns: Sequence[object],
    environment: Any,
    text: str,
) -> None:
    for name in names:
        known = name in environment.namespace or name in PATSY_NAMES
        if known or (name in called and hasattr(builtins, name)):
            continue
        raise DataError(
            f"{name!r} in the formula {text!r} is no column of the data and no name visible "
            f"where the model was called{suggest(name, columns)}"
        )


def _plain_factors(
    description: Any, columns: Sequence[str]
) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Columns only used bare or as first argument of C(), those only in C(), those only bare."""
    bare: set[str] = set()
    coded: set[str] = set()
    other: set[str] = set()
    for code in {c for codes in _sides(description).values() for c in codes}:
        node = ast.parse(code.strip(), mode="eval").body
        inside, rest = c_arguments(node)
        name = column_name(inside or node)
        if name is None:
            rest = [node]
        else:
            (bare if inside is None else coded).add(name)
        other |= {name for tree in rest for n in ast.walk(tree) if (name := column_name(n))}
    plain = {c for c in columns if c in bare | coded and c not in other}
    return frozenset(plain), frozenset(plain - bare), frozenset(plain - coded)


def _fast_c(data: Any, contrast: Any = None, levels: Any = None) -> Any:
    """C() that leaves categories alone: patsy takes their codes, its own boxes it walks through."""
    if contrast is None and levels is None and _is_categorical(data):
        return data
    return patsy.builtins.C(data, contrast, levels)


def _is_text(column: pd.Series) -> bool:
    return pd.api.types.infer_dtype(column, skipna=True) == "string"


def _is_categorical(column: Any) -> bool:
    return isinstance(getattr(column, "dtype", None), pd.CategoricalDtype)


def _response(left: Any) -> tuple[Floats, str]:
    return np.array(left, dtype=float).ravel(), _response_name(left.design_info)


def _response_name(info: Any) -> str:
    names = info.column_names
    kinds = {i.type for i in info.factor_infos.values()}
    if len(names) != 1 or "categorical" in kinds:
        raise DataError(
            f"the response of the formula must be one numeric column, got {shorten(names)}; "
            "is it stored as text or as true/false?"
        )
    return str(names[0])


def _unknown_level(column: str, level: object, known: Iterable[object]) -> DataError:
    level = level.item() if isinstance(level, np.generic) else level
    return DataError(
        f"column {column!r} has the level {level!r}, which the fitted data do not have; "
        f"known levels: {shorten(map(repr, known), most=20)}"
    )


def linear_constraints(text: str | list[str], names: Sequence[str]) -> tuple[Floats, Floats]:
    """Hypotheses in words, such as "x1 = x2" or "x1 = 0, x2 = 1", as rows and right-hand sides.

    Parameters
    ----------
    text : str or list of str
    names : sequence of str
        The p coefficients.

    Returns
    -------
    rows : ndarray, shape (m, p)
    rhs : ndarray, shape (m,)

    Raises
    ------
    SpecificationError
        If it does not parse or names no coefficient; lists them.
    """
    try:
        found = patsy.DesignInfo(list(names)).linear_constraint(text)
    except patsy.PatsyError as error:
        raise SpecificationError(
            f"the hypothesis {text!r} cannot be read: {error}; coefficients are {', '.join(names)}"
        ) from error
    return np.asarray(found.coefs, dtype=float), np.asarray(found.constants, dtype=float).ravel()


def level_weights(spec: FormulaSpec, term: str) -> tuple[Floats, list[str]]:
    """Weights of the design columns in the means of the levels of a main effect.

    Parameters
    ----------
    spec : FormulaSpec
    term : str
        A factor of the formula by itself, such as "C(Category)".

    Returns
    -------
    weights : ndarray, shape (m, p)
        Up to what all levels share.
    labels : list of str
        The m levels.

    Raises
    ------
    SpecificationError
        If it is no categorical main effect; lists those there are.
    """
    info = spec.design_info
    factors = {
        t.name(): t for t in info.terms if len(t.factors) == 1 and _is_factor(info, t.factors[0])
    }
    if term not in factors:
        raise SpecificationError(
            f"{term!r} is no categorical main effect of {spec.text!r}; "
            f"there are {', '.join(map(repr, factors)) or 'none'}"
        )
    factor = factors[term].factors[0]
    categories = info.factor_infos[factor].categories
    coding = info.term_codings[factors[term]][0].contrast_matrices[factor].matrix
    out = np.zeros((len(categories), len(spec.column_names)))
    out[:, spec.term_slices[term]] = coding
    return out, [str(c) for c in categories]


def _is_factor(info: Any, factor: Any) -> bool:
    return bool(info.factor_infos[factor].type == "categorical")
