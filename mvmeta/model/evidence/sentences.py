"""Where an estimate comes from, in a sentence anybody can read."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.model.evidence.studies import ROW, Studies
from mvmeta.model.evidence.targets import Target

SURPRISING = 0.05
"""P-value of a shift below which the sentences call it more than chance explains."""

MOST_NAMED = 4
"""Studies or levels that a sentence names one by one."""

ROUNDING = 1e-9
"""Of a share: closer to none or all of it is none or all."""

LEAST_REASON = 0.5
"""How far, in shifts, the direct studies must lie off average to be called the reason."""

LEAST_SHIFT = 0.05
"""Standard errors below which a shift is too small to ask for its reason."""


def sentence(t: Target, r: dict[Any, Any], at: Studies) -> str:
    """The sentence of one estimate.

    Parameters
    ----------
    t : Target
    r : dict
        Its row of the table, and `others` (see `borrowing.evidence.EvidenceTable`).
    at : Studies
    """
    joint = number(r["joint"], r["joint_se"])
    if t.direct is None:
        return f"{t.short} is {joint}; it has no direct estimate ({t.reason})."
    if t.direct.all() and t.family is None:
        return f"{t.short} is {joint}, the mean that every row observes."
    where = _where(t, at)
    if np.isnan(r["direct"]):
        if r["n_rows"]:
            return f"{where}; its own rows alone do not determine it, all rows give {joint}."
        return f"{where}: {joint} is borrowed from other rows altogether."
    if r["shift_se"] == 0:
        return f"{where}: its own rows alone give {joint}, and no other row changes that."
    direct, shift = (number(r[k], r["joint_se"]) for k in ("direct", "shift"))
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
            return f"{t.short} is compared within no study, as the model tells none apart"
        if not len(which):
            return f"{t.short} is compared within no {at.noun(1)} of {at.count}"
        return f"{t.short} is compared within {several}"
    return f"{t.short} is seen in {several}"


def _named(which: Ints, at: Studies) -> str:
    if at.name == ROW or not 0 < len(which) <= MOST_NAMED or len(which) == at.count:
        return ""
    return f" ({enumerate_names([f'{at.name} {at.labels[i]}' for i in which])})"


def _because(t: Target, r: dict[Any, Any], at: Studies) -> str:
    """The studies that observe a level read low or high elsewhere: why its mean moved away."""
    others = r["others"]
    if t.contrast or t.family is None or not others * r["shift"] < 0:
        return ""
    size = abs(r["shift"])
    if abs(others) < LEAST_REASON * size or size < LEAST_SHIFT * r["joint_se"]:
        return ""
    assert t.direct is not None
    which = np.unique(at.code[t.direct])
    if len(which) == at.count:
        return ""
    near = np.isin(at.code, which) & ~t.direct & (t.family.code >= 0)
    levels = [t.family.short[i] for i in np.unique(t.family.code[near])]
    what = (
        enumerate_names(levels) if 0 < len(levels) <= MOST_NAMED else f"the rest of {t.family.name}"
    )
    who = f"{at.name} {at.labels[which[0]]}" if len(which) == 1 else f"these {at.noun(2)}"
    side = "below" if others < 0 else "above"
    return f", because the effects of {who} in {what} lie about {abs(others):.2g} {side} average"


def _borrowed(t: Target, r: dict[Any, Any], at: Studies) -> str:
    share = r["borrowed"]
    if share < 0:
        return "with the given weights the other rows make it less certain"
    what = "it" if t.contrast else t.short
    borrowed = f"{percent(share)} of what is known about {what} is borrowed from other rows"
    if not t.contrast or np.isnan(r["within"]):
        return borrowed
    return f"{borrowed}, and {percent(r['within'])} comes from comparisons within {at.noun(2)}"


def percent(share: float) -> str:
    """A share in words: neither 0 % nor 100 % where it is close to them only."""
    if ROUNDING < share < 0.01:
        return "less than 1 %"
    if 0.99 < share < 1 - ROUNDING:
        return "more than 99 %"
    return f"{round(100 * share)} %"


def carried(name: str, share: Floats, weight: Floats, at: Studies) -> str:
    """Studies with the largest shares (J,) of an estimate, with their signed weights (J,).

    Without the weights where they are nothing: a study that observes both sides of a comparison
    adds to one what it takes from the other.
    """
    share = np.where(np.abs(share) < ROUNDING, 0.0, share)
    order = np.argsort(-share.round(9), kind="stable")[:MOST_NAMED].tolist()
    order = [i for i in order if share[i] != 0] or order
    signed = [f" ({w:+.2f})" for w in weight[order].round(2) + 0.0]
    shown = bool((np.abs(weight[order]) >= 0.005).any())
    named = [
        f"{at.name} {at.labels[i]} {percent(share[i])}{text if shown else ''}"
        for i, text in zip(order, signed, strict=True)
    ]
    rest = np.count_nonzero(share) - len(named)
    more = f" and {rest} more {percent(1.0 - share[order].sum())}" if rest > 0 else ""
    return f"{name}: {', '.join(named)}{more}"


def enumerate_names(names: Sequence[str]) -> str:
    """The names as an enumeration, "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def number(value: float, se: float) -> str:
    """Four decimals, or more where the standard error is small; no trailing zeros."""
    if np.isnan(value):
        return ""
    decimals = 4 if not se > 0 else max(4, 3 - int(np.floor(np.log10(se))))
    text = f"{value:.{decimals}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def percent_cell(value: float) -> str:
    """A share in a table; empty where it is missing."""
    return "" if np.isnan(value) else f"{100 * value:.0f}%"
