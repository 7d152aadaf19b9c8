"""A uint8 RGB array (height, width, 3) -> a varied copy, decided by the settings and a key alone.

Names and units are those of Keras' `ImageDataGenerator`, so that they need not be learnt again.
"""

from __future__ import annotations

import hashlib
import math
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, field_validator

RECIPE = 1  # raise when the same settings and key give other pixels, so that no cached feature is used by mistake
MOST_VIEWS = 4
AUTO_BUDGET = 1_500  # views in all: about eight seconds on two cores
FillMode = Literal["reflect", "nearest", "constant", "wrap"]
Factors = tuple[float, float]


class Settings(BaseModel):
    """The `[augment]` section: how far a training picture may be moved, turned and lit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    views: Literal["auto"] | Annotated[int, Field(ge=0, le=64)] = Field(
        "auto",
        description="varied views of each training picture; auto: 4 of a few hundred, fewer of many, 0 of thousands; a "
        "network that is trained sees a new one in every epoch, unless this is 0",
    )
    horizontal_flip: bool = Field(True, description="mirror left and right, half of the time")
    vertical_flip: bool = Field(False, description="mirror top and bottom, half of the time")
    rotation_range: float = Field(10.0, ge=0, le=180, description="degrees, to either side")
    width_shift_range: float = Field(0.05, ge=0, le=0.5, description="fraction of the width, to either side")
    height_shift_range: float = Field(0.05, ge=0, le=0.5, description="fraction of the height, to either side")
    zoom_range: Annotated[float, Field(ge=0, lt=1)] | Factors = Field(
        0.1, description="0.1: between 0.9 and 1.1 times; or both: [0.8, 1.3]"
    )
    brightness_range: Factors = Field((0.9, 1.1), description="factors, darkest and brightest")
    contrast_range: Factors = Field((0.9, 1.1), description="factors, flattest and hardest")
    channel_shift_range: float = Field(
        0.0, ge=0, le=255, description="levels of 255 by which red, green and blue each move, to either side"
    )
    fill_mode: FillMode = Field("reflect", description="what fills moved-in edges")
    # What follows is for networks that are trained, batch by batch (training/mixing).
    mixup: float = Field(0.0, ge=0, le=1, description="alpha of MixUp, in networks that are trained; 0: none")
    cutmix: float = Field(0.0, ge=0, le=1, description="the largest share of a picture that CutMix takes; 0: none")
    rand_augment: float = Field(0.0, ge=0, le=1, description="strength of RandAugment, two changes each; 0: none")
    random_erasing: float = Field(0.0, ge=0, le=1, description="share of the pictures of which a part is erased")

    @field_validator("zoom_range")
    @classmethod
    def _is_a_zoom(cls, zoom: float | Factors) -> float | Factors:
        if isinstance(zoom, tuple) and not 0 < zoom[0] <= zoom[1] < math.inf:
            raise ValueError(f"a share or two factors above 0, the smaller first, are expected, not {list(zoom)}")
        return zoom

    @field_validator("brightness_range", "contrast_range")
    @classmethod
    def _is_a_range(cls, factors: Factors) -> Factors:
        low, high = factors
        if not 0 <= low <= high < math.inf:
            raise ValueError(f"two factors, the smaller first, are expected, e.g. [0.9, 1.1], not {list(factors)}")
        return factors


def number_of_views(settings: Settings, num_examples: int) -> int:
    """Return how many varied views each of `num_examples` training pictures gets.

    Measured with `bench/views.py`: with 10 to 30 pictures a label they raise accuracy, with hundreds no longer.
    """
    return min(MOST_VIEWS, AUTO_BUDGET // max(1, num_examples)) if settings.views == "auto" else settings.views


def varies(settings: Settings) -> bool:
    """Return whether a network that is trained sees another view in every epoch."""
    return settings.views != 0


def vary(array: NDArray[np.uint8], settings: Settings, key: str) -> NDArray[np.uint8]:
    """Return one varied view; the same key and settings give the same pixels on any machine.

    Args:
        array: (height, width, 3) uint8 RGB.
        settings: how far each variation may go.
        key: what names this view, e.g. the picture's SHA-256 and the view's number.
    """
    # A hash, not Python's own `hash`, which differs from process to process.
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))
    moved = _moved(array, settings, rng)
    # Pillow mirrors whole rows; numpy would copy pixel by pixel, ten times as slowly.
    if settings.horizontal_flip and rng.random() < 0.5:
        moved = moved.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if settings.vertical_flip and rng.random() < 0.5:
        moved = moved.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    brightness, contrast = rng.uniform(*settings.brightness_range), rng.uniform(*settings.contrast_range)
    lit = _light(np.asarray(moved), brightness, contrast)
    return _shift_channels(lit, settings.channel_shift_range, rng) if settings.channel_shift_range else lit


def _moved(array: NDArray[np.uint8], settings: Settings, rng: np.random.Generator) -> Image.Image:
    """Rotate, zoom and shift about the centre in one bilinear resampling."""
    height, width = array.shape[:2]
    angle = math.radians(rng.uniform(-settings.rotation_range, settings.rotation_range))
    given = settings.zoom_range
    zoom = rng.uniform(*(given if isinstance(given, tuple) else (1 - given, 1 + given)))
    shift_x = rng.uniform(-settings.width_shift_range, settings.width_shift_range) * width
    shift_y = rng.uniform(-settings.height_shift_range, settings.height_shift_range) * height
    if angle == 0 and zoom == 1 and shift_x == 0 and shift_y == 0:
        return Image.fromarray(array)
    pad_y, pad_x = height // 2, width // 2
    # Pillow maps an output pixel to the input: rotate by -angle, divide by the zoom, move back by the shift.
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    centre_x, centre_y = width / 2, height / 2
    offset_x = centre_x + pad_x - cos * (centre_x + shift_x) - sin * (centre_y + shift_y)
    offset_y = centre_y + pad_y + sin * (centre_x + shift_x) - cos * (centre_y + shift_y)
    rows = _reach(-sin, cos, offset_y, (width, height), height + 2 * pad_y)
    columns = _reach(cos, sin, offset_x, (width, height), width + 2 * pad_x)
    return Image.fromarray(_surrounded(array, rows, columns, settings.fill_mode)).transform(
        (width, height),
        Image.Transform.AFFINE,
        (cos, sin, offset_x, -sin, cos, offset_y),
        resample=Image.Resampling.BILINEAR,
    )


def _reach(by_x: float, by_y: float, offset: float, size: tuple[int, int], most: int) -> tuple[int, int]:
    """Return the first row (or column) that the output's pixels are made of, and the one after the last."""
    # A map of straight lines is farthest in the corners; a pixel is made of the two next to its place, and one more
    # on either side covers what rounding may do.
    corners = [by_x * x + by_y * y + offset for x in (0.5, size[0] - 0.5) for y in (0.5, size[1] - 0.5)]
    return max(0, math.floor(min(corners)) - 2), min(most, math.floor(max(corners)) + 3)


