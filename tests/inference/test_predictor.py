"""Answers come in order, a bad file costs only its own, every engine says the same, and the light half stays light."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from noria import api
from noria.artifacts.bundle import Bundle
from noria.artifacts.run import Run
from noria.errors import ArtifactError, UnknownNameError
from noria.inference import runtimes
from noria.inference.predictor import Input, Predictor, files_below, open_source, usable_runtimes

FLOAT = ("litert", "openvino", "keras", "savedmodel")
# Runs the real command line, then says what it had imported.
LIGHT = """
import sys
sys.argv = ["noria", *sys.argv[1:]]
from noria.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(sorted(name for name in ("tensorflow", "keras", "jax", "torch") if name in sys.modules), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def files(photos: Path) -> list[Path]:
    """Nine photos, the classes mixed."""
    by_class = [sorted((photos / label).glob("[0-9]*.jpg"))[:3] for label in ("rose", "sunflower", "daisy")]
    return [file for three in zip(*by_class, strict=True) for file in three]


@pytest.fixture(scope="module")
def predictor(bundle: Bundle) -> Predictor:
    return Predictor(bundle)


def light(*arguments: object) -> tuple[list[dict[str, Any]], str]:
    """Run `noria ...` in a process of its own; return its JSON lines and its standard error."""
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, *map(str, arguments)], capture_output=True, text=True, check=True, timeout=60
    )
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_answers_come_in_the_order_of_the_inputs(predictor: Predictor, files: list[Path]) -> None:
    many = [Input(str(number), files[number % len(files)]) for number in range(60)]
    answers = list(predictor.answers(many))
    assert [answer["input"] for answer in answers] == [str(number) for number in range(60)]
    single = [next(predictor.answers([Input("one", file)])) for file in files]
    for number, answer in enumerate(answers):
        assert answer["top"] == single[number % len(files)]["top"]


def test_an_answer_has_a_label_a_confidence_and_the_best_scores(predictor: Predictor, files: list[Path]) -> None:
    (answer,) = predictor.answers([Input("a", files[0])], top=2)
    assert answer.keys() == {"input", "label", "confidence", "top"}
    assert answer["top"][0] == [answer["label"], answer["confidence"]]
    assert len(answer["top"]) == 2
    assert answer["top"][0][1] >= answer["top"][1][1]


def test_scores_are_probabilities(predictor: Predictor, files: list[Path]) -> None:
    for result in predictor.results([Input(file.name, file) for file in files]):
        assert result.scores is not None
        assert (result.scores.shape, result.scores.dtype) == ((3,), np.float32)
        assert result.scores.sum() == pytest.approx(1, abs=1e-5)


def test_bad_files_are_answered_with_their_reason_while_the_others_go_on(
    predictor: Predictor, photos: Path, files: list[Path], tmp_path: Path
) -> None:
    bad = {
        photos / "daisy" / "broken.jpg": "",
        photos / "rose" / "empty.jpg": "empty",
        photos / "rose" / "notes.txt": "",
        photos / "sunflower" / "cut off.jpg": "",
        tmp_path / "nowhere.jpg": "no such file",
        Path("/dev/null"): "not a file",
    }
    mixed = [one for pair in zip(bad, files, strict=False) for one in pair]
    answers = list(predictor.answers([Input(str(path), path) for path in mixed]))
    assert [answer["input"] for answer in answers] == [str(path) for path in mixed]
    for path, answer in zip(mixed, answers, strict=True):
        assert ("error" in answer) == (path in bad)
        assert bad.get(path, "") in answer.get("error", "")
        if path in bad:
            assert answer["error"]
            assert str(path) not in answer["error"]


def test_only_bad_files_are_no_crash(predictor: Predictor) -> None:
    (answer,) = predictor.answers([Input("x", b"")])
    assert answer.keys() == {"input", "error"}
    assert list(predictor.answers([])) == []


def test_bytes_are_answered_like_the_file(predictor: Predictor, files: list[Path]) -> None:
    from_file, from_bytes = predictor.answers([Input("same", files[0]), Input("same", files[0].read_bytes())])
    assert from_file == from_bytes


def test_inputs_are_taken_as_they_are_needed(predictor: Predictor, files: list[Path]) -> None:
    taken = []

    def endless() -> Iterator[Input]:
        while True:
            taken.append(True)
            yield Input("x", files[0])

    answers = predictor.answers(endless())
    for _ in range(3):
        next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert len(taken) < 100


