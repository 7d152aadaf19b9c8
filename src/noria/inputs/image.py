"""A picture: the bytes of a file -> uint8 RGB array (height, width, 3).

`inspect` is the validator that decodes everything and says what the file is; `read` is the hot path of training and
serving and refuses exactly the same files. `exporting/graphs/image.py` answers alike with TensorFlow ops.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageChops, ImageCms, ImageFile, _imaging
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile
from pydantic import BaseModel, ConfigDict, Field

from noria.errors import UnreadableInputError
from noria.inputs._image_header import OPENERS, hush_decoders, is_webp, opener_of, webp_canvas
from noria.inputs._image_header import pixels as pixels  # offered by every member of the shelf
from noria.inputs._image_sketch import SIDE, Taken, camera_of, measured, sketch_of
from noria.inputs._image_sketch import open_sketches as open_sketches
from noria.inputs._image_variants import variants as variants  # offered by every member of the shelf

Fit = Literal["stretch", "pad", "crop"]
Resample = Literal["bilinear", "bicubic"]
BatchReader = Callable[[Sequence[bytes]], list[NDArray[np.uint8] | UnreadableInputError]]
Size = tuple[int, int]  # width, height, as Pillow counts

NOUN: Final = ("picture", "pictures")
STANDARD_INPUT: Final = "files"
INPUT_NAME: Final = "image_bytes"
ARRAY_NAME: Final = "images"
ARRAY_DTYPE: Final = "float32"
MEDIA_TYPE: Final = "image/"
AT_ONCE: Final = 1
PREVIEW_SIDE: Final = 160
SKETCH_SIDE: Final = SIDE
CLOSE_UP_SIDE: Final = 1280
PAD_GREY: Final = 127
LARGE_PIXELS: Final = 25_000_000
_large = threading.Lock()

# Memory of pictures is used again, at most 32 MiB of it: a fault for each page of fresh memory was 30 % of the time
# that a photo of 227 pixels takes, and 40 % of that of one of 2,400. Larger blocks are slow where sizes vary, for each
# is resized. Pillow's own variables, where they are set, say otherwise.
if not {"PILLOW_BLOCK_SIZE", "PILLOW_BLOCKS_MAX"} & os.environ.keys():
    _imaging.set_block_size(64 << 10)
    _imaging.set_blocks_max(512)

# How many pixels of `max_pixels` one pixel counts for. libwebp and libtiff hold several copies of a picture, libjpeg
# the coefficients of four channels.
WEIGHT: Final = {"WEBP": 3, "TIFF": 2, "CMYK": 2}


class Settings(BaseModel):
    """How a picture becomes an array. Travels as JSON in every run and bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int = Field(224, ge=8, le=4096, description="rows of the array")
    width: int = Field(224, ge=8, le=4096, description="columns of the array")
    fit: Fit = Field("stretch", description="stretch: whatever the aspect; pad: keep it, on grey; crop: the centre")
    resample: Resample = Field("bilinear", description="the antialiased filter: bilinear or bicubic")
    min_side: int = Field(8, ge=1, description="a picture with a shorter side, in pixels, is refused")
    # TIFF and CMYK may have half as many, WebP a third, for their decoders hold several copies: with the default
    # nothing takes more than 1 GiB.
    max_pixels: int = Field(100_000_000, ge=1, description="a picture with more is refused before it is decoded")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a readable picture is."""

    width: int  # after EXIF orientation
    height: int
    format: str  # JPEG, PNG, WEBP, BMP, GIF or TIFF
    mode: str  # Pillow's name for the file's pixel format: RGB, L, P, CMYK, I;16 …
    content_sha256: str  # of the size and the upright RGB pixels: the same pixels in another format are equal here
    taken: Taken  # brightness, contrast, sharpness, camera
    sketch: bytes  # a small grey copy, for the search for near duplicates


def inspect(data: bytes, settings: Settings) -> Facts:
    """Decode all of a picture and say what it is.

    Raises:
        UnreadableInputError: not a supported picture, damaged, too small, too large, or of undefined brightness range.
    """
    with _refusing():
        image = _open(data, settings)
        file_format, mode = str(image.format), image.mode
        with _large_in_turn(image):
            orientation, _ = _load(image)
            camera = camera_of(image)
            upright = _upright(image, orientation)
            how = measured(upright, camera)
            return Facts(*upright.size, file_format, mode, _hash_pixels(upright), how, sketch_of(upright))


def read(data: bytes, settings: Settings) -> NDArray[np.uint8]:
    """Decode a picture to (height, width, 3) uint8 RGB, read-only; of an animation the first frame.

    Raises:
        UnreadableInputError: what `inspect` refuses, for the same reasons.
    """
    with _refusing():
        image = _open(data, settings)
        with nullcontext() if isinstance(image, JpegImageFile) else _large_in_turn(image):  # JPEG is decoded small
            orientation, full_size = _load(image, settings)
            return np.asarray(_fit(_upright(image, orientation), full_size, settings))


def looks_like_picture(head: bytes) -> bool:
    """Whether the first 16 bytes of a file, or more of them, are those of a picture that can be read.

    A text may well begin with the two letters of a BMP, whose header has zeros besides, as no text has.
    """
    if head.startswith(b"BM"):
        return b"\0" in head
    return head.startswith(tuple(OPENERS)) or is_webp(head)


def learn(examples: Iterable[bytes], settings: Settings) -> dict[str, bytes]:
    """Return nothing: all about reading a picture is in the settings."""
    return {}


def open_reader(settings: Settings, files: Mapping[str, bytes]) -> Callable[[bytes], NDArray[np.uint8]]:
    """Return `read` with these settings."""
    return functools.partial(read, settings=settings)


def open_batch_reader(settings: Settings, files: Mapping[str, bytes]) -> BatchReader:
    """Return what reads a few pictures, and refuses those that it must."""
    return lambda pictures: [_read_or_refusal(data, settings) for data in pictures]


def array_shape(settings: Settings) -> tuple[int | None, ...]:
    """Return the shape of a picture as a model takes it: (height, width, 3)."""
    return settings.height, settings.width, 3


def preview(data: bytes) -> bytes:
    """Return a thumbnail for a report, as JPEG."""
    return encode_preview(data, PREVIEW_SIDE)


def close_up(data: bytes) -> bytes:
    """Return a picture large enough to be judged by a person, as JPEG."""
    return encode_preview(data, CLOSE_UP_SIDE)


def encode_preview(data: bytes, side: int) -> bytes:
    """Return a small JPEG of a picture, upright, its longest side `side` pixels or less.

    Raises:
        UnreadableInputError: the picture cannot be decoded (no picture is too small here).
    """
    square = min(max(side, 8), 4096)
    settings = Settings(height=square, width=square, fit="pad", min_side=1)
    with _refusing():
        image = _open(data, settings)
        orientation, _ = _load(image, settings)
        preview = _upright(image, orientation)
        preview.thumbnail((side, side))
        target = io.BytesIO()
        preview.save(target, "JPEG", quality=80, comment=b"")  # else Pillow copies that of the file
        return target.getvalue()


def _read_or_refusal(data: bytes, settings: Settings) -> NDArray[np.uint8] | UnreadableInputError:
    try:
        return read(data, settings)
    except UnreadableInputError as error:
        return error


# Geometry, in whole numbers so that the exported graph computes the very same.


def inner_size(size: Size, target: Size) -> Size:
    """Return the largest size of the aspect of `size` within `target`, each side rounded half up, at least 1."""
    (width, height), (target_width, target_height) = size, target
    if width * target_height >= height * target_width:
        return target_width, max(1, (2 * height * target_width + width) // (2 * width))
    return max(1, (2 * width * target_height + height) // (2 * height)), target_height


def decode_ratio(size: Size, needed: Size) -> int:
    """Return the largest r of 8, 4, 2, 1 for which a picture decoded at 1/r still covers `needed`."""
    for ratio in (8, 4, 2):
        if -(-size[0] // ratio) >= needed[0] and -(-size[1] // ratio) >= needed[1]:
            return ratio
    return 1


def _needed(size: Size, settings: Settings) -> Size:
    target = settings.width, settings.height
    return inner_size(size, target) if settings.fit == "pad" else target


# From bytes to an opened file.

# A progressive JPEG is gone over once a scan. More work than this many scans of the largest picture is an attack.
_MAX_SCANS = 50


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn whatever a decoder raises on a hostile file into a refusal; the list of what it can raise has no end."""
    try:
        yield
    except UnreadableInputError:
        raise
    except MemoryError as error:
        raise UnreadableInputError("a picture that needs more memory than there is to decode") from error
    except Image.DecompressionBombError as error:
        raise UnreadableInputError(f"too large: {error}") from error
    except Exception as error:
        raise UnreadableInputError(f"a damaged or cut-off picture: {str(error) or type(error).__name__}") from error


