"""Predictions given the effects of known levels, against the joint distribution in full.

The oracle fits nothing: it builds the model again over the fitted and the new rows, so that
Z, G and with them the covariances of all true effects come from the definition, and solves the
kriging equations with dense matrices.
"""

from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pytest

from mvmeta import DataError, MetaMixedLM, MvmetaWarning, Random, SpecificationError, datasets
from tests.tolerances import BACKEND

SPECIES = [f"sp{i}" for i in range(9)]


@cache
def frame():
    """Rows with every kind of column the structures need; no study has all outcomes."""
    rng = np.random.default_rng(20260)
    n = 48
    study = np.sort(rng.integers(0, 12, n))
    out = pd.DataFrame(
        {
            "study": [f"s{i:02d}" for i in study],
            "es": np.arange(n),
            "yi": rng.normal(0.3, 0.5, n),
            "vi": rng.uniform(0.02, 0.3, n),
            "x": rng.normal(size=n),
            "outcome": rng.choice(list("ABC"), n),
            "time": rng.choice([1.0, 2.0, 3.0, 4.0], n),
            "species": rng.choice(SPECIES[:6], n),
            "lab": rng.choice(["l1", "l2", "l3", "l4"], n),
            "px": rng.uniform(0, 4, n).round(2),
            "py": rng.uniform(0, 4, n).round(2),
        }
    )
    out["yi"] += 0.4 * rng.normal(size=12)[study] + 0.3 * out["x"]
    return out


@cache
def tree():
    """Correlations of nine species, six of which have data; no unit diagonal before scaling."""
    rng = np.random.default_rng(7)
    a = rng.normal(size=(9, 15)) + 0.8
    return pd.DataFrame(a @ a.T, index=SPECIES, columns=SPECIES)


def build(data, **options):
    v = np.diag(data["vi"])
    same = data["study"].to_numpy()[:, None] == data["study"].to_numpy()
    v = v + 0.3 * np.where(same, np.sqrt(np.outer(data["vi"], data["vi"])), 0) * (
        1 - np.eye(len(v))
    )
    return MetaMixedLM.from_formula("yi ~ x", data, variance=v, **options)


def pinned(formula, struct=None, **options):
    """A random term whose components are given: nothing here depends on the optimiser."""
    values = {
        None: {"sigma2": 0.3},
        "CS": {"tau2": 0.3, "rho": 0.5},
        "HCS": {"tau2": [0.1, 0.4, 0.2], "rho": 0.4},
        "UN": {"tau2": [0.1, 0.4, 0.2], "rho": [0.5, -0.2, 0.3]},
        "AR": {"tau2": 0.3, "rho": 0.6},
        "GEN": {"tau2": [0.2, 0.1], "rho": 0.4},
        "GDIAG": {"tau2": [0.2, 0.1]},
        "SPEXP": {"tau2": 0.4, "rho": 1.2},
        "PHYPL": {"tau2": 0.4, "lambda": 0.7},
        "PHYBM": {"tau2": 0.4},
        "PHYOU": {"tau2": 0.4, "alpha": 0.8},
        "FA1": {"loading": [0.4, -0.2, 0.3], "psi": [0.1, 0.2, 0.05]},
        "TOEP": {"tau2": 0.3, "rho": [0.5, 0.1, 0.2]},
    }
    values |= {"CAR": values["AR"], "MATERN": values["SPEXP"]}
    return Random(formula, struct, fixed=values[struct], **options)


