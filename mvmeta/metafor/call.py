"""Calls of `rma.mv` and `rma`, argument by argument."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mvmeta.metafor.arguments import CELLS, FIRST, MULTILEVEL, UNIVARIATE, match_arguments
from mvmeta.metafor.arithmetic import arithmetic
from mvmeta.metafor.formula import FormulaReader
from mvmeta.metafor.nodes import Call, Node, Symbol, bare, is_call, operands, refusal
from mvmeta.metafor.preparation import data_name, effect_sizes, vcalc
from mvmeta.metafor.python import Apply, Column, Expression, Literal, Method, Name, Operation
from mvmeta.metafor.randoms import RandomPart, RandomReader
from mvmeta.metafor.scope import Scope, Session, column_name, python_name
from mvmeta.metafor.subset import SubsetReader
from mvmeta.metafor.values import is_null, number, scalars, text, truth

MODELS = {"rma.mv": "rma.mv", "rma": "rma", "rma.uni": "rma"}

NOT_MODELS = {
    "rma.glmm": "mvmeta fits normal models of effect sizes; compute them with escalc() first",
    "rma.mh": "the Mantel-Haenszel method has no counterpart; escalc() and a model do",
    "rma.peto": "escalc('PETO', ...) and a model without random effects give Peto's estimate",
    "rma.ls": "write rma(..., scale = ~ x)",
    "selmodel": "selection models have no counterpart here",
}

COMMON_EFFECT = ("FE", "CE", "EE")
ESTIMATORS = ("REML", "ML", *COMMON_EFFECT)
TESTS = {"knha": "knha", "hksj": "knha", "adhoc": "adhoc"}

MATRIX = re.compile(r"V(?!ar|AR)|.*(?i:cov|vcv|mat)")
"""Names people give to covariance matrices, rather than to columns of variances."""

WITHOUT_EFFECT = {
    "verbose": "`verbose` is fit(disp=True) here.",
    "digits": "`digits` has no counterpart: all tables are frames with full precision.",
    "control": (
        "`control` was left out: the optimiser and its settings are not those of metafor. It needs "
        "no tuning as a rule; res.certificate says whether it found the maximum."
    ),
    "sparse": "`sparse` was left out: what is sparse is found by itself.",
    "cvvc": "`cvvc` was left out: res.vcomp_cov() gives the covariance of the components.",
    "slab": "`slab` was left out: rows go by the index of the data.",
    "att": "`att` was left out.",
}


@dataclass(frozen=True)
class Reading:
    """A model call as Python.

    Attributes
    ----------
    model : Apply
        The call of `MetaMixedLM.from_formula`.
    fit : tuple of (str, Expression)
        Options of `fit`.
    alpha : float
        1 - the level of intervals.
    frame : str
        Name of the data.
    """

    model: Apply
    fit: tuple[tuple[str, Expression], ...]
    alpha: float
    frame: str


def read_call(call: Call, session: Session) -> Reading:
    """Translate one call of a model.

    Parameters
    ----------
    call : Call
    session : Session

    Returns
    -------
    Reading

    Raises
    ------
    SpecificationError
        For a function or an argument that is not translated; says where.
    """
    if call.name in NOT_MODELS:
        raise refusal(call.function, f"{call.name}() is not translated: {NOT_MODELS[call.name]}")
    if call.name not in MODELS:
        raise refusal(
            call.function, f"{call.name or 'this'}() is no model; rma.mv() and rma() are translated"
        )
    kind = MODELS[call.name]
    known = MULTILEVEL if kind == "rma.mv" else UNIVARIATE
    settings = match_arguments(call, known, FIRST[kind])
    reader = _Multilevel if kind == "rma.mv" else _Univariate
    return reader(call, settings, session).read()


class _Reader:
    """What both kinds of call have in common."""

    def __init__(self, call: Call, settings: dict[str, Node], session: Session) -> None:
        self.call = call
        self.settings = settings
        self.conditions: list[Node] = []
        data = self._subset_of_data(settings.pop("data", None))
        others = [*settings.values(), *self.conditions]
        self.scope = Scope(session, data_name(data, others, session, call))
        self.formulas = FormulaReader(self.scope)
        self.method = self._method()

    # what differs between the two

    def variance(self) -> Expression:
        raise NotImplementedError

    def random(self) -> RandomPart:
        raise NotImplementedError

    def weights(self) -> Expression | None:
        raise NotImplementedError

    # -- the whole -----------------------------------------------------------------------

    def read(self) -> Reading:
        variance = self.variance()
        part = self.random() if self.method not in COMMON_EFFECT else RandomPart()
        weights, rows = self.weights(), self._subset()
        formula = self._formula()
        optional: dict[str, Expression | None] = {
            "subset": rows,
            "groups": part.groups,
            "random": _one_or_list(part.random),
            "weights": weights,
        }
        keywords = [("data", Name(self.scope.frame)), ("variance", variance)]
        keywords += [(key, value) for key, value in optional.items() if value is not None]
        model = Apply("MetaMixedLM.from_formula", (Literal(formula),), tuple(keywords))
        self._say_what_was_left_out()
        return Reading(model, self._fit(), self._alpha(), self.scope.frame)

    # -- data ----------------------------------------------------------------------------

    def _subset_of_data(self, node: Node | None) -> Node | None:
        """The data in ``subset(dat, x > 0)`` and ``dat[dat$x > 0, ]``; keeps the condition."""
        if node is not None and is_call(node, "subset", "["):
            of, condition = operands(node)[:2]
            self.conditions.append(condition)
            return of
        return node

    def _subset(self) -> Expression | None:
        given = self.settings.get("subset")
        nodes = self.conditions + ([] if given is None or is_null(given) else [given])
        if not nodes:
            return None
        found = [SubsetReader(self.scope).rows(node) for node in nodes]
        if any(isinstance(rows, Literal) for rows in found) and len(found) > 1:
            raise refusal(nodes[-1], "positions cannot be combined with another subset")
        rows = found[0]
        for further in found[1:]:
            rows = Operation("&", (rows, further))
        if isinstance(rows, Column):
            return Literal(rows.name)
        return rows

    # -- the formula ---------------------------------------------------------------------

    def _formula(self) -> str:
        if "yi" not in self.settings:
            raise refusal(self.call, "the call has no effect sizes (yi)")
        yi = bare(self.settings["yi"])
        if is_call(yi, "~"):
            sides = operands(yi)
            if len(sides) != 2:
                raise refusal(yi, "a formula in place of yi has two sides, yi ~ x")
            return f"{self._response(sides[0])} ~ {self.formulas.terms(sides[1])}"
        return f"{self._response(yi)} ~ {self._moderators()}"

    def _response(self, node: Node) -> str:
        name = column_name(node)
        if name is not None and not self.scope.is_column(name):
            raise refusal(node, "effect sizes must be a column of the data")
        return self.formulas.factor(node).code()

    def _moderators(self) -> str:
        mods = self.settings.get("mods")
        if mods is not None and is_call(mods, "~"):
            return self.formulas.terms(operands(mods)[-1])
        constant = "intercept" not in self.settings or truth(
            self.settings["intercept"], "intercept"
        )
        if mods is None or is_null(mods):
            if not constant:
                raise refusal(self.settings["intercept"], "a model without any coefficient")
            return "1"
        columns = operands(mods) if is_call(mods, "cbind") else (mods,)
        terms = " + ".join(self.formulas.factor(bare(column)).code() for column in columns)
        return terms if constant else f"{terms} - 1"

    # -- tests ---------------------------------------------------------------------------

    def _method(self) -> str:
        node = self.settings.get("method")
        if node is None:
            return "REML"
        found = scalars(node, "method")
        name = str(found[0]).upper()
        if len(found) != 1 or name not in ESTIMATORS:
            raise refusal(
                node,
                f"method {found[0]!r} is not translated: components are estimated by REML or ML, "
                f"and {', '.join(COMMON_EFFECT)} are models without random effects",
            )
        return name

    def _fit(self) -> tuple[tuple[str, Expression], ...]:
        options: list[tuple[str, Expression]] = []
        if self.method != "REML":
            options.append(("reml", Literal(False)))
        test = self._test()
        if test in TESTS:
            options.append(("cov_type", Literal(TESTS[test])))
        df = self._df()
        if df is not None:
            options.append(("df", df))
        elif test == "t":
            options.append(("use_t", Literal(True)))
        return tuple(options)

    def _test(self) -> str:
        if "tdist" in self.settings and truth(self.settings["tdist"], "tdist"):
            return "t"
        if "knha" in self.settings and truth(self.settings["knha"], "knha"):
            return "knha"
        if "test" not in self.settings:
            return "t" if "dfs" in self.settings else "z"
        test = text(self.settings["test"], "test", ("z", "t", *TESTS))
        return "t" if test == "z" and "dfs" in self.settings else test

    def _df(self) -> Expression | None:
        node = self.settings.get("dfs")
        if node is None:
            return None
        values = scalars(node, "dfs")
        if values == ["residual"]:
            return None
        if values == ["contain"]:
            return Literal("contain")
        if not all(isinstance(value, float) for value in values):
            raise refusal(node, "dfs must be 'residual', 'contain' or numbers")
        if len(values) == 1:
            return Literal(values[0])
        return Literal([Literal(value) for value in values])

    def _alpha(self) -> float:
        if "level" not in self.settings:
            return 0.05
        level = number(self.settings["level"], "level")
        level = level / 100 if level > 1 else level
        return round(level if level < 0.5 else 1 - level, 12)

    def _say_what_was_left_out(self) -> None:
        for name, sentence in WITHOUT_EFFECT.items():
            if name in self.settings:
                self.scope.note(sentence)
        if "btt" in self.settings:
            self.scope.note(
                f"`btt = {self.settings['btt']}` was left out: res.moderators_test(terms) tests "
                "the terms you name."
            )
        if "level" in self.settings:
            alpha = Literal(self._alpha())
            self.scope.note(f"`level` is alpha={alpha} of summary(), conf_int() and the like.")

    # -- values by row -------------------------------------------------------------------

    def by_row(self, node: Node) -> Expression:
        """A column by its name, an object, or an expression over columns."""
        node = bare(node)
        name = column_name(node)
        if name is not None and self.scope.is_column(name):
            return Literal(name.name)
        return arithmetic(node, self.scope.column)


class _Multilevel(_Reader):
    """`rma.mv`."""

    def variance(self) -> Expression:
        node = self.settings.get("V")
        if node is None:
            raise refusal(self.call, "the call has no sampling variances (V)")
        node = bare(node)
        if is_call(node, "vcalc"):
            assert isinstance(node, Call)
            return vcalc(node, self.scope.session, self.scope)
        if is_call(node, "diag") and len(operands(node)) == 1:
            node = operands(node)[0]
        if is_call(node, "list", "bldiag"):
            raise refusal(
                node, "give V by its name, as in from_metafor(..., V=V): a list of blocks, or a "
                "matrix"
            )  # fmt: skip
        return self._symbol(node) if isinstance(node, Symbol) else self.by_row(node)

    def _symbol(self, node: Symbol) -> Expression:
        """Without data a name such as V, Vmat or cov_mat is taken for a matrix."""
        session = self.scope.session
        name = python_name(node.name)
        guess = self.scope.columns is None and name not in {*session.objects, *session.assigned}
        if guess and MATRIX.match(node.name):
            self.scope.note(
                f"`{node.name}` is taken for a covariance matrix of your own; if it is a column of "
                f"the data, write variance={Literal(node.name)}."
            )
            return Name(name)
        return self.by_row(node)

    def random(self) -> RandomPart:
        return RandomReader(self.scope, self.settings).read()

    def weights(self) -> Expression | None:
        node = self.settings.get("W")
        return None if node is None or is_null(node) else self.by_row(node)


class _Univariate(_Reader):
    """`rma` and `rma.uni`: one random effect for every row."""

    def __init__(self, call: Call, settings: dict[str, Node], session: Session) -> None:
        super().__init__(call, settings, session)
        if any(name in settings for name in CELLS):
            self._compute()

    def _compute(self) -> None:
        if "measure" not in self.settings:
            raise refusal(self.call, "effect sizes are computed from counts and means by a measure")
        session, names = self.scope.session, (*CELLS, "measure", "add", "to", "drop00", "vtype")
        given = {name: self.settings[name] for name in names if name in self.settings}
        session.assign("effects", effect_sizes(given, self.scope))
        self.scope = Scope(session, "effects")
        self.formulas = FormulaReader(self.scope)
        span = self.call.span
        self.settings |= {"yi": Symbol(span, "yi"), "vi": Symbol(span, "vi")}

    def variance(self) -> Expression:
        if "vi" in self.settings:
            return self.by_row(self.settings["vi"])
        if "sei" in self.settings:
            errors = arithmetic(self.settings["sei"], self.scope.column)
            return Operation("**", (errors, Literal(2)))
        raise refusal(self.call, "the call has no sampling variances (vi) or standard errors (sei)")

    def random(self) -> RandomPart:
        options = (*self._scale(), *self._fixed())
        frame = self.scope.frame
        rows = Apply("np.arange", (Apply("len", (Name(frame),)),))
        if not options:
            return RandomPart(groups=rows)
        column = "row" if "row" not in (self.scope.columns or ()) else "row_number"
        self.scope.session.assign(frame, Method(Name(frame), "assign", (), ((column, rows),)))
        return RandomPart(random=(Apply("Random", (Literal(f"1 | {column}"),), options),))

    def _scale(self) -> tuple[tuple[str, Expression], ...]:
        node = self.settings.get("scale")
        if node is None or is_null(node):
            return ()
        if not is_call(node, "~"):
            raise refusal(node, "scale is translated from a formula such as ~ x")
        self.scope.note(
            "Scale coefficients are those of the logarithm of the variance in both programs; "
            "sigma2 is the variance where all covariates are 0, exp() of metafor's intercept."
        )
        return (("scale", Literal(self.formulas.terms(operands(node)[-1]))),)

    def _fixed(self) -> tuple[tuple[str, Expression], ...]:
        node = self.settings.get("tau2")
        if node is None or is_null(node):
            return ()
        value = Literal(number(node, "tau2"))
        return (("fixed", Literal({"sigma2": value})),)

    def weights(self) -> Expression | None:
        if "weights" in self.settings:
            return self.by_row(self.settings["weights"])
        if "weighted" in self.settings and not truth(self.settings["weighted"], "weighted"):
            return Literal(1.0)
        return None


def _one_or_list(terms: tuple[Expression, ...]) -> Expression | None:
    if not terms:
        return None
    return terms[0] if len(terms) == 1 else Literal(list(terms))
