"""Cluster-robust results against clubSandwich, metafor and sandwich, components held fixed."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM, Random
from mvmeta.errors import SpecificationError

REFERENCE = Path(__file__).parents[1] / "reference" / "robust.json"
DATA = json.loads(REFERENCE.read_text(encoding="utf-8"))
KONST = pd.DataFrame(DATA["konst"])
KINDS = ("CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3")

ROBUST = 1e-6
"""Issued precision of clubSandwich's numbers, which invert and root matrices of a cluster."""


def three_level(**options):
    components = {"sigma2": [0.06, 0.03]}
    random = Random("1 | district/school", fixed=components)
    return MetaMixedLM.from_formula("yi ~ decade", KONST, variance="vi", random=random, **options)


def multivariate():
    frame = pd.DataFrame({k: DATA["berkey"][k] for k in ("yi", "trial", "outcome")})
    fixed = {"tau2": [0.033, 0.012], "rho": 0.6}
    return MetaMixedLM.from_formula(
        "yi ~ outcome - 1",
        frame,
        variance=np.array(DATA["berkey"]["V"]),
        random=Random("outcome | trial", struct="UN", fixed=fixed),
    )


MODELS = {
    "finest": three_level,
    "coarser": three_level,
    "weighted": lambda: three_level(weights="w"),
    "weighted_coarser": lambda: three_level(weights="w"),
    "multivariate": multivariate,
}
FITS = {name: build().fit() for name, build in MODELS.items()}


def close(ours, theirs, rtol=ROBUST):
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * np.abs(theirs).max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_club_sandwich(name, kind):
    want = DATA[name][kind]
    ours = FITS[name].get_robustcov_results(kind, DATA[name]["cluster"])
    close(ours.cov_params(), np.array(want["vcov"]))
    close(np.broadcast_to(ours.df_inference, len(ours.params)), np.array(want["df"]))
    close(ours.pvalues, np.array(want["p"]))
    rows = np.eye(len(ours.params))[DATA[name]["joint"]]
    joint = ours.wald_test(rows)
    for got, key in ((joint.statistic, "F"), (joint.df_denom, "df_denom"), (joint.pvalue, "F_p")):
        close(float(got), np.array(want[key], dtype=float))


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR2"])
def test_a_level_that_one_cluster_has_alone(kind):
    data = KONST.assign(kind=np.where(KONST["district"] == 11, "only", "rest"))
    random = [
        Random("1 | district", fixed={"sigma2": 0.05}),
        Random("1 | district:school", fixed={"sigma2": 0.03}),
    ]
    model = MetaMixedLM.from_formula("yi ~ kind - 1", data, variance="vi", random=random)
    res, want = model.fit(cov_type=kind, cov_kwds={"groups": "district"}), DATA["alone"][kind]
    for name, got in (("se", res.bse), ("df", res.df_inference), ("p", res.pvalues)):
        close(got.iloc[1] if name != "df" else got[1], np.array(want[name][1]))
    if kind == "CR2":
        close(res.bse.to_numpy(), np.array(want["se"]))
        close(np.asarray(res.df_inference), np.array(want["df"]))
        assert want["se"][0] < 0.05 * model.fit().bse.iloc[0]  # no measure of anything
    else:  # clubSandwich has a rounding error, and P < 1e-15
        assert want["se"][0] < 1e-15
        assert res.bse.iloc[0] == 0.0
        assert np.isnan([res.tvalues.iloc[0], res.pvalues.iloc[0], *res.conf_int().iloc[0]]).all()
    note = f"Not estimable without district 11: kind[only]. {kind} learns from how clusters differ"
    assert any(n.startswith(note) for n in res.notes)
    assert note in " ".join(str(res.summary()).split())
    finding = res.diagnose()["robust-from-one-study"]
    assert "district 11: kind[only]" in finding.what
    assert "robust-from-one-study" not in model.fit().diagnose()


def test_contrasts_with_a_level_of_one_cluster_are_named_too():
    data = KONST.assign(kind=np.where(KONST["district"] == 11, "a", "b"), x=KONST["year"] % 3)
    model = MetaMixedLM.from_formula("yi ~ kind + x", data, variance="vi", groups="district/school")
    notes = model.fit(cov_type="CR1", cov_kwds={"groups": "district"}).notes
    assert any("Not estimable without district 11: Intercept, kind[T.b]. " in n for n in notes)
    given = model.fit(cov_type="CR1", cov_kwds={"groups": np.asarray(data["district"])}).notes
    assert any("Not estimable without the cluster of row 0: " in n for n in given)
    every = MetaMixedLM.from_formula("yi ~ x", data, variance="vi", groups="district/school")
    res = every.fit(cov_type="CR2")
    assert not any("Not estimable" in n for n in res.notes)
    assert "robust-from-one-study" not in res.diagnose()
    assert res.diagnose().passed["robust standard errors"].startswith("no coefficient is known")


def test_studies_of_their_own_coefficients_are_one_note():
    model = MetaMixedLM.from_formula("yi ~ C(district) - 1", KONST, variance="vi")
    notes = model.fit(cov_type="CR1", cov_kwds={"groups": "district"}).notes
    assert sum("Not estimable without" in n for n in notes) == 1


def crossed():
    random = [
        Random("1 | district", fixed={"sigma2": 0.05}),
        Random("1 | year", fixed={"sigma2": 0.02}),
    ]
    return MetaMixedLM.from_formula("yi ~ decade", KONST, variance="vi", random=random).fit()


def test_crossed_groups_one_by_one_and_combined():
    """metafor sums over the given clusters whatever the model says."""
    res, parts = crossed(), [np.array(p["vcov"]) for p in DATA["crossed"]]
    for part in DATA["crossed"]:
        one = res.get_robustcov_results("CR0", part["cluster"], df="residual")
        close(one.cov_params(), np.array(part["vcov"]))
    both = res.get_robustcov_results("CR0", ["district", "year"], df="residual")
    close(both.cov_params(), parts[0] + parts[1] - parts[2])
    assert both.n_clusters == KONST["year"].nunique()


def line(weights):
    """Weighted least squares: the weights as inverse variances, or as weights beside others."""
    if weights:
        return MetaMixedLM.from_formula("yi ~ decade", KONST, variance="vi", weights="w").fit()
    return MetaMixedLM.from_formula("yi ~ decade", KONST, variance=1 / KONST["w"]).fit()


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR1S"])
def test_several_groupings_as_sandwich_has_them(kind, weights):
    item = DATA["multiway"][0]
    got = line(weights).get_robustcov_results(kind, KONST[item["groups"]], df="cluster")
    close(got.cov_params(), np.array(item[kind]), rtol=1e-9)
    assert got.df_inference == KONST["year"].nunique() - 2


@pytest.mark.parametrize("index", [1, 2])
def test_negative_eigenvalues_are_repaired_on_request_only(index):
    item = DATA["multiway"][index]
    assert np.linalg.eigvalsh(np.array(item["CR0"]))[0] < 0
    res = line(False)
    with pytest.raises(SpecificationError, match=r"negative eigenvalue.*repair=True"):
        res.get_robustcov_results("CR0", KONST[item["groups"]], df="residual")
    got = res.get_robustcov_results("CR0", KONST[item["groups"]], df="residual", repair=True)
    close(got.cov_params(), np.array(item["CR0_fixed"]), rtol=1e-9)
    assert "Negative eigenvalues of the robust covariance were set to 0." in got.notes
