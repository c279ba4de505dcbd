"""A fit from batches is the fit of all rows in memory."""

import functools
import itertools
import pickle

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM, Random
from mvmeta.model.batched import pieces, source
from tests.model.batched.simulated import correlated_v, cut, effects
from tests.tolerances import BACKEND, OPTIMUM

UN = Random("outcome | study", struct="UN")
MODELS = {
    "three levels": ("y ~ dose + C(arm)", {"groups": "study/id"}),
    "transforms of all rows": ("y ~ center(dose) * arm", {"groups": "study/id"}),
    "logarithm, no study": ("np.log(v) ~ np.exp(dose / 10) + C(year // 10)", {}),
    "polynomial": ("y ~ year + I(year**2)", {"groups": "study"}),
    "splines": ("y ~ bs(dose, df=4)", {"groups": "study"}),
    "outcomes": ("y ~ outcome - 1", {"random": UN}),
    "outcomes and rows": ("y ~ outcome + dose", {"random": [UN, "1 | row"]}),
    "correlated errors": ("y ~ dose", {"random": UN, "variance": correlated_v}),
    "slopes": ("y ~ dose", {"random": Random("1 + center(dose) | study", struct="GEN")}),
    "slopes of levels": ("y ~ arm", {"random": Random("0 + arm | study", struct="GDIAG")}),
    "order": ("y ~ 1", {"random": Random("id | study", struct="AR")}),
    "times": ("y ~ 1", {"random": Random("id | study", struct="CAR")}),
    "sites": ("y ~ 1", {"random": Random("id | study", struct="SPEXP")}),
    "laboratories": ("y ~ arm", {"groups": ["lab", "study", "id"]}),
    "equal terms": ("y ~ arm", {"groups": "study/id", "equal": ["study", "study/id"]}),
    "interaction of groups": ("y ~ arm", {"random": ["1 | study", "1 | study:arm"]}),
}


def both(formula, options, frame=None, batches=None):
    return tuple(m.fit() for m in models(formula, options, frame, batches))


def models(formula, options, frame=None, batches=None):
    """The model in memory and from batches."""
    frame = effects() if frame is None else frame
    options = {"variance": "v", **options}
    batches = batches or cut(frame, 20 if "lab" in str(options.get("groups")) else 13)
    streamed = MetaMixedLM.from_batches(formula, batches, **options)
    if callable(options["variance"]):
        options = {**options, "variance": options["variance"](frame)}
    whole = MetaMixedLM.from_formula(formula, frame, **options)
    return whole, streamed


@functools.cache
def fits(name):
    """Both fits of a named model."""
    return both(*MODELS[name])


def from_there(name, **fit):
    """The fits again with other options, from the components found before."""
    return (r.model.fit(start=r.vcomp["estimate"], **fit) for r in fits(name))


def assert_close(found, wanted, tol=BACKEND):
    found, wanted = np.asarray(found, dtype=float), np.asarray(wanted, dtype=float)
    np.testing.assert_allclose(
        found, wanted, rtol=tol, atol=tol * np.nanmax(np.abs(wanted), initial=0.0)
    )


def assert_same_likelihood(found, wanted):
    """Of models; components at half their range or at 0.3, which no structure excludes."""
    assert found.notes == wanted.notes
    components = wanted.prepared.problem.components
    assert [str(c) for c in found.prepared.problem.components] == [str(c) for c in components]
    assert (found.prepared.problem.fixed == wanted.prepared.problem.fixed).all()
    theta = [0.3 if c.power or not np.isfinite(c.upper) else 0.1 for c in components]
    for reml in (True, False):
        assert_close(found.loglike(theta, reml), wanted.loglike(theta, reml))
        assert_close(found.score(theta, reml), wanted.score(theta, reml))


def assert_same_fit(found, wanted):
    assert list(found.params.index) == list(wanted.params.index)
    assert_close(found.params, wanted.params)
    assert_close(found.bse, wanted.bse)
    columns = ["term", "component", "level", "n_levels", "fixed", "boundary"]
    pd.testing.assert_frame_equal(found.vcomp[columns], wanted.vcomp[columns])
    assert_close(found.vcomp["estimate"], wanted.vcomp["estimate"], OPTIMUM)
    for reml in (True, False):
        assert_close(found.info_criteria(reml), wanted.info_criteria(reml))
    assert_close(found.QE, wanted.QE)
    assert_close(found.heterogeneity(None), wanted.heterogeneity(None), OPTIMUM)
    assert_close(found.moderators_test().statistic, wanted.moderators_test().statistic)
    assert found.model.notes == wanted.model.notes
    assert (found.nobs, found.df_resid, found.df_model) == (
        wanted.nobs,
        wanted.df_resid,
        wanted.df_model,
    )


@pytest.mark.parametrize("name", MODELS)
def test_same_fit_as_in_memory(name):
    wanted, found = fits(name)
    assert_same_fit(found, wanted)


