"""The page in a real Chromium: what a reader sees and does, and that no record runs anything."""

import shutil
import time
from pathlib import Path

import pytest
import viewing

MORE = 3000


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, twin) -> Path:
    from qvl.pack.template import load_tokenizer

    folder = tmp_path_factory.mktemp("page")
    ids = load_tokenizer(twin).encode("2 + 2 = 4<|im_end|>", add_special_tokens=False).ids
    viewing.write(folder, ids, MORE)
    line = '{"id":"pack-1","input_ids":%s,"lengths":[2,%d],"loss_weights":[[1,2,1.0],[3,5,0.5]],'
    line += '"images":[],"grids":[],"records":["one","two"]}\n'
    (folder / "packed.jsonl").write_text(line % (ids, len(ids) - 2))
    return folder


@pytest.fixture(scope="module")
def url(folder, twin):
    files = folder / "stream.jsonl", folder / "packed.jsonl", folder / "stream.jsonl"
    with viewing.Viewing("--model", twin, *files) as running:
        yield running.url


class Page:
    """A page of the browser that keeps what went wrong in it."""

    def __init__(self, browser, url, hash="", **options):
        self.context = browser.new_context(
            **{"viewport": {"width": 1300, "height": 850}, **options}
        )
        self.page = self.context.new_page()
        self.errors, self.foreign = [], []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: self.errors.append(f"dialog {dialog.message}"))
        base = url.partition("/api")[0]
        self.page.on(
            "request",
            lambda sent: (
                None if sent.url.startswith((base, "data:")) else self.foreign.append(sent.url)
            ),
        )
        self.page.goto(f"{url}#{hash}")
        self.page.wait_for_selector(".record h1, .about h2")
        self.page.wait_for_selector(".row[aria-selected=true]", state="attached")

    def until(self, script: str) -> None:
        """Wait until a script is true; the page's policy forbids Playwright's own way."""
        deadline = time.monotonic() + 20
        while not self.page.evaluate(script):
            assert time.monotonic() < deadline, script
            time.sleep(0.02)

    def status(self) -> str:
        return " ".join(self.page.locator(".status").inner_text().split())

    def __enter__(self):
        return self.page, self

    def __exit__(self, *_):
        self.context.close()
        assert (self.errors, self.foreign) == ([], [])


def test_an_agent_is_shown_with_its_image_crop_thinking_call_and_result(browser, url):
    with Page(browser, url) as (page, _):
        assert page.locator("h1").inner_text() == "agent"
        page.wait_for_selector(".picture img")
        assert page.locator(".picture").nth(0).locator("rect.is-crop").count() == 1
        assert page.locator(".call h4").inner_text() == "image_zoom_in_tool"
        assert "a crop" in page.locator(".message.tool").inner_text()
        assert "print(1)" in page.locator("pre.code").inner_text()
        assert "complexity" in page.locator(".scores").inner_text()
        thinking = page.locator(".thinking .text")
        assert not thinking.is_visible()
        page.keyboard.press("t")
        thinking.wait_for(state="visible")


def test_a_group_is_side_by_side_and_coloured_by_advantage(browser, url):
    with Page(browser, url, "record=2") as (page, _):
        cards = page.locator(".card")
        boxes = [cards.nth(number).bounding_box() for number in range(2)]
        assert boxes[0]["y"] == boxes[1]["y"] and boxes[0]["x"] < boxes[1]["x"]
        assert "1 of 2 right" in page.locator("main").inner_text()
        page.get_by_role("button", name="Advantage").click()
        page.wait_for_selector(".card .tokens .plus")
        assert cards.nth(0).locator(".minus").count() == 0
        assert cards.nth(1).locator(".plus").count() == 0
        assert cards.nth(0).locator(".tokens").inner_text() == "2 + 2 = 4<|im_end|>"
        tint = "getComputedStyle(document.querySelector('.tokens .plus')).backgroundColor"
        assert page.evaluate(tint) not in ("", "rgba(0, 0, 0, 0)")


def test_a_pack_shows_its_loss_mask(browser, url):
    with Page(browser, url, "stream=1") as (page, _):
        page.wait_for_selector(".tokens .target")
        assert page.locator(".tokens .target").count() == 1
        page.get_by_role("tab").nth(1).click()
        page.wait_for_selector(".segment-name:has-text('two')")
        page.wait_for_selector(".tokens .target >> nth=1")
        assert page.locator(".tokens .target").count() == 2


def test_the_list_is_filtered_and_searched_and_keeps_few_rows(browser, url):
    with Page(browser, url) as (page, tools):
        tools.until(f"document.querySelector('.status').innerText.includes('{MORE + 6:,}')")
        assert page.locator(".row").count() < 40
        page.get_by_role("searchbox", name="Filter").fill('task == "ocr"')
        tools.until(f"document.querySelector('.status').innerText.startsWith('{MORE // 2:,}')")
        page.get_by_role("searchbox", name="Search").fill("question 1234")
        tools.until("document.querySelector('.status b').innerText === '1'")
        tools.until("document.querySelector('main mark')?.innerText === 'Question 1234'")
        page.get_by_role("searchbox", name="Search").fill("")
        page.get_by_role("searchbox", name="Filter").fill("task = 1")
        tools.until("document.querySelector('.status').innerText.includes('is written')")


