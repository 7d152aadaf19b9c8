"""Decisions applied: the next dataset has what was said, says where it came from, and no file of the user's changes."""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from noria.artifacts.dataset import Dataset
from noria.contracts import Finding, Silent
from noria.data.audit import audit
from noria.data.check import check
from noria.data.decisions import Decision, append, taking_back
from noria.data.mending import Known, places_of
from noria.inputs.image import Settings
from noria.inputs.text import Settings as TextSettings

SETTINGS = Settings()
LABELS = ("daisy", "rose")


@pytest.fixture
def flowers(shared_data: Path, tmp_path: Path) -> Path:
    """24 real photos of two flowers; a daisy lies among the roses too, a rose twice, once as PNG."""
    root = tmp_path / "flowers"
    for label in LABELS:
        (root / label).mkdir(parents=True)
        for number, photo in enumerate(sorted((shared_data / "flowers" / label).glob("*.jpg"))[:12]):
            shutil.copyfile(photo, root / label / f"{number:02}.jpg")
    shutil.copyfile(root / "daisy" / "00.jpg", root / "rose" / "daisy.jpg")
    shutil.copyfile(root / "rose" / "01.jpg", root / "rose" / "twin.jpg")
    with Image.open(root / "rose" / "02.jpg") as photo:
        photo.save(root / "rose" / "lossless.png")
    return root


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def about(root: Path, verdict: str, path: str, *, label: str = "", other: str = "", finding: str = "all") -> Decision:
    hashes = sha256(root / path), sha256(root / other) if other else ""
    finding = finding if verdict == "keep" else ""
    return Decision(verdict, path, hashes[0], label, other, hashes[1], finding)  # type: ignore[arg-type]


def mended(root: Path, *decisions: Decision) -> Dataset:
    """Check with decisions more."""
    log = root.with_name("flowers.decisions.csv")
    for one in decisions:
        append(log, one)
    return check(root, settings=SETTINGS, decisions=log)


def finding(dataset: Dataset, kind: str) -> Finding | None:
    return next((one for one in dataset.findings if one.kind == kind), None)


def labels(dataset: Dataset) -> dict[str, str]:
    return {one.path: one.label for one in dataset.examples}


def suspects(dataset: Dataset, kind: str) -> list[tuple[str, str, str]]:
    found = finding(dataset, kind)
    return [] if found is None else [(one.path, one.label, one.other) for one in found.suspects]


def test_what_a_person_is_to_judge_is_named_with_what_it_is_compared_with(flowers: Path) -> None:
    (flowers / "daisy" / "broken.jpg").write_bytes(b"no picture")
    dataset = check(flowers, settings=SETTINGS)
    assert suspects(dataset, "conflicting_labels") == [
        ("daisy/00.jpg", "daisy", "rose/daisy.jpg"),
        ("rose/daisy.jpg", "rose", "daisy/00.jpg"),
    ]
    assert suspects(dataset, "exact_duplicates") == [
        ("rose/twin.jpg", "rose", "rose/01.jpg"),
        ("rose/lossless.png", "rose", "rose/02.jpg"),
    ]
    assert suspects(dataset, "unreadable") == [("daisy/broken.jpg", "daisy", "")]


def test_every_decision_is_in_the_next_dataset_and_none_in_the_files(flowers: Path) -> None:
    before = {path: path.read_bytes() for path in flowers.rglob("*.*")}
    dataset = mended(
        flowers,
        about(flowers, "drop", "rose/twin.jpg"),
        about(flowers, "relabel", "rose/05.jpg", label="daisy"),
        about(flowers, "relabel", "rose/06.jpg", label="peony"),
        about(flowers, "keep", "daisy/00.jpg"),
        about(flowers, "keep", "rose/lossless.png"),
    )
    assert {path: path.read_bytes() for path in flowers.rglob("*.*")} == before
    found = labels(dataset)
    assert (found["rose/05.jpg"], found["rose/06.jpg"], found["daisy/00.jpg"]) == ("daisy", "peony", "daisy")
    assert dataset.labels == ("daisy", "peony", "rose")
    # The twin was dropped; the daisy among the roses is the wrong one of two, since the other was kept.
    reasons = {one.path: one.reason for one in dataset.set_aside}
    assert set(reasons) == {"rose/twin.jpg", "rose/daisy.jpg"}
    assert reasons["rose/twin.jpg"] == "left out by decision: line 2"
    assert reasons["rose/daisy.jpg"].startswith("another label is right by decision: labelled rose, but daisy/00.jpg")
    assert finding(dataset, "conflicting_labels") is None
    assert finding(dataset, "exact_duplicates") is None  # one copy is dropped, the other was kept
    told = finding(dataset, "labels_decided")
    assert told is not None and told.severity == "info"
    assert "1 from 'rose' to 'daisy', 1 from 'rose' to 'peony'" in told.message
    assert "No input was given the label 'peony': it is new." in told.message
    dropped = finding(dataset, "dropped")
    assert dropped is not None and dropped.count == 2


