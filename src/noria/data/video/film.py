"""The file of a video -> its frames in the order and at the times in which they are shown, and what was wrong with it.

Decoding is FFmpeg's, by PyAV (the extra `video`). The file alone is read: no playlist, no other file, no address.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from noria.data.video.upright import MAX_PIXELS, MAX_SIDE, fits
from noria.errors import UnreadableInputError
from noria.ordered import default_threads

_MOST_THREADS = 8  # each holds a frame or more
# Formats of videos only: FFmpeg would also take playlists that name other files, lists of pictures, and plain text.
_FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,mxf,gxf,dv,nut,ivf,rm,wtv,nsv,amv,dhav,hxvs,"
    "h261,h263,h264,hevc,vvc,m4v,vc1,obu,mjpeg,mpjpeg,yuv4mpegpipe"
)
_OPENING = {"format_whitelist": _FORMATS, "protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
_ASSUMED_RATE = 25.0  # frames a second, where a file says nothing
_SHUFFLED = 1.0  # seconds; stamps of frames that are shown in another order than stored may step back by less
_TOLD = 3  # places of damage that are named


@dataclass(frozen=True, slots=True)
class Shot:
    """A decoded frame."""

    number: int  # in the video, counted from 0
    seconds: float  # since the first frame
    frame: Any  # av.VideoFrame


class Film:
    """One reading of a video: take what `shots` yields, then ask for `trouble`.

    Attributes:
        length: seconds that the file says it lasts; 0 where it does not say.
        size: (width, height) of the frames as they are stored.
        aspect: how much wider than high a stored pixel is shown.
        count: frames decoded so far.
        seconds: of the last of them, since the first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.length = 0.0
        self.size = (0, 0)
        self.aspect = 1.0
        self.count = 0
        self.seconds = 0.0
        self._damaged: list[float] = []
        self._stopped = ""
        self._clock = _Clock(_ASSUMED_RATE)
        self._unit = Fraction(0)  # of the time stamps, in seconds

    def shots(self) -> Iterator[Shot]:
        """Yield the frames that can be trusted; where data is damaged, those up to the next key frame are left out.

        Raises:
            UnreadableInputError: it is no video, or not one frame of it can be decoded.
        """
        yield from self._read(strict=True)
        if not self.count:
            # Streams that refresh bit by bit have no key frames, and some encoders stretch the rules everywhere.
            self._damaged, self._stopped = [], ""
            yield from self._read(strict=False)
        if not self.count:
            raise UnreadableInputError(f"not one frame can be decoded{self._stopped and f' ({self._stopped})'}")

    def note_damage(self) -> None:
        """Remember that something after the last frame cannot be used."""
        if not self._damaged or self.seconds > self._damaged[-1]:
            self._damaged.append(self.seconds)

    def trouble(self) -> str:
        """Return what was wrong with a video that has been read, in a few words; empty where nothing was."""
        said = []
        if self._damaged:
            places = ", ".join(f"{seconds:.1f} s" for seconds in self._damaged[:_TOLD])
            more = " and later" if len(self._damaged) > _TOLD else ""
            said.append(f"damaged at {places}{more}: what could not be decoded is left out")
        if self._stopped:
            said.append(f"cannot be read after {self.seconds:.1f} s ({self._stopped})")
        elif self.length - self.seconds > max(1.0, 0.02 * self.length):
            cut = "" if self._damaged else ": cut off?"
            said.append(f"says it lasts {self.length:.1f} s, but its pictures end at {self.seconds:.1f} s{cut}")
        return "; ".join(said)

    def _read(self, *, strict: bool) -> Iterator[Shot]:
        with _opened(self.path) as container:
            stream = self._stream(container)
            decoder = stream.codec_context
            decoder.thread_type = "AUTO"
            decoder.thread_count = min(default_threads(), _MOST_THREADS)
            decoder.options = {"max_pixels": str(MAX_PIXELS), **({"err_detect": "explode"} if strict else {})}
            waiting = strict  # for a key frame: nothing before it can be decoded well
            for packet in self._packets(container, stream):
                if waiting and packet is not None and not packet.is_keyframe:
                    continue
                try:
                    frames = decoder.decode(packet)
                except (av.FFmpegError, ValueError):
                    self.note_damage()
                    decoder.flush_buffers()
                    waiting = strict
                    continue
                waiting = waiting and packet is None
                yield from self._shown(frames)

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yield what the file has of the stream, and None at its end: the decoder is to give what it still holds."""
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, IndexError):  # PyAV 18: IndexError at the end, if a stream begins in the middle
                yield None
                return
            except (av.FFmpegError, OSError) as error:
                self._stopped = _reason(error)
                return
            if packet.size and packet.stream.index == stream.index:
                yield packet

    def _shown(self, frames: list[Any]) -> Iterator[Shot]:
        for frame in frames:
            if frame.is_corrupt or not fits(frame.width, frame.height):
                self.note_damage()
                continue
            self.seconds = self._clock.read(None if frame.pts is None else float(frame.pts * self._unit))
            shot = Shot(self.count, self.seconds, frame)
            self.count += 1
            yield shot

    def _stream(self, container: Any) -> Any:
        streams = [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]
        if not streams:
            raise UnreadableInputError("there is no video in it" + (", only sound" if container.streams.audio else ""))
        stream = streams[0]
        decoder = stream.codec_context
        if decoder is None:
            raise UnreadableInputError("its pictures are in a format that cannot be decoded")
        self.size = decoder.width, decoder.height
        if not fits(*self.size):
            raise UnreadableInputError(
                f"its frames have {decoder.width:,} x {decoder.height:,} pixels; at most {MAX_PIXELS:,}, and "
                f"{MAX_SIDE:,} on a side, are decoded"
            )
        self.aspect = _aspect(stream)
        rate = float(stream.average_rate or 0)
        self._clock = _Clock(rate if 0 < rate < 100_000 else _ASSUMED_RATE)
        self._unit = stream.time_base or Fraction(1, round(_ASSUMED_RATE))
        self.length = _length(container, stream, rate)
        return stream


class _Clock:
    """Seconds since the first frame that never go back, whatever the time stamps do."""

    def __init__(self, rate: float) -> None:
        self._step = 1 / rate
        self._origin: float | None = None
        self._now = -self._step

    def read(self, stamp: float | None) -> float:
        """Return the seconds of the next frame, whose time stamp this is (None: it has none)."""
        if stamp is None:
            self._now += self._step
            return self._now
        if self._origin is None or stamp - self._origin < self._now - _SHUFFLED:
            self._origin = stamp - self._now - self._step  # the first one, or a clock that was set back
        self._now = max(self._now, stamp - self._origin, 0.0)
        return self._now


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise UnreadableInputError(f"it cannot be read: {error.strerror or error}") from None
    if not head:
        raise UnreadableInputError("empty: 0 bytes")
    try:
        # With the protocol in front, so that no name of a file is taken for an address.
        container = av.open(f"file:{path.absolute()}", mode="r", options=_OPENING, metadata_errors="replace")
    except av.ArgumentError:
        raise UnreadableInputError("it is not a video, or of a kind that is not read") from None
    except av.FFmpegError as error:
        raise UnreadableInputError(_why_closed(head, error)) from None
    with container:
        yield container


def _why_closed(head: bytes, error: Exception) -> str:
    if head[4:8] in (b"ftyp", b"mdat", b"wide", b"free"):
        return "an MP4 or QuickTime file whose index is missing or damaged: was its recording or copying cut off?"
    return f"it is not a video, or damaged at its beginning ({_reason(error)})"


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).lower().rstrip(".")


def _aspect(stream: Any) -> float:
    """How wide a pixel is for its height; 1 where the file says nothing, or something absurd."""
    said = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    aspect = float(said) if said else 1.0
    return aspect if 0.25 <= aspect <= 4 else 1.0


def _length(container: Any, stream: Any, rate: float) -> float:
    """The seconds that a file says it lasts, 0 where it does not; AVI counts frames, the others say a time."""
    counted = stream.frames / rate if stream.frames and rate else 0.0
    said = 0.0
    if stream.duration and stream.time_base:
        said = float(stream.duration * stream.time_base)
    elif container.duration:
        said = container.duration / av.time_base
    longest = max(counted, said)
    return longest if math.isfinite(longest) and longest > 0 else 0.0
