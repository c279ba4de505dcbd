"""`corr=` over the outer levels of "inner | outer": R (x) G."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mvmeta import MetaMixedLM, Random
from mvmeta.errors import DataError, SpecificationError
from mvmeta.model.specification import terms
from mvmeta.model.specification.build import prepare_formula

R = pd.DataFrame(
    [[1.0, 0.6, 0.0], [0.6, 1.0, 0.0], [0.0, 0.0, 1.0]], index=list("ABZ"), columns=list("ABZ")
)


@pytest.fixture
def data():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        [(s, t) for s in "BAZ" for t in ("x", "y") for _ in range(2)], columns=["species", "trait"]
    )
    n = len(frame)
    return frame.assign(yi=rng.normal(size=n), vi=rng.uniform(0.1, 0.3, n), dose=rng.normal(size=n))


def bound(data, random):
    p = prepare_formula("yi ~ 1", data, "vi", random=random)
    return p.problem.terms[0], p


def test_one_level_holds_all_effects(data):
    t, p = bound(data, Random("trait | species", "UN", corr=R))
    assert (t.name, t.n_levels, t.q) == ("trait | species (corr)", 1, 6)
    assert t.structure.labels == ("A:x", "A:y", "B:x", "B:y", "Z:x", "Z:y")
    labels = [f"{s}:{tr}" for s, tr in zip(data["species"], data["trait"], strict=True)]
    assert [t.structure.labels[i] for i in t.inner] == labels
    assert p.term_specs[0].inner == ("trait",)


def test_marginal_covariance_of_rows(data):
    t, _ = bound(data, Random("trait | species", "UN", corr=R))
    theta = np.array([2.0, 0.5, 0.4])
    g = np.array([[2.0, 0.4], [0.4, 0.5]])  # 0.4 = rho * sqrt(2 * 0.5)
    level, inner = (data[c].to_numpy() for c in ("species", "trait"))
    row = {"x": 0, "y": 1}
    expected = [
        [R.loc[a, b] * g[row[i], row[j]] for b, j in zip(level, inner, strict=True)]
        for a, i in zip(level, inner, strict=True)
    ]
    z = t.dense_z()
    assert_allclose(z @ t.structure.matrix(theta) @ z.T, expected)


def test_slopes_along_a_tree(data):
    t, p = bound(data, Random("1 + dose | species", "GEN", corr=R))
    theta = np.array([2.0, 0.5, 0.4])
    g = np.array([[2.0, 0.4], [0.4, 0.5]])
    design = np.column_stack([np.ones(len(data)), data["dose"]])
    linked = R.loc[data["species"], data["species"]].to_numpy()
    got = t.z @ t.structure.matrix(theta) @ t.z.T
    assert_allclose(got, linked * (design @ g @ design.T))
    new = pd.DataFrame({"dose": [0.0, 2.0]})
    variance = p.term_specs[0].variance(t.structure.matrix(theta), new)
    assert_allclose(variance, [2.0, 2.0 + 2 * 2 * 0.4 + 4 * 0.5])


def test_slopes_that_would_need_too_large_a_design(data, monkeypatch):
    monkeypatch.setattr(terms, "MOST_ENTRIES", 50)
    with pytest.raises(SpecificationError, match="12 rows and 6 columns"):
        bound(data, Random("1 + dose | species", "GEN", corr=R))


def test_variance_of_a_new_row_is_that_of_its_inner_level(data):
    t, p = bound(data, Random("trait | species", "DIAG", corr=R))
    g = t.structure.matrix(np.array([2.0, 0.5]))
    new = pd.DataFrame({"trait": ["y", "x", "z"]})
    assert_array_equal(p.term_specs[0].variance(g, new), [0.5, 2.0, np.nan])
    t, p = bound(data, Random("trait | species", "CS", corr=R))
    g = t.structure.matrix(np.array([2.0, 0.1]))
    assert_array_equal(p.term_specs[0].variance(g, pd.DataFrame(index=[0])), [2.0])


def test_variances_of_outer_levels_that_differ_need_the_level(data):
    r = R.to_numpy() * np.outer([1, 2, 3], [1, 2, 3])
    known = pd.DataFrame(r, index=R.index, columns=R.columns)
    t, p = bound(data, Random("trait | species", "DIAG", corr=known, corr_scale="none"))
    g = t.structure.matrix(np.array([2.0, 0.5]))
    new = pd.DataFrame({"trait": ["x", "y", "x"], "species": ["B", "Z", "new"]})
    assert_allclose(p.term_specs[0].variance(g, new), [8.0, 4.5, np.nan])


def test_identity_leaves_outer_levels_independent(data):
    """R = I must be what the term is without corr=."""
    eye = pd.DataFrame(np.eye(3), index=R.index, columns=R.columns)

    def fit(**keywords):
        term = Random("trait | species", "CS", **keywords)
        return MetaMixedLM.from_formula("yi ~ trait", data, variance="vi", random=term).fit()

    product, plain = fit(corr=eye), fit()
    assert product.llf == pytest.approx(plain.llf, rel=1e-10)
    assert_allclose(product.params, plain.params, rtol=1e-6)
    assert_allclose(product.vcomp["estimate"], plain.vcomp["estimate"], rtol=1e-5, atol=1e-6)


def test_levels_absent_from_the_matrix_are_named(data):
    data.loc[0, "species"] = "Q"
    with pytest.raises(DataError, match=r"levels of species\).*1 levels of the data: Q"):
        bound(data, Random("trait | species", "UN", corr=R))
    with pytest.raises(DataError, match=r"levels of trait\).*2 levels of the data: x, y"):
        bound(data, Random("trait | species", "PROP", corr=R))


def test_traits_of_related_species_tell_of_their_correlation(data):
    """x was seen in A and Z, y in B only: A and B are related, so x~y is not without data."""
    kept = data[(data["trait"] == "x") == (data["species"] != "B")]
    _, plain = bound(kept, Random("trait | species", "UN"))
    assert any("never seen together" in note for note in plain.notes)
    related, p = bound(kept, Random("trait | species", "UN", corr=R))
    assert not any("never seen together" in note for note in p.notes)
    assert list(related.structure.fixed) == [False, True, True]  # y: one species only
    unrelated = R.where(np.eye(3) > 0, 0.0)
    _, p = bound(kept, Random("trait | species", "UN", corr=unrelated))
    assert any("never seen together" in note for note in p.notes)
    one_each = kept.drop_duplicates("species")
    t, _ = bound(one_each, Random("trait | species", "CS", corr=R))
    assert not t.structure.fixed.any()
    t, _ = bound(one_each, Random("trait | species", "CS", corr=unrelated))
    assert list(t.structure.fixed) == [False, True]


def test_proportional_is_over_the_inner_levels(data):
    p2 = pd.DataFrame([[1.0, 0.5], [0.5, 2.0]], index=["x", "y"], columns=["x", "y"])
    t, p = bound(data, Random("trait | species", "PROP", corr=p2, corr_scale="none"))
    assert (t.n_levels, t.q) == (3, 2)
    assert_allclose(t.structure.matrix(np.array([3.0])), [[3.0, 1.5], [1.5, 6.0]])
    new = pd.DataFrame({"trait": ["y", "x"]})
    g = t.structure.matrix(np.array([3.0]))
    assert_allclose(p.term_specs[0].variance(g, new), [6.0, 3.0])


def test_equal_components_of_a_product(data):
    t, p = bound(data, Random("trait | species", "HCS", corr=R, equal={"tau2": [0, 0]}))
    assert [(c.kind, c.level) for c in p.problem.components] == [("tau2", ""), ("rho", "")]
    g = t.structure.matrix(np.array([2.0, 0.25]))
    assert_allclose(g, np.kron(R, [[2.0, 0.5], [0.5, 2.0]]))
    t, p = bound(data, Random("1 + dose | species", "GEN", corr=R, equal={"tau2": [0, 0]}))
    assert len(p.problem.components) == 2


def test_several_known_matrices_at_once(data):
    """REML log-likelihood of four terms at fixed components, from M written out."""
    n = len(data)
    random = [
        Random("1 | species", corr=R, fixed={"sigma2": 0.3}),
        Random("1 | species", "PHYPL", corr=R, fixed={"tau2": 0.2, "lambda": 0.4}),
        Random("trait | species", "CS", corr=R, fixed={"tau2": 0.5, "rho": -0.2}),
        Random("1 | species/trait", fixed={"sigma2": [0.1, 0.7]}),
    ]
    model = MetaMixedLM.from_formula("yi ~ dose", data, variance="vi", random=random)
    species, trait = data["species"].to_numpy(), data["trait"].to_numpy()
    r = R.loc[species, species].to_numpy()
    same_species, same_trait = (x[:, None] == x for x in (species, trait))
    cs = np.where(same_trait, 0.5, -0.1)
    m = np.diag(data["vi"]) + 0.3 * r + 0.2 * np.where(same_species, 1.0, 0.4 * r) + r * cs
    m += 0.1 * same_species + 0.7 * (same_species & same_trait)
    x = np.column_stack([np.ones(n), data["dose"]])
    w = np.linalg.inv(m)
    xwx = x.T @ w @ x
    e = data["yi"] - x @ np.linalg.solve(xwx, x.T @ w @ data["yi"])
    logs = [np.linalg.slogdet(a)[1] for a in (x.T @ x, m, xwx)]
    expected = 0.5 * (logs[0] - logs[1] - logs[2] - e @ w @ e - (n - 2) * np.log(2 * np.pi))
    assert model.fit().llf == pytest.approx(expected, rel=1e-12)


def test_products_pickle(data):
    _, p = bound(data, Random("trait | species", "UN", corr=R))
    again = pickle.loads(pickle.dumps(p))
    g = np.kron(R, [[2.0, 0.1], [0.1, 0.5]])
    new = pd.DataFrame({"trait": ["y"]})
    assert_array_equal(again.term_specs[0].variance(g, new), [0.5])


def test_a_new_species_has_the_variance_of_the_tree(data):
    t, p = bound(data, Random("1 | species", "PHYPL", corr=R))
    g = t.structure.matrix(np.array([2.0, 0.5]))
    new = pd.DataFrame({"species": ["new", "A"]})
    assert_allclose(p.term_specs[0].variance(g, new), [2.0, 2.0])
    assert p.term_specs[0].inner == ("species",)


def test_groups_of_a_product_are_its_levels(data):
    """Three species, two traits: in the tables they are labelled as in the term without corr=."""
    product, plain = (
        MetaMixedLM.from_formula(
            "yi ~ trait", data, variance="vi", random=Random("trait | species", "CS", **keywords)
        ).fit()
        for keywords in ({"corr": R}, {})
    )
    assert list(product.vcomp["n_levels"]) == list(plain.vcomp["n_levels"]) == [3, 3]
    table, same = product.ranef()["trait | species (corr)"], plain.ranef()["trait | species"]
    pd.testing.assert_index_equal(table.index, same.index)
    assert table.index.names == ["outer", "inner"]
    effects, cov = product.random_effects, product.random_effects_cov
    assert list(effects) == list(plain.random_effects) == list("ABZ")
    for species, values in effects.items():
        assert_array_equal(values, table.loc[species, "estimate"])
        assert_allclose(np.sqrt(np.diag(cov[species])), table.loc[species, "se"])
        assert list(cov[species].columns) == ["x", "y"]


def test_groups_of_slopes_and_of_intercepts_along_a_tree(data):
    terms = [Random("1 + dose | species", "GDIAG", corr=R), Random("1 | species", corr=R)]
    terms += [Random("1 | species", "PHYPL", corr=R), Random("species | const", "PHYBM", corr=R)]
    fixed = [{"tau2": [0.2, 0.1]}, {"sigma2": 0.2}, {"tau2": 0.1, "lambda": 0.5}, {"tau2": 0.1}]
    pinned = [replace(t, fixed=f) for t, f in zip(terms, fixed, strict=True)]
    res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", random=pinned).fit()
    by_term = res.vcomp.groupby("term", sort=False)["n_levels"].first()
    assert list(by_term) == [3, 3, 3, 1]
    slopes, known, pagel, within = res.ranef().values()
    assert list(slopes.index[:2]) == [("A", "Intercept"), ("A", "dose")]
    assert list(known.index) == list(pagel.index) == list("ABZ")
    assert list(within.index) == [("const", s) for s in "ABZ"]
    effects = res.random_effects
    assert list(effects)[:3] == [("1 + dose | species (corr)", s) for s in "ABZ"]
    assert effects["species (corr)", "B"].iloc[0] == known.loc["B", "estimate"]


def test_containment_df_of_products_are_those_of_their_groups(data):
    """Trait varies within species and is constant in the 6 cells: 6 - p, the intercept 3 - p."""
    for keywords in ({"corr": R}, {}):
        term = Random("trait | species", "CS", **keywords)
        model = MetaMixedLM.from_formula("yi ~ trait", data, variance="vi", random=term)
        assert list(model.fit(df="contain").df_inference) == [1.0, 4.0]
