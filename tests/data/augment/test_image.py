"""Varied views of a training picture: decided by the key alone, and each range does what its name says."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as searched
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from noria.data.augment.image import AUTO_BUDGET, MOST_VIEWS, Settings, number_of_views, vary

Pixels = NDArray[np.uint8]
SIDE = 64
STILL: dict[str, Any] = {
    "horizontal_flip": False,
    "rotation_range": 0,
    "width_shift_range": 0,
    "height_shift_range": 0,
    "zoom_range": 0,
    "brightness_range": (1, 1),
    "contrast_range": (1, 1),
}
KEYS = [f"picture:{number}" for number in range(40)]


@pytest.fixture(scope="module")
def noise() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE + 16, 3), np.uint8)


def only(**settings: Any) -> Settings:
    """Nothing varies but what is named."""
    return Settings(**{**STILL, **settings})


def spot(x: float, y: float, *, size: int = SIDE, radius: int = 3) -> Pixels:
    """A white spot on black."""
    rows, columns = np.mgrid[:size, :size]
    inside = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    return np.repeat(np.where(inside, 255, 0).astype(np.uint8)[..., np.newaxis], 3, axis=2)


def centre_of_light(array: Pixels) -> tuple[float, float]:
    """Where the light is, from the middle of the picture: x to the right, y down."""
    light = array.astype(np.float64).sum(axis=2)
    rows, columns = np.mgrid[: array.shape[0], : array.shape[1]]
    middle_y, middle_x = (array.shape[0] - 1) / 2, (array.shape[1] - 1) / 2
    return float((columns * light).sum() / light.sum() - middle_x), float((rows * light).sum() / light.sum() - middle_y)


def test_the_same_key_gives_the_same_pixels_in_another_process(noise: Pixels) -> None:
    code = (
        "import hashlib, numpy as np; from noria.data.augment.image import Settings, vary;"
        f"noise = np.random.default_rng(0).integers(0, 256, ({SIDE}, {SIDE + 16}, 3), np.uint8);"
        "print(hashlib.sha256(vary(noise, Settings(), 'a:1').tobytes()).hexdigest())"
    )
    answers = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(answers) == 1
    assert vary(noise, Settings(), "a:1").tobytes() == vary(noise, Settings(), "a:1").tobytes()


def test_another_key_gives_other_pixels(noise: Pixels) -> None:
    views = {vary(noise, Settings(), key).tobytes() for key in KEYS}
    assert len(views) == len(KEYS)


def test_views_keep_shape_and_type_and_leave_the_picture_alone(noise: Pixels) -> None:
    before = noise.copy()
    for key in KEYS:
        view = vary(noise, Settings(vertical_flip=True), key)
        assert (view.shape, view.dtype) == (noise.shape, np.uint8)
        assert view.flags.c_contiguous
    np.testing.assert_array_equal(noise, before)


@pytest.mark.parametrize("key", KEYS[:5])
def test_all_ranges_at_zero_change_nothing(noise: Pixels, key: str) -> None:
    np.testing.assert_array_equal(vary(noise, only(), key), noise)


def test_horizontal_flip_mirrors_left_and_right_half_of_the_time(noise: Pixels) -> None:
    views = [vary(noise, only(horizontal_flip=True), key) for key in KEYS]
    mirrored = [np.array_equal(view, noise[:, ::-1]) for view in views]
    assert all(one or np.array_equal(view, noise) for one, view in zip(mirrored, views, strict=True))
    assert 10 <= sum(mirrored) <= 30


def test_vertical_flip_mirrors_top_and_bottom_half_of_the_time(noise: Pixels) -> None:
    views = [vary(noise, only(vertical_flip=True), key) for key in KEYS]
    mirrored = [np.array_equal(view, noise[::-1]) for view in views]
    assert all(one or np.array_equal(view, noise) for one, view in zip(mirrored, views, strict=True))
    assert 10 <= sum(mirrored) <= 30


def test_rotation_turns_about_the_centre_by_at_most_its_range_to_either_side() -> None:
    right = spot(SIDE / 2 - 0.5 + 20, SIDE / 2 - 0.5)
    angles = []
    for key in KEYS:
        x, y = centre_of_light(vary(right, only(rotation_range=90, fill_mode="constant"), key))
        assert np.hypot(x, y) == pytest.approx(20, abs=0.7)  # the distance from the centre stays
        angles.append(np.degrees(np.arctan2(-y, x)))
    assert max(angles) <= 91
    assert min(angles) >= -91
    assert max(angles) > 60
    assert min(angles) < -60


def test_a_turn_moves_all_points_alike() -> None:
    """Right, top, left and bottom stay in that order: a rotation, not a mirror image."""
    middle = SIDE / 2 - 0.5
    points = [(20, 0), (0, -20), (-20, 0), (0, 20)]
    for key in KEYS[:10]:
        turned = [
            centre_of_light(vary(spot(middle + x, middle + y), only(rotation_range=180, fill_mode="constant"), key))
            for x, y in points
        ]
        angles = np.degrees([np.arctan2(-y, x) for x, y in turned])
        np.testing.assert_allclose((angles - angles[0]) % 360, [0, 90, 180, 270], atol=3)


@pytest.mark.parametrize(("setting", "axis"), [("width_shift_range", 0), ("height_shift_range", 1)])
def test_a_shift_moves_along_its_axis_by_at_most_its_fraction(setting: str, axis: int) -> None:
    middle = SIDE / 2 - 0.5
    moved = [centre_of_light(vary(spot(middle, middle), only(**{setting: 0.25}), key)) for key in KEYS]
    along, across = [one[axis] for one in moved], [one[1 - axis] for one in moved]
    assert max(np.abs(across)) < 0.1
    assert max(np.abs(along)) <= SIDE * 0.25 + 0.1
    assert max(along) > SIDE * 0.15
    assert min(along) < -SIDE * 0.15


def test_zoom_moves_a_point_away_from_or_towards_the_centre() -> None:
    middle = SIDE / 2 - 0.5
    distances = [
        centre_of_light(vary(spot(middle + 16, middle), only(zoom_range=0.25, fill_mode="constant"), key))[0]
        for key in KEYS
    ]
    assert 16 * 0.74 < min(distances) < 16 * 0.85
    assert 16 * 1.15 < max(distances) < 16 * 1.26


def test_zoom_can_be_given_as_two_factors() -> None:
    middle = SIDE / 2 - 0.5
    distances = [
        centre_of_light(vary(spot(middle + 12, middle), only(zoom_range=(1.2, 1.5), fill_mode="constant"), key))[0]
        for key in KEYS
    ]
    assert 12 * 1.19 < min(distances) < 12 * 1.3
    assert 12 * 1.4 < max(distances) < 12 * 1.51


def test_each_channel_is_shifted_by_its_own_amount_within_bytes() -> None:
    grey = np.full((4, 4, 3), 128, np.uint8)
    views = np.array([vary(grey, only(channel_shift_range=30), key)[0, 0] for key in KEYS], int) - 128
    assert (np.abs(views) <= 30).all()
    assert (views.max(axis=0) > 20).all()
    assert (views.min(axis=0) < -20).all()
    assert len({tuple(view) for view in views}) == len(KEYS)
    assert any(len(set(view)) == 3 for view in views.tolist())
    assert vary(np.full((4, 4, 3), 250, np.uint8), only(channel_shift_range=200), KEYS[1]).dtype == np.uint8


def test_wrapped_edges_are_those_of_the_other_side() -> None:
    halves = np.zeros((SIDE, SIDE, 3), np.uint8)
    halves[:, : SIDE // 2] = 255
    moved = [vary(halves, only(width_shift_range=0.4, fill_mode="wrap"), key) for key in KEYS]
    assert all(abs(float(view.mean()) - 127.5) < 4 for view in moved)  # nothing is lost, nothing is made up


def test_brightness_multiplies_and_stays_within_bytes() -> None:
    grey = np.full((8, 8, 3), 200, np.uint8)
    values = [int(vary(grey, only(brightness_range=(0.5, 1.5)), key)[0, 0, 0]) for key in KEYS]
    assert 100 <= min(values) < 140
    assert max(values) == 255  # 300 would have wrapped to 44


def test_contrast_stretches_about_the_mean() -> None:
    halves = np.zeros((8, 8, 3), np.uint8)
    halves[:, :4], halves[:, 4:] = 100, 150
    for key in KEYS[:10]:
        view = vary(halves, only(contrast_range=(2, 2)), key)
        assert (int(view[0, 0, 0]), int(view[0, 7, 0])) == (75, 175)


@pytest.mark.parametrize("mode", ["reflect", "nearest"])
def test_edges_that_move_in_are_filled_with_picture(mode: str) -> None:
    white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    settings = Settings(rotation_range=180, width_shift_range=0.3, brightness_range=(1, 1), contrast_range=(1, 1))
    for key in KEYS[:10]:
        assert vary(white, settings.model_copy(update={"fill_mode": mode}), key).min() == 255


def test_constant_edges_are_black() -> None:
    white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    assert min(vary(white, only(width_shift_range=0.5, fill_mode="constant"), key).min() for key in KEYS) == 0


@pytest.mark.parametrize(
    ("examples", "views"),
    [(1, MOST_VIEWS), (AUTO_BUDGET // MOST_VIEWS, MOST_VIEWS), (700, 2), (AUTO_BUDGET, 1), (AUTO_BUDGET + 1, 0)],
)
def test_auto_gives_many_views_to_few_pictures_and_none_to_thousands(examples: int, views: int) -> None:
    assert number_of_views(Settings(), examples) == views


def test_auto_stays_within_its_budget_and_survives_no_pictures() -> None:
    assert all(number_of_views(Settings(), count) * count <= AUTO_BUDGET for count in range(1, 5_000, 37))
    assert number_of_views(Settings(), 0) == MOST_VIEWS


def test_a_stated_number_of_views_is_kept() -> None:
    assert [number_of_views(Settings(views=views), 100_000) for views in (0, 3, 64)] == [0, 3, 64]


@pytest.mark.parametrize(
    "wrong",
    [
        {"views": 65},
        {"views": -1},
        {"views": "many"},
        {"rotation_range": 181},
        {"zoom_range": 1},
        {"zoom_range": (1.2, 0.9)},
        {"zoom_range": (0, 1)},
        {"channel_shift_range": 256},
        {"flip": True},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)


# What follows is the recipe as it was first written, which cached features and killed trainings rely on.


def first_recipe(array: Pixels, settings: Settings, key: str) -> Pixels:
    """Pad by half the picture, move, mirror as numpy does, and look colours up one by one."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))
    height, width = array.shape[:2]
    angle = math.radians(rng.uniform(-settings.rotation_range, settings.rotation_range))
    given = settings.zoom_range
    zoom = rng.uniform(*(given if isinstance(given, tuple) else (1 - given, 1 + given)))
    shift_x = rng.uniform(-settings.width_shift_range, settings.width_shift_range) * width
    shift_y = rng.uniform(-settings.height_shift_range, settings.height_shift_range) * height
    if not angle == shift_x == shift_y == zoom - 1 == 0:
        pad_y, pad_x = height // 2, width // 2
        mode: Any = {"nearest": "edge"}.get(settings.fill_mode, settings.fill_mode)
        padded = np.pad(array, ((pad_y, pad_y), (pad_x, pad_x), (0, 0)), mode=mode)
        cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
        offset_x = width / 2 + pad_x - cos * (width / 2 + shift_x) - sin * (height / 2 + shift_y)
        offset_y = height / 2 + pad_y + sin * (width / 2 + shift_x) - cos * (height / 2 + shift_y)
        map_ = cos, sin, offset_x, -sin, cos, offset_y
        image = Image.fromarray(padded)
        array = np.asarray(
            image.transform((width, height), Image.Transform.AFFINE, map_, resample=Image.Resampling.BILINEAR)
        )
    if settings.horizontal_flip and rng.random() < 0.5:
        array = array[:, ::-1]
    if settings.vertical_flip and rng.random() < 0.5:
        array = array[::-1]
    brightness, contrast = rng.uniform(*settings.brightness_range), rng.uniform(*settings.contrast_range)
    if not brightness == contrast == 1:
        mean = float(array.mean())
        values = (np.arange(256, dtype=np.float32) - mean) * contrast + mean
        array = np.clip(np.rint(values * brightness), 0, 255).astype(np.uint8)[array]
    if most := settings.channel_shift_range:
        shifts = np.rint(rng.uniform(-most, most, 3)).astype(np.int16)
        array = np.clip(array.astype(np.int16) + shifts, 0, 255).astype(np.uint8)
    return array


