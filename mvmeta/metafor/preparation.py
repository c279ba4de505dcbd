"""What comes before a model: `escalc` and `vcalc` within a call or a line above it."""

from __future__ import annotations

from mvmeta.errors import SpecificationError
from mvmeta.metafor.arguments import CELLS, match_arguments
from mvmeta.metafor.arithmetic import arithmetic
from mvmeta.metafor.nodes import Call, Node, Symbol, bare, is_call, refusal
from mvmeta.metafor.python import Apply, Expression, Literal, Name
from mvmeta.metafor.scope import Scope, Session, column_name, frames_named, python_name
from mvmeta.metafor.values import Scalar, is_null, number, scalars, truth

COLUMNS = (
    "vi", "cluster", "subgroup", "obs", "type", "time1", "time2", "grp1", "grp2", "w1", "w2",
)  # fmt: skip
VCALC = (*COLUMNS, "data", "rho", "phi", "rvars", "checkpd", "nearpd", "sparse")
OPTIONS = ("add", "to", "drop00", "vtype", "append")
ROWS = ("flip", "include", "replace", "correct", "cutoff", "add.measure")
ESCALC = (
    *CELLS, *OPTIONS, *ROWS, "measure", "var.names", "yi", "vi", "sei", "data", "digits", "slab",
)  # fmt: skip


def data_name(node: Node | None, others: list[Node], session: Session, where: Node) -> str:
    """The Python name of the data of a call, found in `data` or before a ``$``.

    Raises
    ------
    SpecificationError
        For data that are no name, or columns of several data sets; says where.
    """
    named = [symbol for other in others for symbol in frames_named(other)]
    if node is None or is_null(node):
        if not named:
            return session.frame("data", where)
        node = named[0]
    if is_call(node, "escalc"):
        assert isinstance(node, Call)
        session.assign("dat", escalc(node, session))
        return "dat"
    if not isinstance(node, Symbol):
        raise refusal(node, "data must be the name of a data set; prepare it before the call")
    for symbol in named:
        if symbol.name != node.name:
            raise refusal(symbol, f"this column is not from the data, {node.name!r}")
    return session.frame(node.name, node)


def vcalc(call: Call, session: Session, around: Scope | None = None) -> Apply:
    """`vcalc(...)` of metafor as ours, alone or in a call whose data are those of `around`.

    Raises
    ------
    SpecificationError
        For an argument that is not translated; says where.
    """
    given = match_arguments(call, VCALC, ("vi", "cluster"))
    data, others = given.pop("data", None), list(given.values())
    scope = around
    if scope is None or data is not None or any(frames_named(node) for node in others):
        scope = Scope(session, data_name(data, others, session, call))
    keywords: list[tuple[str, Expression]] = []
    for name, node in given.items():
        if name in COLUMNS:
            keywords.append((name, column_or_name(node, scope)))
        elif name in {"rho", "phi"}:
            keywords.append((name, _correlation(node, name)))
        elif name in {"checkpd", "nearpd"}:
            keywords.append((name, Literal(truth(node, name))))
        elif name == "rvars":
            keywords.append((name, _beside(node, scope)))
    keywords.append(("data", Name(scope.frame)))
    return Apply("vcalc", (), tuple(keywords))


def imputed(call: Call, session: Session) -> Apply:
    """The covariances of clubSandwich's ``impute_covariance_matrix(vi, cluster, r)``.

    Raises
    ------
    SpecificationError
        For another argument; says where.
    """
    names = ("vi", "cluster", "r", "return_list", "check_PD")
    given = match_arguments(call, names, names[:3])
    lost = [name for name in names[:3] if name not in given]
    if lost:
        raise refusal(call, f"impute_covariance_matrix() needs its {lost[0]}")
    scope = Scope(session, data_name(None, list(given.values()), session, call))
    rows = Apply("np.arange", (Apply("len", (Name(scope.frame),)),))
    keywords = (
        ("vi", column_or_name(given["vi"], scope)),
        ("cluster", column_or_name(given["cluster"], scope)),
        ("obs", rows),
        ("rho", _correlation(given["r"], "r")),
        ("data", Name(scope.frame)),
    )
    return Apply("vcalc", (), keywords)


def escalc(call: Call, session: Session) -> Apply:
    """`escalc(...)` of metafor as ours.

    Raises
    ------
    SpecificationError
        For an argument that is not translated; says where.
    """
    given = match_arguments(call, ESCALC, ("measure",))
    if "measure" not in given:
        raise refusal(call, "escalc() needs its measure")
    data = given.pop("data", None)
    return effect_sizes(given, Scope(session, data_name(data, list(given.values()), session, call)))


