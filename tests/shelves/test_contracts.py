"""One contract suite for each shelf: whatever its members are, they offer what the shelf's docstring promises."""

from __future__ import annotations

import inspect
import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import BaseModel

from noria import models, plugins
from noria.artifacts.bundle import Tolerances
from noria.contracts import Scored
from noria.data.findings import KINDS
from noria.data.suspicions import Looked
from noria.errors import UnreadableInputError
from noria.inference import runtimes
from noria.inputs import image


def members(shelf: str) -> list[Any]:
    """Return the parameters of a test: every member of a shelf."""
    return [pytest.param(name, id=name) for name in plugins.names(shelf)]


def photo(side: int = 24) -> bytes:
    target = io.BytesIO()
    Image.effect_noise((side, side), 60).convert("RGB").save(target, "PNG")
    return target.getvalue()


def _encoded(picture: Image.Image) -> bytes:
    target = io.BytesIO()
    picture.save(target, "PNG")
    return target.getvalue()


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize("name", members("noria.tasks"))
def test_a_task_is_a_row_of_names_that_stand_on_shelves(name: str) -> None:
    task = plugins.load("noria.tasks", name)
    assert task.TITLE
    for reader in task.READERS:
        plugins.require("noria.data.readers", reader)
    plugins.require("noria.inputs", task.INPUT)
    plugins.require("noria.exporting.graphs", task.INPUT)
    plugins.require("noria.answers", task.ANSWER)
    plugins.require("noria.data.augment", task.AUGMENT)
    plugins.require("noria.evaluation.metrics", task.METRICS)
    plugins.require("noria.data.similarity", task.SIMILARITY)
    for name_of_member in task.SUSPICIONS:
        plugins.require("noria.data.suspicions", name_of_member)
    assert models.card(task.MODEL).input == task.INPUT


@pytest.mark.parametrize("name", members("noria.data.suspicions"))
def test_a_member_that_suspects_names_its_kinds_and_accuses_nobody_of_nothing(name: str) -> None:
    member = plugins.load("noria.data.suspicions", name)
    assert member.KINDS <= KINDS
    assert member.suspicions(Looked([])) == []


@pytest.mark.parametrize("name", members("noria.data.readers"))
def test_a_reader_knows_its_own_and_refuses_the_rest(name: str, tmp_path: Path) -> None:
    reader = plugins.load("noria.data.readers", name)
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    (tmp_path / "text.bin").write_bytes(b"\0\1")
    assert reader.recognises(nothing) is False
    assert reader.recognises(tmp_path / "text.bin") is False
    assert parameters(reader.read) == ["path", "columns"]


GOOD = {"image": photo, "text": lambda: "Das Café — 很好! 👍".encode()}
BAD = {"image": (b"", b"\0" * 100, photo()[:40]), "text": (b"", b"\0" * 100, b" \n\t")}
PIXELS = {"image": 24 * 24, "text": 0}


@pytest.mark.parametrize("name", members("noria.inputs"))
def test_an_input_reads_a_good_example_and_refuses_a_bad_one(name: str) -> None:
    module = plugins.load("noria.inputs", name)
    settings = module.Settings()
    assert isinstance(settings, BaseModel)
    assert module.Settings.model_validate(settings.model_dump(mode="json")) == settings
    assert len(module.NOUN) == 2
    assert module.STANDARD_INPUT in ("files", "lines")
    good = GOOD[name]()
    files = module.learn([good] * 3, settings)
    assert all(isinstance(content, bytes) and "/" not in file for file, content in files.items())
    read = module.open_reader(settings, files)
    assert np.array_equal(read(good), read(good))
    assert read(good).dtype in (np.uint8, np.int32)
    assert read(good).any()
    assert module.inspect(good, settings).content_sha256 == module.inspect(good, settings).content_sha256
    assert module.pixels(good) == PIXELS[name]
    assert all(module.pixels(bad) == 0 for bad in (b"", b"\0" * 100))
    assert 0 < len(module.preview(good)) < 10_000
    assert type(module.close_up(good)) is type(module.preview(good))
    for _ending, _note, variant in module.variants(good):
        assert module.inspect(variant, settings)
    for bad in BAD[name]:
        for function in (read, lambda data: module.inspect(data, settings)):
            with pytest.raises(UnreadableInputError):
                function(bad)


