"""The picture graph answers as the Python reader does: same pixels, same refusals."""

from __future__ import annotations

import csv
import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies
from numpy.typing import NDArray
from PIL import Image

from noria.errors import UnreadableInputError
from noria.exporting.graphs import image as graph
from noria.inputs import image
from noria.inputs.image import Settings

Array = NDArray[np.uint8]

# pytest puts its own warning filters in front of the one that silences Pillow.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

# What the two may differ by, of 255. Both resize in the same two rounded passes; sums that end in exactly one half
# may fall to either side, once a pass.
MEAN, LARGEST = 0.2, 2

# TensorFlow cuts where Pillow rounds when it mixes CMYK with black.
MEAN_CMYK = 0.4

# Odd images that Python reads and the graph does not, by format and cause.
REFUSED_BY_GRAPH_ONLY = {
    "hopper_rle8.bmp": "run-length encoded",
    "hopper_rle8_grayscale.bmp": "run-length encoded",
    "bmp/g/pal8rle.bmp": "run-length encoded",
    "bmp/q/pal4rletrns.bmp": "run-length encoded",
    "bmp/g/rgb16-565.bmp": "16 bits",
    "bmp/g/rgb16-565pal.bmp": "16 bits",
    "bmp/g/rgb16.bmp": "16 bits",
    "bmp/q/rgb32bf-xbgr.bmp": "bit fields",
    "bmp/q/rgb32h52.bmp": "bit fields",
    "bmp/q/rgba32h56.bmp": "bit fields",
}

# Odd images that the graph reads and Python does not.
READ_BY_GRAPH_ONLY = {
    "apng/chunk_no_fctl.png": "the first picture is whole, the animation after it is not",
}


@cache
def decoder(**options: object) -> tuple[Settings, Callable[[list[bytes]], NDArray[np.float32]]]:
    """The settings, and the graph for them, traced once."""
    chosen = Settings.model_validate(options)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def traced(data: tf.Tensor) -> tf.Tensor:
        return graph.decode(data, chosen)

    return chosen, lambda files: traced(tf.constant(files, tf.string)).numpy()


def answers(data: bytes, **options: object) -> tuple[Array | str, NDArray[np.float32] | str]:
    """What Python and what the graph make of a file: pixels or a reason."""
    chosen, run = decoder(**options)
    expected: Array | str
    got: NDArray[np.float32] | str
    try:
        expected = image.read(data, chosen)
    except UnreadableInputError as error:
        expected = str(error)
    try:
        got = run([data])[0]
    except tf.errors.InvalidArgumentError as error:
        got = str(error)
    return expected, got


def assert_alike(data: bytes, mean: float = MEAN, largest: float = LARGEST, **options: object) -> None:
    expected, got = answers(data, **options)
    assert not isinstance(expected, str), expected
    assert not isinstance(got, str), got
    difference = np.abs(expected - got)
    assert (difference.mean() <= mean, difference.max() <= largest) == (True, True), (
        difference.mean(),
        difference.max(),
    )


def encode(picture: Image.Image, file_format: str, **options: object) -> bytes:
    target = io.BytesIO()
    picture.save(target, file_format, **options)
    return target.getvalue()


