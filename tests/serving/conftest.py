"""Real bundles, and real server processes on loopback."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from noria.artifacts.bundle import Bundle

REVIEWS = 1_500  # of hotels, in Chinese: enough to be right more often than not
START_SECONDS = 60.0


@dataclass(eq=False)
class Server:
    """One `noria serve` in a process of its own."""

    process: subprocess.Popen[bytes]
    http: str
    grpc: str | None
    told: dict[str, Any]
    log_path: Path

    def log(self) -> list[dict[str, Any]]:
        """Return the lines that the server wrote so far."""
        lines = self.log_path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.http, timeout=30, **options)

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


@contextmanager
def serving(folder: Path, *arguments: str | Path, environment: dict[str, str] | None = None) -> Iterator[Server]:
    """Start `noria serve` with these arguments on free ports, and stop it at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    command = [sys.executable, "-m", "noria", "serve", *map(str, arguments), "--http", "0", "--json"]
    if "--grpc" not in arguments:
        command += ["--grpc", "0"]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, **(environment or {})}
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the server ended with {process.wait()}: {log.read_text(encoding='utf-8')[-2000:]}"
        told = json.loads(line)
        assert "error" not in told, told
        yield Server(process, told["http"], told["grpc"], told, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@pytest.fixture(scope="session")
def texts_bundle(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of the default model of texts, made from Chinese hotel reviews; tests only read it."""
    import noria

    folder = tmp_path_factory.mktemp("reviews")
    with (shared_data / "zh_reviews" / "ChnSentiCorp_htl_all.csv").open(encoding="utf-8-sig", newline="") as file:
        head, *rows = csv.reader(file)
    with (folder / "hotels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows[:: len(rows) // REVIEWS]])
    return noria.export(noria.train(folder / "hotels.csv", folder / "run"), folder / "bundle")


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SavedModels of others: made as TensorFlow Serving's half_plus_two and counter are, and one with odd tensors."""
    from noria.quiet import load_tensorflow

    load_tensorflow()
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("others")
    _write_half_plus_two(tf, folder / "half_plus_two" / "123")
    _write_counter(tf, folder / "counter" / "123")

    class Odd(tf.Module):  # type: ignore[misc]
        @tf.function(
            input_signature=[tf.TensorSpec([None, 2], tf.float32, name="a"), tf.TensorSpec([None], tf.int64, name="n")]
        )
        def two(self, a: Any, n: Any) -> Any:
            return {"ratio": a[:, 0] / a[:, 1], "next": n + 1}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="raw_bytes")])
        def echo(self, raw_bytes: Any) -> Any:
            return {"same_bytes": raw_bytes, "size": tf.strings.length(raw_bytes)}

        @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
        def scalar(self, x: Any) -> Any:
            return {"y": 2 * x}

    odd = Odd()
    signatures = {"serving_default": odd.two, "echo": odd.echo, "scalar": odd.scalar}
    tf.saved_model.save(odd, str(folder / "odd" / "1"), signatures=signatures)
    return folder


def _write_half_plus_two(tf: Any, folder: Path) -> None:
    """Write x -> 0.5 x + 2 with the signatures and method names of TensorFlow Serving's test model."""
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        examples = v1.placeholder(tf.string, [None], name="tf_example")
        features = v1.parse_example(examples, {"x": v1.FixedLenFeature([1], tf.float32)})
        x = v1.identity(features["x"], name="x")
        half, two = v1.Variable(0.5), v1.Variable(2.0)
        y = v1.add(v1.multiply(half, x), two, name="y")
        session.run(v1.global_variables_initializer())
        info = v1.saved_model.utils.build_tensor_info

        def signature(method: str, inputs: Any, outputs: Any) -> Any:
            named = [{name: info(tensor) for name, tensor in one.items()} for one in (inputs, outputs)]
            return v1.saved_model.signature_def_utils.build_signature_def(*named, f"tensorflow/serving/{method}")

        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            signature_def_map={
                "serving_default": signature("predict", {"x": x}, {"y": y}),
                "regress_x_to_y": signature("regress", {"inputs": examples}, {"outputs": y}),
                "classify_x_to_y": signature("classify", {"inputs": examples}, {"scores": y}),
            },
        )
        builder.save()


def _write_counter(tf: Any, folder: Path) -> None:
    """Write signatures without inputs, whose outputs are a variable of TensorFlow 1, as in `saved_model_counter`."""
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        counter = v1.Variable(0.0, name="counter", use_resource=False)
        delta = v1.placeholder(tf.float32, name="delta")
        outputs = {
            "get_counter": counter,
            "incr_counter": v1.assign_add(counter, 1.0),
            "incr_counter_by": v1.assign_add(counter, delta),
        }
        session.run(v1.global_variables_initializer())
        info = v1.saved_model.utils.build_tensor_info
        signatures = {
            name: v1.saved_model.signature_def_utils.build_signature_def(
                {"delta": info(delta)} if name == "incr_counter_by" else {},
                {"output": info(output)},
                "tensorflow/serving/predict",
            )
            for name, output in outputs.items()
        }
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()


@pytest.fixture(scope="session")
def served(bundle: Bundle, texts_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the models `photos` and `texts`; tests do not change it."""
    with serving(tmp_path_factory.mktemp("served"), f"photos={bundle.path}", f"texts={texts_bundle.path}") as server:
        yield server


@pytest.fixture(scope="session")
def serving_process() -> Callable[..., Any]:
    """Start servers that outlive a test: `with serving_process(FOLDER, "photos=PATH") as server`."""
    return serving


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """Return what a condition gives as soon as it is true: `until(condition, seconds=60)`."""

    def found(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if told := condition():
                return told
            time.sleep(0.02)
        raise AssertionError(f"it did not become true within {seconds} s")

    return found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers of a test's own: `start("photos=PATH", "--config", FILE)`."""
    with ExitStack() as stack:
        count = iter(range(100))
        yield lambda *arguments, **options: stack.enter_context(
            serving(tmp_path / f"server-{next(count)}", *arguments, **options)
        )