@pytest.mark.parametrize("name", members("noria.inputs"))
def test_settings_of_an_input_are_frozen_and_admit_no_unknown_key(name: str) -> None:
    kind = plugins.load("noria.inputs", name).Settings
    assert kind.model_config["frozen"] is True
    assert kind.model_config["extra"] == "forbid"


@pytest.mark.parametrize("name", members("noria.answers"))
def test_an_answer_names_the_best_label_first(name: str) -> None:
    answer = plugins.load("noria.answers", name).answer
    told = answer(np.array([0.1, 0.7, 0.2], np.float32), ["a", "b", "c"], top=2)
    assert told["label"] == "b"
    assert [label for label, _ in told["top"]] == ["b", "c"]
    assert told["confidence"] == pytest.approx(0.7)
    assert answer(np.array([0.5, 0.5], np.float32), ["first", "second"])["label"] == "first"


@pytest.mark.parametrize("name", members("noria.data.augment"))
def test_an_augmentation_is_decided_by_its_settings_and_key(name: str) -> None:
    module = plugins.load("noria.data.augment", name)
    settings = module.Settings()
    array = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    once, again, other = (module.vary(array, settings, key) for key in ("one", "one", "two"))
    assert (once.shape, once.dtype) == (array.shape, array.dtype)
    assert np.array_equal(once, again)
    varies = module.number_of_views(settings, 10) > 0
    assert np.array_equal(once, other) is not varies
    assert isinstance(module.RECIPE, int)
    assert 0 <= module.number_of_views(settings, 10) <= 64


@pytest.mark.parametrize("name", members("noria.data.similarity"))
def test_a_search_for_near_duplicates_pairs_nothing_that_is_not_alike(name: str) -> None:
    module = plugins.load("noria.data.similarity", name)
    sketches = [image.inspect(photo(side), image.Settings()).sketch for side in (24, 32, 48)]
    inputs = {"image": sketches, "text": [b"one text of some words", None, b"quite another thing, and longer"]}
    assert module.near_pairs(inputs.get(name, []), lambda: None) == []


