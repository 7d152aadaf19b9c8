"""The loss of a classifier: cross-entropy, with smoothed labels and a focus on hard examples where asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Loss:
    """TensorFlow tensors: labels (n,) int64 or shares (n, C), probabilities (n, C) -> losses (n,) float32.

    Sources: label smoothing, Szegedy et al. 2016, section 7; focal loss, Lin et al. 2017.
    """

    smoothing: float = 0.0  # of each label's share, given to all labels alike
    focal_gamma: float = 0.0  # 0: cross-entropy; the higher, the less the easy examples weigh

    def __call__(self, labels: Any, scores: Any) -> Any:
        import keras
        import tensorflow as tf

        scores = tf.cast(scores, tf.float32)
        if labels.shape.rank == 1 and not self.smoothing and not self.focal_gamma:
            return keras.losses.sparse_categorical_crossentropy(labels, scores)
        num_classes = scores.shape[-1]
        shares = tf.one_hot(labels, num_classes) if labels.shape.rank == 1 else tf.cast(labels, tf.float32)
        if self.smoothing:
            shares = shares * (1 - self.smoothing) + self.smoothing / num_classes
        if not self.focal_gamma:
            return keras.losses.categorical_crossentropy(shares, scores)
        logs = tf.math.log(tf.maximum(scores, keras.config.epsilon()))
        return -tf.reduce_sum(shares * (1 - scores) ** self.focal_gamma * logs, axis=-1)
