"""`mvmeta fit`: what it prints, what it writes, and its exit codes."""

import io
import json
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import block_diag

from mvmeta import MetaMixedLM, Random, datasets, plots, vcalc
from mvmeta.cli import main, pictures
from mvmeta.cli.wording import in_the_shell
from mvmeta.errors import MvmetaError
from tests.cli.commands import ARGUMENTS, FORMULA, expected, failure, fit_json, usage_error

# -- models ---------------------------------------------------------------------------


def test_fit_prints_the_summary(capsys, toy_csv):
    assert main(["fit", toy_csv, *ARGUMENTS]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "Multilevel Meta-Analysis (REML)" in out
    # tau2 = 20^2 / 2 - 0.1 / 2 = 199.95; C = 10 + 10 * 199.95 / (199.95 + 0.1 / 2) = 19.9975
    assert "199.9500" in out
    assert "19.9975" in out


def test_json_holds_the_numbers_of_the_results(capsys, toy, toy_csv):
    found, _ = fit_json(capsys, toy_csv, *ARGUMENTS)
    result = MetaMixedLM.from_formula(FORMULA, toy, variance="Variance", groups="Study").fit()
    assert found == expected(result)
    assert [c["estimate"] for c in found["coefficients"]] == pytest.approx([10, 15, 19.9975])
    assert [c["se"] for c in found["coefficients"]] == result.bse.tolist()


def test_options_of_estimation_reach_the_fit(capsys, toy, toy_csv):
    found, _ = fit_json(
        capsys, toy_csv, *ARGUMENTS, "--ml", "--df", "7", "--cov-type", "adhoc", "--alpha", "0.1"
    )
    model = MetaMixedLM.from_formula(FORMULA, toy, variance="Variance", groups="Study")
    assert found == expected(model.fit(reml=False, df=7.0, cov_type="adhoc"), alpha=0.1)
    assert found["method"] == "ML"
    assert {c["df"] for c in found["coefficients"]} == {7.0}


def test_t_and_start_and_maxiter_and_backend(capsys, toy, toy_csv):
    options = ["--t", "--start", "150", "--maxiter", "99", "--backend", "dense"]
    found, _ = fit_json(capsys, toy_csv, *ARGUMENTS, *options)
    model = MetaMixedLM.from_formula(
        FORMULA, toy, variance="Variance", groups="Study", backend="dense"
    )
    assert found == expected(model.fit(use_t=True, start=[150.0], maxiter=99))
    assert {c["df"] for c in found["coefficients"]} == {2.0}


def test_cluster_robust_tests(capsys, tmp_path):
    path = tmp_path / "data.csv"
    frame = datasets.load("assink2016")
    frame.to_csv(path, index=False)
    common = ["-f", "yi ~ year", "--variance", "vi", "--groups", "id", "--cov-type", "CR2"]
    found, _ = fit_json(capsys, str(path), *common, "--cluster", "study")
    plain, _ = fit_json(capsys, str(path), *common, "--cluster", "study", "--df", "residual")
    model = MetaMixedLM.from_formula("yi ~ year", frame, variance="vi", groups="id")
    clusters = {"groups": frame["study"]}
    assert found == expected(model.fit(cov_type="CR2", cov_kwds=clusters))
    assert plain == expected(model.fit(cov_type="CR2", cov_kwds=clusters | {"df": "residual"}))
    assert plain["coefficients"][0]["df"] != found["coefficients"][0]["df"]
    wrong = ["fit", str(path), *ARGUMENTS, "--cluster", "study"]
    assert "--cluster goes with --cov-type CR0" in usage_error(capsys, *wrong)
    err = failure(capsys, "fit", str(path), *common, "--cluster", "stud")
    assert "did you mean 'study'?" in err


def test_weights_and_subset(capsys, toy, tmp_path):
    toy["w"], toy["used"] = [1.0, 2, 3, 4, 5], [True, True, True, True, False]
    path = tmp_path / "toy.csv"
    toy.to_csv(path, index=False)
    options = ["--weights", "w", "--subset", "used"]
    found, _ = fit_json(capsys, str(path), *ARGUMENTS, *options)
    model = MetaMixedLM.from_formula(
        FORMULA, toy, "used", variance="Variance", groups="Study", weights="w"
    )
    assert found == expected(model.fit())
    assert found["nobs"] == 4


def test_a_condition_chooses_rows(capsys, toy, toy_csv):
    found, _ = fit_json(capsys, toy_csv, *ARGUMENTS, "--subset", "id < 5 and Category != 'D'")
    model = MetaMixedLM.from_formula(
        FORMULA, toy, toy["id"] < 5, variance="Variance", groups="Study"
    )
    assert found == expected(model.fit())
    assert found["nobs"] == 4


def test_a_matrix_of_weights(capsys, toy, toy_csv, tmp_path):
    w = np.diag([1.0, 2, 3, 4, 5])
    np.savetxt(tmp_path / "w.csv", w, delimiter=",")
    found, _ = fit_json(capsys, toy_csv, *ARGUMENTS, "--weights-matrix", str(tmp_path / "w.csv"))
    model = MetaMixedLM.from_formula(FORMULA, toy, variance="Variance", groups="Study", weights=w)
    assert found == expected(model.fit())


def test_covariances_from_correlations(capsys, tmp_path):
    frame = datasets.load("assink2016")
    frame["r"] = 0.3 + 0.1 * (frame["study"] % 3)
    frame.to_csv(tmp_path / "data.csv", index=False)
    arguments = [str(tmp_path / "data.csv"), "-f", "yi ~ 1", "--variance", "vi"]
    arguments += ["--groups", "study/esid", "--vcalc"]

    def fitted(**options):
        v = vcalc("vi", "study", data=frame, **options)
        model = MetaMixedLM.from_formula("yi ~ 1", frame, variance=v, groups="study/esid")
        return expected(model.fit())

    alike, _ = fit_json(capsys, *arguments, "study; obs=esid; rho=0.6")
    assert alike == fitted(obs="esid", rho=0.6)
    by_study, _ = fit_json(capsys, *arguments, "study; obs=esid; rho=r")
    assert by_study == fitted(obs="esid", rho="r")
    pair, _ = fit_json(capsys, *arguments, "study; obs=esid; type=deltype; rho=0.6,0.4; nearpd")
    assert pair == fitted(obs="esid", type="deltype", rho=(0.6, 0.4), nearpd=True)
    kinds = sorted(frame["deltype"].unique())
    between = pd.DataFrame(0.5 + 0.5 * np.eye(len(kinds)), kinds, kinds)
    between.to_csv(tmp_path / "r.csv")
    labelled, _ = fit_json(
        capsys, *arguments, f"study; obs=esid; type=deltype; rho=0.6,{tmp_path / 'r.csv'}"
    )
    assert labelled == fitted(obs="esid", type="deltype", rho=(0.6, between))


def test_crossed_clusters(capsys, tmp_path):
    path = str(tmp_path / "lim.csv")
    main(["datasets", "lim2014", "--csv", path])
    capsys.readouterr()
    frame = datasets.load("lim2014")
    options = ["--cov-type", "CR1", "--cluster", "article", "--cluster", "species", "--repair"]
    common = ["-f", "yi ~ 1", "--variance", "vi", "--groups", "article", "--random", "1 | species"]
    found, _ = fit_json(capsys, path, *common, *options)
    model = MetaMixedLM.from_formula(
        "yi ~ 1", frame, variance="vi", groups="article", random="1 | species"
    )
    clusters = {"groups": ["article", "species"], "repair": True}
    assert found == expected(model.fit(cov_type="CR1", cov_kwds=clusters))


def test_covariance_matrix_and_structured_term(capsys, tmp_path):
    v = block_diag(*datasets.covariance_blocks("berkey1998"))
    frame = datasets.load("berkey1998")
    frame.to_csv(tmp_path / "data.csv", index=False)
    np.savetxt(tmp_path / "v.csv", v, delimiter=",", fmt="%.17g")
    found, _ = fit_json(
        capsys,
        str(tmp_path / "data.csv"),
        *("-f", "yi ~ outcome - 1", "--variance-matrix", str(tmp_path / "v.csv")),
        *("--random", "outcome | trial; UN"),
    )
    model = MetaMixedLM.from_formula(
        "yi ~ outcome - 1", frame, variance=v, random=Random("outcome | trial", struct="UN")
    )
    assert found == expected(model.fit())
    assert [c["component"] for c in found["vcomp"]] == ["tau2", "tau2", "rho"]


def test_known_correlations_as_the_package_exports_them(capsys, tmp_path):
    data, tree = str(tmp_path / "lim.csv"), str(tmp_path / "tree.csv")
    assert main(["datasets", "lim2014", "--csv", data, "--correlation", tree]) == 0
    found, _ = fit_json(
        capsys,
        data,
        *("-f", "yi ~ 1", "--variance", "vi", "--groups", "article"),
        *("--random", "1 | species", "--random", f"1 | species; corr={tree}; corr_scale=none"),
    )
    corr = datasets.correlation("lim2014")
    terms = [Random("1 | species"), Random("1 | species", corr=corr, corr_scale="none")]
    model = MetaMixedLM.from_formula(
        "yi ~ 1", datasets.load("lim2014"), variance="vi", groups="article", random=terms
    )
    assert found == expected(model.fit())


def test_distances_as_the_package_exports_them(capsys, tmp_path):
    data, ways = str(tmp_path / "fish.csv"), str(tmp_path / "rivers.csv")
    assert main(["datasets", "maire2019", "--csv", data, "--distance", ways]) == 0
    found, _ = fit_json(
        capsys,
        data,
        *("-f", "yi ~ 1", "--variance", "vi"),
        *("--random", f"site_station | const; SPGAU; distance={ways}"),
    )
    between = datasets.distance("maire2019")
    term = Random("site_station | const", "SPGAU", distance=between)
    frame = datasets.load("maire2019")
    model = MetaMixedLM.from_formula("yi ~ 1", frame, variance="vi", random=term)
    assert found == expected(model.fit())


def test_fixed_components(capsys, toy_csv, tmp_path):
    toy = datasets.load("toy")
    found, _ = fit_json(
        capsys,
        toy_csv,
        *("-f", FORMULA, "--variance", "Variance"),
        *("--random", "1 | Study/id; sigma2=,0.5"),
    )
    term = Random("1 | Study/id", fixed={"sigma2": [None, 0.5]})
    model = MetaMixedLM.from_formula(FORMULA, toy, variance="Variance", random=term)
    assert found == expected(model.fit())
    assert [(c["term"], c["fixed"]) for c in found["vcomp"]] == [
        ("Study", False),
        ("Study/id", True),
    ]
    assert found["vcomp"][1]["estimate"] == 0.5


def test_distances_by_metric_and_by_matrix(capsys, tmp_path):
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {"x": rng.uniform(0, 9, 12), "y": rng.uniform(0, 9, 12), "site": range(12)}
    )
    frame["yi"], frame["vi"] = rng.normal(0, 1, 12) + np.sin(frame["x"]), 0.1
    xy = frame[["x", "y"]].to_numpy()
    apart = np.abs(xy[:, None] - xy[None]).sum(axis=2)
    frame.to_csv(tmp_path / "data.csv", index=False)
    pd.DataFrame(apart, frame["site"], frame["site"]).to_csv(tmp_path / "apart.csv")
    common = [str(tmp_path / "data.csv"), "-f", "yi ~ 1", "--variance", "vi", "--random"]
    metric, _ = fit_json(capsys, *common, "x + y | const; SPEXP; distance=manhattan")
    matrix, _ = fit_json(
        capsys, *common, f"site | const; struct=SPEXP; distance={tmp_path / 'apart.csv'}"
    )
    model = MetaMixedLM.from_formula(
        "yi ~ 1",
        frame,
        variance="vi",
        random=Random("x + y | const", struct="SPEXP", distance="manhattan"),
    )
    assert metric == expected(model.fit())
    assert matrix["info_criteria"]["llf"] == pytest.approx(metric["info_criteria"]["llf"])