MODELS = {
    "nested": [Random("1 | study/es", fixed={"sigma2": [0.15, 0.05]})],
    "crossed": [pinned("1 | study"), pinned("1 | lab"), pinned("1 | es")],
    "slopes": [pinned("1 + x | study", "GEN")],
    "cs": [pinned("outcome | study", "CS"), pinned("1 | es")],
    "un": [pinned("outcome | study", "UN")],
    "hcs": [pinned("outcome | lab", "HCS")],
    "ar": [pinned("time | study", "AR")],
    "car": [pinned("time | study", "CAR")],
    "spexp": [pinned("px + py | const", "SPEXP"), pinned("1 | study")],
    "gcd": [pinned("px + py | lab", "SPEXP", distance="gcd")],
    "manhattan": [pinned("px + py | const", "SPEXP", distance="manhattan")],
    "maximum": [pinned("px + py | const", "SPEXP", distance="maximum")],
    "tied": [
        Random(
            "outcome | study",
            "DIAG",
            equal={"tau2": ["a", "a", "b"]},
            fixed={"tau2": [0.2, 0.2, 0.4]},
        )
    ],
    "matern": [pinned("px + py | lab", "MATERN", smoothness=0.8)],
    "species": [pinned("1 | study"), pinned("1 | species", corr=tree())],
    "cor0": [pinned("1 | species", corr=tree(), corr_scale="cor0")],
    "pagel": [pinned("1 | species", "PHYPL", corr=tree())],
    "scale": [Random("1 | study", scale="x", fixed={"sigma2": 0.3, "scale": [0.4]})],
    "ou": [pinned("1 | species", "PHYOU", corr=tree())],
    "fa1": [pinned("outcome | study", "FA1")],
    "toep": [pinned("time | study", "TOEP")],
    "product_sites": [pinned("px + py | species", "SPEXP", corr=tree())],
    "brownian": [pinned("species | lab", "PHYBM", corr=tree())],
    "product": [pinned("outcome | species", "UN", corr=tree()), pinned("1 | study")],
    "product_cs": [pinned("outcome | species", "CS", corr=tree())],
    "product_slopes": [pinned("1 + x | species", "GDIAG", corr=tree())],
}


@cache
def fitted(name):
    return build(frame(), random=MODELS[name]).fit()


def oracle(res, random, new, given):
    """Prediction, se, and se of a new true effect, from the joint distribution."""
    data = frame()
    n = len(data)
    unlike = new.assign(yi=0.0, vi=1.0)
    for column in data:
        if column not in unlike:
            unlike[column] = data[column].iloc[0]
        if unlike[column].isna().any():
            fresh = [f"new {column} {i}" for i in range(len(new))]
            unlike[column] = unlike[column].astype(object).where(unlike[column].notna(), fresh)
    both = pd.concat([data, unlike[data.columns]], ignore_index=True)
    problem = build(both, random=random).prepared.problem
    m = res.fit_.problem.v.toarray()
    c, own, rest = (np.zeros((n, len(new))), np.zeros(len(new)), np.zeros(len(new)))
    for term, theta in zip(problem.terms, problem.split(res.fit_.theta), strict=True):
        z = term.sparse_z().toarray()
        k = z @ np.kron(np.eye(term.n_levels), term.structure.matrix(theta)) @ z.T
        m = m + k[:n, :n]
        if term.name in given:
            c, own = c + k[:n, n:], own + np.diag(k)[n:]
        else:
            rest = rest + np.diag(k)[n:]
    weight = np.linalg.inv(m)
    x, x_new = res.model.exog, res.model.new_design(new)[0]
    cov = np.linalg.inv(x.T @ weight @ x)
    beta = cov @ x.T @ weight @ data["yi"].to_numpy()
    mean = x_new @ beta + c.T @ weight @ (data["yi"].to_numpy() - x @ beta)
    r = x_new - c.T @ weight @ x
    variance = np.sum(r @ cov * r, axis=1) + own - np.sum(c * (weight @ c), axis=0)
    return mean, np.sqrt(variance), np.sqrt(variance + rest)


def assert_same(name, new, given, **options):
    res = fitted(name)
    got = res.get_prediction(new, given=given, **options)
    names = [given] if isinstance(given, str) else given
    mean, se, new_se = oracle(res, MODELS[name], new, names)
    size = np.abs(mean).max() + se.max()
    np.testing.assert_allclose(got.predicted_mean, mean, rtol=0, atol=BACKEND * size)
    np.testing.assert_allclose(got.se_mean, se, rtol=1e-7, atol=BACKEND * size)
    np.testing.assert_allclose(got.se_obs, new_se, rtol=1e-7)
    assert got.given == names
    return got


