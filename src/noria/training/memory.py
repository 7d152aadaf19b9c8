"""How much memory there is to take, and how much this process has taken at most."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
_FORGET_PEAK = "5"  # what the kernel's documentation of clear_refs names it
# Of cgroups' version 2, then 1: the limit, what is taken, and of that what can be had back, being copies of files.
_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory() -> int:
    """Return the bytes that can be taken without anything being moved to disk, or this process being killed for it.

    The limits of a container count as the machine's memory does. Where nobody tells, half of the memory, or 1 GiB.
    """
    return min([_of_machine(), *_of_cgroups()])


def peak_since_reset() -> int | None:
    """Return the most bytes that were resident since `reset_peak`; None where the system does not tell."""
    return _status("VmHWM")


def resident() -> int | None:
    """Return the bytes that are resident now; None where the system does not tell."""
    return _status("VmRSS")


def held() -> int:
    """Return the bytes that are resident now; where the system does not tell, the most that ever were."""
    now = resident()
    return peak_memory() if now is None else now


def peak_memory() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    kibibytes = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kibibytes


def reset_peak() -> bool:
    """Begin to count the peak anew; return whether the system can."""
    try:
        (PROC / "self/clear_refs").write_text(_FORGET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def _of_machine() -> int:
    try:
        lines = (PROC / "meminfo").read_text(encoding="ascii").splitlines()
        told = {name: value for name, _, value in (line.partition(":") for line in lines)}
        return int(told["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError, AttributeError):
        return 2**30


def _of_cgroups() -> Iterator[int]:
    """Yield what each limit leaves of the groups that this process is in, and of those around them."""
    for folder in _groups():
        for limit, taken, files in _FILES:
            try:
                room = int((folder / limit).read_text(encoding="ascii"))
                used = int((folder / taken).read_text(encoding="ascii"))
                told = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
                yield max(0, room - used + int(told.get(files, 0)))
            except (OSError, ValueError):  # no such file, or "max"
                continue


def _groups() -> Iterator[Path]:
    try:
        lines = (PROC / "self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = CGROUPS / "memory" if controllers else CGROUPS
        inside = root / path.lstrip("/")
        # In a container the path may be that of the machine, which is not there; the root is the container's own then.
        yield from [inside, *(one for one in inside.parents if one.is_relative_to(root))]


def _status(name: str) -> int | None:
    try:
        lines = (PROC / "self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
    except (OSError, StopIteration, ValueError):
        return None
