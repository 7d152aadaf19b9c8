"""Arrays -> pictures to look at: a contact sheet of a batch, a confusion matrix, the thumbnails of an embedding."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Encoded = tuple[bytes, tuple[int, int]]  # a PNG or JPEG; its width and height

TILE = 128  # pixels of a picture on a contact sheet
COLUMNS, SHOWN, SHOWN_SIDE = 8, 24, 96  # of an overview: pictures in a row and in all, pixels
CELL, MARGIN = 34, 110  # pixels in a confusion matrix
WITH_NUMBERS = 30  # labels; of more, cells are smaller and have no numbers
MOST = 800  # pixels of a matrix of many labels


def contact_sheet(pictures: NDArray[Any]) -> Encoded:
    """Lay out pictures (n, height, width, 3), 0 to 255, in rows; small ones are enlarged without smoothing."""
    columns = math.ceil(math.sqrt(len(pictures)))
    height, width = pictures.shape[1:3]
    scale = TILE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    tiles = [Image.fromarray(one).resize(size, method) for one in _levels(pictures)]
    return _encoded(_laid_out(tiles, columns, size, gap=2, rim=1), "PNG" if scale > 1 else "JPEG")


def overview(pictures: Sequence[NDArray[Any]] | NDArray[Any]) -> bytes:
    """Return a JPEG of the first of some pictures (n, height, width, 3), 0 to 255, small and side by side."""
    tiles = [Image.fromarray(one) for one in _levels(pictures[:SHOWN])]
    side = min(SHOWN_SIDE, max(tiles[0].size))
    for tile in tiles:
        tile.thumbnail((side, side))
    return _encoded(_laid_out(tiles, COLUMNS, (side, side), gap=2), "JPEG")[0]


def confusion(counts: NDArray[np.int64], labels: Sequence[str]) -> Encoded:
    """Draw counts (C, C), truth down and answers across: right ones blue, wrong ones orange, by share of the truth."""
    number = len(labels)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    strength = np.where(np.eye(number, dtype=bool), shares, np.sqrt(shares))[..., None]
    full = np.where(np.eye(number, dtype=bool)[..., None], (38, 96, 164), (222, 110, 30))
    colours = np.rint(255 + strength * (full - 255)).astype(np.uint8)
    cell = CELL if number <= WITH_NUMBERS else max(1, MOST // number)
    body = Image.fromarray(colours).resize((number * cell, number * cell), Image.Resampling.NEAREST)
    if number > WITH_NUMBERS:
        return _encoded(body, "PNG")
    whole = Image.new("RGB", (MARGIN + body.width, MARGIN + body.height), "white")
    whole.paste(body, (MARGIN, MARGIN))
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(12)
    across = Image.new("RGB", (body.width, MARGIN), "white")
    for place, label in enumerate(labels):
        name = _name(label, place)
        draw.text((MARGIN - 6, MARGIN + (place + 0.5) * cell), name, "black", font, anchor="rm")
        upright = Image.new("RGB", (MARGIN, cell), "white")
        ImageDraw.Draw(upright).text((6, cell / 2), name, "black", font, anchor="lm")
        across.paste(upright.transpose(Image.Transpose.ROTATE_90), (place * cell, 0))
    whole.paste(across, (MARGIN, 0))
    draw.text((6, 6), "truth down,\nanswers across", "gray", font)
    for truth, answer in np.argwhere(counts):
        middle = MARGIN + (answer + 0.5) * cell, MARGIN + (truth + 0.5) * cell
        ink = "white" if strength[truth, answer, 0] > 0.5 else "black"
        draw.text(middle, str(counts[truth, answer]), ink, font, anchor="mm")
    return _encoded(whole, "PNG")


def sprite(pictures: Sequence[NDArray[Any]], side: int) -> bytes:
    """Lay out thumbnails as TensorBoard's projector cuts them: a square of squares, row by row."""
    columns = math.ceil(math.sqrt(len(pictures)))
    tiles = [Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX) for pixels in pictures]
    return _encoded(_laid_out(tiles, columns, (side, side), rows=columns), "PNG")[0]


def _levels(pictures: Sequence[NDArray[Any]] | NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(np.asarray(pictures, np.float32)), 0, 255), np.uint8)


def _laid_out(
    tiles: Sequence[Image.Image], columns: int, size: tuple[int, int], *, rows: int = 0, gap: int = 0, rim: int = 0
) -> Image.Image:
    """Paste tiles of one size on white, row by row, a gap between them and a rim around all."""
    width, height = (one + gap for one in size)
    rows = rows or math.ceil(len(tiles) / columns)
    sheet = Image.new("RGB", (columns * width - gap + 2 * rim, rows * height - gap + 2 * rim), "white")
    for place, tile in enumerate(tiles):
        sheet.paste(tile, (place % columns * width + rim, place // columns * height + rim))
    return sheet


def _name(label: str, place: int) -> str:
    """A label as far as the font has its letters, else its number."""
    return label[:15] if _drawable(label) else f"label {place}"


def _drawable(text: str) -> bool:
    return all(" " <= letter <= "ÿ" for letter in text)


def _encoded(image: Image.Image, kind: str) -> Encoded:
    out = io.BytesIO()
    image.save(out, kind, quality=88, compress_level=1)  # a tenth larger than the best, in half of the time
    return out.getvalue(), image.size