@pytest.mark.parametrize("name", members("noria.data.similarity"))
def test_a_search_for_near_duplicates_passes_over_what_is_different_by_decision(name: str, shared_data: Path) -> None:
    module = plugins.load("noria.data.similarity", name)
    photos = [
        Image.open(path).convert("RGB") for path in sorted((shared_data / "flowers" / "daisy").glob("*.jpg"))[:14]
    ]
    alike = [photos[3], photos[3].resize((113, 113)), photos[3].point(lambda value: value * 3 // 4)]
    words = [f"word{number}" for number in range(60)]
    inputs = {
        "image": [image.inspect(_encoded(one), image.Settings()).sketch for one in (*alike, *photos[4:])],
        "text": [" ".join([*words[:at], "other", *words[at + 1 :]]).encode() for at in (5, 25, 45)],
    }.get(name, [])
    every = {pair[:2] for pair in module.near_pairs(inputs)}
    for one in every:
        left = {pair[:2] for pair in module.near_pairs(inputs, apart={one})}
        assert one not in left
        assert len(left) >= 2  # still all three, by the two other pairs
    assert module.near_pairs(inputs, apart={(0, 1), (0, 2), (1, 2)}) == []
    assert len(every) >= (2 if inputs else 0)


@pytest.mark.parametrize("name", members("noria.data.suspicions"))
def test_a_suspicion_names_its_kinds_and_finds_nothing_where_there_is_nothing(name: str) -> None:
    module = plugins.load("noria.data.suspicions", name)
    assert module.KINDS <= KINDS
    assert module.suspicions(Looked([], [], [], lambda: None)) == []


@pytest.mark.parametrize("name", models.names())
def test_a_model_has_a_card_with_its_size_licence_and_source(name: str) -> None:
    card = models.card(name)
    assert card.name == name
    settings = plugins.load("noria.inputs", card.input).Settings
    assert settings.model_validate(card.settings)
    assert card.parameters is None or card.parameters > 100_000
    assert card.licence and card.weights_source
    plugins.require("noria.training.strategies", card.strategy)


@pytest.mark.parametrize("name", members("noria.models"))
def test_a_family_of_models_offers_its_names_and_no_name_twice(name: str) -> None:
    family = plugins.load("noria.models", name)
    assert family.NAMES
    assert len(models.names()) == len(set(models.names()))
    assert set(family.NAMES) <= set(models.names())


@pytest.mark.parametrize("name", members("noria.training.strategies"))
def test_a_strategy_trains_a_job(name: str) -> None:
    assert parameters(plugins.load("noria.training.strategies", name).train) == ["job", "store", "progress"]


@pytest.mark.parametrize("name", members("noria.evaluation.metrics"))
def test_metrics_are_facts_that_json_can_hold(name: str) -> None:
    import orjson

    scores = np.array([[0.8, 0.2], [0.4, 0.6], [0.9, 0.1]], np.float32)
    scored = Scored(("x", "y", "z"), ("a", "b"), np.array([0, 1, 1], np.int64), scores)
    told = plugins.load("noria.evaluation.metrics", name).measure(scored)
    assert told["num_examples"] == 3
    assert told["accuracy"] == pytest.approx(2 / 3)
    low, high = told["interval"]
    assert low < told["accuracy"] < high
    assert orjson.loads(orjson.dumps(told)) == told


@pytest.mark.parametrize("name", members("noria.exporting.formats"))
def test_a_format_has_a_place_tolerances_and_an_engine(name: str) -> None:
    member = plugins.load("noria.exporting.formats", name)
    assert member.PATH and not Path(member.PATH).is_absolute()
    assert Tolerances.model_validate(member.TOLERANCES)
    assert 0.8 <= member.TOLERANCES["agreement"] <= 1
    assert 0 <= member.TOLERANCES["accuracy_loss"] <= 0.02
    assert parameters(member.write) == ["source", "folder"]
    assert name in {runtimes.member(runtime).FORMAT for runtime in runtimes.ranked()}


def test_no_two_formats_write_to_the_same_place() -> None:
    paths = [plugins.load("noria.exporting.formats", name).PATH for name in plugins.names("noria.exporting.formats")]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize("name", members("noria.exporting.graphs"))
def test_every_graph_is_the_twin_of_an_input(name: str) -> None:
    plugins.require("noria.inputs", name)
    member = plugins.load("noria.exporting.graphs", name)
    assert parameters(member.build) == ["settings", "files"]


@pytest.mark.parametrize("name", members("noria.inference.runtimes"))
def test_a_runtime_says_what_it_reads_needs_and_accepts(name: str) -> None:
    member = runtimes.member(name)
    plugins.require("noria.exporting.formats", member.FORMAT)
    assert member.ACCEPTS in ("arrays", "bytes")
    assert isinstance(member.BATCH, int) and member.BATCH >= 1
    assert isinstance(member.PARALLEL, bool)
    assert isinstance(member.EXTRA, str)
    assert hasattr(member, "NEEDS") is hasattr(member, "runs_here")
    assert parameters(member.open_session) == ["path", "threads"]
    assert runtimes.is_installed(name) is (find_spec(member.REQUIRES) is not None)


def test_no_two_runtimes_have_the_same_rank_and_the_first_needs_no_extra() -> None:
    ranks = [runtimes.member(name).RANK for name in runtimes.ranked()]
    assert len(ranks) == len(set(ranks))
    assert runtimes.member(runtimes.ranked()[0]).EXTRA == ""


@pytest.mark.parametrize("name", members("noria.inference.runtimes"))
def test_a_runtime_answers_the_golden_examples_of_a_bundle(name: str, bundle: Any) -> None:
    from noria.inference.predictor import Input, Predictor

    if not runtimes.is_installed(name):
        pytest.skip(f"{runtimes.member(name).REQUIRES} is not installed")
    if not runtimes.runs_here(name):
        pytest.skip(f"{name} needs {runtimes.member(name).NEEDS}")
    golden = bundle.golden_inputs()
    results = list(Predictor(bundle, runtime=name).results(Input(str(at), data) for at, data in enumerate(golden)))
    assert [result.name for result in results] == list(map(str, range(len(golden))))
    scores = np.stack([result.scores for result in results])
    assert scores.dtype == np.float32
    assert np.allclose(scores.sum(axis=1), 1, atol=0.05)
    expected = np.array([one.scores for one in bundle.manifest.golden])
    close = runtimes.tolerances(name, bundle.manifest)
    largest = np.abs(scores - expected).max(axis=1)
    assert close.score_difference is None or largest.max() <= close.score_difference
    assert close.mean_score_difference is None or largest.mean() <= close.mean_score_difference
    assert (scores.argmax(axis=1) == expected.argmax(axis=1)).mean() >= min(close.agreement, 0.8)
