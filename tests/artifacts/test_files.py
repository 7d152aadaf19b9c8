"""Files and folders appear whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from noria.artifacts.files import folder_being_written, read_json, sha256_file, write_atomic, write_json
from noria.errors import ArtifactError, NoriaError

# A file-size limit answers a write as a full disk does, and needs no privileges.
FULL_DISK = """
import resource, sys
from pathlib import Path
from noria.artifacts.files import folder_being_written, write_atomic
from noria.errors import NoriaError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
folder = Path(sys.argv[1])
for attempt in ("file", "folder"):
    try:
        if attempt == "file":
            write_atomic(folder / "report.html", b"x" * 5000)
        else:
            with folder_being_written(folder / "run") as partial:
                (partial / "model").write_bytes(b"x" * 5000)
    except NoriaError as error:
        print(error)
"""


def in_child(code: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_sha256_of_a_file_is_the_known_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_written_file_has_the_usual_mode_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a.txt", "häß 中文")
    (tmp_path / "plain").touch()
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "häß 中文"
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert names_in(tmp_path) == ["a.txt", "plain"]


def test_pieces_are_written_one_after_the_other_and_an_error_of_theirs_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    write_atomic(path, (f"{number}\n".encode() for number in range(3)))
    assert path.read_bytes() == b"0\n1\n2\n"
    with pytest.raises(ZeroDivisionError):
        write_atomic(path, (b"%d" % (1 // (1 - number)) for number in range(3)))
    assert [one.name for one in tmp_path.iterdir()] == ["rows"]
    assert path.read_bytes() == b"0\n1\n2\n"


def test_a_full_disk_is_told_and_leaves_the_old_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    told = in_child(FULL_DISK, tmp_path).splitlines()
    assert len(told) == 2
    assert all("No room to write" in line for line in told)
    assert (tmp_path / "report.html").read_text() == "old"
    assert names_in(tmp_path) == ["report.html"]


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoriaError, match=r"Could not write .*No such file"):
        write_atomic(tmp_path / "nowhere" / "a", b"")


def test_a_folder_gets_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    with folder_being_written(tmp_path / "run") as partial:
        (partial / "a").write_text("1")
        assert not (tmp_path / "run").exists()
    assert (tmp_path / "run" / "a").read_text() == "1"
    assert names_in(tmp_path) == ["run"]


def test_a_failed_folder_leaves_nothing_and_its_own_error_comes_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), folder_being_written(tmp_path / "run") as partial:
        (partial / "a").write_text("1")
        (tmp_path / "missing").read_bytes()
    assert names_in(tmp_path) == []


def test_an_existing_folder_is_refused_unless_replacing(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(ArtifactError, match="there already"), folder_being_written(tmp_path / "run"):
        pass


def test_replacing_swaps_the_old_for_the_new_and_a_failure_keeps_the_old(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with folder_being_written(tmp_path / "run", replace=True, marker="run.json") as partial:
            (partial / "run.json").write_text(text)
    with pytest.raises(RuntimeError), folder_being_written(tmp_path / "run", replace=True) as partial:
        raise RuntimeError
    assert (tmp_path / "run" / "run.json").read_text() == "new"
    assert names_in(tmp_path) == ["run"]


def test_a_folder_of_photos_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    with (
        pytest.raises(ArtifactError, match="not Noria's"),
        folder_being_written(tmp_path / "photos", replace=True, marker="run.json"),
    ):
        pass
    assert (tmp_path / "photos" / "a.jpg").exists()


def test_what_a_killed_process_left_is_cleared_but_a_living_writer_is_respected(tmp_path: Path) -> None:
    (tmp_path / ".run.partial").mkdir()
    (tmp_path / ".run.partial" / "old").touch()
    with folder_being_written(tmp_path / "run") as partial:
        assert names_in(partial) == []
        with pytest.raises(ArtifactError, match="another process"), folder_being_written(tmp_path / "run"):
            pass
    assert names_in(tmp_path / "run") == []


def test_json_comes_back_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": [1, 2.5, None], "a": "中文\n"})
    assert read_json(path) == {"a": "中文\n", "b": [1, 2.5, None]}
    assert path.read_text(encoding="utf-8").index('"a"') < path.read_text(encoding="utf-8").index('"b"')
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ArtifactError, match=r"a\.json is damaged"):
        read_json(path)
    with pytest.raises(ArtifactError, match="larger than"):
        read_json(path, limit=3)
    with pytest.raises(ArtifactError, match="missing"):
        read_json(tmp_path / "b.json")


WRITER = """
import os, sys, time
from pathlib import Path
from noria.artifacts.files import folder_being_written
from noria.errors import ArtifactError
place, until = Path(sys.argv[1]), time.monotonic() + float(sys.argv[2])
made = 0
while time.monotonic() < until:
    try:
        with folder_being_written(place, replace=True, marker="a") as partial:
            for name in ("a", "b", "c"):
                (partial / name).write_text(f"{os.getpid()} {made}")
            time.sleep(0.002)
            assert sorted(file.read_text() for file in partial.iterdir()) == [f"{os.getpid()} {made}"] * 3
        made += 1
    except ArtifactError as error:
        assert "another process" in str(error), error
print(made)
"""


def test_processes_that_write_one_folder_at_a_time_never_mix_or_lose_their_files(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "run"), "3"]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for writer in writers:
        out, error = writer.communicate(timeout=60)
        assert (writer.returncode, error) == (0, "")
        assert int(out) > 0
    assert names_in(tmp_path) == ["run"]
    assert len({(tmp_path / "run" / name).read_text() for name in "abc"}) == 1
