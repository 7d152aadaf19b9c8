"""The command line: one function a verb, in the order of the pipeline.

Answers go to standard output (one JSON object with --json; JSON lines for `predict`), everything else to standard
error. Exit codes: 0 good, 1 the work failed, 2 what was given is wrong, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.text import Text
from typer.core import TyperGroup

import noria
from noria import gathering, measuring, operating, watching
from noria.errors import ConfigError, NoriaError
from noria.options import (
    AsJson,
    AsJsonLines,
    ConfigFile,
    Data,
    Decisions,
    Files,
    Group,
    InputColumn,
    LabelColumn,
    Model,
    Quiet,
    Runtime,
    Seed,
    Settings,
    Source,
    Strategy,
    TextColumn,
    Texts,
    Workers,
    progress,
)
from noria.standard_output import say, say_line, write, written
from noria.tables import (
    classes_table,
    new_table,
    runtimes_table,
)
from noria.terminal import stderr_console, visible

if TYPE_CHECKING:
    from noria.artifacts.bundle import Bundle
    from noria.artifacts.run import Run
    from noria.config import Config
    from noria.contracts import Progress
    from noria.data.readers import Columns
    from noria.inference.predictor import Input

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
            _fail_stopped(ctx)
        except ImportError as error:
            # A native library that was being loaded when Ctrl-C came says that it could not be.
            if not isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
                raise
            _fail_stopped(ctx)
        except _UsageError as error:
            # Typer explains how to use the verb, on standard error; a script that asked for JSON gets that, too.
            if "--json" in sys.argv and not written():
                write({"error": error.format_message()})
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
    help="From labelled pictures or texts to a model that can be trusted in production.",
    epilog="Start with:  noria train PHOTOS   (a folder with a folder for each label)  or  noria train reviews.csv",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cache_app = typer.Typer(help="Show or clear what earlier work left to be re-used.", no_args_is_help=True)
app.add_typer(cache_app, name="cache")


def main() -> None:
    """Run the command line."""
    app()


def _fail(message: str, exit_code: int) -> NoReturn:
    """Say why on standard error; a script that asked for JSON and has had none gets it there too."""
    if "--json" in sys.argv and not written():
        write({"error": message})
    head = ("", "") if exit_code == 130 else ("Error: ", "bold red")
    stderr_console().print(Text.assemble(head, visible(message, lines=True)))
    sys.exit(exit_code)


def _fail_stopped(ctx: Any) -> NoReturn:
    again = " Start the same command again to go on." if ctx.invoked_subcommand == "train" else ""
    _fail(f"Stopped.{again}", 130)


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
    if not out.parent.is_dir():
        raise ConfigError(
            f"There is no folder {out.parent} to write {out.name} into. Make it first: mkdir -p "
            f"{shlex.quote(str(out.parent))}"
        )
    write_atomic(out, to_toml(load_config(task=task)))
    said = f"{out} written. Use it with: noria train DATA --config {shlex.quote(str(out))}"
    say(as_json, {"config": str(out)}, said)


for gathered in gathering.VERBS:
    app.command()(gathered)


@app.command()
def train(
    data: Data,
    text: TextColumn = None,
    label: LabelColumn = None,
    decisions: Decisions = None,
    group: Group = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder. \\[default: runs/NAME]")] = None,
    strategy: Strategy = None,
    model: Model = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="RUN", help="Go on from what a run has learnt; new labels are added."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(metavar="N", help="Train a network for so long, and not longer. \\[default: no limit]"),
    ] = None,
    workers: Workers = False,
    seed: Seed = None,
    settings: Settings = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check the data, train a model, and write a report on examples that it never saw.

    A training that was stopped or killed goes on when the same command is started again.
    """
    from noria import api
    from noria.config import load_config

    loaded = load_config(
        config,
        settings or (),
        data=data,
        seed=seed,
        training__strategy=strategy,
        training__minutes=minutes,
        model__name=model,
        model__start=start,
        data__text=text,
        data__label=label,
        data__decisions=decisions,
        data__group=group,
    )
    command = shlex.join(["noria", *sys.argv[1:]])
    begin = _with_others if workers else api.train
    if run := begin(data, out, config=loaded, progress=progress(quiet), command=command):
        _say_trained(run, as_json)
    else:
        say(as_json, {"run": None}, "Done: this worker trained along, and the chief has the run.")


