"""One side of `bench/step.py`, in a process and, where it is PyTorch's, an environment of its own.

SIDE NETWORK SECONDS BATCH THREADS -> steps a second as a JSON object: a network learns from uint8 pixels that are in
memory already, the whole set in an order by chance, by Adam at a constant rate.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

CLASSES = 10
SIDES_OF = {"convnet": 32, "efficientnet_lite0": 224}  # pixels
ENOUGH = {"convnet": 20_000, "efficientnet_lite0": 640}  # pictures, in memory
RATE = 1e-3
WARM_UP = 5  # steps that are not counted: graphs are made, and memory is found


def main() -> None:
    """Measure the side that is named."""
    side, network, seconds, batch, threads = sys.argv[1:]
    steps = SIDES[side](network, int(batch), int(threads))
    for _ in range(WARM_UP):
        next(steps)
    done, begun = 0, time.perf_counter()
    while (passed := time.perf_counter() - begun) < float(seconds):
        next(steps)
        done += 1
    print(json.dumps({"rate": done / passed, "steps": done, "versions": _versions(side)}))
    sys.stdout.flush()
    os._exit(0)  # the others' loops have no end


def _versions(side: str) -> str:
    from importlib.metadata import version

    names = ("torch",) if side.startswith("torch") else ("tensorflow-cpu", "keras")
    return ", ".join(f"{name} {version(name)}" for name in names)


def _data(network: str) -> tuple[Any, Any]:
    side, count = SIDES_OF[network], ENOUGH[network]
    draw = np.random.default_rng(0)
    return draw.integers(0, 256, (count, side, side, 3), np.uint8), draw.integers(0, CLASSES, count)


def _keras_network(network: str) -> Any:
    """The network of the shelf; of the backbone all is trained but the statistics of its normalisation."""
    from noria.quiet import load_tensorflow

    load_tensorflow()
    import keras

    from noria import models

    family, side = models.find(network), SIDES_OF[network]
    if hasattr(family, "build_network"):
        return family.build_network(network, image_size=side, num_classes=CLASSES)
    backbone = family.build_backbone(network, image_size=side, weights="none")
    for layer in backbone.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    scores = keras.layers.Dense(CLASSES, activation="softmax")(backbone.output)
    return keras.Model(backbone.input, scores)


def _ours(network: str, batch: int, *, default: bool) -> Iterator[None]:
    """Our loop as `noria train` runs it: its feed, its step, its sums; without or with what is on by default."""
    model = _keras_network(network)
    from noria.contracts import Silent
    from noria.training.checkpoint import Checkpoint
    from noria.training.feed import Examples, Training
    from noria.training.loss import Loss
    from noria.training.network import Group, Plan, fit
    from noria.training.optimizers import make_optimizer
    from noria.training.settings import TrainingSettings

    pixels, labels = _data(network)
    whole = Examples(pixels, labels, np.ones(len(labels), np.float32))
    few = Examples(pixels[:batch], labels[:batch], whole.weights[:batch])
    train = Training(whole, batch, seed=0)
    settings = TrainingSettings() if default else TrainingSettings(clip_norm=0.0, ema_steps=0)
    group = Group(model.trainable_variables, make_optimizer(settings, steps=train.steps))
    plan = Plan(epochs=10_000, patience=10_000, rate=RATE, schedule=lambda _part: 1.0, loss=Loss())
    silent = Silent()

    def learn(stop: Callable[[], None]) -> None:
        class Counted:
            def begin(self, start: Any) -> None:
                return

            def step(self, step: Any) -> None:
                stop()

            def epoch(self, epoch: Any) -> None:
                return

        fit(model, [group], train, few, plan,
            checkpoint=Checkpoint(None, silent), progress=silent, watches=[Counted()])  # fmt: skip

    yield from _stepwise(learn)


def _stepwise(learn: Callable[[Callable[[], None]], Any]) -> Iterator[None]:
    """Yield after each step of what calls `stop` after each step; it waits meanwhile."""
    made, wanted = queue.SimpleQueue[None](), queue.SimpleQueue[None]()

    def stop() -> None:
        made.put(None)
        wanted.get()

    threading.Thread(target=learn, args=[stop], daemon=True).start()
    while True:
        made.get(timeout=600)
        yield
        wanted.put(None)


def ours(network: str, batch: int, _threads: int) -> Iterator[None]:
    """Plain Adam, as the others have it."""
    return _ours(network, batch, default=False)


def ours_by_default(network: str, batch: int, _threads: int) -> Iterator[None]:
    """With clipped gradients and averaged weights."""
    return _ours(network, batch, default=True)


def keras(network: str, batch: int, _threads: int) -> Iterator[None]:
    """`model.fit` with nothing but the arrays."""
    model = _keras_network(network)
    import keras as library

    pixels, labels = _data(network)
    model.compile(library.optimizers.Adam(RATE), loss="sparse_categorical_crossentropy", jit_compile=False)

    def learn(stop: Callable[[], None]) -> None:
        class Counted(library.callbacks.Callback):  # type: ignore[misc]
            def on_train_batch_end(self, _batch: int, logs: Any = None) -> None:
                stop()

        model.fit(pixels, labels, batch_size=batch, epochs=10_000, verbose=0, callbacks=[Counted()])

    yield from _stepwise(learn)


def torch(network: str, batch: int, threads: int) -> Iterator[None]:
    """A loop as the tutorials write it, channels last, which is what is fastest here."""
    return _torch(network, batch, threads, last=True)


def torch_channels_first(network: str, batch: int, threads: int) -> Iterator[None]:
    """The same loop in PyTorch's own order of the axes."""
    return _torch(network, batch, threads, last=False)


