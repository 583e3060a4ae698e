"""The report in a real browser: Debian's chromium, headless, driven by playwright."""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import MAIN_PATH, run_command
from playwright.sync_api import Browser, Locator, Page, sync_playwright
from records import MARKUP, large_study, write_study

from modernet.metrics import METRICS

CHROMIUM = shutil.which("chromium")
FIGURES = 3  # roadmap, pareto and differences; the noise of the kernel sizes is larger than their differences
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    runs = write_study(folder / "runs", large_study())
    for run in runs.glob("gelu-*"):
        steps = [{"step": step, "train_loss": 3 - step / 100, "lr": 0.1, "grad_norm": 1.0} for step in range(1, 200)]
        (run / "steps.jsonl").write_text("".join(f"{json.dumps(step)}\n" for step in steps))
    result = run_command("report", runs, "--out", folder / "report.html")
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
    assert page.locator("h1").bounding_box()["y"] < 100
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("figure svg").count() == FIGURES
    for box in [element.bounding_box() for element in page.locator(".scroll, figure svg, .curves svg").all()]:
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= page.viewport_size["width"]


def test_figures_are_two_abreast_beside_the_contents_on_a_wide_screen(page):
    boxes = [figure.bounding_box() for figure in page.locator(".figures figure").all()]
    contents, links = page.locator("nav").bounding_box(), page.locator("nav li a")
    if page.viewport_size["width"] > 1000:
        assert boxes[0]["y"] == boxes[1]["y"]
        assert contents["x"] + contents["width"] <= boxes[0]["x"]
        links.get_by_text("Methods").click()
        assert page.locator("nav").bounding_box()["y"] == 0  # it stays in view
    else:
        assert boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"]
        assert links.first.is_hidden()
        page.locator("nav summary").click()
        assert links.first.is_visible()


def test_headers_sort_by_number_with_mouse_and_keyboard_and_empty_cells_last(page):
    table = page.locator("table.sortable").first
    page.locator(".tools summary").first.click()
    for header in ("vs start", "parameters"):
        page.get_by_label(header, exact=True).first.check()
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
    for part in (MAIN_PATH[5], "top-1 ", "95 % confidence interval [", "3 seeds", "MMACs"):
        assert part in tooltip.inner_text()
    page.mouse.move(0, 0)
    assert tooltip.is_hidden()
    assert page.locator("figure").first.locator(".mark[tabindex='0']").count() == 1  # one tab stop per figure
    marks.first.focus()
    assert tooltip.inner_text().startswith("modern_recipe\n")
    page.keyboard.press("ArrowDown")
    assert tooltip.inner_text().startswith("stage_ratio\n")
    box = tooltip.bounding_box()
    assert 0 <= box["x"] <= page.viewport_size["width"] - box["width"]
    page.keyboard.press("Escape")
    assert tooltip.is_hidden()
    assert page.locator("svg title").count() == 0  # the browser would show a second tooltip


def visible_rows(table: Locator) -> list[str]:
    return [text.strip() for text in table.locator("tbody tr:visible > :first-child").all_inner_texts()]


def test_rows_are_filtered_by_keyboard_and_mouse(page):
    table, tools = page.locator("table.sortable").first, page.locator(".tools").first
    everything = visible_rows(table)
    tools.get_by_role("searchbox").focus()
    page.keyboard.type("KERNEL lowered")
    assert visible_rows(table) == []
    assert tools.locator("output").inner_text() == "0 of 18 rows"
    page.keyboard.press("Control+A")
    page.keyboard.type("kernel_size")
    assert visible_rows(table) == [name for name in everything if "kernel_size" in name]
    table.locator("thead button").first.click()  # a sorted table stays filtered
    assert len(visible_rows(table)) == 3
    page.keyboard.press("Control+A")
    tools.get_by_role("searchbox").fill("")
    assert sorted(visible_rows(table)) == sorted(everything)
    tools.get_by_role("combobox").select_option("lowered")
    assert visible_rows(table) == ["convnext"]
    assert tools.locator("output").inner_text() == "1 of 18 rows"


def test_columns_are_shown_and_hidden_by_keyboard_and_mouse(page):
    table = page.locator("table.sortable").first
    headers = table.locator("thead th:visible")
    assert "seeds needed" in " ".join(headers.all_inner_texts())
    shown = headers.count()
    summary = page.locator(".tools summary").first
    summary.focus()
    page.keyboard.press("Enter")
    page.get_by_label("images/s", exact=True).first.click()
    assert headers.count() == shown + 1
    assert table.locator("tbody tr").first.locator(":scope > :visible").count() == shown + 1
    page.get_by_label("seeds needed", exact=True).first.focus()
    page.keyboard.press("Space")
    assert headers.count() == shown
    assert "seeds needed" not in " ".join(headers.all_inner_texts())


def test_a_variant_of_the_table_leads_to_its_page_and_to_its_runs_by_step(page):
    step = page.locator("details.step").nth(MAIN_PATH.index("gelu") + 2)  # two kernel sizes stand before it
    assert step.locator("dl").is_hidden()
    page.locator("table.sortable").first.get_by_role("link", name="gelu", exact=True).click()
    step.locator("dl").wait_for(state="visible")
    step.locator("polyline").nth(5).wait_for(state="attached")  # three seeds in two charts
    assert "training loss of each seed" in step.locator(".curves").inner_text()
    assert "step" in step.locator(".curves").inner_text()
    step.get_by_role("button", name="seed 1").press("Enter")
    panel = page.locator("dialog#run")
    assert panel.locator("h2").inner_text() == "gelu, seed 1"
    for title in ("training loss", "learning rate", "norm of the gradient"):
        assert panel.locator(f"svg[aria-label='{title}'] polyline").count() == 1
    assert panel.locator("svg[aria-label='images per second']").count() == 0
    horizontal = panel.locator("svg[aria-label='training loss'] text[text-anchor=middle]").all_text_contents()
    assert horizontal == ["step", "1", "50", "100", "150", "199"]


def test_charts_have_round_ticks_of_equal_decimals_and_a_legend_of_their_lines(page):
    page.locator("table.sortable").first.get_by_role("link", name="gelu", exact=True).click()
    charts = page.locator("details.step[open] .curves svg")
    charts.nth(1).wait_for(state="attached")
    for chart in charts.all():
        texts = [label.text_content() for label in chart.locator("text[text-anchor=end]").all()]
        values, decimals = [float(text) for text in texts], {len(text.partition(".")[2]) for text in texts}
        assert len(decimals) == 1
        steps = {round(after - before, 9) for before, after in itertools.pairwise(values)}
        assert len(steps) == 1
        assert f"{steps.pop():e}"[0] in "125"
        assert [label.text_content() for label in chart.locator("text:not([text-anchor])").all()] == [
            "seed 0", "seed 1", "seed 2",
        ]  # fmt: skip
        looks = [line.get_attribute("class") for line in chart.locator("line.line").all()]
        assert looks == [line.get_attribute("class") for line in chart.locator("polyline").all()]
    for low, high, expected in (
        (47.3, 66.55, ["45", "50", "55", "60", "65", "70"]),
        (1.391, 1.789, ["1.3", "1.4", "1.5", "1.6", "1.7", "1.8"]),
        (5, 5, ["4", "6"]),
        (0, 0, ["0.0", "0.5"]),
        (2e-6, 1.2e-5, ["0.0e+0", "5.0e-6", "1.0e-5", "1.5e-5"]),
    ):
        texts = page.evaluate(f"roundTicks({low}, {high}).map(({{ text }}) => text)")
        assert texts == expected


def test_text_of_figures_is_readable_on_screen_and_on_paper(page, report, browser):
    smallest = """() => Math.min(...[...document.querySelectorAll("figure svg text")].map((text) =>
        parseFloat(getComputedStyle(text).fontSize)
        * text.ownerSVGElement.getBoundingClientRect().width / text.ownerSVGElement.viewBox.baseVal.width))"""
    assert page.evaluate(smallest) > (11 if page.viewport_size["width"] > 1000 else 8.5)
    with browser.new_context(viewport={"width": 695, "height": 1000}) as context:  # A4, 210 - 26 mm
        printed = context.new_page()
        printed.goto(report.as_uri())
        printed.emulate_media(media="print")
        assert printed.evaluate(smallest) > 6 * 96 / 72  # points


def test_figures_open_in_a_larger_window_and_return(page):
    plot, window = page.locator(".figures .plot").first, page.locator("dialog#enlarged")
    plot.locator(".enlarge").press("Enter")
    assert window.locator("svg").is_visible()
    assert plot.locator("svg").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.keyboard.press("Escape")
    plot.locator("svg").wait_for(state="visible")


def test_print_fits_a4_in_light_colours(report, browser):
    with browser.new_context(color_scheme="dark", viewport={"width": 695, "height": 1000}) as context:  # 210 - 26 mm
        page = context.new_page()
        page.goto(report.as_uri())
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for box in [element.bounding_box() for element in page.locator("table:visible, figure:visible").all()]:
            assert box["x"] + box["width"] <= 695
        assert page.locator("nav").is_hidden()
        assert page.locator(".tools").first.is_hidden()
        assert (
            page.locator("body").evaluate("(element) => getComputedStyle(element).backgroundColor")
            == "rgb(255, 255, 255)"
        )
        assert page.locator("figure svg").first.evaluate("(element) => getComputedStyle(element).filter") == "none"


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
        assert page.locator("figure svg").count() == FIGURES
        assert page.locator("figure title").count() > FIGURES * len(MAIN_PATH)
        assert page.get_by_text("A click on a variant").is_hidden()


def test_figures_are_inverted_in_dark_mode_alone(report, browser):
    for scheme, filtered, background in (("light", False, "rgb(255, 255, 255)"), ("dark", True, "rgb(21, 24, 28)")):
        with browser.new_context(color_scheme=scheme) as context:
            page = context.new_page()
            page.goto(report.as_uri())
            filters = page.locator("figure svg").first.evaluate("(element) => getComputedStyle(element).filter")
            assert ("invert" in filters) is filtered
            assert page.locator("body").evaluate("(element) => getComputedStyle(element).backgroundColor") == background
