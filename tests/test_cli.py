"""The command line as scripts and people meet it, in processes of its own: output, exit codes, messages."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import noria
from noria.artifacts.bundle import Bundle
from noria.artifacts.run import Run
from noria.config import load_config
from noria.errors import ArtifactError

NORIA = [sys.executable, "-m", "noria"]
VERBS = ["init", "check", "train", "evaluate", "export", "verify", "predict", "demo"]


def call(*words: object, cwd: Path | None = None, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end; it never shows a traceback."""
    done = subprocess.run(
        [*NORIA, *map(str, words)], cwd=cwd, input=stdin, capture_output=True, timeout=200, env={**os.environ, **env}
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in out + err, err
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


# Imports once, then runs each line of standard input as a command in a process of its own: seconds, not minutes.
FORKING = """
import json, os, sys
import noria.api, noria.cli, noria.data.check, noria.inference.predictor
commands, folder = json.loads(sys.stdin.read()), sys.argv[1]
for number, words in enumerate(commands):
    if not (process := os.fork()):
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{folder}/{number}.{name}", os.O_WRONLY | os.O_CREAT), descriptor)
        sys.argv = ["noria", *words]
        noria.cli.main()
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"""


def call_many(commands: Sequence[Sequence[str]], cwd: Path, scratch: Path) -> list[subprocess.CompletedProcess[str]]:
    """Run many light commands, each with its own exit code and output."""
    done = subprocess.run(
        [sys.executable, "-c", FORKING, scratch],
        cwd=cwd,
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "COLUMNS": "400"},
    )
    codes = [int(line) for line in done.stdout.splitlines()]
    assert len(codes) == len(commands), done.stderr
    told = []
    for number, (words, code) in enumerate(zip(commands, codes, strict=True)):
        out, err = ((scratch / f"{number}.{name}").read_text() for name in ("out", "err"))
        assert "Traceback" not in out + err, err
        told.append(subprocess.CompletedProcess(words, code, out, err))
    return told


def one_object(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the one JSON object that standard output consists of."""
    assert done.stdout.count("\n") == 1 and done.stdout.endswith("\n"), done.stdout
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told


def in_terminal(*words: object, interrupt_at: bytes = b"", cwd: Path | None = None) -> tuple[int, str]:
    """Run in a pseudo-terminal, press Ctrl-C once the screen shows `interrupt_at`, return exit code and screen."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [*NORIA, *map(str, words)],
        stdin=child,
        stdout=child,
        stderr=child,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "80"},
    )
    os.close(child)
    screen, pressed, start = b"", False, time.monotonic()
    while time.monotonic() - start < 100:
        if select.select([parent], [], [], 0.1)[0]:
            try:
                screen += os.read(parent, 65_536)
            except OSError:  # the other end is closed
                break
        if interrupt_at and not pressed and interrupt_at in screen:
            process.send_signal(signal.SIGINT)
            pressed = True
    os.close(parent)
    code = process.wait(20)
    assert pressed == bool(interrupt_at), screen[-500:]
    return code, screen.decode(errors="replace")


@pytest.fixture
def here(tmp_path: Path, photos: Path) -> Path:
    """An empty working folder with a link `photos` in it."""
    (tmp_path / "photos").symlink_to(photos)
    return tmp_path


# What scripts read


def test_check_prints_one_object_with_findings(photos: Path) -> None:
    told = one_object(call("check", photos, "--json"))
    assert told["num_examples"] == sum(told["splits"][side] for side in ("train", "validation", "test")) == 49
    kinds = {finding["kind"]: finding for finding in told["findings"]}
    assert {"unreadable", "exact_duplicates"} <= set(kinds)
    for finding in kinds.values():
        assert {"kind", "severity", "count", "examples"} <= set(finding)
        assert finding["severity"] in ("error", "warning", "info")
        assert isinstance(finding["count"], int) and isinstance(finding["examples"], list)
    assert {Path(one["path"]).name for one in told["set_aside"]} >= {"broken.jpg", "empty.jpg", "cut off.jpg"}
    assert all(one["reason"] for one in told["set_aside"])


