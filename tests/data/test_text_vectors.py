"""Texts become vectors that are near for like texts, whatever the script."""

from __future__ import annotations

import numpy as np

from noria.data.text_vectors import WIDTH, text_vectors

ENGLISH = b"The room was clean and the staff were kind, and we would come again."
CHINESE = "房间很干净，服务员态度非常好，下次还会选择这家酒店。".encode()


def test_each_text_has_a_vector_of_its_own_whatever_stands_beside_it() -> None:
    texts = [ENGLISH, CHINESE, b"", b"\xff\xfe...", "Комната была чистой".encode()]
    together = text_vectors(texts)
    assert together.shape == (5, WIDTH) and together.dtype == np.float32
    for text, vector in zip(texts, together, strict=True):
        assert (text_vectors([text])[0] == vector).all()
    assert len({vector.tobytes() for vector in together}) == 4  # two have no word
    assert text_vectors([]).shape == (0, WIDTH)


def test_case_is_nothing_and_a_changed_word_little() -> None:
    same, other, different = text_vectors([ENGLISH.upper(), ENGLISH.replace(b"clean", b"dirty"), CHINESE])
    here = text_vectors([ENGLISH])[0]
    assert (same == here).all()
    assert 0 < np.linalg.norm(other - here) < np.linalg.norm(different - here) / 2


def test_a_long_list_is_cut_into_portions_without_a_seam() -> None:
    texts = [f"{number} {ENGLISH.decode()}".encode() * (1 + number % 7) for number in range(9_000)]
    vectors = text_vectors(iter(texts))
    assert len(vectors) == 9_000
    for place in (0, 4_321, 8_999):
        assert (vectors[place] == text_vectors([texts[place]])[0]).all()
