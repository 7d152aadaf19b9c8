"""What every benchmark shares: where data lies, a measured child process, splits, the table and the machine it is from.

A benchmark prints one Markdown table and leaves it as `results/NAME.md`, with the raw figures in `results/NAME.json`.
A `--quick` run proves that the benchmark works and nothing else: its files end in `.partial` and replace no result.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

BENCH = Path(__file__).resolve().parent
PROJECT = BENCH.parent
RESULTS = BENCH / "results"
LAUNCHER = BENCH / "_measure_child.py"
VERSIONED = ("noria", "tensorflow-cpu", "tensorflow", "keras", "ai-edge-litert", "openvino", "scikit-learn", "numpy")
MIB = 2**20

Row = dict[str, str]  # a row of a manifest: path, label and perhaps split


@dataclass(frozen=True)
class Measured:
    """A finished child process."""

    seconds: float  # wall time, from start to exit
    peak_bytes: int  # largest resident size
    cpu_seconds: float
    stdout: str

    def json(self) -> dict[str, Any]:
        """Return the JSON object on the last line of standard output."""
        told: dict[str, Any] = json.loads(self.stdout.splitlines()[-1])
        return told


def parser(about: str, *, seeds: int | None = 3) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    made = argparse.ArgumentParser(description=about)
    made.add_argument("--quick", action="store_true", help="few pictures, one seed: does it run at all?")
    if seeds is not None:
        made.add_argument("--seeds", type=int, default=seeds, help="how many splits (default %(default)s)")
    return made


def data_folder(name: str) -> Path:
    """Return a folder of the real data sets, or say where it was looked for and exit with 2."""
    folder = Path(os.environ.get("NORIA_TEST_DATA", PROJECT.parent / "shared" / "data")) / name
    if not folder.is_dir():
        give_up(f"The data set {name!r} is not at {folder}. Set NORIA_TEST_DATA to the folder that holds {name}/.")
    return folder.resolve()


def give_up(message: str) -> NoReturn:
    """Say what is missing and exit with 2."""
    print(message, file=sys.stderr)
    sys.exit(2)


def say(message: str) -> None:
    """Tell on standard error where the benchmark stands; standard output is for the table."""
    print(f"bench: {message}", file=sys.stderr, flush=True)


# Data.


def flowers(limit: int | None = None) -> list[Row]:
    """Return path and label of the flower photos, at most `limit` of each label."""
    files = sorted(path for path in data_folder("flowers").glob("*/*.jpg"))
    return _limited([{"path": str(path), "label": path.parent.name} for path in files], limit)


def steel(limit: int | None = None) -> list[Row]:
    """Return the steel surfaces; the label is the file's name before its last underscore."""
    files = sorted(data_folder("neu_det/IMAGES").glob("*.jpg"))
    return _limited([{"path": str(path), "label": path.stem.rpartition("_")[0]} for path in files], limit)


def solar(limit: int | None = None, *, defective_from: float = 0.5) -> list[Row]:
    """Return the solar cells with `probability` (of a defect, in thirds) and `kind` (mono or poly) beside the label."""
    found = importlib.util.find_spec("elpv_dataset")
    if found is None or found.origin is None:
        give_up("The photos of solar cells are not installed: pip install elpv-dataset (CC BY-NC-SA 4.0)")
    folder = Path(found.origin).parent / "data"
    rows = []
    for line in (folder / "labels.csv").read_text(encoding="utf-8").splitlines():
        name, probability, kind = line.split()
        label = "defective" if float(probability) >= defective_from else "sound"
        rows.append({"path": str(folder / name), "label": label, "probability": probability, "kind": kind})
    return _limited(rows, limit)


SETS: dict[str, Callable[[int | None], list[Row]]] = {"flowers": flowers, "solar": solar, "steel": steel}


def _limited(rows: list[Row], limit: int | None) -> list[Row]:
    """Keep `limit` rows of each label: drawn by a hash of the file's name, as neighbours are often alike."""
    if limit is None:
        return rows
    taken: dict[str, int] = {}
    kept = []
    for row in sorted(rows, key=lambda row: hashlib.sha256(Path(row["path"]).name.encode()).digest()):
        taken[row["label"]] = taken.get(row["label"], 0) + 1
        if taken[row["label"]] <= limit:
            kept.append(row)
    return sorted(kept, key=lambda row: row["path"])


