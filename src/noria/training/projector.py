"""What a network makes of the validation split, before its last layer -> the files of TensorBoard's projector."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noria.artifacts.dataset import Dataset
from noria.artifacts.files import write_atomic
from noria.training.feed import Examples
from noria.training.sheets import sprite

if TYPE_CHECKING:
    import keras

MOST = 1_000  # points
SIDE = 48  # pixels of a thumbnail
BATCH = 128
CONFIG = "projector_config.pbtxt"


def write_projector(
    folder: Path, network: keras.Model, validation: Examples, dataset: Dataset, deadline: float = math.inf
) -> None:
    """Write vectors, names and, of pictures, thumbnails: of some examples, drawn by lot, where there are many.

    Args:
        deadline: as `time.monotonic` counts; what is not computed by then is left out.
    """
    import keras

    places = np.random.default_rng(0).permutation(len(validation))[:MOST]
    last = network.get_layer("scores")
    inside = keras.Model(network.input, [last.input, last.output])
    parts = []
    for start in range(0, len(places), BATCH):
        if time.monotonic() > deadline:
            break
        parts.append(inside.predict_on_batch(validation.inputs[places[start : start + BATCH]]))
    if not parts:
        return
    vectors, scores = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    vectors = vectors.reshape(len(vectors), -1)
    write_atomic(folder / "vectors.tsv", "".join("\t".join(f"{x:.5g}" for x in row) + "\n" for row in vectors))
    rows = ["label\tanswer\tconfidence\tfile"]
    examples = dataset.by_split("validation")
    places = places[: len(vectors)]
    for place, row in zip(places, scores, strict=True):
        example = examples[place]
        told = (example.label, dataset.labels[row.argmax()], f"{row.max():.3f}", example.path)
        rows.append("\t".join(" ".join(one.split()) for one in told))
    write_atomic(folder / "names.tsv", ("\n".join(rows) + "\n").encode(errors="replace"))
    config = 'embeddings {\n  tensor_name: "validation"\n  tensor_path: "vectors.tsv"\n  metadata_path: "names.tsv"\n'
    if validation.inputs[places[:1]].ndim == 4:
        thumbnails = [validation.inputs[place : place + 1][0] for place in places]
        write_atomic(folder / "thumbnails.png", sprite(thumbnails, SIDE))
        sides = f"    single_image_dim: {SIDE}\n" * 2
        config += f'  sprite {{\n    image_path: "thumbnails.png"\n{sides}  }}\n'
    write_atomic(folder / CONFIG, config + "}\n")
