"""How fast, how small and how accurate is each way of running one trained model? Keras, TensorFlow, LiteRT, OpenVINO.

A model of the flower photos, exported once; each engine in a process of its own answers for the whole test side. int8
is to be at most 0.30 of the float file and within 1.0 point of its accuracy. `python bench/engines.py` takes about 5
minutes on 2 cores; `--run RUN` takes a run that is there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _harness import (
    Row,
    flowers,
    noria_command,
    parser,
    percent,
    publish,
    read_manifest,
    run_child,
    say,
    scratch_folder,
    split_as_noria,
    table,
    write_manifest,
)

SMALLEST, CLOSEST = 0.30, 0.010  # int8 against float32: share of the size, loss of accuracy
TIMED = 100  # pictures, one at a time
# Name -> the file of the bundle that it runs, and what is told of it in the table.
ENGINES = {
    "keras_predict": ("keras", "Keras `predict`, batch 32"),
    "tensorflow_graph": ("keras", "TensorFlow graph (`tf.function`), batch 1"),
    "tensorflow_batches": ("keras", "Keras model under `tf.function`, batch 32"),
    "savedmodel": ("savedmodel", "SavedModel **from bytes** (decodes inside), batch 32"),
    "litert": ("litert", "LiteRT float32"),
    "litert_int8": ("litert_int8", "LiteRT int8"),
    "openvino": ("litert", "OpenVINO float32, the same file"),
    "openvino_bfloat16": ("litert", "OpenVINO in bfloat16, the float32 file"),
    "openvino_int8": ("litert_int8", "OpenVINO int8, the same file"),
}
GRAPHS = {"tensorflow_graph": 1, "tensorflow_batches": 32}  # pictures a call
Run = Callable[[Sequence[Any]], NDArray[np.float32]]


def main() -> None:
    """Train and export where needed, measure every engine and publish."""
    given = _options()
    if given.child:
        engine, bundle, manifest, out = given.child
        Path(out).write_text(json.dumps(measure(engine, Path(bundle), Path(manifest), quick=given.quick)))
        return
    with scratch_folder() as scratch:
        run = given.run.resolve() if given.run else _train(scratch, limit=40 if given.quick else None)
        say("export")
        # The user's cache is of no use to an export; the scratch folder's is taken.
        exported = run_child(noria_command("export", run, "--out", scratch / "bundle", "--json", "--quiet")).json()
        manifest = write_manifest(scratch / "test.csv", _test_rows(run))
        figures = {name: _child(name, scratch, manifest, quick=given.quick) for name in ENGINES if _installed(name)}
    sizes = {file["format"]: file["bytes"] for file in exported["files"]}
    body = _body(figures, sizes, _test_count(figures))
    publish(
        "engines",
        f"Engines: one model, {len(figures)} ways",
        body,
        {"engines": figures, "bytes": sizes},
        quick=given.quick,
    )


def measure(engine: str, bundle: Path, manifest: Path, *, quick: bool) -> dict[str, Any]:
    """Return milliseconds one at a time, pictures a second with everything this machine has, and every answer.

    Pictures are decoded beforehand, but for the engine that takes bytes.
    """
    from noria.artifacts.bundle import open_bundle

    opened = open_bundle(bundle)
    rows = read_manifest(manifest)
    inputs = _inputs(engine, rows, opened.manifest.input)
    start = time.perf_counter()
    single, whole = _open(engine, opened.file(ENGINES[engine][0]))
    single(inputs[:1])
    ready = time.perf_counter() - start
    timed = inputs[: 20 if quick else TIMED]
    milliseconds = [_milliseconds(single, one) for one in timed]
    whole(inputs[:64])  # threads, graphs for batches: built once, not counted
    start = time.perf_counter()
    scores = whole(inputs)
    rate = len(inputs) / (time.perf_counter() - start)
    return {
        "milliseconds": statistics.median(milliseconds),
        "slowest_of_twenty": sorted(milliseconds)[-max(1, len(milliseconds) // 20)],
        "rate": rate,
        "ready_seconds": ready,
        "answers": [opened.labels[int(column)] for column in scores.argmax(axis=1)],
        "truth": [row["label"] for row in rows],
    }


def _inputs(engine: str, rows: list[Row], settings: dict[str, Any]) -> list[Any]:
    from noria.inputs import image

    files = [Path(row["path"]).read_bytes() for row in rows]
    if engine == "savedmodel":
        return list(files)
    chosen = image.Settings.model_validate(settings)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda data: image.read(data, chosen), files))


def _milliseconds(run: Run, one: Any) -> float:
    start = time.perf_counter()
    run([one])
    return (time.perf_counter() - start) * 1e3


def _open(engine: str, file: Path) -> tuple[Run, Run]:
    """Return what answers for one picture at a time, and what answers for many as fast as it can."""
    if engine == "keras_predict":
        return _keras_predict(file)
    if engine in GRAPHS:
        return _tensorflow_graph(file, GRAPHS[engine])
    from noria import plugins

    runtime = plugins.load("noria.inference.runtimes", engine)
    cores = os.cpu_count() or 1
    if not runtime.PARALLEL:
        session = runtime.open_session(file, cores)
        return session.run, lambda many: _in_batches(session.run, many, runtime.BATCH)
    # One at a time, one thread; for many, a session with one thread for each core, as `noria predict` has them.
    sessions = [runtime.open_session(file, 1) for _ in range(cores)]

    def whole(many: Sequence[Any]) -> NDArray[np.float32]:
        shares = [many[start::cores] for start in range(cores)]
        with ThreadPoolExecutor(cores) as pool:
            parts = list(pool.map(lambda pair: pair[0].run(pair[1]), zip(sessions, shares, strict=True)))
        scores = np.empty((len(many), parts[0].shape[1]), np.float32)
        for start, part in enumerate(parts):
            scores[start::cores] = part
        return scores

    return sessions[0].run, whole


def _keras_predict(file: Path) -> tuple[Run, Run]:
    from noria.quiet import load_tensorflow

    load_tensorflow()
    import keras

    model = keras.saving.load_model(file, compile=False)

    def run(many: Sequence[Any]) -> NDArray[np.float32]:
        stacked = np.stack(many).astype(np.float32)
        return np.asarray(model.predict(stacked, batch_size=32, verbose=0), np.float32)

    return run, run


def _tensorflow_graph(file: Path, batch: int) -> tuple[Run, Run]:
    from noria.quiet import load_tensorflow

    load_tensorflow()
    import keras
    import tensorflow as tf

    model = keras.saving.load_model(file, compile=False)
    shape = (1 if batch == 1 else None, *model.input_shape[1:])
    graph = tf.function(lambda x: model(x, training=False), input_signature=[tf.TensorSpec(shape, tf.float32)])

    def run(many: Sequence[Any]) -> NDArray[np.float32]:
        return np.asarray(graph(tf.constant(np.stack(many), tf.float32)))

    return run, lambda many: _in_batches(run, many, batch)


def _in_batches(run: Run, many: Sequence[Any], size: int) -> NDArray[np.float32]:
    return np.concatenate([run(many[start : start + size]) for start in range(0, len(many), size)])


def _options() -> argparse.Namespace:
    options = parser(str(__doc__), seeds=None)
    options.add_argument("--run", type=Path, help="a run of `noria train` (default: one is trained on the flowers)")
    options.add_argument("--child", nargs=4, help=argparse.SUPPRESS)  # this program again, for one engine
    return options.parse_args()


def _installed(engine: str) -> bool:
    from noria.inference import runtimes

    there = engine in ("keras_predict", *GRAPHS) or runtimes.is_usable(engine)
    if not there:
        say(f"{engine} is not installed, or not for this processor, and is left out")
    return there


def _train(scratch: Path, limit: int | None) -> Path:
    say("train")
    manifest = write_manifest(scratch / "flowers.csv", split_as_noria(flowers(limit), 0, scratch))
    run_child(noria_command("train", manifest, "--out", scratch / "run", "--json", "--quiet"))
    return scratch / "run"


def _test_rows(run: Path) -> list[Row]:
    from noria.artifacts.dataset import Dataset

    dataset = Dataset.load(run / "dataset")
    return [{"path": str(dataset.path_of(one)), "label": one.label} for one in dataset.by_split("test")]


def _child(engine: str, scratch: Path, manifest: Path, *, quick: bool) -> dict[str, Any]:
    say(engine)
    out = scratch / f"{engine}.json"
    command = [sys.executable, __file__, "--child", engine, str(scratch / "bundle"), str(manifest), str(out)]
    measured = run_child([*command, *(["--quick"] if quick else [])])
    told: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return {**told, "peak_bytes": measured.peak_bytes}


def _test_count(figures: dict[str, Any]) -> int:
    return len(next(iter(figures.values()))["truth"])


def _body(figures: dict[str, Any], sizes: dict[str, int], count: int) -> str:
    baseline = figures["keras_predict"]
    lines = []
    for name, one in figures.items():
        format_name, told = ENGINES[name]
        right = np.mean([answer == truth for answer, truth in zip(one["answers"], one["truth"], strict=True)])
        agreement = np.mean([a == b for a, b in zip(one["answers"], baseline["answers"], strict=True)])
        lines.append([
            told,
            f"{one['milliseconds']:.1f}",
            f"{one['rate']:.0f}",
            f"{one['rate'] / baseline['rate']:.1f}",
            f"{sizes[format_name] / 1e6:.2f}",
            percent(float(right), count),
            f"{agreement:.1%}",
        ])  # fmt: skip
    header = ["", "ms a picture, one at a time", "pictures/s, all cores", "times Keras", "file, MB"]
    return (
        table([*header, "test accuracy (95 %)", "same answer as Keras"], lines)
        + f"\n\n{count} test pictures, already decoded (SavedModel: files). Milliseconds: median; LiteRT and OpenVINO "
        "with one thread, TensorFlow with as many as it takes. Pictures a second: all test pictures; LiteRT and "
        "OpenVINO with a session for each core.\n\n" + _verdict(figures, sizes)
    )


def _verdict(figures: dict[str, Any], sizes: dict[str, int]) -> str:
    from noria.evaluation.compare import paired_difference

    share = sizes["litert_int8"] / sizes["litert"]
    truth = np.array(figures["litert"]["truth"])
    right = [(np.array(figures[name]["answers"]) == truth).astype(np.int64) for name in ("litert_int8", "litert")]
    told = paired_difference(right[0], right[1], np.ones(len(truth), np.int64))
    low, high = told["interval"]
    small = "met" if share <= SMALLEST else "not met"
    close = "met" if told["difference"] >= -CLOSEST else "not met"
    return (
        f"int8 is **{share:.3f}** of the float32 file (aim: at most {SMALLEST:.2f}; {small}). Its accuracy minus "
        f"float32's: **{told['difference'] * 100:+.2f} points**, paired 95 % interval {low * 100:+.2f} to "
        f"{high * 100:+.2f} (aim: not below {-CLOSEST * 100:.1f}; {close})."
    )


if __name__ == "__main__":
    main()
