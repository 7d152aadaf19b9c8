"""What is remembered of each picture beside its size: a small grey copy, for the search for near duplicates, and how it
was taken: brightness, contrast, sharpness, camera, and the colours around and in the middle.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

SIDE: Final = 48  # pixels of the grey copy, whatever the picture's aspect
_RIM, _AROUND = 3, 9  # of SIDE: where the surroundings of what is shown begin, inside of any frame, and where they end
_MEASURED = 256  # pixels of the longer side of the copy on which sharpness is measured
_SIZE = struct.Struct("<II")
_LEVELS: Final = np.arange(256.0)
_STEPS = np.minimum(np.arange(SIDE), np.arange(SIDE)[::-1])
_INWARDS = np.minimum(_STEPS[:, None], _STEPS)  # of each pixel, how many there are between it and the nearest side
_BAND = (_INWARDS >= _RIM) & (_INWARDS < _AROUND)
_MIDDLE = _INWARDS >= 16


def sketch_of(upright: Image.Image) -> bytes:
    """Return the grey copy of an upright RGB picture, and its size: SIDE * SIDE + 8 bytes."""
    # A smaller one is enlarged by straight lines: blocks of equal pixels would be a pattern that no copy shares.
    way = Image.Resampling.BOX if min(upright.size) >= SIDE else Image.Resampling.BILINEAR
    small = upright.resize((SIDE, SIDE), way, reducing_gap=2.0).convert("L")
    return small.tobytes() + _SIZE.pack(*upright.size)


def open_sketches(sketches: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the grey copies (n, SIDE, SIDE) and the aspects (n,), width / height, of the pictures."""
    whole = np.frombuffer(b"".join(sketches), np.uint8).reshape(len(sketches), SIDE * SIDE + _SIZE.size)
    sizes = np.ascontiguousarray(whole[:, SIDE * SIDE :]).view("<u4").astype(np.float64)
    return whole[:, : SIDE * SIDE].reshape(-1, SIDE, SIDE), sizes[:, 0] / sizes[:, 1]


@dataclass(frozen=True, slots=True)
class Taken:
    """How a picture was taken."""

    brightness: float  # the mean of grey, 0 to 255
    contrast: float  # its deviation
    sharpness: float  # the deviation of its Laplacian, in units of the contrast
    camera: str  # maker and model as EXIF has them, or empty
    around: list[float]  # a band along the sides: means of grey, red - green, blue - yellow, and the grey's deviation
    middle: list[float]  # the same of the middle


def measured(upright: Image.Image, camera: str) -> Taken:
    """Return how an upright RGB picture was taken.

    Sharpness is measured on a copy whose longer side has 256 pixels at
    most, so that large and small pictures compare: some 0.3 to 1 for a sharp photo, below 0.1 for a blurred one.
    Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    scale = min(1.0, _MEASURED / max(upright.size))
    size = max(3, round(upright.width * scale)), max(3, round(upright.height * scale))
    small = upright.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    lightness = small.convert("L")
    shares = np.array(lightness.histogram()) / (size[0] * size[1])
    brightness = float(shares @ _LEVELS)
    contrast = math.sqrt(float(shares @ (_LEVELS - brightness) ** 2))
    grey = np.asarray(lightness).astype(np.int16)
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    edges = laplacian.astype(np.float32).ravel()
    edges -= edges.mean()
    sharpness = math.sqrt(float(edges @ edges) / edges.size) / contrast if contrast > 0 else 0.0
    around, middle = _colours(small)
    return Taken(round(brightness, 2), round(contrast, 2), round(sharpness, 4), camera, around, middle)


def _colours(small: Image.Image) -> tuple[list[float], list[float]]:
    """Return the colours of the band along the sides, and those of as many pixels in the middle."""
    red, green, blue = np.moveaxis(np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32), 2, 0)
    grey = (red + green + blue) / 3
    told = []
    for where in (_BAND, _MIDDLE):
        inside = grey[where]
        values = inside.mean(), (red - green)[where].mean(), (blue - (red + green) / 2)[where].mean(), inside.std()
        told.append([round(float(value), 1) for value in values])
    return told[0], told[1]


def camera_of(image: Image.Image) -> str:
    """Return maker and model as the EXIF data state them; empty where they state none."""
    try:
        exif = image.getexif()
        told = [str(exif.get(tag, "")) for tag in (ExifTags.Base.Make, ExifTags.Base.Model)]
    except Exception:  # damaged EXIF raises as many kinds of errors as damaged pixels
        return ""
    words = " ".join(told).replace("\0", " ").split()
    return " ".join(words)[:80]
