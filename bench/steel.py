"""How accurate, and how long, on six kinds of steel defect? Against an SVM on small pixels, the thing tried first.

1,770 grey photos of 200x200 pixels (NEU-DET). Each side in a process of its own, from nothing, on the same split.
`python bench/steel.py` takes about 2 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from _harness import Kept, parser, publish, run_child, scratch_folder, split_as_noria, steel, table, write_manifest
from _trained import HEADER, line, train_cold

SIDE = 32  # pixels a side, for the SVM
STRENGTHS = (1.0, 10.0, 100.0)


def main() -> None:
    """Measure both sides on each seed and publish them."""
    given = _options()
    if given.svm:
        svm(*given.svm)
        return
    limit, seeds = (30, 1) if given.quick else (None, given.seeds)
    kept = Kept("steel-quick" if given.quick else "steel", {"limit": limit})
    for seed in range(seeds):
        with scratch_folder() as scratch:
            manifest = write_manifest(scratch / "steel.csv", split_as_noria(steel(limit), seed, scratch))
            kept.get(f"noria {seed}", train_cold, manifest, scratch / "run", seed)
            kept.get(f"svm {seed}", _svm_cold, manifest, scratch / "svm.json")
    publish("steel", "Steel surfaces: six kinds of defect", _body(kept.figures, seeds), kept.figures, quick=given.quick)
    kept.finish()


def svm(manifest: Path, out: Path) -> None:
    """Fit an RBF SVM on grey pixels, its strength chosen on the validation split, and write the test answers."""
    import numpy as np
    from PIL import Image
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    from _harness import read_manifest

    rows = read_manifest(manifest)

    def pixels(side: str) -> tuple[Any, list[str]]:
        chosen = [row for row in rows if row["split"] == side]
        images = [Image.open(row["path"]).convert("L").resize((SIDE, SIDE)) for row in chosen]
        return np.stack([np.asarray(image, np.float32).ravel() for image in images]), [row["label"] for row in chosen]

    train, validation, test = pixels("train"), pixels("validation"), pixels("test")
    fitted = [make_pipeline(StandardScaler(), SVC(C=strength)).fit(*train) for strength in STRENGTHS]
    best = max(fitted, key=lambda model: model.score(*validation))
    paths = [row["path"] for row in rows if row["split"] == "test"]
    answers = dict(zip(paths, zip(test[1], map(str, best.predict(test[0])), strict=True), strict=True))
    out.write_text(json.dumps(answers), encoding="utf-8")


def _options() -> argparse.Namespace:
    options = parser(str(__doc__))
    options.add_argument("--svm", type=Path, nargs=2, help=argparse.SUPPRESS)  # this program's own second side
    return options.parse_args()


def _svm_cold(manifest: Path, out: Path) -> dict[str, Any]:
    measured = run_child([sys.executable, __file__, "--svm", manifest, out])
    answers = json.loads(out.read_text(encoding="utf-8"))
    return {"seconds": measured.seconds, "peak_bytes": measured.peak_bytes, "answers": answers}


def _body(figures: dict[str, Any], seeds: int) -> str:
    noria = [figures[f"noria {seed}"] for seed in range(seeds)]
    lines = [
        line("`noria train`, cold cache, default settings", noria),
        line(f"scikit-learn: {SIDE}x{SIDE} grey pixels, RBF SVM", [figures[f"svm {seed}"] for seed in range(seeds)]),
    ]
    counts = noria[0]["counts"]
    return (
        table(HEADER, lines)
        + f"\n\n{counts['train']:,} train, {counts['validation']:,} validation, {counts['test']:,} test; a seed is a "
        "split, the same for both. Seconds are of the whole process, from start to exit; Noria's write the model and a "
        "report as well. The SVM's strength is chosen on validation out of "
        + ", ".join(f"{strength:g}" for strength in STRENGTHS)
        + "."
    )


if __name__ == "__main__":
    main()
