"""The site of the documentation: every page can be reached, from one table of contents."""

import os
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
SECTIONS = ("tutorials", "how-to", "explanation", "reference", "coming-from", "validation", "about")


def entries(page):
    """Pages that the tables of contents of a page list, as paths below docs/."""
    text = (DOCS / page).read_text(encoding="utf-8")
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for tree in trees for line in tree.splitlines() if line and line[0] != ":"]
    return [os.path.normpath(Path(page).parent / line) for line in lines]


def test_the_start_page_lists_the_sections():
    assert entries("index.md") == [os.path.join(name, "index") for name in SECTIONS]


@pytest.mark.parametrize("section", SECTIONS)
def test_a_page_is_listed_in_the_index_of_its_section(section):
    listed = [entry for name in SECTIONS for entry in entries(f"{name}/index.md")]
    assert len(listed) == len(set(listed))
    pages = {str(p.relative_to(DOCS).with_suffix("")) for p in DOCS.glob(f"{section}/*.md")}
    included = {os.path.join("reference", "agreement"), os.path.join(section, "index")}
    assert pages - included <= set(listed)


def named_files(page):
    """Source files a page names; a bare name continues the path before it."""
    folder, found = "", []
    for name in re.findall(r"`((?:[a-z_0-9]+/)*[a-z_0-9]+\.py)`", page.read_text(encoding="utf-8")):
        folder = os.path.dirname(name) or folder
        found.append(os.path.join(folder, os.path.basename(name)))
    return found


@pytest.mark.parametrize("page", ["notation.md", "explanation/model.md", "explanation/backends.md"])
def test_source_files_a_page_names_exist(page):
    named = named_files(DOCS / page)
    roots = (DOCS.parent / "mvmeta", DOCS.parent)
    assert named
    assert [name for name in named if not any((root / name).is_file() for root in roots)] == []
