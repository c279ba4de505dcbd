"""The check of docstrings asks every public name, and finds shapes and errors that are not said."""

import importlib
from functools import cached_property
from inspect import getattr_static
from pathlib import Path

import pytest

from mvmeta import DataError, MetaMixedLM, MetaMixedLMResults, SpecificationError

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module


class Shelf:
    def __init__(self, size):
        if size < 0:
            raise DataError("too small")

    @property
    def width(self) -> float:
        """Width."""

    @cached_property
    def books(self) -> "list[str]":
        """Books."""

    @classmethod
    def of(cls, wood):
        """Make one.

        Raises
        ------
        DataError
            For no wood.
        """
        if wood is None:
            raise DataError("no wood")
        if not isinstance(wood, str):
            raise SpecificationError("not wood")
        raise SpecificationError


def test_public_names_are_those_of_the_reference_and_their_members(load):
    names = load("docstrings.public").public()
    assert names["mvmeta.MetaMixedLM"] is MetaMixedLM
    assert names["mvmeta.MetaMixedLM.fit"] is MetaMixedLM.fit
    assert names["mvmeta.MetaMixedLMResults.aic"] is getattr_static(MetaMixedLMResults, "aic")
    assert "mvmeta.model.results.subset_fits.SubsetFits.summary_frame" in names
    # Neither contracts for contributors, nor what statsmodels wrote, nor other paths to the same.
    assert not any(path.startswith(("mvmeta.structures", "mvmeta.marginal")) for path in names)
    assert not any(path.endswith((".wald_test_noncentral", "._fit")) for path in names)
    assert len({id(value) for value in names.values()}) == len(names)


def test_a_name_in_the_reference_that_does_not_exist_is_an_error(load):
    with pytest.raises(AttributeError, match="Nothing"):
        list(load("docstrings.public").named("mvmeta.Nothing"))


def test_properties_say_what_they_return_by_annotation(load):
    property_type = load("docstrings.public").property_type
    assert property_type(vars(Shelf)["width"]) == "float"
    assert property_type(vars(Shelf)["books"]) == "list[str]"
    assert property_type(vars(Shelf)["of"]) == property_type(Shelf) == ""


@pytest.mark.parametrize(
    "entry",
    [
        "x : ndarray, shape (n,)\n    Numbers.",
        "x : ndarray\n    Numbers, shape (n,).",
        "list of str",
    ],
)
def test_a_shape_is_in_the_type_or_below_it(load, entry):
    assert load("docstrings.shapes").shapeless(entry) == []


@pytest.mark.parametrize("line", ["x : ndarray", "ndarray", "x, y : ndarray of int, optional"])
def test_an_array_without_shape_is_found(load, line):
    assert load("docstrings.shapes").shapeless(f"{line}\n    Numbers.") == [f"no shape of '{line}'"]


def test_errors_that_are_raised_and_not_named_are_found(load):
    errors = load("docstrings.errors")
    assert errors.raised(vars(Shelf)["of"]) == ["DataError", "SpecificationError"]
    assert errors.unsaid(vars(Shelf)["of"]) == ["SpecificationError is raised and not named"]
    assert errors.unsaid(Shelf) == ["DataError is raised and not named"]


def test_every_public_name_is_complete(load, capsys):
    assert load("check_docstrings").main() == 0
    assert capsys.readouterr().out.endswith("public names have complete docstrings\n")


def test_what_a_docstring_lacks_is_printed(load, capsys, monkeypatch):
    text = "Means\n\nReturns\n-------\nndarray\n    The means.\n"
    monkeypatch.setattr(MetaMixedLM.predict, "__doc__", text)
    assert load("check_docstrings").main() == 1
    printed, covered = capsys.readouterr().out.splitlines()
    path, _, lacks = printed.partition(": ")
    assert path == "mvmeta.MetaMixedLM.predict"
    assert lacks.startswith("Summary does not end with a period; Parameters {")
    assert lacks.endswith(
        "No examples section found; no shape of 'ndarray'; no unit of 'ndarray'; "
        "no source of the formula"
    )
    done, every = (int(word) for word in covered.split() if word.isdigit())
    assert every - done == 1
