"""Frozen word vectors: the mean vector of every text once, then a head in seconds, as for a frozen backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria import models
from noria.artifacts.store import Store
from noria.contracts import Progress, Split
from noria.evaluation.calibration import fit_temperature
from noria.inputs import text
from noria.quiet import load_tensorflow
from noria.training.clock import Clock
from noria.training.describe import describe
from noria.training.encoded import Encoded, encode, text_settings
from noria.training.job import Job, Trained

if TYPE_CHECKING:
    import keras

    from noria.training.head import Head

STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)  # of L2 on standardised features

SAMPLE = 1_000  # training texts that tell how far mean vectors deviate

Array = NDArray[np.float32]
USES = frozenset({"epochs", "batch_size", "learning_rate", "patience", "l2", "class_weights"})


def train(job: Job, *, store: Store, progress: Progress) -> Trained:
    """Return the trained model of one job; nothing of it is kept in `store`.

    Raises:
        ConfigError: the model does not take sequences of words.
        DataError: a text changed while training.
        MissingExtraError: the package that holds the vectors is not installed.
    """
    clock = Clock()
    with clock.stage("encode"):
        encoded = encode(job, text_settings(job, "sequence"), progress=progress)
    with clock.stage("load"):
        load_tensorflow()
        import keras
    with clock.stage("features"):
        model = _network(job, encoded)
        features = _features(model, encoded, progress)
    with clock.stage("head"):
        head = _fit(job, features, encoded.labels, progress)
    scores = {
        split: np.asarray(keras.ops.softmax(head.logits(features[split])), np.float32)
        for split in ("validation", "test")
    }
    temperature = fit_temperature(scores["validation"], encoded.labels["validation"])
    model.get_layer("scores").set_weights([head.kernel / temperature, head.bias / temperature])
    return Trained(
        model=model,
        temperature=temperature,
        validation_scores=scores["validation"],
        test_scores=scores["test"],
        history=head.history,
        candidates=head.candidates,
        chosen=head.chosen,
        card=describe(job.model.name, model),
        features={"width": len(head.kernel), "computed": len(job.dataset.examples), "from_cache": 0},
        seconds=clock.seconds,
        input_files=encoded.files,
    )


def _network(job: Job, encoded: Encoded) -> keras.Model:
    """Return the model with its word vectors in place, in units in which the training texts' means deviate by 1.

    That is what the head's floor under a deviation is made for; as they come, mean vectors deviate by a hundredth.
    """
    family = models.find(job.model.name)
    length = text_settings(job, "sequence").length
    vectors = family.word_vectors(text.words_of(encoded.files))
    vectors = np.concatenate([np.zeros((2, vectors.shape[1]), np.float32), vectors])  # padding, and unknown words
    model = family.build_network(
        job.model.name, vocabulary_size=len(vectors), length=length, num_classes=len(job.dataset.labels)
    )
    model.get_layer("words").set_weights([vectors])
    some = encoded.ids["train"].padded(length)[:SAMPLE]
    unit = float(_means(model, some).std()) or 1.0
    model.get_layer("words").set_weights([vectors / unit])
    return model


def _features(model: keras.Model, encoded: Encoded, progress: Progress) -> dict[Split, Array]:
    length = int(model.input_shape[1])
    features = {}
    with progress.track("mean vectors", sum(len(ids) for ids in encoded.ids.values())) as advance:
        for split, ids in encoded.ids.items():
            features[split] = _means(model, ids.padded(length))
            advance(len(ids))
    return features


def _means(model: keras.Model, rows: NDArray[np.int32]) -> Array:
    import keras

    mean = keras.Model(model.input, model.get_layer("mean").output)
    return np.asarray(mean.predict(rows, batch_size=128, verbose=0), dtype=np.float32)


def _fit(job: Job, features: dict[Split, Array], labels: dict[Split, NDArray[np.int64]], progress: Progress) -> Head:
    from noria.training.head import fit_head

    settings = job.training if job.training.l2 else job.training.model_copy(update={"l2": STRENGTHS})
    train, validation = ((features[split], labels[split]) for split in ("train", "validation"))
    with progress.track("head", settings.epochs) as advance:
        return fit_head(train, validation, len(job.dataset.labels), settings, seed=job.seed, advance=advance)