KNOWN = pd.DataFrame(
    {
        "study": ["s00", "s03", "s03", "s11"],
        "es": [0, 9, 1000, 1001],
        "x": [0.0, 1.0, -2.0, 0.5],
        "lab": ["l1", "l2", "l4", "l2"],
        "outcome": ["A", "B", "B", "C"],
        "time": [1.0, 4.0, 2.0, 2.0],
        "species": ["sp0", "sp5", "sp2", "sp2"],
        "px": [0.5, 3.0, 1.11, 3.9],
        "py": [2.0, 2.5, 0.1, 0.2],
    },
    index=["a", "b", "c", "d"],
)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("nested", "study"),
        ("crossed", ["study", "lab"]),
        ("crossed", "lab"),
        ("slopes", "1 + x | study"),
        ("cs", "outcome | study"),
        ("un", "outcome | study"),
        ("hcs", "outcome | lab"),
        ("ar", "time | study"),
        ("car", "time | study"),
        ("spexp", "px + py | const"),
        ("spexp", ["px + py | const", "study"]),
        ("matern", "px + py | lab"),
        ("gcd", "px + py | lab"),
        ("manhattan", "px + py | const"),
        ("maximum", "px + py | const"),
        ("tied", "outcome | study"),
        ("species", ["study", "species (corr)"]),
        ("species", "species (corr)"),
        ("cor0", "species (corr)"),
        ("pagel", "species (PHYPL)"),
        ("scale", "study (scale)"),
        ("ou", "species (PHYOU)"),
        ("fa1", "outcome | study"),
        ("toep", "time | study"),
        ("product_sites", "px + py | species (corr)"),
        ("brownian", "species | lab"),
        ("product", ["outcome | species (corr)", "study"]),
        ("product_cs", "outcome | species (corr)"),
        ("product_slopes", "1 + x | species (corr)"),
    ],
)
def test_known_levels(name, given):
    got = assert_same(name, KNOWN, given)
    assert list(got.summary_frame().index) == list("abcd")
    assert np.isfinite(got.summary_frame()).all(axis=None)


@pytest.mark.parametrize("name", MODELS)
def test_a_new_study_gets_the_variance_of_its_levels(name):
    """With nothing given: x'Gx for slopes, the variance of the row's inner level elsewhere."""
    res = fitted(name)
    got = res.get_prediction(KNOWN)
    mean, se, new_se = oracle(res, MODELS[name], KNOWN, ())
    np.testing.assert_allclose(got.predicted_mean, mean, rtol=1e-9)
    np.testing.assert_allclose(got.se_mean, se, rtol=1e-9)
    np.testing.assert_allclose(got.se_obs, new_se, rtol=1e-9)
    assert got.given == []


@pytest.mark.parametrize("name", ["nested", "species", "product", "spexp"])
def test_the_order_of_the_data_does_not_matter(name):
    new = KNOWN.assign(es=[0, np.nan, np.nan, np.nan])
    data = frame().sample(frac=1.0, random_state=3)
    again = build(data, random=MODELS[name]).fit().get_prediction(new, given=True)
    want = fitted(name).get_prediction(new, given=True).summary_frame()
    np.testing.assert_allclose(again.summary_frame(), want, rtol=1e-9)


NEW_LEVELS = {
    "cs": ("outcome | study", {"outcome": ["D", "A", "E", "D"]}, {}),
    "car": ("time | study", {"time": [2.5, 5.0, 2.5, 1.0]}, {}),
    "species": ("species (corr)", {"species": ["sp8", "sp6", "sp0", "sp8"]}, {"corr": tree()}),
    "pagel": ("species (PHYPL)", {"species": ["sp7", "sp6", "sp0", "sp8"]}, {"corr": tree()}),
    "ou": ("species (PHYOU)", {"species": ["sp7", "sp6", "sp0", "sp8"]}, {"corr": tree()}),
    "product_sites": (
        "px + py | species (corr)",
        {"species": ["sp7", "sp6", "sp0", "sp8"]},
        {"corr": tree()},
    ),
    "brownian": ("species | lab", {"species": ["sp7", "sp6", "sp0", "sp8"]}, {"corr": tree()}),
    "product": (
        "outcome | species (corr)",
        {"species": ["sp7", "sp6", "sp0", "sp8"]},
        {"corr": {"outcome | species (corr)": tree()}},
    ),
    "product_cs": (
        "outcome | species (corr)",
        {"species": ["sp7", "sp6", "sp0", "sp8"], "outcome": ["D", "A", "E", "D"]},
        {"corr": tree()},
    ),
    "product_slopes": (
        "1 + x | species (corr)",
        {"species": ["sp7", "sp6", "sp0", "sp8"]},
        {"corr": tree()},
    ),
}


@pytest.mark.parametrize("name", NEW_LEVELS)
def test_new_levels_that_are_correlated_with_fitted_ones(name):
    given, changed, options = NEW_LEVELS[name]
    assert_same(name, KNOWN.assign(**changed), given, **options)


