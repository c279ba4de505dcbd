"""What every measure of the registry does with bad numbers, other units, more people."""

import numpy as np
import pandas as pd
import pytest

from mvmeta import escalc, transf
from mvmeta.effects import MEASURES
from mvmeta.errors import DataError, MvmetaWarning, SpecificationError

GROUPS = {
    "m1i": [10.0, 4.0, 7.7],
    "m2i": [8.0, 5.0, 7.1],
    "sd1i": [2.0, 1.5, 3.1],
    "sd2i": [2.5, 1.1, 2.2],
    "n1i": [20, 31, 9],
    "n2i": [24, 12, 11],
}
PAIRS = {**{k: GROUPS[k] for k in ("m1i", "m2i", "sd1i", "sd2i")}, "ri": [0.7, 0.4, -0.1]}
PAIRS["ni"] = [20, 31, 9]
TABLE = {"ai": [4, 9, 25], "bi": [16, 20, 75], "ci": [7, 3, 14], "di": [13, 18, 61]}
REGRESSION = {"ni": [45, 120, 30], "mi": [3, 8, 2]}
READY = {"yi": [0.2, -0.4, 1.1], "vi": [0.04, 0.09, 0.5]}

# Of each layout: good numbers, and bad ones for its inputs.
DEVIATIONS = {"sd1i": (0, -1), "sd2i": (0, -1)}
SIZES = {"n1i": (1, 0, -4), "n2i": (1, 0, -4)}
COUNTS = dict.fromkeys(TABLE, (-1, -0.5))
BEYOND = (1, -1, 1.2)
EXAMPLES = {
    "groups": (GROUPS, {**DEVIATIONS, **SIZES}),
    "d": (GROUPS, {**DEVIATIONS, **SIZES}),
    "binormal": (GROUPS, {**DEVIATIONS, **SIZES}),
    "superiority": (
        {"ai": [0.7, 0.4, 0.55], "n1i": [20, 31, 9], "n2i": [24, 12, 11]},
        {"ai": (-0.1, 1.1), **SIZES},
    ),
    "table": (TABLE, COUNTS),
    "margins": (
        {"ai": [20, 12, 8], "bi": [15, 11, 4], "ci": [18, 10, 5], "di": [17, 13, 7]}
        | {"ri": [0.4, 0.1, 0.25]},
        {**COUNTS, "ri": BEYOND},
    ),
    "paired": (TABLE, COUNTS),
    "genotypes": ({k: TABLE[k] for k in ("ai", "bi", "ci")}, COUNTS),
    "rates": (
        {
            "x1i": [7, 12, 41],
            "t1i": [134.0, 198.8, 805],
            "x2i": [11, 1, 63],
            "t2i": [200, 146, 799],
        },
        {"x1i": (-1,), "x2i": (-1,), "t1i": (0, -3), "t2i": (0, -3)},
    ),
    "rate": ({"xi": [7, 12, 41], "ti": [134.0, 198.8, 805]}, {"xi": (-1,), "ti": (0, -3)}),
    "proportion": ({"xi": [3, 5, 18], "ni": [20, 15, 40]}, {"xi": (-1, 50), "ni": (0, -2)}),
    "mean": (
        {"mi": [12.1, 3.3, 150], "sdi": [3.4, 1.6, 22], "ni": [30, 11, 200]},
        {"sdi": (0, -1), "ni": (1, 0)},
    ),
    "correlation": ({"ri": [0.35, -0.6, 0.1], "ni": [26, 78, 12]}, {"ri": BEYOND, "ni": (1, 0)}),
    "regression": (
        {"ri": [0.35, -0.6, 0.1], **REGRESSION},
        {"ri": BEYOND, "ni": (1, 4), "mi": (0, -1)},
    ),
    "semipartial": (
        {"ti": [2.1, -1.4, 0.3], "r2i": [0.3, 0.15, 0.22], **REGRESSION},
        {"r2i": (1, -0.1), "ni": (1, 4), "mi": (0, -1)},
    ),
    "determination": (
        {"r2i": [0.3, 0.15, 0.22], **REGRESSION},
        {"r2i": (1, -0.1), "ni": (1, 4), "mi": (0, -1)},
    ),
    "change": (PAIRS, {**DEVIATIONS, "ri": BEYOND, "ni": (1, 0)}),
    "change score": (PAIRS, {"sd1i": (0, -1), "sd2i": (0, -1), "ri": BEYOND, "ni": (1, 0)}),
    "standardized change": (
        PAIRS,
        {"sd1i": (0, -1), "sd2i": (0, -1), "ri": BEYOND, "ni": (1, 0)},
    ),
    "alpha": (
        {"ai": [0.81, 0.66, 0.93], "mi": [10, 4, 22], "ni": [103, 48, 250]},
        {"ai": (1, 1.2), "mi": (1, 0), "ni": (2, 0)},
    ),
    "ready": (READY, {"vi": (-0.1,)}),
}
# Statistics that a measure may be given in place of others.
INSTEAD = {
    "d": {"ri": BEYOND, "pi": (0, 1.5)},
    "binormal": {"ri": BEYOND, "pi": (0, 1.5), "ai": (-0.2, 1.2)},
    "correlation": {"pi": (0, -1.5)},
    "regression": {"pi": (0, -1.5)},
    "semipartial": {"pi": (0, -1.5), "ri": BEYOND},
    "determination": {"pi": (0, -0.5, 1.5), "fi": (-1,)},
    "standardized change": {"pi": (0, 1.5)},
    "superiority": {"mi": (-0.1, 1.1)},
    "margins": {"pi": (-0.1, 1.1)},
    "ready": {"sei": (-0.1,)},
}
CODES = sorted(MEASURES)
KINDS = [(code, kind) for code in CODES for kind in MEASURES[code].vtypes]


