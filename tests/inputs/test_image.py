"""Bytes of pictures -> arrays: what is decoded to what, what is refused, and that nothing else can happen."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies
from numpy.typing import NDArray
from PIL import Image

from noria.errors import UnreadableInputError
from noria.inputs import image
from noria.inputs.image import Settings

Array = NDArray[np.uint8]

# pytest puts its own warning filters in front of the one that silences Pillow; the child process below has none.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

# Files of the six formats that Pillow decodes and Noria refuses, each with a part of the reason.
DOCUMENTED_REFUSALS = {
    **dict.fromkeys(
        (
            "7x13.png",
            "background_outside_palette.gif",
            "blend_transparency.png",
            "child_ifd_jpeg.tiff",
            "cross_scan_line.png",
            "duplicate_number_of_loops.gif",
            "imagedraw_polygon_1px_high.png",
            "jfif_unit_cm.jpg",
            "no_palette_after_rgb.gif",
            "tiny.png",
            "transparent_dispose.gif",
            "xmp_no_prefix.jpg",
        ),
        "too small",
    ),
    "truncated_end_chunk.png": "cut-off",  # pixels are there, but its last chunk is not
    "apng/chunk_no_fctl.png": "APNG contains frame sequence errors",
}

INSPECT_ALL = """
import json, sys, time
from pathlib import Path
from noria.errors import UnreadableInputError
from noria.inputs.image import Settings, inspect, read

answers, settings = {}, Settings()
for name in json.loads(sys.stdin.read()):
    data, started, answer = Path(name).read_bytes(), time.monotonic(), {}
    for verb in (inspect, read):
        try:
            result = verb(data, settings)
            answer[verb.__name__] = [result.width, result.height, result.format] if verb is inspect else result.shape
        except UnreadableInputError as error:
            answer[verb.__name__] = str(error)
    answer["seconds"] = time.monotonic() - started
    answers[name] = answer
