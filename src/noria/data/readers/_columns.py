"""Which column of a table is the text and which the label: said by the user, called so, or recognised by content.

Where two would do, nothing is chosen: the error shows each column with a sample, and how to name them.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from noria.data.readers import Columns, column_of
from noria.data.readers._table import Table
from noria.errors import DataError, nearest_name

_LOOKED_AT = 20_000  # rows, where names do not decide
_DISTINCT = 2_000  # values counted of a column
_SAMPLE = 60  # characters of a value that are shown

TEXT_NAMES = frozenset(
    (
        "text",
        "texts",
        "review",
        "reviews",
        "sentence",
        "comment",
        "comments",
        "content",
        "tweet",
        "message",
        "body",
        "document",
        "utterance",
        "query",
        "question",
        "post",
        "reviewtext",
        "reviewbody",
        "文本",
        "评论",
        "内容",
        "文字",
        "句子",
        "正文",
        "评价",
        "評論",
        "內容",
        "文本内容",
        "评论内容",
        "テキスト",
        "본문",
    )
)
LABEL_NAMES = frozenset(
    (
        "label",
        "labels",
        "sentiment",
        "class",
        "category",
        "target",
        "cat",
        "polarity",
        "topic",
        "intent",
        "emotion",
        "tag",
        "y",
        "标签",
        "类别",
        "分类",
        "情感",
        "情绪",
        "标注",
        "標籤",
        "類別",
        "分類",
        "ラベル",
        "라벨",
    )
)
_LESSER_LABEL_NAMES = frozenset(
    (
        "rating",
        "ratings",
        "stars",
        "star",
        "score",
        "评分",
        "星级",
        "分数",
        "評分",
    )
)
_OTHER_NAMES = frozenset(
    (
        "id",
        "index",
        "idx",
        "split",
        "group",
        "path",
        "date",
        "user",
        "name",
        "title",
        "url",
    )
)
RESERVED = ("split", "group")
# What names columns on the command line. Verbs that answer have no labels, and their --text is a text to be answered.
_NAMING = "--text {text} --label {label}"
_NAMING_THE_TEXT = "--column {text}"

Role = Literal["text", "label"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The number of each column that is used, counted from 0, and why those two."""

    text: int
    label: int
    split: int | None
    group: int | None
    why: str
    order: int | None = None


@dataclass(slots=True)
class _Column:
    """What is known of a column's values."""

    number: int
    name: str
    distinct: set[str] = field(default_factory=set)
    filled: int = 0
    characters: int = 0
    sample: str = ""
    line: int = 0  # of the row that the sample is from

    def add(self, value: Any, line: int) -> None:
        text = "" if value is None else str(value).strip()
        if not text:
            return
        self.filled += 1
        self.characters += len(text)
        if not self.sample:
            self.sample, self.line = text, line
        if len(self.distinct) < _DISTINCT:
            self.distinct.add(text)

    @property
    def holds_texts(self) -> bool:
        """Long values, mostly different."""
        many = len(self.distinct) >= min(_DISTINCT, self.filled / 2)
        return self.filled > 0 and many and _weight(self) >= 15 * self.filled and not self.holds_numbers

    @property
    def holds_labels(self) -> bool:
        """Short values, few of them different."""
        few = len(self.distinct) <= max(2, min(self.filled / 5, 1_000))
        return self.filled > 0 and few and self.characters <= 40 * self.filled

    @property
    def holds_numbers(self) -> bool:
        return all(map(is_number, itertools.islice(self.distinct, 200)))


def is_known(name: str) -> bool:
    """Whether a table's column is often called so."""
    return normal(name) in TEXT_NAMES | LABEL_NAMES | _LESSER_LABEL_NAMES | _OTHER_NAMES


def normal(name: str) -> str:
    """A name without what differs between writers: case, spaces, underscores."""
    return re.sub(r"[\s_\-]+", "", unicodedata.normalize("NFKC", name).strip("\ufeff ").casefold())


def is_number(value: str) -> bool:
    """Whether a value reads as a number."""
    try:
        float(value)
    except ValueError:
        return False
    return True


def choose(path: Path, table: Table, columns: Columns) -> Chosen:
    """Return the columns to use.

    Raises:
        DataError: a named column does not exist, or it is not clear which to take, as in a table without a header
            whose columns are not named by number.
    """
    if not table.header and not {columns.text, columns.label} <= {*table.names}:
        raise _without_header(path, table, _NAMING)
    reserved = {name: _index(table, name) for name in RESERVED}
    if name := column_of(columns.group):
        reserved["group"] = _said(path, table, name, "--group column:")
    name = column_of(columns.order)
    order = _said(path, table, name, "--set data.order=column:") if name else None
    text = None if columns.text is None else _said(path, table, columns.text, "--text ")
    label = None if columns.label is None else _said(path, table, columns.label, "--label ")
    if text is not None and text == label:
        raise DataError(f"{path}: {table.names[text]!r} cannot be both the text and the label.")
    taken = {*reserved.values(), order, text, label}
    free = [number for number in range(len(table.names)) if number not in taken]
    reasons = []
    if text is None:
        text, why = _found(path, table, "text", free)
        free.remove(text)
        reasons.append(why)
    if label is None:
        label, why = _found(path, table, "label", free)
        reasons.append(why)
    why = "; ".join(reasons) or "as named"
    return Chosen(text, label, reserved["split"], reserved["group"], why, order)


