"""Real photos, panned slowly or standing still, as videos that the tests encode themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]
SIZE = (320, 240)


@pytest.fixture(scope="session")
def scenes(photos: Path) -> list[Picture]:
    """Twenty photos, each (480, 640, 3) uint8."""
    files = sorted(photos.glob("*/[0-9]*.jpg"))[::2][:20]
    found = []
    for file in files:
        with Image.open(file) as photo:
            found.append(np.asarray(photo.convert("RGB").resize((640, 480))))
    return found


def panned(scene: Picture, count: int = 50, step: int = 4) -> Iterator[Picture]:
    """Yield a window of 320 x 240 that moves over a photo."""
    width, height = SIZE
    for number in range(count):
        left = number * step % (scene.shape[1] - width)
        yield np.ascontiguousarray(scene[60 : 60 + height, left : left + width])


def encode(
    path: Path,
    pictures: Sequence[Picture] | Iterator[Picture],
    codec: str = "mpeg4",
    *,
    container: str | None = None,
    milliseconds: Sequence[int] | None = None,
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    key_every: int = 12,
    colours: int | None = None,
) -> Path:
    """Write a video of 25 frames a second, or of frames at these times."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=container, container_options=options or {}) as out:
        fast = {"preset": "ultrafast", "x264-params": "log-level=none"} if codec == "libx264" else {}
        stream = out.add_stream(codec, rate=25, options=fast)
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = key_every
        if colours is not None:
            stream.codec_context.colorspace = colours
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if milliseconds:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, picture in enumerate(pictures):
            if not number:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            if colours is not None:
                frame = frame.reformat(format="yuv420p")
                frame.colorspace = colours
            if milliseconds:
                frame.pts, frame.time_base = milliseconds[number], Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.fixture
def encoded(scenes: list[Picture], tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a panned scene as a video: `encoded("cat/a.mp4", scene=3, codec="mpeg4")`."""

    def write(name: str, scene: int = 0, count: int = 50, codec: str = "mpeg4", **how: Any) -> Path:
        return encode(tmp_path / "videos" / name, panned(scenes[scene % len(scenes)], count), codec, **how)

    return write


@pytest.fixture
def encode_pictures(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes pictures as a video: `encode_pictures("still.mp4", pictures, "mpeg4")`."""
    return lambda name, pictures, codec="mpeg4", **how: encode(tmp_path / "videos" / name, pictures, codec, **how)
