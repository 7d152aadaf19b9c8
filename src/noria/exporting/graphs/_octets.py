"""Reading binary files with TensorFlow ops: a scalar string of raw bytes -> numbers, slices, chunks, EXIF orientation.

Positions and lengths are int64 scalars; a range is int64 (2,), (offset, length), and (0, 0) where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

_SINGLE_BYTES = [bytes([value]) for value in range(256)]


def octets_of(data: tf.Tensor) -> tf.Tensor:
    """Return the bytes as uint8 (length,)."""
    return tf.io.decode_raw(data, tf.uint8)


def length_of(data: tf.Tensor) -> tf.Tensor:
    """Return how many bytes there are."""
    return tf.cast(tf.strings.length(data), tf.int64)


def has(data: tf.Tensor, at: tf.Tensor | int, expected: bytes) -> tf.Tensor:
    """Return whether `expected` stands at a position; False beyond the end."""
    return slice_of(data, at, len(expected)) == expected


def slice_of(data: tf.Tensor, at: tf.Tensor | int, length: tf.Tensor | int) -> tf.Tensor:
    """Cut a range out; what lies beyond the end is left away."""
    start = tf.minimum(tf.cast(at, tf.int64), length_of(data))
    return tf.strings.substr(data, start, tf.maximum(tf.cast(length, tf.int64), 0))


def number(octets: tf.Tensor, at: tf.Tensor | int, size: int, *, big_endian: bool | tf.Tensor = True) -> tf.Tensor:
    """Read an unsigned whole number of `size` bytes as int64; bytes beyond the end count as 0."""
    positions = tf.cast(at, tf.int64) + tf.range(size, dtype=tf.int64)
    last = tf.size(octets, out_type=tf.int64) - 1
    read = tf.cast(tf.gather(octets, tf.clip_by_value(positions, 0, last)), tf.int64)
    values = tf.where((positions >= 0) & (positions <= last), read, 0)
    upwards = tf.constant([256**power for power in range(size)], tf.int64)
    return tf.reduce_sum(values * tf.where(tf.convert_to_tensor(big_endian), upwards[::-1], upwards))


def from_octets(octets: tf.Tensor) -> tf.Tensor:
    """Return whole numbers from 0 to 255, (n,), as a scalar string of n bytes."""
    return tf.strings.reduce_join(tf.gather(tf.constant(_SINGLE_BYTES), octets))


def find_chunks(
    data: tf.Tensor,
    start: int,
    names: Sequence[bytes],
    *,
    length_at: int,
    name_at: int,
    big_endian: bool,
    most: tf.Tensor,
) -> list[tf.Tensor]:
    """Walk the chunks of a PNG (big-endian, with a checksum) or a RIFF file (little-endian, padded to even lengths).

    Returns the range of the contents of the first chunk that begins with each name; a name may reach into the contents.

    Raises:
        tf.errors.InvalidArgumentError: when run, on a file of more than `most` chunks; each costs 0.1 ms.
    """
    octets, size = octets_of(data), length_of(data)

    def step(at: tf.Tensor, *found: tf.Tensor) -> tuple[tf.Tensor, ...]:
        length = number(octets, at + length_at, 4, big_endian=big_endian)
        contents = tf.stack([at + 8, length])
        matches = [has(data, at + name_at, name) & (span[0] == 0) for name, span in zip(names, found, strict=True)]
        kept = [tf.where(match, contents, span) for match, span in zip(matches, found, strict=True)]
        following = at + 12 + length if big_endian else at + 8 + length + length % 2
        return (following, *kept)

    absent = tf.zeros((2,), tf.int64)
    state = (tf.constant(start, tf.int64), *([absent] * len(names)))
    end, *found = tf.while_loop(lambda at, *_: at + 8 <= size, step, state, maximum_iterations=most)
    tf.debugging.Assert(end + 8 > size, ["a picture file of too many chunks"])
    return list(found)


def orientation_of(exif: tf.Tensor, xmp: tf.Tensor) -> tf.Tensor:
    """Return the orientation, int32 1 to 8, that Exif data states, or XMP where Exif is silent; otherwise 1."""
    bare = tf.strings.regex_replace(exif, rb"^(Exif\x00\x00)+", b"", replace_global=False)
    stated = tf.cond(tf.strings.length(bare) >= 14, lambda: _exif_orientation(bare), lambda: tf.constant(-1, tf.int64))
    value = tf.where(stated >= 0, tf.cast(stated, tf.int32), _xmp_orientation(xmp))
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _exif_orientation(exif: tf.Tensor) -> tf.Tensor:
    """Look for tag 274 in the first directory of a TIFF structure; -1 where it is not there."""
    octets, size = octets_of(exif), length_of(exif)
    big_endian = has(exif, 0, b"MM")
    valid = (has(exif, 0, b"MM\0*") | has(exif, 0, b"II*\0")) & (size >= 14)
    directory = number(octets, 4, 4, big_endian=big_endian)
    count = tf.minimum(number(octets, directory, 2, big_endian=big_endian), (size - directory - 2) // 12)
    entries = directory + 2 + 12 * tf.range(tf.where(valid, tf.maximum(count, 0), 0))
    first, second = (tf.cast(tf.gather(octets, entries + offset), tf.int64) for offset in (0, 1))
    tags = tf.where(big_endian, first * 256 + second, second * 256 + first)
    at = tf.reduce_max(tf.concat([[tf.constant(-1, tf.int64)], tf.boolean_mask(entries, tags == 274)], 0))
    kind = number(octets, at + 2, 2, big_endian=big_endian)
    sizes = {1: 1, 3: 2, 4: 4}  # BYTE, SHORT, LONG
    values = [
        tf.where(kind == key, number(octets, at + 8, bytes_, big_endian=big_endian), 0) for key, bytes_ in sizes.items()
    ]
    return tf.where(at >= 0, tf.add_n(values), -1)


def _xmp_orientation(xmp: tf.Tensor) -> tf.Tensor:
    digit = tf.strings.regex_replace(xmp, rb'^\C*?tiff:Orientation(?:="|>)([0-9])\C*$', rb"\1", replace_global=False)
    found = tf.strings.regex_full_match(digit, "[0-9]")
    return tf.strings.to_number(tf.where(found, digit, b"0"), tf.int32)