def photo(width: int = 333, height: int = 517) -> Image.Image:
    """A picture with slopes, texture and hard edges."""
    rows, columns = np.mgrid[0:height, 0:width]
    red, green = 255 * rows / height, 255 * columns / width
    blue = 127 + 120 * np.sin(rows / 6) * np.cos(columns / 9)
    pixels = np.stack([red, green, blue], axis=-1).astype(np.uint8)
    pixels[height // 3 : height // 2, width // 4 : width // 3] = (250, 5, 130)
    return Image.fromarray(pixels)


def with_orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def gradient_alpha(picture: Image.Image) -> Image.Image:
    alpha = np.tile(np.linspace(0, 255, picture.width).astype(np.uint8), (picture.height, 1))
    return Image.fromarray(np.dstack([np.asarray(picture), alpha]))


def sixteen_bits() -> Image.Image:
    return Image.fromarray((np.asarray(photo().convert("L")).astype(np.uint16) * 257) ^ 0x5A)


def variants() -> dict[str, bytes]:
    rgb, palette = photo(), photo().quantize(64)
    few = photo().quantize(13)
    frames = [Image.new("RGB", rgb.size, "blue"), rgb.transpose(Image.Transpose.ROTATE_180)]
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
    made = {
        "JPEG": encode(rgb, "JPEG", quality=90),
        "JPEG 4:4:4": encode(rgb, "JPEG", quality=90, subsampling=0),
        "JPEG progressive": encode(rgb, "JPEG", progressive=True),
        "JPEG grey": encode(rgb.convert("L"), "JPEG"),
        "JPEG of 3 megapixels": encode(photo(2000, 1500), "JPEG"),
        "JPEG XMP": encode(rgb, "JPEG", xmp=xmp),
        "JPEG little-endian Exif": encode(
            rgb, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"
        ),
        "JPEG damaged Exif": encode(rgb, "JPEG", exif=b"Exif\0\0II*\0\xf8\xff\xff\xff\1\0\x12\1\3\0\1\0"),
        "PNG": encode(rgb, "PNG"),
        "PNG alpha": encode(gradient_alpha(rgb), "PNG"),
        "PNG grey alpha": encode(gradient_alpha(rgb).convert("LA"), "PNG"),
        "PNG 16 bits": encode(sixteen_bits(), "PNG"),
        "PNG 1 bit": encode(rgb.convert("1"), "PNG"),
        "PNG palette": encode(palette, "PNG"),
        "PNG palette 4 bits": encode(few, "PNG", bits=4),
        "PNG palette transparent": encode(palette, "PNG", transparency=bytes(range(64))),
        "PNG grey transparent": encode(rgb.convert("L"), "PNG", transparency=127),
        "PNG colour transparent": encode(rgb, "PNG", transparency=(250, 5, 130)),
        "PNG animated": encode(rgb, "PNG", save_all=True, append_images=frames),
        "PNG Exif": encode(rgb, "PNG", exif=with_orientation(7)),
        "WebP lossless": encode(rgb, "WEBP", lossless=True),
        "WebP lossy": encode(rgb, "WEBP", quality=80),
        "WebP alpha": encode(gradient_alpha(rgb), "WEBP", lossless=True),
        "WebP lossy alpha": encode(gradient_alpha(rgb), "WEBP", quality=80),
        "WebP Exif": encode(rgb, "WEBP", exif=with_orientation(5)),
        "WebP XMP": encode(rgb, "WEBP", xmp=xmp),
        "WebP animated": encode(rgb, "WEBP", save_all=True, append_images=frames),
        "WebP animated alpha": encode(gradient_alpha(rgb), "WEBP", save_all=True, append_images=frames),
        "BMP 24 bits": encode(rgb, "BMP"),
        "BMP palette": encode(palette, "BMP"),
        "BMP grey": encode(rgb.convert("L"), "BMP"),
        "BMP 1 bit": encode(rgb.convert("1"), "BMP"),
        "GIF": encode(rgb, "GIF"),
        "GIF transparent": encode(palette, "GIF", transparency=7),
        "GIF animated": encode(rgb, "GIF", save_all=True, append_images=frames),
        "GIF interlaced": encode(palette, "GIF", interlace=1),
    }
    for value in range(1, 9):
        made[f"JPEG orientation {value}"] = encode(photo(1200, 700), "JPEG", exif=with_orientation(value))
    return made


VARIANTS = variants()


@pytest.mark.parametrize("resample", ["bilinear", "bicubic"])
@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_the_graph_answers_as_python_for_every_kind_of_file(fit: str, resample: str) -> None:
    failures = []
    for kind, data in VARIANTS.items():
        try:
            assert_alike(data, height=96, width=128, fit=fit, resample=resample)
        except AssertionError as error:
            failures.append((kind, str(error)[:300]))
    assert failures == []


@pytest.mark.parametrize("adobe", [True, False])
def test_the_graph_answers_as_python_for_cmyk_jpegs(adobe: bool) -> None:
    data = encode(photo().convert("CMYK"), "JPEG")
    at = data.index(b"\xff\xee")
    without = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    assert_alike(data if adobe else without, MEAN_CMYK, height=96, width=128)


@pytest.mark.parametrize("offset", [(0, 0), (5, 9)])
@pytest.mark.parametrize("transparent", [True, False])
def test_a_gif_frame_that_does_not_fill_its_canvas_is_placed_alike(transparent: bool, offset: tuple[int, int]) -> None:
    palette = photo(40, 30).quantize(32)
    data = bytearray(encode(palette, "GIF", **({"transparency": 3} if transparent else {})))
    data[6:10] = (60).to_bytes(2, "little") + (50).to_bytes(2, "little")
    at = data.index(b",\0\0\0\0" + (40).to_bytes(2, "little"))
    data[at + 1 : at + 5] = offset[0].to_bytes(2, "little") + offset[1].to_bytes(2, "little")
    assert_alike(bytes(data), height=96, width=128)


def test_exif_in_a_text_chunk_of_a_png_counts_alike(shared_data: Path) -> None:
    data = (shared_data / "odd_images" / "exif_imagemagick_orientation.png").read_bytes()
    assert_alike(data, height=96, width=128)


def test_odd_images_are_answered_or_refused_alike(shared_data: Path) -> None:
    folder = shared_data / "odd_images"
    with (folder / "manifest.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    differing, refused_by_graph, read_by_graph = [], set(), set()
    for row in rows:
        expected, got = answers((folder / row["file"]).read_bytes(), height=96, width=128)
        if isinstance(expected, str):
            if not isinstance(got, str):
                read_by_graph.add(row["file"])
        elif isinstance(got, str):
            if row["pil"] != "TIFF":
                refused_by_graph.add(row["file"])
        else:
            difference = np.abs(expected - got)
            if difference.mean() > (MEAN_CMYK if row["mode"] == "CMYK" else MEAN) or difference.max() > LARGEST:
                differing.append((row["file"], difference.mean(), difference.max()))
    assert differing == []
    assert refused_by_graph == REFUSED_BY_GRAPH_ONLY.keys()
    assert read_by_graph == READ_BY_GRAPH_ONLY.keys()


def test_flower_photos_are_answered_alike_in_one_batch(shared_data: Path) -> None:
    files = [path.read_bytes() for path in sorted((shared_data / "flowers").glob("*/*.jpg"))[::200]]
    chosen, run = decoder(height=96, width=128)
    expected = np.stack([image.read(data, chosen) for data in files])
    difference = np.abs(expected - run(files))
    assert len(files) > 15
    assert (difference.mean() < 0.02, difference.max() <= LARGEST) == (True, True)


@settings(max_examples=60, deadline=None)
@given(
    width=strategies.integers(8, 700),
    height=strategies.integers(8, 700),
    orientation=strategies.integers(0, 9),
    file_format=strategies.sampled_from(["JPEG", "PNG", "WEBP"]),
    fit=strategies.sampled_from(["stretch", "pad", "crop"]),
)
def test_any_size_and_orientation_is_answered_alike(
    width: int, height: int, orientation: int, file_format: str, fit: str
) -> None:
    data = encode(photo(width, height), file_format, exif=with_orientation(orientation))
    assert_alike(data, mean=0.5, height=96, width=128, fit=fit, resample="bilinear")


@settings(max_examples=150, deadline=None)
@given(strategies.data())
def test_mutated_jpegs_and_pngs_raise_nothing_but_invalid_argument(draw: strategies.DataObject) -> None:
    data = bytearray(draw.draw(strategies.sampled_from([VARIANTS["JPEG XMP"], VARIANTS["PNG Exif"], VARIANTS["GIF"]])))
    for _ in range(draw.draw(strategies.integers(1, 4))):
        at = draw.draw(strategies.integers(0, len(data) - 1) | strategies.integers(0, 200))
        data[at : at + draw.draw(strategies.integers(0, 3))] = draw.draw(strategies.binary(max_size=4))
    _, got = answers(bytes(data), height=96, width=128)
    assert isinstance(got, str) or got.shape == (96, 128, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            encode(photo(40, 40), "TIFF"),
            "not a picture, or one of a kind that this graph cannot decode; supported: JPEG, PNG, WebP",
        ),
        (b"", "not a picture"),
        (b"some text", "not a picture"),
        (encode(photo(40, 7), "PNG"), "picture too small: at least 8 pixels a side are needed"),
        (encode(photo(7, 40), "JPEG"), "picture too small"),
        (encode(photo(40, 7), "GIF"), "picture too small"),
        (encode(photo(40, 7), "WEBP"), "picture too small"),
        (encode(photo(7, 40), "BMP"), "picture too small"),
        (encode(photo(200, 101), "PNG"), "picture too large: at most 20000 pixels are decoded"),
        (encode(photo(200, 101), "JPEG"), "picture too large"),
        (encode(photo(100, 80), "WEBP"), "picture too large"),  # a pixel counts for three
        (encode(photo(120, 100).convert("CMYK"), "JPEG"), "picture too large"),  # for two
        (encode(photo(), "JPEG")[:9000], ""),
        (encode(photo(100, 100), "PNG")[:5000], ""),
    ],
)
def test_what_the_graph_cannot_decode_is_an_invalid_argument_that_says_why(data: bytes, reason: str) -> None:
    expected, got = answers(data, height=96, width=128, max_pixels=20_000)
    assert isinstance(got, str)
    assert reason in got
    assert isinstance(expected, str) or "TIFF" not in reason


