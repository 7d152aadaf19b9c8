"""A decoded frame -> the picture that a player shows: RGB, turned as the camera was held, with square pixels."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from noria.errors import UnreadableInputError

QUALITY = 95  # of JPEG
MAX_PIXELS = 50_000_000  # of a frame; 8K has 33 million
MAX_SIDE = 16_384
# FFmpeg's numbers of colour spaces and ranges (ITU-T H.273); the two unsaid ones are "unspecified" and "reserved".
_BT709, _UNSAID, _BT601, _LAST_SPACE, _FULL_RANGE = 1, (2, 3), 6, 14, 2
_HIGH_DEFINITION = 720  # lines; from here on players take BT.709 where nothing is said


def jpeg(frame: Any, aspect: float) -> bytes:
    """Return a frame as a player shows it, as JPEG.

    Args:
        frame: an `av.VideoFrame`.
        aspect: how much wider than high a stored pixel is shown.

    Raises:
        UnreadableInputError: its colours cannot be converted.
    """
    pixels = turned(_square(converted(frame, format="rgb24"), aspect), _display_matrix(frame))
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "JPEG", quality=QUALITY)
    return target.getvalue()


def converted(frame: Any, **wanted: Any) -> NDArray[np.uint8]:
    """Return a frame in another format or size, as `VideoFrame.to_ndarray` does.

    Raises:
        UnreadableInputError: its colours cannot be converted.
    """
    if frame.colorspace in _UNSAID or frame.colorspace > _LAST_SPACE:
        frame.colorspace = _BT709 if frame.height >= _HIGH_DEFINITION else _BT601
    if frame.color_range > _FULL_RANGE:
        frame.color_range = 0
    try:
        pixels: NDArray[np.uint8] = frame.to_ndarray(**wanted)
    except (av.FFmpegError, ValueError):
        raise UnreadableInputError("its colours are in a space that cannot be converted") from None
    return pixels


def fits(width: int, height: int) -> bool:
    """Whether a frame of this size is decoded."""
    return 0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS


def turned(pixels: NDArray[np.uint8], matrix: NDArray[np.int32] | None) -> NDArray[np.uint8]:
    """Return pixels (rows, columns, 3) turned and mirrored by the matrix of a video's header.

    Args:
        matrix: (9,) a, b, u, c, d, v, x, y, w: a point (p, q) is shown at (a p + c q + x, b p + d q + y), see ISO/IEC
            14496-12, 6.2.2. An angle between two quarter turns is taken for the nearest.
    """
    if matrix is None:
        return pixels
    a, b, c, d = (int(matrix[place]) for place in (0, 1, 3, 4))
    if abs(a) + abs(d) < abs(b) + abs(c):
        pixels = pixels.transpose(1, 0, 2)
        a, d = c, b
    if a < 0:
        pixels = pixels[:, ::-1]
    if d < 0:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _square(pixels: NDArray[np.uint8], aspect: float) -> NDArray[np.uint8]:
    """Stretch what is too short, so that nothing is lost."""
    height, width = pixels.shape[:2]
    wanted = round(width * max(1.0, aspect)), round(height * max(1.0, 1 / aspect))
    if wanted == (width, height) or not fits(*wanted):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(wanted, Image.Resampling.BICUBIC))


def _display_matrix(frame: Any) -> NDArray[np.int32] | None:
    found = frame.side_data.get("DISPLAYMATRIX")
    return None if found is None else np.frombuffer(bytes(found), np.int32)[:9]
