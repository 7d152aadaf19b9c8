"""What every door calls, whatever its protocol: predict, classify, answer, explain, metadata, status, reload."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import numpy as np

from noria.errors import BusyError, DeadlineError, NoriaError, NotServedError, RequestError, TooLargeError
from noria.ordered import default_threads
from noria.serving import servables
from noria.serving.aside import Aside
from noria.serving.batcher import Job
from noria.serving.contracts import Example, Outcome, Row, Servable
from noria.serving.guards.budget import Budget
from noria.serving.peers import LOOK_SECONDS, Peers
from noria.serving.routing import numbered
from noria.serving.servables.bundle import BundleServable, Explain
from noria.serving.settings import ModelSettings, ServeConfig
from noria.serving.shadow import Shadows
from noria.serving.telemetry import SHARED_FOLDER, LinesLog, Metrics
from noria.serving.tensors import CLASSIFY, DEFAULT_SIGNATURE, REGRESS, Signature, Tensors, require_inputs
from noria.serving.tracing import Tracing, add_stages
from noria.serving.versions import ServedModel, Version, require_loaded

OBSERVE_SECONDS = 0.5
HEADER = 8192  # bytes of JSON that are read in the time of a picture's header


@dataclass(frozen=True, slots=True)
class Spec:
    """Which model a request is for; with neither version nor label the routing decides."""

    name: str
    version: int | None = None
    label: str | None = None
    signature: str = ""  # empty: serving_default


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a signature gave, and which version gave it."""

    name: str
    version: int
    signature_name: str
    signature: Signature
    outputs: Tensors


