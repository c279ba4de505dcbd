"""Outcomes with missing rows are fitted as by a model made for the rows they have."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from mvmeta import MetaMixedLM, Random
from mvmeta.model.specification.pins_of_rows import PinsOfRows

STUDIES = 20
FORMULA = "y ~ x"


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    n = 3 * STUDIES
    out = pd.DataFrame({"study": np.repeat(np.arange(STUDIES), 3), "arm": list("ABC") * STUDIES})
    out["x"], out["v"] = rng.normal(size=n), rng.uniform(0.05, 0.2, n)
    out["y"] = rng.normal(size=n) + rng.normal(size=STUDIES)[out["study"]]
    return out


def gaps(data):
    """Rows that an outcome lacks, and how many components its rows leave open with UN."""
    arm, study = data["arm"], data["study"]
    return {
        "nothing": (arm == "D", 6),
        "a level": (arm == "C", 3),
        "a level but once": ((arm == "C") & (study > 0), 3),
        "two levels together": (
            (arm == "C") & (study % 2 == 0) | (arm == "B") & (study % 2 == 1),
            5,
        ),
        "all studies but one": (study > 0, 0),
    }


def outcome(data, lacks):
    return data["y"].where(~lacks).to_numpy()


def fitted(data, lacks, formula, **terms):
    rows = data[~lacks]
    return MetaMixedLM.from_formula(formula, rows, variance="v", **terms).fit()


TERMS = [
    {"random": Random("arm | study", "UN")},
    {"random": Random("arm | study", "HCS")},
    {"random": Random("arm | study", "CS")},
    {"random": Random("arm | study", "DIAG", fixed={"tau2": [None, 0.2, None]})},
    {"random": Random("arm | study", "HCS", equal={"tau2": [0, 0, 1]})},
    {"groups": "study"},
    {"groups": "study/arm"},
]


@pytest.mark.filterwarnings("ignore:the model has 2 coefficients", "ignore:not identified")
@pytest.mark.parametrize("formula", [FORMULA, "y ~ 0 + x"])
@pytest.mark.parametrize("terms", TERMS, ids=lambda t: str(next(iter(t.values()))))
def test_each_is_the_fit_of_its_rows(data, terms, formula):
    lacks = {name: rows for name, (rows, _) in gaps(data).items()}
    if "fixed" in str(terms) or "equal" in str(terms):
        del lacks["a level"]  # fixed= and equal= of its model would be shorter
    model = MetaMixedLM.from_formula(formula, data, variance="v", **terms)
    many = model.fit_many(pd.DataFrame({n: outcome(data, rows) for n, rows in lacks.items()}))
    for k, (name, rows) in enumerate(lacks.items()):
        one = fitted(data, rows, formula, **terms)
        assert_allclose(many.llf[k], one.llf, rtol=1e-9, err_msg=name)
        assert_allclose(many.params[:, k], one.params, atol=1e-6, err_msg=name)
        again = many.get_results(name)
        assert_allclose(again.llf, one.llf, rtol=1e-9, err_msg=name)


def test_what_is_fixed_is_told(data):
    model = MetaMixedLM.from_formula(FORMULA, data, variance="v", **TERMS[0])
    cases = gaps(data)
    table = pd.DataFrame({name: outcome(data, rows) for name, (rows, _) in cases.items()})
    many = model.fit_many(table)
    for name, (_, free) in cases.items():
        one = many.get_results(name)
        assert (~one.vcomp["fixed"]).sum() == free, name
        assert len(one.model.notes) == 6 - free, name
    assert many.get_results("a level").model.notes[0] == (
        "tau2 (C) of 'arm | study' fixed at 0: its level is not seen"
    )


def test_a_value_the_user_gave_stays(data):
    terms = {"random": Random("arm | study", "DIAG", fixed={"tau2": [None, None, 0.3]})}
    model = MetaMixedLM.from_formula(FORMULA, data, variance="v", **terms)
    many = model.fit_many(outcome(data, data["arm"] == "C")[:, None])
    assert many.vcomp[2, 0] == 0.3


def test_the_rules_travel_to_other_processes(data):
    model = MetaMixedLM.from_formula(FORMULA, data, variance="v", **TERMS[0])
    rules = pickle.loads(pickle.dumps(PinsOfRows.of(model.prepared.term_specs)))
    rows = np.flatnonzero((data["arm"] != "C").to_numpy())
    part, notes = rules(model.prepared.problem.take(rows))
    assert part.fixed.sum() == len(notes) == 3