def test_folders_are_read_to_the_bottom_in_sorted_order(photos: Path, tmp_path: Path) -> None:
    names = ["b/c/2.jpg", "b/1.jpg", "a.jpg", "b/a/花 🌻.jpg"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [Path(one.name).relative_to(tmp_path).as_posix() for one in files_below([tmp_path])]
    assert found == ["a.jpg", "b/1.jpg", "b/a/花 🌻.jpg", "b/c/2.jpg"]
    assert [one.name for one in files_below([Path("not there.jpg")])] == ["not there.jpg"]


def test_files_in_linked_folders_are_answered_once_and_links_in_a_circle_end(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    for name in ("photos/b/1.jpg", "photos/z.jpg", "elsewhere/deep/2.jpg", "elsewhere/3.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (root / "a").symlink_to(tmp_path / "elsewhere")
    (root / "c").symlink_to(tmp_path / "elsewhere")
    (root / "b" / "round").symlink_to(root)
    (root / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "elsewhere" / "deep" / "back").symlink_to(root / "b")
    (root / "broken.jpg").symlink_to("nowhere")
    (tmp_path / "link").symlink_to(root)
    for start in (root, tmp_path / "link"):
        found = {Path(one.name).relative_to(start).as_posix(): one.trouble for one in files_below([start])}
        assert found == {
            "z.jpg": "",
            "broken.jpg": "a link that leads nowhere",
            "b/1.jpg": "",
            "b/up": "it leads to a folder that contains this one, which is not looked into",
            "a/3.jpg": "",
            "a/deep/2.jpg": "",
        }


def test_the_python_api_takes_files_folders_and_bytes(bundle: Bundle, photos: Path, files: list[Path]) -> None:
    answers = list(api.predict(bundle, [files[0], photos / "daisy", files[0].read_bytes()], top=1))
    assert len(answers) == 1 + len(list((photos / "daisy").iterdir())) + 1
    assert answers[0]["top"] == answers[-1]["top"]
    (one,) = api.predict(str(bundle.path), str(files[0]))
    assert one["label"] == answers[0]["label"]


@pytest.mark.parametrize("runtime", runtimes.ranked())
def test_every_installed_runtime_answers_alike(
    bundle: Bundle, predictor: Predictor, files: list[Path], runtime: str
) -> None:
    if not runtimes.is_installed(runtime):
        pytest.skip(f"{runtime} is not installed")
    if not runtimes.runs_here(runtime):
        pytest.skip(f"{runtime} needs {runtimes.member(runtime).NEEDS}")
    inputs = [Input(file.name, file) for file in files]
    reference = np.stack([one.scores for one in predictor.results(inputs) if one.scores is not None])
    scores = np.stack(
        [one.scores for one in Predictor(bundle, runtime=runtime).results(inputs) if one.scores is not None]
    )
    assert scores.shape == reference.shape == (len(files), 3)
    # SavedModel decodes in its own graph, int8 has 256 steps; a factor or a channel gone wrong is far more than this.
    tolerance = {"savedmodel": 0.05}.get(runtime, 1e-4 if runtime in FLOAT else 0.15)
    np.testing.assert_allclose(scores, reference, atol=tolerance)


@pytest.mark.parametrize("runtime", ["savedmodel", "litert_int8"])
def test_every_runtime_has_the_same_validator_at_its_door(bundle: Bundle, photos: Path, runtime: str) -> None:
    bad = [photos / "sunflower" / "cut off.jpg", photos / "rose" / "empty.jpg"]
    good = min((photos / "rose").glob("*.jpg"))
    answers = list(Predictor(bundle, runtime=runtime).answers([Input(str(path), path) for path in [*bad, good]]))
    assert [("error" in answer) for answer in answers] == [True, True, False]


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P"])
def test_every_kind_of_picture_is_answered(predictor: Predictor, files: list[Path], tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("picture.tif" if mode == "CMYK" else "picture.png")
    Image.open(files[0]).convert(mode).save(path)
    (answer,) = predictor.answers([Input("x", path)])
    assert "label" in answer


def test_litert_is_taken_by_default(bundle: Bundle, run: Run) -> None:
    assert Predictor(bundle).runtime == "litert"
    assert set(usable_runtimes(bundle)) >= {"litert", "litert_int8", "keras", "savedmodel"}
    assert usable_runtimes(run) == ["keras"]


def test_an_unknown_runtime_names_the_nearest(bundle: Bundle) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'litert_int8'"):
        Predictor(bundle, runtime="litert_int9")


def test_what_is_no_bundle_and_no_run_is_told(tmp_path: Path, bundle: Bundle, run: Run) -> None:
    assert isinstance(open_source(bundle.path), Bundle)
    assert isinstance(open_source(run.path), Run)
    with pytest.raises(ArtifactError, match="does not exist"):
        open_source(tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match="is neither"):
        open_source(tmp_path)


def test_predict_never_imports_tensorflow(bundle: Bundle, files: list[Path], predictor: Predictor) -> None:
    lines, errors = light("predict", bundle.path, *files, "--json")
    assert errors.splitlines()[-1] == "[]"
    assert [line["input"] for line in lines] == [str(file) for file in files]
    expected = list(predictor.answers(files_below(files)))
    assert [line["label"] for line in lines] == [answer["label"] for answer in expected]


def test_evaluate_on_a_bundle_never_imports_tensorflow(bundle: Bundle, photos: Path) -> None:
    (told,), errors = light("evaluate", bundle.path, photos, "--json")
    assert errors.splitlines()[-1] == "[]"
    assert told["num_examples"] == 49


def test_standard_input_is_a_picture_or_a_list_of_paths(bundle: Bundle, files: list[Path]) -> None:
    command = [sys.executable, "-c", LIGHT, "predict", str(bundle.path), "-", "--json"]
    listed = "\n".join(map(str, files[:2])).encode()
    picture, paths = (
        subprocess.run(command, input=given, capture_output=True, check=True, timeout=60).stdout.splitlines()
        for given in (files[0].read_bytes(), listed)
    )
    assert len(picture) == 1
    assert [json.loads(line)["input"] for line in paths] == [str(file) for file in files[:2]]
    assert json.loads(picture[0])["top"] == json.loads(paths[0])["top"]