def arrays(layout):
    return {name: np.array(values, float) for name, values in EXAMPLES[layout][0].items()}


def used(measure):
    """Inputs of the example that a measure depends on: SMD1 does not on sd1i."""
    good = arrays(measure.layout)
    derived = set(measure.needs) - good.keys()
    return {n: v for n, v in good.items() if n in measure.needs or derived}


def check_second_row(measure, bad, good):
    frame = pd.DataFrame(bad, index=["a", "b", "c"])
    names = {name: name for name in frame}
    with pytest.warns(
        MvmetaWarning, match=r": 1 of 3 rows have no effect size .*: row b: "
    ) as told:
        found = escalc(measure.code, data=frame, append=False, **names)
    assert len(told) == 1
    assert found.loc["b"].isna().all()
    alone = escalc(measure.code, **{n: v[[0, 2]] for n, v in good.items()})
    np.testing.assert_allclose(found.loc[["a", "c"]], alone, rtol=1e-13)


def test_examples_cover_every_layout():
    assert {m.layout for m in MEASURES.values()} == EXAMPLES.keys()


@pytest.mark.parametrize("code", CODES)
def test_impossible_missing_and_infinite_numbers(code):
    measure = MEASURES[code]
    good, impossible = used(measure), EXAMPLES[measure.layout][1]
    for name in good:
        for value in (*impossible.get(name, ()), np.nan, np.inf):
            bad = {n: v.copy() for n, v in good.items()}
            bad[name][1] = value
            check_second_row(measure, bad, good)


@pytest.mark.parametrize("code", [c for c in CODES if MEASURES[c].layout in INSTEAD])
def test_impossible_numbers_in_place_of_others(code):
    measure = MEASURES[code]
    good = arrays(measure.layout)
    for name, values in INSTEAD[measure.layout].items():
        for value in values:
            bad = good | {name: np.array([np.nan, value, np.nan])}
            check_second_row(measure, bad, good)


@pytest.mark.parametrize("code", [c for c in CODES if MEASURES[c].layout in ("table", "margins")])
def test_more_events_than_people(code):
    good = arrays(MEASURES[code].layout)
    good = {n: v for n, v in good.items() if n not in {"bi", "di"}} | {
        "n1i": good["ai"] + good["bi"],
        "n2i": good["ci"] + good["di"],
    }
    for name in ("ai", "ci"):
        bad = {n: v.copy() for n, v in good.items()}
        bad[name][1] = 1000
        check_second_row(MEASURES[code], bad, good)


@pytest.mark.parametrize("code", CODES)
def test_missing_parts_and_mixed_lengths_are_errors(code):
    good = used(MEASURES[code])
    for name in good:
        rest = {n: v for n, v in good.items() if n != name}
        with pytest.raises(SpecificationError, match=f"{code}' (lacks|needs)|'GEN' (lacks|needs)"):
            escalc(code, **rest)
        if rest:
            with pytest.raises(DataError, match=f"different lengths.*{name} has 2"):
                escalc(code, **rest, **{name: good[name][:2]})
        with pytest.raises(DataError, match=f"{name} must be numeric, but row"):
            escalc(code, **rest, **{name: ["many", "few", "none"]})