# Not getrusage: on Linux a child begins with the peak of the process that started it, and pytest may be large.
status = Path("/proc/self/status").read_text()
mebibytes = int(status.split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps({"answers": answers, "mebibytes": mebibytes}))
"""


@pytest.fixture(scope="module")
def odd_images(shared_data: Path) -> tuple[list[dict[str, str]], dict[str, dict[str, object]], float, str]:
    """The manifest's rows, what a child process answered to each file, its peak memory, its standard error."""
    folder = shared_data / "odd_images"
    with (folder / "manifest.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    names = [str(folder / row["file"]) for row in rows]
    child = subprocess.run(
        [sys.executable, "-c", INSPECT_ALL], input=json.dumps(names), capture_output=True, text=True, check=True,
        timeout=60, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    result = json.loads(child.stdout)
    return (
        rows,
        {row["file"]: result["answers"][name] for row, name in zip(rows, names, strict=True)},
        result["mebibytes"],
        child.stderr,
    )


OddImages = tuple[list[dict[str, str]], dict[str, dict[str, object]], float, str]


def encode(pixels: Array | Image.Image, file_format: str, **options: object) -> bytes:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    target = io.BytesIO()
    picture.save(target, file_format, **options)
    return target.getvalue()


def photo(height: int = 60, width: int = 90) -> Array:
    """A smooth picture whose four corners differ, with some texture."""
    rows, columns = np.mgrid[0:height, 0:width]
    red, green = 255 * rows / height, 255 * columns / width
    blue = 127 + 100 * np.sin(rows / 5) * np.cos(columns / 7)
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def exact(height: int, width: int, **more: object) -> Settings:
    return Settings.model_validate({"height": height, "width": width, **more})


def refusal(data: bytes, **settings_: object) -> str:
    """The reason that both verbs give, which must be the same."""
    reasons = []
    verbs: list[Callable[[bytes, Settings], object]] = [image.inspect, image.read]
    for verb in verbs:
        with pytest.raises(UnreadableInputError) as caught:
            verb(data, Settings.model_validate(settings_))
        reasons.append(str(caught.value))
    assert reasons[0] == reasons[1]
    return reasons[0]


def test_every_odd_image_has_the_size_that_its_manifest_implies_or_a_reason(odd_images: OddImages) -> None:
    rows, answers, _, _ = odd_images
    assert len(rows) > 300
    for row in rows:
        answer = answers[row["file"]]["inspect"]
        if isinstance(answer, str):
            assert answer.strip()
            continue
        width, height = map(int, row["size"].split("x"))
        turned = row["exif_orient"] in {"5", "6", "7", "8"}
        assert answer[:2] == ([height, width] if turned else [width, height]), row["file"]


def test_every_odd_image_of_a_supported_format_is_decoded_but_for_documented_refusals(odd_images: OddImages) -> None:
    rows, answers, _, _ = odd_images
    refused = {}
    for row in rows:
        answer = answers[row["file"]]["inspect"]
        supported = row["pil"] in {"JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF", "TIFF"}
        if supported and not row["pil_error"] and isinstance(answer, str):
            refused[row["file"]] = answer
    assert refused.keys() == DOCUMENTED_REFUSALS.keys()
    for name, reason in DOCUMENTED_REFUSALS.items():
        assert reason in refused[name]


def test_read_refuses_exactly_the_odd_images_that_inspect_refuses(odd_images: OddImages) -> None:
    _, answers, _, _ = odd_images
    for name, answer in answers.items():
        if isinstance(answer["inspect"], str):
            assert answer["read"] == answer["inspect"], name
        else:
            assert answer["read"] == [224, 224, 3], name


def test_odd_images_take_little_memory_and_time_and_nothing_is_printed(odd_images: OddImages) -> None:
    _, answers, mebibytes, printed = odd_images
    assert mebibytes < 1024
    assert max(float(str(answer["seconds"])) for answer in answers.values()) < 10
    assert printed == ""


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_shows_the_same_upright_picture(orientation: int, file_format: str) -> None:
    upright = photo(48, 80)
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # what turns upright into stored
    stored = Image.fromarray(upright)
    if back is not None:
        stored = stored.transpose(Image.Transpose(back))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(file_format, {})
    data = encode(stored, file_format, exif=exif, **options)
    facts = image.inspect(data, Settings())
    assert (facts.width, facts.height) == (80, 48)
    got = image.read(data, exact(48, 80))
    assert np.abs(got.astype(int) - upright).max() <= (4 if file_format == "JPEG" else 0)


def test_orientation_from_xmp_counts_where_exif_says_nothing() -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    data = encode(photo(40, 70), "JPEG", xmp=xmp)
    assert image.inspect(data, Settings()).width == 40


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0garbage and more garbage"])
def test_damaged_exif_leaves_the_picture_as_it_lies(exif: bytes) -> None:
    assert image.inspect(encode(photo(40, 70), "JPEG", exif=exif), Settings()).width == 70


def test_equal_pixels_in_another_format_have_the_same_content_hash() -> None:
    formats = {name: encode(photo(), name) for name in ("PNG", "BMP", "TIFF")}
    formats["WEBP"] = encode(photo(), "WEBP", lossless=True)
    facts = {name: image.inspect(data, Settings()) for name, data in formats.items()}
    assert {fact.format for fact in facts.values()} == set(formats)
    assert len({fact.content_sha256 for fact in facts.values()}) == 1
    other = photo()
    other[0, 0, 0] ^= 1
    assert image.inspect(encode(other, "PNG"), Settings()).content_sha256 != facts["PNG"].content_sha256


def test_the_same_bytes_in_another_shape_have_another_content_hash() -> None:
    flat = np.full((20, 30, 3), 7, np.uint8)
    pictures = [encode(flat.reshape(shape), "PNG") for shape in ((20, 30, 3), (30, 20, 3))]
    hashes = {image.inspect(picture, Settings()).content_sha256 for picture in pictures}
    assert len(hashes) == 2


def test_facts_tell_the_format_by_content_and_the_mode_of_the_file() -> None:
    facts = image.inspect(encode(Image.fromarray(photo()).convert("L"), "PNG"), Settings())
    assert (facts.format, facts.mode, facts.width, facts.height) == ("PNG", "L", 90, 60)


def test_sixteen_bit_grey_keeps_its_high_byte() -> None:
    values = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    for file_format in ("PNG", "TIFF"):
        got = image.read(encode(Image.fromarray(values), file_format), exact(64, 64))
        assert (got == (values >> 8)[..., None]).all()


def test_a_twelve_bit_tiff_spans_black_to_white(shared_data: Path) -> None:
    data = (shared_data / "odd_images" / "12bit.cropped.tif").read_bytes()
    with Image.open(io.BytesIO(data)) as opened:
        values = np.asarray(opened)
    assert (image.read(data, exact(100, 100)) == (values >> 4)[..., None]).all()


def test_cmyk_jpegs_with_and_without_adobe_marker_show_their_colours() -> None:
    cyan = encode(Image.new("CMYK", (32, 32), (255, 0, 0, 0)), "JPEG")
    assert np.abs(image.read(cyan, exact(32, 32))[16, 16].astype(int) - [0, 255, 255]).max() <= 3
    # Pillow stores values inverted, as Adobe does. Without Adobe's marker nobody says so, and they mean themselves.
    inverted_red = encode(Image.new("CMYK", (32, 32), (255, 0, 0, 255)), "JPEG")
    at = inverted_red.index(b"\xff\xee")
    length = int.from_bytes(inverted_red[at + 2 : at + 4], "big")
    red = inverted_red[:at] + inverted_red[at + 2 + length :]
    assert np.abs(image.read(red, exact(32, 32))[16, 16].astype(int) - [255, 0, 0]).max() <= 3


def test_what_is_transparent_shows_white() -> None:
    rgba = np.dstack([photo(), np.tile(np.linspace(0, 255, 90).astype(np.uint8), (60, 1))])
    alpha = rgba[..., 3:].astype(float) / 255
    wanted = photo() * alpha + 255 * (1 - alpha)
    for data in (encode(rgba, "PNG"), encode(rgba, "WEBP", lossless=True, exact=True), encode(rgba, "TIFF")):
        assert np.abs(image.read(data, exact(60, 90)) - wanted).max() <= 0.51


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_transparent_entry_of_a_palette_shows_white(bits: int) -> None:
    indices = np.tile(np.arange(2**bits, dtype=np.uint8), (16, 16 // min(2**bits, 16) + 1))
    picture = Image.fromarray(indices, "P")
    picture.putpalette([value for entry in range(2**bits) for value in (entry, 10, 20)])
    for data in (
        encode(picture, "PNG", bits=bits, transparency=1),
        encode(picture, "PNG", bits=bits, transparency=bytes([255, 0])),
        encode(picture, "GIF", transparency=1),
    ):
        got = image.read(data, exact(*indices.shape))
        assert (got[indices == 1] == 255).all()
        assert (got[indices == 0] == [0, 10, 20]).all()


@pytest.mark.parametrize(("depth", "mode"), [(1, "1"), (8, "L")])
def test_the_transparent_shade_of_a_grey_png_shows_white(depth: int, mode: str) -> None:
    grey = np.tile(np.array([0, 255], np.uint8), (16, 8))
    data = encode(Image.fromarray(grey).convert(mode), "PNG", transparency=0)
    assert data[24] == depth
    assert (image.read(data, exact(16, 16)) == 255).all()


def test_the_transparent_shade_of_a_two_bit_png_is_counted_in_two_bits() -> None:
    indices = Image.fromarray(np.tile(np.array([0, 1, 2, 3], np.uint8), (16, 4)), "P")
    indices.putpalette([value for entry in range(4) for value in (entry, 10, 20)])
    data = encode(indices, "PNG", bits=2)
    assert data[24] == 2
    grey = data[:25] + b"\0" + data[26:]  # colour type: palette -> grey
    header = insert_checksums(drop_chunk(grey, b"PLTE"))
    data = insert_chunk(header, b"tRNS", b"\0\1")
    assert image.read(data, exact(16, 16))[0, :4, 0].tolist() == [0, 255, 170, 255]


def test_animations_and_pages_show_their_first_picture() -> None:
    frames = [Image.fromarray(photo()), Image.new("RGB", (90, 60), "red")]
    for file_format in ("PNG", "WEBP", "TIFF", "GIF"):
        options = {"lossless": True} if file_format == "WEBP" else {}
        data = encode(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
        difference = np.abs(image.read(data, exact(60, 90)).astype(int) - photo())
        assert difference.mean() < (12 if file_format == "GIF" else 0.01)  # GIF has 256 colours


def test_a_lab_tiff_shows_the_colours_of_its_rgb_twin(shared_data: Path) -> None:
    folder = shared_data / "odd_images"
    lab, rgb = ((folder / name).read_bytes() for name in ("hopper.Lab.tif", "hopper.bmp"))
    difference = np.abs(image.read(lab, exact(128, 128)).astype(int) - image.read(rgb, exact(128, 128)))
    assert difference.mean() < 3


def test_a_picture_of_the_wanted_size_is_not_resampled() -> None:
    for fit in ("stretch", "pad", "crop"):
        assert (image.read(encode(photo(), "PNG"), exact(60, 90, fit=fit)) == photo()).all()


def test_pad_keeps_the_aspect_and_centres_on_grey() -> None:
    got = image.read(encode(photo(40, 80), "PNG"), exact(64, 64, fit="pad"))
    assert (got[:16] == 127).all()
    assert (got[48:] == 127).all()
    resized = Image.fromarray(photo(40, 80)).resize((64, 32), Image.Resampling.BILINEAR)
    assert np.abs(got[16:48].astype(int) - np.asarray(resized)).max() <= 1


def test_crop_cuts_the_centre_before_it_resizes() -> None:
    pixels = photo(40, 80)
    pixels[:, :20] = pixels[:, 60:] = 0
    got = image.read(encode(pixels, "PNG"), exact(20, 20, fit="crop", resample="bicubic"))
    wanted = Image.fromarray(photo(40, 80)[:, 20:60]).resize((20, 20), Image.Resampling.BICUBIC)
    assert np.abs(got.astype(int) - np.asarray(wanted)).max() <= 1


@pytest.mark.parametrize(
    ("size", "needed", "ratio"),
    [((800, 800), (100, 100), 8), ((799, 799), (100, 100), 8), ((792, 800), (100, 100), 4), ((447, 447), (224, 224), 2),
     ((446, 900), (224, 224), 1), ((100, 100), (224, 224), 1)],
)  # fmt: skip
def test_a_jpeg_is_decoded_as_small_as_still_covers_the_target(
    size: tuple[int, int], needed: tuple[int, int], ratio: int
) -> None:
    assert image.decode_ratio(size, needed) == ratio


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_scaled_decoding_shows_the_same_picture_as_full_decoding(fit: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.asarray(Image.fromarray(photo(75, 100)).resize((1600, 1200)))
    small = image.read(encode(pixels, "JPEG", quality=95, exif=exif), exact(150, 100, fit=fit))
    full = image.read(encode(pixels, "PNG", exif=exif), exact(150, 100, fit=fit))
    assert np.abs(small.astype(int) - full).mean() < 2


def test_the_first_bytes_tell_a_picture_from_what_is_none() -> None:
    for file_format in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"):
        assert image.looks_like_picture(encode(photo(), file_format)[:16]), file_format
    for head in (b"", b"BM is how some texts begin", b"RIFF\0\0\0\0WAVEfmt ", b"%PDF-1.7", b"\0\0\0\x20ftypisom"):
        assert not image.looks_like_picture(head[:16]), head


def test_unreadable_files_are_refused_with_what_they_are() -> None:
    supported = "supported: JPEG, PNG, WebP, BMP, GIF, TIFF"
    assert refusal(b"") == "empty: 0 bytes"
    assert refusal(b"some text") == f"not a picture; {supported}"
    assert refusal(encode(photo(), "AVIF")) == f"an AVIF picture; {supported}"
    assert refusal(encode(photo(), "JPEG2000")) == f"a JPEG 2000 picture; {supported}"
    assert refusal(b"\0\0\2\0\1\0" + bytes(16)) == f"a Windows cursor; {supported}"
    assert refusal(encode(photo(), "TGA")) == f"not a picture; {supported}"
    assert refusal(b"%PDF-1.7 ...") == f"a PDF document; {supported}"
    assert refusal(encode(photo(7, 30), "PNG")) == "too small: 30 x 7 pixels, at least 8 a side are needed"


def test_numbers_without_a_defined_range_are_refused() -> None:
    for values in (np.zeros((20, 20), np.float32), np.zeros((20, 20), np.int32)):
        assert "no file says what is black" in refusal(encode(Image.fromarray(values), "TIFF"))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP"])
def test_a_file_that_is_cut_off_is_refused(file_format: str) -> None:
    data = encode(photo(), file_format)
    assert "damaged or cut-off" in refusal(data[: len(data) // 2])


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    png = encode(photo(), "PNG")
    bomb = insert_checksums(png[:16] + (60_000).to_bytes(4, "big") * 2 + png[24:])
    assert refusal(bomb).startswith("too large: 60000 x 60000 pixels")
    assert "at most 5,000 are decoded" in refusal(png, max_pixels=5_000)
    assert "at most 4,000 are decoded" in refusal(encode(photo(), "WEBP"), max_pixels=12_000)


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    data = encode(photo(), "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    scans = data[at:-2] * 2_000
    assert "scans" in refusal(data[:at] + scans + b"\xff\xd9", max_pixels=100_000)
    assert image.read(data, Settings()).shape == (224, 224, 3)


def test_a_preview_is_a_small_upright_jpeg() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    preview = image.encode_preview(encode(photo(300, 400), "JPEG", exif=exif), 64)
    with Image.open(io.BytesIO(preview)) as opened:
        assert (opened.format, opened.mode, opened.size) == ("JPEG", "RGB", (48, 64))
    with Image.open(io.BytesIO(image.encode_preview(encode(photo(3, 5), "PNG"), 64))) as opened:
        assert opened.size == (5, 3)
    with pytest.raises(UnreadableInputError):
        image.encode_preview(b"no picture", 64)


def test_threads_get_the_same_answers_as_one_thread() -> None:
    files = [encode(photo(50 + size, 90), "JPEG", quality=50 + size) for size in range(40)]
    alone = [image.read(data, Settings()) for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: image.read(data, Settings()), files))
    assert all((one == other).all() for one, other in zip(alone, together, strict=True))


SEEDS = [
    encode(photo(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
    encode(photo(), "JPEG", progressive=True),
    encode(np.dstack([photo(), photo()[..., 0]]), "PNG"),
    encode(Image.fromarray(photo()).quantize(16), "PNG", bits=4, transparency=3),
    encode(photo(), "GIF"),
    encode(photo(), "WEBP"),
    encode(photo(), "BMP"),
    encode(photo(), "TIFF", compression="tiff_lzw"),
]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(strategies.data())
def test_mutated_files_are_read_or_refused_and_nothing_else(draw: strategies.DataObject) -> None:
    data = bytearray(draw.draw(strategies.sampled_from(SEEDS)))
    for _ in range(draw.draw(strategies.integers(1, 6))):
        at = draw.draw(strategies.integers(0, len(data) - 1) | strategies.integers(0, min(200, len(data) - 1)))
        data[at : at + draw.draw(strategies.integers(0, 3))] = draw.draw(strategies.binary(max_size=4))
        if not data:
            break
    outcomes = []
    verbs: list[Callable[[bytes, Settings], object]] = [image.inspect, image.read]
    for verb in verbs:
        try:
            verb(bytes(data), Settings(height=32, width=32, max_pixels=1_000_000))
            outcomes.append("read")
        except UnreadableInputError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0]


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        found.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def assemble(parts: list[tuple[bytes, bytes]]) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")

    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, content) for name, content in parts)


def drop_chunk(png: bytes, name: bytes) -> bytes:
    return assemble([part for part in chunks(png) if part[0] != name])


def insert_chunk(png: bytes, name: bytes, content: bytes) -> bytes:
    head, *rest = chunks(png)
    return assemble([head, (name, content), *rest])


def insert_checksums(png: bytes) -> bytes:
    return assemble(chunks(png))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_the_pixels_of_a_picture_are_those_of_its_header_whatever_follows(kind: str) -> None:
    data = encode(Image.new("RGB", (300, 200)), kind)
    assert image.pixels(data) == 300 * 200
    if kind != "TIFF":  # whose header may stand at its end
        assert image.pixels(data[: len(data) * 3 // 4]) == 300 * 200


def test_a_progressive_picture_counts_once_in_ten_scans() -> None:
    data = encode(Image.new("RGB", (300, 200)), "JPEG", progressive=True)
    assert image.pixels(data) == 300 * 200
    assert image.pixels(data + b"\xff\xda" * 490) == pytest.approx(50 * 300 * 200, rel=0.05)