def test_the_dataset_says_which_decisions_it_has_and_which_version_it_came_from(flowers: Path, tmp_path: Path) -> None:
    plain = check(flowers, settings=SETTINGS)
    assert plain.decisions is None
    dataset = mended(flowers, about(flowers, "drop", "rose/twin.jpg"))
    log = flowers.with_name("flowers.decisions.csv")
    assert dataset.decisions == {
        "file": str(log),
        "sha256": sha256(log),
        "counts": {"drop": 1, "without_input": 0, "refused": 0},
        "from": plain.fingerprint,
    }
    dataset.save(tmp_path / "saved")
    assert Dataset.load(tmp_path / "saved").decisions == dataset.decisions
    assert dataset.fingerprint != plain.fingerprint
    shutil.copyfile(log, tmp_path / "elsewhere.csv")
    assert check(flowers, settings=SETTINGS, decisions=tmp_path / "elsewhere.csv").fingerprint == dataset.fingerprint


def test_undo_brings_the_dataset_back_to_the_bit(flowers: Path) -> None:
    plain = check(flowers, settings=SETTINGS)
    decisions = [
        about(flowers, "drop", "rose/03.jpg"),
        about(flowers, "relabel", "rose/04.jpg", label="daisy"),
        about(flowers, "same", "daisy/05.jpg", other="daisy/06.jpg"),
        about(flowers, "keep", "rose/daisy.jpg"),
    ]
    steps = [plain.fingerprint, *(mended(flowers, one).fingerprint for one in decisions)]
    assert len(set(steps)) >= 4
    for one, step in zip(reversed(decisions), reversed(steps[:-1]), strict=True):
        assert mended(flowers, taking_back(one)).fingerprint == step
    assert mended(flowers).findings == plain.findings


def test_the_last_word_counts(flowers: Path) -> None:
    drop, keep = about(flowers, "drop", "rose/twin.jpg"), about(flowers, "keep", "rose/twin.jpg")
    assert "rose/twin.jpg" not in labels(mended(flowers, keep, drop))
    assert "rose/twin.jpg" in labels(mended(flowers, keep))
    assert "rose/twin.jpg" not in labels(mended(flowers, taking_back(keep)))


def test_what_is_the_same_thing_stays_on_one_side(flowers: Path) -> None:
    sides = {one.path: one.split for one in check(flowers, settings=SETTINGS).examples}
    apart = [path for path in sides if path.startswith("daisy/") and sides[path] != sides["daisy/01.jpg"]]
    assert apart
    dataset = mended(flowers, *(about(flowers, "same", path, other="daisy/01.jpg") for path in apart[:3]))
    found = {one.path: one.split for one in dataset.examples}
    assert len({found[path] for path in ("daisy/01.jpg", *apart[:3])}) == 1


