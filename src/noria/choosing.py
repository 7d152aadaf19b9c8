"""What a training begins with, where the user leaves it open: the settings of the run it goes on from, the strategy."""

from __future__ import annotations

from pathlib import Path

from noria import models, plugins
from noria.artifacts.dataset import Dataset
from noria.artifacts.run import Run, open_run
from noria.config import STRATEGIES, Config, parse
from noria.contracts import Progress
from noria.errors import ConfigError
from noria.ordered import default_threads

TRAINABLE = ("finetune", "scratch")
ALWAYS = {"strategy", "minutes"}  # settings that are heeded whatever the strategy is
# Pictures of 224 pixels a second that EfficientNet-Lite0 is trained on: 50 were on two processors; a GPU is a guess.
PER_PROCESSOR, PER_GPU = 25.0, 400.0
SIDE = 224
FEWEST_EPOCHS = 3  # of fine-tuning: with fewer, the lower layers are hardly let go
FEWEST_EXAMPLES = 20  # of each label: with fewer, fine-tuning learns them by heart


def by_time(config: Config, dataset: Dataset, progress: Progress) -> Config:
    """Return the config, with fine-tuning where `--minutes` are enough for it and the strategy is left open.

    The strategy that is taken where none is named is told with its reason.
    """
    training, model = config.training, config.model
    if training.strategy != "auto":
        return config
    if (usual := models.card(model.name).strategy) != "frozen":
        progress.note(f"strategy {usual}: {model.name} is made for it")
        return config
    if not training.minutes:
        progress.note(
            "strategy frozen: the quickest for a trained backbone; --minutes N fine-tunes it where they are enough"
        )
        return config
    counts = dataset.counts()
    settings = config.input.model_dump() | dict(models.card(model.name).settings)
    speed = PER_GPU if Path("/dev/nvidia0").exists() else PER_PROCESSOR * default_threads()
    epochs = training.minutes * 60 * speed * (SIDE / settings["height"]) ** 2 / max(1, counts["train"])
    enough = counts["train"] / len(dataset.labels) >= FEWEST_EXAMPLES
    strategy = "finetune" if epochs >= FEWEST_EPOCHS and enough else "frozen"
    reason = (
        f"{training.minutes:g} minutes are about {epochs:.1f} epochs of {counts['train']:,} pictures here, and "
        f"fine-tuning needs {FEWEST_EPOCHS}"
    )
    if not enough:
        reason = f"there are fewer than {FEWEST_EXAMPLES} training pictures of a label"
    progress.note(f"strategy {strategy}: {reason}")
    return config.model_copy(update={"training": training.model_copy(update={"strategy": strategy})})


def tell_unused(given: Config, strategy: str, progress: Progress) -> None:
    """Tell which settings of the training were set and do nothing in this strategy."""
    used = getattr(plugins.load(STRATEGIES, strategy), "USES", None)
    if used is None:
        return
    training = given.training
    idle = [
        f"training.{name}"
        for name, field in type(training).model_fields.items()
        if name in training.model_fields_set - used - ALWAYS and getattr(training, name) != field.default
    ]
    if idle:
        verb = "does" if len(idle) == 1 else "do"
        by_steps = [one for one in plugins.names(STRATEGIES) if hasattr(plugins.load(STRATEGIES, one), "prepare")]
        others = "" if strategy in by_steps else f"; for networks that are trained by steps ({', '.join(by_steps)})"
        progress.note(f"{', '.join(idle)} {verb} nothing in the strategy {strategy}{others}")


def of_run(config: Config) -> tuple[Config, Run | None]:
    """Return the config with model and input of the run that it starts from, and the run; as it is where there is none.

    Raises:
        ArtifactError: there is no such run.
        ConfigError: the run is of another task or model, or cannot be trained on.
    """
    if not config.model.start:
        return config, None
    run = open_run(Path(config.model.start))
    facts = run.manifest
    if facts.task != config.task:
        raise ConfigError(
            f"{run.path} is a run for {facts.task.replace('_', ' ')}, and this is data for "
            f"{config.task.replace('_', ' ')}: a training goes on from a run of its own kind only."
        )
    old = parse({"task": facts.task, **{name: facts.config[name] for name in ("input", "model")}})
    if "name" in config.model.model_fields_set and config.model.name != old.model.name:
        raise ConfigError(
            f"{run.path} is a run of {old.model.name}, and --model says {config.model.name}: leave it out, for a "
            "training goes on with the model of its run."
        )
    differing = [
        name for name in config.input.model_fields_set if getattr(config.input, name) != getattr(old.input, name, None)
    ]
    if differing:
        raise ConfigError(f"input.{differing[0]} cannot be another one than in {run.path}. Leave it out.")
    model = old.model.model_copy(update={"start": config.model.start})
    strategy = config.training.strategy
    if strategy == "auto":
        strategy = (
            "finetune" if hasattr(models.find(model.name), "build_backbone") else models.card(model.name).strategy
        )
    if strategy not in TRAINABLE:
        raise ConfigError(
            f"--from is for networks that are trained (--strategy {' or '.join(TRAINABLE)}), and this would be "
            f"{strategy}, which starts anew in little time: train on the old and the new data together."
        )
    training = config.training.model_copy(update={"strategy": strategy})
    return config.model_copy(update={"model": model, "input": old.input, "training": training}), run