def test_smoothness_of_sites(capsys, tmp_path):
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"x": rng.uniform(0, 9, 12), "y": rng.uniform(0, 9, 12), "vi": 0.1})
    frame["yi"] = np.sin(frame["x"])
    frame.to_csv(tmp_path / "data.csv", index=False)
    arguments = [str(tmp_path / "data.csv"), "-f", "yi ~ 1", "--variance", "vi", "--random"]
    found, _ = fit_json(capsys, *arguments, "x + y | const; MATERN; smoothness=0.5; tau2=1")
    term = Random("x + y | const", "MATERN", smoothness=0.5, fixed={"tau2": 1.0})
    model = MetaMixedLM.from_formula("yi ~ 1", frame, variance="vi", random=term)
    assert found == expected(model.fit())


def test_equal_components(capsys, tmp_path):
    rng = np.random.default_rng(6)
    frame = pd.DataFrame(
        {"yi": rng.normal(size=60), "vi": 0.1, "o": list("ABC") * 20, "study": np.arange(60) // 3}
    )
    frame.to_csv(tmp_path / "data.csv", index=False)
    arguments = [str(tmp_path / "data.csv"), "-f", "yi ~ o", "--variance", "vi", "--random"]
    found, _ = fit_json(capsys, *arguments, "o | study; UN; equal=tau2:1,1, rho:a,b,a")
    equal = {"tau2": [0, 0, None], "rho": [0, 1, 0]}
    model = MetaMixedLM.from_formula(
        "yi ~ o", frame, variance="vi", random=Random("o | study", "UN", equal=equal)
    )
    assert found == expected(model.fit())
    levels = [(c["component"], c["level"]) for c in found["vcomp"]]
    assert levels == [("tau2", "A=B"), ("tau2", "C"), ("rho", "B~A=C~B"), ("rho", "C~A")]


def test_scale_of_a_random_intercept(capsys, tmp_path):
    rng = np.random.default_rng(8)
    frame = pd.DataFrame({"yi": rng.normal(size=40), "vi": 0.1, "id": range(40)})
    frame["x"] = np.arange(40) % 4
    frame.to_csv(tmp_path / "data.csv", index=False)
    arguments = [str(tmp_path / "data.csv"), "-f", "yi ~ 1", "--variance", "vi"]
    found, _ = fit_json(capsys, *arguments, "--random", "1 | id; scale=x")
    model = MetaMixedLM.from_formula(
        "yi ~ 1", frame, variance="vi", random=Random("1 | id", scale="x")
    )
    assert found == expected(model.fit())


def test_equal_terms(capsys, tmp_path):
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        {"yi": rng.normal(size=60), "vi": 0.1, "a": np.arange(60) // 6, "b": np.arange(60) % 7}
    )
    frame.to_csv(tmp_path / "data.csv", index=False)
    arguments = [str(tmp_path / "data.csv"), "-f", "yi ~ 1", "--variance", "vi"]
    terms = ["--random", "1 | a", "--random", "1 | b", "--equal", "a, b"]
    found, _ = fit_json(capsys, *arguments, *terms)
    model = MetaMixedLM.from_formula(
        "yi ~ 1", frame, variance="vi", random=["1 | a", "1 | b"], equal=["a", "b"]
    )
    assert found == expected(model.fit())


def test_components_of_a_tree_are_fixed(capsys, tmp_path):
    data, tree = str(tmp_path / "lim.csv"), str(tmp_path / "tree.csv")
    assert main(["datasets", "lim2014", "--csv", data, "--correlation", tree]) == 0
    found, _ = fit_json(
        capsys,
        data,
        *("-f", "yi ~ 1", "--variance", "vi"),
        *("--random", f"1 | species; PHYPL; corr={tree}; tau2=0.1; lambda=0.5"),
    )
    assert [(c["estimate"], c["fixed"]) for c in found["vcomp"]] == [(0.1, True), (0.5, True)]


def test_numpy_in_formulas(capsys, toy, toy_csv):
    common = ["--variance", "Variance"]
    found, _ = fit_json(capsys, toy_csv, "-f", "d ~ np.log(id)", *common)
    model = MetaMixedLM.from_formula(
        "d ~ np.log(id)", toy, variance="Variance", eval_env={"np": np}
    )
    assert found == expected(model.fit())


# -- files ----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".parquet", ".pq"])
def test_parquet(capsys, toy, toy_csv, tmp_path, suffix):
    pytest.importorskip("pyarrow")
    path = tmp_path / f"toy{suffix}"
    toy.to_parquet(path)
    assert fit_json(capsys, str(path), *ARGUMENTS) == fit_json(capsys, toy_csv, *ARGUMENTS)


def test_parquet_without_pyarrow(capsys, monkeypatch):
    def read_parquet(path):
        raise ImportError("no engine")

    monkeypatch.setattr(pd, "read_parquet", read_parquet)
    err = failure(capsys, "fit", "toy.parquet", *ARGUMENTS)
    assert "toy.parquet: Parquet needs pyarrow" in err


@pytest.mark.parametrize(
    ("name", "options"),
    [("toy.tsv", []), ("toy.txt", ["--sep", "\t"])],
)
def test_tabs(capsys, toy, toy_csv, tmp_path, name, options):
    toy.to_csv(tmp_path / name, index=False, sep="\t")
    found = fit_json(capsys, str(tmp_path / name), *ARGUMENTS, *options)
    assert found == fit_json(capsys, toy_csv, *ARGUMENTS)


def test_decimal_comma(capsys, toy, toy_csv, tmp_path):
    path = tmp_path / "toy.csv2"
    toy.to_csv(path, index=False, sep=";", decimal=",")
    found = fit_json(capsys, str(path), *ARGUMENTS, "--sep", ";", "--decimal", ",")
    assert found == fit_json(capsys, toy_csv, *ARGUMENTS)


@pytest.mark.parametrize(("sep", "told"), [(";", "';'"), ("\t", r"$'\t'")])
def test_another_separator_is_named(capsys, toy, tmp_path, sep, told):
    path = tmp_path / "toy.csv"
    toy.to_csv(path, index=False, sep=sep)
    err = failure(capsys, "fit", str(path), *ARGUMENTS)
    assert "toy.csv has one column only, " in err
    assert f"its separator is not ','; try --sep {told}" in err


def test_standard_input(capsys, monkeypatch, toy, toy_csv):
    monkeypatch.setattr(sys, "stdin", io.StringIO(toy.to_csv(index=False)))
    assert fit_json(capsys, "-", *ARGUMENTS) == fit_json(capsys, toy_csv, *ARGUMENTS)


def test_output_files(capsys, toy, toy_csv, tmp_path):
    paths = {kind: tmp_path / f"out.{kind}" for kind in ("json", "markdown", "latex")}
    options = [text for kind, path in paths.items() for text in (f"--{kind}", str(path))]
    assert main(["fit", toy_csv, *ARGUMENTS, *options]) == 0
    summary = capsys.readouterr().out
    result = MetaMixedLM.from_formula(FORMULA, toy, variance="Variance", groups="Study").fit()
    assert summary == f"{result.summary()}\n"
    assert json.loads(paths["json"].read_text(encoding="utf-8")) == expected(result)
    assert paths["latex"].read_text(encoding="utf-8") == result.summary().as_latex() + "\n"
    assert paths["markdown"].read_text(encoding="utf-8") == result.to_markdown() + "\n"


def test_plots(capsys, toy_csv, tmp_path):
    pytest.importorskip("matplotlib").use("Agg")
    paths = [tmp_path / "forest.svg", tmp_path / "figure 2.png"]
    options = ["--plot", str(paths[0]), "--plot", f"funnel={paths[1]}", "--quiet"]
    assert main(["fit", toy_csv, *ARGUMENTS, *options]) == 0
    assert "<svg" in paths[0].read_text(encoding="utf-8")
    assert paths[1].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            ("--plot", "forest.pgn"),
            "plots are not written as 'pgn'; did you mean 'png'? the formats are ",
        ),
        (("--plot", "forest=a.xyzzy"), "plots are not written as 'xyzzy'; the formats are "),
        (("--plot", "nowhere/forest.svg"), "there is no folder 'nowhere'; make it first"),
        (("--json", "nowhere/a.json"), "cannot write nowhere/a.json: there is no folder"),
        (("--markdown", "here"), "cannot write here: it is a folder; add the name of a file"),
        (("--report", "a.html", "--report-plots", "forst"), "--report-plots takes forest"),
    ],
)
def test_what_is_wrong_with_an_output_is_said_before_the_fit(
    output, message, capsys, tmp_path, monkeypatch
):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    err = failure(capsys, "fit", "is not even read.csv", *ARGUMENTS, *output)
    assert message in err


