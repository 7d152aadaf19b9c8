"""Two frames of a video -> how much of the scene has changed between them, in percent of the brightness range.

Meant for telling noise and compression from something that moves, also where it is small and the rest stands still.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.data.video.upright import converted

SIDE = 64  # spots along the longer side of a frame
_COLOUR = 0.5  # weight of colour: it is stored more coarsely than brightness, and trembles more

Spots = NDArray[np.uint8]


def spots(frame: Any) -> Spots:
    """Return the mean brightness and colours of a frame's spots.

    Args:
        frame: an `av.VideoFrame`.

    Returns:
        (3, rows, columns) uint8: Y, Cb and Cr of a grid with 64 spots along the longer side. The mean over a spot
        keeps little of the noise of a sensor.

    Raises:
        UnreadableInputError: its colours cannot be converted.
    """
    scale = SIDE / max(frame.width, frame.height)
    width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
    return converted(frame, width=width, height=height, format="yuvj444p", interpolation="AREA")


def change(before: Spots, after: Spots) -> float:
    """Return how much changed, from 0 to 100 percent of the brightness range.

    It is the change of the spot that changed most, less the median over all spots, which is what noise and a slight
    flicker of the light do everywhere; or that median itself, where it is more. `bench/frames.py` measures what noise
    and compression change, and what small things that move do.
    """
    if before.shape != after.shape:
        return 100.0
    difference = np.abs(before.astype(np.float32) - after)
    difference[1:] *= _COLOUR
    most = difference.max(axis=0)  # (rows, columns): of brightness and the two colours
    common = float(np.median(most))
    return max(common, float(most.max()) - common) / 2.55