def _large_in_turn(image: ImageFile.ImageFile) -> AbstractContextManager[object]:
    """Decode large pictures one at a time: `max_pixels` bounds the memory of one, not of one for each processor."""
    return _large if image.width * image.height > LARGE_PIXELS else nullcontext()


def _open(data: bytes, settings: Settings) -> ImageFile.ImageFile:
    """Read the header and refuse what must not be decoded.

    The plugins are called directly: `Image.open` warns of large pictures and knows a limit of its own, which can
    only be changed for the whole process.
    """
    opener = opener_of(data)
    hush_decoders()
    if opener is WebPImageFile:
        _refuse_bomb(webp_canvas(data), WEIGHT["WEBP"], settings)  # opening one takes memory for its canvas
    image = opener(io.BytesIO(data))
    weight = max(WEIGHT.get(str(image.format), 1), WEIGHT.get(image.mode, 1))
    _refuse_bomb(image.size, weight, settings)
    if image.info.get("progressive"):
        _refuse_scans(data, image.size, settings)
    if min(image.size) < settings.min_side:
        raise UnreadableInputError(
            f"too small: {image.width} x {image.height} pixels, at least {settings.min_side} a side are needed"
        )
    _refuse_undefined_range(image)
    if isinstance(image, PngImageFile):
        _mend_transparent_colour(image, bit_depth=data[24])
    return image


