"""A network and what it is fed with -> the weights of its best epoch, and the curves; killed and resumed, the same.

All that decides the next step is saved with the weights: the optimizers' variables, the generators of dropout, the
place in the epoch, early stopping's best. Order and variations of an epoch follow from the seed and its number alone.
What is validated and kept are the moving averages of the weights (Polyak and Juditsky 1992), where the optimizer has
them. The best epoch is the one whose answers, calibrated as those of the finished model will be, have the lowest loss.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Progress
from noria.errors import ConfigError
from noria.evaluation.calibration import apply_temperature, fit_temperature
from noria.training.checkpoint import Checkpoint
from noria.training.devices import ALONE, Devices
from noria.training.feed import Examples, Training
from noria.training.loss import Loss
from noria.training.replicas import Replicas
from noria.training.schedules import PLATEAU_FACTOR
from noria.training.trouble import the_batch, where_no_number
from noria.training.watch import Epoch, Start, Step, Watch

if TYPE_CHECKING:
    import keras

Array = NDArray[np.generic]
Scores = NDArray[np.float32]
History = dict[str, list[float]]
_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, and how fast."""

    epochs: int  # at most
    patience: int  # epochs without a lower validation loss
    rate: float  # the highest learning rate
    schedule: Callable[[float], float]  # where the training is, 0 to 1 -> share of the highest rate
    loss: Loss
    falls_on_plateau: bool = False  # the rate, after each epoch that was no better
    seconds: float = math.inf  # of training, after which the epoch that is under way is the last one


@dataclass(frozen=True, slots=True)
class Group:
    """Weights that are trained alike."""

    variables: Sequence[keras.Variable]
    optimizer: keras.optimizers.Optimizer
    share: float = 1.0  # of the learning rate
    after: int = 0  # epochs in which they are left as they are


@dataclass(slots=True)
class _State:
    """How far a training is."""

    epoch: int = 0
    step: int = 0  # that comes next
    loss: float = 0.0  # sum over the examples of this epoch
    right: float = 0.0
    norms: float = 0.0  # sum of the gradients', over the steps
    squares: list[float] = field(default_factory=list)  # sum of the squared norms of each weight's gradient
    seen: int = 0
    rate: float = 0.0  # of the last step
    factor: float = 1.0  # of the learning rate, after plateaus
    seconds: float = 0.0
    before: float = 0.0  # seconds, until this epoch began
    best: float = math.inf  # validation loss
    best_epoch: int = 0
    waited: int = 0  # epochs since
    finished: bool = False
    history: History = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)  # of the watches


def fit(
    network: keras.Model,
    groups: Sequence[Group],
    train: Training,
    validation: Examples,
    plan: Plan,
    *,
    checkpoint: Checkpoint,
    progress: Progress,
    watches: Sequence[Watch] = (),
    first_counts: bool = False,
    devices: Devices = ALONE,
    names: Sequence[str] = (),
) -> tuple[History, int]:
    """Train the network, leave it with the weights of its best epoch; return the curves, and the best epoch's number.

    Args:
        watches: are told of each step and epoch.
        first_counts: whether the network as it is given is the best so far, as epoch 0.
        devices: what the network lies on, and was placed on by `placed`.
        names: of the examples to learn from, which an error can tell.

    Raises:
        ConfigError: the loss is no number any more.
    """
    with devices.scope():
        training = _Training(network, groups, plan.loss, watches, devices)
        state, plan = training.begin(checkpoint), training.timed(plan)
        if state.finished:
            progress.note("all epochs are trained already")
        elif state.epoch or state.step:
            progress.note(f"goes on with epoch {state.epoch + 1}, step {state.step + 1} of {train.steps}")
        elif first_counts:
            training.judge(state, validation, train.batch_size)
        for watch in watches:
            watch.begin(Start(network, state.epoch, state.epoch * train.steps + state.step, state.memory))
        begun = time.monotonic() - state.seconds
        with progress.track("training", plan.epochs * train.steps) as advance:
            advance(state.epoch * train.steps + state.step)
            while not state.finished:
                _train_epoch(training, state, train, plan, begun, checkpoint, advance, names)
                training.end_epoch(state, validation, train.batch_size, plan, time.monotonic() - begun)
                state = training.agreed(state)
                checkpoint.save(training.arrays(state))
        training.take_best()
    progress.note(_ended(state, plan))
    return state.history, state.best_epoch


def _ended(state: _State, plan: Plan) -> str:
    why = ""
    if state.waited >= plan.patience:
        why = f": no better answers for {plan.patience} epochs"
    elif state.epoch < plan.epochs:
        why = ": the time is used up"
    kept = f"; the weights of epoch {state.best_epoch} are kept" if state.best_epoch else ""
    return f"ends after epoch {state.epoch}{why}{kept}"


