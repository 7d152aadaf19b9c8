"""A path, as people name it -> the inputs that lie there, for a model of pictures or of texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from noria.artifacts.bundle import Bundle
from noria.artifacts.run import Run
from noria.contracts import Progress
from noria.data.readers import Columns, unlabelled
from noria.errors import UnreadableInputError
from noria.inference.predictor import Input, files_below


def inputs_at(
    path: Path, opened: Run | Bundle, columns: Columns | None = None, progress: Progress | None = None
) -> Iterator[Input]:
    """Yield the file itself, every file below a folder, or where the model takes texts every row of a table.

    `progress` is told what was guessed of a table or of texts.

    Raises:
        DataError: a table cannot be understood, or it is not clear which column is the text.
    """
    held = unlabelled(path, opened.manifest.task, columns, progress)
    if held is None:
        yield from files_below([path])
    else:
        for name, data in held:
            if isinstance(data, UnreadableInputError):
                yield Input(name, b"", trouble=str(data))
            else:
                yield Input(name, data)