def _refuse_bomb(size: Size, weight: int, settings: Settings) -> None:
    limit = settings.max_pixels // weight
    if size[0] * size[1] > limit:
        raise UnreadableInputError(
            f"too large: {size[0]} x {size[1]} pixels would fill the memory, at most {limit:,} are decoded "
            f"(the setting max_pixels)"
        )


def _refuse_scans(data: bytes, size: Size, settings: Settings) -> None:
    scans = data.count(b"\xff\xda")
    if scans * size[0] * size[1] > _MAX_SCANS * settings.max_pixels:
        raise UnreadableInputError(f"a JPEG of {scans} scans, which would take minutes to decode")


def _refuse_undefined_range(image: ImageFile.ImageFile) -> None:
    if image.mode in ("I", "F"):
        raise UnreadableInputError(
            "pixels are signed, 32-bit or floating-point numbers, for which no file says what is black and what is "
            "white; save it with 8 or 16 bits"
        )


def _mend_transparent_colour(image: PngImageFile, bit_depth: int) -> None:
    """Count a PNG's transparent colour in the 8 bits that Pillow's pixels have; the file counts in its own depth."""
    key, highest = image.info.get("transparency"), (1 << bit_depth) - 1
    if image.mode == "L" and isinstance(key, int):
        image.info["transparency"] = (key & highest) * 255 // highest
    elif image.mode == "RGB" and isinstance(key, tuple):
        if bit_depth == 16:  # pixels have lost the bits that would tell this colour from its neighbours
            del image.info["transparency"]
        else:
            image.info["transparency"] = tuple(value & 255 for value in key)


# From an opened file to upright RGB.