def test_the_graph_lives_in_a_saved_model_without_python(tmp_path: Path) -> None:
    chosen = Settings(height=64, width=48, fit="pad")

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
        def __call__(self, data: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"pixels": graph.decode(data, chosen)}

    model = Model()
    tf.saved_model.save(model, str(tmp_path / "model"), signatures={"serving_default": model.__call__})
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    operations = {node.op for node in loaded.signatures["serving_default"].graph.as_graph_def().node}
    functions = loaded.signatures["serving_default"].graph.as_graph_def().library.function
    operations |= {node.op for function in functions for node in function.node_def}
    assert not {"PyFunc", "EagerPyFunc", "PyFuncStateless"} & operations
    files = [VARIANTS["JPEG orientation 6"], VARIANTS["PNG alpha"], VARIANTS["GIF"]]
    got = loaded.signatures["serving_default"](tf.constant(files))["pixels"].numpy()
    assert got.dtype == np.float32
    expected = np.stack([image.read(data, chosen) for data in files])
    assert np.abs(expected - got).mean() < MEAN


def test_an_empty_batch_gives_an_empty_answer() -> None:
    _, run = decoder(height=96, width=128)
    assert run([]).shape == (0, 96, 128, 3)


# Files that were made to be slow or large.


def png_with(*chunks: tuple[bytes, bytes], times: int = 1) -> bytes:
    """A small PNG with further chunks after its header."""
    whole = encode(photo(64, 64), "PNG")
    added = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return whole[:33] + added * times + whole[33:]


