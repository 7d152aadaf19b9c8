"""Versions: loaded beside the old one, tested, taken over without a gap; bad ones are refused and the old one stays."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from noria.artifacts.bundle import Bundle
from noria.errors import ArtifactError, ConfigError, NotServedError
from noria.serving.routing import Routing, changed, read_routing, versions_in, write_routing
from noria.serving.telemetry import LinesLog, Metrics

TEXT = "房间很干净"
PLAIN = {"content-type": "text/plain"}


@pytest.fixture
def models(texts_bundle: Bundle, tmp_path: Path) -> Path:
    """A folder with version 1."""
    folder = tmp_path / "models"
    shutil.copytree(texts_bundle.path, folder / "1")
    return folder


@pytest.fixture
def server(start: Callable[..., Any], models: Path, tmp_path: Path) -> Any:
    config = tmp_path / "serve.toml"
    config.write_text(
        f'[server]\ngrpc = -1\npoll_seconds = 0.05\n[[models]]\nname = "m"\npath = "{models}"\n', encoding="utf-8"
    )
    return start("--config", config, "--grpc", "-1")


def add(models: Path, bundle: Bundle, number: int, *, spoil: Callable[[Path], None] | None = None) -> Path:
    """Put a version there as people should: written beside, then renamed."""
    beside = models / f".{number}.part"
    shutil.copytree(bundle.path, beside)
    if spoil:
        spoil(beside)
    return beside.rename(models / str(number))


def answering(server: Any, path: str = "") -> int:
    answer = httpx.post(f"{server.http}/v1/models/m{path}:predict", content=TEXT.encode(), headers=PLAIN)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["version"])


def card(server: Any) -> dict[str, Any]:
    return dict(httpx.get(f"{server.http}/v1/models/m/card").json())


def states(server: Any) -> dict[int, str]:
    told = httpx.get(f"{server.http}/v1/models/m").json()["model_version_status"]
    return {int(one["version"]): one["state"] for one in told}


def noria(*arguments: Any) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "noria", *map(str, arguments), "--json"], capture_output=True, timeout=60, check=False
    )
    return {"exit": done.returncode, **json.loads(done.stdout)}


def test_a_new_folder_takes_over_and_the_old_version_ends(
    server: Any, models: Path, texts_bundle: Bundle, until: Callable[..., Any]
) -> None:
    assert answering(server) == 1
    add(models, texts_bundle, 2)
    until(lambda: answering(server) == 2)
    until(lambda: states(server) == {2: "AVAILABLE", 1: "END"})
    events = [line["event"] for line in server.log() if line["event"] in ("loaded", "unloaded")]
    assert events == ["loaded", "loaded", "unloaded"]


def cut_in_half(folder: Path) -> None:
    file = folder / "model.tflite"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def other_answers(folder: Path) -> None:
    facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for golden in facts["golden"]:
        golden["scores"] = golden["scores"][::-1]
    (folder / "manifest.json").write_text(json.dumps(facts), encoding="utf-8")


def manifest_only(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != "manifest.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def no_manifest_at_all(folder: Path) -> None:
    (folder / "manifest.json").write_text("{", encoding="utf-8")


@pytest.mark.parametrize("spoil", [cut_in_half, other_answers, manifest_only, no_manifest_at_all])
def test_a_bad_version_is_refused_and_the_old_one_stays(
    server: Any, models: Path, texts_bundle: Bundle, spoil: Callable[[Path], None], until: Callable[..., Any]
) -> None:
    add(models, texts_bundle, 2, spoil=spoil)
    until(lambda: states(server).get(2) == "END")
    assert answering(server) == 1
    told = httpx.get(f"{server.http}/v1/models/m/versions/2").json()["model_version_status"][0]["status"]
    assert told["error_code"] == "UNKNOWN"
    assert told["error_message"]
    shutil.rmtree(models / "2")
    add(models, texts_bundle, 2)
    until(lambda: answering(server) == 2)


def test_a_version_that_is_copied_slowly_is_taken_when_it_is_whole(
    server: Any, models: Path, texts_bundle: Bundle, until: Callable[..., Any]
) -> None:
    (models / "2").mkdir()
    for file in sorted(texts_bundle.path.rglob("*")):  # model files before the manifest, or after: both may happen
        target = models / "2" / file.relative_to(texts_bundle.path)
        if file.is_dir():
            target.mkdir(exist_ok=True)
        else:
            shutil.copyfile(file, target)
            assert answering(server) in (1, 2)
    until(lambda: answering(server) == 2)


def test_a_version_whose_folder_vanishes_is_still_served(server: Any, models: Path, until: Callable[..., Any]) -> None:
    shutil.rmtree(models / "1")
    until(lambda: any(line["event"] == "vanished" for line in server.log()))
    assert answering(server) == 1
    shutil.rmtree(models)
    assert answering(server) == 1


def test_what_was_pinned_and_labelled_holds_when_the_folder_is_emptied_or_gone(
    server: Any, models: Path, texts_bundle: Bundle, until: Callable[..., Any]
) -> None:
    add(models, texts_bundle, 2)
    until(lambda: answering(server) == 2)
    noria("versions", models, "--pin", 1, "--label", "stable=1")
    until(lambda: answering(server) == 1)
    for child in sorted(models.iterdir(), key=Path.is_file):  # without its file, versions would be routed to anew
        shutil.rmtree(child) if child.is_dir() else child.unlink()
    until(lambda: sum(line["event"] == "vanished" for line in server.log()) >= 2)
    assert (answering(server), answering(server, "/labels/stable")) == (1, 1)
    models.rmdir()
    until(lambda: any(line["event"] == "unreadable" for line in server.log()))
    assert (answering(server), answering(server, "/labels/stable")) == (1, 1)


def test_pin_label_share_shadow_and_roll_back(
    server: Any, models: Path, texts_bundle: Bundle, until: Callable[..., Any]
) -> None:
    add(models, texts_bundle, 2)
    until(lambda: answering(server) == 2)
    assert noria("versions", models, "--pin", 1, "--label", "stable=1", "--label", "canary=2")["exit"] == 0
    until(lambda: answering(server) == 1)
    assert (answering(server, "/labels/stable"), answering(server, "/labels/canary")) == (1, 2)
    assert noria("versions", models, "--share", "2=1.0", "--shadow", 1)["share"] == {"2": 1.0}
    until(lambda: answering(server) == 2)

    def shadowed() -> bool:
        answering(server)
        return 'noria_shadow_total{model="m",result="agrees"}' in httpx.get(f"{server.http}/metrics").text

    until(shadowed)
    told = noria("versions", models, "--roll-back")
    assert (told["pin"], told["share"], told["shadow"]) == (1, {}, None)
    until(lambda: answering(server) == 1)
    assert noria("versions", models, "--latest", "--label", "canary=")["labels"] == {"stable": 1}
    until(lambda: answering(server) == 2)
    refused = noria("versions", models, "--pin", 7)
    assert (refused["exit"], "no version 7" in refused["error"]) == (2, True)
    assert [line["event"] for line in server.log()].count("routing") >= 4


def test_a_reload_with_a_wrong_config_changes_nothing(
    server: Any, models: Path, texts_bundle: Bundle, tmp_path: Path, until: Callable[..., Any]
) -> None:
    config = tmp_path / "serve.toml"
    good = config.read_text(encoding="utf-8")
    config.write_text("[[models]]\nnme = 3\n", encoding="utf-8")
    os.kill(server.process.pid, signal.SIGHUP)
    refused = until(lambda: [line for line in server.log() if line["event"] == "reload refused"])
    assert "Did you mean" in refused[0]["error"]
    assert answering(server) == 1
    shutil.copytree(texts_bundle.path, tmp_path / "another" / "5")
    config.write_text(good + f'[[models]]\nname = "n"\npath = "{tmp_path / "another"}"\n', encoding="utf-8")
    os.kill(server.process.pid, signal.SIGHUP)
    until(lambda: httpx.get(f"{server.http}/v1/models/n").status_code == 200)
    assert httpx.get(f"{server.http}/v1/models/n").json()["model_version_status"][0]["version"] == "5"
    assert [line["names"] for line in server.log() if line["event"] == "models"][-1] == ["m", "n"]


def test_a_reload_with_other_settings_is_not_noticed_by_who_asks(
    server: Any, texts_bundle: Bundle, tmp_path: Path, until: Callable[..., Any]
) -> None:
    config = tmp_path / "serve.toml"
    good = config.read_text(encoding="utf-8")
    codes: set[int] = set()
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.http, timeout=30) as client:
            while not stop.is_set():
                answer = client.post("/v1/models/m:predict", content=TEXT.encode(), headers=PLAIN)
                codes.add(answer.status_code)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for threshold in (0.1, 0.2, 0.3):
            config.write_text(f"{good}threshold = {threshold}\n", encoding="utf-8")
            os.kill(server.process.pid, signal.SIGHUP)
            until(lambda wanted=threshold: card(server)["threshold"] == wanted)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert codes == {200}


def test_settings_that_cannot_be_served_leave_the_model_as_it_was(
    server: Any, tmp_path: Path, until: Callable[..., Any]
) -> None:
    config = tmp_path / "serve.toml"
    good = config.read_text(encoding="utf-8")
    (tmp_path / "empty").mkdir()
    config.write_text(good.replace(str(tmp_path / "models"), str(tmp_path / "empty")), encoding="utf-8")
    os.kill(server.process.pid, signal.SIGHUP)
    (refused,) = until(lambda: [line for line in server.log() if line["event"] == "model refused"])
    assert (refused["model"], refused["kept"]) == ("m", True)
    assert answering(server) == 1


def test_a_reload_keeps_what_the_command_line_said(
    start: Callable[..., Any], models: Path, texts_bundle: Bundle, tmp_path: Path, until: Callable[..., Any]
) -> None:
    config = tmp_path / "serve.toml"
    config.write_text(f'[[models]]\nname = "n"\npath = "{texts_bundle.path}"\n', encoding="utf-8")
    server = start(f"m={models}", "--config", config, "--threshold", "0.9", "--grpc", "-1")
    config.write_text("[limits]\nrows = 99\n", encoding="utf-8")
    os.kill(server.process.pid, signal.SIGHUP)
    until(lambda: httpx.get(f"{server.http}/v1/models/n").status_code == 404)
    assert (answering(server), card(server)["threshold"]) == (1, 0.9)


def test_a_label_stays_where_it_was_until_its_new_version_answers(
    server: Any, models: Path, texts_bundle: Bundle, until: Callable[..., Any]
) -> None:
    add(models, texts_bundle, 2)
    until(lambda: answering(server) == 2)
    noria("versions", models, "--label", "stable=1", "--pin", 1)
    until(lambda: states(server).get(1) == "AVAILABLE")
    until(lambda: (answering(server), answering(server, "/labels/stable")) == (1, 1))
    add(models, texts_bundle, 3, spoil=cut_in_half)
    noria("versions", models, "--label", "stable=3", "--pin", 3)
    until(lambda: states(server).get(3) == "END")
    assert (answering(server), answering(server, "/labels/stable")) == (1, 1)
    shutil.rmtree(models / "3")
    add(models, texts_bundle, 3)
    until(lambda: (answering(server), answering(server, "/labels/stable")) == (3, 3))


def test_a_folder_with_a_number_too_long_is_no_version(
    server: Any, models: Path, texts_bundle: Bundle, until: Callable[..., Any]
) -> None:
    add(models, texts_bundle, 12345678901234567890)
    add(models, texts_bundle, 2)
    until(lambda: answering(server) == 2)
    assert states(server).keys() <= {1, 2}
    assert noria("versions", models)["versions"] == [1, 2]


def test_the_answers_of_versions_that_ended_long_ago_are_not_told_for_ever() -> None:
    metrics = Metrics()
    for number in range(100):
        metrics.count_answers("m", number, np.eye(3, dtype=np.float32), ["a", "b", "c"])
        metrics.tell_versions([("m", str(number))])
    told = metrics.exposition().decode()
    kept = set(re.findall(r'noria_answers_total{label="a",model="m",version="(\d+)"}', told))
    assert kept == {str(number) for number in range(100 - 1 - 16, 100)}
    assert set(re.findall(r'noria_confidence_count{model="m",version="(\d+)"}', told)) == kept


def test_a_stop_while_models_are_loaded_leaves_the_rest(texts_bundle: Bundle, tmp_path: Path) -> None:
    models = [f"m{number}={texts_bundle.path}" for number in range(30)]
    command = [sys.executable, "-m", "noria", "serve", *models, "--http", "0", "--grpc", "-1", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None and process.stdout is not None
        lines = []
        for line in process.stderr:
            lines.append(json.loads(line)["event"])
            if lines[-1] == "loaded":
                process.send_signal(signal.SIGTERM)
                break
        lines += [json.loads(line)["event"] for line in process.stderr]
        assert process.wait(60) == 0
        assert "stopped while loading" in lines
        assert lines.count("loaded") < 30
        assert process.stdout.read() == ""  # it never said that it answers


def test_a_line_of_what_is_no_json_is_written_all_the_same(tmp_path: Path) -> None:
    log = LinesLog(tmp_path / "log")
    log.write("wild", number=2**70, half="\ud800", path=tmp_path)
    log.close()
    told = json.loads((tmp_path / "log").read_text(encoding="utf-8"))
    assert (told["number"], told["half"], told["path"]) == (2**70, "\ud800", str(tmp_path))


def test_swaps_under_load_lose_nothing_and_mix_nothing_up(
    server: Any, models: Path, texts_bundle: Bundle, until: Callable[..., Any]
) -> None:
    seen: set[int] = set()
    failed: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.http, timeout=30) as client:
            while not stop.is_set():
                answer = client.post("/v1/models/m:predict", content=TEXT.encode(), headers=PLAIN)
                if answer.status_code == 200 and "label" in answer.json()["answers"][0]:
                    seen.add(answer.json()["version"])
                else:
                    failed.append(answer.text)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(2, 12):
        add(models, texts_bundle, number)
        until(lambda number=number: number in seen)
        shutil.rmtree(models / str(number - 1))
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert seen == set(range(1, 12))


def test_a_bundle_served_by_itself_is_followed_when_it_is_exported_anew(
    start: Callable[..., Any], models: Path, texts_bundle: Bundle, tmp_path: Path, until: Callable[..., Any]
) -> None:
    single = (models / "1").rename(tmp_path / "single")
    server = start(f"m={single}", "--grpc", "-1")
    assert answering(server) == 1
    shutil.copytree(texts_bundle.path, tmp_path / "beside")
    single.rename(tmp_path / "old")
    (tmp_path / "beside").rename(single)
    until(lambda: answering(server) == 2)


# Routing, without a server


def test_an_empty_routing_answers_with_the_latest() -> None:
    assert Routing().version([1, 12, 3]) == 12
    with pytest.raises(NotServedError):
        Routing().version([])


def test_shares_divide_the_traffic_and_the_rest_goes_where_it_would() -> None:
    told = Routing(pin=1, share={2: 0.25, 3: 0.25})
    picked = [
        told.version([1, 2, 3], chance=lambda drawn=drawn: drawn) for drawn in (0.0, 0.24, 0.26, 0.49, 0.51, 0.99)
    ]
    assert picked == [2, 2, 3, 3, 1, 1]
    assert told.version([1, 3], chance=lambda: 0.1) == 1  # a share of a version that is not loaded


def test_what_is_told_of_a_routing_does_not_depend_on_chance() -> None:
    told = {Routing(pin=1, share={2: 0.5}).in_words([1, 2]) for _ in range(50)}
    assert told == {"Answers come from 1. 50% of the requests go to 2."}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"pin": 9}, "no version 9"),
        ({"labels": ["stable=x"]}, "no version x"),
        ({"shares": ["1=0.7", "2=0.7"]}, "more than 1"),
        ({"shares": ["1=much"]}, "share"),
        ({"roll_back": True}, "roll back"),
    ],
)
def test_what_cannot_be_routed_is_told(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        changed(Routing(), [1, 2], **asked)


def test_a_routing_survives_the_disk_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    told = changed(Routing(), [1, 2], pin=1, labels=["stable=2"], shares=["2=0.5"])
    write_routing(tmp_path, told)
    assert read_routing(tmp_path) == told
    (tmp_path / "routing.json").write_text('{"pin": "x"}', encoding="utf-8")
    with pytest.raises(ArtifactError, match="damaged"):
        read_routing(tmp_path)
    with pytest.raises(ArtifactError, match="no folder of a version"):
        versions_in(tmp_path)


def test_nothing_asked_changes_nothing_and_a_change_can_be_undone() -> None:
    first = changed(Routing(), [1, 2], pin=1)
    assert changed(first, [1, 2]) is first
    assert changed(first, [1, 2], pin=1) == first
    second = changed(first, [1, 2], pin=2)
    assert changed(second, [1, 2], roll_back=True).pin == 1
