"""The decisions file: a log that is appended, survives spreadsheets and kill -9, and whose last word counts."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.data.decisions import (
    COLUMNS,
    Decision,
    append,
    cell,
    default_place,
    place,
    place_to_write,
    read,
    taking_back,
)
from noria.errors import ConfigError, DataError, NoriaError

HASH = "0123456789abcdef" * 4
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["=1+2", "'=x", "-1", "+x", "@a", 'a"b', "a,b", "a\nb", " a ", "玫瑰", "a;b\t"]
)


def written(folder: Path, *decisions: Decision) -> Path:
    path = folder / "pets.decisions.csv"
    for one in decisions:
        append(path, one)
    return path


def table(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = folder / "by hand.csv"
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def said(decisions: Iterable[Decision]) -> list[tuple[str, str, str]]:
    return [(one.verdict, one.path, one.label) for one in decisions]


# The log


INPUTS = [("a.jpg", HASH), ("b.jpg", HASH), ("c.jpg", HASH[::-1]), ("d.jpg", "")]
WORDS = st.tuples(st.sampled_from(["keep", "drop", "relabel", "undo"]), st.sampled_from(INPUTS), st.sampled_from("xyz"))


@settings(max_examples=30, deadline=None)
@given(st.lists(WORDS, max_size=10))
def test_what_stands_is_each_inputs_words_without_those_that_were_taken_back(
    words: list[tuple[str, tuple[str, str], str]],
) -> None:
    expected: list[Decision] = []
    vain = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        for verdict, (name, sha256), label in words:
            append(path, Decision(verdict, name, sha256, label=label, finding="all"))  # type: ignore[arg-type]
            mine = [one for one in expected if one.path == name]
            # What has no word of its own left takes back one about the same bytes under another name.
            mine = mine or [one for one in expected if sha256 and one.sha256 == sha256]
            if verdict != "undo":
                expected.append(Decision(verdict, name, sha256, label))  # type: ignore[arg-type]
            elif mine:
                expected.remove(mine[-1]) if expected.count(mine[-1]) == 1 else _remove_last(expected, mine[-1])
            else:
                vain += 1
        log = read(path)
        assert said(log.standing) == said(expected)
        assert len(log.refused) == vain
        # Undo always works: one at a time, back to nothing.
        for left in reversed(range(len(log.standing))):
            append(path, taking_back(read(path).standing[-1]))
            assert said(read(path).standing) == said(expected[:left])


def _remove_last(decisions: list[Decision], one: Decision) -> None:
    del decisions[len(decisions) - 1 - decisions[::-1].index(one)]


@settings(max_examples=50, deadline=None)
@given(path=TEXTS, label=TEXTS, note=TEXTS)
def test_whatever_a_file_is_called_its_row_is_one_line_and_comes_back(path: str, label: str, note: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.csv"
        append(log, Decision("relabel", path, HASH, label=f"l{label}", note=note))
        append(log, Decision("keep", "next", HASH, finding="all"))
        assert log.read_bytes().count(b"\n") == 3
        first, second = read(log).standing
        assert (first.path, first.label, first.note) == (cell(path), cell(f"l{label}"), cell(note))
        assert second.path == "next"


def test_a_spreadsheet_computes_none_of_its_cells(tmp_path: Path) -> None:
    path = written(tmp_path, Decision("relabel", "=HYPERLINK(1).jpg", HASH, label="-1", note="@x"))
    head, row = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")))
    assert tuple(head) == COLUMNS
    assert [row[1], row[4], row[8]] == ["'=HYPERLINK(1).jpg", "-1", "'@x"]
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    (one,) = read(path).standing
    assert (one.path, one.label, one.note) == ("=HYPERLINK(1).jpg", "-1", "@x")


def test_nothing_is_written_twice_or_changed_by_what_follows(tmp_path: Path) -> None:
    path = written(tmp_path, Decision("keep", "a.jpg", HASH, finding="all"))
    before = path.read_bytes()
    append(path, Decision("drop", "b.jpg", HASH))
    append(path, taking_back(Decision("drop", "b.jpg", HASH)))
    assert path.read_bytes().startswith(before)


# Cut off


def test_a_row_that_was_cut_off_anywhere_is_told_and_never_half_believed(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        Decision("keep", "a, b.jpg", HASH, finding="all"),
        Decision("relabel", 'say "x".jpg', HASH, label="daisy flower", note="n, o"),
        Decision("same", "花.jpg", HASH, other="玫瑰.jpg", note="p"),
    )
    whole, rows = path.read_bytes(), read(path).standing
    ends = [at + 1 for at, byte in enumerate(whole) if byte == 10]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        log = read(path)
        complete = sum(end <= cut for end in ends) - 1
        # Only the note, or the end of the line, may be missing of what counts beside the complete ones.
        assert said(log.standing) in (said(rows[: max(complete, 0)]), said(rows[: complete + 1]))
        assert len(log.refused) <= 1
        if cut % 7 and cut > 60:  # the header at every place, the rows at some: each row waits for the disk
            continue
        append(path, Decision("drop", "last.jpg", HASH))
        after = read(path)
        assert said(after.standing) == [*said(log.standing), ("drop", "last.jpg", "")]
        assert len(after.refused) <= 1


KILLED = """
import sys
from pathlib import Path
from noria.data.decisions import Decision, append
for number in range(100_000):
    append(Path(sys.argv[1]), Decision("relabel", f"{number}.jpg", "ab" * 32, label="daisy, wild"))
    print(number, flush=True)