def test_train_prints_one_object_with_the_promised_keys(photos: Path, run: Run, tmp_path: Path) -> None:
    config = tmp_path / "used.toml"
    config.write_bytes((run.path / "config.toml").read_bytes())
    done = call("train", photos, "--out", run.path, "--config", config, "--json")
    told = one_object(done)
    assert done.returncode == 0
    assert "already trained" in done.stderr  # the session's own run, so that nothing is trained twice here
    assert (told["run"], told["report"]) == (str(run.path), str(run.path / "report.html"))
    assert (told["task"], told["num_classes"]) == ("image_classification", 3)
    assert {key: type(value) for key, value in told["num_examples"].items()} == dict.fromkeys(
        ("train", "validation", "test", "set_aside"), int
    )
    low, high = told["test"]["interval"]
    assert 0 <= low <= told["test"]["accuracy"] <= high <= 1
    assert told["seconds"]["total"] >= max(told["seconds"].values()) > 0
    assert {"check", "features", "head"} <= set(told["seconds"])
    assert "small_test" in {one["kind"] for one in told["concerns"]}


def test_train_tells_what_its_report_warns_of(photos: Path, run: Run, tmp_path: Path) -> None:
    same = shutil.copytree(run.path, tmp_path / "run")
    facts = json.loads((same / "report.json").read_bytes())
    grave = {**facts["concerns"][0], "severity": "error", "message": "It guesses."}
    (same / "report.json").write_text(json.dumps({**facts, "concerns": [grave], "findings": [grave]}))
    said = call("train", photos, "--out", same, "--config", same / "config.toml").stdout
    assert "Careful: It guesses.\nReport:" in said
    (same / "report.json").unlink()
    assert "Careful" not in call("train", photos, "--out", same, "--config", same / "config.toml").stdout


def test_evaluate_prints_one_object_with_the_promised_keys(photos: Path, bundle: Bundle) -> None:
    told = one_object(call("evaluate", bundle.path, photos, "--json"))
    low, high = told["interval"]
    assert 0 <= low <= told["accuracy"] <= high <= 1
    assert told["num_examples"] == 49
    assert len(told["set_aside"]) >= 3


def test_export_prints_one_object_with_the_promised_keys(run: Run, tmp_path: Path) -> None:
    done = call("export", run.path, "--out", tmp_path / "bundle", "--formats", "keras,litert", "--json")
    told = one_object(done)
    assert done.returncode == 0, done.stderr
    assert told["bundle"] == str(tmp_path / "bundle")
    assert [set(file) for file in told["files"]] == [{"format", "path", "bytes"}] * 2
    for file in told["files"]:
        assert (tmp_path / "bundle" / file["path"]).stat().st_size == file["bytes"]
    assert "WARNING" not in done.stderr


def test_verify_prints_one_object_and_no_noise_of_libraries(bundle: Bundle) -> None:
    done = call("verify", bundle.path, "--json")
    told = one_object(done)
    assert (done.returncode, told["passed"]) == (0, True)
    keys = {"name", "accuracy", "agreement", "max_score_difference", "milliseconds", "bytes"}
    assert all(keys <= set(row) for row in told["runtimes"])
    assert {"keras", "savedmodel", "litert", "litert_int8"} <= {row["name"] for row in told["runtimes"]}
    assert not [line for line in done.stderr.splitlines() if "0000 00:00" in line or "WARNING" in line], done.stderr


def test_predict_prints_a_line_an_input_in_their_order(bundle: Bundle, photos: Path) -> None:
    good = sorted((photos / "rose").glob("[0-9]*.jpg"))[:2]
    given = [good[1], photos / "daisy" / "broken.jpg", "missing.jpg", good[0]]
    done = call("predict", bundle.path, *given, "--json", "--top", 2)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [line["input"] for line in lines] == list(map(str, given))
    for line in (lines[0], lines[3]):
        assert [line["label"], line["confidence"]] == line["top"][0]
        assert len(line["top"]) == 2 and line["top"][0][1] >= line["top"][1][1]
    assert [set(line) for line in lines[1:3]] == [{"input", "error"}] * 2


def test_predict_reads_paths_or_one_picture_from_standard_input(bundle: Bundle, photos: Path) -> None:
    photo = min((photos / "rose").glob("[0-9]*.jpg"))
    by_path = call("predict", bundle.path, "-", "--json", stdin=f"{photo}\n".encode())
    by_bytes = call("predict", bundle.path, "-", "--json", stdin=photo.read_bytes())
    first, second = json.loads(by_path.stdout), json.loads(by_bytes.stdout)
    assert (first["input"], second["input"]) == (str(photo), "-")
    assert first["top"] == second["top"]


