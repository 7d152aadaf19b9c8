"""What several verbs take on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from noria.terminal import TerminalProgress, stderr_console

Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="A folder with a folder for each label, a CSV/TSV/JSONL manifest of files, or a table of texts "
        "(CSV, TSV, JSONL, Parquet, also .gz).",
    ),
]
TextColumn = Annotated[
    str | None, typer.Option("--text", metavar="COLUMN", help="Of a table: the column of texts. \\[default: found]")
]
LabelColumn = Annotated[
    str | None, typer.Option("--label", metavar="COLUMN", help="Of a table: the column of labels. \\[default: found]")
]
InputColumn = Annotated[
    str | None,
    typer.Option("--column", metavar="COLUMN", help="Of a table: the column of texts. \\[default: found]"),
]
Source = Annotated[
    Path, typer.Argument(metavar="BUNDLE|RUN", help="A bundle (from `noria export`) or a run (from `noria train`).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
AsJsonLines = Annotated[bool, typer.Option("--json", help="Print one JSON line for each input on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No bars and no lines of outcome.")]
Files = Annotated[
    list[str] | None,
    typer.Argument(metavar="FILE|DIR|-...", help="Files, folders, tables of texts, or - for standard input."),
]
Texts = Annotated[list[str] | None, typer.Option("--text", metavar="TEXT", help="A text itself, for a model of texts.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A TOML file, as `noria init` writes it.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, e.g. training.epochs=20.")
]
Decisions = Annotated[
    str | None,
    typer.Option(
        "--decisions",
        metavar="FILE|none",
        help="What was decided about inputs. \\[default: DATA.decisions.csv beside DATA]",
    ),
]
Group = Annotated[
    str | None,
    typer.Option(
        "--group",
        metavar="PATTERN",
        help="What stays on one side of the split: names such as '{group}_*.jpg', folder:2, or column:author.",
    ),
]
Seed = Annotated[int | None, typer.Option(help="Same seed, same data, same versions: same model.")]
Workers = Annotated[
    bool,
    typer.Option("--workers", help="Train with the other workers that TF_CONFIG (or Slurm) names, on many machines."),
]
Strategy = Annotated[
    str | None, typer.Option(help="frozen, finetune, scratch; linear, pooled. \\[default: the model's own]")
]
Model = Annotated[
    str | None,
    typer.Option(
        help="Pictures: efficientnet_lite0, _lite1, _lite2, convnet, resnet_small, or one of keras.applications. "
        "Texts: ngrams, fasttext, bilstm, textcnn, transformer or static_embeddings."
    ),
]
Runtime = Annotated[
    str | None,
    typer.Option(help="litert, litert_int8, openvino, openvino_int8, openvino_bfloat16, savedmodel, keras."),
]


def progress(quiet: bool) -> TerminalProgress:
    """Return bars and lines of outcome on standard error, or nothing of them."""
    return TerminalProgress(stderr_console(), quiet=quiet)