def test_sites_by_a_matrix_of_distances():
    """The same as by coordinates, once the new sites are in the matrix as well."""
    data, new = frame().iloc[:30], KNOWN.assign(site=["n1", "n2", "n1", "a3"])
    sites = pd.DataFrame({"px": data["px"], "py": data["py"]}).set_axis(
        [f"a{i}" for i in range(30)]
    )
    more = new.set_index("site")[["px", "py"]].iloc[:2].rename(index={"n1": "n1", "n2": "n2"})
    new = new.assign(px=[0.5, 3.0, 0.5, sites.loc["a3", "px"]])
    new = new.assign(py=[2.0, 2.5, 2.0, sites.loc["a3", "py"]])
    points = pd.concat([sites, more])
    gap = points.to_numpy()[:, None] - points.to_numpy()
    full = pd.DataFrame(np.sqrt((gap**2).sum(-1)), index=points.index, columns=points.index)
    data = data.assign(site=sites.index)
    term = pinned("site | const", "SPEXP", distance=full.iloc[:30, :30])
    res = MetaMixedLM.from_formula("yi ~ x", data, variance="vi", random=term).fit()
    by_place = MetaMixedLM.from_formula(
        "yi ~ x", data, variance="vi", random=pinned("px + py | const", "SPEXP")
    ).fit()
    got = res.get_prediction(new, given=True, distance=full).summary_frame()
    want = by_place.get_prediction(new, given=True).summary_frame()
    np.testing.assert_allclose(got, want, rtol=1e-9)
    with pytest.raises(DataError, match="fitted with a matrix of distances: pass one"):
        res.get_prediction(new, given=True)
    with pytest.raises(DataError, match="not the one the model was fitted with"):
        res.get_prediction(new, given=True, distance=2 * full)


def test_evenly_spaced_levels_of_ar_are_continued():
    """Such an AR is a CAR in units of its spacing."""
    res = fitted("ar")
    tau2, rho = res.vcomp["estimate"]
    times = Random("time | study", struct="CAR", fixed={"tau2": tau2, "rho": rho})
    new = KNOWN.assign(time=[5.0, 7.0, 0.0, 1.0])
    got = res.get_prediction(new, given="time | study").summary_frame()
    want = build(frame(), random=times).fit().get_prediction(new, given=True).summary_frame()
    np.testing.assert_allclose(got, want, rtol=1e-9)
    with pytest.raises(SpecificationError, match=r"'2.5' has none among the levels 1, 2, 3, 4"):
        res.get_prediction(KNOWN.assign(time=[1.0, 2.0, 2.5, 3.0]), given=True)


def test_the_smallest_correlation_is_that_of_the_fitted_species():
    """Under cor0 it is mapped to 0; further species must not move it."""
    res = fitted("cor0")
    sd = np.sqrt(np.diag(tree()))
    scaled = tree() / np.outer(sd, sd)
    least = scaled.iloc[:6, :6].to_numpy().min()
    scaled = (scaled - least) / (1 - least)
    assert scaled.to_numpy().min() < 0
    fixed = {"sigma2": float(res.vcomp["estimate"].iloc[0])}
    by_hand = Random("1 | species", corr=scaled, corr_scale="none", fixed=fixed)
    new = KNOWN.assign(species=["sp8", "sp6", "sp0", "sp8"])
    got = res.get_prediction(new, given=True, corr=tree()).summary_frame()
    want = build(frame(), random=by_hand).fit().get_prediction(new, given=True, corr=scaled)
    np.testing.assert_allclose(got, want.summary_frame(), rtol=1e-9)


def test_variance_of_a_new_species_whose_matrix_has_no_constant_diagonal():
    random = pinned("1 | species", corr=tree(), corr_scale="none")
    res = build(frame(), random=random).fit()
    new = KNOWN.assign(species=["sp8", "sp0", "sp7", None])
    plain = res.get_prediction(new)
    assert list(plain.se_obs.isna()) == [True, False, True, True]
    told = res.get_prediction(new, corr=tree())
    variance = 0.3 * np.array([tree().loc[s, s] for s in ("sp8", "sp0", "sp7")])
    want = np.sqrt(plain.se_mean.iloc[:3] ** 2 + variance)
    np.testing.assert_allclose(told.se_obs.iloc[:3], want, rtol=1e-12)
    assert np.isnan(told.se_obs.iloc[3])


def test_no_random_terms():
    res = MetaMixedLM.from_formula("yi ~ x", frame(), variance="vi").fit()
    assert res.ranef_cov().shape == (0, 0)
    assert len(res.random_effects) == 0
    np.testing.assert_allclose(res.blup()["estimate"], res.fittedvalues, rtol=1e-12)
    with pytest.raises(SpecificationError, match=r"none of the random terms \(there are none"):
        res.get_prediction(KNOWN, given=True)