def gif_with(before_the_frame: bytes) -> bytes:
    whole = encode(photo(64, 64), "GIF")
    at = 13 + 3 * 2 ** ((whole[10] & 7) + 1)
    return whole[:at] + before_the_frame + whole[at:]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (lambda: png_with((b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"0" * 10**7))), "too large"),
        (lambda: png_with((b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b" " * 10**7))), "too large"),
        (lambda: png_with((b"teSt", b""), times=30_000), "too many chunks"),
        (lambda: gif_with(b"\0" * 30_000), "too much before it"),
        (lambda: gif_with(b"\x21\xfe\0" * 30_000), "too much before it"),
    ],
    ids=["packed exif", "packed xmp", "empty chunks", "stray bytes", "empty extensions"],
)
def test_a_file_that_was_made_to_be_slow_or_large_is_refused_by_the_graph(data: Callable[[], bytes], said: str) -> None:
    _, run = decoder()
    with pytest.raises(tf.errors.InvalidArgumentError, match=said):
        run([data()])


def test_a_gif_whose_blocks_are_tiny_or_many_is_read_as_python_reads_it() -> None:
    whole = encode(photo(300, 200), "GIF")
    at = whole.index(b",", 13 + 3 * 2 ** ((whole[10] & 7) + 1)) + 11
    packed, position = b"", at
    while length := whole[position]:
        packed += whole[position + 1 : position + 1 + length]
        position += 1 + length
    tiny = b"".join(b"\1" + packed[start : start + 1] for start in range(len(packed)))
    assert len(tiny) > 3 * graph.SKIPPED
    assert_alike(whole[:at] + tiny + whole[position:])


def test_transparency_of_more_rows_than_are_mixed_at_once_is_exact() -> None:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (1500, 1100, 4), np.uint8))  # more than one band, the last one short
    assert graph.OVER_WHITE < 1500 * 1100
    assert_alike(encode(picture, "PNG"), height=150, width=110)
