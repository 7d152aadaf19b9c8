"""What a network is trained on: the devices that are here, which of them are used, in which precision.

One device trains as TensorFlow does by itself. Several, here or on several machines, each hold the whole network, learn
from a part of each batch, and add up their gradients (`replicas.py`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noria import plugins
from noria.contracts import Progress
from noria.errors import ConfigError
from noria.quiet import load_tensorflow
from noria.training.cluster import Cluster, Team
from noria.training.settings import Precision, TrainingSettings

STRATEGIES = "noria.training.strategies"
SIGNS = ("/proc/driver/nvidia/gpus", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd", "/dev/accel0", "/dev/vfio/0")
TPU_VARIABLES = ("TPU_NAME", "TPU_WORKER_ID", "COLAB_TPU_ADDR")
UNUSED = (
    '; an accelerator is here that this TensorFlow cannot use: pip install "noria[train-gpu]" in a fresh environment'
)


@dataclass(frozen=True, slots=True)
class Devices:
    """What a training uses."""

    found: str = ""  # in words
    precision: str = "float32"  # of the arithmetic; weights are float32 always
    strategy: Any = None  # of tf.distribute, where there are several devices
    team: Team | None = None  # where there are several machines
    networks: bool = True  # whether a network is trained on them, and not features computed once on the processor

    @property
    def alone(self) -> bool:
        """Whether one device does all, in an arithmetic that needs no care."""
        return self.strategy is None and self.precision != "float16"

    @property
    def chief(self) -> bool:
        """Whether this process keeps the state, and writes the run."""
        return self.team is None or self.team.cluster.chief

    @property
    def replicas(self) -> int:
        """How many devices learn from a part of each batch."""
        return int(self.strategy.num_replicas_in_sync) if self.strategy else 1

    @property
    def local(self) -> range:
        """The numbers of the replicas in this process."""
        each = self.replicas // len(self.team.cluster.addresses) if self.team else self.replicas
        first = each * self.team.cluster.rank if self.team else 0
        return range(first, first + each)

    def meet(self, fingerprint: str, settings: Mapping[str, Any]) -> bool:
        """Return whether there is anything to train: one of several machines hears it from their chief.

        Raises:
            NoriaError: the chief could not begin, or has other data or settings.
        """
        return self.team.meet(fingerprint, settings) if self.team else True

    @contextmanager
    def scope(self) -> Iterator[None]:
        """What is made within lies on all devices."""
        if self.strategy is None:
            yield
        else:
            with self.strategy.scope():
                yield


ALONE = Devices()


def devices_for(training: TrainingSettings, progress: Progress, told: Devices | None = None) -> Devices:
    """Return what to train on, and say so; strategies that compute features once do it on the processor.

    Args:
        told: what was found before the strategy was chosen.

    Raises:
        ConfigError: a precision is asked for that the strategy has not.
    """
    strategy, asked = training.strategy, training.precision
    networks = trains_on_devices(strategy)
    if told and told.networks == networks:
        return told
    if not networks and asked not in ("auto", "float32"):
        raise ConfigError(
            f"training.precision={asked} is for networks that are trained by gradient descent: {_those_that_do()}. "
            f"The strategy {strategy} computes in float32."
        )
    devices = find_devices(asked) if networks else Devices(_told(_processor(), "float32"), networks=False)
    if told is None or told.found != devices.found:
        progress.note(devices.found)
    return devices


def require_devices(strategy: str) -> None:
    """Raise ConfigError where a strategy cannot be shared among devices."""
    if not trains_on_devices(strategy):
        raise ConfigError(
            f"--workers share the training of a network, by a strategy of {_those_that_do()}; {strategy} has no steps "
            "to share. Leave --workers out, or choose another with --strategy."
        )


def trains_on_devices(strategy: str) -> bool:
    """Return whether a strategy trains on whatever device there is."""
    return bool(getattr(plugins.load(STRATEGIES, strategy), "ON_DEVICES", False))


def _those_that_do() -> str:
    return ", ".join(name for name in plugins.names(STRATEGIES) if trains_on_devices(name))


def find_devices(asked: Precision = "auto", cluster: Cluster | None = None) -> Devices:
    """Return what to train on; TensorFlow is loaded only where there may be more than the processor.

    Raises:
        NoriaError: the other workers cannot be reached.
    """
    team = Team(cluster) if cluster else None
    if team is None and not _may_have_more():
        return Devices(_told(_processor(), precision_for(asked)), precision_for(asked))
    load_tensorflow()
    import tensorflow as tf

    gpus, tpus = tf.config.list_physical_devices("GPU"), tf.config.list_physical_devices("TPU")
    if tpus and team is None:
        precision = precision_for(asked, tpu=True)
        return Devices(_told(f"{len(tpus)} TPU cores", precision), precision, _tpu_strategy())
    if gpus:
        details = [tf.config.experimental.get_device_details(one) for one in gpus]
        precision = precision_for(asked, min(one.get("compute_capability", (0, 0)) for one in details))
        words = f"{len(gpus)} GPU{'s' * (len(gpus) > 1)} ({details[0].get('device_name', 'of an unknown kind')})"
        several = tf.distribute.MirroredStrategy() if len(gpus) > 1 and team is None else None
    else:
        parts, precision = _parts_of_processor(), precision_for(asked)
        words = _processor() + (f" in {parts} parts" if parts > 1 else "")
        names = [f"CPU:{number}" for number in range(parts)]
        several = tf.distribute.MirroredStrategy(names) if parts > 1 and team is None else None
    rest = UNUSED if not gpus and any(Path(sign).exists() for sign in SIGNS[:2]) else ""
    if team:
        return Devices(_told(f"{team.cluster}: {words}", precision) + rest, precision, team.strategy, team)
    return Devices(_told(words, precision) + rest, precision, several)


def precision_for(asked: Precision, capability: tuple[int, int] = (0, 0), *, tpu: bool = False) -> str:
    """Return the precision: where it is left open, one that the device is faster in.

    Args:
        capability: NVIDIA's compute capability of the weakest GPU: from 7.0 on there are tensor cores for float16, from
            8.0 on for bfloat16, which has the range of float32.
    """
    if asked != "auto":
        return asked
    if tpu or capability >= (8, 0):
        return "bfloat16"
    return "float16" if capability >= (7, 0) else "float32"


def _told(words: str, precision: str) -> str:
    return f"trains on {words}, in {precision}"


def _processor() -> str:
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return f"{cores} core{'s' * (cores > 1)} of the processor"


def _may_have_more() -> bool:
    signs = any(Path(sign).exists() for sign in SIGNS) or any(os.environ.get(name) for name in TPU_VARIABLES)
    return signs or sys.platform == "darwin" or _parts_of_processor() > 1


def _parts_of_processor() -> int:
    """Who cut the processor into logical devices wants them used."""
    if "tensorflow" not in sys.modules:
        return 1
    import tensorflow as tf

    cut = tf.config.get_logical_device_configuration(tf.config.list_physical_devices("CPU")[0])
    return len(cut) if cut else 1


def _tpu_strategy() -> Any:
    import tensorflow as tf

    resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=os.environ.get("TPU_NAME", "local"))
    tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    return tf.distribute.TPUStrategy(resolver)
