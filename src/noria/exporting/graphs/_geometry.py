"""How a decoded picture gets the size of the array, as TensorFlow ops: fit, and the two-pass antialiased resize.

The twin of the geometry in `inputs/image.py`, in the same whole numbers.
"""

from __future__ import annotations

import tensorflow as tf

from noria.inputs.image import PAD_GREY, Settings


def fit(pixels: tf.Tensor, full_size: tf.Tensor, settings: Settings) -> tf.Tensor:
    """Bring upright pixels uint8 (h, w, 3) to float32 (height, width, 3); `full_size` is (height, width) as int64."""
    target = tf.constant([settings.height, settings.width], tf.int64)
    if settings.fit == "pad":
        size = _inner_size(full_size, target)
        margin = (target - size) // 2
        resized = tf.cast(_resize(pixels, size, settings), tf.uint8)
        padded = on_canvas(resized, tf.constant(PAD_GREY), tf.unstack(margin), tf.unstack(target))
        return tf.ensure_shape(tf.cast(padded, tf.float32), (settings.height, settings.width, 3))
    if settings.fit == "crop":
        have = tf.shape(pixels, out_type=tf.int64)[:2]
        size = _inner_size(target, have)
        start = (have - size) // 2
        pixels = pixels[start[0] : start[0] + size[0], start[1] : start[1] + size[1]]
    return tf.ensure_shape(_resize(pixels, target, settings), (settings.height, settings.width, 3))


def needed_size(size: tf.Tensor, settings: Settings) -> tf.Tensor:
    """Return the smallest size, int64 (2,), that a picture of `size` must be decoded at."""
    target = tf.constant([settings.height, settings.width], tf.int64)
    return _inner_size(size, target) if settings.fit == "pad" else target


def on_canvas(
    pixels: tf.Tensor, background: tf.Tensor, offset: tuple[tf.Tensor, tf.Tensor], size: tuple[tf.Tensor, tf.Tensor]
) -> tf.Tensor:
    """Put uint8 (h, w, 3) on a canvas of one colour, (3,) or a scalar; offset and size are rows, columns."""
    rows, columns = tf.unstack(tf.shape(pixels, out_type=tf.int64)[:2])
    below, right = size[0] - offset[0] - rows, size[1] - offset[1] - columns
    background = tf.cast(background, tf.uint8)
    margins = [[offset[0], below], [offset[1], right], [0, 0]]
    return tf.pad(pixels - background, margins) + background  # bytes wrap around, there and back again


def _inner_size(size: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Return the largest size of the aspect of `size` within `target`, each side rounded half up, at least 1."""
    (height, width), (target_height, target_width) = tf.unstack(size), tf.unstack(target)
    by_width = tf.stack([tf.maximum((2 * height * target_width + width) // (2 * width), 1), target_width])
    by_height = tf.stack([target_height, tf.maximum((2 * width * target_height + height) // (2 * height), 1)])
    return tf.where(width * target_height >= height * target_width, by_width, by_height)


def _resize(pixels: tf.Tensor, size: tf.Tensor, settings: Settings) -> tf.Tensor:
    """Resize columns, round, then rows, round, as `inputs/image.py` does: Pillow keeps whole numbers in between."""
    rows, columns = tf.unstack(tf.cast(size, tf.int32))
    across = _resize_once(pixels, (tf.shape(pixels)[0], columns), settings)
    return _resize_once(across, (rows, columns), settings)


def _resize_once(pixels: tf.Tensor, size: tuple[tf.Tensor, tf.Tensor], settings: Settings) -> tf.Tensor:
    resized = tf.image.resize(pixels, tf.stack(size), method=settings.resample, antialias=True)
    return tf.clip_by_value(tf.floor(resized + 0.5), 0.0, 255.0)