def choose_text(path: Path, table: Table, columns: Columns) -> tuple[int, str]:
    """Return the column of texts of a table that need not have labels, and why it is that; empty where it was named.

    Raises:
        DataError: as `choose`.
    """
    if not table.header and len(table.names) > 1 and columns.text not in table.names:
        raise _without_header(path, table, _NAMING_THE_TEXT)
    if columns.text is not None:
        return _said(path, table, columns.text, "--column "), ""
    reserved = {_index(table, name) for name in RESERVED}
    free = [number for number in range(len(table.names)) if number not in reserved]
    return (free[0], "the only one") if len(free) == 1 else _found(path, table, "text", free, _NAMING_THE_TEXT)


def _index(table: Table, name: str) -> int | None:
    found = [number for number, one in enumerate(table.names) if normal(one) == name]
    return found[0] if len(found) == 1 else None


def _said(path: Path, table: Table, said: str, option: str) -> int:
    """The column that the user named, or gave the number of; `option` is what stands before it on the command line."""
    for same in (str.strip, normal):
        found = [number for number, name in enumerate(table.names) if same(name) == same(said)]
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(f"{path} has {len(found)} columns {said!r}. Say the number of one: {option}{found[0] + 1}.")
    if said.isdecimal() and 1 <= int(said) <= len(table.names):
        return int(said) - 1
    nearest = nearest_name(said, table.names)
    hint = f" Did you mean {nearest!r}?" if nearest else ""
    raise DataError(f"{path} has no column {said!r}.{hint}\n{_listed(_look(table))}")


def _found(path: Path, table: Table, role: Role, free: Sequence[int], options: str = _NAMING) -> tuple[int, str]:
    """The one column that can play a role, and why it is that."""
    for names, how in _ways(role):
        called = [number for number in free if _is_called(table.names[number], names, how)]
        if len(called) == 1:
            return called[0], f"{table.names[called[0]]!r} by its name"
        if called:
            raise _ambiguous(path, table, role, called, options)
    looked_at = _look(table)
    fitting = [number for number in free if _fits(looked_at[number], role)]
    if len(fitting) == 1:
        what = "the only column of long, different values" if role == "text" else "the only column of few values"
        return fitting[0], f"{table.names[fitting[0]]!r} as {what}"
    raise _ambiguous(path, table, role, fitting, options)


def _ways(role: Role) -> tuple[tuple[frozenset[str], str], ...]:
    if role == "text":
        return (TEXT_NAMES, "exactly"), (TEXT_NAMES, "partly")
    return (LABEL_NAMES, "exactly"), (LABEL_NAMES, "partly"), (_LESSER_LABEL_NAMES, "exactly")


def _is_called(name: str, names: frozenset[str], how: str) -> bool:
    if how == "exactly":
        return normal(name) in names
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    return any(word.casefold() in names for word in words)


def _fits(column: _Column, role: Role) -> bool:
    return column.holds_texts if role == "text" else column.holds_labels


def _look(table: Table) -> list[_Column]:
    found = [_Column(number, name) for number, name in enumerate(table.names)]
    for row in itertools.islice((row for row in table.rows() if not row.trouble), _LOOKED_AT):
        for column, value in zip(found, row.cells, strict=True):
            column.add(value, row.line)
    return found


def _weight(column: _Column) -> int:
    """Characters, those of writing without spaces counted threefold: such a character is half a word."""
    sample = column.sample
    return column.characters * (3 if any(ord(one) > 0x2E7F for one in sample) else 1)


def _without_header(path: Path, table: Table, options: str) -> DataError:
    first = next(row for row in table.rows() if not row.trouble)
    by_length = sorted(table.names, key=lambda name: len(first.cells[int(name) - 1]))
    shown = "\n".join(f"  {name}: {shortened(cell)}" for name, cell in zip(table.names, first.cells, strict=True))
    likely = options.format(text=by_length[-1], label=by_length[0])
    return DataError(
        f"{path} has no header: its row 1 (line {first.line}) is data already:\n{shown}\n"
        f"Put a first line of names above it, such as text,label, or name columns by number, here perhaps: {likely}."
    )


def _ambiguous(path: Path, table: Table, role: Role, could_be: Sequence[int], options: str) -> DataError:
    names = " and ".join(repr(table.names[number]) for number in could_be)
    what = f"could each be the {role}" if could_be else f"No column is recognisably the {role}"
    said = f"{names} {what}" if could_be else what
    naming = options.format(text="NAME", label="NAME")
    return DataError(f"{path}: {said}. The columns are:\n{_listed(_look(table))}\nSay which: {naming}.")


def _listed(columns: Sequence[_Column]) -> str:
    return "\n".join(
        f"  {one.number + 1}: {one.name!r}, "
        + (f"for example {shortened(one.sample)} (line {one.line})" if one.filled else "without any value")
        for one in columns
    )


def shortened(value: str) -> str:
    """A value as it is shown in a message: one line, not too long, printable."""
    text = value.encode("utf-8", "backslashreplace").decode()
    return repr(text if len(text) <= _SAMPLE else text[:_SAMPLE] + "…")