def test_tables_by_level_are_made_when_asked_for():
    res = fitted("nested")
    effects, table = res.random_effects, res.ranef()
    assert len(effects) == 60
    assert effects["study", "s03"].item() == table["study"].loc["s03", "estimate"]
    assert effects["study/es", "s00/1"].item() == table["study/es"].loc["s00/1", "estimate"]
    assert ("study", "s99") not in effects
    assert "60 levels" in repr(effects)
    cov = res.random_effects_cov["study", "s03"].iloc[0, 0]
    assert cov == pytest.approx(table["study"].loc["s03", "se"] ** 2, rel=1e-12)
    slopes = fitted("slopes")
    level = slopes.random_effects["s03"]
    assert list(level.index) == ["Intercept", "x"]
    want = slopes.ranef()["1 + x | study"].loc["s03", "estimate"]
    np.testing.assert_allclose(level, want, rtol=1e-12)


@pytest.mark.parametrize("given", ["study", ["study", "study/es"], True])
def test_a_missing_grouping_is_a_new_level(given):
    """A new effect of a known study, and a study that is new."""
    new = KNOWN.assign(study=["s00", "s03", None, "s11"], es=[0, np.nan, 9, np.nan])
    res = fitted("nested")
    got = res.get_prediction(new, given=given).summary_frame()
    marginal = res.get_prediction(new).summary_frame()
    np.testing.assert_allclose(got.loc["c"], marginal.loc["c"], rtol=1e-12)
    only = assert_same("nested", new.drop(index=["a", "c"]), "study").summary_frame()
    np.testing.assert_allclose(got.loc[["b", "d"]], only, rtol=1e-9)
    if given != "study":
        row = res.blup().iloc[0]
        np.testing.assert_allclose(got.loc["a"].iloc[:1] - got.loc["a"].iloc[:1], 0.0)
        shift = (new.loc["a", "x"] - frame()["x"].iloc[0]) * res.params["x"]
        assert got.loc["a", "mean"] == pytest.approx(row["estimate"] + shift, rel=1e-9)
        np.testing.assert_allclose(got.loc["a", "obs_ci_upper"], got.loc["a", "mean_ci_upper"])


def test_fitted_rows_given_everything_are_the_true_effects():
    for name in ("nested", "species", "slopes", "product"):
        res = fitted(name)
        frame_ = res.get_prediction(given=True).summary_frame()
        blup = res.blup()
        np.testing.assert_allclose(frame_["mean"], blup["estimate"], rtol=1e-9)
        np.testing.assert_allclose(frame_["mean_se"], blup["se"], rtol=1e-7)
        again = res.get_prediction(frame(), given=True).summary_frame()
        np.testing.assert_allclose(again, frame_, rtol=1e-8)


def test_totals_of_some_terms():
    """Mean of true effects in the study of each row."""
    res = fitted("nested")
    some = res.blup(terms="study")
    pd.testing.assert_frame_equal(res.blup(terms=["study", "study"]), some)
    frame_ = res.get_prediction(given="study").summary_frame()
    np.testing.assert_allclose(some["estimate"], frame_["mean"], rtol=1e-12)
    np.testing.assert_allclose(some["se"], frame_["mean_se"], rtol=1e-12)
    effect = res.ranef()["study"]["estimate"].loc[frame()["study"]].to_numpy()
    np.testing.assert_allclose(some["estimate"], res.fittedvalues + effect, rtol=1e-9)
    with pytest.raises(SpecificationError, match="no random term 'lab'; there are 'study'"):
        res.blup(terms="lab")


def test_robust_covariance_enters_through_the_fixed_effects():
    """With a level that is new nothing is given: the prediction is that of a new study."""
    robust = fitted("nested").get_robustcov_results("CR2", frame()["study"])
    new = KNOWN.assign(study=None)
    pd.testing.assert_frame_equal(
        robust.get_prediction(new, given="study").summary_frame(),
        robust.get_prediction(new).summary_frame(),
    )
    known = robust.get_prediction(KNOWN, given="study")
    plain = fitted("nested").get_prediction(KNOWN, given="study")
    np.testing.assert_allclose(known.predicted_mean, plain.predicted_mean, rtol=1e-12)
    assert (known.se_mean != plain.se_mean).all()
    assert np.isfinite(known.df).all()


