"""A few texts in another language are found; faces, names and numbers are no language."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from noria.data.suspicions import Looked
from noria.data.suspicions.languages import suspicions

Row = tuple[str, str]
Maker = Callable[..., Looked]
FOREIGN = {
    "German": "Der Film ist nicht schlecht, aber die Handlung war mir zu lang und ich habe mich auch sehr gelangweilt.",
    "French": "Le film est très long et je ne comprends pas du tout la fin, mais nous avons bien ri dans la salle.",
    "Spanish": "La película es muy larga y no entiendo el final, pero los actores lo hacen bien y me gustó.",
    "Cyrillic": "Фильм слишком длинный, и я не понял конца, но актёры играют хорошо.",
    "Han": "这部电影太长了，我不明白结局，但是演员演得很好。",
    "Kana": "この映画は長すぎて、結末がわかりませんでしたが、俳優はとても良かったです。",
    "Hangul": "이 영화는 너무 길고 결말을 이해하지 못했지만 배우들은 좋았습니다.",
    "Arabic": "الفيلم طويل جدا ولم أفهم النهاية لكن الممثلين كانوا جيدين.",
}


@pytest.mark.parametrize("language", FOREIGN)
def test_a_review_in_another_language_is_found_among_english_ones(
    language: str, films: list[Row], looked: Maker
) -> None:
    (found,) = suspicions(looked([*films, (FOREIGN[language], "good")]))
    assert [one.path for one in found.suspects] == [str(len(films))]
    assert f"{language}: 1" in found.message


def test_english_is_found_among_chinese_reviews(films: list[Row], hotels: list[Row], looked: Maker) -> None:
    (found,) = suspicions(looked([*hotels, *films[:20]]))
    suspects = {one.path for one in found.suspects}
    assert {str(len(hotels) + place) for place in range(20)} <= suspects
    assert len(suspects) <= 21


def test_nothing_is_told_of_reviews_in_one_language(films: list[Row], looked: Maker) -> None:
    assert suspicions(looked(films)) == []


def test_two_languages_of_like_size_are_told_and_are_no_reason_to_worry(
    films: list[Row], hotels: list[Row], looked: Maker
) -> None:
    labelled = [(text, ("bad", "good")[place % 2]) for place, (text, _) in enumerate([*films[:500], *hotels[:500]])]
    (found,) = suspicions(looked(labelled))
    assert (found.kind, found.severity) == ("languages", "info")
    assert set(found.examples) == {"English", "Han"}
    assert "Han 5" in found.message


def test_a_label_for_each_language_is_warned_of(films: list[Row], hotels: list[Row], looked: Maker) -> None:
    own = [(text, "bad") for text, _ in films[:300]] + [(text, "good") for text, _ in hotels[:300]]
    (found,) = suspicions(looked(own))
    assert (found.kind, found.severity) == ("language_tells_label", "warning")
    assert "tells the label of 100% (English: bad, Han: good)" in found.message.replace(
        "Han: good, English: bad", "English: bad, Han: good"
    )


def test_a_face_drawn_with_signs_is_no_language(hotels: list[Row], looked: Maker) -> None:
    plain = [row for row in hotels if not suspicions(looked([*hotels[:100], row]))]
    assert suspicions(looked([*plain[:200], ("房间很好，大爱ヽ(*з｀*)ﾉ ヾ(＠⌒ー⌒＠)", "good")])) == []
