"""A table of texts is read as a person would read it, and what cannot be read is named by its line."""

from __future__ import annotations

import gzip
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from noria.contracts import Candidate, Silent
from noria.data import readers
from noria.data.readers import Columns, Listing, text_table
from noria.errors import DataError, MissingExtraError

GOOD = [
    "I liked the film, all of it",
    "What a waste of an evening",
    "Could not stop laughing",
    "Never again, thank you",
]


def read(
    folder: Path, content: str | bytes, name: str = "reviews.csv", *, text: str | None = None, label: str | None = None
) -> Listing:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return text_table.read(path, Columns(text, label))


def texts(listing: Listing) -> list[tuple[str, str, str]]:
    pairs = zip(listing.candidates, listing.contents or (), strict=True)
    return [(one.path, text.decode(), one.label) for one, text in pairs]


def set_aside(listing: Listing, kind: str) -> dict[str, str]:
    return {one.path: one.reason for one in listing.set_aside.get(kind, ())}


def message(listing: Listing, kind: str) -> str:
    (found,) = [one.message for one in listing.findings if one.kind == kind]
    return found


def table(rows: list[tuple[object, object]], header: str = "text,label") -> str:
    return "\n".join([header, *(f'"{text}",{label}' for text, label in rows)]) + "\n"


def test_quotes_newlines_and_a_byte_order_mark_are_read_and_lines_are_counted(tmp_path: Path) -> None:
    content = '\ufeffText,LABEL\r\n"one, ""two""\r\nthree",pos\r\n\r\n猫 is here,neg\r\n'
    assert texts(read(tmp_path, content)) == [
        ("reviews.csv:2", 'one, "two"\r\nthree', "pos"),
        ("reviews.csv:5", "猫 is here", "neg"),
    ]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, mark: str) -> None:
    listing = read(tmp_path, f'label{mark}text\npos{mark}"so, so; so | so"\n')
    assert texts(listing) == [("reviews.csv:2", "so, so; so | so", "pos")]


@pytest.mark.parametrize("name", ["reviews.csv.gz", "reviews.csv", "REVIEWS.CSV.GZ"])
def test_gzip_is_read_as_it_is_whatever_the_name_says(tmp_path: Path, name: str) -> None:
    listing = read(tmp_path, gzip.compress(b"text,label\nfine,pos\n"), name)
    assert texts(listing) == [(f"{name}:2", "fine", "pos")]


