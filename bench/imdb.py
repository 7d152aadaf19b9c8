"""Film reviews, 25,000 to learn from and 25,000 to answer: `noria train` against the tutorials' LSTM, fastText, TF-IDF.

Every side gets the same table, trains, saves and answers in a process of its own, Noria from an empty cache. The aims:
the default model is right on 91.5 % within 60 s from raw text to saved model, and `bilstm` on the published 87.3 %.
`python bench/imdb.py` takes 15 minutes to an hour on 2 cores, most of it the two LSTMs'; stopped, it goes on from the
last finished side.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from _harness import Kept, interval, parser, percent, publish, scratch_folder, table
from _text_sides import ANSWERS_ON, HEADER, MB, accuracy, line, noria, paired, recipe
from _texts import imdb, write_table

BEST_AIM, SECONDS_AIM, LSTM_AIM = 0.915, 60.0, 0.873
INT8 = "litert_int8"
OURS, OUR_LSTM, THEIR_LSTM = "noria ngrams", "noria bilstm", "keras bilstm"
NAMES = {
    OURS: "`noria train` (ngrams, the default)",
    OUR_LSTM: "`noria train --model bilstm`",
    THEIR_LSTM: "Keras, the tutorials' BiLSTM",
    "fasttext paper": "fastText, settings of its paper",
    "fasttext tutorial": "fastText, settings of its tutorial",
    "tfidf": "scikit-learn, TF-IDF and logistic regression",
}
Side = Callable[[Path, Path], dict[str, Any]]  # table, scratch -> figures
SIDES: dict[str, Side] = {
    OURS: lambda texts, scratch: noria(texts, scratch, 0),
    "tfidf": lambda texts, scratch: recipe("_tfidf_recipe", texts, scratch, variant="words"),
    "fasttext paper": lambda texts, scratch: recipe("_fasttext_recipe", texts, scratch, variant="paper"),
    "fasttext tutorial": lambda texts, scratch: recipe("_fasttext_recipe", texts, scratch, variant="tutorial"),
    THEIR_LSTM: lambda texts, scratch: recipe("_bilstm_recipe", texts, scratch),
    OUR_LSTM: lambda texts, scratch: noria(texts, scratch, 0, ["model.name=bilstm"], also=[INT8]),
}
PROTOCOL = """
The given split: {train:,} texts to learn from and {test:,} to answer, in one packed file of JSON lines. What a side
holds back of the former to choose by is its own affair: Noria a quarter (its default model is then fitted once more to
all), the tutorials' LSTM a fifth (at most 10 epochs, stopped early), fastText and scikit-learn nothing, their settings
being fixed. To the saved model: from the start of the process. With all answers: Noria's evaluation and report are in
it. Memory is that of the training process. Model: with its vocabulary; Noria's as LiteRT in the bundle. Microseconds
a text, from raw text to label in an open model, start excluded: all test texts together on all cores, and {singly}
texts one after the other (median). Accuracies with 95 % intervals.
"""


def main() -> None:
    """Measure every side and publish the comparison."""
    given = _options()
    kept = Kept("imdb-quick" if given.quick else "imdb", {"limit": given.limit})
    with scratch_folder() as scratch:
        rows = imdb(given.limit)
        texts = write_table(scratch / "imdb.jsonl.gz", rows)
        for name in given.sides:
            place = scratch / name.replace(" ", "-")
            place.mkdir()
            kept.get(name, SIDES[name], texts, place)
    body = _body(kept.figures, given)
    if set(kept.figures) != set(SIDES):
        print(body)  # so far; the figures are kept
        return
    publish("imdb", "IMDB: `noria train` on texts against three others", body, kept.figures, quick=given.quick)
    kept.finish()


def _options() -> argparse.Namespace:
    options = parser(str(__doc__), seeds=None)
    options.add_argument("--limit", type=int, help="only so many texts of each label and split")
    options.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES), metavar="SIDE",
                         help=f"only some of: {', '.join(map(repr, SIDES))}")  # fmt: skip
    given = options.parse_args()
    if given.quick:
        given.limit = given.limit or 300
    return given


def _body(figures: dict[str, Any], given: argparse.Namespace) -> str:
    from _text_recipe import SINGLY

    there = {name: figures[name] for name in SIDES if name in figures}
    rows = imdb(given.limit)
    counts = {side: sum(row["split"] == side for row in rows) for side in ("train", "test")}
    text = table(HEADER, [line(NAMES[name], [one]) for name, one in there.items()])
    text += "\n" + PROTOCOL.format(**counts, singly=SINGLY).rstrip()
    text += f" fastText is the package fasttext-numpy2 {version('fasttext-numpy2')}."
    return text + "".join(part(there) for part in (_verdict, _differences, _stages, _lstm))


def _verdict(there: dict[str, Any]) -> str:
    if OURS not in there:
        return ""
    ours = there[OURS]
    met = accuracy(ours) >= BEST_AIM and ours["seconds_to_saved"] <= SECONDS_AIM
    text = (
        f"\n\n**{accuracy(ours):.2%} after {ours['seconds_to_saved']:.1f} s** from raw text to saved model. "
        f"Aim, {BEST_AIM:.1%} in {SECONDS_AIM:.0f} s: {'met' if met else 'not met'}."
    )
    if THEIR_LSTM in there:
        ratio = there[THEIR_LSTM]["seconds_to_saved"] / ours["seconds_to_saved"]
        facts = there[THEIR_LSTM]["facts"]
        text += (
            f" That is **{ratio:.1f} times as fast** as the tutorials' LSTM, which stopped after "
            f"{len(facts['epoch_seconds'])} epochs of {min(facts['epoch_seconds']):.0f} s and more."
        )
    return text


def _differences(there: dict[str, Any]) -> str:
    others = [name for name in there if name != OURS]
    if OURS not in there or not others:
        return ""
    lines = [f"- {NAMES[name]}: {paired([there[OURS]], [there[name]])}" for name in others]
    title = "Accuracy of the default minus that of the others, points, paired on the same texts:"
    return "\n\n" + "\n".join([title, "", *lines])


def _stages(there: dict[str, Any]) -> str:
    return "".join(f"\n\n{NAMES[name]}: {_stages_of(there[name])}" for name in (OURS, OUR_LSTM) if name in there)


def _stages_of(ours: dict[str, Any]) -> str:
    stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in ours["stages"].items())
    counts = ", ".join(f"{count:,} {side.replace('_', ' ')}" for side, count in ours["counts"].items())
    return (
        f"stages, s: {stages}; processor time {ours['cpu_seconds']:.1f}; `noria export` after it "
        f"{ours['export_seconds']:.1f}. Texts: {counts}."
    )


def _lstm(there: dict[str, Any]) -> str:
    """The int8 file against the float one: published is a quarter of the size and 2.3 times the speed."""
    if OUR_LSTM not in there:
        return ""
    ours = there[OUR_LSTM]
    runtimes = {name: one for name, one in ours["runtimes"].items() if one is not None}
    lines = [
        [
            name,
            f"{one['file_bytes'] / MB:.2f}",
            percent(accuracy(one), len(one["right"])),
            f"{one['microseconds_together']:,.0f}",
            f"{one['microseconds_singly']:,.0f}",
        ]
        for name, one in runtimes.items()
    ]
    _, high = interval(accuracy(ours), len(ours["right"]))
    verdict = "met" if accuracy(ours) >= LSTM_AIM else "missed by less than chance" if high >= LSTM_AIM else "not met"
    return (
        f"\n\nThe LSTM of Noria, as files for LiteRT. Aim, {LSTM_AIM:.1%}: {verdict}.\n\n"
        + table(["file", "MB", "test accuracy (95 %)", "µs a text, together", "µs a text, singly"], lines)
        + "\n\n"
        + _shrunk(runtimes)
    )


def _shrunk(runtimes: dict[str, dict[str, Any]]) -> str:
    if INT8 not in runtimes:
        return "The int8 file was refused: `noria export` says why."
    floats, ints = runtimes[ANSWERS_ON], runtimes[INT8]
    return (
        f"int8 is {ints['file_bytes'] / floats['file_bytes']:.2f} of the float file's size and "
        f"{floats['microseconds_singly'] / ints['microseconds_singly']:.2f} times as fast a text (published: 0.27 and "
        f"2.3); its accuracy minus that of float: {paired([ints], [floats])} points."
    )


if __name__ == "__main__":
    main()