def _train_epoch(
    training: _Training,
    state: _State,
    train: Training,
    plan: Plan,
    begun: float,
    checkpoint: Checkpoint,
    advance: Callable[[int], None],
    names: Sequence[str],
) -> None:
    total = plan.epochs * train.steps
    for batch in train.batches(state.epoch, state.step, training.take):
        done = (state.epoch * train.steps + state.step) / total
        state.rate = plan.rate * state.factor * plan.schedule(max(done, state.seconds / plan.seconds))
        loss = training.step(batch, state, train)
        if not math.isfinite(loss):
            places = train.places(state.epoch, state.step - 1)
            why = training.trouble(batch, [names[place] for place in places] if names else [])
            raise ConfigError(_no_number(state, train.steps, why))
        state.seconds = training.elapsed(begun, plan)
        advance(1)
        if checkpoint.due:
            checkpoint.save(training.arrays(state))
        if state.seconds >= plan.seconds:
            break


class _Training:
    """A network with its optimizers, and the best weights so far."""

    def __init__(
        self, network: keras.Model, groups: Sequence[Group], loss: Loss, watches: Sequence[Watch], devices: Devices
    ) -> None:
        self._network, self._groups, self._loss, self._watches = network, groups, loss, watches
        self._devices = devices
        self._replicas = None if devices.alone else Replicas(network, loss, devices)
        for group in groups:
            group.optimizer.build(list(group.variables))
        self._variables = {"network": network.variables} | {
            f"optimizer{number}": group.optimizer.variables for number, group in enumerate(groups)
        }
        if self._replicas and devices.precision == "float16":
            self._variables["scale"] = [self._replicas.scale]
        self._best: list[Array] = []
        self._paths: list[str] = []  # of the weights that the last step trained
        self._gradients: Sequence[Any] = ()  # of the last step
        self._squares: Sequence[float] = ()  # their squared norms
        self._squares_before: Sequence[float] = ()
        self._steps: dict[tuple[int, int], Callable[..., Any]] = {}  # by number of groups, and rank of the labels
        self._scores = self._replicas.compiled_scores() if self._replicas else _compiled_scores(network)
        self.take = self._replicas.take if self._replicas else None  # what this process has of a batch

    def begin(self, checkpoint: Checkpoint) -> _State:
        """Go on from what was kept, or begin; the others of a team go on from what their chief has."""
        state = self.restore(checkpoint.load())
        if team := self._devices.team:
            packed = io.BytesIO()
            if team.cluster.chief:
                np.savez(packed, allow_pickle=False, **self.arrays(state))
            with np.load(io.BytesIO(team.tell(packed.getvalue())), allow_pickle=False) as told:
                state = self.restore({name: told[name] for name in told.files})
        if self._replicas:
            self._replicas.draw_apart()
        return state

    def timed(self, plan: Plan) -> Plan:
        """Return the plan, in a team with the time that its chief has left."""
        team = self._devices.team
        if team is None or math.isinf(plan.seconds):
            return plan
        return replace(plan, seconds=self._of_chief(plan.seconds))

    def elapsed(self, begun: float, plan: Plan) -> float:
        """Return the seconds of training; in a team the chief's, where anything is decided by them."""
        seconds = time.monotonic() - begun
        return self._of_chief(seconds) if self._devices.team and math.isfinite(plan.seconds) else seconds

    def _of_chief(self, number: float) -> float:
        team = self._devices.team
        return float(team.sum(np.array([number if team.cluster.chief else 0.0]))[0]) if team else number

    def agreed(self, state: _State) -> _State:
        """Return the state; in a team the chief's, as other processors may round in another way."""
        team = self._devices.team
        if team is None:
            return state
        told = team.tell(json.dumps(asdict(state)).encode())
        return state if team.cluster.chief else _State(**json.loads(told))  # watches hold on to the chief's

    def step(self, batch: tuple[Array, ...], state: _State, train: Training) -> float:
        """Make one step with what this process has of the next batch, and return the sum of the losses."""
        count = train.size_of(state.step)
        active = [group for group in self._groups if group.after <= state.epoch]
        for group in active:
            group.optimizer.learning_rate.assign(state.rate * group.share)
        kind = len(active), batch[1].ndim
        if kind not in self._steps:
            self._steps[kind] = self._compiled(active)
        self._gradients = ()  # or there would be two of each, meanwhile
        *sums, squares, self._gradients = self._steps[kind](batch, count)
        loss, right, norm = (float(told) for told in sums)
        self._paths = self._trained(state.epoch) if len(squares) else []
        self._squares_before, self._squares = self._squares, np.asarray(squares).tolist()
        state.squares = [a + b for a, b in zip(state.squares or [0.0] * len(self._squares), self._squares, strict=True)]
        # Not finite with a finite loss: an overflow of float16, and its step had no gradients.
        state.norms += norm if math.isfinite(norm) or not self._replicas else 0.0
        state.loss, state.right = state.loss + loss, state.right + right
        state.step, state.seen = state.step + 1, state.seen + count
        made = Step(
            epoch=state.epoch + 1, number=state.epoch * train.steps + state.step, inputs=batch[0],
            loss=loss / count, learning_rate=state.rate, gradient_norm=norm,
        )  # fmt: skip
        for watch in self._watches:
            watch.step(made)
        return loss

    def _compiled(self, active: Sequence[Group]) -> Callable[..., Any]:
        if self._replicas:  # which tell nothing of each weight
            on_each = self._replicas.compiled_step(active)
            return lambda batch, count: (*on_each(batch, count), (), ())
        step = compiled_step(self._network, active, self._loss)
        return lambda batch, _count: step(*batch)

    def trouble(self, batch: tuple[Array, ...], names: Sequence[str]) -> str:
        """Say where in the network, and with which examples, the last step's loss stopped being a number."""
        if self._replicas:
            return the_batch(names)
        before = dict(zip(self._paths, self._squares_before, strict=False))
        return where_no_number(self._network, self._loss, batch, names, before)

    def end_epoch(self, state: _State, validation: Examples, batch_size: int, plan: Plan, seconds: float) -> None:
        """Measure what the weights' averages do, keep them if they are the best, and go to the next epoch."""
        raw = [variable.value.numpy() for variable in self._network.trainable_variables]
        for group in self._groups:
            if group.after <= state.epoch:
                group.optimizer.finalize_variable_values(list(group.variables))
        told = {
            "loss": state.loss / state.seen,
            "accuracy": state.right / state.seen,
            "gradient_norm": state.norms / state.step,
            "learning_rate": state.rate,
        }
        before = state.epoch
        seen, steps, squares = state.seen, state.step, state.squares
        trained = self._trained(before) if squares else []
        state.epoch, state.step, state.seen, state.waited = state.epoch + 1, 0, 0, state.waited + 1
        state.loss = state.right = state.norms = 0.0
        state.squares = []
        measured, scores = self.judge(state, validation, batch_size)
        told |= measured
        for name, value in told.items():
            state.history.setdefault(name, []).append(value)
        ended = Epoch(
            number=state.epoch, told=told, history=state.history, best=not state.waited,
            per_second=seen / max(seconds - state.before, 1e-9),
            network=self._network, scores=scores, labels=validation.labels,
            norms={one: math.sqrt(square / steps) for one, square in zip(trained, squares, strict=True)},
            gradients=dict(zip(self._paths, map(_dense, self._gradients), strict=True)),
            memory=state.memory,
        )  # fmt: skip
        state.before = seconds
        for watch in self._watches:
            watch.epoch(ended)
        for variable, weight in zip(self._network.trainable_variables, raw, strict=True):
            variable.assign(weight)
        if plan.falls_on_plateau and state.waited:
            state.factor *= PLATEAU_FACTOR
        over = state.epoch >= plan.epochs or state.seconds >= plan.seconds
        state.finished = over or state.waited >= plan.patience

    def judge(self, state: _State, validation: Examples, batch_size: int) -> tuple[dict[str, float], Scores]:
        """Measure the network as it is, and keep its weights if it is the best so far; return the scores, too."""
        scores = self._all_scores(validation, batch_size)
        labels = validation.labels
        calibrated = _log_loss(apply_temperature(scores, fit_temperature(scores, labels)), labels)
        if calibrated < state.best:
            state.best, state.best_epoch, state.waited = calibrated, state.epoch, 0
            self._best = self._network.get_weights()
        told = {
            "val_loss": _log_loss(scores, labels),
            "val_loss_calibrated": calibrated,
            "val_accuracy": float((scores.argmax(axis=1) == labels).mean()),
        }
        return told, scores

    def _all_scores(self, validation: Examples, batch_size: int) -> Scores:
        team = self._devices.team
        if team is None:
            return np.concatenate([np.asarray(self._scores(one)) for one in validation.input_batches(batch_size)])
        rank, workers = team.cluster.rank, len(team.cluster.addresses)
        scores = np.zeros((len(validation), self._network.output.shape[-1]), np.float32)
        for number, batch in enumerate(validation.input_batches(batch_size, (rank, workers))):
            start = (number * workers + rank) * batch_size
            scores[start : start + len(batch)] = self._scores(batch)
        return np.asarray(team.sum(scores), np.float32)

    def _trained(self, epoch: int) -> list[str]:
        """The paths of the weights that are trained in an epoch, 0 being the first."""
        return [variable.path for group in self._groups if group.after <= epoch for variable in group.variables]

    def take_best(self) -> None:
        if self._best:
            self._network.set_weights(self._best)

    def arrays(self, state: _State) -> dict[str, Array]:
        """Return all that a training goes on from."""
        found: dict[str, Array] = {"state": np.frombuffer(json.dumps(asdict(state)).encode(), np.uint8)}
        for name, variables in self._variables.items():
            found |= {f"{name}.{place}": variable.value.numpy() for place, variable in enumerate(variables)}
        return found | {f"best.{place}": value for place, value in enumerate(self._best)}

    def restore(self, kept: dict[str, Array] | None) -> _State:
        """Take over what was kept, if it is of this network."""
        if kept is None or not self._fits(kept):
            return _State()
        for name, variables in self._variables.items():
            for place, variable in enumerate(variables):
                variable.assign(kept[f"{name}.{place}"])
        self._best = [kept[f"best.{place}"] for place in range(sum(name.startswith("best.") for name in kept))]
        return _State(**json.loads(kept["state"].tobytes()))

    def _fits(self, kept: dict[str, Array]) -> bool:
        shapes = {
            f"{name}.{place}": tuple(variable.shape)
            for name, variables in self._variables.items()
            for place, variable in enumerate(variables)
        }
        there = {name: array.shape for name, array in kept.items() if name.partition(".")[0] not in ("state", "best")}
        return "state" in kept and shapes == there


