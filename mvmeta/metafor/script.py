"""The lines around a model: what prepares its data, what follows it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import replace

from mvmeta.metafor.arguments import match_arguments
from mvmeta.metafor.call import MODELS, NOT_MODELS, Reading, read_call
from mvmeta.metafor.derived import derived_column
from mvmeta.metafor.nodes import Call, Node, Symbol, bare, is_call, operands, refusal
from mvmeta.metafor.preparation import diagonal, escalc, imputed, vcalc
from mvmeta.metafor.python import Expression, Literal, Name
from mvmeta.metafor.scope import Scope, Session, column_name, python_name
from mvmeta.metafor.values import truth

PREPARED: dict[str, Callable[[Call, Session], Expression]] = {
    "diag": diagonal,
    "escalc": escalc,
    "impute_covariance_matrix": imputed,
    "vcalc": vcalc,
}
"""Functions whose value may be given a name above the model."""

SILENT = frozenset(
    (
        "library require options print summary set.seed data head str View cat install.packages "
        "setwd par png pdf svg dev.off abline text title axis legend points lines segments polygon "
        "mtext addpoly"
    ).split()
)
"""Functions that say nothing about a model, those that draw among them."""

AFTERWARDS = {
    "AIC": "info_criteria()", "BIC": "info_criteria()",
    "Wald_test": "get_robustcov_results('CR2').f_test(constraints)",
    "anova": "compare_lr_test(other)",
    "baujat": "plot_influence()", "coef": "params", "coef_test": "get_robustcov_results('CR2')",
    "conf_int": "get_robustcov_results('CR2').conf_int()", "confint": "vcomp_conf_int()",
    "cooks.distance": "get_influence().cooks_distance", "dfbetas": "get_influence().dfbetas",
    "fitstats": "info_criteria()", "forest": "plot_forest()", "funnel": "plot_funnel()",
    "hatvalues": "get_influence().hat_matrix_diag", "influence": "get_influence()",
    "logLik": "llf", "permutest": "permutation_test()", "plot": "plot_forest()",
    "predict": "get_prediction(newdata)", "profile": "profile(component)", "ranef": "ranef()",
    "regplot": "plot_bubble()", "regtest": "small_study_effects()", "residuals": "resid",
    "rstandard": "get_influence().resid_studentized_internal",
    "rstudent": "get_influence().resid_studentized_external", "simulate": "simulate(n)",
    "vcov": "cov_params()", "vif": "vif()", "weights": "weights()",
}  # fmt: skip
"""Functions of a result, and what of the result here does the same."""

ASSIGN = ("<-", "=", "<<-")

LONGEST = 60
"""Characters of a line that a note quotes."""

Assignment = tuple[str | None, Node]


class Script:
    """Reads the lines of a script one after the other.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    reading : Reading or None
        The model, once its line was read.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.reading: Reading | None = None

    def read(self, statement: Node) -> None:
        """Read one line.

        Raises
        ------
        SpecificationError
            For a second model, and for a line that is not translated; says where.
        """
        target, value = _assignment(statement)
        if is_call(statement, *ASSIGN) and not self._is_translated(target, value):
            if not self._column(statement):
                self._leave_out(statement, target)
        elif isinstance(value, Call):
            self._call(target, value)
        elif target is not None and isinstance(value, Symbol):
            self.session.assign(target, Name(self.session.frame(value.name, value)))
        elif not isinstance(value, Symbol):  # a name alone prints what it holds
            raise _untranslated(statement)

    def _is_translated(self, target: str | None, value: Node) -> bool:
        if isinstance(value, Call):
            return value.name in {*MODELS, *NOT_MODELS, *PREPARED, *AFTERWARDS, "robust"}
        return target is not None and isinstance(value, Symbol)

    def _column(self, statement: Node) -> bool:
        """Read a line that adds a column to the data; False where it does something else."""
        target, value = operands(statement)
        found = None if self.reading else derived_column(target, value, self.session)
        if found is None:
            return False
        try:
            self.session.assign(*found)
        except (TypeError, ValueError) as error:
            raise refusal(statement, f"this cannot be computed from the data: {error}") from error
        return True

    def _leave_out(self, statement: Node, target: str | None) -> None:
        """What is computed otherwise must be there when the code runs, as data must."""
        text = textwrap.shorten(str(statement), LONGEST, placeholder=" ...")
        if self.reading is not None:
            self.session.note(f"`{text}` was left out, below the model.")
            return
        changed = operands(statement)[0]
        if target is not None:
            self.session.elsewhere.add(target)
        self.session.note(f"`{text}` was left out: give {changed} as it is after that line.")

    def _call(self, target: str | None, call: Call) -> None:
        if call.name in MODELS or call.name in NOT_MODELS:
            self._model(call)
        elif call.name == "robust":
            self._robust(call)
        elif call.name in SILENT or call.name in PREPARED or call.name in AFTERWARDS:
            self._around(target, call)
        else:
            raise _untranslated(call)

    def _around(self, target: str | None, call: Call) -> None:
        inner = bare(call.values[0]) if call.values else None
        if isinstance(inner, Call) and (inner.name in MODELS or inner.name == "robust"):
            self._call(None, inner)
        if call.name in PREPARED:
            if target is None:
                raise _untranslated(call)
            self.session.assign(target, PREPARED[call.name](call, self.session))
        elif call.name in AFTERWARDS:
            self.session.note(f"`{call.name}()` was left out: res.{AFTERWARDS[call.name]}.")

    def _model(self, call: Call) -> None:
        if self.reading is not None:
            raise refusal(call, "there is more than one model here; translate one at a time")
        self.reading = read_call(call, self.session)

    def _robust(self, call: Call) -> None:
        names = ("x", "cluster", "adjust", "clubSandwich", "digits")
        given = match_arguments(call, names, names[:2])
        model = bare(given["x"]) if "x" in given else call
        if isinstance(model, Call) and model is not call:
            self._model(model)
        if self.reading is None:
            raise refusal(call, "robust() needs its model in the same text, above it or within it")
        if "cluster" not in given:
            raise refusal(call, "robust() needs its cluster")
        self.reading = replace(self.reading, fit=self._sandwich(self.reading, given))

    def _sandwich(
        self, reading: Reading, given: dict[str, Node]
    ) -> tuple[tuple[str, Expression], ...]:
        column = column_name(bare(given["cluster"]))
        if column is None:
            raise refusal(given["cluster"], "cluster must be a column of the data")
        groups = Scope(self.session, reading.frame).column(column)
        kept = tuple((name, value) for name, value in reading.fit if name == "reml")
        settings: dict[str, Expression] = {"groups": groups}
        if "clubSandwich" in given and truth(given["clubSandwich"], "clubSandwich"):
            kind = "CR2"
        else:
            adjusted = "adjust" not in given or truth(given["adjust"], "adjust")
            kind, settings["df"] = "CR1p" if adjusted else "CR0", Literal("cluster")
        return (*kept, ("cov_type", Literal(kind)), ("cov_kwds", Literal(settings)))


def _assignment(statement: Node) -> Assignment:
    """The name that is assigned, if it is one, and the value."""
    if is_call(statement, *ASSIGN):
        target, value = operands(statement)
        name = python_name(target.name) if isinstance(target, Symbol) else None
        return name, bare(value)
    return None, bare(statement)


def _untranslated(where: Node) -> Exception:
    return refusal(
        where,
        "this line is not translated: around a model only assignments and functions of its result "
        "are read",
    )
