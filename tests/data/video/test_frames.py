"""Videos become pictures with a manifest, by which no split can tear the frames of one video apart."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import noria
from noria.artifacts.dataset import Dataset
from noria.config import load_config
from noria.data.readers import find_task
from noria.data.video import frames as writing
from noria.data.video.film import Film
from noria.errors import ArtifactError, ConfigError, DataError

Encoded = Callable[..., Path]
CLIPS = Path(os.environ.get("NORIA_TEST_VIDEOS", "/usr/share/doc/opencv-doc/examples/data"))


@pytest.fixture
def labelled(encoded: Encoded, tmp_path: Path) -> Path:
    """Two labels with four videos each; of the second, two have the same name."""
    for number, name in enumerate(("cat/a.mp4", "cat/b.avi", "cat/c.mkv", "cat/deep/er/d.mp4")):
        encoded(name, scene=number)
    for number, name in enumerate(("big dog/a.mp4", "big dog/2/a.mp4", "big dog/猫と犬.mp4", "big dog/B.avi")):
        encoded(name, scene=number + 4)
    return tmp_path / "videos"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "frames.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def numbers(folder: Path) -> list[int]:
    return [int(row["path"].removesuffix(".jpg").rpartition("-")[2]) for row in rows(folder)]


def sides_of_videos(dataset: Dataset) -> dict[str, set[str]]:
    sides = defaultdict(set)
    for one in dataset.examples:
        assert one.group
        sides[one.group].add(one.split)
    return sides


# The manifest, and the split


def test_all_frames_of_a_video_are_on_one_side_by_the_table_and_by_the_folder(labelled: Path, out: Path) -> None:
    written = noria.frames(labelled, out, every=0.2, similar=0)
    for data in (written.manifest, out):
        for seed in range(5):
            dataset = noria.check(data, config=load_config(data=data, seed=seed))
            assert dataset.labels == ("big dog", "cat")
            assert len(dataset.examples) == 8 * 10
            sides = sides_of_videos(dataset)
            assert len(sides) == 8
            assert all(len(side) == 1 for side in sides.values())
            assert {split for side in sides.values() for split in side} == {"train", "validation", "test"}


def test_frames_that_were_sorted_into_other_folders_stay_with_their_video(
    labelled: Path, out: Path, photos: Path, tmp_path: Path
) -> None:
    noria.frames(labelled, out, every=0.2, similar=0, label="unsorted")
    moved = tmp_path / "sorted"
    for number, picture in enumerate(sorted((out / "unsorted").iterdir())):
        folder = moved / ("even", "odd")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.move(picture, folder / picture.name)
    shutil.copyfile(out / "frames.csv", moved / "frames.csv")
    added = min(photos.glob("rose/[0-9]*.jpg"))
    shutil.copyfile(added, moved / "odd" / "added.jpg")
    dataset = noria.check(moved)
    alone = [one for one in dataset.examples if one.group is None]
    assert [one.path for one in alone] == ["odd/added.jpg"]
    sides = sides_of_videos(
        Dataset(**{**vars(dataset), "examples": tuple(one for one in dataset.examples if one.group)})
    )
    assert len(sides) == 8
    assert all(len(side) == 1 for side in sides.values())
    (told,) = [finding for finding in dataset.findings if finding.kind == "video_frames"]
    assert "80 pictures are frames of 8 videos" in told.message


def test_another_table_named_frames_is_not_followed(photos: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(photos, data)
    for content in ("time,value\n1,2\n", "path,group\n", "\0\n", 'path,group\n"a', "é".encode("latin-1")):
        (data / "frames.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        assert not [one for one in noria.check(data).examples if one.group]


def test_frames_of_videos_in_no_folder_have_no_label_until_a_person_gives_one(encoded: Encoded, out: Path) -> None:
    videos = [encoded(f"{number}.mp4", scene=number).parent for number in range(4)]
    written = noria.frames(videos[0], out, every=0.5)
    assert {row["label"] for row in rows(out)} == {""}
    assert all((out / row["path"]).is_file() for row in rows(out))
    assert {finding.kind for finding in noria.check(written.manifest).findings} >= {"nothing_usable", "unlabelled"}
    text = written.manifest.read_text(encoding="utf-8")
    written.manifest.write_text(text.replace('jpg",""', 'jpg","cat"'), encoding="utf-8")
    assert len(noria.check(written.manifest).examples) == len(rows(out))


def test_one_label_can_be_said_for_all(labelled: Path, out: Path) -> None:
    noria.frames(labelled, out, label=" e\u0301toile ")
    assert {row["label"] for row in rows(out)} == {"étoile"}
    assert {path.name for path in out.iterdir()} == {"étoile", "frames.csv", "videos.json"}


@pytest.mark.parametrize("label", ["", " ", "a/b", "..", ".hidden", "a\nb", "\udce9"])
def test_a_label_that_cannot_be_a_folder_is_refused(label: str, labelled: Path, out: Path) -> None:
    with pytest.raises(ConfigError, match="label"):
        noria.frames(labelled, out, label=label)
    assert not out.exists()


def test_a_given_split_is_kept(encoded: Encoded, out: Path) -> None:
    for number, name in enumerate(("train/a/1.mp4", "val/a/1.mp4", "test/a/1.mp4", "train/b/2.mp4", "test/b/2.mp4")):
        encoded(name, scene=number)
    videos = encoded("val/b/3.mp4", scene=5).parents[2]
    noria.frames(videos, out)
    assert {(row["label"], row["split"]) for row in rows(out)} == {
        (label, split) for label in "ab" for split in ("train", "validation", "test")
    }
    by_folder = noria.check(out)
    by_table = noria.check(out / "frames.csv")
    assert by_folder.fingerprint == by_table.fingerprint


def test_any_name_can_be_read_again_and_no_two_are_the_same(encoded: Encoded, out: Path) -> None:
    long = "長い" * 40
    names = [
        *("a.mp4", "A.avi", "a.mkv", "a-2.mp4", " b .mp4", "c\nd.mp4", "e\\f.mp4", "g,\"h'.mp4", "i.mp4"),
        *("=1+1.mp4", "-x.mp4", f"{long}.mp4", f"{long}2.mp4", "é.mp4", "e\u0301.mp4", "🐈 猫.mp4"),
    ]
    for number, name in enumerate(names):
        encoded(f" my cat's;,\"videos/{name}", scene=number, count=12)
    videos = encoded("狗/a.mp4", scene=len(names), count=12).parents[1]
    written = noria.frames(videos, out)
    assert len(written.videos) == len(names) + 1
    stems = {row["path"].rpartition("/")[2].rpartition("-")[0].casefold() for row in rows(out)}
    assert len(stems) == len(names) + 1
    dataset = noria.check(written.manifest)
    assert len(dataset.examples) == len(rows(out))
    assert dataset.labels == ("my cat's;,\"videos", "狗")
    assert len({one.group for one in dataset.examples}) == len(names)  # é written in two ways is one group
    assert noria.check(out).fingerprint == dataset.fingerprint


def test_the_same_videos_give_the_same_bytes(labelled: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        noria.frames(labelled, tmp_path / name, every=0.3)
    files = sorted(path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*") if path.is_file())
    assert len(files) > 20
    for file in files:
        if file.name != "videos.json":
            assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


# Which frames


def test_a_frame_is_taken_in_each_step_of_time(encoded: Encoded, tmp_path: Path) -> None:
    video = encoded("a.mp4", count=50)
    for every, expected in ((0.2, [*range(0, 50, 5)]), (0.5, [0, 13, 25, 38]), (0, [*range(50)]), (60, [0])):
        noria.frames(video, tmp_path / f"every {every}", every=every, similar=0)
        assert numbers(tmp_path / f"every {every}") == expected


def test_steps_follow_the_time_stamps_where_the_rate_varies(encoded: Encoded, out: Path) -> None:
    video = encoded("a.mkv", count=7, codec="libx264", milliseconds=[0, 40, 80, 2000, 2040, 7500, 7900])
    noria.frames(video, out, similar=0)
    assert numbers(out) == [0, 3, 5]


def test_frames_of_a_still_scene_are_left_out_and_counted(
    encode_pictures: Callable[..., Path], scenes: list[np.ndarray], out: Path
) -> None:
    random = np.random.default_rng(3)
    still = [np.clip(scenes[0] + random.normal(0, 5, scenes[0].shape), 0, 255).astype(np.uint8) for _ in range(30)]
    for picture in still[12:20]:
        picture[300:320, 100:120] = 255 - picture[300:320, 100:120]
    written = noria.frames(encode_pictures("still.mp4", still), out, every=0)
    assert numbers(out) == [0, 12, 20]
    (told,) = written.videos
    assert (told.decoded, told.frames, told.similar) == (30, 3, 27)
    assert json.loads((out / "videos.json").read_bytes())["num_similar"] == 27


@pytest.mark.skipif(not (CLIPS / "vtest.avi").is_file(), reason=f"no vtest.avi (Debian's opencv-doc) at {CLIPS}")
def test_one_small_person_who_walks_far_away_in_a_real_clip_is_not_left_out(
    encode_pictures: Callable[..., Path], out: Path
) -> None:
    shown = [shot.frame.to_ndarray(format="rgb24") for shot in Film(CLIPS / "vtest.avi").shots()]
    assert len(shown) == 795
    nobody = np.median(shown[::10], axis=0).astype(np.uint8)
    scene = [nobody]
    for picture in [*shown[80:140:10], *shown[160:200:10]]:
        lawn = nobody.copy()
        lawn[:90, :330] = picture[:90, :330]  # one person crosses it, 8 pixels wide, and has left it after frame 150
        scene.append(lawn)
    noria.frames(encode_pictures("far.mp4", scene), out, every=0)
    assert numbers(out) == [0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.skipif(not (CLIPS / "vtest.avi").is_file(), reason=f"no vtest.avi (Debian's opencv-doc) at {CLIPS}")
def test_a_real_clip_in_which_people_walk_keeps_a_frame_a_second(out: Path) -> None:
    (told,) = noria.frames(CLIPS / "vtest.avi", out).videos
    assert (told.width, told.height, told.decoded, told.frames, told.similar) == (768, 576, 795, 80, 0)
    assert told.trouble == ""


# What goes wrong


def test_what_is_no_video_is_set_aside_with_its_reason(labelled: Path, out: Path, photos: Path) -> None:
    (labelled / "cat" / "notes.txt").write_text("taken in May")
    (labelled / "cat" / "empty.mp4").touch()
    (labelled / "cat" / ".hidden.mp4").write_bytes((labelled / "cat" / "a.mp4").read_bytes())
    (labelled / "cat" / os.fsdecode(b"caf\xe9.mp4")).write_bytes((labelled / "cat" / "a.mp4").read_bytes())
    (labelled / "lost.mp4").write_bytes((labelled / "cat" / "a.mp4").read_bytes())
    shutil.copyfile(min(photos.glob("rose/[0-9]*.jpg")), labelled / "cat" / "photo.jpg")
    written = noria.frames(labelled, out)
    assert len(written.videos) == 8
    assert {one.path: one.reason.partition(",")[0] for one in written.set_aside} == {
        "cat/.hidden.mp4": "a hidden or system file",
        "cat/caf\\xe9.mp4": "its name is not valid UTF-8: rename it",
        "cat/empty.mp4": "empty: 0 bytes",
        "cat/notes.txt": "it is not a video",
        "cat/photo.jpg": "it is not a video",
        "lost.mp4": "it lies in no folder of a class",
    }


def test_a_video_that_is_cut_off_gives_its_frames_and_its_reason(labelled: Path, out: Path) -> None:
    whole = (labelled / "cat" / "c.mkv").read_bytes()
    (labelled / "cat" / "c.mkv").write_bytes(whole[: len(whole) // 2])
    told = {one.video: one for one in noria.frames(labelled, out, every=0.2, similar=0).videos}
    assert "cut off" in told["cat/c.mkv"].trouble
    assert 2 <= told["cat/c.mkv"].frames < 8
    assert {one.trouble for name, one in told.items() if name != "cat/c.mkv"} == {""}


def test_frames_whose_colours_cannot_be_converted_are_left_out_and_told(
    encode_pictures: Callable[..., Path], scenes: list[np.ndarray], out: Path
) -> None:
    path = encode_pictures("strange.mp4", scenes[:6], "libx264", colours=8)
    with pytest.raises(DataError, match="colours"):
        noria.frames(path, out)
    encode_pictures("good.mp4", scenes[:6], "libx264")
    written = noria.frames(path.parent, out, every=0)
    assert [(one.video, one.frames) for one in written.videos] == [("good.mp4", 6)]
    assert [(one.path, "colours" in one.reason) for one in written.set_aside] == [("strange.mp4", True)]


def test_nothing_is_left_where_there_is_not_one_frame(tmp_path: Path, out: Path) -> None:
    broken = tmp_path / "videos" / "cat" / "a.mp4"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"this was never a video" * 100)
    with pytest.raises(DataError, match=r"cat/a\.mp4: it is not a video"):
        noria.frames(tmp_path / "videos", out)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="no file that could be a video"):
        noria.frames(tmp_path / "nothing", out)
    with pytest.raises(DataError, match="nowhere"):
        noria.frames(tmp_path / "nowhere", out)
    assert {path.name for path in tmp_path.iterdir()} == {"videos", "nothing"}


def test_nothing_is_left_where_the_disk_is_full(labelled: Path, out: Path) -> None:
    code = "import resource, noria.cli; resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)); noria.cli.main()"
    done = run("frames", labelled, out, code=code)
    assert done.returncode == 1
    assert "No room to write" in done.stderr
    assert not [path.name for path in out.parent.iterdir() if "out" in path.name]


def test_a_folder_that_is_there_and_the_folder_of_the_videos_are_not_written_into(labelled: Path, out: Path) -> None:
    before = sorted(labelled.rglob("*"))
    out.mkdir()
    with pytest.raises(ArtifactError, match="is there already"):
        noria.frames(labelled, out)
    for inside in (labelled / "frames", labelled / "cat" / "frames", labelled / ".." / "videos" / "x", labelled):
        with pytest.raises(ConfigError, match="nothing is written"):
            noria.frames(labelled, inside)
    assert sorted(labelled.rglob("*")) == before
    assert not list(out.iterdir())


@pytest.mark.parametrize(
    "wrong", [{"every": -1}, {"every": float("nan")}, {"every": 1e9}, {"similar": -1}, {"similar": 101}]
)
def test_numbers_that_mean_nothing_are_refused(wrong: dict[str, float], labelled: Path, out: Path) -> None:
    with pytest.raises(ConfigError, match="Expected a number"):
        noria.frames(labelled, out, **wrong)


def test_what_is_more_than_the_limits_is_left_out_and_told(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MOST_OF_A_VIDEO", 3)
    written = noria.frames(labelled, tmp_path / "few of each", every=0.2, similar=0)
    assert {one.frames for one in written.videos} == {3}
    assert all("more than 3 frames" in one.trouble for one in written.videos)
    assert len(list((tmp_path / "few of each").rglob("*.jpg"))) == 24
    monkeypatch.setattr(writing, "MOST_OF_ALL", 7)
    written = noria.frames(labelled, tmp_path / "few of all", every=0.2, similar=0)
    assert [one.frames for one in written.videos] == [3, 3, 1]
    assert len(written.set_aside) == 5


# The command line, and what check says


def run(*words: object, code: str = "import noria.cli; noria.cli.main()") -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_the_verb_tells_a_person_and_a_program(labelled: Path, tmp_path: Path) -> None:
    done = run("frames", labelled, tmp_path / "first", "--every", "0.5")
    assert done.returncode == 0, done.stderr
    assert "8 videos" in done.stdout and f"noria check {tmp_path / 'first'}" in done.stdout
    told = json.loads(run("frames", labelled, tmp_path / "second", "--every", "0.5", "--json", "-q").stdout)
    assert told["num_frames"] == len(rows(tmp_path / "second")) == sum(one["frames"] for one in told["videos"])
    again = run("frames", labelled, tmp_path / "second", "--json")
    assert again.returncode == 2
    assert "is there already" in json.loads(again.stdout)["error"]


def test_the_verb_says_which_labels_have_too_few_videos_for_a_split(encoded: Encoded, out: Path) -> None:
    videos = [encoded(f"cat/{number}.mp4", scene=number) for number in range(3)]
    encoded("dog/1.mp4", scene=4)
    done = run("frames", videos[0].parents[1], out)
    assert "Too few videos for a split into train, validation and test: dog" in done.stdout


def test_without_pyav_the_extra_is_named(labelled: Path, out: Path) -> None:
    code = "import sys; sys.modules['av'] = None; import noria.cli; noria.cli.main()"
    done = run("frames", labelled, out, code=code)
    assert done.returncode == 2
    assert 'pip install "noria[video]"' in done.stderr
    assert not out.exists()


def test_check_names_the_command_for_videos(labelled: Path, encoded: Encoded, tmp_path: Path) -> None:
    flat = encoded("../flat videos/a.mp4").parent
    for data in (labelled, flat, flat / "a.mp4"):
        with pytest.raises(DataError, match="noria frames"):
            find_task(data)
        done = run("check", data)
        assert done.returncode == 2
        assert "noria frames" in done.stderr and "video" in done.stderr
