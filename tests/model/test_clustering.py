"""Which clusters a robust covariance is given, and that robust results work like all others."""

import pickle

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM, Random
from mvmeta.errors import DataError, SpecificationError


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(7)
    n = 90
    study, species = rng.integers(0, 15, n), rng.integers(0, 12, n)
    study[:15], species[:12] = np.arange(15), np.arange(12)
    effect = 0.4 * rng.standard_normal(15)[study] + 0.3 * rng.standard_normal(12)[species]
    return pd.DataFrame(
        {
            "y": effect + 0.5 * rng.standard_normal(n),
            "v": rng.uniform(0.1, 0.3, n),
            "study": study,
            "species": [f"s{i:02d}" for i in species],
            "region": study // 5,
            "x": rng.standard_normal(n),
            "g": np.array(["a", "b", "c"])[rng.integers(0, 3, n)],
        }
    )


def fitted(data, formula="y ~ x", **options):
    return MetaMixedLM.from_formula(formula, data, variance="v", **options).fit()


@pytest.fixture(scope="module")
def crossed(data):
    return fitted(data, random=["1 | study", "1 | species"])


def tree(data):
    """A known correlation that links all species."""
    levels = sorted(data["species"].unique())
    corr = np.full((len(levels), len(levels)), 0.6)
    np.fill_diagonal(corr, 1.0)
    return Random("1 | species", corr=pd.DataFrame(corr, levels, levels))


def notes(res):
    return " ".join(res.notes)


# -- the choice ----------------------------------------------------------------------------


def test_independent_clusters_get_cr2(data):
    res = fitted(data, groups="study").get_robustcov_results("robust")
    same = fitted(data, groups="study").get_robustcov_results("CR2")
    pd.testing.assert_frame_equal(res.cov_params(), same.cov_params())
    assert res.cov_type == "CR2"
    assert "chose CR2" in notes(res)
    assert "by study (15)" in notes(res)


def test_crossed_effects_get_both_groupings(crossed):
    res = crossed.get_robustcov_results("robust")
    same = crossed.get_robustcov_results("CR1", ["study", "species"])
    pd.testing.assert_frame_equal(res.cov_params(), same.cov_params())
    assert (res.cov_type, res.n_clusters) == ("CR1", 12)
    assert "study (15) and species (12)" in notes(res)
    assert "chose CR1" in str(res.summary())
    assert "chose CR1" in " ".join(res.to_dict()["notes"])


def test_a_phylogeny_is_left_out_species_by_species_and_its_share_is_named(data):
    res = fitted(data, random=tree(data)).get_robustcov_results("robust")
    assert res.cov_type == "CR3"
    assert "by species (12)" in notes(res)
    assert "Expected variance relative to the model-based one: Intercept (0." in notes(res)


def test_many_connected_sets_are_clusters(data):
    """Twelve regions in each of which studies and sites are crossed."""
    rng = np.random.default_rng(2)
    frame = data.assign(area=np.arange(90) % 12)
    frame["site"] = frame["area"] * 3 + rng.integers(0, 2, 90)
    frame["team"] = frame["area"] * 3 + rng.integers(0, 3, 90)
    res = fitted(frame, random=["1 | site", "1 | team"])
    got = res.get_robustcov_results("robust")
    assert got.cov_type == "CR2"
    assert "independent sets of linked rows" in notes(got)
    same = res.get_robustcov_results("CR2", res.model.prepared.problem.cluster)
    pd.testing.assert_frame_equal(got.cov_params(), same.cov_params())


@pytest.mark.parametrize(
    ("groups", "kind"), [("study", "CR3"), (["study", "species"], "CR1"), ("all", "CR2")]
)
def test_named_groups_are_kept(data, crossed, groups, kind):
    if groups == "all":
        got = fitted(data, groups="study").get_robustcov_results("robust", data["region"])
    else:
        got = crossed.get_robustcov_results("robust", groups)
    assert got.cov_type == kind


def test_without_random_effects_every_row_is_a_cluster(data):
    res = fitted(data).get_robustcov_results("robust")
    assert "by row (90)" in notes(res)


def test_fit_takes_it(data, crossed):
    model = crossed.model
    got = model.fit(cov_type="robust", cov_kwds={"df": "cluster"})
    assert got.cov_type == "CR1"
    assert got.df_inference == 12 - 2


# -- how groups may be given ---------------------------------------------------------------


def test_several_groupings_in_any_form(data, crossed):
    frame = data[["study", "species"]]
    codes = frame.apply(lambda column: pd.factorize(column)[0])
    wanted = crossed.get_robustcov_results("CR1", ["study", "species"]).cov_params()
    for groups in (("study", "species"), frame, codes.to_numpy()):
        got = crossed.get_robustcov_results("CR1", groups).cov_params()
        pd.testing.assert_frame_equal(got, wanted)


def test_a_list_of_one_label_per_row_is_one_grouping(data, crossed):
    labels = list(data["species"])
    one = crossed.get_robustcov_results("CR3", labels)
    pd.testing.assert_frame_equal(
        one.cov_params(), crossed.get_robustcov_results("CR3", "species").cov_params()
    )


def test_groupings_that_are_not_there(data, crossed):
    with pytest.raises(DataError, match="'nope' is no column the model uses"):
        crossed.get_robustcov_results("CR1", ["study", "nope"])
    with pytest.raises(DataError, match="one value for each of the 90 rows"):
        crossed.get_robustcov_results("CR1", np.zeros((5, 2)))
    missing = data["study"].where(data["study"] != 3)
    with pytest.raises(DataError, match="groups is missing in"):
        crossed.get_robustcov_results("CR1", missing)


