"""The command line: one function a verb, in the order of the pipeline.

Answers go to standard output (one JSON object with --json; JSON lines for `predict`), everything else to standard
error. Exit codes: 0 good, 1 the work failed, 2 what was given is wrong, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import orjson
import typer
from rich.text import Text
from typer.core import TyperGroup

import noria
from noria.errors import ConfigError, NoriaError, UnknownNameError
from noria.terminal import TerminalProgress, stderr_console

if TYPE_CHECKING:
    from rich.table import Table

# Click's, or that of the copy which newer typers carry inside.
_UsageError: Any = typer.BadParameter.__mro__[1]


class Verbs(TyperGroup):
    """The one place where errors become messages and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except NoriaError as error:
            _fail(str(error), error.exit_code)
        except KeyboardInterrupt:
            again = " Start the same command again to go on." if ctx.invoked_subcommand == "train" else ""
            _fail(f"Stopped.{again}", 130)
        except _UsageError as error:
            # Typer explains how to use the verb, on standard error; a script that asked for JSON gets that, too.
            if "--json" in sys.argv and not _written:
                _write({"error": error.format_message()})
            raise
        except BrokenPipeError:
            # The reader of our output has gone, as with `| head`; nothing is left to tell it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except OSError as error:
            _fail(f"{error.filename or 'A file'}: {error.strerror or error}", 1)


app = typer.Typer(
    name="noria",
    cls=Verbs,
    help="From a folder of labelled pictures to a model that can be trusted in production.",
    epilog="Start with:  noria train PHOTOS   (a folder with a folder for each label)",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cache_app = typer.Typer(help="Show or clear what earlier work left to be re-used.", no_args_is_help=True)
app.add_typer(cache_app, name="cache")

Data = Annotated[
    Path, typer.Argument(metavar="DATA", help="A folder with a folder for each label, or a CSV/TSV/JSONL manifest.")
]
Source = Annotated[
    Path, typer.Argument(metavar="BUNDLE|RUN", help="A bundle (from `noria export`) or a run (from `noria train`).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No bars and no lines of outcome.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A TOML file, as `noria init` writes it.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, e.g. training.epochs=20.")
]
Seed = Annotated[int | None, typer.Option(help="Same seed, same data, same versions: same model.")]
Runtime = Annotated[str | None, typer.Option(help="litert, litert_int8, openvino, openvino_int8, savedmodel, keras.")]


def main() -> None:
    """Run the command line."""
    app()


def _fail(message: str, exit_code: int) -> NoReturn:
    """Say why on standard error; a script that asked for JSON and has had none gets it there too."""
    if "--json" in sys.argv and not _written:
        _write({"error": message})
    head = ("", "") if exit_code == 130 else ("Error: ", "bold red")
    stderr_console().print(Text.assemble(head, message))
    sys.exit(exit_code)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"noria {noria.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version.")
    ] = False,
) -> None:
    pass