_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # TIFF tags

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _load(image: ImageFile.ImageFile, settings: Settings | None = None) -> tuple[int, Size]:
    """Decode the pixels, a JPEG no larger than `settings` need.

    Returns the EXIF orientation still to be applied, and the upright size at full scale.
    """
    if not isinstance(image, JpegImageFile):
        image.load()  # before asking for the orientation: a PNG may have it after the pixels; a TIFF turns itself
        orientation = _orientation(image)
        return orientation, _turned(image.size, orientation)
    orientation = _orientation(image)
    full_size = _turned(image.size, orientation)
    ratio = decode_ratio(full_size, _needed(full_size, settings)) if settings else 1
    if ratio > 1:
        image.draft(None, (image.width // ratio, image.height // ratio))
    image.load()
    return orientation, full_size


def _orientation(image: ImageFile.ImageFile) -> int:
    """Return 1 to 8; 1 where nothing, nonsense or damaged EXIF is said, for the pixels are good all the same."""
    if not isinstance(image, JpegImageFile | PngImageFile | WebPImageFile):
        return 1
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged EXIF raises as many kinds of errors as damaged pixels
        return 1
    return int(value) if isinstance(value, int) and value in _TURNS else 1


def _turned(size: Size, orientation: int) -> Size:
    return (size[1], size[0]) if orientation >= 5 else size


def _upright(image: ImageFile.ImageFile, orientation: int) -> Image.Image:
    rgb = _rgb(image)
    if rgb is not image:
        image.close()  # frees its pixels before the next copy is made
    return rgb.transpose(_TURNS[orientation]) if orientation in _TURNS else rgb


def _rgb(image: ImageFile.ImageFile) -> Image.Image:
    """Convert every pixel format to RGB; what is transparent shows white."""
    if image.mode.startswith("I;16"):
        return _high_byte(image).convert("RGB")
    if image.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return _new(ImageCms.profileToProfile(image, *profiles, outputMode="RGB"))
    if image.mode == "CMYK" and isinstance(image, JpegImageFile) and "adobe" not in image.info:
        return ImageChops.invert(image).convert(
            "RGB"
        )  # Pillow takes every CMYK JPEG for an inverted one, as Adobe's are
    if image.has_transparency_data:
        return _over_white(image if image.mode == "RGBA" else image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def _new(image: Image.Image | None) -> Image.Image:
    if image is None:
        raise UnreadableInputError("a picture whose colours cannot be converted to RGB")
    return image


def _high_byte(image: ImageFile.ImageFile) -> Image.Image:
    """Return the upper 8 of the bits that a 16-bit grey picture really has: a 12-bit TIFF counts to 4,095 only."""
    values = np.asarray(image)
    bits, white_is_zero = 16, False
    if isinstance(image, TiffImageFile):
        stated = image.tag_v2.get(_BITS_PER_SAMPLE, (16,))[0]
        bits = stated if 9 <= stated <= 16 else 16
        white_is_zero = image.tag_v2.get(_PHOTOMETRIC) == 0
    grey = np.minimum(values >> (bits - 8), 255).astype(np.uint8)
    if white_is_zero:
        grey = 255 - grey
    if isinstance(key := image.info.get("transparency"), int):
        grey[values == key] = 255
    return Image.fromarray(grey)


def _over_white(image: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", image.size, "white")
    canvas.paste(image, mask=image)
    return canvas


# From upright RGB to the answer.

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def _fit(image: Image.Image, full_size: Size, settings: Settings) -> Image.Image:
    target, resample = (settings.width, settings.height), _FILTERS[settings.resample]
    if settings.fit == "pad":
        return _centred(_resized(image, inner_size(full_size, target), resample), target)
    if settings.fit == "crop":
        image = _centre_crop(image, target)
    return _resized(image, target, resample)


def _resized(image: Image.Image, size: Size, resample: Image.Resampling) -> Image.Image:
    """Resize columns, then rows: asked for both at once, some versions of Pillow choose the other order, which rounds
    differently (by up to 10 of 255 around bicubic edges).
    """
    if image.width != size[0]:
        image = image.resize((size[0], image.height), resample)
    return image if image.height == size[1] else image.resize(size, resample)


def _centred(image: Image.Image, target: Size) -> Image.Image:
    if image.size == target:
        return image
    canvas = Image.new("RGB", target, (PAD_GREY, PAD_GREY, PAD_GREY))
    canvas.paste(image, ((target[0] - image.width) // 2, (target[1] - image.height) // 2))
    return canvas


def _centre_crop(image: Image.Image, target: Size) -> Image.Image:
    """Cut before resizing: `resize(box=…)` would let the filter see pixels outside the box."""
    width, height = inner_size(target, image.size)
    if (width, height) == image.size:
        return image
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _hash_pixels(image: Image.Image) -> str:
    """Hash in bands of rows: the bytes of a large picture at once would double its memory."""
    digest = hashlib.sha256(b"%d x %d RGB " % image.size)
    rows = max(1, (1 << 22) // image.width)
    for top in range(0, image.height, rows):
        digest.update(image.crop((0, top, image.width, min(top + rows, image.height))).tobytes())
    return digest.hexdigest()
