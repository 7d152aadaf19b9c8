"""Which frames of a still scene are the same, and which have something small in them that moved?

Photos of flowers with planted noise, stored as H.264 and MPEG-4 of several qualities, against the same photos with a
small square that moves. Both sides: the measure of `noria frames` and the mean difference of small grey pictures, each
with the limit at which it takes as few still frames for changed. `python bench/frames.py` takes about 2 minutes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from _harness import data_folder, parser, publish, table
from noria.data.video import SIMILAR
from noria.data.video.change import change, spots

Picture = NDArray[np.uint8]
WIDTH, HEIGHT = 768, 576
STORED = [
    ("H.264, CRF 23", "libx264", {"crf": "23"}, 0),
    ("H.264, CRF 32", "libx264", {"crf": "32"}, 0),
    ("H.264, CRF 38", "libx264", {"crf": "38"}, 0),
    ("MPEG-4, 800 kbit/s", "mpeg4", {}, 800_000),
    ("MPEG-4, 300 kbit/s", "mpeg4", {}, 300_000),
]
NOISE = (2, 5, 10)  # standard deviation, of 255
THINGS = [(8, 60), (12, 30), (12, 60), (16, 30), (16, 60)]  # side in pixels, difference of 255
PLACES = 30


def main() -> None:
    """Measure still scenes and moved things, and publish the table."""
    given = parser(str(__doc__), seeds=None).parse_args()
    scenes = _scenes(1 if given.quick else 3)
    still = {name: _still(scenes, codec, options, rate) for name, codec, options, rate in STORED}
    moved = {thing: _moved(scenes, *thing) for thing in THINGS}
    every = np.concatenate(list(still.values()))
    limit = float(np.quantile(every[:, 1], (every[:, 0] < SIMILAR).mean()))
    rows = [[name, *_shares(pairs, limit)] for name, pairs in still.items()]
    rows += [[f"{side} x {side} pixels, {by} of 255", *_shares(pairs, limit)] for (side, by), pairs in moved.items()]
    body = (
        f"Frames of {WIDTH} x {HEIGHT}. Above, still scenes with noise, of which few should be kept; below, scenes in "
        "which a square has moved, of which all should be.\n\n"
        + table(["", "pairs", f"kept by `noria frames` (limit {SIMILAR:g})", f"kept by the mean ({limit:.2f})"], rows)
    )
    raw = {name: pairs.tolist() for name, pairs in still.items()}
    publish("frames", "Frames that are nearly the same", body, raw, quick=given.quick)


def _scenes(count: int) -> list[Picture]:
    files = sorted(data_folder("flowers").glob("*/*.jpg"))
    chosen = files[:: len(files) // count][:count]
    return [np.asarray(Image.open(file).convert("RGB").resize((WIDTH, HEIGHT))) for file in chosen]


def _still(scenes: list[Picture], codec: str, options: dict[str, str], rate: int) -> NDArray[np.float64]:
    """Return (pairs, 2): both measures between frames of scenes in which nothing moves."""
    random = np.random.default_rng(0)
    found = []
    for scene in scenes:
        for deviation in NOISE:
            frames = list(_stored([_noisy(scene, deviation, random) for _ in range(16)], codec, options, rate))
            found += [_both(frames[one], frames[two]) for one in range(5, 14, 4) for two in range(one + 1, 16, 3)]
    return np.array(found)


def _moved(scenes: list[Picture], side: int, by: int) -> NDArray[np.float64]:
    random = np.random.default_rng(1)
    found = []
    for scene in scenes:
        for _ in range(PLACES):
            pair = []
            for top, left in random.integers(0, (HEIGHT - side, WIDTH - side), (2, 2)):
                picture = scene.astype(np.int16)
                inside = picture[top : top + side, left : left + side]
                inside += by if inside.mean() < 128 else -by
                pair.append(av.VideoFrame.from_ndarray(_noisy(picture, 5, random), format="rgb24"))
            found.append(_both(*pair))
    return np.array(found)


def _noisy(picture: NDArray[np.integer], deviation: float, random: np.random.Generator) -> Picture:
    return np.clip(picture + random.normal(0, deviation, picture.shape), 0, 255).astype(np.uint8)


def _stored(pictures: list[Picture], codec: str, options: dict[str, str], rate: int) -> Iterator[av.VideoFrame]:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        more = {"preset": "veryfast", "x264-params": "log-level=none"} if codec == "libx264" else {}
        stream = out.add_stream(codec, rate=25, options={"g": "12", **options, **more})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        if rate:
            stream.bit_rate = rate
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        yield from container.decode(video=0)


def _both(one: av.VideoFrame, two: av.VideoFrame) -> tuple[float, float]:
    """Return the change, and the mean difference of grey pictures of 64 pixels, both in percent."""
    grey = [
        frame.reformat(width=64, height=48, format="gray", interpolation="AREA").to_ndarray().astype(float)
        for frame in (one, two)
    ]
    return change(spots(one), spots(two)), float(np.abs(grey[0] - grey[1]).mean()) / 2.55


def _shares(pairs: NDArray[np.float64], limit: float) -> list[str]:
    kept = (pairs[:, 0] >= SIMILAR).mean(), (pairs[:, 1] > limit).mean()
    return [f"{len(pairs):,}", *(f"{share:.1%}" for share in kept)]


if __name__ == "__main__":
    main()