def test_keys_move_through_records_and_the_address_keeps_the_place(browser, url):
    with Page(browser, url) as (page, tools):
        page.keyboard.press("j")
        tools.until("document.querySelector('h1').innerText === 'box'")
        page.keyboard.press("G")
        tools.until(f"document.querySelector('h1').innerText === 'q{MORE - 1}'")
        page.reload()
        tools.until(f"document.querySelector('h1')?.innerText === 'q{MORE - 1}'")
        tools.until("document.querySelector('.row[aria-selected=true]') !== null")
        page.keyboard.press("r")
        tools.until("document.querySelector('.raw') !== null")
        page.keyboard.press("?")
        page.wait_for_selector("dialog[open] kbd")


def test_two_streams_stand_side_by_side_by_id(browser, url):
    with Page(browser, url, "record=1&with=2") as (page, tools):
        tools.until("document.querySelectorAll('h1').length === 2")
        assert page.locator("h1").all_inner_texts() == ["box", "box"]
        page.keyboard.press("j")
        tools.until(
            "[...document.querySelectorAll('h1')].filter(h => h.innerText === 'group').length === 2"
        )


def test_no_record_runs_anything_or_fetches_anything(browser, url):
    with Page(browser, url, "record=4") as (page, tools):
        page.locator("main").evaluate("main => main.scrollTo(0, 900)")  # images load when seen
        tools.until("document.querySelectorAll('.broken').length === 5")
        page.keyboard.press("t")
        page.locator(".message .more").first.click()
        tools.until("document.querySelector('main').innerText.includes('more characters')")
        assert page.evaluate(
            "window.hacked === undefined && ({}).toString.call({}) === '[object Object]'"
        )
        assert page.locator("main script, main a, main iframe, main object").count() == 0
        assert viewing.SCRIPT in page.locator("h1").inner_text()
        page.keyboard.press("r")
        tools.until("document.querySelector('.raw') !== null")
        assert page.evaluate("window.hacked") is None


def test_dark_light_and_narrow(browser, url):
    back = "getComputedStyle(document.documentElement).backgroundColor"
    with Page(browser, url, color_scheme="dark") as (page, tools):
        assert page.evaluate(back) == "rgb(19, 20, 23)"
        page.get_by_role("button", name="Theme").click()
        tools.until(f"{back} !== 'rgb(19, 20, 23)'")
    with Page(browser, url, "record=0", viewport={"width": 400, "height": 800}) as (page, tools):
        assert not page.locator("aside").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        page.get_by_role("button", name="Back").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        field = page.get_by_role("searchbox", name="Search").bounding_box()
        assert field["x"] + field["width"] <= 400
        page.locator(".row").nth(1).click()
        tools.until("document.querySelector('h1').innerText === 'box'")


def test_the_exported_page_needs_no_server_and_no_network(browser, folder, twin, sh, tmp_path):
    done = sh(
        f"qvl view --model {twin} --export {tmp_path}/page.html {folder}/stream.jsonl {folder}/packed.jsonl"
    )
    assert done.returncode == 0, done.stderr
    assert "101 records" in done.stderr
    with Page(browser, f"file://{tmp_path}/page.html", "record=0", offline=True) as (page, tools):
        tools.until("document.querySelector('.picture img')?.naturalWidth === 300")
        page.get_by_role("searchbox", name="Search").fill("locate the RED")
        tools.until("document.querySelector('h1').innerText === 'box'")
        page.get_by_role("searchbox", name="Search").fill("2 + 2")
        page.get_by_role("button", name="Advantage").click()
        page.wait_for_selector(".tokens .plus")
        assert page.evaluate("window.hacked") is None
    with Page(browser, f"file://{tmp_path}/page.html", "stream=1") as (page, _):
        page.wait_for_selector(".tokens .target")


def test_an_exported_page_may_begin_with_a_cover_that_runs_nothing(browser, folder, sh, tmp_path):
    (tmp_path / "the-table.txt").write_text("group  before\n<script>window.hacked = 1</script>\n")
    (tmp_path / "curves.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="30" onload="window.hacked = 2">'
        '<script>window.hacked = 3</script><image href="http://127.0.0.1:9/x.png"/></svg>'
    )
    line = f"qvl view --export page.html --about the-table.txt --about curves.svg {folder}/stream.jsonl"
    assert sh(f"cd {tmp_path} && {line}").returncode == 0
    with Page(browser, f"file://{tmp_path}/page.html", offline=True) as (page, tools):
        assert page.locator(".about h2").all_inner_texts() == ["the table", "curves"]
        assert "<script>" in page.locator(".about pre").inner_text()
        tools.until("document.querySelector('.about img').naturalWidth === 60")
        page.keyboard.press("j")
        page.wait_for_selector(".record h1")
        assert page.locator(".about").count() == 0
        page.keyboard.press("a")
        page.wait_for_selector(".about")
        assert page.evaluate("window.hacked") is None
    with Page(browser, f"file://{tmp_path}/page.html", "record=1") as (page, _):
        assert page.locator(".about").count() == 0


def test_a_cover_that_cannot_be_read_is_told(folder, sh, tmp_path):
    (tmp_path / "noise.txt").write_bytes(b"\xff")
    for about, reason in (("nope.svg", "No such file"), ("noise.txt", "expected UTF-8 text")):
        done = sh(f"qvl view --export page.html --about {tmp_path}/{about} {folder}/stream.jsonl")
        assert done.returncode == 2 and reason in done.stderr
    done = sh(f"qvl view --about {tmp_path}/noise.txt {folder}/stream.jsonl")
    assert done.returncode == 2 and "--about is for --export" in done.stderr
