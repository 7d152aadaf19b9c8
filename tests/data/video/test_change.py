"""What is noise and what has moved: measured on real photos with planted noise, compression and small things."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from noria.data.video import SIMILAR
from noria.data.video.change import change, spots
from noria.data.video.film import Film

Picture = NDArray[np.uint8]


def noisy(picture: Picture, deviation: float, random: np.random.Generator) -> Picture:
    return np.clip(picture + random.normal(0, deviation, picture.shape), 0, 255).astype(np.uint8)


def spots_of(picture: Picture) -> Picture:
    return spots(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"))


@pytest.mark.parametrize(("codec", "deviation"), [("mpeg4", 2), ("mpeg4", 8), ("libx264", 2), ("libx264", 8)])
def test_noise_and_compression_of_a_still_scene_are_no_change(
    codec: str, deviation: float, scenes: list[Picture], encode_pictures: Callable[..., Path]
) -> None:
    random = np.random.default_rng(1)
    for scene in scenes[:3]:
        path = encode_pictures("still.mkv", (noisy(scene, deviation, random) for _ in range(25)), codec)
        seen = [spots(shot.frame) for shot in Film(path).shots()]
        changes = [change(seen[3], other) for other in seen[4:]]
        assert max(changes) < SIMILAR


def test_a_thing_as_small_as_a_spot_that_moves_is_a_change(scenes: list[Picture]) -> None:
    random = np.random.default_rng(2)
    side = 10  # of 640
    for scene in scenes[:5]:
        for _ in range(10):
            seen = []
            for top, left in random.integers(0, (480 - side, 640 - side), (2, 2)):
                moved = scene.copy()
                inside = moved[top : top + side, left : left + side]
                inside[:] = 20 if inside.mean() > 128 else 235
                seen.append(spots_of(noisy(moved, 5, random)))
            assert change(*seen) > SIMILAR


def test_a_lamp_that_changes_its_colour_but_not_its_brightness_is_a_change(scenes: list[Picture]) -> None:
    red, green = (255, 40, 40), (60, 119, 100)  # the same Y of BT.601
    seen = []
    for colour in (red, green):
        lit = scenes[0].copy()
        lit[200:220, 300:320] = colour
        seen.append(spots_of(lit))
    assert change(*seen) > SIMILAR


def test_a_slight_flicker_of_the_light_is_no_change_and_a_light_that_goes_out_is_one(scenes: list[Picture]) -> None:
    scene = scenes[0]
    assert change(spots_of(scene), spots_of((scene * 0.98).astype(np.uint8))) < SIMILAR
    assert change(spots_of(scene), spots_of((scene * 0.5).astype(np.uint8))) > SIMILAR
    grey = np.full((480, 640, 3), 120, np.uint8)
    assert change(spots_of(grey), spots_of(grey // 2)) > SIMILAR  # alike everywhere, and much


def test_frames_of_another_shape_are_different(scenes: list[Picture]) -> None:
    assert change(spots_of(scenes[0]), spots_of(scenes[0][:300])) == 100
    assert change(spots_of(scenes[0]), spots_of(scenes[0])) == 0


@pytest.mark.parametrize("shape", [(16, 16), (2, 3000), (3000, 2), (480, 641)])
def test_spots_are_as_many_as_the_frame_is_long(shape: tuple[int, int]) -> None:
    seen = spots_of(np.zeros((*shape, 3), np.uint8))
    assert seen.shape[0] == 3
    assert max(seen.shape) == 64 and min(seen.shape[1:]) >= 1
