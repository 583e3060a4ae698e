"""The report in a real browser: Debian's chromium, headless, driven by playwright."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import run_script
from playwright.sync_api import Browser, Locator, Page, sync_playwright
from test_report import EVIL, STEPS, study, write

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    result = run_script("scripts/report.py", write(folder / "runs", study()), "--out", folder / "report.html")
    assert result.returncode == 0, result.stderr
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[1280, 390])
def page(request, report, browser) -> Iterator[Page]:
    """The report in a window this wide; what it complains of or asks for ends the test."""
    context = browser.new_context(viewport={"width": request.param, "height": 844})
    page = context.new_page()
    heard: list[str] = []
    page.on("console", lambda message: heard.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: heard.append(f"error: {error}"))
    page.on("dialog", lambda dialog: heard.append(f"dialog: {dialog.message}"))
    page.on("request", lambda asked: heard.append(asked.url))
    page.goto(report.as_uri())
    yield page
    assert heard == [report.as_uri()]
    context.close()


def column(table: Locator, head: str) -> list[str]:
    """What stands in a column, without the small print."""
    place = [text.split("\u00a0")[0].strip() for text in table.locator("thead th").all_inner_texts()].index(head)
    return [
        text.split("\n")[0].strip() for text in table.locator(f"tbody tr > :nth-child({place + 1})").all_inner_texts()
    ]


def test_the_page_never_scrolls_sideways_and_every_table_and_figure_can_be_seen(page):
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("figure svg").count() == 5
    for box in [one.bounding_box() for one in page.locator(".scroll").all()]:
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= page.viewport_size["width"]
    assert page.locator("h1").bounding_box()["y"] < 100


@pytest.mark.parametrize("how", ["mouse", "keyboard"])
def test_a_column_is_sorted_by_number_up_and_down(page, how):
    table = page.locator("table.sortable").first
    in_order = column(table, "variant")
    assert [name for name in in_order if "+" not in name] == STEPS
    for head, number in (
        ("to the start", lambda text: float(text)),
        ("parameters", lambda text: float(text.replace(",", ""))),
        ("p", lambda text: float(text.replace("< 0.001", "0.0005"))),
    ):
        button = table.locator("thead button", has_text=head).first if head != "p" else table.locator("button").nth(4)
        for direction in ("ascending", "descending"):
            button.click() if how == "mouse" else button.press("Enter")
            assert table.locator("[aria-sort]").count() == 1
            assert table.locator(f"[aria-sort={direction}] button").inner_text().startswith(head)
            values = column(table, head)
            numbers = [number(text) for text in values if text]
            assert numbers == sorted(numbers, reverse=direction == "descending")
            assert len(numbers) > 10
            assert not any(values[len(numbers) :])  # what is empty comes last
    table.locator("thead button").first.press("Space")
    assert column(table, "variant") == in_order


def test_tooltips_say_what_a_mark_is_and_arrows_go_on(page):
    tip, marks = page.locator("#tip"), page.locator("figure").first.locator(".mark")
    assert tip.is_hidden()
    dot = page.locator(f"figure .mark[aria-label^={STEPS[5]}]:not([aria-label*=paper]):has(circle)").first
    dot.hover()
    assert tip.is_visible()
    for part in (STEPS[5], "top-1 ", "95 % interval [", "3 seeds", "GMACs"):
        assert part in tip.inner_text()
    page.mouse.move(0, 0)
    assert tip.is_hidden()
    assert page.locator("figure").first.locator(".mark[tabindex='0']").count() == 1
    marks.first.focus()
    assert tip.inner_text().startswith("resnet50\n")
    page.keyboard.press("ArrowDown")
    assert tip.inner_text().startswith("modern_recipe\n")
    box = tip.bounding_box()
    assert 0 <= box["x"] <= page.viewport_size["width"] - box["width"]
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    assert page.locator("svg title").count() == 0  # the browser's own tooltips would come on top


def test_a_run_opens_with_its_settings_curves_and_environment(page):
    panel = page.locator("dialog#run")
    page.locator("summary", has_text="Every run").click()
    page.locator("button.run", has_text="convnext").nth(2).click()
    assert panel.is_visible()
    assert panel.locator("h2").inner_text() == "convnext, seed 2"
    text = panel.inner_text()
    for part in ("Config: recipe", "lr\n0.01", "Environment", "abc123def456", "amp\noff", "500,000"):
        assert part in text
    assert panel.locator("polyline").count() == 2  # top-1, and the loss of the evaluated images; none was trained on
    panel.locator(".mark").first.focus()
    tip = page.locator("#tip")
    assert tip.inner_text().startswith("epoch 1\n")
    shown = "(one) => one.closest('dialog') === document.getElementById('run')"  # which covers everything else
    assert tip.evaluate(shown)
    page.keyboard.press("Escape")
    assert panel.is_hidden()
    page.locator("button.run", has_text="alert").first.click()
    assert panel.locator("h2").inner_text() == f"{EVIL}, seed 0"
    panel.get_by_label("Close").click()
    assert panel.is_hidden()


def test_without_scripts_tables_figures_and_tooltips_are_there(report, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("table").first.is_visible()
    assert page.locator("table").first.locator("tbody tr").count() == len(STEPS) + 3
    assert page.locator("figure svg").count() == 5
    assert page.locator("figure title").count() > 100
    assert page.get_by_text("A variant's name opens").is_hidden()
    context.close()


def test_figures_are_on_white_in_the_dark(report, browser):
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(report.as_uri())
    color = "(one) => getComputedStyle(one).backgroundColor"
    assert page.locator("figure").first.evaluate(color) == "rgb(255, 255, 255)"
    assert page.locator("body").evaluate(color) == "rgb(21, 24, 28)"
    context.close()
