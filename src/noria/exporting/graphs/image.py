"""Pictures as TensorFlow ops: raw bytes, string (n,) -> float32 (n, height, width, 3), whole numbers 0 to 255.

The twin of `inputs/image.py` inside an exported graph: same orientation, same transparency, same whole-number
geometry, and a resize in Pillow's two rounded passes, so that both answer alike. What TensorFlow cannot decode
raises InvalidArgumentError.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from noria.contracts import BEYOND
from noria.exporting.graphs._geometry import fit, needed_size, on_canvas
from noria.exporting.graphs._octets import (
    find_chunks,
    from_octets,
    has,
    length_of,
    number,
    octets_of,
    orientation_of,
    slice_of,
)
from noria.inputs.image import WEIGHT, Settings

# What a small file may cost, as each of these steps takes about 0.1 ms: chunks before a picture's own size is reckoned
# with, and extensions or stray bytes before the first frame of a GIF.
FEW_STEPS = 10_000
TEXT = 2**20  # bytes of text in a PNG, unpacked; Pillow reads no more
PACKED_TEXT = 2**17  # zlib makes at most 1,032 times as much of it
OVER_WHITE = 2**20  # pixels that are laid over white at once
SKIPPED = 2**12  # bytes of a GIF that are stepped through at once

SUPPORTED = "JPEG, PNG, WebP, GIF and BMP (uncompressed, 1, 4, 8, 24 or 32 bits)"


def build(settings: Settings, files: Mapping[str, bytes]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return `decode` with these settings; a picture needs nothing that was learnt."""
    return functools.partial(decode, settings=settings)


def decode(data: tf.Tensor, settings: Settings) -> tf.Tensor:
    """Decode a batch of pictures; to be called in a `tf.function`, which a SavedModel then holds.

    Args:
        data: string (n,), the raw bytes of n files; an animation counts as its first frame.
        settings: size, fit, filter and limits, as for `noria.inputs.image.read`.

    Returns:
        float32 (n, height, width, 3) RGB, whole numbers from 0 to 255.

    Raises:
        tf.errors.InvalidArgumentError: when run, on a file that is not supported, damaged, too small or too large.
    """
    result = tf.TensorSpec((settings.height, settings.width, 3), tf.float32)
    # The control flow is written out: AutoGraph, where the caller has it on, would only blur tracebacks.
    one_picture = tf.autograph.experimental.do_not_convert(lambda one: _decode_one(one, settings))
    # Two at a time: a decoded photo of a phone takes hundreds of megabytes as float32.
    return tf.map_fn(one_picture, data, fn_output_signature=result, parallel_iterations=2)


def _decode_one(data: tf.Tensor, settings: Settings) -> tf.Tensor:
    branches = [_decode_jpeg, _decode_png, _decode_webp, _decode_gif, _decode_bmp, _refuse_format]
    # A branch returns the upright pixels, uint8 (h, w, 3), and the upright (height, width) at full scale, int64 (2,).
    pixels, full_size = tf.switch_case(
        _format_index(data), [lambda branch=branch: branch(data, settings) for branch in branches]
    )
    return fit(tf.ensure_shape(pixels, (None, None, 3)), tf.ensure_shape(full_size, (2,)), settings)


def _format_index(data: tf.Tensor) -> tf.Tensor:
    """Tell the format by content, in the order of the branches; whatever is unknown is the last."""
    known = [
        has(data, 0, b"\xff\xd8\xff"),
        has(data, 0, b"\x89PNG\r\n\x1a\n"),
        has(data, 0, b"RIFF") & has(data, 8, b"WEBP"),
        has(data, 0, b"GIF87a") | has(data, 0, b"GIF89a"),
        has(data, 0, b"BM"),
        tf.constant(True),
    ]
    return tf.argmax(tf.cast(tf.stack(known), tf.int32), output_type=tf.int32)


def _refuse_format(_data: tf.Tensor, _settings: Settings) -> tuple[tf.Tensor, tf.Tensor]:
    _require(tf.constant(False), f"not a picture, or one {BEYOND}; supported: {SUPPORTED}")
    return tf.zeros((1, 1, 3), tf.uint8), tf.ones((2,), tf.int64)