# -- what cannot be done -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR2", "CR3"])
def test_one_cluster_says_what_links_it(crossed, kind):
    message = r"link all rows.*groups=\['study', 'species'\] with cov_type='CR1'.*'robust'"
    with pytest.raises(SpecificationError, match=message):
        crossed.get_robustcov_results(kind)


def test_one_cluster_by_name(data):
    with pytest.raises(SpecificationError, match="needs more groups than there are: 1 group"):
        fitted(data, groups="study").get_robustcov_results("CR2", np.zeros(90))
    linked = np.diag(data["v"]) + 0.05
    res = MetaMixedLM.from_formula("y ~ x", data, variance=linked).fit()
    with pytest.raises(SpecificationError, match="has all rows in one; name them"):
        res.get_robustcov_results("CR2")


def test_clusters_that_cut_a_group(data):
    res = fitted(data, groups="study")
    cut = np.arange(90) % 9
    with pytest.raises(SpecificationError, match="rows of different groups are correlated"):
        res.get_robustcov_results("CR2", cut)
    got = res.get_robustcov_results("CR3", cut)
    assert (got.bse > 0).all()


@pytest.mark.parametrize("cov_kwds", [{"group": "study"}, {"repair": True, "kind": 1}])
def test_unknown_options(crossed, cov_kwds):
    with pytest.raises(SpecificationError, match="takes df, groups, repair"):
        crossed.model.fit(cov_type="CR1", cov_kwds=cov_kwds)


# -- robust results are results ------------------------------------------------------------


def robust_results(data):
    one = fitted(data, "y ~ C(g) + x", groups="study")
    two = fitted(data, "y ~ C(g) + x", random=["1 | study", "1 | species"])
    return [
        (one, one.get_robustcov_results("CR2")),
        (two, two.get_robustcov_results("robust")),
        (two, two.get_robustcov_results("CR3", "study", df="cluster")),
    ]


def test_tests_and_intervals_use_the_robust_covariance_and_df(data):
    for _, res in robust_results(data):
        rows = np.array([[0, 1, 0, 0], [0, 1, -1, 0], [1, 0.5, 0.0, 2.0]])
        cov, df = res.cov_params().to_numpy(), res._inference.basis.df
        se = np.sqrt(np.einsum("mp,pq,mq->m", rows, cov, rows))
        t = res.t_test(rows)
        np.testing.assert_allclose(t.sd.ravel(), se)
        np.testing.assert_allclose(t.df_denom, [df.contrast(r) for r in rows])
        new = pd.DataFrame({"g": ["a", "b", "c"], "x": [0.0, 1.0, 2.0]})
        x = np.array([[1, 0, 0, 0], [1, 1, 0, 1], [1, 0, 1, 2]], dtype=float)
        frame = res.get_prediction(new).summary_frame()
        np.testing.assert_allclose(frame["mean_se"], np.sqrt(np.diag(x @ cov @ x.T)))
        pairs = res.t_test_pairwise("C(g)").result_frame
        assert pairs["std err"].iloc[0] == pytest.approx(res.bse.iloc[1])
        assert pairs["P>|t|"].iloc[0] == pytest.approx(res.pvalues.iloc[1])
        terms = res.wald_test_terms()
        joint = res.wald_test("C(g)[T.b] = 0, C(g)[T.c] = 0")
        assert terms.table.loc["C(g)", "df_denom"] == pytest.approx(float(joint.df_denom))
        assert float(res.f_test(np.eye(4)[1:3]).fvalue) == pytest.approx(float(joint.statistic))
        qm = res.moderators_test("C(g)")
        assert (qm.statistic, qm.df_denom) == pytest.approx(
            (float(joint.statistic), float(joint.df_denom))
        )


def test_what_is_not_about_the_fixed_effects_stays(data):
    for plain, res in robust_results(data):
        pd.testing.assert_series_equal(plain.params, res.params)
        pd.testing.assert_frame_equal(plain.vcomp, res.vcomp)
        pd.testing.assert_frame_equal(plain.weights("coefficient"), res.weights("coefficient"))
        pd.testing.assert_frame_equal(plain.contributions(), res.contributions())
        assert plain.llf == res.llf
        columns = ["joint", "joint_se", "direct", "direct_se", "shift", "borrowed"]
        pd.testing.assert_frame_equal(plain.evidence()[columns], res.evidence()[columns])
        for term, effects in plain.ranef().items():
            other = res.ranef()[term]
            pd.testing.assert_frame_equal(effects[["estimate", "se"]], other[["estimate", "se"]])
        pd.testing.assert_series_equal(plain.blup()["se"], res.blup()["se"])
        np.testing.assert_array_equal(
            plain.get_influence("study").cooks_distance, res.get_influence("study").cooks_distance
        )


def test_every_output_works_without_the_data(data):
    for number, (_, res) in enumerate(robust_results(data)):
        before = res.summary_frame()
        assert "Robust standard errors by" in res.summary().as_text()
        assert res.to_json().startswith("{")
        copied = robust_results(data)[number][1]
        joint = copied.wald_test("x = 0, C(g)[T.b] = 0")
        copied.remove_data()
        pd.testing.assert_frame_equal(copied.summary_frame(), before)
        again = copied.wald_test("x = 0, C(g)[T.b] = 0")
        assert float(again.pvalue) == float(joint.pvalue)
        # 90 rows: what is left is coefficients, names and tests
        assert len(pickle.dumps(copied._inference)) < 20_000