def test_predict_of_bad_files_only_answers_each_and_exits_with_2(bundle: Bundle, photos: Path) -> None:
    done = call("predict", bundle.path, "missing.jpg", photos / "rose" / "empty.jpg", "--json")
    assert done.returncode == 2
    assert [set(json.loads(line)) for line in done.stdout.splitlines()] == [{"input", "error"}] * 2


def test_init_and_cache_print_one_object(tmp_path: Path) -> None:
    assert one_object(call("init", "my.toml", "--json", cwd=tmp_path)) == {"config": "my.toml"}
    told = one_object(call("cache", "show", "--json"))
    assert told["folder"] == os.environ["NORIA_CACHE"]
    assert told["bytes"] == sum(part["bytes"] for part in told["parts"])


def test_clearing_a_cache_frees_what_showing_it_said(tmp_path: Path, photos: Path) -> None:
    call("check", photos, NORIA_CACHE=str(tmp_path / "cache"))
    shown = one_object(call("cache", "show", "--json", NORIA_CACHE=str(tmp_path / "cache")))
    freed = one_object(call("cache", "clear", "--json", NORIA_CACHE=str(tmp_path / "cache")))
    assert freed["bytes"] == shown["bytes"] > 0
    assert not list((tmp_path / "cache").iterdir())


# The user's mistakes: exit code, message, and the same as JSON; nothing is left behind

MISTAKES = {
    "missing data": (["check", "nowhere"], "no file or folder 'nowhere'"),
    "mistyped data": (["train", "phots"], "Did you mean 'photos'"),
    "empty folder": (["check", "empty"], "empty folder"),
    "one class": (["train", "one"], "at least two"),
    "pictures without classes": (["check", "flat"], "without a folder for each class"),
    "unknown model": (["train", "photos", "--model", "efficientnet_lit0"], "Did you mean 'efficientnet_lite0'"),
    "unknown strategy": (["train", "photos", "--strategy", "frozn"], "Did you mean 'frozen'"),
    "unknown reader": (["check", "photos", "--set", "data.reader=image_foldr"], "Did you mean 'image_folder'"),
    "unknown --set key": (["train", "photos", "--set", "training.epoch=3"], "Did you mean 'training.epochs'"),
    "unknown config key": (["train", "photos", "--config", "unknown.toml"], "Did you mean 'training'"),
    "bad TOML": (["check", "photos", "--config", "bad.toml"], "bad.toml is not valid TOML"),
    "no such config": (["check", "photos", "--config", "none.toml"], "none.toml cannot be read"),
    "bad value": (["train", "photos", "--set", "training.epochs=zero"], "training.epochs"),
    "negative seed": (["check", "photos", "--seed", "-1"], "seed"),
    "seed that is a word": (["check", "photos", "--seed", "abc"], "--seed"),
    "out below a file": (["train", "photos", "--out", "bad.toml/run"], "bad.toml is a file"),
    "out is somebody's": (["train", "photos", "--out", "one"], "one is there already"),
    "no such decisions": (["train", "photos", "--decisions", "no.csv"], "There is no file of decisions 'no.csv'"),
    "decisions are none": (["check", "photos", "--decisions", "bad.toml"], "is no file of decisions"),
    "page without a place": (["check", "photos", "--page", "--decisions", "none"], "Answers need a file"),
    "unknown --fail-on": (["check", "photos", "--fail-on", "unreadble"], "Did you mean 'unreadable'"),
    "--fail-on drift from nothing": (["check", "photos", "--fail-on", "drift"], "--against OLD"),
    "run is no run": (["export", "photos"], "noria train"),
    "bundle is no bundle": (["verify", "photos"], "noria export"),
    "source is neither": (["predict", "photos", "photos"], "neither"),
    "source is missing": (["evaluate", "nowhere", "photos"], "does not exist"),
    "missing argument": (["train"], "Missing argument"),
    "unknown option": (["train", "photos", "--ouput", "x"], "--out"),
    "unknown verb": (["trian", "photos"], "train"),
    "init over a file": (["init", "bad.toml"], "--force"),
    "unknown task": (["init", "x.toml", "--task", "image_clasification"], "image_classification"),
}


