"""CIFAR-10: what does `noria check` take for 60,000 pictures, and how many test pictures have a copy in training?

Barz and Denzler counted 3.3 % by features and by eye (arXiv 1902.00423), pictures that are only very similar included.
`python bench/cifar10_copies.py` takes about 15 minutes on 2 cores; `--quick` takes 600 pictures.
"""

from __future__ import annotations

from typing import Any

from _cifar10 import A_BATCH, write_cifar10
from _harness import MIB, Kept, noria_command, parser, publish, run_child, scratch_folder, table
from noria.data.duplicates import join_pairs

PUBLISHED = "3.3 %"


def main() -> None:
    """Write the pictures, check them with their own split, and publish the figures."""
    given = parser(str(__doc__), seeds=None).parse_args()
    limit = 100 if given.quick else A_BATCH
    kept = Kept("cifar10_copies-quick" if given.quick else "cifar10_copies", {"limit": limit})
    kept.get("check", _measured, limit)
    publish("cifar10_copies", "CIFAR-10: copies between test and training set", _body(kept.figures), kept.figures,
            quick=given.quick)  # fmt: skip
    kept.finish()


def _measured(limit: int) -> dict[str, Any]:
    with scratch_folder() as scratch:
        manifest = write_cifar10(scratch / "cifar10", limit)
        command = noria_command("check", manifest, "--json", "--quiet", "--set", "data.wrong_labels=false")
        done = run_child(command, cache=scratch / "cache")
    told = done.json()
    seen = [
        (one["path"], one["other"], one["score"], finding["kind"])
        for finding in told["findings"]
        if finding["kind"].startswith(("near_duplicates", "exact_duplicates"))
        for one in finding["suspects"]
    ]
    names = sorted({name for first, second, *_ in seen for name in (first, second)})
    place = {name: number for number, name in enumerate(names)}
    sets = join_pairs([(place[first], place[second]) for first, second, *_ in seen], len(names))
    trained = {number for name, number in zip(names, sets, strict=True) if name.startswith("train/")}
    leaked = [name for name, number in zip(names, sets, strict=True) if name.startswith("test/") and number in trained]
    return {
        "pictures": 6 * limit,
        "tested": limit,
        "seconds": done.seconds,
        "peak_mib": done.peak_bytes / MIB,
        "findings": {one["kind"]: one["count"] for one in told["findings"]},
        "leaked": leaked,
        "pairs": seen,
        "left": told["num_examples"],
    }


def _body(figures: dict[str, Any]) -> str:
    told = figures["check"]
    leaked = len(told["leaked"])
    rows = [
        ["pictures", f"{told['pictures']:,}"],
        ["seconds, from an empty cache", f"{told['seconds']:.0f}"],
        ["peak memory", f"{told['peak_mib']:,.0f} MiB"],
        ["test pictures with a near or exact copy in training", f"{leaked:,} ({leaked / told['tested']:.1%})"],
        ["the same, counted by people (arXiv 1902.00423)", PUBLISHED],
        ["all findings", ", ".join(f"{kind} {count:,}" for kind, count in told["findings"].items())],
    ]
    return table(["what", "`noria check`"], rows)


if __name__ == "__main__":
    main()