class Service:
    """The models of one server process."""

    def __init__(
        self,
        config: ServeConfig,
        *,
        log: LinesLog,
        journal: LinesLog,
        each_model: Mapping[str, Any] | None = None,
        peers: Peers | None = None,
    ) -> None:
        """Load nothing yet.

        Args:
            each_model: fields of ModelSettings that models have, too, that are named later, over a protocol.
            peers: the other processes of this server.
        """
        self.config = config
        self.metrics = Metrics()
        self.budget = Budget(config.limits.queue_bytes)  # of all protocols together
        self.aside = Aside()
        self.log = log
        self.journal = journal.write
        self.tracing = Tracing(config.traces, log) if config.traces.endpoint else None
        self.models: dict[str, ServedModel] = {}
        self._each_model = each_model or {}
        self._peers = peers
        self._shadows = Shadows(self.metrics, config.limits.request_seconds)
        self._closing: set[asyncio.Task[None]] = set()  # models that end what they have begun
        self._reloads: set[asyncio.Task[dict[str, str]]] = set()
        self._tasks: list[asyncio.Task[None]] = []  # that run for as long as the server
        self.draining = False
        self._reloading = asyncio.Lock()

    async def start(self) -> None:
        """Load what the config names; then keep looking for new versions."""
        if not (self._peers and await self._hear(self._peers)):
            await self.reload(self.config.models)
            if self._peers and not await self._hear(self._peers):  # what was told while they were loaded
                self._peers.answer({})
        loop = asyncio.get_running_loop()
        if self._peers:
            self._tasks.append(loop.create_task(self._keep_hearing(self._peers)))
        if self.config.server.poll_seconds:
            self._tasks.append(loop.create_task(self._keep_looking()))
        if SHARED_FOLDER in os.environ:
            self._tasks.append(loop.create_task(self._keep_observing()))

    async def close(self) -> None:
        """Let every model finish what it has begun."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._closing, *(model.close() for model in self.models.values()))
        if self.tracing:
            await asyncio.to_thread(self.tracing.close)
        self.aside.close()

    async def reload_all(self, models: Sequence[ModelSettings], *, deadline: float) -> dict[str, str]:
        """Serve these models from now on, in every process of this server; a label needs a version that is loaded.

        Args:
            deadline: how long the other processes are waited for, on the clock of time.monotonic.

        Returns:
            As `reload`.

        Raises:
            DeadlineError: they are not done with it yet.
        """
        # In a task of its own: a client that hangs up must not leave models that are half opened.
        task = asyncio.get_running_loop().create_task(self._reload_all(models, deadline))
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)
        return await asyncio.shield(task)

    async def reload(
        self, models: Sequence[ModelSettings] | None = None, *, labels_need_versions: bool = False
    ) -> dict[str, str]:
        """Serve these models from now on, or look at the folders of the present ones; what stays is not interrupted.

        Args:
            labels_need_versions: refuse a label of a version that is not loaded; else it waits for it.

        Returns:
            Why models cannot be served as it was told, by name. One that was served before, with other settings, is
            still served with those.
        """
        async with self._reloading:
            refused: dict[str, str] = {}
            opened: dict[str, ServedModel] = {}
            if models is not None:
                self.journal("models", names=[one.name for one in models])
                opened, refused = await self._serve(models, labels_need_versions)
            # What was opened just now has been looked at.
            await self._refresh({name: one for name, one in self.models.items() if opened.get(name) is not one})
            self._tell_versions()
            return refused

    def settings_for(self, name: str, **told: Any) -> ModelSettings:
        """Return the settings of a model that is named over a protocol, which knows nothing of engine and threshold.

        Args:
            told: fields of ModelSettings that the protocol knows.

        Raises:
            ValidationError: a value is impossible.
        """
        known = self.models.get(name)
        ours = known.settings.model_dump(include={"runtime", "threshold", "rows"}) if known else self._each_model
        return ModelSettings.model_validate({**ours, **told, "name": name})

    @property
    def ready(self) -> bool:
        """Whether every model has a version that answers, and the server is not about to stop."""
        return not self.draining and bool(self.models) and all(model.loaded for model in self.models.values())

    def model(self, name: str) -> ServedModel:
        """Return a model by name.

        Raises:
            NotServedError: there is none.
        """
        if found := self.models.get(name):
            return found
        raise NotServedError(f"Servable not found for request: there is no model {name!r}.")

    def signature(self, spec: Spec) -> tuple[str, Signature]:
        """Return the signature that a request would call, for a door that has to read its tensors.

        Raises:
            NotServedError: there is no such model, version or label.
            RequestError: there is no such signature.
        """
        servable, _ = require_loaded(self.model(spec.name).pick(spec.version, spec.label))
        return _signature(servable, spec)

    def signatures(self, spec: Spec) -> tuple[int, Mapping[str, Signature]]:
        """Return the version that would answer, and all its signatures."""
        version = self.model(spec.name).pick(spec.version, spec.label)
        return version.number, require_loaded(version)[0].signatures

    async def predict(self, spec: Spec, inputs: Tensors, *, deadline: float) -> Prediction:
        """Call a signature.

        Args:
            inputs: arrays as its TensorSpecs say; strings as objects (bytes).
            deadline: on the clock of time.monotonic; afterwards nobody waits for the answer.

        Raises:
            NotServedError, RequestError, BusyError, DeadlineError.
        """
        async with self._picked(spec) as version:
            servable, _ = require_loaded(version)
            return await self._call(spec, version, servable, inputs, deadline)

    async def classify(self, spec: Spec, examples: Sequence[Example], *, deadline: float) -> Prediction:
        """Call a signature that classifies `tf.train.Example`s: outputs `classes` and `scores`."""
        return await self._on_examples(spec, examples, CLASSIFY, deadline)

    async def regress(self, spec: Spec, examples: Sequence[Example], *, deadline: float) -> Prediction:
        """Call a signature that gives one number for each `tf.train.Example`: output `outputs`."""
        return await self._on_examples(spec, examples, REGRESS, deadline)

    async def answer(
        self, spec: Spec, inputs: Sequence[bytes], *, deadline: float, top: int = 5
    ) -> tuple[int, list[dict[str, Any]]]:
        """Answer pictures or texts as they are; return the version, and `label` ... or `error` for each.

        Raises:
            RequestError: the model takes tensors only; and as `predict`.
        """
        async with self._picked(spec) as version:
            servable, _ = require_loaded(version)
            if not isinstance(servable, BundleServable):
                raise RequestError(f"The model {spec.name!r} takes tensors: use the JSON form of :predict.")
            threshold = self.model(spec.name).settings.threshold  # a reload may come meanwhile
            outcomes = await self._run(spec.name, version, list(inputs), deadline)
            return version.number, [
                {"error": one} if isinstance(one, str) else servable.answer(one, top=top, threshold=threshold)
                for one in outcomes
            ]

    async def explain(self, spec: Spec, data: bytes, *, deadline: float) -> dict[str, Any]:
        """Answer one text, and say what each of its words added.

        Raises:
            RequestError: the model's answers cannot be explained cheaply; and as `predict`.
            TooLargeError: the text is longer than what is explained: each of its words is asked about.
        """
        async with self._picked(spec) as version:
            servable, _ = require_loaded(version)
            if not isinstance(servable, BundleServable) or not servable.explains:
                raise RequestError(f"The model {spec.name!r} explains nothing: only models of texts on n-grams do.")
            if len(data) > (most := self.config.limits.explained_bytes):
                raise TooLargeError(f"The text has {len(data):,} bytes, at most {most:,} are explained.")
            told = (await self._run(spec.name, version, [Explain(data)], deadline))[0]
            if isinstance(told, str):
                raise RequestError(f"{told}.")
            return {"model": spec.name, "version": version.number, **told.as_dict()}

    def card(self, spec: Spec) -> dict[str, Any]:
        """Return what people may know of a model: labels, scores, fingerprint, versions."""
        model = self.model(spec.name)
        version = model.pick(spec.version, spec.label)
        servable, _ = require_loaded(version)
        return {
            **servable.card,
            "served_as": spec.name,
            "version": version.number,
            "versions": [{"version": one.number, "state": one.state, "error": one.error} for one in model.status()],
            "version_labels": model.routing.labels,
            "threshold": model.settings.threshold,
        }

    def refusal(self, name: str) -> BusyError | None:
        """Return why every request for a model would be refused now, or None: for a door that has not read one yet."""
        model = self.models.get(name)
        batchers = [one.batcher for one in model.loaded.values() if one.batcher] if model else []
        refusals = [batcher.refusal() for batcher in batchers]
        return refusals[0] if refusals and all(refusals) else None

    def observe_queues(self) -> None:
        """Bring the gauges up to date, before they are read."""
        for name, model in self.models.items():
            batchers = [one.batcher for one in model.loaded.values() if one.batcher]
            self.metrics.queue_rows.labels(name).set(sum(one.waiting for one in batchers))
            self.metrics.capacity.labels(name).set(sum(one.capacity for one in batchers))

    # From here on, private.

    async def _reload_all(self, models: Sequence[ModelSettings], deadline: float) -> dict[str, str]:
        if self._peers is None:
            return await self.reload(models, labels_need_versions=True)
        async with self._peers.one_at_a_time():
            refused = await self.reload(models, labels_need_versions=True)
            # What this process serves now, the others are to serve.
            return refused | await self._peers.tell([one.settings for one in self.models.values()], deadline=deadline)

    async def _hear(self, peers: Peers) -> bool:
        """Serve what another process was told, and say so to it; return whether there was anything."""
        news = peers.news()
        if news is not None:
            peers.answer(await self.reload(news))
        return news is not None

    async def _serve(
        self, models: Sequence[ModelSettings], labels_need_versions: bool
    ) -> tuple[dict[str, ServedModel], dict[str, str]]:
        """Put models in place of the present ones, each once it is loaded; return those opened and why some are not."""
        wanted = {one.name: one for one in models}
        refused = {}
        before = {name: model.settings for name, model in self.models.items()}
        labels = {name: one.labels for name, one in before.items()}
        opened = {
            name: self._open(one) for name, one in wanted.items() if name not in before or one.reopens(before[name])
        }
        relabelled = {name: self.models[name] for name, one in wanted.items() if name not in opened}
        for name, model in relabelled.items():
            model.label(wanted[name].labels)
        await self._refresh({**relabelled, **opened})
        for name, new in opened.items():
            old = self.models.get(name)
            if not new.loaded:
                refused[name] = new.why_not()
                self.journal("model refused", model=name, error=refused[name], kept=old is not None)
            if new.loaded or old is None:
                self.models[name] = new
                if old:
                    self._close_model(old)
        for name in [name for name in self.models if name not in wanted]:
            self._close_model(self.models.pop(name))
        for name, one in wanted.items() if labels_need_versions else ():
            model = self.models[name]
            missing = [number for number in one.labels.values() if number not in model.loaded]
            if missing and name not in refused:
                refused[name] = f"version {missing[0]} is not loaded, so it cannot have a label"
                model.label(labels.get(name, {}))
        return opened, refused

    async def _refresh(self, models: Mapping[str, ServedModel]) -> None:
        refreshed = (model.refresh() for model in models.values())
        for name, error in zip(models, await asyncio.gather(*refreshed, return_exceptions=True), strict=True):
            if error is not None:  # whatever it was, the other models are looked at, and this one again next time
                self.log.write("error", kind=type(error).__name__, at=f"refresh of {name}")

    def _close_model(self, model: ServedModel) -> None:
        task = asyncio.get_running_loop().create_task(model.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _open(self, settings: ModelSettings) -> ServedModel:
        workers = self.config.server.workers or default_threads()
        return ServedModel(settings, self.config.server, self.config.limits, workers=workers, journal=self.journal)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(self.config.server.poll_seconds)
            await self.reload()

    async def _keep_hearing(self, peers: Peers) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._hear(peers)
            except (NoriaError, OSError) as error:  # a full disk; the next look may find room
                self.log.write("error", kind=type(error).__name__, at="news of another process")

    async def _keep_observing(self) -> None:
        """Keep the gauges up to date, for /metrics is asked of only one of the processes that count together."""
        while True:
            self.observe_queues()
            await asyncio.sleep(OBSERVE_SECONDS)

    def _tell_versions(self) -> None:
        loaded = [(name, str(number)) for name, model in self.models.items() for number in model.loaded]
        self.metrics.tell_versions(loaded)

    @asynccontextmanager
    async def _picked(self, spec: Spec) -> AsyncIterator[Version]:
        """Hold a version, so that it is not closed before the request is answered."""
        version = self.model(spec.name).pick(spec.version, spec.label)
        version.in_flight += 1
        try:
            yield version
        finally:
            version.in_flight -= 1

    async def _call(
        self, spec: Spec, version: Version, servable: Servable, inputs: Tensors, deadline: float
    ) -> Prediction:
        name, signature = _signature(servable, spec)
        require_inputs(signature, inputs)
        rows = servable.rows(name, inputs)
        outcomes = await self._run(spec.name, version, rows, deadline)
        for place, outcome in enumerate(outcomes):
            if isinstance(outcome, str):
                raise RequestError(f"Instance {place}: {outcome}." if len(rows) > 1 else f"{outcome}.")
        return Prediction(spec.name, version.number, name, signature, servable.outputs(name, outcomes))

    async def _on_examples(self, spec: Spec, examples: Sequence[Example], method: str, deadline: float) -> Prediction:
        async with self._picked(spec) as version:
            servable, _ = require_loaded(version)
            name = spec.signature or _first_of(servable, method)
            _require_called_here(servable, name)
            found = servable.signatures.get(name)
            if found is None or found.method != method:
                raise RequestError(f"Expected a signature of the method {method}; {name!r} is none.")
            inputs = servable.example_inputs(name, examples)
            called = Spec(spec.name, spec.version, spec.label, name)
            return await self._call(called, version, servable, inputs, deadline)

    async def _run(self, model: str, version: Version, rows: list[Row], deadline: float) -> list[Outcome]:
        """Queue rows, wait for their outcomes and count what happened."""
        if len(rows) > (most := self.model(model).most_rows):
            raise TooLargeError(f"{len(rows):,} inputs in one request, at most {most:,} are taken.")
        await self._require_few_pixels(version, rows)
        servable, batcher = require_loaded(version)
        job = batcher.submit(rows, deadline)
        try:
            async with asyncio.timeout(deadline - monotonic()):
                outcomes = await job.future
        except TimeoutError:
            raise DeadlineError("The answer was not there in time.") from None
        finally:
            batcher.drop(job)
        self._count(model, version, servable, job, outcomes)
        self._ask_shadow(model, version, rows, outcomes)
        return outcomes

    async def _require_few_pixels(self, version: Version, rows: list[Row]) -> None:
        """Refuse what would take too long to decode, by the headers; one picture is held to its own limit."""
        servable, limits = version.servable, self.config.limits
        if not isinstance(servable, BundleServable) or (len(rows) < 2 and limits.pixels <= limits.request_pixels):
            return
        found = await self.aside(len(rows) * HEADER, lambda: servable.pixels(rows))
        if found > (most := limits.request_pixels):
            told = f"The pictures have {found:,} pixels together, at most {most:,} are taken"
            raise TooLargeError(f"{told}: send them in several requests.")

    def _count(self, model: str, version: Version, servable: Servable, job: Job, outcomes: list[Outcome]) -> None:
        if not job.rows:
            return
        waited = job.started - job.submitted
        add_stages(job.submitted, ("queue", waited), ("decode", job.decode_seconds), ("run", job.run_seconds))
        stage = self.metrics.stages.labels
        stage(model, "queue").observe(waited)
        stage(model, "decode").observe(job.decode_seconds)
        stage(model, "run").observe(job.run_seconds)
        self.metrics.batches.labels(model).observe(job.batch_rows)
        if isinstance(servable, BundleServable):
            if scored := [one for one in outcomes if isinstance(one, np.ndarray)]:
                self.metrics.count_answers(model, version.number, np.stack(scored), servable.bundle.labels)
            if bad := sum(isinstance(one, str) for one in outcomes):
                self.metrics.unreadable.labels(model).inc(bad)

    def _ask_shadow(self, model: str, answered: Version, rows: list[Row], outcomes: list[Outcome]) -> None:
        shadow = self.models[model].shadow() if model in self.models else None
        if shadow is None or shadow is answered or not rows or isinstance(rows[0], Explain):
            return
        self._shadows.ask(model, shadow, rows, outcomes)


def require_servable(settings: ModelSettings) -> None:
    """Raise ArtifactError where there is nothing to serve, so that a wrong path is told before the server starts."""
    path = settings.path
    if servables.find(path):
        return
    try:
        children = list(numbered(path).values())
    except OSError:
        children = []
    if not any(servables.find(child) for child in children):
        servables.require(path)


def _signature(servable: Servable, spec: Spec) -> tuple[str, Signature]:
    name = spec.signature or DEFAULT_SIGNATURE
    if found := servable.signatures.get(name):
        return name, found
    _require_called_here(servable, name)
    raise RequestError(f"There is no signature {name!r}. Signatures: {', '.join(sorted(servable.signatures))}.")


def _require_called_here(servable: Servable, signature: str) -> None:
    if why := servable.refused.get(signature):
        raise RequestError(f"The signature {signature!r} is not served: {why}.")


def _first_of(servable: Servable, method: str) -> str:
    if (found := servable.signatures.get(DEFAULT_SIGNATURE)) and found.method == method:
        return DEFAULT_SIGNATURE
    return next((name for name, one in servable.signatures.items() if one.method == method), DEFAULT_SIGNATURE)