def test_a_gzip_file_that_is_cut_off_is_told(tmp_path: Path) -> None:
    content = gzip.compress(table([(f"{text} {n}", n % 2) for n in range(2_000) for text in GOOD]).encode())
    with pytest.raises(DataError, match="damaged or cut off"):
        read(tmp_path, content[: len(content) // 2], "reviews.csv.gz")


def test_json_lines_are_read_and_wrong_ones_are_named(tmp_path: Path) -> None:
    rows: list[object] = [
        {"text": "fine", "label": 1},
        {"label": True, "text": "bad"},
        {"text": "lost"},
        {"label": 0},
        {"text": {"en": "x"}, "label": 0},
        {"text": "x", "label": [1]},
        ["text", "label"],
        {"text": 12, "label": 1.0, "more": None},
    ]
    listing = read(tmp_path, "\n".join(map(json.dumps, rows)) + '\n\n{"text": \n', "r.jsonl")
    assert texts(listing) == [("r.jsonl:1", "fine", "1"), ("r.jsonl:2", "bad", "true"), ("r.jsonl:8", "12", "1")]
    assert set_aside(listing, "unlabelled") == {"r.jsonl:3": "line 3: the label is empty"}
    assert set_aside(listing, "empty_text") == {"r.jsonl:4": "line 4: the text is empty"}
    broken = set_aside(listing, "broken_rows")
    assert broken.keys() == {"r.jsonl:5", "r.jsonl:6", "r.jsonl:7", "r.jsonl:10"}
    assert broken["r.jsonl:5"].startswith("line 5: its text is dict")
    assert "not valid JSON" in broken["r.jsonl:10"]


def test_a_json_array_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1: it is an array, not an object"):
        read(tmp_path, '[{"text": "x", "label": 1}]', "r.jsonl")


def test_parquet_is_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    from pyarrow import parquet

    path = tmp_path / "r.parquet"
    parquet.write_table(pyarrow.table({"text": ["fine", None, "bad"], "label": [1, 0, None]}), path)
    listing = text_table.read(path, Columns())
    assert texts(listing) == [("r.parquet:2", "fine", "1")]
    assert set_aside(listing, "empty_text").keys() == {"r.parquet:3"}
    (tmp_path / "r.parquet.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert len(text_table.read(tmp_path / "r.parquet.gz", Columns()).candidates) == 1
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read(tmp_path, path.read_bytes()[:40], "cut.parquet")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "noria.data.readers._parquet", raising=False)
    monkeypatch.delattr(readers, "_parquet", raising=False)
    with pytest.raises(MissingExtraError, match=r"noria\[parquet\]"):
        read(tmp_path, b"PAR1", "r.parquet")


def test_split_and_group_are_kept(tmp_path: Path) -> None:
    listing = read(tmp_path, "text,label,split,group\na b,x,VAL,7\nc d,y,,\n")
    assert listing.candidates == (
        Candidate("reviews.csv:2", "x", "validation", "7"),
        Candidate("reviews.csv:3", "y"),
    )
    with pytest.raises(DataError, match=r"line 3, has the split 'trian'.*Did you mean 'train'"):
        read(tmp_path, "text,label,split\na,x,test\nb,y,trian\n")


def test_a_split_that_is_no_text_costs_its_own_row(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": 1, "split": ["train"]}, {"text": "b", "label": 1, "split": "train"}]
    listing = read(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "r.jsonl")
    assert listing.candidates == (Candidate("r.jsonl:2", "1", "train"),)
    assert set_aside(listing, "broken_rows")["r.jsonl:1"].startswith("line 1: its split is list")


# --- which columns


@pytest.mark.parametrize(
    "header", ["text,label", "Review,Sentiment", "标签,内容", "tweet_text,airline_class", "rating,body"]
)
def test_columns_are_known_by_their_names(tmp_path: Path, header: str) -> None:
    listing = read(tmp_path, f"{header},id\none,two,3\n")
    assert len(listing.candidates) == 1
    assert message(listing, "ignored_columns") == "The columns 'id' are not used."
    assert "by its name" in message(listing, "columns_chosen")


def test_columns_without_known_names_are_known_by_content(tmp_path: Path) -> None:
    rows = [
        f"{number},spam,{GOOD[number % 4].replace(',', '')} for the {number}th time,x{number}" for number in range(30)
    ]
    listing = read(tmp_path, "\n".join(["n,v1,v2,v3", *rows]))
    assert texts(listing)[0] == ("reviews.csv:2", "I liked the film", "spam") or "v2" in message(
        listing, "columns_chosen"
    )


def test_two_columns_that_could_each_be_the_label_are_shown(shared_data: Path) -> None:
    path = shared_data / "zh_reviews" / "online_shopping_10_cats.csv"
    with pytest.raises(DataError, match="'cat' and 'label' could each be the label") as error:
        text_table.read(path, Columns())
    assert "1: 'cat', for example '书籍' (line 2)" in str(error.value)
    assert "--text NAME --label NAME" in str(error.value)
    listing = text_table.read(path, Columns(label="cat"))
    assert len(listing.candidates) == 62_773
    assert len({one.label for one in listing.candidates}) == 10


def test_two_columns_of_text_are_shown(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'text_a' and 'text_b' could each be the text") as error:
        read(tmp_path, "text_a,text_b,label\none,,3\ntwo,three,4\n")
    assert "1: 'text_a', for example 'one' (line 2)" in str(error.value)
    assert "2: 'text_b', for example 'three' (line 3)" in str(error.value)
    rows = "\n".join(f"the {n}th long sentence here,the {n}th other sentence,{n % 2}" for n in range(30))
    with pytest.raises(DataError, match="'summary' and 'story' could each be the text"):
        read(tmp_path, f"summary,story,label\n{rows}\n")
    assert len(read(tmp_path, f"summary,story,label\n{rows}\n", text="Story").candidates) == 30


def test_columns_can_be_said_by_name_or_number_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    content = "review,comment,stars,label\na,b,5,x\n"
    assert texts(read(tmp_path, content, text="comment", label="STARS")) == [("reviews.csv:2", "b", "5")]
    assert texts(read(tmp_path, content, text="2", label="3")) == [("reviews.csv:2", "b", "5")]
    with pytest.raises(DataError, match=r"no column 'coment'\. Did you mean 'comment'"):
        read(tmp_path, content, text="coment")
    with pytest.raises(DataError, match="cannot be both"):
        read(tmp_path, content, text="review", label="1")


def test_a_table_without_a_header_is_told_and_can_be_read_by_number(tmp_path: Path) -> None:
    content = "".join(f'{number % 2},"{text}"\n' for number, text in enumerate(GOOD))
    with pytest.raises(DataError, match="no header: its row 1") as error:
        read(tmp_path, content)
    assert "2: 'I liked the film, all of it'" in str(error.value)
    assert "--text 2 --label 1" in str(error.value)
    with pytest.raises(DataError, match="here perhaps: --text 1 --label 2"):
        read(tmp_path, "".join(f'"{text}",{number % 2}\n' for number, text in enumerate(GOOD)))
    listing = read(tmp_path, content, text="2", label="1")
    assert [one.path for one in listing.candidates] == [f"reviews.csv:{line}" for line in (1, 2, 3, 4)]
    assert "no header" in message(listing, "columns_chosen")


def test_texts_without_labels_need_no_header_where_their_column_is_clear(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("".join(f"{text.replace(',', '')}.\n" for text in GOOD), encoding="utf-8")
    (tmp_path / "two.csv").write_text("".join(f'{n},"{text}"\n' for n, text in enumerate(GOOD)), encoding="utf-8")
    assert len(list(text_table.inputs(tmp_path / "one.csv", Columns()))) == 4
    assert list(text_table.inputs(tmp_path / "two.csv", Columns(text="2"))) == [
        (f"two.csv:{line}", text.encode()) for line, text in enumerate(GOOD, start=1)
    ]
    with pytest.raises(DataError, match="no header: its row 1") as error:
        list(text_table.inputs(tmp_path / "two.csv", Columns()))
    assert str(error.value).endswith("here perhaps: --column 2.")


def test_a_table_to_be_answered_is_told_of_the_option_that_names_its_column(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("text_a,text_b\none,two\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"Say which: --column NAME\.$"):
        list(text_table.inputs(path, Columns()))
    with pytest.raises(DataError, match=r"Say which: --text NAME --label NAME\.$"):
        text_table.read(path, Columns())
    path.write_text("note,note\none,two\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"Say the number of one: --column 1\."):
        list(text_table.inputs(path, Columns(text="note")))


@pytest.mark.parametrize("first", [0, 1, 2])
def test_labels_that_are_numbers_are_not_taken_for_the_numbers_of_columns(tmp_path: Path, first: int) -> None:
    content = "".join(f'"{text}",{(number + first) % 3}\n' for number, text in enumerate(GOOD))
    listing = read(tmp_path, content, text="1", label="2")
    assert [one.path for one in listing.candidates] == [f"reviews.csv:{line}" for line in (1, 2, 3, 4)]
    assert listing.candidates[0].label == str(first)


def test_a_label_that_is_called_as_columns_often_are_does_not_make_a_header_of_its_row(tmp_path: Path) -> None:
    labels = ("date", "weather", "food")
    content = "".join(f"a word on the {number}th subject,{labels[number % 3]}\n" for number in range(60))
    with pytest.raises(DataError, match="no header: its row 1"):
        read(tmp_path, content)
    assert len(read(tmp_path, content, text="1", label="2").candidates) == 60
    assert len(read(tmp_path, "words,label\n" + content).candidates) == 60


def test_a_header_that_is_repeated_where_tables_were_joined_is_still_a_header(tmp_path: Path) -> None:
    part = "text,label\n" + "".join(f"the {number}th text,{number % 2}\n" for number in range(10))
    assert "by its name" in message(read(tmp_path, part + part), "columns_chosen")


def test_numbers_can_be_names(tmp_path: Path) -> None:
    listing = read(tmp_path, table([(text, n % 2) for n, text in enumerate(GOOD)], header="0,1"), text="0", label="1")
    assert [one.path for one in listing.candidates] == [f"reviews.csv:{line}" for line in (2, 3, 4, 5)]


# --- rows that are wrong


def test_rows_that_are_wrong_are_set_aside_with_their_line(tmp_path: Path) -> None:
    listing = read(tmp_path, "text,label\nfine,pos\na,b,c\nalone\n,pos\n \t ,pos\nlost,\nmore,pos,,\n")
    assert texts(listing) == [("reviews.csv:2", "fine", "pos"), ("reviews.csv:8", "more", "pos")]
    assert set_aside(listing, "broken_rows") == {
        "reviews.csv:3": "line 3: it has 3 cells, but the table has 2 columns; "
        "put text that holds the delimiter in quotes",
        "reviews.csv:4": "line 4: it has 1 cell, but the table has 2 columns",
    }
    assert set_aside(listing, "empty_text").keys() == {"reviews.csv:5", "reviews.csv:6"}
    assert set_aside(listing, "unlabelled") == {"reviews.csv:7": "line 7: the label is empty"}


def test_a_row_that_is_wrong_is_to_be_answered_with_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_bytes(b'id,text\n1,"so, so"\n2,a,b\n3,"open\n4,\n5,\xff\n')
    found = dict(text_table.inputs(tmp_path / "r.csv", Columns(encoding="utf-8")))
    assert (found["r.csv:2"], found["r.csv:5"]) == (b"so, so", b"")
    assert "it has 3 cells, but the table has 2 columns" in str(found["r.csv:3"])
    assert "never closed" in str(found["r.csv:4"])
    assert str(found["r.csv:6"]) == "it holds bytes that are not UTF-8"
    (tmp_path / "r.jsonl").write_text('{"text": ["a"]}\nno\n', encoding="utf-8")
    asked = text_table.inputs(tmp_path / "r.jsonl", Columns())
    assert [str(one)[:14] for _, one in asked] == ["its text is li", "it is not vali"]


@pytest.mark.parametrize("line", ['"never closed,pos', '"closed" too early,pos'])
def test_a_wrong_quote_costs_its_own_line_and_no_other(tmp_path: Path, line: str) -> None:
    good = [f'"{text}",pos' for text in GOOD]
    listing = read(tmp_path, "\n".join(["text,label", *good, line, *good]) + "\n")
    assert [one.path for one in listing.candidates] == [f"reviews.csv:{n}" for n in (2, 3, 4, 5, 7, 8, 9, 10)]
    assert 'quote (")' in set_aside(listing, "broken_rows")["reviews.csv:6"]


def test_a_quote_that_is_never_closed_before_rows_without_quotes_costs_one_line(tmp_path: Path) -> None:
    listing = read(tmp_path, 'text,label\n"fine, or so",pos\n"open,pos\n' + "good,pos\n" * 100)
    assert len(listing.candidates) == 101
    assert "never closed" in set_aside(listing, "broken_rows")["reviews.csv:3"]


def test_a_tab_separated_table_whose_quotes_mean_nothing_is_read_as_it_is(tmp_path: Path) -> None:
    listing = read(tmp_path, 'text\tlabel\n"Foo" is a film\t1\n"open\t0\nfine\t1\n', "r.tsv")
    assert [text for _, text, _ in texts(listing)] == ['"Foo" is a film', '"open', "fine"]
    assert "read as itself" in message(listing, "columns_chosen")


def test_quoted_texts_of_hundreds_of_lines_are_read_whole_where_the_head_ends_within_one(tmp_path: Path) -> None:
    text = "\n".join(f"line {n} of a long text{', with a comma' if n % 3 == 0 else ''}" for n in range(1_100))
    listing = read(tmp_path, table([(f"{number}: {text}", ("pos", "neg")[number % 2]) for number in range(100)]))
    assert len(listing.candidates) == 100
    assert not listing.set_aside
    assert "read as itself" not in message(listing, "columns_chosen")


def test_a_quote_that_is_never_closed_in_more_than_the_head_costs_one_line(tmp_path: Path) -> None:
    listing = read(tmp_path, 'text,label\nfine,pos\n"open,pos\n' + "good as gold,pos\n" * 100_000)
    assert len(listing.candidates) == 100_001
    assert "never closed" in set_aside(listing, "broken_rows")["reviews.csv:3"]


def test_a_cell_of_50_megabytes_is_listed_for_the_input_to_judge(tmp_path: Path) -> None:
    listing = read(tmp_path, f"text,label\nfine,pos\n{'x' * 50_000_000},pos\nbad,neg\n")
    assert list(map(len, listing.contents or ())) == [4, 50_000_000, 3]


def test_a_cell_beyond_all_measure_is_set_aside(tmp_path: Path) -> None:
    listing = read(tmp_path, f"text,label\nfine,pos\n{'x' * 70_000_000},pos\nbad,neg\n")
    assert "more than 67,108,864 characters" in set_aside(listing, "broken_rows")["reviews.csv:3"]
    assert [one.path for one in listing.candidates] == ["reviews.csv:2", "reviews.csv:4"]


def test_a_tenth_of_empty_texts_is_a_warning_with_the_first_lines(tmp_path: Path) -> None:
    rows = [("" if number % 10 == 0 else f"text {number}", number % 2) for number in range(100)]
    (found,) = [one for one in read(tmp_path, table(rows)).findings if one.kind == "many_empty_texts"]
    assert found.severity == "warning"
    assert found.message == "10 of 100 rows (10%) have no text, the first in lines 2, 12, 22, 32, 42."


# --- labels that are none


def test_measurements_are_refused_and_a_few_numbers_with_fractions_are_told(tmp_path: Path) -> None:
    rows = [(f"text {number}", number / 7 + 0.01) for number in range(60)]
    with pytest.raises(DataError, match="looks like regression") as error:
        read(tmp_path, table(rows))
    assert "reviews.csv" in str(error.value)
    assert "  2: text 'text 0', label '0.01'" in str(error.value)
    listing = read(tmp_path, table([(f"text {number}", number % 3 + 0.5) for number in range(60)]))
    assert "such as 0.5 (line 2) are" in message(listing, "labels_with_fractions")
    (found,) = [one for one in listing.findings if one.kind == "labels_with_fractions"]
    assert found.examples == ("reviews.csv:2", "reviews.csv:3", "reviews.csv:4")


@pytest.mark.parametrize("labels", [("0", "1"), ("true", "false"), ("1.0", "0.0"), ("-1", "1")])
def test_whole_numbers_are_labels(tmp_path: Path, labels: tuple[str, str]) -> None:
    listing = read(tmp_path, table([(f"text {number}", labels[number % 2]) for number in range(60)]))
    assert {one.label for one in listing.candidates} == {label.removesuffix(".0") for label in labels}
    assert not {"labels_with_fractions", "labels_equal_as_numbers"} & {one.kind for one in listing.findings}


def test_a_whole_number_is_the_same_label_in_every_format(tmp_path: Path) -> None:
    values = [1.0, 2.5, 1.0, 2.5]
    pairs = list(zip(GOOD, values, strict=True))
    (tmp_path / "r.jsonl").write_text("".join(json.dumps({"text": a, "label": b}) + "\n" for a, b in pairs))
    (tmp_path / "r.csv").write_text(table([*pairs]))
    paths = [tmp_path / "r.jsonl", tmp_path / "r.csv"]
    if find_spec("pyarrow"):
        import pyarrow
        from pyarrow import parquet

        paths.append(tmp_path / "r.parquet")
        parquet.write_table(pyarrow.table({"text": GOOD, "label": values}), paths[-1])
    for path in paths:
        assert [one.label for one in text_table.read(path, Columns()).candidates] == ["1", "2.5", "1", "2.5"]


def test_labels_that_are_the_same_number_are_told_with_their_rows(tmp_path: Path) -> None:
    listing = read(tmp_path, "text,label\na,1\nb,1.0\nc,01\nd,2\n")
    assert [one.label for one in listing.candidates] == ["1", "1", "01", "2"]
    (found,) = [one for one in listing.findings if one.kind == "labels_equal_as_numbers"]
    assert found.severity == "warning"
    assert found.examples == ("reviews.csv:2", "reviews.csv:3", "reviews.csv:4")
    assert "1 (line 2), 1.0 (line 3), 01 (line 4)" in found.message


def test_a_label_that_only_reads_as_a_number_has_no_fraction(tmp_path: Path) -> None:
    listing = read(tmp_path, "text,label\na,nan\nb,Infinity\nc,1\n")
    assert [one.label for one in listing.candidates] == ["nan", "Infinity", "1"]
    assert all(one.kind != "labels_with_fractions" for one in listing.findings)


def test_a_text_and_a_label_that_are_swapped_are_told_with_rows(tmp_path: Path) -> None:
    content = table([(("good", "bad")[number % 2], f"a long sentence number {number}") for number in range(30)])
    with pytest.raises(DataError, match="seem to be swapped") as error:
        read(tmp_path, content)
    assert "--text label --label text" in str(error.value)
    assert "  2: text 'good', label 'a long sentence number 0'" in str(error.value)
    assert len(read(tmp_path, content, text="label", label="text").candidates) == 30


def test_a_label_that_is_different_in_nearly_every_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names or texts, not classes"):
        read(tmp_path, table([(f"a long sentence number {number}", f"id{number}") for number in range(30)]))


# --- encodings


@pytest.mark.parametrize(
    ("name", "severity"), [("utf-8-sig", "info"), ("utf-16", "info"), ("utf-16-le", "info"), ("gb18030", "warning")]
)
@pytest.mark.parametrize("kind", ["reviews.csv", "reviews.jsonl", "reviews.tsv.gz"])
def test_encodings_are_found_and_told(tmp_path: Path, name: str, severity: str, kind: str) -> None:
    rows = [("这家酒店的服务很好，下次还会再来", "好"), ("房间太小，也不干净，不推荐", "差")] * 3
    if "jsonl" in kind:
        content = "".join(json.dumps({"text": a, "label": b}, ensure_ascii=False) + "\n" for a, b in rows)
    else:
        content = "text\tlabel\n" + "".join(f"{a}\t{b}\n" for a, b in rows)
    data = content.encode(name)
    listing = read(tmp_path, gzip.compress(data) if kind.endswith(".gz") else data, kind)
    assert [(text, label) for _, text, label in texts(listing)] == rows
    (found,) = [one for one in listing.findings if one.kind == "encoding"]
    assert found.severity == severity
    assert severity == "info" or "这家酒店" in found.message


class Notes(Silent):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


def test_what_is_guessed_of_texts_to_be_answered_is_told_in_one_line(tmp_path: Path) -> None:
    path, notes = tmp_path / "r.csv", Notes()
    path.write_bytes("id,review\n1,这家酒店的服务很好\x1b[31m，下次还会再来\n".encode("gb18030"))
    list(text_table.inputs(path, Columns(), notes))
    (line,) = notes.told
    assert line.startswith("'r.csv': Texts are in the column 'review' ('review' by its name). The text is not UTF-8")
    assert "这家酒店" in line and "\n" not in line
    list(text_table.inputs(path, Columns(text="review", encoding="gb18030"), notes))
    assert len(notes.told) == 1


def test_a_named_encoding_is_used_and_rows_that_contradict_it_are_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes("text,label\n好,1\n".encode("gb18030") + b"\xff,1\nfine,1\n")
    listing = text_table.read(path, Columns(encoding="gb18030"))
    assert [text for _, text, _ in texts(listing)] == ["好", "fine"]
    assert "not gb18030" in set_aside(listing, "broken_rows")["r.csv:3"].replace("GB18030", "gb18030")


def test_a_row_that_is_not_utf8_among_many_that_are_is_set_aside(tmp_path: Path) -> None:
    listing = read(tmp_path, b"text,label\n" + "été à Paris,1\n".encode() * 5 + b"\xe9t\xe9,0\nfine,0\n")
    assert set_aside(listing, "broken_rows") == {"reviews.csv:7": "line 7: it holds bytes that are not UTF-8"}
    assert len(listing.candidates) == 6


# --- what is recognised


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "text,label\n", True),
        ("a.csv", "path,text,label\n", True),
        ("a.csv", "0,some text without a header\n", True),
        ("a.jsonl", '{"text": "x", "label": 1}', True),
        ("a.parquet", "PAR1", True),
        ("a.csv", "path,label\n", False),
        ("a.csv", "Label; Path\n", False),
        ("a.tsv", "label\tpath\tsplit\n", False),
        ("a.csv", "images/a.jpg,cat\n", False),
        ("a.jsonl", '{"path": "a.jpg", "label": "text"}', False),
        ("a.csv", "", False),
        ("a.zip", "text,label\n", False),
    ],
)
def test_tables_of_texts_are_told_from_tables_of_pictures(
    tmp_path: Path, name: str, content: str, expected: bool
) -> None:
    for data, path in ((content.encode(), tmp_path / name), (gzip.compress(content.encode()), tmp_path / f"{name}.gz")):
        path.write_bytes(data if content else b"")
        assert text_table.recognises(path) == expected
    assert not text_table.recognises(tmp_path)
    assert not text_table.recognises(tmp_path / "nothing.csv")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04rest", "Excel"),
        (b"%PDF-1.7", "PDF"),
        (b"text\nalone\n", "recognisably the label"),
        (b"\n\n", "no row that can be read"),
        (b"text,text,label\na,b,c\n", "could each be the text"),
    ],
)
def test_a_file_that_is_no_table_of_texts_says_why(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(tmp_path, content)


def test_real_reviews_are_read_whole(shared_data: Path) -> None:
    listing = text_table.read(shared_data / "imdb" / "imdb_train.jsonl.gz", Columns())
    assert len(listing.candidates) == 25_000
    assert not listing.set_aside
    hotels = text_table.read(shared_data / "zh_reviews" / "ChnSentiCorp_htl_all.csv", Columns())
    assert len(hotels.candidates) == 7_765
    assert set_aside(hotels, "empty_text").keys() == {"ChnSentiCorp_htl_all.csv:6376"}
