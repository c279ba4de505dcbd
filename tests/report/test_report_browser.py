"""The report in a real browser: nothing loaded, nothing on the console, and usable by everyone."""

import base64
import os
import shutil

import pytest

from tests.report.fits import FITS, HOSTILE

playwright = pytest.importorskip("playwright.sync_api", reason="needs mvmeta[browser]")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs mvmeta[browser]")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium on the PATH")

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("matplotlib").use("Agg")
    pytest.importorskip("jinja2")
    # a browser that runs as root, as in containers, has no sandbox
    arguments = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    with playwright.sync_playwright() as session:
        started = session.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    made = {}

    def path(name):
        if name not in made:
            made[name] = FITS[name]().report(tmp_path_factory.mktemp(name) / "report.html")
        return made[name]

    return path


@pytest.fixture
def opened(browser, reports):
    """Open a report; what it asked for and said is looked at when the test is over."""
    asked, said, contexts = [], [], []

    def open_report(name, viewport=WIDE, **options):
        # the page forbids scripts; the checker is one
        context = browser.new_context(viewport=viewport, bypass_csp=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.goto(reports(name).as_uri())
        return page

    yield open_report
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


ALL = ["three_level", "hostile", "robust", "equal_effects", "arrays", "slopes", "thousands"]


@pytest.mark.parametrize("name", ["three_level", "hostile", "robust", "thousands"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_accessibility_checker_finds_nothing(opened, name, scheme):
    page = opened(name, WIDE if scheme == "light" else NARROW, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert len(found.response["passes"]) > 20


def test_the_checker_would_find_something(opened):
    page = opened("equal_effects")
    page.evaluate("document.querySelector('svg').removeAttribute('aria-labelledby')")
    page.evaluate("document.querySelectorAll('svg title').forEach(t => t.remove())")
    page.evaluate("document.documentElement.removeAttribute('lang')")
    assert {v["id"] for v in axe.Axe().run(page).response["violations"]} >= {"html-has-lang"}


@pytest.mark.parametrize("name", ALL)
def test_nothing_sticks_out_of_a_narrow_window(opened, name):
    page = opened(name, NARROW)
    assert page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]


def test_the_plots_are_drawn_and_named(opened):
    page = opened("three_level")
    plots = page.get_by_role("img")
    assert plots.count() == 5
    for i in range(plots.count()):
        box = plots.nth(i).bounding_box()
        assert box["width"] > 300
        assert box["height"] > 100
    forest = page.get_by_role("img", name="Forest plot")
    assert "56 estimates; Intercept 0.185" in forest.locator("desc").text_content()
    assert page.locator("svg text", has_text="Overall").is_visible()


def test_formulas_are_set_by_the_browser(opened):
    page = opened("three_level")
    sub = page.locator("math msubsup").first
    base, index, _ = (sub.locator("> *").nth(i).bounding_box() for i in range(3))
    assert index["y"] > base["y"]  # an index that is set lies below its base


def test_markup_in_data_is_shown_not_run(opened):
    page = opened("hostile")
    assert page.locator("script, img[onerror], .page b").count() == 0
    assert page.locator("svg text", has_text=HOSTILE).first.is_visible()


def test_the_keyboard_reaches_everything(opened):
    page = opened("three_level")
    page.keyboard.press("Tab")
    skip = page.get_by_text("Skip to the report")
    assert skip.evaluate("e => e === document.activeElement")
    assert skip.bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    rows = page.locator("details", has_text="The rows that were analysed").first
    rows.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert rows.evaluate("d => d.open")
    page.keyboard.press("Tab")  # on to the table, which scrolls where it is wide
    assert page.evaluate("document.activeElement.getAttribute('role')") == "region"


def test_every_entry_of_the_contents_leads_somewhere(opened):
    page = opened("three_level")
    links = page.get_by_role("navigation").get_by_role("link")
    for i in range(links.count()):
        links.nth(i).click()
        target = page.evaluate("location.hash")
        assert page.locator(f"h2{target}").bounding_box()["y"] < WIDE["height"]


def test_dark_mode_turns_paper_and_ink(opened):
    def colours(scheme):
        page = opened("three_level", color_scheme=scheme)
        body = "getComputedStyle(document.body)"
        text = "getComputedStyle(document.querySelector('svg text'))"
        return page.evaluate(f"[{body}.backgroundColor, {body}.color, {text}.fill]")

    light, dark = colours("light"), colours("dark")
    assert light[0] == "rgb(255, 255, 255)"
    assert sum(map(int, dark[0][4:-1].split(","))) < 100
    assert light[1] == light[2]
    assert dark[1] == dark[2] != light[1]


def test_it_prints(opened):
    page = opened("three_level", color_scheme="dark")
    page.emulate_media(media="print")
    assert page.get_by_role("navigation").count() == 0
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_the_data_can_be_saved(opened):
    page = opened("three_level")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="data.csv").click()
    assert waiting.value.suggested_filename == "data.csv"
    link = page.get_by_role("link", name="data.csv").get_attribute("href")
    content = base64.b64decode(link.split(",")[1]).decode()
    assert waiting.value.path().read_text(encoding="utf-8") == content
    assert content.startswith("yi,vi,district,school\n-0.18,0.118,11,1\n")
