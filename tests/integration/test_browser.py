"""The report in a real browser: Debian's chromium, headless, driven by playwright."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import MAIN_PATH, run_command
from playwright.sync_api import Browser, Locator, Page, sync_playwright
from records import MARKUP, large_study, write_study

from modernet.record import METRICS

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
    result = run_command("report", write_study(folder / "runs", large_study()), "--out", folder / "report.html")
    assert result.returncode == 0, result.stderr
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=[1280, 390], ids=["desktop", "phone"])
def window(request, browser) -> Iterator[tuple[Page, list[str]]]:
    """A window of this width, and everything that its page prints, raises or requests."""
    with browser.new_context(viewport={"width": request.param, "height": 844}) as context:
        page = context.new_page()
        events: list[str] = []
        page.on("console", lambda message: events.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: events.append(f"error: {error}"))
        page.on("dialog", lambda dialog: events.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: events.append(request.url))
        yield page, events


@pytest.fixture
def page(window, report) -> Iterator[Page]:
    """The report, newly loaded; it may request nothing and raise nothing."""
    page, events = window
    events.clear()
    page.goto(report.as_uri())
    yield page
    assert events == [report.as_uri()]


def column_texts(table: Locator, header: str) -> list[str]:
    """The cells below a header, without their small print."""
    headers = [text.split("\u00a0")[0].strip() for text in table.locator("thead th").all_inner_texts()]
    cells = table.locator(f"tbody tr > :nth-child({headers.index(header) + 1})")
    return [text.split("\n")[0].strip() for text in cells.all_inner_texts()]


def test_page_fits_the_window_and_wide_tables_scroll_inside_it(page):
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("figure svg").count() == 5
    for box in [element.bounding_box() for element in page.locator(".scroll").all()]:
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= page.viewport_size["width"]
    assert page.locator("h1").bounding_box()["y"] < 100


def test_headers_sort_by_number_with_mouse_and_keyboard_and_empty_cells_last(page):
    table = page.locator("table.sortable").first
    roadmap_order = column_texts(table, "variant")
    assert [name for name in roadmap_order if "+" not in name] == MAIN_PATH
    to_number: dict[str, Callable[[str], float]] = {
        "vs start": float,
        "parameters": lambda text: float(text.replace(",", "")),
        "p (Holm)": lambda text: float(text.replace("< 0.001", "0.0005")),
    }
    for header, number in to_number.items():
        button = table.locator("thead button", has_text=header).first
        actions = {"ascending": button.click, "descending": lambda button=button: button.press("Enter")}
        for direction, act in actions.items():
            act()
            assert table.locator("[aria-sort]").count() == 1
            assert table.locator(f"[aria-sort={direction}] button").inner_text().startswith(header)
            texts = column_texts(table, header)
            numbers = [number(text) for text in texts if text]
            assert numbers == sorted(numbers, reverse=direction == "descending")
            assert len(numbers) > 10
            assert not any(texts[len(numbers) :])
    table.locator("thead button").first.press("Space")
    assert column_texts(table, "variant") == roadmap_order


def test_tooltips_open_by_mouse_and_by_arrow_keys(page):
    tooltip, marks = page.locator("#tooltip"), page.locator("figure").first.locator(".mark")
    assert tooltip.is_hidden()
    page.locator(f"figure .mark[aria-label^={MAIN_PATH[5]}]:not([aria-label*=paper]):has(circle)").first.hover()
    assert tooltip.is_visible()
    for part in (MAIN_PATH[5], "top-1 ", "95 % confidence interval [", "3 seeds", "GMACs"):
        assert part in tooltip.inner_text()
    page.mouse.move(0, 0)
    assert tooltip.is_hidden()
    assert page.locator("figure").first.locator(".mark[tabindex='0']").count() == 1  # one tab stop per figure
    marks.first.focus()
    assert tooltip.inner_text().startswith("resnet50\n")
    page.keyboard.press("ArrowDown")
    assert tooltip.inner_text().startswith("modern_recipe\n")
    box = tooltip.bounding_box()
    assert 0 <= box["x"] <= page.viewport_size["width"] - box["width"]
    page.keyboard.press("Escape")
    assert tooltip.is_hidden()
    assert page.locator("svg title").count() == 0  # the browser would show a second tooltip


def test_panel_of_a_run_shows_settings_curves_and_environment(page):
    panel = page.locator("dialog#run")
    page.locator("summary", has_text="All runs").click()
    page.locator("button.run", has_text="convnext").nth(2).click()
    assert panel.is_visible()
    assert panel.locator("h2").inner_text() == "convnext, seed 2"
    text = panel.inner_text()
    metric = f"{METRICS[0].heading}\n123.5"
    for part in ("Config: recipe", "lr\n0.01", "Environment", "abc123def456", "amp\noff", "500,000", metric):
        assert part in text
    assert panel.locator("polyline").count() == 2  # top-1 and evaluation loss; the metrics have no training loss
    panel.locator(".mark").first.focus()
    tooltip = page.locator("#tooltip")
    assert tooltip.inner_text().startswith("epoch 1\n")
    assert tooltip.evaluate("(element) => element.closest('dialog') === document.getElementById('run')")
    page.keyboard.press("Escape")
    assert panel.is_hidden()
    page.locator("button.run", has_text="alert").first.click()
    assert panel.locator("h2").inner_text() == f"{MARKUP}, seed 0"
    panel.get_by_label("Close").click()
    assert panel.is_hidden()


def test_page_without_scripts_has_tables_figures_and_tooltips(report, browser):
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(report.as_uri())
        table = page.locator("table").first
        assert table.is_visible()
        assert table.locator("tbody tr").count() == len(MAIN_PATH) + 3
        assert page.locator("figure svg").count() == 5
        assert page.locator("figure title").count() > 100
        assert page.get_by_text("Click a variant").is_hidden()


def test_figures_have_a_white_background_in_dark_mode(report, browser):
    with browser.new_context(color_scheme="dark") as context:
        page = context.new_page()
        page.goto(report.as_uri())
        background = "(element) => getComputedStyle(element).backgroundColor"
        assert page.locator("figure").first.evaluate(background) == "rgb(255, 255, 255)"
        assert page.locator("body").evaluate(background) == "rgb(21, 24, 28)"
