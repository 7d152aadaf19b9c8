"""Equal bytes and equal pixels make one group."""

from __future__ import annotations

import time

from noria.data.duplicates import exact_duplicates, join, members


def test_equal_bytes_or_equal_pixels_are_one_group() -> None:
    groups = exact_duplicates(["a", "b", "a", "c", "d"], ["1", "2", "1", "2", "3"])
    assert members(groups) == [[0, 2], [1, 3], [4]]


def test_a_chain_of_shared_keys_is_one_group_named_by_its_first_item() -> None:
    assert join([["x"], ["y"], ["z"], ["y", "z"], ["z", "x"], []]) == [0, 0, 0, 0, 0, 5]


def test_a_chain_of_two_hundred_thousand_is_joined_in_seconds() -> None:
    start = time.monotonic()
    forwards = join((number, number + 1) for number in range(200_000))
    backwards = join((number, number + 1) for number in range(200_000, 0, -1))
    assert set(forwards) == set(backwards) == {0}
    assert time.monotonic() - start < 10
