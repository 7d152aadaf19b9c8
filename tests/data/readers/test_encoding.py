"""Bytes are read in the encoding that they are in, and a guess says that it is one."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import pytest

from noria.data.readers._encoding import Encoding, Tally, _kinds, detect, finding, guess, named
from noria.errors import ConfigError

CHINESE = "1,这家酒店的服务很好，下次还会再来\n0,房间太小，也不干净\n"
TRADITIONAL = "1,這家飯店的服務非常好，下次還會再來\n0,品質很差，不推薦購買\n"
JAPANESE = "1,この映画はとても面白かったです\n0,二度と行きません、接客が最悪でした\n"
KOREAN = "1,이 영화는 정말 재미있었습니다\n0,배송이 너무 늦어요\n"
FRENCH = "1,Très bon accueil, chambre propre\n0,Le garçon a mangé une crêpe à l'hôtel\n"
GERMAN = "1,Das Zimmer war schön, Größe und Qualität überzeugen\n0,Für den Preis müßte mehr sein\n"
RUSSIAN = "1,Отличный фильм, всем советую\n0,Ужасное обслуживание, больше не приду\n"


def of(data: bytes) -> Encoding:
    return detect(io.BytesIO(data))


@pytest.mark.parametrize("text", [CHINESE, FRENCH, "plain\n", ""])
@pytest.mark.parametrize("name", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_what_proves_itself_is_known(text: str, name: str) -> None:
    encoding = of(text.encode(name))
    assert not encoding.guessed
    assert encoding.decode(text.encode(name)) == text


@pytest.mark.parametrize("text", [CHINESE, FRENCH, RUSSIAN, "text,label\nplain,1\n", "1,一\n"])
@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_known_by_its_null_bytes(text: str, name: str) -> None:
    assert of(text.encode(name)) == Encoding(name)


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        (CHINESE, "gb18030", "gb18030"),
        (TRADITIONAL, "big5", "cp950"),
        (JAPANESE, "shift_jis", "cp932"),
        (JAPANESE, "euc_jp", "euc_jp"),
        (KOREAN, "euc_kr", "cp949"),
        (FRENCH, "latin-1", "cp1252"),
        (GERMAN, "latin-1", "cp1252"),
        ("1,“très cher” – 5 €\n", "cp1252", "cp1252"),
        (RUSSIAN, "cp1251", "cp1251"),
    ],
)
def test_the_likeliest_of_the_others_is_guessed_from_two_lines(text: str, name: str, expected: str) -> None:
    encoding = of(text.encode(name))
    assert (encoding.name, encoding.guessed) == (expected, True)
    assert encoding.decode(text.encode(name)) == text
    assert encoding.sample == next(line for line in text.splitlines() if not line.isascii())


def test_three_real_chinese_reviews_are_enough(shared_data: Path) -> None:
    with (shared_data / "zh_reviews" / "ChnSentiCorp_htl_all.csv").open(encoding="utf-8-sig", newline="") as file:
        reviews = [row["review"] for row in csv.DictReader(file)]
    choices = random.Random(0)
    for _ in range(100):
        text = "\n".join(choices.sample(reviews, 3))
        assert of(text.encode("gb18030")).name == "gb18030"


def test_a_guess_from_the_end_of_a_long_file_is_as_good() -> None:
    assert of(b"plain,1\n" * 400_000 + CHINESE.encode("gb18030")).name == "gb18030"


def test_utf8_with_some_broken_lines_stays_utf8_and_the_bytes_can_be_told() -> None:
    data = CHINESE.encode() * 10 + b"caf\xe9,1\n"
    assert of(data) == Encoding("utf-8")
    with pytest.raises(UnicodeEncodeError):
        Encoding("utf-8").decode(data).encode()


@pytest.mark.parametrize("data", [b"a,b\0c\n" * 50, "é\0à,x\n".encode() * 30])
def test_null_characters_in_a_text_do_not_make_it_utf16(data: bytes) -> None:
    assert of(data) == Encoding("utf-8")


@pytest.mark.parametrize(
    ("name", "data"), [("gb18030", b"ok\x81\x20ok\xff"), ("utf-16-le", b"a\0\x00\xd8b\0c"), ("utf-8", b"a\xe9")]
)
def test_bytes_that_are_not_in_an_encoding_leave_the_rest_readable(name: str, data: bytes) -> None:
    decoded = Encoding(name).decode(data)
    assert decoded[0] in "ao"
    with pytest.raises(UnicodeEncodeError):
        decoded.encode()


def test_a_short_text_is_given_the_encoding_of_its_neighbours() -> None:
    short = "好".encode("gb18030")
    assert guess(short, usual=Encoding("cp950", guessed=True)).name == "cp950"
    assert guess((CHINESE * 5).encode("gb18030"), usual=Encoding("cp1252", guessed=True)).name == "gb18030"


def test_a_thousand_small_texts_are_guessed_by_tables_that_are_made_once() -> None:
    guess("毛巾有点小".encode("gb18030"))
    made = _kinds.cache_info().misses
    for number in range(1_000):
        assert guess(f"毛巾有点小，第{number}次入住，很好".encode("gb18030")).name == "gb18030"
    assert _kinds.cache_info().misses == made


def test_pieces_count_together() -> None:
    tally = Tally()
    for line in CHINESE.encode("gb18030").splitlines():
        tally.add(line)
    assert tally.encoding().name == "gb18030"


def test_a_guess_is_a_warning_that_shows_a_line_and_knowledge_is_not() -> None:
    told = finding(of(FRENCH.encode("latin-1")), ("reviews.csv",))
    assert told.severity == "warning"
    assert "Très bon accueil" in told.message
    assert "data.encoding=" in told.remedy
    assert finding(of(b"plain"), ("reviews.csv",)).severity == "info"


def test_an_encoding_can_be_named_and_a_wrong_name_is_told() -> None:
    assert named("GBK").decode("好".encode("gbk")) == "好"
    for name in ("gb18031", "hex", "rot13", "", "idna\0"):
        with pytest.raises(ConfigError, match="There is no encoding"):
            named(name)
    with pytest.raises(ConfigError, match="Did you mean 'gb18030'"):
        named("gb18031")
