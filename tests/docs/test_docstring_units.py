"""The check of docstrings finds numbers whose unit is not said, and those alone."""

import importlib
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def unitless(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("docstrings.units").unitless


def docstring(kind, description, section="Parameters"):
    entry = f"x : {kind}" if section != "Returns" else kind
    return f"Summary.\n\n{section}\n{'-' * len(section)}\n{entry}\n    {description}\n"


@pytest.mark.parametrize(
    "description",
    [
        "Sampling variance, in squared units of the response.",
        "Test statistic, without unit.",
        "Share of the rows, in percent.",
        "Fixed effects, on the scale of the measure.",
        "Mean of true effects on the logarithmic scale.",
        "Correlation of two sampling errors.",
        "1 - coverage of the intervals.",
        "Two-sided p-values.",
        "Degrees of freedom; infinite under z.",
        "As in `loglike`.",
        "Angle in radians.",
    ],
)
@pytest.mark.parametrize("section", ["Parameters", "Returns", "Attributes", "Yields"])
def test_a_unit_passes(unitless, description, section):
    assert unitless(docstring("float", description, section)) == []


@pytest.mark.parametrize(
    "description",
    [
        "",
        "The estimate.",
        "Sampling variance.",
        "Limits of the interval, as in statsmodels.",
        # Words of something else: the kind is in the first clause or it is not that of the entry.
        "Sampling variances; the correlations stay.",
        "Variance (see the p-value below).",
        "What stands for it, such as a correlation.",
        "Half the width of `correlation`.",
        # Half a word, or a word in another meaning.
        "One per outermost unit, scaled.",
        "Of studies that share a group.",
        "A number, or one per study.",
    ],
)
@pytest.mark.parametrize("kind", ["float", "array_like, shape (n,)", "str or number, optional"])
def test_no_unit_is_found(unitless, kind, description):
    assert unitless(docstring(kind, description)) == ["no unit of 'x'"]


@pytest.mark.parametrize(
    "kind",
    [
        "int",
        "bool",
        "str, optional",
        "ndarray of int, shape (n,)",
        "str or array_like of labels (n,)",
        "DataFrame of text and counts",
    ],
)
def test_counts_and_labels_need_none(unitless, kind):
    assert unitless(docstring(kind, "Of the rows.")) == []


@pytest.mark.parametrize("entry", ["x", "x : optional"])
def test_what_has_no_type_may_be_a_number(unitless, entry):
    text = f"Summary.\n\nParameters\n----------\n{entry}\n    "
    assert unitless(f"{text}The estimate.\n") == ["no unit of 'x'"]
    assert unitless(f"{text}As in `fit`.\n") == []


def test_further_options_are_described_where_they_go(unitless):
    assert unitless("Summary.\n\nParameters\n----------\n**options\n    Of `fit`.\n") == []


def test_the_data_of_the_user_have_their_own_units(unitless):
    text = docstring("DataFrame", "With the columns named.")
    assert unitless(text) == ["no unit of 'x'"]
    assert unitless(text.replace("x :", "data :")) == []


def test_one_kind_does_not_tell_the_unit_of_a_table(unitless):
    kind = docstring("DataFrame", "P-values beside estimates.", "Returns")
    assert unitless(kind) == ["no unit of 'DataFrame'"]
    reference = docstring("DataFrame", "As in `summary_frame`.", "Returns")
    assert unitless(reference) == ["no unit of 'DataFrame'"]
    unit = docstring("DataFrame", "P-values beside estimates, in units of the response.", "Returns")
    assert unitless(unit) == []


def test_a_table_that_is_given_is_of_one_kind(unitless):
    assert unitless(docstring("DataFrame", "Known correlations, labelled by species.")) == []


def test_a_property_is_a_number_by_its_annotation(unitless):
    bare, said = "Standard errors.", "Standard errors, in units of the response."
    assert unitless(bare, "pd.Series") == unitless(bare, "Floats") == ["no unit of 'the property'"]
    assert unitless(said, "pd.Series") == []
    assert unitless(bare, "Any") == ["no unit of 'the property'"]
    assert unitless(bare, "list[str]") == unitless(bare, "dict[str, Any]") == unitless(bare) == []


def test_entries_are_told_apart(unitless):
    text = docstring("float", "Correlation of two outcomes.") + "y : float\n    The other.\n"
    assert unitless(text) == ["no unit of 'y'"]
