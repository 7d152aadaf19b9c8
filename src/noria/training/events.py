"""Scalars, histograms, pictures, texts and graphs -> the event files that TensorBoard reads, without its package.

A folder is what TensorBoard calls a run. Each process writes a file of its own; what a killed process wrote beyond the
place from which a training goes on is cut off, so that curves are whole and no step is there twice.

Format: records of TensorFlow (length, CRC, bytes, CRC), each an `Event`; tensors as TensorBoard's plugins expect them.
"""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILES = "events.out.tfevents."
_HEAD, _FOOT = 12, 4  # bytes of a record around its data
BINS = 30


class Events:
    """One folder's new event file."""

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf
        from tensorflow.core.util.event_pb2 import Event

        folder.mkdir(parents=True, exist_ok=True)
        # Files are read in the order of their names.
        path = folder / f"{FILES}{time.time_ns():020d}.{os.getpid()}"
        self._event = Event
        self._writer = tf.io.TFRecordWriter(str(path))
        self._write(Event(file_version="brain.Event:2"))
        self.flush()

    def scalar(self, tag: str, value: float, step: int) -> None:
        self._add(tag, "scalars", np.float32(value), step)

    def histogram(self, tag: str, values: NDArray[Any], step: int) -> None:
        """Write how numbers are distributed, those that are finite."""
        flat = np.asarray(values, np.float32).ravel()
        counts, edges = np.histogram(flat[np.isfinite(flat)], bins=BINS)
        self._add(tag, "histograms", np.stack([edges[:-1], edges[1:], counts], axis=1), step)

    def picture(self, tag: str, encoded: bytes, size: tuple[int, int], step: int) -> None:
        """Write a PNG or JPEG of (width, height) pixels."""
        self._add(tag, "images", [str(size[0]).encode(), str(size[1]).encode(), encoded], step)

    def text(self, tag: str, markdown: str, step: int) -> None:
        self._add(tag, "text", [markdown.encode()], step)

    def graph(self, definition: bytes) -> None:
        """Write a serialised GraphDef."""
        self._write(self._event(graph_def=definition))

    def flush(self) -> None:
        """Make what was written visible to those who read along."""
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _add(self, tag: str, plugin: str, value: Any, step: int) -> None:
        import tensorflow as tf

        event = self._event(step=step)
        summary = event.summary.value.add(tag=tag, tensor=tf.make_tensor_proto(value))
        summary.metadata.plugin_data.plugin_name = plugin
        summary.metadata.data_class = _CLASSES[plugin]
        self._write(event)

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._writer.write(event.SerializeToString())


# SummaryMetadata.DataClass: scalar, tensor, sequence of blobs
_CLASSES = {"scalars": 1, "histograms": 2, "text": 2, "images": 3}


def cut(folder: Path, last: int) -> None:
    """Cut off what was written about steps after `last`, and a record that a killed process left unfinished."""
    for path in sorted(folder.glob(f"{FILES}*")):
        kept = _length_until(path, last)
        if kept < path.stat().st_size:
            os.truncate(path, kept)


def _length_until(path: Path, last: int) -> int:
    from google.protobuf.message import DecodeError
    from tensorflow.core.util.event_pb2 import Event

    size, place = path.stat().st_size, 0
    with path.open("rb") as file:
        while True:
            head = file.read(_HEAD)
            if len(head) < _HEAD:
                return place
            end = place + _HEAD + struct.unpack("<Q", head[:8])[0] + _FOOT
            if end > size:
                return place
            try:
                event = Event.FromString(file.read(end - place - _HEAD - _FOOT))
            except DecodeError:
                return place
            if event.step > last:
                return place
            file.seek(end)
            place = end
