"""What EfficientNet-Lite consists of, in plain numbers: the one plan that its Keras model and its engine follow."""

from __future__ import annotations

import math
from dataclasses import dataclass

STEM_FILTERS = 32  # stem and head do not grow with the width, unlike in EfficientNet
HEAD_FILTERS = 1280
EPSILON = 1e-3  # of batch normalisation
SCALE, OFFSET = 1 / 128, -127 / 128  # 0..255 -> about -1..1


@dataclass(frozen=True, slots=True)
class Block:
    """An inverted residual block: widen, filter each channel, narrow."""

    name: str
    inputs: int  # channels
    filters: int  # channels that it gives
    kernel: int
    stride: int
    expansion: int  # 1: nothing is widened

    @property
    def shortcut(self) -> bool:
        """Whether the block's input is added to what it gives."""
        return self.stride == 1 and self.inputs == self.filters


@dataclass(frozen=True, slots=True)
class _Stage:
    blocks: int
    kernel: int
    stride: int  # of its first block
    expansion: int
    filters: int


_STAGES = (
    _Stage(blocks=1, kernel=3, stride=1, expansion=1, filters=16),
    _Stage(blocks=2, kernel=3, stride=2, expansion=6, filters=24),
    _Stage(blocks=2, kernel=5, stride=2, expansion=6, filters=40),
    _Stage(blocks=3, kernel=3, stride=2, expansion=6, filters=80),
    _Stage(blocks=3, kernel=5, stride=1, expansion=6, filters=112),
    _Stage(blocks=4, kernel=5, stride=2, expansion=6, filters=192),
    _Stage(blocks=1, kernel=3, stride=1, expansion=6, filters=320),
)


def blocks(width: float, depth: float) -> list[Block]:
    """Return the blocks between stem and head, in order.

    Args:
        width: multiplies the filters of the seven stages.
        depth: multiplies the blocks of stages 2 to 6.
    """
    found: list[Block] = []
    channels = STEM_FILTERS
    for number, stage in enumerate(_STAGES):
        filters = _scaled_filters(stage.filters, width)
        for repeat in range(_scaled_blocks(stage, number, depth)):
            stride = stage.stride if repeat == 0 else 1
            name = f"blocks_{len(found)}"
            found.append(Block(name, channels, filters, stage.kernel, stride, stage.expansion))
            channels = filters
    return found


def published_name(layer: str) -> str:
    """`blocks_3_expand_conv` -> `_blocks.3._expand_conv`; `conv_stem` -> `_conv_stem`."""
    if not layer.startswith("blocks_"):
        return f"_{layer}"
    _, number, part = layer.split("_", 2)
    return f"_blocks.{number}._{part}"


def _scaled_blocks(stage: _Stage, number: int, depth: float) -> int:
    """The first and the last stage keep their number of blocks."""
    return stage.blocks if number in (0, len(_STAGES) - 1) else math.ceil(stage.blocks * depth)


def _scaled_filters(filters: int, width: float) -> int:
    """Round to the nearest multiple of 8 that is not more than a tenth too small (Howard et al., MobileNets, 2017)."""
    scaled = filters * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded
