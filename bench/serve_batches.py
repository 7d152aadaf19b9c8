"""Does a server gain by running pictures in batches? Pictures a second of each engine by the size of the batch.

The flowers' EfficientNet-Lite0, already decoded pictures, a session of one thread on each processor, as `noria serve`
has them; the sizes take turns. `python bench/serve_batches.py` takes about 4 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from _harness import cores, parser, publish, say, scratch_folder, table
from _serve_running import trained_bundle
from noria.artifacts.bundle import Bundle, open_bundle
from noria.inference import runtimes

SIZES = (1, 2, 4, 8)
ROUNDS, SECONDS = 5, 0.6
ENGINES = {
    "litert": "LiteRT float32",
    "litert_int8": "LiteRT int8",
    "openvino": "OpenVINO float32",
    "openvino_bfloat16": "OpenVINO in bfloat16",
    "openvino_int8": "OpenVINO int8",
}


def main() -> None:
    """Measure every engine and publish."""
    given = _options()
    with scratch_folder() as scratch:
        path = given.bundle or trained_bundle(scratch, limit=40 if given.quick else None)
        bundle = open_bundle(path)
        rates = {name: _rates(name, bundle, given) for name in ENGINES if _is_usable(name)}
    body = table(
        ["", *(f"batch of {size}" for size in SIZES), "best"],
        [
            [ENGINES[name], *(f"{rate:.0f} ({rate / found[1]:.2f})" for rate in found.values()),
             str(max(found, key=lambda size: found[size]))]
            for name, found in rates.items()
        ],
    )  # fmt: skip
    body += (
        f"\n\nPictures a second, in brackets times the batch of one; medians of {ROUNDS} rounds of {SECONDS} s. "
        f"{cores()} sessions of one thread. A server has reason to wait for a batch only where it runs much faster."
    )
    publish("serve_batches", "Pictures in batches, or one by one", body, rates, quick=given.quick)


def _options() -> argparse.Namespace:
    options = parser(str(__doc__), seeds=None)
    options.add_argument("--bundle", type=Path, help="a bundle of pictures; by default one is made of the flowers")
    return options.parse_args()


def _is_usable(name: str) -> bool:
    there = runtimes.is_usable(name)
    if not there:
        say(f"{name} is not installed, or not for this processor, and is left out")
    return there


def _rates(name: str, bundle: Bundle, given: argparse.Namespace) -> dict[int, float]:
    """Return pictures a second by the size of the batch."""
    say(ENGINES[name])
    file = bundle.file(runtimes.member(name).FORMAT)
    opened = _openvino if name.startswith("openvino") else _litert
    sessions = {size: [opened(name, file, size) for _ in range(cores())] for size in SIZES}
    found: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(1 if given.quick else ROUNDS):
        for size, some in sessions.items():
            found[size].append(size * _runs_a_second(some))
    return {size: statistics.median(rates) for size, rates in found.items()}


def _runs_a_second(sessions: list[Callable[[], Any]]) -> float:
    counts = [0] * len(sessions)
    start = time.perf_counter()

    def work(place: int) -> None:
        while time.perf_counter() < start + SECONDS:
            sessions[place]()
            counts[place] += 1

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(sessions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def _pictures(shape: tuple[int, ...], kind: Any) -> Any:
    return np.random.default_rng(0).integers(0, 256, shape).astype(kind)


def _litert(name: str, file: Path, size: int) -> Callable[[], Any]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=file.read_bytes(), num_threads=1)
    told = interpreter.get_input_details()[0]
    shape = (size, *(int(side) for side in told["shape"][1:]))
    interpreter.resize_tensor_input(told["index"], shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(told["index"], _pictures(shape, told["dtype"]))
    return lambda: interpreter.invoke()


def _openvino(name: str, file: Path, size: int) -> Callable[[], Any]:
    import openvino

    core = openvino.Core()
    model = core.read_model(str(file))
    shape = (size, *(int(side) for side in model.input(0).shape[1:]))
    model.reshape(shape)
    short = name != "openvino" and runtimes.runs_here("openvino_bfloat16")
    settings = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "bf16" if short else "f32",
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    tensor = openvino.Tensor(request.get_input_tensor(0).element_type, openvino.Shape(shape))
    tensor.data[:] = _pictures(shape, tensor.data.dtype)
    request.set_input_tensor(tensor)
    return lambda: request.infer()


if __name__ == "__main__":
    main()
