"""Mixed and covered batches: labels are mixed as pictures are, and a batch follows from seed, epoch and step alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from noria.config import load_config
from noria.training.feed import Batch
from noria.training.mixing import mixer

LABELS, SIDE = 4, 16
LEVELS = np.array([0.0, 80.0, 160.0, 240.0], np.float32)  # of all pixels of a label's pictures


def batch(count: int = 32) -> Batch:
    """Pictures of one level each, by which their share in a mixed one can be read."""
    labels = np.arange(count) % LABELS
    pixels = np.broadcast_to(LEVELS[labels][:, None, None, None], (count, SIDE, SIDE, 3)).astype(np.uint8)
    return pixels, labels.astype(np.int64), np.ones(count, np.float32)


def mixed(moment: tuple[int, int] = (0, 0), seed: int = 0, **given: Any) -> Batch:
    augment = load_config(**{f"augment__{name}": value for name, value in given.items()}).augment
    mix = mixer(augment, LABELS, seed)
    assert mix
    return mix(batch(), moment)


def test_nothing_is_mixed_unasked() -> None:
    assert mixer(load_config().augment, LABELS, 0) is None
    assert mixer(load_config(task="text_classification").augment, LABELS, 0) is None


@pytest.mark.parametrize("given", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.5, "cutmix": 1.0}])
def test_a_label_has_the_share_that_its_picture_has(given: dict[str, float]) -> None:
    for step in range(4):
        pixels, shares, _ = mixed((0, step), **given)
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
        # Each picture's mean is the shares' mean of the levels; a cut is of whole pixels.
        np.testing.assert_allclose(pixels.mean(axis=(1, 2, 3)), shares @ LEVELS, atol=2 * 240 / SIDE)
    assert (shares.max(axis=1) < 0.999).any() or step


def test_the_same_seed_epoch_and_step_mix_alike_and_others_differ() -> None:
    given = {"mixup": 0.5, "random_erasing": 0.5, "rand_augment": 0.5}
    first, again = mixed((1, 2), **given), mixed((1, 2), **given)
    for mine, theirs in zip(first, again, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for other in (mixed((1, 3), **given), mixed((2, 2), **given), mixed((1, 2), seed=1, **given)):
        assert not np.array_equal(other[0], first[0])


def test_the_asked_share_of_pictures_is_erased() -> None:
    pixels, labels, _ = mixed(random_erasing=0.5)
    whole = (pixels == LEVELS[labels][:, None, None, None]).all(axis=(1, 2, 3))
    assert 0.2 < whole.mean() < 0.8
    assert labels.ndim == 1, "labels stay labels where nothing is mixed"


def test_strong_changes_stay_within_the_levels() -> None:
    pixels, _, _ = mixed(rand_augment=1.0)
    assert pixels.shape == (32, SIDE, SIDE, 3)
    assert pixels.min() >= 0
    assert pixels.max() <= 255