def _log_loss(scores: Scores, labels: NDArray[np.int64]) -> float:
    of_truth = scores[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(of_truth, _TINY)).mean())


def compiled_step(network: keras.Model, groups: Sequence[Group], loss: Loss) -> Callable[..., Any]:
    """Return a step of training: sum of the losses, of the right answers, norm of all gradients; their squares; they.

    A loss that is no number leaves the weights as good as they were, so that one can look for where that began.
    Not by XLA, which is several times slower than TensorFlow's own kernels on a CPU.
    """
    import tensorflow as tf

    variables = [variable for group in groups for variable in group.variables]

    def step(inputs: Any, labels: Any, weights: Any) -> Any:
        with tf.GradientTape() as tape:
            scores = network(_as_taken(network, inputs), training=True)
            losses = loss(labels, scores) * weights
            mean = tf.reduce_mean(losses) + sum(network.losses)
        gradients = tape.gradient(mean, variables)
        squares = tf.stack([2 * tf.nn.l2_loss(_values(one)) for one in gradients])
        total = tf.reduce_sum(losses)
        sound = tf.cast(tf.math.is_finite(total), tf.float32)
        each = iter([_unless(one, sound) for one in gradients])
        for group in groups:
            group.optimizer.apply([next(each) for _ in group.variables], list(group.variables))
        truth = labels if labels.shape.rank == 1 else tf.argmax(labels, axis=-1)
        right = tf.equal(tf.argmax(scores, axis=-1), truth)
        norm = tf.sqrt(tf.reduce_sum(squares))
        return total, tf.reduce_sum(tf.cast(right, tf.float32)), norm, squares, gradients

    compiled: Callable[..., Any] = tf.function(step, jit_compile=False, reduce_retracing=True)
    return compiled


