"""simulate() and bootstrap() as users see them."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM, MvmetaWarning, Random, SpecificationError, datasets
from tests.tolerances import OPTIMUM


@pytest.fixture(scope="module")
def results():
    frame = datasets.load("konstantopoulos2011")
    return MetaMixedLM.from_formula(
        "yi ~ year", frame, variance="vi", groups="district/school"
    ).fit()


def i2_total(res):
    return res.heterogeneity().loc["total", "i2"]


def components(res):
    return pd.concat([res.params, pd.Series(res.vcomp["estimate"].to_numpy())])


def test_simulate_is_labelled_and_seeded(results):
    draws = results.simulate(3, seed=1)
    assert draws.shape == (56, 3)
    assert draws.index.equals(results.resid.index)
    assert draws.equals(results.simulate(3, seed=np.random.default_rng(1)))
    conditional = results.simulate(400, seed=1, conditional=True)
    sd = np.sqrt(datasets.load("konstantopoulos2011")["vi"])
    gap = (conditional.mean(axis=1) - results.blup()["estimate"]).to_numpy()
    assert (np.abs(gap) < 4.5 * sd.to_numpy() / 20).all()  # standard errors of 400 draws
    for wrong in (0, 1.5, True, "3"):
        with pytest.raises(SpecificationError, match="number of data sets"):
            results.simulate(wrong)
    with pytest.raises(SpecificationError, match="seed="):
        results.simulate(seed="today")


def test_bootstrap_is_refitting_simulated_data(results):
    boot = results.bootstrap(30, seed=2)
    draws = results.simulate(30, seed=2)
    assert list(boot.observed.index) == [*results.params.index, *results.component_labels]
    many = results.model.fit_many(draws)
    expected = np.concatenate([many.params, many.vcomp]).T
    assert boot.replicates.to_numpy() == pytest.approx(expected)
    assert boot.n_failed == 0
    assert boot.replicates.equals(results.bootstrap(30, seed=2).replicates)


def test_statistic_route_gives_the_same(results):
    plain = results.bootstrap(5, seed=3)
    called = results.bootstrap(5, components, seed=3)
    assert called.replicates.to_numpy() == pytest.approx(
        plain.replicates.to_numpy(), rel=10 * OPTIMUM, abs=1e-9
    )
    spread = results.bootstrap(5, components, seed=3, n_jobs=2)
    assert spread.replicates.to_numpy() == pytest.approx(called.replicates.to_numpy())


def measures(res):
    table = res.heterogeneity(None)
    kinds = ("variance", "i2", "cvh", "m1", "m2")
    return [*(table.loc[t, k] for k in kinds for t in table.index), *res.r2()]


def test_measures_of_heterogeneity_are_those_of_the_refits(results):
    quick = results.bootstrap(6, "heterogeneity", seed=3)
    slow = results.bootstrap(6, measures, seed=3)
    assert quick.observed.to_numpy() == pytest.approx(measures(results))
    assert quick.replicates.to_numpy() == pytest.approx(
        slow.replicates.to_numpy(), rel=1e-4, abs=1e-9
    )
    assert list(quick.conf_int().loc["r2"].index) == ["marginal", "conditional"]
    assert quick.summary_frame().loc[("m1", "total"), "estimate"] == pytest.approx(
        results.heterogeneity(None).loc["total", "m1"]
    )


def test_measures_that_do_not_exist_are_left_out():
    """R2 without moderators, I2 where V is singular."""
    frame = datasets.load("konstantopoulos2011")
    frame.loc[3, "vi"] = 0.0
    res = MetaMixedLM.from_formula("yi ~ 1", frame, variance="vi", groups="district/school").fit()
    boot = res.bootstrap(5, "heterogeneity", seed=1)
    assert set(boot.observed.index.get_level_values("measure")) == {"variance", "cvh", "m1", "m2"}
    assert np.isfinite(boot.replicates).all(axis=None)


def test_tables(results):
    boot = results.bootstrap(200, seed=4)
    frame = boot.summary_frame(0.1, "basic")
    assert frame["estimate"].to_numpy() == pytest.approx(boot.observed.to_numpy())
    assert frame[["ci_lower", "ci_upper"]].to_numpy() == pytest.approx(
        boot.conf_int(0.1, "basic").to_numpy()
    )
    assert (frame[["bias_mc", "se_mc", "ci_lower_mc", "ci_upper_mc"]] > 0).all(axis=None)
    assert boot.se.to_numpy() == pytest.approx(boot.replicates.std().to_numpy())
    assert boot.bias.to_numpy() == pytest.approx(
        (boot.replicates.mean() - boot.observed).to_numpy()
    )
    # normal theory holds for the fixed effects: within Monte Carlo error of bse
    gap = (boot.se[:2] - results.bse).abs()
    assert (gap < 4 * frame["se_mc"][:2]).all()
    text = boot.summary()
    assert text.startswith("parametric bootstrap, 200 replicates, 95% percentile intervals")
    assert "district/school: sigma2" in text
    assert str(boot) == text


def test_any_statistic_of_any_model():
    frame = datasets.load("berkey1998")
    res = MetaMixedLM.from_formula(
        "yi ~ outcome - 1", frame, variance="vi", random=Random("outcome | trial", "UN")
    ).fit()
    boot = res.bootstrap(4, i2_total, seed=5)
    assert boot.observed.iloc[0] == pytest.approx(i2_total(res))
    assert boot.replicates.shape == (4, 1)
    named = res.bootstrap(2, lambda r: {"llf": r.llf, "k": r.nobs}, seed=5)
    assert list(named.replicates.columns) == ["llf", "k"]


def test_warm_refits_reach_the_maxima_of_the_full_search():
    frame = datasets.load("berkey1998")
    res = MetaMixedLM.from_formula(
        "yi ~ outcome - 1", frame, variance="vi", random=Random("outcome | trial", "UN")
    ).fit()
    warm, full = (res.bootstrap(8, lambda r: r.llf, seed=8, warm=w) for w in (True, False))
    assert warm.replicates.to_numpy() == pytest.approx(full.replicates.to_numpy(), abs=1e-8)
    warm, full = (res.bootstrap(8, seed=8, warm=w) for w in (True, False))
    assert warm.replicates.to_numpy() == pytest.approx(full.replicates.to_numpy(), abs=1e-5)


def test_failures_are_counted_and_said(results):
    def fragile(res):
        return np.nan if res.params["year"] > results.params["year"] else 1.0

    with pytest.warns(MvmetaWarning, match="of 12 bootstrap refits are left out.*not finite"):
        boot = results.bootstrap(12, fragile, seed=6)
    assert boot.n_failed == boot.replicates.isna().any(axis=1).sum() > 0
    assert boot.failures == {"the statistic is not finite": boot.n_failed}
    assert f"left out: {boot.n_failed:>6}" in boot.summary()
    said = f"parametric bootstrap of statistic 0: 12 replicates, {boot.n_failed} left out; "
    assert repr(boot).startswith(said)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MvmetaWarning)
        nothing = results.bootstrap(3, lambda res: np.nan if res is not results else 1.0, seed=7)
    with pytest.raises(SpecificationError, match=r"0 of 3 refits.*most often: .*not finite"):
        nothing.conf_int()
    assert "3 replicates, 3 left out" in repr(nothing)  # what has no summary can be looked at


def test_a_statistic_that_raises_costs_no_other_replicate(results):
    def fragile(res):
        if res.params["year"] > results.params["year"]:
            raise KeyError("no such thing")
        return res.params["year"]

    with pytest.warns(MvmetaWarning, match="left out; most often: the statistic raised KeyError"):
        boot = results.bootstrap(12, fragile, seed=6)
    assert boot.failures == {"the statistic raised KeyError: 'no such thing'": boot.n_failed}
    kept = boot.replicates.dropna()
    assert len(kept) == 12 - boot.n_failed > 2
    assert (kept <= results.params["year"]).all(axis=None)


def test_a_statistic_that_raises_for_the_fit_itself_is_named(results):
    """There is nothing to count: no refit would give it, and the caller's error is the cause."""

    def share_of_month(res):
        return res.params["month"] / res.params["year"]

    of = r"of 56 rows with the coefficients Intercept, year; make it return"
    with pytest.raises(SpecificationError, match=of) as raised:
        results.bootstrap(12, share_of_month, seed=6)
    said = str(raised.value)
    assert said.startswith("statistic= share_of_month() raised KeyError: 'month'. It was called")
    assert isinstance(raised.value.__cause__, KeyError)
    with pytest.raises(SpecificationError, match=r"statistic= <lambda>\(\) raised ZeroDivision"):
        results.bootstrap(12, lambda res: 1 / 0, seed=6)
    nameless = partial(getattr, "no results")
    with pytest.raises(SpecificationError, match=r"statistic= functools.partial\(.*TypeError"):
        results.bootstrap(12, nameless, seed=6)


def test_refusals(results):
    with pytest.raises(SpecificationError, match="number of replicates"):
        results.bootstrap(1)
    with pytest.raises(SpecificationError, match="function of the results"):
        results.bootstrap(3, "I2")
    with pytest.raises(SpecificationError, match="returns numbers"):
        results.bootstrap(3, lambda res: "many")
    with pytest.raises(SpecificationError, match="vector or a Series"):
        results.bootstrap(3, lambda res: np.ones((2, 2)))
    with pytest.raises(SpecificationError, match="number of processes"):
        results.bootstrap(3, n_jobs=-1)
    with pytest.raises(SpecificationError, match="no lambda or inner function"):
        results.bootstrap(3, lambda res: res.llf, n_jobs=2)
    with pytest.raises(SpecificationError, match="get_robustcov_results in the statistic"):
        results.get_robustcov_results().bootstrap(3, i2_total)
