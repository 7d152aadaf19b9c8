"""The page in a real browser: a set is mended by keyboard alone, and the next check applies it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from noria.contracts import Finding, Suspect
from noria.data.check import check as check_data
from noria.data.decisions import default_place, read
from noria.inputs.image import Settings, close_up
from noria.reviewing.review import Review
from noria.reviewing.server import ReviewServer

UI = Path(__file__).resolve().parents[2] / "src" / "noria" / "reviewing" / "ui"
WAIT = 10_000


def answered(page: Any, count: str) -> None:
    """Wait until the page says how many are answered."""
    page.locator("#count", has_text=f"{count} answered").wait_for(timeout=WAIT)


def shown(page: Any) -> str:
    return str(page.locator("figure.judged .path").inner_text())


def current(page: Any) -> str:
    return str(page.locator("nav [aria-current] .kind").inner_text())


def kinds(told: dict[str, Any]) -> dict[str, int]:
    return {one["kind"]: one["count"] for one in told["findings"] if one["kind"] != "not_searched"}


@contextmanager
def served(flowers: Path, findings: list[Finding]) -> Iterator[ReviewServer]:
    """Serve a page of the photos with findings more, in a thread of this process."""
    dataset = check_data(flowers, settings=Settings())
    dataset = replace(dataset, findings=(*findings, *dataset.findings))
    server = ReviewServer(Review(dataset, dataset, default_place(flowers), close_up))
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def test_a_set_is_mended_by_keyboard_alone_and_the_next_check_applies_it(
    flowers: Path, start: Any, check: Any, tab: Any
) -> None:
    before = check(flowers)
    assert kinds(before) == {"conflicting_labels": 2, "unreadable": 1, "exact_duplicates": 2}
    server = start(flowers)
    page = tab(server)
    answered(page, "0 of 5")
    assert (current(page), shown(page)) == ("conflicting labels", "daisy/00.jpg")
    assert page.locator("#remedy").inner_text() == "Say which is right, or delete the wrong copies."
    page.keyboard.press("k")  # of two copies with two labels one word is enough
    answered(page, "2 of 5")
    page.keyboard.press("Tab")
    page.locator("nav [aria-current]", has_text="unreadable").wait_for(timeout=WAIT)
    assert "not a picture" in page.locator("figure.judged .error").inner_text()
    assert shown(page) == "rose/<b>broken.jpg"
    page.keyboard.press("d")
    answered(page, "3 of 5")
    page.keyboard.press("Tab")
    page.wait_for_selector("text=rose/twin.jpg")
    page.keyboard.press("d")
    answered(page, "4 of 5")
    assert shown(page) == "rose/lossless.png"
    page.keyboard.press("r")
    page.wait_for_selector("#choose[open]")
    page.keyboard.type("peon")
    assert page.locator("#labels li").all_inner_texts() == ["new label: peon"]
    page.keyboard.type("y")
    page.keyboard.press("Enter")
    answered(page, "5 of 5")
    page.wait_for_selector("text=Everything is answered.")
    assert page.locator("figure.judged .badge").inner_text() == "now peony"
    code, said = server.stop()
    assert code == 0 and f"4 answers in {default_place(flowers)}" in said
    after = check(flowers)
    assert after["decisions"]["from"] == before["fingerprint"] != after["fingerprint"]
    assert after["labels"] == ["daisy", "peony", "rose"]
    assert not {"conflicting_labels", "unreadable", "exact_duplicates"} & kinds(after).keys()
    assert kinds(after)["dropped"] == 4  # also of each pair of copies the one whose label was not said to be right
    reasons = {one["path"]: one["reason"] for one in after["set_aside"]}
    assert set(reasons) == {"rose/daisy.jpg", "rose/twin.jpg", "rose/<b>broken.jpg", "rose/02.jpg"}


def test_undo_walks_back_to_the_beginning_across_findings_and_sessions(
    flowers: Path, start: Any, check: Any, tab: Any
) -> None:
    before = check(flowers)
    first = start(flowers)
    page = tab(first)
    page.keyboard.press("k")
    answered(page, "2 of 5")
    page.keyboard.press("Tab")
    page.keyboard.press("d")
    answered(page, "3 of 5")
    first.stop()
    second = start(flowers)
    page = tab(second)
    answered(page, "3 of 5")
    assert current(page) == "exact duplicates"  # where something is left to do
    page.keyboard.press("s")
    answered(page, "4 of 5")
    for left, at in (("3", "exact duplicates"), ("2", "unreadable"), ("0", "conflicting labels")):
        page.keyboard.press("u")
        answered(page, f"{left} of 5")
        assert current(page) == at
    page.keyboard.press("u")
    page.wait_for_selector("#status.error")
    assert "nothing to take back" in page.locator("#status").inner_text()
    assert read(default_place(flowers)).standing == ()
    assert check(flowers)["fingerprint"] == before["fingerprint"]


def test_keys_pressed_faster_than_they_are_answered_are_each_obeyed_in_order(
    flowers: Path, start: Any, tab: Any
) -> None:
    page = tab(start(flowers))
    for key in ("o", "k", "Tab", "k", "Tab", "j", "d", "d"):
        page.keyboard.press(key)
    answered(page, "5 of 5")
    said = [(one.verdict, one.path) for one in read(default_place(flowers)).standing]
    assert said == [
        ("keep", "rose/daisy.jpg"),  # the other one was judged
        ("keep", "rose/<b>broken.jpg"),
        ("drop", "rose/lossless.png"),
        ("drop", "rose/twin.jpg"),
    ]


def test_an_answer_is_one_to_its_finding_and_another_finding_of_the_input_stays_open(flowers: Path, tab: Any) -> None:
    findings = [
        Finding(kind, "warning", 1, ("rose/03.jpg",), kind, "", (Suspect("rose/03.jpg", "rose", 0.9),))
        for kind in ("wrong_labels", "blurred")
    ]
    with served(flowers, findings) as server:
        page = tab(server)
        page.click("nav button:has-text('wrong labels')")
        page.keyboard.press("k")
        answered(page, "1 of 7")
        page.click("nav button:has-text('blurred')")
        assert page.locator("figure.judged .badge").count() == 0
        page.keyboard.press("k")
        answered(page, "2 of 7")
        assert page.locator("figure.judged .badge").inner_text() == "kept"
    server.close()
    said = [(one.verdict, one.finding) for one in read(default_place(flowers)).standing]
    assert said == [("keep", "wrong_labels"), ("keep", "blurred")]


def test_two_that_are_not_the_same_are_parted_by_a_key(flowers: Path, start: Any, check: Any, tab: Any) -> None:
    with Image.open(flowers / "rose" / "05.jpg") as photo:
        photo.resize((160, 120)).save(flowers / "rose" / "05 small.jpg")
    server = start(flowers)
    page = tab(server)
    page.click("nav button:has-text('near duplicates')")
    page.keyboard.press("n")
    answered(page, "1 of 6")
    assert page.locator("figure.judged .badge").inner_text() == "not the same"
    server.stop()
    (one,) = read(default_place(flowers)).standing
    assert (one.verdict, {one.path, one.other}) == ("different", {"rose/05.jpg", "rose/05 small.jpg"})
    assert "near_duplicates" not in kinds(check(flowers))


def test_a_finding_about_labels_shows_some_of_their_inputs(flowers: Path, tab: Any) -> None:
    files = ("rose/03.jpg", "daisy/04.jpg")
    with served(flowers, [Finding("shortcut", "error", 1, ("rose",), "told", "do", files=files)]) as server:
        page = tab(server)
        page.click("nav button:has-text('shortcut')")
        page.wait_for_selector("figure.sample")
        assert page.locator("figure.sample figcaption").all_inner_texts() == list(files)
        page.locator(".sample img").evaluate_all("(images) => Promise.all(images.map((one) => one.decode()))")
        assert page.locator("#pair").inner_text().splitlines()[0] == "Nothing here is to be judged one by one."
        assert page.locator("figure.sample img").first.bounding_box()["height"] >= 60


def test_numbers_choose_labels_and_escape_leaves_them(flowers: Path, start: Any, tab: Any) -> None:
    page = tab(start(flowers))
    page.keyboard.press("r")
    page.wait_for_selector("#choose[open]")
    assert page.locator("#labels li").all_inner_texts() == ["1\ndaisy", "2\nrose"]
    page.keyboard.press("Escape")
    page.wait_for_selector("#choose:not([open])", state="attached")
    page.keyboard.press("r")
    page.keyboard.press("2")
    answered(page, "2 of 5")
    (one,) = read(default_place(flowers)).standing
    assert (one.verdict, one.path, one.label) == ("relabel", "daisy/00.jpg", "rose")


def test_any_kind_of_finding_is_shown_and_its_suggestion_accepted(flowers: Path, tab: Any) -> None:
    """What the page makes of a finding that it has never heard of."""
    suspects = (Suspect("rose/03.jpg", "rose", 0.93, suggested="daisy"), Suspect("rose/04.jpg", "rose", 0.5))
    with served(
        flowers, [Finding("odd_colours", "error", 2, ("rose/03.jpg",), "2 that look odd.", "", suspects)]
    ) as server:
        page = tab(server)
        assert current(page) == "odd colours"
        assert page.locator("#clue").inner_text() == "seems to be daisy · score 0.93"
        assert page.locator("[data-act=same]").is_disabled()
        page.keyboard.press("Enter")
        answered(page, "1 of 7")
        page.keyboard.press("Enter")  # the next one has no suggestion
        page.wait_for_selector("text=Nothing is suggested here.")
    assert server.close().startswith("1 answer in")
    (one,) = read(default_place(flowers)).standing
    assert (one.verdict, one.path, one.label, one.finding) == ("relabel", "rose/03.jpg", "daisy", "odd_colours")


def test_it_works_with_the_mouse_too(flowers: Path, start: Any, tab: Any) -> None:
    page = tab(start(flowers))
    page.click("nav button:has-text('exact duplicates')")
    page.click("#next")
    page.wait_for_selector("figure.judged:has-text('rose/lossless.png')")
    page.click("[data-act=relabel]")
    page.click("#labels li:has-text('daisy')")
    answered(page, "1 of 5")
    page.click("[data-act=undo]")
    answered(page, "0 of 5")
    page.keyboard.press("k")  # a button that was clicked does not keep the keys to itself
    answered(page, "1 of 5")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_chinese(flowers: Path, start: Any, tab: Any, scheme: str) -> None:
    page = tab(
        start(flowers), viewport={"width": 360, "height": 740}, color_scheme=scheme, locale="zh-CN", has_touch=True
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("#count").inner_text() == "已回答 0 / 5"
    assert page.locator("nav [aria-current] .kind").inner_text() == "标签矛盾"
    for name in ("keep", "drop", "relabel", "undo"):
        box = page.locator(f"[data-act={name}]").bounding_box()
        assert box["height"] >= 40 and box["y"] + box["height"] <= 740
    picture = page.locator("figure.judged img").bounding_box()
    assert picture["height"] >= 120
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", colour)[:3])) < 300) is (scheme == "dark")
    page.tap("[data-act=keep]")
    page.locator("#count", has_text="已回答 2 / 5").wait_for(timeout=WAIT)


def test_names_and_texts_are_shown_and_never_obeyed(tmp_path: Path, start: Any, tab: Any) -> None:
    rows = [["text", "label"]]
    rows += [[f"<img src=x onerror=alert({n})> film {n}", "good" if n % 2 else "bad"] for n in range(9)]
    rows += [[rows[1][0], "<b>bold</b>"], [rows[2][0], rows[2][1]]]
    (tmp_path / "films.csv").write_text("\n".join(",".join(row) for row in rows))
    page = tab(start(tmp_path / "films.csv"))
    page.locator("figure.judged pre", has_text="film").wait_for(timeout=WAIT)
    assert page.locator("figure.judged pre").inner_text() == "<img src=x onerror=alert(0)> film 0"
    assert "<b>bold</b>" in page.locator("#pair").inner_text()
    assert page.locator("#pair img, #pair b").count() == 0


def test_every_string_has_both_languages() -> None:
    pairs = dict(
        re.findall(r'^  (\w+): \[\s*("[^"]+",\s*"[^"]+"),?\s*\],$', (UI / "strings.js").read_text("utf-8"), re.M)
    )
    html, script = (UI / "index.html").read_text("utf-8"), (UI / "page.js").read_text("utf-8")
    used = set(re.findall(r'data-(?:say|title)="(\w+)"', html)) | set(re.findall(r'say\("(\w+)"', script))
    assert len(used) > 20
    assert used <= pairs.keys()