def write_manifest(path: Path, rows: Sequence[Row]) -> Path:
    """Write `path,label[,split]`; other columns of the rows are left out."""
    columns = [name for name in ("path", "label", "split") if name in rows[0]]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *([row[name] for name in columns] for row in rows)])
    return path


def read_manifest(path: Path) -> list[Row]:
    """Read what `write_manifest` wrote, or a run's `predictions.csv`."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def split_as_noria(rows: Sequence[Row], seed: int, scratch: Path) -> list[Row]:
    """Return the rows with the `split` that Noria's own check gives them: 3:1:1, by label, duplicates on one side.

    Files that the check sets aside are left out, so that both sides of a comparison see the same pictures.
    """
    from noria import api
    from noria.config import load_config

    dataset = api.check(write_manifest(scratch / "all.csv", rows), config=load_config(seed=seed))
    return [
        {"path": str(dataset.path_of(one)), "label": one.label, "split": one.split}
        for one in sorted(dataset.examples, key=lambda one: one.path)
    ]


# Processes.


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a temporary folder that also holds the cache of whatever runs in this process."""
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as name:
        before = os.environ.get("NORIA_CACHE")
        os.environ["NORIA_CACHE"] = str(Path(name) / "cache-of-the-benchmark")
        try:
            yield Path(name)
        finally:
            os.environ.pop("NORIA_CACHE") if before is None else os.environ.update(NORIA_CACHE=before)


def noria_command(*arguments: str | Path) -> list[str]:
    """Return the command line of the `noria` that is installed beside this Python."""
    script = Path(sys.executable).with_name("noria")
    start = [str(script)] if script.is_file() else [sys.executable, "-c", "from noria.cli import main; main()"]
    return [*start, *map(str, arguments)]


def run_child(command: Sequence[str | Path], *, cache: Path | None = None) -> Measured:
    """Run a command to its end and measure it; exit with 1, showing its last words, where it fails.

    Args:
        cache: the folder of its NORIA_CACHE; a fresh one is a cold start.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if cache is not None:
        environment["NORIA_CACHE"] = str(cache)
    with tempfile.TemporaryDirectory() as folder:
        facts_file = Path(folder) / "facts.json"
        launch = [sys.executable, "-I", str(LAUNCHER), str(facts_file), *map(str, command)]
        done = subprocess.run(launch, env=environment, capture_output=True, text=True, check=False)
        facts = json.loads(facts_file.read_text()) if facts_file.is_file() else {"exit_code": done.returncode or 1}
    if facts["exit_code"] != 0:
        print(done.stderr[-3000:], file=sys.stderr)
        print(f"Failed with {facts['exit_code']}: {' '.join(map(str, command))}", file=sys.stderr)
        sys.exit(1)
    return Measured(facts["seconds"], facts["peak_bytes"], facts["cpu_seconds"], done.stdout)


# Figures.


def interval(accuracy: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of an accuracy measured on `count` pictures.

    For a mean over seeds `count` is one test set, not all together: the seeds draw from the same photos.
    """
    from noria.evaluation.intervals import wilson

    return wilson(round(accuracy * count), count)


def percent(accuracy: float, count: int) -> str:
    """Return an accuracy with its interval, for a table."""
    low, high = interval(accuracy, count)
    return f"{accuracy:.1%} ({low:.1%} to {high:.1%})"


def times_faster(rates: Sequence[float], others: Sequence[float]) -> float:
    """Return the median over rounds of how many times the other's rate: the machine's other work is in both."""
    return statistics.median(rate / other for rate, other in zip(rates, others, strict=True))


def mean(values: Sequence[float]) -> float:
    """Return the mean."""
    return sum(values) / len(values)


def spread(values: Sequence[float], pattern: str = "{:.1f}") -> str:
    """Return the mean, and the smallest and largest where there are several, for a table."""
    middle = pattern.format(mean(values))
    return middle if len(values) == 1 else f"{middle} ({pattern.format(min(values))} to {pattern.format(max(values))})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


