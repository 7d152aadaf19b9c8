"""A small set of real photos with planted faults, and `noria check --page` in a process of its own."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium")
NORIA = [sys.executable, "-m", "noria"]


@dataclass(eq=False)
class Page:
    """One `noria check DATA --page`."""

    process: subprocess.Popen[str]
    url: str

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30)

    def stop(self) -> tuple[int, str]:
        """Press Ctrl-C, and return the exit code and what was said on standard error."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.stderr is not None
        said = self.process.stderr.read()
        return self.process.wait(20), said


@pytest.fixture
def flowers(shared_data: Path, tmp_path: Path) -> Path:
    """24 photos of two flowers; a daisy lies among the roses too, a rose twice, and one file is no picture."""
    root = tmp_path / "flowers"
    for label in ("daisy", "rose"):
        (root / label).mkdir(parents=True)
        for number, photo in enumerate(sorted((shared_data / "flowers" / label).glob("*.jpg"))[:12]):
            shutil.copyfile(photo, root / label / f"{number:02}.jpg")
    shutil.copyfile(root / "daisy" / "00.jpg", root / "rose" / "daisy.jpg")
    shutil.copyfile(root / "rose" / "01.jpg", root / "rose" / "twin.jpg")
    with Image.open(root / "rose" / "02.jpg") as photo:
        photo.save(root / "rose" / "lossless.png")
    (root / "rose" / "<b>broken.jpg").write_bytes(b"no picture")
    return root


@pytest.fixture
def start() -> Iterator[Callable[..., Page]]:
    """Start pages: `start(DATA, "--decisions", FILE)`."""
    with ExitStack() as stack:
        yield lambda *words: stack.enter_context(serving(*words))


@pytest.fixture
def check() -> Callable[..., dict[str, Any]]:
    """Run `noria check --json` and return what it told."""

    def told(*words: object) -> dict[str, Any]:
        command = [*NORIA, "check", *map(str, words), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    return told


@contextmanager
def serving(*words: object) -> Iterator[Page]:
    """Run the page until the block ends."""
    command = [*NORIA, "check", *map(str, words), "--page", "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    try:
        assert process.stderr is not None
        found = next((found for line in process.stderr if (found := re.search(r"http://\S+", line))), None)
        assert found is not None, f"it ended with {process.wait()} and no address"
        yield Page(process, found[0])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


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
def tab(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page in the browser; the test fails where it asks elsewhere or has an error to tell."""
    wrong: list[str] = []
    with ExitStack() as stack:

        def opened(page: Page, **options: Any) -> Any:
            context = browser.new_context(**{"locale": "en-GB", **options})
            stack.callback(context.close)
            made = context.new_page()
            ours = page.url.rpartition("/")[0]
            made.on("request", lambda one: None if one.url.startswith((ours, "data:")) else wrong.append(one.url))
            made.on("pageerror", lambda error: wrong.append(str(error)))
            made.on("console", lambda line: wrong.append(line.text) if "Security Policy" in line.text else None)
            made.goto(page.url)
            made.wait_for_selector("figure", timeout=15_000)
            return made

        yield opened
    assert wrong == []
