"""The gRPC door: TensorFlow Serving's PredictionService and ModelService, health and reflection."""

from __future__ import annotations

from noria.serving.rpc.server import GrpcServer, start_grpc

__all__ = ["GrpcServer", "start_grpc"]