def test_models_built_from_arrays_find_levels_by_the_names_of_arrays():
    data = frame()
    x = pd.DataFrame({"const": 1.0, "x": data["x"]})
    model = MetaMixedLM(data["yi"], x, data["vi"], groups=data["study"])
    res = model.fit()
    by_formula = MetaMixedLM.from_formula("yi ~ x", data, variance="vi", groups="study").fit()
    new = KNOWN.assign(const=1.0)
    got = res.get_prediction(new, given="study").summary_frame()
    want = by_formula.get_prediction(KNOWN, given="study").summary_frame()
    np.testing.assert_allclose(got, want, rtol=1e-6)
    with pytest.raises(DataError, match="a data frame, not ndarray"):
        res.get_prediction(np.ones((2, 2)), given="study")


@pytest.mark.parametrize("make", [dict, pl.from_pandas])
def test_new_data_of_other_kinds(make):
    want = fitted("nested").get_prediction(KNOWN, given="study").summary_frame()
    given = {"dict": KNOWN.to_dict("list")}.get(make.__name__) or make(KNOWN)
    got = fitted("nested").get_prediction(given, given="study").summary_frame()
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_a_missing_moderator_leaves_the_other_rows_alone():
    new = KNOWN.assign(x=[0.0, np.nan, -2.0, 0.5])
    for name, given in (("nested", "study"), ("slopes", "1 + x | study")):
        got = fitted(name).get_prediction(new, given=given).summary_frame()
        assert list(got["mean"].isna()) == [False, True, False, False]
        want = fitted(name).get_prediction(KNOWN, given=given).summary_frame()
        np.testing.assert_allclose(got.loc[["a", "c", "d"]], want.loc[["a", "c", "d"]])


# -- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given", "change", "match"),
    [
        (
            "nested",
            "study",
            {"study": "s77"},
            r"'s77' in rows a, b, c, d is no level of.*leave 'study'",
        ),
        ("crossed", "lab", {"lab": ["l1", "zz", "l2", "l1"]}, "'zz' in row b is no level of"),
        ("species", True, {"species": "sp8"}, r"'sp8' of 'species \(corr\)'.*pass a matrix"),
        ("product", True, {"species": "sp8"}, "pass a matrix"),
        ("spexp", True, {"px": [1.0, np.nan, 2.0, 3.0]}, r"px \+ py is missing in row b"),
        ("cs", True, {"outcome": ["A", None, "B", "C"]}, "outcome is missing in row b"),
    ],
)
def test_levels_that_cannot_be_found(name, given, change, match):
    with pytest.raises(DataError, match=match):
        fitted(name).get_prediction(KNOWN.assign(**change), given=given)


@pytest.mark.parametrize(
    ("name", "column"), [("nested", "study"), ("spexp", "py"), ("cs", "outcome"), ("car", "time")]
)
def test_a_column_that_is_lacking(name, column):
    (*_, given) = [t for t in fitted(name).vcomp["term"] if column in t][:1]
    with pytest.raises(DataError, match=f"column '{column}' wanted for"):
        fitted(name).get_prediction(KNOWN.drop(columns=column), given=given)


def test_structures_that_say_nothing_of_new_levels():
    new = KNOWN.assign(time=[1.0, 2.0, 5.0, 3.0])
    with pytest.raises(SpecificationError, match=r"struct='TOEP'.*nothing is known of '5'"):
        fitted("toep").get_prediction(new, given=True)
    for name in ("un", "hcs", "fa1", "tied"):
        with pytest.raises(
            SpecificationError, match=r"nothing is known of 'D'; the fitted .* A, B"
        ):
            fitted(name).get_prediction(KNOWN.assign(outcome="D"), given=True)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("stud", r"given='stud' is no random term.*did you mean 'study'"),
        (3, "given= takes True"),
        (["study", 3], "given= takes True"),
    ],
)
def test_terms_that_do_not_exist(given, match):
    with pytest.raises(SpecificationError, match=match):
        fitted("nested").get_prediction(KNOWN, given=given)


def test_options_that_contradict_each_other():
    res = fitted("species")
    with pytest.raises(SpecificationError, match="say of which terms with given="):
        res.get_prediction(KNOWN, distance=tree())
    with pytest.raises(SpecificationError, match=r"terms that have one: 'species \(corr\)'"):
        res.get_prediction(KNOWN, given=True, corr={"study": tree()})
    with pytest.raises(SpecificationError, match="the grouping of none of the random terms"):
        res.get_prediction(KNOWN[["x"]], given=True)
    with pytest.raises(DataError, match="no rows"):
        res.get_prediction(KNOWN.iloc[:0])
    with pytest.raises(SpecificationError, match="summary_frame"):
        res.get_prediction(KNOWN, transform="exp")


