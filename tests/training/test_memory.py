"""How much memory there is: of the machine, and of the groups that a container puts its processes into."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from noria.training import memory

GIB = 2**30


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 GiB free."""
    write(tmp_path / "proc", meminfo=f"MemTotal: 99 kB\nMemAvailable:  {8 * 2**20} kB\n")
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "groups")
    return tmp_path


def test_without_groups_it_is_what_the_machine_has(machine: Path) -> None:
    assert memory.free_memory() == 8 * GIB


def test_the_narrowest_of_the_groups_around_counts_and_copies_of_files_do_not(machine: Path) -> None:
    write(machine / "proc/self", cgroup="0::/pod/container\n")
    stat = f"anon 5\ninactive_file {GIB}\n"
    write(machine / "groups/pod", memory__max=str(4 * GIB), memory__current=str(2 * GIB), memory__stat=stat)
    write(machine / "groups/pod/container", memory__max="max", memory__current="1", memory__stat=stat)
    assert memory.free_memory() == 3 * GIB


def test_groups_of_the_first_version_count_too(machine: Path) -> None:
    write(machine / "proc/self", cgroup="5:cpu:/\n4:memory:/not/seen/from/inside\n0::/\n")
    write(
        machine / "groups/memory", memory__limit_in_bytes=str(GIB), memory__usage_in_bytes=str(GIB // 4),
        memory__stat="total_inactive_file 0\n",
    )  # fmt: skip
    assert memory.free_memory() == GIB * 3 // 4


def test_the_peak_is_that_since_it_was_reset() -> None:
    if not memory.reset_peak():
        pytest.skip("the system does not tell the peak of memory")
    before = memory.peak_since_reset()
    np.ones(2**25).sum()  # 256 MiB
    after = memory.peak_since_reset()
    assert before is not None and after is not None and after - before > 2**27
    assert memory.reset_peak()
    again = memory.peak_since_reset()
    assert again is not None and after - again > 2**27
