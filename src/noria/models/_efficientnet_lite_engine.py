"""The published arrays of EfficientNet-Lite -> its backbone as a LiteRT file, with numpy alone.

The same layers as in the Keras network. Batch normalisation is folded into the convolution before it, as TensorFlow's
converter would.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.models._efficientnet_lite_plan import EPSILON, OFFSET, SCALE, Block, blocks, published_name
from noria.models._legacy_torch import read_state_dict
from noria.models._litert_writer import LiteRTWriter

Arrays = dict[str, NDArray[Any]]


def write_engine(file: Path, *, sha256: str, width: float, depth: float, image_size: int) -> bytes:
    """Return a LiteRT file from a picture (1, image_size, image_size, 3), 0 to 255, to its features (1, 1280).

    Raises:
        WeightsError: the weights cannot be read, or are not those of `sha256`.
    """
    arrays = read_state_dict(file, sha256=sha256)
    net = LiteRTWriter()
    x = net.scale(net.input("image", image_size, image_size, 3), SCALE, OFFSET)
    x = net.conv(x, *_folded(arrays, "conv_stem", "bn0"), stride=2, relu6=True)
    for block in blocks(width, depth):
        x = _add_block(net, x, block, arrays)
    x = net.conv(x, *_folded(arrays, "conv_head", "bn1"), relu6=True)
    return net.file(net.global_average(x))


def _add_block(net: LiteRTWriter, x: int, block: Block, arrays: Arrays) -> int:
    shortcut, name = x, block.name
    if block.expansion != 1:
        x = net.conv(x, *_folded(arrays, f"{name}_expand_conv", f"{name}_bn0"), relu6=True)
    kernel, bias = _folded(arrays, f"{name}_depthwise_conv", f"{name}_bn1", depthwise=True)
    x = net.depthwise_conv(x, kernel, bias, stride=block.stride, relu6=True)
    x = net.conv(x, *_folded(arrays, f"{name}_project_conv", f"{name}_bn2"))
    return net.add(x, shortcut) if block.shortcut else x


def _folded(
    arrays: Arrays, conv: str, norm: str, *, depthwise: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return kernel and bias that do what the convolution and the normalisation after it do.

    The kernel is (filters, height, width, channels), or of a depthwise convolution (1, height, width, channels).
    """
    gamma, beta, mean, variance = (
        arrays[f"{published_name(norm)}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gamma / np.sqrt(variance + np.float32(EPSILON))
    kernel = arrays[f"{published_name(conv)}.weight"] * factor[:, np.newaxis, np.newaxis, np.newaxis]
    # torch: (filters, channels, height, width), of a depthwise convolution (channels, 1, height, width)
    axes = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
    return np.transpose(kernel, axes).astype(np.float32), (beta - mean * factor).astype(np.float32)