"""


def test_a_killed_writer_leaves_at_most_one_broken_row(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(20):
            child.stdout.readline()
        time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        written_down = 20 + len(child.stdout.readlines())
    log = read(path)
    assert len(log.refused) <= 1
    assert len(log.standing) >= written_down
    assert [one.path for one in log.standing] == [f"{number}.jpg" for number in range(len(log.standing))]


# By hand, and by spreadsheets


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_by_hand_needs_few_columns_in_any_order(
    tmp_path: Path, delimiter: str, encoding: str, end: str
) -> None:
    rows = [["Decision", "path", "label"], ["Drop", "rose/a b.jpg", ""], ["relabel", "玫瑰.jpg", "rose"], ["", "", ""]]
    path = tmp_path / "by hand.csv"
    path.write_bytes("".join(delimiter.join(row) + end for row in rows).encode(encoding))
    assert said(read(path).standing) == [("drop", "rose/a b.jpg", ""), ("relabel", "玫瑰.jpg", "rose")]
    append(
        path, Decision("relabel", "new.jpg", HASH, label="daisy")
    )  # in the columns and with the separator that are there
    assert path.read_text(encoding="utf-8").splitlines()[-1] == delimiter.join(["relabel", "new.jpg", "daisy"])
    assert len(read(path).standing) == 3
    with pytest.raises(DataError, match="no column 'other'"):
        append(path, Decision("same", "new.jpg", other="old.jpg"))


def test_a_note_may_have_line_breaks_as_spreadsheets_write_them(tmp_path: Path) -> None:
    path = table(tmp_path, "path,decision,note", 'a.jpg,drop,"two', 'lines"', "b.jpg,drop,", "")
    assert said(read(path).standing) == [("drop", "a.jpg", ""), ("drop", "b.jpg", "")]
    assert [one.line for one in read(path).standing] == [2, 4]


BAD = {
    "a.jpg,kepe,,,": "Did you mean 'keep'",
    ",keep,,,": "it names no input",
    "a.jpg,keep,,,": "does not say what is right as it is",
    "a.jpg,relabel,,,": "the label is empty",
    "a.jpg,same,,,": "other does not name another input",
    "a.jpg,same,,a.jpg,": "other does not name another input",
    "a.jpg,keep,,,abc": "no SHA-256",
    "a.jpg,undo,,,": "no decision about it to take back",
    "a.jpg,keep,,,,,": "it has 7 cells, and the header 5",
    'a.jpg,keep,"x,,': "a quote is not closed",
}


@pytest.mark.parametrize("row", BAD)
def test_a_bad_row_is_refused_with_its_line_and_reason_and_no_other(tmp_path: Path, row: str) -> None:
    path = table(tmp_path, "path,decision,label,other,sha256", "x.jpg,drop,,,", row, "z.jpg,drop,,,", "")
    log = read(path)
    assert [one.path for one in log.standing] == ["x.jpg", "z.jpg"]
    ((line, reason),) = [(one.line, one.reason) for one in log.refused]
    assert line == 3
    assert BAD[row] in reason


def test_rows_that_are_not_utf8_are_refused_and_utf16_is_named(tmp_path: Path) -> None:
    path = table(tmp_path, "path,decision", "玫瑰.jpg,keep", "a.jpg,drop", "", encoding="gb18030")
    assert said(read(path).standing) == [("drop", "a.jpg", "")]
    assert "CSV UTF-8" in read(path).refused[0].reason
    with pytest.raises(DataError, match="UTF-16"):
        read(table(tmp_path, "path,decision", "a.jpg,keep", encoding="utf-16"))


def test_another_table_is_neither_read_nor_written_to(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label", "a.jpg,rose", "")
    before = path.read_bytes()
    with pytest.raises(DataError, match="is no file of decisions"):
        read(path)
    with pytest.raises(DataError, match="is no file of decisions"):
        append(path, Decision("keep", "a.jpg", finding="all"))
    assert path.read_bytes() == before


# Where it lies


def test_it_lies_beside_the_data_and_never_inside(tmp_path: Path) -> None:
    assert default_place(tmp_path / "photos" / "pets") == tmp_path / "photos" / "pets.decisions.csv"
    assert default_place(tmp_path / "photos" / "pets" / "..") == tmp_path / "photos.decisions.csv"
    assert default_place(tmp_path / "reviews.csv") == tmp_path / "reviews.csv.decisions.csv"


def test_a_setting_names_a_file_or_the_default_or_none(tmp_path: Path) -> None:
    data = tmp_path / "pets"
    data.mkdir()
    assert place("auto", data) is None
    assert place("none", data) is None
    with pytest.raises(DataError, match="There is no file of decisions"):
        place(str(tmp_path / "mine.csv"), data)
    assert place_to_write("auto", data) == default_place(data)
    assert list(tmp_path.iterdir()) == [data]
    append(default_place(data), Decision("keep", "a.jpg", finding="all"))
    assert place("auto", data) == default_place(data)
    assert place("none", data) is None
    with pytest.raises(ConfigError, match="cannot be written"):
        place_to_write(str(tmp_path / "no" / "such" / "folder.csv"), data)


def test_a_full_disk_is_told_and_the_row_is_not_believed(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    path = tmp_path / "full.csv"
    path.symlink_to("/dev/full")
    with pytest.raises(NoriaError, match="Choose another place with --decisions"):
        append(path, Decision("keep", "a.jpg", finding="all"))


def test_a_folder_that_may_not_be_written_to_is_told_before_anything_is_answered(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (tmp_path / "held" / "pets").mkdir(parents=True)
    (tmp_path / "held").chmod(0o500)
    with pytest.raises(ConfigError, match="Choose another place"):
        place_to_write("auto", tmp_path / "held" / "pets")
