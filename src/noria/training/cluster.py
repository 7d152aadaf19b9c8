"""Several machines that train one model together: who they are, and how what one of them knows reaches all.

They are named as the engines of clusters name them: by TF_CONFIG, which TFJob and Ray Train set, or Slurm's variables.
The first one is the chief: it alone keeps the state, and writes the run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.errors import ConfigError, NoriaError
from noria.quiet import load_tensorflow, native_output_hidden
from noria.training.meeting import gather

EXAMPLE = (
    'TF_CONFIG=\'{"cluster": {"worker": ["host-a:4000", "host-b:4000"]}, "task": {"type": "worker", "index": 0}}\', '
    "with another index on each"
)
_FAILED = "failed"
SLURM_PORT = 47_600  # of the first task on a host; the next one takes the next
TASK = re.compile(r"/job:worker/(?:replica:\d+/)?task:(\d+)")


@dataclass(frozen=True, slots=True)
class Cluster:
    """The workers of one training."""

    addresses: tuple[str, ...]  # host:port of each, the chief's first
    rank: int  # of this one

    @property
    def chief(self) -> bool:
        """Whether this one keeps the state, and writes the run."""
        return self.rank == 0

    def __str__(self) -> str:
        return f"worker {self.rank + 1} of {len(self.addresses)}{', the chief' if self.chief else ''}"


def read_cluster(environment: Mapping[str, str]) -> Cluster:
    """Return the cluster that the environment describes.

    Raises:
        ConfigError: nothing describes one, or TF_CONFIG is not as it should be; the message says what is wrong.
    """
    if text := environment.get("TF_CONFIG", "").strip():
        return _of_tf_config(text)
    if int(environment.get("SLURM_NTASKS", "1")) > 1:
        return _of_slurm(environment)
    raise ConfigError(f"--workers takes the addresses of all workers from TF_CONFIG, which is not set. Set {EXAMPLE}.")


def _of_tf_config(text: str) -> Cluster:
    def wrong(what: str) -> ConfigError:
        return ConfigError(f"TF_CONFIG {what}. Expected: {EXAMPLE}.")

    try:
        told = json.loads(text)
    except json.JSONDecodeError as error:
        raise wrong(f"is not JSON ({error})") from None
    jobs, task = (told.get("cluster"), told.get("task")) if isinstance(told, dict) else (None, None)
    if not isinstance(jobs, dict) or not isinstance(task, dict):
        raise wrong('has no "cluster" or no "task"')
    if "ps" in jobs:
        raise wrong("has parameter servers (ps), and here all workers hold the whole model")
    by_job = {name: jobs.get(name, []) for name in ("chief", "worker")}
    for name, addresses in by_job.items():
        if not isinstance(addresses, list) or not all(_is_address(one) for one in addresses):
            raise wrong(f"names as {name} {json.dumps(addresses)}, which is no list of host:port")
    addresses = (*by_job["chief"], *by_job["worker"])
    if not addresses or len(set(addresses)) < len(addresses) or len(by_job["chief"]) > 1:
        raise wrong("has no workers" if not addresses else "names a worker twice, or two chiefs")
    kind, index = task.get("type"), task.get("index", 0)
    if kind not in by_job or not isinstance(index, int) or not 0 <= index < len(by_job[kind]):
        raise wrong(f"says that this is {kind} {index}, which its cluster has not")
    return Cluster(addresses, index + (len(by_job["chief"]) if kind == "worker" else 0))


def _is_address(text: Any) -> bool:
    return isinstance(text, str) and re.fullmatch(r"\S+:\d{1,5}", text) is not None


def _of_slurm(environment: Mapping[str, str]) -> Cluster:
    """The tasks of a job step, host by host, as Slurm numbers them unless it is told otherwise."""
    try:
        hosts = _hosts(environment["SLURM_STEP_NODELIST"])
        each = [int(count) for count in _spread(environment["SLURM_STEP_TASKS_PER_NODE"])]
        rank = int(environment["SLURM_PROCID"])
        addresses = [f"{host}:{SLURM_PORT + n}" for host, count in zip(hosts, each, strict=True) for n in range(count)]
    except (KeyError, ValueError) as error:
        raise ConfigError(f"Slurm's variables do not name the hosts ({error}). Set {EXAMPLE}.") from None
    if not 0 <= rank < len(addresses):
        raise ConfigError(f"SLURM_PROCID is {rank}, and Slurm names {len(addresses)} tasks. Set {EXAMPLE}.")
    return Cluster(tuple(addresses), rank)


def _hosts(text: str) -> list[str]:
    """node[01-03,7],login -> node01, node02, node03, node7, login."""
    found = []
    for prefix, ranges, suffix in re.findall(r"([^,\[\]]+)(?:\[([^\]]+)\])?([^,\[\]]*)", text):
        for part in ranges.split(",") if ranges else [""]:
            first, _, last = part.partition("-")
            numbers = range(int(first), int(last) + 1) if last else [first]
            found += [f"{prefix}{str(number).zfill(len(first)) if first else ''}{suffix}" for number in numbers]
    return found


def _spread(text: str) -> list[str]:
    """2(x3),1 -> 2, 2, 2, 1."""
    return [
        count for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text) for _ in range(int(times) if times else 1)
    ]


class Team:
    """The workers, connected; whoever calls a method of it waits until all of them do."""

    def __init__(self, cluster: Cluster) -> None:
        """Wait for all workers.

        Raises:
            NoriaError: they cannot be reached, or this one's address is taken.
        """
        load_tensorflow()
        import tensorflow as tf

        gather(cluster.addresses, cluster.rank)
        self.cluster = cluster
        self._met = False
        spec = tf.train.ClusterSpec({"worker": list(cluster.addresses)})
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(spec, task_type="worker", task_id=cluster.rank)
        try:
            with native_output_hidden():
                self.strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
        except (tf.errors.OpError, RuntimeError) as error:
            raise NoriaError(
                f"{cluster} could not join the others as {cluster.addresses[cluster.rank]}: {_first_line(error)}"
            ) from None
        self._summed = tf.function(self._sum, reduce_retracing=True)

    def meet(self, fingerprint: str, settings: Mapping[str, Any]) -> bool:
        """Make sure that all are about to train the same; return whether there is anything to train.

        Raises:
            NoriaError: the chief could not begin, or trains something else.
        """
        self._met = True
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        own = f"data {fingerprint[:12]}, settings {digest[:12]}, Noria {version('noria')}"
        chiefs = self.tell(own.encode()).decode()
        if chiefs == _FAILED:
            raise NoriaError(f"{self.cluster}: the chief could not begin. What it says tells why.")
        if chiefs and chiefs != own:
            raise ConfigError(f"{self.cluster} has {own}; the chief {chiefs}. Start all of them with the same.")
        return bool(chiefs)

    def dismiss(self, *, failed: bool = False) -> None:
        """Let the others go, where the chief has not met them: it has the run already, or could not begin."""
        if not self._met:
            self._met = True
            self.tell(_FAILED.encode() if failed else b"")

    def tell(self, data: bytes) -> bytes:
        """Return what the chief gave."""
        length = int(self.sum(np.array([len(data) if self.cluster.chief else 0], np.float64))[0])
        halves = np.zeros(-(-length // 2), np.uint16)
        if self.cluster.chief:
            halves[:] = np.frombuffer(data + b"\0" * (length % 2), np.uint16)
        return self.sum(halves.astype(np.float32)).astype(np.uint16).tobytes()[:length] if length else b""

    def sum(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the sum of what all gave: floating-point numbers of the same shape."""
        summed = self.strategy.experimental_local_results(self._summed(array))[0].numpy()
        here = self.strategy.num_replicas_in_sync // len(self.cluster.addresses)  # each gave the same
        return np.asarray(summed / here)

    def _sum(self, array: Any) -> Any:
        import tensorflow as tf

        def reduced() -> Any:
            # Without the identity the value has no device to be reduced on.
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(array))

        return self.strategy.run(reduced)


@contextmanager
def peers_watched(cluster: Cluster, last_words: str) -> Iterator[None]:
    """Turn the loss of another worker into a NoriaError that names it and ends with the last words."""
    try:
        yield
    except Exception as error:
        import tensorflow as tf

        lost = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
        if not isinstance(error, lost) and not (isinstance(error, tf.errors.OpError) and "ollective" in str(error)):
            raise
        tasks = {int(task) for task in TASK.findall(str(error))} - {cluster.rank}
        names = [f"worker {task + 1} ({cluster.addresses[task]})" for task in sorted(tasks)]
        raise NoriaError(f"{' and '.join(names) or 'Another worker'} is gone. {last_words}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
