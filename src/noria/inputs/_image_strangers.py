"""What a file is that is no picture we read: so that a refusal can say it by name."""

from __future__ import annotations

# What else people put among pictures: bytes to find, at which offset, and what to call it.
_STRANGERS: tuple[tuple[int, bytes, str], ...] = (
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftypavis", "an AVIF animation"),
    (4, b"ftyphe", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIF picture"),
    (4, b"ftypmsf1", "a HEIF animation"),
    (4, b"ftyp", "a video"),
    (0, b"\x1a\x45\xdf\xa3", "a video"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"DDS ", "a DDS texture"),
    (0, b"qoif", "a QOI picture"),
    (0, b"icns", "an Apple icon"),
    (0, b"\0\0\1\0", "a Windows icon"),
    (0, b"\0\0\2\0", "a Windows cursor"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (0, b"%PDF", "a PDF document"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"<?xml", "an XML document"),
    (0, b"<!DOCTYPE", "a web page"),
    (0, b"<html", "a web page"),
    (0, b"PK\3\4", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    *((0, b"P%d" % number + space, "a PPM picture") for number in range(1, 8) for space in (b"\n", b" ", b"\r", b"\t")),
    *((0, b"P" + letter + b"\n", "a PFM picture") for letter in (b"f", b"F")),
    (4, b"\x11\xaf", "an FLI animation"),
    (4, b"\x12\xaf", "an FLI animation"),
)

_NO_ICONS = (b"\0\0\1\0\0\0", b"\0\0\2\0\0\0")  # a TGA begins like an icon file, of no icons


def name_of_stranger(data: bytes) -> str:
    """Return e.g. "a PDF document", or "not a picture"."""
    if data.startswith(_NO_ICONS):
        return "not a picture"
    return next((name for at, magic, name in _STRANGERS if data.startswith(magic, at)), "not a picture")