@pytest.fixture(scope="module")
def mistakes(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    """What each mistake came to, in a folder that none of them may change."""
    here = tmp_path_factory.mktemp("mistakes")
    (here / "photos").symlink_to(photos)
    (here / "empty").mkdir()
    for folder in ("one/only", "flat"):
        (here / folder).mkdir(parents=True)
        for photo in sorted((photos / "rose").glob("[0-9]*.jpg"))[:3]:
            (here / folder / photo.name).symlink_to(photo)
    (here / "bad.toml").write_text("a = = 3")
    (here / "unknown.toml").write_text("[trainin]\nepochs = 3\n")
    before = sorted(here.rglob("*"))
    commands = [[*words, "--json"] for words, _ in MISTAKES.values()]
    done = call_many(commands, here, tmp_path_factory.mktemp("output"))
    assert sorted(here.rglob("*")) == before
    return dict(zip(MISTAKES, done, strict=True))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_words_and_as_json_and_exits_with_2(
    mistakes: dict[str, subprocess.CompletedProcess[str]], mistake: str
) -> None:
    done, said = mistakes[mistake], MISTAKES[mistake][1]
    told = one_object(done)
    assert done.returncode == 2
    assert set(told) == {"error"}
    assert said in told["error"]
    assert said in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "BUNDLE", "PHOTOS", "--runtime", "litrt"], "Did you mean 'litert'"),
        (["evaluate", "RUN", "PHOTOS", "--runtime", "litert"], "Known: keras"),
        (["export", "RUN", "--out", "x", "--formats", "lietrt"], "Did you mean 'litert'"),
        (["export", "BUNDLE"], "not a run"),
        (["verify", "RUN"], "not a bundle"),
    ],
)
def test_a_wrong_name_for_a_good_model_is_told(
    words: list[str], said: str, bundle: Bundle, run: Run, photos: Path, tmp_path: Path
) -> None:
    places = {"BUNDLE": str(bundle.path), "RUN": str(run.path), "PHOTOS": str(photos)}
    done = call(*(places.get(word, word) for word in words), "--json", cwd=tmp_path)
    assert (done.returncode, set(one_object(done))) == (2, {"error"})
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