def test_a_tree_that_is_not_the_fitted_one():
    other = tree() + 3 * np.eye(9)
    with pytest.raises(DataError, match="not the one the model was fitted with"):
        fitted("species").get_prediction(KNOWN.assign(species="sp8"), given=True, corr=other)


def test_user_weights_have_no_conditional_predictions():
    res = MetaMixedLM.from_formula(
        "yi ~ x", frame(), variance="vi", groups="study", weights="vi"
    ).fit()
    with pytest.raises(SpecificationError, match="user weights"):
        res.get_prediction(KNOWN, given="study")


def test_a_correlation_that_does_not_reach_to_another_level():
    """Four levels of CS at the most negative correlation of three."""
    fixed = Random("outcome | study", struct="CS", fixed={"tau2": 1.0, "rho": -0.5})
    res = MetaMixedLM.from_formula(
        "yi ~ 1", frame().assign(vi=1e-8), variance="vi", random=fixed
    ).fit()
    counts = frame().groupby("study")["outcome"].nunique()
    new = pd.DataFrame({"study": [counts.idxmax()], "outcome": ["D"]})
    with pytest.raises(SpecificationError, match="negative variance"):
        res.get_prediction(new, given=True)


def test_an_empty_cell_is_not_predicted():
    data = frame().assign(kind=np.where(frame()["x"] > 0, "u", "v"))
    data = data[~((data["kind"] == "u") & (data["outcome"] == "C"))]
    with pytest.warns(MvmetaWarning, match="dropped"):
        model = MetaMixedLM.from_formula("yi ~ kind * outcome", data, variance="vi")
    res = model.fit()
    new = pd.DataFrame({"kind": ["u", "u", "v"], "outcome": ["A", "C", "C"]})
    with pytest.warns(MvmetaWarning, match=r"do not determine the mean in row 1, which is NaN"):
        got = res.get_prediction(new).summary_frame()
    assert list(got["mean"].isna()) == [False, True, False]
    res.remove_data()
    with pytest.warns(MvmetaWarning, match="do not determine"):
        assert list(res.predict(new).isna()) == [False, True, False]


# -- other scales, probabilities ---------------------------------------------------------------


def test_transforms_are_applied_to_means_and_limits():
    got = fitted("nested").get_prediction(KNOWN)
    plain = got.summary_frame(alpha=0.1)
    for transform, function in (("exp", np.exp), (np.exp, np.exp), ("ztor", np.tanh)):
        changed = got.summary_frame(alpha=0.1, transform=transform)
        rest = [c for c in plain if c != "mean_se"]
        np.testing.assert_allclose(changed[rest], function(plain[rest]), rtol=1e-12)
        assert changed["mean_se"].isna().all()
    turned = got.summary_frame(alpha=0.1, transform=lambda v: -v)
    np.testing.assert_allclose(turned["mean_ci_lower"], -plain["mean_ci_upper"])
    np.testing.assert_allclose(turned["obs_ci_upper"], -plain["obs_ci_lower"])
    limits = got.conf_int(obs=True, transform=np.exp)
    np.testing.assert_allclose(limits, np.exp(got.conf_int(obs=True)))


@pytest.mark.parametrize(
    ("transform", "match"),
    [
        (np.square, "transform=square is not monotone between"),
        (np.sqrt, "transform=sqrt is not defined at -"),
        ("exponential", "transform='exponential' is not known; there are exp, abt"),
        (3, "transform= takes a function"),
        ("dtomd", "transform='dtomd' cannot be applied to an array of numbers alone"),
        (np.mean, r"must give one value for each"),
    ],
)
def test_transforms_that_make_no_interval(transform, match):
    with pytest.raises(SpecificationError, match=match):
        fitted("nested").get_prediction(KNOWN).summary_frame(transform=transform)


