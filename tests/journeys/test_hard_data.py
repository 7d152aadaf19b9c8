"""Data as it lies about: odd files in bulk among photos, a folder that changes while it is read, thousands of files."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import noria
from noria.contracts import SPLITS, Silent

NORIA = (sys.executable, "-c", "from noria.cli import main; main()")
GIB = 2**30
PHOTOS = 50  # of each of two flowers


@pytest.fixture(scope="module")
def mixed(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Flower photos of two labels, with every odd file thrown in among them."""
    folder = tmp_path_factory.mktemp("mixed") / "photos"
    for label in ("daisy", "tulip"):
        (folder / label).mkdir(parents=True)
        for path in sorted((shared_data / "flowers" / label).glob("*.jpg"))[:PHOTOS]:
            shutil.copyfile(path, folder / label / path.name)
    odd = sorted(path for path in (shared_data / "odd_images").rglob("*") if path.is_file())
    for number, path in enumerate(odd):
        shutil.copyfile(path, folder / ("daisy", "tulip")[number % 2] / f"odd {number} {path.name}")
    return folder


def _everything(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
            for path in folder.rglob("*") if path.is_file()}  # fmt: skip


def test_odd_files_in_bulk_among_photos_cost_no_photo_and_little_memory(mixed: Path) -> None:
    before = _everything(mixed)
    code = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); sys.exit(done.returncode)"
    )
    words = [*NORIA, "check", str(mixed), "--json", "--fail-on", "unreadable"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, timeout=280)
    assert done.returncode == 1, done.stderr[-2000:]  # as --fail-on asks
    assert b"Traceback" not in done.stderr
    told = json.loads(done.stdout)
    aside = {one["path"]: one["reason"] for one in told["set_aside"]}
    assert told["num_examples"] + len(aside) == len(before)
    assert all("odd " in path and reason for path, reason in aside.items())  # not one photo
    assert told["num_examples"] > 2 * PHOTOS + 100
    assert sum(told["proof"]["cross_split_pairs"].values()) == 0
    assert int(done.stderr.split()[-1]) * 1024 < GIB
    assert _everything(mixed) == before  # nothing is written beside the data


def test_a_folder_that_changes_while_it_is_read_is_told_file_by_file(shared_data: Path, tmp_path: Path) -> None:
    for label in ("daisy", "tulip"):
        shutil.copytree(shared_data / "flowers" / label, tmp_path / "photos" / label)
    files = sorted((tmp_path / "photos").rglob("*.jpg"))
    drawn, stop = random.Random(0), threading.Event()
    victims = drawn.sample(files, 120)

    def change() -> None:
        for number, path in enumerate(victims):
            if stop.is_set():
                return
            way = number % 4
            if way == 0:
                path.unlink()
            elif way == 1:
                os.truncate(path, path.stat().st_size // 2)
            elif way == 2:
                path.rename(path.with_name(f"moved {path.name}"))
            else:
                shutil.copyfile(path, path.with_name(f"new {path.name}"))
            stop.wait(0.01)

    changing = threading.Thread(target=change)

    class AtFirstFile(Silent):
        """Starts the changes once the files are listed and the first of them is read."""

        @contextmanager
        def track(self, name: str, total: int | None = None) -> Iterator[Any]:
            def advance(count: int = 1) -> None:
                if changing.ident is None:
                    changing.start()

            yield advance

    dataset = noria.check(tmp_path / "photos", progress=AtFirstFile())
    stop.set()
    changing.join()
    assert len(dataset.examples) + len(dataset.set_aside) == len(files)
    assert all(one.reason for one in dataset.set_aside)
    assert {one.split for one in dataset.examples} == set(SPLITS)
    gone = [one for one in dataset.set_aside if not (tmp_path / "photos" / one.path).exists()]
    assert gone  # some were gone before they were read, and are told
    again = noria.check(tmp_path / "photos")  # what the cache keeps of before is not believed of changed files
    halves = {str(path.relative_to(tmp_path / "photos")) for path in victims[1::4] if path.exists()}
    kept = {one.path: one.sha256 for one in again.examples}
    assert not {path for path in halves if path in kept and _cut(tmp_path / "photos" / path)}


def _cut(path: Path) -> bool:
    return not path.read_bytes().endswith(b"\xff\xd9")


def test_ten_thousand_files_are_checked_in_little_memory(shared_data: Path, tmp_path: Path) -> None:
    """Links to a hundred photos, so that what is measured is the listing, the hashes and the bookkeeping."""
    count, photos = 10_000, sorted((shared_data / "neu_det" / "IMAGES").glob("*.jpg"))[:100]
    for label in "ab":
        (tmp_path / "set" / label).mkdir(parents=True)
    for number in range(count):
        path = photos[number % len(photos)]
        os.link(_own(path, tmp_path), tmp_path / "set" / "ab"[number % 2] / f"{number:06}.jpg")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    dataset = noria.check(tmp_path / "set")
    assert len(dataset.examples) == count
    (copies,) = (one for one in dataset.findings if one.kind == "exact_duplicates")
    assert copies.count == count - len(photos)
    assert dataset.proof is not None
    assert sum(dataset.proof["cross_split_pairs"].values()) == 0
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < GIB


def _own(path: Path, folder: Path) -> Path:
    """A copy on the same disk, for links."""
    own = folder / path.name
    if not own.exists():
        shutil.copyfile(path, own)
    return own
