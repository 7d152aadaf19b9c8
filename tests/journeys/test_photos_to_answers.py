"""Journeys of a user: dirty photos to answers, the report in a browser, names in any script, odd files."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import noria
from noria.artifacts.bundle import Bundle
from noria.artifacts.run import Run

NORIA = [sys.executable, "-m", "noria"]
GIB = 1024**3
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)


def call(*words: object, cwd: Path | None = None) -> list[dict[str, Any]]:
    """Run one command to its end and return the JSON objects that it printed."""
    done = subprocess.run(
        [*NORIA, *map(str, words), "--json"], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, timeout=280
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return [json.loads(line) for line in done.stdout.split(b"\n") if line]


# From a folder with dirt in it to answers


def test_what_check_found_is_what_training_used_and_what_the_report_tells(photos: Path, run: Run) -> None:
    (told,) = call("check", photos)
    assert told["fingerprint"] == run.manifest.fingerprint
    assert told["splits"] == run.manifest.num_examples
    report = json.loads((run.path / "report.json").read_text())
    page = run.report.read_text(encoding="utf-8")
    for one in told["set_aside"]:
        assert one["path"] in json.dumps(report, ensure_ascii=False)
        assert Path(one["path"]).name in page


def test_copies_of_a_picture_are_on_one_side_of_the_split(photos: Path, run: Run) -> None:
    rows = [json.loads(line) for line in (run.dataset / "examples.jsonl").read_text().splitlines()]
    sides: dict[str, set[str]] = {}
    for row in rows:
        sides.setdefault(row["content_sha256"], set()).add(row["split"])
    assert len(sides) == len(rows) - 1  # the one copy in the folder
    assert all(len(side) == 1 for side in sides.values())


def test_three_flowers_are_told_apart_by_the_exported_file_in_a_process_of_its_own(
    run: Run, bundle: Bundle, photos: Path
) -> None:
    answers = {line["input"]: line for line in call("predict", bundle.path, photos)}
    rows = [json.loads(line) for line in (run.dataset / "examples.jsonl").read_text().splitlines()]
    assert set(answers) == {str(path) for path in photos.rglob("*") if path.is_file()}
    unseen = [row for row in rows if row["split"] != "train"]
    right = sum(answers[str(photos / row["path"])]["label"] == row["label"] for row in unseen)
    assert right / len(unseen) >= 0.7
    for name in ("daisy/broken.jpg", "rose/empty.jpg", "rose/notes.txt", "sunflower/cut off.jpg"):
        assert set(answers[str(photos / name)]) == {"input", "error"}


def test_the_run_the_report_and_evaluate_give_the_same_figures(run: Run, photos: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (run.dataset / "examples.jsonl").read_text().splitlines()]
    table = tmp_path / "test.jsonl"
    table.write_text(
        "".join(
            json.dumps({"path": str(photos / row["path"]), "label": row["label"]}) + "\n"
            for row in rows
            if row["split"] == "test"
        )
    )
    told = noria.evaluate(run, table)
    assert told["num_examples"] == run.manifest.num_examples["test"]
    assert told["accuracy"] == pytest.approx(run.manifest.test["accuracy"])
    assert told["interval"] == pytest.approx(run.manifest.test["interval"])
    assert told["seen_in_training"] == 0


# Names in any script, in one small training


ODD_NAMES = ("玫瑰 花", "🌼 Gänse-blümchen", "line\nbreak & <b>")


@pytest.fixture(scope="module")
def named_photos(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photos of three classes each, whose folders and files have names that scripts trip over."""
    root = tmp_path_factory.mktemp("数据 set") / "фото"
    for label, source in zip(ODD_NAMES, ("rose", "daisy", "sunflower"), strict=True):
        (root / label).mkdir(parents=True)
        for number, photo in enumerate(sorted((photos / source).glob("[0-9]*.jpg"))[:6]):
            shutil.copyfile(photo, root / label / f"{number} 'é\n🙂\".jpg")
    return root


@pytest.fixture(scope="module")
def named_run(named_photos: Path) -> dict[str, Any]:
    place = named_photos.parent / "run 名"
    settings = ("augment.views=0", "training.epochs=5", "training.l2=[0.01]")
    (told,) = call("train", named_photos, "--out", place, *(word for one in settings for word in ("--set", one)))
    return told


def test_names_in_any_script_go_through_training(named_photos: Path, named_run: dict[str, Any]) -> None:
    assert named_run["num_classes"] == 3
    manifest = json.loads((Path(named_run["run"]) / "run.json").read_text(encoding="utf-8"))
    assert sorted(manifest["labels"]) == sorted(ODD_NAMES)
    page = Path(named_run["report"]).read_text(encoding="utf-8")
    assert "玫瑰 花" in page and "🌼" in page
    assert "&lt;b&gt;" in page