def test_probabilities_are_those_of_the_prediction_interval():
    for options in ({}, {"use_t": True}):
        res = build(frame(), random=MODELS["nested"]).fit(**options)
        got = res.get_prediction(KNOWN.assign(study=["s00", None, "s03", None]), given="study")
        low, high = got.conf_int(obs=True, alpha=0.2).T
        for i in range(4):
            assert got.probability(below=low[i]).iloc[i] == pytest.approx(0.1, rel=1e-9)
            assert got.probability(above=high[i]).iloc[i] == pytest.approx(0.1, rel=1e-9)
            both = got.probability(above=low[i], below=high[i])
            assert both.iloc[i] == pytest.approx(0.8, rel=1e-9)
        assert got.probability(above=0, below=0.5).name == "P(0 < effect < 0.5)"


def test_probabilities_of_what_is_known():
    """Without any error the answer is yes or no; with half an answer at the value itself."""
    fixed = Random("1 | study", fixed={"sigma2": 0.0})
    res = MetaMixedLM.from_formula("yi ~ 1", frame(), variance="vi", random=fixed).fit()
    got = res.get_prediction(pd.DataFrame(index=[0]))
    assert 0 < got.probability(above=0).iloc[0] < 1
    for options in ({}, {"above": 1.0, "below": 0.0}, {"above": np.nan}):
        with pytest.raises(SpecificationError, match="probability needs"):
            got.probability(**options)
    with pytest.raises(SpecificationError, match="probability takes numbers, got above='much'"):
        got.probability(above="much")


# -- random effects --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nested", "crossed", "slopes", "species", "product", "spexp"])
def test_joint_covariance_and_diagnostic_errors_of_random_effects(name):
    res = fitted(name)
    m = res.fit_.problem.v.toarray()
    zs, ds = [], []
    for term, g in zip(res.fit_.problem.terms, res.fit_.gs, strict=True):
        z, d = term.sparse_z().toarray(), np.kron(np.eye(term.n_levels), g)
        zs, ds, m = [*zs, z], [*ds, d], m + z @ d @ z.T
    weight, x = np.linalg.inv(m), res.model.exog
    p = weight - weight @ x @ np.linalg.inv(x.T @ weight @ x) @ x.T @ weight
    z = np.hstack(zs)
    prior = np.zeros((z.shape[1], z.shape[1]))
    start = 0
    for d in ds:
        at = slice(start, start + len(d))
        prior[at, at], start = d, start + len(d)
    estimated = prior @ z.T @ p @ z @ prior
    joint = res.ranef_cov()
    size = np.abs(prior).max()
    np.testing.assert_allclose(joint, prior - estimated, rtol=1e-7, atol=1e-9 * size)
    tables = res.ranef(diagnostic=True)
    found = np.concatenate([t["se_diagnostic"] for t in tables.values()])
    if name != "product":  # there some outcomes of a species have no row, and no place in ranef
        np.testing.assert_allclose(found**2, np.diag(estimated), rtol=1e-6, atol=1e-9 * size)
        se = np.concatenate([t["se"] for t in tables.values()])
        np.testing.assert_allclose(se**2, np.diag(joint), rtol=1e-7, atol=1e-9 * size)
    assert list(res.ranef()[tables.copy().popitem()[0]].columns) == [
        "estimate",
        "se",
        "pi_lower",
        "pi_upper",
    ]
    one = res.vcomp["term"].iloc[0]
    part = res.ranef_cov(one)
    pd.testing.assert_frame_equal(part, joint.loc[[one], [one]])


def test_joint_covariance_of_too_many_effects(monkeypatch):
    monkeypatch.setattr("mvmeta.inference.prediction.blup.MOST_EFFECTS", 20)
    with pytest.raises(SpecificationError, match="of 60 random effects would take"):
        fitted("nested").ranef_cov()
    assert fitted("nested").ranef_cov("study").shape == (12, 12)
    with pytest.raises(SpecificationError, match="no random term 'x'"):
        fitted("nested").ranef_cov("x")


def test_predictions_of_schools_in_known_districts():
    """The example of the documentation, by the shrinkage formula of a balanced design."""
    data = datasets.load("konstantopoulos2011")
    res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="district/school").fit()
    tau2, omega2 = res.sigma2
    rows = data[data["district"] == 11]
    w = 1 / (rows["vi"] + omega2)
    shrink = tau2 * w.sum() / (1 + tau2 * w.sum())
    level = (w * rows["yi"]).sum() / w.sum()
    new = pd.DataFrame({"district": [11]})
    got = res.get_prediction(new, given="district").summary_frame()
    mu = res.params.iloc[0]
    assert got["mean"].iloc[0] == pytest.approx(mu + shrink * (level - mu), rel=1e-9)