# Results.


class Kept:
    """The raw figures of a benchmark, written after each, so that an interrupted run goes on where it was.

    Figures of other settings, code, versions or machines are put aside. A finished run leaves `results/NAME.json`.
    """

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        self._path = RESULTS / f"{name}.partial"
        # Not the commit, which changes with every document: the digest says whether it is the same code.
        stamp = {
            "settings": dict(settings),
            "code": code_digest(),
            "versions": versions(),
            "cpu": cpu_model(),
            "cores": cores(),
        }
        self._stamp = json.loads(json.dumps(stamp))  # as it will be read back
        self.figures: dict[str, Any] = {}
        if self._path.is_file():
            there = json.loads(self._path.read_text(encoding="utf-8"))
            if there["stamp"] == self._stamp:
                self.figures = there["figures"]
                say(f"going on: {len(self.figures)} figures are there already ({self._path.name})")
            else:
                aside = self._path.replace(self._path.with_name(f"{name}.old.partial"))
                say(f"settings, code or versions changed since the last start: its figures are now in {aside.name}")

    def get(self, key: str, work: Callable[..., Any], *arguments: Any) -> Any:
        """Return the figures of one piece of work, doing it only where they are not there yet."""
        if key not in self.figures:
            say(key)
            self.figures[key] = work(*arguments)
            RESULTS.mkdir(exist_ok=True)
            text = json.dumps({"stamp": self._stamp, "figures": self.figures}, indent=1)
            self._path.write_text(text, encoding="utf-8")
        return self.figures[key]

    def finish(self) -> None:
        """The work is whole: what was kept is not needed any more."""
        self._path.unlink(missing_ok=True)


def publish(name: str, title: str, body: str, raw: Mapping[str, Any], *, quick: bool) -> None:
    """Print the table with the machine and the versions under it, and write it to `results/` with the raw figures."""
    warning = "**A quick run: it shows that the benchmark works, not what the figures are.**\n\n" if quick else ""
    facts = machine()
    told = ", ".join(f"{key} {value}" for key, value in versions().items())
    text = (
        f"# {title}\n\n{warning}{body}\n\n"
        f"Machine: {facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']:.0f} GiB memory, {facts['system']}; "
        f"load average at the end {facts['load']}. Versions: {told}. Commit {commit()}. "
        f"Run again with `python bench/{' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])}`.\n"
    )
    print(text)
    RESULTS.mkdir(exist_ok=True)
    stem = f"{name}-quick" if quick else name
    ending = ".partial" if quick else ""
    (RESULTS / f"{stem}.md{ending}").write_text(text, encoding="utf-8")
    whole = {"machine": facts, "versions": versions(), "commit": commit(), "quick": quick, **raw}
    (RESULTS / f"{stem}.json{ending}").write_text(json.dumps(whole, indent=1, default=_plain), encoding="utf-8")


def machine() -> dict[str, Any]:
    """Return what the figures depend on beside the software."""
    return {
        "cpu": cpu_model(),
        "cores": cores(),
        "memory_gib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        "system": f"{platform.system()} {platform.machine()}",
        "load": " ".join(f"{value:.1f}" for value in os.getloadavg()),
    }


def cpu_model() -> str:
    """Return the processor's name as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def code_digest() -> str:
    """Return a digest of everything of ours that a figure depends on."""
    import noria

    files = sorted([*BENCH.glob("*.py"), *Path(noria.__file__).parent.rglob("*.py")])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def versions() -> dict[str, str]:
    """Return the versions of what is measured."""
    from noria.training import finish

    return {name: value for name, value in finish.versions(VERSIONED).items() if name != "platform"}


def commit() -> str:
    """Return the commit that is checked out, with a + where files differ from it; "no commit" outside of git."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"],
            cwd=PROJECT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "no commit"
    return told.stdout.strip()


def cores() -> int:
    """Return how many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _plain(value: Any) -> Any:
    return asdict(value) if isinstance(value, Measured) else str(value)
