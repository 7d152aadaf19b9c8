"""Bundles -> answers over HTTP and gRPC. A request walks: `http` or `grpc` -> `service` -> `versions` -> `batcher`."""