def _surrounded(
    array: NDArray[np.uint8], rows: tuple[int, int], columns: tuple[int, int], mode: FillMode
) -> NDArray[np.uint8]:
    """Return the picture with half of its size around it, of which only these rows and columns are filled.

    The rest is never read. It is there all the same: with other offsets the places of pixels would be rounded
    otherwise, and a key would not give the same pixels as ever.
    """
    height, width = array.shape[:2]
    pad_y, pad_x = height // 2, width // 2
    whole = np.empty((height + 2 * pad_y, width + 2 * pad_x, 3), np.uint8)
    band = whole[pad_y : pad_y + height]
    band[:, pad_x : pad_x + width] = array
    _extend(band.swapaxes(0, 1), (pad_x, pad_x + width), columns, mode)
    _extend(whole, (pad_y, pad_y + height), rows, mode)
    return whole


def _extend(field: NDArray[np.uint8], there: tuple[int, int], wanted: tuple[int, int], mode: FillMode) -> None:
    """Fill a field along its first axis, as far as it is wanted, from the part that is there."""
    start, end = there
    before, after = max(0, start - wanted[0]), max(0, wanted[1] - end)
    inside, first, last = field[start:end], field[start - before : start], field[end : end + after]
    match mode:
        case "reflect":
            first[:], last[:] = inside[1 : before + 1][::-1], inside[::-1][1 : after + 1]
        case "nearest":
            first[:], last[:] = inside[:1], inside[-1:]
        case "wrap":
            first[:], last[:] = inside[len(inside) - before :], inside[:after]
        case "constant":
            first[:] = last[:] = 0


def _light(array: NDArray[np.uint8], brightness: float, contrast: float) -> NDArray[np.uint8]:
    if brightness == 1 and contrast == 1:
        return array
    mean = float(array.mean())
    # One table for all 256 values: a look-up is several times faster than float arithmetic on the picture.
    values = (np.arange(256, dtype=np.float32) - mean) * contrast + mean
    table = np.clip(np.rint(values * brightness), 0, 255).astype(np.uint8)
    return np.asarray(table.take(array))


def _shift_channels(array: NDArray[np.uint8], most: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    shifts = np.rint(rng.uniform(-most, most, 3)).astype(np.int16)
    return np.asarray(np.clip(array.astype(np.int16) + shifts, 0, 255), np.uint8)
