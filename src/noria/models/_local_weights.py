"""A built model and the path of a weights file -> the same model with those weights, or a message that helps."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noria.errors import WeightsError

if TYPE_CHECKING:
    import keras


def load_local_weights(model: keras.Model, file: Path) -> None:
    """Read weights from a file into `model`. Only arrays are read: no layer and no code of the file is used.

    Raises:
        WeightsError: it holds the weights of another model, or none.
    """
    # Keras leaves what it does not find in a file as it was, with a warning: NaN shows afterwards what that was.
    model.set_weights(
        [np.full(weight.shape, np.nan) if _is_float(weight) else weight.numpy() for weight in model.weights]
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.load_weights(file)
    except (ValueError, KeyError, OSError, TypeError, zipfile.BadZipFile) as error:
        raise _other_model(model, file, " ".join(str(error).split())[:300] or type(error).__name__) from error
    missing = [weight.path for weight in model.weights if _is_float(weight) and not np.isfinite(weight.numpy()).all()]
    if missing:
        raise _other_model(model, file, f"{len(missing)} arrays are missing or not finite, such as {missing[0]}.")


def _is_float(weight: Any) -> bool:
    return "float" in str(weight.dtype)


def _other_model(model: keras.Model, file: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"{str(file)!r} does not hold the weights of the backbone of {model.name}: {reason.rstrip('.')}. "
        "Expected weights of the same model without its classifier (Keras calls such files 'notop' or 'no_top')."
    )
