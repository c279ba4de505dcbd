"""Warnings point at the line of the user, from however deep in the package they come."""

import pytest

from mvmeta import MetaMixedLM, MvmetaWarning, datasets, vcalc


@pytest.fixture(scope="module")
def bcg():
    return datasets.load("bcg")


def of(frame, formula="yi ~ 1", groups="trial"):
    return MetaMixedLM.from_formula(formula, frame, variance="vi", groups=groups)


def text_that_reads_as_numbers(bcg):
    of(bcg.assign(year=bcg["year"].astype(str)), "yi ~ year", None)


def covariances_for_correlations(bcg):
    vcalc("vi", "trial", rvars=["v1i", "v2i"], data=datasets.load("berkey1998"))


def coverage_for_alpha(bcg):
    of(bcg).fit().vcomp_conf_int(0.95)


def orders_of_a_permutation(bcg):
    of(bcg.iloc[:3], "yi ~ ablat").fit().permutation_test()


def patterns_of_signs(bcg):
    of(bcg.iloc[:4], "yi ~ ablat").fit().wild_bootstrap_test("ablat = 0", n=99)


def a_fit_made_by_another_method(bcg):
    twice = of(bcg.assign(copy=bcg["trial"]), groups=["trial", "copy"])
    twice.fit().refit(bcg.assign(copy=bcg["trial"], yi=2 * bcg["yi"]))


@pytest.mark.filterwarnings("ignore:not identified")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (text_that_reads_as_numbers, "text that reads as numbers"),
        (covariances_for_correlations, "rvars= holds no correlations"),
        (coverage_for_alpha, "asks for intervals"),
        (orders_of_a_permutation, "no p-value can be below"),
        (patterns_of_signs, "no p-value can be below"),
        (a_fit_made_by_another_method, "not identified"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_the_line_is_that_of_the_user(call, message, bcg):
    with pytest.warns(MvmetaWarning, match=message) as caught:
        call(bcg)
    assert {w.filename for w in caught} == {__file__}