def _refuse_size(height: tf.Tensor, width: tf.Tensor, settings: Settings, weight: int | tf.Tensor = 1) -> None:
    smallest, largest = settings.min_side, settings.max_pixels
    _require(tf.minimum(height, width) >= smallest, f"picture too small: at least {smallest} pixels a side are needed")
    _require(height * width <= largest // weight, f"picture too large: at most {largest} pixels are decoded")


def _most_chunks(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Return how many chunks a picture may have: some, and one for each 4 KiB of its pixels, of 8 bytes at most."""
    # Limited for itself, too, since the graph may get here before a picture is refused for its size.
    return tf.cast(FEW_STEPS + tf.clip_by_value(height * width // 512, 0, 10**6), tf.int32)


def _require(condition: tf.Tensor, message: str) -> None:
    tf.debugging.Assert(condition, [message])


# JPEG


def _decode_jpeg(data: tf.Tensor, settings: Settings) -> tuple[tf.Tensor, tf.Tensor]:
    shape = tf.cast(tf.io.extract_jpeg_shape(data), tf.int64)  # (height, width, channels)
    weight = tf.where(shape[2] == 4, tf.constant(WEIGHT["CMYK"], tf.int64), 1)
    _refuse_size(shape[0], shape[1], settings, weight)
    orientation = _jpeg_orientation(data)
    full_size = tf.where(orientation >= 5, shape[1::-1], shape[:2])
    # `ratio` is an attribute of the op, not an input: one branch for each.
    pixels = tf.switch_case(
        _decode_ratio_index(full_size, needed_size(full_size, settings)),
        [lambda ratio=ratio: _jpeg_pixels(data, ratio) for ratio in (1, 2, 4, 8)],
    )
    return _turn(pixels, orientation), full_size


def _jpeg_pixels(data: tf.Tensor, ratio: int) -> tf.Tensor:
    return tf.io.decode_jpeg(data, channels=3, ratio=ratio, fancy_upscaling=True, dct_method="INTEGER_ACCURATE")


def _decode_ratio_index(size: tf.Tensor, needed: tf.Tensor) -> tf.Tensor:
    """Return 0 to 3 for the largest ratio of 1, 2, 4, 8 at which the decoded picture still covers `needed`."""
    covers = [tf.reduce_all((size + ratio - 1) // ratio >= needed) for ratio in (2, 4, 8)]
    return tf.reduce_sum(tf.cast(tf.stack(covers), tf.int32))


def _jpeg_orientation(data: tf.Tensor) -> tf.Tensor:
    """Walk the segments up to the first scan for an Exif and an XMP one; each is kept as (offset, length)."""
    octets, size = octets_of(data), length_of(data)

    def step(at: tf.Tensor, exif: tf.Tensor, xmp: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        marker, length = number(octets, at, 2), number(octets, at + 2, 2)
        # Junk, fill bytes and an escaped 0xFF are stepped over; markers without a segment are two bytes long.
        junk = (marker <= 0xFF00) | (marker == 0xFFFF)
        bare = (marker == 0xFF01) | ((marker >= 0xFFD0) & (marker <= 0xFFD9))
        here, application = tf.stack([at + 4, length - 2]), marker == 0xFFE1
        exif = tf.where(application & (exif[0] == 0) & has(data, at + 4, b"Exif\0\0"), here, exif)
        xmp = tf.where(application & has(data, at + 4, b"http://ns.adobe.com/xap/1.0/\0"), here, xmp)
        following = tf.where(junk, at + 1, tf.where(bare, at + 2, at + 2 + tf.maximum(length, 2)))
        return tf.where(marker == 0xFFDA, size, following), exif, xmp

    absent = tf.zeros((2,), tf.int64)
    _, exif, xmp = tf.while_loop(
        lambda at, *_: at + 4 <= size, step, (tf.constant(2, tf.int64), absent, absent), maximum_iterations=20_000
    )
    return orientation_of(slice_of(data, *tf.unstack(exif)), slice_of(data, *tf.unstack(xmp)))


# PNG


def _decode_png(data: tf.Tensor, settings: Settings) -> tuple[tf.Tensor, tf.Tensor]:
    octets = octets_of(data)
    height, width = number(octets, 20, 4), number(octets, 16, 4)
    _refuse_size(height, width, settings)
    names = (
        b"tRNS",
        b"eXIf",
        b"iTXtXML:com.adobe.xmp\0",
        b"tEXtRaw profile type exif\0",
        b"zTXtRaw profile type exif\0",
    )
    key, exif, xmp, profile, packed_profile = find_chunks(
        data, 8, names, length_at=0, name_at=4, big_endian=True, most=_most_chunks(height, width)
    )
    depth, colour = octets[24], octets[25]
    # The transparent colour of 16-bit RGB is not honoured: `inputs/image.py` cannot see all of its bits.
    has_alpha = (colour >= 4) | ((key[1] > 0) & ~((depth == 16) & (colour == 2)))
    pixels = tf.cond(
        has_alpha,
        lambda: _over_white(tf.io.decode_png(data, channels=4)),
        lambda: tf.io.decode_png(data, channels=3),  # asked for 4, TensorFlow gives 4-bit palettes an opacity of 15
    )
    hexadecimal = slice_of(data, *tf.unstack(profile)) + _unpacked(
        slice_of(data, *tf.unstack(packed_profile)), rb"^Raw profile type exif\x00\x00"
    )
    exif_data = tf.where(exif[1] > 0, slice_of(data, *tf.unstack(exif)), _from_hexadecimal(hexadecimal))
    return _turned_with_size(pixels, orientation_of(exif_data, _png_xmp(slice_of(data, *tf.unstack(xmp)))))


def _png_xmp(text: tf.Tensor) -> tf.Tensor:
    """Return the XMP of an iTXt chunk, unpacked where its flag says so."""
    head = rb"^XML:com\.adobe\.xmp\x00\x01\x00[^\x00]*\x00[^\x00]*\x00"
    return tf.cond(has(text, 18, b"\1\0"), lambda: _unpacked(text, head), lambda: text)


def _unpacked(text: tf.Tensor, head: bytes) -> tf.Tensor:
    """Return what zlib has packed after the head of a text chunk; nothing from an empty chunk."""
    packed = tf.strings.regex_replace(text, head, b"", replace_global=False)
    return tf.cond(tf.strings.length(packed) > 0, lambda: _inflate(packed), lambda: tf.constant(b""))


def _inflate(packed: tf.Tensor) -> tf.Tensor:
    too_large = "a damaged picture: packed text that is too large"
    _require(tf.strings.length(packed) <= PACKED_TEXT, too_large)
    text = tf.reshape(tf.io.decode_compressed(packed[tf.newaxis], compression_type="ZLIB"), ())
    _require(tf.strings.length(text) <= TEXT, too_large)
    return text


def _from_hexadecimal(text: tf.Tensor) -> tf.Tensor:
    """Decode the text form of Exif that ImageMagick writes: a name, a length and lines of hexadecimal digits."""
    text = tf.strings.substr(text, 0, TEXT)
    digits = tf.strings.regex_replace(text, rb"^(Raw profile type exif\x00)?\n?exif\n *[0-9]+\n|\n", b"")
    codes = tf.cast(tf.io.decode_raw(digits, tf.uint8), tf.int32)
    nibbles = (codes & 15) + 9 * (codes // 64)  # '0' is 48, 'A' is 65, 'a' is 97
    pairs = tf.reshape(nibbles[: tf.size(nibbles) // 2 * 2], (-1, 2))
    return from_octets(pairs[:, 0] * 16 + pairs[:, 1])


# WebP


def _decode_webp(data: tf.Tensor, settings: Settings) -> tuple[tf.Tensor, tf.Tensor]:
    octets = octets_of(data)
    height, width = _webp_size(data, octets)
    _refuse_size(height, width, settings, WEIGHT["WEBP"])
    names = (b"EXIF", b"XMP ", b"ANMF")
    exif, xmp, frame = find_chunks(
        data, 12, names, length_at=4, name_at=0, big_endian=False, most=_most_chunks(height, width)
    )
    # TensorFlow 2.21 corrupts its memory over an animated WebP: it only ever sees the first frame, as a still.
    pixels = tf.cond(
        frame[1] > 0,
        lambda: _webp_first_frame(data, octets, frame, height, width),
        lambda: _webp_still(data),
    )
    return _turned_with_size(
        pixels, orientation_of(slice_of(data, *tf.unstack(exif)), slice_of(data, *tf.unstack(xmp)))
    )


def _webp_size(data: tf.Tensor, octets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    def little(at: int, size: int) -> tf.Tensor:
        return number(octets, at, size, big_endian=False)

    bits = little(21, 4)
    extended, lossless = has(data, 12, b"VP8X"), has(data, 12, b"VP8L")
    width = tf.where(extended, little(24, 3) + 1, tf.where(lossless, (bits & 0x3FFF) + 1, little(26, 2) & 0x3FFF))
    height = tf.where(
        extended, little(27, 3) + 1, tf.where(lossless, (bits // 2**14 & 0x3FFF) + 1, little(28, 2) & 0x3FFF)
    )
    return height, width


def _webp_still(data: tf.Tensor) -> tf.Tensor:
    _require(~has(data, 12, b"VP8X") | (octets_of(data)[20] & 2 == 0), "an animated WebP without frames")
    pixels = tf.io.decode_webp(data, channels=0)[0]
    return tf.cond(tf.shape(pixels)[2] == 4, lambda: _over_white(pixels), lambda: pixels[..., :3])


def _webp_first_frame(
    data: tf.Tensor, octets: tf.Tensor, frame: tf.Tensor, height: tf.Tensor, width: tf.Tensor
) -> tf.Tensor:
    """Wrap the frame's own chunks as a file and lay the picture on the white canvas."""
    at = frame[0]
    content = slice_of(data, at + 16, frame[1] - 16)
    header = b"VP8X\x0a\0\0\0\x10\0\0\0" + slice_of(data, at + 6, 6)  # an ANMF has the size as VP8X wants it
    body = b"WEBP" + header + content
    size = tf.bitwise.right_shift(tf.strings.length(body), tf.constant([0, 8, 16, 24])) & 255
    left, top = (2 * number(octets, at + offset, 3, big_endian=False) for offset in (0, 3))
    pixels = _webp_still(b"RIFF" + from_octets(size) + body)
    return on_canvas(pixels, tf.constant(255), (top, left), (height, width))


# GIF


def _decode_gif(data: tf.Tensor, settings: Settings) -> tuple[tf.Tensor, tf.Tensor]:
    """Cut the first frame out as a file of its own: TensorFlow knows no transparency, offset or canvas."""
    octets = octets_of(data)

    def little(at: tf.Tensor | int) -> tf.Tensor:
        return number(octets, at, 2, big_endian=False)

    globals_size = _gif_palette_size(octets, 10)
    at, transparent = _gif_first_frame(octets, 13 + globals_size)
    left, top = little(at + 1), little(at + 3)
    height, width = tf.maximum(little(8), top + little(at + 7)), tf.maximum(little(6), left + little(at + 5))
    _refuse_size(height, width, settings)
    locals_size = _gif_palette_size(octets, at + 9)
    end = _gif_skip_blocks(octets, at + 11 + locals_size)
    _require(end <= length_of(data), "a GIF that is cut off")
    palette_at = tf.where(locals_size > 0, at + 10, 13)
    data = _gif_whiten(data, palette_at, tf.maximum(globals_size, locals_size), transparent)
    frame = slice_of(data, at + 5, end - at - 5)
    pixels = tf.io.decode_gif(slice_of(data, 0, 13 + globals_size) + b",\0\0\0\0" + frame + b";")[0]
    first_colour = tf.gather(octets_of(data), palette_at + tf.range(3, dtype=tf.int64))
    background = tf.where(transparent >= 0, tf.constant(255, tf.uint8), first_colour)
    return _with_size(on_canvas(pixels, background, (top, left), (height, width)))


def _gif_palette_size(octets: tf.Tensor, flags_at: tf.Tensor | int) -> tf.Tensor:
    flags = number(octets, flags_at, 1)
    return tf.where(flags >= 128, 3 * _power_of_two(1 + (flags & 7)), 0)


def _gif_first_frame(octets: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return where the first image descriptor is, and the transparent index stated before it, or -1."""
    size = tf.size(octets, out_type=tf.int64)

    def step(at: tf.Tensor, transparent: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        extension = number(octets, at, 1) == 0x21
        control = extension & (number(octets, at + 1, 1) == 0xF9) & (number(octets, at + 3, 1) % 2 == 1)
        transparent = tf.where(control, number(octets, at + 6, 1), transparent)
        return tf.cond(extension, lambda: _gif_skip_blocks(octets, at + 2), lambda: at + 1), transparent

    at, transparent = tf.while_loop(
        lambda at, _: (at < size) & (number(octets, at, 1) != 0x2C),
        step,
        (start, tf.constant(-1, tf.int64)),
        maximum_iterations=FEW_STEPS,
    )
    # TensorFlow orders an assertion before what has an effect, not before pure operations such as a decoder.
    found = tf.debugging.Assert(number(octets, at, 1) == 0x2C, ["a GIF without a picture, or with too much before it"])
    with tf.control_dependencies([found] if found is not None else []):
        return tf.identity(at), transparent


def _gif_skip_blocks(octets: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Return the position after a row of data blocks, each led by its length, up to the empty one."""
    size = tf.size(octets, out_type=tf.int64)

    def step(at: tf.Tensor) -> tuple[tf.Tensor]:
        # Where each position would lead to, then twice as far each time: a file of tiny blocks takes no longer.
        lengths = tf.pad(tf.cast(octets[at : at + SKIPPED], tf.int64), [[0, 256]])
        reached = tf.range(tf.size(lengths, out_type=tf.int64)) + tf.where(lengths > 0, lengths + 1, 0)
        for _ in range(SKIPPED.bit_length() - 2):  # a block has two bytes or more
            reached = tf.gather(reached, reached)
        return (at + reached[0],)

    (at,) = tf.while_loop(lambda at: (at < size) & (number(octets, at, 1) > 0), step, (start,))
    return at + 1


def _gif_whiten(data: tf.Tensor, palette_at: tf.Tensor, palette_size: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Make the transparent colour white in the palette: what is transparent shows white."""
    at = palette_at + 3 * index

    def whitened() -> tf.Tensor:
        return slice_of(data, 0, at) + b"\xff\xff\xff" + slice_of(data, at + 3, length_of(data))

    return tf.cond((index >= 0) & (3 * index < palette_size), whitened, lambda: data)


# BMP: unpacked here, for TensorFlow takes palette indices for grey values.


class _BmpHeader(NamedTuple):
    width: tf.Tensor
    height: tf.Tensor
    bits: tf.Tensor
    compression: tf.Tensor
    colours: tf.Tensor  # entries of the palette
    entry_size: tf.Tensor  # bytes of an entry
    palette_at: tf.Tensor
    pixels_at: tf.Tensor
    top_down: tf.Tensor


def _decode_bmp(data: tf.Tensor, settings: Settings) -> tuple[tf.Tensor, tf.Tensor]:
    octets = octets_of(data)
    header = _bmp_header(octets)
    width, height, bits = header.width, header.height, header.bits
    plain = (header.compression == 0) & tf.reduce_any(bits == [1, 4, 8, 24, 32])
    plain &= tf.reduce_any(header.palette_at - 14 == [12, 40, 52, 56, 64, 108, 124]) & (header.colours <= 256)
    _require(plain, f"a BMP {BEYOND}; supported: {SUPPORTED}")
    _refuse_size(height, width, settings)
    stride = (width * bits + 31) // 32 * 4
    # The last row may lack its padding.
    padding = stride - (width * bits + 7) // 8
    _require(header.pixels_at + stride * height - padding <= length_of(data), "a BMP that is cut off")
    octets = tf.pad(octets, [[0, 3]])
    rows = tf.reshape(tf.slice(octets, [header.pixels_at], [stride * height]), tf.stack([height, stride]))
    pixels = tf.cond(
        bits >= 24,
        lambda: tf.reshape(rows[:, : width * bits // 8], tf.stack([height, width, bits // 8]))[:, :, 2::-1],
        lambda: tf.gather(_bmp_palette(octets, header), _bmp_indices(rows, bits)[:, :width]),
    )
    return _with_size(tf.cond(header.top_down, lambda: pixels, lambda: pixels[::-1]))


def _bmp_header(octets: tf.Tensor) -> _BmpHeader:
    def little(at: int, size: int) -> tf.Tensor:
        return number(octets, at, size, big_endian=False)

    # The header of OS/2 has shorter numbers, palette entries of three bytes, and is always bottom up.
    header_size = little(14, 4)
    old, none = header_size == 12, tf.zeros((), tf.int64)
    top_down = ~old & (number(octets, 25, 1) == 255)
    height = tf.where(old, little(20, 2), tf.where(top_down, 2**32 - little(22, 4), little(22, 4)))
    bits = tf.where(old, little(24, 2), little(28, 2))
    stated_colours = tf.where(old, none, little(46, 4))
    colours = tf.where(stated_colours == 0, _power_of_two(tf.minimum(bits, 32)), stated_colours)
    palette_at, stated_at, entry_size = 14 + header_size, little(10, 4), tf.where(old, none + 3, none + 4)
    missing = (stated_at == palette_at) & (bits <= 8)  # some writers forget the palette when they state the offset
    return _BmpHeader(
        width=tf.where(old, little(18, 2), little(18, 4)),
        height=height,
        bits=bits,
        compression=tf.where(old, none, little(30, 4)),
        colours=tf.where(bits <= 8, colours, none),
        entry_size=entry_size,
        palette_at=palette_at,
        pixels_at=stated_at + tf.where(missing, entry_size * colours, none),
        top_down=top_down,
    )


def _bmp_indices(rows: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Unpack (h, stride) bytes into (h, stride * 8 / bits) numbers, the highest bits first."""
    shifts = tf.range(8 - bits, -1, -bits)
    values = tf.bitwise.right_shift(tf.cast(rows, tf.int64)[:, :, tf.newaxis], shifts) & (_power_of_two(bits) - 1)
    return tf.reshape(values, tf.stack([tf.shape(rows)[0], -1]))


def _bmp_palette(octets: tf.Tensor, header: _BmpHeader) -> tf.Tensor:
    """Return 256 RGB colours; indices without an entry are black, as in Pillow."""
    stored = tf.slice(octets, [header.palette_at], [header.entry_size * header.colours])
    entries = tf.reshape(stored, tf.stack([header.colours, header.entry_size]))[:, 2::-1]
    return tf.pad(entries, [[0, 256 - header.colours], [0, 0]])


# What all formats share.


def _turned_with_size(pixels: tf.Tensor, orientation: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return _with_size(_turn(pixels, orientation))


def _with_size(pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return pixels, tf.shape(pixels, out_type=tf.int64)[:2]


def _turn(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Undo the EXIF orientation, 1 to 8: from 5 on rows and columns change places, then some axes are reversed."""
    pixels = tf.cond(orientation >= 5, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    pixels = tf.cond(tf.reduce_any(orientation == [3, 4, 7, 8]), lambda: pixels[::-1], lambda: pixels)
    return tf.cond(tf.reduce_any(orientation == [2, 3, 6, 7]), lambda: pixels[:, ::-1], lambda: pixels)


def _power_of_two(exponent: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.left_shift(tf.constant(1, tf.int64), exponent)


def _over_white(pixels: tf.Tensor) -> tf.Tensor:
    """Lay RGBA over white, some rows at a time: whole numbers of 32 bits for all of them would take gigabytes."""
    height, width = tf.unstack(tf.shape(pixels)[:2])
    rows = tf.maximum(OVER_WHITE // tf.maximum(width, 1), 1)
    bands = (height + rows - 1) // rows
    done = tf.TensorArray(tf.uint8, bands, element_shape=(None, None, 3), infer_shape=False)

    def step(band: tf.Tensor, done: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        return band + 1, done.write(band, _mixed_with_white(pixels[band * rows : (band + 1) * rows]))

    _, done = tf.while_loop(lambda band, _: band < bands, step, (0, done), parallel_iterations=1)
    return tf.ensure_shape(done.concat(), (None, None, 3))


def _mixed_with_white(pixels: tf.Tensor) -> tf.Tensor:
    """Round as Pillow does: x / 255 is (t + t // 256) // 256 with t = x + 128."""
    values = tf.cast(pixels, tf.int32)
    colours, opacity = values[..., :3], values[..., 3:4]
    mixed = colours * opacity + 255 * (255 - opacity) + 128
    return tf.cast((mixed + mixed // 256) // 256, tf.uint8)