def test_names_in_any_script_come_back_from_predict(
    named_photos: Path, named_run: dict[str, Any], bundle: Bundle
) -> None:
    answers = list(noria.predict(named_run["run"], named_photos))
    assert {answer["input"] for answer in answers} == {str(path) for path in named_photos.rglob("*.jpg")}
    assert [answer["input"] for answer in call("predict", bundle.path, named_photos)] == [
        answer["input"] for answer in answers
    ]
    assert {answer["label"] for answer in answers} <= set(ODD_NAMES)
    assert sum(answer["label"] == Path(answer["input"]).parent.name for answer in answers) > len(answers) / 2


def test_training_the_same_again_computes_nothing(named_photos: Path, named_run: dict[str, Any]) -> None:
    settings = ("augment.views=0", "training.epochs=5", "training.l2=[0.01]")
    words = [word for one in settings for word in ("--set", one)]
    (again,) = call("train", named_photos, "--out", named_run["run"], *words)
    assert again == named_run


# Odd files


def test_every_odd_file_is_answered_with_a_label_or_a_reason_in_little_memory(
    shared_data: Path, bundle: Bundle
) -> None:
    folder = shared_data / "odd_images"
    code = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); sys.exit(done.returncode)"
    )
    words = [*NORIA, "predict", str(bundle.path), str(folder), "--json"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    assert b"Traceback" not in done.stderr
    answers = {line["input"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert set(answers) == {str(path) for path in folder.rglob("*") if path.is_file()}
    assert all(("label" in answer) != ("error" in answer) for answer in answers.values())
    assert sum("label" in answer for answer in answers.values()) > 200
    assert all(answer["error"].strip() for answer in answers.values() if "error" in answer)
    for bad in ("broken.png", "decompression_bomb.gif"):
        assert "error" in answers[str(folder / bad)]
    assert int(done.stderr.split()[-1]) * 1024 < GIB
    assert resource.getpagesize()  # Linux counts ru_maxrss in KiB


def test_odd_files_as_a_dataset_are_set_aside_by_name_with_reason_and_hash(shared_data: Path, tmp_path: Path) -> None:
    for label, pattern in (("gif", "*.gif"), ("tif", "*.tif"), ("jpg", "*.jpg")):
        (tmp_path / "data" / label).mkdir(parents=True)
        for path in (shared_data / "odd_images").glob(pattern):
            shutil.copyfile(path, tmp_path / "data" / label / path.name)
    (told,) = call("check", tmp_path / "data")
    every = {str(path.relative_to(tmp_path / "data")) for path in (tmp_path / "data").rglob("*") if path.is_file()}
    aside = {one["path"]: one for one in told["set_aside"]}
    assert told["num_examples"] + len(aside) == len(every)
    assert set(aside) < every
    assert all(one["reason"] and len(one["sha256"]) == 64 for one in aside.values())


# The report in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM or find_spec("playwright") is None:
        pytest.skip("no Chromium, or no playwright, to open the report with")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")], ids=["desktop-light", "phone-dark"])
def test_the_report_opens_in_a_browser_and_shows_what_the_run_says(
    browser: Any, run: Run, width: int, scheme: Any
) -> None:
    asked, wrong = [], []
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(run.report.as_uri())
    text = page.inner_text("body")
    assert f"{run.manifest.test['accuracy'] * 100:.1f}" in text
    assert all(label in text for label in run.labels)
    assert run.manifest.fingerprint[:8] in page.content()
    loaded = page.evaluate("[...document.images].map(one => one.complete && one.naturalWidth > 0)")
    assert loaded and all(loaded)
    assert page.evaluate("[...document.images].every(one => one.hasAttribute('alt'))")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert wrong == []
    page.close()


def test_the_report_follows_light_and_dark(browser: Any, run: Run) -> None:
    colours = []
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(run.report.as_uri())
        colours.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.close()
    assert colours[0] != colours[1]


def test_a_hostile_class_name_stays_text_in_the_report(browser: Any, named_run: dict[str, Any]) -> None:
    page = browser.new_page()
    page.goto(Path(named_run["report"]).as_uri())
    assert "<b>" in page.inner_text("body")
    page.close()


def test_the_bundle_holds_no_path_of_the_machine_it_was_made_on(bundle: Bundle, photos: Path) -> None:
    text = (bundle.path / "manifest.json").read_text(encoding="utf-8")
    assert str(photos.parent) not in text
    assert f"{Path.home()}/" not in text
