"""A network trained from nothing on sequences of words: Adam, early stopping on validation, best weights kept."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria import models
from noria.artifacts.store import Store
from noria.contracts import Progress, Split
from noria.evaluation.calibration import fit_temperature
from noria.quiet import load_tensorflow
from noria.training.checkpoint import Checkpoint
from noria.training.class_weights import example_weights
from noria.training.clock import Clock
from noria.training.describe import describe
from noria.training.encoded import encode, text_settings
from noria.training.job import Job, Trained
from noria.training.network import Examples, Plan, fit

if TYPE_CHECKING:
    import keras

# Epochs, where the settings leave it open: such networks know the training texts by heart after a few.
PATIENCE = 3
CLIP = 1.0  # of the gradient's norm, without which an LSTM may leap away
# The weights are averaged over about so many of the last steps, or a third of an epoch where that is shorter.
AVERAGED = 100

Array = NDArray[np.float32]


def train(job: Job, *, store: Store, progress: Progress) -> Trained:
    """Return the trained model of one job; nothing of it is kept in `store`.

    Raises:
        ConfigError: the model does not take sequences of words.
        DataError: a text changed while training.
    """
    clock = Clock()
    settings = text_settings(job, "sequence")
    with clock.stage("encode"):
        encoded = encode(job, settings, progress=progress)
        rows = {split: ids.padded(settings.length) for split, ids in encoded.ids.items()}
    with clock.stage("load"):
        load_tensorflow()
        import keras

    keras.utils.set_random_seed(job.seed)
    build = functools.partial(
        models.find(job.model.name).build_network,
        job.model.name,
        vocabulary_size=encoded.vocabulary_size,
        length=settings.length,
        num_classes=len(job.dataset.labels),
    )
    model = build()
    with clock.stage("fit"):
        history = _fit(model, job, rows, encoded.labels, progress)
        with progress.track("scores") as advance:
            scores = {split: _scores(model, rows[split], advance) for split in ("validation", "test")}
    temperature = fit_temperature(scores["validation"], encoded.labels["validation"])
    finished = build()  # without the optimiser's state, which would make the file three times as large
    finished.set_weights(model.get_weights())
    _divide_logits(finished, temperature)
    best = int(np.argmin(history["val_loss"]))
    return Trained(
        model=finished,
        temperature=temperature,
        validation_scores=scores["validation"],
        test_scores=scores["test"],
        history=history,
        candidates=[],
        chosen={"epoch": best + 1, "epochs_trained": len(history["val_loss"])},
        card=describe(job.model.name, finished),
        features={"width": settings.length, "computed": len(job.dataset.examples), "from_cache": 0},
        seconds=clock.seconds,
        input_files=encoded.files,
    )


def _fit(
    model: keras.Model,
    job: Job,
    rows: dict[Split, NDArray[np.int32]],
    labels: dict[Split, NDArray[np.int64]],
    progress: Progress,
) -> dict[str, list[float]]:
    """Train `model` to its best epoch; return the curves."""
    import keras

    training = job.training
    steps = -(-len(labels["train"]) // training.batch_size)
    momentum = 1 - 1 / max(1, min(AVERAGED, steps / 3))
    optimizer = keras.optimizers.Adam(training.learning_rate, clipnorm=CLIP, use_ema=True, ema_momentum=momentum)
    weights = example_weights(labels["train"], len(job.dataset.labels), training)
    return fit(
        model,
        optimizer,
        Examples(rows["train"], labels["train"], weights),
        Examples(rows["validation"], labels["validation"], np.ones(len(labels["validation"]), np.float32)),
        Plan(training.epochs, training.batch_size, training.patience or PATIENCE, job.seed),
        checkpoint=Checkpoint(job.unfinished, progress),
        progress=progress,
    )


def _scores(model: keras.Model, rows: NDArray[np.int32], advance: Callable[[int], None]) -> Array:
    import keras

    bar = keras.callbacks.LambdaCallback(on_predict_batch_end=lambda batch, logs: advance(1))
    return np.asarray(model.predict(rows, batch_size=128, verbose=0, callbacks=[bar]), dtype=np.float32)


def _divide_logits(model: keras.Model, temperature: float) -> None:
    """Put the temperature into the last layer's weights, so that no server can forget it."""
    layer = model.get_layer("scores")
    layer.set_weights([weight / temperature for weight in layer.get_weights()])
