"""A convolutional network, layer by layer -> the bytes of a LiteRT file, without TensorFlow.

TensorFlow's converter needs TensorFlow, which takes longer to start than a small network takes to be written. The
format is that of LiteRT's schema (`schema.fbs`, version 3), written with the classes that LiteRT's package generates
from it. One picture at a time, float32, (height, width, channels).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
SCHEMA_VERSION = 3
IDENTIFIER = b"TFL3"


class LiteRTWriter:
    """Adds operations one after the other. A tensor is known by its number, which the next operation takes."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._buffers = [schema.BufferT()]  # the first is empty by convention: what is computed has no bytes
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[int, int] = {}  # built-in operator -> index in the file's table
        self._input = -1

    def input(self, name: str, *shape: int) -> int:
        """Return the tensor of the network's input; `shape` without the batch."""
        self._input = self._tensor(name, (1, *shape))
        return self._input

    def scale(self, x: int, factor: float, offset: float) -> int:
        """Return x * factor + offset."""
        schema = self._schema
        scaled = self._add(schema.BuiltinOperator.MUL, (x, self._number("factor", factor)), self._shape(x),
                           schema.BuiltinOptions.MulOptions, schema.MulOptionsT())  # fmt: skip
        return self.add(scaled, self._number("offset", offset))

    def add(self, x: int, y: int) -> int:
        """Return x + y."""
        schema = self._schema
        return self._add(schema.BuiltinOperator.ADD, (x, y), self._shape(x),
                         schema.BuiltinOptions.AddOptions, schema.AddOptionsT())  # fmt: skip

    def conv(self, x: int, kernel: Array, bias: Array, *, stride: int = 1, relu6: bool = False) -> int:
        """Return a convolution with padding `same`.

        Args:
            kernel: (filters, height, width, channels).
            bias: (filters,).
        """
        schema = self._schema
        options = schema.Conv2DOptionsT()
        self._set_window(options, stride, relu6)
        inputs = x, self._constant("kernel", kernel), self._constant("bias", bias)
        shape = self._strided(x, stride, len(bias))
        return self._add(schema.BuiltinOperator.CONV_2D, inputs, shape, schema.BuiltinOptions.Conv2DOptions, options)

    def depthwise_conv(self, x: int, kernel: Array, bias: Array, *, stride: int = 1, relu6: bool = False) -> int:
        """Return a convolution of each channel by itself, with padding `same`.

        Args:
            kernel: (1, height, width, channels).
            bias: (channels,).
        """
        schema = self._schema
        options = schema.DepthwiseConv2DOptionsT()
        self._set_window(options, stride, relu6)
        options.depthMultiplier = 1
        inputs = x, self._constant("kernel", kernel), self._constant("bias", bias)
        shape = self._strided(x, stride, len(bias))
        kind = schema.BuiltinOptions.DepthwiseConv2DOptions
        return self._add(schema.BuiltinOperator.DEPTHWISE_CONV_2D, inputs, shape, kind, options)

    def global_average(self, x: int) -> int:
        """Return the mean of each channel: (1, channels)."""
        schema = self._schema
        axes = self._constant("axes", np.array([1, 2], np.int32))
        return self._add(schema.BuiltinOperator.MEAN, (x, axes), (1, self._shape(x)[-1]),
                         schema.BuiltinOptions.ReducerOptions, schema.ReducerOptionsT())  # fmt: skip

    def file(self, output: int) -> bytes:
        """Return the file of the network from its input to this tensor."""
        import flatbuffers

        schema = self._schema
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = "main", self._tensors, self._operators
        graph.inputs, graph.outputs = [self._input], [output]
        model = schema.ModelT()
        model.version, model.description = SCHEMA_VERSION, "Noria"
        model.operatorCodes = [self._code(kind) for kind in self._codes]
        model.subgraphs, model.buffers = [graph], self._buffers
        builder = flatbuffers.Builder(1 << 24)
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
        return bytes(builder.Output())

    def _add(self, kind: int, inputs: tuple[int, ...], shape: tuple[int, ...], options_kind: int, options: Any) -> int:
        operator = self._schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(kind, len(self._codes))
        operator.builtinOptionsType, operator.builtinOptions = options_kind, options
        output = self._tensor("result", shape)
        operator.inputs, operator.outputs = list(inputs), [output]
        self._operators.append(operator)
        return output

    def _set_window(self, options: Any, stride: int, relu6: bool) -> None:
        schema = self._schema
        options.padding = schema.Padding.SAME
        options.strideW = options.strideH = stride
        options.dilationWFactor = options.dilationHFactor = 1
        kind = schema.ActivationFunctionType
        options.fusedActivationFunction = kind.RELU6 if relu6 else kind.NONE

    def _code(self, kind: int) -> Any:
        code = self._schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = kind  # old readers know the second field only
        code.version = 1
        return code

    def _number(self, name: str, value: float) -> int:
        return self._constant(name, np.array(value, np.float32))

    def _constant(self, name: str, values: NDArray[Any]) -> int:
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self._buffers.append(buffer)
        return self._tensor(name, values.shape, kind=values.dtype, buffer=len(self._buffers) - 1)

    def _tensor(self, name: str, shape: tuple[int, ...], *, kind: Any = np.float32, buffer: int = 0) -> int:
        tensor = self._schema.TensorT()
        types = self._schema.TensorType
        tensor.name = f"{name}_{len(self._tensors)}"  # OpenVINO takes tensors of one name for one tensor
        tensor.shape, tensor.buffer, tensor.hasRank = list(shape), buffer, True
        tensor.type = types.INT32 if np.dtype(kind) == np.int32 else types.FLOAT32
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _shape(self, x: int) -> tuple[int, ...]:
        return tuple(self._tensors[x].shape)

    def _strided(self, x: int, stride: int, channels: int) -> tuple[int, ...]:
        _, height, width, _ = self._shape(x)
        return 1, -(-height // stride), -(-width // stride), channels