@pytest.mark.parametrize(
    ("package", "output"), [("matplotlib", ("--plot", "forest.svg")), ("jinja2", ("--report", "-"))]
)
def test_a_missing_package_is_said_before_the_fit(package, output, capsys, monkeypatch):
    loaded = [m for m in sys.modules if m.startswith((f"{package}.", "mvmeta.report"))]
    for name in loaded:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr("mvmeta.report", None, raising=False)
    err = failure(capsys, "fit", "is not even read.csv", *ARGUMENTS, *output)
    assert "is not installed: pip install" in err


def test_a_plot_of_one_component(capsys, toy_csv, tmp_path):
    pytest.importorskip("matplotlib").use("Agg")
    path = tmp_path / "figure.svg"
    options = ["--plot", f"profile:Study: sigma2={path}", "--quiet"]
    assert main(["fit", toy_csv, *ARGUMENTS, *options]) == 0
    assert path.exists()
    err = failure(capsys, "fit", toy_csv, *ARGUMENTS, "-q", "--plot", f"profile={path}")
    assert "which component? There are 'Study: sigma2'" in err


def test_another_scale(capsys, tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib").use("Agg")
    data, plot, report = (str(tmp_path / name) for name in ("bcg.csv", "forest.svg", "r.html"))
    main(["datasets", "bcg", "--csv", data])
    arguments = [data, "-f", "yi ~ 1", "--variance", "vi", "--groups", "trial", "--quiet"]
    options = ["--transform", "exp", "--alpha", "0.1", "--plot", plot]
    wanted = [*options, "--report", report, "--report-plots", "funnel"]
    assert main(["fit", *arguments, *wanted]) == 0
    drawn = (tmp_path / "forest.svg").read_text(encoding="utf-8")
    assert "exp(yi)" in drawn
    assert "90%" in drawn
    assert "transformed by exp" in (tmp_path / "r.html").read_text(encoding="utf-8")
    capsys.readouterr()
    err = failure(capsys, "fit", *arguments, "--transform", "expo")
    assert "--transform takes one of exp, " in err
    assert "ilogit" in err
    assert "exp_int" not in err


def test_the_report(capsys, toy, toy_csv, tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib").use("Agg")
    path = tmp_path / "report.html"
    texts = ["--title", "Toy", "--question", "Why 20?", "--report-plots", "forest,funnel"]
    assert main(["fit", toy_csv, *ARGUMENTS, "-q", "--report", str(path), *texts]) == 0
    page = path.read_text(encoding="utf-8")
    frame = toy.set_axis(range(1, 6))  # a file's rows are counted from 1
    model = MetaMixedLM.from_formula(FORMULA, frame, variance="Variance", groups="Study")
    wanted = model.fit().report(title="Toy", question="Why 20?", plots=["forest", "funnel"])
    assert page == wanted + "\n"
    capsys.readouterr()
    assert main(["fit", toy_csv, *ARGUMENTS, "--report", "-", "--report-plots", "forest"]) == 0
    assert capsys.readouterr().out.startswith("<!DOCTYPE html>")
    err = failure(capsys, "fit", toy_csv, *ARGUMENTS, "--report", "-", "--report-plots", "pie")
    assert "--report-plots takes forest" in err


def test_a_decimal_comma_and_an_empty_file_are_told(capsys, tmp_path):
    comma, empty = tmp_path / "comma.csv", tmp_path / "empty.csv"
    comma.write_text('yi,vi\n"0,1","0,2"\n"0,3","0,1"\n', encoding="utf-8")
    empty.write_text("", encoding="utf-8")
    arguments = ["-f", "yi ~ 1", "--variance", "vi"]
    err = failure(capsys, "fit", str(comma), *arguments)
    assert "holds '0,2'; is that a decimal comma? --decimal ," in err
    assert main(["fit", str(comma), *arguments, "--decimal", ",", "--quiet"]) == 0
    assert "there is nothing in it" in failure(capsys, "fit", str(empty), *arguments)


def test_the_plots_are_those_of_the_package():
    assert list(pictures.PICTURES) == plots.__all__


def test_quiet(capsys, toy_csv):
    assert main(["fit", toy_csv, *ARGUMENTS, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_output_that_cannot_be_written(capsys, toy_csv, tmp_path):
    path = str(tmp_path / "none" / "out.json")
    err = failure(capsys, "fit", toy_csv, *ARGUMENTS, "-q", "--json", path)
    assert f"cannot write {path}: there is no folder" in err


# -- what goes wrong ------------------------------------------------------------------


def test_dropped_rows_are_a_warning_of_one_line(capsys, toy, tmp_path):
    toy["d"] = toy["d"].astype(float)
    toy.loc[4, "d"] = np.nan
    toy.to_csv(tmp_path / "toy.csv", index=False)
    _, err = fit_json(capsys, str(tmp_path / "toy.csv"), *ARGUMENTS)
    # Rows are counted from 1: the last of five is row 5.
    assert err == "mvmeta: warning: 1 of 5 rows dropped for missing values: d (row 5)\n"
    err = failure(capsys, "fit", str(tmp_path / "toy.csv"), *ARGUMENTS, "--missing", "raise")
    assert "missing values in d (row 5)" in err


def test_a_fit_that_does_not_converge(capsys, tmp_path):
    path = str(tmp_path / "lim.csv")
    main(["datasets", "lim2014", "--csv", path])
    arguments = ["-f", "yi ~ 1", "--variance", "vi", "--groups", "article/effect"]
    assert main(["fit", path, *arguments, "--maxiter", "1"]) == 3
    out, err = capsys.readouterr()
    assert "Multilevel Meta-Analysis" in out
    assert err.count("\n") == 1
    assert err.startswith("mvmeta: warning: stopped at the iteration limit")
    assert "--maxiter" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-f", FORMULA, "--variance", "Varianc"], "did you mean 'Variance'?"),
        (["-f", "e ~ 1", "--variance", "Variance"], "'e' in the formula 'e ~ 1' is no column"),
        (["-f", "d ~ (", "--variance", "Variance"], "the formula 'd ~ (' cannot be read"),
        (["-f", "~ id", "--variance", "Variance"], "has no response"),
        ([*ARGUMENTS, "--random", "1 | Studie"], "'Studie'"),
        ([*ARGUMENTS, "--random", "Category | Study; XYZ"], "XYZ"),
        ([*ARGUMENTS, "--df", "nonsense"], "unknown df 'nonsense'"),
        ([*ARGUMENTS, "--cov-type", "nonsense"], "unknown cov_type 'nonsense'"),
        ([*ARGUMENTS, "--df", "kenward-roger", "--ml"], "fit without --ml, or use --df satter"),
        (
            [*ARGUMENTS, "--random", "Category | id; sigma2=1"],
            "the random term 'Category | id' has",
        ),
        ([*ARGUMENTS, "--random", "1 | id; equal=sigma2:1"], "equal= of the random term '1 | id':"),
        ([*ARGUMENTS, "--random", "Category | id; PROP"], "needs corr=FILE"),
        (["-f", FORMULA, "--variance", "Variance", "--groups", "1 | Study"], "given as --random"),
        ([*ARGUMENTS, "--start", "1,2"], "this model has 1 components"),
        ([*ARGUMENTS, "--subset", "id"], "subset must be booleans"),
        ([*ARGUMENTS, "--subset", "id > nothing"], "name 'nothing' is not defined"),
        ([*ARGUMENTS, "--subset", "id + 1"], "not true or false in every row"),
        ([*ARGUMENTS, "--vcalc", "Studie; rho=0.5"], "Studie"),
        ([*ARGUMENTS, "--vcalc", "Study; obs=id"], "rho"),
        ([*ARGUMENTS, "--random", "1 | id; corr=nowhere.csv"], "cannot read nowhere.csv"),
        (["-f", FORMULA, "--variance-matrix", "nowhere.csv"], "cannot read nowhere.csv"),
    ],
)
def test_an_analysis_that_cannot_be_done(capsys, toy_csv, arguments, message):
    assert message in failure(capsys, "fit", toy_csv, *arguments)


def test_messages_name_flags():
    def said(call):
        with pytest.raises(MvmetaError) as caught:
            call()
        return in_the_shell(str(caught.value))

    toy = datasets.load("toy").astype({"Variance": object})
    toy.loc[1, "Variance"] = "five"
    numeric = said(lambda: MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance"))
    assert numeric.endswith("holds 'five'; correct it, or leave the cell empty")
    toy["d"], toy["Variance"] = np.nan, 0.1
    rows = said(
        lambda: MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", missing="raise")
    )
    assert rows.endswith("drop or fill these rows, or pass --missing drop")
    pair = Random("Category | Study", "UN", fixed={"tau2": [1, 2]})
    toy["d"] = range(5)
    count = said(lambda: MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", random=pair))
    assert count.endswith("A, B, C; leave empty those to be estimated")
    with pytest.raises(MvmetaError) as caught:
        Random("a | b", "MATERN", smoothness=2, fixed={"tau2": (1, None)}, distance="km")
    assert in_the_shell(str(caught.value)).startswith("the random term 'a | b': distance= takes")


def test_formulas_in_messages_stay_as_they_are():
    message = "the formula 'y ~ bs(x, df=4) + C(start, levels=groups)' cannot be read"
    assert in_the_shell(message) == message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("ragged.csv", b"a,b\n1,2\n1,2,3,4\n"),
        ("latin.csv", "d,größe\n1,2\n".encode("latin-1")),
        ("text.parquet", b"this is no parquet file"),
    ],
)
def test_unreadable_content(capsys, tmp_path, name, content):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_bytes(content)
    assert f"cannot read {path}: " in failure(capsys, "fit", str(path), *ARGUMENTS)


def test_row_names_without_a_header(capsys, toy, tmp_path):
    path = tmp_path / "toy.csv"
    _, *rows = toy.to_csv().splitlines()
    path.write_text("\n".join([",".join(toy.columns), *rows]) + "\n")
    err = failure(capsys, "fit", str(path), *ARGUMENTS)
    assert "the rows have more fields than the header" in err


def test_unreadable_files(capsys, tmp_path):
    err = failure(capsys, "fit", str(tmp_path / "none.csv"), *ARGUMENTS)
    assert "none.csv: No such file or directory" in err
    err = failure(capsys, "fit", str(tmp_path), *ARGUMENTS)
    assert f"cannot read {tmp_path}: " in err


def test_matrices_that_are_none(capsys, toy_csv, tmp_path):
    err = failure(capsys, "fit", toy_csv, "-f", FORMULA, "--variance-matrix", toy_csv)
    assert f"{toy_csv} must hold numbers only" in err
    small = tmp_path / "small.csv"
    small.write_text("1,0\n0,1\n")
    err = failure(capsys, "fit", toy_csv, "-f", FORMULA, "--variance-matrix", str(small))
    assert "variance has 2 rows, the data have 5" in err
    labelled = tmp_path / "labelled.csv"
    labelled.write_text(",1,2\n2,1,0\n1,0,1\n")
    err = failure(capsys, "fit", toy_csv, *ARGUMENTS, "--random", f"1 | id; corr={labelled}")
    assert "the same labels" in err
    labelled.write_text(",1,2\n1,1,x\n2,0,1\n")
    err = failure(capsys, "fit", toy_csv, *ARGUMENTS, "--random", f"1 | id; corr={labelled}")
    assert "numbers only, but for the labels" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit"], "required: data, -f/--formula"),
        (["fit", "toy.csv", "-f", FORMULA], "--variance --variance-matrix is required"),
        (["fit", "toy.csv", *ARGUMENTS, "--variance-matrix", "v.csv"], "not allowed with"),
        (["fit", "toy.csv", *ARGUMENTS, "--vcalc", "a; cor=1"], "'cor=1' in 'a; cor=1'"),
        (["fit", "toy.csv", *ARGUMENTS, "--vcalc", "; rho=1"], "after the column of clusters"),
        (["fit", "toy.csv", *ARGUMENTS, "--vcalc", "a; rho=1; rho=2"], "each once"),
        (["fit", "toy.csv", *ARGUMENTS, "--plot", "pie.svg"], "kinds are bubble, caterpillar"),
        (["fit", "toy.csv", *ARGUMENTS, "--plot", "forest"], "the file ends in .svg, .pdf"),
        (["fit", "toy.csv", *ARGUMENTS, "--plot", "forest:d=x.svg"], "a plot is KIND=FILE"),
        (["fit", "toy.csv", *ARGUMENTS, "--plot", "bubble:=x.svg"], "a plot is KIND=FILE"),
        (["fit", "toy.csv", *ARGUMENTS, "--title", "x"], "--title goes with --report FILE only"),
        (["fit", "toy.csv", *ARGUMENTS, "--tol", "0"], "0 is not positive"),
        (["fit", "toy.csv", *ARGUMENTS, "--repair"], "--repair goes with --cov-type CR0"),
        (["fit", "toy.csv", *ARGUMENTS, "--vari", "v"], "unrecognized arguments: --vari v"),
        (["fit", "toy.csv", *ARGUMENTS, "--alpha", "5"], "5 is not between 0 and 1"),
        (["fit", "toy.csv", *ARGUMENTS, "--alpha", "x"], "'x' is not a number"),
        (["fit", "toy.csv", *ARGUMENTS, "--maxiter", "0"], "'0' is not a positive whole number"),
        (["fit", "toy.csv", *ARGUMENTS, "--start", "1,x"], "'x' is not a number"),
        (["fit", "toy.csv", *ARGUMENTS, "--missing", "none"], "invalid choice: 'none'"),
        (["fit", "toy.csv", *ARGUMENTS, "--json", "-", "--latex", "-"], "only one of"),
        (["fit", "toy.csv", *ARGUMENTS, "--random", "1 | a; cor=x"], "'cor=x' in '1 | a; cor=x'"),
        (["fit", "toy.csv", *ARGUMENTS, "--random", "a | b; UN; CS"], "each once"),
        (["fit", "toy.csv", *ARGUMENTS, "--random", "a | b; rho=x"], "'x' is not a number"),
        (["fit", "toy.csv", *ARGUMENTS, "--random", "a | b; equal=1,1"], "as tau2:1,1,2"),
        (["fit", "toy.csv", *ARGUMENTS, "--random", "a | b; smoothness=x"], "'x' is not a number"),
    ],
)
def test_wrong_usage(capsys, arguments, message):
    assert message in usage_error(capsys, *arguments)