@pytest.mark.parametrize("name", ["three levels", "slopes of levels", "correlated errors"])
def test_pieces_of_unsorted_batches_add_up(name, monkeypatch):
    """Cut into pieces of a few studies, whose rows lie scattered over the batch."""
    monkeypatch.setattr(pieces, "PIECE_ROWS", 20)
    frame = effects()
    mixed = frame.groupby(pd.factorize(frame["study"])[0] // 30, group_keys=False).sample(
        frac=1, random_state=3
    )
    formula, options = MODELS[name]
    if callable(options.get("variance")):
        mixed = frame  # vcalc is asked for the same V in both
    wanted, found = models(formula, options, mixed, cut(mixed, 30))
    assert_same_likelihood(found, wanted)


def test_rows_of_unsorted_batches_come_in_their_order(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_ROWS", 20)
    monkeypatch.setattr(source, "KEEP_ROWS", 0)
    frame = effects()[::-1]
    wanted, found = both("y ~ dose", {"groups": "study"}, frame, cut(frame, 30))
    assert_same_fit(found, wanted)
    rows = pd.concat(found.iter_rows())
    assert list(rows.index) == list(frame.index)
    assert_close(rows["estimate"], wanted.blup()["estimate"], OPTIMUM)


@pytest.mark.parametrize("name", ["three levels", "outcomes"])
def test_degrees_of_freedom(name):
    for df in ("contain", "satterthwaite", "kenward-roger", 7.0):
        wanted, found = from_there(name, df=df)
        assert_close(found.df_inference, wanted.df_inference, OPTIMUM)
        assert_close(found.bse, wanted.bse, OPTIMUM)
        assert_close(found.pvalues, wanted.pvalues, OPTIMUM)


@pytest.mark.parametrize("cov_type", ["knha", "adhoc"])
def test_scaled_covariance(cov_type):
    wanted, found = from_there("three levels", cov_type=cov_type, use_t=True)
    assert_close(found.bse, wanted.bse)


KINDS = ["CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3"]
DF_RULES = ["satterthwaite", "cluster", "residual"]


@pytest.mark.parametrize("name", ["three levels", "correlated errors"])
def test_robust_covariance(name):
    for kind, df in itertools.product(KINDS, DF_RULES):
        assert_same_robust(*(r.get_robustcov_results(kind, df=df) for r in fits(name)))


def assert_same_robust(wanted, found):
    assert found.n_clusters == wanted.n_clusters
    assert_close(found.bse, wanted.bse, OPTIMUM)
    assert_close(found.df_inference, wanted.df_inference, OPTIMUM)
    one, other = found.moderators_test(), wanted.moderators_test()
    assert_close([one.statistic, one.df_denom], [other.statistic, other.df_denom], OPTIMUM)


def test_robust_covariance_by_a_column_that_is_coarser(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_ROWS", 8)
    formula, options = "y ~ dose + lab", {"groups": "study"}
    frame = effects()
    wanted, found = both(formula, options, frame, cut(frame, 12))
    kwds = {"groups": "lab"}
    wanted, found = (r.model.fit(cov_type="CR2", cov_kwds=kwds) for r in (wanted, found))
    assert found.n_clusters == wanted.n_clusters == 15
    assert_close(found.bse, wanted.bse, OPTIMUM)
    assert_close(found.df_inference, wanted.df_inference, OPTIMUM)
    assert_close(found.f_test("dose = lab = 0").fvalue, wanted.f_test("dose = lab = 0").fvalue)


@pytest.mark.parametrize("name", ["three levels", "outcomes", "slopes", "correlated errors"])
def test_rows_and_random_effects_batch_by_batch(name):
    wanted, found = fits(name)
    parts = list(found.iter_rows())
    assert [len(p) for p in parts] == [len(b) for b in cut(effects())()]
    rows = pd.concat(parts)
    assert list(rows.index) == list(effects().index)
    assert_close(rows["observed"], wanted.model.endog)
    assert_close(rows["fittedvalues"], wanted.fittedvalues)
    assert_close(rows["resid"], wanted.resid)
    assert_close(rows["resid_pearson"], wanted.resid_pearson, OPTIMUM)
    names = ["estimate", "se", "pi_lower", "pi_upper"]
    assert_close(rows[names], wanted.blup()[names], OPTIMUM)
    effects_found = list(found.iter_ranef())
    for term, table in wanted.ranef().items():
        together = pd.concat([part[term] for part in effects_found])
        assert list(together.index) == list(table.index)
        assert_close(together, table, OPTIMUM)


def test_predictions_of_new_rows():
    wanted, found = fits("outcomes")
    new = pd.DataFrame({"outcome": ["sleep", "pain"]})
    assert_close(found.predict(new), wanted.predict(new))
    frames = (r.get_prediction(new).summary_frame() for r in (found, wanted))
    assert_close(*frames, OPTIMUM)


def test_likelihood_profile_and_ratio_test():
    wanted, found = fits("three levels")
    theta = [0.2, 0.1]
    assert_close(found.model.loglike(theta), wanted.model.loglike(theta))
    assert_close(found.model.hessian(theta), wanted.model.hessian(theta))
    assert_close(found.r2(), wanted.r2())
    assert_close(found.heterogeneity(0.1), wanted.heterogeneity(0.1), OPTIMUM)
    limits = ["lower", "upper"]
    one, other = found.vcomp_conf_int()[limits], wanted.vcomp_conf_int()[limits]
    assert_close(one, other, OPTIMUM)
    simpler = [("y ~ dose + C(arm)", {"groups": "study"}), MODELS["three levels"]]
    (less, less_found), (more, more_found) = (
        [m.fit(reml=False) for m in models(*each)] for each in simpler
    )
    assert_close([*more_found.compare_lr_test(less_found)], [*more.compare_lr_test(less)], OPTIMUM)


def test_levels_that_appear_late_and_levels_in_any_order():
    frame = effects()
    early = frame["study"] < frame["study"].median()
    frame.loc[early, "arm"] = "b"
    wanted, found = models("y ~ arm", {"random": UN}, frame)
    assert_same_likelihood(found, wanted)


def test_categories_keep_their_order():
    frame = effects()
    frame["arm"] = pd.Categorical(frame["arm"], categories=["c", "b", "unused", "a"])
    wanted, found = both("y ~ arm", {"groups": "study"}, frame)
    assert list(found.params.index) == ["Intercept", "arm[T.b]", "arm[T.a]"]
    assert_same_fit(found, wanted)


@pytest.mark.parametrize("struct", ["UN", "HCS", "AR", "HAR", "TOEP", "FA1", "CAR"])
def test_what_the_data_cannot_tell_is_fixed_as_in_memory(struct):
    """A level of one study, levels never together, rows with a level dropped for a missing y."""
    frame = effects()
    frame["id"] = frame["id"].astype(float)
    frame = frame[~((frame["id"] == 3) & (frame["study"] > 110))]
    frame = frame[~((frame["id"] == 0) & frame["study"].isin(frame["study"][frame["id"] == 5]))]
    frame.loc[frame["id"] == 2, "y"] = np.nan
    with pytest.warns(Warning, match="rows dropped"):
        wanted, found = models("y ~ 1", {"random": Random("id | study", struct=struct)}, frame)
    assert_same_likelihood(found, wanted)


def test_one_row_in_every_study():
    frame = effects().drop_duplicates("study")
    wanted, found = both("y ~ 1", {"random": "outcome | study"}, frame)
    assert found.model.notes
    assert_same_fit(found, wanted)


def test_rows_with_missing_values_are_dropped_and_counted():
    frame = effects()
    frame.loc[frame.index[[3, 40]], "y"] = np.nan
    frame.loc[frame.index[[3, 60, 61]], "dose"] = np.nan
    frame.loc[frame.index[70], "arm"] = None
    with pytest.warns(Warning, match=r"5 of \d+ rows dropped for missing values"):
        wanted, found = both(*MODELS["transforms of all rows"], frame)
    assert_same_fit(found, wanted)
    dropped = found.model.dropped
    assert list(dropped["row"]) == list(wanted.model.dropped["row"])
    assert list(dropped["batch"]) == sorted(dropped["batch"])
    assert "5 of" in str(found.summary())


def test_rows_in_which_a_part_of_the_formula_is_missing_teach_nothing():
    frame = effects()
    bad = frame["dose"] <= 0.5
    frame.loc[bad, "arm"] = "only here"
    formula = "y ~ np.log(np.where(dose > 0.5, dose, np.nan)) + center(dose) + arm"
    with pytest.warns(Warning, match=f"{bad.sum()} of .* rows dropped"):
        wanted, found = both(formula, {"groups": "study"}, frame)
    assert_same_fit(found, wanted)
    assert len(found.model.dropped) == bad.sum()


def test_redundant_columns_are_left_out():
    frame = effects().assign(twice=lambda f: 2 * f["dose"])
    with pytest.warns(Warning, match="linearly dependent"):
        wanted, found = both("y ~ dose + twice + arm", {"groups": "study"}, frame)
    assert found.model.prepared.dropped_columns == ["twice"]
    assert_same_fit(found, wanted)


def test_results_are_saved_without_the_data_and_still_predict():
    _, found = both("y ~ outcome + dose", {"groups": "study"})
    new = pd.DataFrame({"outcome": ["sleep"], "dose": [1.0]})
    wanted, text = found.predict(new), str(found.summary())
    found.remove_data()
    copied = pickle.loads(pickle.dumps(found))
    assert_close(copied.predict(new), wanted)
    assert str(copied.summary()) == text
    assert copied.to_json() == found.to_json()


def test_polars_and_arrow_batches():
    polars, pyarrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    frame = effects().reset_index(drop=True)
    for convert in (polars.from_pandas, pyarrow.Table.from_pandas):

        def batches(convert=convert):
            return (convert(b) for b in cut(frame)())

        wanted, found = both(*MODELS["three levels"], frame, batches)
        assert_same_fit(found, wanted)
