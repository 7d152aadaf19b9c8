"""A table of paths and labels is read as a person would read it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from noria.contracts import Candidate
from noria.data import readers
from noria.data.readers import Listing, find_reader, manifest
from noria.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.jpg", "c, d.jpg", "new\nline.jpg", "猫.jpg"):
        (tmp_path / "images" / name).touch()
    return tmp_path


def read(folder: Path, text: str | bytes, name: str = "labels.csv") -> Listing:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return readers.read(path, find_reader(path))


def set_aside(listing: Listing, kind: str) -> dict[str, str]:
    return {one.path: one.reason for one in listing.set_aside.get(kind, ())}


def test_quotes_newlines_and_a_byte_order_mark_are_read(folder: Path) -> None:
    text = '\ufeffPath, LABEL ,Split,group\r\nimages/a.jpg, cat,VAL,\r\n"images/c, d.jpg","big, ""fat"" cat",,7\r\n'
    text += '\r\n"images/new\nline.jpg",猫,test,x\r\n./images/../images/猫.jpg,dog,train,x\r\n'
    assert read(folder, text).candidates == (
        Candidate("images/a.jpg", "cat", "validation"),
        Candidate("images/c, d.jpg", 'big, "fat" cat', None, "7"),
        Candidate("images/new\nline.jpg", "猫", "test", "x"),
        Candidate("images/猫.jpg", "dog", "train", "x"),
    )


@pytest.mark.parametrize(("name", "mark"), [("a.tsv", "\t"), ("a.csv", ";"), ("a.csv", "\t")])
def test_tabs_and_semicolons_are_read(folder: Path, name: str, mark: str) -> None:
    text = f"path{mark}label\nimages/a.jpg{mark}cat\n"
    assert read(folder, text, name).candidates == (Candidate("images/a.jpg", "cat"),)


def test_json_lines_are_read_and_numbers_may_be_labels(folder: Path) -> None:
    rows = [
        {"path": "images/a.jpg", "label": 3, "group": None},
        {"Path": "images/猫.jpg", "label": "x", "split": "val"},
    ]
    listing = read(folder, "\n\n".join(map(json.dumps, rows)) + "\n", "a.jsonl")
    assert listing.candidates == (Candidate("images/a.jpg", "3"), Candidate("images/猫.jpg", "x", "validation"))
    listing = read(folder, '{"path": "images/a.jpg", "label": [1]}', "a.jsonl")
    assert "neither text nor a number" in set_aside(listing, "unlabelled")["images/a.jpg"]


def test_absolute_paths_below_the_table_are_kept_as_relative_and_others_as_they_are(folder: Path) -> None:
    inside, outside = folder / "images" / "a.jpg", folder / "images" / "b.jpg"
    (folder / "deep").mkdir()
    assert read(folder, f"path,label\n{inside},cat\n").candidates == (Candidate("images/a.jpg", "cat"),)
    listing = read(folder / "deep", f"path,label\n{outside},cat\n../images/a.jpg,dog\n")
    assert listing.candidates == (Candidate("../images/a.jpg", "dog"), Candidate(str(outside), "cat"))


def test_paths_written_on_windows_are_found(folder: Path) -> None:
    assert read(folder, "path,label\nimages\\a.jpg,cat\n").candidates == (Candidate("images/a.jpg", "cat"),)


def test_rows_that_cannot_be_used_are_set_aside_with_their_line(folder: Path) -> None:
    listing = read(
        folder, 'path,label\nimages/a.jpg,cat\n"images/new\nline.jpg",\nimages/x.jpg,cat\nimages,cat\n,cat\na,b,c\n'
    )
    assert set_aside(listing, "unreachable") == {
        "images/x.jpg": "line 5: there is no such file",
        "images": "line 6: it is not a file",
    }
    assert set_aside(listing, "unlabelled") == {
        "images/new\nline.jpg": "line 3: the label is empty",
        "": "line 7: the path is empty",
        "a": "line 8: it has 1 cells more than the header; put text with a comma in quotes",
    }


def test_a_path_with_two_labels_has_none_and_a_repeated_row_counts_once(folder: Path) -> None:
    rows = "images/a.jpg,cat\nimages/b.jpg,cat\nimages/./a.jpg,dog\nimages/b.jpg,cat\n"
    listing = read(folder, f"path,label\n{rows}")
    assert listing.candidates == (Candidate("images/b.jpg", "cat"),)
    assert "line 2: cat" in set_aside(listing, "conflicting_rows")["images/a.jpg"]
    assert [(one.kind, one.examples) for one in listing.findings] == [("repeated_rows", ("images/b.jpg",))]


def test_a_label_with_a_space_around_it_contradicts_nothing(folder: Path) -> None:
    listing = read(folder, 'path,label\nimages/a.jpg,"cat "\nimages/a.jpg,cat\n')
    assert listing.set_aside == {}
    assert len(listing.candidates) == 1
    assert [one.kind for one in listing.findings] == ["repeated_rows"]


def test_columns_that_are_not_used_are_told(folder: Path) -> None:
    (finding,) = read(folder, "id,path,label,width\n1,images/a.jpg,cat,3\n").findings
    assert (finding.kind, finding.examples) == ("ignored_columns", ("id", "width"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,lable\na,b\n", "no column 'label'.*Did you mean 'lable'"),
        ("images/a.jpg,cat\n", "no column 'path'"),
        ("path,label,label\n", "'label' more than once"),
        ('path,label\n"images/a.jpg,cat\nimages/b.jpg,cat\n', "quote that is not closed"),
        ("path,label\n" + "x" * 200_000 + ",cat\n", "line 2"),
        ("path,label,split\nimages/a.jpg,cat,trian\n", "line 2.*'trian'.*Did you mean 'train'.*validation"),
        (b"path,label\nimages/a.jpg,caf\xe9\n", "line 2, is not UTF-8"),
        ("path,label\n".encode("utf-16"), "not UTF-8"),
    ],
)
def test_a_table_that_cannot_be_understood_says_where(folder: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(folder, text)


def test_a_limit_that_longer_texts_have_raised_is_not_this_tables(folder: Path) -> None:
    usual = csv.field_size_limit(2**26)
    try:
        with pytest.raises(DataError, match=r"line 2.*131,072"):
            read(folder, "path,label\n" + "x" * 200_000 + ",cat\n")
    finally:
        csv.field_size_limit(usual)


@pytest.mark.parametrize(("line", "message"), [("{", "line 2, is not valid JSON"), ("[1]", "line 2, is not an object")])
def test_a_broken_json_line_is_named(folder: Path, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(folder, f'{{"path": "images/a.jpg", "label": "x"}}\n{line}\n', "a.jsonl")


def test_a_path_with_a_null_character_is_set_aside(folder: Path) -> None:
    listing = read(folder, '{"path": "a\\u0000b", "label": "x"}\n', "a.jsonl")
    assert "null" in set_aside(listing, "unreachable")["a\0b"]


def test_only_tables_are_recognised(folder: Path) -> None:
    assert not manifest.recognises(folder)
    assert not manifest.recognises(folder / "images" / "a.jpg")
