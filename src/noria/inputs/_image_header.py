"""The first bytes of a picture -> what opens it, and how many pixels it says that it has; nothing is decoded."""

from __future__ import annotations

import ctypes
import functools
import io
import logging
import warnings
from contextlib import suppress
from importlib.util import find_spec
from typing import Final

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from noria.errors import UnreadableInputError
from noria.inputs._image_strangers import name_of_stranger

SUPPORTED: Final = "JPEG, PNG, WebP, BMP, GIF, TIFF"
USUAL_SCANS: Final = 10  # of a progressive JPEG
START_OF_SCAN: Final = b"\xff\xda"

Opener = type[JpegImageFile | PngImageFile | WebPImageFile | BmpImageFile | GifImageFile | TiffImageFile]

OPENERS: dict[bytes, Opener] = {
    b"\xff\xd8\xff": JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"BM": BmpImageFile,
    b"GIF87a": GifImageFile,
    b"GIF89a": GifImageFile,
    b"II*\0": TiffImageFile,
    b"MM\0*": TiffImageFile,
    b"II\0*": TiffImageFile,
    b"MM*\0": TiffImageFile,
    b"II+\0": TiffImageFile,
    b"MM\0+": TiffImageFile,
}


def pixels(data: bytes) -> int:
    """Return how many pixels there are to decode, as the header says; 0 where it says nothing that can be read.

    A progressive JPEG is gone over once a scan: of more than the usual ten, every ten count as one picture.
    """
    try:
        opener = opener_of(data)
        if opener is WebPImageFile:  # opening one takes memory for its canvas
            width, height = webp_canvas(data)
            return width * height
        hush_decoders()
        image = opener(io.BytesIO(data))
    except Exception:  # it is refused when it is to be decoded, with its reason
        return 0
    scans = data.count(START_OF_SCAN) if image.info.get("progressive") else 1
    return int(image.width * image.height * max(1.0, scans / USUAL_SCANS))


def opener_of(data: bytes) -> Opener:
    """Return what opens a picture.

    Raises:
        UnreadableInputError: it is none, or of another kind.
    """
    if not data:
        raise UnreadableInputError("empty: 0 bytes")
    for magic, opener in OPENERS.items():
        if data.startswith(magic):
            return opener
    if is_webp(data):
        return WebPImageFile
    raise UnreadableInputError(f"{name_of_stranger(data)}; supported: {SUPPORTED}")


def is_webp(data: bytes) -> bool:
    """Tell whether bytes begin as a WebP does."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def webp_canvas(data: bytes) -> tuple[int, int]:
    """Return width and height that the header of a WebP states, of the extended, lossless or lossy kind."""
    if data[12:16] == b"VP8X" and len(data) >= 30:
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


@functools.cache
def hush_decoders() -> None:
    """Keep Pillow and libtiff from writing to standard error, once for the process.

    Pillow tells of odd metadata by warnings and log lines, libtiff of damage by plain prints. What matters comes out
    as a refusal. `warnings.catch_warnings` around each call would not be safe with threads.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    core = find_spec("PIL._imaging")
    with suppress(AttributeError, OSError):  # where Pillow is built so that libtiff cannot be reached, it may print
        ctypes.CDLL(core.origin if core else None).TIFFSetErrorHandler(None)