@app.command()
def init(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the file.")] = Path("noria.toml"),
    task: Annotated[str, typer.Option(help="What the model is to do.")] = "image_classification",
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a config file with every setting and its default."""
    from noria.artifacts.files import write_atomic
    from noria.config import load_config, to_toml

    if out.exists() and not force:
        raise ConfigError(f"{out} is there already. Choose another name, or overwrite it with --force.")
    write_atomic(out, to_toml(load_config(task=task)))
    _say(
        as_json, {"config": str(out)}, f"{out} written. Use it with: noria train DATA --config {shlex.quote(str(out))}"
    )


@app.command()
def check(
    data: Data,
    fail_on: Annotated[
        list[str] | None,
        typer.Option("--fail-on", metavar="KIND", help="Exit with 1 where there is a finding of this kind (or: any)."),
    ] = None,
    seed: Seed = None,
    settings: Settings = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Look at the data: what can be used, what cannot and why, duplicates, and how it would be split."""
    from dataclasses import asdict

    from noria import api
    from noria.config import load_config
    from noria.data.check import KINDS

    wanted = {kind.strip() for given in fail_on or () for kind in given.split(",")}
    for kind in sorted(wanted - KINDS - {"any"}):
        raise UnknownNameError("kind of finding", kind, {*KINDS, "any"})
    loaded = load_config(config, settings or (), seed=seed)
    dataset = api.check(data, config=loaded, progress=_progress(quiet))
    findings = [asdict(finding) for finding in dataset.findings]
    facts = {
        "data": str(data),
        "num_examples": len(dataset.examples),
        "labels": list(dataset.labels),
        "splits": dataset.counts(),
        "fingerprint": dataset.fingerprint,
        "findings": findings,
        "set_aside": [asdict(one) for one in dataset.set_aside],
    }
    _say(as_json, facts, _dataset_table(dataset), _findings_table(findings))
    if failed := sorted({finding["kind"] for finding in findings if wanted & {finding["kind"], "any"}}):
        raise NoriaError(f"Found, as --fail-on asked: {', '.join(failed)}.")


@app.command()
def train(
    data: Data,
    out: Annotated[Path | None, typer.Option(help="The run's folder. \\[default: runs/NAME]")] = None,
    strategy: Annotated[str | None, typer.Option(help="frozen: features once, then a head in seconds.")] = None,
    model: Annotated[
        str | None, typer.Option(help="efficientnet_lite0, _lite1, _lite2, or a name of keras.applications.")
    ] = None,
    seed: Seed = None,
    settings: Settings = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check the data, train a model, and write a report on pictures that it never saw.

    A training that was stopped or killed goes on when the same command is started again.
    """
    from noria import api
    from noria.config import load_config

    loaded = load_config(config, settings or (), seed=seed, training__strategy=strategy, model__name=model)
    command = shlex.join(["noria", *sys.argv[1:]])
    run = api.train(data, out, config=loaded, progress=_progress(quiet), command=command)
    facts = run.manifest
    told = {
        "run": str(run.path),
        "report": str(run.report),
        "task": facts.task,
        "num_classes": len(facts.labels),
        "num_examples": facts.num_examples,
        "test": facts.test,
        "seconds": facts.seconds,
        "features": facts.features,
        "fingerprint": facts.fingerprint,
        "peak_memory_bytes": facts.peak_memory_bytes,
    }
    low, high = facts.test["interval"]
    _say(
        as_json,
        told,
        f"Right on {facts.test['accuracy']:.1%} of {facts.num_examples['test']:,} test pictures "
        f"(95 %: {low:.1%} to {high:.1%}), in {facts.seconds['total']:.0f} s.",
        f"Report:  {run.report}",
        f"Next:    noria export {shlex.quote(str(run.path))}",
    )


@app.command()
def evaluate(
    source: Source,
    data: Data,
    runtime: Runtime = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure a run or a bundle on labelled data: accuracy with its interval, and the figures of each label."""
    from noria import api

    told = api.evaluate(source, data, runtime=runtime, progress=_progress(quiet))
    low, high = told["interval"]
    lines: list[Any] = [
        _classes_table(told["classes"]),
        f"Right on {told['accuracy']:.1%} of {told['num_examples']:,} (95 %: {low:.1%} to {high:.1%}).",
    ]
    if told["set_aside"]:
        first = told["set_aside"][0]
        lines.append(f"{len(told['set_aside'])} could not be used; the first: {first['path']}: {first['reason']}.")
    if told.get("seen_in_training"):
        lines.append(f"{told['seen_in_training']:,} of them the model was trained on: on new pictures expect less.")
    _say(as_json, told, *lines)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run (from `noria train`).")],
    out: Annotated[Path | None, typer.Option(help="The bundle's folder. \\[default: RUN/bundle]")] = None,
    formats: Annotated[
        str | None, typer.Option(help="Some of keras,savedmodel,litert,litert_int8. \\[default: all]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that is there.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write a bundle: the model in several formats, each compared with the Keras model before it is kept."""
    from noria import api

    chosen = [name.strip() for name in formats.split(",")] if formats else None
    bundle = api.export(run, out, formats=chosen, replace=force, progress=_progress(quiet))
    files = [{"format": one.format, "path": one.path, "bytes": one.bytes} for one in bundle.manifest.files]
    told = {"bundle": str(bundle.path), "files": files, "verified": list(bundle.manifest.verified)}
    _say(
        as_json,
        told,
        _runtimes_table(bundle.manifest.verified),
        f"Bundle:  {bundle.path}",
        f"Next:    noria predict {shlex.quote(str(bundle.path))} FILES",
    )


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle (from `noria export`).")],
    data: Annotated[
        Path | None, typer.Argument(metavar="DATA", help="Labelled data. \\[default: the bundle's golden examples]")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Prove that every file of a bundle answers like the Keras model; exit with 1 where one does not."""
    from noria import api

    outcome = api.verify(bundle, data, progress=_progress(quiet)).as_dict()
    absent = ", ".join(outcome["not_installed"])
    rest = f"Intact, but not run here, for want of their engines: {absent}." if absent else ""
    _say(as_json, outcome, _runtimes_table(outcome["runtimes"]), *([rest] if rest else []))
    failures = [f"{row['name']}: {failure}" for row in outcome["runtimes"] for failure in row["failures"]]
    if failures:
        raise NoriaError("Not verified. " + "; ".join(failures))


@app.command()
def predict(
    source: Source,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE|DIR|-...", help="Files, folders, or - for standard input.")
    ],
    runtime: Runtime = None,
    top: Annotated[int, typer.Option(min=1, help="How many labels to list for each input.")] = 5,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Answer for files, for every file below a folder, or for standard input (one picture, or a path on each line)."""
    from noria.inference.predictor import Predictor, find_inputs, open_source
    from noria.inference.standard_input import read_inputs

    predictor = Predictor(open_source(Path(source)), runtime=runtime)
    given = [one for name in files for one in (read_inputs() if name == "-" else find_inputs([Path(name)]))]
    rows: list[tuple[str, Text, str]] = []
    failed = 0
    with _progress(quiet).track("predict", len(given)) as advance:
        for answer in predictor.answers(given, top=top):
            advance(1)
            failed += "error" in answer
            if as_json:
                _write(answer)
            elif "error" in answer:
                rows.append((answer["input"], Text(answer["error"], style="red"), ""))
            else:
                rows.append((answer["input"], Text(answer["label"]), f"{answer['confidence']:.1%}"))
    if not as_json:
        table = _table("input", "answer", "confidence")
        for name, said, confidence in rows:
            table.add_row(Text(_printable(name)), said, confidence)
        _print(table)
    if failed and failed == len(given):
        raise ConfigError("None of the inputs could be read.")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("noria-demo"),
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Walk the whole path on 2,624 real photos of solar cells: check, train, evaluate, export, verify, predict."""
    from noria import demo as show

    told = show.run(out, _progress(quiet))
    _say(as_json, told, *show.closing_lines(told))


@cache_app.command("show")
def cache_show(as_json: AsJson = False) -> None:
    """Say where the cache lies and how large it is."""
    from noria import cache

    told = cache.show()
    lines = [f"{part['name']:<22} {part['bytes'] / 1e6:>10.1f} MB" for part in told["parts"]]
    _say(as_json, told, f"Cache: {told['folder']}", *lines)


@cache_app.command("clear")
def cache_clear(as_json: AsJson = False) -> None:
    """Delete the cache; the next training computes again what it needs."""
    from noria import cache

    told = cache.clear()
    _say(as_json, told, f"{told['bytes'] / 1e6:.1f} MB deleted from {told['folder']}.")


def _progress(quiet: bool) -> TerminalProgress:
    return TerminalProgress(stderr_console(), quiet=quiet)


def _say(as_json: bool, facts: dict[str, Any], *lines: Any) -> None:
    """Print the one JSON object, or what a person reads."""
    if as_json:
        _write(facts)
        return
    for line in lines:
        _print(line)


SHOWN = 3  # examples of a finding in the table; --json has more
_written: list[bool] = []  # one entry for each object on standard output


def _write(facts: dict[str, Any]) -> None:
    _written.append(True)
    sys.stdout.buffer.write(
        orjson.dumps(_storable(facts), option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
    )
    sys.stdout.buffer.flush()


def _storable(value: Any) -> Any:
    """Make names that are not valid Unicode writable: JSON must never fail on a file's name."""
    if isinstance(value, str):
        return _printable(value)
    if isinstance(value, dict):
        return {_printable(str(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_storable(item) for item in value]
    return value


def _printable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _print(line: Any) -> None:
    from rich.console import Console

    width = None if sys.stdout.isatty() else 10_000  # a pipe has no edge at which names would be cut
    Console(highlight=False, soft_wrap=True, width=width).print(Text(line) if isinstance(line, str) else line)


def _table(*columns: str) -> Table:
    from rich.table import Table  # here, because `predict --json` should answer before this would be imported

    return Table(*columns, box=None, pad_edge=False)


def _dataset_table(dataset: Any) -> Table:
    table = _table("label", "train", "validation", "test")
    counts = Counter((one.label, one.split) for one in dataset.examples)
    for label in dataset.labels:
        sides = (counts[label, side] for side in ("train", "validation", "test"))
        table.add_row(Text(label), *(f"{count:,}" for count in sides))
    return table


def _findings_table(findings: Sequence[dict[str, Any]]) -> Table | str:
    if not findings:
        return "Nothing to report."
    table = _table("", "finding", "count", "what it means")
    for finding in findings:
        colour = {"error": "red", "warning": "yellow"}.get(finding["severity"], "dim")
        shown = ", ".join(_printable(name) for name in finding["examples"][:SHOWN])
        more = ", ..." if finding["count"] > SHOWN else ""
        said = f"{finding['message']} {finding['remedy']}".strip() + (f" ({shown}{more})" if shown else "")
        table.add_row(Text(finding["severity"], style=colour), finding["kind"], f"{finding['count']:,}", Text(said))
    return table


def _classes_table(classes: Sequence[dict[str, Any]]) -> Table:
    table = _table("label", "precision", "recall", "F1", "support")
    for row in classes:
        # None: a ratio of nothing, e.g. the recall of a label that the data lacks.
        figures = ("" if row[key] is None else f"{row[key]:.3f}" for key in ("precision", "recall", "f1"))
        table.add_row(Text(row["label"]), *figures, f"{row['support']:,}")
    return table


def _runtimes_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    table = _table("runtime", "MB", "accuracy", "95 %", "agrees", "differs", "ms", "")
    for column in table.columns:
        column.no_wrap = True
    for row in rows:
        low, high = row["interval"] or (None, None)
        table.add_row(
            row["name"],
            f"{row['bytes'] / 1e6:.2f}",
            "" if row["accuracy"] is None else f"{row['accuracy']:.1%}",
            "" if low is None else f"{low:.1%}-{high:.1%}",
            f"{row['agreement']:.1%}",
            f"{row['max_score_difference']:.0e}",
            f"{row['milliseconds']:.1f}",
            Text("FAILED", style="bold red") if row["failures"] else Text("ok", style="green"),
        )
    return table
