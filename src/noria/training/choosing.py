"""A dataset and the minutes there are -> the strategy that suits, and why, where the user leaves it open."""

from __future__ import annotations

from pathlib import Path

from noria import models
from noria.artifacts.dataset import Dataset
from noria.config import Config
from noria.contracts import Progress
from noria.ordered import default_threads

# Pictures of 224 pixels a second that EfficientNet-Lite0 is trained on: measured on one processor, estimated for a GPU.
PER_PROCESSOR, PER_GPU = 12.0, 400.0
SIDE = 224
FEWEST_EPOCHS = 3  # of fine-tuning: with fewer, the lower layers are hardly let go
FEWEST_EXAMPLES = 20  # of each label: with fewer, fine-tuning learns them by heart


def by_time(config: Config, dataset: Dataset, progress: Progress) -> Config:
    """Return the config, with fine-tuning where `--minutes` are enough for it and the strategy is left open."""
    training, model = config.training, config.model
    if training.strategy != "auto" or not training.minutes or models.card(model.name).strategy != "frozen":
        return config
    counts = dataset.counts()
    settings = config.input.model_dump() | dict(models.card(model.name).settings)
    speed = PER_GPU if Path("/dev/nvidia0").exists() else PER_PROCESSOR * default_threads()
    epochs = training.minutes * 60 * speed * (SIDE / settings["height"]) ** 2 / max(1, counts["train"])
    enough = counts["train"] / len(dataset.labels) >= FEWEST_EXAMPLES
    strategy = "finetune" if epochs >= FEWEST_EPOCHS and enough else "frozen"
    reason = f"{training.minutes:g} minutes are about {epochs:.1f} epochs of {counts['train']:,} pictures here"
    if not enough:
        reason = f"there are fewer than {FEWEST_EXAMPLES} training pictures of a label"
    progress.note(f"strategy {strategy}: {reason}")
    return config.model_copy(update={"training": training.model_copy(update={"strategy": strategy})})
