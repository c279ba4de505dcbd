"""The report: what is on the page, for fits of every kind, and that its code repeats the fit."""

import base64
import contextlib
import io
import re
import sys
from html.parser import HTMLParser
from inspect import signature

import numpy as np
import pytest

from mvmeta import (
    DataError,
    MetaMixedLM,
    MvmetaError,
    Random,
    SpecificationError,
    datasets,
    plots,
    vcalc,
)
from mvmeta.model.specification.formula import PATSY_NAMES
from mvmeta.model.specification.grammar import SLOPES
from mvmeta.report.code import OWN
from mvmeta.report.equations import equations
from mvmeta.report.numbers import number
from mvmeta.report.pictures import DRAWN_WITH_LIMITS, KINDS, TRANSFORMED
from mvmeta.report.references import REFERENCES
from mvmeta.report.structures import STRUCTURES
from mvmeta.structures import structure_codes
from tests.report.fits import FITS, HOSTILE

VOID = {"meta", "link", "br", "hr", "img", "input"}


@pytest.fixture(autouse=True)
def backend():
    pytest.importorskip("matplotlib").use("Agg")
    pytest.importorskip("jinja2")


class Page(HTMLParser):
    """Elements of a page with their attributes, and the text of every one of a few kinds."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.texts.append([tag, ""])
        if tag not in VOID:
            self.open.append((tag, len(self.texts) - 1))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        opened, _ = self.open.pop()
        assert opened == tag

    def handle_data(self, data):
        for _, at in self.open:
            self.texts[at][1] += data

    def text_of(self, tag):
        return [" ".join(text.split()) for name, text in self.texts if name == tag]

    def values(self, attribute):
        return [a[attribute] for _, a in self.elements if attribute in a]


def read(text):
    page = Page(text)
    assert page.open == []
    return page


def repeat(text, folder, monkeypatch):
    """Run the code of a page next to its files; the results it makes."""
    page = read(text)
    for tag, attributes in page.elements:
        if tag == "a" and "download" in attributes:
            kind, content = attributes["href"].split(",")
            assert kind == "data:text/csv;base64"
            (folder / attributes["download"]).write_bytes(base64.b64decode(content))
    monkeypatch.chdir(folder)
    made = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec("".join(t for name, t in page.texts if name == "code" and "import" in t), made)
    assert "Coefficients" in printed.getvalue()
    return made["res"]


@pytest.fixture(scope="module")
def fits():
    """Every fit is made once."""
    made = {}

    def fit(name):
        if name not in made:
            made[name] = FITS[name]()
        return made[name]

    return fit


@pytest.fixture(scope="module")
def words(fits):
    """Every page without plots is written once."""
    made = {}

    def text(name):
        if name not in made:
            made[name] = fits(name).report(plots=[])
        return made[name]

    return text


# -- what holds for every fit ----------------------------------------------------------------


@pytest.mark.parametrize("name", FITS)
@pytest.mark.filterwarnings("ignore::mvmeta.MvmetaWarning")
def test_the_code_repeats_the_fit(fits, words, name, tmp_path, monkeypatch):
    res = fits(name)
    again = repeat(words(name), tmp_path, monkeypatch)
    assert list(again.params.index) == list(res.params.index)
    np.testing.assert_allclose(again.params, res.params, rtol=1e-6)
    np.testing.assert_allclose(again.bse, res.bse, rtol=1e-5)
    np.testing.assert_allclose(again.vcomp["estimate"], res.vcomp["estimate"], atol=1e-6)
    np.testing.assert_allclose(again.df_inference, res.df_inference, rtol=1e-4)
    assert again.llf == pytest.approx(res.llf, abs=1e-8)
    assert (again.cov_type, again.reml) == (res.cov_type, res.reml)


@pytest.mark.parametrize("name", FITS)
def test_the_page_is_whole_and_needs_nothing_else(fits, name):
    text = fits(name).report(plots=["forest", "funnel"])
    page = read(text)
    ids = page.values("id")
    assert len(set(ids)) == len(ids)
    for attribute in ("aria-labelledby", "href"):
        for value in page.values(attribute):
            names = value.split() if attribute != "href" else [value[1:]] * value.startswith("#")
            assert set(names) <= set(ids)
    assert page.text_of("h1") == [f"Meta-analysis of {fits(name).model.endog_names}"]
    assert page.text_of("h2") == [
        "Result",
        "Data",
        "Model",
        "Estimates",
        "Heterogeneity",
        "Plots",
        "Diagnosis",
        "Methods",
        "Code",
        "Software",
    ]
    outside = [a.get("src") or a.get("href") or "" for _, a in page.elements]
    outside += page.values("xlink:href")
    for address in filter(None, outside):
        assert address.startswith(("#", "data:", "https://doi.org/"))
    assert "@import" not in text
    assert "script" not in {tag for tag, _ in page.elements}
    loaded = {tag for tag, _ in page.elements} & {"img", "link", "iframe", "object", "embed"}
    assert not loaded
    svgs = [a for tag, a in page.elements if tag == "svg"]
    assert len(svgs) == 2
    assert all(a["role"] == "img" and "aria-labelledby" in a for a in svgs)
    tables = [a for tag, a in page.elements if tag == "table"]
    assert len(page.text_of("caption")) == len(tables)
    assert all("scope" in a for tag, a in page.elements if tag == "th")


@pytest.mark.parametrize("name", FITS)
def test_the_numbers_are_those_of_the_results(fits, words, name):
    res = fits(name)
    cells = read(words(name)).text_of("td")
    for value in [*res.params, *res.bse, *res.vcomp["estimate"]]:
        fixed = value == 0 or 1e-3 <= abs(value) < 1e6
        assert (f"{value:.4f}" if fixed else f"{value:.4g}").replace("-", "−") in cells


def test_the_same_fit_gives_the_same_page(fits):
    res = fits("three_level")
    assert res.report(plots=["funnel"]) == res.report(plots=["funnel"])


def test_what_the_code_lacks_is_said():
    data = datasets.load("lim2014")
    tree = Random("1 | species", corr=datasets.correlation("lim2014"))
    res = MetaMixedLM(data["yi"], None, data["vi"], random=tree, data=data).fit()
    page = read(res.report(plots=[]))
    assert "The known matrix of the random term 'species (corr)' is not on this page" in " ".join(
        page.text_of("p")
    )


def test_functions_of_the_formula_are_named():
    def doubled(x):
        return 2 * x

    data = datasets.load("bcg")
    res = MetaMixedLM.from_formula("yi ~ doubled(ablat) + np.log(ablat)", data, variance="vi").fit()
    page = read(res.report(plots=[]))
    assert "The formula uses doubled, to be defined beforehand." in page.text_of("p")
    assert any(text.startswith("import numpy as np") for text in page.text_of("code"))
    built_in = MetaMixedLM.from_formula("yi ~ poly(ablat, 2) + abs(year)", data, variance="vi")
    assert "to be defined beforehand" not in built_in.fit().report(plots=[])


def test_the_functions_formulas_have_are_known():
    assert PATSY_NAMES <= OWN


# -- what it says ----------------------------------------------------------------------------


def test_a_p_value_stays_on_its_line(words):
    assert "P\N{NO-BREAK SPACE}&lt;\N{NO-BREAK SPACE}0.0001" in words("three_level")


def test_the_result_in_sentences(words):
    page = " ".join(" ".join(read(words("three_level")).text_of("p")).split())
    # metafor 3.8-1, rma.mv and predict: 0.1847 (0.0190 to 0.3504), prediction interval -0.4502 to
    # 0.8197, QE(55) = 578.8640
    assert "The mean of yi is 0.185 (95% confidence interval 0.019 to 0.35; z = 2.18" in page
    assert "between −0.45 and 0.82 (95% prediction interval)" in page
    assert "QE(55) = 578.86, P < 0.0001" in page
    assert "95% of the variance of a typical estimate is not sampling error" in page


@pytest.mark.parametrize(
    ("name", "sentence", "cited"),
    [
        ("three_level", "a three-level meta-analysis", {"konstantopoulos2011", "patterson1971"}),
        ("robust", "cluster-robust (CR2, 17 clusters)", {"bell2002", "pustejovsky2018"}),
        ("robust", "computed with vcalc(cluster='study', obs='esid', rho=0.6)", set()),
        ("equal_effects", "an equal-effects meta-analysis to 13 estimates", set()),
        ("bivariate", "tested by t with Satterthwaite's degrees of freedom", {"satterthwaite1946"}),
        ("bivariate", "(structure UN)", {"jackson2011"}),
        ("phylogeny", "had known correlations", {"nakagawa2012"}),
        ("phylogeny", "estimated by maximum likelihood.", set()),
        ("crossed_robust", "Standard errors were cluster-robust (CR1", {"cameron2011"}),
        ("scale", "depended on ablat", {"viechtbauer2022"}),
        ("weighted", "with weights that we chose", set()),
        ("knapp_hartung", "scaled as Knapp and Hartung proposed", {"knapp2003"}),
        ("arrays", "with given degrees of freedom", set()),
        ("slopes", "an intercept and slopes with an unstructured covariance", set()),
    ],
)
def test_the_methods_paragraph(words, name, sentence, cited):
    page = read(words(name))
    assert sentence in page.text_of("blockquote")[0]
    listed = set(page.values("id")) & set(REFERENCES)
    assert cited <= listed
    for key in listed:
        assert REFERENCES[key].cited in page.text_of("blockquote")[0].replace("(20", "20")


def test_every_structure_has_words_and_no_other_has():
    assert set(STRUCTURES) == {*structure_codes(), *SLOPES}


def test_the_formulas_follow_the_model(fits):
    row, of_trial, entries, errors = map(str, equations(fits("bivariate")))
    assert "outcome" in row
    assert row.count("<mi>β</mi>") == 2
    assert "<mi>G</mi>" in of_trial
    assert "<mi>ρ</mi>" in entries
    assert "V known" in errors.replace("\N{NO-BREAK SPACE}", " ")
    assert len(equations(fits("equal_effects"))) == 2


def test_markup_in_data_stays_text(fits):
    text = fits("hostile").report()
    page = read(text)
    assert {"script", "img", "b"}.isdisjoint(tag for tag, _ in page.elements)
    assert any(HOSTILE in cell for cell in page.text_of("td"))
    assert any(HOSTILE in label for label in page.text_of("text"))
    assert HOSTILE not in text
    title = "<b>Ours</b> & theirs"
    page = read(fits("hostile").report(title=title, question="<i>?</i>", plots=[]))
    assert page.text_of("h1") == page.text_of("title") == [title]
    assert "<i>?</i>" in page.text_of("p")


def test_title_and_question(fits):
    res = fits("equal_effects")
    assert "How does the mean of yi depend on ablat?" in read(res.report(plots=[])).text_of("p")
    page = read(res.report(title="BCG", question="Does it protect?", plots=[]))
    assert page.text_of("h1") == ["BCG"]
    assert "Does it protect?" in page.text_of("p")


def test_coverage_and_scale(fits):
    res = fits("equal_effects")
    page = read(res.report(alpha=0.1, transform=np.exp, plots=["forest"]))
    assert "90% from" in page.text_of("th")
    assert "Coefficients, transformed by exp" in page.text_of("caption")
    assert f"{np.exp(res.params['ablat']):.4f}" in page.text_of("td")
    assert "exp(yi)" in page.text_of("text")
    assert any("90%" in text for text in page.text_of("text"))


def test_a_scale_by_name_and_one_that_decreases(fits):
    res = fits("equal_effects")
    assert res.report(transform="exp") == res.report(transform=np.exp)
    row = -res.summary_frame().loc["ablat", ["estimate", "ci_upper", "ci_lower"]]
    cells = read(res.report(transform=np.negative, plots=[])).text_of("td")
    at = cells.index(number(row["estimate"]))
    assert cells[at : at + 3] == [number(v) for v in row]
    with pytest.raises(SpecificationError, match="transform='expo' is not known"):
        res.report(transform="expo")


def test_blanks_of_words_in_formulas_stay(fits):
    assert "<mtext>\N{NO-BREAK SPACE}known</mtext>" in fits("three_level").report(plots=[])


def test_a_fit_that_did_not_converge_says_so_first():
    data = datasets.load("lim2014")
    model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="article/effect")
    with pytest.warns(Warning, match="stopped at the iteration limit"):
        res = model.fit(maxiter=1)
    first = read(res.report(plots=[])).text_of("section")[0]
    assert first.startswith("Result The fit did not converge: ")


def test_the_findings_of_the_diagnosis(fits, words):
    res = fits("three_level")
    page = read(words("three_level"))
    for finding in res.diagnose():
        assert f"{finding.severity.capitalize()}: {finding.what}" in page.text_of("h3")
        assert any(finding.advice in text for text in page.text_of("p"))


# -- plots -----------------------------------------------------------------------------------


def drawn(page):
    return [value.removeprefix("figure-") for value in page.values("id") if "figure-" in value[:7]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("equal_effects", ["forest", "bubble", "funnel"]),
        ("hostile", ["forest", "orchard", "evidence", "heterogeneity", "caterpillar"]),
        ("weighted", ["forest", "heterogeneity", "funnel"]),
        ("slopes", ["forest", "bubble", "heterogeneity", "caterpillar", "funnel", "influence"]),
    ],
)
def test_plots_that_suit_the_fit(fits, name, expected):
    found = drawn(read(fits(name).report()))
    assert found[: len(expected)] == expected


def test_plots_that_cannot_be_drawn_are_said(fits):
    page = read(fits("weighted").report())
    assert "Plots that were left out" in page.text_of("summary")
    assert any(
        "random effects cannot be predicted under user weights" in d for d in page.text_of("dd")
    )


def test_plots_are_chosen(fits):
    res = fits("three_level")
    twice = res.report(plots=["profile", "history", "profile"])
    assert drawn(read(twice)) == ["profile-0", "profile-1", "history"]
    assert drawn(read(res.report(plots="history"))) == ["history"]
    assert "Plots" not in read(res.report(plots=[])).text_of("h2")
    with pytest.raises(SpecificationError, match=r"plots= takes forest, .*; got 'pie'"):
        res.report(plots=["pie"])
    with pytest.raises(SpecificationError, match="no moderators"):
        res.report(plots=["bubble"])


def test_letters_of_every_script(recwarn):
    data = datasets.load("bcg").replace({"alloc": {"random": "無作為"}})
    res = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial").fit()
    assert "無作為" in read(res.report(plots=["orchard"])).text_of("text")
    assert not [w for w in recwarn if "Glyph" in str(w.message)]


def test_every_plot_of_the_package_is_on_offer():
    assert set(KINDS) == set(plots.__all__)
    for name in KINDS:
        taken = signature(getattr(plots, name)).parameters
        assert (name in TRANSFORMED) == ("transform" in taken)
        assert name not in DRAWN_WITH_LIMITS or "alpha" in taken


def test_thousands_of_rows_become_images_within_the_plots(fits):
    text = fits("thousands").report(plots=["forest", "orchard", "funnel", "caterpillar"])
    page = read(text)
    assert len([1 for tag, _ in page.elements if tag == "image"]) >= 4
    assert len(text) < 2_500_000
    assert "3800 more rows" in " ".join(page.text_of("p"))


def test_colours_follow_the_page(fits):
    text = fits("three_level").report(plots=["caterpillar"])
    svg = text[text.index("<svg") : text.index("</svg>")]
    assert "currentColor" in svg
    assert "var(--paper)" in svg
    assert "#010203" not in svg


# -- files and what goes wrong ---------------------------------------------------------------


def test_the_file_is_written_and_replaced(fits, tmp_path):
    res, path = fits("equal_effects"), tmp_path / "report.html"
    path.write_text("old", encoding="utf-8")
    assert res.report(path, plots=[]) == path
    assert path.read_text(encoding="utf-8") == res.report(plots=[])
    with pytest.raises(OSError, match="its folder does not exist"):
        res.report(tmp_path / "none" / "report.html", plots=[])


def test_without_matplotlib_there_are_words_but_no_plots(fits, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    res = fits("equal_effects")
    page = read(res.report())
    assert any("plots need matplotlib" in text for text in page.text_of("dd"))
    with pytest.raises(MvmetaError, match=re.escape('pip install "mvmeta[plot]"')):
        res.report(plots=["forest"])


def test_without_jinja2(fits, monkeypatch):
    for name in [n for n in sys.modules if n.startswith("mvmeta.report")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MvmetaError, match=re.escape('pip install "mvmeta[report]"')):
        fits("equal_effects").report()


def test_results_without_rows():
    data = datasets.load("toy")
    res = MetaMixedLM.from_formula("d ~ 1", data, variance="Variance", groups="Study").fit()
    res.remove_data()
    with pytest.raises(DataError, match="the data were removed"):
        res.report()


def test_a_file_that_cannot_be_written_is_said_before_the_page_is_made(fits, tmp_path):
    res = fits("three_level")
    with pytest.raises(IsADirectoryError, match="add the name of a file"):
        res.report(tmp_path, plots="no such plot")
    with pytest.raises(FileNotFoundError, match="its folder does not exist; make it first"):
        res.report(tmp_path / "none" / "page.html", plots="no such plot")


# -- rows that came in batches -----------------------------------------------------------------


def schools():
    data = datasets.load("konstantopoulos2011")
    yield data[data["district"] <= 70]
    yield data[data["district"] > 70]


def v_of(batch):
    return vcalc("vi", "district", obs="school", rho=0.4, data=batch)


@pytest.fixture(scope="module")
def batched():
    def fit(formula="yi ~ 1", variance="vi", groups="district/school", fit=None, **options):
        model = MetaMixedLM.from_batches(
            formula, schools, variance=variance, groups=groups, **options
        )
        return model.fit(**(fit or {}))

    return fit


def section(page, name):
    """What stands under a heading, as text without drawings."""
    found = re.search(rf'<section aria-labelledby="{name}">.*?</section>', page, re.S)
    return " ".join(
        re.sub(r"<[^>]+>", " ", re.sub(r"<svg.*?</svg>", "", found[0], flags=re.S)).split()
    )


def test_a_fit_in_batches_has_the_numbers_of_one_in_memory(fits, batched):
    page, whole = batched().report(), fits("three_level").report(plots=["heterogeneity"])
    for name in ("result", "estimates", "methods"):
        assert section(page, name) == section(whole, name)
    assert section(page, "model") == section(whole, "model")
    tables = [read(p).text_of("td") for p in (page, whole)]
    assert "0.0651" in tables[0]  # sigma2 of districts


def test_a_fit_in_batches_says_that_it_has_no_rows(batched):
    page = batched().report()
    told = "The rows were read batch by batch, and none of them was kept"
    assert told in section(page, "data")
    assert "56 rows of yi" in section(page, "data")
    assert told in section(page, "plots")
    assert re.findall(r'<figure aria-labelledby="figure-(\w+)"', page) == ["heterogeneity"]
    assert "Nothing was looked at." in section(page, "diagnosis")
    assert "<svg" in page
    assert "lower quartile" not in page
    asked = batched().report(plots=["history", "profile"])
    assert asked.count("<svg") == 3
    with pytest.raises(DataError, match="holds none of them"):
        batched().report(plots="forest")


@pytest.mark.parametrize(
    "options",
    [
        {"fit": {"df": "satterthwaite", "reml": False}},
        {"formula": "yi ~ year", "variance": v_of, "fit": {"cov_type": "CR2"}},
        {"groups": None, "random": [Random("1 | district"), "1 | district:school"]},
        {"groups": None, "random": Random("1 + year | district", struct="GDIAG")},
    ],
    ids=["nested", "robust", "terms", "slopes"],
)
def test_the_code_repeats_a_fit_in_batches_next_to_its_rows(options, batched):
    res = batched(**options)
    page = read(res.report(plots=[]))
    (code,) = [text for name, text in page.texts if name == "code" and "import" in text]
    made = {"batches": schools, "v_of": v_of}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code, made)
    again = made["res"]
    np.testing.assert_allclose(again.params, res.params)
    np.testing.assert_allclose(again.bse, res.bse)
    np.testing.assert_allclose(again.df_inference, res.df_inference)
    assert (again.cov_type, again.reml, again.llf) == (res.cov_type, res.reml, res.llf)
    notes = " ".join(text for _, text in page.texts)
    assert "`batches` stands for where the rows come from" in notes
    assert ("`v_of` is the function that computes V" in notes) == ("variance" in options)
