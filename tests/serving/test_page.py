"""The page at /, in a real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from noria.serving.guards.door import new_key

CHROMIUM = shutil.which("chromium")
WAIT = 60_000  # milliseconds; on a machine with three times more work than processors 15 s are not enough


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, served: Any) -> Iterator[Any]:
    """A page that fails the test where it asks elsewhere or has an error to tell."""
    context = browser.new_context(locale="en-GB")
    made = context.new_page()
    wrong: list[str] = []
    made.on("request", lambda one: wrong.append(one.url) if not one.url.startswith((served.http, "blob:")) else None)
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on("console", lambda line: wrong.append(line.text) if "Content Security Policy" in line.text else None)
    yield made
    context.close()
    assert wrong == []


def test_pictures_are_chosen_and_answered(page: Any, served: Any, photos: Path) -> None:
    page.goto(f"{served.http}/#photos")
    files = [min((photos / label).glob("[0-9]*.jpg")) for label in ("daisy", "rose")]
    page.wait_for_selector("#picture:not([hidden])", timeout=WAIT)
    page.set_input_files("#files", [*files, photos / "daisy" / "broken.jpg"])
    page.wait_for_selector("article .bars", timeout=WAIT)
    assert page.locator("article").count() == 3
    assert page.locator("article img").count() == 2
    assert "not a picture" in page.locator("article .error").inner_text()
    assert re.search(r"\d\d?\.\d %", page.locator(".number").first.inner_text())


def test_an_answer_that_comes_late_is_not_shown_under_another_model(page: Any, served: Any, photos: Path) -> None:
    held: list[Any] = []
    page.route("**/v1/models/photos:predict", lambda route: held.append(route))
    page.goto(f"{served.http}/#photos")
    page.wait_for_selector("#picture:not([hidden])", timeout=WAIT)
    page.set_input_files("#files", [min((photos / "rose").glob("[0-9]*.jpg"))])
    page.wait_for_selector("#answers .note", timeout=WAIT)
    page.select_option("#model", "texts")
    page.wait_for_selector("#text:not([hidden])", timeout=WAIT)
    with page.expect_response("**/v1/models/photos:predict"):
        held[0].continue_()
    page.fill("#words", "good")
    page.wait_for_selector("article h2", timeout=WAIT)
    assert page.locator("article img").count() == 0
    page.select_option("#model", "photos")
    page.select_option("#model", "texts")  # and back: what is still typed is answered again
    page.wait_for_selector("article .marked", timeout=WAIT)
    assert page.locator("#picture").is_hidden()


def test_a_text_is_answered_with_the_words_that_pushed_it(page: Any, served: Any) -> None:
    page.goto(f"{served.http}/#texts")
    page.wait_for_selector("#text:not([hidden])", timeout=WAIT)
    page.fill("#words", "房间很干净😀，服务非常差")
    page.wait_for_selector(".marked mark", timeout=WAIT)
    assert page.locator(".marked").inner_text() == "房间很干净😀，服务非常差"
    assert re.fullmatch(r"v1 · \d+ ms", page.locator(".note").first.inner_text())
    page.locator("#card summary").click()
    assert "ngrams" not in page.locator("#facts").inner_text()
    assert "%" in page.locator("#facts").inner_text()


def test_it_works_by_keyboard_alone(page: Any, served: Any) -> None:
    page.goto(f"{served.http}/#texts")
    page.wait_for_selector("#text:not([hidden])", timeout=WAIT)
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "words":
            break
    page.keyboard.type("good")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("article h2", timeout=WAIT)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(browser: Any, served: Any, photos: Path, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme, locale="zh-CN")
    page = context.new_page()
    page.goto(f"{served.http}/#photos")
    page.wait_for_selector("#picture:not([hidden])", timeout=WAIT)
    page.set_input_files("#files", [min((photos / "rose").glob("[0-9]*.jpg"))])
    page.wait_for_selector("article .bars", timeout=WAIT)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("label.drop").inner_text() == "拖入、粘贴或选择图片"
    assert page.evaluate("document.querySelector('meter').getBoundingClientRect().width") >= 35
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", colour)[:3])) < 300) is (scheme == "dark")
    context.close()


def test_it_asks_for_a_key(browser: Any, start: Any, texts_bundle: Any, tmp_path: Path) -> None:
    key, sha256 = new_key()
    config = tmp_path / "serve.toml"
    config.write_text(
        f'[[keys]]\nname = "a"\nsha256 = "{sha256}"\n[[models]]\nname = "t"\npath = "{texts_bundle.path}"\n'
    )
    server = start("--config", config, "--grpc", "-1")
    page = browser.new_page()
    page.goto(server.http)
    page.wait_for_selector("#text:not([hidden])", timeout=WAIT)
    page.fill("#words", "good")
    page.wait_for_selector("#key:not([hidden])", timeout=WAIT)
    page.fill("#secret", key)
    page.click("#unlock")
    page.wait_for_selector("#key", state="hidden", timeout=WAIT)
    page.fill("#words", "very good")
    page.wait_for_selector("article h2", timeout=WAIT)
    page.close()


def test_the_interface_is_described(page: Any, served: Any) -> None:
    page.goto(f"{served.http}/docs")
    page.wait_for_selector("main details", timeout=WAIT)
    assert "POST /v1/models/{name}:predict" in page.locator("main").inner_text()


def test_every_string_has_both_languages(served: Any) -> None:
    ui = Path(__file__).resolve().parents[2] / "src" / "noria" / "serving" / "ui"
    pairs = dict(re.findall(r'^  (\w+): (\["[^"]+", "[^"]+"\]),$', (ui / "strings.js").read_text("utf-8"), re.M))
    used = set(re.findall(r'data-say="(\w+)"', (ui / "index.html").read_text("utf-8")))
    used |= set(re.findall(r'say\("(\w+)"\)', (ui / "page.js").read_text("utf-8")))
    assert used <= pairs.keys()