sides = st.integers(1, 70)
varied = st.builds(
    Settings,
    horizontal_flip=st.booleans(),
    vertical_flip=st.booleans(),
    rotation_range=st.sampled_from([0.0, 10.0, 45.0, 180.0]),
    width_shift_range=st.sampled_from([0.0, 0.05, 0.5]),
    height_shift_range=st.sampled_from([0.0, 0.05, 0.5]),
    zoom_range=st.sampled_from([0.0, 0.1, 0.9, (0.1, 4.0)]),
    brightness_range=st.sampled_from([(1.0, 1.0), (0.5, 1.5)]),
    contrast_range=st.sampled_from([(1.0, 1.0), (0.0, 2.0)]),
    channel_shift_range=st.sampled_from([0.0, 30.0]),
    fill_mode=st.sampled_from(["reflect", "nearest", "constant", "wrap"]),
)


@searched(max_examples=400, deadline=None)
@given(height=sides, width=sides, settings=varied, key=st.text(max_size=8))
def test_a_key_gives_the_pixels_that_it_always_gave(height: int, width: int, settings: Settings, key: str) -> None:
    array = np.random.default_rng(height * 100 + width).integers(0, 256, (height, width, 3), np.uint8)
    np.testing.assert_array_equal(vary(array, settings, key), first_recipe(array, settings, key))


def test_a_large_picture_keeps_its_pixels_too() -> None:
    array = np.random.default_rng(0).integers(0, 256, (224, 260, 3), np.uint8)
    for key in KEYS:
        np.testing.assert_array_equal(vary(array, Settings(), key), first_recipe(array, Settings(), key))