def test_export_never_replaces_what_is_not_a_bundle(run: Run, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for force in (False, True):
        with pytest.raises(ArtifactError, match="is there already"):
            noria.export(run, tmp_path, formats=["keras"], replace=force)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_place_that_cannot_be_written_is_the_work_failing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = call("init", tmp_path / "file" / "noria.toml", "--json")
    assert done.returncode in (1, 2)
    assert "noria.toml" in one_object(done)["error"]


def test_fail_on_turns_a_finding_into_exit_code_1(photos: Path) -> None:
    found = call("check", photos, "--fail-on", "unreadable,imbalance", "--json")
    assert found.returncode == 1
    assert "num_examples" in one_object(found)
    assert "unreadable" in found.stderr
    assert call("check", photos, "--fail-on", "imbalance").returncode == 0
    assert call("check", photos, "--fail-on", "any").returncode == 1


def test_every_kind_of_finding_in_the_source_can_be_failed_on() -> None:
    import re

    from noria.data.check import KINDS

    package = Path(noria.__file__).parent
    files = [*(package / "data").rglob("*.py"), package / "artifacts" / "dataset.py"]
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    named = set(re.findall(r"(?:[Ff]inding|_obstacle)\(\s*\"(\w+)\"", source))
    assert len(named) > 8
    assert named <= KINDS


# What people see


def test_help_tells_what_each_verb_takes_does_and_defaults_to(tmp_path: Path) -> None:
    takes = {
        "check": "DATA",
        "train": "DATA",
        "evaluate": "DATA",
        "export": "RUN",
        "verify": "BUNDLE",
        "predict": "FILE",
    }
    defaults = {"train": "[default: runs/NAME]", "export": "[default: RUN/bundle]", "predict": "[default: 5]"}
    for verb, shown in zip(VERBS, call_many([[verb, "--help"] for verb in VERBS], tmp_path, tmp_path), strict=True):
        assert shown.returncode == 0
        assert "--json" in shown.stdout
        assert takes.get(verb, verb) in shown.stdout
        assert defaults.get(verb, "") in shown.stdout


def test_help_lists_the_verbs_in_the_order_of_the_pipeline() -> None:
    for words in ([], ["--help"], ["-h"]):
        shown = call(*words, COLUMNS="100").stdout
        listed = [line.split()[1] for line in shown.splitlines() if line.startswith("│ ") and line[2].isalpha()]
        assert [verb for verb in listed if verb in VERBS] == VERBS


def test_the_version_is_the_packages() -> None:
    assert call("--version").stdout == f"noria {noria.__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_ask_for_its_completion_script(shell: str) -> None:
    script = subprocess.run(
        [Path(sys.executable).with_name("noria")],
        env={**os.environ, "_NORIA_COMPLETE": f"source_{shell}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert script.returncode == 0
    assert "_NORIA_COMPLETE" in script.stdout


def test_completion_completes_a_verb() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("noria")],
        env={**os.environ, "_NORIA_COMPLETE": "complete_bash", "COMP_WORDS": "noria tr", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["train"]


def test_without_a_terminal_there_are_no_bars_and_no_colours(photos: Path, bundle: Bundle) -> None:
    for words in (["check", photos], ["predict", bundle.path, photos / "rose"]):
        done = call(*words)
        assert "\x1b" not in done.stdout + done.stderr
        assert "━" not in done.stdout + done.stderr
    assert call("check", photos, "--quiet").stderr == ""


def test_names_with_control_characters_stay_on_their_line_and_cannot_write_to_the_terminal(
    photos: Path, bundle: Bundle, tmp_path: Path
) -> None:
    hostile = "a\nb\x1b[31m\x9b2J"
    for label in ("rose", "sunflower"):
        shutil.copytree(photos / label, tmp_path / f"{hostile}{label}")
    checked, asked = call("check", tmp_path), call("predict", bundle.path, tmp_path)
    for told in (checked.stdout, asked.stdout):
        assert "\x1b" not in told
        assert "\x9b" not in told
        assert "a\\nb\\x1b[31m\\x9b2Jrose" in told
    files = sum(path.is_file() for path in tmp_path.rglob("*"))
    assert len(asked.stdout.splitlines()) == 1 + files
    missing = call("check", tmp_path / "\x1b[2Jnothing")
    assert missing.returncode == 2
    assert "\x1b" not in missing.stderr


def test_in_a_terminal_long_work_shows_a_bar_with_its_rate(photos: Path, bundle: Bundle) -> None:
    code, screen = in_terminal("predict", bundle.path, photos)
    assert code == 0
    assert "━" in screen
    assert "/s" in screen


def test_ctrl_c_ends_with_130_a_line_and_nothing_half_written(photos: Path, tmp_path: Path) -> None:
    words = ("train", photos, "--out", "run", "--set", "augment.views=40", "--set", "seed=77")
    code, screen = in_terminal(*words, interrupt_at=b"features", cwd=tmp_path)
    assert code == 130, screen[-1000:]
    assert "Stopped" in screen
    assert "Traceback" not in screen
    assert not list(tmp_path.iterdir())


def test_a_reader_that_goes_away_is_no_error(photos: Path, bundle: Bundle) -> None:
    words = [*NORIA, "predict", str(bundle.path), str(photos), "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_init_writes_a_file_that_check_takes_and_never_overwrites_one(here: Path) -> None:
    assert call("init", cwd=here).returncode == 0
    assert load_config(here / "noria.toml") == load_config()
    (here / "noria.toml").write_text("seed = 5\n")
    assert call("init", cwd=here).returncode == 2
    assert (here / "noria.toml").read_text() == "seed = 5\n"
    assert call("init", "--force", cwd=here).returncode == 0
    assert load_config(here / "noria.toml") == load_config()
    assert call("check", "photos", "--config", "noria.toml", cwd=here).returncode == 0


def test_init_into_a_folder_that_is_not_there_says_how_to_make_it(here: Path) -> None:
    done = call("init", "a/b c/noria.toml", cwd=here)
    assert done.returncode == 2
    assert "There is no folder a/b c to write noria.toml into. Make it first: mkdir -p 'a/b c'" in done.stderr.replace(
        "\n", " "
    )
    assert not (here / "a").exists()


def test_the_help_of_predict_says_that_json_is_a_line_for_each_input(here: Path) -> None:
    assert "one JSON line for each input" in " ".join(call("predict", "--help", cwd=here, COLUMNS="200").stdout.split())


def test_a_weights_file_that_is_not_there_is_told_before_anything_is_read(photos: Path, here: Path) -> None:
    done = call("train", photos, "--out", "run", "--set", "model.weights=my.h5", cwd=here, COLUMNS="200")
    assert done.returncode == 2
    assert "There is no weights file 'my.h5' for the model efficientnet_lite0" in done.stderr
    assert "check" not in done.stderr and not (here / "run").exists()