@pytest.mark.parametrize(("code", "kind"), KINDS)
def test_permuting_rows_permutes_results(code, kind):
    good, order = used(MEASURES[code]), [2, 0, 1]
    found = escalc(code, vtype=kind, **{n: v[order] for n, v in good.items()})
    np.testing.assert_allclose(found, escalc(code, vtype=kind, **good).iloc[order], rtol=1e-12)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(c, k) for c, k in KINDS if MEASURES[c].layout != "ready"],  # these know no sizes
)
def test_variances_fall_with_the_number_of_people(code, kind):
    """Estimates settle, and variances times sizes do."""
    measure = MEASURES[code]
    counts = {"n1i", "n2i", "x1i", "x2i", "t1i", "t2i", "ti"} | (
        {"ai", "bi", "ci", "di"}
        if measure.layout in {"table", "margins", "paired", "genotypes"}
        else {"ni"}
    )
    if measure.layout in {"rate", "proportion"}:
        counts |= {"xi"}
    if measure.layout == "semipartial":
        counts -= {"ti"}

    def at(factor):
        good = used(measure)
        if measure.layout == "semipartial":
            good["ti"] = good["ti"] * np.sqrt(factor)
        return escalc(
            code, vtype=kind, **{n: v * factor if n in counts else v for n, v in good.items()}
        )

    some, many = at(1e5), at(1e7)
    np.testing.assert_allclose(many["yi"], some["yi"], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(many["vi"] * 100, some["vi"], rtol=1e-3)


POWER = {"MD": 1, "MC": 1, "MN": 1}
SHIFT = {"MNLN", "SDLN"}


@pytest.mark.parametrize(
    ("code", "kind"),
    [(c, k) for c, k in KINDS if {"sd1i", "sd2i", "sdi"} & used(MEASURES[c]).keys()],
)
def test_unit_of_measurement(code, kind):
    good, unit = used(MEASURES[code]), 39.37
    scaled = {n: v * unit if n[0] in "ms" else v for n, v in good.items()}
    found, plain = (escalc(code, vtype=kind, **x) for x in (scaled, good))
    power = POWER.get(code, 0)
    expected = plain * [unit**power, unit ** (2 * power)]
    expected["yi"] += np.log(unit) if code in SHIFT else 0.0
    np.testing.assert_allclose(found, expected, rtol=1e-11)


TIME = {"IR": -1, "IRD": -1, "IRS": -0.5, "IRSD": -0.5, "IRFT": -0.5, "IRR": 0, "IRLN": 0}


@pytest.mark.parametrize("code", TIME)
def test_unit_of_time(code):
    good, unit = used(MEASURES[code]), 365.25
    scaled = {n: v * unit if n[0] == "t" else v for n, v in good.items()}
    expected = escalc(code, **good) * [unit ** TIME[code], unit ** (2 * TIME[code])]
    expected["yi"] -= np.log(unit) if code == "IRLN" else 0.0
    np.testing.assert_allclose(escalc(code, **scaled), expected, rtol=1e-11)


EXCHANGES = {
    "groups": ("m1i m2i", "sd1i sd2i", "n1i n2i"),
    "d": ("m1i m2i", "sd1i sd2i", "n1i n2i"),
    "binormal": ("m1i m2i", "sd1i sd2i", "n1i n2i"),
    "table": ("ai ci", "bi di"),
    "margins": ("ai ci", "bi di"),
    "paired": ("bi ci",),
    "rates": ("x1i x2i", "t1i t2i"),
    "change": ("m1i m2i", "sd1i sd2i"),
    "change score": ("m1i m2i", "sd1i sd2i"),
    "standardized change": ("m1i m2i", "sd1i sd2i"),
}
# In standard deviations of one of the two.
ONE_SIDED = {"SMD1", "SMD1H", "SMCR", "SMCRH"}


@pytest.mark.parametrize(
    ("code", "kind"),
    [(c, k) for c, k in KINDS if MEASURES[c].layout in EXCHANGES and c not in ONE_SIDED],
)
def test_exchanging_the_two_is_a_flip(code, kind):
    measure = MEASURES[code]
    good = used(measure)
    swap = {}
    for pair in EXCHANGES[measure.layout]:
        one, other = pair.split()
        swap |= {one: other, other: one}
    exchanged = {n: good[swap.get(n, n)] for n in good}
    found = escalc(code, vtype=kind, **exchanged)
    expected = escalc(code, vtype=kind, flip=True, **good)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_ways_back_undo_the_transformation():
    """Back from z, logit, probit and so on are the plain measures."""
    plain = {"ZCOR": "COR", "ZPCOR": "PCOR", "ZSPCOR": "SPCOR", "ZPHI": "PHI", "ZTET": "RTET"}
    plain |= {
        "ZPB": "RPB",
        "ZBIS": "RBIS",
        "ZR2": "R2",
        "ZR2F": "R2F",
        "AHW": "ARAW",
        "ABT": "ARAW",
    }
    plain |= {"PLO": "PR", "PRZ": "PR", "PAS": "PR", "PLN": "PR"}
    plain |= {"IRS": "IR", "IRLN": "IR", "MNLN": "MN"}
    for code, other in plain.items():
        measure = MEASURES[code]
        good = used(measure)
        undo = np.exp if measure.back == "exp" else getattr(transf, measure.back)
        expected = escalc(other, **good)["yi"]
        np.testing.assert_allclose(undo(escalc(code, **good)["yi"]), expected, rtol=1e-12)
    for code, measure in MEASURES.items():
        scale = measure.scale("yi")
        assert bool(scale["back"]) == bool(scale["natural"]), code
        assert ("log" in measure.label.lower().split()) == (
            measure.back in ("exp", "ilogit", "iabt")
        ), code
