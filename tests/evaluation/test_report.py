"""The report: what it says, that it is one file that loads nothing, and that no name in the data can break it."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from noria.contracts import Finding, Scored, SetAside
from noria.evaluation.attribution import Attribution, Part
from noria.evaluation.calibration import apply_temperature
from noria.evaluation.report import ReportContent, facts, render, write_report

CHROMIUM = Path("/usr/bin/chromium")
HOSTILE = (
    "<script>alert(1)</script>.jpg",
    '"><img src=x onerror=alert(2)>.jpg',
    "it's {{ 7*7 }} & more.jpg",
    "two\nlines\tand\x00nul.jpg",
    "花/玫瑰 🌹.jpg",
    "half a pair \udce9.jpg",
    "\u202egpj.turned",
    "</style></title><svg onload=alert(3)>",
)


def jpeg(_name: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (48, 32), (200, 120, 40)).save(stream, "JPEG")
    return stream.getvalue()


def content(classes: int = 5, examples: int = 200, **changes: Any) -> ReportContent:
    """A report of made-up scores in which names, labels, reasons and settings are hostile."""
    rng = np.random.default_rng(classes)
    labels = tuple(HOSTILE[i] if i % 6 == 1 and i < len(HOSTILE) else f"class {i}" for i in range(classes))
    truth = rng.integers(0, classes, examples)
    logits = rng.normal(size=(examples, classes))
    logits[np.arange(examples), truth] += 2.5
    powers = np.exp(logits)
    raw = Scored(
        names=tuple(HOSTILE[i % len(HOSTILE)] for i in range(examples)),
        labels=labels,
        truth=truth,
        scores=(powers / powers.sum(1, keepdims=True)).astype(np.float32),
    )
    whole = ReportContent(
        title=HOSTILE[0],
        task="image_classification",
        command="noria train 'a b'",
        created="2026-01-02T03:04:05+00:00",
        test=replace(raw, scores=apply_temperature(raw.scores, 1.3)),
        test_uncalibrated=raw,
        validation=raw,
        temperature=1.3,
        history={"loss": [1.0, float("nan"), 0.4], "val_loss": [1.1, 0.7, 0.6], "learning_rate": [1e-3, 1e-3, 1e-4]},
        candidates=[{"l2": 1e-4, "val_loss": 0.5, "val_accuracy": 0.8, "chosen": True}],
        num_examples={"train": 600, "validation": 200, "test": examples, "set_aside": len(HOSTILE)},
        class_counts={"train": dict.fromkeys(labels, 40)},
        set_aside=[SetAside(name, name, None) for name in HOSTILE],
        findings=[Finding("odd", "warning", 1, HOSTILE, HOSTILE[1], HOSTILE[7])],
        seconds={"features": 3.5, HOSTILE[0]: 0.5, "total": 4.0},
        peak_memory_bytes=5 << 20,
        versions={"noria": HOSTILE[0]},
        seed=7,
        fingerprint="ab12",
        config={"data": {HOSTILE[0]: HOSTILE[5]}},
        model={"name": HOSTILE[1], "parameters": 3_413_024, "licence": None},
        split_note=HOSTILE[2],
        preview=jpeg,
        next_steps=[HOSTILE[1]],
    )
    return replace(whole, **changes)


class Page(HTMLParser):
    """The tags of a page, its visible text, and whether every element that was opened was closed in order."""

    VOID = frozenset(("meta", "link", "img"))

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize("classes", [2, 5, 31, 200])
def test_the_page_is_well_formed_and_loads_nothing_from_anywhere(classes: int) -> None:
    html = render(content(classes, 400))
    page = Page(html)
    assert page.open == []
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
        for key in ("src", "href", "srcset", "xlink:href"):
            assert (attributes.get(key) or "#").startswith(("#", "data:")), (tag, attributes)
    assert not re.search(r"url\(|@import", html)
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert "default-src 'none'" in policy


def test_names_from_the_data_are_shown_and_not_obeyed() -> None:
    html = render(content())
    text = "".join(Page(html).text)
    assert "<script>alert(1)</script>.jpg" in text
    assert "it's {{ 7*7 }} & more.jpg" in text
    assert r"two\nlines\tand\x00nul.jpg" in text
    assert "花/玫瑰 🌹.jpg" in text
    assert r"half a pair \udce9.jpg" in text
    assert r"\u202egpj.turned" in text
    assert "\u202e" not in html
    html.encode("utf-8")


def test_the_preview_is_asked_for_by_the_true_name() -> None:
    asked: list[str] = []

    def remember(name: str) -> None:
        asked.append(name)

    whole = content(preview=remember)
    render(whole)
    assert asked
    assert set(asked) <= set(whole.test.names)
    assert "half a pair \udce9.jpg" in asked


def test_the_json_holds_the_same_numbers_as_the_page(tmp_path: Path) -> None:
    page = write_report(tmp_path / "new" / "run", content())
    told = json.loads((page.parent / "report.json").read_text("utf-8"))
    text = "".join(Page(page.read_text("utf-8")).text)
    shown = re.search(r"is right ([\d.]+)\u00a0% of the time \(95\u00a0%: ([\d.]+)–([\d.]+)\u00a0%\)", text)
    assert shown is not None
    expected = [told["test"]["accuracy"], *told["test"]["interval"]]
    assert [float(number) for number in shown.groups()] == pytest.approx([100 * e for e in expected], abs=0.051)
    assert told["verdict"]["sentence"] in text
    for value in (told["test"]["macro"]["f1"], told["test"]["balanced_accuracy"], told["reliability"]["ece"]):
        assert f"{100 * value:.1f}\u00a0%" in text
    for row in told["test"]["confusion"]:
        assert f"{max(row)}" in text
    assert told["set_aside"][3]["path"] == HOSTILE[3]
    assert told["history"]["loss"] == [1.0, None, 0.4]
    assert told["test"]["num_examples"] == sum(map(sum, told["test"]["confusion"]))


def test_facts_are_those_of_the_written_json(tmp_path: Path) -> None:
    whole = content()
    page = write_report(tmp_path, whole)
    assert json.loads((page.parent / "report.json").read_bytes()) == facts(whole)


def test_only_the_two_finished_files_are_left_and_old_ones_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    write_report(tmp_path, content())
    write_report(tmp_path, content(title="second"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]
    assert "second" in (tmp_path / "report.html").read_text("utf-8")


def test_a_hundred_thousand_set_aside_files_are_all_in_the_json_and_counted_on_the_page() -> None:
    many = [SetAside(f"{i}.jpg", "the file is empty", None) for i in range(100_000)]
    whole = content(set_aside=many)
    html = render(whole)
    assert len(facts(whole)["set_aside"]) == 100_000
    assert "The first 200; the other 99\u202f800 are in report.json" in html
    assert len(html) < 2_000_000


MANY_CLASSES = """
import resource, sys, time
from pathlib import Path
import numpy as np
from noria.contracts import Scored, SetAside
from noria.evaluation.report import ReportContent, write_report

