"""A folder of text files for each class is read, each file in its own encoding."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from noria.contracts import Candidate, Silent
from noria.data.readers import Columns, Listing, image_folder, text_folder


def write(root: Path, **files: bytes | str) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def reasons(listing: Listing, kind: str) -> dict[str, str]:
    return {one.path: one.reason for one in listing.set_aside.get(kind, ())}


def test_the_first_folder_is_the_label_and_the_text_is_held(tmp_path: Path) -> None:
    write(tmp_path, **{"pos/1.txt": "good", "pos/deep/2.TXT": "猫", "neg/3.txt.gz": gzip.compress(b"bad")})
    listing = text_folder.read(tmp_path, Columns())
    assert listing.candidates == (
        Candidate("neg/3.txt.gz", "neg"),
        Candidate("pos/1.txt", "pos"),
        Candidate("pos/deep/2.TXT", "pos"),
    )
    assert list(listing.sources()) == [b"bad", b"good", "猫".encode()]


def test_a_folder_laid_out_as_the_film_reviews_are_keeps_its_split_and_leaves_out_what_has_no_label(
    tmp_path: Path,
) -> None:
    layout = [
        f"{side}/{label}/0_{rating}.txt" for side in ("train", "test") for label, rating in (("pos", 9), ("neg", 1))
    ]
    files = [*layout, "train/unsup/0_0.txt", "README", "imdb.vocab", "train/urls_pos.txt", "train/labeledBow.feat"]
    listing = text_folder.read(write(tmp_path, **dict.fromkeys(files, "some text")), Columns())
    assert {(one.path, one.label, one.split) for one in listing.candidates} == {
        (path, path.split("/")[1], path.split("/")[0]) for path in layout
    }
    assert reasons(listing, "unlabelled").keys() == {"train/unsup/0_0.txt", "train/urls_pos.txt"}
    assert listing.empty_labels == ()
    assert "given_split" in {one.kind for one in listing.findings}


def test_files_that_hold_no_text_are_set_aside(tmp_path: Path) -> None:
    broken = {"pos/cut.txt.gz": gzip.compress(b"x" * 1000)[:20], "pos/bad.txt": "é à ü".encode() + b"\xe9"}
    write(tmp_path, **{"pos/1.txt": "good", "neg/2.txt": " \n", "pos/notes.md": "x", **broken})
    listing = text_folder.read(tmp_path, Columns())
    assert [one.path for one in listing.candidates] == ["pos/1.txt"]
    assert reasons(listing, "empty_text").keys() == {"neg/2.txt"}
    assert reasons(listing, "passed_over").keys() == {"pos/notes.md"}
    assert reasons(listing, "unreadable").keys() == {"pos/cut.txt.gz", "pos/bad.txt"}
    assert listing.empty_labels == ("neg",)


def test_each_file_has_its_own_encoding_and_guesses_are_told(tmp_path: Path) -> None:
    long = "这家酒店的服务很好，下次还会再来，房间太小，也不干净" * 3
    write(tmp_path, **{"a/1.txt": "é".encode(), "a/2.txt": "ok".encode("utf-16"), "b/3.txt": long.encode("gb18030")})
    write(tmp_path, **{"b/4.txt": "毛巾".encode("gb18030")})
    listing = text_folder.read(tmp_path, Columns())
    assert list(listing.sources()) == [text.encode() for text in ("é", "ok", long, "毛巾")]
    told = {one.examples: one for one in listing.findings if one.kind == "encoding"}
    assert told["b/3.txt", "b/4.txt"].severity == "warning"
    assert "这家酒店" in told["b/3.txt", "b/4.txt"].message
    assert told["a/1.txt",].severity == told["a/2.txt",].severity == "info"
    said = text_folder.read(tmp_path, Columns(encoding="gb18030"))
    assert [one.message for one in said.findings] == ["Read as GB18030 (simplified Chinese) as was said."]


def test_a_guess_about_texts_to_be_answered_is_told(tmp_path: Path) -> None:
    told: list[str] = []

    class Notes(Silent):
        def note(self, text: str) -> None:
            told.append(text)

    write(tmp_path, **{"1.txt": "这家酒店的服务很好，下次还会再来".encode("gb18030"), "2.txt": "fine"})
    found = dict(text_folder.inputs(tmp_path, Columns(), Notes()))
    assert found[str(tmp_path / "1.txt")] == "这家酒店的服务很好，下次还会再来".encode()
    assert len(told) == 1 and "Guessed: GB18030" in told[0]


def test_texts_in_a_linked_folder_are_answered_once(tmp_path: Path) -> None:
    write(tmp_path, **{"elsewhere/1.txt": "good", "texts/deep/2.txt": "bad"})
    (tmp_path / "texts" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "texts" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "texts" / "deep" / "round").symlink_to(tmp_path / "texts")
    found = dict(text_folder.inputs(tmp_path / "texts", Columns()))
    assert {Path(name).relative_to(tmp_path / "texts").as_posix(): text for name, text in found.items()} == {
        "a/1.txt": b"good",
        "deep/2.txt": b"bad",
    }


@pytest.mark.parametrize(
    ("files", "texts"),
    [
        (["pos/1.txt", "neg/2.txt"], True),
        (["train/pos/1.txt.gz", "README.md"], True),
        (["cat/1.jpg", "cat/notes.txt"], False),
        (["cat/1.jpg", "cat/1.txt", "dog/2.png", "dog/2.txt"], False),
        (["cat/1", "dog/2"], False),
        (["1.txt", "cat/.hidden.txt"], False),
    ],
)
def test_folders_of_texts_are_told_from_folders_of_pictures(tmp_path: Path, files: list[str], texts: bool) -> None:
    write(tmp_path, **dict.fromkeys(files, "x"))
    assert text_folder.recognises(tmp_path) == texts
    assert image_folder.recognises(tmp_path) != texts
    assert not text_folder.recognises(tmp_path / "nothing")
