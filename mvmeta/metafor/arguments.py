"""Arguments of a call by the names metafor's documentation gives them."""

from __future__ import annotations

from collections.abc import Sequence

from mvmeta.metafor.nodes import Argument, Call, Node, refusal

CELLS = (
    "ai", "bi", "ci", "di", "n1i", "n2i", "x1i", "x2i", "t1i", "t2i", "m1i", "m2i", "sd1i",
    "sd2i", "xi", "mi", "ri", "ti", "fi", "pi", "sdi", "r2i", "ni",
)  # fmt: skip
"""What studies report, from which `rma` computes effect sizes."""

COMMON = (
    "yi", "mods", "data", "slab", "subset", "intercept", "method", "test", "level", "btt", "tau2",
    "verbose", "digits", "control", "tdist",
)  # fmt: skip

MULTILEVEL = (
    *COMMON, "V", "W", "random", "struct", "dfs", "R", "Rscale", "sigma2", "rho", "gamma2", "phi",
    "cvvc", "sparse", "dist",
)  # fmt: skip

UNIVARIATE = (
    *COMMON, *CELLS, "vi", "sei", "weights", "scale", "measure", "add", "to", "drop00", "vtype",
    "weighted", "att", "knha",
)  # fmt: skip

FIRST = {"rma.mv": ("yi", "V"), "rma": ("yi", "vi")}
"""Positions that have been the same in all versions of metafor; later ones have moved."""

REFUSED = {
    "beta": "coefficients cannot be fixed here",
    "optbeta": "coefficients are always those of generalised least squares here",
    "lambda1": "penalties have no counterpart here",
    "lambda2": "penalties have no counterpart here",
    "vccon": "write equal= of Random() or of the model for components that are equal",
    "correct": "compute effect sizes with escalc() first",
    "subset": "leave rows out before, or by subset= of the model",
    "att": "tests of scale coefficients are not translated",
    "tau2.init": "start values are given to fit(start=...)",
}


def match_arguments(call: Call, names: Sequence[str], first: Sequence[str]) -> dict[str, Node]:
    """Arguments by name: full names, then beginnings of names, then by position, as in R.

    Parameters
    ----------
    call : Call
    names : sequence of str
        Names the function has.
    first : sequence of str
        Names that may be left out, in their order.

    Returns
    -------
    dict of str to Node
        In the order of `names`.

    Raises
    ------
    SpecificationError
        For an argument that does not exist, is given twice or cannot be translated; says where.
    """
    out: dict[str, Node] = {}
    unnamed: list[Argument] = []
    for argument in call.arguments:
        if argument.value is None:
            continue
        if argument.name is None:
            unnamed.append(argument)
            continue
        name = _full_name(argument, names)
        if name in out:
            raise refusal(argument, f"{name} is given twice")
        out[name] = argument.value
    free = [name for name in first if name not in out]
    for argument, name in zip(unnamed, free, strict=False):
        assert argument.value is not None
        out[name] = argument.value
    if len(unnamed) > len(free):
        raise refusal(
            unnamed[len(free)],
            f"after {' and '.join(first)} arguments need their names: their order differs between "
            "versions of metafor",
        )
    return {name: out[name] for name in names if name in out}


def _full_name(argument: Argument, names: Sequence[str]) -> str:
    name = argument.name or ""
    if name in names:
        return name
    if name in REFUSED:
        raise refusal(argument, f"{name}= is not translated: {REFUSED[name]}")
    found = [known for known in names if known.startswith(name)]
    if len(found) == 1:
        return found[0]
    why = f"could be {', '.join(found)}" if found else "is no argument that is translated"
    raise refusal(argument, f"{name}= {why}")