@pytest.fixture
def alike(two_flowers: Callable[[int], Path]) -> Path:
    """Two flowers, of which one daisy has two near copies, a smaller and a darker one."""
    root = two_flowers(14)
    (daisy, *_) = sorted((root / "daisy").glob("*.jpg"))[3:]
    with Image.open(daisy) as photo:
        photo.save(root / "daisy" / "a.png")
        photo.resize((photo.width // 2, photo.height // 2)).save(root / "daisy" / "b small.png")
        photo.point(lambda value: value * 3 // 4).save(root / "daisy" / "c dark.png")
    daisy.unlink()
    return root


def test_near_copies_that_are_different_by_decision_part_and_the_dataset_says_so(alike: Path, tmp_path: Path) -> None:
    before = suspects(check(alike, settings=SETTINGS), "near_duplicates")
    assert {one[0] for one in before} == {"daisy/b small.png", "daisy/c dark.png"}
    one = about(alike, "different", "daisy/b small.png", other="daisy/a.png")
    dataset = mended(alike, one)
    # The small one is still like the dark one, which is like the first: a pair that was passed over is found now.
    assert suspects(dataset, "near_duplicates") == [
        ("daisy/c dark.png", "daisy", "daisy/a.png"),
        ("daisy/b small.png", "daisy", "daisy/c dark.png"),
    ]
    told = finding(dataset, "still_together")
    assert told is not None and told.severity == "warning" and told.suspects[0].other == "daisy/b small.png"
    assert len({one.split for one in dataset.examples if one.path.endswith(".png")}) == 1
    dataset = mended(alike, about(alike, "different", "daisy/c dark.png", other="daisy/b small.png"))
    assert suspects(dataset, "near_duplicates") == [("daisy/c dark.png", "daisy", "daisy/a.png")]
    assert finding(dataset, "still_together") is None
    assert dataset.proof is not None
    assert dataset.proof["ties"]["near_duplicates"] == 1
    assert dataset.proof["different"] == [
        ["daisy/a.png", "daisy/b small.png"],
        ["daisy/b small.png", "daisy/c dark.png"],
    ]
    dataset.save(tmp_path / "saved")
    again = audit(tmp_path / "saved", progress=Silent())
    assert again.proof == dataset.proof
    assert finding(again, "leak") is None
    # Undo, and the later word of two about a pair.
    assert mended(alike, taking_back(one), about(alike, "same", "daisy/a.png", other="daisy/b small.png")).proof != ()
    assert finding(mended(alike), "near_duplicates") is not None


def test_a_split_of_near_copies_that_are_different_by_decision_is_no_leak(alike: Path, tmp_path: Path) -> None:
    (alike / "daisy" / "c dark.png").unlink()
    pair = about(alike, "different", "daisy/b small.png", other="daisy/a.png")
    for seed in range(20):  # somewhere they fall on two sides
        dataset = mended(alike, *([pair] if not seed else []))
        dataset = check(alike, settings=SETTINGS, decisions=alike.with_name("flowers.decisions.csv"), seed=seed)
        if len({one.split for one in dataset.examples if one.path.endswith(".png")}) == 2:
            break
    assert dataset.seed < 19
    assert dataset.proof is not None and set(dataset.proof["cross_split_pairs"].values()) == {0}
    dataset.save(tmp_path / "saved")
    assert finding(audit(tmp_path / "saved", progress=Silent()), "leak") is None


def test_a_decision_that_parts_what_nothing_ties_is_told(alike: Path) -> None:
    dataset = mended(alike, about(alike, "different", "daisy/b small.png", other="daisy/a.png"))
    assert finding(dataset, "never_together") is None  # though it is not found near any more
    photo = next(alike.glob("rose/*.jpg")).relative_to(alike).as_posix()
    dataset = mended(alike, about(alike, "different", photo, other="daisy/a.png"))
    told = finding(dataset, "never_together")
    assert told is not None and (told.severity, told.count, told.examples) == ("info", 1, ("daisy/a.png",))
    assert f"daisy/a.png and {photo}" in told.message


def test_copies_with_the_same_pixels_are_not_different_by_decision(flowers: Path) -> None:
    dataset = mended(flowers, about(flowers, "different", "rose/lossless.png", other="rose/02.jpg"))
    told = finding(dataset, "still_together")
    assert told is not None and "have the same content" in told.message
    assert len(suspects(dataset, "exact_duplicates")) == 2


def test_what_leaks_across_a_given_split_is_told_in_pairs_and_used_again_where_they_are_different(
    alike: Path, tmp_path: Path
) -> None:
    rows = ["path,label,split,group"]
    photos = sorted(str(path.relative_to(alike)) for path in alike.rglob("*.*g"))
    sides = {"daisy/a.png": "test", "daisy/b small.png": "train", "daisy/c dark.png": "validation"}
    rows += [f"{path},{path.split('/')[0]},{sides.get(path, 'train')}," for path in photos]
    (alike / "all.csv").write_text("\n".join(rows))
    log = tmp_path / "log.csv"

    def checked(*decisions: Decision) -> Dataset:
        for one in decisions:
            append(log, one)
        return check(alike / "all.csv", settings=SETTINGS, decisions=log)

    dataset = checked()
    assert {one[0] for one in suspects(dataset, "given_split_leak")} == {"daisy/b small.png", "daisy/c dark.png"}
    (small,) = [one for one in suspects(dataset, "given_split_leak") if one[0] == "daisy/b small.png"]
    assert small[2] == "daisy/a.png"
    reasons = {one.path: one.reason for one in dataset.set_aside}
    assert reasons["daisy/b small.png"] == "given as train, but daisy/a.png, nearly the same, as test"
    dataset = checked(about(alike, "different", "daisy/b small.png", other="daisy/a.png"))
    reasons = {one.path: one.reason for one in dataset.set_aside}
    assert reasons["daisy/b small.png"] == (
        "given as train, but daisy/c dark.png, nearly the same, is tied to daisy/a.png, given as test"
    )
    dataset = checked(about(alike, "different", "daisy/b small.png", other="daisy/c dark.png"))
    assert [one[0] for one in suspects(dataset, "given_split_leak")] == ["daisy/c dark.png"]
    assert {one.path: one.split for one in dataset.examples}["daisy/b small.png"] == "train"
    dataset = checked(about(alike, "different", "daisy/c dark.png", other="daisy/a.png"))
    assert finding(dataset, "given_split_leak") is None


def test_near_copies_of_texts_part_too_and_those_that_are_like_another_stay(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(60)]
    texts = [" ".join([*words[:at], "other", *words[at + 1 :]]) for at in (5, 25, 45)]
    lines = [
        f"review {number} of thing {number * 7} with words {number * 13} that {number * 17} differ"
        for number in range(30)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *(f"{text},{'ab'[n % 2]}" for n, text in enumerate(lines)),
                                               *(f"{text},a" for text in texts)]))  # fmt: skip
    log = tmp_path / "log.csv"

    def near(*decisions: Decision) -> list[tuple[str, str, str]]:
        for one in decisions:
            append(log, one)
        dataset = check(tmp_path / "t.csv", settings=TextSettings(), task="text_classification", decisions=log)
        return sorted(suspects(dataset, "near_duplicates"))

    assert [one[0] for one in near()] == ["t.csv:33", "t.csv:34"]
    # Only two of three pairs were needed to connect them; the third is looked for where one of them is none.
    found = near(
        Decision("different", "t.csv:32", other="t.csv:34"), Decision("different", "t.csv:32", other="t.csv:33")
    )
    assert [(one[0], one[2]) for one in found] == [("t.csv:34", "t.csv:33")]


def test_a_relabelled_copy_is_no_contradiction_any_more(flowers: Path) -> None:
    dataset = mended(flowers, about(flowers, "relabel", "rose/daisy.jpg", label="daisy"))
    assert finding(dataset, "conflicting_labels") is None
    assert labels(dataset)["daisy/00.jpg"] == labels(dataset)["rose/daisy.jpg"] == "daisy"
    # That it is a copy now is something else than its label, and nobody has answered it.
    copies = [one[0] for one in suspects(dataset, "exact_duplicates")]
    assert copies == ["rose/daisy.jpg", "rose/twin.jpg", "rose/lossless.png"]


def test_an_answered_suspect_is_told_no_more_and_the_others_are(flowers: Path) -> None:
    dataset = mended(flowers, about(flowers, "keep", "rose/twin.jpg"))
    found = finding(dataset, "exact_duplicates")
    assert found is not None
    assert (found.count, found.examples) == (1, ("rose/lossless.png",))
    assert found.message.endswith("Of them 1 answered, 1 open.")


def test_what_is_kept_is_kept_for_one_finding_and_told_in_the_others(flowers: Path) -> None:
    keep = partial(about, flowers, "keep", "rose/twin.jpg")
    for finding, count in (("wrong_labels", 2), ("near_duplicates", 2), ("exact_duplicates", 1), ("all", 1)):
        log = flowers.with_name("flowers.decisions.csv")
        log.unlink(missing_ok=True)
        assert len(suspects(mended(flowers, keep(finding=finding)), "exact_duplicates")) == count, finding


def test_a_pair_that_is_kept_is_told_no_more_and_its_inputs_in_other_pairs_are(flowers: Path) -> None:
    pair = about(flowers, "keep", "rose/twin.jpg", other="rose/01.jpg", finding="exact_duplicates")
    assert [one[0] for one in suspects(mended(flowers, pair), "exact_duplicates")] == ["rose/lossless.png"]
    other = about(flowers, "keep", "rose/lossless.png", other="rose/01.jpg", finding="")
    assert [one[0] for one in suspects(mended(flowers, other), "exact_duplicates")] == ["rose/lossless.png"]
    backwards = about(flowers, "keep", "rose/02.jpg", other="rose/lossless.png", finding="")
    assert suspects(mended(flowers, backwards), "exact_duplicates") == []


def test_who_keeps_a_blurred_picture_says_nothing_of_its_label(flowers: Path) -> None:
    blurred = about(flowers, "keep", "daisy/00.jpg", finding="blurred")
    assert len(suspects(mended(flowers, blurred), "conflicting_labels")) == 2  # not decided by that
    relabel = about(flowers, "relabel", "rose/05.jpg", label="daisy")
    assert labels(mended(flowers, relabel))["rose/05.jpg"] == "daisy"
    assert labels(mended(flowers, about(flowers, "keep", "rose/05.jpg", finding="dark")))["rose/05.jpg"] == "daisy"
    drop = about(flowers, "drop", "rose/05.jpg")
    assert "rose/05.jpg" not in labels(mended(flowers, drop))
    assert labels(mended(flowers, about(flowers, "keep", "rose/05.jpg", finding="dark")))["rose/05.jpg"] == "daisy"
    kept = about(flowers, "keep", "rose/05.jpg", finding="wrong_labels")
    assert labels(mended(flowers, kept))["rose/05.jpg"] == "rose"


def test_to_keep_without_a_word_of_what_is_refused_with_the_way_out(flowers: Path) -> None:
    log = flowers.with_name("flowers.decisions.csv")
    rows = ["rose/twin.jpg,keep,,", "rose/twin.jpg,keep,exact_duplicate,", "rose/twin.jpg,keep,,blurred on purpose"]
    log.write_text("\n".join(["path,decision,finding,note", *rows, ""]))
    dataset = mended(flowers)
    assert len(suspects(dataset, "exact_duplicates")) == 2
    told = finding(dataset, "decisions_refused")
    assert told is not None
    assert told.examples == tuple(f"flowers.decisions.csv:{line}" for line in (2, 3, 4))
    assert "the column finding needs a kind of finding, such as wrong_labels, or all" in told.message
    log.write_text("\n".join(["path,decision,finding", "rose/twin.jpg,keep,exact_duplicate", ""]))
    told = finding(mended(flowers), "decisions_refused")
    assert told is not None and "Did you mean 'exact_duplicates'? Or say all." in told.message


def test_a_file_that_has_the_finding_in_its_note_is_read_and_continued(flowers: Path) -> None:
    log = flowers.with_name("flowers.decisions.csv")
    log.write_text("path,decision,note\nrose/twin.jpg,keep,exact_duplicates\n")
    assert [one[0] for one in suspects(mended(flowers), "exact_duplicates")] == ["rose/lossless.png"]
    dataset = mended(flowers, about(flowers, "keep", "rose/lossless.png", finding="exact_duplicates"))
    assert finding(dataset, "exact_duplicates") is None


def test_what_is_not_there_any_more_is_told_and_no_error(flowers: Path) -> None:
    gone = about(flowers, "drop", "rose/07.jpg")
    changed = about(flowers, "drop", "rose/08.jpg")
    (flowers / "rose" / "07.jpg").unlink()
    shutil.copyfile(flowers / "rose" / "09.jpg", flowers / "rose" / "08.jpg")
    dataset = mended(flowers, gone, changed, Decision("keep", "rose/never.jpg", finding="all"))
    told = finding(dataset, "decisions_without_input")
    assert told is not None and told.severity == "info"
    assert told.examples == ("rose/07.jpg", "rose/08.jpg", "rose/never.jpg")
    assert "rose/08.jpg" in labels(dataset)


def test_a_moved_file_takes_its_decision_along_and_its_copy_does_not(flowers: Path) -> None:
    drop = about(flowers, "drop", "rose/twin.jpg", label="rose")
    (flowers / "rose" / "twin.jpg").rename(flowers / "rose" / "moved.jpg")
    found = labels(mended(flowers, drop))
    assert ("rose/moved.jpg" in found) != ("rose/01.jpg" in found)  # one of two with the same bytes
    relabel = about(flowers, "relabel", "rose/10.jpg", label="daisy")
    (flowers / "deep").mkdir()
    (flowers / "rose" / "10.jpg").rename(flowers / "daisy" / "10 moved.jpg")
    assert labels(mended(flowers, relabel))["daisy/10 moved.jpg"] == "daisy"


def test_a_row_by_hand_goes_by_the_path(flowers: Path) -> None:
    log = flowers.with_name("flowers.decisions.csv")
    log.write_text("path;decision;label\nrose/03.jpg;drop\nrose/04.jpg;relabel;daisy\nrose/05.jpg;dorp\n", "utf-8")
    dataset = mended(flowers)
    assert "rose/03.jpg" not in labels(dataset)
    assert labels(dataset)["rose/04.jpg"] == "daisy"
    told = finding(dataset, "decisions_refused")
    assert told is not None and told.severity == "warning"
    assert "line 4" in told.message and "Did you mean 'drop'" in told.message


def test_an_unreadable_file_can_be_dropped_or_kept(flowers: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (flowers / "rose" / name).write_bytes(f"no picture {name}".encode())
    dataset = mended(flowers, about(flowers, "drop", "rose/a.jpg"), about(flowers, "keep", "rose/b.jpg"))
    assert finding(dataset, "unreadable") is None
    assert {"rose/a.jpg", "rose/b.jpg"} <= {one.path for one in dataset.set_aside}


def test_texts_of_a_table_are_known_by_their_bytes_when_rows_move(shared_data: Path, tmp_path: Path) -> None:
    with (shared_data / "zh_reviews" / "ChnSentiCorp_htl_all.csv").open(encoding="utf-8-sig", newline="") as file:
        head, *rows = list(csv.reader(file))[:400:10]
    path, log = tmp_path / "hotels.csv", tmp_path / "log.csv"

    def checked(some: list[list[str]], *, decisions: Path | None = log) -> Dataset:
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([head, *some])
        return check(path, settings=TextSettings(), task="text_classification", decisions=decisions)

    rows = [[str(number % 2), text] for number, (_, text) in enumerate(rows)]
    contradiction = ["1" if rows[0][0] == "0" else "0", rows[0][1]]
    first = checked([*rows, contradiction])
    (wrong,) = [one for one in suspects(first, "conflicting_labels") if one[1] == contradiction[0]]
    text = hashlib.sha256(rows[0][1].encode()).hexdigest()
    append(log, Decision("drop", wrong[0], text, label=wrong[1]))
    for order in ([*rows, contradiction], [contradiction, *rows], [rows[5], contradiction, *rows[:5], *rows[6:]]):
        dataset = checked(order)
        assert finding(dataset, "conflicting_labels") is None
        assert [one.label for one in dataset.examples if one.sha256 == text] == [rows[0][0]]
        assert dataset.read(next(one for one in dataset.examples if one.sha256 == text)) == rows[0][1].encode()


def test_of_copies_that_were_moved_each_decision_takes_one() -> None:
    known = [Known("new/a.jpg", "1" * 64, "x"), Known("new/b.jpg", "1" * 64, "y"), Known("c.jpg", "2" * 64, "x")]
    moved = [Decision("drop", "old/b.jpg", "1" * 64), Decision("drop", "old/z.jpg", "1" * 64, label="x")]
    assert places_of(moved, known) == [(1,), (0,)]
    assert places_of([Decision("drop", "gone.jpg", "1" * 64, label="y")], known) == [(1,)]
    assert places_of([Decision("keep", sha256="1" * 64)], known) == [(0, 1)]
    assert places_of([Decision("keep", "c.jpg", "3" * 64)], known) == [()]