def diagonal(call: Call, session: Session) -> Expression:
    """``diag(x)``, a V of variances alone, as the column of these."""
    if len(call.values) != 1:
        raise refusal(call, "diag() is translated with the variances only")
    scope = Scope(session, data_name(None, list(call.values), session, call))
    return arithmetic(call.values[0], scope.column)


def effect_sizes(given: dict[str, Node], scope: Scope) -> Apply:
    """Our call of `escalc` for these arguments, `measure` among them."""
    measure = scalars(given["measure"], "measure")[0]
    keywords: list[tuple[str, Expression]] = []
    for name, node in given.items():
        if name in (*CELLS, "yi", "vi", "sei"):
            keywords.append((name, column_or_name(node, scope)))
        elif name == "var.names":
            names = [Literal(entry) for entry in scalars(node, name)]
            keywords.append(("var_names", Literal(names)))
        elif name in OPTIONS:
            keywords.append((name, Literal(_setting(node, name))))
        elif name in ROWS:
            keywords += _of_rows(name, node, scope)
    keywords.append(("data", Name(scope.frame)))
    return Apply("escalc", (Literal(measure),), tuple(keywords))


def _of_rows(name: str, node: Node, scope: Scope) -> list[tuple[str, Expression]]:
    """What to do with the estimates of which rows, in our words."""
    match name:
        case "flip":
            return [(name, _constant(node) or column_or_name(node, scope))]
        case "include":
            return [(name, _rows(node, scope))]
        case "replace":
            return [(name, Literal(_replace(node, scope)))]
        case "correct":
            return [(name, Literal(truth(node, name)))]
        case "cutoff":
            return [(name, Literal(None if is_null(node) else number(node, name)))]
    if truth(node, name):
        raise refusal(node, f"{name}: add the column after escalc(), dat$measure <- ...")
    return []


def _constant(node: Node) -> Literal | None:
    """TRUE, FALSE or a number; None for anything that names columns."""
    try:
        return Literal(_setting(node, "flip"))
    except SpecificationError:
        return None


def _rows(node: Node, scope: Scope) -> Expression:
    """Rows by a condition or a column of truth values, or by their numbers, which count from 1."""
    try:
        numbers = scalars(node, "include")
    except SpecificationError:
        return column_or_name(node, scope)
    if all(isinstance(n, float | int) and not isinstance(n, bool) and n >= 1 for n in numbers):
        return Literal([Literal(int(n) - 1) for n in numbers if n is not None])
    raise refusal(node, "include is translated as a condition or as numbers of rows")


def _replace(node: Node, scope: Scope) -> str:
    """TRUE or "all", FALSE or "ifna"."""
    given = _setting(node, "replace")
    if given in (True, "all"):
        return "all"
    if given not in (False, "ifna"):
        raise refusal(node, 'replace must be TRUE, FALSE, "all" or "ifna"')
    scope.note(
        "A row that has an effect size or a variance, and not both, gets two new numbers; metafor "
        "fills in the one that is missing, beside the old one."
    )
    return "ifna"


def column_or_name(node: Node, scope: Scope) -> Expression:
    """A column by its name, an object, or an expression over columns."""
    name = column_name(bare(node))
    if name is not None and scope.is_column(name):
        return Literal(name.name)
    return arithmetic(node, scope.column)


def _correlation(node: Node, name: str) -> Expression:
    if isinstance(node, Symbol):
        return Name(python_name(node.name))
    parts = node.values if isinstance(node, Call) and node.name == "c" else (node,)
    values = [Literal(number(part, name)) for part in parts]
    return values[0] if len(values) == 1 else Literal(values)


def _beside(node: Node, scope: Scope) -> Expression:
    """Columns of correlations beside the rows, ``c(v1i, v2i)``, by their names."""
    parts = node.values if is_call(node, "c") and isinstance(node, Call) else (node,)
    found = [column_name(bare(part)) for part in parts]
    names = [symbol.name for symbol in found if symbol is not None and scope.is_column(symbol)]
    if len(names) < len(parts):
        raise refusal(node, "rvars is translated as names of columns, one by one: c(v1i, v2i)")
    return Literal([Literal(name) for name in names])


def _setting(node: Node, name: str) -> Scalar:
    found = scalars(node, name)
    if len(found) != 1:
        raise refusal(node, f"{name} must be one value")
    return found[0]
