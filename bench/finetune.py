"""Is fine-tuning worth its minutes? Frozen against fine-tuned: flowers, steel surfaces, solar cells.

Each side by `noria train` in a process of its own, from an empty cache, on the same split; fine-tuning with so many
minutes for the whole command. `python bench/finetune.py` takes about 20 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
from typing import Any

from _harness import SETS, Kept, mean, parser, publish, scratch_folder, split_as_noria, table, write_manifest
from _trained import HEADER, accuracy, line, train_cold

MINUTES = 5.0


def main() -> None:
    """Measure both sides on every set and publish them."""
    given = _options()
    limit = 30 if given.quick else None
    kept = Kept("finetune-quick" if given.quick else "finetune", {"limit": limit, "minutes": given.minutes})
    for name in SETS:
        for seed in range(given.seeds):
            with scratch_folder() as scratch:
                manifest = write_manifest(scratch / f"{name}.csv", split_as_noria(SETS[name](limit), seed, scratch))
                kept.get(f"frozen {name} {seed}", train_cold, manifest, scratch / "frozen", seed)
                settings = ["training.strategy=finetune", f"training.minutes={given.minutes}"]
                kept.get(f"finetune {name} {seed}", train_cold, manifest, scratch / "finetune", seed, settings)
    body = _body(kept.figures, given)
    publish("finetune", "Frozen against fine-tuned", body, kept.figures, quick=given.quick)
    kept.finish()


def _options() -> argparse.Namespace:
    options = parser(str(__doc__), seeds=1)
    options.add_argument("--minutes", type=float, default=MINUTES, help="for fine-tuning, the whole command")
    given = options.parse_args()
    if given.quick:
        given.minutes = min(given.minutes, 1.0)
    return given


def _body(figures: dict[str, Any], given: argparse.Namespace) -> str:
    lines, verdicts = [], []
    for name in SETS:
        sides = {
            side: [figures[f"{side} {name} {seed}"] for seed in range(given.seeds)] for side in ("frozen", "finetune")
        }
        lines.append(line(f"{name}: frozen, the default", sides["frozen"]))
        lines.append(line(f"{name}: `--strategy finetune --minutes {given.minutes:g}`", sides["finetune"]))
        right = {side: mean([accuracy(one["answers"]) for one in many]) for side, many in sides.items()}
        seconds = {side: mean([one["seconds"] for one in many]) for side, many in sides.items()}
        verdicts.append(
            f"- {name}: {100 * (right['finetune'] - right['frozen']):+.1f} points for "
            f"{seconds['finetune'] / seconds['frozen']:.1f} times the seconds"
        )
    told = "From the start of the process to the report, from an empty cache, test pictures scored. "
    told += "Fine-tuning begins with the frozen side's head, and keeps it where no epoch is better on validation."
    return table(HEADER, lines) + "\n\n" + told + "\n\n" + "\n".join(verdicts)


if __name__ == "__main__":
    main()
