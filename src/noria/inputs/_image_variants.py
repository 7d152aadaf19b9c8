"""One picture -> the same picture stored as phones, scanners and web pages store it: what decoders get wrong."""

from __future__ import annotations

import io

from PIL import Image

LARGEST = 1024  # pixels; what is tried is the decoder, and bundles should stay light
TURNED = 6  # EXIF orientation: the camera was held upright, the viewer must turn the pixels by 90 degrees


def variants(data: bytes) -> list[tuple[str, str, bytes]]:
    """Return (file ending, note, bytes) for each variant of a readable picture; all lossless but for JPEG."""
    with Image.open(io.BytesIO(data)) as opened:
        image = opened.convert("RGB")
    image.thumbnail((LARGEST, LARGEST))
    exif = Image.Exif()
    exif[0x0112] = TURNED
    soft = image.copy()
    soft.putalpha(image.convert("L"))
    return [
        (".jpg", "JPEG turned by its EXIF orientation", _stored(image.rotate(90, expand=True), "JPEG", exif=exif)),
        (".png", "greyscale PNG", _stored(image.convert("L"), "PNG")),
        (".png", "PNG with transparency", _stored(soft, "PNG")),
        (".webp", "WebP", _stored(image, "WEBP", lossless=True)),
    ]


def _stored(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
