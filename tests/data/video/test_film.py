"""A video is read in the order and at the times in which it is shown, and no frame that is damaged is handed on."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from noria.data.video.film import Film
from noria.data.video.upright import jpeg
from noria.errors import UnreadableInputError

KINDS = [
    ("a.mp4", "libx264", None),
    ("a.mov", "mpeg4", None),
    ("a.avi", "mpeg4", None),
    ("a.mkv", "libx264", None),
    ("a.webm", "libvpx-vp9", None),
    ("a.ts", "libx264", "mpegts"),
    ("a.mpg", "mpeg2video", None),
    ("a.flv", "flv", None),
    ("a.wmv", "wmv2", None),
    ("a.h264", "libx264", "h264"),
    ("a.mjpg", "mjpeg", "mjpeg"),
]
Encoded = Callable[..., Path]


def pictures(path: Path) -> tuple[list[NDArray[np.int16]], Film]:
    film = Film(path)
    shown = [np.asarray(Image.open(BytesIO(jpeg(shot.frame, film.aspect)))) for shot in film.shots()]
    return [one.astype(np.int16) for one in shown], film


def times(path: Path) -> list[float]:
    return [round(shot.seconds, 3) for shot in Film(path).shots()]


@pytest.mark.parametrize(("name", "codec", "container"), KINDS, ids=[name for name, *_ in KINDS])
def test_every_kind_of_file_has_the_same_frames_at_the_same_times(
    name: str, codec: str, container: str | None, encoded: Encoded
) -> None:
    path = encoded(name, codec=codec, container=container)
    assert times(path) == [round(number / 25, 3) for number in range(50)]
    assert Film(path).trouble() == ""


def test_times_are_those_of_the_stamps_and_not_of_a_rate(encoded: Encoded) -> None:
    stamps = [0, 40, 80, 2000, 2040, 7500]
    for name in ("a.mkv", "a.mp4"):
        path = encoded(name, count=6, codec="libx264", milliseconds=stamps)
        assert times(path) == [stamp / 1000 for stamp in stamps]


def display(matrix: tuple[int, ...], path: Path) -> Path:
    """Write another matrix into the track header of an MP4 file, as a phone does that is held another way."""
    data = bytearray(path.read_bytes())
    start = data.find(b"tkhd") + 4 + 4 + 20 + 16
    assert struct.unpack(">9i", data[start : start + 36])[0] == 1 << 16
    a, b, c, d = (value << 16 for value in matrix)
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    turned = path.with_name("turned.mp4")
    turned.write_bytes(data)
    return turned


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((0, 1, -1, 0), lambda upright: np.rot90(upright, -1)),
        ((-1, 0, 0, -1), lambda upright: np.rot90(upright, 2)),
        ((0, -1, 1, 0), lambda upright: np.rot90(upright, 1)),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
    ],
    ids=["clockwise", "half", "counterclockwise", "mirrored", "upside down"],
)
def test_frames_are_turned_as_the_camera_was_held(
    matrix: tuple[int, ...], expected: Callable[[NDArray[np.int16]], NDArray[np.int16]], encoded: Encoded
) -> None:
    path = encoded("a.mp4", count=3)
    (plain, *_), _ = pictures(path)
    (turned, *_), _ = pictures(display(matrix, path))
    assert turned.shape == expected(plain).shape
    assert np.abs(turned - expected(plain)).mean() < 2  # each was stored as JPEG by itself
    assert np.abs(turned.mean((0, 1)) - plain.mean((0, 1))).max() < 1


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(2), (640, 240)), (Fraction(1, 2), (320, 480))])
def test_pixels_that_are_not_square_are_stretched(aspect: Fraction, size: tuple[int, int], encoded: Encoded) -> None:
    (shown, *_), film = pictures(encoded("a.mkv", count=3, aspect=aspect))
    assert (shown.shape[1], shown.shape[0]) == size
    assert film.size == (320, 240)


def one_colour(path: Path, size: tuple[int, int], matrix: str, tag: int) -> Path:
    """Write a frame of (200, 60, 30), made with one matrix and tagged with a number of ITU-T H.273."""
    width, height = size
    colour = np.full((height, width, 3), (200, 60, 30), np.uint8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"x264-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.colorspace = tag
        frame = av.VideoFrame.from_ndarray(colour, format="rgb24").reformat(format="yuv420p", dst_colorspace=matrix)
        frame.colorspace = tag
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("size", "matrix", "tag"),
    [
        ((320, 240), "ITU601", 6),
        ((320, 240), "ITU709", 1),
        ((320, 240), "ITU601", 2),  # nothing is said: by the height, as players do
        ((1280, 720), "ITU709", 2),
        ((320, 240), "ITU601", 3),  # reserved
    ],
)
def test_colours_are_those_that_a_player_shows(size: tuple[int, int], matrix: str, tag: int, tmp_path: Path) -> None:
    (shown, *_), _ = pictures(one_colour(tmp_path / "colour.mp4", size, matrix, tag))
    assert np.abs(shown.mean((0, 1)) - (200, 60, 30)).max() < 4


def test_colours_that_cannot_be_converted_are_refused_and_not_shown_wrongly(tmp_path: Path) -> None:
    ycgco = 8
    with pytest.raises(UnreadableInputError, match="colours"):
        pictures(one_colour(tmp_path / "colour.mp4", (320, 240), "ITU601", ycgco))


# Damage

# Not VP9: its decoder takes any bytes for pictures, and cannot tell.
DAMAGED = [one for one in KINDS if one[0] not in ("a.mov", "a.h264", "a.webm")]


@pytest.mark.parametrize(("name", "codec", "container"), DAMAGED, ids=[name for name, *_ in DAMAGED])
def test_of_a_video_that_is_damaged_only_sound_frames_are_kept_and_the_place_is_told(
    name: str, codec: str, container: str | None, encoded: Encoded
) -> None:
    path = encoded(name, codec=codec, container=container)
    sound, _ = pictures(path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = random.Random(1).randbytes(600)
    path.write_bytes(data)
    kept, film = pictures(path)
    assert 15 < len(kept) < 50
    assert film.trouble()
    # Lost packets shift the numbers, so each is compared with all; a frame that was guessed has stripes of grey.
    guessed = [min(np.abs(one - other).mean() for other in sound) > 6 for one in kept]
    assert sum(guessed) <= (12 if name in ("a.avi", "a.wmv") else 0), "these two do not say that packets were lost"


@pytest.mark.parametrize("name", ["a.avi", "a.mkv", "a.ts", "a.flv", "fast.mp4"])
def test_of_a_video_that_was_cut_off_the_frames_before_are_kept(name: str, encoded: Encoded) -> None:
    options = {"movflags": "faststart"} if name == "fast.mp4" else {}
    container = "mpegts" if name == "a.ts" else None
    path = encoded(name, count=100, codec="flv" if name == "a.flv" else "mpeg4", container=container, options=options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    kept, film = pictures(path)
    assert 30 < len(kept) < 70
    assert "cut off" in film.trouble() or "damaged at" in film.trouble()


def test_a_recording_whose_index_was_never_written_is_told_as_what_it_is(encoded: Encoded) -> None:
    path = encoded("a.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"moov") - 4])
    with pytest.raises(UnreadableInputError, match="index is missing"):
        list(Film(path).shots())


@pytest.mark.parametrize("size", [0, 1, 100, 100_000])
def test_random_bytes_are_no_video(size: int, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(random.Random(size).randbytes(size))
    with pytest.raises(UnreadableInputError, match="empty" if not size else "not a video"):
        list(Film(path).shots())


def test_pictures_texts_and_lists_of_other_files_are_no_videos(encoded: Encoded, photos: Path, tmp_path: Path) -> None:
    video = encoded("a.ts", codec="libx264", container="mpegts")
    strangers = {
        "photo.mp4": min(photos.glob("rose/[0-9]*.jpg")).read_bytes(),
        "text.mp4": b"Not a video, but a text.\n" * 50,
        "list.mp4": f"ffconcat version 1.0\nfile {video}\n".encode(),
        "playlist.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{video}\n#EXT-X-ENDLIST\n".encode(),
    }
    for name, data in strangers.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(UnreadableInputError, match="not a video"):
            list(Film(path).shots())


def test_a_file_with_sound_alone_has_no_frames(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=44_100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44_100), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44_100
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(UnreadableInputError, match="only sound"):
        list(Film(path).shots())


def test_frames_that_are_too_large_are_refused_by_their_size(tmp_path: Path) -> None:
    path = tmp_path / "wide.avi"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16_400, 16, "yuvj420p"
        out.mux(stream.encode(av.VideoFrame(16_400, 16, "yuvj420p")))
        out.mux(stream.encode(None))
    with pytest.raises(UnreadableInputError, match="16,400 x 16"):
        list(Film(path).shots())