def _say_trained(run: Run, as_json: bool) -> None:
    facts = run.manifest
    concerns, findings = run.warnings()
    count = sum(one["severity"] == "warning" for one in (*concerns, *findings))
    warned = f", with {count} {'warning' if count == 1 else 'warnings'}" if count else ""
    told = {
        "run": str(run.path),
        "report": str(run.report),
        "task": facts.task,
        "num_classes": len(facts.labels),
        "num_examples": facts.num_examples,
        "test": facts.test,
        "alarms": list(facts.alarms),
        "concerns": concerns,
        "seconds": facts.seconds,
        "features": facts.features,
        "fingerprint": facts.fingerprint,
        "peak_memory_bytes": facts.peak_memory_bytes,
        **({"continued": facts.continued} if facts.continued else {}),
    }
    low, high = facts.test["interval"]
    say(
        as_json,
        told,
        f"Right on {facts.test['accuracy']:.1%} of {facts.num_examples['test']:,} test examples "
        f"(95 %: {low:.1%} to {high:.1%}), in {facts.seconds['total']:.0f} s.",
        *_old_and_new(facts.continued),
        *(f"Careful: {one['message']}" for one in concerns if one["severity"] == "error"),
        f"Report:  {run.report}{warned}",
        f"Next:    noria export {shlex.quote(str(run.path))}",
    )


def _with_others(data: Path, out: Path | None, *, config: Config, progress: Progress, command: str) -> Run | None:
    """Train as one of several workers; who is no chief has no run."""
    from noria import working
    from noria.training.cluster import read_cluster

    cluster = read_cluster(os.environ)
    return working.train(cluster, data, out, config=config, progress=progress, command=command)


def _old_and_new(continued: Mapping[str, Any]) -> Iterator[str]:
    """Say of a training that went on from a run how well old labels and new ones are answered."""
    for name in ("old", "new") if continued else ():
        part = continued[name]
        low, high = part["interval"] or (0, 0)
        told = f"{part['accuracy']:.1%} (95 %: {low:.1%} to {high:.1%})" if part["interval"] else "nothing told"
        yield f"{name.capitalize()} labels ({len(part['labels'])}): {told} of {part['num_examples']:,} test examples."


for measured in measuring.VERBS:
    app.command()(measured)


