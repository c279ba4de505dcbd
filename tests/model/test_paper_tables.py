"""Tables for papers: Markdown and LaTeX of the numbers that the summary shows."""

import shutil
import subprocess

import pandas as pd
import pytest

from mvmeta import MetaMixedLM, SpecificationError, datasets


@pytest.fixture
def schools():
    return MetaMixedLM.from_formula(
        "yi ~ 1", datasets.load("konstantopoulos2011"), variance="vi", groups="district/school"
    ).fit()


def markdown_rows(text):
    """Cells of the pipe tables in a text, by row."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in line.replace(r"\|", "\0").strip("|").split("|")]
        for line in lines
        if set(line) - set("|-: ")
    ]


def test_markdown_has_the_numbers_of_the_summary(schools):
    rows = {row[0]: row[1:] for row in markdown_rows(schools.to_markdown())}
    # metafor's documentation of dat.konstantopoulos2011: 0.1847 (se 0.0846), 0.0651 and 0.0327
    assert rows["Intercept"][:2] == ["0.1847", "0.0846"]
    assert rows["district: sigma2"][:3] == ["0.0651", "0.2551", "11"]
    assert rows["district/school: sigma2"][:3] == ["0.0327", "0.1809", "56"]
    every = markdown_rows(schools.summary().as_markdown())
    assert all(row in every for row in markdown_rows(schools.to_markdown()))
    assert ["Dep. Variable:", "yi", "Log-Likelihood:", "-7.9587"] in every


def test_a_name_of_two_lines_stays_in_its_row():
    data = datasets.load("bcg").replace({"alloc": {"random": "at\nrandom"}})
    res = MetaMixedLM.from_formula("yi ~ alloc - 1", data, variance="vi", groups="trial").fit()
    rows = markdown_rows(res.to_markdown("coefficients"))
    assert {len(row) for row in rows} == {len(rows[0])}
    assert rows[2][0] == r"alloc\[at random\]"
    assert any(line.startswith("alloc[at random]") for line in str(res.summary()).splitlines())


def test_one_table_at_a_time(schools):
    assert markdown_rows(schools.to_markdown("components"))[0][1] == "estimate"
    both = schools.to_markdown(["components", "coefficients"])
    assert both == "\n\n".join(map(schools.to_markdown, ["components", "coefficients"]))
    assert "0.9" in schools.to_markdown("coefficients", alpha=0.2)


def test_names_cannot_break_the_table():
    toy = datasets.load("toy").replace({"Category": {"A": "a|b", "B": "*b*", "C": "<i>&_$"}})
    res = MetaMixedLM.from_formula(
        "d ~ C(Category) - 1", toy, variance="Variance", groups="Study"
    ).fit()
    widths = {len(row) for row in markdown_rows(res.to_markdown("coefficients"))}
    assert widths == {7}
    assert r"a\|b" in res.to_markdown()
    assert r"\*b\*" in res.to_markdown()
    latex = res.to_latex("coefficients")
    assert r"$<$i$>$\&\_\$" in latex
    assert r"a$|$b" in latex


def test_latex(schools):
    text = schools.to_latex(caption="Schools", label="tab:schools")
    assert text.startswith("\\begin{table}\n\\centering\n\\caption{Schools}\\label{tab:schools}\n")
    assert text.endswith("\\end{table}")
    assert text.count("\\begin{tabular}") == text.count("\\bottomrule") == 2
    bare = schools.to_latex("coefficients")
    assert bare in schools.summary().as_latex()
    assert "table}" not in bare
    assert "center" not in text.replace("\\centering", "")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(schools, tmp_path):
    body = schools.to_latex(caption="Schools")
    page = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n%s\n\\end{document}"
    (tmp_path / "page.tex").write_text(page % body, encoding="utf-8")
    run = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_tables_that_are_not_there(schools):
    with pytest.raises(SpecificationError, match="takes coefficients, components; got nonsense"):
        schools.to_markdown("nonsense")
    with pytest.raises(SpecificationError, match="label= needs a caption="):
        schools.to_latex(label="tab")
    frame = pd.DataFrame({"yi": [1.0, 2.0], "vi": [0.1, 0.2]})
    plain = MetaMixedLM.from_formula("yi ~ 1", frame, variance="vi").fit()
    assert "components" not in plain.to_markdown().lower()
    with pytest.raises(SpecificationError, match="no random effects; got components"):
        plain.to_latex("components")
