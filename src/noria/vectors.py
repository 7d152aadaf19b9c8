"""Examples of a dataset -> a float32 vector each, near for inputs that are alike: by which two datasets are compared.

The one place that says how: pictures by the features of a frozen network, texts by the words that they have. Nothing
here imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel

from noria import plugins
from noria.artifacts.dataset import Dataset
from noria.artifacts.store import Store, cache_folder
from noria.config import Config, load_config, resolved
from noria.contracts import Example, Progress
from noria.data.check import reopened
from noria.data.features import Extractor, Wanted, compute_features
from noria.data.inspection import decoder
from noria.data.text_vectors import text_vectors
from noria.errors import DataError, MissingExtraError, NotSearchedError, WeightsError
from noria.inference.runtimes import litert
from noria.training.engine_file import feature_space, written_engine

Vectors = NDArray[np.float32]

MIDDLE = 0.7  # of the sides: as parts are, that are cut from a half to nine tenths of them
BACKBONE = "efficientnet_lite0"  # the same for all pictures, whichever model they are to train
_LIMITS = ("min_side", "max_pixels")  # what the dataset took must not be refused here


def vectors(dataset: Dataset, examples: Sequence[Example], progress: Progress) -> Vectors | None:
    """Return a vector for each example (n, D), in order; None of inputs for which there are no vectors yet.

    Raises:
        DataError: an input is no longer there, or is another one than when it was checked.
        MissingExtraError: the weights of the network for pictures are not installed.
    """
    input_name = plugins.load("noria.tasks", dataset.task).INPUT
    make = _BY_INPUT.get(input_name)
    return make(dataset, examples, progress) if make else None


def features(config: Config, progress: Progress) -> Callable[[Sequence[Wanted]], Vectors | None]:
    """Return what gives features of the inputs of a config, for a check; None of inputs that need none.

    What is returned raises NotSearchedError where weights are not installed or a picture has changed since.
    """

    def of(wanted: Sequence[Wanted]) -> Vectors | None:
        if plugins.load("noria.tasks", config.task).INPUT != "image":
            return None
        try:
            return _of_files(wanted, _settings(config.task, config.input.model_dump()), progress)
        except (WeightsError, MissingExtraError, DataError) as error:
            progress.note(f"no features of pictures: {error}")
            raise NotSearchedError(str(error)) from error

    return of


def _of_pictures(dataset: Dataset, examples: Sequence[Example], progress: Progress) -> Vectors:
    wanted = [Wanted(Path(dataset.root) / one.path, one.sha256) for one in examples]
    return _of_files(wanted, input_settings(dataset), progress)


def _of_files(wanted: Sequence[Wanted], settings: BaseModel, progress: Progress) -> Vectors:
    """Features that lie in the cache are taken from there, also those that a training left."""
    inputs = plugins.load("noria.inputs", "image")
    side = int(settings.model_dump()["height"])
    engine = written_engine(BACKBONE, cache_folder() / "engines", image_size=side, weights="imagenet")
    if engine is None:
        return np.zeros((len(wanted), 0), np.float32)
    extractor = Extractor(
        space=feature_space(engine, decoder(inputs), settings),
        view_spec=f"middle {MIDDLE:g}",
        read=inputs.open_reader(settings, {}),
        vary=lambda array, _: _middle(array),
        open_session=lambda: litert.open_session(engine.path),
    )
    with Store(cache_folder() / "features.sqlite") as store:
        found, _ = compute_features(wanted, extractor, store, progress=progress)
    return np.stack([found[one.sha256, one.views[0]] for one in wanted])


def _middle(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the middle of a picture (height, width, 3), enlarged to its size."""
    height, width, _ = array.shape
    down, right = ((1 - MIDDLE) / 2 * side for side in (height, width))
    box = (right, down, width - right, height - down)
    return np.asarray(Image.fromarray(array).resize((width, height), Image.Resampling.BILINEAR, box))


def input_settings(dataset: Dataset) -> BaseModel:
    """How a training by default would read the pictures of a dataset, with the dataset's own limits."""
    return _settings(dataset.task, dataset.settings or {})


def _settings(task: str, own: Mapping[str, Any]) -> BaseModel:
    wanted = resolved(load_config(task=task, model__name=BACKBONE)).input
    return wanted.model_copy(update={name: own[name] for name in _LIMITS if name in own})


def _of_texts(dataset: Dataset, examples: Sequence[Example], progress: Progress) -> Vectors:
    there = dataset if dataset.contents else reopened(dataset)
    return text_vectors(there.read(one) for one in examples)


_BY_INPUT: dict[str, Callable[[Dataset, Sequence[Example], Progress], Vectors]] = {
    "image": _of_pictures,
    "text": _of_texts,
}