def _values(gradient: Any) -> Any:
    """The numbers of a gradient: of a table of words, those of the rows that the batch has."""
    import tensorflow as tf

    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


def _unless(gradient: Any, sound: Any) -> Any:
    """The gradient times 1, to the bit what it is, or nothing but zeros."""
    import tensorflow as tf

    values = tf.math.multiply_no_nan(_values(gradient), sound)
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
    return values


def _dense(gradient: Any) -> Array:
    found: Array = _values(gradient).numpy()
    return found


def _compiled_scores(network: keras.Model) -> Callable[..., Any]:
    import tensorflow as tf

    def scores(inputs: Any) -> Any:
        return network(_as_taken(network, inputs), training=False)

    compiled: Callable[..., Any] = tf.function(scores, jit_compile=False, reduce_retracing=True)
    return compiled


def _as_taken(network: keras.Model, inputs: Any) -> Any:
    """Bytes go to the device as they are, a quarter of what floats would be."""
    import tensorflow as tf

    return tf.cast(inputs, network.input.dtype)


def _no_number(state: _State, steps: int, where: str) -> str:
    return (
        f"The loss is no number any more in epoch {state.epoch + 1}, step {state.step} of {steps}, with a learning "
        f"rate of {state.rate:g}. {where + ' ' if where else ''}Try --set training.learning_rate={state.rate / 10:g}"
    )
