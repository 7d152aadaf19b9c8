"""A frozen backbone is an inference problem: features once, through an inference engine; then a head in seconds.

What comes out is one ordinary Keras model, backbone and head together, that answers as the cached features did.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria import models
from noria.artifacts.store import Store, cache_folder
from noria.contracts import Progress, Split
from noria.data.features import Extractor, Wanted, compute_features
from noria.errors import ConfigError
from noria.evaluation.calibration import fit_temperature
from noria.inference.runtimes import litert
from noria.ordered import default_threads
from noria.quiet import tensorflow_beside
from noria.training.clock import Clock
from noria.training.engine_file import Engine, converted_engine, feature_space, written_engine
from noria.training.feeds.image import image_size
from noria.training.job import Job, Trained
from noria.training.sheets import SHOWN, overview

if TYPE_CHECKING:
    import keras

    from noria.training.head import Head

ENGINES = "engines"  # the folder in the cache
Features = dict[tuple[str, int], NDArray[np.float32]]
USES = frozenset({"epochs", "batch_size", "learning_rate", "patience", "l2", "class_weights"})


def train(job: Job, *, store: Store, progress: Progress) -> Trained:
    """Return the trained model of one job.

    Raises:
        ConfigError: a setting is of networks that are trained.
        WeightsError: the backbone's weights cannot be had.
        DataError: a picture changed while training.
    """
    if not hasattr(models.find(job.model.name), "build_backbone"):
        raise ConfigError(
            f"The model {job.model.name} has no backbone that knows photos already: train it by --strategy scratch."
        )
    if job.mix:
        raise ConfigError(
            "mixup, cutmix, rand_augment and random_erasing vary pictures while a network learns; --strategy frozen "
            "computes features once. Leave them out of [augment], or choose --strategy finetune or scratch."
        )
    clock = Clock()
    progress.note(f"{job.model.name}: weights from {_source(job)}")
    with tensorflow_beside(lambda: _backbone(job)) as keras_side:
        with clock.stage("engine"):
            engine = _engine(job, keras_side)
        with clock.stage("features"):
            features, computed = compute_features(_wanted(job), _extractor(job, engine), store, progress=progress)
        with clock.stage("load"):
            backbone = keras_side()
    with clock.stage("head"):
        head, temperature, outputs = _fit(job, features, progress)
    return Trained(
        model=_assemble(backbone, head, temperature),
        temperature=temperature,
        validation_scores=outputs["validation"],
        test_scores=outputs["test"],
        history=head.history,
        candidates=head.candidates,
        chosen=head.chosen,
        card=_card(job, backbone),
        features={"width": len(head.kernel), "computed": computed, "from_cache": len(features) - computed},
        seconds=clock.seconds,
        contact_sheet=_contact_sheet(job),
    )


def _contact_sheet(job: Job) -> bytes | None:
    """Show the first varied view of some training pictures."""
    if not job.views:
        return None
    some = job.dataset.by_split("train")[:SHOWN]
    return overview([job.vary(job.read(job.dataset.read(one)), f"{one.sha256}:1") for one in some])


def open_device(job: Job) -> Callable[[NDArray[np.uint8]], None]:
    """Return what computes the features of a batch of pictures, in as many threads as there are processors."""
    with tensorflow_beside(lambda: _backbone(job)) as keras_side:
        engine = _engine(job, keras_side)
    local = threading.local()

    def features(picture: NDArray[np.uint8]) -> None:
        if not hasattr(local, "session"):
            local.session = litert.open_session(engine.path)
        local.session.run([picture])

    pool = ThreadPoolExecutor(default_threads())

    def run(pictures: NDArray[np.uint8]) -> None:
        list(pool.map(features, pictures))

    return run


def _backbone(job: Job) -> keras.Model:
    build = models.find(job.model.name).build_backbone
    return build(job.model.name, image_size=image_size(job), weights=job.model.weights)


def _engine(job: Job, keras_side: Callable[[], keras.Model]) -> Engine:
    """Return what computes the features; where the family cannot write it, Keras' model is waited for and converted."""
    name, folder = job.model.name, cache_folder() / ENGINES
    engine = written_engine(name, folder, image_size=image_size(job), weights=job.model.weights)
    return engine or converted_engine(keras_side(), folder)


def _wanted(job: Job) -> list[Wanted]:
    """Varied views are for training pictures only."""
    varied = tuple(range(job.views + 1))
    return [
        Wanted(Path(job.dataset.root) / example.path, example.sha256, varied if example.split == "train" else (0,))
        for example in job.dataset.examples
    ]


def _extractor(job: Job, engine: Engine) -> Extractor:
    space = feature_space(engine, job.decoder, job.input)
    return Extractor(space, job.vary_spec, job.read, job.vary, lambda: litert.open_session(engine.path))


def _fit(job: Job, features: Features, progress: Progress) -> tuple[Head, float, dict[str, NDArray[np.float32]]]:
    from noria.training.head import fit_head

    train = _matrix(job, features, "train", views=job.views + 1)
    validation = _matrix(job, features, "validation")
    test = _matrix(job, features, "test")
    with progress.track("head", job.training.epochs) as advance:
        head = fit_head(train, validation, len(job.dataset.labels), job.training, seed=job.seed, advance=advance)
    outputs = {"validation": _softmax(head.logits(validation[0])), "test": _softmax(head.logits(test[0]))}
    return head, fit_temperature(outputs["validation"], validation[1]), outputs


def _matrix(
    job: Job, features: Features, split: Split, views: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return features (n * views, D) and label indices: all pictures, then all their first views, and so on."""
    examples = job.dataset.by_split(split)
    rows = [features[example.sha256, view] for view in range(views) for example in examples]
    index = {label: position for position, label in enumerate(job.dataset.labels)}
    truth = np.array([index[example.label] for example in examples], dtype=np.int64)
    return np.stack(rows), np.tile(truth, views)


def _assemble(backbone: keras.Model, head: Head, temperature: float) -> keras.Model:
    """Put backbone and head together; the temperature goes into the head's weights, so no server can forget it."""
    import keras

    backbone.trainable = False
    layer = keras.layers.Dense(int(head.kernel.shape[1]), activation="softmax", name="scores")
    model = keras.Model(backbone.input, layer(backbone.output), name=backbone.name)
    layer.set_weights([head.kernel / temperature, head.bias / temperature])
    return model


def _card(job: Job, backbone: keras.Model) -> dict[str, Any]:
    card = models.find(job.model.name).card(job.model.name)
    return {
        "name": card.name,
        "image_size": image_size(job),
        "parameters": int(backbone.count_params()),
        "weights": job.model.weights,
        "licence": card.licence,
        "source": _source(job),
        "fingerprint": models.fingerprint(backbone),
    }


def _source(job: Job) -> str:
    """Where the weights of the backbone come from."""
    own = {"imagenet": models.card(job.model.name).weights_source, "none": "nothing: they are random"}
    return own.get(job.model.weights, f"the file {job.model.weights}")


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)