@app.command()
def evaluate(
    source: Source,
    data: Data,
    text: TextColumn = None,
    label: LabelColumn = None,
    runtime: Runtime = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure a run or a bundle on labelled data: accuracy with its interval, and the figures of each label."""
    from noria import api

    told = api.evaluate(source, data, runtime=runtime, columns=_columns(text, label), progress=progress(quiet))
    low, high = told["interval"]
    lines: list[Any] = [
        classes_table(told["classes"]),
        f"Right on {told['accuracy']:.1%} of {told['num_examples']:,} (95 %: {low:.1%} to {high:.1%}).",
    ]
    if told["set_aside"]:
        first = told["set_aside"][0]
        lines.append(f"{len(told['set_aside'])} could not be used; the first: {first['path']}: {first['reason']}.")
    if told.get("seen_in_training"):
        lines.append(f"{told['seen_in_training']:,} of them the model was trained on: on new ones expect less.")
    say(as_json, told, *lines)


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
    bundle = api.export(run, out, formats=chosen, replace=force, progress=progress(quiet))
    files = [{"format": one.format, "path": one.path, "bytes": one.bytes} for one in bundle.manifest.files]
    told = {"bundle": str(bundle.path), "files": files, "verified": list(bundle.manifest.verified)}
    say(
        as_json,
        told,
        runtimes_table(bundle.manifest.verified),
        f"Bundle:  {bundle.path}",
        f"Next:    noria predict {shlex.quote(str(bundle.path))} FILES",
    )


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle (from `noria export`).")],
    data: Annotated[
        Path | None, typer.Argument(metavar="DATA", help="Labelled data. \\[default: the bundle's golden examples]")
    ] = None,
    text: TextColumn = None,
    label: LabelColumn = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Prove that every file of a bundle answers like the Keras model; exit with 1 where one does not."""
    from noria import api

    outcome = api.verify(bundle, data, columns=_columns(text, label), progress=progress(quiet)).as_dict()
    absent = ", ".join(outcome["not_installed"])
    rest = f"Intact, but not run here, for want of their engines: {absent}." if absent else ""
    say(as_json, outcome, runtimes_table(outcome["runtimes"]), *([rest] if rest else []))
    failures = [f"{row['name']}: {failure}" for row in outcome["runtimes"] for failure in row["failures"]]
    if failures:
        raise NoriaError("Not verified. " + "; ".join(failures))


@app.command()
def predict(
    source: Source,
    files: Files = None,
    texts: Texts = None,
    column: InputColumn = None,
    runtime: Runtime = None,
    top: Annotated[int, typer.Option(min=1, help="How many labels to list for each input.")] = 5,
    as_json: AsJsonLines = False,
    quiet: Quiet = False,
) -> None:
    """Answer for files, for every file below a folder, for every row of a table, or for standard input.

    Standard input holds a text on each line where the model takes texts, else one picture, or a path on each line.
    """
    from noria.inference.predictor import Predictor, open_source

    opened = open_source(Path(source))
    told = progress(quiet)
    given = _given(opened, files, texts, _columns(column, None), told)
    predictor = Predictor(opened, runtime=runtime)
    rows: list[tuple[str, Text, str]] = []
    failed = 0
    with told.track("predict", len(given)) as advance:
        for answer in predictor.answers(given, top=top):
            advance(1)
            failed += "error" in answer
            if as_json:
                write(answer)
            elif "error" in answer:
                rows.append((answer["input"], Text(visible(answer["error"]), style="red"), ""))
            else:
                rows.append((answer["input"], Text(visible(answer["label"])), f"{answer['confidence']:.1%}"))
    if not as_json:
        table = new_table("input", "answer", "confidence")
        for name, said, confidence in rows:
            table.add_row(Text(visible(name)), said, confidence)
        say_line(table)
    if failed and failed == len(given):
        raise ConfigError("None of the inputs could be read.")


@app.command()
def explain(
    source: Source,
    files: Files = None,
    texts: Texts = None,
    column: InputColumn = None,
    runtime: Runtime = None,
    as_json: AsJsonLines = False,
    quiet: Quiet = False,
) -> None:
    """Show which words pushed the answer to a text: exact for the model ngrams, by leaving words out for the others."""
    from noria import api
    from noria.highlights import explanation
    from noria.inference.predictor import open_source

    opened = open_source(Path(source))
    given = _given(opened, files, texts, _columns(column, None), progress(quiet))
    failed = 0
    for told in api.explain(opened, given, runtime=runtime):
        failed += "error" in told
        say(as_json, told, *explanation(told))
    if failed == len(given):
        raise ConfigError("None of the inputs could be read.")


for verb in (*watching.VERBS, *operating.VERBS):
    app.command()(verb)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("noria-demo"),
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Walk the whole path on 2,624 real photos of solar cells: check, train, evaluate, export, verify, predict."""
    from noria import demo as show

    told = show.run(out, progress(quiet))
    say(as_json, told, *show.closing_lines(told))


@cache_app.command("show")
def cache_show(as_json: AsJson = False) -> None:
    """Say where the cache lies and how large it is."""
    from noria import cache

    told = cache.show()
    lines = [f"{part['name']:<22} {part['bytes'] / 1e6:>10.1f} MB" for part in told["parts"]]
    say(as_json, told, f"Cache: {told['folder']}", *lines)


@cache_app.command("clear")
def cache_clear(as_json: AsJson = False) -> None:
    """Delete the cache; the next training computes again what it needs."""
    from noria import cache

    told = cache.clear()
    say(as_json, told, f"{told['bytes'] / 1e6:.1f} MB deleted from {told['folder']}.")


def _columns(text: str | None, label: str | None) -> Columns | None:
    from noria.data.readers import Columns

    return Columns(text=text, label=label) if text or label else None


def _given(
    opened: Run | Bundle,
    files: Sequence[str] | None,
    texts: Sequence[str] | None,
    columns: Columns | None,
    told: Progress,
) -> list[Input]:
    """The inputs that a command names, in order: texts in the command itself, then files, tables and `-`."""
    from noria.inference.predictor import Input
    from noria.inference.standard_input import read_inputs
    from noria.sources import inputs_at

    given = [Input(f"text {number}", text.encode(errors="replace")) for number, text in enumerate(texts or (), start=1)]
    for name in files or ():
        given += read_inputs(opened) if name == "-" else inputs_at(Path(name), opened, columns, told)
    if not given:
        raise ConfigError("Nothing to answer for. Name files, or - for standard input, or give a text: --text TEXT.")
    return given