def _torch(network: str, batch: int, threads: int, *, last: bool) -> Iterator[None]:
    import torch as library

    library.set_num_threads(threads)
    order = library.channels_last if last else library.contiguous_format
    model = _TORCH[network]().to(memory_format=order)
    model.train()
    for layer in model.modules():
        if network != "convnet" and isinstance(layer, library.nn.BatchNorm2d):
            layer.eval()
            layer.requires_grad_(False)
    pixels, labels = _data(network)
    inputs = library.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(memory_format=order)
    truth = library.from_numpy(labels)
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = library.optim.Adam(trained, lr=RATE, fused=True)
    loss = library.nn.CrossEntropyLoss()
    total = library.zeros(())
    while True:
        for places in library.randperm(len(inputs)).split(batch):
            optimizer.zero_grad(set_to_none=True)
            found = loss(model(inputs[places].to(memory_format=order, dtype=library.float32)), truth[places])
            found.backward()
            optimizer.step()
            total += found.detach()
            yield


def _torch_convnet() -> Any:
    """As `convnet` of the shelf is by default."""
    from torch import nn

    parts: list[Any] = [_Scaled(1 / 127.5, -1.0)]
    channels = 3
    for width in (32, 64, 128):
        parts += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        parts += [nn.MaxPool2d(2)]
        channels = width
    parts += [nn.Flatten(), nn.Linear(128 * 4 * 4, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*parts, nn.Linear(128, CLASSES))


def _torch_lite0() -> Any:
    """As the published EfficientNet-Lite0 is: kernels, strides and widths."""
    from torch import nn

    def convolved(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1, *, acts: bool) -> list[Any]:
        made = [
            nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(after, eps=1e-3),
        ]
        return [*made, nn.ReLU6()] if acts else made

    stages = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112),
              (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))  # fmt: skip
    parts: list[Any] = [_Scaled(1 / 128, -127 / 128), *convolved(3, 32, 3, 2, acts=True)]
    channels = 32
    for count, kernel, stride, expansion, filters in stages:
        for number in range(count):
            wide, step = channels * expansion, stride if number == 0 else 1
            block = convolved(channels, wide, 1, acts=True) if expansion > 1 else []
            block += convolved(wide, wide, kernel, step, groups=wide, acts=True)
            block += convolved(wide, filters, 1, acts=False)
            whole = nn.Sequential(*block)
            parts.append(_Residual(whole) if step == 1 and channels == filters else whole)
            channels = filters
    parts += [*convolved(channels, 1280, 1, acts=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*parts, nn.Linear(1280, CLASSES))


try:
    from torch.nn import Module
except ModuleNotFoundError:  # in the environment of the others
    Module = object  # type: ignore[misc,assignment]


class _Scaled(Module):  # type: ignore[misc,valid-type]
    def __init__(self, scale: float, offset: float) -> None:
        super().__init__()
        self.scale, self.offset = scale, offset

    def forward(self, pixels: Any) -> Any:
        return pixels * self.scale + self.offset


class _Residual(Module):  # type: ignore[misc,valid-type]
    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, seen: Any) -> Any:
        return seen + self.inner(seen)


_TORCH = {"convnet": _torch_convnet, "efficientnet_lite0": _torch_lite0}
SIDES = {
    "noria": ours,
    "noria_default": ours_by_default,
    "keras": keras,
    "torch": torch,
    "torch_first": torch_channels_first,
}

if __name__ == "__main__":
    main()