labels = tuple(f"a class with a name of its own, number {number}" for number in range(10_000))
rng = np.random.default_rng(0)
truth = rng.integers(0, len(labels), 20_000)
scores = rng.random((len(truth), len(labels)), np.float32)
answer = np.where(rng.random(len(truth)) < 0.6, truth, rng.integers(0, len(labels), len(truth)))
scores[np.arange(len(truth)), answer] += 9e3
scores /= scores.sum(axis=1, keepdims=True)
given = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
counts = {side: dict.fromkeys(labels, 6) for side in ("train", "validation", "test")}
write_report(Path(sys.argv[1]), ReportContent(
    title="many", task="image_classification", command="noria train", created="2026-01-02T03:04:05+00:00",
    test=Scored(tuple(f"pictures/of/{number}.jpg" for number in range(len(truth))), labels, truth, scores),
    class_counts=counts, num_examples={"train": 60_000, "validation": 60_000, "test": 60_000},
))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - given)
"""


def test_ten_thousand_classes_make_a_report_of_bounded_size_in_bounded_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MANY_CLASSES, str(tmp_path)], capture_output=True, text=True, check=True, timeout=200
    )
    assert int(done.stdout) < 1024**2  # kibibytes beside the scores themselves
    assert (tmp_path / "report.json").stat().st_size < 20_000_000
    assert (tmp_path / "report.html").stat().st_size < 4_000_000
    told = json.loads((tmp_path / "report.json").read_bytes())["test"]
    assert sum(count for _, _, count in told["confusion_cells"]) == told["num_examples"] == 20_000
    html = (tmp_path / "report.html").read_text("utf-8")
    assert "The next 985 classes; 9\u202f000 more are in report.json" in html
    assert Page(html).open == []


def test_what_is_not_known_is_left_out() -> None:
    known = content()
    bare = ReportContent(title="t", task="x", command="", created="2026-01-02", test=known.test, held_out=False)
    text = "".join(Page(render(bare)).text)
    assert "never saw" not in text
    assert "How it learned" not in text
    assert "None" not in re.sub(r"None: every file", "", text)


HOSTILE_TEXT = "It\u202e was\n<script>alert(4)</script> not good"


def explained(_name: str) -> Attribution:
    """What the words of a hostile text did: "not" much, "good" less and against it."""
    places = {word: HOSTILE_TEXT.index(word) for word in ("was", "<script>", "not", "good")}
    pushed = {"was": 0.01, "<script>": 0.3, "not": 1.2, "good": -0.7}
    parts = tuple(Part(at, at + len(word), word, pushed[word]) for word, at in places.items())
    return Attribution(HOSTILE_TEXT, "class 0", 0.9, "exact", 0.1, parts)


SPEAKING = [
    {"label": HOSTILE[1], "words": [{"text": "<b>not good", "weight": 2.0, "count": 9}]},
    *({"label": f"class {number}", "words": []} for number in range(9)),
]


def test_words_are_marked_by_what_they_did_and_not_obeyed(tmp_path: Path) -> None:
    whole = content(attribution=explained, speaking=SPEAKING, preview=lambda _name: HOSTILE_TEXT)
    page = write_report(tmp_path, whole).read_text("utf-8")
    html = Page(page)
    assert html.open == []
    marks = {attributes["class"] for tag, attributes in html.tags if tag == "mark" and "title" in attributes}
    assert marks == {"for s4", "for s2", "not s3"}
    text = "".join(html.text)
    assert "It\\u202e was <script>alert(4)</script> not good" in text
    assert "<b>not good" in text
    assert "The other 4 labels" in text
    assert "\u202e" not in page
    told = json.loads((tmp_path / "report.json").read_bytes())
    assert told["mistakes"][0]["explained"]["strongest"][:2] == [["not", 1.2], ["good", -0.7]]
    assert told["mistakes"][0]["explained"]["method"] == "exact"
    assert told["speaking"][0]["words"][0]["text"] == "<b>not good"


def test_a_text_that_is_not_explained_is_shown_cut() -> None:
    whole = content(preview=lambda _name: "word " * 1000)
    page = Page(render(whole))
    quotes = [text for text in page.text if text.startswith("word word")]
    assert len(quotes) == len(facts(whole)["mistakes"]) + len(facts(whole)["least_certain"])
    assert all(text.endswith("…") and len(text) < 700 for text in quotes)
    assert not [tag for tag, _ in page.tags if tag == "mark"]


def test_how_many_texts_are_not_explained_is_told() -> None:
    left = iter(range(2))

    def two_only(name: str) -> Attribution | None:
        return explained(name) if next(left, None) is not None else None

    text: dict[str, Any] = {"preview": lambda _name: HOSTILE_TEXT}
    told = facts(content(attribution=explained, **text))
    shown = len(told["mistakes"]) + len(told["least_certain"])
    assert f"{shown - 2} of {shown} texts here are without marks" in render(content(attribution=two_only, **text))
    assert "without marks" not in render(content(attribution=explained, **text))


def test_each_example_is_explained_once() -> None:
    asked: list[str] = []

    def remember(name: str) -> None:
        asked.append(name)

    whole = content(attribution=remember)
    told = facts(whole)
    assert len(asked) == len(told["mistakes"]) + len(told["least_certain"])
    assert set(asked) <= set(whole.test.names)


def test_a_perfect_model_on_one_example_can_be_reported() -> None:
    one = Scored(("a.jpg",), ("x", "y"), np.array([0]), np.array([[1.0, 0.0]], np.float32))
    html = render(content(test=one, test_uncalibrated=None, validation=None, class_counts={}))
    assert "On 1 picture it never saw, the model is right 100.0\u00a0% of the time" in html
    assert "The model made no mistakes on this test" in html


def kinds(whole: ReportContent) -> set[str]:
    return {concern["kind"] for concern in facts(whole)["concerns"]}


def table(matrix: list[list[int]], confidence: float) -> Scored:
    """Scores that give this confusion matrix, every answer at one confidence."""
    counts = np.array(matrix)
    classes = len(matrix)
    truth = np.repeat(np.repeat(np.arange(classes), classes), counts.ravel())
    answer = np.repeat(np.tile(np.arange(classes), classes), counts.ravel())
    scores = np.full((len(truth), classes), (1 - confidence) / (classes - 1), np.float32)
    scores[np.arange(len(truth)), answer] = confidence
    return Scored(tuple(map(str, range(len(truth)))), tuple("abcdef"[:classes]), truth, scores)


def test_a_good_calibrated_model_raises_no_concern() -> None:
    good = table([[180, 20], [20, 180]], 0.9)
    assert kinds(content(test=good, validation=good, class_counts={}, history={})) == set()


def test_a_weak_class_is_named_with_what_it_is_taken_for() -> None:
    whole = content(test=table([[195, 5, 0], [80, 118, 2], [0, 5, 195]], 0.85), validation=None, class_counts={})
    weak = next(concern for concern in facts(whole)["concerns"] if concern["kind"] == "weak_classes")
    assert weak["examples"] == ["b"]
    assert "mostly taken for “a”, 80 of 200" in weak["message"]


@pytest.mark.parametrize(("confidence", "kind"), [(0.99, "overconfident"), (0.6, "underconfident")])
def test_confidence_that_does_not_match_the_accuracy_is_named(confidence: float, kind: str) -> None:
    assert kind in kinds(content(test=table([[160, 40], [40, 160]], confidence), validation=None))


def test_a_model_no_better_than_the_commonest_class_is_a_serious_concern() -> None:
    told = facts(content(test=table([[180, 20], [20, 0]], 0.82), validation=None, class_counts={}))
    assert told["concerns"][0]["kind"] == "no_better_than_guessing"
    assert told["concerns"][0]["severity"] == "error"


def test_a_test_split_that_is_too_small_is_named() -> None:
    assert "small_test" in kinds(content(test=table([[20, 2], [2, 20]], 0.9), validation=None))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield opened
        opened.close()


def texts(classes: int) -> ReportContent:
    return content(classes, 400, attribution=explained, speaking=SPEAKING, preview=lambda _name: HOSTILE_TEXT)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("make", [content, texts])
@pytest.mark.parametrize("classes", [2, 12, 200])
def test_a_phone_shows_it_without_errors_requests_or_sideways_scrolling(
    browser: Any, tmp_path: Path, scheme: str, make: Callable[[int], ReportContent], classes: int
) -> None:
    path = write_report(tmp_path, make(classes))
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    said: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    assert said == []
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) == (scheme == "dark")
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    page.close()


def test_files_set_aside_are_counted_by_the_kind_of_reason_and_no_kind_is_left_out() -> None:
    supported = "supported: JPEG, PNG"
    reasons = [f"an AVIF picture; {supported}", f"an AVIF picture; {supported}", "too small: 1 x 1 pixels"]
    reasons += ["too small: 2 x 1 pixels", "too small: 3 x 1 pixels", *(f"reason {i}" for i in range(20))]
    page = render(content(set_aside=[SetAside(f"{i}", one, None) for i, one in enumerate(reasons)]))
    assert "for these reasons: too small (3); an AVIF picture (2); reason 0 (1);" in page
    assert "other reasons (10)." in page
