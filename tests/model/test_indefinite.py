"""Estimated covariance matrices with a negative eigenvalue are told, at the fit and after it."""

import warnings

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM, MvmetaWarning, Random, datasets

RHO = {"rho": 1.5}


def field(side, seed=0, fields=4):
    """Effects at the points of a square grid, alike where they are close."""
    rng = np.random.default_rng(seed)
    sites = np.array([(i, j) for i in range(side) for j in range(side)], dtype=float)
    distance = np.linalg.norm(sites[:, None] - sites, axis=2)
    root = np.linalg.cholesky(np.exp(-distance / 1.5))
    frames = []
    for s in range(fields):
        y = root @ rng.normal(size=side**2) + rng.normal(0, 0.5, side**2)
        frames.append(pd.DataFrame({"y": y, "s": s, "u": sites[:, 0], "v": sites[:, 1]}))
    return pd.concat(frames, ignore_index=True)


def fit(data, term, variance=0.25):
    return MetaMixedLM.from_formula("y ~ 1", data, variance=variance, random=term).fit()


def finding(res):
    found = [f for f in res.diagnose().findings if f.code == "indefinite-covariance"]
    assert len(found) == 1
    return found[0]


def test_a_linear_correlation_off_the_line():
    side, rho = 6, 1.43  # neighbours along the diagonals just reach each other
    data = field(side)
    with pytest.warns(MvmetaWarning, match=r"of 'u \+ v \| s' \(SPLIN\) has the negative eigen"):
        res = fit(data, Random("u + v | s", "SPLIN", fixed={"rho": rho}))
    sites = data[data["s"] == 0][["u", "v"]].to_numpy()
    distance = np.linalg.norm(sites[:, None] - sites, axis=2)
    values = np.linalg.eigvalsh(np.clip(1 - distance / rho, 0, None)) * res.vcomp["estimate"][0]
    assert values[0] < 0
    said = finding(res)
    assert said.evidence["smallest eigenvalue"] == pytest.approx(values[0], rel=1e-8)
    assert said.evidence["largest"] == pytest.approx(values[-1], rel=1e-8)
    assert "SPLIN on a line" in said.advice


def test_a_smooth_correlation_of_distances_that_are_no_euclidean_ones():
    with pytest.warns(MvmetaWarning, match=r"\(SPGAU\) .* SPEXP is one for Euclidean, Manhattan"):
        res = fit(field(4), Random("u + v | s", "SPGAU", distance="manhattan", fixed=RHO))
    assert finding(res).severity == "problem"


def test_correlations_that_do_not_go_together():
    """B and C are fixed to go with A, and against each other in the data."""
    rng = np.random.default_rng(3)
    study, outcome = np.repeat(np.arange(40), 3), np.tile(["A", "B", "C"], 40)
    g = np.array([[1.2, 0.3, 0.3], [0.3, 1.2, -0.8], [0.3, -0.8, 1.2]])
    u = rng.normal(size=(40, 3)) @ np.linalg.cholesky(g).T
    data = pd.DataFrame({"y": u.ravel() + rng.normal(0, 0.5, 120), "s": study, "o": outcome})
    pins = {"rho": [0.8, 0.8, None]}
    with pytest.warns(MvmetaWarning, match=r"\(UN\) .* that are fixed do not go with the others"):
        res = fit(data, Random("o | s", "UN", fixed=pins), variance=0.5)
    g = np.diag(res.vcomp["estimate"][:3])
    sd, rho = np.sqrt(np.diag(g)), res.vcomp["estimate"][3:].to_numpy()
    g[[1, 2, 2], [0, 0, 1]] = rho * sd[[1, 2, 2]] * sd[[0, 0, 1]]
    values = np.linalg.eigvalsh(g)  # of the lower triangle
    said = finding(res)
    assert said.evidence["smallest eigenvalue"] == pytest.approx(values[0], rel=1e-8)
    assert "leave some of them free" in said.advice
    tied = Random("o | s", "UN", equal={"rho": [0, 0, 1]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sound = fit(data, tied)
    assert (
        "no covariance matrix of random effects has a negative eigenvalue"
        in (sound.diagnose().passed["covariance matrices"])
    )


def test_a_blemish_is_for_the_diagnosis_alone():
    """Gaussian correlations along rivers (Maire et al. 2019): the tutorial found it by hand."""
    fish, rivers = datasets.load("maire2019"), datasets.distance("maire2019")
    term = Random("site_station | const", "SPGAU", distance=rivers)
    model = MetaMixedLM.from_formula("yi ~ 1", fish, variance="vi", random=term)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        res = model.fit()
    km = rivers.loc[fish["site_station"], fish["site_station"]].to_numpy()
    tau2, rho = res.vcomp["estimate"]
    values = np.linalg.eigvalsh(tau2 * np.exp(-((km / rho) ** 2)))
    said = finding(res)
    assert said.severity == "caution"
    assert said.evidence["smallest eigenvalue"] == pytest.approx(values[0], rel=1e-6)


def test_singular_matrices_are_covariance_matrices():
    """Rounding of a zero eigenvalue is not told."""
    data = field(3).assign(y=lambda f: f.groupby("s")["y"].transform("mean"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        res = fit(data, Random("u + v | s", "SPEXP", fixed={"rho": 1e6}))
    assert "covariance matrices" in res.diagnose().passed


def test_what_cannot_be_indefinite_is_not_looked_at():
    data = field(3).assign(o=lambda f: f["u"].astype(int).astype(str))
    res = fit(data, Random("o | s", "UN"))
    assert "covariance matrices" not in res.diagnose().passed
