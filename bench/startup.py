"""From the shell's prompt to the first answer: `noria predict BUNDLE ONE.jpg --json` against loading the Keras model.

Each start is a process of its own, the two sides in turn, files warm in the system's cache. The aim is an answer in
less than 1 s and 200 MiB. `python bench/startup.py` takes about 3 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

from _harness import MIB, data_folder, give_up, noria_command, parser, publish, run_child, say, scratch_folder, table

SECONDS, MEBIBYTES = 1.0, 200
PICTURES = 20  # of each label: how long a start takes does not depend on what the model has seen
KERAS = """
import json, sys
sys.modules["sklearn"] = None  # installed for other benchmarks; Keras would import it, and 2 s would be held against it
import keras
model = keras.saving.load_model(sys.argv[1])
image = keras.utils.img_to_array(keras.utils.load_img(sys.argv[2], target_size=model.input_shape[1:3]))
scores = model.predict(image[None], verbose=0)[0]
print(json.dumps({"best": int(scores.argmax()), "confidence": float(scores.max())}))
"""


def main() -> None:
    """Make a bundle where none is given, start both sides in turn and publish."""
    given = _options()
    picture = next(iter(sorted(data_folder("flowers").glob("*/*.jpg"))))
    with scratch_folder() as scratch:
        bundle = given.bundle.resolve() if given.bundle else _bundle(scratch)
        model = bundle / "model.keras"
        if not model.is_file():
            give_up(f"{bundle} holds no model.keras to compare with; export it with --formats keras,litert.")
        sides = {
            "noria": noria_command("predict", bundle, picture, "--json"),
            "keras": [sys.executable, "-c", KERAS, str(model), str(picture)],
        }
        figures: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
        for number in range(given.runs + 1):
            say(f"start {number} of {given.runs}{' (warms the files, not counted)' if number == 0 else ''}")
            for name, command in sides.items():
                measured = run_child(command)
                if number:
                    figures[name].append(
                        {"seconds": measured.seconds, "peak_bytes": measured.peak_bytes, "answer": measured.json()}
                    )
        labels = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["labels"]
    publish("startup", "Start-up: seconds and memory to the first answer", _body(figures, labels), figures,
            quick=given.quick)  # fmt: skip


def _options() -> argparse.Namespace:
    options = parser(str(__doc__), seeds=None)
    options.add_argument("--bundle", type=Path, help="a bundle that is there (default: one is trained on the flowers)")
    options.add_argument("--runs", type=int, default=10, help="starts of each side (default %(default)s)")
    given = options.parse_args()
    if given.quick:
        given.runs = min(given.runs, 2)
    return given


def _bundle(scratch: Path) -> Path:
    """Train on a few flowers and export."""
    say("train and export a model")
    for label in sorted(path for path in data_folder("flowers").iterdir() if path.is_dir()):
        (scratch / "photos" / label.name).mkdir(parents=True)
        for file in sorted(label.glob("*.jpg"))[:PICTURES]:
            shutil.copy(file, scratch / "photos" / label.name)
    run_child(noria_command("train", scratch / "photos", "--out", scratch / "run", "--json", "--quiet"))
    bundle = scratch / "bundle"
    run_child(
        noria_command("export", scratch / "run", "--out", bundle, "--formats", "keras,litert", "--json", "--quiet")
    )
    return bundle


def _body(figures: dict[str, list[dict[str, Any]]], labels: list[str]) -> str:
    told = {"noria": "`noria predict BUNDLE ONE.jpg --json`", "keras": "`import keras`, `load_model`, `predict`"}
    lines = [
        [told[name], str(len(starts)), *_three([one["seconds"] for one in starts], "{:.2f}"),
         *_three([one["peak_bytes"] / MIB for one in starts], "{:.0f}")]
        for name, starts in figures.items()
    ]  # fmt: skip
    header = ["", "starts", "seconds: median", "min", "max", "peak MiB: median", "min", "max"]
    seconds = {name: statistics.median(one["seconds"] for one in starts) for name, starts in figures.items()}
    memory = {name: statistics.median(one["peak_bytes"] / MIB for one in starts) for name, starts in figures.items()}
    met = "met" if seconds["noria"] < SECONDS and memory["noria"] < MEBIBYTES else "not met"
    noria, keras = figures["noria"][0]["answer"], figures["keras"][0]["answer"]
    return (
        table(header, lines) + f"\n\n**{seconds['keras'] / seconds['noria']:.1f} times as fast, "
        f"{memory['keras'] / memory['noria']:.1f} times less memory.** Aim, under {SECONDS:g} s and {MEBIBYTES} MiB: "
        f"{met}. The same picture: {noria['label']} ({noria['confidence']:.4f}) and {labels[keras['best']]} "
        f"({keras['confidence']:.4f}); the two resize differently."
    )


def _three(values: list[float], pattern: str) -> list[str]:
    return [pattern.format(value) for value in (statistics.median(values), min(values), max(values))]


if __name__ == "__main__":
    main()
